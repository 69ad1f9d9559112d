use super::*;
use crate::world::{World, key};
use identity::UnixTime;

fn ids(count: u8) -> Vec<Vec<u8>> {
    let names = Names::of(World::new().operations.certificate()).unwrap();
    let serial = |n| Serial::new(UnixTime::from_secs(1_790_000_000), [n; 10]);
    (0..count).map(|n| cert_id(Digest::Sha1, &names, &serial(n)).unwrap()).collect()
}

/// A request around these parts of TBSRequest.
fn around(parts: &[&[u8]]) -> Vec<u8> {
    tlv(Tag::Sequence, &[&tlv(Tag::Sequence, parts).unwrap()]).unwrap()
}

fn list(ids: &[Vec<u8>]) -> Vec<u8> {
    let each: Vec<u8> = ids.iter().flat_map(|id| tlv(Tag::Sequence, &[id]).unwrap()).collect();
    tlv(Tag::Sequence, &[&each]).unwrap()
}

fn extension_of(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut extensions = Extensions::default();
    extensions.add(oid, critical, value).unwrap();
    explicit(2, &extensions.sequence().unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let ids = ids(3);
    let der = request(&ids, Some(b"nonce")).unwrap();
    let read = Request::parse(&der).unwrap();
    assert_eq!(read.asked.iter().map(|id| id.der).collect::<Vec<_>>(), ids);
    assert_eq!(read.nonce, Some(b"nonce".as_slice()));
}

#[test]
fn a_name_a_signature_and_an_unknown_extension_change_nothing() {
    let ids = ids(1);
    let other = extension_of(rfc6960::ID_PKIX_OCSP_RESPONSE, false, &[0x30, 0]);
    let (version, who) = ([0xa0, 3, 2, 1, 0], [0xa1, 4, 0x82, 2, b'm', b'e']);
    let body = tlv(Tag::Sequence, &[&version, &who, &list(&ids), &other]).unwrap();
    let der = tlv(Tag::Sequence, &[&body, &[0xa0, 2, 0x30, 0]]).unwrap();
    let read = Request::parse(&der).unwrap();
    assert_eq!((read.asked[0].der, read.nonce), (ids[0].as_slice(), None));
}

#[test]
fn what_is_not_a_request_is_malformed() {
    let one = ids(1);
    let good = around(&[&list(&one)]);
    assert!(Request::parse(&good).is_ok());
    let critical = extension_of(rfc6960::ID_PKIX_OCSP_RESPONSE, true, &[0x30, 0]);
    let bare_nonce = extension_of(rfc6960::ID_PKIX_OCSP_NONCE, false, &[1, 2, 3]);
    let tail = [good.as_slice(), &[0]].concat();
    let cut = &good[..good.len() - 1];
    for (why, bytes) in [
        ("nothing", Vec::new()),
        ("an empty sequence", vec![0x30, 0]),
        ("nobody is asked about", around(&[&list(&[])])),
        ("too many", around(&[&list(&ids(REQUESTS_MAX as u8 + 1))])),
        ("another version", around(&[&[0xa0, 3, 2, 1, 1], &list(&one)])),
        ("a critical extension that we do not know", around(&[&list(&one), &critical])),
        ("a nonce that is no octet string", around(&[&list(&one), &bare_nonce])),
        ("more behind it", tail),
        ("cut short", cut.to_vec()),
        ("too large", vec![0x30; REQUEST_OCTETS_MAX + 1]),
    ] {
        assert_eq!(Request::parse(&bytes), Err(Malformed), "{why}");
    }
    assert!(Request::parse(&around(&[&list(&ids(REQUESTS_MAX as u8))])).is_ok());
}

#[test]
fn a_serial_number_that_is_not_of_our_form_is_read_and_is_nobodys() {
    let id = ids(1).remove(0);
    let at = id.len() - 18;
    assert_eq!(id[at..at + 2], [2, 16]);
    let with = |number: &[u8]| {
        let algorithm_and_names = &id[2..at];
        let number = tlv(Tag::Integer, &[number]).unwrap();
        let id = tlv(Tag::Sequence, &[algorithm_and_names, &number]).unwrap();
        request(&[id], None).unwrap()
    };
    let long = with(&[1; 20]);
    assert_eq!(Request::parse(&long).unwrap().asked[0].serial(), None);
    let short = with(&[5]);
    let serial = Request::parse(&short).unwrap().asked[0].serial().unwrap();
    assert_eq!(serial.octets()[15], 5);
}

#[test]
fn an_answer_without_a_certificate_is_the_issuers_own_and_nobody_elses() {
    let world = World::new();
    let issuer = world.operations.certificate();
    let id = ids(1).remove(0);
    let answer = |key: &dyn Signer| {
        let now = UnixTime::from_secs(1_790_000_000);
        let singles = [(CertId::parse(&id).unwrap(), Status::Good)];
        let (responder, next_update) = (&[7; 20], now.plus_secs(60));
        let answer = Answer { responder, now, next_update, singles: &singles, nonce: None };
        let body = answer.body().unwrap();
        let signature = [&[0], key.sign(&body).unwrap().as_slice()].concat();
        let signature = tlv(Tag::BitString, &[&signature]).unwrap();
        let algorithm = crate::wire::algorithm(key.public().kind()).unwrap();
        let basic = tlv(Tag::Sequence, &[&body, &algorithm, &signature]).unwrap();
        let octets = tlv(Tag::OctetString, &[&basic]).unwrap();
        let oid = rfc6960::ID_PKIX_OCSP_BASIC.to_der().unwrap();
        let bytes = explicit(0, &tlv(Tag::Sequence, &[&oid, &octets]).unwrap()).unwrap();
        tlv(Tag::Sequence, &[&[0x0a, 1, 0], &bytes]).unwrap()
    };

    let own = Response::parse(&answer(&*key(3))).unwrap().unwrap();
    let stranger = Response::parse(&answer(&*key(0x77))).unwrap().unwrap();

    assert!(own.responder.is_none() && own.singles[0].status == Status::Good);
    own.verify(issuer).unwrap();
    assert!(stranger.verify(issuer).is_err());
}
