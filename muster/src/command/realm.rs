//! The realm and its settings.

use super::words::seconds;
use crate::failure::Outcome;
use crate::output::Paint;
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{REALM, SETTINGS};
use api::{RealmView, SettingRequest};
use clap::{Args, Subcommand};

/// The realm: what it is, and its settings.
#[derive(Debug, Subcommand)]
pub(crate) enum Realm {
    Show(Show),
    Set(Set),
}

/// Show the realm: its name, its root's pin, its addresses and its settings.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster realm show")]
pub(crate) struct Show {}

/// Change a setting, for the realm or for one group; `--default` takes it back.
///
/// hw_type: the OID of the maker's hardware type, which births then carry. overlap_s: how long a
/// leaf stays good once its successor was used. renew_after_percent: the part of a leaf's life
/// after which a device that has not renewed is overdue. renew_grace_s: how long after its end a
/// leaf still renews, for devices without a birth certificate. device_rate_per_hour: certificates
/// that one device may ask for. clone: what is done where two parties hold one identity: alarm,
/// hold-newcomer or quarantine. clone_quarantines_per_hour: beyond so many it is only an alarm.
/// authority_overlap_s: how long an operations authority counts beside its successor.
/// witness_quorum: how many witnesses of the ledger must have cosigned what is published.
/// Times may be typed as 90s, 15m, 12h, 30d.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster realm set overlap_s 48h
  muster realm set hw_type 1.3.6.1.4.1.99999.1
  muster realm set renew_grace_s --default --group pumps
  muster realm set clone alarm --group ward")]
pub(crate) struct Set {
    /// The setting.
    key: String,
    /// Its value.
    #[arg(required_unless_present = "default", conflicts_with = "default")]
    value: Option<String>,
    /// Only for devices of this group.
    #[arg(long)]
    group: Option<String>,
    /// Take it back to its default.
    #[arg(long)]
    default: bool,
}

/// Does what was typed.
pub(super) async fn run(typed: Realm, session: &Session) -> Outcome {
    let rest = session.rest()?;
    if let Realm::Set(Set { key, value, group, default: _ }) = typed {
        // What counts seconds may be typed as people count; the server judges all else.
        let counted = value.as_deref().filter(|_| key.ends_with("_s")).map(seconds);
        let value = counted.and_then(Result::ok).map(|s| s.to_string()).or(value);
        let request = SettingRequest { key, group, value };
        rest.put::<_, serde::de::IgnoredAny>(SETTINGS, &request).await?;
    }
    let realm: RealmView = rest.get(REALM).await?;
    session.show(&realm, sheet)
}

fn sheet(realm: &RealmView, paint: Paint) -> String {
    let left_out = || "none: addresses are left out of certificates".to_owned();
    let all = members(
        paint,
        [
            ("name", Some(realm.name.clone())),
            ("id", Some(realm.id.clone())),
            ("founded", Some(realm.founded.clone())),
            ("ledger", Some(realm.origin.clone())),
            ("root pin", realm.root_pin.clone()),
            ("public url", Some(realm.public_url.clone().unwrap_or_else(left_out))),
        ],
    );
    let mut table = Table::new(&["SETTING", "VALUE", "GROUP"]);
    for setting in &realm.settings {
        let group = setting.group.clone().unwrap_or_default();
        table.row([setting.key.clone(), setting.value.clone(), group]);
    }
    format!("{all}\n\n{}", table.print(paint))
}
