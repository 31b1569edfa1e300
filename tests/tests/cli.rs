//! The words of the command line: help texts and errors, compared with the files in `cmd/`.
//! After a deliberate change of words, `TRYCMD=overwrite` writes them anew.

mod common;

#[test]
fn help_and_errors_are_as_written() {
    trycmd::TestCases::new().register_bin("cryptotl", common::cryptotl()).case("cmd/*.trycmd");
}
