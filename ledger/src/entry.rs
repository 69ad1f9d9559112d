//! One entry: the leaf of the Merkle tree, the same bytes in the database, in a bundle and under
//! the hash.
//!
//! Its form is a contract: `[1, index, hours, class, digest]` in deterministic CBOR (RFC 8949
//! §4.2.1). The salt in the digest is what makes it mute: without it a stranger could guess serial
//! numbers and compare. Read on in [`crate::payload`] for what the digest is over.

use crate::Hash;
use identity::key::sha256;
use identity::{Defect, UnixTime};
use minicbor::{Decoder, Encoder};
use std::convert::Infallible;
use std::fmt;

/// An entry of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, counted from 0: the index of its leaf.
    pub index: u64,
    /// Whole hours since 1970, which is all that it tells of time.
    pub hours: u64,
    /// What kind of change it is about.
    pub class: Class,
    /// The salted digest of its payload.
    pub digest: Hash,
}

/// The form of an entry; another form would be another number.
const FORM: u64 = 1;
/// Array head, form, two 9-octet numbers, class, and a byte string of 32 with its head.
const ENTRY_OCTETS_MAX: usize = 1 + 1 + 9 + 9 + 2 + 34;

impl Entry {
    /// An entry about something that happens at `at`.
    #[must_use]
    pub const fn new(index: u64, at: UnixTime, class: Class, digest: Hash) -> Self {
        Self { index, hours: at.hours(), class, digest }
    }

    /// The octets that are stored, served and hashed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut cbor = Encoder::new(Vec::with_capacity(ENTRY_OCTETS_MAX));
        let written: Result<(), minicbor::encode::Error<Infallible>> = (|| {
            cbor.array(5)?.u64(FORM)?.u64(self.index)?.u64(self.hours)?;
            cbor.u8(self.class.number())?.bytes(&self.digest)?.ok()
        })();
        written.unwrap_or_else(|_| unreachable!("a vector takes every octet"));
        cbor.into_writer()
    }

    /// Reads the octets of one entry, which must be exactly those that [`Entry::encode`] makes.
    ///
    /// # Errors
    /// A [`Defect`] where they are not.
    pub fn decode(octets: &[u8]) -> Result<Self, Defect> {
        if octets.len() > ENTRY_OCTETS_MAX {
            let sentence = format!("an entry has at most {ENTRY_OCTETS_MAX} octets");
            return Err(Defect::new("entry-too-large", sentence));
        }
        let entry = Self::read(&mut Decoder::new(octets))?;
        // One value has one encoding (RFC 8949 §4.2.1): longer numbers or octets behind the end
        // would give one entry two hashes.
        if entry.encode() != octets {
            let sentence = "the entry is not in deterministic CBOR, or has octets behind its end";
            return Err(Defect::new("entry-not-deterministic", sentence));
        }
        Ok(entry)
    }

    fn read(cbor: &mut Decoder<'_>) -> Result<Self, Defect> {
        let broken = |e: minicbor::decode::Error| {
            Defect::new("entry-cbor", format!("the entry is not CBOR of the right form: {e}"))
        };
        if cbor.array().map_err(broken)? != Some(5) || cbor.u64().map_err(broken)? != FORM {
            let sentence = "an entry is an array of five of which the first is 1";
            return Err(Defect::new("entry-form", sentence));
        }
        let (index, hours) = (cbor.u64().map_err(broken)?, cbor.u64().map_err(broken)?);
        let number = cbor.u8().map_err(broken)?;
        let class = Class::from_number(number).ok_or_else(|| {
            let sentence = format!("the class {number} is unknown: this Muster may be too old");
            Defect::new("entry-class", sentence)
        })?;
        let digest = cbor
            .bytes()
            .map_err(broken)?
            .try_into()
            .map_err(|_| Defect::new("entry-digest", "the digest of an entry has 32 octets"))?;
        Ok(Self { index, hours, class, digest })
    }
}

/// What an entry commits to: `SHA-256("muster/entry/v1\0" ‖ salt ‖ payload)`. The front keeps the
/// hash from meaning anything elsewhere; the salt has a fixed length, so it cannot blend with the
/// payload.
#[must_use]
pub fn digest(salt: &[u8; 32], payload: &[u8]) -> Hash {
    sha256(&[b"muster/entry/v1\0", salt, payload])
}

/// One table for the classes: name, number, word.
macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident = $number:literal, $word:literal;)+) => {
        /// The kind of change that an entry is about: all that the public entry tells of it.
        /// Numbers are never given again, only added to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])* $class = $number,)+
        }

        impl Class {
            /// Every class, by number.
            pub const ALL: &'static [Self] = &[$(Self::$class),+];

            /// The class with this number; `None` where there is none yet.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$class),)+ _ => None }
            }

            /// The word that people and machines read.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$class => $word),+ }
            }

            /// Reads the word; `None` for any other.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$class),)+ _ => None }
            }
        }
    };
}

classes! {
    /// The realm itself: founded, restored.
    Realm = 1, "realm";
    /// An authority was installed, retired or barred.
    Authority = 2, "authority";
    /// A birth certificate was issued.
    Birth = 3, "birth";
    /// A device joined.
    Join = 4, "join";
    /// A leaf was renewed.
    Renewal = 5, "renewal";
    /// A device was suspended, resumed, quarantined, released, retired or erased.
    Standing = 6, "standing";
    /// Certificates were revoked.
    Revocation = 7, "revocation";
    /// Somebody known was refused, or strangers were within the hour.
    Refusal = 8, "refusal";
    /// A join token was made or revoked.
    Token = 9, "token";
    /// A door was set or removed.
    Door = 10, "door";
    /// A certificate profile was set.
    Profile = 11, "profile";
    /// An operator was set or removed.
    Operator = 12, "operator";
    /// A setting of the realm was changed.
    Setting = 13, "setting";
    /// A device changed groups.
    Group = 14, "group";
    /// A leaf was used for the first time.
    Use = 15, "use";
    /// A certificate of another kind was issued: for a server, or for an authority.
    Certificate = 16, "certificate";
    /// A sign that an identity is misused: a clone, a key that knocks.
    Signal = 17, "signal";
    /// A device said what it runs, and what is printed on it.
    Report = 18, "report";
}

impl Class {
    /// Its number in the entry.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::text::hex;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let class = (1..=17_u8).prop_map(|n| Class::from_number(n).unwrap());
        (any::<u64>(), any::<u64>(), class, any::<Hash>())
            .prop_map(|(index, hours, class, digest)| Entry { index, hours, class, digest })
    }

    proptest! {
        #[test]
        fn an_entry_reads_back_as_it_was_written(entry in entries()) {
            prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }

        #[test]
        fn what_is_read_at_all_has_one_encoding(octets in any::<Vec<u8>>()) {
            if let Ok(entry) = Entry::decode(&octets) {
                prop_assert_eq!(entry.encode(), octets);
            }
        }

        #[test]
        fn an_entry_with_a_flipped_bit_is_refused_or_another(
            entry in entries(),
            at in any::<u16>(),
        ) {
            let mut octets = entry.encode();
            let bit = usize::from(at) % (octets.len() * 8);
            octets[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(Entry::decode(&octets), Ok(entry));
        }
    }

    #[test]
    fn the_form_of_an_entry_is_a_contract() {
        let entry = Entry { index: 500, hours: 23, class: Class::Join, digest: [0xab; 32] };
        let expected = format!("85011901f417045820{}", "ab".repeat(32));
        assert_eq!(hex(&entry.encode()), expected);
    }

    #[test]
    fn numbers_that_are_longer_than_need_be_are_refused() {
        let entry = Entry { index: 5, hours: 23, class: Class::Join, digest: [1; 32] };
        let mut octets = entry.encode();
        octets.splice(2..3, [0x18, 5]);
        assert_eq!(Entry::decode(&octets).unwrap_err().name, "entry-not-deterministic");
        let mut behind = entry.encode();
        behind.push(0);
        assert_eq!(Entry::decode(&behind).unwrap_err().name, "entry-not-deterministic");
    }

    #[test]
    fn classes_keep_their_numbers_and_words() {
        for (place, class) in Class::ALL.iter().enumerate() {
            assert_eq!(usize::from(class.number()), place + 1);
            assert_eq!(Class::from_number(class.number()), Some(*class));
            assert_eq!(Class::parse(class.as_str()), Some(*class));
        }
        assert_eq!(Class::from_number(0), None);
        assert_eq!(Class::from_number(19), None);
    }

    #[test]
    fn the_digest_is_over_front_salt_and_payload() {
        let by_hand = [b"muster/entry/v1\0".as_slice(), &[7; 32], b"x"].concat();
        assert_eq!(digest(&[7; 32], b"x"), sha256(&[&by_hand]));
        assert_ne!(digest(&[7; 32], b"x"), digest(&[8; 32], b"x"));
    }
}
