//! How the Hub is used: the environment variables of its own tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exit::{Failure, Result};

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the environment says.
pub(super) struct Settings {
    /// The Hub's address, where it is another than usual.
    pub endpoint: Option<String>,
    /// The folder of all repositories.
    pub cache: PathBuf,
    /// Who asks.
    pub token: Option<Token>,
    /// The variable that forbids every connection.
    pub offline: Option<&'static str>,
    /// How long to wait for a connection, an answer, or the next bytes of it.
    pub patience: Duration,
}

/// A secret, which is shown to the Hub alone.
pub(super) struct Token(String);

impl Token {
    /// The value of the header `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// There is no folder for a cache, or a variable makes no sense.
    pub fn from_env() -> Result<Self> {
        Self::of(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| set(name).map(|value| at_home(PathBuf::from(value), home.as_deref()));
        let is_on = |name: &&str| {
            let value = set(name).unwrap_or_default().to_string_lossy().to_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let user_cache = || match path("XDG_CACHE_HOME") {
            Some(folder) => Some(folder),
            None => home.as_deref().map(|home| home.join(".cache")),
        };
        let hub_home = path("HF_HOME").or_else(|| Some(user_cache()?.join("huggingface")));
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(hub_home.as_ref()?.join("hub")));
        let Some(cache) = cache else {
            return Err(Failure::failed(
                "there is no home folder for the Hub's cache",
                "set HF_HOME or HF_HUB_CACHE to a folder",
            ));
        };
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let token = match is_on(&"HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            true => None,
            false => text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
                let file = path("HF_TOKEN_PATH").or_else(|| Some(hub_home.as_ref()?.join("token")))?;
                std::fs::read_to_string(file).ok()
            }),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Failure::failed(
                "the token of the Hub has characters that no token has",
                "correct HF_TOKEN or the file HF_TOKEN_PATH",
            ));
        }
        Ok(Self {
            endpoint: text("HF_ENDPOINT").map(|address| address.trim_end_matches('/').to_owned()),
            cache: std::path::absolute(&cache).unwrap_or(cache),
            token: token.map(Token),
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(is_on),
            patience: patience(text("HF_HUB_DOWNLOAD_TIMEOUT"))?,
        })
    }
}

/// The folder that `~/` means.
fn at_home(path: PathBuf, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

fn patience(seconds: Option<String>) -> Result<Duration> {
    let Some(text) = seconds else { return Ok(PATIENCE) };
    match text.trim().parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(Failure::failed(
            "HF_HUB_DOWNLOAD_TIMEOUT is no number of seconds",
            "set it to a whole number above 0, or not at all",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Settings {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Settings::of(value, Some("/home/ada".into())).map_err(|e| e.message).unwrap()
    }

    #[test]
    fn the_cache_is_where_the_hubs_own_tools_have_it() {
        for (variables, cache) in [
            (&[][..], "/home/ada/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/h/hub"),
            (&[("HF_HOME", "~/h")], "/home/ada/h/hub"),
            (&[("HF_HOME", "")], "/home/ada/.cache/huggingface/hub"),
            (&[("HUGGINGFACE_HUB_CACHE", "/o"), ("HF_HOME", "/h")], "/o"),
            (&[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/o")], "/c"),
        ] {
            assert_eq!(of(variables).cache, Path::new(cache), "{variables:?}");
        }
        assert!(Settings::of(|_| None, None).is_err());
    }

    #[test]
    fn a_token_is_taken_from_where_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("token"), "of-home\n").unwrap();
        std::fs::write(path("other"), " of-path ").unwrap();
        let home = ("HF_HOME", &*path(""));
        let token = |variables: &[(&str, &str)]| of(variables).token.map(|token| token.0);
        assert_eq!(token(&[("HF_HOME", "/absent")]), None);
        assert_eq!(token(&[home]).as_deref(), Some("of-home"));
        assert_eq!(token(&[home, ("HF_TOKEN_PATH", &path("other"))]).as_deref(), Some("of-path"));
        assert_eq!(token(&[home, ("HF_TOKEN", "t")]).as_deref(), Some("t"));
        assert_eq!(token(&[home, ("HF_TOKEN", "t"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        for bad in ["two words", "a\nb", "caf\u{e9}"] {
            let value = |name: &str| (name == "HF_TOKEN").then(|| bad.into());
            let error = Settings::of(value, Some("/h".into())).err().unwrap().message;
            assert!(error.contains("HF_TOKEN") && !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn switches_and_times() {
        for on in ["1", "true", "YES", "On"] {
            assert_eq!(of(&[("HF_HUB_OFFLINE", on)]).offline, Some("HF_HUB_OFFLINE"));
            assert_eq!(of(&[("TRANSFORMERS_OFFLINE", on)]).offline, Some("TRANSFORMERS_OFFLINE"));
        }
        for off in ["0", "", "no", "false"] {
            assert_eq!(of(&[("HF_HUB_OFFLINE", off)]).offline, None);
        }
        assert_eq!(of(&[]).patience, PATIENCE);
        assert_eq!(of(&[("HF_HUB_DOWNLOAD_TIMEOUT", "3")]).patience, Duration::from_secs(3));
        for bad in ["0", "-1", "x"] {
            let value = |name: &str| (name == "HF_HUB_DOWNLOAD_TIMEOUT").then(|| bad.into());
            assert!(Settings::of(value, Some("/h".into())).is_err(), "{bad}");
        }
        assert_eq!(of(&[("HF_ENDPOINT", "http://h:1/")]).endpoint.as_deref(), Some("http://h:1"));
    }
}
