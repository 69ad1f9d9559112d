//! Receipts: what somebody holds who does not want to trust us.

use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::session::Session;
use crate::table::members;
use clap::{Args, Subcommand};
use identity::Certificate;
use identity::text::{base64, hex, rfc3339};
use identity::{Defect, UnixTime};
use ledger::note::Cosigned;
use ledger::receipt::RECEIPT_OCTETS_MAX;
use ledger::{Payload, Proven, Trust, Value, VerifierKey};
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Receipts: check one, without a server and without a database.
///
/// A receipt is a file `*.tlog-proof` that `ledger prove` writes (C2SP tlog-proof): one entry of
/// the ledger, what it is about, and the way from it to a checkpoint that the ledger's key signed
/// and that witnesses may have seen.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    Verify(Verify),
}

/// Check a receipt, and print what it proves.
///
/// It needs the ledger's key, and nothing else: `ledger head --json | jq -r .verifier` shows it,
/// and who does not trust the server gets it from elsewhere. With --witness the checkpoint must
/// also carry cosignatures of those keys: then it is the same ledger that everybody else is shown.
/// With --cert it must be the receipt of the issuance of that certificate.
///
/// What it does not prove: that the certificate is still good. Ask CRL or OCSP for that.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster receipt verify pump-7.tlog-proof --key ledger.vkey
  muster receipt verify pump-7.tlog-proof --key ledger.vkey --cert leaf.pem \\
    --witness witness-a.vkey --witness witness-b.vkey --quorum 1")]
pub(crate) struct Verify {
    /// The receipt; `-` reads it from stdin.
    file: PathBuf,
    /// The ledger's key, a C2SP verifier key or a file with it.
    #[arg(long, value_name = "VKEY")]
    key: String,
    #[command(flatten)]
    witnesses: Witnesses,
    /// The certificate that it must be about, PEM or DER.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
}

/// Who must have seen a checkpoint.
#[derive(Debug, Default, Args)]
pub(super) struct Witnesses {
    /// The key of a witness that must have seen the checkpoint, a C2SP verifier key or a file with
    /// it; several with commas, or said again.
    #[arg(long, value_name = "VKEY", value_delimiter = ',')]
    pub(super) witness: Vec<String>,
    /// How many of the witnesses must have seen it [default: all that are named].
    #[arg(long, value_name = "N", requires = "witness")]
    pub(super) quorum: Option<usize>,
}

impl Witnesses {
    /// The key of the ledger and of the witnesses, and how many of these have to have seen it.
    pub(super) fn beside(&self, log: &str) -> Outcome<(Vec<VerifierKey>, usize)> {
        let mut keys = vec![log_key(log)?];
        for said in &self.witness {
            keys.push(witness_key(said)?);
        }
        let (named, quorum) = (self.witness.len(), self.quorum.unwrap_or(self.witness.len()));
        if quorum > named {
            let sentence = format!("--quorum {quorum} is more than the {named} of --witness");
            return Err(Failure::usage(sentence));
        }
        Ok((keys, quorum))
    }
}

/// The key of a log, as a C2SP verifier key or in a file.
pub(super) fn log_key(said: &str) -> Outcome<VerifierKey> {
    let key = any_key(said)?;
    let other = "that is the key of a witness, and the ledger's key is wanted";
    if key.is_cosigner() { Err(Failure::usage(format!("`{said}`: {other}"))) } else { Ok(key) }
}

/// The key of a witness, as a C2SP verifier key or in a file.
pub(super) fn witness_key(said: &str) -> Outcome<VerifierKey> {
    let key = any_key(said)?;
    let other = "that is the key of a log, and a witness's is wanted (`muster witness key`)";
    if key.is_cosigner() { Ok(key) } else { Err(Failure::usage(format!("`{said}`: {other}"))) }
}

/// What is no key is the name of a file; and what is neither, a key that was mistyped where it has a
/// key's plus signs, and else a file that is not there.
fn any_key(said: &str) -> Outcome<VerifierKey> {
    let malformed =
        |defect: Defect| Failure::usage(format!("`{said}` is no verifier key: {defect}"));
    let defect = match VerifierKey::parse(said.trim()) {
        Ok(key) => return Ok(key),
        Err(defect) => defect,
    };
    let path = Path::new(said);
    if said.contains('+') && !path.exists() {
        return Err(malformed(defect));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    VerifierKey::parse(text.trim()).map_err(malformed)
}

/// What is proven.
#[derive(Debug, Serialize)]
struct Said {
    origin: String,
    entry: u64,
    class: &'static str,
    /// The hour in which it happened.
    hour: String,
    verb: Option<String>,
    device: Option<String>,
    certificate: Option<String>,
    certificate_sha256: Option<String>,
    /// Whether `--cert` is the certificate that it is about.
    is_of_cert: Option<bool>,
    payload: Option<serde_json::Value>,
    checkpoint_size: u64,
    checkpoint_root: String,
    witnesses: Vec<Seen>,
}

/// A witness that saw a checkpoint.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    witness: String,
    at: String,
}

impl Seen {
    /// Those that cosigned.
    pub(super) fn all(cosigned: &[Cosigned]) -> Vec<Self> {
        let seen = |c: &Cosigned| Self { witness: c.witness.to_string(), at: rfc3339(c.at) };
        cosigned.iter().map(seen).collect()
    }

    /// For a person.
    pub(super) fn sentence(seen: &[Self]) -> String {
        let all: Vec<String> = seen.iter().map(|s| format!("{} at {}", s.witness, s.at)).collect();
        if all.is_empty() { "none that was asked for".to_owned() } else { all.join(", ") }
    }
}

/// Does what was typed.
pub(super) fn run(typed: &Receipt, session: &Session) -> Outcome {
    let Receipt::Verify(verify) = typed;
    let said = check(verify)?;
    session.show(&said, sheet)
}

fn check(typed: &Verify) -> Outcome<Said> {
    let text = read(&typed.file)?;
    let (keys, quorum) = typed.witnesses.beside(&typed.key)?;
    let trust = Trust { keys: &keys, quorum };
    let proven = ledger::Receipt::decode(&text).and_then(|receipt| receipt.verify(&trust));
    let proven = proven.map_err(|defect| refused(&defect))?;
    let cert = typed.cert.as_deref().map(certificate).transpose()?;
    if let Some(cert) = &cert {
        is_about(&proven, cert)?;
    }
    Ok(said(&proven, cert.map(|_| true)))
}

fn refused(defect: &Defect) -> Failure {
    let next = match defect.name {
        "note-unsigned" => {
            "take the key of this ledger: its name is the first line of the checkpoint"
        }
        "receipt-quorum" => {
            "ask for the receipt again once the witnesses have seen a checkpoint that covers it"
        }
        _ => "do not believe it, and ask for the receipt again: somebody changed it, or a disk did",
    };
    Failure::new(format!("the receipt does not hold: {defect}")).next(next)
}

fn is_about(proven: &Proven, certificate: &Certificate) -> Outcome {
    let hash = identity::key::sha256(&[certificate.der()]);
    if proven.issued(&hash) {
        return Ok(());
    }
    let what = match proven.payload() {
        None => "what the entry says was erased: it cannot be told which certificate it is about",
        Some(_) => "the receipt holds, and is about another certificate than this one",
    };
    Err(Failure::new(what)
        .next("take the receipt of this certificate: `muster ledger prove cert:HEX`"))
}

fn read(path: &Path) -> Outcome<String> {
    let most = RECEIPT_OCTETS_MAX as u64 + 1;
    let failed = |e: std::io::Error| Failure::file("read", path, &e);
    let mut octets = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut octets).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(most).read_to_end(&mut octets).map_err(failed)?;
    }
    String::from_utf8(octets)
        .map_err(|_| Failure::new(format!("`{}` is no receipt: it is not text", path.display())))
}

fn certificate(path: &Path) -> Outcome<Certificate> {
    let octets = std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(format!("`{}` is no certificate: {e}", path.display()))
    };
    if octets.first() == Some(&0x30) {
        return Certificate::parse(&octets).map_err(|e| failed(&e));
    }
    let text = String::from_utf8(octets).map_err(|_| failed(&"it is neither PEM nor DER"))?;
    let found = Certificate::parse_pem(&text, 8).map_err(|e| failed(&e))?;
    found.into_iter().next().ok_or_else(|| failed(&"there is none in it"))
}

fn said(proven: &Proven, is_of_cert: Option<bool>) -> Said {
    let (entry, payload) = (proven.entry(), proven.payload());
    let text = |name: &str| payload.and_then(|p| p.get(name)).and_then(Value::as_text);
    let octets = |name: &str| payload.and_then(|p| p.get(name)).and_then(Value::as_bytes).map(hex);
    Said {
        origin: proven.checkpoint().origin.to_string(),
        entry: entry.index,
        class: entry.class.as_str(),
        hour: rfc3339(
            UnixTime::from_secs(entry.hours.saturating_mul(3600)).min(UnixTime::NEVER_ENDS),
        ),
        verb: payload.map(|p| p.verb().to_owned()),
        device: text("device").map(str::to_owned),
        certificate: octets("serial"),
        certificate_sha256: octets("certificate"),
        is_of_cert,
        payload: payload.map(json),
        checkpoint_size: proven.checkpoint().size,
        checkpoint_root: base64(&proven.checkpoint().root),
        witnesses: Seen::all(proven.cosigned()),
    }
}

fn json(payload: &Payload) -> serde_json::Value {
    serde_json::Value::Object(payload.iter().map(|(k, v)| (k.to_owned(), value(v))).collect())
}

fn value(of: &Value) -> serde_json::Value {
    match of {
        Value::Text(text) => text.as_str().into(),
        Value::Uint(number) => (*number).into(),
        Value::Bytes(octets) => hex(octets).into(),
        Value::Bool(yes) => (*yes).into(),
        Value::List(list) => list.iter().map(value).collect(),
        Value::Map(map) => {
            serde_json::Value::Object(map.iter().map(|(k, v)| (k.to_owned(), value(v))).collect())
        }
    }
}

fn sheet(said: &Said, paint: Paint) -> String {
    let about = said.is_of_cert.map(|_| "this receipt is about it".to_owned());
    let all = members(
        paint,
        [
            ("ledger", Some(said.origin.clone())),
            ("entry", Some(format!("{} of {}", said.entry, said.checkpoint_size))),
            ("class", Some(said.class.to_owned())),
            ("within the hour of", Some(said.hour.clone())),
            ("what happened", Some(said.verb.clone().unwrap_or_else(|| "(erased)".to_owned()))),
            ("device", said.device.clone()),
            ("certificate", said.certificate.as_ref().map(|hex| format!("cert:{hex}"))),
            ("its sha-256", said.certificate_sha256.clone()),
            ("--cert", about),
            ("seen by", Some(Seen::sentence(&said.witnesses))),
        ],
    );
    format!("{}\n{all}", paint.good("the receipt holds"))
}

#[cfg(test)]
mod tests;
