//! A signed note with one known key; and a verifier key as text.
#![no_main]

use identity::key::{Signer, SoftwareKey};
use ledger::{Origin, VerifierKey};

/// PKCS#8 of an Ed25519 key, up to its 32 octets; the seeds are signed with it.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

thread_local! {
    static KEYS: Vec<VerifierKey> = {
        let key = SoftwareKey::from_pkcs8(&[&ED25519[..], &[1; 32]].concat()).unwrap();
        VerifierKey::new(&Origin::new(&[7; 16], 1), key.public()).into_iter().collect()
    };
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    KEYS.with(|keys| {
        let _ = ledger::note::open(text, keys);
    });
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
});
