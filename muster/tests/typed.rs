//! What is typed wrong ends with exit code 2, what fails with 1, and nothing with a panic (101):
//! the binary as a shell calls it. Behind that, what only shows with a server: [`Served`].

#![expect(clippy::unwrap_used, reason = "a test ends where its own world breaks")]

use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const USAGE: Option<i32> = Some(2);
const FAILED: Option<i32> = Some(1);

/// A line whose verb finds no server and no home of another Muster.
fn muster(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.current_dir(dir).env_remove("MUSTER_OPERATOR").env_remove("MUSTER_HOME");
    command.arg("--home").arg(dir.join("none")).args(args);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_word_that_is_no_text_is_wrong_usage_and_a_file_may_be_named_so() {
    let dir = tempfile::tempdir().unwrap();
    let word = OsStr::from_bytes(b"P\xff");
    let serial =
        muster(dir.path(), &["birth", "--csr", "x", "--serial"]).arg(word).output().unwrap();
    assert_eq!(serial.status.code(), USAGE, "{}", said(&serial));

    let home = muster(dir.path(), &["device", "list", "--home"]).arg(word).output().unwrap();
    assert_eq!(home.status.code(), FAILED, "{}", said(&home));
    assert!(said(&home).contains("no operator credential"), "{}", said(&home));
}

#[test]
fn a_failure_that_nobody_hears_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let failed = muster(dir.path(), &["device", "list"]).stderr(full()).status().unwrap();
    assert_eq!(failed.code(), FAILED);
    let unheard =
        muster(dir.path(), &["completion", "bash"]).stdout(full()).stderr(full()).status();
    assert_eq!(unheard.unwrap().code(), FAILED);
}

#[test]
fn what_no_server_would_take_is_wrong_usage_before_one_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    for line in [
        &["cert", "show", "nosuch"][..],
        &["serve", "--name", "bad name!"],
        &["serve", "--public-url", "notaurl"],
        &["serve", "--root-recipient", "age1bad"],
        &["token", "new", "--ttl", "100000d"],
        &["token", "revoke", ""],
        &["birth", "--csr", "x", "--serial", "S", "--replace", " "],
    ] {
        let output = muster(dir.path(), line).output().unwrap();
        assert_eq!(output.status.code(), USAGE, "{line:?}: {}", said(&output));
    }
    // A setting is judged behind the command line's own rules.
    let output = muster(dir.path(), &["realm", "set", "nosuch", "1"]).output().unwrap();
    assert_eq!(output.status.code(), USAGE, "{}", said(&output));
    assert!(said(&output).contains("there is no setting `nosuch`"), "{}", said(&output));
    assert!(!dir.path().join("none").exists(), "nothing was made");
}

#[test]
fn a_token_whose_id_begins_with_a_hyphen_can_be_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let output = muster(dir.path(), &["token", "revoke", "-0abcdefghijklmn"]).output().unwrap();
    assert_eq!(output.status.code(), FAILED, "{}", said(&output));
    assert!(said(&output).contains("no operator credential"), "{}", said(&output));
}

#[test]
fn what_makes_a_root_is_refused_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("none")).unwrap();
    std::fs::write(dir.path().join("none/muster.db"), "").unwrap();
    let output = muster(dir.path(), &["serve", "--root-passphrase-prompt"]).output().unwrap();
    assert_eq!(output.status.code(), USAGE, "{}", said(&output));
    assert!(said(&output).contains("only for the first start"), "{}", said(&output));
    // A service that says it at each start is warned; here the empty database ends it.
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    for line in [&["serve", "--root-recipient", &recipient][..], &["serve", "--key-kind", "p384"]] {
        let output = muster(dir.path(), line).output().unwrap();
        assert_eq!(output.status.code(), FAILED, "{line:?}: {}", said(&output));
        assert!(said(&output).contains("only for the first start"), "{}", said(&output));
    }
}

#[test]
fn a_directory_of_somebody_else_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("none");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("letter.txt"), "dear").unwrap();
    let output = muster(dir.path(), &["serve", "--any-port"]).output().unwrap();
    assert_eq!(output.status.code(), FAILED, "{}", said(&output));
    assert!(said(&output).contains("is not empty"), "{}", said(&output));
    let left: Vec<_> = std::fs::read_dir(&home).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
}

#[test]
fn a_directory_that_is_named_for_a_file_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let line = ["ca", "sign", "--csr", "/", "--role", "birth", "--out", "x"];
    let output = muster(dir.path(), &line).output().unwrap();
    assert_eq!(output.status.code(), FAILED, "{}", said(&output));
    assert!(said(&output).contains("next: name a file in it"), "{}", said(&output));
}

/// A server of its own process, on free ports; it ends with the test.
struct Served {
    process: Child,
    home: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_muster"));
        serve.args(["serve", "--any-port", "--home"]).arg(home.path()).stderr(Stdio::piped());
        let mut process = serve.spawn().unwrap();
        let mut told = BufReader::new(process.stderr.take().unwrap()).lines();
        assert!(told.any(|line| line.unwrap().contains("\"ready\"")), "it did not start");
        Self { process, home }
    }

    fn ask(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.env_remove("MUSTER_OPERATOR").env_remove("MUSTER_HOME").args(["--json", "--home"]);
        command.arg(self.home.path()).args(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) -> Value {
        let output = self.ask(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

#[test]
fn another_rule_for_a_door_opens_it_only_where_that_is_typed() {
    let served = Served::start();
    let add = ["door", "add", "tb", "--kind", "maker", "--anchors"];
    let root = served.home.path().join("root.pem");
    let pem = served.done(&["ca", "list"])[0]["pem"].as_str().unwrap().to_owned();
    std::fs::write(&root, pem).unwrap();
    let root = root.to_str().unwrap();
    let add = |more: &[&str]| served.done(&[&add, &[root][..], more].concat())["open"].clone();
    assert_eq!(add(&[]), true);
    assert_eq!(add(&["--replace"]), true);
    served.done(&["door", "close", "tb"]);
    assert_eq!(add(&["--replace", "--binding"]), false);
    assert_eq!(add(&["--replace", "--open"]), true);
    assert_eq!(add(&["--replace", "--closed"]), false);
}

#[test]
fn the_last_authority_that_signs_is_barred_only_by_who_says_so_twice() {
    let served = Served::start();
    let bar = ["ca", "revoke", "birth", "--reason", "superseded"];
    let refused = served.ask(&bar);
    assert_eq!(refused.status.code(), USAGE, "{}", said(&refused));
    assert!(said(&refused).contains("no device is born") && said(&refused).contains("--yes"));
    let state = || served.done(&["ca", "show", "birth"])["state"].clone();
    assert_eq!(state(), "active");
    served.done(&[&bar[..], &["--yes"]].concat());
    let listed = served.done(&["ca", "list"]);
    let birth = listed.as_array().unwrap().iter().find(|row| row["role"] == "birth").unwrap();
    assert_eq!(birth["state"], "barred");
}

#[test]
fn a_credential_that_cannot_be_written_down_is_not_made() {
    let served = Served::start();
    let out = served.home.path().join("no/such/dir");
    let add = |name, out: &Path| {
        let out = out.to_str().unwrap();
        served.ask(&["operator", "add", name, "--role", "station", "--out", out])
    };
    let refused = add("x1", &out);
    assert_eq!(refused.status.code(), FAILED, "{}", said(&refused));
    let names = served.done(&["operator", "list"]).to_string();
    assert!(!names.contains("x1"), "{names}");

    let out = served.home.path().join("x1.toml");
    assert!(add("x1", &out).status.success() && out.exists());
    // The server says no to a second one of that name, and no empty file is left.
    let twice = served.home.path().join("twice.toml");
    assert_eq!(add("x1", &twice).status.code(), FAILED);
    assert!(!twice.exists());
}
