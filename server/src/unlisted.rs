//! What a root's list must name. It replaces the one before, so an authority that it leaves out is
//! good again for everybody who reads it; and who signs it sits far away, with what he was handed.

use crate::house::RealmState;
use ca::crl::Listed;
use identity::authority::{Authority, AuthorityState, Role};
use identity::{Certificate, UnixTime};

/// The authorities below `root` that are barred, and that `list` does not name: none where all who
/// read it hear of them.
pub(crate) fn unlisted<'r>(
    realm: &'r RealmState,
    root: &Authority,
    list: &[Listed],
    now: UnixTime,
) -> Vec<&'r Authority> {
    let missing = |certificate: &Certificate| {
        let below = certificate.authority_key_id() == Some(root.id);
        below && certificate.not_after() > now && !names(list, certificate)
    };
    let barred = |a: &&Authority| a.role != Role::Root && a.state == AuthorityState::Barred;
    let authorities = realm.authorities.iter().filter(barred);
    authorities.filter(|a| certificates(realm, a).any(missing)).collect()
}

/// The first entry of the list that is shown and that `list` does not have, though its certificate
/// has not ended as far as is known here.
pub(crate) fn dropped(
    realm: &RealmState,
    list: &[Listed],
    shown: Vec<Listed>,
    now: UnixTime,
) -> Option<Listed> {
    let ended = |one: &Listed| {
        let mut all = realm.authorities.iter().flat_map(|a| certificates(realm, a));
        all.any(|c| c.not_after() <= now && names(std::slice::from_ref(one), c))
    };
    let kept = |one: &Listed| list.iter().any(|other| other.serial == one.serial);
    shown.into_iter().find(|one| !kept(one) && !ended(one))
}

/// An authority's certificate, and those that an earlier root gave it.
fn certificates<'r>(
    realm: &'r RealmState,
    authority: &'r Authority,
) -> impl Iterator<Item = &'r Certificate> {
    let earlier = realm.crosses.iter().filter(|c| c.subject_key_id() == Some(authority.id));
    std::iter::once(&authority.certificate).chain(earlier)
}

fn names(list: &[Listed], certificate: &Certificate) -> bool {
    let serial = certificate.x509().tbs_certificate().serial_number().as_bytes();
    list.iter().any(|one| one.serial == serial)
}
