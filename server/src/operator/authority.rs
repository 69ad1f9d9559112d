//! Authorities: who signs, from when, until when. The root signs offline, where this server never
//! is: here its work is installed, and an authority is retired or barred at once.
//!
//! Installing an authority beside one of its role begins the overlap: the older one signs no more,
//! what it signed stays good until its date, and leaves move over as they renew.

mod fit;
pub(crate) mod root;

use super::body::{Json, Named};
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::said::within;
use super::who::{Admin, Viewer, Who};
use super::{Answer, State, apart, view};
use crate::settings::AUTHORITY_OVERLAP_MAX_S;
use api::{
    AuthorityInstall, AuthorityRevocation, AuthorityStateRequest, AuthorityView, Page, Reason,
};
use axum::http::StatusCode;
use fit::Fit;
use identity::authority::{Authority, AuthorityState, KeyId, Role};
use identity::credential::Revocation;
use identity::{Certificate, UnixTime};
use ledger::{Class, Payload, Value};
use registry::{Change, RealmKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// How long a count of leaves is believed: it looks at every credential, two seconds for a million
/// devices, and a scraper comes every few seconds.
const LEAVES_KEPT_S: u64 = 60;
/// A count this small costs nothing and is made anew each time.
const LEAVES_FEW: u64 = 10_000;

/// The leaves by issuer as they were last counted.
pub(crate) type LeavesSeen = Mutex<HashMap<RealmKey, (UnixTime, BTreeMap<KeyId, u64>)>>;

/// Lists the realm's authorities, the root first.
#[utoipa::path(get, path = api::path::AUTHORITIES, tag = "authorities",
    responses((status = 200, body = Page<AuthorityView>), Problems))]
pub(crate) async fn list(state: State, Viewer(who): Viewer) -> Answer<Page<AuthorityView>> {
    apart(move || {
        let leaves = leaves(&state, &who)?;
        let mut all: Vec<&Authority> = who.realm.authorities.iter().collect();
        all.sort_by_key(|a| (a.role, a.certificate.not_before()));
        let items = all.into_iter().map(|a| counted(&state, &who, a, leaves.as_ref())).collect();
        Ok(axum::Json(Page { items, next: None }))
    })
    .await
}

/// Shows an authority.
#[utoipa::path(get, path = api::path::AUTHORITY, tag = "authorities",
    params(("id" = String, Path, description = "Its subject key identifier in hex")),
    responses((status = 200, body = AuthorityView), Problems))]
pub(crate) async fn show(
    state: State,
    Viewer(who): Viewer,
    Named(id): Named<String>,
) -> Answer<AuthorityView> {
    apart(move || {
        let leaves = leaves(&state, &who)?;
        Ok(axum::Json(counted(&state, &who, named(&who, &id)?, leaves.as_ref())))
    })
    .await
}

fn counted(
    state: &State,
    who: &Who,
    authority: &Authority,
    leaves: Option<&BTreeMap<KeyId, u64>>,
) -> AuthorityView {
    let count = |all: &BTreeMap<KeyId, u64>| all.get(&authority.id).copied().unwrap_or_default();
    let leaves = leaves.filter(|_| authority.role == Role::Operations).map(count);
    let earlier = who
        .realm
        .crosses
        .iter()
        .filter(|c| authority.role != Role::Root && c.subject_key_id() == Some(authority.id));
    let earlier = earlier.map(Certificate::pem).collect();
    let shown = state.workshop.as_ref().filter(|_| authority.role == Role::Root);
    let shown = shown.and_then(|workshop| workshop.crl(&who.realm, authority));
    let crl_number = shown.as_deref().and_then(ca::crl::number);
    AuthorityView { leaves, earlier, crl_number, ..view::authority(authority) }
}

/// Devices by the authority that signed their newest leaf, while it matters: as long as an older
/// operations authority has its key.
pub(crate) fn leaves(state: &State, who: &Who) -> Result<Option<BTreeMap<KeyId, u64>>, Refused> {
    let older = |a: &Authority| {
        a.role == Role::Operations && a.state != AuthorityState::Active && a.wiped.is_none()
    };
    if !who.realm.authorities.iter().any(older) {
        return Ok(None);
    }
    let (now, realm) = (state.house.clock.now(), who.realm.key);
    let mut seen = state.leaves.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, counts)) = seen.get(&realm)
        && now.secs_since(*at) < LEAVES_KEPT_S
        && counts.values().sum::<u64>() > LEAVES_FEW
    {
        return Ok(Some(counts.clone()));
    }
    let counts = state.house.registry.leaves_by_issuer(realm, now)?;
    seen.insert(realm, (now, counts.clone()));
    Ok(Some(counts))
}

/// Installs an authority that the root signed, for a key that was made here. It signs at once; one
/// of its role that signed before retires after the overlap. What is installed already is answered
/// as it stands.
#[utoipa::path(post, path = api::path::AUTHORITIES, tag = "authorities", params(Idempotent),
    request_body = AuthorityInstall,
    responses((status = 201, body = AuthorityView), (status = 200, body = AuthorityView), Problems))]
pub(crate) async fn install(
    state: State,
    Admin(who): Admin,
    Json(request): Json<AuthorityInstall>,
) -> Result<(StatusCode, axum::Json<AuthorityView>), Refused> {
    let authority = match fit::fit(&state, &who, &request)? {
        Fit::New(authority) => authority,
        Fit::Again(authority) => {
            return Ok((StatusCode::OK, axum::Json(view::authority(&authority))));
        }
    };
    let older: Vec<&Authority> = who
        .realm
        .authorities
        .iter()
        .filter(|a| a.role == authority.role && a.state == AuthorityState::Active)
        .collect();
    let now = state.house.clock.now();
    let until = date(&who, authority.role, request.overlap_s, now)?;
    let ids = older.iter().map(|a| Value::from(a.id.octets().as_slice())).collect::<Vec<_>>();
    let payload = who
        .payload("authority.installed")
        .with("authority", authority.id.octets().as_slice())
        .with("role", authority.role.as_str())
        .with("certificate", authority.certificate.fingerprint().as_slice())
        .with_some("retiring", (!ids.is_empty()).then_some(ids))
        .with_some("until", until.filter(|_| !older.is_empty()).map(UnixTime::secs));
    // Who gives its request up at the same time destroys its key: one of the two clashes.
    let mut changes =
        vec![Change::AuthorityRequestDropped(authority.id), Change::Authority(authority.clone())];
    changes.extend(older.iter().map(|a| retiring(a, until)));
    state.change(&who, Change::Batch(changes), Class::Authority, payload).await?;
    changed(&state).await?;
    Ok((StatusCode::CREATED, axum::Json(view::authority(&authority))))
}

/// When what an authority of this role signed stops counting; a birth authority counts for good.
fn date(
    who: &Who,
    role: Role,
    overlap_s: Option<u64>,
    now: UnixTime,
) -> Result<Option<UnixTime>, Refused> {
    if role == Role::Birth {
        return match overlap_s {
            None => Ok(None),
            Some(_) => Err(Refused::Malformed(
                "a birth authority counts for good, since births never end: leave `overlap_s` out"
                    .to_owned(),
            )),
        };
    }
    let said = overlap_s.map(|s| within("overlap_s", s, 0, AUTHORITY_OVERLAP_MAX_S)).transpose()?;
    Ok(Some(now.plus_secs(said.unwrap_or_else(|| who.realm.overlap_s(role)))))
}

fn retiring(older: &Authority, until: Option<UnixTime>) -> Change {
    // It ends by itself on its last day.
    let retires = until.map(|at| at.min(older.certificate.not_after()));
    Change::AuthorityState {
        id: older.id,
        was: Some(older.state),
        state: AuthorityState::Retiring,
        retires,
        barred: None,
    }
}

/// Lets an authority sign again, lets it sign no more, closes its overlap now, or bars it at once.
/// The root's state is changed here only once it has a successor.
#[utoipa::path(patch, path = api::path::AUTHORITY, tag = "authorities",
    params(("id" = String, Path, description = "Its subject key identifier in hex")),
    request_body = AuthorityStateRequest,
    responses((status = 200, body = AuthorityView), Problems))]
pub(crate) async fn change(
    state: State,
    Admin(who): Admin,
    Named(id): Named<String>,
    Json(request): Json<AuthorityStateRequest>,
) -> Answer<AuthorityView> {
    let authority = named(&who, &id)?.clone();
    let to = view::authority_state_of(request.state);
    if to == AuthorityState::Barred {
        return bar(&state, &who, authority, Reason::Unspecified).await;
    }
    let now = state.house.clock.now();
    let until = match to {
        AuthorityState::Retiring => date(&who, authority.role, request.overlap_s, now)?,
        AuthorityState::Retired => Some(now),
        AuthorityState::Active | AuthorityState::Barred => None,
    };
    let same = authority.state == to && (request.overlap_s.is_none() || until == authority.retires);
    if same {
        return Ok(axum::Json(view::authority(&authority)));
    }
    may_become(&authority, to)?;
    let payload = who
        .payload("authority.changed")
        .with("authority", authority.id.octets().as_slice())
        .with("was", authority.state.as_str())
        .with("state", to.as_str())
        .with_some("until", until.map(UnixTime::secs));
    stand(&state, &who, Authority { state: to, retires: until, ..authority }, payload).await
}

/// Bars an authority at once and for good: it signs nothing, and nothing that it signed opens a
/// door. Everybody else hears of it by the root's CRL, which is signed by hand. One that is barred
/// already may have its reason raised, to `keyCompromise` or from `unspecified`.
#[utoipa::path(post, path = api::path::AUTHORITY_REVOKE, tag = "authorities",
    params(("id" = String, Path, description = "Its subject key identifier in hex"), Idempotent),
    request_body = AuthorityRevocation,
    responses((status = 200, body = AuthorityView), Problems))]
pub(crate) async fn revoke(
    state: State,
    Admin(who): Admin,
    Named(id): Named<String>,
    Json(request): Json<AuthorityRevocation>,
) -> Answer<AuthorityView> {
    if request.reason == Reason::CertificateHold {
        let sentence = "an authority is not put on hold: bar it, or let it retire".to_owned();
        return Err(Refused::Malformed(sentence));
    }
    let authority = named(&who, &id)?.clone();
    bar(&state, &who, authority, request.reason).await
}

async fn bar(
    state: &State,
    who: &Who,
    authority: Authority,
    reason: Reason,
) -> Answer<AuthorityView> {
    let reason = view::reason_of(reason);
    let barred = match authority.barred {
        Some(stands) if !raises(stands.reason, reason)? => {
            return Ok(axum::Json(view::authority(&authority)));
        }
        Some(stands) => Revocation { reason, ..stands },
        None => {
            may_become(&authority, AuthorityState::Barred)?;
            Revocation { at: state.house.clock.now(), reason }
        }
    };
    let payload = who
        .payload("authority.revoked")
        .with("authority", authority.id.octets().as_slice())
        .with("role", authority.role.as_str())
        .with("was", authority.state.as_str())
        .with("reason", reason.as_str());
    let next = Authority { state: AuthorityState::Barred, barred: Some(barred), ..authority };
    stand(state, who, next, payload).await
}

/// Whether an authority that is barred for one reason is barred for a graver one from now on: what
/// was not said is said, and a key turns out to be another's. The way back there is none.
fn raises(stands: identity::Reason, said: identity::Reason) -> Result<bool, Refused> {
    use identity::Reason::{CaCompromise, KeyCompromise, Unspecified};
    let compromised = |reason| matches!(reason, KeyCompromise | CaCompromise);
    if said == stands || said == Unspecified {
        return Ok(false);
    }
    if stands == Unspecified || compromised(said) && !compromised(stands) {
        return Ok(true);
    }
    let sentence = format!("it is barred for {stands}, and a reason is only raised");
    Err(Refused::Rule { rule: "barred", sentence })
}

/// Commits how an authority stands from now on.
async fn stand(
    state: &State,
    who: &Who,
    next: Authority,
    payload: Payload,
) -> Answer<AuthorityView> {
    let was = who.realm.authorities.iter().find(|a| a.id == next.id).map(|a| a.state);
    let change = Change::AuthorityState {
        id: next.id,
        was,
        state: next.state,
        retires: next.retires,
        barred: next.barred,
    };
    state.change(who, change, Class::Authority, payload).await?;
    changed(state).await?;
    Ok(axum::Json(view::authority(&next)))
}

/// Whether an authority may stand so, after how it stands. That the last one of its role stays is
/// looked at in the commit, see [`registry::Clash::LastSigner`].
fn may_become(authority: &Authority, to: AuthorityState) -> Result<(), Refused> {
    let no = |rule, sentence: String| Err(Refused::Rule { rule, sentence });
    let role = authority.role;
    // One that has a successor retires when nobody needs it any more, or is barred when its key is
    // another's.
    let followed = authority.state == AuthorityState::Retiring && to != AuthorityState::Active;
    if role == Role::Root && !followed {
        let sentence = "a root is replaced offline: give it a successor, `muster ca roll root`";
        return no("root", sentence.to_owned());
    }
    match (authority.state, to) {
        (AuthorityState::Barred, _) => {
            no("barred", "a barred authority never signs again: install a new one".to_owned())
        }
        (AuthorityState::Retired, AuthorityState::Active | AuthorityState::Retiring) => {
            no("retired", "a retired authority never signs again".to_owned())
        }
        (_, AuthorityState::Retired) if role == Role::Birth => {
            no("anchor", "births never end, so a birth authority counts for good".to_owned())
        }
        _ => Ok(()),
    }
}

/// Tells the home that an authority changed.
pub(super) async fn changed(state: &State) -> Result<(), Refused> {
    let Some(workshop) = state.workshop.clone() else { return Ok(()) };
    apart(move || {
        workshop.authorities_changed();
        Ok(())
    })
    .await
}

/// The authority of that identifier.
pub(crate) fn named<'a>(who: &'a Who, id: &str) -> Result<&'a Authority, Refused> {
    let of_that_name = |a: &&Authority| a.id.to_string() == id;
    let missing = || Refused::Missing { what: "authority", name: id.to_owned() };
    who.realm.authorities.iter().find(of_that_name).ok_or_else(missing)
}
