//! A payload: one encoding for each, so what was read is written as it was.
#![no_main]

use ledger::Payload;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = Payload::decode(bytes) else { return };
    assert_eq!(found.encode(), bytes);
});
