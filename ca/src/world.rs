//! The world of the tests: keys from numbers, dice that count, and a realm made on the spot.

use crate::birth::{self, BirthAsk, BirthFacts, BirthJudgement, Born};
use crate::wire::shape::{Extensions, Shape};
use crate::wire::{algorithm, name, request, seal};
use crate::{Addresses, Approved, Granted, Issuer, Judgement, Rules, authority};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use identity::authority::{Authority, Role};
use identity::credential::Requester;
use identity::door::{Door, DoorKind, MakerRule, SerialPlace};
use identity::key::SoftwareKey;
use identity::{
    Assurance, Certificate, Csr, DeviceId, Dice, Identifiers, KeyKind, Outside, RealmName, Signer,
    UnixTime,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A moment in September 2026.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);
pub(crate) const DAY_S: u64 = 86_400;

/// Dice that count.
pub(crate) struct Counted(pub(crate) u64);

impl Dice for Counted {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 += 1;
            let octets = self.0.to_be_bytes();
            chunk.copy_from_slice(&octets[8 - chunk.len()..]);
        }
    }
}

/// The P-256 key with this number.
pub(crate) fn key(seed: u8) -> Arc<SoftwareKey> {
    key_of(KeyKind::P256, seed)
}

/// The key of this kind with this number, as PKCS#8 without its public half.
pub(crate) fn key_of(kind: KeyKind, seed: u8) -> Arc<SoftwareKey> {
    let (front, octets): (&str, usize) = match kind {
        KeyKind::P256 => {
            ("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420", 32)
        }
        KeyKind::P384 => ("304e020100301006072a8648ce3d020106052b81040022043730350201010430", 48),
        KeyKind::Ed25519 => ("302e020100300506032b657004220420", 32),
        KeyKind::Rsa => panic!("no RSA signer"),
    };
    let mut pkcs8 = identity::text::from_hex(front).unwrap();
    pkcs8.extend(std::iter::repeat_n(seed, octets));
    Arc::new(SoftwareKey::from_pkcs8(&pkcs8).unwrap())
}

/// A CSR that claims this serial number (none where it is empty).
pub(crate) fn csr(key: &dyn Signer, serial: &str) -> Csr {
    let claimed = [(rfc4519::SERIAL_NUMBER, serial)];
    let subject = if serial.is_empty() { name(&[]) } else { name(&claimed) };
    Csr::parse(&request(&subject.unwrap(), key).unwrap()).unwrap()
}

pub(crate) fn addresses() -> Addresses {
    Addresses {
        public_url: Some("http://muster.example:8080".into()),
        realm: RealmName::default_realm(),
    }
}

/// A realm with its authorities.
pub(crate) struct World {
    pub(crate) root: Certificate,
    pub(crate) root_key: Arc<SoftwareKey>,
    pub(crate) birth: Issuer,
    pub(crate) operations: Issuer,
    pub(crate) service: Issuer,
    pub(crate) authorities: Vec<Authority>,
    pub(crate) dice: Counted,
    pub(crate) now: UnixTime,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(KeyKind::P256)
    }

    pub(crate) fn of(kind: KeyKind) -> Self {
        let mut dice = Counted(0);
        let root_key = key_of(kind, 1);
        let mut outside = Outside { now: NOW, dice: &mut dice };
        let root = authority::root("Muster root", &*root_key, &mut outside).unwrap();
        let mut authorities = Vec::new();
        let mut make = |role, seed| {
            let key = key_of(kind, seed);
            let csr = authority::request(&format!("Muster {role} authority"), &*key).unwrap();
            let csr = Csr::parse(&csr).unwrap();
            let order = authority::Order { csr: &csr, role, addresses: &addresses() };
            let certificate = authority::sign(&root, &*root_key, order, &mut outside).unwrap();
            authorities.push(authority::admit(certificate.clone(), role, &root).unwrap());
            Issuer::new(certificate, key, addresses(), 4).unwrap()
        };
        let (birth, operations, service) =
            (make(Role::Birth, 2), make(Role::Operations, 3), make(Role::Service, 4));
        Self { root, root_key, birth, operations, service, authorities, dice, now: NOW }
    }

    pub(crate) fn outside(&mut self) -> Outside<'_> {
        Outside { now: self.now, dice: &mut self.dice }
    }

    pub(crate) fn fresh(&mut self) -> DeviceId {
        self.outside().device_id()
    }

    /// The birth of `serial` with this key.
    pub(crate) fn born(&mut self, serial: &str, key: &SoftwareKey) -> Born {
        let ask = birth_ask(serial, key);
        let facts = BirthFacts {
            by_key: None,
            by_serial: None,
            key_compromised: false,
            issuer_barred: false,
            fresh: self.fresh(),
        };
        match birth::judge(&ask, facts, &Rules::default()).unwrap() {
            BirthJudgement::Grant(approved) => {
                let mut outside = Outside { now: self.now, dice: &mut self.dice };
                self.birth.issue_birth(*approved, &mut outside).unwrap()
            }
            BirthJudgement::Again(_) => panic!("a first birth"),
        }
    }

    pub(crate) fn issue(&mut self, approved: Approved, key: &SoftwareKey) -> Granted {
        let mut outside = Outside { now: self.now, dice: &mut self.dice };
        self.operations.issue(approved, key.public(), &mut outside).unwrap()
    }
}

pub(crate) fn birth_ask(serial: &str, key: &SoftwareKey) -> BirthAsk {
    BirthAsk {
        csr: csr(key, ""),
        identifiers: Identifiers {
            model: "P7".into(),
            serial: serial.into(),
            ..Identifiers::default()
        },
        replace: None,
        replaces_joined: false,
        requester: Requester::operator("station-1"),
    }
}

pub(crate) fn granted(judgement: Judgement) -> Approved {
    match judgement {
        Judgement::Grant(approved) => *approved,
        Judgement::Again(_) => panic!("a grant was expected"),
    }
}

pub(crate) fn door(kind: DoorKind) -> Door {
    Door {
        name: kind.as_str().into(),
        open: true,
        groups: BTreeSet::new(),
        profile: "standard".into(),
        assurance: if matches!(kind, DoorKind::Token) {
            Assurance::Token
        } else {
            Assurance::Certified
        },
        binding: false,
        receipt: None,
        kind,
    }
}

/// The open door of a maker.
pub(crate) fn maker_door(name: &str, anchor: &Certificate, place: SerialPlace) -> Door {
    let rule = MakerRule {
        anchors: vec![anchor.clone()],
        place,
        pattern: "*".into(),
        model: "M1".into(),
        allow: None,
    };
    Door { name: name.into(), ..door(DoorKind::Maker(Box::new(rule))) }
}

/// A certificate of somebody else's making.
pub(crate) struct Foreign<'a> {
    pub(crate) subject: &'a [(ObjectIdentifier, &'a str)],
    pub(crate) key: &'a SoftwareKey,
    /// Who signs; itself where `None`.
    pub(crate) by: Option<(&'a Certificate, &'a SoftwareKey)>,
    pub(crate) from: UnixTime,
    pub(crate) to: UnixTime,
    pub(crate) extensions: Extensions,
}

impl Foreign<'_> {
    pub(crate) fn made(&self) -> Certificate {
        self.parsed().unwrap()
    }

    pub(crate) fn parsed(&self) -> Result<Certificate, identity::Defect> {
        use der::Encode;
        let subject = name(self.subject).unwrap();
        let (issuer, key) = match self.by {
            Some((issuer, key)) => (issuer.subject().to_der().unwrap(), key),
            None => (subject.clone(), self.key),
        };
        let algorithm = algorithm(key.public().kind()).unwrap();
        let shape = Shape {
            serial: Outside { now: NOW, dice: &mut Counted(0) }.serial(),
            not_before: self.from,
            not_after: self.to,
            subject: &subject,
            key: self.key.public(),
            extensions: &self.extensions,
        };
        let body = shape.body(&issuer, &algorithm).unwrap();
        Certificate::parse(&seal(&body, &algorithm, key).unwrap())
    }
}

/// A maker's root, its authority (path length 0) and the IDevID of one unit, holder first.
pub(crate) struct Maker {
    pub(crate) chain: Vec<Certificate>,
    pub(crate) root: Certificate,
    pub(crate) keys: [Arc<SoftwareKey>; 3],
}

impl Maker {
    pub(crate) fn acme() -> Self {
        let keys = [key(0x51), key(0x52), key(0x53)];
        let root = foreign_authority("ACME root", (&keys[0], None), Some(1), NOW.plus_secs(DAY_S));
        let by = Some((&root, &*keys[0]));
        let middle =
            foreign_authority("ACME devices", (&keys[1], by), Some(0), NOW.plus_secs(DAY_S));
        let subject = [(rfc4519::CN, "ACME-S1.devices"), (rfc4519::SERIAL_NUMBER, "S1")];
        let holder = holder(&subject, &keys[2], (&middle, &keys[1]), Extensions::default());
        Self { chain: vec![holder, middle], root, keys }
    }
}

pub(crate) fn foreign_authority(
    called: &str,
    (key, by): (&SoftwareKey, Option<(&Certificate, &SoftwareKey)>),
    path_length: Option<u8>,
    to: UnixTime,
) -> Certificate {
    let mut extensions = Extensions::default();
    extensions.authority(path_length).unwrap();
    let subject = [(rfc4519::CN, called)];
    let from = NOW.minus_secs(DAY_S);
    Foreign { subject: &subject, key, by, from, to, extensions }.made()
}

pub(crate) fn holder(
    subject: &[(ObjectIdentifier, &str)],
    key: &SoftwareKey,
    by: (&Certificate, &SoftwareKey),
    extensions: Extensions,
) -> Certificate {
    let (from, to) = (NOW.minus_secs(DAY_S), UnixTime::NEVER_ENDS);
    Foreign { subject, key, by: Some(by), from, to, extensions }.made()
}
