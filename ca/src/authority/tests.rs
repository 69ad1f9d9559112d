use super::*;
use crate::world::*;
use identity::KeyKind;
use identity::authority::AuthorityState;
use x509_cert::ext::pkix::CrlDistributionPoints;

#[test]
fn the_root_and_the_birth_authority_never_end_and_the_others_after_ten_years() {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
        let world = World::of(kind);
        assert_eq!(world.root.signed_by(&world.root), Ok(()));
        assert_eq!(
            (world.root.not_after(), world.root.authority()),
            (UnixTime::NEVER_ENDS, Some(None))
        );
        let ten_years = NOW.plus_secs(AUTHORITY_S);
        let ends = [UnixTime::NEVER_ENDS, ten_years, ten_years];
        for (authority, end) in world.authorities.iter().zip(ends) {
            let certificate = &authority.certificate;
            assert_eq!(certificate.signed_by(&world.root), Ok(()));
            assert_eq!((certificate.authority(), certificate.not_after()), (Some(Some(0)), end));
            assert_eq!(certificate.subject_key_id(), Some(certificate.key().key_id()));
            let body = certificate.x509().tbs_certificate();
            assert!(body.get_extension::<CrlDistributionPoints>().unwrap().is_some());
        }
    }
}

#[test]
fn a_root_signs_no_root_nothing_with_another_key_and_not_itself() {
    let mut world = World::new();
    let (root, root_key) = (world.root.clone(), world.root_key.clone());
    let mut order = |role, subject_key: &dyn Signer, key: &dyn Signer| {
        let csr = Csr::parse(&request("x", subject_key).unwrap()).unwrap();
        let order = Order { csr: &csr, role, addresses: &addresses() };
        sign(&root, key, order, &mut world.outside()).map_err(|r| match r {
            Refusal::Malformed(d) => d.name,
            other => panic!("{other}"),
        })
    };
    assert!(order(Role::Operations, &*key(9), &*root_key).is_ok());
    assert_eq!(order(Role::Root, &*key(9), &*root_key).unwrap_err(), "authority-role");
    assert_eq!(order(Role::Birth, &*key(9), &*key(8)).unwrap_err(), "root-key");
    assert_eq!(order(Role::Birth, &*root_key, &*root_key).unwrap_err(), "authority-key");
}

#[test]
fn an_authority_of_another_root_and_a_plain_certificate_are_not_admitted() {
    let mut world = World::new();
    let stranger = World::of(KeyKind::Ed25519);
    let foreign = stranger.operations.certificate().clone();
    assert!(admit(foreign, Role::Operations, &world.root).is_err());
    let birth = world.born("S1", &key(9)).credential.der;
    let birth = Certificate::parse(&birth).unwrap();
    let by = world.birth.certificate().clone();
    assert!(admit(birth, Role::Operations, &by).is_err());
    assert!(admit(world.operations.certificate().clone(), Role::Operations, &world.root).is_ok());
}

#[test]
fn a_server_certificate_has_its_names_and_is_for_servers_only() {
    let mut world = World::new();
    let names = [
        ServerName::Ip("127.0.0.1".parse().unwrap()),
        ServerName::Ip("::1".parse().unwrap()),
        ServerName::Dns("localhost".into()),
    ];
    let mut outside = Outside { now: NOW, dice: &mut world.dice };
    let made = server(&world.service, key(9).public(), &names, &mut outside).unwrap();
    assert_eq!(made.signed_by(world.service.certificate()), Ok(()));
    assert_eq!(made.common_name().as_deref(), Some("localhost"));
    assert_eq!((made.alternative_names().len(), made.usages()), (3, Some(vec![SERVER])));
    assert_eq!(made.not_after(), NOW.plus_secs(SERVER_S));
    assert!(server(&world.service, key(9).public(), &[], &mut outside).is_err());

    let by_address = server(&world.service, key(9).public(), &names[..1], &mut outside).unwrap();
    assert!(by_address.subject().is_empty());
}

fn heir(world: &World, addresses: &Addresses) -> (Vec<(Role, Certificate)>, Addresses) {
    let authorities = world.authorities.iter().map(|a| (a.role, a.certificate.clone())).collect();
    (authorities, addresses.clone())
}

fn succession(world: &mut World, seed: u8) -> Succession {
    let (authorities, addresses) = heir(world, &addresses());
    let (root, root_key) = (world.root.clone(), world.root_key.clone());
    let heir = Heir {
        old: (&root, &*root_key),
        key: &*key(seed),
        authorities: &authorities,
        addresses: &addresses,
        until: None,
    };
    world.now = world.now.plus_secs(60);
    succeed(&heir, &mut world.outside()).unwrap()
}

#[test]
fn a_root_that_is_dated_before_the_one_it_follows_is_neither_made_nor_believed() {
    let mut world = World::new();
    let next = succession(&mut world, 40);
    let name = |refusal: Refusal| match refusal {
        Refusal::Malformed(defect) => {
            assert!(defect.sentence.contains("no device would follow"), "{defect}");
            defect.name
        }
        other => panic!("{other}"),
    };
    let (authorities, addresses) = heir(&world, &addresses());
    let (root, root_key) = (world.root.clone(), world.root_key.clone());
    let heir = Heir {
        old: (&root, &*root_key),
        key: &*key(41),
        authorities: &authorities,
        addresses: &addresses,
        until: None,
    };
    world.now = NOW.minus_secs(60);
    assert_eq!(name(succeed(&heir, &mut world.outside()).unwrap_err()), "root-older");

    // The one that counts has the same name and key, and was made after it.
    world.now = NOW.plus_secs(120);
    let later = root_of_world(&mut world);
    let id = later.subject_key_id().unwrap();
    let counts = |root: &Certificate| Authority::active(id, Role::Root, root.clone());
    assert_eq!(name(next.check(&counts(&later), &world.authorities).unwrap_err()), "root-older");
    assert!(next.check(&counts(&world.root), &world.authorities).is_ok());
}

/// The root of the world, made once more.
fn root_of_world(world: &mut World) -> Certificate {
    let key = world.root_key.clone();
    root("Muster root", &*key, &mut world.outside()).unwrap()
}

#[test]
fn each_of_two_roots_leads_to_the_other_and_both_to_the_authorities_below() {
    let mut world = World::new();
    let next = succession(&mut world, 40);

    assert_eq!(next.root.subject(), world.root.subject());
    next.root.signed_by(&next.root).unwrap();
    next.new_with_old.signed_by(&world.root).unwrap();
    next.old_with_new.signed_by(&next.root).unwrap();
    assert_eq!(next.new_with_old.subject_key_id(), next.root.subject_key_id());
    assert_eq!(next.old_with_new.subject_key_id(), world.root.subject_key_id());
    assert_eq!(next.new_with_old.authority_key_id(), world.root.subject_key_id());
    let old =
        Authority::active(world.root.subject_key_id().unwrap(), Role::Root, world.root.clone());
    let below = next.check(&old, &world.authorities).unwrap();
    assert_eq!(below.len(), 3);
    for (id, certificate) in below {
        let before = world.authorities.iter().find(|a| a.id == id).unwrap();
        assert_eq!(certificate.key(), before.certificate.key());
        assert_eq!(certificate.subject(), before.certificate.subject());
        assert_eq!(certificate.not_after(), before.certificate.not_after());
        assert_eq!(certificate.authority(), Some(Some(0)));
        certificate.signed_by(&next.root).unwrap();
    }
}

#[test]
fn a_root_that_the_old_one_did_not_sign_succeeds_nobody() {
    let mut world = World::new();
    let old =
        Authority::active(world.root.subject_key_id().unwrap(), Role::Root, world.root.clone());
    let good = succession(&mut world, 40);
    let mut stranger = World::of(identity::KeyKind::Ed25519);
    let theirs = succession(&mut stranger, 41);
    let says = |tried: &Succession| match tried.check(&old, &world.authorities).unwrap_err() {
        Refusal::Malformed(defect) => defect.name,
        other => panic!("{other}"),
    };
    assert_eq!(says(&theirs), "new-with-old");
    let mixed = Succession { new_with_old: theirs.new_with_old.clone(), ..good.clone() };
    assert_eq!(says(&mixed), "new-with-old");
    let mixed = Succession { old_with_new: theirs.old_with_new.clone(), ..good.clone() };
    assert_eq!(says(&mixed), "old-with-new");
    let mixed = Succession { root: world.root.clone(), ..good.clone() };
    assert_eq!(says(&mixed), "root-successor");
    let mixed = Succession { authorities: theirs.authorities.clone(), ..good.clone() };
    assert_eq!(says(&mixed), "root-below");
    let fewer = Succession { authorities: good.authorities[1..].to_vec(), ..good };
    assert_eq!(says(&fewer), "root-left-out");
}

#[test]
fn a_root_certifies_nobody_who_was_barred_or_retired_since_it_was_made() {
    let mut world = World::new();
    let old =
        Authority::active(world.root.subject_key_id().unwrap(), Role::Root, world.root.clone());
    let next = succession(&mut world, 40);
    for state in [AuthorityState::Barred, AuthorityState::Retired] {
        let mut authorities = world.authorities.clone();
        authorities[0].state = state;
        let Err(Refusal::Malformed(defect)) = next.check(&old, &authorities) else {
            panic!("{state} is certified anew");
        };
        assert_eq!(defect.name, "root-below-gone");
        assert!(defect.sentence.contains(&format!("is {state} since")), "{}", defect.sentence);
    }
    let mut authorities = world.authorities.clone();
    authorities[0].state = AuthorityState::Retiring;
    assert!(next.check(&old, &authorities).is_ok());
}

#[test]
fn a_new_root_has_a_new_key() {
    let mut world = World::new();
    let (authorities, addresses) = heir(&world, &addresses());
    let (root, root_key) = (world.root.clone(), world.root_key.clone());
    for (old_key, new_key) in [(1, 1), (1, 2), (9, 40)] {
        let (old_key, new_key) = (key(old_key), key(new_key));
        assert_eq!(root_key.public(), key(1).public());
        let heir = Heir {
            old: (&root, &*old_key),
            key: &*new_key,
            authorities: &authorities,
            addresses: &addresses,
            until: None,
        };
        assert!(matches!(succeed(&heir, &mut world.outside()), Err(Refusal::Malformed(_))));
    }
}
