//! The secret key of one job in a file of the data owner's, between `keygen`, `encrypt` and `decrypt`.
//!
//! The file is for its owner alone (mode 0600; one that others may read is refused), is never replaced and
//! only ever grows:
//!
//! | offset | field |
//! | --- | --- |
//! | 0 | magic `CTLS` |
//! | 4 | version u16: 1 |
//! | 6 | parameter set u16 |
//! | 8 | digest of the plan's contract, 32 bytes |
//! | 40 | job: the digest of its evaluation keys, 32 bytes |
//! | 72 | for each data prime and the special prime `N` residues of the key, packed as in a message |
//! | then | SHA-256 of all bytes before it |
//! | then | nothing while the key is fresh; a byte 1 once an encryption has begun |
//! | then | once it is done: digest of the records 32 bytes, blocks u32, for each block its rows u32 and its query's digest 32 bytes, and the SHA-256 of this part |
//!
//! A key serves one job. Whoever encrypts takes the key first, under a lock, with the byte that says so on
//! disk before anything is encrypted, as a ledger is charged before the data is read; a process that is killed in
//! between has used the key up. A copy of the file that was made before knows nothing of this: no program can
//! prevent that.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cryptotl_model::{Digest, Kind, ModelError, OutputFile, WriteTo, input_file};
use zeroize::Zeroizing;

use crate::client::Client;
use crate::error::{EncryptedError, Result};
use crate::message::{EvaluationKeys, FileKind, JobId, Request, RequestId, pack, packed_bytes, unpack};
use crate::params::ParameterSet;
use crate::plan::Contract;

const MAGIC: [u8; 4] = *b"CTLS";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 72;
const DIGEST_BYTES: usize = 32;
const CLAIMED: u8 = 1;
/// The most blocks that a file may name, checked before a key is taken and when a file is read.
const MAX_BLOCKS: usize = 1 << 20;
const BLOCK_BYTES: usize = 4 + DIGEST_BYTES;

/// What the data owner remembers of an encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedJob {
    /// Names the records that were encrypted.
    pub records: Digest,
    /// One query a block, in order.
    pub requests: Vec<Request>,
}

/// What has been done with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing.
    Fresh,
    /// An encryption has begun and did not end.
    Claimed,
    /// One job was encrypted.
    Encrypted(EncryptedJob),
}

/// The content of a secret key file, checked.
pub struct KeyFile {
    job: JobId,
    residues: Zeroizing<Vec<u64>>,
    state: KeyState,
}

/// A key that was taken for its one encryption. While it lives, no other process can take it.
pub struct ClaimedKey {
    client: Client,
    file: File,
    path: PathBuf,
}

impl KeyFile {
    /// A secret key, as an output.
    pub const FILE: Kind = FileKind::SecretKey.output();

    /// Makes the keys of a new job: writes the secret one to a new file and returns the public ones.
    ///
    /// # Errors
    /// [`EncryptedError::Model`] when a file is there already or cannot be written.
    pub fn create(contract: &Contract, to: &(impl WriteTo + ?Sized)) -> Result<EvaluationKeys> {
        let to = to.destination(Self::FILE)?;
        let (client, keys) = Client::generate(contract)?;
        let mut file = OutputFile::create(&to)?;
        file.write(&to_bytes(contract, &client)?)?;
        file.commit_new()?;
        Ok(keys)
    }

    /// Fails when a job is too large for the file that remembers it. To be asked before the key is taken.
    ///
    /// # Errors
    /// [`EncryptedError::Message`].
    pub fn check_size(contract: &Contract, n_records: usize) -> Result<()> {
        let n_blocks = n_records.div_ceil(contract.block_rows());
        match n_blocks <= MAX_BLOCKS {
            true => Ok(()),
            false => refuse(
                format!("{n_records} records are {n_blocks} blocks, and it remembers {MAX_BLOCKS}"),
                "divide the records into several jobs",
            ),
        }
    }

    /// Takes the key for its one encryption.
    ///
    /// # Errors
    /// [`EncryptedError::Message`] when the file is no key of this contract, others may read it, or the key
    /// was taken before.
    pub fn claim(contract: &Contract, path: &Path) -> Result<ClaimedKey> {
        let io = |source| unusable("open", path, source);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return refuse("another process is encrypting with it", "wait for it, or use another key");
            }
            Err(TryLockError::Error(e)) => return Err(unusable("lock", path, e).into()),
        }
        let content = Self::read(contract, &mut file, path)?;
        match content.state {
            KeyState::Fresh => {}
            KeyState::Claimed => {
                return refuse(
                    "an encryption with it has begun and did not end",
                    "make new keys with `cryptotl keygen`: a key serves one job",
                );
            }
            KeyState::Encrypted(_) => {
                return refuse(
                    "it has already encrypted a job",
                    "make new keys with `cryptotl keygen`: a key serves one job",
                );
            }
        }
        let client = Client::restore(contract, content.job, &content.residues)?;
        append(&mut file, &[CLAIMED]).map_err(|e| unusable("write", path, e))?;
        Ok(ClaimedKey { client, file, path: path.to_owned() })
    }

    /// Opens the key of a job that was encrypted.
    ///
    /// # Errors
    /// [`EncryptedError::Message`] when the file is no key of this contract, others may read it, or nothing
    /// was encrypted with it.
    pub fn reopen(contract: &Contract, path: &Path) -> Result<(Client, EncryptedJob)> {
        let mut file = input_file::open(path).map_err(|e| unusable("open", path, e))?;
        let content = Self::read(contract, &mut file, path)?;
        match content.state {
            KeyState::Encrypted(job) => Ok((Client::restore(contract, content.job, &content.residues)?, job)),
            KeyState::Fresh | KeyState::Claimed => {
                refuse("no encryption with it has ended", "give the key that encrypted the query")
            }
        }
    }

    /// Reads and checks a file, without making a key of it.
    ///
    /// # Errors
    /// [`EncryptedError::Message`] when it is no key of this contract, or others may read it.
    pub fn open(contract: &Contract, path: &Path) -> Result<Self> {
        let mut file = input_file::open(path).map_err(|e| unusable("open", path, e))?;
        Self::read(contract, &mut file, path)
    }

    /// What has been done with the key.
    pub fn state(&self) -> &KeyState {
        &self.state
    }

    /// The job that it serves.
    pub fn job(&self) -> JobId {
        self.job
    }

    fn read(contract: &Contract, file: &mut File, path: &Path) -> Result<Self> {
        let io = |source| unusable("read", path, source);
        let metadata = file.metadata().map_err(io)?;
        refuse_if_others_may_read(&metadata)?;
        let most = fixed_bytes(contract.parameter_set()) + 1 + log_bytes(MAX_BLOCKS);
        if metadata.len() > most as u64 {
            return refuse("it is far too large", "give the file that `cryptotl keygen` wrote");
        }
        // Of its final capacity from the start, so that no copy is left behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
        file.take(metadata.len()).read_to_end(&mut bytes).map_err(io)?;
        Self::from_bytes(contract, &bytes)
    }

    /// Reads and checks the bytes of a file.
    ///
    /// # Errors
    /// [`EncryptedError::Message`] when they are anything but a key of this contract.
    pub fn from_bytes(contract: &Contract, bytes: &[u8]) -> Result<Self> {
        let set = contract.parameter_set();
        let again = "give the file that `cryptotl keygen` wrote";
        let Some((fixed, log)) = bytes.split_at_checked(fixed_bytes(set)) else {
            return refuse(format!("{} bytes are no key of this plan", bytes.len()), again);
        };
        let (content, digest) = fixed.split_at(fixed.len() - DIGEST_BYTES);
        if content[..4] != MAGIC {
            return refuse("it does not start with CTLS", again);
        }
        let version = u16::from_le_bytes([content[4], content[5]]);
        if version != VERSION {
            return refuse(
                format!("it has version {version}, this program reads {VERSION}"),
                "use the program that made it",
            );
        }
        if content[6..8] != set.id().to_le_bytes() || content[8..40] != *contract.digest().as_bytes() {
            return refuse("it belongs to another plan", "give the plan that it was made for");
        }
        if Digest::of(content).as_bytes() != digest {
            return refuse("its digest is not that of its content", again);
        }
        let mut residues = Zeroizing::new(Vec::with_capacity(n_primes(set) * set.degree()));
        let mut rest = &content[HEADER_BYTES..];
        for q in primes(set) {
            let (run, more) = rest.split_at(packed_bytes(set.degree(), q));
            if !unpack(run, q, &mut residues, |residue| residue) {
                return refuse(format!("a residue is not below its prime {q}"), again);
            }
            rest = more;
        }
        Ok(Self { job: JobId(digest_at(content, 40)), residues, state: read_log(log) })
    }
}

impl ClaimedKey {
    /// Encrypts.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes down what was encrypted, so that the responses can be told. Do this before the queries can
    /// leave.
    ///
    /// # Errors
    /// [`EncryptedError::Model`] when the file cannot be written.
    pub fn finish(mut self, job: &EncryptedJob) -> Result<()> {
        let mut log = Vec::with_capacity(log_bytes(job.requests.len()));
        log.extend(job.records.as_bytes());
        log.extend((job.requests.len() as u32).to_le_bytes());
        for request in &job.requests {
            log.extend((request.rows as u32).to_le_bytes());
            log.extend(request.id.0.as_bytes());
        }
        log.extend(*Digest::of(&log).as_bytes());
        append(&mut self.file, &log).map_err(|e| unusable("write", &self.path, e))?;
        Ok(())
    }
}

fn to_bytes(contract: &Contract, client: &Client) -> Result<Zeroizing<Vec<u8>>> {
    let set = contract.parameter_set();
    let mut bytes = Zeroizing::new(Vec::with_capacity(fixed_bytes(set)));
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(set.id().to_le_bytes());
    bytes.extend(contract.digest().as_bytes());
    bytes.extend(client.job().0.as_bytes());
    let residues = client.secret()?;
    for (residues, q) in residues.chunks(set.degree()).zip(primes(set)) {
        pack(residues, q, &mut bytes);
    }
    let digest = Digest::of(&bytes);
    bytes.extend(digest.as_bytes());
    Ok(bytes)
}

/// What follows the key. An end that is cut or damaged is that of a process that was killed: the key is used.
fn read_log(log: &[u8]) -> KeyState {
    let Some(log) = log.strip_prefix(&[CLAIMED]) else {
        return if log.is_empty() { KeyState::Fresh } else { KeyState::Claimed };
    };
    read_encrypted(log).map_or(KeyState::Claimed, KeyState::Encrypted)
}

fn read_encrypted(log: &[u8]) -> Option<EncryptedJob> {
    let (content, digest) = log.split_last_chunk::<DIGEST_BYTES>()?;
    if Digest::of(content).as_bytes() != digest {
        return None;
    }
    let (records, content) = content.split_first_chunk::<DIGEST_BYTES>()?;
    let (n_blocks, blocks) = content.split_first_chunk::<4>()?;
    let n_blocks = u32::from_le_bytes(*n_blocks) as usize;
    if n_blocks == 0 || n_blocks > MAX_BLOCKS || blocks.len() != n_blocks * BLOCK_BYTES {
        return None;
    }
    let requests = blocks.chunks_exact(BLOCK_BYTES).map(|block| Request {
        rows: u32::from_le_bytes([block[0], block[1], block[2], block[3]]) as usize,
        id: RequestId(digest_at(block, 4)),
    });
    Some(EncryptedJob { records: Digest::from_bytes(*records), requests: requests.collect() })
}

fn append(file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::End(0))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn primes(set: ParameterSet) -> impl Iterator<Item = u64> {
    set.data_primes().iter().copied().chain([set.special_prime()])
}

fn n_primes(set: ParameterSet) -> usize {
    set.data_primes().len() + 1
}

fn fixed_bytes(set: ParameterSet) -> usize {
    HEADER_BYTES + primes(set).map(|q| packed_bytes(set.degree(), q)).sum::<usize>() + DIGEST_BYTES
}

fn log_bytes(n_blocks: usize) -> usize {
    DIGEST_BYTES + 4 + n_blocks * BLOCK_BYTES + DIGEST_BYTES
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&bytes[at..at + DIGEST_BYTES]);
    Digest::from_bytes(digest)
}

#[cfg(unix)]
fn refuse_if_others_may_read(metadata: &std::fs::Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match metadata.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => refuse("others than its owner may use it", "close it to them with `chmod 600`"),
    }
}

#[cfg(not(unix))]
fn refuse_if_others_may_read(_: &std::fs::Metadata) -> Result<()> {
    Ok(())
}

fn refuse<T>(fact: impl Into<String>, remedy: &str) -> Result<T> {
    Err(EncryptedError::Message { kind: "secret key", fact: fact.into(), remedy: remedy.into() })
}

fn unusable(action: &'static str, path: &Path, source: std::io::Error) -> ModelError {
    ModelError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end_to_end::small_plan;
    use crate::testkit;

    fn refused<T>(result: Result<T>, expected: &str) {
        let error = result.err().expect(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_key_serves_one_job_and_then_decrypts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.key");
        let plan = small_plan(4, 1);
        let contract = plan.contract();
        let rows = testkit::records(3, 4, 3.0, 1);

        let keys = KeyFile::create(contract, &path).unwrap();
        refused(KeyFile::create(contract, &path), "there already");
        refused(KeyFile::reopen(contract, &path), "no encryption with it has ended");
        let claimed = KeyFile::claim(contract, &path).unwrap();
        refused(KeyFile::claim(contract, &path), "another process");
        let query = claimed.client().encrypt(rows.view()).unwrap();
        let job = EncryptedJob { records: Digest::of(b"records"), requests: vec![query.request()] };
        claimed.finish(&job).unwrap();
        refused(KeyFile::claim(contract, &path), "already encrypted");

        let server = crate::Server::new(&plan, &keys).unwrap();
        let response = server.evaluate(&query, &|_| ()).unwrap();
        let (client, again) = KeyFile::reopen(contract, &path).unwrap();
        assert_eq!((client.job(), &again), (keys.job(), &job));
        let features = client.decrypt(&response, &job.requests[0]).unwrap();
        let (other, _) = Client::generate(contract).unwrap();
        assert!(other.decrypt(&response, &job.requests[0]).is_err());
        assert!(features.iter().all(|f| f.abs() < 10.0));
    }

    #[test]
    fn an_encryption_that_did_not_end_uses_the_key_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.key");
        let plan = small_plan(4, 1);
        KeyFile::create(plan.contract(), &path).unwrap();
        drop(KeyFile::claim(plan.contract(), &path).unwrap());
        refused(KeyFile::claim(plan.contract(), &path), "did not end");
        refused(KeyFile::reopen(plan.contract(), &path), "no encryption with it has ended");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.key");
        let plan = small_plan(4, 1);
        KeyFile::create(plan.contract(), &path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        refused(KeyFile::claim(plan.contract(), &path), "others than its owner");
    }

    #[test]
    fn damaged_and_foreign_keys_are_refused() {
        let plan = small_plan(4, 1);
        let contract = plan.contract();
        let (client, _) = Client::generate(contract).unwrap();
        let bytes = to_bytes(contract, &client).unwrap();
        assert_eq!(*KeyFile::from_bytes(contract, &bytes).unwrap().state(), KeyState::Fresh);
        refused(KeyFile::from_bytes(small_plan(4, 2).contract(), &bytes), "another plan");
        for cut in [0, 100, bytes.len() - 1] {
            refused(KeyFile::from_bytes(contract, &bytes[..cut]), "bytes are no key");
        }
        for (expected, at) in
            [("CTLS", 0), ("version", 4), ("another plan", 6), ("another plan", 8), ("digest", 100)]
        {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 0x80;
            refused(KeyFile::from_bytes(contract, &bytes), expected);
        }
        let mut over = bytes.to_vec();
        over[HEADER_BYTES..HEADER_BYTES + 4].fill(0xff);
        let end = over.len() - DIGEST_BYTES;
        let digest = Digest::of(&over[..end]);
        over[end..].copy_from_slice(digest.as_bytes());
        refused(KeyFile::from_bytes(contract, &over), "not below its prime");
        for end in [&[2u8][..], &[1, 0], &[0; 200], &[1; 101]] {
            let cut = [&bytes[..], end].concat();
            assert_eq!(*KeyFile::from_bytes(contract, &cut).unwrap().state(), KeyState::Claimed);
        }
    }
}
