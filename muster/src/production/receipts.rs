//! Receipts of a run: for each unit what proves, to somebody who does not trust us, that the ledger
//! has its birth. They come after the births: a witness needs a second to see a new entry, and a
//! line that waits has its certificates already. A receipt is a file beside the certificate; whoever
//! is interrupted types the same again, and only those are asked for that are not there, not whole,
//! or of an earlier certificate.
//!
//! A station is told of the births that it sent. Of another's unit the server says 403, for ever: such
//! a unit holds none of the others up, and an operator fetches its receipt.

use super::{Line, Parcel, write_whole};
use crate::failure::{Failure, Outcome};
use crate::rest::Rest;
use api::path::{CERTIFICATE_RECEIPT, fill};
use hyper::StatusCode;
use identity::Certificate;
use identity::text::{counted, hex};
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
/// Units that an error names: it is read on a terminal, and a run has thousands.
const NAMED: usize = 10;

/// A receipt that is to be got.
struct Wanted {
    /// The unit's serial number.
    serial: String,
    /// The certificate's.
    certificate: String,
    /// Where it goes.
    file: PathBuf,
}

/// What came of a run's receipts.
pub(crate) struct Got {
    /// So many came.
    pub(crate) count: u64,
    /// Those that this credential is not given, since somebody else sent the births.
    withheld: Vec<Wanted>,
}

impl Got {
    /// A run without some of its receipts has failed, and its station cannot mend it.
    pub(crate) fn whole(&self) -> Outcome {
        let Some(first) = self.withheld.first() else { return Ok(()) };
        let (one, many) = ("receipt is", "receipts are");
        let held = counted(self.withheld.len() as u64, one, many);
        let named = self.withheld.iter().take(NAMED).map(|unit| format!("`{}`", unit.serial));
        let mut units = named.collect::<Vec<_>>().join(", ");
        if let Some(more @ 1..) = self.withheld.len().checked_sub(NAMED) {
            units.push_str(&format!(" and {more} more"));
        }
        let what =
            format!("{held} not for this credential, which did not send the births: {units}");
        Err(Failure::new(what).next(format!(
            "an operator has to fetch these: type the same with an operator's credential \
             (`--as FILE`), or {} for each",
            proving(&first.certificate, &first.file)
        )))
    }
}

/// What an operator types for one receipt.
fn proving(certificate: &str, file: &Path) -> String {
    format!("`muster ledger prove cert:{certificate} > {}`", file.display())
}

/// Writes the receipt of a certificate into `file`.
pub(crate) async fn one(rest: &Rest, certificate: &str, file: &Path) -> Outcome {
    let path = format!("{}?witnessed=true", fill(CERTIFICATE_RECEIPT, &[certificate]));
    let text = rest.text(path).await.map_err(|failure| {
        let what = format!("no receipt of `{certificate}`: {}", failure.what());
        if failure.is_forbidden() {
            let next = format!("an operator has to fetch it: {}", proving(certificate, file));
            return Failure::new(what).next(next).status(StatusCode::FORBIDDEN);
        }
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

/// Gets every receipt that a run in `dir` does not have yet and that this credential is given.
pub(crate) async fn all(dir: &Path, parcel: &Parcel, rest: &Arc<Rest>) -> Outcome<Got> {
    let mut missing = missing(dir, parcel)?.into_iter();
    let bar = crate::progress::bar(Some(missing.len() as u64), "receipts");
    let mut got = Got { count: 0, withheld: Vec::new() };
    let (mut flying, mut first_failure) = (JoinSet::new(), None);
    loop {
        while first_failure.is_none() && flying.len() < IN_FLIGHT {
            let Some(wanted) = missing.next() else { break };
            let rest = Arc::clone(rest);
            flying.spawn(async move {
                let done = one(&rest, &wanted.certificate, &wanted.file).await;
                (wanted, done)
            });
        }
        let Some(landed) = flying.join_next().await else { break };
        match landed {
            Ok((_, Ok(()))) => got.count += 1,
            Ok((wanted, Err(failure))) if failure.is_forbidden() => got.withheld.push(wanted),
            Ok((_, Err(failure))) => first_failure = first_failure.or(Some(failure)),
            Err(broken) => first_failure = first_failure.or(Some(Failure::new(broken))),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    got.withheld.sort_by(|a, b| a.serial.cmp(&b.serial));
    first_failure.map_or(Ok(got), Err)
}

/// The receipts that are missing. A unit that was reworked has several lines, of which the last
/// counts; one that was reworked by itself has no line of it, so that what lies there counts.
fn missing(dir: &Path, parcel: &Parcel) -> Outcome<Vec<Wanted>> {
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
    let wanted = newest.into_iter().map(|(serial, certificate)| {
        let file = parcel.receipt(&serial);
        let certificate = lying(parcel, &serial).unwrap_or(certificate);
        Wanted { serial, certificate, file }
    });
    Ok(wanted.filter(|wanted| !is_there(&wanted.file, &wanted.certificate)).collect())
}

/// The serial number of the certificate that lies with a unit.
fn lying(parcel: &Parcel, serial: &str) -> Option<String> {
    let chain = Certificate::parse_pem(&parcel.found(serial)?, usize::MAX).ok()?;
    chain.first()?.serial().map(|serial| hex(serial.octets()))
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

    /// A run of units with keys of their own.
    fn run_file(dir: &Path, serials: &[String]) -> PathBuf {
        let line = |serial: &String| {
            let key = NewKey::make(KeyKind::P256).unwrap().signer().unwrap();
            let csr = identity::text::base64(&ca::authority::request("unit", &key).unwrap());
            format!("{{\"csr\":\"{csr}\",\"serial\":\"{serial}\"}}\n")
        };
        let file = dir.join("run.jsonl");
        std::fs::write(&file, serials.iter().map(line).collect::<String>()).unwrap();
        file
    }

    async fn serve(home: &Path) -> (server::Running, OperatorFile) {
        let options =
            server::ServeOptions { home: home.to_owned(), any_port: true, ..Default::default() };
        let running = server::start(options).await.unwrap();
        (running, OperatorFile::find(None, home).unwrap())
    }

    /// The credential of a new station.
    async fn station(name: &str, admin: &Rest, home: &Path) -> Arc<Rest> {
        let wish = api::OperatorRequest { name: name.to_owned(), role: api::Role::Station };
        let made: api::OperatorMade = admin.post(api::path::OPERATORS, &wish).await.unwrap();
        let file = OperatorFile::find(None, home).unwrap();
        let file = OperatorFile { token: zeroize::Zeroizing::new(made.token), ..file };
        Arc::new(Rest::new(&file).unwrap())
    }

    async fn births(run: &Path, out: &Path, parcel: &Parcel, rest: &Arc<Rest>) -> Summary {
        let results = Results::open(out, parcel).unwrap();
        let units = Units::open(run, "realm").unwrap();
        let found = survey(&mut Units::open(run, "realm").unwrap(), &results.done).unwrap();
        let (rest, parcel, bar) = (Arc::clone(rest), parcel.clone(), ProgressBar::hidden());
        let run = Run { rest, parcel, results, bar };
        let begun = Summary { units: found.units, ..Summary::default() };
        run.send(units, begun).await.unwrap()
    }

    #[tokio::test]
    async fn each_unit_gets_its_receipt_and_what_is_missing_or_torn_is_asked_for_again() {
        let home = tempfile::tempdir().unwrap();
        let (running, file) = serve(home.path()).await;
        let rest = Arc::new(Rest::new(&file).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("born");
        let parcel = Parcel::new(&out, "root", "https://a:8443", "00");
        let run = run_file(dir.path(), &["S1", "S2", "S3"].map(str::to_owned));
        assert_eq!(births(&run, &out, &parcel, &rest).await.issued, 3);
        let got = async || all(&out, &parcel, &rest).await.unwrap().count;

        assert_eq!(got().await, 3);
        let kept = |serial: &str| out.join(serial).join("birth.tlog-proof");
        assert_eq!(got().await, 0, "nothing is asked for twice");

        std::fs::copy(out.join("S2/birth.pem"), out.join("S1/birth.pem")).unwrap();
        assert_eq!(got().await, 1, "a receipt is of the certificate that lies beside it");
        let of_both = ["S1", "S2"].map(|unit| lying(&parcel, unit).unwrap());
        assert_eq!(of_both[0], of_both[1]);
        assert!(is_there(&kept("S1"), &of_both[0]));
        let first = std::fs::read_to_string(kept("S1")).unwrap();

        std::fs::remove_file(kept("S2")).unwrap();
        std::fs::write(kept("S3"), &first).unwrap();
        assert_eq!(got().await, 2, "also what is another's");
        std::fs::write(kept("S2"), "").unwrap();
        running.stop().await;
        let failure = all(&out, &parcel, &rest).await.err().unwrap();
        assert!(failure.what().contains("no receipt of"), "{}", failure.what());
        assert_eq!(std::fs::read_to_string(kept("S1")).unwrap(), first);
    }

    #[tokio::test]
    async fn units_that_another_station_sent_hold_none_up_and_are_left_to_an_operator() {
        let home = tempfile::tempdir().unwrap();
        let (running, file) = serve(home.path()).await;
        let admin = Arc::new(Rest::new(&file).unwrap());
        let first = station("line-1", &admin, home.path()).await;
        let second = station("line-2", &admin, home.path()).await;
        let dir = tempfile::tempdir().unwrap();
        let at = |out: &str| {
            let out = dir.path().join(out);
            let parcel = Parcel::new(&out, "root", "https://a:8443", "00");
            (out, parcel)
        };
        // More than are under way at once, and all of them ahead of the others.
        let theirs = IN_FLIGHT + 1;
        let serials: Vec<_> = (0..theirs + 3).map(|n| format!("S{n:02}")).collect();
        let whole = std::fs::read_to_string(run_file(dir.path(), &serials)).unwrap();
        let (run, begun) = (dir.path().join("run.jsonl"), dir.path().join("begun.jsonl"));
        let lines: Vec<_> = whole.split_inclusive('\n').take(theirs).collect();
        std::fs::write(&begun, lines.concat()).unwrap();
        let (out, parcel) = at("first");
        assert_eq!(births(&begun, &out, &parcel, &first).await.issued, theirs as u64);
        let (out, parcel) = at("second");
        assert_eq!(births(&run, &out, &parcel, &second).await.again, theirs as u64);

        let got = all(&out, &parcel, &second).await.unwrap();
        assert_eq!((got.count, got.withheld.len()), (3, theirs));
        let failure = got.whole().unwrap_err();
        let what =
            "17 receipts are not for this credential, which did not send the births: `S00`, ";
        assert!(failure.what().starts_with(what), "{}", failure.what());
        assert!(failure.what().ends_with("`S09` and 7 more"), "{}", failure.what());
        let Wanted { certificate, file, .. } = &got.withheld[0];
        let alone = one(&second, certificate, file).await.unwrap_err();
        assert!(alone.is_forbidden());
        for failure in [failure, alone] {
            let next = failure.advice().unwrap();
            assert!(next.contains(&format!("muster ledger prove cert:{certificate}")), "{next}");
        }

        let rest = all(&out, &parcel, &admin).await.unwrap();
        assert_eq!(rest.count, theirs as u64, "an operator is given all of them");
        assert!(rest.whole().is_ok());
        running.stop().await;
    }
}
