//! One device with two programs, its disk and its back-ups, whoever copied something of it, and the
//! network between them and a real house: the judge, the registry in memory, and what hears of
//! handshakes. Time is invented. Beside it stands [`Truth`], which knows the law and nothing of how
//! the house keeps it.

mod law;

use super::super::contact::{self, Handshake};
use super::super::desk;
use crate::births::{Station, Unit};
use crate::house::{House, RealmState};
use crate::operator::tests::world::{World, csr, p256};
use crate::standing::Move;
use enroll::est::client::{self, Incoming, Reply};
use enroll::est::server::Answer;
use identity::ask::{Binding, KeySource, Shown, Want};
use identity::key::SoftwareKey;
use identity::{
    Ask, Certificate, Credential, CredentialKind, Csr, Device, DeviceId, Identifiers, RealmName,
    RuleId, Signer, SpkiHash, Standing, UnixTime,
};
use law::Truth;
use ledger::{Class, Payload};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::Runtime;

pub(super) const OVERLAP_S: u64 = 86_400;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A certificate with its key: what somebody can show.
#[derive(Clone)]
pub(super) struct Shows {
    pub(super) key: Arc<SoftwareKey>,
    pub(super) certificate: Certificate,
}

impl Shows {
    fn is(&self, certificate: &Certificate) -> bool {
        self.certificate.der() == certificate.der()
    }

    pub(super) fn spki(&self) -> SpkiHash {
        self.key.public().hash()
    }
}

/// What survives a crash.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) birth: Shows,
    pub(super) leaf: Option<Shows>,
}

/// A program of the device: what it has loaded, and since when there is something newer on disk.
#[derive(Clone, Default)]
struct Program {
    leaf: Option<Shows>,
    stale: Option<UnixTime>,
}

/// An answer on its way.
#[derive(Clone)]
struct Sent {
    to: usize,
    leaf: Shows,
    joined: bool,
}

pub(super) struct Fleet {
    pub(super) house: Arc<House>,
    pub(super) realm: Arc<RealmState>,
    pub(super) device: DeviceId,
    pub(super) disk: Disk,
    world: World,
    runtime: Runtime,
    programs: [Program; 2],
    back_ups: Vec<Disk>,
    begun: Vec<(Shows, UnixTime)>,
    sent: Vec<Sent>,
    /// Leaves in the order of their generations.
    truth: Vec<(Certificate, Truth)>,
    /// A back-up was restored that is older than the overlap.
    pub(super) tainted: bool,
    /// Handshakes of which the law says that they are a second holder's.
    pub(super) seconds: usize,
}

impl Fleet {
    /// A device that was born and has not joined yet.
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let world = World::new();
        let house = world.house.clone();
        let realm = house.realm(&RealmName::default_realm()).unwrap();
        let key = Arc::new(p256());
        let unit = Unit {
            csr: csr(&key, "S1"),
            identifiers: Identifiers { serial: "S1".into(), ..Identifiers::default() },
            replace: None,
        };
        let station = Station { name: "line", from: HERE, replaces_joined: false };
        let births = runtime.block_on(house.births(&realm, vec![Ok(unit)], station));
        let birth = births.into_iter().next().unwrap().unwrap();
        let certificate = Certificate::parse(&birth.certificate).unwrap();
        let disk = Disk { birth: Shows { key, certificate }, leaf: None };
        Self {
            house,
            realm,
            device: birth.device,
            disk,
            world,
            runtime,
            programs: [Program::default(), Program::default()],
            back_ups: Vec::new(),
            begun: Vec::new(),
            sent: Vec::new(),
            truth: Vec::new(),
            tainted: false,
            seconds: 0,
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.world.time.load(Ordering::Relaxed))
    }

    pub(super) fn wait(&self, secs: u64) {
        self.world.time.fetch_add(secs * 1000, Ordering::Relaxed);
    }

    /// No two things happen in the same moment.
    pub(super) fn tick(&self) {
        self.world.time.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn row(&self) -> Device {
        self.house.registry.device(self.realm.key, &self.device).unwrap().unwrap()
    }

    /// The device's first leaf.
    pub(super) fn oldest(&self) -> Credential {
        let all = self.house.registry.credentials_of(self.realm.key, &self.device, 100).unwrap();
        all.into_iter().rev().find(|c| c.kind == CredentialKind::Leaf).unwrap()
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.row().standing == Standing::Quarantined
    }

    /// A handshake that began at `began` is complete. The law is asked first, the house then; they
    /// must agree on whether this is a second holder's.
    pub(super) fn shake(&mut self, shows: &Shows, began: UnixTime) {
        let at = self.now();
        let good = self.row().standing.is_good();
        let second = good && self.is_spent(&shows.spki(), began);
        let hands = Handshake { shown: &shows.certificate, from: HERE, print: None, began, at };
        self.runtime.block_on(contact::hear(&self.house, &self.realm, &hands));
        if good && !self.is_revoked(&shows.spki()) && !self.is_spent(&shows.spki(), at) {
            self.learn_use(shows, at);
        }
        if second {
            self.seconds += 1;
        }
        let caught = good && self.is_quarantined();
        assert_eq!(caught, second, "the house says {caught}, the law {second}");
    }

    /// A handshake, and then a wish for a leaf with `key`.
    pub(super) fn ask(&mut self, shows: &Shows, want: Want, key: &Arc<SoftwareKey>) -> Answer {
        self.shake(shows, self.now());
        let wish = enroll::request::Wish::default();
        let ask = Ask {
            want,
            key: KeySource::Device,
            csr: Csr::parse(&enroll::request::make(&**key, &wish).unwrap()).unwrap(),
            shown: Shown { chain: vec![shows.certificate.clone()], token: None, receipt: None },
            binding: Binding::Absent,
            from: HERE,
        };
        self.runtime.block_on(desk::enroll(&self.house, &self.realm, &ask))
    }

    /// As [`Fleet::ask`]; the leaf where one was issued, which the law learns of.
    pub(super) fn enroll(
        &mut self,
        shows: &Shows,
        want: Want,
        key: &Arc<SoftwareKey>,
    ) -> Result<Shows, RuleId> {
        let answer = self.ask(shows, want, key);
        if let Some(identity::Refusal::Denied(rule)) = answer.refusal {
            return Err(rule);
        }
        let content_type = answer.headers.iter().find(|(n, _)| *n == "Content-Type").unwrap();
        let incoming = Incoming {
            status: answer.status,
            content_type: Some(&content_type.1),
            retry_after: None,
            body: &answer.body,
        };
        let Reply::Done(certificate) = client::read_leaf(&incoming, key.public()).unwrap() else {
            panic!("neither leaf nor refusal: {}", answer.status);
        };
        if self.truth.iter().all(|(known, _)| known.der() != certificate.der()) {
            let joined = shows.is(&self.disk.birth.certificate);
            let truth = Truth { spki: key.public().hash(), joined, used: None };
            self.truth.push((certificate.clone(), truth));
        }
        Ok(Shows { key: key.clone(), certificate })
    }

    /// An operator lets the device in again.
    pub(super) fn release(&self) {
        let device = self.row();
        let change = Move::Release.of(&device).unwrap().unwrap().change(&device);
        let payload = Payload::new("device.released").with("device", device.id.to_string());
        let commit = self.house.commit(self.realm.key, change, Class::Standing, payload);
        self.runtime.block_on(commit).unwrap();
    }
}

/// The device. It puts a leaf on disk before it uses it; takes over only what is newer than what is
/// there; after a join all its programs use the new leaf, after a renewal each before the overlap
/// is over. `docs/jobs/cloned-device.md` asks the same of real ones.
impl Fleet {
    /// What a program shows now.
    fn loaded(&mut self, program: usize) -> Option<Shows> {
        let now = self.now();
        let program = &mut self.programs[program];
        let late = program.stale.is_some_and(|since| now >= since.plus_secs(OVERLAP_S));
        if program.leaf.is_none() || late {
            *program = Program { leaf: self.disk.leaf.clone(), stale: None };
        }
        program.leaf.clone()
    }

    fn keep(&mut self, leaf: Shows, joined: bool) {
        let newer = |old: &Shows| old.certificate.serial() < leaf.certificate.serial();
        if !self.disk.leaf.as_ref().is_none_or(newer) {
            return;
        }
        self.disk.leaf = Some(leaf);
        let now = self.now();
        for program in &mut self.programs {
            program.stale = program.stale.or(Some(now));
            if joined {
                *program = Program::default();
            }
        }
    }

    /// Contact, nothing more.
    pub(super) fn dial(&mut self, program: usize) {
        if let Some(leaf) = self.loaded(program) {
            self.shake(&leaf, self.now());
        }
    }

    /// A handshake that takes its time.
    pub(super) fn begin(&mut self, program: usize) {
        if let Some(leaf) = self.loaded(program) {
            self.begun.push((leaf, self.now()));
        }
    }

    /// One of those that were begun is complete, whichever is first.
    pub(super) fn finish(&mut self, which: usize) {
        if !self.begun.is_empty() {
            let (leaf, began) = self.begun.swap_remove(which % self.begun.len());
            self.shake(&leaf, began);
        }
    }

    /// Renews, with the same key where it keeps it; joins where that is refused or there is no leaf.
    pub(super) fn renew(&mut self, program: usize, keeps: bool) {
        let Some(leaf) = self.loaded(program) else { return self.join(program) };
        let key = if keeps { leaf.key.clone() } else { Arc::new(p256()) };
        match self.enroll(&leaf, Want::Renew, &key) {
            Ok(leaf) => self.sent.push(Sent { to: program, leaf, joined: false }),
            Err(_) => self.join(program),
        }
    }

    /// Joins with the birth certificate.
    pub(super) fn join(&mut self, program: usize) {
        let birth = self.disk.birth.clone();
        if let Ok(leaf) = self.enroll(&birth, Want::Join, &Arc::new(p256())) {
            self.sent.push(Sent { to: program, leaf, joined: true });
        }
    }

    /// The last request once more, byte by byte, as a network or a proxy may repeat it.
    pub(super) fn repeat(&mut self, program: usize) {
        let Some(sent) = self.sent.last().cloned() else { return };
        let shows = match (sent.joined, self.loaded(program)) {
            (false, Some(leaf)) => leaf,
            _ => self.disk.birth.clone(),
        };
        let want = if sent.joined { Want::Join } else { Want::Renew };
        let joined = shows.is(&self.disk.birth.certificate);
        if let Ok(leaf) = self.enroll(&shows, want, &sent.leaf.key) {
            self.sent.push(Sent { to: program, leaf, joined });
        }
    }

    /// One of the answers arrives, whichever is first; it may arrive again.
    pub(super) fn receive(&mut self, which: usize, again: bool) {
        if self.sent.is_empty() {
            return;
        }
        let which = which % self.sent.len();
        let sent = if again { self.sent[which].clone() } else { self.sent.swap_remove(which) };
        self.keep(sent.leaf, sent.joined);
    }

    /// An answer is lost.
    pub(super) fn lose(&mut self, which: usize) {
        if !self.sent.is_empty() {
            self.sent.swap_remove(which % self.sent.len());
        }
    }

    /// A program dies, with it what was on its way to it.
    pub(super) fn crash(&mut self, program: usize) {
        self.sent.retain(|sent| sent.to != program);
        self.programs[program] = Program::default();
    }

    pub(super) fn back_up(&mut self) {
        self.back_ups.push(self.disk.clone());
    }

    /// An old disk is put in; all starts anew. Within the overlap the device does what ours does at
    /// a start with a leaf past half of its life: it renews. Its programs start behind that: what
    /// is left of the overlap they cannot know.
    pub(super) fn restore(&mut self, which: usize) {
        if self.back_ups.is_empty() {
            return;
        }
        self.disk = self.back_ups[which % self.back_ups.len()].clone();
        self.programs = Default::default();
        self.sent.clear();
        self.begun.clear();
        let now = self.now();
        let old = self.disk.leaf.clone();
        if old.is_some_and(|leaf| self.is_spent(&leaf.spki(), now)) {
            self.tainted = true;
            return;
        }
        self.renew(0, false);
        self.receive(0, false);
        self.programs = Default::default();
        self.tick();
        self.dial(0);
    }
}
