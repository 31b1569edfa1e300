//! What is asked of the Hub, and in which words its silence or refusal is told.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::settings::{Settings, Token};

/// The longest list of a repository's files.
const MAX_LIST_BYTES: u64 = 32 << 20;
/// How often the way to a file may lead on.
const MAX_REDIRECTS: usize = 10;
/// How often a transfer that was cut is taken up again, as long as each brought something.
const MAX_ATTEMPTS: usize = 8;

/// Why something was not fetched: the fact, and what to do where the Hub says so.
#[derive(Debug)]
pub(super) struct Refusal {
    pub fact: String,
    pub remedy: Option<&'static str>,
}

impl Refusal {
    fn new(fact: impl Into<String>) -> Self {
        Self { fact: fact.into(), remedy: None }
    }
}

type Result<T> = std::result::Result<T, Refusal>;

/// A connection to the Hub.
pub(super) struct Client {
    agent: Agent,
    token: Option<Token>,
    patience: Duration,
    /// Scheme and host of the Hub, which alone is shown the token.
    home: String,
}

/// A repository at a commit.
#[derive(Deserialize)]
pub(super) struct Info {
    pub sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Info {
    /// The names of its files.
    pub fn files(self) -> Vec<String> {
        self.siblings.into_iter().map(|file| file.rfilename).collect()
    }
}

/// What the Hub says of a file before it sends it.
pub(super) struct Metadata {
    /// The hash of the content, or what else tells versions apart; a plain name.
    pub etag: String,
    pub size: Option<u64>,
}

impl Client {
    /// A client for the Hub at `endpoint`, which connects to nothing yet.
    pub fn new(settings: Settings, endpoint: &str) -> Self {
        let patience = Some(settings.patience);
        // The system's certificates, and those of the browsers where it has none.
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots = match roots.is_empty() {
            true => RootCerts::WebPki,
            false => roots.iter().map(|der| Certificate::from_der(der).to_owned()).into(),
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience)
            .timeout_per_write(patience)
            .build()
            .into();
        Self { agent, token: settings.token, patience: settings.patience, home: origin(endpoint) }
    }

    /// The commit of a revision and the files it has.
    pub fn info(&self, url: &str) -> Result<Info> {
        let (response, _) = self.get(url, None)?;
        let mut text = Vec::new();
        let body = response.into_body().into_reader();
        body.take(MAX_LIST_BYTES).read_to_end(&mut text).map_err(|e| self.io(&e))?;
        let info: Info = serde_json::from_slice(&text).map_err(|_| {
            Refusal::new("the answer is not that of the Hub; a login page or a proxy may have given it")
        })?;
        match is_plain(&info.sha) {
            true => Ok(info),
            false => Err(Refusal::new("the answer names a commit that is none")),
        }
    }

    /// What the Hub says of a file.
    pub fn metadata(&self, url: &str) -> Result<Metadata> {
        let (response, said) = self.get(url, Some((0, Some(0))))?;
        let header = |headers: &HeaderMap, name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let etag = header(&said, "x-linked-etag").or_else(|| header(&said, "etag"));
        let etag = etag.or_else(|| header(response.headers(), "etag"));
        let etag = etag.unwrap_or_default().trim_start_matches("W/").replace('"', "");
        if !is_plain(&etag) {
            return Err(Refusal::new("the answer does not say which version of the file it is (etag)"));
        }
        let size = header(&said, "x-linked-size").or_else(|| match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                header(response.headers(), "content-range")?.rsplit('/').next().map(str::to_owned)
            }
            _ => header(response.headers(), "content-length"),
        });
        Ok(Metadata { etag, size: size.and_then(|size| size.parse().ok()) })
    }

    /// Writes a file's content to `to`, going on where an earlier transfer was cut. `on_bytes` is told how many
    /// there are.
    pub fn download(
        &self,
        url: &str,
        size: Option<u64>,
        to: &mut File,
        on_bytes: &dyn Fn(u64),
    ) -> Result<()> {
        for _ in 0..MAX_ATTEMPTS {
            let before = to.seek(SeekFrom::End(0)).map_err(|e| disk(&e))?;
            let before = match size.is_some_and(|size| before <= size) {
                true => before,
                false => restart(to)?,
            };
            if size == Some(before) {
                return Ok(());
            }
            let outcome = self.transfer(url, before, size, to, on_bytes);
            let after = to.seek(SeekFrom::End(0)).map_err(|e| disk(&e))?;
            match outcome {
                Ok(()) if size.is_none_or(|size| size == after) => return Ok(()),
                // The rest of it, as long as each time brings something.
                _ if after > before => {}
                Ok(()) => return Err(Refusal::new(format!("it ended after {after} bytes"))),
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::new("the transfer was cut again and again"))
    }

    fn transfer(
        &self,
        url: &str,
        start: u64,
        size: Option<u64>,
        to: &mut File,
        on_bytes: &dyn Fn(u64),
    ) -> Result<()> {
        let (response, _) = self.get(url, Some((start, None)))?;
        let mut done = start;
        if start > 0 && !continues_at(&response, start) {
            done = restart(to)?;
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match body.read(&mut buffer).map_err(|e| self.io(&e))? {
                0 => return Ok(()),
                n => {
                    done += n as u64;
                    if size.is_some_and(|size| done > size) {
                        restart(to)?;
                        return Err(Refusal::new("it is longer than the Hub says"));
                    }
                    to.write_all(&buffer[..n]).map_err(|e| disk(&e))?;
                    on_bytes(done);
                }
            }
        }
    }

    /// A good answer, and the headers of the last one of the Hub itself on the way to it.
    fn get(&self, url: &str, range: Option<(u64, Option<u64>)>) -> Result<(Response<Body>, HeaderMap)> {
        let mut url = url.to_owned();
        let mut said = HeaderMap::new();
        for _ in 0..=MAX_REDIRECTS {
            let is_home = origin(&url) == self.home;
            let mut request = self.agent.get(&url).header("accept-encoding", "identity");
            if let Some((start, end)) = range {
                let end = end.map_or(String::new(), |end| end.to_string());
                request = request.header("range", format!("bytes={start}-{end}"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| is_home) {
                request = request.header("authorization", token.authorization());
            }
            let response = request.call().map_err(|e| self.words(&e))?;
            if is_home {
                said = response.headers().clone();
            }
            match response.status() {
                status if status.is_redirection() => url = onward(&url, &response)?,
                status if status.is_success() => return Ok((response, said)),
                status => return Err(refused(status, self.token.is_some())),
            }
        }
        Err(Refusal::new("the way to it leads in a circle"))
    }

    fn words(&self, error: &ureq::Error) -> Refusal {
        let seconds = self.patience.as_secs();
        match error {
            ureq::Error::Timeout(_) => Refusal {
                fact: format!("the server did not answer for {seconds} s"),
                remedy: Some(
                    "try again later, set HF_HUB_DOWNLOAD_TIMEOUT to more seconds, or give a folder that holds \
                     the encoder",
                ),
            },
            ureq::Error::Io(error) => self.io(error),
            other => Refusal::new(other.to_string()),
        }
    }

    fn io(&self, error: &std::io::Error) -> Refusal {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(ureq::Error::Io(inner)) => Refusal::new(inner.to_string()),
            Some(inner) => self.words(inner),
            None => Refusal::new(error.to_string()),
        }
    }
}

/// Where a redirection leads.
fn onward(from: &str, response: &Response<Body>) -> Result<String> {
    let lost = || Refusal::new("the server redirects, and does not say where");
    let location = response.headers().get("location").and_then(|to| to.to_str().ok()).ok_or_else(lost)?;
    let scheme = from.split_once("://").map_or("https", |(scheme, _)| scheme);
    let url = match location {
        to if to.starts_with("//") => format!("{scheme}:{to}"),
        to if to.starts_with('/') => format!("{}{to}", origin(from)),
        to => to.to_owned(),
    };
    match url.split_once("://") {
        Some(("https", _)) => Ok(url),
        Some(("http", _)) if scheme == "http" => Ok(url),
        Some(("http", _)) => Err(Refusal::new("the server redirects to an address without encryption")),
        _ => Err(lost()),
    }
}

/// Scheme and host of an address.
fn origin(url: &str) -> String {
    match url.parse::<Uri>() {
        Ok(uri) => format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |authority| authority.as_str())
        ),
        Err(_) => String::new(),
    }
}

/// Whether the answer is the rest of a file from `start` on.
fn continues_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_none_or(|range| range.trim_start_matches("bytes ").starts_with(&format!("{start}-")))
}

/// An answer that is none, in words.
fn refused(status: StatusCode, with_token: bool) -> Refusal {
    let said = status.canonical_reason().map_or(String::new(), |reason| format!(" {reason}"));
    let fact = format!("the server says {}{said}", status.as_u16());
    let remedy = match (status.as_u16(), with_token) {
        (401, false) => Some("correct the name, or set HF_TOKEN if the repository is private or gated"),
        (401, true) => Some("correct HF_TOKEN, or unset it for a public repository"),
        (403, _) => {
            Some("accept the repository's terms on the Hub, and set HF_TOKEN to a token that may read it")
        }
        (404, false) => Some("check the name and the revision, or set HF_TOKEN if the repository is private"),
        (404, true) => Some("check the name and the revision, and that HF_TOKEN may read the repository"),
        (429, _) | (500.., _) => Some("try again later, or give a folder that holds the encoder"),
        _ => None,
    };
    Refusal { fact, remedy }
}

/// Empties a file that is being written.
fn restart(file: &mut File) -> Result<u64> {
    file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(|e| disk(&e))
}

fn disk(error: &std::io::Error) -> Refusal {
    Refusal {
        fact: format!("cannot write to the Hub's cache: {error}"),
        remedy: Some("check HF_HOME or HF_HUB_CACHE, its permissions and its free space"),
    }
}

/// Whether a word of the server can be a file's name.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=128).contains(&word.len()) && !word.starts_with('.') && word.chars().all(plain)
}
