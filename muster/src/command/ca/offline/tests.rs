use super::*;
use identity::{Serial, Signer};

#[test]
fn a_request_is_signed_for_the_role_that_it_was_made_for() {
    let key = server::keys::NewKey::make(identity::KeyKind::P256).unwrap().signer().unwrap();
    let made = |name: &str| {
        let request = authority::request(name, &key).unwrap();
        Csr::parse(&request).unwrap()
    };
    let request = made("Muster operations default 0123abcd");
    assert!(for_its_role(&request, Role::Operations).is_ok());
    let refused = for_its_role(&request, Role::Birth).unwrap_err();
    assert!(refused.what().contains("`operations`"), "{}", refused.what());
    assert!(for_its_role(&made("Anything else"), Role::Birth).is_ok());
}

#[test]
fn a_list_before_is_taken_over_and_nothing_twice() {
    let at = identity::UnixTime::from_secs(1_800_000_000);
    let listed = |n: u8| crl::Listed {
        serial: Serial::new(at, [n; 10]).octets().to_vec(),
        at,
        reason: identity::Reason::Superseded,
    };
    let before = Previous { number: 7, listed: vec![listed(1), listed(2)] };
    let serial = Serial::new(at, [1; 10]).into();
    let mut entries = vec![Revoked { serial, at, reason: identity::Reason::KeyCompromise }];
    add_listed(Some(&before), &mut entries).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].reason, identity::Reason::KeyCompromise);
    let foreign = |serial: &[u8]| {
        let foreign = crl::Listed { serial: serial.to_vec(), ..listed(1) };
        Previous { number: 7, listed: vec![foreign] }
    };
    add_listed(Some(&foreign(&[1, 2])), &mut entries).unwrap();
    assert_eq!(entries[2].serial.octets(), [1, 2]);
    let negative = add_listed(Some(&foreign(&[0x9f])), &mut entries).unwrap_err();
    assert!(negative.what().contains("9f") && negative.what().contains("negative"));
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    match content.len() {
        0..128 => [&[tag, length[1]], content.as_slice()].concat(),
        128..256 => [&[tag, 0x81, length[1]], content.as_slice()].concat(),
        _ => [&[tag, 0x82, length[0], length[1]], content.as_slice()].concat(),
    }
}

/// The same certificate with the serial number that somebody else's tool gives, signed with
/// ecdsa-with-SHA256.
fn with_number(certificate: &Certificate, key: &dyn Signer, number: &[u8]) -> Certificate {
    let front = [0xa0, 3, 2, 1, 2];
    let begins = [&front[..], &[2, 16]].concat();
    let der = certificate.der();
    let at = der.windows(begins.len()).position(|w| w == begins).unwrap();
    let length = usize::from(u16::from_be_bytes([der[at - 2], der[at - 1]]));
    let rest = &der[at + begins.len() + 16..at + length];
    let body = tlv(0x30, &[&front, &tlv(2, &[number]), rest]);
    let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let signature = tlv(3, &[&[0], &key.sign(&body).unwrap()]);
    Certificate::parse(&tlv(0x30, &[&body, &algorithm, &signature])).unwrap()
}

#[test]
fn a_barred_authority_is_listed_whoever_gave_its_serial_number_or_there_is_no_list() {
    let key = || server::keys::NewKey::make(identity::KeyKind::P256).unwrap().signer().unwrap();
    let (root_key, below) = (key(), key());
    let root = clock::outside(|o| authority::root("Muster root", &root_key, o)).unwrap();
    let csr = Csr::parse(&authority::request("x", &below).unwrap()).unwrap();
    let addresses = Addresses { public_url: None, realm: RealmName::default_realm() };
    let order = authority::Order { csr: &csr, role: Role::Operations, addresses: &addresses };
    let signed = clock::outside(|o| authority::sign(&root, &root_key, order, o)).unwrap();
    let listed = |number: &[u8]| {
        let certificate = with_number(&signed, &root_key, number);
        let row = serde_json::json!({
            "id": "ab", "role": "operations", "state": "barred", "subject": "",
            "not_before": "", "not_after": "", "pem": certificate.pem(), "key_kind": "p256",
        });
        let mut entries = Vec::new();
        add_barred(&[serde_json::from_value(row).unwrap()], &root, &mut entries)?;
        Ok(entries.iter().map(|entry| entry.serial.octets().to_vec()).collect::<Vec<_>>())
    };

    let ours = Serial::new(clock::now(), [7; 10]).octets().to_vec();
    let long = [&[0x7f][..], &[0xab; 19]].concat();
    for number in [ours, long, vec![5]] {
        assert_eq!(listed(&number).unwrap(), [number]);
    }
    assert_eq!(listed(&[0, 0x9f]).unwrap(), [[0x9f]]);
    let refused: Failure = listed(&[0x9f]).unwrap_err();
    assert!(refused.what().contains("`ab`, which is barred"), "{}", refused.what());
}

#[test]
fn a_number_that_may_not_grow_is_told() {
    assert!(doubt(100, None).unwrap().contains("--previous"));
    assert!(doubt(100, Some(101)).unwrap().contains("clock"));
    assert_eq!((doubt(100, Some(100)), doubt(100, Some(7))), (None, None));
}
