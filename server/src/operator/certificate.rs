//! Certificates of devices: the list, one of them, and its end.

use super::body::{Asked, Json, Named};
use super::openapi::{Idempotent, Problems};
use super::page::{Window, cursor, limit, page};
use super::refuse::Refused;
use super::who::{Operating, Viewer, Who};
use super::{Answer, State, apart, view};
use api::{CertificateView, Page, RevocationRequest, RevocationResult};
use identity::name::CertificateName;
use identity::text::from_hex;
use identity::{Credential, Reason, Serial};
use ledger::{Class, Value};
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
        let view = |c: &Credential| view::certificate(c, false);
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
    Ok(axum::Json(view::certificate(&credential, true)))
}

/// Revokes a certificate and every other of the same key.
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
    if reason == Reason::CertificateHold {
        let sentence = "a hold follows the device: suspend it instead".to_owned();
        return Err(Refused::Malformed(sentence));
    }
    let credential = newest(&state, &who, &name)?;
    let ended = |c: &Credential| c.revoked.is_some_and(|r| r.reason != Reason::CertificateHold);
    if !ended(&credential) || reason == Reason::KeyCompromise {
        let serials = vec![credential.serial];
        let of_key = state.house.registry.credentials_by_key(who.realm.key, &credential.spki)?;
        let goes = |c: &&Credential| !ended(c) || reason == Reason::KeyCompromise;
        let all = of_key.iter().filter(goes).map(|c| c.serial.octets().to_vec());
        let payload = who
            .payload("certificate.revoked")
            .with("device", credential.device.to_string())
            .with("serials", all.collect::<Value>())
            .with("spki", credential.spki.octets())
            .with("reason", reason.as_str());
        let change = Change::Revoked { serials, reason };
        state.house.commit(who.realm.key, change, Class::Revocation, payload).await?;
    }
    let of_key = state.house.registry.credentials_by_key(who.realm.key, &credential.spki)?;
    let revoked = of_key.iter().filter(|c| ended(c)).map(|c| view::certificate(c, false));
    Ok(axum::Json(RevocationResult { revoked: revoked.collect() }))
}

/// The certificate of that name; of a key, the newest.
pub(super) fn newest(state: &State, who: &Who, name: &str) -> Result<Credential, Refused> {
    let wrong = || {
        let sentence = "a certificate is named `cert:HEX` (serial number) or `spki:HEX` (SHA-256 \
            of its public key)";
        Refused::Malformed(sentence.to_owned())
    };
    let bare = || serial(name).map(CertificateName::Serial);
    let parsed = CertificateName::parse(name).or_else(bare).ok_or_else(wrong)?;
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
