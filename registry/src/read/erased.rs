//! Questions about devices that were erased.

use crate::realm::RealmKey;
use crate::rows::{moment, uint};
use crate::{ReadError, Registry};
use identity::UnixTime;
use identity::device::DeviceId;
use identity::token::TokenId;
use ledger::Payload;

impl Registry {
    /// Whether a device with these identifiers was erased; they are given as the digest that the
    /// erasure left. Costs nothing, and makes no digest, where nothing was ever erased.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn was_erased(
        &self,
        realm: RealmKey,
        digest: impl FnOnce() -> [u8; 32],
    ) -> Result<bool, ReadError> {
        if !self.shared().has_erased() {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM erased WHERE realm = ?1 AND digest = ?2";
        let digest = digest();
        Ok(self.pool().read(|db| db.first(sql, (realm.0, digest), |_| Ok(())))?.is_some())
    }

    /// When a device was erased.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn erased_at(
        &self,
        realm: RealmKey,
        device: &DeviceId,
    ) -> Result<Option<UnixTime>, ReadError> {
        let sql = "SELECT at FROM erased WHERE realm = ?1 AND device = ?2";
        self.pool().read(|db| db.first(sql, (realm.0, device.octets()), |row| moment(row, 0)))
    }

    /// How many entries about a device have a payload.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn count_about(&self, realm: RealmKey, device: &DeviceId) -> Result<u64, ReadError> {
        let sql = "SELECT COUNT(*) FROM entry WHERE realm = ?1 AND device = ?2 \
            AND payload IS NOT NULL";
        let found =
            self.pool().read(|db| db.first(sql, (realm.0, device.octets()), |row| uint(row, 0)))?;
        Ok(found.unwrap_or_default())
    }

    /// The entries that name one of these tokens as what they are about, and are about no device:
    /// they say the serial number that the token was for. Looks through the whole ledger.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries_naming(
        &self,
        realm: RealmKey,
        tokens: &[TokenId],
    ) -> Result<Vec<u64>, ReadError> {
        let sql = "SELECT number, payload FROM entry WHERE realm = ?1 AND device IS NULL \
            AND payload IS NOT NULL AND instr(payload, CAST(?2 AS BLOB)) > 0";
        let mut found = Vec::new();
        for token in tokens {
            let rows = self.pool().read(|db| {
                db.all(sql, (realm.0, token.as_str()), |row| {
                    Ok((uint(row, 0)?, row.get::<_, Vec<u8>>(1)?))
                })
            })?;
            found.extend(rows.into_iter().filter(|(_, told)| names(told, token)).map(|(n, _)| n));
        }
        Ok(found)
    }
}

/// Not by the way: who writes the entry of another thing could have it destroyed with the token.
fn names(payload: &[u8], token: &TokenId) -> bool {
    let told = Payload::decode(payload).ok();
    told.is_some_and(|told| told.get("token").and_then(|t| t.as_text()) == Some(token.as_str()))
}
