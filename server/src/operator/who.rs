//! Who asks, and what they may do. A bearer token names an operator of one realm; the path means
//! that realm. A permission is a type: a handler that takes [`Admin`] cannot be reached by less.

use super::refuse::Refused;
use super::{Peer, State};
use crate::house::RealmState;
use crate::listen::Connection;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use identity::key::sha256;
use identity::token::{TokenId, TokenSecret};
use registry::{Operator, Role};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Who asks.
#[derive(Clone)]
pub(crate) struct Who {
    /// The realm that the credential belongs to, as it stood when the request came.
    pub(crate) realm: Arc<RealmState>,
    /// The operator's name, as the ledger shall have it.
    pub(crate) name: String,
    /// The credential.
    pub(crate) id: TokenId,
    /// What it may do.
    pub(crate) role: Role,
    /// Where it came from.
    pub(crate) from: IpAddr,
    /// Seals the answers that are kept for this credential: only its bearer can have them again.
    pub(crate) seal: [u8; 32],
}

/// Looks whose token it is, and hands the request on with a [`Who`]; 401 otherwise.
pub(crate) async fn recognize(
    axum::extract::State(state): axum::extract::State<State>,
    mut request: Request,
    next: Next,
) -> Response {
    match who(&state, &request) {
        Ok(who) => {
            let realm = Realm(who.realm.name().as_str().to_owned());
            request.extensions_mut().insert(who);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(realm);
            response
        }
        Err(refused) => refused.into_response(),
    }
}

/// The realm of a request, for what is counted.
#[derive(Clone)]
pub(crate) struct Realm(pub(crate) String);

/// Whether a request that anybody may make shows the credential of one who may see; one that shows
/// a wrong credential is refused, so that nobody takes a short answer for the whole.
pub(crate) fn may_view(state: &State, request: &Request) -> Result<bool, Refused> {
    if !request.headers().contains_key(AUTHORIZATION) {
        return Ok(false);
    }
    let role = who(state, request)?.role;
    Ok(matches!(role, Role::Viewer | Role::Operator | Role::Admin))
}

fn who(state: &State, request: &Request) -> Result<Who, Refused> {
    let header = request.headers().get(AUTHORIZATION).ok_or(Refused::NoCredential)?;
    let shown = header.to_str().ok().and_then(|h| h.split_once(' '));
    let token = match shown {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        _ => return Err(Refused::NoCredential),
    };
    let (id, secret) = token.split_once('.').ok_or(Refused::BadCredential)?;
    let id = TokenId::parse(id).ok_or(Refused::BadCredential)?;
    let secret = TokenSecret::parse(secret).ok_or(Refused::BadCredential)?;
    // From here on it costs a look into the database, and guesses of one address are rationed.
    let connection = request.extensions().get::<Arc<Connection>>();
    if connection.is_some_and(|c| !c.stranger_may_ask()) {
        return Err(Refused::TooOften);
    }
    let (realm, operator) = find(state, &id)?.ok_or(Refused::BadCredential)?;
    // The id is public; the digest is compared in a time that does not tell how much of it is
    // right.
    aws_lc_rs::constant_time::verify_slices_are_equal(&operator.digest, &secret.digest())
        .map_err(|_| Refused::BadCredential)?;
    let seal = sha256(&[b"muster/operator/seal/v1\0", secret.dangerous_reveal().as_bytes()]);
    if let Some(connection) = connection {
        if !connection.is_proven() {
            connection.stranger_came_in();
        }
        connection.prove();
    }
    let from = request.extensions().get::<Peer>().map(|p| p.addr);
    let from = from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Ok(Who { realm, name: operator.name, id, role: operator.role, from, seal })
}

fn find(state: &State, id: &TokenId) -> Result<Option<(Arc<RealmState>, Operator)>, Refused> {
    for realm in state.house.realms() {
        if let Some(operator) = state.house.registry.operator(realm.key, id)? {
            return Ok(Some((realm, operator)));
        }
    }
    Ok(None)
}

/// Who asked, and the realm, as both stand now: between a request's first line and the end of its
/// body the credential may have been taken away.
pub(crate) fn still(state: &State, who: Who) -> Result<Who, Refused> {
    let realm = state.house.realm(who.realm.name());
    let realm = realm.ok_or(Refused::Outage("the realm is gone"))?;
    let operator = state.house.registry.operator(realm.key, &who.id)?;
    let role = operator.ok_or(Refused::BadCredential)?.role;
    Ok(Who { realm, role, ..who })
}

/// The admin who asked, as that one stands now, after others had their turn.
pub(crate) fn admin_still(state: &State, who: Who) -> Result<Who, Refused> {
    Admin::of(still(state, who)?).map(|Admin(who)| who)
}

/// Makes a permission: a type that only a request of a fit role can bring forth.
macro_rules! permission {
    ($(#[$about:meta])* $name:ident, $needs:literal, $($role:ident)|+) => {
        $(#[$about])*
        pub(crate) struct $name(pub(crate) Who);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Refused;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
                let who = parts.extensions.get::<Who>().ok_or(Refused::NoCredential)?;
                Self::of(who.clone())
            }
        }

        impl $name {
            fn of(who: Who) -> Result<Self, Refused> {
                match who.role {
                    $(Role::$role)|+ => Ok(Self(who)),
                    has => Err(Refused::Role { has, needs: $needs }),
                }
            }
        }
    };
}

permission!(
    /// May see everything but secrets.
    Viewer,
    "`viewer`, `operator` or `admin`",
    Viewer | Operator | Admin
);
/// May see what is public anyway: every credential.
pub(crate) struct Anyone(pub(crate) Who);

impl<S: Send + Sync> FromRequestParts<S> for Anyone {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Who>().cloned().map(Self).ok_or(Refused::NoCredential)
    }
}

permission!(
    /// May send births.
    Midwife,
    "`station`, `operator` or `admin`",
    Station | Operator | Admin
);
permission!(
    /// May change devices, certificates and tokens.
    Operating,
    "`operator` or `admin`",
    Operator | Admin
);
permission!(
    /// May change doors, profiles, settings, authorities and operators.
    Admin,
    "`admin`",
    Admin
);
