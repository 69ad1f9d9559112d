//! The demo is a test, too: every scene holds, or it ends with exit code 1.

use std::process::{Command, Stdio};

#[test]
fn every_scene_of_the_demo_holds() {
    let muster = env!("CARGO_BIN_EXE_muster");

    let played = Command::new(muster).args(["demo", "--devices", "24", "--json"]).output().unwrap();

    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let report: serde_json::Value = serde_json::from_slice(&played.stdout).unwrap();
    let scenes: Vec<&str> =
        report["scenes"].as_array().unwrap().iter().map(|s| s["scene"].as_str().unwrap()).collect();
    for wanted in ["births", "joins", "renewals", "roll", "clone", "theft", "ledger", "proof"] {
        assert!(scenes.contains(&wanted), "no scene `{wanted}`");
    }
    let rolled =
        &report["scenes"].as_array().unwrap()[scenes.iter().position(|s| *s == "roll").unwrap()];
    let told = rolled["told"].as_str().unwrap();
    assert_eq!(rolled["count"], 24);
    assert!(told.contains("2 devices joined") && told.contains("nobody refused"), "{told}");
    assert!(told.ends_with(", 0"), "the gauge of leaves left ends at none: {told}");
}

#[test]
fn a_demo_that_is_interrupted_takes_its_home_with_it() {
    for name in ["INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let left = || std::fs::read_dir(dir.path()).unwrap().count();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_muster"));
        let demo = demo.args(["demo", "--devices", "2000"]).env("TMPDIR", dir.path());
        let mut played = demo.stderr(Stdio::piped()).spawn().unwrap();
        while left() == 0 {
            assert!(played.try_wait().unwrap().is_none(), "it ended before it had a home");
            std::thread::yield_now();
        }

        let line = format!("kill -{name} {}", played.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());

        let output = played.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{name}");
        assert_eq!(left(), 0, "{name}");
    }
}
