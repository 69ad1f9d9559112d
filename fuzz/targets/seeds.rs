//! Writes a few good inputs for each target to `seeds/TARGET/`, so that a short run starts behind
//! the first checks. They are made on the spot: nothing with a date is checked in.
//!
//! It is built like a target, since what is instrumented needs libFuzzer's runtime; `-runs=0`
//! writes and ends.
#![no_main]

#[path = "../../enroll/tests/pki/mod.rs"]
mod pki;

use ca::crl::{self, Crl, Revoked, Scope};
use ca::ocsp::wire::{Digest, cert_id, request};
use ca::ocsp::{Responder, Status};
use const_oid::ObjectIdentifier;
use der::asn1::{Any, OctetString};
use enroll::est::wire::{self, certs_only, csrattrs::CsrAttrs, multipart};
use enroll::request::{Wish, make};
use identity::credential::Revocation;
use identity::key::Signer;
use identity::profile::Profile;
use identity::{Certificate, Dice, KeyKind, Outside, Reason, UnixTime};
use ledger::witness::AddCheckpoint;
use ledger::{Checkpoint, Class, Entry, Origin, Payload, Receipt};
use pki::{certificate, key, pkcs8, with_attribute};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use x509_cert::ext::pkix::name::HardwareModuleName;

libfuzzer_sys::fuzz_target!(init: write().unwrap(), |_bytes: &[u8]| {});

fn write() -> Result<(), Box<dyn Error>> {
    ledger_seeds()?;
    ocsp_seeds()?;
    let csrs = csrs()?;
    let leaves: Vec<Certificate> =
        [1, 2].map(|n| certificate(key(n).public().spki(), "leaf", &key(9))).into();
    let pkcs7 = certs_only::write(&leaves.iter().collect::<Vec<_>>())?;
    keep("csr", &csrs)?;
    keep("certificate", &leaves.iter().map(|c| c.der().to_vec()).collect::<Vec<_>>())?;
    keep("certs-only", &[pkcs7.clone(), certs_only::write(&[&leaves[0]])?])?;
    keep("csrattrs", &lists()?)?;
    keep("multipart", &[multiparts(&pkcs7)])?;
    agent_seeds(&leaves, &pkcs7)?;
    keep("est-request", &csrs.iter().map(|csr| est_request(csr)).collect::<Vec<_>>())
}

fn keep(target: &str, inputs: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let place = Path::new("seeds").join(target);
    std::fs::create_dir_all(&place)?;
    for (number, input) in inputs.iter().enumerate() {
        std::fs::write(place.join(number.to_string()), input)?;
    }
    Ok(())
}

fn csrs() -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let bare = make(&key(1), &Wish::default())?;
    let full = make(
        &key(1),
        &Wish {
            common_name: Some("pump"),
            serial_number: Some("S1"),
            challenge_password: Some(&wire::challenge_password(&[7; 32])),
            hardware_module: Some(HardwareModuleName {
                hw_type: ObjectIdentifier::new("1.3.6.1.4.1.99999.1")?,
                hw_serial_num: OctetString::new(*b"HW7")?,
            }),
        },
    )?;
    let value = Any::encode_from(&OctetString::new([1])?)?;
    let encrypted = with_attribute(&bare, "1.2.840.113549.1.9.16.2.37", value, &key(1));
    Ok(vec![bare, full, encrypted])
}

fn lists() -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let all = CsrAttrs::of(&Profile::standard());
    let one = CsrAttrs { key: Some(KeyKind::P256), ..all.clone() };
    let bound = CsrAttrs { key: Some(KeyKind::Rsa), binding: true, ..all.clone() };
    Ok(vec![all.write()?, one.write()?, bound.write()?])
}

fn multiparts(pkcs7: &[u8]) -> Vec<u8> {
    let head = format!("{}\n", multipart::content_type());
    [head.as_bytes(), &multipart::write(&pkcs8(3), pkcs7)].concat()
}

fn est_request(csr: &[u8]) -> Vec<u8> {
    let (id, secret) = ("i".repeat(16), "s".repeat(43));
    let head = format!(
        "POST\n/.well-known/est/plant-7/serverkeygen\napplication/pkcs10\nBearer {id}.{secret}\n"
    );
    [head.as_bytes(), &wire::write_body(csr)].concat()
}

/// Answers as a device hears them: authorities, a leaf in chunks, a key, a refusal and a wait.
fn agent_seeds(leaves: &[Certificate], pkcs7: &[u8]) -> Result<(), Box<dyn Error>> {
    let answer = |head: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let certs = format!("200 OK\r\nContent-Type: {}", wire::CERTS_ONLY);
    let body = wire::write_body(pkcs7);
    let chunked = [
        format!("HTTP/1.1 {certs}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len())
            .as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let attributes = format!("200 OK\r\nContent-Type: {}", wire::CSRATTRS);
    let key = format!("200 OK\r\nContent-Type: {}", multipart::content_type());
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
    let answers = [
        answer(&format!("{certs}\r\n{date}"), &body),
        chunked,
        answer(&attributes, &wire::write_body(&CsrAttrs::of(&Profile::standard()).write()?)),
        answer(&key, &multipart::write(&pkcs8(1), &certs_only::write(&[&leaves[0]])?)),
        answer("403 Forbidden", b"this device is suspended\n"),
        answer("202 Accepted\r\nRetry-After: 300", b""),
        b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.0 503 No\r\n\r\nlater".to_vec(),
    ];
    keep("agent-answer", &answers)?;
    keep("agent-dns", &[dns_answer(33), dns_answer(12), dns_answer(1)])?;
    let report = r#"{"firmware":"2.1.0","serial":"S1","mac":["00:11:22:33:44:55"]}"#;
    let reports = ["/device/v1/report", "/device/v1/plant-7/report"];
    keep("device-report", &reports.map(|path| format!("{path}\n{report}").into_bytes()))
}

/// An answer about the service: one record of this kind, whose name points back to the question.
fn dns_answer(kind: u8) -> Vec<u8> {
    let name = |labels: &[&str]| -> Vec<u8> {
        let mut out: Vec<u8> = Vec::new();
        for label in labels {
            out.push(u8::try_from(label.len()).unwrap_or_default());
            out.extend(label.as_bytes());
        }
        out.push(0);
        out
    };
    let asked = name(&["_muster-est", "_tcp", "plant", "example"]);
    let place = [&[0, 7, 0, 1, 0x20, 0xfb][..], &name(&["muster", "plant", "example"])].concat();
    let data = match kind {
        33 => place,
        12 => [&[4][..], b"unit", &[0xc0, 12]].concat(),
        _ => vec![192, 0, 2, 7],
    };
    let length = u8::try_from(data.len()).unwrap_or_default();
    [
        &[7, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0][..],
        &asked,
        &[0, kind, 0, 1, 0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length],
        &data,
    ]
    .concat()
}

fn ocsp_seeds() -> Result<(), Box<dyn Error>> {
    let now = UnixTime::from_secs(1_790_000_000);
    let mut dice = Same;
    let mut outside = Outside { now, dice: &mut dice };
    let authority = ca::authority::root("seed", &key(1), &mut outside)?;
    let names = ca::ocsp::Names::of(&authority)?;
    let serial = outside.serial();
    let id = |digest| cert_id(digest, &names, &serial);
    let ids = [id(Digest::Sha1)?, id(Digest::Sha256)?];
    let plain = request(&ids[..1], None)?;
    let with_nonce = request(&ids, Some(&[7; 32]))?;
    let by = (&authority, &key(1) as &dyn Signer);
    let responder = Responder::certified(by, Arc::new(key(2)), &mut outside)?;
    let question = ca::ocsp::hear(&with_nonce, [&names]).map_err(|f| f.as_str())?;
    let revoked = Revocation { at: now, reason: Reason::CertificateHold };
    let signed = responder.answer(&question, &[Status::Good, Status::Revoked(revoked)], now)?;
    let entry = Revoked { serial: serial.into(), at: now, reason: Reason::Superseded };
    let list = |entries: Vec<Revoked>| {
        let (scope, next_update) = (Scope::Complete, now.plus_secs(60));
        crl::sign(
            &authority,
            by.1,
            Crl { number: 7, this_update: now, next_update, scope, entries },
        )
    };
    keep("crl", &[list(vec![entry])?, list(Vec::new())?])?;
    keep("ocsp", &[plain, with_nonce, signed.der])
}

/// No chance at all.
struct Same;

impl Dice for Same {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn ledger_seeds() -> Result<(), Box<dyn Error>> {
    let payload = Payload::new("join")
        .with("device", "0190a5b2-7c3d-7e4f-8a1b-2c3d4e5f6071")
        .with("generation", 7u64)
        .with("digest", vec![7u8; 32])
        .encode();
    let digest = ledger::digest(&[7; 32], &payload);
    let entry = Entry { index: 7, hours: 500_000, class: Class::Join, digest }.encode();
    let origin = Origin::new(&[7; 16], 1);
    let checkpoint = Checkpoint { origin, size: 7, root: [7; 32] };
    let note = ledger::note::sign(&checkpoint, &key(1)).map_err(|e| e.to_string())?;
    let receipt = Receipt {
        entry: entry.clone(),
        content: Some(([7; 32], payload.clone())),
        index: 7,
        proof: vec![[1; 32], [2; 32]],
        note: note.clone(),
    };
    let erased = Receipt { content: None, ..receipt.clone() };
    let receipts = [receipt, erased].map(|receipt| receipt.encode().into_bytes());
    keep("ledger-receipt", &receipts)?;
    let add = AddCheckpoint { old: 3, proof: vec![[1; 32]], note: note.clone() };
    let line = ledger::note::cosign::cosign(
        &checkpoint.text(),
        &checkpoint.origin,
        &key(1),
        identity::UnixTime::from_secs(1_790_000_000),
    );
    let line = line.map_err(|e| e.to_string())?;
    keep("ledger-witness", &[add.encode().into_bytes(), line.into_bytes(), b"17\n".to_vec()])?;
    let first = Entry { index: 0, hours: 1, class: Class::Join, digest }.encode();
    let bundle = ledger::tile::bundle(&[&first]).unwrap_or_default();
    let leaf = ledger::tree::leaf_hash(&first);
    let watched = [&[bundle.len() as u8][..], &bundle, &leaf].concat();
    let state = ledger::Monitor::new().encode().unwrap_or_default();
    keep("ledger-monitor", &[watched, state])?;
    keep("ledger-payload", &[payload])?;
    keep("ledger-tile", &[b"tile/0/x001/067.p/8\n".to_vec(), b"tile/entries/000\n".to_vec()])?;
    keep("ledger-note", &[note.into_bytes()])?;
    keep("ledger-entry", &[entry])
}
