//! The demo is a test, too: every scene holds, or it ends with exit code 1.

use std::process::Command;

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
