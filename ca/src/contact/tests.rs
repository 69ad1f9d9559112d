use super::*;
use crate::world::{DAY_S, NOW, World, key};
use identity::credential::{CredentialKind, Requester, Revocation};
use identity::{GroupName, Serial, Signer, Standing};
use std::collections::{BTreeMap, BTreeSet};

/// A device whose leaf was renewed; the first of its two leaves is shown.
struct Scene {
    device: Device,
    of_key: Vec<Credential>,
    compromised: bool,
    contact: Contact,
}

fn leaf(device: &Device, generation: u32) -> Credential {
    let spki = key(0x31).public().hash();
    Credential {
        serial: Serial::new(NOW, [u8::try_from(generation).unwrap(); 10]),
        kind: CredentialKind::Leaf,
        device: device.id,
        issuer: identity::authority::KeyId::from_octets(&[1; 20]).unwrap(),
        generation,
        spki,
        requester: Requester::key(&spki),
        closes: false,
        shard: 0,
        issued: NOW,
        not_after: NOW.plus_secs(30 * DAY_S),
        used: Some(NOW),
        spent: None,
        revoked: None,
        der: Vec::new(),
    }
}

impl Scene {
    /// The leaf is spent since `NOW`, and the handshake began and ended a day later.
    fn spent() -> Self {
        let mut device = World::new().born("S1", &key(0x21)).device;
        device.standing = Standing::Enrolled;
        let mut leaf = leaf(&device, 1);
        leaf.spent = Some(NOW);
        let (spki, at) = (leaf.spki, NOW.plus_secs(DAY_S));
        let contact = Contact { spki, began: at, at };
        Self { device, of_key: vec![leaf], compromised: false, contact }
    }

    fn hear(&self) -> Told<'_> {
        let (device, of_key) = (&self.device, self.of_key.as_slice());
        hear(&self.contact, &Known { device, of_key, compromised: self.compromised })
    }

    fn revoke(&mut self, reason: Reason) {
        self.of_key[0].revoked = Some(Revocation { at: NOW, reason });
    }
}

#[test]
fn a_spent_leaf_that_completes_a_handshake_is_held_twice() {
    let scene = Scene::spent();
    assert_eq!(scene.hear(), Told::Clone(&scene.of_key[0]));
}

#[test]
fn within_the_overlap_nothing_is_odd() {
    let mut scene = Scene::spent();
    scene.of_key[0].spent = Some(scene.contact.at.plus_secs(1));
    assert_eq!(scene.hear(), Told::Nothing);
    scene.of_key[0].spent = None;
    assert_eq!(scene.hear(), Told::Nothing);
}

#[test]
fn a_handshake_that_began_before_its_leaf_was_spent_is_no_evidence() {
    let mut scene = Scene::spent();
    scene.contact.began = NOW.minus_secs(1);
    assert_eq!(scene.hear(), Told::Odd(Signal::SpentKey));
    scene.contact.began = NOW;
    assert_eq!(scene.hear(), Told::Clone(&scene.of_key[0]));
}

#[test]
fn a_key_with_a_live_leaf_is_good_whichever_of_its_leaves_is_spent() {
    let mut scene = Scene::spent();
    let newer = leaf(&scene.device, 2);
    scene.of_key.push(newer);
    assert_eq!(scene.hear(), Told::Nothing);
}

#[test]
fn an_expired_leaf_that_is_spent_is_held_twice_all_the_same() {
    let mut scene = Scene::spent();
    scene.contact.at = NOW.plus_secs(400 * DAY_S);
    scene.contact.began = scene.contact.at;
    assert_eq!(scene.hear(), Told::Clone(&scene.of_key[0]));
}

#[test]
fn an_unused_leaf_that_was_superseded_is_odd_and_no_clone() {
    let mut scene = Scene::spent();
    scene.revoke(Reason::Superseded);
    assert_eq!(scene.hear(), Told::Odd(Signal::RevokedKey));
}

#[test]
fn a_device_that_is_set_aside_may_knock_and_a_held_key_of_another_may_not() {
    let mut scene = Scene::spent();
    scene.revoke(Reason::CertificateHold);
    scene.device.standing = Standing::Quarantined;
    assert_eq!(scene.hear(), Told::Nothing);
    scene.device.standing = Standing::Enrolled;
    assert_eq!(scene.hear(), Told::Odd(Signal::RevokedKey));
}

#[test]
fn a_spent_leaf_of_a_device_that_is_set_aside_quarantines_nobody_again() {
    let mut scene = Scene::spent();
    scene.device.standing = Standing::Suspended;
    assert_eq!(scene.hear(), Told::Nothing);
}

#[test]
fn a_compromised_key_is_told_before_all_else() {
    let mut scene = Scene::spent();
    scene.revoke(Reason::KeyCompromise);
    scene.compromised = true;
    assert_eq!(scene.hear(), Told::Odd(Signal::CompromisedKey));
}

#[test]
fn a_key_that_has_no_certificate_tells_nothing() {
    let mut scene = Scene::spent();
    scene.of_key.clear();
    assert_eq!(scene.hear(), Told::Nothing);
}

fn groups(names: &[&str]) -> BTreeSet<GroupName> {
    names.iter().map(|n| GroupName::parse(n).unwrap()).collect()
}

#[test]
fn beyond_the_bound_of_the_realm_or_a_group_is_only_an_alarm_until_the_hour_is_over() {
    let pumps = GroupName::parse("pumps").unwrap();
    let caps = Caps { realm: 3, groups: BTreeMap::from([(pumps, 1)]) };
    let mut window = Window::default();

    assert!(window.take(&groups(&["pumps", "north"]), &caps, NOW));
    assert!(!window.take(&groups(&["pumps"]), &caps, NOW.plus_secs(3599)), "the group's");
    assert!(window.take(&groups(&["north"]), &caps, NOW.plus_secs(60)));
    assert!(window.take(&groups(&[]), &caps, NOW.plus_secs(60)));
    assert!(!window.take(&groups(&[]), &caps, NOW.plus_secs(3599)), "the realm's");
    assert!(window.take(&groups(&["pumps"]), &caps, NOW.plus_secs(3600)));
}

#[test]
fn a_clock_that_was_ahead_does_not_keep_the_window_full() {
    let caps = Caps { realm: 1, groups: BTreeMap::new() };
    let mut window = Window::default();
    assert!(window.take(&groups(&[]), &caps, NOW.plus_secs(365 * DAY_S)));
    assert!(window.take(&groups(&[]), &caps, NOW));
}

#[test]
fn what_came_to_nothing_is_given_back() {
    let caps = Caps { realm: 1, groups: BTreeMap::new() };
    let mut window = Window::default();
    assert!(window.take(&groups(&["a"]), &caps, NOW));
    window.give_back(&groups(&["a"]), NOW);
    assert!(window.take(&groups(&["b"]), &caps, NOW));
}

#[test]
fn a_mild_response_takes_nothing_from_the_bound() {
    let scene = Scene::spent();
    let caps = Caps { realm: 1, groups: BTreeMap::new() };
    let mut window = Window::default();
    let mut respond = |wanted| respond(wanted, &mut window, (&scene.device, &caps), NOW);
    assert_eq!(respond(Response::Alarm), Response::Alarm);
    assert_eq!(respond(Response::HoldNewcomer), Response::HoldNewcomer);
    assert_eq!(respond(Response::Quarantine), Response::Quarantine);
    assert_eq!(respond(Response::Quarantine), Response::Alarm);
}
