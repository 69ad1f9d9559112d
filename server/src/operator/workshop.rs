//! What needs the hands of those who keep keys and files: a new authority's key and request, and a
//! CRL that was signed offline. The interface asks, the host of the home does it.

use super::body::{Json, Named};
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::who::{Admin, Viewer, Who};
use super::{Answer, State, apart, authority, view};
use crate::house::RealmState;
use crate::unlisted::{dropped, unlisted};
use api::{AuthorityCsr, AuthorityRequest, AuthorityView, CrlInstall, Page};
use axum::http::StatusCode;
use const_oid::AssociatedOid;
use der::{Decode, Encode};
use identity::authority::{Authority, AuthorityState, KeyId, Role};
use identity::key::Scheme;
use identity::{KeyKind, UnixTime, text};
use ledger::Class;
use registry::{Change, CommitError};
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::CrlNumber;

/// Who keeps keys and files.
pub trait Workshop: Send + Sync {
    /// Makes the key of a new authority, durable and half-made: a start destroys it unless its
    /// request is in the registry by then. Gives its identifier and its request in DER.
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

    /// Keeps a half-made key, whose request is in the registry now.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn keep_key(&self, role: Role, id: &KeyId) -> Result<(), String>;

    /// Destroys the key of an authority, half-made or not. Says `false` where it cannot, since
    /// somebody else delivers it.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn destroy_key(&self, role: Role, id: &KeyId) -> Result<bool, String>;

    /// An authority came, or stands otherwise: shows what everybody may fetch of it, and follows
    /// with the server's own certificate.
    fn authorities_changed(&self);

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

/// Lists the requests that the root has not answered yet.
#[utoipa::path(get, path = api::path::AUTHORITY_REQUESTS, tag = "authorities",
    responses((status = 200, body = Page<AuthorityCsr>), Problems))]
pub(crate) async fn requests(state: State, Viewer(who): Viewer) -> Answer<Page<AuthorityCsr>> {
    let open = state.house.registry.authority_requests(who.realm.key)?;
    Ok(axum::Json(Page { items: open.iter().map(view::authority_request).collect(), next: None }))
}

/// Makes the key of a new authority and gives its request, which the root signs where the root is.
/// A role has one open request at a time.
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
    refuse_second(&state, &who, role, request.in_overlap)?;
    let made = make(&state, &who, role, kind).await?;
    Ok((StatusCode::CREATED, axum::Json(view::authority_request(&made))))
}

/// Gives a request up: its key is destroyed, and a certificate for it is refused.
#[utoipa::path(delete, path = api::path::AUTHORITY_REQUEST, tag = "authorities",
    params(("id" = String, Path, description = "The subject key identifier of the request in hex")),
    responses((status = 200, body = AuthorityCsr), Problems))]
pub(crate) async fn abandon(
    state: State,
    Admin(who): Admin,
    Named(id): Named<String>,
) -> Answer<AuthorityCsr> {
    let open = state.house.registry.authority_requests(who.realm.key)?;
    let missing = || Refused::Missing { what: "open request", name: id.clone() };
    let open = open.into_iter().find(|r| r.id.to_string() == id).ok_or_else(missing)?;
    let workshop = state.workshop.clone().ok_or_else(none)?;
    let payload = who
        .payload("authority.abandoned")
        .with("authority", open.id.octets().as_slice())
        .with("role", open.role.as_str());
    let change = Change::AuthorityRequestDropped(open.id);
    state.house.commit(who.realm.key, change, Class::Authority, payload).await?;
    let (role, key) = (open.role, open.id);
    state.house.drop_signer(&key);
    apart(move || workshop.destroy_key(role, &key).map(drop).map_err(refused)).await?;
    Ok(axum::Json(view::authority_request(&open)))
}

/// A roll-over is whole before the next one begins: of two at once nobody would know which
/// certificate goes with which key, nor whom the leaves still wait for.
fn refuse_second(state: &State, who: &Who, role: Role, in_overlap: bool) -> Result<(), Refused> {
    let open = state.house.registry.authority_requests(who.realm.key)?;
    if let Some(open) = open.iter().find(|r| r.role == role) {
        let sentence = format!(
            "a request for a new {role} authority is open since {}: let the root sign it (`muster ca \
             roll {role} --again` prints it once more, `--root-key FILE` goes on with it), or give \
             it up with `muster ca roll {role} --abandon`",
            text::rfc3339(open.made)
        );
        return Err(Refused::Rule { rule: "roll-open", sentence });
    }
    let overlapping = |a: &&Authority| {
        a.role == role && a.state == AuthorityState::Retiring && a.retires.is_some()
    };
    match who.realm.authorities.iter().find(overlapping) {
        Some(old) if !in_overlap => {
            let sentence = format!(
                "the {role} authority `{}` is still in its overlap, until {}: wait for that, or say \
                 `--in-overlap` if this one cannot wait",
                old.id,
                old.retires.map(text::rfc3339).unwrap_or_default()
            );
            Err(Refused::Rule { rule: "overlap", sentence })
        }
        _ => Ok(()),
    }
}

/// What happens if we crash *here*? Before the commit nobody has heard of the key, and the next
/// start destroys it; after it, the next start finishes it, and the request is listed.
async fn make(
    state: &State,
    who: &Who,
    role: Role,
    kind: KeyKind,
) -> Result<identity::authority::AuthorityRequest, Refused> {
    let workshop = state.workshop.clone().ok_or_else(none)?;
    let (realm, maker) = (who.realm.clone(), workshop.clone());
    let made = apart(move || maker.new_authority(&realm, role, kind).map_err(refused)).await;
    let (id, csr) = made?;
    let made =
        identity::authority::AuthorityRequest { id, role, csr, made: state.house.clock.now() };
    let payload = who
        .payload("authority.requested")
        .with("authority", id.octets().as_slice())
        .with("role", role.as_str())
        .with("key_kind", kind.as_str());
    let change = Change::AuthorityRequested(made.clone());
    let done = state.house.commit(who.realm.key, change, Class::Authority, payload).await;
    if matches!(done, Err(CommitError::Conflict(_))) {
        apart(move || workshop.destroy_key(role, &id).map_err(refused)).await?;
        let sentence = format!("another request for a new {role} authority came at the same time");
        return Err(Refused::Rule { rule: "roll-open", sentence });
    }
    done?;
    apart(move || workshop.keep_key(role, &id).map_err(refused)).await?;
    Ok(made)
}

/// Publishes a CRL that was signed offline: the root's.
#[utoipa::path(put, path = api::path::AUTHORITY_CRL, tag = "authorities", params(Idempotent,
    ("id" = String, Path, description = "The authority's subject key identifier in hex")),
    request_body = CrlInstall, responses((status = 200, body = AuthorityView), Problems))]
pub(crate) async fn publish(
    state: State,
    Admin(who): Admin,
    Named(id): Named<String>,
    Json(request): Json<CrlInstall>,
) -> Answer<AuthorityView> {
    // Of two that come at once the one with the greater number stays.
    let (who, _turn) = state.turn(who).await?;
    let authority = authority::named(&who, &id)?.clone();
    if state.house.signer(&authority.id).is_some() {
        let sentence = "the server signs the CRLs of this authority itself".to_owned();
        return Err(Refused::Rule { rule: "online-authority", sentence });
    }
    let der = read(&request.crl)?;
    let number = fit(&der, &authority, state.house.clock.now()).map_err(Refused::Malformed)?;
    let workshop = state.workshop.clone().ok_or_else(none)?;
    let shown = workshop.crl(&who.realm, &authority);
    newer(&der, shown.clone())?;
    whole(&state, &who.realm, &authority, (&der, shown))?;
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
pub(super) fn newer(crl: &[u8], shown: Option<Vec<u8>>) -> Result<(), Refused> {
    let number = number(crl).ok_or_else(|| {
        let sentence = "`crl` has no CRL number, by which old and new are told apart";
        Refused::Malformed(sentence.to_owned())
    })?;
    let before = shown.filter(|shown| shown != crl).as_deref().and_then(self::number);
    if before.is_none_or(|before| before < number) {
        return Ok(());
    }
    let sentence = "its CRL number is not above that of the list that is shown: sign a new one with \
                    `muster ca crl --root` and a new `--authorities` file, which tells the number";
    Err(Refused::Rule { rule: "old-crl", sentence: sentence.to_owned() })
}

/// A list that leaves out whom it has to name would make him good again, for everybody but us.
pub(super) fn whole(
    state: &State,
    realm: &RealmState,
    root: &Authority,
    (crl, shown): (&[u8], Option<Vec<u8>>),
) -> Result<(), Refused> {
    let (list, now) = (ca::crl::entries(crl).unwrap_or_default(), state.house.clock.now());
    let no = |sentence| Err(Refused::Rule { rule: "crl-leaves-out", sentence });
    if let Some(barred) = unlisted(realm, root, &list, now).first() {
        return no(format!(
            "it leaves out the {} authority `{}`, which was barred, and would make it good again \
             for whoever reads it: sign a new one with `muster ca crl --root` and a new \
             `--authorities` file",
            barred.role, barred.id
        ));
    }
    let shown = shown.as_deref().and_then(ca::crl::entries).unwrap_or_default();
    match dropped(realm, &list, shown, now) {
        Some(dropped) => no(format!(
            "it leaves out the serial number {}, which the list that is shown names, and what was \
             revoked stays so: sign a new one with `muster ca crl --root` and `--previous`, which \
             takes over what that list names",
            text::hex(&dropped.serial)
        )),
        None => Ok(()),
    }
}

/// The CRL number, as length and octets, which is how such numbers compare.
fn number(crl: &[u8]) -> Option<(usize, Vec<u8>)> {
    let list: CertificateList = CertificateList::from_der(crl).ok()?;
    let all = list.tbs_cert_list.crl_extensions?;
    let found = all.iter().find(|e| e.extn_id == CrlNumber::OID)?;
    let CrlNumber(number) = CrlNumber::from_der(found.extn_value.as_bytes()).ok()?;
    Some((number.as_bytes().len(), number.as_bytes().to_vec()))
}

/// A CRL in DER, if `authority` signed it and it has not ended.
pub(super) fn check_crl(
    state: &State,
    authority: &Authority,
    said: &str,
) -> Result<Vec<u8>, Refused> {
    let der = read(said)?;
    fit(&der, authority, state.house.clock.now()).map_err(Refused::Malformed)?;
    Ok(der)
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
