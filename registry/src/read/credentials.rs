//! Questions about credentials.

use super::{Reader, rows_max};
use crate::realm::RealmKey;
use crate::rows::{self, CREDENTIAL_COLUMNS, moment, revocation, serial, torn};
use crate::{ReadError, Registry};
use identity::authority::KeyId;
use identity::credential::{Credential, Revocation, Serial};
use identity::device::DeviceId;
use identity::{SpkiHash, UnixTime};
use rusqlite::Params;

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
}
