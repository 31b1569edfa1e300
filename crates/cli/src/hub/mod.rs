//! Encoders of the Hugging Face Hub, in the cache that its own tools have and in its layout: `blobs` holds contents
//! under the names of their hashes, `snapshots` the files of a commit as links to them, `refs` the commits of
//! branches.
//!
//! What is there and whole is used without asking the network. What is fetched tells the Hub which encoder is
//! wanted, and nothing else. The library `hf_hub` knows the layout and the Hub's addresses; it has no time
//! limits, checks no content and knows neither tokens of the environment nor a prohibition of the network, so
//! the transfer is [`client`]'s.

mod client;
mod content;
mod settings;

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cryptotl_trainer::TrainerError;
use cryptotl_trainer::encoder::{Encoder, Needed, needed};
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use self::client::{Client, Refusal};
use self::content::Hash;
use self::settings::Settings;
use crate::encoder::is_name;
use crate::exit::{Code, Failure, Result};
use crate::output::note;
use crate::progress::Bar;

/// An encoder of the Hub.
pub struct HubEncoder {
    repository: String,
    revision: String,
    cache: Cache,
    client: Client,
    offline: Option<&'static str>,
    /// Of the default endpoint or another, for addresses.
    api: hf_hub::api::sync::Api,
}

/// Why a folder of the cache does not serve.
enum Trouble {
    /// Its files are there, and are no encoder that is understood.
    Encoder(TrainerError, PathBuf),
    /// Everything else.
    Failure(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl HubEncoder {
    /// The encoder at a branch, tag or commit. Nothing is asked yet.
    ///
    /// # Errors
    /// The environment's settings make no sense.
    pub fn new(repository: &str, revision: &str) -> Result<Self> {
        let settings = Settings::from_env()?;
        let cache = Cache::new(settings.cache.clone());
        let mut builder = ApiBuilder::from_cache(cache.clone()).with_token(None).with_progress(false);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let api = builder.build().map_err(|e| Failure::new(Code::Bug, e))?;
        let offline = settings.offline;
        let home = api.model(repository.to_owned()).url("");
        let client = Client::new(settings, &home);
        Ok(Self {
            repository: repository.to_owned(),
            revision: revision.to_owned(),
            cache,
            client,
            offline,
            api,
        })
    }

    /// The name for people.
    pub fn name(&self) -> String {
        format!("{}@{}", self.repository, self.revision)
    }

    /// Its folder, fetched if need be.
    pub fn folder(&self) -> Result<PathBuf> {
        self.healed(|folder| Ok(folder.to_owned()))
    }

    /// The encoder, fetched if need be.
    pub fn load(&self) -> Result<Encoder> {
        self.healed(|folder| Encoder::load_as(folder, self.name()))
    }

    /// What `read` makes of the folder. Where the cache holds files that are not understood, and whose content
    /// cannot be checked otherwise, they are fetched again once.
    fn healed<T>(&self, read: impl Fn(&Path) -> std::result::Result<T, TrainerError>) -> Result<T> {
        let attempt = |fresh: bool| -> std::result::Result<T, Trouble> {
            let folder = self.snapshot(fresh)?;
            let outcome = Encoder::check(&folder).and_then(|()| read(&folder));
            outcome.map_err(|error| Trouble::Encoder(error, folder))
        };
        let first = match attempt(false) {
            Err(Trouble::Encoder(error, folder)) if self.offline.is_none() && is_unchecked(&folder) => {
                Trouble::Encoder(error, folder)
            }
            other => return other.map_err(|trouble| self.words(trouble)),
        };
        attempt(true).map_err(|trouble| match trouble {
            Trouble::Failure(second) => {
                let Failure { message: first, .. } = self.words(first);
                Failure::new(second.code, format!("{first}: tried, and {}", second.message))
            }
            trouble => self.words(trouble),
        })
    }

    fn words(&self, trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Failure(failure) => failure,
            Trouble::Encoder(TrainerError::Encoder { fact, remedy, .. }, _) => {
                Failure::failed(format!("hf:{} is not a usable encoder: {fact}", self.name()), remedy)
            }
            Trouble::Encoder(other, _) => other.into(),
        }
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repository.clone(), RepoType::Model, revision.to_owned())
    }

    fn cache(&self) -> CacheRepo {
        self.cache.repo(self.repo(&self.revision))
    }

    /// The folder of the revision's commit with all its files; `fresh` fetches those again that cannot be
    /// checked.
    fn snapshot(&self, fresh: bool) -> std::result::Result<PathBuf, Trouble> {
        let reason = match self.cached() {
            Ok(folder) if !fresh => return Ok(folder),
            Ok(_) => "it is fetched again".to_owned(),
            Err(reason) => reason,
        };
        if let Some(variable) = self.offline {
            return Err(Trouble::Failure(Failure::failed(
                format!("hf:{}: {reason}, and {variable} forbids to ask for it", self.name()),
                format!(
                    "unset {variable}, set HF_HUB_CACHE to a cache that has it, or give a folder that holds the \
                     encoder"
                ),
            )));
        }
        self.fetch(fresh).map_err(|trouble| match trouble {
            Trouble::Failure(failure) if reason.contains("damaged") => {
                Failure::new(failure.code, format!("{reason}: {}", failure.message)).into()
            }
            trouble => trouble,
        })
    }

    /// The folder of the revision in the cache, when it is whole; or why it is not.
    fn cached(&self) -> std::result::Result<PathBuf, String> {
        let absent = || format!("it is not in the Hub's cache {}", self.cache.path().display());
        let folder = self.cached_folder().ok_or_else(absent)?;
        let found = names_below(&folder);
        let Needed { configuration, bulk, missing } =
            needed(&found, |name| std::fs::read(folder.join(name))).map_err(|e| e.to_string())?;
        if let Some(missing) = missing {
            return Err(format!("its copy in the Hub's cache has no {missing}"));
        }
        for name in configuration.iter().chain(&bulk) {
            let path = folder.join(name);
            let Some(hash) = hash_of(&path) else { continue };
            if !hash.is_of(&path).unwrap_or(false) {
                return Err(format!("{name} in the Hub's cache is damaged"));
            }
        }
        Ok(folder)
    }

    /// The folder of the revision's commit in the cache. Other tools do not write down that a commit is itself.
    fn cached_folder(&self) -> Option<PathBuf> {
        let cache = self.cache();
        let blobs = cache.blob_path("x");
        let reference = blobs.parent()?.parent()?.join("refs").join(&self.revision);
        let commit = std::fs::read_to_string(reference).unwrap_or_else(|_| self.revision.clone());
        let commit = commit.trim();
        if !is_name(commit) {
            return None;
        }
        Some(cache.pointer_path(commit)).filter(|folder| folder.is_dir())
    }

    /// Fetches the encoder: first what tells whether it is understood, then the rest.
    fn fetch(&self, fresh: bool) -> std::result::Result<PathBuf, Trouble> {
        let failed = |refusal| self.refused(refusal);
        // All files are of one commit, also when the branch moves meanwhile.
        let info = self.client.info(&self.info_address()).map_err(failed)?;
        note(&format!("fetching hf:{} into {}", self.name(), self.cache.path().display()));
        let commit = info.sha.clone();
        let found = info.files();
        let remote = self.api.repo(self.repo(&commit));
        let folder = self.cache().pointer_path(&commit);
        let get = |name: &str| self.get(&remote, &folder, name, fresh);
        let Needed { configuration, bulk, missing } = needed(&found, |name| {
            let path = get(name)?;
            std::fs::read(&path).map_err(|e| self.unwritable(&e))
        })?;
        if let Some(missing) = missing {
            return Err(Trouble::Failure(Failure::failed(
                format!("hf:{} is not an encoder that is understood: it has no {missing}", self.name()),
                "choose another repository",
            )));
        }
        for name in &configuration {
            get(name)?;
        }
        // Before hundreds of megabytes are.
        Encoder::check(&folder).map_err(|error| Trouble::Encoder(error, folder.clone()))?;
        for name in &bulk {
            get(name)?;
        }
        self.cache().create_ref(&commit).map_err(|e| self.unwritable(&e))?;
        Ok(folder)
    }

    /// The address of what the Hub says of the repository.
    fn info_address(&self) -> String {
        let repo = self.repo(&self.revision);
        let file = self.api.repo(repo.clone()).url("");
        let path = format!("/{}/resolve/{}/", repo.url(), repo.url_revision());
        format!("{}/api/{}", file.strip_suffix(&path).unwrap_or(&file), repo.api_url())
    }

    /// A file of the snapshot `folder`, fetched unless the cache has it.
    fn get(&self, remote: &ApiRepo, folder: &Path, name: &str, fresh: bool) -> Result<PathBuf> {
        if !name.split('/').all(is_name) {
            let fact = format!("hf:{} wants the file {name:?}, whose name cannot be fetched", self.name());
            return Err(Failure::failed(fact, "choose another repository"));
        }
        let pointer = folder.join(name);
        match hash_of(&pointer) {
            Some(hash) if hash.is_of(&pointer).unwrap_or(false) => return Ok(pointer),
            None if pointer.is_file() && !fresh => return Ok(pointer),
            _ => {}
        }
        let url = remote.url(name);
        let about = self.client.metadata(&url).map_err(|refusal| self.refused_file(name, refusal))?;
        let blob = self.cache().blob_path(&about.etag);
        let hash = Hash::named(&about.etag);
        let is_good = match &hash {
            Some(hash) => hash.is_of(&blob).unwrap_or(false),
            None => blob.is_file() && !fresh,
        };
        if !is_good {
            self.fill(&url, name, &about, &blob, hash.as_ref())?;
        }
        link(&blob, &pointer).map_err(|e| self.unwritable(&e))?;
        Ok(pointer)
    }

    /// Fetches a content and puts it into its place; one that is not what its name says is fetched once more.
    fn fill(
        &self,
        url: &str,
        name: &str,
        about: &client::Metadata,
        blob: &Path,
        hash: Option<&Hash>,
    ) -> Result<()> {
        let unwritable = |e| self.unwritable(&e);
        let part = blob.with_file_name(format!("{}.part", about.etag));
        std::fs::create_dir_all(blob.parent().unwrap_or(blob)).map_err(unwritable)?;
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(&part);
        let mut file = open().map_err(unwritable)?;
        // Two processes that want the same file do not write into each other's.
        if file.try_lock().is_err() {
            note(&format!("waiting for another process that fetches {name}"));
            file.lock().map_err(unwritable)?;
            if hash.is_some_and(|hash| hash.is_of(blob).unwrap_or(false)) {
                return Ok(());
            }
            file = open().map_err(unwritable)?;
        }
        let bar = Bar::bytes(format!("fetching {name}"));
        let on_bytes = |done: u64| bar.show(done as usize, about.size.unwrap_or(done) as usize);
        for is_last in [false, true] {
            let got = self.client.download(url, about.size, &mut file, &on_bytes);
            got.map_err(|refusal| self.refused_file(name, refusal))?;
            if hash.is_none_or(|hash| hash.is_of(&part).unwrap_or(false)) {
                return std::fs::rename(&part, blob).map_err(unwritable);
            }
            file.set_len(0).map_err(unwritable)?;
            if is_last {
                break;
            }
        }
        Err(Failure::failed(
            format!(
                "cannot fetch hf:{}: {name} arrives damaged, its hash is not {}",
                self.name(),
                about.etag
            ),
            "try again later, or give a folder that holds the encoder",
        ))
    }

    fn refused(&self, Refusal { fact, remedy }: Refusal) -> Failure {
        let remedy = remedy.unwrap_or(
            "check the name, the revision and the network, or give a folder that holds the encoder",
        );
        Failure::failed(format!("cannot fetch hf:{}: {fact}", self.name()), remedy)
    }

    fn refused_file(&self, name: &str, Refusal { fact, remedy }: Refusal) -> Failure {
        self.refused(Refusal { fact: format!("{name}: {fact}"), remedy })
    }

    fn unwritable(&self, error: &std::io::Error) -> Failure {
        Failure::failed(
            format!("cannot use the Hub's cache {}: {error}", self.cache.path().display()),
            "check HF_HOME or HF_HUB_CACHE, its permissions and its free space",
        )
    }
}

/// Whether a folder of the cache holds a file whose content cannot be told from a damaged one.
fn is_unchecked(folder: &Path) -> bool {
    names_below(folder).iter().any(|name| hash_of(&folder.join(name)).is_none())
}

/// The hash that the content of a file of a snapshot must have, where its blob's name is one.
fn hash_of(pointer: &Path) -> Option<Hash> {
    let blob = std::fs::read_link(pointer).ok()?;
    Hash::named(blob.file_name()?.to_str()?)
}

/// Makes a file of a snapshot a link to its content, by a path that survives a move of the cache.
fn link(blob: &Path, pointer: &Path) -> std::io::Result<()> {
    let repository = blob.parent().and_then(Path::parent).unwrap_or(blob);
    let depth = pointer.strip_prefix(repository).map_or(0, |path| path.components().count());
    let mut to = PathBuf::from_iter(std::iter::repeat_n("..", depth.saturating_sub(1)));
    to.push(blob.strip_prefix(repository).unwrap_or(blob));
    if std::fs::read_link(pointer).is_ok_and(|known| known == to) {
        return Ok(());
    }
    std::fs::create_dir_all(pointer.parent().unwrap_or(pointer))?;
    let new = pointer.with_file_name(format!(
        ".{}.{}",
        pointer.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    symlink(to, &new)?;
    std::fs::rename(new, pointer)
}

/// The names of all files below a folder, with `/` between folders; links to nothing are left out.
fn names_below(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if path.is_file() {
            names.push(name);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(names_below(&path).into_iter().map(|inner| format!("{name}/{inner}")));
        }
    }
    names
}
