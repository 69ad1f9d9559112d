//! A certificate, and every question that is asked of one.
#![no_main]

use identity::Certificate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = Certificate::parse(bytes) else { return };
    let _ = (found.device(), found.serial(), found.not_before(), found.not_after());
    let _ = (found.authority(), found.usages(), found.hardware_module(), found.common_name());
    let _ = (found.subject_key_id(), found.authority_key_id(), found.subject_serial_number());
    let _ = (found.unknown_critical(&[]), found.signed_by(&found), format!("{found:?}"));
    assert_eq!(Certificate::parse_pem(&found.pem(), 1).unwrap()[0].der(), bytes);
});
