//! The law of clones as it is meant: which leaf is spent when. It knows nothing of how the house keeps
//! it, but for what was revoked.

use super::{Fleet, OVERLAP_S, Shows};
use identity::{Certificate, SpkiHash, UnixTime};

/// A leaf as the law sees it.
pub(super) struct Truth {
    pub(super) spki: SpkiHash,
    pub(super) joined: bool,
    pub(super) used: Option<UnixTime>,
}

impl Fleet {
    /// The first use of a leaf; one that was revoked, or whose key has a newer leaf in use, is used
    /// no more.
    pub(super) fn learn_use(&mut self, shows: &Shows, at: UnixTime) {
        let key = shows.spki();
        let Some(place) = self.truth.iter().position(|(c, _)| shows.is(c)) else { return };
        let revoked = self.is_certificate_revoked(&shows.certificate);
        let newer = self.truth.iter().skip(place + 1);
        if revoked || newer.clone().any(|(_, leaf)| leaf.spki == key && leaf.used.is_some()) {
            return;
        }
        let (_, leaf) = &mut self.truth[place];
        leaf.used = leaf.used.or(Some(at));
    }

    /// The law: every leaf of the key that counts was spent when the handshake began.
    pub(super) fn is_spent(&self, key: &SpkiHash, began: UnixTime) -> bool {
        let of_key = self.truth.iter().enumerate().filter(|(_, (_, leaf))| leaf.spki == *key);
        let ends: Vec<Option<UnixTime>> = of_key
            .filter(|(_, (c, _))| !self.is_certificate_revoked(c))
            .map(|(generation, _)| self.end_of(generation))
            .collect();
        !ends.is_empty() && ends.iter().all(|end| end.is_some_and(|end| end <= began))
    }

    /// When a generation ended: at the first use of a later join, or the overlap after that of a
    /// later renewal.
    pub(super) fn end_of(&self, generation: usize) -> Option<UnixTime> {
        let later = self.truth.get(generation + 1..).unwrap_or_default();
        let ends = later.iter().filter_map(|(_, leaf)| {
            let used = leaf.used?;
            Some(if leaf.joined { used } else { used.plus_secs(OVERLAP_S) })
        });
        ends.min()
    }

    pub(super) fn is_certificate_revoked(&self, certificate: &Certificate) -> bool {
        let serial = certificate.serial().unwrap();
        let row = self.house.registry.credential(self.realm.key, &serial).unwrap().unwrap();
        row.revoked.is_some()
    }

    pub(super) fn is_revoked(&self, key: &SpkiHash) -> bool {
        let of_key = self.house.registry.credentials_by_key(self.realm.key, key).unwrap();
        of_key.iter().all(|c| c.revoked.is_some())
    }
}
