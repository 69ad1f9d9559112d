//! Certificates of devices: the list, one of them, and its end.

use super::body::{Asked, Json, Named};
use super::openapi::{Idempotent, Problems};
use super::page::{Window, cursor, limit, page};
use super::refuse::Refused;
use super::who::{Operating, Viewer, Who};
use super::{Answer, State, apart, view};
use api::{CertificateView, Page, ReleaseResult, RevocationRequest, RevocationResult};
use identity::name::CertificateName;
use identity::text::from_hex;
use identity::{Credential, CredentialKind, Reason, Serial};
use ledger::{Class, Payload, Value};
use registry::Change;

/// Lists certificates by serial number, which is by age.
#[utoipa::path(get, path = api::path::CERTIFICATES, tag = "certificates", params(Window),
    responses((status = 200, body = Page<CertificateView>), Problems))]
pub(crate) async fn list(
    state: State,
    Viewer(who): Viewer,
    Asked(asked): Asked<Window>,
) -> Answer<Page<CertificateView>> {
    let limit = limit(asked.limit)?;
    let after = cursor(asked.after.as_deref(), serial)?;
    apart(move || {
        let rows = state.house.registry.credentials(who.realm.key, after, limit)?;
        let now = state.house.clock.now();
        let view = |c: &Credential| view::certificate(c, now, false);
        Ok(axum::Json(page(rows, limit, |c| c.serial.to_string(), view)))
    })
    .await
}

/// Shows a certificate, with its PEM.
#[utoipa::path(get, path = api::path::CERTIFICATE, tag = "certificates",
    params(("name" = String, Path, description = "`cert:HEX`, `spki:HEX` or the bare serial \
        number in hex")),
    responses((status = 200, body = CertificateView), Problems))]
pub(crate) async fn show(
    state: State,
    Viewer(who): Viewer,
    Named(name): Named<String>,
) -> Answer<CertificateView> {
    let credential = newest(&state, &who, &name)?;
    Ok(axum::Json(view::certificate(&credential, state.house.clock.now(), true)))
}

/// Revokes a certificate and every leaf of the same key, for `certificateHold` until it is released.
#[utoipa::path(post, path = api::path::CERTIFICATE_REVOKE, tag = "certificates",
    params(("name" = String, Path, description = "`cert:HEX`, `spki:HEX` or the bare serial \
        number in hex"), Idempotent),
    request_body = RevocationRequest,
    responses((status = 200, body = RevocationResult), Problems))]
pub(crate) async fn revoke(
    state: State,
    Operating(who): Operating,
    Named(name): Named<String>,
    Json(request): Json<RevocationRequest>,
) -> Answer<RevocationResult> {
    let reason = view::reason_of(request.reason);
    let credential = newest(&state, &who, &name)?;
    let of_key = of_key(&state, &who, &credential)?;
    let falls: Vec<_> = of_key.iter().filter(|c| falls(c, &credential, reason)).collect();
    if !falls.is_empty() {
        let payload =
            told(&who, "certificate.revoked", &credential, &falls).with("reason", reason.as_str());
        let serials = falls.iter().map(|c| c.serial).collect();
        let change = Change::Revoked { serials, reason };
        state.house.commit(who.realm.key, change, Class::Revocation, payload).await?;
    }
    let after = self::of_key(&state, &who, &credential)?;
    let revoked = after.iter().filter(|c| c.revoked.is_some());
    Ok(axum::Json(RevocationResult { revoked: views(&state, revoked) }))
}

/// Takes a certificate off hold, and every leaf of the same key.
#[utoipa::path(post, path = api::path::CERTIFICATE_RELEASE, tag = "certificates",
    params(("name" = String, Path, description = "`cert:HEX`, `spki:HEX` or the bare serial \
        number in hex"), Idempotent),
    responses((status = 200, body = ReleaseResult), Problems))]
pub(crate) async fn release(
    state: State,
    Operating(who): Operating,
    Named(name): Named<String>,
) -> Answer<ReleaseResult> {
    let credential = newest(&state, &who, &name)?;
    let device = state.house.registry.device(who.realm.key, &credential.device)?;
    // Else a copied leaf of a quarantined device would be good again.
    if let Some(device) = device.filter(|d| !d.standing.is_good()) {
        let (rule, standing) = (device.standing.as_str(), device.standing);
        let sentence =
            format!("its device is {standing}: the hold goes with the device's standing");
        return Err(Refused::Rule { rule, sentence });
    }
    if credential.is_ended() {
        let sentence = "the certificate was revoked for good: only a hold is lifted".to_owned();
        return Err(Refused::Rule { rule: "revoked", sentence });
    }
    let of_key = of_key(&state, &who, &credential)?;
    let back: Vec<_> =
        of_key.iter().filter(|c| is_on_hold(c) && goes_with(c, &credential)).collect();
    if !back.is_empty() {
        let payload = told(&who, "certificate.released", &credential, &back);
        let change = Change::Released { serials: vec![credential.serial] };
        state.house.commit(who.realm.key, change, Class::Revocation, payload).await?;
    }
    let released = back.iter().map(|c| c.serial).collect::<Vec<_>>();
    let after = self::of_key(&state, &who, &credential)?;
    let released = after.iter().filter(|c| released.contains(&c.serial));
    Ok(axum::Json(ReleaseResult { released: views(&state, released) }))
}

fn views<'c>(state: &State, some: impl Iterator<Item = &'c Credential>) -> Vec<CertificateView> {
    let now = state.house.clock.now();
    some.map(|c| view::certificate(c, now, false)).collect()
}

/// Whether a certificate falls, now and for this reason, with the one that was named. A compromised
/// key takes everything with it, what was revoked for another reason too; nothing else is said twice.
fn falls(one: &Credential, named: &Credential, reason: Reason) -> bool {
    let standing = one.revoked.map(|r| r.reason);
    match reason {
        Reason::KeyCompromise => standing != Some(reason),
        Reason::CertificateHold => standing.is_none() && goes_with(one, named),
        _ => !one.is_ended() && goes_with(one, named),
    }
}

/// A birth certificate falls by its own name only, leaves with their key.
fn goes_with(one: &Credential, named: &Credential) -> bool {
    one.kind == CredentialKind::Leaf || one.serial == named.serial
}

fn is_on_hold(credential: &Credential) -> bool {
    credential.revoked.is_some() && !credential.is_ended()
}

fn told(who: &Who, verb: &str, named: &Credential, all: &[&Credential]) -> Payload {
    let serials = all.iter().map(|c| c.serial.octets().to_vec()).collect::<Value>();
    who.payload(verb)
        .with("device", named.device.to_string())
        .with("serials", serials)
        .with("spki", named.spki.octets())
}

fn of_key(state: &State, who: &Who, named: &Credential) -> Result<Vec<Credential>, Refused> {
    Ok(state.house.registry.credentials_by_key(who.realm.key, &named.spki)?)
}

/// The certificate of that name; of a key, the newest.
pub(super) fn newest(state: &State, who: &Who, name: &str) -> Result<Credential, Refused> {
    let wrong = || {
        let sentence = "a certificate is named `cert:HEX` (serial number) or `spki:HEX` (SHA-256 \
            of its public key)";
        Refused::Malformed(sentence.to_owned())
    };
    let parsed = CertificateName::parse_alone(name).ok_or_else(wrong)?;
    let registry = &state.house.registry;
    let found = match parsed {
        CertificateName::Serial(serial) => registry.credential(who.realm.key, &serial)?,
        CertificateName::Key(spki) => {
            let of_key = registry.credentials_by_key(who.realm.key, &spki)?;
            of_key.into_iter().max_by_key(|c| c.serial)
        }
    };
    found.ok_or_else(|| Refused::Missing { what: "certificate", name: name.to_owned() })
}

fn serial(text: &str) -> Option<Serial> {
    Serial::from_octets(&from_hex(text)?)
}
