//! What is done where two parties hold one identity: in one commit with the entry that names both,
//! so that there is no clone without its trace and no trace without what was done.

use super::contact::{Handshake, Record};
use crate::contacts::Contact;
use crate::house::{House, RealmState};
use crate::standing::Move;
use crate::tls::Print;
use identity::{
    Credential, CredentialKind, Device, Reason, Response, Serial, Signal, Standing, UnixTime,
};
use ledger::{Class, Map, Payload, Value};
use registry::{Change, CommitError, ReadError};

/// Leaves of the device among which the present holder's is looked for.
const LEAVES_MAX: usize = 8;
/// Entries behind that of a leaf's issuance among which its first use is looked for: it comes
/// within hours, and refusals of one device are rationed.
const ENTRIES_MAX: usize = 64;

/// One of the two who hold the identity.
struct Holder {
    serial: Serial,
    generation: u32,
    /// When it was last seen; of the newcomer, just now.
    last: Option<Contact>,
    /// The first use of its leaf.
    first: Option<Contact>,
}

/// What was decided about a clone.
struct Case<'a> {
    device: &'a Device,
    wanted: Response,
    response: Response,
    newcomer: Holder,
    present: Option<Holder>,
}

/// Does what the realm wants done; `false` where the device had changed meanwhile.
pub(super) async fn act(
    house: &House,
    realm: &RealmState,
    hands: &Handshake<'_>,
    (record, leaf): (&Record, &Credential),
) -> Result<bool, ReadError> {
    let (device, at) = (&record.device, hands.at);
    let wanted = realm.settings.clone_response(&device.groups);
    let caps = realm.settings.clone_caps(&device.groups);
    let response = house.contacts.respond(realm.key, wanted, (device, &caps), at);
    let case = Case {
        device,
        wanted,
        response,
        newcomer: Holder {
            serial: leaf.serial,
            generation: leaf.generation,
            last: Some(hands.contact()),
            first: first_use(house, realm, leaf)?,
        },
        present: present(house, realm, (device, leaf))?,
    };
    case.count(house, realm);
    // A quarantine happens once; what changes less can be had again and again.
    if response != Response::Quarantine && !house.contacts.may_tell_alarm(device.id, at) {
        return Ok(true);
    }
    case.log(realm, hands);
    let committed = house.commit(realm.key, case.change(), Class::Signal, case.payload(leaf)).await;
    if committed.is_err() && response == Response::Quarantine {
        house.contacts.give_back(realm.key, device, at);
    }
    match committed {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(error) => {
            tracing::error!(device = %device.id, "a clone could not be recorded: {error}");
            Ok(true)
        }
    }
}

impl Case<'_> {
    const fn is_capped(&self) -> bool {
        matches!((self.wanted, self.response), (Response::Quarantine, Response::Alarm))
    }

    const fn signal(&self) -> Signal {
        if self.is_capped() { Signal::CloneCapped } else { Signal::Clone }
    }

    fn count(&self, house: &House, realm: &RealmState) {
        house.metrics.signal(realm.name().as_str(), Signal::Clone.as_str());
        if self.is_capped() {
            house.metrics.signal(realm.name().as_str(), Signal::CloneCapped.as_str());
        }
    }

    fn log(&self, realm: &RealmState, hands: &Handshake<'_>) {
        let signal = self.signal();
        tracing::error!(realm = %realm.name(), device = %self.device.id, from = %hands.from,
            %signal, response = %self.response, "{}", signal.sentence());
    }

    fn change(&self) -> Change {
        let device = self.device.id;
        let caught = Change::Caught { device, mark: self.mark() };
        match self.response {
            Response::Alarm => caught,
            Response::HoldNewcomer => {
                let serials = vec![self.newcomer.serial];
                let held = Change::Revoked { serials, reason: Reason::CertificateHold };
                Change::Batch(vec![held, caught])
            }
            Response::Quarantine => {
                // Who is caught is in good standing, so there is always a step.
                let step = Move::Quarantine.of(self.device).ok().flatten();
                let stood = step.map(|step| step.change(self.device));
                Change::Batch(stood.into_iter().chain([caught]).collect())
            }
        }
    }

    fn mark(&self) -> String {
        let place = |holder: &Holder| match holder.last.or(holder.first) {
            Some(contact) => format!("{} with generation {}", contact.from, holder.generation),
            None => format!("somebody with generation {}", holder.generation),
        };
        let newcomer = place(&self.newcomer);
        match &self.present {
            Some(present) => format!(
                "two hold this identity: {newcomer}, which is spent, and {}",
                place(present)
            ),
            None => format!("two hold this identity: one is {newcomer}, which is spent"),
        }
    }

    fn payload(&self, leaf: &Credential) -> Payload {
        let signal = self.signal();
        let groups = self.device.groups.iter().map(|g| Value::from(g.as_str())).collect();
        let mut payload = Payload::new("clone.caught")
            .with("device", self.device.id.to_string())
            .with("signal", signal.as_str())
            .with("severity", signal.severity().as_str())
            .with("reason", signal.sentence())
            .with("response", self.response.as_str())
            .with("was", self.device.standing.as_str())
            .with("groups", Value::List(groups))
            .with("spki", leaf.spki.octets().to_vec())
            .with("newcomer", self.newcomer.map());
        if let Some(spent) = leaf.spent {
            payload = payload.with("spent", spent.secs());
        }
        if self.is_capped() {
            payload = payload.with("wanted", self.wanted.as_str());
        }
        if self.response == Response::Quarantine {
            payload = payload.with("standing", Standing::Quarantined.as_str());
        }
        match &self.present {
            Some(present) => payload.with("present", present.map()),
            None => payload,
        }
    }
}

impl Holder {
    fn map(&self) -> Map {
        let mut map = Map::new();
        map.set("serial", self.serial.octets().to_vec());
        map.set("generation", u64::from(self.generation));
        let contacts = [
            (self.last, ["from", "at", "print"]),
            (self.first, ["first_from", "first_at", "first_print"]),
        ];
        for (contact, [from, at, print]) in contacts {
            let Some(contact) = contact else { continue };
            map.set(from, contact.from.to_string());
            map.set(at, contact.at.secs());
            if let Some(seen) = contact.print {
                map.set(print, seen.octets().to_vec());
            }
        }
        map
    }
}

/// The one who uses the newest leaf that was ever used, and not the one who showed `spent`.
fn present(
    house: &House,
    realm: &RealmState,
    (device, spent): (&Device, &Credential),
) -> Result<Option<Holder>, ReadError> {
    let all = house.registry.credentials_of(realm.key, &device.id, LEAVES_MAX)?;
    let other = |c: &&Credential| {
        c.kind == CredentialKind::Leaf && c.spki != spent.spki && c.used.is_some()
    };
    let Some(leaf) = all.iter().find(other) else { return Ok(None) };
    let first = first_use(house, realm, leaf)?;
    Ok(Some(Holder {
        serial: leaf.serial,
        generation: leaf.generation,
        last: house.contacts.newest(realm.key, &leaf.spki),
        first,
    }))
}

/// The first use of a leaf, as its entry tells it; `None` where that was erased.
fn first_use(
    house: &House,
    realm: &RealmState,
    leaf: &Credential,
) -> Result<Option<Contact>, ReadError> {
    let Some(issued) = house.registry.issuance(realm.key, &leaf.serial)? else { return Ok(None) };
    let rows = house.registry.entries_about(realm.key, &leaf.device, issued, ENTRIES_MAX)?;
    Ok(rows.iter().find_map(|row| {
        let payload = Payload::decode(row.payload.as_ref()?).ok()?;
        let serial = payload.get("serial")?.as_bytes()?;
        let own = payload.verb() == "leaf.used" && serial == leaf.serial.octets();
        own.then(|| used(&payload, row.at)).flatten()
    }))
}

fn used(payload: &Payload, at: UnixTime) -> Option<Contact> {
    let print = payload.get("print").and_then(Value::as_bytes);
    let print = print.and_then(|p| p.try_into().ok()).map(Print::from_octets);
    Some(Contact { from: payload.get("from")?.as_text()?.parse().ok()?, at, print })
}
