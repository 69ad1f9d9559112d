use super::*;
use crate::world::*;
use identity::credential::Revocation;
use identity::{Certificate, Reason, Signer};

fn facts(world: &mut World) -> BirthFacts {
    BirthFacts {
        by_key: None,
        by_serial: None,
        key_compromised: false,
        issuer_barred: false,
        fresh: world.fresh(),
    }
}

fn refused(ask: &BirthAsk, facts: &BirthFacts) -> RuleId {
    match judge(ask, facts.clone(), &Rules::default()) {
        Err(Refusal::Denied(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

/// A unit `S1` with key 9, and what the registry says when it comes again.
fn born() -> (World, Born, BirthFacts) {
    let mut world = World::new();
    let born = world.born("S1", &key(9));
    let by_key = Some((born.device.clone(), born.credential.clone()));
    let by_serial = Some((born.device.clone(), Some(born.credential.clone())));
    let facts = BirthFacts { by_key, by_serial, ..facts(&mut world) };
    (world, born, facts)
}

#[test]
fn a_birth_certificate_is_an_idevid_that_never_ends() {
    let mut world = World::new();
    let mut ask = birth_ask("S1", &key(9));
    ask.csr = csr(&*key(9), "S1");
    let rules = Rules {
        hw_type: Some(ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1")),
        organization: Some("ACME".into()),
        ..Rules::default()
    };
    let BirthJudgement::Grant(approved) = judge(&ask, facts(&mut world), &rules).unwrap() else {
        panic!()
    };
    let mut outside = Outside { now: NOW, dice: &mut world.dice };
    let born = world.birth.issue_birth(*approved, &mut outside).unwrap();

    let made = Certificate::parse(&born.credential.der).unwrap();
    assert_eq!(made.signed_by(world.birth.certificate()), Ok(()));
    assert_eq!(made.not_after(), UnixTime::NEVER_ENDS);
    assert_eq!(made.subject_serial_number().as_deref(), Some("S1"));
    assert_eq!(made.device(), Some(born.device.id));
    assert_eq!(made.hardware_module().unwrap().hw_serial_num.as_bytes(), b"S1");
    assert_eq!((made.usages(), made.authority()), (None, None));
    assert_eq!(made.serial(), Some(born.credential.serial));
    assert_eq!((born.device.version, born.expected, born.device.born), (1, None, NOW));
    assert_eq!(born.device.standing, Standing::Born);
}

#[test]
fn a_repeated_birth_returns_the_same_certificate_from_anywhere() {
    let (_, first, facts) = born();
    let mut ask = birth_ask("S1", &key(9));
    ask.requester = Requester::operator("station-2");
    let again = judge(&ask, facts, &Rules::default()).unwrap();
    assert!(matches!(again, BirthJudgement::Again(c) if *c == first.credential));
}

#[test]
fn a_repeated_birth_of_a_unit_that_was_set_aside_or_revoked_is_refused() {
    let (_, _, facts) = born();
    let ask = birth_ask("S1", &key(9));
    for (standing, rule) in [
        (Standing::Quarantined, RuleId::QUARANTINED),
        (Standing::Suspended, RuleId::SUSPENDED),
        (Standing::Retired, RuleId::RETIRED),
    ] {
        let mut facts = facts.clone();
        facts.by_key.as_mut().unwrap().0.standing = standing;
        assert_eq!(refused(&ask, &facts), rule);
    }
    let mut facts = facts;
    let revocation = Revocation { at: NOW, reason: Reason::Superseded };
    facts.by_key.as_mut().unwrap().1.revoked = Some(revocation);
    assert_eq!(refused(&ask, &facts), RuleId::REVOKED);
}

#[test]
fn a_key_is_born_once_and_never_after_it_was_a_leafs() {
    let (_, _, facts) = born();
    let by_key = BirthFacts { by_serial: None, ..facts };
    assert_eq!(refused(&birth_ask("S2", &key(9)), &by_key), RuleId::KEY_BORN_TWICE);
    let mut other = birth_ask("S1", &key(9));
    other.identifiers.model = "P8".into();
    assert_eq!(refused(&other, &by_key), RuleId::KEY_BORN_TWICE);
    let mut of_leaf = by_key;
    of_leaf.by_key.as_mut().unwrap().1.kind = CredentialKind::Leaf;
    assert_eq!(refused(&birth_ask("S1", &key(9)), &of_leaf), RuleId::KEY_BORN_TWICE);
}

#[test]
fn what_was_not_said_at_birth_is_refused_and_not_dropped() {
    let (_, first, mut facts) = born();
    let mac = |text: &str| std::collections::BTreeSet::from([text.to_owned()]);
    let mut ask = birth_ask("S1", &key(9));
    ask.identifiers.macs = mac("02:00:5e:00:53:01");
    assert_eq!(refused(&ask, &facts), RuleId::BIRTH_DIFFERS);
    let mut other = birth_ask("S1", &key(9));
    other.identifiers.imei = Some("490154203237518".into());
    assert_eq!(refused(&other, &facts), RuleId::BIRTH_DIFFERS);
    other.identifiers.imei = None;
    other.identifiers.ek_digest = Some("ab".repeat(32));
    assert_eq!(refused(&other, &facts), RuleId::BIRTH_DIFFERS);

    facts.by_key.as_mut().unwrap().0.identifiers.macs = mac("02:00:5e:00:53:01");
    let again = judge(&ask, facts.clone(), &Rules::default()).unwrap();
    assert!(matches!(again, BirthJudgement::Again(c) if *c == first.credential));
    ask.identifiers.macs = mac("02:00:5e:00:53:02");
    assert_eq!(refused(&ask, &facts), RuleId::KEY_BORN_TWICE, "another one contradicts");
    let fewer = judge(&birth_ask("S1", &key(9)), facts, &Rules::default()).unwrap();
    assert!(matches!(fewer, BirthJudgement::Again(_)));
}

#[test]
fn rework_binds_other_identifiers_to_the_same_key_with_a_reason() {
    let (mut world, first, facts) = born();
    let mut ask = birth_ask("S1", &key(9));
    ask.identifiers.imei = Some("490154203237518".into());
    ask.replace = Some(" ".into());
    assert_eq!(refused(&ask, &facts), RuleId::BIRTH_DIFFERS);
    ask.replace = Some("radio added".into());
    let mut joined = facts.clone();
    joined.by_key.as_mut().unwrap().0.enrolled = Some(NOW);
    assert_eq!(refused(&ask, &joined), RuleId::BIRTH_DIFFERS, "a station's word is too little");

    let BirthJudgement::Grant(approved) = judge(&ask, facts, &Rules::default()).unwrap() else {
        panic!()
    };
    let mut outside = Outside { now: NOW.plus_secs(60), dice: &mut world.dice };
    let second = world.birth.issue_birth(*approved, &mut outside).unwrap();
    assert_eq!(second.replaces, [first.credential.serial]);
    assert_eq!((second.device.id, second.expected), (first.device.id, Some(1)));
    assert_eq!(second.device.identifiers.imei, ask.identifiers.imei);
}

#[test]
fn a_birth_anew_below_a_barred_authority_keeps_what_is_recorded() {
    let (_, _, facts) = born();
    let mut facts = BirthFacts { issuer_barred: true, ..facts };
    let known = &mut facts.by_key.as_mut().unwrap().0.identifiers;
    known.imei = Some("490154203237518".into());
    known.meta.insert("line".into(), "3".into());
    let known = known.clone();

    let judged = judge(&birth_ask("S1", &key(9)), facts, &Rules::default()).unwrap();

    let BirthJudgement::Grant(approved) = judged else { panic!() };
    assert_eq!(approved.device.identifiers, known);
}

#[test]
fn a_second_birth_is_refused_and_rework_replaces_it_with_a_reason() {
    let (mut world, first, facts) = born();
    let facts = BirthFacts { by_key: None, ..facts };
    let mut ask = birth_ask("S1", &key(10));
    assert_eq!(refused(&ask, &facts), RuleId::SECOND_BIRTH);
    ask.replace = Some("  ".into());
    assert_eq!(refused(&ask, &facts), RuleId::SECOND_BIRTH);

    ask.replace = Some("new board".into());
    let mut retired = facts.clone();
    retired.by_serial.as_mut().unwrap().0.standing = Standing::Retired;
    assert_eq!(refused(&ask, &retired), RuleId::RETIRED);
    let BirthJudgement::Grant(approved) = judge(&ask, facts, &Rules::default()).unwrap() else {
        panic!()
    };
    let mut outside = Outside { now: NOW.plus_secs(60), dice: &mut world.dice };
    let second = world.birth.issue_birth(*approved, &mut outside).unwrap();
    assert_eq!(second.replaces, [first.credential.serial]);
    assert_eq!((second.device.id, second.expected), (first.device.id, Some(1)));
    assert_eq!((second.device.version, second.device.born), (2, NOW));
    assert_eq!(second.credential.spki, key(10).public().hash());
}

#[test]
fn a_unit_whose_birth_authority_was_barred_is_born_anew_for_the_same_key_only() {
    let (mut world, first, facts) = born();
    let mut facts = BirthFacts { issuer_barred: true, ..facts };
    facts.by_key.as_mut().unwrap().0.enrolled = Some(NOW);
    let ask = birth_ask("S1", &key(9));

    let judged = judge(&ask, facts.clone(), &Rules::default()).unwrap();

    let BirthJudgement::Grant(approved) = judged else { panic!() };
    let mut outside = Outside { now: NOW.plus_secs(60), dice: &mut world.dice };
    let second = world.birth.issue_birth(*approved, &mut outside).unwrap();
    assert_eq!(second.replaces, [first.credential.serial]);
    assert_eq!((second.device.id, second.expected), (first.device.id, Some(1)));
    assert_eq!(second.device.enrolled, Some(NOW));
    assert_eq!(second.credential.spki, first.credential.spki);
    assert_eq!(refused(&birth_ask("S2", &key(9)), &facts), RuleId::KEY_BORN_TWICE);
    let other_key = BirthFacts { by_key: None, ..facts.clone() };
    assert_eq!(refused(&birth_ask("S1", &key(10)), &other_key), RuleId::SECOND_BIRTH);
    facts.by_key.as_mut().unwrap().0.standing = Standing::Suspended;
    assert_eq!(refused(&ask, &facts), RuleId::SUSPENDED);
}

#[test]
fn a_unit_that_has_joined_is_not_born_again_on_a_stations_word() {
    let (_, _, facts) = born();
    let mut facts = BirthFacts { by_key: None, ..facts };
    facts.by_serial.as_mut().unwrap().0.enrolled = Some(NOW);
    let mut ask = BirthAsk { replace: Some("new board".into()), ..birth_ask("S1", &key(10)) };
    assert_eq!(refused(&ask, &facts), RuleId::SECOND_BIRTH);

    ask.replaces_joined = true;
    let judged = judge(&ask, facts, &Rules::default());
    assert!(matches!(judged, Ok(BirthJudgement::Grant(_))));
}

#[test]
fn a_compromised_key_and_a_contradicting_request_are_not_born() {
    let mut world = World::new();
    let ask = birth_ask("S1", &key(9));
    let compromised = BirthFacts { key_compromised: true, ..facts(&mut world) };
    assert_eq!(refused(&ask, &compromised), RuleId::KEY_COMPROMISED);
    let other = BirthAsk { csr: csr(&*key(9), "S2"), ..ask };
    assert_eq!(refused(&other, &facts(&mut world)), RuleId::OTHER_UNIT);
}

#[test]
fn a_serial_number_is_needed_and_has_the_characters_of_a_printable_string() {
    let mut world = World::new();
    for serial in ["", "S_1", "Ä"] {
        let ask = birth_ask(serial, &key(9));
        let refusal = judge(&ask, facts(&mut world), &Rules::default()).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(d) if d.name == "serial"));
    }
}
