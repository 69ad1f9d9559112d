//! A root gives way to the next (RFC 7030 §4.1.3, RFC 4210 §4.4). Both have the same name, and each
//! certifies the other's key: NewWithOld leads those who believe the old root to the new one,
//! OldWithNew those who believe the new one to what the old one signed. The authorities below keep
//! their keys and get certificates of the new root.
//!
//! [`succeed`] makes all of it where the two keys are; [`Succession::check`] is what the server
//! believes of it.

use super::{AUTHORITY_S, Below, certify, defect, self_signed};
use crate::address::Addresses;
use crate::wire::unencodable;
use der::Encode;
use identity::ask::{Cause, Defect};
use identity::authority::{Authority, KeyId, Role};
use identity::text::rfc3339;
use identity::{Certificate, KeyError, Outside, Refusal, Signer, UnixTime};

/// A root with all that leads to it.
#[derive(Clone, Debug)]
pub struct Succession {
    /// The new root, signed by itself.
    pub root: Certificate,
    /// The new root's key, signed by the old one.
    pub new_with_old: Certificate,
    /// The old root's key, signed by the new one.
    pub old_with_new: Certificate,
    /// The authorities that count, each signed by the new root.
    pub authorities: Vec<Certificate>,
}

/// What a succession is made of.
pub struct Heir<'a> {
    /// The root that is followed, with its key.
    pub old: (&'a Certificate, &'a dyn Signer),
    /// The key of the new one.
    pub key: &'a dyn Signer,
    /// The authorities that count, with what they sign.
    pub authorities: &'a [(Role, Certificate)],
    /// Where lists and certificates are.
    pub addresses: &'a Addresses,
    /// Until when the old root is led to; `None` for as long as it lasts.
    pub until: Option<UnixTime>,
}

/// Makes the new root, and certifies with it what the old one certified.
///
/// # Errors
/// A refusal where the keys make no sense, an outage where one of them did not sign.
pub fn succeed(heir: &Heir<'_>, outside: &mut Outside<'_>) -> Result<Succession, Refusal> {
    let (old, old_key) = heir.old;
    if old_key.public() != old.key() {
        return Err(defect("root-key", "this is not the key of the root certificate"));
    }
    let known = |c: &Certificate| c.key() == heir.key.public();
    if known(old) || heir.authorities.iter().any(|(_, c)| known(c)) {
        return Err(defect("root-key", "a new root has a new key"));
    }
    let made = make(heir, outside)
        .map_err(|e| Refusal::Outage(Cause(format!("a root did not sign: {e}").into())))?;
    newer(&made.root, old)?;
    Ok(made)
}

/// The new root, if whoever believes the old one will follow it: agents go from a root to a newer
/// one only, so that nobody leads them back.
fn newer<'r>(root: &'r Certificate, old: &Certificate) -> Result<&'r Certificate, Refusal> {
    if root.made() > old.made() {
        return Ok(root);
    }
    let sentence = format!(
        "the new root is dated {}, not after the one that it follows ({}), so no device would follow \
         it: set the clock right where the root's key is, and make the roll-over anew",
        rfc3339(root.not_before()),
        rfc3339(old.not_before())
    );
    Err(Refusal::Malformed(Defect::new("root-older", sentence)))
}

fn make(heir: &Heir<'_>, outside: &mut Outside<'_>) -> Result<Succession, KeyError> {
    let (old, old_key) = heir.old;
    let name = |c: &Certificate| c.subject().to_der().map_err(unencodable);
    let subject = name(old)?;
    let root = self_signed(&subject, heir.key, outside)?;
    let until = heir.until.unwrap_or(UnixTime::NEVER_ENDS);
    let new = Below { subject: &subject, key: root.key(), role: Role::Root, until };
    let new_with_old = certify((old, old_key), &new, heir.addresses, outside)?;
    // Whoever believes the new root shall not believe an old one for good.
    let until = until.min(outside.now.plus_secs(AUTHORITY_S));
    let before = Below { key: old.key(), until, ..new };
    let old_with_new = certify((&root, heir.key), &before, heir.addresses, outside)?;
    let mut authorities = Vec::with_capacity(heir.authorities.len());
    for (role, authority) in heir.authorities {
        let subject = name(authority)?;
        let (key, until) = (authority.key(), authority.not_after());
        let below = Below { subject: &subject, key, role: *role, until };
        authorities.push(certify((&root, heir.key), &below, heir.addresses, outside)?);
    }
    Ok(Succession { root, new_with_old, old_with_new, authorities })
}

fn counts_no_more(authority: &Authority) -> Refusal {
    let sentence = format!(
        "the {} authority `{}` is {} since this was made, and would have a certificate of the new \
         root: make the roll-over anew",
        authority.role, authority.id, authority.state
    );
    Refusal::Malformed(Defect::new("root-below-gone", sentence))
}

impl Succession {
    /// Believes a succession of `old`, the root that counts, over the `known` authorities; gives
    /// each authority's identifier with its new certificate.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(
        &self,
        old: &Authority,
        known: &[Authority],
    ) -> Result<Vec<(KeyId, Certificate)>, Refusal> {
        let (root, of) = (&self.root, &old.certificate);
        let new = root.key() != of.key() && root.subject() == of.subject();
        if root.signed_by(root).is_err() || root.authority() != Some(None) || !new {
            return Err(defect(
                "root-successor",
                "the new root is not one: it signs itself, has the name of the old one, and a new key",
            ));
        }
        newer(root, of)?;
        let leads = |c: &Certificate, by: &Certificate, to: &Certificate| {
            c.signed_by(by).is_ok()
                && c.key() == to.key()
                && c.subject() == to.subject()
                && c.authority() == Some(None)
        };
        if !leads(&self.new_with_old, of, root) {
            return Err(defect(
                "new-with-old",
                "the root that counts did not sign the new root's key",
            ));
        }
        if !leads(&self.old_with_new, root, of) {
            return Err(defect("old-with-new", "the new root did not sign the old root's key"));
        }
        self.below(known)
    }

    /// Every authority that counts has a certificate of the new root, and nobody else has.
    fn below(&self, known: &[Authority]) -> Result<Vec<(KeyId, Certificate)>, Refusal> {
        let mut found = Vec::new();
        for certificate in &self.authorities {
            let same = |a: &&Authority| {
                a.role != Role::Root
                    && a.certificate.key() == certificate.key()
                    && a.certificate.subject() == certificate.subject()
            };
            let fits = certificate.signed_by(&self.root).is_ok()
                && certificate.authority() == Some(Some(0));
            match known.iter().find(same).filter(|_| fits) {
                Some(authority) if authority.counts() => {
                    found.push((authority.id, certificate.clone()));
                }
                // A fresh certificate, and a list that does not name it, would make it good again.
                Some(authority) => return Err(counts_no_more(authority)),
                None => {
                    return Err(defect(
                        "root-below",
                        "a certificate of the new root is not one of an authority that is known here",
                    ));
                }
            }
        }
        let left_out = |a: &&Authority| {
            a.role != Role::Root && a.counts() && !found.iter().any(|(id, _)| *id == a.id)
        };
        match known.iter().find(left_out) {
            None => Ok(found),
            Some(_) => Err(defect(
                "root-left-out",
                "an authority that counts has no certificate of the new root: make the roll-over anew",
            )),
        }
    }
}
