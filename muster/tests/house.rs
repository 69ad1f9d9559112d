//! The house rule of `docs/ARCHITECTURE.md`: a crate imports only from floors below its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the manifests fails, and says where"
)]

use std::collections::BTreeMap;
use std::path::Path;

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

/// The names under `[dependencies]` of a manifest; dev-dependencies are exempt.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || line == "[build-dependencies]";
        } else if inside && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            names.extend((!name.is_empty()).then(|| name.to_owned()));
        }
    }
    names
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
        assert!(
            clippy.contains("std::time::SystemTime::now"),
            "`{name}` has no strict clippy.toml"
        );
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
