//! CSR attributes as a device reads them. What was read is written and read back.
#![no_main]

use enroll::est::wire::csrattrs::CsrAttrs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = CsrAttrs::read(bytes) else { return };
    assert_eq!(CsrAttrs::read(&found.write().unwrap()).unwrap(), found);
});
