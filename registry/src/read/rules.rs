//! Questions about what a realm wants: authorities, tokens, doors, profiles, settings, operators;
//! and notes.

use super::rows_max;
use crate::realm::{Operator, RealmKey};
use crate::rows::{
    self, AUTHORITY_COLUMNS, DOOR_COLUMNS, OPERATOR_COLUMNS, SINK_COLUMNS, TOKEN_COLUMNS, uint,
};
use crate::sink::Sink;
use crate::{ReadError, Registry};
use identity::Certificate;
use identity::authority::{Authority, AuthorityRequest};
use identity::device::{Device, GroupName};
use identity::door::Door;
use identity::profile::Profile;
use identity::token::{Token, TokenId};
use std::collections::BTreeMap;

impl Registry {
    /// Every authority, also those that sign no more.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn authorities(&self, realm: RealmKey) -> Result<Vec<Authority>, ReadError> {
        let sql = format!("SELECT {AUTHORITY_COLUMNS} FROM authority WHERE realm = ?1 ORDER BY id");
        self.pool().read(|db| db.all(&sql, [realm.0], rows::authority))
    }

    /// The requests of authorities that the root has not answered yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn authority_requests(&self, realm: RealmKey) -> Result<Vec<AuthorityRequest>, ReadError> {
        let sql = "SELECT id, role, csr, made FROM authority_request WHERE realm = ?1 ORDER BY id";
        self.pool().read(|db| db.all(sql, [realm.0], rows::authority_request))
    }

    /// The certificates by which one root leads to another.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn crosses(&self, realm: RealmKey) -> Result<Vec<Certificate>, ReadError> {
        let sql = "SELECT der FROM cross_certificate WHERE realm = ?1 ORDER BY id, issuer";
        self.pool().read(|db| db.all(sql, [realm.0], rows::cross))
    }

    /// A token by its id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn token(&self, realm: RealmKey, id: &TokenId) -> Result<Option<Token>, ReadError> {
        self.0.shared.tokens.get((realm, id), || {
            let sql = format!("SELECT {TOKEN_COLUMNS} FROM token WHERE realm = ?1 AND id = ?2");
            self.pool().once(|db| db.first(&sql, (realm.0, id.as_str()), rows::token))
        })
    }

    /// Tokens in the order of their ids, after the one named; at most [`super::ROWS_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tokens(
        &self,
        realm: RealmKey,
        after: Option<&TokenId>,
        limit: usize,
    ) -> Result<Vec<Token>, ReadError> {
        let sql = format!(
            "SELECT {TOKEN_COLUMNS} FROM token WHERE realm = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        );
        let after = after.map_or("", TokenId::as_str);
        self.pool().read(|db| db.all(&sql, (realm.0, after, rows_max(limit)), rows::token))
    }

    /// Every door, by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn doors(&self, realm: RealmKey) -> Result<Vec<Door>, ReadError> {
        let doors = format!("SELECT {DOOR_COLUMNS} FROM door WHERE realm = ?1 ORDER BY name");
        let anchors = "SELECT door, der FROM anchor WHERE realm = ?1 ORDER BY door, number";
        self.pool().read(|db| {
            let mut by_door: BTreeMap<String, Vec<Certificate>> = BTreeMap::new();
            for (door, anchor) in db.all(anchors, [realm.0], rows::anchor)? {
                by_door.entry(door).or_default().push(anchor);
            }
            db.all(&doors, [realm.0], |row| {
                let name: String = row.get(0)?;
                rows::door(row, by_door.remove(&name).unwrap_or_default())
            })
        })
    }

    /// The tokens that name this device by its serial number: those with its maker and model, and
    /// those with the bare number where no other device has it; with `live` only those that are not
    /// revoked.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tokens_naming(
        &self,
        realm: RealmKey,
        device: &Device,
        live: bool,
    ) -> Result<Vec<TokenId>, ReadError> {
        let said = &device.identifiers;
        if said.serial.is_empty() {
            return Ok(Vec::new());
        }
        let whole = format!("{}/{}/{}", said.maker, said.model, said.serial);
        let and = if live { "AND revoked IS NULL" } else { "" };
        let sql = format!(
            "SELECT id FROM token WHERE realm = ?1 {and} AND (serial = ?2 \
             OR serial = ?3 AND NOT EXISTS (SELECT 1 FROM device WHERE device.realm = ?1 \
             AND device.serial = ?3 AND device.serial <> '' AND device.id <> ?4))"
        );
        self.pool().read(|db| {
            db.all(&sql, (realm.0, whole, &said.serial, device.id.octets()), |row| {
                rows::word(row, 0, "token", TokenId::parse)
            })
        })
    }

    /// Every profile, by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn profiles(&self, realm: RealmKey) -> Result<Vec<Profile>, ReadError> {
        let sql = "SELECT name, lifetime_s, keys, organization, usages, server_key FROM profile \
            WHERE realm = ?1 ORDER BY name";
        self.pool().read(|db| db.all(sql, [realm.0], rows::profile))
    }

    /// Every setting: key, the group that it is for, value.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn settings(
        &self,
        realm: RealmKey,
    ) -> Result<Vec<(String, Option<GroupName>, String)>, ReadError> {
        let sql = "SELECT name, of_group, value FROM setting WHERE realm = ?1 \
            ORDER BY name, of_group";
        self.pool().read(|db| {
            db.all(sql, [realm.0], |row| {
                let group = rows::word(row, 1, "setting", |text| match text {
                    "" => Some(None),
                    name => GroupName::parse(name).map(Some),
                })?;
                Ok((row.get(0)?, group, row.get(2)?))
            })
        })
    }

    /// Every operator, by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn operators(&self, realm: RealmKey) -> Result<Vec<Operator>, ReadError> {
        let sql = format!("SELECT {OPERATOR_COLUMNS} FROM operator WHERE realm = ?1 ORDER BY name");
        self.pool().read(|db| db.all(&sql, [realm.0], rows::operator))
    }

    /// An operator by the public half of its credential.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn operator(&self, realm: RealmKey, id: &TokenId) -> Result<Option<Operator>, ReadError> {
        let sql = format!("SELECT {OPERATOR_COLUMNS} FROM operator WHERE realm = ?1 AND id = ?2");
        self.pool().once(|db| db.first(&sql, (realm.0, id.as_str()), rows::operator))
    }

    /// The operator with this public half, in whichever realm: a credential belongs to one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn operator_anywhere(
        &self,
        id: &TokenId,
    ) -> Result<Option<(RealmKey, Operator)>, ReadError> {
        for realm in self.realms() {
            if let Some(operator) = self.operator(realm.key, id)? {
                return Ok(Some((realm.key, operator)));
            }
        }
        Ok(None)
    }

    /// Every sink, by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn sinks(&self, realm: RealmKey) -> Result<Vec<Sink>, ReadError> {
        let sql = format!("SELECT {SINK_COLUMNS} FROM sink WHERE realm = ?1 ORDER BY name");
        self.pool().read(|db| db.all(&sql, [realm.0], rows::sink))
    }

    /// A note.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn noted(
        &self,
        realm: RealmKey,
        space: &str,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let sql = "SELECT value FROM note WHERE realm = ?1 AND space = ?2 AND name = ?3";
        self.pool().once(|db| db.first(sql, (realm.0, space, key), |row| row.get(0)))
    }

    /// Every note of a space, by key: spaces that grow are swept by those who fill them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn noted_all(
        &self,
        realm: RealmKey,
        space: &str,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
        let sql = "SELECT name, value FROM note WHERE realm = ?1 AND space = ?2";
        self.pool().read(|db| {
            let notes = db.all(sql, (realm.0, space), |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(notes.into_iter().collect())
        })
    }

    /// How many notes of a space there are, and how many octets they hold, by the first octets of
    /// their keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn noted_by_front(
        &self,
        realm: RealmKey,
        space: &str,
        octets: u32,
    ) -> Result<BTreeMap<Vec<u8>, Noted>, ReadError> {
        let sql = "SELECT substr(name, 1, ?3), COUNT(*), SUM(length(value)) FROM note \
            WHERE realm = ?1 AND space = ?2 GROUP BY 1";
        self.pool().once(|db| {
            let fronts = db.all(sql, (realm.0, space, octets), |row| {
                let (count, octets) = (uint(row, 1)?, uint(row, 2)?);
                Ok((row.get(0)?, Noted { count, octets }))
            })?;
            Ok(fronts.into_iter().collect())
        })
    }

    /// The keys of the notes of a space whose value begins with no more than `front`: what begins
    /// with its moment is swept by it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn noted_until(
        &self,
        realm: RealmKey,
        space: &str,
        front: &[u8],
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        let sql = "SELECT name FROM note WHERE realm = ?1 AND space = ?2 \
            AND substr(value, 1, ?3) <= ?4";
        let octets = i64::try_from(front.len()).unwrap_or(i64::MAX);
        self.pool().once(|db| db.all(sql, (realm.0, space, octets, front), |row| row.get(0)))
    }
}

/// What notes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// How many.
    pub count: u64,
    /// Octets of their values.
    pub octets: u64,
}
