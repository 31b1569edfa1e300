//! Safe owners of SEAL's objects. Every function checks SEAL's code, every object is destroyed once.

use std::io::Write;
use std::ptr::null_mut;
use std::sync::Once;

use zeroize::Zeroizing;

use crate::error::{EncryptedError, Result};
use crate::params::ParameterSet;
use crate::seal::ffi::{self, Handle, ParmsId, Status};

/// The memory pool argument: null is SEAL's global, thread-safe pool.
const POOL: Handle = null_mut();

fn check(operation: &'static str, status: Status) -> Result<()> {
    // Codes are positive numbers of 32 bits in a 64-bit `long`; a sign test would miss them.
    let code = match status as u64 & 0xffff_ffff {
        0 => return Ok(()),
        0x8007_0057 => "E_INVALIDARG".to_owned(),
        0x8000_4003 => "E_POINTER".to_owned(),
        0x8000_ffff => "E_UNEXPECTED".to_owned(),
        0x8007_000e => "E_OUTOFMEMORY".to_owned(),
        0x8013_1509 => "COR_E_INVALIDOPERATION".to_owned(),
        0x8013_1620 => "COR_E_IO".to_owned(),
        other => format!("code {other:#010x}"),
    };
    Err(EncryptedError::Seal { operation, code })
}

/// Calls a function of SEAL's C interface and turns its code into a result.
macro_rules! seal {
    ($function:ident($($argument:expr),* $(,)?)) => {
        check(stringify!($function), ffi::$function($($argument),*))
    };
}

/// Declares a type that owns a SEAL object and destroys it with the named function.
macro_rules! owner {
    ($(#[$meta:meta])* $name:ident, $destroy:ident) => {
        $(#[$meta])*
        pub(crate) struct $name(Handle);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the handle came from SEAL, is not null, and this is its only owner.
                unsafe { ffi::$destroy(self.0) };
            }
        }

        // SAFETY: SEAL's objects are plain heap objects with no tie to the thread that made them.
        unsafe impl Send for $name {}
    };
}

owner!(ContextHandle, SEALContext_Destroy);
owner!(Parms, EncParams_Destroy);
owner!(Modulus, Modulus_Destroy);
owner!(KeyGenerator, KeyGenerator_Destroy);
owner!(
    /// The secret key. SEAL wipes it when it is destroyed.
    SecretKey,
    SecretKey_Destroy
);
owner!(
    /// The keys that bring a product of two ciphertexts back to two polynomials.
    RelinKeys,
    KSwitchKeys_Destroy
);
owner!(
    /// The keys that bring a rotated ciphertext back to the secret key.
    GaloisKeys,
    KSwitchKeys_Destroy
);
owner!(EncoderHandle, CKKSEncoder_Destroy);
owner!(
    /// Encrypts under a secret key.
    Encryptor,
    Encryptor_Destroy
);
owner!(
    /// Decrypts. Not shared between threads, because SEAL caches powers of the key inside.
    Decryptor,
    Decryptor_Destroy
);
owner!(
    /// Computes with ciphertexts.
    Evaluator,
    Evaluator_Destroy
);
owner!(
    /// An encoded plaintext.
    Plaintext,
    Plaintext_Destroy
);
owner!(
    /// A ciphertext.
    Ciphertext,
    Ciphertext_Destroy
);

// SAFETY: after construction the C interface reaches these objects only through `const` member functions
// that touch nothing but immutable tables and the thread-safe global memory pool (`ckks.h`, `encryptor.h`,
// `evaluator.h`, `context.h` of SEAL 4.0; encryption makes a fresh random generator for each call).
unsafe impl Sync for ContextHandle {}
unsafe impl Sync for SecretKey {}
unsafe impl Sync for RelinKeys {}
unsafe impl Sync for GaloisKeys {}
unsafe impl Sync for Plaintext {}
unsafe impl Sync for EncoderHandle {}
unsafe impl Sync for Encryptor {}
unsafe impl Sync for Evaluator {}

/// What SEAL calls when it gets no memory. An exception would have to cross Rust, so the process ends, as it does when Rust
/// itself gets none.
extern "C" fn out_of_memory() {
    // No allocation here: the words are ready, and stderr has no buffer.
    let words = "error: memory ran out during encryption; give the process more memory (ulimit -v, the limits of the \
                 container or of the job)\n";
    let _ = std::io::stderr().write_all(words.as_bytes());
    std::process::abort();
}

/// Tells SEAL once what to do when memory runs out. Each use begins with a [`Context`], which calls this.
fn prepare() {
    static ONCE: Once = Once::new();
    // SAFETY: the function only stores the handler, which never returns and lives as long as the process.
    ONCE.call_once(|| unsafe { ffi::cryptotl_seal_stamp_1(out_of_memory) });
}

/// Makes an object with a function that writes its handle to its last argument.
fn create(make: impl FnOnce(*mut Handle) -> Result<()>) -> Result<Handle> {
    let mut handle = null_mut();
    make(&mut handle)?;
    if handle.is_null() {
        return Err(EncryptedError::Seal { operation: "object creation", code: "a null handle".into() });
    }
    Ok(handle)
}

/// SEAL's precomputed tables for a ring degree and primes.
pub(crate) struct Context {
    degree: usize,
    handle: ContextHandle,
    /// `level_ids[l - 1]` names the level with `l` data primes.
    level_ids: Vec<ParmsId>,
    key_id: ParmsId,
}

impl Context {
    /// Builds the tables of a parameter set. SEAL itself checks the set against the 128-bit row of its
    /// security table.
    pub(crate) fn new(set: ParameterSet) -> Result<Self> {
        // Only the sets for tests, which a build for use does not have, claim nothing.
        let security_level = if cfg!(test) && set.security().is_empty() { 0 } else { 128 };
        Self::from_primes(set.degree(), set.data_primes(), set.special_prime(), security_level)
    }

    /// Builds the tables of other primes; `security_level` is 128 bits, or 0 for no check.
    pub(crate) fn from_primes(
        degree: usize,
        data_primes: &[u64],
        special_prime: u64,
        security_level: i32,
    ) -> Result<Self> {
        prepare();
        // SAFETY: each handle is made by the call before it is used and owned by a wrapper; the array of
        // moduli outlives the call that reads it, and SEAL copies the values.
        unsafe {
            let parms = Parms(create(|out| seal!(EncParams_Create1(ffi::SCHEME_CKKS, out)))?);
            seal!(EncParams_SetPolyModulusDegree(parms.0, degree as u64))?;
            let mut moduli = Vec::new();
            for q in data_primes.iter().copied().chain([special_prime]) {
                moduli.push(Modulus(create(|out| seal!(Modulus_Create1(q, out)))?));
            }
            let mut handles: Vec<Handle> = moduli.iter().map(|modulus| modulus.0).collect();
            seal!(EncParams_SetCoeffModulus(parms.0, handles.len() as u64, handles.as_mut_ptr()))?;
            let handle =
                ContextHandle(create(|out| seal!(SEALContext_Create(parms.0, true, security_level, out)))?);
            let mut valid = false;
            seal!(SEALContext_ParametersSet(handle.0, &mut valid))?;
            if !valid {
                return Err(EncryptedError::Seal {
                    operation: "SEALContext_Create",
                    code: format!("degree {degree} and primes {data_primes:?}, {special_prime} refused"),
                });
            }
            let mut key_id = [0; 4];
            seal!(SEALContext_KeyParmsId(handle.0, key_id.as_mut_ptr()))?;
            let level_ids = level_ids(&handle, data_primes.len())?;
            Ok(Self { degree, handle, level_ids, key_id })
        }
    }

    /// The ring degree `N`.
    pub(crate) fn degree(&self) -> usize {
        self.degree
    }

    /// How many data primes there are.
    pub(crate) fn n_data_primes(&self) -> usize {
        self.level_ids.len()
    }

    /// The name of the level with `primes` data primes (1 to all of them).
    pub(crate) fn level_id(&self, primes: usize) -> &ParmsId {
        &self.level_ids[primes - 1]
    }

    pub(crate) fn key_id(&self) -> &ParmsId {
        &self.key_id
    }
}

/// Walks the chain of levels from all data primes down to one.
fn level_ids(context: &ContextHandle, n_primes: usize) -> Result<Vec<ParmsId>> {
    let mut ids = vec![[0; 4]; n_primes];
    // SAFETY: context data are borrowed from the live context and not destroyed; the copies of the
    // parameters are owned by a wrapper; an id has room for the four words that are written.
    unsafe {
        let mut data = create(|out| seal!(SEALContext_FirstContextData(context.0, out)))?;
        for level in (0..n_primes).rev() {
            let parms = Parms(create(|out| seal!(ContextData_Parms(data, out)))?);
            seal!(EncParams_GetParmsId(parms.0, ids[level].as_mut_ptr()))?;
            if level > 0 {
                data = create(|out| seal!(ContextData_NextContextData(data, out)))?;
            }
        }
    }
    Ok(ids)
}

impl SecretKey {
    /// A fresh secret key together with the bytes of its seeded relinearization keys.
    pub(crate) fn generate(context: &Context) -> Result<(Self, Vec<u8>)> {
        // SAFETY: handles are live and owned by wrappers.
        unsafe {
            let generator = KeyGenerator(create(|out| seal!(KeyGenerator_Create1(context.handle.0, out)))?);
            let key = Self(create(|out| seal!(KeyGenerator_SecretKey(generator.0, out)))?);
            let relin = RelinKeys(create(|out| seal!(KeyGenerator_CreateRelinKeys(generator.0, true, out)))?);
            Ok((key, save_keys(relin.0)?))
        }
    }

    /// SEAL's bytes of this key.
    pub(crate) fn save(&self) -> Result<Zeroizing<Vec<u8>>> {
        // SAFETY: the handle is live; `save` sizes its buffer as SEAL asks.
        unsafe {
            save(
                |size| seal!(SecretKey_SaveSize(self.0, ffi::UNCOMPRESSED, size)),
                |to, size, out| seal!(SecretKey_Save(self.0, to, size, ffi::UNCOMPRESSED, out)),
            )
            .map(Zeroizing::new)
        }
    }

    /// Loads canonical bytes from [`crate::seal::wire`].
    pub(crate) fn load(context: &Context, bytes: &[u8]) -> Result<Self> {
        // SAFETY: the handles are live; SEAL reads at most `bytes.len()` bytes.
        unsafe {
            let key = Self(create(|out| seal!(SecretKey_Create1(out)))?);
            let (from, size) = (bytes.as_ptr(), bytes.len() as u64);
            seal!(SecretKey_Load(key.0, context.handle.0, from, size, &mut 0))?;
            Ok(key)
        }
    }
}

impl RelinKeys {
    /// Loads canonical bytes from [`crate::seal::wire`], never a peer's.
    pub(crate) fn load(context: &Context, bytes: &[u8]) -> Result<Self> {
        // SAFETY: the function only writes the handle.
        let keys = Self(unsafe { create(|out| seal!(KSwitchKeys_Create1(out)))? });
        load_keys(keys.0, context, bytes)?;
        Ok(keys)
    }
}

impl GaloisKeys {
    /// Makes the keys that rotate the slots left by each of `steps`, seeded or not.
    pub(crate) fn generate(context: &Context, key: &SecretKey, steps: &[i32], seeded: bool) -> Result<Self> {
        // SAFETY: the handles are live; SEAL reads `steps.len()` steps.
        unsafe {
            let generator =
                KeyGenerator(create(|out| seal!(KeyGenerator_Create2(context.handle.0, key.0, out)))?);
            let (count, from) = (steps.len() as u64, steps.as_ptr());
            create(|out| seal!(KeyGenerator_CreateGaloisKeysFromSteps(generator.0, count, from, seeded, out)))
                .map(Self)
        }
    }

    /// SEAL's bytes of these keys.
    pub(crate) fn save(&self) -> Result<Vec<u8>> {
        save_keys(self.0)
    }

    /// As [`RelinKeys::load`].
    pub(crate) fn load(context: &Context, bytes: &[u8]) -> Result<Self> {
        // SAFETY: the function only writes the handle.
        let keys = Self(unsafe { create(|out| seal!(KSwitchKeys_Create1(out)))? });
        load_keys(keys.0, context, bytes)?;
        Ok(keys)
    }
}

fn load_keys(keys: Handle, context: &Context, bytes: &[u8]) -> Result<()> {
    let (from, size) = (bytes.as_ptr(), bytes.len() as u64);
    // SAFETY: the caller owns the live handle of keys; SEAL reads at most `bytes.len()` bytes.
    unsafe { seal!(KSwitchKeys_Load(keys, context.handle.0, from, size, &mut 0)) }
}

fn save_keys(keys: Handle) -> Result<Vec<u8>> {
    // SAFETY: the caller owns the live handle; `save` sizes its buffer as SEAL asks.
    unsafe {
        save(
            |size| seal!(KSwitchKeys_SaveSize(keys, ffi::UNCOMPRESSED, size)),
            |to, size, out| seal!(KSwitchKeys_Save(keys, to, size, ffi::UNCOMPRESSED, out)),
        )
    }
}

impl Plaintext {
    fn new() -> Result<Self> {
        // SAFETY: the function only writes the handle.
        unsafe { create(|out| seal!(Plaintext_Create1(POOL, out))).map(Self) }
    }

    /// Whether it is the zero polynomial.
    pub(crate) fn is_zero(&self) -> Result<bool> {
        let mut zero = false;
        // SAFETY: the handle is live and one flag is written.
        unsafe { seal!(Plaintext_IsZero(self.0, &mut zero))? };
        Ok(zero)
    }

    /// SEAL's bytes of this plaintext.
    pub(crate) fn save(&self) -> Result<Vec<u8>> {
        // SAFETY: the handle is live; `save` sizes its buffer as SEAL asks.
        unsafe {
            save(
                |size| seal!(Plaintext_SaveSize(self.0, ffi::UNCOMPRESSED, size)),
                |to, size, out| seal!(Plaintext_Save(self.0, to, size, ffi::UNCOMPRESSED, out)),
            )
        }
    }
}

/// Maps numbers to plaintext polynomials and back.
pub(crate) struct Encoder {
    handle: EncoderHandle,
    /// The ring degree of the context that it was made for: it decides how much [`Self::decode`] writes.
    degree: usize,
}

impl Encoder {
    pub(crate) fn new(context: &Context) -> Result<Self> {
        // SAFETY: the context is live; the encoder keeps its own share of it.
        let handle = unsafe { create(|out| seal!(CKKSEncoder_Create(context.handle.0, out)))? };
        Ok(Self { handle: EncoderHandle(handle), degree: context.degree })
    }

    /// Encodes up to `N / 2` numbers at `scale`, for the level with `primes` data primes.
    pub(crate) fn encode(
        &self,
        context: &Context,
        values: &[f64],
        primes: usize,
        scale: f64,
    ) -> Result<Plaintext> {
        self.encode_at(context.level_id(primes), values, scale)
    }

    /// Encodes for all data primes and the special prime. SEAL itself has no use for such a plaintext.
    pub(crate) fn encode_at_key_level(
        &self,
        context: &Context,
        values: &[f64],
        scale: f64,
    ) -> Result<Plaintext> {
        self.encode_at(context.key_id(), values, scale)
    }

    fn encode_at(&self, id: &ParmsId, values: &[f64], scale: f64) -> Result<Plaintext> {
        let plain = Plaintext::new()?;
        let id = id.as_ptr();
        // SAFETY: SEAL reads `values.len()` doubles and four words of the level's id.
        unsafe {
            let (count, from) = (values.len() as u64, values.as_ptr());
            seal!(CKKSEncoder_Encode1(self.handle.0, count, from, id, scale, plain.0, POOL))?;
        }
        Ok(plain)
    }

    /// Encodes the same number in each slot.
    pub(crate) fn encode_constant(
        &self,
        context: &Context,
        value: f64,
        primes: usize,
        scale: f64,
    ) -> Result<Plaintext> {
        let plain = Plaintext::new()?;
        let id = context.level_id(primes).as_ptr();
        // SAFETY: SEAL reads four words of the level's id.
        unsafe { seal!(CKKSEncoder_Encode3(self.handle.0, value, id, scale, plain.0, POOL))? };
        Ok(plain)
    }

    /// The numbers in all `N / 2` slots.
    pub(crate) fn decode(&self, plain: &Plaintext) -> Result<Vec<f64>> {
        let mut values = vec![0.0; self.degree / 2];
        let mut count = values.len() as u64;
        // SAFETY: SEAL writes exactly `N / 2` doubles, the length of `values`, whatever `count` says: it takes `N` from the
        // encoder's context, as `new` did, and refuses a plaintext of another context.
        unsafe { seal!(CKKSEncoder_Decode1(self.handle.0, plain.0, &mut count, values.as_mut_ptr(), POOL))? };
        Ok(values)
    }
}

impl Encryptor {
    pub(crate) fn new(context: &Context, key: &SecretKey) -> Result<Self> {
        // SAFETY: the handles are live and copied; a null public key means symmetric encryption.
        unsafe { create(|out| seal!(Encryptor_Create(context.handle.0, null_mut(), key.0, out))).map(Self) }
    }

    /// Encrypts and returns SEAL's bytes: the first polynomial and the seed of the second one.
    pub(crate) fn encrypt_seeded(&self, plain: &Plaintext) -> Result<Vec<u8>> {
        let ciphertext = Ciphertext::new()?;
        // SAFETY: the handles are live.
        unsafe { seal!(Encryptor_EncryptSymmetric(self.0, plain.0, true, ciphertext.0, POOL))? };
        ciphertext.save()
    }
}

impl Decryptor {
    pub(crate) fn new(context: &Context, key: &SecretKey) -> Result<Self> {
        // SAFETY: the handles are live and copied.
        unsafe { create(|out| seal!(Decryptor_Create(context.handle.0, key.0, out))).map(Self) }
    }

    pub(crate) fn decrypt(&mut self, ciphertext: &Ciphertext) -> Result<Plaintext> {
        let plain = Plaintext::new()?;
        // SAFETY: the handles are live, and `&mut self` keeps other threads out.
        unsafe { seal!(Decryptor_Decrypt(self.0, ciphertext.0, plain.0))? };
        Ok(plain)
    }
}

impl Ciphertext {
    fn new() -> Result<Self> {
        // SAFETY: the function only writes the handle.
        unsafe { create(|out| seal!(Ciphertext_Create1(POOL, out))).map(Self) }
    }

    /// Loads canonical bytes from [`crate::seal::wire`], never a peer's. A seeded second polynomial is
    /// expanded.
    pub(crate) fn load(context: &Context, bytes: &[u8]) -> Result<Self> {
        let ciphertext = Self::new()?;
        let (from, size) = (bytes.as_ptr(), bytes.len() as u64);
        // SAFETY: the handles are live; SEAL reads at most `bytes.len()` bytes.
        unsafe { seal!(Ciphertext_Load(ciphertext.0, context.handle.0, from, size, &mut 0))? };
        Ok(ciphertext)
    }

    /// SEAL's bytes of this ciphertext.
    pub(crate) fn save(&self) -> Result<Vec<u8>> {
        // SAFETY: the handle is live; `save` sizes its buffer as SEAL asks.
        unsafe {
            save(
                |size| seal!(Ciphertext_SaveSize(self.0, ffi::UNCOMPRESSED, size)),
                |to, size, out| seal!(Ciphertext_Save(self.0, to, size, ffi::UNCOMPRESSED, out)),
            )
        }
    }

    /// Declares another scale: for one that differs in its last bits.
    pub(crate) fn set_scale(&mut self, scale: f64) -> Result<()> {
        // SAFETY: the handle is live.
        unsafe { seal!(Ciphertext_SetScale(self.0, scale)) }
    }

    pub(crate) fn scale(&self) -> Result<f64> {
        let mut scale = 0.0;
        // SAFETY: the handle is live and one double is written.
        unsafe { seal!(Ciphertext_Scale(self.0, &mut scale))? };
        Ok(scale)
    }
}

/// Serializes an object into a buffer of the size that SEAL asks for.
fn save(
    size: impl FnOnce(*mut i64) -> Result<()>,
    write: impl FnOnce(*mut u8, u64, *mut i64) -> Result<()>,
) -> Result<Vec<u8>> {
    let mut needed = 0i64;
    size(&mut needed)?;
    let mut bytes = vec![0u8; usize::try_from(needed).unwrap_or(0)];
    let mut written = 0i64;
    write(bytes.as_mut_ptr(), bytes.len() as u64, &mut written)?;
    bytes.truncate(usize::try_from(written).unwrap_or(0));
    Ok(bytes)
}

impl Evaluator {
    pub(crate) fn new(context: &Context) -> Result<Self> {
        // SAFETY: the context is live; the evaluator keeps its own share of it.
        unsafe { create(|out| seal!(Evaluator_Create(context.handle.0, out))).map(Self) }
    }

    /// `a * a`, in two polynomials. Relinearized here and not after a rescale: the other order costs 27
    /// times the encryption error.
    pub(crate) fn square(&self, a: &Ciphertext, keys: &RelinKeys) -> Result<Ciphertext> {
        let out = Ciphertext::new()?;
        // SAFETY: the handles are live; SEAL allows the destination to be its own source.
        unsafe {
            seal!(Evaluator_Square(self.0, a.0, out.0, POOL))?;
            seal!(Evaluator_Relinearize(self.0, out.0, keys.0, out.0, POOL))?;
        }
        Ok(out)
    }

    /// `a * b`, in two polynomials.
    pub(crate) fn multiply(&self, a: &Ciphertext, b: &Ciphertext, keys: &RelinKeys) -> Result<Ciphertext> {
        let out = Ciphertext::new()?;
        // SAFETY: as for `square`.
        unsafe {
            seal!(Evaluator_Multiply(self.0, a.0, b.0, out.0, POOL))?;
            seal!(Evaluator_Relinearize(self.0, out.0, keys.0, out.0, POOL))?;
        }
        Ok(out)
    }

    /// Divides by the last prime and drops it.
    pub(crate) fn rescale(&self, a: &mut Ciphertext) -> Result<()> {
        // SAFETY: the handles are live, `&mut` keeps other threads out, in place is allowed.
        unsafe { seal!(Evaluator_RescaleToNext(self.0, a.0, a.0, POOL)) }
    }

    /// Drops the last prime without dividing.
    pub(crate) fn drop_prime(&self, a: &mut Ciphertext) -> Result<()> {
        // SAFETY: as for `rescale`.
        unsafe { seal!(Evaluator_ModSwitchToNext1(self.0, a.0, a.0, POOL)) }
    }

    /// Adds a ciphertext of the same level and scale.
    pub(crate) fn add(&self, a: &mut Ciphertext, b: &Ciphertext) -> Result<()> {
        // SAFETY: as for `rescale`.
        unsafe { seal!(Evaluator_Add(self.0, a.0, b.0, a.0)) }
    }

    /// `a * plain`, for a plaintext of the same level.
    pub(crate) fn multiply_plain(&self, a: &Ciphertext, plain: &Plaintext) -> Result<Ciphertext> {
        let out = Ciphertext::new()?;
        // SAFETY: the handles are live.
        unsafe { seal!(Evaluator_MultiplyPlain(self.0, a.0, plain.0, out.0, POOL))? };
        Ok(out)
    }

    /// `a` with its slots rotated left by `step`, or right if it is negative.
    pub(crate) fn rotate(&self, a: &Ciphertext, step: i32, keys: &GaloisKeys) -> Result<Ciphertext> {
        let out = Ciphertext::new()?;
        // SAFETY: the handles are live.
        unsafe { seal!(Evaluator_RotateVector(self.0, a.0, step, keys.0, out.0, POOL))? };
        Ok(out)
    }

    /// Drops a plaintext to the level with `primes` data primes.
    pub(crate) fn drop_plain(&self, context: &Context, plain: &mut Plaintext, primes: usize) -> Result<()> {
        let id = context.level_id(primes).as_ptr();
        // SAFETY: as for `rescale`; SEAL reads four words of the level's id.
        unsafe { seal!(Evaluator_ModSwitchTo2(self.0, plain.0, id, plain.0)) }
    }

    /// Adds a plaintext of the same level and scale.
    pub(crate) fn add_plain(&self, a: &mut Ciphertext, plain: &Plaintext) -> Result<()> {
        // SAFETY: as for `rescale`.
        unsafe { seal!(Evaluator_AddPlain(self.0, a.0, plain.0, a.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_one_that_is_named() {
        let mut version = [0u8; 3];
        let [major, minor, patch] = &mut version;
        // SAFETY: each call writes one byte.
        unsafe {
            seal!(Version_Major(major)).unwrap();
            seal!(Version_Minor(minor)).unwrap();
            seal!(Version_Patch(patch)).unwrap();
        }
        let [major, minor, patch] = version;
        let seal = format!("SEAL {major}.{minor}.{patch} with");
        assert!(crate::LIBRARY.contains(&seal), "the library says {seal}");
        let lock = include_str!("../../../../Cargo.lock");
        let (_, after) = lock.split_once("name = \"seal_fhe\"\nversion = \"").unwrap();
        let package = format!("(seal_fhe {})", after.split('"').next().unwrap());
        assert!(crate::LIBRARY.contains(&package), "the lock file says {package}");
    }

    /// The variance of fresh errors tells the samplers apart: the centered binomial distribution of 2 times 21 bits has
    /// 21/2, the rounded Gaussian of deviation 3.2 has 10.24 + 1/12. A slot's real part is a sum of all coefficients with
    /// weights of mean square 1/2. Over 10^6 slots the estimate has a relative deviation of 0.14 %, and is 6 of them away
    /// from the limit: it fails by chance with probability below 1e-9.
    #[test]
    fn errors_come_from_the_centered_binomial_sampler() {
        let set = ParameterSet::InsecureN1024Q30x5P38;
        let context = Context::new(set).unwrap();
        let (key, _) = SecretKey::generate(&context).unwrap();
        let encryptor = Encryptor::new(&context, &key).unwrap();
        let mut decryptor = Decryptor::new(&context, &key).unwrap();
        let encoder = Encoder::new(&context).unwrap();
        let scale = f64::from(1 << 20);
        let zero = encoder.encode(&context, &[0.0], 1, scale).unwrap();
        let (mut sum, mut n) = (0.0, 0.0);
        while n < 1e6 {
            let bytes = encryptor.encrypt_seeded(&zero).unwrap();
            let fresh = Ciphertext::load(&context, &bytes).unwrap();
            let errors = encoder.decode(&decryptor.decrypt(&fresh).unwrap()).unwrap();
            sum += errors.iter().map(|x| (x * scale).powi(2)).sum::<f64>();
            n += errors.len() as f64;
        }
        let variance = 2.0 * sum / n / set.degree() as f64;
        assert!((variance - 10.5).abs() < 0.0885, "the variance of a coefficient's error is {variance}");
    }
}
