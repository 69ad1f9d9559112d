//! The house rule of `docs/ARCHITECTURE.md`: a crate imports only from floors below its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the manifests fails, and says where"
)]

use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// Which floor each crate stands on; a crate that is not here has no place in the house yet.
const FLOORS: [(&str, u8); 15] = [
    ("identity", 0),
    ("policy", 0),
    ("attest", 1),
    ("ledger", 1),
    ("watch", 1),
    ("ca", 2),
    ("enroll", 2),
    ("link", 2),
    ("update", 2),
    ("registry", 3),
    ("api", 3),
    ("server", 4),
    ("agent", 4),
    ("muster", 5),
    ("", u8::MAX),
];

/// What the deaf and blind floors (0 to 2) may not even name as a dependency.
const WORLDLY: [&str; 8] =
    ["tokio", "hyper", "axum", "rusqlite", "rand", "getrandom", "tracing", "chrono"];

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, floor)| *floor)
}

/// The crates that a manifest names, however it spells it: also as `[dependencies.NAME]`, for one
/// target only, or under another name; dev-dependencies are exempt.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().unwrap();
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut names = Vec::new();
    for place in std::iter::once(&manifest).chain(targets) {
        for kind in ["dependencies", "build-dependencies"] {
            let listed = place.get(kind).and_then(Value::as_table);
            names.extend(listed.into_iter().flatten().map(|(name, said)| crate_name(name, said)));
        }
    }
    names
}

/// What a dependency is called where it comes from.
fn crate_name(name: &str, said: &Value) -> String {
    said.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()
}

#[test]
fn a_dependency_is_seen_however_the_manifest_spells_it() {
    let manifest = r#"
        [dependencies]
        plain.workspace = true
        inline = { version = "1", package = "renamed" }
        [dependencies.table]
        version = "1"
        [build-dependencies]
        build = "1"
        [target.'cfg(unix)'.dependencies]
        unix = "1"
        [target.x86_64-unknown-linux-gnu.build-dependencies.linux]
        version = "1"
        [dev-dependencies]
        exempt = "1"
    "#;

    let mut seen = dependencies(manifest);

    seen.sort();
    assert_eq!(seen, ["build", "linux", "plain", "renamed", "table", "unix"]);
}

fn manifests() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = workspace.lines().find(|l| l.starts_with("members")).unwrap();
    let names = members.split('"').skip(1).step_by(2);
    names
        .map(|name| {
            let manifest = std::fs::read_to_string(root.join(name).join("Cargo.toml")).unwrap();
            (name.to_owned(), dependencies(&manifest))
        })
        .collect()
}

#[test]
fn a_crate_imports_only_from_floors_below_its_own() {
    let houses = manifests();
    assert!(houses.len() >= 8, "the members of the workspace were not read");
    for (name, imports) in &houses {
        let own = floor(name).unwrap_or_else(|| panic!("`{name}` stands on no floor"));
        for import in imports.iter().filter(|i| houses.contains_key(*i)) {
            let other = floor(import).unwrap();
            assert!(other < own, "`{name}` (floor {own}) imports `{import}` (floor {other})");
        }
    }
}

#[test]
fn floors_zero_to_two_are_deaf_and_blind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (name, imports) in manifests().iter().filter(|(name, _)| floor(name).unwrap() <= 2) {
        for import in imports {
            assert!(!WORLDLY.contains(&import.as_str()), "`{name}` knows the world: `{import}`");
        }
        let clippy = std::fs::read_to_string(root.join(name).join("clippy.toml")).unwrap();
        // Signing demands randomness, and keys are the ground floor's.
        let chance = if name == "identity" { "" } else { "aws_lc_rs::rand::fill" };
        for closed in ["std::time::SystemTime::now", "std::fs::File", "TcpStream", chance] {
            assert!(clippy.contains(closed), "`{name}` has a clippy.toml without `{closed}`");
        }
    }
}

#[test]
fn only_the_registry_knows_sql() {
    for (name, imports) in manifests() {
        assert!(
            name == "registry" || !imports.iter().any(|i| i == "rusqlite"),
            "`{name}` knows SQL"
        );
    }
}
