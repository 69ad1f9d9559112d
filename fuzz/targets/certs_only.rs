//! A certs-only PKCS#7 as a device reads it. What was read is written and read back.
#![no_main]

use enroll::est::wire::certs_only::{read, write};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = read(bytes) else { return };
    let written = write(&found.iter().collect::<Vec<_>>()).unwrap();
    let again = read(&written).unwrap();
    assert!(found.iter().map(|c| c.der()).eq(again.iter().map(|c| c.der())));
});
