//! Whom to believe after a root gave way to the next. What a server tells is believed for what a
//! root that was believed before has signed, and for nothing else: NewWithOld (RFC 7030 §4.1.3 with
//! RFC 4210 §4.4) has the new root's name and key under the old root's signature.
//!
//! An operator's credential names one root and goes on to its [`successor`]; a device believes all
//! that count while they count ([`followed`]), since its peers are not renewed in the same hour.

use identity::{Certificate, UnixTime};

/// Roots that follow each other before somebody who slept hears of it.
const SUCCESSORS_MAX: usize = 8;
/// Roots that a device believes at once: an old one and its successor count together, and more than
/// a few are somebody's mistake.
const FOLLOWED_MAX: usize = 8;

/// The root that those who believe `pinned` may believe from now on: the last one among `shown`
/// (from `cacerts`) to which a key leads that theirs has signed. `None` where theirs has no
/// successor.
#[must_use]
pub fn successor(
    pinned: &Certificate,
    shown: &[Certificate],
    now: UnixTime,
) -> Option<Certificate> {
    let mut found = next_root(pinned, shown, now)?;
    for _ in 1..SUCCESSORS_MAX {
        match next_root(&found, shown, now) {
            Some(next) => found = next,
            None => break,
        }
    }
    Some(found)
}

/// Whom those who believe `anchors` may believe after a server that is believed has `told` its
/// authorities: those that it still tells, and each newer root to which one of them leads. OldWithNew
/// leads back, and is not followed: a root that was replaced since it was stolen, or is barred, would
/// be believed again.
///
/// A root that is told no longer goes where a newer one stays. So whoever can pose as a server of
/// the old root takes nobody's new root away.
#[must_use]
pub fn followed(anchors: &[Certificate], told: &[Certificate], now: UnixTime) -> Vec<Certificate> {
    let same = |a: &Certificate, b: &Certificate| a.der() == b.der();
    let is_told = |c: &&Certificate| told.iter().any(|t| same(t, c));
    let mut found: Vec<Certificate> = anchors.iter().filter(is_told).cloned().collect();
    for _ in 0..SUCCESSORS_MAX {
        let believed = || anchors.iter().chain(&found);
        let further: Vec<_> = roots(told, now)
            .filter(|root| !believed().any(|b| same(b, root)))
            .filter(|root| believed().any(|by| leads(by, root, told, now)))
            .cloned()
            .collect();
        if further.is_empty() {
            break;
        }
        found.extend(further);
    }
    let newest = found.iter().map(Certificate::made).max();
    let stays = |c: &&Certificate| !is_told(c) && newest.as_ref().is_none_or(|n| c.made() > *n);
    found.extend(anchors.iter().filter(stays).cloned());
    found.sort_by_key(|root| std::cmp::Reverse(root.made()));
    found.truncate(FOLLOWED_MAX);
    found
}

fn lives(certificate: &Certificate, now: UnixTime) -> bool {
    certificate.not_before() <= now && now <= certificate.not_after()
}

/// The roots among those shown, as those of realms are: any number of authorities below them, which
/// no other authority may have (`ca::authority`).
fn roots(shown: &[Certificate], now: UnixTime) -> impl Iterator<Item = &Certificate> {
    let is_root = |c: &&Certificate| c.authority() == Some(None) && c.signed_by(c).is_ok();
    shown.iter().filter(move |c| lives(c, now)).filter(is_root)
}

/// Whether `to` follows `from`: it is newer and has its name, and one of those shown says of it,
/// under the signature of `from`, that its key is a root's.
///
/// The name and the missing path length are what the other authorities that a root signs do not
/// have: whoever stole one of their keys can sign a root with it, to which nothing leads.
fn leads(from: &Certificate, to: &Certificate, shown: &[Certificate], now: UnixTime) -> bool {
    from.key() != to.key()
        && from.subject() == to.subject()
        && to.made() > from.made()
        && shown.iter().filter(|c| lives(c, now)).any(|cross| {
            cross.key() == to.key()
                && cross.subject() == to.subject()
                && cross.authority() == Some(None)
                && cross.signed_by(from).is_ok()
        })
}

fn next_root(pinned: &Certificate, shown: &[Certificate], now: UnixTime) -> Option<Certificate> {
    let next = roots(shown, now).filter(|root| leads(pinned, root, shown, now));
    next.max_by_key(|c| c.made()).cloned()
}
