//! Who signs notes: keys, the names that they sign under, and what they say.

use super::{Checkpoint, Origin, cosign};
use data_encoding::HEXLOWER;
use identity::key::{MlDsa44, Scheme, sha256};
use identity::text::{base64, hex};
use identity::{Defect, KeyKind, PublicKey, UnixTime};
use std::fmt;

/// What a key signs: it stands in front of the key in a `vkey`, and in its id, so that a witness's
/// word never passes for the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A note as it is (C2SP signed-note, Signature types).
    Note = 1,
    /// That a checkpoint was seen, and when (C2SP tlog-cosignature, Ed25519).
    Cosignature = 4,
    /// The same, safe from quantum computers (C2SP tlog-cosignature, ML-DSA-44).
    Subtree = 6,
}

/// A key that signs notes, and the name that it signs under: Ed25519, or of a witness also
/// ML-DSA-44. It is written as a `vkey`, `name+id+key`, which is how witnesses and verifiers are
/// told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    pub(super) name: Origin,
    kind: Kind,
    pub(super) id: [u8; 4],
    key: Key,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Ed25519(PublicKey),
    MlDsa44(MlDsa44),
}

impl Key {
    fn raw(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.raw(),
            Self::MlDsa44(key) => key.raw(),
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let held = match self {
            Self::Ed25519(key) => key.verify(Scheme::Ed25519, message, signature),
            Self::MlDsa44(key) => key.verify(message, signature),
        };
        held.is_ok()
    }
}

/// A SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 §4) up to its 32 octets.
const SPKI_FRONT: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

impl VerifierKey {
    /// The key of a log under its name; `None` where it is not Ed25519.
    #[must_use]
    pub fn new(name: &Origin, key: &PublicKey) -> Option<Self> {
        Self::of(name, Kind::Note, key)
    }

    /// The key of a witness under its name; `None` where it is not Ed25519.
    #[must_use]
    pub fn cosigner(name: &Origin, key: &PublicKey) -> Option<Self> {
        Self::of(name, Kind::Cosignature, key)
    }

    fn of(name: &Origin, kind: Kind, key: &PublicKey) -> Option<Self> {
        let ed25519 = key.kind() == KeyKind::Ed25519;
        ed25519.then(|| Self::with(name, kind, Key::Ed25519(key.clone())))
    }

    fn with(name: &Origin, kind: Kind, key: Key) -> Self {
        Self { name: name.clone(), kind, id: key_id(name, kind, key.raw()), key }
    }

    /// Reads a `vkey`.
    ///
    /// # Errors
    /// A [`Defect`] where it has another form or kind, or its id is not that of the key.
    pub fn parse(text: &str) -> Result<Self, Defect> {
        let broken = || {
            let sentence = "a verifier key is written `name+id+key`, the id in 8 hex digits and \
                            the key in base64: Ed25519, or a witness's ML-DSA-44";
            Defect::new("vkey-form", sentence)
        };
        // Base64 has plus signs, a name and an id have none.
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or_else(broken);
        let name = Origin::parse(part()?).ok_or_else(broken)?;
        let id = HEXLOWER.decode(part()?.as_bytes()).map_err(|_| broken())?;
        let octets = crate::wire::octets(part()?).ok_or_else(broken)?;
        let ed25519 = |raw: &[u8]| {
            let whole = raw.len() == 32;
            let spki = whole.then(|| [&SPKI_FRONT, raw].concat()).ok_or_else(broken)?;
            PublicKey::parse(&spki).map(Key::Ed25519)
        };
        let (kind, key) = match octets.split_first() {
            Some((1, raw)) => (Kind::Note, ed25519(raw)?),
            Some((4, raw)) => (Kind::Cosignature, ed25519(raw)?),
            Some((6, raw)) => (Kind::Subtree, Key::MlDsa44(MlDsa44::parse(raw)?)),
            _ => return Err(broken()),
        };
        let made = Self::with(&name, kind, key);
        if made.id.as_slice() != id {
            return Err(Defect::new(
                "vkey-id",
                "the id of the verifier key is not that of its key",
            ));
        }
        Ok(made)
    }

    /// The name that it signs under.
    #[must_use]
    pub const fn name(&self) -> &Origin {
        &self.name
    }

    /// Whether both speak for one witness: a key under two names, or a name with two keys.
    #[must_use]
    pub fn is_of_one(&self, other: &Self) -> bool {
        self.key == other.key || self.name == other.name
    }

    /// Whether it is a witness's, whose word is a cosignature.
    #[must_use]
    pub fn is_cosigner(&self) -> bool {
        self.kind != Kind::Note
    }

    /// Whether its signature of a note with this text holds: then, of a cosignature, when it was
    /// made.
    pub(super) fn check(&self, text: &str, signature: &[u8]) -> Option<Option<UnixTime>> {
        if self.kind == Kind::Note {
            return self.key.verifies(text.as_bytes(), signature).then_some(None);
        }
        let (at, signature) = cosign::timestamp(signature)?;
        let message = match self.kind {
            Kind::Subtree => {
                cosign::subtree_message(self.name.as_str(), at, &Checkpoint::parse(text).ok()?)
            }
            _ => cosign::message(text, at).into_bytes(),
        };
        self.key.verifies(&message, signature).then(|| Some(UnixTime::from_secs(at)))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64(&[&[self.kind as u8], self.key.raw()].concat());
        write!(f, "{}+{}+{key}", self.name, hex(&self.id))
    }
}

/// The first four octets of `SHA-256(name ‖ "\n" ‖ kind ‖ key)`: a short name, not a proof.
fn key_id(name: &Origin, kind: Kind, raw: &[u8]) -> [u8; 4] {
    let hash = sha256(&[name.as_str().as_bytes(), b"\n", &[kind as u8], raw]);
    hash.first_chunk().copied().unwrap_or_default()
}
