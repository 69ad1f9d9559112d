use super::*;
use crate::wire::shape::Extensions;
use crate::wire::shape::{SERVER, hardware_module};
use crate::world::*;
use const_oid::db::rfc4519;
use identity::authority::Authority;
use identity::door::{DoorKind, SerialPlace};
use identity::token::{ShownToken, mint};
use identity::{Outside, Signer};

fn shown(chain: &[Certificate]) -> Shown {
    Shown { chain: chain.to_vec(), token: None, receipt: None }
}

fn with_token(chain: &[Certificate]) -> Shown {
    let (id, secret) = mint(&mut Outside { now: NOW, dice: &mut Counted(0) });
    Shown { chain: chain.to_vec(), token: Some(ShownToken { id, secret }), receipt: None }
}

fn see(shown: &Shown, authorities: &[Authority], doors: &[Door]) -> Result<Recognized, Refusal> {
    recognize(shown, &Trust { authorities, doors }, NOW)
}

fn at_doors(chain: &[Certificate], doors: &[Door]) -> Result<Recognized, Refusal> {
    see(&shown(chain), &[], doors)
}

fn no(rule: RuleId) -> Result<Recognized, Refusal> {
    Err(Refusal::Denied(rule))
}

fn serial_of(found: Result<Recognized, Refusal>) -> String {
    match found.unwrap() {
        Recognized::Maker { identifiers, .. } => identifiers.serial,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_birth_certificate_is_recognized_by_its_authority_and_not_once_that_is_barred() {
    let mut world = World::new();
    let born = world.born("S1", &key(9));
    let chain = [Certificate::parse(&born.credential.der).unwrap()];

    let found = see(&shown(&chain), &world.authorities, &[]).unwrap();
    let Recognized::Birth { serial, device, spki } = found else { panic!("{found:?}") };
    assert_eq!((serial, device), (born.credential.serial, born.device.id));
    assert_eq!(spki, key(9).public().hash());

    world.authorities[0].state = AuthorityState::Retiring;
    assert!(see(&shown(&chain), &world.authorities, &[]).is_ok());
    world.authorities[0].state = AuthorityState::Barred;
    assert_eq!(see(&shown(&chain), &world.authorities, &[]), no(RuleId::AUTHORITY_BARRED));
}

#[test]
fn a_certificate_of_another_home_with_the_same_names_is_unknown() {
    let world = World::new();
    let stranger = World::of(identity::KeyKind::Ed25519).born("S1", &key(9));
    let chain = [Certificate::parse(&stranger.credential.der).unwrap()];
    assert_eq!(see(&shown(&chain), &world.authorities, &[]), no(RuleId::UNKNOWN_ISSUER));
}

#[test]
fn a_server_certificate_and_an_authority_are_no_clients() {
    let mut world = World::new();
    let names = [crate::authority::ServerName::Dns("muster.example".into())];
    let mut outside = Outside { now: NOW, dice: &mut world.dice };
    let server =
        crate::authority::server(&world.service, key(9).public(), &names, &mut outside).unwrap();
    let id = world.root.subject_key_id().unwrap();
    let root = Authority::active(id, Role::Root, world.root.clone());
    world.authorities.push(root);
    for chain in [[server], [world.operations.certificate().clone()]] {
        assert_eq!(see(&shown(&chain), &world.authorities, &[]), no(RuleId::WRONG_USAGE));
    }
}

#[test]
fn nothing_shown_is_refused_and_a_token_counts_where_the_certificate_is_unknown() {
    assert_eq!(see(&shown(&[]), &[], &[]), no(RuleId::NO_CREDENTIAL));
    let maker = Maker::acme();
    assert_eq!(see(&shown(&maker.chain), &[], &[]), no(RuleId::UNKNOWN_ISSUER));
    let by_token = see(&with_token(&maker.chain), &[], &[]);
    assert!(matches!(by_token, Ok(Recognized::Token { .. })));
}

#[test]
fn a_certificate_that_is_known_wins_over_a_token() {
    let maker = Maker::acme();
    let mut doors = [maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber)];
    let found = see(&with_token(&maker.chain), &[], &doors);
    assert!(matches!(found, Ok(Recognized::Maker { .. })));
    doors[0].open = false;
    assert_eq!(see(&with_token(&maker.chain), &[], &doors), no(RuleId::DOOR_CLOSED));
}

#[test]
fn a_makers_chain_may_come_in_any_order_and_end_below_its_root() {
    let maker = Maker::acme();
    let [holder, middle] = [maker.chain[0].clone(), maker.chain[1].clone()];
    let at_root = [maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber)];
    let below = [maker_door("acme", &middle, SerialPlace::SubjectSerialNumber)];

    let found = at_doors(&[holder.clone(), maker.root.clone(), middle.clone()], &at_root).unwrap();
    let Recognized::Maker { door, identifiers, spki } = found else { panic!() };
    assert_eq!((door.as_str(), identifiers.maker.as_str()), ("acme", "acme"));
    assert_eq!((identifiers.model.as_str(), identifiers.serial.as_str()), ("M1", "S1"));
    assert_eq!(spki, maker.keys[2].public().hash());

    assert!(at_doors(std::slice::from_ref(&holder), &below).is_ok());
    assert_eq!(at_doors(&[holder], &at_root), no(RuleId::UNKNOWN_ISSUER));
}

#[test]
fn the_serial_number_is_read_where_the_door_says_and_missed_where_it_is_not() {
    let maker = Maker::acme();
    let by = (&maker.chain[1], &*maker.keys[1]);
    let seen = |holder: &Certificate, place, pattern: &str| {
        let mut door = maker_door("acme", &maker.chain[1], place);
        let DoorKind::Maker(rule) = &mut door.kind else { panic!() };
        rule.pattern = pattern.into();
        at_doors(std::slice::from_ref(holder), &[door])
    };
    let plain = &maker.chain[0];
    assert_eq!(serial_of(seen(plain, SerialPlace::CommonName, "ACME-*.devices")), "S1");
    assert_eq!(seen(plain, SerialPlace::CommonName, "OTHER-*"), no(RuleId::NO_SERIAL));
    assert_eq!(seen(plain, SerialPlace::HardwareModuleName, "*"), no(RuleId::NO_SERIAL));
    assert_eq!(seen(plain, SerialPlace::DirectoryName, "*"), no(RuleId::NO_SERIAL));

    let mut extensions = Extensions::default();
    let oid = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1");
    let directory = crate::wire::name(&[(rfc4519::SERIAL_NUMBER, "T9")]).unwrap();
    let directory = <x509_cert::name::Name as der::Decode>::from_der(&directory).unwrap();
    let names = vec![
        hardware_module(oid, "H7").unwrap(),
        x509_cert::ext::pkix::name::GeneralName::DirectoryName(directory),
    ];
    extensions.alternative_names(&names, true).unwrap();
    let full = holder(&[], &maker.keys[2], by, extensions);
    assert_eq!(serial_of(seen(&full, SerialPlace::HardwareModuleName, "*")), "H7");
    assert_eq!(serial_of(seen(&full, SerialPlace::DirectoryName, "*")), "T9");
}

#[test]
fn a_serial_number_that_is_not_on_the_allow_list_stays_outside() {
    let maker = Maker::acme();
    let mut door = maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber);
    let DoorKind::Maker(rule) = &mut door.kind else { panic!() };
    rule.allow = Some(["S1".to_owned()].into());
    assert!(at_doors(&maker.chain, std::slice::from_ref(&door)).is_ok());
    let DoorKind::Maker(rule) = &mut door.kind else { panic!() };
    rule.allow = Some(["S2".to_owned()].into());
    assert_eq!(at_doors(&maker.chain, &[door]), no(RuleId::NOT_ALLOWED));
}

#[test]
fn an_authority_on_the_way_must_be_one_be_in_its_dates_and_keep_its_path_length() {
    let maker = Maker::acme();
    let doors = [maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber)];
    let subject = [(rfc4519::SERIAL_NUMBER, "S1")];
    let below = |middle: &Certificate, key: &identity::key::SoftwareKey| {
        let holder = holder(&subject, &maker.keys[2], (middle, key), Extensions::default());
        at_doors(&[holder, middle.clone(), maker.chain[1].clone()], &doors)
    };
    let by_root = Some((&maker.root, &*maker.keys[0]));
    let ended = foreign_authority("ended", (&key(0x61), by_root), None, NOW.minus_secs(60));
    assert_eq!(below(&ended, &key(0x61)), no(RuleId::EXPIRED));

    let by_middle = Some((&maker.chain[1], &*maker.keys[1]));
    let deep = foreign_authority("deep", (&key(0x62), by_middle), None, NOW.plus_secs(60));
    assert_eq!(below(&deep, &key(0x62)), no(RuleId::UNKNOWN_ISSUER));

    let by = (&maker.root, &*maker.keys[0]);
    let device = holder(&[(rfc4519::CN, "device")], &key(0x63), by, Extensions::default());
    assert_eq!(below(&device, &key(0x63)), no(RuleId::UNKNOWN_ISSUER));
}

#[test]
fn an_anchor_may_have_ended_and_a_holder_may_not() {
    let keys = [key(0x51), key(0x53)];
    let anchor = foreign_authority("old", (&keys[0], None), None, NOW.minus_secs(60));
    let doors = [maker_door("acme", &anchor, SerialPlace::SubjectSerialNumber)];
    let seen = |from: UnixTime, to: UnixTime| {
        let subject = [(rfc4519::SERIAL_NUMBER, "S1")];
        let by = Some((&anchor, &*keys[0]));
        let extensions = Extensions::default();
        let made = Foreign { subject: &subject, key: &keys[1], by, from, to, extensions }.made();
        at_doors(&[made], &doors)
    };
    let earlier = NOW.minus_secs(DAY_S);
    assert!(seen(earlier, UnixTime::NEVER_ENDS).is_ok());
    assert_eq!(seen(earlier, NOW.minus_secs(60)), no(RuleId::EXPIRED));
    assert_eq!(seen(NOW.plus_secs(60), UnixTime::NEVER_ENDS), no(RuleId::NOT_YET_VALID));
}

#[test]
fn a_holder_is_a_client_and_has_no_critical_extension_that_nobody_understands() {
    let maker = Maker::acme();
    let doors = [maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber)];
    let seen = |change: &dyn Fn(&mut Extensions)| {
        let mut extensions = Extensions::default();
        change(&mut extensions);
        let subject = [(rfc4519::SERIAL_NUMBER, "S1")];
        let by = (&maker.chain[1], &*maker.keys[1]);
        let made = holder(&subject, &maker.keys[2], by, extensions);
        at_doors(&[made, maker.chain[1].clone()], &doors)
    };
    let foreign = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.7");
    assert!(seen(&|e| e.usages(&[CLIENT, SERVER]).unwrap()).is_ok());
    assert!(seen(&|e| e.usages(&[ANY_USE]).unwrap()).is_ok());
    assert!(seen(&|e| e.add(foreign, false, &[5, 0]).unwrap()).is_ok());
    assert_eq!(seen(&|e| e.usages(&[SERVER]).unwrap()), no(RuleId::WRONG_USAGE));
    assert_eq!(seen(&|e| e.authority(None).unwrap()), no(RuleId::WRONG_USAGE));
    // keyEncipherment alone signs no handshake.
    assert_eq!(seen(&|e| e.key_usage([3, 2, 5, 0x20]).unwrap()), no(RuleId::WRONG_USAGE));
    let refusal = seen(&|e| e.add(foreign, true, &[5, 0]).unwrap()).unwrap_err();
    assert!(matches!(refusal, Refusal::Malformed(d) if d.name == "critical-extension"));
}

#[test]
fn a_restriction_that_cannot_be_read_or_stands_twice_is_no_leave_for_everything() {
    let key = key(9);
    let parsed = |change: &dyn Fn(&mut Extensions) -> der::Result<()>| {
        let mut extensions = Extensions::default();
        change(&mut extensions).unwrap();
        let (from, to) = (NOW.minus_secs(DAY_S), NOW.plus_secs(DAY_S));
        let made = Foreign { subject: &[], key: &key, by: None, from, to, extensions }.parsed();
        made.map(|_| ()).map_err(|defect| defect.name)
    };
    assert_eq!(parsed(&|e| e.usages(&[CLIENT])), Ok(()));
    let refused = Err("certificate-extension");
    assert_eq!(parsed(&|e| e.usages(&[SERVER]).and(e.usages(&[CLIENT]))), refused);
    assert_eq!(parsed(&|e| e.add(rfc5280::ID_CE_EXT_KEY_USAGE, true, &[5, 0])), refused);
    assert_eq!(parsed(&|e| e.add(rfc5280::ID_CE_KEY_USAGE, true, &[3, 0])), refused);
    assert_eq!(parsed(&|e| e.authority(None).and(e.authority(Some(0)))), refused);
}

/// A purpose below `2.25.UUID`, whose number has 128 bits.
const BELOW_A_UUID: &[u8] = &[
    0x69, 0x83, 0xf8, 0xdc, 0xa4, 0xb5, 0xc3, 0xd7, 0x9a, 0xe1, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7,
    0xf8, 0x89, 0x9a, 0x2b, 1,
];

/// The extension of several purposes, each the content of its OBJECT IDENTIFIER.
fn purposes(extensions: &mut Extensions, contents: &[&[u8]]) {
    let whole =
        |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let each: Vec<_> = contents.iter().map(|content| whole(6, content)).collect();
    extensions.add(rfc5280::ID_CE_EXT_KEY_USAGE, false, &whole(0x30, &each.concat())).unwrap();
}

#[test]
fn a_purpose_of_any_size_is_another_one_and_one_that_is_not_der_is_refused() {
    let maker = Maker::acme();
    let doors = [maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber)];
    let parsed = |contents: &[&[u8]]| {
        let mut extensions = Extensions::default();
        purposes(&mut extensions, contents);
        let subject = [(rfc4519::SERIAL_NUMBER, "S1")];
        let by = Some((&maker.chain[1], &*maker.keys[1]));
        let (from, to) = (NOW.minus_secs(DAY_S), UnixTime::NEVER_ENDS);
        Foreign { subject: &subject, key: &maker.keys[2], by, from, to, extensions }.parsed()
    };
    let seen =
        |contents: &[&[u8]]| at_doors(&[parsed(contents).unwrap(), maker.chain[1].clone()], &doors);
    let long = [&[0x2b][..], &[1; 60]].concat();
    let client = CLIENT.as_bytes();
    for other in [BELOW_A_UUID, &long] {
        assert!(seen(&[other, client]).is_ok() && seen(&[client, other]).is_ok());
        assert_eq!(seen(&[other]), no(RuleId::WRONG_USAGE));
    }
    for malformed in [&[][..], &[0x2b, 0x86], &[0x2b, 0x80, 1]] {
        let defect = parsed(&[client, malformed]).unwrap_err();
        assert_eq!(defect.name, "certificate-extension", "{malformed:?}");
    }
}

#[test]
fn a_path_length_of_any_size_is_one_and_a_negative_one_is_refused() {
    let key = key(9);
    let length = |integer: &[u8]| {
        let content = [&[1, 1, 0xff], integer].concat();
        let value = [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat();
        let mut extensions = Extensions::default();
        extensions.add(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &value).unwrap();
        let (from, to) = (NOW.minus_secs(DAY_S), NOW.plus_secs(DAY_S));
        let made = Foreign { subject: &[], key: &key, by: None, from, to, extensions }.parsed();
        made.map(|made| made.authority()).map_err(|defect| defect.name)
    };
    assert_eq!(length(&[]), Ok(Some(None)));
    assert_eq!(length(&[2, 1, 0]), Ok(Some(Some(0))));
    assert_eq!(length(&[2, 2, 0, 0xff]), Ok(Some(Some(255))));
    assert_eq!(length(&[2, 2, 1, 0]), Ok(Some(Some(255))));
    assert_eq!(length(&[2, 5, 0, 0xff, 0xff, 0xff, 0xff]), Ok(Some(Some(255))));
    for malformed in [&[2, 1, 0xff][..], &[2, 2, 0, 1], &[2, 0]] {
        assert_eq!(length(malformed), Err("certificate-extension"), "{malformed:?}");
    }
}

#[test]
fn a_long_chain_is_not_climbed_and_names_that_repeat_cost_a_bounded_number_of_checks() {
    let maker = Maker::acme();
    let doors = [maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber)];
    let long = vec![maker.chain[0].clone(); 7];
    assert!(
        matches!(at_doors(&long, &doors), Err(Refusal::Malformed(d)) if d.name == "chain-too-long")
    );

    let same: Vec<_> = (0x70..0x75)
        .map(|n| foreign_authority("same", (&key(n), None), None, NOW.plus_secs(60)))
        .collect();
    let subject = [(rfc4519::SERIAL_NUMBER, "S1")];
    let mut chain = vec![holder(&subject, &key(9), (&same[0], &key(0x70)), Extensions::default())];
    chain.extend(same);
    assert_eq!(at_doors(&chain, &doors), no(RuleId::UNKNOWN_ISSUER));
}

#[test]
fn a_forged_holder_does_not_come_in_by_the_names_of_a_real_authority() {
    let maker = Maker::acme();
    let doors = [maker_door("acme", &maker.root, SerialPlace::SubjectSerialNumber)];
    let subject = [(rfc4519::SERIAL_NUMBER, "S1")];
    let forged = holder(&subject, &key(9), (&maker.chain[1], &key(0x66)), Extensions::default());
    assert_eq!(at_doors(&[forged, maker.chain[1].clone()], &doors), no(RuleId::UNKNOWN_ISSUER));
}

#[test]
fn a_certificate_in_our_records_is_believed_and_one_that_differs_is_checked() {
    let mut world = World::new();
    let mut record = world.born("S1", &key(9)).credential;
    let shown = shown(&[Certificate::parse(&record.der).unwrap()]);
    let seen = |record: &Credential, authorities: &[Authority]| {
        recognize_recorded(&shown, Some(record), &Trust { authorities, doors: &[] }, NOW)
    };
    assert_eq!(seen(&record, &world.authorities), see(&shown, &world.authorities, &[]));
    assert_eq!(seen(&record, &[]), no(RuleId::UNKNOWN_ISSUER));
    world.authorities[0].state = AuthorityState::Barred;
    assert_eq!(seen(&record, &world.authorities), no(RuleId::AUTHORITY_BARRED));

    let stranger = World::of(identity::KeyKind::Ed25519);
    record.der = stranger.root.der().to_vec();
    assert_eq!(seen(&record, &stranger.authorities), no(RuleId::UNKNOWN_ISSUER));
}

#[test]
fn doors_may_share_an_anchor_and_the_open_one_that_reads_the_serial_number_lets_in() {
    let maker = Maker::acme();
    let named = |name, pattern: &str, open| {
        let mut door = maker_door(name, &maker.root, SerialPlace::CommonName);
        let DoorKind::Maker(rule) = &mut door.kind else { panic!() };
        rule.pattern = pattern.into();
        Door { open, ..door }
    };
    let closed = named("closed", "ACME-*.devices", false);
    let other = named("other", "OTHER-*", true);
    let right = named("right", "ACME-*.devices", true);
    let found = at_doors(&maker.chain, &[closed.clone(), other.clone(), right]);
    assert!(matches!(found, Ok(Recognized::Maker { door, .. }) if door == "right"));
    assert_eq!(at_doors(&maker.chain, &[closed.clone(), other]), no(RuleId::NO_SERIAL));
    assert_eq!(at_doors(&maker.chain, &[closed]), no(RuleId::DOOR_CLOSED));
}
