//! The path of a tile in the first line, and a bundle of entries behind it.
#![no_main]

use ledger::tile::{TilePath, bundle, unbundle};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    let path = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    if let Some(found) = TilePath::parse(path) {
        assert_eq!(found.to_string(), path);
    }
    let rest = lines.next().unwrap_or_default();
    if let Ok(entries) = unbundle(rest) {
        assert_eq!(bundle(&entries).as_deref(), Some(rest));
    }
    let _ = ledger::Frontier::decode(bytes);
});
