//! Questions about devices.

use super::rows_max;
use crate::realm::RealmKey;
use crate::roll::Counts;
use crate::rows::{self, DEVICE_COLUMNS, REPORT_COLUMNS, millis};
use crate::{ReadError, Registry, Report};
use identity::UnixTime;
use identity::credential::Requester;
use identity::device::{Device, DeviceId, GroupName, Standing};
use identity::name::DeviceName;
use identity::text::from_hex;
use rusqlite::types::Value;
use std::collections::BTreeMap;

/// Which devices; a member that is `None` lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// In this group.
    pub group: Option<GroupName>,
    /// Standing here.
    pub standing: Option<Standing>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this maker; the empty text is the realm itself.
    pub maker: Option<String>,
    /// With this serial number.
    pub serial: Option<String>,
}

/// Enrolled devices whose newest leaf has less than half of its life left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Of this model.
    pub model: String,
    /// In this group; `None` for those that are in none. A device in two groups counts in both.
    pub group: Option<GroupName>,
    /// How many.
    pub count: u64,
}

/// Devices that one short name may mean before it is of no use.
const NAMED_MAX: i64 = 10;

impl Registry {
    /// A device by its UUID.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn device(&self, realm: RealmKey, id: &DeviceId) -> Result<Option<Device>, ReadError> {
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE realm = ?1 AND id = ?2");
        self.pool().once(|db| db.first(&sql, (realm.0, id.octets()), rows::device))
    }

    /// What a device last said of itself.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn report(&self, realm: RealmKey, id: &DeviceId) -> Result<Option<Report>, ReadError> {
        let sql = format!("SELECT {REPORT_COLUMNS} FROM report WHERE realm = ?1 AND device = ?2");
        self.pool().read(|db| db.first(&sql, (realm.0, id.octets()), rows::report))
    }

    /// The devices that a person's name for one can mean, at most 10; more than one says that it is
    /// not clear enough.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn devices_named(
        &self,
        realm: RealmKey,
        name: &DeviceName,
    ) -> Result<Vec<Device>, ReadError> {
        let select = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE realm = ?1");
        match name {
            DeviceName::Id(id) => Ok(self.device(realm, id)?.into_iter().collect()),
            DeviceName::Prefix(digits) => {
                let sql = format!("{select} AND id BETWEEN ?2 AND ?3 ORDER BY id LIMIT ?4");
                let (Some(from), Some(to)) = (padded(digits, '0'), padded(digits, 'f')) else {
                    return Ok(Vec::new());
                };
                self.pool().read(|db| db.all(&sql, (realm.0, from, to, NAMED_MAX), rows::device))
            }
            DeviceName::Serial { of: Some((maker, model)), serial } => {
                Ok(self.device_by_serial(realm, maker, model, serial)?.into_iter().collect())
            }
            DeviceName::Serial { of: None, serial } => {
                let sql = format!("{select} AND serial = ?2 AND serial <> '' ORDER BY id LIMIT ?3");
                self.pool().read(|db| db.all(&sql, (realm.0, serial, NAMED_MAX), rows::device))
            }
        }
    }

    /// A device by its physical identifiers, an absent one being the empty text.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn device_by_serial(
        &self,
        realm: RealmKey,
        maker: &str,
        model: &str,
        serial: &str,
    ) -> Result<Option<Device>, ReadError> {
        let sql = format!(
            "SELECT {DEVICE_COLUMNS} FROM device WHERE realm = ?1 AND serial = ?2 AND model = ?3 \
             AND maker = ?4 AND serial <> ''"
        );
        self.pool().once(|db| db.first(&sql, (realm.0, serial, model, maker), rows::device))
    }

    /// The device that this maker's certificate brought in, by who its key proved.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn device_by_idevid(
        &self,
        realm: RealmKey,
        requester: &Requester,
    ) -> Result<Option<Device>, ReadError> {
        let which = "SELECT device FROM idevid WHERE realm = ?1 AND requester = ?2";
        let sql = format!("SELECT {DEVICE_COLUMNS} FROM device WHERE realm = ?1 AND id = ?2");
        self.pool().read(|db| {
            let asked = (realm.0, requester.octets());
            let id: Option<[u8; 16]> = db.first(which, asked, |row| row.get(0))?;
            match id {
                Some(id) => db.first(&sql, (realm.0, id), rows::device),
                None => Ok(None),
            }
        })
    }

    /// Whether a device that is not retired belongs to this door. Looks at every device where none
    /// does: some tenths of a second for a million.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn has_devices_of_door(&self, realm: RealmKey, door: &str) -> Result<bool, ReadError> {
        let sql = "SELECT 1 FROM device WHERE realm = ?1 AND door = ?2 AND standing <> 'retired' \
            LIMIT 1";
        self.pool().read(|db| Ok(db.first(sql, (realm.0, door), |_| Ok(()))?.is_some()))
    }

    /// A device of this maker, retired ones too, whose model is another than `model`. Looks at every
    /// device where there is none, as [`Registry::has_devices_of_door`] does.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn device_of_other_model(
        &self,
        realm: RealmKey,
        maker: &str,
        model: &str,
    ) -> Result<Option<Device>, ReadError> {
        let sql = format!(
            "SELECT {DEVICE_COLUMNS} FROM device WHERE realm = ?1 AND maker = ?2 AND model <> ?3 \
             LIMIT 1"
        );
        self.pool().read(|db| db.first(&sql, (realm.0, maker, model), rows::device))
    }

    /// Devices in the order of their UUIDs, which is that of their births, after the one named; at
    /// most [`super::ROWS_MAX`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn devices(
        &self,
        realm: RealmKey,
        filter: &DeviceFilter,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Result<Vec<Device>, ReadError> {
        // Within a group its own table gives the order, so that a small group in a large fleet is
        // found at once.
        let (from, key) = match &filter.group {
            None => ("device", "device"),
            Some(_) => (
                "membership JOIN device ON device.realm = membership.realm \
                 AND device.id = membership.device",
                "membership",
            ),
        };
        let id = if filter.group.is_some() { "membership.device" } else { "device.id" };
        let mut values = vec![Value::from(i64::from(realm.0))];
        let mut wanted = vec![format!("{key}.realm = ?1")];
        let mut want = |condition: &str, value: Value| {
            values.push(value);
            wanted.push(format!("{condition} ?{}", values.len()));
        };
        if let Some(group) = &filter.group {
            want("membership.name =", group.as_str().to_owned().into());
        }
        if let Some(standing) = filter.standing {
            want("device.standing =", standing.as_str().to_owned().into());
        }
        if let Some(model) = &filter.model {
            want("device.model =", model.clone().into());
        }
        if let Some(maker) = &filter.maker {
            want("device.maker =", maker.clone().into());
        }
        if let Some(serial) = &filter.serial {
            want("device.serial =", serial.clone().into());
            if !serial.is_empty() {
                want("device.serial <>", String::new().into());
            }
        }
        if let Some(after) = after {
            want(&format!("{id} >"), after.octets().to_vec().into());
        }
        let sql = format!(
            "SELECT {DEVICE_COLUMNS} FROM {from} WHERE {} ORDER BY {id} LIMIT {}",
            wanted.join(" AND "),
            rows_max(limit)
        );
        self.pool().read(|db| db.all(&sql, rusqlite::params_from_iter(values), rows::device))
    }

    /// Devices of a realm by standing, from memory.
    #[must_use]
    pub fn counts(&self, realm: RealmKey) -> Counts {
        self.roll().counts(realm)
    }

    /// Enrolled devices past their renewal, by model and group. Looks at every device: about half a
    /// second for a million, so ask once in a minute and not at every scrape.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn overdue(&self, realm: RealmKey, now: UnixTime) -> Result<Vec<Overdue>, ReadError> {
        let sql = "SELECT model, group_names, COUNT(*) FROM device \
            WHERE realm = ?1 AND standing = 'enrolled' AND due < ?2 GROUP BY model, group_names";
        let found = self.pool().read(|db| {
            db.all(sql, (realm.0, millis(now)), |row| {
                let model: String = row.get(0)?;
                Ok((model, rows::groups(row, 1, "device")?, rows::uint(row, 2)?))
            })
        })?;
        let mut counts: BTreeMap<(String, Option<GroupName>), u64> = BTreeMap::new();
        for (model, groups, count) in found {
            if groups.is_empty() {
                *counts.entry((model.clone(), None)).or_default() += count;
            }
            for group in groups {
                *counts.entry((model.clone(), Some(group))).or_default() += count;
            }
        }
        let overdue = |((model, group), count)| Overdue { model, group, count };
        Ok(counts.into_iter().map(overdue).collect())
    }
}

/// The 16 octets that begin with `digits` and go on with one digit.
fn padded(digits: &str, with: char) -> Option<Vec<u8>> {
    let whole: String = digits.chars().chain(std::iter::repeat(with)).take(32).collect();
    from_hex(&whole)
}
