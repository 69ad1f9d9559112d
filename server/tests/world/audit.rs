//! The audit after each test: every entry hashed again under the signed checkpoint, every row
//! explained by an entry, every entry of an issuance by a row, and each certificate by the
//! authority that signed it.

use identity::authority::AuthorityState;
use identity::key::sha256;
use identity::{Certificate, Credential, CredentialKind, Device, KeyKind, Standing};
use ledger::note::{Origin, VerifierKey};
use ledger::{Entry, Event, Payload, Row, Verifier};
use registry::{DeviceFilter, EntryRow, Options, Realm, Registry};
use server::home::Home;
use server::keys::Online;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Re-verifies the home of a stopped server.
pub(super) fn audit(home: &Path) {
    let registry = Registry::open(&home.join("muster.db"), Options::default()).unwrap();
    assert_eq!(registry.check_integrity().unwrap(), [], "the registry is whole");
    let key = Online::load(&Home::open(home).unwrap(), false).unwrap().ledger;
    assert_eq!(key.public().kind(), KeyKind::Ed25519);
    for realm in registry.realms() {
        let entries = ledger_of(&registry, &realm, key.public());
        let rows = Rows::read(&registry, &realm);
        rows.are_told_by(&entries);
        rows.are_signed(&registry, &realm);
        rows.stand_as_told(&entries);
        rows.agree_with_the_roll(&registry, &realm);
        tokens_are_spent_as_told(&registry, &realm, &entries);
    }
    registry.close();
}

/// Computes the ledger again, up to the checkpoint that was signed at the stop.
fn ledger_of(registry: &Registry, realm: &Realm, key: &identity::PublicKey) -> Vec<Payload> {
    let mut verifier = Verifier::new();
    let mut payloads = Vec::new();
    loop {
        let page = registry.entries(realm.key, verifier.size(), 1000).unwrap();
        if page.is_empty() {
            break;
        }
        for row in page {
            is_an_event(&row);
            let salt = row.salt.as_ref();
            let row = Row { entry: &row.entry, payload: row.payload.as_deref(), salt };
            verifier.feed(&row, &()).unwrap();
            // What was erased tells nothing any more.
            payloads.extend(row.payload.map(|p| Payload::decode(p).unwrap()));
        }
    }
    let note = registry.noted(realm.key, server::checkpoint::SPACE, b"").unwrap().unwrap();
    let origin = Origin::parse(&realm.origin).unwrap();
    let key = VerifierKey::new(&origin, key).unwrap();
    verifier.finish_signed(std::str::from_utf8(&note).unwrap(), &[key]).unwrap();
    payloads
}

/// What happened is in the table of events, with the class of its entry and no other members: or
/// nobody who watches would know what it means.
fn is_an_event(row: &EntryRow) {
    let Some(payload) = &row.payload else { return };
    let payload = Payload::decode(payload).unwrap();
    let missing = "add it to ledger/src/event/table.rs, and write docs/events.md again";
    let event = Event::of(payload.verb());
    let event = event.unwrap_or_else(|| panic!("no event `{}`: {missing}", payload.verb()));
    assert_eq!(Entry::decode(&row.entry).unwrap().class, event.class, "{}", event.verb);
    for (name, _) in payload.iter().filter(|(name, _)| *name != "verb") {
        let known = event.fields.contains(&name);
        assert!(known, "`{}` has no member `{name}`: {missing}", event.verb);
    }
}

/// What the tables say.
struct Rows {
    devices: BTreeMap<String, Device>,
    credentials: Vec<Credential>,
}

impl Rows {
    fn read(registry: &Registry, realm: &Realm) -> Self {
        let devices = registry.devices(realm.key, &DeviceFilter::default(), None, 1000).unwrap();
        let mut credentials = registry.credentials(realm.key, None, 1000).unwrap();
        let mut devices = devices;
        assert!(devices.len() < 1000 && credentials.len() < 1000, "a page was enough");
        let erased = |id: &_| registry.erased_at(realm.key, id).unwrap().is_some();
        for gone in credentials.iter().filter(|c| erased(&c.device)) {
            assert!(gone.der.is_empty() && gone.revoked.is_some());
        }
        credentials.retain(|c| !erased(&c.device));
        devices.retain(|d| !erased(&d.id));
        Self { devices: devices.into_iter().map(|d| (d.id.to_string(), d)).collect(), credentials }
    }

    /// Each certificate stands in exactly one entry, with its device and its digest, and no entry
    /// tells of another.
    fn are_told_by(&self, entries: &[Payload]) {
        let issued = |verb: &str| ["birth.issued", "join.issued", "renew.issued"].contains(&verb);
        let mut told: BTreeMap<&[u8], &Payload> = BTreeMap::new();
        for entry in entries.iter().filter(|e| issued(e.verb())) {
            let serial = entry.get("serial").unwrap().as_bytes().unwrap();
            assert!(told.insert(serial, entry).is_none(), "two entries tell of one certificate");
        }
        assert_eq!(
            told.len(),
            self.credentials.len(),
            "as many certificates as entries of issuances"
        );
        for credential in &self.credentials {
            let entry = told[credential.serial.octets().as_slice()];
            assert_eq!(
                entry.get("device").unwrap().as_text().unwrap(),
                credential.device.to_string()
            );
            assert_eq!(entry.get("spki").unwrap().as_bytes().unwrap(), credential.spki.octets());
            let digest = sha256(&[&credential.der]);
            assert_eq!(entry.get("certificate").unwrap().as_bytes().unwrap(), digest);
            let verb = match (credential.kind, credential.closes) {
                (CredentialKind::Birth, _) => "birth.issued",
                (CredentialKind::Leaf, true) => "join.issued",
                (CredentialKind::Leaf, false) => "renew.issued",
            };
            assert_eq!(entry.verb(), verb);
        }
        let used = |serial: &[u8]| {
            let tells = |e: &&Payload| {
                e.verb() == "leaf.used" && e.get("serial").unwrap().as_bytes() == Some(serial)
            };
            entries.iter().filter(tells).count()
        };
        for credential in &self.credentials {
            assert_eq!(
                used(credential.serial.octets()),
                usize::from(credential.used.is_some()),
                "uses are entries"
            );
        }
    }

    /// Each certificate is what an authority of the realm signed, for the key and the device of its
    /// row, and ends before its issuer.
    fn are_signed(&self, registry: &Registry, realm: &Realm) {
        let authorities = registry.authorities(realm.key).unwrap();
        for credential in &self.credentials {
            let certificate = Certificate::parse(&credential.der).unwrap();
            let issuer = authorities.iter().find(|a| a.id == credential.issuer).unwrap();
            certificate.signed_by(&issuer.certificate).unwrap();
            assert_eq!(certificate.serial(), Some(credential.serial));
            assert_eq!(certificate.spki_hash(), credential.spki);
            assert_eq!(certificate.device(), Some(credential.device));
            assert_eq!(certificate.not_after().secs(), credential.not_after.secs());
            assert!(certificate.not_after() <= issuer.certificate.not_after());
            assert!(
                issuer.state != AuthorityState::Barred
                    || credential.revoked.is_some()
                    || issuer.role.as_str() != "root"
            );
        }
        let mut generations = BTreeSet::new();
        for leaf in self.credentials.iter().filter(|c| c.kind == CredentialKind::Leaf) {
            assert!(
                generations.insert((leaf.device.to_string(), leaf.generation)),
                "a generation has one leaf"
            );
        }
    }

    /// The standing of each device is the one that its last entry gave it, and its certificates are
    /// as that wants.
    fn stand_as_told(&self, entries: &[Payload]) {
        let mut told: BTreeMap<String, Standing> = BTreeMap::new();
        for entry in entries {
            let Some(id) = entry.get("device").and_then(|v| v.as_text()) else { continue };
            let enrolled = told.get(id).copied();
            let now = match entry.verb() {
                "birth.issued" => enrolled.or(Some(Standing::Born)),
                "join.issued" | "renew.issued" => Some(Standing::Enrolled),
                "clone.caught" if entry.get("standing").is_none() => None,
                "clone.caught" | "device.suspended" | "device.resumed" | "device.quarantined"
                | "device.released" | "device.retired" => {
                    entry.get("standing").and_then(|v| v.as_text()).and_then(Standing::parse)
                }
                _ => None,
            };
            if let Some(now) = now {
                told.insert(id.to_owned(), now);
            }
        }
        for (id, device) in &self.devices {
            assert_eq!(told.get(id), Some(&device.standing), "standing of {id}");
        }
        assert_eq!(told.len(), self.devices.len(), "an entry for each device, and no other");
        for credential in &self.credentials {
            let device = &self.devices[&credential.device.to_string()];
            let leaf = credential.kind == CredentialKind::Leaf;
            let barred = match device.standing {
                Standing::Retired => true,
                Standing::Suspended | Standing::Quarantined => leaf,
                Standing::Born | Standing::Enrolled => false,
            };
            assert!(
                !barred || credential.revoked.is_some(),
                "a certificate of a barred device is revoked"
            );
        }
    }

    /// The roll that is read at a start says what the rows say.
    fn agree_with_the_roll(&self, registry: &Registry, realm: &Realm) {
        for credential in &self.credentials {
            let seen = registry.roll().lookup(realm.key, &credential.spki).unwrap();
            assert_eq!(seen.device, credential.device);
            let device = &self.devices[&credential.device.to_string()];
            assert_eq!(seen.standing, device.standing);
            assert_eq!(seen.device_generation, device.generation);
        }
    }
}

/// A token has as many uses left as the ledger leaves it.
fn tokens_are_spent_as_told(registry: &Registry, realm: &Realm, entries: &[Payload]) {
    for token in registry.tokens(realm.key, None, 1000).unwrap() {
        let id = Some(token.id.as_str());
        let spent = entries.iter().filter(|e| {
            e.verb() == "join.issued" && e.get("token").and_then(|v| v.as_text()) == id
        });
        let left = u64::from(token.uses) - spent.count() as u64;
        // A join of an erased device is told no more.
        let whole = !entries.iter().any(|e| e.verb() == "device.erased");
        assert!(u64::from(token.uses_left) == left || !whole && u64::from(token.uses_left) < left);
    }
}
