//! A device that asks, with all that the registry would know of it.

use super::*;
use crate::Granted;
use identity::ask::Shown;
use identity::key::SoftwareKey;
use identity::token::mint;
use identity::{Outside, Signer};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// One device and one ask; a test changes what it is about.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) want: Want,
    pub(super) source: KeySource,
    pub(super) binding: Binding,
    pub(super) key: Arc<SoftwareKey>,
    pub(super) claimed: String,
    pub(super) recognized: Recognized,
    pub(super) door: Option<Door>,
    pub(super) profile: Profile,
    pub(super) device: Option<Device>,
    pub(super) shown: Option<Credential>,
    pub(super) has_birth: bool,
    pub(super) leaves: Vec<Credential>,
    pub(super) known: KeyFacts,
    pub(super) erased: bool,
    pub(super) token: Option<Token>,
    pub(super) namesakes: bool,
    pub(super) rules: Rules,
    pub(super) shows: Shown,
}

impl Scene {
    /// A device that was born as `S1` and shows its birth certificate.
    pub(super) fn born() -> Self {
        let mut world = World::new();
        let born = world.born("S1", &key(0x21));
        let (serial, device) = (born.credential.serial, born.device.id);
        let recognized = Recognized::Birth { serial, device, spki: born.credential.spki };
        Self {
            device: Some(born.device),
            shown: Some(born.credential),
            has_birth: true,
            door: Some(door(DoorKind::Birth)),
            ..Self::bare(world, recognized)
        }
    }

    /// A device of a maker that nobody here has seen.
    pub(super) fn made() -> Self {
        let identifiers =
            Identifiers { maker: "acme".into(), serial: "S1".into(), ..Identifiers::default() };
        let spki = key(0x21).public().hash();
        let recognized =
            Recognized::Maker { door: "acme".into(), identifiers: Box::new(identifiers), spki };
        let world = World::new();
        let place = identity::door::SerialPlace::SubjectSerialNumber;
        let door = maker_door("acme", &world.root, place);
        Self { door: Some(door), ..Self::bare(world, recognized) }
    }

    /// Somebody with a token of one use, for the device with this serial number where there is one.
    pub(super) fn token(serial: Option<&str>) -> Self {
        let (id, secret) = mint(&mut Outside { now: NOW, dice: &mut Counted(70) });
        let recognized = Recognized::Token { id: id.clone(), digest: secret.digest() };
        let token = Token {
            id,
            digest: secret.digest(),
            uses_left: 1,
            uses: 1,
            made: NOW,
            ends: NOW.plus_secs(DAY_S),
            groups: [GroupName::parse("vouched").unwrap()].into(),
            serial: serial.map(str::to_owned),
            revoked: None,
            by: "operator".into(),
        };
        let door = Some(door(DoorKind::Token));
        Self { token: Some(token), door, ..Self::bare(World::new(), recognized) }
    }

    pub(super) fn bare(world: World, recognized: Recognized) -> Self {
        Self {
            world,
            want: Want::Join,
            source: KeySource::Device,
            binding: Binding::Absent,
            key: key(0x31),
            claimed: String::new(),
            recognized,
            door: None,
            profile: Profile::standard(),
            device: None,
            shown: None,
            has_birth: false,
            leaves: Vec::new(),
            known: KeyFacts::default(),
            erased: false,
            token: None,
            namesakes: false,
            rules: Rules::default(),
            shows: Shown::default(),
        }
    }

    pub(super) fn judge(&mut self) -> Result<Judgement, Refusal> {
        let ask = Ask {
            want: self.want,
            key: self.source,
            csr: csr(&*self.key, &self.claimed),
            shown: std::mem::take(&mut self.shows),
            binding: self.binding,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let facts = Facts {
            door: self.door.as_ref(),
            profile: &self.profile,
            device: self.device.clone(),
            erased: self.erased,
            shown: self.shown.clone(),
            has_birth: self.has_birth,
            leaves: self.leaves.clone(),
            key: self.known,
            token: self.token.clone(),
            namesakes: self.namesakes,
            fresh: self.world.fresh(),
        };
        judge(&ask, &self.recognized, facts, &self.rules, self.world.now)
    }

    pub(super) fn refused(&mut self) -> RuleId {
        match self.judge() {
            Err(Refusal::Denied(rule)) => rule,
            other => panic!("{other:?}"),
        }
    }

    /// Judges, issues, and remembers it as the registry would.
    pub(super) fn enroll(&mut self) -> Granted {
        let approved = granted(self.judge().unwrap());
        let made = self.world.issue(approved, &self.key);
        self.device = Some(made.device.clone());
        for leaf in self.leaves.iter_mut().filter(|l| made.supersedes.contains(&l.serial)) {
            leaf.revoked = Some(Revocation { at: self.world.now, reason: Reason::Superseded });
        }
        self.leaves.insert(0, made.leaf.clone());
        if let (Some(_), Some(token)) = (&made.token, &mut self.token) {
            token.uses_left -= 1;
        }
        made
    }

    pub(super) fn again(&mut self) -> Credential {
        match self.judge().unwrap() {
            Judgement::Again(leaf) => *leaf,
            Judgement::Grant(_) => panic!("the same leaf was expected"),
        }
    }

    /// The device shows its newest leaf, which it has used.
    pub(super) fn shows_its_leaf(&mut self) {
        self.leaves[0].used = Some(self.world.now);
        let leaf = self.leaves[0].clone();
        let (serial, device, spki) = (leaf.serial, leaf.device, leaf.spki);
        self.recognized = Recognized::Leaf { serial, device, spki };
        self.shown = Some(leaf);
        self.want = Want::Renew;
    }

    pub(super) fn joined() -> Self {
        let mut scene = Self::born();
        scene.enroll();
        scene.shows_its_leaf();
        scene
    }

    pub(super) fn later(&mut self, secs: u64) {
        self.world.now = self.world.now.plus_secs(secs);
    }

    pub(super) fn device(&mut self) -> &mut Device {
        self.device.as_mut().unwrap()
    }

    pub(super) fn door(&mut self) -> &mut Door {
        self.door.as_mut().unwrap()
    }

    pub(super) fn shown(&mut self) -> &mut Credential {
        self.shown.as_mut().unwrap()
    }
}
