//! A receipt: one entry with everything that convinces somebody who has neither our server nor our
//! database (C2SP tlog-proof).
//!
//! Its extra data is CBOR `[entry, salt, payload]`; nothing in it is signed, so it is believed only
//! after hashing: the payload and its salt give the digest in the entry, the entry gives the leaf,
//! leaf and proof give the root, and the root is what the log signed and witnesses saw.
//! [`Receipt::verify`] does all of it and answers with a [`Proven`], which cannot be made
//! otherwise.

use crate::Hash;
use crate::entry::{Entry, digest};
use crate::note::{self, Checkpoint, Cosigned, NOTE_OCTETS_MAX, Opened, VerifierKey};
use crate::payload::{PAYLOAD_OCTETS_MAX, Payload, Value};
use crate::tree::{leaf_hash, verify_inclusion};
use identity::Defect;
use identity::text::base64;
use minicbor::{Decoder, Encoder};
use std::convert::Infallible;

/// The octets that a receipt may have: a note, a payload in base64, 64 hashes and some words.
pub const RECEIPT_OCTETS_MAX: usize = NOTE_OCTETS_MAX + 2 * PAYLOAD_OCTETS_MAX + 4096;
/// Hashes that an inclusion proof may have: a tree of 2^64 leaves has 64 levels.
pub const PROOF_HASHES_MAX: usize = 64;
/// The first line.
const FRONT: &str = "c2sp.org/tlog-proof@v1";

/// One entry, what it is about, and the way from it to a signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The octets of the entry.
    pub entry: Vec<u8>,
    /// Salt and payload; `None` where they were erased, and only the entry itself can be proven.
    pub content: Option<([u8; 32], Vec<u8>)>,
    /// The number of the entry.
    pub index: u64,
    /// The inclusion proof, the sibling of the leaf first.
    pub proof: Vec<Hash>,
    /// The checkpoint with its signatures, as the log published it.
    pub note: String,
}

/// Whom a reader of receipts believes.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Keys of the log, and of witnesses.
    pub keys: &'a [VerifierKey],
    /// How many of the witnesses must have seen the checkpoint.
    pub quorum: usize,
}

impl Trust<'_> {
    /// Believes a checkpoint that the log signed and that enough of the witnesses saw.
    ///
    /// # Errors
    /// As [`note::open`], and `receipt-quorum`.
    pub fn open<'a>(&self, note: &'a str) -> Result<Opened<'a>, Defect> {
        let opened = note::open_whole(note, self.keys)?;
        if opened.cosigned.len() < self.quorum {
            let sentence = format!(
                "{} of the known witnesses saw the checkpoint, and {} must have",
                opened.cosigned.len(),
                self.quorum
            );
            return Err(Defect::new("receipt-quorum", sentence));
        }
        Ok(opened)
    }
}

/// What a receipt proves. Only [`Receipt::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    entry: Entry,
    payload: Option<Payload>,
    checkpoint: Checkpoint,
    cosigned: Vec<Cosigned>,
}

impl Proven {
    /// The entry: number, hour and class.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// What happened; `None` where it was erased.
    #[must_use]
    pub const fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }

    /// The checkpoint that it is proven under.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The witnesses that saw it.
    #[must_use]
    pub fn cosigned(&self) -> &[Cosigned] {
        &self.cosigned
    }

    /// Whether the entry is about the issuance of the certificate with this SHA-256 over its DER.
    #[must_use]
    pub fn issued(&self, certificate: &Hash) -> bool {
        let payload = self.payload.as_ref();
        let named = payload.and_then(|p| p.get("certificate")).and_then(Value::as_bytes);
        let issues = payload.is_some_and(|p| p.verb().ends_with(".issued"));
        issues && named == Some(certificate)
    }
}

impl Receipt {
    /// The file, as C2SP tlog-proof has it.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{FRONT}\nextra {}\nindex {}\n", base64(&self.extra()), self.index);
        for hash in &self.proof {
            text.push_str(&base64(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note);
        text
    }

    fn extra(&self) -> Vec<u8> {
        let mut cbor = Encoder::new(Vec::with_capacity(1024));
        let written: Result<(), minicbor::encode::Error<Infallible>> = (|| {
            cbor.array(3)?.bytes(&self.entry)?;
            match &self.content {
                Some((salt, payload)) => cbor.bytes(salt)?.bytes(payload)?.ok(),
                None => cbor.null()?.null()?.ok(),
            }
        })();
        written.unwrap_or_else(|_| unreachable!("a vector takes every octet"));
        cbor.into_writer()
    }

    /// Reads a file; nothing of it is believed yet.
    ///
    /// # Errors
    /// A [`Defect`] where it has another form, or could be written in another way.
    pub fn decode(text: &str) -> Result<Self, Defect> {
        let broken = |what: &'static str| Defect::new("receipt-form", what);
        if text.len() > RECEIPT_OCTETS_MAX {
            return Err(broken("a receipt is not that large"));
        }
        let (head, note) =
            text.split_once("\n\n").ok_or_else(|| broken("there is no checkpoint in it"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FRONT) {
            return Err(broken("the first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let extra = extra.and_then(crate::wire::octets);
        let extra = extra.ok_or_else(|| {
            broken("the second line is not `extra` and base64: without it an entry cannot be known")
        })?;
        let said = lines.next().and_then(|line| line.strip_prefix("index "));
        let said = said.ok_or_else(|| broken("the third line is not `index` and a number"))?;
        let index = crate::wire::number(said)
            .ok_or_else(|| broken("the number of the entry is not a plain number"))?;
        let proof = crate::wire::hashes(lines, PROOF_HASHES_MAX)
            .ok_or_else(|| broken("a line of the proof is not 32 octets in base64"))?;
        let (entry, content) = read_extra(&extra)?;
        let receipt = Self { entry, content, index, proof, note: note.to_owned() };
        if receipt.extra() != extra {
            return Err(broken("the extra data is not in deterministic CBOR"));
        }
        Ok(receipt)
    }

    /// Believes it, or says precisely why not.
    ///
    /// # Errors
    /// A [`Defect`]: of the note, of the entry or of the payload; `receipt-index`, `receipt-digest`,
    /// `receipt-proof`, or `receipt-quorum`.
    pub fn verify(&self, trust: &Trust<'_>) -> Result<Proven, Defect> {
        let opened = trust.open(&self.note)?;
        let entry = Entry::decode(&self.entry)?;
        if entry.index != self.index {
            let sentence =
                format!("the receipt is for entry {}, and holds entry {}", self.index, entry.index);
            return Err(Defect::new("receipt-index", sentence));
        }
        let payload = match &self.content {
            None => None,
            Some((salt, payload)) if digest(salt, payload) == entry.digest => {
                Some(Payload::decode(payload)?)
            }
            Some(_) => {
                let sentence = "payload and salt do not hash to the digest in the entry";
                return Err(Defect::new("receipt-digest", sentence));
            }
        };
        let head = opened.checkpoint.head();
        if !verify_inclusion(&head, self.index, &leaf_hash(&self.entry), &self.proof) {
            let sentence = format!(
                "entry {} with this proof does not lead to the root that was signed over {} entries",
                self.index, head.size
            );
            return Err(Defect::new("receipt-proof", sentence));
        }
        let (checkpoint, cosigned) = (opened.checkpoint, opened.cosigned);
        Ok(Proven { entry, payload, checkpoint, cosigned })
    }
}

/// Entry, and salt with payload where both are there.
type Extra = (Vec<u8>, Option<([u8; 32], Vec<u8>)>);

fn read_extra(octets: &[u8]) -> Result<Extra, Defect> {
    let broken = || {
        let sentence = "the extra data is not CBOR `[entry, salt, payload]`, the last two octets \
                        or both null";
        Defect::new("receipt-extra", sentence)
    };
    let mut cbor = Decoder::new(octets);
    let read: Result<_, minicbor::decode::Error> = (|| {
        let three = cbor.array()? == Some(3);
        let entry = cbor.bytes()?.to_vec();
        let salt: Option<&[u8]> = if null(&mut cbor)? { None } else { Some(cbor.bytes()?) };
        let payload = if null(&mut cbor)? { None } else { Some(cbor.bytes()?.to_vec()) };
        Ok((three, entry, salt, payload))
    })();
    match read.map_err(|_| broken())? {
        (true, entry, None, None) => Ok((entry, None)),
        (true, entry, Some(salt), Some(payload)) if payload.len() <= PAYLOAD_OCTETS_MAX => {
            Ok((entry, Some((salt.try_into().map_err(|_| broken())?, payload))))
        }
        _ => Err(broken()),
    }
}

fn null(cbor: &mut Decoder<'_>) -> Result<bool, minicbor::decode::Error> {
    let is = cbor.datatype()? == minicbor::data::Type::Null;
    if is {
        cbor.null()?;
    }
    Ok(is)
}

#[cfg(test)]
mod tests;
