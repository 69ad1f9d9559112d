//! A ledger entry: one encoding for each, so what was read is written as it was.
#![no_main]

use ledger::Entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = Entry::decode(bytes) else { return };
    assert_eq!(found.encode(), bytes);
});
