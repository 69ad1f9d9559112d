//! Changes of what a realm wants: tokens, doors, profiles, settings, operators.

use super::batch::{Batch, Scene, Step};
use crate::change::Clash;
use crate::realm::{Operator, Role};
use crate::rows::text::pack;
use crate::rows::{int, maybe_moment, millis, moment, pack_groups};
use crate::sink::Sink;
use identity::device::GroupName;
use identity::door::{Door, DoorKind};
use identity::profile::Profile;
use identity::token::{Token, TokenId};
use identity::{KeyKind, UnixTime};
use rusqlite::params;

impl Batch<'_> {
    pub(super) fn make_token(&self, scene: Scene, token: &Token) -> Step {
        let taken = "SELECT 1 FROM token WHERE realm = ?1 AND id = ?2";
        if self.exists(taken, (scene.realm.0, token.id.as_str()))? {
            return Err(Clash::Exists.into());
        }
        self.run(
            "INSERT INTO token (realm, id, digest, uses_left, uses, made, ends, group_names, \
             serial, revoked, maker_name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                scene.realm.0,
                token.id.as_str(),
                token.digest,
                token.uses_left,
                token.uses,
                millis(token.made),
                millis(token.ends),
                pack_groups(&token.groups),
                token.serial,
                token.revoked.map(millis),
                token.by,
            ],
        )?;
        Ok(())
    }

    /// The earlier of two revocations stays.
    pub(super) fn revoke_token(&mut self, scene: Scene, id: &TokenId, at: UnixTime) -> Step {
        self.pending.touched_token = true;
        found(self.run(
            "UPDATE token SET revoked = COALESCE(revoked, ?3) WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, id.as_str(), millis(at)),
        )?)
    }

    /// The token has a use left at the moment of the decision.
    pub(super) fn check_token(&self, scene: Scene, id: &TokenId) -> Step {
        let good = self.first(
            "SELECT uses_left, ends, revoked FROM token WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, id.as_str()),
            |row| {
                let left: u32 = row.get(0)?;
                let revoked = maybe_moment(row, 2)?;
                Ok(left > 0 && scene.at <= moment(row, 1)? && revoked.is_none())
            },
        )?;
        match good {
            None => Err(Clash::Missing.into()),
            Some(false) => Err(Clash::TokenSpent.into()),
            Some(true) => Ok(()),
        }
    }

    /// Takes one use of a token that was checked.
    pub(super) fn spend_token(&mut self, scene: Scene, id: &TokenId) -> rusqlite::Result<()> {
        self.pending.touched_token = true;
        self.run(
            "UPDATE token SET uses_left = uses_left - 1 WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, id.as_str()),
        )?;
        Ok(())
    }

    pub(super) fn set_door(&self, scene: Scene, door: &Door) -> Step {
        self.is_one_of_its_kind(scene, door)?;
        self.drop_door(scene, &door.name)?;
        let maker = match &door.kind {
            DoorKind::Maker(maker) => Some(maker),
            DoorKind::Birth | DoorKind::Token => None,
        };
        let allow = maker.and_then(|m| m.allow.as_ref());
        self.run(
            "INSERT INTO door (realm, name, kind, open, group_names, profile, assurance, binding, \
             place, pattern, model, allow, receipt) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                scene.realm.0,
                door.name,
                door.kind.as_str(),
                door.open,
                pack_groups(&door.groups),
                door.profile,
                door.assurance.as_str(),
                door.binding,
                maker.map(|m| m.place.as_str()),
                maker.map(|m| m.pattern.as_str()),
                maker.map(|m| m.model.as_str()),
                allow.map(|serials| pack(serials.iter().map(String::as_str))),
                door.receipt,
            ],
        )?;
        for (number, anchor) in (0_i64..).zip(maker.iter().flat_map(|m| &m.anchors)) {
            self.run(
                "INSERT INTO anchor (realm, door, number, der) VALUES (?1, ?2, ?3, ?4)",
                (scene.realm.0, &door.name, number, anchor.der()),
            )?;
        }
        Ok(())
    }

    /// What is shown at a maker's door names it, and a birth certificate and a token name none: with
    /// two doors of their kind it would be chance which one decides. Two that stand there from
    /// before may both be changed and closed, and one of them be open.
    fn is_one_of_its_kind(&self, scene: Scene, door: &Door) -> Step {
        if matches!(door.kind, DoorKind::Maker(_)) {
            return Ok(());
        }
        let of_kind = (scene.realm.0, &door.name, door.kind.as_str());
        let was = "SELECT open FROM door WHERE realm = ?1 AND name = ?2 AND kind = ?3";
        let was: Option<bool> = self.first(was, of_kind, |row| row.get(0))?;
        let others = match was {
            Some(open) if open || !door.open => return Ok(()),
            Some(_) => "SELECT 1 FROM door WHERE realm = ?1 AND name <> ?2 AND kind = ?3 AND open",
            None => "SELECT 1 FROM door WHERE realm = ?1 AND name <> ?2 AND kind = ?3",
        };
        if self.exists(others, of_kind)? { Err(Clash::SecondDoor.into()) } else { Ok(()) }
    }

    pub(super) fn remove_door(&self, scene: Scene, name: &str) -> Step {
        found(self.drop_door(scene, name)?)
    }

    fn drop_door(&self, scene: Scene, name: &str) -> rusqlite::Result<usize> {
        self.run("DELETE FROM anchor WHERE realm = ?1 AND door = ?2", (scene.realm.0, name))?;
        self.run("DELETE FROM door WHERE realm = ?1 AND name = ?2", (scene.realm.0, name))
    }

    pub(super) fn set_profile(&self, scene: Scene, profile: &Profile) -> Step {
        self.run(
            "INSERT INTO profile (realm, name, lifetime_s, keys, organization, usages, server_key) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (realm, name) DO UPDATE SET lifetime_s = excluded.lifetime_s, \
             keys = excluded.keys, organization = excluded.organization, \
             usages = excluded.usages, server_key = excluded.server_key",
            (
                scene.realm.0,
                &profile.name,
                int(profile.lifetime_s),
                pack(profile.keys.iter().map(|key: &KeyKind| key.as_str())),
                &profile.organization,
                pack(profile.usages.iter().map(String::as_str)),
                profile.server_key,
            ),
        )?;
        Ok(())
    }

    pub(super) fn set_setting(
        &self,
        scene: Scene,
        key: &str,
        group: Option<&GroupName>,
        value: Option<&str>,
    ) -> Step {
        let group = group.map_or("", GroupName::as_str);
        match value {
            Some(value) => self.run(
                "INSERT INTO setting (realm, name, of_group, value) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (realm, name, of_group) DO UPDATE SET value = excluded.value",
                (scene.realm.0, key, group, value),
            )?,
            None => self.run(
                "DELETE FROM setting WHERE realm = ?1 AND name = ?2 AND of_group = ?3",
                (scene.realm.0, key, group),
            )?,
        };
        Ok(())
    }

    pub(super) fn set_sink(&self, scene: Scene, sink: &Sink) -> Step {
        self.run(
            "INSERT INTO sink (realm, name, kind, url, format, severity, verbs, anchors, secret, \
             made, begins, telling) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (realm, name) DO UPDATE SET kind = excluded.kind, url = excluded.url, \
             format = excluded.format, severity = excluded.severity, verbs = excluded.verbs, \
             anchors = excluded.anchors, secret = excluded.secret, made = excluded.made, \
             begins = excluded.begins, telling = excluded.telling",
            params![
                scene.realm.0,
                sink.name,
                sink.kind.as_str(),
                sink.url,
                sink.format.as_str(),
                sink.least.as_str(),
                pack(sink.verbs.iter().map(String::as_str)),
                sink.anchors,
                sink.secret,
                millis(sink.made),
                int(sink.begins),
                sink.telling,
            ],
        )?;
        Ok(())
    }

    pub(super) fn remove_sink(&self, scene: Scene, name: &str) -> Step {
        found(self.run("DELETE FROM sink WHERE realm = ?1 AND name = ?2", (scene.realm.0, name))?)
    }

    pub(super) fn set_operator(&self, scene: Scene, operator: &Operator) -> Step {
        let taken = "SELECT 1 FROM operator WHERE realm = ?1 AND (id = ?2 OR name = ?3)";
        if self.exists(taken, (scene.realm.0, operator.id.as_str(), &operator.name))? {
            return Err(Clash::Exists.into());
        }
        self.run(
            "INSERT INTO operator (realm, name, id, role, digest, made) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                scene.realm.0,
                &operator.name,
                operator.id.as_str(),
                operator.role.as_str(),
                operator.digest,
                millis(operator.made),
            ),
        )?;
        Ok(())
    }

    pub(super) fn remove_operator(&self, scene: Scene, name: &str) -> Step {
        let role = "SELECT role FROM operator WHERE realm = ?1 AND name = ?2";
        let role: Option<String> = self.first(role, (scene.realm.0, name), |row| row.get(0))?;
        let others = "SELECT 1 FROM operator WHERE realm = ?1 AND name <> ?2 AND role = ?3";
        let admin = Role::Admin.as_str();
        if role.as_deref() == Some(admin) && !self.exists(others, (scene.realm.0, name, admin))? {
            return Err(Clash::LastAdmin.into());
        }
        found(
            self.run("DELETE FROM operator WHERE realm = ?1 AND name = ?2", (scene.realm.0, name))?,
        )
    }
}

/// A statement that changed nothing found nothing.
pub(super) fn found(changed: usize) -> Step {
    if changed == 0 { Err(Clash::Missing.into()) } else { Ok(()) }
}
