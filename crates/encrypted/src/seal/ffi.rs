//! Declarations of SEAL 4.0's C interface (`sealc`), as far as this crate calls it.
//!
//! `seal_fhe` builds and links the library but wraps only BFV, so its CKKS half is declared here, by hand,
//! from the headers in `native/src/seal/c`. Three properties of that interface matter to every caller:
//!
//! * a result is a C `long` whose failure codes are *positive* on 64-bit Linux (`0x8007_0057`): success is
//!   `== 0`, never `>= 0`;
//! * a null memory pool means SEAL's global pool, which is safe to use from several threads;
//! * `ContextData` handles are borrowed from their context, all others belong to the caller.

use std::os::raw::{c_int, c_long, c_void};

// Keeps the static libraries that `seal_fhe` carries in the link.
use seal_fhe as _;

/// An opaque SEAL object.
pub type Handle = *mut c_void;
/// What every function returns: 0, or the code of an error.
pub type Status = c_long;
/// SEAL's name for a level: a hash of scheme, degree and primes.
pub type ParmsId = [u64; 4];

/// `scheme_type::ckks`.
pub const SCHEME_CKKS: u8 = 2;
/// `compr_mode_type::none`.
pub const UNCOMPRESSED: u8 = 0;

unsafe extern "C" {
    // Not SEAL's: cmake/seal-checks.h defines it in each build with the settings that belong to this number. "Undefined
    // symbol" here means that an older build of SEAL lies in the target folder: `cargo clean --release -p seal_fhe`.
    pub fn cryptotl_seal_stamp_1(out_of_memory: extern "C" fn());
    #[cfg(test)]
    pub fn Version_Major(out: *mut u8) -> Status;
    #[cfg(test)]
    pub fn Version_Minor(out: *mut u8) -> Status;
    #[cfg(test)]
    pub fn Version_Patch(out: *mut u8) -> Status;

    pub fn EncParams_Create1(scheme: u8, out: *mut Handle) -> Status;
    pub fn EncParams_Destroy(parms: Handle) -> Status;
    pub fn EncParams_SetPolyModulusDegree(parms: Handle, degree: u64) -> Status;
    pub fn EncParams_SetCoeffModulus(parms: Handle, count: u64, moduli: *mut Handle) -> Status;
    pub fn EncParams_GetParmsId(parms: Handle, id: *mut u64) -> Status;
    pub fn Modulus_Create1(value: u64, out: *mut Handle) -> Status;
    pub fn Modulus_Destroy(modulus: Handle) -> Status;

    pub fn SEALContext_Create(parms: Handle, expand: bool, level: c_int, out: *mut Handle) -> Status;
    pub fn SEALContext_Destroy(context: Handle) -> Status;
    pub fn SEALContext_ParametersSet(context: Handle, set: *mut bool) -> Status;
    pub fn SEALContext_KeyParmsId(context: Handle, id: *mut u64) -> Status;
    pub fn SEALContext_FirstContextData(context: Handle, out: *mut Handle) -> Status; // borrowed
    pub fn ContextData_NextContextData(data: Handle, out: *mut Handle) -> Status; // borrowed
    pub fn ContextData_Parms(data: Handle, out: *mut Handle) -> Status; // a copy, to be destroyed

    pub fn KeyGenerator_Create1(context: Handle, out: *mut Handle) -> Status;
    pub fn KeyGenerator_Destroy(generator: Handle) -> Status;
    pub fn KeyGenerator_SecretKey(generator: Handle, out: *mut Handle) -> Status; // a copy
    pub fn KeyGenerator_CreateRelinKeys(generator: Handle, seeded: bool, out: *mut Handle) -> Status;
    pub fn SecretKey_Create1(out: *mut Handle) -> Status;
    pub fn KeyGenerator_Create2(context: Handle, secret: Handle, out: *mut Handle) -> Status;
    pub fn KeyGenerator_CreateGaloisKeysFromSteps(
        generator: Handle,
        count: u64,
        steps: *const c_int,
        seeded: bool,
        out: *mut Handle,
    ) -> Status;
    pub fn SecretKey_Destroy(key: Handle) -> Status;
    pub fn SecretKey_SaveSize(key: Handle, compression: u8, out: *mut i64) -> Status;
    pub fn SecretKey_Save(key: Handle, to: *mut u8, size: u64, compression: u8, out: *mut i64) -> Status;
    pub fn SecretKey_Load(key: Handle, context: Handle, from: *const u8, size: u64, out: *mut i64) -> Status;
    pub fn KSwitchKeys_Create1(out: *mut Handle) -> Status;
    pub fn KSwitchKeys_Destroy(keys: Handle) -> Status;
    pub fn KSwitchKeys_SaveSize(keys: Handle, compression: u8, out: *mut i64) -> Status;
    pub fn KSwitchKeys_Save(keys: Handle, to: *mut u8, size: u64, compression: u8, out: *mut i64) -> Status;
    pub fn KSwitchKeys_Load(
        keys: Handle,
        context: Handle,
        from: *const u8,
        size: u64,
        out: *mut i64,
    ) -> Status;

    pub fn CKKSEncoder_Create(context: Handle, out: *mut Handle) -> Status;
    pub fn CKKSEncoder_Destroy(encoder: Handle) -> Status;
    pub fn CKKSEncoder_Encode1(
        encoder: Handle,
        count: u64,
        values: *const f64,
        id: *const u64,
        scale: f64,
        plain: Handle,
        pool: Handle,
    ) -> Status;
    pub fn CKKSEncoder_Encode3(
        encoder: Handle,
        value: f64,
        id: *const u64,
        scale: f64,
        plain: Handle,
        pool: Handle,
    ) -> Status;
    // Writes N / 2 doubles, whatever `count` holds on entry.
    pub fn CKKSEncoder_Decode1(
        encoder: Handle,
        plain: Handle,
        count: *mut u64,
        values: *mut f64,
        pool: Handle,
    ) -> Status;

    pub fn Plaintext_Create1(pool: Handle, out: *mut Handle) -> Status;
    pub fn Plaintext_Destroy(plain: Handle) -> Status;
    pub fn Plaintext_IsZero(plain: Handle, zero: *mut bool) -> Status;
    pub fn Plaintext_SaveSize(plain: Handle, compression: u8, out: *mut i64) -> Status;
    pub fn Plaintext_Save(plain: Handle, to: *mut u8, size: u64, compression: u8, out: *mut i64) -> Status;
    pub fn Ciphertext_Create1(pool: Handle, out: *mut Handle) -> Status;
    pub fn Ciphertext_Destroy(ciphertext: Handle) -> Status;
    pub fn Ciphertext_SetScale(ciphertext: Handle, scale: f64) -> Status;
    pub fn Ciphertext_Scale(ciphertext: Handle, scale: *mut f64) -> Status;
    pub fn Ciphertext_SaveSize(ciphertext: Handle, compression: u8, out: *mut i64) -> Status;
    pub fn Ciphertext_Save(
        ciphertext: Handle,
        to: *mut u8,
        size: u64,
        compression: u8,
        out: *mut i64,
    ) -> Status;
    pub fn Ciphertext_Load(
        ciphertext: Handle,
        context: Handle,
        from: *const u8,
        size: u64,
        out: *mut i64,
    ) -> Status;

    pub fn Encryptor_Create(context: Handle, public: Handle, secret: Handle, out: *mut Handle) -> Status;
    pub fn Encryptor_Destroy(encryptor: Handle) -> Status;
    pub fn Encryptor_EncryptSymmetric(
        encryptor: Handle,
        plain: Handle,
        seeded: bool,
        ciphertext: Handle,
        pool: Handle,
    ) -> Status;
    pub fn Decryptor_Create(context: Handle, secret: Handle, out: *mut Handle) -> Status;
    pub fn Decryptor_Destroy(decryptor: Handle) -> Status;
    pub fn Decryptor_Decrypt(decryptor: Handle, ciphertext: Handle, plain: Handle) -> Status;

    pub fn Evaluator_Create(context: Handle, out: *mut Handle) -> Status;
    pub fn Evaluator_Destroy(evaluator: Handle) -> Status;
    pub fn Evaluator_Add(evaluator: Handle, a: Handle, b: Handle, out: Handle) -> Status;
    pub fn Evaluator_MultiplyPlain(
        evaluator: Handle,
        a: Handle,
        plain: Handle,
        out: Handle,
        pool: Handle,
    ) -> Status;
    pub fn Evaluator_RotateVector(
        evaluator: Handle,
        a: Handle,
        steps: c_int,
        keys: Handle,
        out: Handle,
        pool: Handle,
    ) -> Status;
    pub fn Evaluator_ModSwitchTo2(evaluator: Handle, plain: Handle, id: *const u64, out: Handle) -> Status;
    pub fn Evaluator_AddPlain(evaluator: Handle, a: Handle, plain: Handle, out: Handle) -> Status;
    pub fn Evaluator_Square(evaluator: Handle, a: Handle, out: Handle, pool: Handle) -> Status;
    pub fn Evaluator_Multiply(evaluator: Handle, a: Handle, b: Handle, out: Handle, pool: Handle) -> Status;
    pub fn Evaluator_Relinearize(
        evaluator: Handle,
        a: Handle,
        keys: Handle,
        out: Handle,
        pool: Handle,
    ) -> Status;
    pub fn Evaluator_RescaleToNext(evaluator: Handle, a: Handle, out: Handle, pool: Handle) -> Status;
    pub fn Evaluator_ModSwitchToNext1(evaluator: Handle, a: Handle, out: Handle, pool: Handle) -> Status;
}
