//! A root gives way to the next: both are believed from then on, and each leads to the other.

use super::super::body::Json;
use super::super::openapi::{Idempotent, Problems};
use super::super::refuse::Refused;
use super::super::who::{Admin, Anyone, Who};
use super::super::{Answer, State, apart, view, workshop};
use super::changed;
use crate::settings::AUTHORITY_OVERLAP_MAX_S;
use api::{AuthorityView, RootRoll, RootsView};
use axum::http::StatusCode;
use ca::authority::Succession;
use identity::Certificate;
use identity::Refusal;
use identity::ask::Defect;
use identity::authority::{Authority, AuthorityState, KeyId, Role};
use ledger::{Class, Value};
use registry::Change;

/// Lists the roots that count, and what leads from one to the other. For every credential: what is
/// told is public, and a station needs it too.
#[utoipa::path(get, path = api::path::ROOTS, tag = "authorities",
    responses((status = 200, body = RootsView), Problems))]
pub(crate) async fn roots(_: State, Anyone(who): Anyone) -> Answer<RootsView> {
    let (roots, crosses) = who.realm.roots();
    let pem = |all: Vec<Certificate>| all.iter().map(Certificate::pem).collect();
    Ok(axum::Json(RootsView { roots: pem(roots), crosses: pem(crosses) }))
}

/// Lets a new root follow the one that counts. Both are believed from then on; the authorities keep
/// their keys and have certificates of the new root. What was done already is answered as it stands.
#[utoipa::path(post, path = api::path::AUTHORITY_ROOT, tag = "authorities", params(Idempotent),
    request_body = RootRoll,
    responses((status = 201, body = AuthorityView), (status = 200, body = AuthorityView), Problems))]
pub(crate) async fn succeed(
    state: State,
    Admin(who): Admin,
    Json(request): Json<RootRoll>,
) -> Result<(StatusCode, axum::Json<AuthorityView>), Refused> {
    let made = read(&request)?;
    // Of two lists the older one is not shown last, and who was barred before its turn counts no more.
    let (who, _turn) = state.turn(who).await?;
    let same = |a: &&Authority| a.certificate.der() == made.root.der();
    if let Some(done) = who.realm.authorities.iter().find(same).cloned() {
        publish(&state, &who, &done, &request.crl).await?;
        changed(&state).await?;
        return Ok((StatusCode::OK, axum::Json(view::authority(&done))));
    }
    let old = active(&who)?;
    let below = made.check(&old, &who.realm.authorities).map_err(unfit)?;
    let id = made.root.subject_key_id();
    let id = id.ok_or_else(|| Refused::Malformed("`root` has no key identifier".to_owned()))?;
    let root = Authority::active(id, Role::Root, made.root.clone());
    workshop::check_crl(&state, &root, &request.crl)?;
    commit(&state, &who, (&old, &root), &made, (below, request.overlap_s)).await?;
    publish(&state, &who, &root, &request.crl).await?;
    changed(&state).await?;
    Ok((StatusCode::CREATED, axum::Json(view::authority(&root))))
}

/// One change and one entry: the two roots, what leads from one to the other, and the authorities
/// below. Their certificates of the old root are kept, since a revocation names them too.
async fn commit(
    state: &State,
    who: &Who,
    (old, root): (&Authority, &Authority),
    made: &Succession,
    (below, overlap_s): (Vec<(KeyId, Certificate)>, Option<u64>),
) -> Result<(), Refused> {
    let most = AUTHORITY_OVERLAP_MAX_S;
    let said = overlap_s.map(|s| super::within("overlap_s", s, 0, most)).transpose()?;
    let until = said.map(|s| state.house.clock.now().plus_secs(s));
    let certified: Vec<Value> =
        below.iter().map(|(id, _)| Value::from(id.octets().as_slice())).collect();
    let payload = who
        .payload("root.rolled")
        .with("authority", root.id.octets().as_slice())
        .with("was", old.id.octets().as_slice())
        .with("certificate", root.certificate.fingerprint().as_slice())
        .with("certified", certified)
        .with_some("until", until.map(identity::UnixTime::secs));
    let cross = |id, by, certificate: &Certificate| Change::Crossed {
        id,
        by,
        certificate: certificate.clone(),
    };
    let mut changes = vec![
        Change::Authority(root.clone()),
        super::retiring(old, until),
        cross(root.id, old.id, &made.new_with_old),
        cross(old.id, root.id, &made.old_with_new),
    ];
    for (id, certificate) in below {
        let before = who.realm.authorities.iter().find(|a| a.id == id);
        changes.extend(before.map(|a| cross(id, old.id, &a.certificate)));
        changes.push(Change::AuthorityCertified { id, certificate });
    }
    state.change(who, Change::Batch(changes), Class::Authority, payload).await
}

/// Shows the new root's list. A crash before it leaves a root without one, and the same request
/// again brings it.
async fn publish(state: &State, who: &Who, root: &Authority, crl: &str) -> Result<(), Refused> {
    let der = workshop::check_crl(state, root, crl)?;
    let Some(workshop) = state.workshop.clone() else { return Ok(()) };
    // The same roll again brings back no list that a newer one has replaced meanwhile.
    let shown = workshop.crl(&who.realm, root);
    // And it takes nothing from the list that is shown, whoever was barred since.
    if shown.as_ref() == Some(&der) {
        return Ok(());
    }
    if workshop::newer(&der, shown.clone()).is_err() {
        return Ok(());
    }
    // With the certificates that this root gave, and whoever was barred at the last moment.
    let now = state.house.realm(who.realm.name());
    let realm = now.ok_or(Refused::Outage("the realm is gone"))?;
    workshop::whole(state, &realm, root, (&der, shown))?;
    let root = root.clone();
    apart(move || {
        workshop
            .publish_crl(&realm, &root, &der)
            .map_err(|sentence| Refused::Rule { rule: "home", sentence })
    })
    .await
}

/// The root that signs.
fn active(who: &Who) -> Result<Authority, Refused> {
    let signs = |a: &&Authority| a.role == Role::Root && a.state == AuthorityState::Active;
    who.realm.authorities.iter().find(signs).cloned().ok_or_else(|| {
        let sentence = "the realm has no active root".to_owned();
        Refused::Rule { rule: "root", sentence }
    })
}

fn read(request: &RootRoll) -> Result<Succession, Refused> {
    let one = |member: &str, pem: &str| -> Result<Certificate, Refused> {
        let read = Certificate::parse_pem(pem, 1).map(|all| all.into_iter().next());
        match read {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Refused::Malformed(format!("`{member}`: there is none"))),
            Err(defect) => Err(Refused::Malformed(format!("`{member}`: {defect}"))),
        }
    };
    let authorities = request.authorities.iter().map(|pem| one("authorities", pem));
    Ok(Succession {
        root: one("root", &request.root)?,
        new_with_old: one("new_with_old", &request.new_with_old)?,
        old_with_new: one("old_with_new", &request.old_with_new)?,
        authorities: authorities.collect::<Result<_, _>>()?,
    })
}

fn unfit(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Malformed(Defect { name, sentence }) => {
            Refused::Rule { rule: name, sentence: sentence.into_owned() }
        }
        other => Refused::Malformed(other.to_string()),
    }
}
