use super::*;
use crate::judge::Approved;
use crate::wire::shape::SERVER;
use crate::world::*;
use der::Decode;
use identity::{Assurance, Identifiers, KeyKind, Standing};
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, CrlDistributionPoints, KeyUsage};

fn approved(world: &mut World, key: &dyn Signer) -> Approved {
    let device = Device {
        id: world.fresh(),
        standing: Standing::Enrolled,
        assurance: Assurance::Certified,
        identifiers: Identifiers::default(),
        groups: Default::default(),
        version: 2,
        generation: 7,
        born: NOW,
        enrolled: Some(NOW),
        door: None,
        mark: None,
    };
    Approved {
        device,
        expected: Some(1),
        requester: Requester::operator("test"),
        key: Some(key.public().hash()),
        closes: true,
        supersedes: Vec::new(),
        token: None,
        lifetime_s: 30 * DAY_S,
        organization: Some("ACME".into()),
        usages: vec![ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.14")],
    }
}

#[test]
fn a_leaf_says_who_the_device_is_and_nothing_that_was_asked_for() {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
        let (mut world, key) = (World::of(kind), key(9));
        let approved = approved(&mut world, &*key);
        let granted = world.issue(approved, &key);

        let leaf = Certificate::parse(&granted.leaf.der).unwrap();
        assert_eq!(leaf.signed_by(world.operations.certificate()), Ok(()));
        assert_eq!(leaf.common_name(), Some(granted.device.id.to_string()));
        assert_eq!(leaf.device(), Some(granted.device.id));
        assert_eq!(leaf.alternative_names().len(), 1);
        let usages = leaf.usages().unwrap();
        assert!(usages.contains(&CLIENT) && usages.len() == 2 && !usages.contains(&SERVER));
        assert_eq!(leaf.authority_key_id(), Some(world.operations.id()));
        assert_eq!(leaf.subject_key_id(), Some(key.public().key_id()));
        assert_eq!((leaf.authority(), leaf.key()), (None, key.public()));
        let (critical, usage) =
            leaf.x509().tbs_certificate().get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.digital_signature() && !usage.key_cert_sign());
    }
}

#[test]
fn the_record_of_a_leaf_says_what_the_leaf_says() {
    let (mut world, key) = (World::new(), key(9));
    let approved = approved(&mut world, &*key);
    let Granted { leaf: record, .. } = world.issue(approved, &key);
    let leaf = Certificate::parse(&record.der).unwrap();
    assert_eq!(leaf.serial(), Some(record.serial));
    assert_eq!((leaf.not_after(), leaf.spki_hash()), (record.not_after, record.spki));
    assert_eq!((record.generation, record.issued), (7, NOW));
    assert_eq!(record.not_after, NOW.plus_secs(30 * DAY_S));
    assert_eq!(leaf.not_before(), NOW.minus_secs(BACKDATE_S));
}

#[test]
fn addresses_stand_in_a_leaf_where_the_realm_has_a_public_one() {
    let (mut world, key) = (World::new(), key(9));
    let first = approved(&mut world, &*key);
    let record = world.issue(first, &key).leaf;
    let leaf = Certificate::parse(&record.der).unwrap();
    let url = addresses().shard(&world.operations.id(), record.shard).unwrap();
    let body = leaf.x509().tbs_certificate();
    let (_, points) = body.get_extension::<CrlDistributionPoints>().unwrap().unwrap();
    assert!(format!("{points:?}").contains(&url));
    let (_, access) = body.get_extension::<AuthorityInfoAccessSyntax>().unwrap().unwrap();
    assert_eq!(access.0.len(), 2);

    let nowhere = Addresses { public_url: None, ..addresses() };
    let certificate = world.operations.certificate().clone();
    world.operations = Issuer::new(certificate, key_of(KeyKind::P256, 3), nowhere, 4).unwrap();
    let second = approved(&mut world, &*key);
    let leaf = Certificate::parse(&world.issue(second, &key).leaf.der).unwrap();
    let body = leaf.x509().tbs_certificate();
    assert!(body.get_extension::<CrlDistributionPoints>().unwrap().is_none());
    assert!(body.get_extension::<AuthorityInfoAccessSyntax>().unwrap().is_none());
}

#[test]
fn a_leaf_never_outlives_its_issuer() {
    let (mut world, key) = (World::new(), key(9));
    let mut long = approved(&mut world, &*key);
    long.lifetime_s = u64::MAX;
    let record = world.issue(long, &key).leaf;
    assert_eq!(record.not_after, world.operations.certificate().not_after());
}

#[test]
fn only_the_key_whose_possession_was_proven_is_certified() {
    let mut world = World::new();
    let approved = approved(&mut world, &*key(9));
    let mut outside = Outside { now: NOW, dice: &mut Counted(0) };
    let refused = world.operations.issue(approved, key(10).public(), &mut outside);
    assert_eq!(refused.unwrap_err(), KeyError::Signature);
}

#[test]
fn an_issuer_has_the_key_of_its_certificate_and_addresses_of_ascii() {
    let world = World::new();
    let certificate = || world.operations.certificate().clone();
    let with = |key, addresses| Issuer::new(certificate(), key, addresses, 1).map(|_| ());
    assert_eq!(with(key(3), addresses()), Ok(()));
    assert_eq!(with(key(9), addresses()), Err(KeyError::Signature));
    let odd = Addresses { public_url: Some("http://mäster".into()), ..addresses() };
    assert_eq!(with(key(3), odd), Err(KeyError::Signing));
}

#[test]
fn shards_are_fixed_by_the_serial_number_and_all_of_them_are_used() {
    let (mut world, key) = (World::new(), key(9));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..32 {
        world.dice.0 += 1;
        let approved = approved(&mut world, &*key);
        seen.insert(world.issue(approved, &key).leaf.shard);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn what_we_encode_others_decode_to_the_same_octets() {
    let (mut world, key) = (World::new(), key(9));
    let approved = approved(&mut world, &*key);
    let der = world.issue(approved, &key).leaf.der;
    let read = x509_cert::Certificate::from_der(&der).unwrap();
    assert_eq!(read.to_der().unwrap(), der);
}
