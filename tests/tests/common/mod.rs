//! Where the binary is.

use std::path::PathBuf;

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
