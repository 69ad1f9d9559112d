//! What needs the hands of those who keep keys and files: a new authority's key and request, and a
//! CRL that was signed offline. The interface asks, the host of the home does it.

use super::body::{Json, Named};
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::who::{Admin, Who};
use super::{Answer, State, apart, authority, view};
use crate::house::RealmState;
use api::{AuthorityCsr, AuthorityRequest, AuthorityView, CrlInstall};
use axum::http::StatusCode;
use const_oid::AssociatedOid;
use der::{Decode, Encode};
use identity::authority::{Authority, KeyId, Role};
use identity::key::Scheme;
use identity::{KeyKind, UnixTime, certificate, text};
use ledger::Class;
use registry::Change;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::CrlNumber;

/// Who keeps keys and files.
pub trait Workshop: Send + Sync {
    /// Makes and keeps the key of a new authority; gives its identifier and its request in DER.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn new_authority(
        &self,
        realm: &RealmState,
        role: Role,
        kind: KeyKind,
    ) -> Result<(KeyId, Vec<u8>), String>;

    /// The CRL of `authority` that is shown now.
    fn crl(&self, realm: &RealmState, authority: &Authority) -> Option<Vec<u8>>;

    /// Keeps and publishes a CRL of `authority`, whose signature was checked.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn publish_crl(
        &self,
        realm: &RealmState,
        authority: &Authority,
        der: &[u8],
    ) -> Result<(), String>;
}

/// Makes the key of a new authority and gives its request, which the root signs where the root is.
#[utoipa::path(post, path = api::path::AUTHORITY_REQUESTS, tag = "authorities", params(Idempotent),
    request_body = AuthorityRequest,
    responses((status = 201, body = AuthorityCsr), Problems))]
pub(crate) async fn request(
    state: State,
    Admin(who): Admin,
    Json(request): Json<AuthorityRequest>,
) -> Result<(StatusCode, axum::Json<AuthorityCsr>), Refused> {
    let role = view::authority_role_of(request.role);
    let kind = request.key_kind.map_or(KeyKind::P256, view::key_kind_of);
    if role == Role::Root || kind == KeyKind::Rsa {
        let sentence = "`role` is not `root`, and `key_kind` is not `rsa`".to_owned();
        return Err(Refused::Malformed(sentence));
    }
    let (id, csr) = make(&state, &who, role, kind).await?;
    let payload = who
        .payload("authority.requested")
        .with("authority", id.octets().as_slice())
        .with("role", role.as_str())
        .with("key_kind", kind.as_str());
    state.house.commit(who.realm.key, Change::Nothing, Class::Authority, payload).await?;
    let csr = certificate::pem("CERTIFICATE REQUEST", &csr);
    let made = AuthorityCsr { id: id.to_string(), role: request.role, csr };
    Ok((StatusCode::CREATED, axum::Json(made)))
}

async fn make(
    state: &State,
    who: &Who,
    role: Role,
    kind: KeyKind,
) -> Result<(KeyId, Vec<u8>), Refused> {
    let workshop = state.workshop.clone().ok_or_else(none)?;
    let realm = who.realm.clone();
    apart(move || workshop.new_authority(&realm, role, kind).map_err(refused)).await
}

/// Publishes a CRL that was signed offline: the root's.
#[utoipa::path(put, path = api::path::AUTHORITY_CRL, tag = "authorities",
    params(("id" = String, Path, description = "The authority's subject key identifier in hex")),
    request_body = CrlInstall, responses((status = 200, body = AuthorityView), Problems))]
pub(crate) async fn publish(
    state: State,
    Admin(who): Admin,
    Named(id): Named<String>,
    Json(request): Json<CrlInstall>,
) -> Answer<AuthorityView> {
    let authority = authority::named(&who, &id)?.clone();
    if state.house.signer(&authority.id).is_some() {
        let sentence = "the server signs the CRLs of this authority itself".to_owned();
        return Err(Refused::Rule { rule: "online-authority", sentence });
    }
    let der = read(&request.crl)?;
    let number = fit(&der, &authority, state.house.clock.now()).map_err(Refused::Malformed)?;
    let workshop = state.workshop.clone().ok_or_else(none)?;
    newer(&der, workshop.crl(&who.realm, &authority))?;
    let (realm, issuer) = (who.realm.clone(), authority.clone());
    let digest = identity::key::sha256(&[&der]);
    let payload = who
        .payload("crl.installed")
        .with("authority", authority.id.octets().as_slice())
        .with("entries", number)
        .with("crl", &digest);
    state.house.commit(who.realm.key, Change::Nothing, Class::Authority, payload).await?;
    apart(move || workshop.publish_crl(&realm, &issuer, &der).map_err(refused)).await?;
    Ok(axum::Json(view::authority(&authority)))
}

/// A list with a smaller number was signed before the one that is shown: it may leave out what was
/// revoked since. The very same one may come again.
fn newer(crl: &[u8], shown: Option<Vec<u8>>) -> Result<(), Refused> {
    let number = number(crl).ok_or_else(|| {
        let sentence = "`crl` has no CRL number, by which old and new are told apart";
        Refused::Malformed(sentence.to_owned())
    })?;
    let before = shown.filter(|shown| shown != crl).as_deref().and_then(self::number);
    if before.is_none_or(|before| before < number) {
        return Ok(());
    }
    let sentence = "its CRL number is not above that of the list that is shown: sign a new one with \
                    `muster ca crl --root`";
    Err(Refused::Rule { rule: "old-crl", sentence: sentence.to_owned() })
}

/// The CRL number, as length and octets, which is how such numbers compare.
fn number(crl: &[u8]) -> Option<(usize, Vec<u8>)> {
    let list: CertificateList = CertificateList::from_der(crl).ok()?;
    let all = list.tbs_cert_list.crl_extensions?;
    let found = all.iter().find(|e| e.extn_id == CrlNumber::OID)?;
    let CrlNumber(number) = CrlNumber::from_der(found.extn_value.as_bytes()).ok()?;
    Some((number.as_bytes().len(), number.as_bytes().to_vec()))
}

fn none() -> Refused {
    refused("this server keeps no home".to_owned())
}

fn refused(sentence: String) -> Refused {
    Refused::Rule { rule: "home", sentence }
}

/// PEM, or base64 of the DER.
fn read(said: &str) -> Result<Vec<u8>, Refused> {
    let body: String = said.lines().filter(|l| !l.starts_with("-----")).collect();
    let malformed = || Refused::Malformed("`crl` is neither PEM nor base64".to_owned());
    text::from_base64(body.as_bytes()).filter(|der| !der.is_empty()).ok_or_else(malformed)
}

/// The number of its entries, if the authority signed it and it has not ended.
fn fit(crl: &[u8], authority: &Authority, now: UnixTime) -> Result<u64, String> {
    let broken = |e: der::Error| format!("`crl` is not a CRL in DER: {e}");
    let list: CertificateList = CertificateList::from_der(crl).map_err(broken)?;
    let key = authority.certificate.key();
    let scheme = Scheme::named(list.signature_algorithm.oid, key.kind());
    let scheme = scheme.map_err(|e| format!("`crl`: {e}"))?;
    let body = list.tbs_cert_list.to_der().map_err(broken)?;
    let signature = list.signature.as_bytes().unwrap_or_default();
    key.verify(scheme, &body, signature)
        .map_err(|_| "`crl` is not signed by this authority".to_owned())?;
    let ends = list.tbs_cert_list.next_update.map(|t| t.to_unix_duration().as_secs());
    if ends.is_none_or(|ends| ends <= now.secs()) {
        return Err("`crl` has ended, or does not say when it ends".to_owned());
    }
    Ok(list.tbs_cert_list.revoked_certificates.map_or(0, |r| r.len() as u64))
}
