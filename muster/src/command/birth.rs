//! Birth: a certificate for the life of the device, one unit or a whole run.

use super::words::{pair, why};
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::production::{self, Parcel, Results, Run, Summary, Units, csr_text};
use crate::rest::Rest;
use crate::session::Session;
use api::path::{BIRTHS, REALM};
use api::{BirthBatch, BirthOutcome, BirthRequest, BirthResult, BirthResults, RealmView};
use clap::Args;
use identity::text::counted;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Give birth certificates to units at the production line: one, or a whole run.
///
/// One unit: --csr and --serial; the chain comes out in PEM, without the root. The key stays in the
/// unit: only its request (PKCS#10) comes here.
///
/// A run: --batch FILE --out DIR. The file has one JSON object a line, with the members `csr` (PEM,
/// or base64 of the DER), `serial`, `model`, `mac` (a list), `imei`, `ek_digest`, `meta` (an
/// object) and `replace`; a file named .csv has the same as columns (`mac` separated by `;`, and
/// `meta.KEY`). Each unit gets DIR/SERIAL/ with birth.pem, root.pem and muster-agent.toml, and a
/// line in DIR/results.jsonl: its certificate, or why it was refused. In names of directories,
/// everything but letters, digits and `-_.` stands as %XX. With --receipts each unit also gets
/// birth.tlog-proof, which a door may demand: the proof that the ledger has its birth. A station gets
/// those of the births that it sent; an operator types the same for the rest.
///
/// A run that was interrupted is typed again and goes on: each unit has exactly one birth
/// certificate, however often it is asked for. Refused units are asked again.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster birth --csr unit.csr --serial P7-000123 --model P7 --mac 00:11:22:33:44:55 > birth.pem
  muster birth --csr unit.csr --serial P7-000123 --receipt birth.tlog-proof > birth.pem
  muster birth --batch run.jsonl --out born --receipts
  muster birth --csr new.csr --serial P7-000123 --replace \"board changed, RMA 4711\"")]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Birth {
    /// The unit's request, PEM or DER; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "what", requires = "serial")]
    csr: Option<PathBuf>,
    /// A production run: JSON lines, or CSV.
    #[arg(long, value_name = "FILE", group = "what", requires = "out")]
    batch: Option<PathBuf>,
    /// Where the files go.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where devices find this server, for muster-agent.toml [default: the host that the operator
    /// credential names, with the device port].
    #[arg(long, value_name = "URL")]
    device_url: Option<String>,
    /// Also get the receipts, as birth.tlog-proof beside each birth.pem; once the realm's witnesses
    /// have seen them.
    #[arg(long, requires = "out")]
    receipts: bool,
    #[command(flatten)]
    unit: UnitArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "One unit")]
struct UnitArgs {
    /// Its serial number.
    #[arg(long, value_name = "S", conflicts_with = "batch")]
    serial: Option<String>,
    /// Its model.
    #[arg(long, value_name = "M", conflicts_with = "batch")]
    model: Option<String>,
    /// A MAC address; may be said again.
    #[arg(long, value_name = "A", conflicts_with = "batch")]
    mac: Vec<String>,
    /// Its IMEI, 15 digits.
    #[arg(long, value_name = "I", conflicts_with = "batch")]
    imei: Option<String>,
    /// SHA-256 of its TPM's endorsement key, hex.
    #[arg(long, value_name = "H", conflicts_with = "batch")]
    ek_digest: Option<String>,
    /// Anything else worth keeping, KEY=VALUE; may be said again.
    #[arg(long, value_name = "K=V", value_parser = pair, conflicts_with = "batch")]
    meta: Vec<(String, String)>,
    /// Rework: why this serial number is born again with another key or with other identifiers; the
    /// earlier certificates are revoked.
    #[arg(long, value_name = "WHY", value_parser = why, conflicts_with = "batch")]
    replace: Option<String>,
    /// Also write its receipt (C2SP tlog-proof) here, once the realm's witnesses have seen it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["batch", "receipts"])]
    receipt: Option<PathBuf>,
}

/// Does what was typed.
pub(super) async fn run(typed: Birth, session: &Session) -> Outcome {
    let rest = Arc::new(session.rest()?);
    remark_addresses(&rest, session).await?;
    let url = match &typed.device_url {
        Some(url) => device_url(url)?,
        None => default_url(&rest, session),
    };
    // A unit gets the newest root, also from a station whose credential has an older one.
    let pinned = session.credential()?.root;
    let root = super::operator::successor(&pinned, &rest).await?.unwrap_or(pinned);
    let (pem, pin) = (root.pem(), root.spki_hash().to_string());
    let parcel = |dir: &Path| Parcel::new(dir, &pem, &url, &pin);
    match (&typed.batch, &typed.out) {
        (Some(batch), Some(out)) => {
            let parcel = parcel(out);
            let told = many(batch, out, parcel.clone(), &rest, session).await?;
            if typed.receipts {
                let got = production::receipts::all(out, &parcel, &rest).await?;
                let told = counted(got.count, "new receipt", "new receipts");
                session.remark(&format!("{told} beside the certificates"));
                got.whole()?;
            }
            told.refused()
        }
        _ => {
            let parcel = typed.out.as_deref().map(parcel);
            let beside = parcel.as_ref().filter(|_| typed.receipts).map(Parcel::receipt_of_one);
            let receipt = typed.unit.receipt.clone().or(beside);
            let born = one(typed.request()?, parcel, &rest, session).await?;
            match (receipt, born.certificate_serial) {
                (Some(file), Some(serial)) => {
                    production::receipts::one(&rest, &serial, &file).await
                }
                _ => Ok(()),
            }
        }
    }
}

impl Birth {
    fn request(&self) -> Outcome<BirthRequest> {
        let csr = self.csr.as_deref().map(csr_text).transpose()?.unwrap_or_default();
        let unit = &self.unit;
        Ok(BirthRequest {
            csr,
            serial: unit.serial.clone().unwrap_or_default(),
            model: unit.model.clone().unwrap_or_default(),
            mac: unit.mac.clone(),
            imei: unit.imei.clone(),
            ek_digest: unit.ek_digest.clone(),
            meta: unit.meta.iter().cloned().collect(),
            replace: unit.replace.clone(),
        })
    }
}

/// Without a public URL certificates say nowhere where their CRL is, and a birth certificate is for
/// life: that is worth a word before the first one. A station may not look, and is not told.
async fn remark_addresses(rest: &Rest, session: &Session) -> Outcome {
    match rest.get::<RealmView>(REALM).await {
        Ok(realm) if realm.public_url.is_none() => session.remark(
            "note: the server has no public URL, so certificates say nowhere where their CRL is; \
             see `muster serve --public-url`",
        ),
        Ok(_) => {}
        Err(failure) if failure.is_forbidden() => {}
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// It goes between quotes of a TOML file on every unit, so it is plain.
fn device_url(url: &str) -> Outcome<String> {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    let host = url.strip_prefix("https://").filter(|h| !h.is_empty() && h.chars().all(plain));
    match host {
        Some(_) => Ok(url.trim_end_matches('/').to_owned()),
        None => Err(Failure::usage(format!("`{url}` is no https://HOST:PORT"))),
    }
}

fn default_url(rest: &Rest, session: &Session) -> String {
    let ports = session.home.join("run").join("ports.json");
    let ports = Some(ports).filter(|_| session.is_at_home());
    let text = ports.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let ports: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let port = ports.get("device").and_then(serde_json::Value::as_u64).unwrap_or(8443);
    format!("https://{}:{port}", rest.host)
}

async fn one(
    request: BirthRequest,
    parcel: Option<Parcel>,
    rest: &Rest,
    session: &Session,
) -> Outcome<BirthResult> {
    let serial = request.serial.clone();
    let batch = BirthBatch { births: vec![request] };
    let answer: BirthResults = rest.post(BIRTHS, &batch).await?;
    let result = answer.results.into_iter().next();
    let result = result.ok_or_else(|| Failure::new("the server answered nothing"))?;
    if result.outcome == BirthOutcome::Refused {
        let reason = result.reason.unwrap_or_else(|| "refused".to_owned());
        return Err(Failure::new(reason).next(match result.rule.as_deref() {
            Some("second-birth") => format!(
                "`muster device show serial:{serial}` says what is known; rework: --replace WHY"
            ),
            Some("birth-differs") => {
                "leave out what is not recorded; rework: --replace WHY, which \
                revokes the earlier certificate"
                    .to_owned()
            }
            Some("key-born-twice") => "look at the image that is flashed: the unit makes its key \
                after flashing"
                .to_owned(),
            _ => "the same will be refused again: correct what the sentence names".to_owned(),
        }));
    }
    let chain = result.certificate.clone().unwrap_or_default();
    let told = match &parcel {
        Some(parcel) => parcel.put_one(&chain)?,
        None => chain,
    };
    if result.outcome == BirthOutcome::Again {
        session.remark("note: this unit was born before, with the same key: the same certificate");
    }
    session.show(&result, |_: &BirthResult, _| told)?;
    Ok(result)
}

/// A run that was told, and where its lines are.
struct Told {
    units: u64,
    refused: u64,
    path: PathBuf,
}

impl Told {
    /// A run with refusals has failed; the others are born all the same.
    fn refused(&self) -> Outcome {
        let Self { units, refused, path } = self;
        if *refused == 0 {
            return Ok(());
        }
        let of = counted(*units, "unit", "units");
        Err(Failure::new(format!("{refused} of {of} refused")).next(format!(
            "each `reason` is in `{}`; correct and type the same again",
            path.display()
        )))
    }
}

async fn many(
    batch: &Path,
    out: &Path,
    parcel: Parcel,
    rest: &Arc<Rest>,
    session: &Session,
) -> Outcome<Told> {
    let realm = format!("{}/{}", rest.root_pin, rest.realm);
    let results = Results::open(out, &parcel)?;
    let survey = production::survey(&mut Units::open(batch, &realm)?, &results.done)?;
    let path = results.path().to_owned();
    let bar = crate::progress::bar(Some(survey.units - survey.done), "units");
    let run = Run { rest: Arc::clone(rest), parcel, results, bar };
    let begun = Summary { units: survey.units, skipped: survey.done, ..Summary::default() };
    let summary = run.send(Units::open(batch, &realm)?, begun).await?;
    session.show(&summary, |summary, paint| tell(summary, &path, paint))?;
    Ok(Told { units: summary.units, refused: summary.refused, path })
}

fn tell(summary: &Summary, path: &Path, paint: Paint) -> String {
    let Summary { units: of, skipped, issued, again, refused } = summary;
    let born = paint.good(&format!("{} born", issued + again + skipped));
    format!(
        "{}: {born} ({issued} now, {} before), {refused} refused\n{}",
        counted(*of, "unit", "units"),
        again + skipped,
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_one_unit_says_so() {
        let told = |units| {
            let told = Told { units, refused: 1, path: PathBuf::from("results.jsonl") };
            told.refused().unwrap_err().what().to_owned()
        };
        assert_eq!([told(1), told(41)], ["1 of 1 unit refused", "1 of 41 units refused"]);
    }

    #[test]
    fn what_goes_into_every_unit_is_a_plain_address() {
        assert_eq!(device_url("https://id.example:8443/").unwrap(), "https://id.example:8443");
        for refused in ["http://a", "https://", "https://a\"\nx=1", "https://a b"] {
            assert!(device_url(refused).is_err(), "{refused}");
        }
    }
}
