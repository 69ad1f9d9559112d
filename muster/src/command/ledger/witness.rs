//! Whom the server asks to see that its ledger only grows.

use super::entries;
use crate::command::receipt::witness_key;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Query, Rest};
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{WITNESS, WITNESSES, fill};
use api::{WitnessRequest, WitnessView};
use clap::{Args, Subcommand};

/// Witnesses of the ledger: others who sign that they saw it, so that nobody can be shown another
/// past.
///
/// The server shows them each checkpoint (C2SP tlog-witness) and publishes it once enough of them
/// have cosigned (`realm set witness_quorum`, 1 by default). Whoever has a receipt then demands
/// their cosignatures with `receipt verify --witness`. `muster witness serve` is one.
#[derive(Debug, Subcommand)]
pub(crate) enum Witness {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Ask a witness from now on, or change its address or key.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ledger witness add audit --url http://audit.example:8090 --key audit.vkey")]
pub(crate) struct Add {
    /// What you call it: letters, digits and `-_.`.
    name: String,
    /// Where it is asked, its submission prefix: `http://HOST:PORT`, or https. Nothing is believed
    /// because of the address, only by the key.
    #[arg(long, value_name = "URL")]
    url: String,
    /// Its key, a C2SP verifier key or a file with it (`muster witness key`).
    #[arg(long, value_name = "VKEY")]
    key: String,
}

/// List the witnesses: what each cosigned last, and why one does not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ledger witness list")]
pub(crate) struct List {}

/// Ask a witness no more.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster ledger witness remove audit")]
pub(crate) struct Remove {
    /// What you call it.
    name: String,
}

pub(super) async fn run(typed: &Witness, rest: &Rest, session: &Session) -> Outcome {
    match typed {
        Witness::Add(Add { name, url, key }) => {
            let request = WitnessRequest { url: url.clone(), key: witness_key(key)?.to_string() };
            let made: WitnessView = rest.put(fill(WITNESS, &[name]), &request).await?;
            session.show(&made, sheet)
        }
        Witness::List(List {}) => {
            let rows: Vec<WitnessView> = rest.list(WITNESSES, &Query::default(), None).await?;
            session.show(&rows, |rows, paint| table(rows, paint))
        }
        Witness::Remove(Remove { name }) => {
            rest.delete(fill(WITNESS, &[name])).await.map_err(named)
        }
    }
}

fn named(failure: Failure) -> Failure {
    if failure.is_absent() { failure.next("`muster ledger witness list` has all") } else { failure }
}

fn sheet(row: &WitnessView, paint: Paint) -> String {
    members(
        paint,
        [
            ("name", Some(row.name.clone())),
            ("url", Some(row.url.clone())),
            ("key", Some(row.key.clone())),
            ("cosigned", row.cosigned_size.map(entries)),
            ("at", row.cosigned_at.clone()),
            ("trouble", row.trouble.clone()),
        ],
    )
}

fn table(rows: &[WitnessView], paint: Paint) -> String {
    let mut table = Table::new(&["NAME", "COSIGNED", "AT", "LAG", "URL", "TROUBLE"]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.cosigned_size.map(|n| n.to_string()).unwrap_or_default(),
            row.cosigned_at.clone().unwrap_or_default(),
            row.lag.map(|n| n.to_string()).unwrap_or_default(),
            row.url.clone(),
            row.trouble.clone().unwrap_or_default(),
        ]);
    }
    table.print(paint)
}
