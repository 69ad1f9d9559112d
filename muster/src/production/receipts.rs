//! Receipts of a run: for each unit what proves, to somebody who does not trust us, that the ledger
//! has its birth. They come after the births: a witness needs a second to see a new entry, and a
//! line that waits has its certificates already. A receipt is a file beside the certificate; whoever
//! is interrupted types the same again, and only those are asked for that are not there, not whole,
//! or of an earlier certificate.

use super::{Line, Parcel, write_whole};
use crate::failure::{Failure, Outcome};
use crate::rest::Rest;
use api::path::{CERTIFICATE_RECEIPT, fill};
use identity::text::hex;
use ledger::{Payload, Receipt, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Requests under way, each on a connection of its own: 160 receipts a second also over a network
/// that takes a tenth of a second to answer.
const IN_FLIGHT: usize = 16;

/// Writes the receipt of a certificate into `file`.
pub(crate) async fn one(rest: &Rest, certificate: &str, file: &Path) -> Outcome {
    let path = format!("{}?witnessed=true", fill(CERTIFICATE_RECEIPT, &[certificate]));
    let text = rest.text(path).await.map_err(|failure| {
        let what = format!("no receipt of `{certificate}`: {}", failure.what());
        Failure::new(what).next("type the same again: the certificate stays the one that it is")
    })?;
    if !is_of(&text, certificate) {
        let what =
            format!("the server gave the receipt of another certificate for `{certificate}`");
        return Err(Failure::new(what).next("use the `muster` of the server's version"));
    }
    let file = file.to_owned();
    let written = move || write_whole(&file, text.as_bytes());
    tokio::task::spawn_blocking(written).await.map_err(Failure::new)?
}

/// Gets every receipt that a run in `dir` does not have yet, and says how many that were.
pub(crate) async fn all(dir: &Path, parcel: &Parcel, rest: &Arc<Rest>) -> Outcome<u64> {
    let mut missing = missing(dir, parcel)?.into_iter();
    let bar = crate::progress::bar(Some(missing.len() as u64), "receipts");
    let (mut flying, mut first_failure, mut count) = (JoinSet::new(), None, 0);
    loop {
        while first_failure.is_none() && flying.len() < IN_FLIGHT {
            let Some((certificate, file)) = missing.next() else { break };
            let rest = Arc::clone(rest);
            flying.spawn(async move { one(&rest, &certificate, &file).await });
        }
        let Some(landed) = flying.join_next().await else { break };
        match landed.map_err(Failure::new).and_then(|done| done) {
            Ok(()) => count += 1,
            Err(failure) => first_failure = first_failure.or(Some(failure)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    first_failure.map_or(Ok(count), Err)
}

/// The certificates whose receipt is missing, and where it goes. A unit that was reworked has
/// several lines, of which the last counts.
fn missing(dir: &Path, parcel: &Parcel) -> Outcome<Vec<(String, PathBuf)>> {
    let path = dir.join("results.jsonl");
    let failed = |e: &std::io::Error| Failure::file("read", &path, e);
    let mut newest = BTreeMap::new();
    for line in BufReader::new(File::open(&path).map_err(|e| failed(&e))?).lines() {
        let line: Line = serde_json::from_str(&line.map_err(|e| failed(&e))?)
            .map_err(|e| Failure::new(format!("`{}`: {e}", path.display())))?;
        if let Some(certificate) = line.certificate_serial {
            newest.insert(line.serial, certificate);
        }
    }
    let with_file = newest.into_iter().map(|(serial, certificate)| {
        let file = parcel.receipt(&serial);
        (certificate, file)
    });
    Ok(with_file.filter(|(certificate, file)| !is_there(file, certificate)).collect())
}

/// After a pulled plug a file may be there and empty.
fn is_there(file: &Path, certificate: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| is_of(&text, certificate))
}

/// Whether a text is the receipt of this certificate's issuance. Of a device that was erased
/// meanwhile a receipt does not say whose it is.
fn is_of(text: &str, certificate: &str) -> bool {
    let Ok(receipt) = Receipt::decode(text) else { return false };
    let Some((_, payload)) = receipt.content else { return true };
    let payload = Payload::decode(&payload).ok();
    let serial = payload.as_ref().and_then(|p| p.get("serial")).and_then(Value::as_bytes);
    serial.is_some_and(|octets| hex(octets) == certificate)
}

#[cfg(test)]
mod tests {
    use super::super::{Results, Run, Summary, Units, survey};
    use super::*;
    use crate::credential::OperatorFile;
    use identity::KeyKind;
    use indicatif::ProgressBar;
    use server::keys::NewKey;

    /// A run of three units with keys of their own.
    fn run_file(dir: &Path) -> PathBuf {
        let line = |serial: &str| {
            let key = NewKey::make(KeyKind::P256).unwrap().signer().unwrap();
            let csr = identity::text::base64(&ca::authority::request("unit", &key).unwrap());
            format!("{{\"csr\":\"{csr}\",\"serial\":\"{serial}\"}}\n")
        };
        let file = dir.join("run.jsonl");
        std::fs::write(&file, ["S1", "S2", "S3"].map(line).concat()).unwrap();
        file
    }

    async fn births(run: &Path, out: &Path, parcel: &Parcel, rest: &Arc<Rest>) {
        let results = Results::open(out, parcel).unwrap();
        let units = Units::open(run, "realm").unwrap();
        let found = survey(&mut Units::open(run, "realm").unwrap(), &results.done).unwrap();
        let (rest, parcel, bar) = (Arc::clone(rest), parcel.clone(), ProgressBar::hidden());
        let run = Run { rest, parcel, results, bar };
        let begun = Summary { units: found.units, ..Summary::default() };
        let summary = run.send(units, begun).await.unwrap();
        assert_eq!(summary.issued, 3);
    }

    #[tokio::test]
    async fn each_unit_gets_its_receipt_and_what_is_missing_or_torn_is_asked_for_again() {
        let home = tempfile::tempdir().unwrap();
        let options = server::ServeOptions {
            home: home.path().to_owned(),
            any_port: true,
            ..Default::default()
        };
        let running = server::start(options).await.unwrap();
        let file = OperatorFile::find(None, home.path()).unwrap();
        let rest = Arc::new(Rest::new(&file).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("born");
        let parcel = Parcel::new(&out, "root", "https://a:8443", "00");
        births(&run_file(dir.path()), &out, &parcel, &rest).await;

        assert_eq!(all(&out, &parcel, &rest).await.unwrap(), 3);
        let kept = |serial: &str| out.join(serial).join("birth.tlog-proof");
        let first = std::fs::read_to_string(kept("S1")).unwrap();
        assert_eq!(all(&out, &parcel, &rest).await.unwrap(), 0, "nothing is asked for twice");

        std::fs::remove_file(kept("S2")).unwrap();
        std::fs::write(kept("S3"), &first).unwrap();
        assert_eq!(all(&out, &parcel, &rest).await.unwrap(), 2, "also what is another's");
        std::fs::write(kept("S2"), "").unwrap();
        running.stop().await;
        let failure = all(&out, &parcel, &rest).await.unwrap_err();
        assert!(failure.what().contains("no receipt of"), "{}", failure.what());
        assert_eq!(std::fs::read_to_string(kept("S1")).unwrap(), first);
    }
}
