//! A receipt (C2SP tlog-proof): read ∘ write = id, and nothing that was made up is believed.
#![no_main]

use identity::key::{Signer, SoftwareKey};
use ledger::{Origin, Receipt, Trust, VerifierKey};

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
    let Ok(receipt) = Receipt::decode(text) else { return };
    assert_eq!(receipt.encode(), text);
    KEYS.with(|keys| {
        let _ = receipt.verify(&Trust { keys, quorum: 0 });
    });
});
