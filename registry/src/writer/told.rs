//! What is told of a device beside what was decided on it: marks, clones, its own report.

use super::batch::{Batch, Scene, Step};
use crate::change::{Clash, Report};
use crate::rows::text::pack;
use crate::rows::{int, millis};
use identity::device::DeviceId;
use rusqlite::params;

impl Batch<'_> {
    /// Something contradicted what is known of a device.
    pub(super) fn mark(&self, scene: Scene, device: &DeviceId, mark: &str) -> Step {
        let changed = self.run(
            "UPDATE device SET mark = ?3, version = version + 1 WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, device.octets(), mark),
        )?;
        if changed == 0 { Err(Clash::Missing.into()) } else { Ok(()) }
    }

    /// A mark is understood.
    pub(super) fn unmark(&self, scene: Scene, device: &DeviceId, expected: u64) -> Step {
        self.check_version(scene.realm, device, expected)?;
        self.run(
            "UPDATE device SET mark = NULL, version = ?3 WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, device.octets(), int(expected + 1)),
        )?;
        Ok(())
    }

    /// What a device says of itself.
    pub(super) fn report(&self, scene: Scene, device: &DeviceId, report: &Report) -> Step {
        if self.before(scene.realm, device)?.is_none() {
            return Err(Clash::Missing.into());
        }
        let said = &report.identifiers;
        self.run(
            "INSERT INTO report (realm, device, at, firmware, model, serial, macs, imei, \
             ek_digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (realm, device) \
             DO UPDATE SET at = ?3, firmware = ?4, model = ?5, serial = ?6, macs = ?7, imei = ?8, \
             ek_digest = ?9",
            params![
                scene.realm.0,
                device.octets(),
                millis(report.at),
                report.firmware,
                said.model,
                said.serial,
                pack(said.macs.iter().map(String::as_str)),
                said.imei,
                said.ek_digest,
            ],
        )?;
        Ok(())
    }

    /// Two parties hold the identity of a device, and the entry of this change says who.
    pub(super) fn catch(&self, scene: Scene, device: &DeviceId, mark: &str) -> Step {
        self.mark(scene, device, mark)?;
        self.run(
            "UPDATE device SET caught = ?3 WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, device.octets(), int(scene.entry)),
        )?;
        Ok(())
    }
}
