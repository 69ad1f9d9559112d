//! Changes of credentials: issued, used, revoked, on hold.

use super::batch::{Batch, Scene, Step, Stop};
use super::devices::Granted;
use crate::change::Clash;
use crate::realm::RealmKey;
use crate::roll::{Turn, Which};
use crate::rows::{int, maybe_moment, millis, revocation, serial, torn, word};
use identity::credential::{Credential, CredentialKind, Reason, Revocation, Serial};
use identity::device::{DeviceId, Standing};
use identity::{SpkiHash, UnixTime};
use rusqlite::{Row, params};
use std::collections::{BTreeMap, BTreeSet};

/// A credential as the writer looks at it.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) serial: Serial,
    pub(super) device: DeviceId,
    pub(super) spki: SpkiHash,
    pub(super) kind: CredentialKind,
    generation: u32,
    used: bool,
    spent: Option<UnixTime>,
    revoked: Option<Revocation>,
}

const HELD_COLUMNS: &str = "serial, device, spki, kind, generation, used, spent, revoked, reason";

fn read_held(row: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        serial: serial(row, 0, "credential")?,
        device: DeviceId::from_octets(row.get(1)?).ok_or_else(|| torn("credential"))?,
        spki: SpkiHash::from_octets(row.get(2)?),
        kind: word(row, 3, "credential", CredentialKind::parse)?,
        generation: row.get(4)?,
        used: maybe_moment(row, 5)?.is_some(),
        spent: maybe_moment(row, 6)?,
        revoked: revocation(row, 7)?,
    })
}

impl Held {
    /// Whether it was revoked or put on hold at this moment; of a device whose row does not know
    /// the moment, each.
    pub(super) fn fell_at(&self, moment: Option<UnixTime>) -> bool {
        moment.is_none_or(|moment| self.revoked.is_some_and(|fell| fell.at == moment))
    }
}

impl Batch<'_> {
    /// The key is new or this device's, and not compromised.
    pub(super) fn check_key(&self, realm: RealmKey, credential: &Credential) -> Step {
        let key = &credential.spki;
        let stranger = self.owner_of(realm, key).is_some_and(|owner| owner != credential.device);
        if stranger || self.is_compromised(realm, key) {
            return Err(Clash::KeyKnown.into());
        }
        Ok(())
    }

    /// The named credentials, all of them `device`'s.
    pub(super) fn check_own(
        &self,
        realm: RealmKey,
        device: &DeviceId,
        serials: &[Serial],
    ) -> Result<Vec<Held>, Stop> {
        serials
            .iter()
            .map(|serial| match self.one(realm, serial)? {
                Some(held) if held.device == *device => Ok(held),
                _ => Err(Clash::Missing.into()),
            })
            .collect()
    }

    /// The last check and the first write of an issuance: the serial number is free, and from now
    /// on this credential's.
    pub(super) fn claim_serial(&self, scene: Scene, credential: &Credential) -> Step {
        let written = self.run(
            "INSERT INTO credential (realm, serial, kind, device, issuer, generation, spki, \
             requester, shard, issued, not_after, closes, entry) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
             ON CONFLICT (realm, serial) DO NOTHING",
            params![
                scene.realm.0,
                credential.serial.octets(),
                credential.kind.as_str(),
                credential.device.octets(),
                credential.issuer.octets(),
                credential.generation,
                credential.spki.octets(),
                credential.requester.octets(),
                credential.shard,
                millis(credential.issued),
                millis(credential.not_after),
                credential.closes,
                int(scene.entry),
            ],
        )?;
        if written == 0 { Err(Clash::SerialKnown.into()) } else { Ok(()) }
    }

    /// The certificate of a serial number that was claimed, and what memory learns of it.
    pub(super) fn insert_certificate(
        &mut self,
        realm: RealmKey,
        granted: &Granted<'_>,
    ) -> rusqlite::Result<()> {
        let credential = granted.credential;
        self.run(
            "INSERT INTO certificate (realm, serial, der) VALUES (?1, ?2, ?3)",
            (realm.0, credential.serial.octets(), &credential.der),
        )?;
        self.own(realm, credential.spki, credential.device);
        self.pending.turns.push(Turn::issued(realm, granted.device, credential));
        Ok(())
    }

    /// A handshake with a credential completed for the first time: from `earlier_end` on the leaves
    /// before it are spent.
    pub(super) fn use_first(
        &mut self,
        scene: Scene,
        serial: &Serial,
        at: UnixTime,
        earlier_end: UnixTime,
    ) -> Step {
        let realm = scene.realm;
        let used = self.one(realm, serial)?.ok_or(Clash::Missing)?;
        // Of many first contacts at the same time one is the first; the others leave no entry.
        if used.used {
            return Err(Clash::Exists.into());
        }
        self.run(
            "UPDATE credential SET used = ?3 WHERE realm = ?1 AND serial = ?2",
            (realm.0, serial.octets(), millis(at)),
        )?;
        self.pending.turns.push(Turn::Used(used.which(realm)));
        let mut ended = BTreeSet::new();
        for earlier in self.held(realm, &used.device)? {
            let before =
                earlier.kind == CredentialKind::Leaf && earlier.generation < used.generation;
            if !before || earlier.spent.is_some_and(|spent| spent <= earlier_end) {
                continue;
            }
            self.run(
                "UPDATE credential SET spent = ?3 WHERE realm = ?1 AND serial = ?2",
                (realm.0, earlier.serial.octets(), millis(earlier_end)),
            )?;
            self.pending.turns.push(Turn::Spent(earlier.which(realm), earlier_end));
            if earlier_end <= at && earlier.spki != used.spki {
                ended.insert(earlier.spki);
            }
        }
        self.cut(realm, used.device, ended);
        Ok(())
    }

    /// Revokes credentials and every leaf of their keys.
    pub(super) fn revoke_all(&mut self, scene: Scene, serials: &[Serial], reason: Reason) -> Step {
        let realm = scene.realm;
        let mut named: BTreeMap<DeviceId, Vec<Held>> = BTreeMap::new();
        for serial in serials {
            let held = self.one(realm, serial)?.ok_or(Clash::Missing)?;
            named.entry(held.device).or_default().push(held);
        }
        for (device, named) in named {
            let keys: BTreeSet<SpkiHash> = named.iter().map(|held| held.spki).collect();
            for held in self.held(realm, &device)? {
                let said = named.iter().any(|one| one.serial == held.serial);
                let all = reason == Reason::KeyCompromise || held.kind == CredentialKind::Leaf;
                if said || (all && keys.contains(&held.spki)) {
                    self.revoke(scene, &held, reason)?;
                }
            }
            self.cut(realm, device, keys);
        }
        Ok(())
    }

    /// Lifts the hold of credentials and of every leaf of their keys.
    pub(super) fn release_all(&mut self, scene: Scene, serials: &[Serial]) -> Step {
        let mut on_hold = Vec::new();
        for serial in serials {
            let named = self.one(scene.realm, serial)?.ok_or(Clash::Missing)?;
            // Else a copied leaf of a device that was set aside meanwhile would be good again.
            if !self.stands_good(scene.realm, &named.device)? {
                return Err(Clash::DeviceVersion.into());
            }
            let held = self.held(scene.realm, &named.device)?.into_iter().filter(|held| {
                let leaf = held.kind == CredentialKind::Leaf && held.spki == named.spki;
                (leaf || held.serial == named.serial) && held.is_on_hold()
            });
            on_hold.extend(held);
        }
        if on_hold.is_empty() {
            return Err(Clash::Missing.into());
        }
        for held in &on_hold {
            self.unhold(scene, held)?;
        }
        Ok(())
    }

    fn stands_good(&self, realm: RealmKey, device: &DeviceId) -> rusqlite::Result<bool> {
        let standing = self.first(
            "SELECT standing FROM device WHERE realm = ?1 AND id = ?2",
            (realm.0, device.octets()),
            |row| word(row, 0, "device", Standing::parse),
        )?;
        Ok(standing.is_none_or(Standing::is_good))
    }

    /// Revokes one, or puts it on hold, where that is not weaker than what is so already. A final
    /// reason keeps the moment of the hold before it: from then on nobody relied on the
    /// certificate.
    pub(super) fn revoke(
        &mut self,
        scene: Scene,
        held: &Held,
        reason: Reason,
    ) -> rusqlite::Result<()> {
        if reason == Reason::KeyCompromise && !self.is_compromised(scene.realm, &held.spki) {
            self.compromise(scene, held.spki)?;
        }
        let at = match held.revoked {
            None => scene.at,
            Some(before) if before.reason == reason => return Ok(()),
            Some(before) if before.reason == Reason::CertificateHold => before.at,
            Some(before) if reason == Reason::KeyCompromise => before.at,
            Some(_) => return Ok(()),
        };
        self.run(
            "UPDATE credential SET revoked = ?3, reason = ?4 WHERE realm = ?1 AND serial = ?2",
            (scene.realm.0, held.serial.octets(), millis(at), reason.as_str()),
        )?;
        *self.pending.revoked.entry((scene.realm, reason)).or_default() += 1;
        self.pending.turns.push(Turn::Revoked(held.which(scene.realm), true));
        Ok(())
    }

    /// Lifts a hold; any other revocation stays.
    pub(super) fn unhold(&mut self, scene: Scene, held: &Held) -> rusqlite::Result<()> {
        if !held.is_on_hold() {
            return Ok(());
        }
        self.run(
            "UPDATE credential SET revoked = NULL, reason = NULL WHERE realm = ?1 AND serial = ?2",
            (scene.realm.0, held.serial.octets()),
        )?;
        self.pending.turns.push(Turn::Revoked(held.which(scene.realm), false));
        Ok(())
    }

    /// All credentials of a device, the oldest first.
    pub(super) fn held(&self, realm: RealmKey, device: &DeviceId) -> rusqlite::Result<Vec<Held>> {
        let sql = format!(
            "SELECT {HELD_COLUMNS} FROM credential WHERE realm = ?1 AND device = ?2 ORDER BY serial"
        );
        self.all(&sql, (realm.0, device.octets()), read_held)
    }

    fn one(&self, realm: RealmKey, serial: &Serial) -> rusqlite::Result<Option<Held>> {
        let sql = format!("SELECT {HELD_COLUMNS} FROM credential WHERE realm = ?1 AND serial = ?2");
        self.first(&sql, (realm.0, serial.octets()), read_held)
    }
}

impl Held {
    fn is_on_hold(&self) -> bool {
        self.revoked.is_some_and(|revoked| revoked.reason == Reason::CertificateHold)
    }

    fn which(&self, realm: RealmKey) -> Which {
        Which { realm, spki: self.spki, serial: self.serial }
    }
}
