//! A request, and every question that is asked of one.
#![no_main]

use identity::Csr;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = Csr::parse(bytes) else { return };
    let _ = (found.claims(), found.challenge_password(), format!("{found:?}"));
    assert_eq!(found.der(), bytes);
});
