//! The settings of a realm: few, named, bounded; kept as text in the registry, read here.

use crate::witness::Named;
use ca::Rules;
use ca::contact::Caps;
use const_oid::ObjectIdentifier;
use identity::{Credential, Device, GroupName, Response, UnixTime};
use std::collections::{BTreeMap, BTreeSet};

/// One setting that a realm may have.
pub struct Known {
    /// Its name, units last.
    pub key: &'static str,
    /// What it does and what holds without it.
    pub meaning: &'static str,
    /// Whether a group may have a value of its own.
    pub by_group: bool,
    check: fn(&str) -> Result<(), String>,
}

impl Known {
    /// What holds without it: its meaning ends with that, in brackets.
    #[must_use]
    pub fn default(&self) -> &'static str {
        self.meaning.rsplit_once('(').map_or("none", |(_, held)| held.trim_end_matches(')'))
    }
}

/// Every setting.
pub const KNOWN: [Known; 9] = [
    Known {
        key: "hw_type",
        meaning: "OID of the maker's hardware type; births then carry a HardwareModuleName (none)",
        by_group: false,
        check: |v| {
            ObjectIdentifier::new(v).map(drop).map_err(|_| format!("`{v}` is not a dotted OID"))
        },
    },
    Known {
        key: "overlap_s",
        meaning: "seconds for which a leaf stays good after its successor was first used (86400)",
        by_group: true,
        check: |v| within(v, 0, 30 * 86_400),
    },
    Known {
        key: "renew_grace_s",
        meaning: "seconds after its end in which a leaf still renews, for devices without a birth certificate \
                  (one lifetime)",
        by_group: true,
        check: |v| within(v, 0, 5 * 366 * 86_400),
    },
    Known {
        key: "authority_overlap_s",
        meaning: "seconds for which an operations authority counts beside its successor (as long as \
                  the last leaf of it and its grace)",
        by_group: false,
        check: |v| within(v, 0, AUTHORITY_OVERLAP_MAX_S),
    },
    Known {
        key: "renew_after_percent",
        meaning: "percent of a leaf's life after which a device that has not renewed it is overdue in \
                  the metrics (50, when our agent renews)",
        by_group: true,
        check: |v| within(v, 1, 99),
    },
    Known {
        key: "device_rate_per_hour",
        meaning: "certificates that one device may ask for in an hour (60)",
        by_group: true,
        check: |v| within(v, 1, 1_000_000),
    },
    Known {
        key: "witness_quorum",
        meaning: "how many witnesses must have cosigned a checkpoint before it is published, where \
                  there are any (1)",
        by_group: false,
        check: |v| within(v, 0, 16),
    },
    Known {
        key: "clone",
        meaning: "what is done where two parties hold one identity: alarm, hold-newcomer or \
                  quarantine; of several groups the mildest (quarantine)",
        by_group: true,
        check: |v| match Response::parse(v) {
            Some(_) => Ok(()),
            None => Err(format!("`{v}` is none of alarm, hold-newcomer and quarantine")),
        },
    },
    Known {
        key: "clone_quarantines_per_hour",
        meaning: "devices that are quarantined for a clone within an hour, beyond which it is only \
                  an alarm; a group's value bounds that group besides (20)",
        by_group: true,
        check: |v| within(v, 0, 10_000),
    },
];

/// The longest overlap of two authorities of a role: as long as an authority lives.
pub const AUTHORITY_OVERLAP_MAX_S: u64 = 10 * 366 * 86_400;

/// Half of its life is when our agent renews.
const RENEW_AFTER_PERCENT_DEFAULT: u64 = 50;

/// Certificates that one device may ask for in an hour: a device that renews on every start and
/// crashes every minute still gets through.
const DEVICE_RATE_DEFAULT: u32 = 60;

/// One witness that sees everything already keeps a past from being rewritten.
const WITNESS_QUORUM_DEFAULT: usize = 1;

/// Devices of a realm that are quarantined for a clone within an hour: a copied device is one, a
/// site restored from an old image some dozen; more in an hour is somebody who plays old keys.
const CLONE_QUARANTINES_DEFAULT: u32 = 20;

fn within(value: &str, least: u64, most: u64) -> Result<(), String> {
    match value.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(format!("`{value}` is not a whole number from {least} to {most}")),
    }
}

/// Checks a key and a value before they are stored.
///
/// # Errors
/// A sentence for the operator.
pub fn check(key: &str, value: &str, by_group: bool) -> Result<(), String> {
    let Some(known) = KNOWN.iter().find(|k| k.key == key) else {
        let names: Vec<&str> = KNOWN.iter().map(|k| k.key).collect();
        return Err(format!("there is no setting `{key}`; there are {}", names.join(", ")));
    };
    if by_group && !known.by_group {
        return Err(format!("`{key}` holds for the whole realm and not for a group"));
    }
    (known.check)(value)
}

/// The settings of a realm, as they stand in the registry.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<(String, Option<GroupName>), String>,
}

impl Settings {
    /// Takes over the rows of the registry.
    #[must_use]
    pub fn read(rows: &[(String, Option<GroupName>, String)]) -> Self {
        let values = rows.iter().map(|(k, g, v)| ((k.clone(), g.clone()), v.clone())).collect();
        Self { values }
    }

    /// The value for a device in `groups`: of the first of its groups that has one, else of the
    /// realm.
    #[must_use]
    pub fn value(&self, key: &str, groups: &BTreeSet<GroupName>) -> Option<&str> {
        let own = groups.iter().find_map(|g| self.values.get(&(key.to_owned(), Some(g.clone()))));
        own.or_else(|| self.values.get(&(key.to_owned(), None))).map(String::as_str)
    }

    fn number(&self, key: &str, groups: &BTreeSet<GroupName>) -> Option<u64> {
        self.value(key, groups)?.parse().ok()
    }

    /// The rules by which a request of `device` is judged; of a stranger, the realm's own.
    #[must_use]
    pub fn rules(&self, device: Option<&Device>) -> Rules {
        let none = BTreeSet::new();
        let groups = device.map_or(&none, |d| &d.groups);
        let mut rules = Rules::default();
        if let Some(overlap) = self.number("overlap_s", groups) {
            rules.overlap_s = overlap;
        }
        rules.renew_grace_s = self.number("renew_grace_s", groups);
        rules.hw_type = self.value("hw_type", &none).and_then(|v| ObjectIdentifier::new(v).ok());
        rules
    }

    /// From when on a device that has not renewed `leaf` is past its renewal.
    #[must_use]
    pub fn renewal_due(&self, device: &Device, leaf: &Credential) -> UnixTime {
        let percent = self.number("renew_after_percent", &device.groups);
        let percent = percent.unwrap_or(RENEW_AFTER_PERCENT_DEFAULT);
        let life_s = leaf.not_after.secs_since(leaf.issued);
        leaf.issued.plus_secs(life_s.saturating_mul(percent) / 100)
    }

    /// For how long an operations authority counts beside its successor, where that is set.
    #[must_use]
    pub fn authority_overlap_s(&self) -> Option<u64> {
        self.number("authority_overlap_s", &BTreeSet::new())
    }

    /// The longest grace that any group has, of a leaf with this lifetime.
    #[must_use]
    pub fn longest_grace_s(&self, lifetime_s: u64) -> u64 {
        let said = self.values.iter().filter(|((key, _), _)| key == "renew_grace_s");
        let longest = said.filter_map(|(_, value)| value.parse().ok()).max().unwrap_or(0);
        match self.number("renew_grace_s", &BTreeSet::new()) {
            Some(_) => longest,
            None => longest.max(lifetime_s),
        }
    }

    /// The witnesses of the ledger, by name.
    #[must_use]
    pub fn witnesses(&self) -> Vec<Named> {
        self.values.iter().filter_map(|((key, _), value)| Named::read(key, value)).collect()
    }

    /// How many of them must have cosigned a checkpoint before it is published.
    #[must_use]
    pub fn witness_quorum(&self) -> usize {
        let number = self.number("witness_quorum", &BTreeSet::new());
        number.and_then(|n| usize::try_from(n).ok()).unwrap_or(WITNESS_QUORUM_DEFAULT)
    }

    /// What is done about a clone of a device in `groups`: the mildest that one of them wants, since
    /// a cut can do harm too; else what the realm wants.
    #[must_use]
    pub fn clone_response(&self, groups: &BTreeSet<GroupName>) -> Response {
        let of = |group: Option<&GroupName>| {
            let key = ("clone".to_owned(), group.cloned());
            self.values.get(&key).and_then(|v| Response::parse(v))
        };
        let mildest = groups.iter().filter_map(|g| of(Some(g))).min();
        mildest.or_else(|| of(None)).unwrap_or(Response::Quarantine)
    }

    /// How many devices may be quarantined for a clone within an hour: in the realm, and in each of
    /// `groups` that has a bound of its own.
    #[must_use]
    pub fn clone_caps(&self, groups: &BTreeSet<GroupName>) -> Caps {
        let of = |group: Option<&GroupName>| {
            let key = ("clone_quarantines_per_hour".to_owned(), group.cloned());
            self.values.get(&key).and_then(|v| v.parse().ok())
        };
        let capped = groups.iter().filter_map(|g| Some((g.clone(), of(Some(g))?)));
        Caps { realm: of(None).unwrap_or(CLONE_QUARANTINES_DEFAULT), groups: capped.collect() }
    }

    /// Certificates that a device in `groups` may ask for in an hour.
    #[must_use]
    pub fn device_rate_per_hour(&self, groups: &BTreeSet<GroupName>) -> u32 {
        let number = self.number("device_rate_per_hour", groups);
        number.and_then(|n| u32::try_from(n).ok()).unwrap_or(DEVICE_RATE_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_own_value_and_the_others_have_the_realms() {
        let north = GroupName::parse("north").unwrap();
        let rows = [
            ("overlap_s".to_owned(), None, "100".to_owned()),
            ("overlap_s".to_owned(), Some(north.clone()), "7".to_owned()),
        ];
        let settings = Settings::read(&rows);

        assert_eq!(settings.value("overlap_s", &[north].into()), Some("7"));
        assert_eq!(settings.value("overlap_s", &BTreeSet::new()), Some("100"));
    }

    #[test]
    fn of_several_groups_the_mildest_response_to_a_clone_holds_and_every_bound() {
        let group = |name: &str| GroupName::parse(name).unwrap();
        let row = |key: &str, of: Option<&str>, value: &str| {
            (key.to_owned(), of.map(group), value.to_owned())
        };
        let settings = Settings::read(&[
            row("clone", None, "quarantine"),
            row("clone", Some("all"), "quarantine"),
            row("clone", Some("ward"), "alarm"),
            row("clone_quarantines_per_hour", None, "9"),
            row("clone_quarantines_per_hour", Some("ward"), "2"),
        ]);

        let both = [group("all"), group("ward")].into();
        assert_eq!(settings.clone_response(&both), Response::Alarm);
        assert_eq!(settings.clone_response(&[group("all")].into()), Response::Quarantine);
        assert_eq!(Settings::default().clone_response(&both), Response::Quarantine);
        let caps = settings.clone_caps(&both);
        assert_eq!((caps.realm, caps.groups), (9, [(group("ward"), 2)].into()));
        assert!(check("clone", "shrug", true).unwrap_err().contains("hold-newcomer"));
    }

    #[test]
    fn an_unknown_key_or_a_wild_value_is_refused_with_a_sentence() {
        assert!(check("overlap_s", "3600", true).is_ok());
        assert!(check("overlap_s", "-1", false).unwrap_err().contains("whole number"));
        assert!(check("overlap", "1", false).unwrap_err().contains("overlap_s"));
        assert!(check("hw_type", "1.3.6.1", true).unwrap_err().contains("whole realm"));
    }
}
