//! Questions about credentials.

use super::{Reader, rows_max};
use crate::realm::RealmKey;
use crate::rows::{
    self, CREDENTIAL_COLUMNS, key_id, maybe_moment, millis, moment, revocation, serial, torn, uint,
};
use crate::{ReadError, Registry};
use identity::authority::KeyId;
use identity::credential::{Credential, Revocation, Serial};
use identity::device::DeviceId;
use identity::{SpkiHash, UnixTime};
use rusqlite::Params;
use std::collections::BTreeMap;

/// A credential as a CRL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedRow {
    /// Which.
    pub serial: Serial,
    /// When and why.
    pub revocation: Revocation,
    /// Its `notAfter`: a CRL leaves out what has ended.
    pub not_after: UnixTime,
}

/// Whether a certificate counts, as a responder tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRow {
    /// Who signed it.
    pub issuer: KeyId,
    /// When and why it was revoked or put on hold, if it was.
    pub revoked: Option<Revocation>,
}

const JOINED: &str = "credential JOIN certificate ON certificate.realm = credential.realm \
    AND certificate.serial = credential.serial";

fn ask(db: &Reader<'_>, rest: &str, params: impl Params) -> Result<Vec<Credential>, ReadError> {
    let sql =
        format!("SELECT {CREDENTIAL_COLUMNS} FROM {JOINED} WHERE credential.realm = ?1 {rest}");
    db.all(&sql, params, rows::credential)
}

impl Registry {
    /// A credential by its serial number.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credential(
        &self,
        realm: RealmKey,
        serial: &Serial,
    ) -> Result<Option<Credential>, ReadError> {
        let found = self
            .pool()
            .once(|db| ask(db, "AND credential.serial = ?2", (realm.0, serial.octets())))?;
        Ok(found.into_iter().next())
    }

    /// The credentials of a device, its newest leaf first and its birth certificates last; at most
    /// [`super::ROWS_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials_of(
        &self,
        realm: RealmKey,
        device: &DeviceId,
        limit: usize,
    ) -> Result<Vec<Credential>, ReadError> {
        let rest = "AND credential.device = ?2 \
            ORDER BY credential.generation DESC, credential.serial DESC LIMIT ?3";
        self.pool().once(|db| ask(db, rest, (realm.0, device.octets(), rows_max(limit))))
    }

    /// The birth certificate of a device, where rework replaced one the one that counts.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn birth_of(
        &self,
        realm: RealmKey,
        device: &DeviceId,
    ) -> Result<Option<Credential>, ReadError> {
        let rest = "AND credential.device = ?2 AND credential.generation = 0 \
            ORDER BY credential.revoked IS NOT NULL, credential.serial DESC LIMIT 1";
        let found = self.pool().once(|db| ask(db, rest, (realm.0, device.octets())))?;
        Ok(found.into_iter().next())
    }

    /// The credentials of a key, the newest first; all of them are one device's.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials_by_key(
        &self,
        realm: RealmKey,
        key: &SpkiHash,
    ) -> Result<Vec<Credential>, ReadError> {
        let Some(seen) = self.roll().lookup(realm, key) else { return Ok(Vec::new()) };
        let rest = "AND credential.device = ?2 AND credential.spki = ?3 \
            ORDER BY credential.generation DESC, credential.serial DESC";
        self.pool().once(|db| ask(db, rest, (realm.0, seen.device.octets(), key.octets())))
    }

    /// Credentials in the order of their serial numbers, which is that of their issuance, after the
    /// one named; at most [`super::ROWS_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials(
        &self,
        realm: RealmKey,
        after: Option<Serial>,
        limit: usize,
    ) -> Result<Vec<Credential>, ReadError> {
        // No serial number is empty, and every other is more.
        let after = after.map_or_else(Vec::new, |serial| serial.octets().to_vec());
        let rest = "AND credential.serial > ?2 ORDER BY credential.serial LIMIT ?3";
        self.pool().read(|db| ask(db, rest, (realm.0, after, rows_max(limit))))
    }

    /// Whether certificates count, in the order asked for; `None` for one that is not on record.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn statuses(
        &self,
        realm: RealmKey,
        serials: &[Serial],
    ) -> Result<Vec<Option<StatusRow>>, ReadError> {
        let sql = "SELECT issuer, revoked, reason FROM credential WHERE realm = ?1 AND serial = ?2";
        self.pool().read(|db| {
            let status = |serial: &Serial| {
                db.first(sql, (realm.0, serial.octets()), |row| {
                    Ok(StatusRow {
                        issuer: key_id(row, 0, "credential")?,
                        revoked: revocation(row, 1)?,
                    })
                })
            };
            serials.iter().map(status).collect()
        })
    }

    /// What an authority must name on its CRL: everything revoked or on hold, of one shard or of
    /// all, also what has ended since. In the order of the serial numbers within a shard.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn revoked(
        &self,
        realm: RealmKey,
        issuer: &KeyId,
        shard: Option<u16>,
    ) -> Result<Vec<RevokedRow>, ReadError> {
        let from = shard.unwrap_or(0);
        let to = shard.unwrap_or(u16::MAX);
        let sql = "SELECT serial, not_after, revoked, reason FROM credential \
            WHERE realm = ?1 AND issuer = ?2 AND shard BETWEEN ?3 AND ?4 AND revoked IS NOT NULL \
            ORDER BY shard, serial";
        self.pool().read(|db| {
            db.all(sql, (realm.0, issuer.octets(), from, to), |row| {
                Ok(RevokedRow {
                    serial: serial(row, 0, "credential")?,
                    not_after: moment(row, 1)?,
                    revocation: revocation(row, 2)?.ok_or_else(|| torn("credential"))?,
                })
            })
        })
    }

    /// Devices whose newest leaf is live, by the authority that signed it: who has not moved over
    /// to its successor yet. Looks at every credential, two seconds for a million devices.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn leaves_by_issuer(
        &self,
        realm: RealmKey,
        now: UnixTime,
    ) -> Result<BTreeMap<KeyId, u64>, ReadError> {
        let sql = "SELECT credential.issuer, COUNT(*) FROM credential JOIN device \
            ON device.realm = credential.realm AND device.id = credential.device \
            AND device.generation = credential.generation \
            WHERE credential.realm = ?1 AND credential.kind = 'leaf' \
            AND credential.revoked IS NULL AND credential.not_after > ?2 \
            GROUP BY credential.issuer";
        let rows = self.pool().read(|db| {
            db.all(sql, (realm.0, millis(now)), |row| {
                Ok((key_id(row, 0, "credential")?, uint(row, 1)?))
            })
        })?;
        Ok(rows.into_iter().collect())
    }

    /// When the last certificate of an authority ends; `None` where it signed none. Looks at every
    /// credential.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn last_end(&self, realm: RealmKey, issuer: &KeyId) -> Result<Option<UnixTime>, ReadError> {
        let sql = "SELECT MAX(not_after) FROM credential WHERE realm = ?1 AND issuer = ?2";
        let key = (realm.0, issuer.octets());
        let found = self.pool().read(|db| db.first(sql, key, |row| maybe_moment(row, 0)))?;
        Ok(found.flatten())
    }
}
