//! A receipt, for somebody outside.

use crate::failure::Outcome;
use crate::output;
use crate::rest::Rest;
use crate::session::Session;
use api::path::{CERTIFICATE_RECEIPT, DEVICE_RECEIPT, fill};
use clap::Args;
use identity::name::CertificateName;
use serde::Serialize;

/// Print the receipt of a device or a certificate: the proof that the ledger has its issuance.
///
/// It is a file of its own (C2SP tlog-proof): the entry, what it says, the way to the root, and a
/// checkpoint with the cosignatures of witnesses. `receipt verify` checks it without a server. Of a
/// device it is the receipt of its current leaf.
///
/// It tells what the entry tells, and nothing of other devices. Where there are witnesses, they have
/// seen a new entry after a second or so; ask again if none did yet.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ledger prove serial:P7-000123 > pump-7.tlog-proof
  muster ledger prove cert:0190a5b27c3d0123456789abcdef0123 > leaf.tlog-proof")]
pub(crate) struct Prove {
    /// The device, by any of its names, or the certificate, as `cert:HEX` or `spki:HEX`.
    #[arg(value_name = "DEVICE|CERTIFICATE")]
    name: String,
}

#[derive(Serialize)]
struct Made {
    receipt: String,
}

pub(super) async fn run(typed: &Prove, rest: &Rest, session: &Session) -> Outcome {
    let certificate = CertificateName::parse(&typed.name).is_some();
    let path = if certificate { CERTIFICATE_RECEIPT } else { DEVICE_RECEIPT };
    let receipt = rest.text(fill(path, &[&typed.name])).await?;
    // Its last line is a signature, and ends as every line does.
    if session.json { output::json(&Made { receipt }) } else { output::text(&receipt) }
}
