//! What a device hears over HTTP before it believes anybody, and what each of its questions makes of
//! it: headers, `Date`, `Retry-After`, authorities, a leaf, a key. It is heard the same whole and in
//! pieces.
#![no_main]

use agent::line::http::hear;
use enroll::est::client::{Reply, read_cacerts, read_csrattrs, read_key_and_leaf, read_leaf};
use identity::key::{Signer, SoftwareKey};
use std::io::Read;

/// PKCS#8 of an Ed25519 key, up to its 32 octets; the seeds are for it.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const WEEK_S: u64 = 7 * 86_400;

thread_local! {
    static KEY: SoftwareKey =
        SoftwareKey::from_pkcs8(&[&ED25519[..], &[1; 32]].concat()).unwrap();
}

/// A stream that gives at most so many octets at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = into.len().min(self.1).min(self.0.len());
        let (first, rest) = self.0.split_at(count);
        into[..count].copy_from_slice(first);
        self.0 = rest;
        Ok(count)
    }
}

fn is_sane<T>(reply: &Reply<T>) {
    match reply {
        Reply::Done(_) => {}
        Reply::Later { after_s } => assert!(*after_s <= WEEK_S),
        Reply::Refused { sentence, after_s, .. } => {
            assert!(!sentence.contains(char::is_control));
            assert!(after_s.is_none_or(|secs| secs <= WEEK_S));
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let heard = hear(&mut Pieces(bytes, usize::MAX));
    assert_eq!(heard.as_ref().ok(), hear(&mut Pieces(bytes, 97)).as_ref().ok());
    let Ok(heard) = heard else { return };
    let incoming = heard.incoming();
    let _ = read_cacerts(&incoming).map(|r| is_sane(&r));
    let _ = read_csrattrs(&incoming).map(|r| is_sane(&r));
    let _ = KEY.with(|key| read_leaf(&incoming, key.public())).map(|r| is_sane(&r));
    let _ = read_key_and_leaf(&incoming).map(|r| is_sane(&r));
    is_sane(&enroll::device::client::read(&incoming));
});
