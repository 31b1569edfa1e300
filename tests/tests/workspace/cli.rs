//! The words of the command line: help texts and errors, compared with the files in `cmd/`.
//! After a deliberate change of words, `TRYCMD=overwrite` writes them anew.

use crate::common;

#[test]
fn help_and_errors_are_as_written() {
    trycmd::TestCases::new().register_bin("cryptotl", common::cryptotl()).case("cmd/*.trycmd");
}

/// The verbs that a help text lists.
fn verbs(arguments: &[&str]) -> Vec<String> {
    let help = std::process::Command::new(common::cryptotl()).args(arguments).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = commands.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
    lines
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|verb| !verb.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn completions_and_manual_pages_are_installed() {
    let prefix = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/install_pages.sh");
    let installed = std::process::Command::new("sh")
        .arg(script)
        .arg(common::cryptotl())
        .arg(prefix.path())
        .output()
        .unwrap();
    assert!(installed.status.success(), "{installed:?}");
    let read = |path: &str| std::fs::read_to_string(prefix.path().join("share").join(path)).unwrap();
    let bash = "bash-completion/completions/cryptotl";
    for path in [bash, "zsh/site-functions/_cryptotl", "fish/vendor_completions.d/cryptotl.fish"] {
        let text = read(path);
        assert!(text.contains("finetune") && text.contains("public-size"), "{path}");
    }
    let checked = std::process::Command::new("bash")
        .args(["-n", "-c", &read(bash)])
        .output()
        .expect("bash, as the scripts of this project need it");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");

    assert!(read("man/man1/cryptotl.1").contains(".TH"));
    let inner = |verb: &str| match verb {
        "ledger" | "bench" => verbs(&[verb]),
        _ => Vec::new(),
    };
    let all = verbs(&[]);
    assert!(all.len() > 15, "{all:?}");
    for verb in all.iter().filter(|verb| *verb != "help") {
        let page = read(&format!("man/man1/cryptotl-{verb}.1"));
        assert!(page.contains(".SH DESCRIPTION") || page.contains(".SH OPTIONS"), "{verb}");
        for inner in inner(verb).iter().filter(|inner| *inner != "help") {
            assert!(read(&format!("man/man1/cryptotl-{verb}-{inner}.1")).contains(".SH OPTIONS"));
        }
    }
}

#[test]
fn the_version_is_a_verb_too() {
    let folder = tempfile::tempdir().unwrap();
    let verb = common::run(folder.path(), "version");
    assert_eq!(verb.stdout, common::run(folder.path(), "--version").stdout);
    assert_eq!(common::succeed(folder.path(), "version --json")["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_source_may_have_a_name_wherever_one_is_given() {
    let folder = tempfile::tempdir().unwrap();
    for verb in [
        "plan --model m.safetensors --output p",
        "pretrain --config absent --output m",
        "import --weights w --output m",
    ] {
        for wrong in ["=f.safetensors", "name="] {
            common::refuse(folder.path(), &format!("{verb} --source {wrong}"), 2, "NAME=FILE");
        }
    }
}
