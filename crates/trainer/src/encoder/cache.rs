//! Embeddings that need not be computed again, in a folder of the data owner's.
//!
//! What is in the folder is as private as the texts: an embedding tells much of its text. The folder is for
//! its owner alone (mode 0700, files 0600; one that others may read is refused), and a text's name in it is a
//! keyed hash, so that a file without its key does not even tell whether it holds a guessed text.
//!
//! | file | content |
//! | --- | --- |
//! | `key` | magic `CTLK`, version u32: 1, 32 random bytes |
//! | the encoder's digest, then `.embeddings` | magic `CTLC`, version u32: 1, the encoder's digest (32 bytes), width u32, then entries |
//! | an entry | tag (32 bytes), the embedding (f32 each), check (16 bytes) |
//!
//! Numbers are little-endian. The tag is keyed BLAKE2b of `text` and the text, the check that of `entry`, the
//! tag and the embedding. Entries are only ever appended; one that a killed process left unfinished is
//! cut off, and one whose check fails is computed again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cryptotl_model::{Digest, Kind, OutputFile, WriteTo};
use ndarray::Array2;
use rand::Rng;

use super::Encoder;
use crate::error::{Result, TrainerError};
use crate::progress::OnProgress;

/// The folder's key, as an output.
const KEY: Kind = Kind::never_replaced("key of a cache");
const KEY_MAGIC: &[u8; 8] = b"CTLK\x01\0\0\0";
/// Version 2 would also be due when the arithmetic of an embedding changes.
const MAGIC: &[u8; 8] = b"CTLC\x01\0\0\0";
const HEADER_BYTES: usize = 8 + 32 + 4;
const TAG_BYTES: usize = 32;
const CHECK_BYTES: usize = 16;
/// The most entries of a cache: their places are in memory, some 64 bytes each.
const MAX_ENTRIES: u64 = 1 << 24;

type Tag = [u8; TAG_BYTES];

/// The cache of one encoder, held by one process at a time.
pub struct EmbeddingCache {
    file: File,
    path: PathBuf,
    key: [u8; 32],
    width: usize,
    /// Where each text's entry begins.
    places: HashMap<Tag, u64>,
    end: u64,
}

impl EmbeddingCache {
    /// Opens an encoder's cache in `folder`, and makes what is not there.
    ///
    /// # Errors
    /// [`TrainerError::Cache`] when the folder or a file of it is open to others, damaged, or in use by
    /// another process; [`TrainerError::Io`] when it cannot be read or written.
    pub fn open(folder: &Path, encoder: &Encoder) -> Result<Self> {
        Self::open_for(folder, encoder.id().digest, encoder.width())
    }

    fn open_for(folder: &Path, encoder: Digest, width: usize) -> Result<Self> {
        create_folder(folder)?;
        let key = read_key(&folder.join("key"))?;
        let path = folder.join(format!("{encoder}.embeddings"));
        let io = |e| TrainerError::io(&path, e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(io)?;
        check_owner_only(&path)?;
        if file.try_lock().is_err() {
            return Err(TrainerError::cache(&path, "another process uses it", "wait for that to end"));
        }
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(encoder.as_bytes());
        header.extend_from_slice(&(width as u32).to_le_bytes());
        let length = file.metadata().map_err(io)?.len();
        if length == 0 {
            file.write_all(&header).map_err(io)?;
        }
        let mut cache = Self { file, path, key, width, places: HashMap::new(), end: HEADER_BYTES as u64 };
        if length > 0 {
            cache.index(&header, length)?;
        }
        Ok(cache)
    }

    /// Reads where the entries are, and cuts off what is left of an unfinished one.
    fn index(&mut self, header: &[u8], length: u64) -> Result<()> {
        let io = |e| TrainerError::io(&self.path, e);
        self.file.rewind().map_err(io)?;
        let mut reader = BufReader::new(&self.file);
        let mut found = vec![0; HEADER_BYTES];
        if reader.read_exact(&mut found).is_err() || found != header {
            let fact = "it does not begin like the cache of this encoder";
            return Err(TrainerError::cache(&self.path, fact, "delete it, it will be made anew"));
        }
        let entry_bytes = self.entry_bytes();
        let n_entries = (length - HEADER_BYTES as u64) / entry_bytes;
        if n_entries > MAX_ENTRIES {
            let fact = format!("it has more than {MAX_ENTRIES} entries");
            return Err(TrainerError::cache(&self.path, fact, "delete it, it will be made anew"));
        }
        for _ in 0..n_entries {
            let mut tag = [0; TAG_BYTES];
            reader.read_exact(&mut tag).map_err(io)?;
            reader.seek_relative((entry_bytes - TAG_BYTES as u64) as i64).map_err(io)?;
            self.places.insert(tag, self.end);
            self.end += entry_bytes;
        }
        self.file.set_len(self.end).map_err(io)
    }

    fn entry_bytes(&self) -> u64 {
        (TAG_BYTES + 4 * self.width + CHECK_BYTES) as u64
    }

    /// Embeds texts as [`Encoder::embed`] does, and takes from the cache what is there. The second number
    /// is how many texts that were. A text that occurs twice is computed once.
    ///
    /// # Errors
    /// As for [`Encoder::embed`], and [`TrainerError::Io`] when the cache cannot be read or written.
    pub fn embed(
        &mut self,
        encoder: &Encoder,
        texts: &[&str],
        on_progress: OnProgress,
    ) -> Result<(Array2<f32>, usize)> {
        debug_assert_eq!(encoder.width(), self.width);
        let mut embeddings = Array2::zeros((texts.len(), self.width));
        let tags: Vec<Tag> = texts.iter().map(|text| self.tag(text)).collect();
        let mut missing: Vec<usize> = Vec::new();
        let mut awaited: HashMap<Tag, usize> = HashMap::new();
        let mut n_found = 0;
        for (i, tag) in tags.iter().enumerate() {
            if awaited.contains_key(tag) {
                continue;
            }
            match self.get(tag)? {
                Some(embedding) => {
                    embeddings.row_mut(i).assign(&ndarray::ArrayView1::from(&embedding));
                    n_found += 1;
                }
                None => {
                    awaited.insert(*tag, missing.len());
                    missing.push(i);
                }
            }
        }
        let new: Vec<&str> = missing.iter().map(|&i| texts[i]).collect();
        // Batch by batch, so that a process that is killed has lost no more than the last ones.
        let cache = Mutex::new(&mut *self);
        let keep = |batch: &[usize], rows: &[f32]| {
            let rows = batch.iter().zip(rows.chunks(encoder.width()));
            let entries = rows.map(|(&i, row)| (tags[missing[i]], row.to_vec()));
            cache.lock().unwrap_or_else(|e| e.into_inner()).append(entries)
        };
        let computed = encoder.embed_and(&new, on_progress, &keep)?;
        for (i, tag) in tags.iter().enumerate() {
            if let Some(&row) = awaited.get(tag) {
                embeddings.row_mut(i).assign(&computed.row(row));
            }
        }
        Ok((embeddings, n_found))
    }

    /// The embedding with this tag, if there is one and it is whole.
    fn get(&mut self, tag: &Tag) -> Result<Option<Vec<f32>>> {
        let Some(&place) = self.places.get(tag) else { return Ok(None) };
        let io = |e| TrainerError::io(&self.path, e);
        let mut entry = vec![0; self.entry_bytes() as usize];
        self.file.seek(SeekFrom::Start(place)).map_err(io)?;
        self.file.read_exact(&mut entry).map_err(io)?;
        let (content, check) = entry.split_at(entry.len() - CHECK_BYTES);
        if &content[..TAG_BYTES] != tag || check != self.check(content) {
            return Ok(None);
        }
        let numbers = content[TAG_BYTES..].as_chunks::<4>().0;
        Ok(Some(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }

    /// Appends entries of finite embeddings, as long as there is room.
    fn append(&mut self, entries: impl Iterator<Item = (Tag, Vec<f32>)>) -> Result<()> {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for (tag, embedding) in entries.filter(|(_, embedding)| embedding.iter().all(|x| x.is_finite())) {
            let start = bytes.len();
            places.push((tag, self.end + start as u64));
            bytes.extend_from_slice(&tag);
            bytes.extend(embedding.iter().flat_map(|x| x.to_le_bytes()));
            let check = self.check(&bytes[start..]);
            bytes.extend_from_slice(&check);
        }
        if (self.end + bytes.len() as u64) / self.entry_bytes() > MAX_ENTRIES {
            return Ok(());
        }
        let io = |e| TrainerError::io(&self.path, e);
        self.file.seek(SeekFrom::Start(self.end)).map_err(io)?;
        self.file.write_all(&bytes).map_err(io)?;
        self.end += bytes.len() as u64;
        self.places.extend(places);
        Ok(())
    }

    fn tag(&self, text: &str) -> Tag {
        self.keyed_hash("text", text.as_bytes())
    }

    fn check(&self, content: &[u8]) -> [u8; CHECK_BYTES] {
        *self.keyed_hash("entry", content).first_chunk().expect("a tag is longer")
    }

    /// BLAKE2b keeps the two uses of the key apart by its personalization.
    fn keyed_hash(&self, usage: &str, bytes: &[u8]) -> Tag {
        let hash = blake2b_simd::Params::new()
            .key(&self.key)
            .personal(usage.as_bytes())
            .hash_length(TAG_BYTES)
            .hash(bytes);
        hash.as_bytes().try_into().expect("asked for this length")
    }
}

fn create_folder(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|e| TrainerError::io(folder, e))?;
    check_owner_only(folder)
}

/// Reads the folder's key, or makes it. Two processes that make it at once end up with the same.
fn read_key(path: &Path) -> Result<[u8; 32]> {
    if !path.exists() {
        let mut key = [0; 32];
        // Seeded by the operating system for this key: a thread's generator would give it again after a fork.
        rand::make_rng::<rand::rngs::StdRng>().fill_bytes(&mut key);
        let written = path.destination(KEY).and_then(|to| {
            let mut file = OutputFile::create(&to)?;
            file.write(KEY_MAGIC)?;
            file.write(&key)?;
            file.commit_new()
        });
        // Losing the race is as good as winning it.
        if let Err(e) = written
            && !path.exists()
        {
            return Err(e.into());
        }
    }
    check_owner_only(path)?;
    let mut bytes = Vec::new();
    let file = cryptotl_model::input_file::open(path).map_err(|e| TrainerError::io(path, e))?;
    file.take(64).read_to_end(&mut bytes).map_err(|e| TrainerError::io(path, e))?;
    match bytes.strip_prefix(KEY_MAGIC).and_then(|key| key.try_into().ok()) {
        Some(key) => Ok(key),
        None => Err(TrainerError::cache(
            path,
            "it is not the key of a cache",
            "give a folder of its own with --cache, or delete the whole cache",
        )),
    }
}

/// Fails when others than its owner may read or write a file or folder.
fn check_owner_only(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(|e| TrainerError::io(path, e))?.permissions().mode();
        if mode & 0o077 != 0 {
            let fact = format!("others may open it (mode {:03o})", mode & 0o777);
            return Err(TrainerError::cache(
                path,
                fact,
                "close it to others with chmod go-rwx, or choose another",
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alteration::alterations;
    use proptest::prelude::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn open(folder: &Path, encoder: &str) -> Result<EmbeddingCache> {
        EmbeddingCache::open_for(folder, Digest::of(encoder.as_bytes()), 3)
    }

    fn put(cache: &mut EmbeddingCache, text: &str, embedding: [f32; 3]) {
        let tag = cache.tag(text);
        cache.append([(tag, embedding.to_vec())].into_iter()).unwrap();
    }

    fn get(cache: &mut EmbeddingCache, text: &str) -> Option<Vec<f32>> {
        let tag = cache.tag(text);
        cache.get(&tag).unwrap()
    }

    #[test]
    fn entries_survive_the_process_and_each_encoder_has_its_own() {
        let folder = folder();
        let inside = folder.path().join("new");
        let mut cache = open(&inside, "a").unwrap();
        put(&mut cache, "one", [1.0, -0.0, 3.5]);
        put(&mut cache, "", [0.0; 3]);
        put(&mut cache, "never", [f32::NAN, 0.0, 0.0]);
        assert!(open(&inside, "a").err().unwrap().to_string().contains("another process"));
        drop(cache);
        let mut cache = open(&inside, "a").unwrap();
        assert_eq!(get(&mut cache, "one"), Some(vec![1.0, -0.0, 3.5]));
        assert_eq!(get(&mut cache, ""), Some(vec![0.0; 3]));
        assert_eq!((get(&mut cache, "two"), get(&mut cache, "never")), (None, None));
        assert_eq!(get(&mut open(&inside, "b").unwrap(), "one"), None);
    }

    #[test]
    fn an_unfinished_entry_is_cut_off_and_a_damaged_one_is_not_believed() {
        let folder = folder();
        let mut cache = open(&folder.path().join("c"), "a").unwrap();
        for (text, x) in [("one", 1.0), ("two", 2.0), ("three", 3.0)] {
            put(&mut cache, text, [x; 3]);
        }
        let (path, entry) = (cache.path.clone(), cache.entry_bytes() as usize);
        drop(cache);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_BYTES + TAG_BYTES + 5] ^= 1;
        bytes.truncate(HEADER_BYTES + 3 * entry - 1);
        std::fs::write(&path, &bytes).unwrap();
        let mut cache = open(&folder.path().join("c"), "a").unwrap();
        assert_eq!(get(&mut cache, "one"), None, "damaged");
        assert_eq!(get(&mut cache, "two"), Some(vec![2.0; 3]));
        assert_eq!(get(&mut cache, "three"), None, "cut off");
        put(&mut cache, "three", [4.0; 3]);
        put(&mut cache, "one", [5.0; 3]);
        drop(cache);
        let mut cache = open(&folder.path().join("c"), "a").unwrap();
        assert_eq!(get(&mut cache, "three"), Some(vec![4.0; 3]));
        assert_eq!(get(&mut cache, "one"), Some(vec![5.0; 3]), "the later entry counts");
    }

    proptest! {
        /// What an altered cache gives is what was put in, or nothing.
        #[test]
        fn an_altered_cache_gives_no_other_embedding(alteration in alterations()) {
            let folder = folder();
            let inside = folder.path().join("c");
            let mut cache = open(&inside, "a").unwrap();
            let texts = [("one", 1.0), ("two", 2.0), ("three", 3.0)];
            texts.iter().for_each(|(text, x)| put(&mut cache, text, [*x; 3]));
            let path = cache.path.clone();
            drop(cache);
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, alteration.of(&whole)).unwrap();
            match open(&inside, "a") {
                Ok(mut cache) => {
                    for (text, x) in texts {
                        let found = get(&mut cache, text);
                        prop_assert!(found.is_none() || found == Some(vec![x; 3]), "{text}: {found:?}");
                    }
                    put(&mut cache, "four", [4.0; 3]);
                    prop_assert_eq!(get(&mut cache, "four"), Some(vec![4.0; 3]));
                }
                Err(error) => prop_assert!(error.to_string().contains("; "), "{error} has no remedy"),
            }
        }
    }

    #[test]
    fn nothing_of_a_text_is_in_the_folder_and_other_files_are_refused() {
        let folder = folder();
        let inside = folder.path().join("c");
        let mut cache = open(&inside, "a").unwrap();
        put(&mut cache, "a text", [1.0; 3]);
        let (path, tag) = (cache.path.clone(), cache.tag("a text"));
        drop(cache);
        let plain = blake2b_simd::Params::new().personal(b"text").hash_length(32).hash(b"a text");
        assert_ne!(plain.as_bytes(), tag, "a hash without the key would name the text");
        let other = open(&folder.path().join("d"), "a").unwrap();
        assert_ne!(other.tag("a text"), tag, "another folder has another key");

        std::fs::write(&path, b"CTLC something else that is longer than a header").unwrap();
        assert!(open(&inside, "a").err().unwrap().to_string().contains("does not begin like"));
        drop(open(&inside, "long").unwrap());
        let mut long = std::fs::read_dir(&inside).unwrap().map(|file| file.unwrap().path());
        let long = long.find(|file| *file != path && file.extension().is_some()).unwrap();
        std::fs::OpenOptions::new().write(true).open(&long).unwrap().set_len(4 << 30).unwrap();
        assert!(open(&inside, "long").err().unwrap().to_string().contains("more than 16777216 entries"));
        std::fs::write(inside.join("key"), b"short").unwrap();
        assert!(open(&inside, "a").err().unwrap().to_string().contains("not the key"));
    }

    #[cfg(unix)]
    #[test]
    fn it_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let inside = folder.path().join("c");
        let cache = open(&inside, "a").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inside), mode(&cache.path), mode(&inside.join("key"))), (0o700, 0o600, 0o600));
        let path = cache.path.clone();
        drop(cache);
        for path in [&inside, &inside.join("key"), &path] {
            let closed = mode(path);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(closed | 0o040)).unwrap();
            assert!(open(&inside, "a").err().unwrap().to_string().contains("others may open it"));
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(closed)).unwrap();
        }
        assert!(open(&inside, "a").is_ok());
    }
}
