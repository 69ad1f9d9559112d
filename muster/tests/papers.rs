//! What the documents list from the code is what the code has.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot read its documents fails, and says where"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("`{path}`: {e}"))
}

/// The cells of the rows of a document's tables whose first cell is code.
fn rows(document: &str) -> Vec<Vec<String>> {
    let lines = document.lines().filter(|line| line.starts_with("| `"));
    lines.map(|l| l.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect()).collect()
}

fn bare(cell: &str) -> &str {
    cell.trim().trim_matches('`')
}

/// The right side of a constant, and its number where it is a plain product.
fn constant(source: &str, name: &str) -> Option<Option<u64>> {
    let line = source.lines().find(|line| line.contains(&format!("const {name}: ")))?;
    let right = line.split_once(" = ")?.1.split(';').next()?.replace('_', "");
    let inner = right.split_once('(').map_or(right.as_str(), |(_, inner)| inner);
    let factors = inner.trim_end_matches(')').split('*').map(|f| f.trim().parse::<u64>().ok());
    Some(factors.product())
}

#[test]
fn every_limit_is_listed_with_the_value_that_it_has() {
    let rows = rows(&read("docs/limits.md"));
    assert!(rows.len() > 50, "the table was not read");
    for row in &rows {
        let (name, value, place) = (bare(&row[0]), &row[1], bare(row.last().unwrap()));
        let found = constant(&read(place), name);
        let number = found.unwrap_or_else(|| panic!("`{place}` has no `{name}`"));
        let told = value.split(' ').next().unwrap().replace(',', "").parse::<u64>().ok();
        assert!(
            number.is_none() || number == told,
            "`{name}` is {number:?}, and listed as {value}"
        );
    }
    let listed: BTreeSet<&str> = rows.iter().map(|row| bare(&row[0])).collect();
    for line in read("server/src/limits.rs").lines() {
        let Some(rest) = line.strip_prefix("pub const ") else { continue };
        let name = rest.split(':').next().unwrap();
        assert!(listed.contains(name), "`{name}` is not listed");
    }
}

#[test]
fn every_dependency_is_listed_with_its_reason_and_no_other() {
    let manifest = read("Cargo.toml");
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    let theirs = table.lines().filter(|l| l.contains('=') && !l.contains("path = "));
    let mut wanted: BTreeSet<String> =
        theirs.map(|l| l.split(['=', ' ']).next().unwrap().to_owned()).collect();
    for member in ["agent", "muster", "registry", "server"] {
        let own = read(&format!("{member}/Cargo.toml"));
        let own =
            own.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap().to_owned();
        let own = own.lines().filter(|l| l.contains(" = ") && !l.contains(".workspace"));
        wanted.extend(own.map(|l| l.split(' ').next().unwrap().to_owned()));
    }
    let document = read("docs/dependencies.md");
    let listed: BTreeSet<String> =
        rows(&document).iter().map(|row| bare(&row[0]).to_owned()).collect();
    assert_eq!(listed, wanted);
}

#[test]
fn the_events_are_described_as_the_binary_tells_them() {
    let again = "`cargo run -p ledger --example events > docs/events.md`";
    assert!(read("docs/events.md") == ledger::event::document(), "write it again: {again}");
}

#[test]
fn every_test_that_the_threats_name_is_there() {
    let document = read("docs/THREATS.md");
    let proofs = document.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`"));
    let mut named = 0;
    for line in proofs {
        let mut source = String::new();
        for code in line.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2) {
            if code.contains(['/', '.']) {
                assert!(root().join(code).exists(), "`{code}` is not there");
                source = if code.ends_with(".rs") { read(code) } else { String::new() };
            } else if code.contains('_') && !code.contains(' ') && !code.starts_with('-') {
                assert!(source.contains(&format!("fn {code}(")), "no test `{code}`: {line}");
                named += 1;
            }
        }
    }
    assert!(named > 30, "the table was not read");
}
