//! Changes of a device: birth, join and renewal, standing, groups, marks.

use super::batch::{Batch, Scene, Step, Stop};
use super::credentials::Held;
use crate::change::{Clash, Cut, Fate};
use crate::realm::RealmKey;
use crate::roll::Turn;
use crate::rows::text::{pack, pack_pairs};
use crate::rows::{groups, int, maybe_moment, millis, pack_groups, uint};
use identity::credential::{Credential, CredentialKind, Reason, Serial};
use identity::device::{Device, DeviceId, GroupName, Identifiers, Standing};
use identity::token::TokenId;
use identity::{SpkiHash, UnixTime};
use rusqlite::params;
use std::collections::BTreeSet;

/// A device as it shall be, the version that this was decided on, and the certificate that it gets.
pub(super) struct Granted<'c> {
    pub(super) device: &'c Device,
    pub(super) expected: Option<u64>,
    pub(super) credential: &'c Credential,
}

/// What is looked at before a device changes.
pub(super) struct Before {
    version: u64,
    generation: u32,
    maker: String,
    model: String,
    serial: String,
    groups: BTreeSet<GroupName>,
    stood: Option<UnixTime>,
}

impl Before {
    fn has(&self, said: &Identifiers) -> bool {
        self.serial == said.serial && self.model == said.model && self.maker == said.maker
    }
}

impl Batch<'_> {
    /// A birth.
    pub(super) fn bear(
        &mut self,
        scene: Scene,
        granted: &Granted<'_>,
        replaces: &[Serial],
    ) -> Step {
        let before = self.check_granted(scene.realm, granted)?;
        let replaced = self.check_own(scene.realm, &granted.device.id, replaces)?;
        self.claim_serial(scene, granted.credential)?;
        self.put_device(scene.realm, granted, before.as_ref(), None)?;
        self.supersede(scene, granted, &replaced)?;
        self.insert_certificate(scene.realm, granted)?;
        Ok(())
    }

    /// A join or a renewal.
    pub(super) fn leaf(
        &mut self,
        scene: Scene,
        granted: &Granted<'_>,
        (supersedes, due): (&[Serial], Option<UnixTime>),
        token: Option<&TokenId>,
    ) -> Step {
        let before = self.check_granted(scene.realm, granted)?;
        let replaced = self.check_own(scene.realm, &granted.device.id, supersedes)?;
        if let Some(token) = token {
            self.check_token(scene, token)?;
        }
        let leaf = granted.credential;
        // Only a maker's certificate brings in a maker's device, where it is no token.
        let maker = !granted.device.identifiers.maker.is_empty();
        let by_idevid = leaf.closes && maker && token.is_none();
        if by_idevid {
            self.check_idevid(scene.realm, leaf)?;
        }
        let half_life_s = leaf.not_after.secs_since(leaf.issued) / 2;
        let due = due.or(Some(leaf.issued.plus_secs(half_life_s)));
        self.claim_serial(scene, leaf)?;
        self.put_device(scene.realm, granted, before.as_ref(), due)?;
        self.supersede(scene, granted, &replaced)?;
        self.insert_certificate(scene.realm, granted)?;
        if let Some(token) = token {
            self.spend_token(scene, token)?;
        }
        if by_idevid {
            self.keep_idevid(scene.realm, leaf)?;
        }
        Ok(())
    }

    /// The maker's certificate brought in no other device.
    fn check_idevid(&self, realm: RealmKey, leaf: &Credential) -> Step {
        let taken = "SELECT 1 FROM idevid WHERE realm = ?1 AND requester = ?2 AND device <> ?3";
        let asked = (realm.0, leaf.requester.octets(), leaf.device.octets());
        if self.exists(taken, asked)? { Err(Clash::KeyKnown.into()) } else { Ok(()) }
    }

    fn keep_idevid(&self, realm: RealmKey, leaf: &Credential) -> rusqlite::Result<()> {
        self.run(
            "INSERT INTO idevid (realm, requester, device) VALUES (?1, ?2, ?3) \
             ON CONFLICT (realm, requester) DO NOTHING",
            (realm.0, leaf.requester.octets(), leaf.device.octets()),
        )?;
        Ok(())
    }

    /// A device moves to another standing.
    pub(super) fn stand(
        &mut self,
        scene: Scene,
        (device, expected): (&DeviceId, u64),
        to: Standing,
        fate: Fate,
    ) -> Step {
        let before = self.check_version(scene.realm, device, expected)?;
        self.run(
            "UPDATE device SET standing = ?3, version = ?4, stood = ?5 \
             WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, device.octets(), to.as_str(), int(expected + 1), millis(scene.at)),
        )?;
        let generation = before.generation;
        let realm = scene.realm;
        self.pending.turns.push(Turn::Device { realm, device: *device, standing: to, generation });
        let held = self.held(realm, device)?;
        for credential in &held {
            let leaf = credential.kind == CredentialKind::Leaf;
            match fate {
                Fate::Keep => {}
                Fate::Hold if leaf => self.revoke(scene, credential, Reason::CertificateHold)?,
                Fate::Revoke(reason) if leaf || to == Standing::Retired => {
                    self.revoke(scene, credential, reason)?;
                }
                // What was put on hold by hand, as birth certificates only are, or as a newcomer,
                // comes off it by hand.
                Fate::Unhold if leaf && credential.fell_at(before.stood) => {
                    self.unhold(scene, credential)?;
                }
                Fate::Hold | Fate::Unhold | Fate::Revoke(_) => {}
            }
        }
        if !to.is_good() || matches!(fate, Fate::Hold | Fate::Revoke(_)) {
            let keys: BTreeSet<SpkiHash> = held.iter().map(|h| h.spki).collect();
            self.cut(realm, *device, keys);
        }
        Ok(())
    }

    /// A device is in these groups and no others.
    pub(super) fn group(
        &self,
        scene: Scene,
        (device, expected): (&DeviceId, u64),
        groups: &BTreeSet<GroupName>,
    ) -> Step {
        let before = self.check_version(scene.realm, device, expected)?;
        self.run(
            "UPDATE device SET group_names = ?3, version = ?4 WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, device.octets(), pack_groups(groups), int(expected + 1)),
        )?;
        self.put_groups(scene.realm, device, &before.groups, groups)?;
        Ok(())
    }

    /// The sessions under these keys end after the commit.
    pub(super) fn cut(&mut self, realm: RealmKey, device: DeviceId, keys: BTreeSet<SpkiHash>) {
        if !keys.is_empty() {
            let keys = keys.into_iter().collect();
            self.pending.cuts.push(Cut { realm, device, keys });
        }
    }

    pub(super) fn before(
        &self,
        realm: RealmKey,
        device: &DeviceId,
    ) -> rusqlite::Result<Option<Before>> {
        self.first(
            "SELECT version, generation, maker, model, serial, group_names, stood FROM device \
             WHERE realm = ?1 AND id = ?2",
            (realm.0, device.octets()),
            |row| {
                Ok(Before {
                    version: uint(row, 0)?,
                    generation: row.get(1)?,
                    maker: row.get(2)?,
                    model: row.get(3)?,
                    serial: row.get(4)?,
                    groups: groups(row, 5, "device")?,
                    stood: maybe_moment(row, 6)?,
                })
            },
        )
    }

    pub(super) fn check_version(
        &self,
        realm: RealmKey,
        device: &DeviceId,
        expected: u64,
    ) -> Result<Before, Stop> {
        let before = self.before(realm, device)?.ok_or(Clash::Missing)?;
        if before.version == expected { Ok(before) } else { Err(Clash::DeviceVersion.into()) }
    }

    /// The device is as it was decided on, neither its identifiers nor the key are another's, and
    /// what signed is not barred.
    fn check_granted(
        &self,
        realm: RealmKey,
        granted: &Granted<'_>,
    ) -> Result<Option<Before>, Stop> {
        let Granted { device, expected, credential } = granted;
        if credential.device != device.id {
            return Err(Clash::Missing.into());
        }
        let before = match expected {
            Some(expected) => Some(self.check_version(realm, &device.id, *expected)?),
            None if self.before(realm, &device.id)?.is_some() => return Err(Clash::Exists.into()),
            None => None,
        };
        let said = &device.identifiers;
        let same = before.as_ref().is_some_and(|before| before.has(said));
        if !same && !said.serial.is_empty() && self.identifiers_taken(realm, said)? {
            return Err(Clash::Exists.into());
        }
        self.check_key(realm, credential)?;
        self.check_issuer(realm, &credential.issuer)?;
        Ok(before)
    }

    fn identifiers_taken(&self, realm: RealmKey, said: &Identifiers) -> rusqlite::Result<bool> {
        // The condition on the serial number lets the planner see that the partial index applies.
        self.exists(
            "SELECT 1 FROM device WHERE realm = ?1 AND serial = ?2 AND model = ?3 AND maker = ?4 \
             AND serial <> ''",
            (realm.0, &said.serial, &said.model, &said.maker),
        )
    }

    fn put_device(
        &self,
        realm: RealmKey,
        granted: &Granted<'_>,
        before: Option<&Before>,
        due: Option<UnixTime>,
    ) -> rusqlite::Result<()> {
        let device = granted.device;
        let packed = pack_groups(&device.groups);
        let none = BTreeSet::new();
        match before {
            None => self.insert_device(realm, device, (&packed, due))?,
            Some(before) => self.update_device(realm, device, (&packed, due), before)?,
        }
        let had = before.map_or(&none, |before| &before.groups);
        self.put_groups(realm, &device.id, had, &device.groups)
    }

    fn insert_device(
        &self,
        realm: RealmKey,
        device: &Device,
        (groups, due): (&str, Option<UnixTime>),
    ) -> rusqlite::Result<()> {
        let said = &device.identifiers;
        self.run(
            "INSERT INTO device (realm, id, standing, assurance, version, generation, born, \
             enrolled, due, maker, model, serial, macs, imei, ek_digest, meta, group_names, mark, door) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
             ?18, ?19)",
            params![
                realm.0,
                device.id.octets(),
                device.standing.as_str(),
                device.assurance.as_str(),
                int(device.version),
                device.generation,
                millis(device.born),
                device.enrolled.map(millis),
                due.map(millis),
                said.maker,
                said.model,
                said.serial,
                pack(said.macs.iter().map(String::as_str)),
                said.imei,
                said.ek_digest,
                pack_pairs(&said.meta),
                groups,
                device.mark,
                device.door,
            ],
        )?;
        Ok(())
    }

    fn update_device(
        &self,
        realm: RealmKey,
        device: &Device,
        (groups, due): (&str, Option<UnixTime>),
        before: &Before,
    ) -> rusqlite::Result<()> {
        let said = &device.identifiers;
        // The indexed columns apart: naming them would rewrite the index at every renewal.
        if !before.has(said) {
            self.run(
                "UPDATE device SET maker = ?3, model = ?4, serial = ?5 \
                 WHERE realm = ?1 AND id = ?2",
                (realm.0, device.id.octets(), &said.maker, &said.model, &said.serial),
            )?;
        }
        self.run(
            "UPDATE device SET standing = ?3, assurance = ?4, version = ?5, generation = ?6, \
             enrolled = ?7, due = COALESCE(?8, due), macs = ?9, imei = ?10, ek_digest = ?11, \
             meta = ?12, group_names = ?13, mark = ?14, door = ?15 WHERE realm = ?1 AND id = ?2",
            params![
                realm.0,
                device.id.octets(),
                device.standing.as_str(),
                device.assurance.as_str(),
                int(before.version + 1),
                device.generation,
                device.enrolled.map(millis),
                due.map(millis),
                pack(said.macs.iter().map(String::as_str)),
                said.imei,
                said.ek_digest,
                pack_pairs(&said.meta),
                groups,
                device.mark,
                device.door,
            ],
        )?;
        Ok(())
    }

    fn put_groups(
        &self,
        realm: RealmKey,
        device: &DeviceId,
        had: &BTreeSet<GroupName>,
        has: &BTreeSet<GroupName>,
    ) -> rusqlite::Result<()> {
        for left in had.difference(has) {
            self.run(
                "DELETE FROM membership WHERE realm = ?1 AND name = ?2 AND device = ?3",
                (realm.0, left.as_str(), device.octets()),
            )?;
        }
        for joined in has.difference(had) {
            self.run(
                "INSERT INTO membership (realm, name, device) VALUES (?1, ?2, ?3)",
                (realm.0, joined.as_str(), device.octets()),
            )?;
        }
        Ok(())
    }

    /// What a new credential takes the place of, revoked; sessions under its keys end, the new
    /// one's excepted.
    fn supersede(&mut self, scene: Scene, granted: &Granted<'_>, replaced: &[Held]) -> Step {
        for held in replaced {
            self.revoke(scene, held, Reason::Superseded)?;
        }
        let kept = granted.credential.spki;
        let keys = replaced.iter().map(|held| held.spki).filter(|spki| *spki != kept).collect();
        self.cut(scene.realm, granted.device.id, keys);
        Ok(())
    }
}
