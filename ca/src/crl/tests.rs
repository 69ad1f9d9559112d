use super::*;
use crate::world::*;
use identity::Serial;
use identity::key::Scheme;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, IssuingDistributionPoint};

fn serial(n: u8) -> Serial {
    Serial::new(NOW, [n; 10])
}

fn list(scope: Scope, reasons: &[Reason]) -> Crl {
    let revoked =
        |(n, reason): (u8, &Reason)| Revoked { serial: serial(n).into(), at: NOW, reason: *reason };
    Crl {
        number: 300,
        this_update: NOW,
        next_update: NOW.plus_secs(DAY_S),
        scope,
        entries: (0..3).zip(reasons).rev().map(revoked).collect(),
    }
}

fn extension<T: for<'a> Decode<'a, Error = der::Error>>(
    list: &CertificateList,
    oid: const_oid::ObjectIdentifier,
) -> Option<(bool, T)> {
    let all = list.tbs_cert_list.crl_extensions.as_ref().unwrap();
    let found = all.iter().find(|e| e.extn_id == oid)?;
    Some((found.critical, T::from_der(found.extn_value.as_bytes()).unwrap()))
}

fn signed(crl: Crl) -> CertificateList {
    let world = World::new();
    let der = sign(world.operations.certificate(), &*key(3), crl).unwrap();
    let list = CertificateList::from_der(&der).unwrap();
    let (body, signature) = (list.tbs_cert_list.to_der().unwrap(), list.signature.raw_bytes());
    assert_eq!(key(3).public().verify(Scheme::P256Sha256, &body, signature), Ok(()));
    list
}

#[test]
fn a_shard_names_its_address_in_a_critical_extension_and_a_complete_list_has_none() {
    let url = "http://muster.example:8080/crl/default/ab/0.crl".to_owned();
    let shard = signed(list(Scope::Shard { url: url.clone() }, &[]));
    let (critical, point) =
        extension::<IssuingDistributionPoint>(&shard, rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT)
            .unwrap();
    assert!(critical && format!("{point:?}").contains(&url));
    assert!(!point.only_contains_user_certs && !point.indirect_crl);
    let complete = signed(list(Scope::Complete, &[]));
    assert!(
        extension::<IssuingDistributionPoint>(&complete, rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT)
            .is_none()
    );
    let (_, number) = extension::<CrlNumber>(&complete, rfc5280::ID_CE_CRL_NUMBER).unwrap();
    assert_eq!(number.0.as_bytes(), [1, 44]);
    let (_, named) =
        extension::<AuthorityKeyIdentifier>(&complete, rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER)
            .unwrap();
    let id = World::new().operations.id();
    assert_eq!(named.key_identifier.unwrap().as_bytes(), id.octets());
}

#[test]
fn entries_come_in_order_and_leave_out_a_reason_that_nobody_gave() {
    let reasons = [Reason::Unspecified, Reason::CertificateHold, Reason::PrivilegeWithdrawn];
    let entries =
        signed(list(Scope::Complete, &reasons)).tbs_cert_list.revoked_certificates.unwrap();
    let serials: Vec<_> = entries.iter().map(|e| e.serial_number.as_bytes().to_vec()).collect();
    assert_eq!(serials, [0, 1, 2].map(|n| serial(n).octets().to_vec()));
    let codes: Vec<_> = entries
        .iter()
        .map(|e| e.crl_entry_extensions.as_ref().map(|x| x[0].extn_value.as_bytes()[2]))
        .collect();
    assert_eq!(codes, [None, Some(6), Some(9)]);
}

#[test]
fn serial_numbers_of_every_length_are_listed_as_their_certificates_have_them() {
    let long = [&[0x7f][..], &[0xab; 19]].concat();
    let high = [&[0, 0xff][..], &[0xab; 19]].concat();
    let wanted = [vec![0], vec![5], vec![0, 0x9f], vec![1, 0], long, high];
    let number = |content: &Vec<u8>| SerialNumber::from_integer(content).unwrap();
    let revoked =
        |content| Revoked { serial: number(content), at: NOW, reason: Reason::Superseded };
    let entries = wanted.iter().rev().map(revoked).collect();
    let crl = Crl { entries, ..list(Scope::Complete, &[]) };
    let world = World::new();
    let der = sign(world.operations.certificate(), &*key(3), crl).unwrap();
    let read: Vec<_> = super::entries(&der).unwrap().into_iter().map(|e| e.serial).collect();
    assert_eq!(read, wanted);
}

#[test]
fn an_empty_list_has_no_list() {
    assert!(signed(list(Scope::Complete, &[])).tbs_cert_list.revoked_certificates.is_none());
}

#[test]
fn nobody_but_the_issuer_signs_its_list() {
    let world = World::new();
    let refused = sign(world.operations.certificate(), &*key(9), list(Scope::Complete, &[]));
    assert_eq!(refused, Err(KeyError::Signature));
}

#[test]
fn the_number_of_a_list_is_read_and_the_next_one_is_above_it_whatever_the_clock_says() {
    let world = World::new();
    for wanted in [0, 1, 127, 128, 300, 1_790_000_000, u64::MAX] {
        let crl = Crl { number: wanted, ..list(Scope::Complete, &[]) };
        let der = sign(world.operations.certificate(), &*key(3), crl).unwrap();
        assert_eq!(number(&der), Some(wanted));
    }
    assert_eq!(number(b"no list"), None);

    let now = NOW.secs();
    assert_eq!(next_number(NOW, None), now);
    assert_eq!(next_number(NOW, Some(now - 9)), now);
    assert_eq!(next_number(NOW, Some(now)), now + 1, "two in one second");
    assert_eq!(next_number(NOW, Some(now + 9)), now + 10, "the clock is slow");
}

#[test]
fn what_a_list_names_is_read_as_it_was_written() {
    let reasons = [Reason::KeyCompromise, Reason::Unspecified, Reason::Superseded];
    let world = World::new();
    let issuer = world.operations.certificate();
    let der = sign(issuer, &*key(3), list(Scope::Complete, &reasons)).unwrap();

    let read = entries(&der).unwrap();

    let wanted = (0..3).zip(reasons).map(|(n, reason)| Listed {
        serial: serial(n).octets().to_vec(),
        at: UnixTime::from_secs(NOW.secs()),
        reason,
    });
    assert_eq!(read, wanted.collect::<Vec<_>>());
    let empty = sign(issuer, &*key(3), list(Scope::Complete, &[])).unwrap();
    assert_eq!((entries(&empty), entries(b"")), (Some(Vec::new()), None));
}
