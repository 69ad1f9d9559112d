//! A registry with one realm, and what it takes to fill it. Everything here uses the public API
//! only.

#![expect(dead_code, reason = "each test file uses its part")]

use identity::authority::KeyId;
use identity::credential::{Credential, CredentialKind, Requester, Serial};
use identity::device::{Assurance, Device, DeviceId, Identifiers, Standing};
use identity::key::sha256;
use identity::token::{Token, TokenId};
use identity::{RealmName, SpkiHash, UnixTime};
use ledger::note::{Checkpoint, Origin};
use ledger::verify::{Row, Verifier};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError, Committed, Cut, Draft, Options, Realm, RealmKey};
use registry::{Registry, Seen};
use std::path::Path;
use std::sync::{Arc, Mutex};

pub(crate) const REALM: RealmKey = RealmKey(1);
const ORIGIN: &str = "00000000-0000-7000-8000-000000000001.muster.invalid/ledger/1";

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) cuts: Arc<Mutex<Vec<Cut>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self::with(Registry::open_memory().unwrap());
        world.commit(Change::Found(realm(REALM, "default"))).unwrap();
        world
    }

    /// On a file, founded at its first opening.
    pub(crate) fn at(path: &Path) -> Self {
        let world = Self::with(Registry::open(path, Options::default()).unwrap());
        if world.registry.realms().is_empty() {
            world.commit(Change::Found(realm(REALM, "default"))).unwrap();
        }
        world
    }

    fn with(registry: Registry) -> Self {
        let cuts = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&cuts);
        registry.on_cut(Box::new(move |cut| seen.lock().unwrap().push(cut.clone())));
        Self { registry, cuts }
    }

    pub(crate) fn commit(&self, change: Change) -> Result<Committed, CommitError> {
        self.registry.commit_wait(REALM, change, draft(now()))
    }

    /// Commits what must clash, and says how; nothing of it may be left.
    pub(crate) fn clash(&self, change: Change) -> Clash {
        let before = self.registry.head(REALM).unwrap();
        let refused = self.commit(change).unwrap_err();
        assert_eq!(self.registry.head(REALM).unwrap(), before);
        match refused {
            CommitError::Conflict(clash) => clash,
            other => panic!("{other}"),
        }
    }

    pub(crate) fn device(&self, n: u32) -> Device {
        self.registry.device(REALM, &id(n)).unwrap().unwrap()
    }

    pub(crate) fn seen(&self, key: &SpkiHash) -> Seen {
        self.registry.roll().lookup(REALM, key).unwrap()
    }

    pub(crate) fn take_cuts(&self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts.lock().unwrap())
    }

    pub(crate) fn birth(&self, n: u32) -> Credential {
        let birth = credential(n, 0, 0);
        self.commit(born(device(n), None, birth.clone())).unwrap();
        birth
    }

    /// A join or renewal with a key of its own for each generation.
    pub(crate) fn enroll(&self, n: u32, generation: u32) -> Credential {
        let leaf = credential(n, generation, 0);
        self.commit(self.leafed(n, leaf.clone())).unwrap();
        leaf
    }

    /// What a join or renewal decides on the device as it is now.
    pub(crate) fn leafed(&self, n: u32, leaf: Credential) -> Change {
        let mut device = self.device(n);
        let expected = Some(device.version);
        device.version += 1;
        device.generation = leaf.generation;
        device.standing = Standing::Enrolled;
        device.enrolled = device.enrolled.or(Some(now()));
        Change::Leafed { device, expected, leaf, due: None, supersedes: vec![], token: None }
    }

    /// Verifies the whole ledger, as a stranger with the rows would, and the whole file.
    pub(crate) fn audit(&self) {
        let head = self.registry.head(REALM).unwrap();
        let mut verifier = Verifier::new();
        while let Some(rows) = Some(self.registry.entries(REALM, verifier.size(), 100).unwrap())
            .filter(|rows| !rows.is_empty())
        {
            for row in rows {
                let payload = row.payload.as_deref();
                let row = Row { entry: &row.entry, payload, salt: row.salt.as_ref() };
                verifier.feed(&row, &()).unwrap();
            }
        }
        let origin = Origin::parse(ORIGIN).unwrap();
        let against = Checkpoint { origin, size: head.size, root: head.root };
        verifier.finish(&against).unwrap();
        assert_eq!(self.registry.check_integrity().unwrap(), []);
    }
}

pub(crate) fn realm(key: RealmKey, name: &str) -> Realm {
    Realm {
        key,
        name: RealmName::parse(name).unwrap(),
        id: [key.0 as u8; 16],
        origin: ORIGIN.to_owned(),
        founded: now(),
    }
}

pub(crate) fn now() -> UnixTime {
    UnixTime::from_secs(1_800_000_000)
}

pub(crate) fn draft(at: UnixTime) -> Draft {
    Draft::new(Class::Birth, &Payload::new("test"), [5; 32], at)
}

fn chance(n: u32, more: u32) -> [u8; 10] {
    sha256(&[&n.to_be_bytes(), &more.to_be_bytes()])[..10].try_into().unwrap()
}

pub(crate) fn id(n: u32) -> DeviceId {
    DeviceId::new(UnixTime::from_secs(1_700_000_000 + u64::from(n)), chance(n, 0))
}

pub(crate) fn key(n: u32, generation: u32) -> SpkiHash {
    SpkiHash::from_octets(sha256(&[b"key", &n.to_be_bytes(), &generation.to_be_bytes()]))
}

pub(crate) fn issuer() -> KeyId {
    KeyId::from_octets(&[9; 20]).unwrap()
}

pub(crate) fn device(n: u32) -> Device {
    Device {
        id: id(n),
        standing: Standing::Born,
        assurance: Assurance::Certified,
        identifiers: Identifiers {
            model: "pump".into(),
            serial: format!("S{n}"),
            macs: ["00:11:22:33:44:55".to_owned()].into(),
            meta: [("plant".to_owned(), "7\n8\\9".to_owned())].into(),
            ..Identifiers::default()
        },
        groups: Default::default(),
        version: 1,
        generation: 0,
        born: now(),
        enrolled: None,
        door: None,
        mark: None,
    }
}

/// The `nth` credential of a device's generation; generation 0 is the birth certificate.
pub(crate) fn credential(n: u32, generation: u32, nth: u32) -> Credential {
    let kind = if generation == 0 { CredentialKind::Birth } else { CredentialKind::Leaf };
    let at = now().plus_secs(u64::from(generation) * 10 + u64::from(nth));
    Credential {
        serial: Serial::new(at, chance(n, 1000 * generation + nth + 1)),
        kind,
        device: id(n),
        issuer: issuer(),
        generation,
        spki: key(n, generation),
        requester: Requester::key(&key(n, 0)),
        closes: false,
        shard: (n % 4) as u16,
        issued: now(),
        not_after: now().plus_secs(1000),
        used: None,
        spent: None,
        revoked: None,
        der: vec![0x30, n as u8],
    }
}

pub(crate) fn born(device: Device, expected: Option<u64>, credential: Credential) -> Change {
    Change::Born { device, expected, credential, replaces: vec![] }
}

pub(crate) fn token(uses: u32) -> Token {
    Token {
        id: TokenId::parse("abcdefghijklmnop").unwrap(),
        digest: [3; 32],
        uses_left: uses,
        uses,
        made: now(),
        ends: now().plus_secs(3600),
        groups: Default::default(),
        serial: None,
        revoked: None,
        by: "kim".into(),
    }
}
