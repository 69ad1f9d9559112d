//! Paths, and the report as JSON, with every bound.

use crate::place;
use identity::ask::Defect;
use identity::{Identifiers, RealmName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The media type of a report (RFC 8259).
pub const JSON: &str = "application/json";

/// The largest report: 64 MAC addresses and six texts at their bounds have 3 KiB.
pub const REPORT_OCTETS_MAX: usize = 8 * 1024;

/// Octets of a firmware version: a release with the hash of its commit and the name of its branch
/// fits.
pub const FIRMWARE_OCTETS_MAX: usize = 128;

/// What all paths begin with.
const ROOT: &str = "/device/v1/";

/// What a device may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// What it runs, and what is printed on it.
    Report,
    /// That it leaves.
    Leave,
}

impl Operation {
    /// The last segment of its path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Leave => "leave",
        }
    }

    /// The method that it allows.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Report => "PUT",
            Self::Leave => "POST",
        }
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The realm; `default` where the path names none.
    pub realm: RealmName,
    /// The operation.
    pub operation: Operation,
}

impl Place {
    /// Whether a path is one of ours at all.
    #[must_use]
    pub fn is_below(path: &str) -> bool {
        path.starts_with(ROOT)
    }

    /// Reads `/device/v1/{op}` and `/device/v1/{realm}/{op}`; `None` for any other path.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (realm, name) = place::read(ROOT, path)?;
        let all = [Operation::Report, Operation::Leave];
        let operation = all.into_iter().find(|op| op.as_str() == name)?;
        Some(Self { realm, operation })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> String {
        place::write(ROOT, &self.realm, self.operation.as_str())
    }
}

/// What a device says of itself. Members that are absent say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// The version of what it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its MAC addresses.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub mac: BTreeSet<String>,
    /// Its IMEI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imei: Option<String>,
    /// The SHA-256 of its TPM's endorsement key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ek_digest: Option<String>,
}

impl Report {
    /// Reads a report and checks its bounds.
    ///
    /// # Errors
    /// A [`Defect`] for the one who sent it.
    pub fn read(body: &[u8]) -> Result<Self, Defect> {
        if body.len() > REPORT_OCTETS_MAX {
            let sentence =
                format!("a report has at most {REPORT_OCTETS_MAX} octets, not {}", body.len());
            return Err(Defect::new("body-too-large", sentence));
        }
        let read: Self = serde_json::from_slice(body)
            .map_err(|e| Defect::new("report-json", format!("the report cannot be read: {e}")))?;
        let said = read.identifiers().check().map_err(|e| Defect::new("identifiers", e))?;
        read.check_firmware()?;
        Ok(Self { mac: said.macs, ek_digest: said.ek_digest, ..read })
    }

    fn check_firmware(&self) -> Result<(), Defect> {
        let Some(firmware) = &self.firmware else { return Ok(()) };
        let fits = !firmware.is_empty() && firmware.len() <= FIRMWARE_OCTETS_MAX;
        if fits && !firmware.chars().any(char::is_control) {
            return Ok(());
        }
        let sentence =
            format!("a firmware version is 1 to {FIRMWARE_OCTETS_MAX} octets without controls");
        Err(Defect::new("firmware", sentence))
    }

    /// A report in JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        // Texts and lists of texts cannot fail to become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The physical identifiers in it.
    #[must_use]
    pub fn identifiers(&self) -> Identifiers {
        Identifiers {
            model: self.model.clone().unwrap_or_default(),
            serial: self.serial.clone().unwrap_or_default(),
            macs: self.mac.clone(),
            imei: self.imei.clone(),
            ek_digest: self.ek_digest.clone(),
            ..Identifiers::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_and_says_only_what_it_knows() {
        let report = Report {
            firmware: Some("2.1.0+g1a2b3c".into()),
            mac: ["00:11:22:33:44:55".to_owned()].into(),
            ..Report::default()
        };
        assert_eq!(Report::read(&report.write()), Ok(report));
        assert_eq!(Report::default().write(), b"{}");
        let spelled = Report::read(br#"{"mac":["00-11-22-33-44-AA"]}"#).unwrap();
        assert!(spelled.mac.contains("00:11:22:33:44:aa"));
    }

    #[test]
    fn a_report_beyond_its_bounds_is_refused_by_name() {
        let name = |body: &[u8]| Report::read(body).unwrap_err().name;
        assert_eq!(name(&[b' '; REPORT_OCTETS_MAX + 1]), "body-too-large");
        assert_eq!(name(b"{"), "report-json");
        assert_eq!(name(br#"{"colour":"red"}"#), "report-json");
        assert_eq!(name(br#"{"firmware":""}"#), "firmware");
        assert_eq!(name(br#"{"firmware":"a\nb"}"#), "firmware");
        assert_eq!(name(br#"{"imei":"12"}"#), "identifiers");
    }

    #[test]
    fn paths_name_a_realm_that_is_not_the_default_one() {
        for path in ["/device/v1/report", "/device/v1/plant-2/leave"] {
            assert_eq!(Place::parse(path).unwrap().path(), path);
        }
        for wrong in ["/device/v1/", "/device/v1/x", "/device/v2/report", "/device/v1/a/b/report"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
