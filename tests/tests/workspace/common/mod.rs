//! Where the binary is, and what it says and does in a folder.

pub mod chromium;
pub mod hub;
pub mod main_job;
pub mod parties;
pub mod steps;
pub mod tiny;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The `cryptotl` binary of the profile that this test was built with.
pub fn cryptotl() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/PROFILE/deps");
    let binary = profile.join(format!("cryptotl{}", std::env::consts::EXE_SUFFIX));
    assert!(
        binary.is_file(),
        "there is no binary at {}; run the tests with `cargo test --workspace`, which builds it",
        binary.display()
    );
    binary
}

/// The binary in a folder, with arguments that have no spaces in them.
pub fn command(folder: &Path, arguments: &str) -> Command {
    let binary = cryptotl();
    let mut command = Command::new(&binary);
    command.current_dir(folder).args(arguments.split_whitespace());
    // Cargo names a folder for the marks of ledgers; without cargo, the user's own is not touched either.
    if std::env::var_os("CRYPTOTL_STATE").is_none() {
        command.env("CRYPTOTL_STATE", binary.with_file_name("state"));
    }
    command
}

pub fn run(folder: &Path, arguments: &str) -> Output {
    command(folder, arguments).output().unwrap()
}

/// What it prints as JSON, if it does.
pub fn succeed(folder: &Path, arguments: &str) -> serde_json::Value {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// It ends with this code and says this.
pub fn refuse(folder: &Path, arguments: &str, code: i32, fact: &str) {
    let output = run(folder, arguments);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {words}");
    assert!(words.contains(fact), "{arguments}: {words}");
}
