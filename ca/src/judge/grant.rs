//! What a grant says: the leaf, and the row of its device as it shall be.

use super::Approved;
use super::rung::{Case, Source, Way};
use crate::wire::shape::{ANY_USE, CLIENT, SERVER};
use const_oid::ObjectIdentifier;
use identity::ask::KeySource;
use identity::door::Door;
use identity::token::Token;
use identity::{Assurance, Credential, Device, Identifiers, Serial, SpkiHash, Standing};

/// What the rungs found.
pub(super) struct Held<'a> {
    pub(super) source: Source<'a>,
    pub(super) device: Option<&'a Device>,
    pub(super) key: Option<SpkiHash>,
    pub(super) way: Way,
    pub(super) door: Option<&'a Door>,
    pub(super) identifiers: Identifiers,
    pub(super) token: Option<&'a Token>,
}

impl Case<'_> {
    /// The grant. Nothing is refused any more.
    pub(super) fn grant(&self, held: Held<'_>) -> Approved {
        let profile = self.facts.profile;
        Approved {
            expected: held.device.map(|d| d.version),
            requester: self.recognized.requester(),
            key: held.key,
            closes: held.way == Way::Join,
            supersedes: self.superseded(&held),
            token: held.token.map(|t| t.id.clone()),
            lifetime_s: profile.lifetime_s,
            organization: profile.organization.clone().filter(|o| !o.is_empty()),
            usages: usages(&profile.usages),
            device: self.enrolled(held),
        }
    }

    /// The row of the device once it has this leaf.
    fn enrolled(&self, held: Held<'_>) -> Device {
        let assurance = self.assurance(&held);
        let mut device = held.device.cloned().unwrap_or_else(|| Device {
            id: self.facts.fresh,
            standing: Standing::Born,
            assurance,
            identifiers: held.identifiers,
            groups: Default::default(),
            version: 0,
            generation: 0,
            born: self.now,
            enrolled: None,
            door: None,
            mark: None,
        });
        // A door's groups come with the first join, so that an operator's changes hold; a token's
        // come with the token.
        if let (None, Some(door)) = (device.enrolled, held.door) {
            device.groups.extend(door.groups.iter().cloned());
        }
        device.groups.extend(held.token.into_iter().flat_map(|t| t.groups.iter().cloned()));
        let newest = self.facts.leaves.iter().map(|l| l.generation).max().unwrap_or_default();
        device.generation = device.generation.max(newest).saturating_add(1);
        device.version = device.version.saturating_add(1);
        device.enrolled = device.enrolled.or(Some(self.now));
        device.standing = Standing::Enrolled;
        // A renewal comes back through the door that it is judged by, and stays with it.
        device.door = held.door.map(|d| d.name.clone()).or(device.door);
        device.assurance = assurance;
        device
    }

    /// What the identity is worth: what was shown proves so much, at most what the door allows; a
    /// renewal raises nothing, and a key that the host made is vouched for and no more.
    fn assurance(&self, held: &Held<'_>) -> Assurance {
        let most = held.door.map_or(Assurance::Measured, |d| d.assurance);
        let known = held.device.map_or(Assurance::Claimed, |d| d.assurance);
        let proven = match held.source {
            Source::Birth(_) => known.max(Assurance::Certified),
            Source::Leaf(_) => known,
            Source::Maker(_) => most,
            Source::Token(_) => Assurance::Token,
        };
        let key = match self.ask.key {
            KeySource::Device => Assurance::Measured,
            KeySource::Server => Assurance::Token,
        };
        proven.min(most).min(key)
    }

    /// The unused leaves that this one takes the place of: whoever lost their answers comes with
    /// another key. A leaf whose key is still at work is spared, since revoking it would revoke
    /// every leaf of that key.
    fn superseded(&self, held: &Held<'_>) -> Vec<Serial> {
        let shown = match held.source {
            Source::Leaf(leaf) => Some(leaf.spki),
            _ => None,
        };
        let at_work = |key: &SpkiHash| {
            let used = |l: &Credential| l.spki == *key && l.used.is_some() && l.is_live(self.now);
            Some(*key) == held.key || Some(*key) == shown || self.facts.leaves.iter().any(used)
        };
        let unused = self.facts.leaves.iter().filter(|l| l.used.is_none() && l.is_live(self.now));
        unused.filter(|l| !at_work(&l.spki)).map(|l| l.serial).collect()
    }
}

/// Further usages of a profile. clientAuth is there anyway, and no leaf is ever a server's.
fn usages(dotted: &std::collections::BTreeSet<String>) -> Vec<ObjectIdentifier> {
    let known = [CLIENT, SERVER, ANY_USE];
    let oids = dotted.iter().filter_map(|text| ObjectIdentifier::new(text).ok());
    oids.filter(|oid| !known.contains(oid)).collect()
}
