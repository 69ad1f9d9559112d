//! Devices: who there is, and where each stands.

mod bulk;
mod erase;

use super::words::{device, selector, why, word};
use crate::failure::Outcome;
use crate::output::Paint;
use crate::rest::{Query, Rest};
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{
    DEVICE, DEVICE_CERTIFICATES, DEVICE_GROUP, DEVICE_QUARANTINE, DEVICE_RELEASE, DEVICE_RESUME,
    DEVICE_RETIRE, DEVICE_SUSPEND, DEVICE_UNMARK, DEVICES, fill,
};
use api::{
    CertificateView, CloneView, ContactView, DeviceMove, DeviceView, Standing, StandingRequest,
    UnmarkRequest,
};
use bulk::{Deed, Many};
use clap::{Args, Subcommand};
use identity::name::DeviceName;
use serde::Serialize;

/// Devices: list and look at them, set them aside and let them back in, retire them, group them.
///
/// A device is named by its UUID, by the first 6 or more hex digits of it, or as `serial:S` or
/// `serial:MAKER/MODEL/S`, where MAKER and MODEL may be empty.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    List(List),
    Show(Show),
    Suspend(Suspend),
    Resume(Resume),
    Quarantine(Quarantine),
    Release(Release),
    Retire(Retire),
    Unmark(Unmark),
    Erase(Erase),
    #[command(subcommand)]
    Group(Group),
}

/// List devices.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster device list --group pumps --standing enrolled
  muster device list --json | jq -r '.[].id'")]
pub(crate) struct List {
    /// Only those in this group.
    #[arg(long)]
    group: Option<String>,
    /// Only those that stand here.
    #[arg(long, value_parser = word!(Standing))]
    standing: Option<Standing>,
    /// Only those of this model.
    #[arg(long)]
    model: Option<String>,
    /// Only those of this maker: the name of a door, or empty for births of this realm.
    #[arg(long)]
    maker: Option<String>,
    /// Only those with this serial number.
    #[arg(long)]
    serial: Option<String>,
    /// Only those for which this holds, over the members of `device list --json`.
    #[arg(long = "where", value_name = "SELECTOR", value_parser = selector)]
    selector: Option<String>,
    /// At most so many [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Show one device, its newest leaf and its certificates.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster device show serial:P7-000123")]
pub(crate) struct Show {
    /// The device.
    #[arg(value_name = "DEVICE", value_parser = device)]
    id: String,
}

/// Put a device aside: its leaves go on hold, it may neither join nor renew, until it is resumed.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster device suspend 0190a5b2 --reason \"stolen from site 7\"
  muster device suspend --where 'model == \"P7\" && group == \"north\"' --dry-run")]
pub(crate) struct Suspend {
    #[command(flatten)]
    whom: Whom,
}

/// Undo a suspension: the hold on its leaves is lifted.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster device resume 0190a5b2 --reason \"found again\"")]
pub(crate) struct Resume {
    #[command(flatten)]
    whom: Whom,
}

/// Set a device aside whose identity is in doubt: its leaves go on hold, it may neither join nor
/// renew, until it is released.
///
/// A suspension trusts the device's keys and gives them back; a quarantine does not.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  muster device quarantine 0190a5b2 --reason \"seen in two places\""
)]
pub(crate) struct Quarantine {
    #[command(flatten)]
    whom: Whom,
}

/// End a quarantine: every leaf is revoked as superseded, and the device joins again with a new key.
///
/// A device without a birth certificate also needs a new token: `muster token new --serial S`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster device release 0190a5b2 --reason \"key store wiped\"")]
pub(crate) struct Release {
    #[command(flatten)]
    whom: Whom,
}

/// Strike a device off for good: everything that it holds is revoked, its birth certificate too.
///
/// There is no way back. To put a device aside for a while, suspend it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster device retire serial:P7-000123 --reason scrapped")]
pub(crate) struct Retire {
    #[command(flatten)]
    whom: Whom,
}

/// Take the mark off a device, once you know what it was.
///
/// A mark is a sentence about what was last odd: identifiers that contradict the birth, a second birth
/// for its serial number, a second holder of its identity. It holds the device from nothing. The ledger
/// keeps it, with your reason; what is odd later marks the device anew. The two holders of a clone stay
/// in `device show`. `device list --where 'has(mark)'` lists the devices that have one.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster device unmark serial:P7-000123 --why \"mainboard exchanged, ticket 4711\"")]
pub(crate) struct Unmark {
    /// The device.
    #[arg(value_name = "DEVICE", value_parser = device)]
    id: String,
    /// What it turned out to be, for the ledger.
    #[arg(long, value_name = "TEXT", value_parser = why)]
    why: String,
}

/// Destroy what is known of a retired device: its identifiers, its certificates, and what the ledger's
/// entries about it say.
///
/// Its UUID and the proof stay: `ledger verify` counts its entries as erased and still holds. Nobody
/// is born under its maker, model and serial number again. There is no way back.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster device erase 0190a5b2 --yes")]
pub(crate) struct Erase {
    /// The device.
    #[arg(value_name = "DEVICE", value_parser = device)]
    id: String,
    /// Do not ask for its name.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct Whom {
    /// The device.
    #[arg(value_name = "DEVICE", value_parser = device)]
    #[arg(required_unless_present_any = ["selector", "file"])]
    id: Option<String>,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    many: Many,
}

/// Groups of a device; a group exists by being named.
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Put a device into a group, or many.
    #[command(allow_missing_positional = true)]
    #[command(after_help = "Example:
  muster device group add 0190a5b2 pumps
  muster device group add pumps --where 'model == \"P7\"' --dry-run")]
    Add(Membership),
    /// Take a device out of a group, or many.
    #[command(allow_missing_positional = true)]
    #[command(after_help = "Example:
  muster device group remove 0190a5b2 pumps
  muster device group remove pumps --file sold.txt --at-most 5000")]
    Remove(Membership),
}

/// A device and a group, or a group alone where devices are selected.
#[derive(Debug, Args)]
pub(crate) struct Membership {
    /// The device.
    #[arg(value_name = "DEVICE", value_parser = device)]
    #[arg(required_unless_present_any = ["selector", "file"])]
    id: Option<String>,
    /// The group: 1 to 64 of letters, digits and `-_.`.
    #[arg(required = true)]
    group: String,
    #[command(flatten)]
    many: Many,
}

/// Does what was typed.
pub(super) async fn run(typed: Device, session: &Session) -> Outcome {
    let rest = session.rest()?;
    match typed {
        Device::List(typed) => list(typed, &rest, session).await,
        Device::Show(Show { id }) => show(&id, &rest, session).await,
        Device::Suspend(Suspend { whom }) => stand(DeviceMove::Suspend, whom, &rest, session).await,
        Device::Resume(Resume { whom }) => stand(DeviceMove::Resume, whom, &rest, session).await,
        Device::Quarantine(Quarantine { whom }) => {
            stand(DeviceMove::Quarantine, whom, &rest, session).await
        }
        Device::Release(Release { whom }) => stand(DeviceMove::Release, whom, &rest, session).await,
        Device::Retire(Retire { whom }) => stand(DeviceMove::Retire, whom, &rest, session).await,
        Device::Unmark(Unmark { id, why }) => unmark(&id, why, &rest, session).await,
        Device::Erase(typed) => erase::run(typed, &rest, session).await,
        Device::Group(Group::Add(whom)) => regroup(whom, true, &rest, session).await,
        Device::Group(Group::Remove(whom)) => regroup(whom, false, &rest, session).await,
    }
}

async fn list(typed: List, rest: &Rest, session: &Session) -> Outcome {
    let query = Query::default()
        .with("group", typed.group)
        .with("standing", typed.standing)
        .with("model", typed.model)
        .with("maker", typed.maker)
        .with("serial", typed.serial)
        .with("where", typed.selector);
    let devices: Vec<DeviceView> = rest.list(DEVICES, &query, typed.limit).await?;
    session.show(&devices, |rows, paint| table(rows, paint))
}

async fn stand(wanted: DeviceMove, whom: Whom, rest: &Rest, session: &Session) -> Outcome {
    let Whom { id, reason, many } = whom;
    let id = match id {
        Some(id) if !many.is_meant() => id,
        _ => return many.run(Deed { wanted, group: None, reason }, rest, session).await,
    };
    let path = match wanted {
        DeviceMove::Resume => DEVICE_RESUME,
        DeviceMove::Quarantine => DEVICE_QUARANTINE,
        DeviceMove::Release => DEVICE_RELEASE,
        DeviceMove::Retire => DEVICE_RETIRE,
        DeviceMove::Suspend | DeviceMove::GroupAdd | DeviceMove::GroupRemove => DEVICE_SUSPEND,
    };
    let request = StandingRequest { reason };
    let device: DeviceView = rest.post(fill(path, &[&id]), &request).await?;
    session.show(&device, line)
}

async fn unmark(id: &str, reason: String, rest: &Rest, session: &Session) -> Outcome {
    let device: DeviceView =
        rest.post(fill(DEVICE_UNMARK, &[id]), &UnmarkRequest { reason }).await?;
    session.show(&device, |device, _| format!("{} ({}) has no mark", device.id, called(device)))
}

async fn regroup(whom: Membership, into: bool, rest: &Rest, session: &Session) -> Outcome {
    let Membership { id, group, many } = whom;
    let id = match id {
        Some(id) if !many.is_meant() => id,
        _ => {
            let wanted = if into { DeviceMove::GroupAdd } else { DeviceMove::GroupRemove };
            return many
                .run(Deed { wanted, group: Some(group), reason: None }, rest, session)
                .await;
        }
    };
    let path = fill(DEVICE_GROUP, &[&id, &group]);
    if into {
        rest.put::<_, serde::de::IgnoredAny>(path, &serde_json::json!({})).await?;
    } else {
        rest.delete(path).await?;
    }
    let device: DeviceView = rest.get(fill(DEVICE, &[&id])).await?;
    session.show(&device, line)
}

/// A device with all certificates that it was given.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    device: DeviceView,
    certificates: Vec<CertificateView>,
}

async fn show(id: &str, rest: &Rest, session: &Session) -> Outcome {
    let device: DeviceView = rest.get(fill(DEVICE, &[id])).await?;
    let path = fill(DEVICE_CERTIFICATES, &[&device.id]);
    let certificates = rest.list(&path, &Query::default(), Some(CERTIFICATES_SHOWN)).await?;
    session.show(&Whole { device, certificates }, |whole, paint| {
        let certificates = super::cert::table(&whole.certificates, paint);
        let clone = whole.device.clone.as_ref().map(|found| holders(found, paint));
        format!("{}\n\n{}{certificates}", sheet(&whole.device, paint), clone.unwrap_or_default())
    })
}

/// The two who were found to hold its identity. Which of them is the device, a person must say.
fn holders(found: &CloneView, paint: Paint) -> String {
    let mut table =
        Table::new(&["HOLDER", "GENERATION", "LAST FROM", "AT", "PRINT", "FIRST FROM", "AT"]);
    let of = |contact: &Option<ContactView>| match contact {
        Some(c) => [c.from.clone(), c.at.clone(), c.print.clone().unwrap_or_default()],
        None => Default::default(),
    };
    let both = [("newcomer", Some(&found.newcomer)), ("present", found.present.as_ref())];
    for (name, holder) in both {
        let Some(holder) = holder else { continue };
        let ([from, at, print], [first, first_at, _]) = (of(&holder.last), of(&holder.first));
        let generation = holder.generation.to_string();
        table.row([name.to_owned(), generation, from, at, print, first, first_at]);
    }
    let bound = match &found.wanted {
        Some(wanted) => format!(" ({wanted} was wanted, and the bound of the hour was reached)"),
        None => String::new(),
    };
    format!(
        "two parties held this identity at {}: {}{bound}; entry {}\n{}\n\n",
        found.at,
        found.response,
        found.entry,
        table.print(paint)
    )
}

/// A year of monthly leaves and some: `cert list --device` has the rest.
const CERTIFICATES_SHOWN: usize = 16;

fn table(rows: &[DeviceView], paint: Paint) -> String {
    let mut table =
        Table::new(&["ID", "STANDING", "MODEL", "NAME", "GROUPS", "ASSURANCE", "LEAF ENDS"]);
    for device in rows {
        table.row([
            device.id.clone(),
            device.standing.to_string(),
            device.model.clone(),
            called(device),
            device.group.join(","),
            device.assurance.to_string(),
            device.leaf.as_ref().map(|l| l.not_after.clone()).unwrap_or_default(),
        ]);
    }
    table.print(paint)
}

/// The device's name by its serial number, as every verb takes it.
fn called(device: &DeviceView) -> String {
    DeviceName::for_serial(&device.maker, &device.model, &device.serial).unwrap_or_default()
}

fn line(device: &DeviceView, _: Paint) -> String {
    let groups = match device.group.as_slice() {
        [] => String::new(),
        named => format!(", in {}", named.join(", ")),
    };
    format!("{} ({}) is {}{groups}", device.id, called(device), device.standing)
}

fn sheet(device: &DeviceView, paint: Paint) -> String {
    let meta: Vec<String> = device.meta.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let keeps_key = "its client keeps its key over renewals: a copied key is found late or never";
    members(
        paint,
        [
            ("id", Some(device.id.clone())),
            ("standing", Some(device.standing.to_string())),
            ("assurance", Some(device.assurance.to_string())),
            ("maker", Some(device.maker.clone())),
            ("model", Some(device.model.clone())),
            ("serial", Some(device.serial.clone())),
            ("mac", Some(device.mac.join(", "))),
            ("imei", device.imei.clone()),
            ("ek digest", device.ek_digest.clone()),
            ("meta", Some(meta.join(", "))),
            ("groups", Some(device.group.join(", "))),
            ("born", Some(device.born.clone())),
            ("enrolled", device.enrolled.clone()),
            ("door", device.door.clone()),
            ("generation", Some(device.generation.to_string())),
            ("firmware", device.reported.as_ref().and_then(|r| r.firmware.clone())),
            ("reported", device.reported.as_ref().map(|r| r.at.clone())),
            ("mark", device.mark.clone()),
            ("weak", device.weak_detection.then(|| keeps_key.to_owned())),
        ],
    )
}
