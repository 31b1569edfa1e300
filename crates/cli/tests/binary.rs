//! That the binary starts. Having this test here makes cargo build the binary for the whole
//! workspace's tests.

use std::process::Command;

#[test]
fn the_binary_tells_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_cryptotl")).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        concat!("cryptotl ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
