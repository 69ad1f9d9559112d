//! A list of revoked certificates that somebody signed elsewhere: its number and its entries.
#![no_main]

use ca::crl::{entries, number};
use identity::SerialNumber;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = number(bytes);
    for listed in entries(bytes).unwrap_or_default() {
        let Some(serial) = SerialNumber::from_integer(&listed.serial) else { continue };
        let zeros = listed.serial.iter().take_while(|octet| **octet == 0).count();
        // Of zero itself the last one stays.
        let from = zeros.min(listed.serial.len() - 1);
        assert_eq!(serial.octets(), &listed.serial[from..]);
    }
});
