use super::wire::{Response, cert_id, request};
use super::*;
use crate::world::*;
use identity::{Reason, Serial};
use std::collections::BTreeSet;

fn serial(n: u8) -> Serial {
    Serial::new(NOW, [n; 10])
}

fn names(world: &World) -> [Names; 2] {
    [&world.birth, &world.operations].map(|i| Names::of(i.certificate()).unwrap())
}

fn responder(world: &mut World) -> Responder {
    let authority = world.operations.certificate().clone();
    Responder::certified((&authority, &*key(3)), key(0x77), &mut world.outside()).unwrap()
}

fn ask(world: &World, digest: Digest, serials: &[u8], nonce: Option<&[u8]>) -> Vec<u8> {
    let [_, operations] = names(world);
    let ids: Vec<_> =
        serials.iter().map(|n| cert_id(digest, &operations, &serial(*n)).unwrap()).collect();
    request(&ids, nonce).unwrap()
}

#[test]
fn an_answer_says_what_is_known_and_is_signed_by_a_responder_of_the_issuer() {
    let mut world = World::new();
    let responder = responder(&mut world);
    let hold = Revocation { at: NOW.minus_secs(60), reason: Reason::CertificateHold };
    let facts = [Status::Good, Status::Revoked(hold), Status::Unknown];
    for digest in [Digest::Sha1, Digest::Sha256] {
        let asked = ask(&world, digest, &[1, 2, 3], Some(&[7; 32]));
        let question = hear(&asked, &names(&world)).unwrap();
        assert_eq!(question.issuer, world.operations.id());
        let serials: Vec<_> = question.asked.iter().map(|id| id.serial().unwrap()).collect();
        assert_eq!(serials, [1, 2, 3].map(serial));

        let signed = responder.answer(&question, &facts, NOW).unwrap();

        let heard = Response::parse(&signed.der).unwrap().unwrap();
        heard.verify(world.operations.certificate()).unwrap();
        assert!(heard.verify(world.birth.certificate()).is_err(), "nobody speaks for another");
        assert_eq!(heard.singles.iter().map(|s| s.status).collect::<Vec<_>>(), facts);
        assert_eq!(heard.nonce.as_deref(), Some(&[7; 32][..]));
        for (single, id) in heard.singles.iter().zip(&question.asked) {
            assert_eq!(single.id, id.der, "the CertID comes back octet by octet");
            assert_eq!(single.this_update, NOW);
            assert_eq!(single.next_update, Some(NOW.plus_secs(GOOD_S)));
        }
    }
}

#[test]
fn a_responder_is_short_lived_needs_no_check_and_outlives_its_answers() {
    let mut world = World::new();
    let responder = responder(&mut world);
    let certificate = responder.certificate();
    assert_eq!(certificate.not_after(), NOW.plus_secs(RESPONDER_S));
    assert_eq!(certificate.usages().unwrap(), [ANSWERS]);
    assert_eq!(certificate.authority(), None);
    let extensions = certificate.x509().tbs_certificate().extensions().unwrap();
    let oids: BTreeSet<_> = extensions.iter().map(|e| e.extn_id).collect();
    assert!(oids.contains(&rfc6960::ID_PKIX_OCSP_NOCHECK));

    let asked = ask(&world, Digest::Sha1, &[1], None);
    let question = hear(&asked, &names(&world)).unwrap();
    let late = NOW.plus_secs(RESPONDER_S - 60);
    let signed = responder.answer(&question, &[Status::Good], late).unwrap();
    assert_eq!(signed.next_update, certificate.not_after());
}

#[test]
fn an_authority_names_no_responder_with_anothers_key() {
    let mut world = World::new();
    let authority = world.operations.certificate().clone();
    let refused =
        Responder::certified((&authority, &*key(9)), key(0x77), &mut world.outside()).err();
    assert_eq!(refused, Some(KeyError::Signature));
}

#[test]
fn an_issuer_that_is_not_ours_and_several_at_once_are_unauthorized() {
    let world = World::new();
    let [birth, operations] = names(&world);
    let of = |names: &Names| cert_id(Digest::Sha256, names, &serial(1)).unwrap();
    let root = Names::of(&world.root).unwrap();
    let both = [birth.clone(), operations.clone()];
    for ids in [vec![of(&root)], vec![of(&birth), of(&operations)]] {
        let asked = request(&ids, None).unwrap();
        assert_eq!(hear(&asked, &both).err(), Some(Failure::Unauthorized));
    }
    let asked = request(&[of(&birth)], None).unwrap();
    assert_eq!(hear(&asked, &both).unwrap().issuer, world.birth.id());
    assert_eq!(hear(&asked, &[operations]).err(), Some(Failure::Unauthorized));
}

#[test]
fn a_nonce_makes_an_answer_its_askers_own_and_a_long_one_is_not_repeated() {
    let mut world = World::new();
    let responder = responder(&mut world);
    for (octets, back) in [(1, true), (32, true), (33, false), (128, false)] {
        let nonce = vec![7; octets];
        let asked = ask(&world, Digest::Sha1, &[1], Some(&nonce));
        let question = hear(&asked, &names(&world)).unwrap();
        assert_eq!(question.plain().is_none(), back);
        let signed = responder.answer(&question, &[Status::Good], NOW).unwrap();
        let heard = Response::parse(&signed.der).unwrap().unwrap();
        assert_eq!(heard.nonce, back.then_some(nonce));
    }
    for octets in [0, 129] {
        let asked = ask(&world, Digest::Sha1, &[1], Some(&vec![7; octets]));
        assert_eq!(hear(&asked, &names(&world)).err(), Some(Failure::Malformed));
    }
}

#[test]
fn a_failure_is_read_as_what_it_is() {
    for (failure, code) in [
        (Failure::Malformed, 1),
        (Failure::Internal, 2),
        (Failure::TryLater, 3),
        (Failure::Unauthorized, 6),
    ] {
        assert_eq!(Response::parse(failure.octets()).unwrap().err(), Some(code));
    }
}
