//! What a device says of itself: a report of what it runs and what is printed on it, and that it
//! leaves. Both are for its own live leaf only.

use super::facts::recorded;
use crate::house::{House, RealmState};
use crate::listen::Connection;
use crate::record::{Refused, printed};
use ca::{Present, Recognized, Trust};
use enroll::device::{self, Report as Said};
use enroll::est::server::Answer;
use identity::ask::{Cause, Shown};
use identity::{CredentialKind, Device, DeviceId, Reason, Refusal, RuleId, Serial, UnixTime};
use ledger::{Class, Payload};
use registry::{Change, Report};

/// Leaves of a device that go with it: all that it can have where it renews once in three minutes
/// through a day's overlap, and as many as one entry of 16 KiB has room for.
const LEAVES_MAX: usize = 512;

/// What a refusal is about.
#[derive(Default)]
struct Trace {
    device: Option<DeviceId>,
    mark: Option<(DeviceId, String)>,
}

/// Notes what a device says of itself; nothing is written where it says what it said before.
pub(super) async fn note(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    said: &Said,
) -> Answer {
    let mut trace = Trace::default();
    let noted = try_note(house, realm, connection, (said, &mut trace)).await;
    answer(house, realm, connection, (noted, "report", trace)).await
}

/// Lets a device go: its leaves are revoked for good.
pub(super) async fn let_go(house: &House, realm: &RealmState, connection: &Connection) -> Answer {
    let mut trace = Trace::default();
    let gone = try_let_go(house, realm, connection, &mut trace).await;
    answer(house, realm, connection, (gone, "leave", trace)).await
}

async fn answer(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    (done, want, trace): (Result<(), Refusal>, &str, Trace),
) -> Answer {
    let Err(refusal) = done else { return device::server::done() };
    let Trace { device, mark } = trace;
    let from = connection.peer;
    let (door, by, token) = (None, None, None);
    let refused = Refused { want, door, device, refusal: &refusal, from, by, token, mark };
    house.refused(realm, refused).await;
    device::server::turn_away(&refusal)
}

/// Who speaks, and with which leaf.
struct Speaker {
    device: Device,
    leaf: Serial,
}

fn speaker(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    trace: &mut Trace,
) -> Result<Speaker, Refusal> {
    // What proved its key leaves its trace with the device that the key is known for.
    trace.device = super::contact::proven(house, realm, connection).map(|seen| seen.device);
    let now = house.clock.now();
    let chain = super::contact::shown(realm, connection).map_err(Refusal::Malformed)?;
    let shown = Shown { chain, token: None, receipt: None };
    let record = recorded(house, realm, &shown).map_err(unreadable)?;
    let trust = Trust { authorities: &realm.authorities, doors: &realm.doors };
    let recognized = ca::recognize_recorded(&shown, record.as_ref(), &trust, now)?;
    let named = match &recognized {
        Recognized::Leaf { device, .. } => {
            house.registry.device(realm.key, device).map_err(unreadable)?
        }
        _ => None,
    };
    let Present { device, leaf } = ca::present(&recognized, record.as_ref(), named.as_ref(), now)?;
    Ok(Speaker { device: device.clone(), leaf: leaf.serial })
}

async fn try_note(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    (said, trace): (&Said, &mut Trace),
) -> Result<(), Refusal> {
    let Speaker { device, .. } = speaker(house, realm, connection, trace)?;
    let now = house.clock.now();
    let report =
        Report { at: now, firmware: said.firmware.clone(), identifiers: said.identifiers() };
    if let Some(member) = device.identifiers.contradiction(&report.identifiers) {
        let from = connection.peer;
        let mark = format!(
            "a report from {from} named another {member}, which contradicts the birth record"
        );
        trace.mark = Some((device.id, mark));
        return Err(Refusal::Denied(RuleId::CONTRADICTION));
    }
    let before = house.registry.report(realm.key, &device.id).map_err(unreadable)?;
    let is_empty = *said == Said::default();
    let is_same = before.map_or(is_empty, |before| Report { at: now, ..before } == report);
    if is_same {
        return Ok(());
    }
    // Each new report is an entry, so they are rationed like requests for leaves.
    let rate = realm.settings.device_rate_per_hour(&device.groups);
    if !house.rates.take(device.id, rate, now) {
        return Err(Refusal::Denied(RuleId::RATE));
    }
    let payload = told(&device, &report, connection);
    let change = Change::Reported { device: device.id, report };
    commit(house, realm, change, (Class::Report, payload)).await
}

fn told(device: &Device, report: &Report, connection: &Connection) -> Payload {
    let said = &report.identifiers;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let payload = Payload::new("device.reported")
        .with("device", device.id.to_string())
        .with_some("firmware", report.firmware.clone())
        .with_some("model", text(&said.model))
        .with_some("serial_number", text(&said.serial))
        .with("from", connection.peer.to_string());
    printed(said).into_iter().fold(payload, |payload, (key, value)| payload.with(key, value))
}

async fn try_let_go(
    house: &House,
    realm: &RealmState,
    connection: &Connection,
    trace: &mut Trace,
) -> Result<(), Refusal> {
    let Speaker { device, leaf } = speaker(house, realm, connection, trace)?;
    let serials = leaves(house, realm, &device, leaf)?;
    let shown = connection.holder.as_ref().map(|c| c.spki_hash().octets().to_vec());
    let reason = Reason::CessationOfOperation;
    let payload = Payload::new("device.left")
        .with("device", device.id.to_string())
        .with(
            "serials",
            serials.iter().map(|s| s.octets().to_vec().into()).collect::<Vec<ledger::Value>>(),
        )
        .with_some("spki", shown)
        .with("reason", reason.as_str())
        .with("from", connection.peer.to_string());
    let change = Change::Revoked { serials, reason };
    commit(house, realm, change, (Class::Revocation, payload)).await
}

/// The leaf that was shown, and every other one of the device that is good.
fn leaves(
    house: &House,
    realm: &RealmState,
    device: &Device,
    shown: Serial,
) -> Result<Vec<Serial>, Refusal> {
    let now: UnixTime = house.clock.now();
    let all =
        house.registry.credentials_of(realm.key, &device.id, LEAVES_MAX).map_err(unreadable)?;
    let live = all.iter().filter(|c| c.kind == CredentialKind::Leaf && c.is_live(now));
    let mut serials = vec![shown];
    serials.extend(live.map(|c| c.serial).filter(|serial| *serial != shown));
    Ok(serials)
}

async fn commit(
    house: &House,
    realm: &RealmState,
    change: Change,
    (class, payload): (Class, Payload),
) -> Result<(), Refusal> {
    match house.commit(realm.key, change, class, payload).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::Outage(Cause("the registry cannot write: try again later".into()))),
    }
}

fn unreadable(error: registry::ReadError) -> Refusal {
    tracing::error!("the registry cannot be read: {error}");
    Refusal::Outage(Cause("the registry cannot be read: try again later".into()))
}
