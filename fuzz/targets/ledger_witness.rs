//! What a log sends to a witness, and what a witness answers: `add-checkpoint`, cosignature lines,
//! and the size of a conflict.
#![no_main]

use identity::key::{Signer, SoftwareKey};
use ledger::witness::client::hear;
use ledger::witness::server::{judge, nothing};
use ledger::witness::{AddCheckpoint, wire};
use ledger::{Origin, VerifierKey};

/// PKCS#8 of an Ed25519 key, up to its 32 octets; the seeds are signed with it.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const NOTE: &str = "a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} a AAAAAAA=\n";

thread_local! {
    static KEYS: (Vec<VerifierKey>, VerifierKey) = {
        let key = SoftwareKey::from_pkcs8(&[&ED25519[..], &[1; 32]].concat()).unwrap();
        let origin = Origin::new(&[7; 16], 1);
        let log = VerifierKey::new(&origin, key.public()).into_iter().collect();
        (log, VerifierKey::cosigner(&origin, key.public()).unwrap())
    };
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    KEYS.with(|(log, witness)| {
        for status in [200, 409, 500] {
            let _ = hear(status, text, NOTE, witness);
        }
        if let Some(size) = wire::read_size(text) {
            assert_eq!(wire::size_body(size), text);
        }
        if let Ok(request) = AddCheckpoint::decode(text) {
            assert_eq!(request.encode(), text);
            let _ = judge(&request, log, &nothing());
        }
    });
});
