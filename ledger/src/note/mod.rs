//! The checkpoint: what the realm signs so that nobody can be shown another past.
//!
//! A C2SP signed note whose text is a C2SP tlog-checkpoint, three lines of origin, size and root,
//! signed with Ed25519. [`sign`] makes one, [`open`] believes one. The name of the key is the
//! origin, so that one [`Origin`] serves for both. What witnesses add to it stands in [`cosign`].

pub mod cosign;
mod key;

use crate::tree::Head;
pub use cosign::Cosigned;
use identity::text::{base64, hex};
use identity::{Defect, KeyError, Signer, UnixTime};
pub use key::VerifierKey;
use std::fmt;

/// The octets that a note may have: sixteen signatures must be taken, and post-quantum ones have
/// up to 5 kB each (C2SP signed-note, Format), a third more in base64.
pub const NOTE_OCTETS_MAX: usize = 128 * 1024;

/// Signature lines that a note may have: sixteen must be taken (C2SP signed-note, Format), and each
/// of a key that is known costs a check. Go's reader ends here, too.
pub const SIGNATURES_MAX: usize = 100;

/// Whose log it is: the first line of a checkpoint and the name of the key that signs it. Names are
/// not empty, and have no white space or control character and no plus (C2SP signed-note, Format).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

/// A name in a tree that DNS will never have (RFC 6761 §6.4); what a witness signs with ML-DSA-44 says
/// its length in one octet (C2SP tlog-cosignature).
const ORIGIN_OCTETS_MAX: usize = 255;

impl Origin {
    /// The origin of a realm's log. The number counts from 1 and is raised by a restore, since a
    /// log that went back must not sign under the name of the one that went on.
    #[must_use]
    pub fn new(realm: &[u8; 16], number: u32) -> Self {
        let digits = hex(realm);
        let part = |from, to| digits.get(from..to).unwrap_or_default();
        let uuid = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
        Self(format!("{uuid}.muster.invalid/ledger/{number}"))
    }

    /// Reads an origin, a foreign one too; `None` where it breaks the rule above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        let shape = (1..=ORIGIN_OCTETS_MAX).contains(&text.len()) && !text.contains(bad);
        shape.then(|| Self(text.to_owned()))
    }

    /// Reads the first line of somebody's checkpoint. It need not be a name of a key: nothing may be
    /// assumed but that it is not empty (C2SP tlog-checkpoint, Note text).
    #[must_use]
    pub fn of_log(text: &str) -> Option<Self> {
        let shape = (1..=ORIGIN_OCTETS_MAX).contains(&text.len());
        (shape && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// The origin as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the log is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub origin: Origin,
    /// How many entries.
    pub size: u64,
    /// The hash over them.
    pub root: crate::Hash,
}

impl Checkpoint {
    /// The text that is signed, with its last newline (C2SP tlog-checkpoint, Note text).
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64(&self.root))
    }

    /// Size and root.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { size: self.size, root: self.root }
    }

    /// Reads the text of a checkpoint. Lines behind the third are extensions: allowed, not read.
    fn parse(text: &str) -> Result<Self, Defect> {
        let broken = |what: &'static str| Defect::new("checkpoint-form", what);
        let body = text.strip_suffix('\n').unwrap_or(text);
        let mut lines = body.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let origin = line().and_then(Origin::of_log);
        let origin = origin.ok_or_else(|| broken("the first line names no origin"))?;
        let said = line().ok_or_else(|| broken("the second line is missing"))?;
        let size: Option<u64> = said.parse().ok().filter(|size: &u64| size.to_string() == said);
        let size = size.ok_or_else(|| broken("the second line is not a plain number"))?;
        let root = line().and_then(crate::wire::octets);
        let root = root.and_then(|octets| octets.try_into().ok());
        let root = root.ok_or_else(|| broken("the third line is not 32 octets in base64"))?;
        if lines.any(str::is_empty) {
            return Err(broken("a line is empty"));
        }
        Ok(Self { origin, size, root })
    }
}

/// The checkpoint as a signed note, under the name of its origin.
///
/// # Errors
/// [`KeyError::Unreadable`] where the key is not Ed25519, and [`KeyError::Signing`] where it did
/// not sign.
pub fn sign(checkpoint: &Checkpoint, signer: &dyn Signer) -> Result<String, KeyError> {
    let key = VerifierKey::new(&checkpoint.origin, signer.public()).ok_or(KeyError::Unreadable)?;
    let text = checkpoint.text();
    let signature = signer.sign(text.as_bytes())?;
    Ok(format!("{text}\n{DASH}{} {}\n", key.name, base64(&[&key.id, &*signature].concat())))
}

/// What a signature line begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// A note that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// What was signed, extension lines included, with its last newline.
    pub text: &'a str,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Which of the known witnesses saw it, each once.
    pub cosigned: Vec<Cosigned>,
}

/// Reads a signed checkpoint and believes it: at least one of `keys` signed it under the name of
/// its origin, and no signature of any of them is false. Signatures of unknown keys are not read,
/// so that witnesses may add theirs.
///
/// # Errors
/// A [`Defect`]: `note-form`, `checkpoint-form`, `note-signature` (false) or `note-unsigned` (none
/// that counts).
pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, Defect> {
    open_whole(note, keys).map(|opened| opened.checkpoint)
}

/// As [`open`]; `keys` are those of the log and of witnesses, and the answer also says which of the
/// witnesses cosigned. One key under two names is one witness, and so is one name with two keys.
///
/// # Errors
/// As [`open`].
pub fn open_whole<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<Opened<'a>, Defect> {
    open_where(note, keys, |key, origin| key.name == *origin)
}

/// As [`open_whole`], where the name of the log's key may be another than its origin: `keys` are
/// those that count for the origin that the note says.
///
/// # Errors
/// As [`open`].
pub fn open_of<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<Opened<'a>, Defect> {
    open_where(note, keys, |_, _| true)
}

fn open_where<'a>(
    note: &'a str,
    keys: &[VerifierKey],
    counts: impl Fn(&VerifierKey, &Origin) -> bool,
) -> Result<Opened<'a>, Defect> {
    let (text, signed) = open_note(note, keys)?;
    let checkpoint = Checkpoint::parse(text)?;
    let of_log = |s: &Signed<'_>| s.at.is_none() && counts(s.key, &checkpoint.origin);
    if !signed.iter().any(of_log) {
        let origin = &checkpoint.origin;
        let sentence = format!("the checkpoint of `{origin}` is not signed under that name");
        return Err(Defect::new("note-unsigned", sentence));
    }
    let mut seen: Vec<&VerifierKey> = Vec::new();
    let mut cosigned = Vec::new();
    for (key, at) in signed.iter().filter_map(|s| Some((s.key, s.at?))) {
        if !seen.iter().any(|other| other.is_of_one(key)) {
            seen.push(key);
            cosigned.push(Cosigned { witness: key.name.clone(), at });
        }
    }
    Ok(Opened { text, checkpoint, cosigned })
}

/// A signature that holds.
#[derive(Debug)]
struct Signed<'k> {
    key: &'k VerifierKey,
    /// When, where it is a cosignature.
    at: Option<UnixTime>,
}

/// The text of a note, and which of the known keys signed it: one at least.
fn open_note<'a, 'k>(
    note: &'a str,
    keys: &'k [VerifierKey],
) -> Result<(&'a str, Vec<Signed<'k>>), Defect> {
    let (text, lines) = split(note)?;
    let mut signed = Vec::new();
    if lines.split('\n').count() > SIGNATURES_MAX {
        let sentence = format!("a note has at most {SIGNATURES_MAX} signatures");
        return Err(Defect::new("note-form", sentence));
    }
    for line in lines.split('\n') {
        let (name, id, signature) = signature_line(line).ok_or_else(|| {
            Defect::new("note-form", "a signature line is not an em dash, a name and base64")
        })?;
        let Some(key) = keys.iter().find(|key| key.name == name && key.id == id) else { continue };
        let at = key.check(text, &signature).ok_or_else(|| {
            Defect::new("note-signature", format!("the signature of `{name}` does not hold"))
        })?;
        signed.push(Signed { key, at });
    }
    if signed.is_empty() {
        return Err(Defect::new("note-unsigned", "the note is not signed by any known key"));
    }
    Ok((text, signed))
}

/// The text of a note with its last newline, and its signature lines without theirs.
pub(crate) fn split(note: &str) -> Result<(&str, &str), Defect> {
    let broken = |what: &'static str| Defect::new("note-form", what);
    if note.len() > NOTE_OCTETS_MAX {
        return Err(broken("a note has at most 128 KiB"));
    }
    if note.contains(|c: char| c < ' ' && c != '\n') {
        return Err(broken("the note has a control character"));
    }
    // The text ends at the last empty line; what it ends with is part of it.
    let blank = note.rfind("\n\n").ok_or_else(|| broken("the note has no signatures"))?;
    let (text, rest) = note.split_at(blank + 1);
    let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
    Ok((text, lines.ok_or_else(|| broken("the note does not end with a line"))?))
}

/// Reads the checkpoint in a note without believing it: only to look up whose keys would count.
///
/// # Errors
/// A [`Defect`]: `note-form` or `checkpoint-form`.
pub fn unbelieved(note: &str) -> Result<Checkpoint, Defect> {
    Checkpoint::parse(split(note)?.0)
}

fn signature_line(line: &str) -> Option<(Origin, [u8; 4], Vec<u8>)> {
    let (name, blob) = line.strip_prefix(DASH)?.split_once(' ')?;
    let octets = crate::wire::octets(blob)?;
    let (id, signature) = octets.split_first_chunk()?;
    (!signature.is_empty()).then_some((Origin::parse(name)?, *id, signature.to_vec()))
}

#[cfg(test)]
mod tests;
