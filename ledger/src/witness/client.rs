//! A log's half: what a witness answered.

use super::wire;
use crate::note::{self, VerifierKey, cosign};
use identity::UnixTime;

/// What a witness said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It cosigned: the line to put behind the note.
    Cosigned {
        /// The signature line, with its newline.
        line: String,
        /// When, by its clock.
        at: UnixTime,
    },
    /// It saw another size last: ask again from there.
    Behind(u64),
    /// It did not cosign; why, as far as it can be told.
    No(String),
}

/// Reads the answer to a request that carried `note`. Nothing is believed but a cosignature of
/// `key` that holds.
#[must_use]
pub fn hear(status: u16, body: &str, note: &str, key: &VerifierKey) -> Heard {
    match status {
        200 => {
            match note::split(note).ok().and_then(|(text, _)| cosign::believe(text, body, key)) {
                Some((line, at)) => Heard::Cosigned { line, at },
                None => {
                    Heard::No("it answered without a cosignature of the key that it has".to_owned())
                }
            }
        }
        409 => match wire::read_size(body) {
            Some(size) => Heard::Behind(size),
            None => Heard::No("it says that it saw another tree, and not of which size".to_owned()),
        },
        other => {
            let said: String = body.lines().next().unwrap_or_default().chars().take(200).collect();
            Heard::No(format!("it answered {other}: {}", said.replace(char::is_control, " ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Origin;
    use identity::PublicKey;

    #[test]
    fn nothing_is_believed_but_a_cosignature_that_holds() {
        let spki = identity::text::from_hex(
            "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        );
        let key = PublicKey::parse(&spki.unwrap()).unwrap();
        let key = VerifierKey::cosigner(&Origin::parse("w.example").unwrap(), &key).unwrap();
        let note =
            "origin\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} a AAAAAAA=\n";
        for body in ["", "\u{2014} w.example AAAAAAAAAAA=\n", "no\n"] {
            assert!(matches!(hear(200, body, note, &key), Heard::No(_)));
        }
        assert_eq!(hear(409, "7\n", note, &key), Heard::Behind(7));
        assert!(matches!(hear(409, "seven\n", note, &key), Heard::No(_)));
        assert!(
            matches!(hear(500, "a\u{1b}[2J", note, &key), Heard::No(s) if !s.contains('\u{1b}'))
        );
    }
}
