//! Proofs for somebody who does not trust us: receipts of certificates, and that the ledger only
//! grew.

use super::body::{Asked, Named};
use super::openapi::Problems;
use super::refuse::Refused;
use super::who::{Anyone, Viewer, Who};
use super::{Answer, State, apart, certificate, device};
use crate::receipt::{Unproven, growth, is_witnessed, receipt};
use crate::witness;
use api::GrowthView;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use identity::credential::Requester;
use identity::text::base64;
use identity::{Credential, CredentialKind, Serial};
use registry::Role;
use serde::Deserialize;
use utoipa::IntoParams;

/// Gives the receipt of a device: that of its current leaf's issuance, or of its birth certificate
/// before it joined, as a C2SP tlog-proof.
#[utoipa::path(get, path = api::path::DEVICE_RECEIPT, tag = "devices",
    params(("id" = String, Path, description = "A name of the device"), Wanted),
    responses((status = 200, content_type = "text/plain", body = String), Problems))]
pub(crate) async fn of_device(
    state: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Refused> {
    apart(move || {
        let found = device::resolve(&state, &who, &name)?;
        // The newest leaf comes first, and birth certificates last.
        let newest = state.house.registry.credentials_of(who.realm.key, &found.id, 1)?;
        let missing = || Refused::Missing { what: "certificate of the device", name };
        let serial = newest.first().map(|c| c.serial).ok_or_else(missing)?;
        proof(&state, &who, &serial, wanted)
    })
    .await
}

/// Gives the receipt of a certificate: that of its issuance, as a C2SP tlog-proof. A station gets
/// those of the birth certificates that it sent the requests of, to put them beside.
#[utoipa::path(get, path = api::path::CERTIFICATE_RECEIPT, tag = "certificates",
    params(("name" = String, Path, description = "`cert:HEX`, `spki:HEX` or the bare serial \
        number in hex"), Wanted),
    responses((status = 200, content_type = "text/plain", body = String), Problems))]
pub(crate) async fn of_certificate(
    state: State,
    Anyone(who): Anyone,
    Named(name): Named<String>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Refused> {
    apart(move || {
        let found = certificate::newest(&state, &who, &name)?;
        if who.role == Role::Station && !is_own_birth(&found, &who) {
            let needs = "`viewer`, `operator` or `admin` for what this station did not send";
            return Err(Refused::Role { has: who.role, needs });
        }
        proof(&state, &who, &found.serial, wanted)
    })
    .await
}

/// A receipt tells what is printed on the unit, its labels and the line it came from, and what names a
/// certificate is public: a station is told of its own units, and of nobody else's.
fn is_own_birth(found: &Credential, who: &Who) -> bool {
    found.kind == CredentialKind::Birth && found.requester == Requester::operator(&who.name)
}

/// What kind of receipt.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only one whose checkpoint the realm's witnesses have cosigned, where it has any; until they
    /// have, the answer is 503, and its `Retry-After` says when to ask again.
    #[serde(default)]
    witnessed: bool,
}

fn proof(state: &State, who: &Who, serial: &Serial, wanted: Wanted) -> Result<Response, Refused> {
    let missing = || Refused::Missing { what: "entry that issued", name: serial.to_string() };
    let index = state.house.registry.issuance(who.realm.key, serial)?.ok_or_else(missing)?;
    let made = receipt(&state.house, &who.realm, index).map_err(|why| refused(why, index))?;
    if wanted.witnessed && !is_witnessed(&made, &who.realm) {
        return Err(unwitnessed(state, who, index));
    }
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], made.encode()).into_response())
}

/// How often a checkpoint is shown to witnesses who are well.
const ROUND_S: u64 = 1;
/// How long one that failed is left alone, at first.
const TROUBLE_S: u64 = 5;

/// What is known of a receipt that waits for its witnesses.
fn unwitnessed(state: &State, who: &Who, index: u64) -> Refused {
    let (realm, named) = (who.realm.name().as_str(), who.realm.settings.witnesses());
    let in_trouble = |named: &&witness::Named| {
        state.house.witnessing.state(realm, &named.name).trouble.is_some()
    };
    let (all, troubled) = (named.len(), named.iter().filter(in_trouble).count());
    let wanted = who.realm.settings.witness_quorum();
    let few = match wanted {
        0 | 1 => "no witness has".to_owned(),
        wanted => format!("fewer than {wanted} witnesses have"),
    };
    let mut sentence = format!("{few} cosigned a checkpoint with entry {index} yet");
    if troubled > 0 {
        sentence.push_str(&format!("; of {all}, {troubled} cannot be reached or will not cosign"));
    }
    let after_s = if all - troubled >= wanted { ROUND_S } else { TROUBLE_S };
    Refused::Unwitnessed { sentence, after_s }
}

/// Between which sizes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Sizes {
    /// The size of the earlier ledger.
    from: u64,
    /// The size of the later one; the ledger's own where it is left out.
    to: Option<u64>,
}

/// Proves that the ledger only grew between two sizes (RFC 6962 §2.1.2), with a checkpoint of the
/// later one.
#[utoipa::path(get, path = api::path::CONSISTENCY, tag = "entries", params(Sizes),
    responses((status = 200, body = GrowthView), Problems))]
pub(crate) async fn consistency(
    state: State,
    Viewer(who): Viewer,
    Asked(sizes): Asked<Sizes>,
) -> Answer<GrowthView> {
    let Sizes { from, to } = sizes;
    if to.is_some_and(|to| to < from) {
        let sentence = "`to` is not before `from`: a ledger grows".to_owned();
        return Err(Refused::Malformed(sentence));
    }
    apart(move || {
        let made = growth(&state.house, &who.realm, from, to);
        let made = made.map_err(|why| refused(why, to.unwrap_or(from)))?;
        Ok(axum::Json(GrowthView {
            from,
            proof: made.proof.iter().map(|hash| base64(hash)).collect(),
            checkpoint: made.note,
        }))
    })
    .await
}

fn refused(why: Unproven, index: u64) -> Refused {
    match why {
        Unproven::Read(error) => error.into(),
        Unproven::Beyond => Refused::Missing { what: "entry", name: index.to_string() },
        Unproven::Broken(sentence) => {
            tracing::error!("no proof could be made: {sentence}");
            Refused::Outage("the proof could not be made: see the server's log")
        }
    }
}
