//! What was written reads back, and what nobody wrote is refused without a panic.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod pki;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, AnyRef, OctetString, SetOfVec};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use enroll::est::wire::{self, Operation, Place, certs_only, csrattrs::CsrAttrs, multipart};
use enroll::request::{RequestError, Wish, make};
use identity::key::Signer;
use identity::profile::Profile;
use identity::{Certificate, Csr, KeyKind, RealmName};
use pki::{certificate, key, pkcs8, with_attribute};
use proptest::prelude::*;
use x509_cert::attr::Attribute;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::HardwareModuleName;

fn leaf(seed: u8) -> Certificate {
    certificate(key(seed).public().spki(), "leaf", &key(9))
}

fn pkcs7() -> Vec<u8> {
    certs_only::write(&[&leaf(1), &leaf(2)]).unwrap()
}

fn full_wish() -> Wish<'static> {
    Wish {
        common_name: Some("pump"),
        serial_number: Some("S1"),
        challenge_password: Some("c2VjcmV0"),
        hardware_module: Some(HardwareModuleName {
            hw_type: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1"),
            hw_serial_num: OctetString::new(*b"HW7").unwrap(),
        }),
    }
}

fn attributes() -> CsrAttrs {
    CsrAttrs { key: Some(KeyKind::P256), ..CsrAttrs::of(&Profile::standard()) }
}

/// `depth` SEQUENCEs, one in the other.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| {
        der::asn1::AnyRef::new(der::Tag::Sequence, &inner).unwrap().to_der().unwrap()
    })
}

/// Everything that reads bytes of strangers.
fn read_as_everything(bytes: &[u8]) {
    let _ = wire::read_body(bytes, 1 << 20);
    let _ = wire::read_request(bytes);
    let _ = certs_only::read(bytes);
    let _ = CsrAttrs::read(bytes);
    let _ = multipart::read(&multipart::content_type(), bytes);
    let _ = Certificate::parse(bytes);
    let _ = Csr::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (Place::parse(text), wire::read_authorization(text));
        let _ = (wire::is_media(text, text), wire::parameter(text, "boundary"));
        let _ = multipart::read(text, bytes);
    }
}

#[test]
fn a_request_carries_every_wish() {
    let csr = Csr::parse(&make(&key(1), &full_wish()).unwrap()).unwrap();
    assert_eq!(csr.claims().serial, "S1");
    assert_eq!(csr.challenge_password().as_deref(), Some("c2VjcmV0"));
    assert_eq!(csr.key(), key(1).public());

    let wish = Wish { serial_number: None, ..full_wish() };
    let csr = Csr::parse(&make(&key(1), &wish).unwrap()).unwrap();
    assert_eq!(csr.claims().serial, "HW7");
}

#[test]
fn a_request_in_pem_may_stand_behind_other_text() {
    let der = make(&key(1), &full_wish()).unwrap();
    let pem = identity::certificate::pem("CERTIFICATE REQUEST", &der);
    let parameters = identity::certificate::pem("EC PARAMETERS", &[6, 1, 1]);
    let old = pem.replace("CERTIFICATE", "NEW CERTIFICATE");
    let windows = pem.replace('\n', "\r\n");
    for text in [&pem, &old, &windows, &format!("Certificate Request:\n    x\n{parameters}{pem}x")]
    {
        assert_eq!(Csr::parse_pem(text).unwrap().der(), der, "{text}");
    }
    for none in ["", "CERTIFICATE REQUEST-----", &parameters] {
        assert_eq!(Csr::parse_pem(none).unwrap_err().name, "csr-pem");
    }
}

#[test]
fn a_serial_number_that_asn1_cannot_carry_is_named_before_it_is_sent() {
    let wish = Wish { serial_number: Some("S№1"), ..Wish::default() };
    assert!(matches!(make(&key(1), &wish), Err(RequestError::Value(_))));
}

#[test]
fn every_place_has_one_path() {
    for realm in [RealmName::default_realm(), RealmName::parse("plant-7").unwrap()] {
        for operation in Operation::ALL {
            let place = Place { realm: realm.clone(), operation };
            assert_eq!(Place::parse(&place.path()), Some(place));
        }
    }
    let named = Place::parse("/.well-known/est/default/cacerts").unwrap();
    assert_eq!(named.realm, RealmName::default_realm());
}

#[test]
fn a_profile_that_takes_one_kind_of_key_says_so_and_one_that_takes_many_does_not() {
    assert_eq!(CsrAttrs::of(&Profile::standard()).key, None);
    for kind in KeyKind::ALL {
        let usages = ["1.3.6.1.5.5.7.3.4".to_owned(), "nonsense".to_owned()].into();
        let profile = Profile { keys: [*kind].into(), usages, ..Profile::standard() };
        let wanted = CsrAttrs::of(&profile);
        assert_eq!((wanted.key, wanted.usages.len()), (Some(*kind), 2));
        assert_eq!(CsrAttrs::read(&wanted.write().unwrap()).unwrap(), wanted);
    }
}

#[test]
fn an_older_client_reads_the_same_from_the_list_as_a_newer_one_from_the_template() {
    let template = attributes();
    let list = CsrAttrs { binding: true, ..attributes() };
    let read = CsrAttrs::read(&list.write().unwrap()).unwrap();
    assert_eq!(read, list);
    assert_eq!(CsrAttrs { binding: false, ..read }, template);
}

/// The attributes of an OID in a list of `CsrAttrs`, read with nothing of ours.
fn listed(list: &[AnyRef<'_>], oid: ObjectIdentifier) -> Vec<Attribute> {
    let attributes = list.iter().filter(|one| one.tag() == Tag::Sequence);
    attributes.map(|one| one.decode_as().unwrap()).filter(|a: &Attribute| a.oid == oid).collect()
}

#[test]
fn what_is_wanted_is_said_in_the_form_that_rfc_9908_demands_of_a_server() {
    let usages = ["1.3.6.1.5.5.7.3.4".to_owned()].into();
    let profile = Profile { usages, ..Profile::standard() };
    for (kind, binding) in KeyKind::ALL.iter().flat_map(|kind| [(*kind, false), (*kind, true)]) {
        let der = CsrAttrs { key: Some(kind), binding, ..CsrAttrs::of(&profile) }.write().unwrap();
        let list: Vec<AnyRef<'_>> = Vec::from_der(&der).unwrap();

        // §3.2: one extension request; its one value is a list of extensions, each named once.
        let requests = listed(&list, rfc5912::ID_EXTENSION_REQ);
        assert_eq!((requests.len(), requests[0].values.len()), (1, 1));
        let wanted: Extensions = requests[0].values.get(0).unwrap().decode_as().unwrap();
        assert_eq!(wanted.len(), 1);

        // §3.4 has no place for a challenge password, and §4 has the list ignored beside a template.
        let templates = listed(&list, ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.61"));
        assert_eq!(templates.len(), usize::from(!binding));
        let Some(template) = templates.first() else { continue };
        assert_eq!(template.values.len(), 1);
        // §3.4: version 1, no subject where none is asked for, and an algorithm without a key.
        let fields: Vec<AnyRef<'_>> = template.values.get(0).unwrap().decode_as().unwrap();
        let tags: Vec<u8> = fields.iter().map(|field| field.to_der().unwrap()[0]).collect();
        assert_eq!((fields[0].value(), tags), (&[0][..], vec![0x02, 0xa0, 0xa1]));
        let mut key = SliceReader::new(fields[1].value()).unwrap();
        AnyRef::decode(&mut key).unwrap();
        assert!(key.is_finished());
        // Values are whole, so it is an extension request, and not a template of one beside it.
        let inside = Attribute::from_der(fields[2].value()).unwrap();
        assert_eq!(
            (inside.oid, inside.values),
            (rfc5912::ID_EXTENSION_REQ, requests[0].values.clone())
        );
    }
}

#[test]
fn unknown_attributes_are_skipped() {
    // RFC 7030 §4.5.2: the OIDs of macAddress and ecdsa-with-SHA384.
    let der = data_encoding::HEXLOWER.decode(b"301306072b060101010116").unwrap();
    assert!(CsrAttrs::read(&der).is_err(), "the length is wrong");
    let der =
        data_encoding::HEXLOWER.decode(b"301306072b06010101011606082a8648ce3d040303").unwrap();
    assert_eq!(CsrAttrs::read(&der).unwrap(), CsrAttrs::default());
}

#[test]
fn other_servers_lists_and_templates_are_understood() {
    let read = |hex: &str| CsrAttrs::read(&data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap());
    // RFC 7030 §4.5.2 as it stands there: the extension request has an object identifier for a list.
    let rfc7030 = "304106092a864886f70d010907301206072a8648ce3d0201310706052b81040022301606092a8648\
        86f70d01090e310906072b06010101011606082a8648ce3d040303";
    let (key, usages) = (Some(KeyKind::P384), Vec::new());
    assert_eq!(read(rfc7030).unwrap(), CsrAttrs { key, usages, binding: true });

    // The template of RFC 9908 §3.4, a subject and an extension without values in it, behind a list
    // that wants something else and has to be ignored (§4).
    let rfc9908 = "3081c806092a864886f70d010907301206072a8648ce3d0201310706052b810400223081a6060b2a\
        864886f70d010910023d318196308193020100302c310730050603550403310f300d060355040b0c\
        066d79446570743110300e060355040b0c076d7947726f7570a015301306072a8648ce3d02010608\
        2a8648ce3d030107a1493047060b2a864886f70d010910023e31383036301d0603551d1104163014\
        82107777772e6d795365727665722e636f6d8700300e0603551d0f0101ff04040302038830050603\
        551d25";
    let (key, usages) = (Some(KeyKind::P256), Vec::new());
    assert_eq!(read(rfc9908).unwrap(), CsrAttrs { key, usages, binding: false });
    // Another version of it is an attribute that is not known, and the list counts.
    let later = rfc9908.replace("020100302c", "020101302c");
    assert_ne!(later, rfc9908);
    assert_eq!(read(&later).unwrap().key, Some(KeyKind::P384));
}

#[test]
fn a_template_of_a_later_version_is_passed_over_and_named_where_there_is_nothing_else() {
    let octets = |oid: ObjectIdentifier, values: &[&[u8]]| {
        let values = values.iter().map(|v| Any::from_der(v).unwrap()).collect::<Vec<_>>();
        Attribute { oid, values: SetOfVec::try_from(values).unwrap() }
    };
    let template = |of: &[u8]| {
        octets(ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.61"), &[of]).to_der().unwrap()
    };
    let list = |members: &[Vec<u8>]| {
        let members = members.concat();
        AnyRef::new(Tag::Sequence, &members).unwrap().to_der().unwrap()
    };
    // SEQUENCE { INTEGER 1, BOOLEAN TRUE }: the version is all that a later one has in common.
    let later = template(&[0x30, 6, 2, 1, 1, 1, 1, 0xff]);
    let challenge = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7").to_der().unwrap();

    let alone = CsrAttrs::read(&list(std::slice::from_ref(&later))).unwrap_err();
    assert_eq!(alone.name, "csrattrs-version");
    assert!(alone.sentence.contains("has version 1,") && alone.sentence.contains("version 0 (v1"));
    let beside = CsrAttrs::read(&list(&[challenge.clone(), later.clone()])).unwrap();
    assert!(beside.binding);
    let long = template(&[0x30, 12, 2, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let long = CsrAttrs::read(&list(&[long])).unwrap_err();
    assert!(long.sentence.contains("version 0x0102030405060708"), "{long}");

    // What has no version is no template of any.
    for broken in [&[0x30, 0][..], &[0x30, 3, 1, 1, 0xff], &[2, 1, 1]] {
        let broken = CsrAttrs::read(&list(&[template(broken)])).unwrap_err();
        assert_eq!(broken.name, "csrattrs-der");
    }
}

#[test]
fn a_pkcs7_with_an_indefinite_length_gets_its_own_sentence() {
    let inner = certs_only::write(&[&leaf(1)]).unwrap();
    let contents = &inner[4..];
    let outer = [&[0x30, 0x80][..], contents, &[0, 0]].concat();
    assert_eq!(certs_only::read(&outer).unwrap_err().name, "pkcs7-indefinite");
}

#[test]
fn a_pkcs7_has_a_number_of_certificates_that_a_realm_can_have() {
    let bag = |count| certs_only::read(&certs_only::write(&vec![&leaf(1); count]).unwrap());
    assert_eq!(bag(certs_only::CERTIFICATES_MAX).unwrap().len(), certs_only::CERTIFICATES_MAX);
    assert_eq!(bag(certs_only::CERTIFICATES_MAX + 1).unwrap_err().name, "pkcs7-too-many");
    assert_eq!(bag(0).unwrap_err().name, "pkcs7-empty");
}

#[test]
fn other_servers_multiparts_are_understood() {
    let (key, leaf) = (wire::write_body(&pkcs8(3)), wire::write_body(&pkcs7()));
    let (key, leaf) = (String::from_utf8(key).unwrap(), String::from_utf8(leaf).unwrap());
    let body = format!(
        "preamble\n--b\ncontent-type: application/pkcs7-mime; smime-type=certs-only\n\n{leaf}\n\
         --b\nContent-Type: Application/PKCS8\n\n{key}\n--b--\nepilogue"
    );
    let (read, found) =
        multipart::read("Multipart/Mixed; boundary=\"b\"", body.as_bytes()).unwrap();
    assert_eq!((read.dangerous_reveal(), found.len()), (&pkcs8(3)[..], 2));

    for (content_type, broken) in [
        ("multipart/mixed", body.clone()),
        ("multipart/mixed; boundary=c", body.clone()),
        ("multipart/mixed; boundary=b", body.replace("--b--", "")),
        ("multipart/mixed; boundary=b", body.replace("Application/PKCS8", "text/plain")),
        ("multipart/mixed; boundary=b", body.replace("certs-only", "server-generated-key")),
    ] {
        assert_eq!(multipart::read(content_type, broken.as_bytes()).unwrap_err().name, "multipart");
    }
}

#[test]
fn truncated_at_any_length_is_refused() {
    let csr = make(&key(1), &full_wish()).unwrap();
    let pkcs7 = pkcs7();
    let list = attributes().write().unwrap();
    let parts = multipart::write(&pkcs8(3), &pkcs7);
    for len in 0..csr.len() {
        assert!(wire::read_request(&wire::write_body(&csr[..len])).is_err());
    }
    for len in 0..pkcs7.len() {
        assert!(certs_only::read(&pkcs7[..len]).is_err());
    }
    for len in 0..list.len() {
        assert!(CsrAttrs::read(&list[..len]).is_err());
    }
    // The last two octets are the line break after the last boundary.
    for len in 0..parts.len() - 2 {
        assert!(multipart::read(&multipart::content_type(), &parts[..len]).is_err());
    }
}

#[test]
fn absurdly_nested_der_is_refused() {
    let deep = nested(4000);
    assert!(deep.len() < 16 * 1024);
    assert!(Csr::parse(&deep).is_err() && Certificate::parse(&deep).is_err());
    assert!(certs_only::read(&deep).is_err() && CsrAttrs::read(&deep).is_err());

    let value = der::Decode::from_der(&deep).unwrap();
    let csr = make(&key(1), &Wish::default()).unwrap();
    let csr = with_attribute(&csr, "1.2.840.113549.1.9.14", value, &key(1));
    assert_eq!(Csr::parse(&csr).unwrap().claims().serial, "");
}

proptest! {
    #[test]
    fn bytes_of_strangers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_as_everything(&bytes);
        read_as_everything(&wire::write_body(&bytes));
    }

    #[test]
    fn a_flipped_octet_never_panics(which in 0..4usize, at in any::<usize>(), flip in 1..=255u8) {
        let mut bytes = match which {
            0 => make(&key(1), &full_wish()).unwrap(),
            1 => pkcs7(),
            2 => attributes().write().unwrap(),
            _ => multipart::write(&pkcs8(3), &pkcs7()),
        };
        let at = at % bytes.len();
        bytes[at] ^= flip;
        read_as_everything(&bytes);
        read_as_everything(&wire::write_body(&bytes));
    }

    #[test]
    fn base64_reads_back_with_and_without_line_breaks(
        bytes in prop::collection::vec(any::<u8>(), 1..300), width in 1..80usize,
    ) {
        let body = wire::write_body(&bytes);
        prop_assert_eq!(&wire::read_body(&body, 1 << 20).unwrap(), &bytes);
        let lines: Vec<u8> = body.chunks(width).flat_map(|l| [l, b"\r\n"].concat()).collect();
        prop_assert_eq!(&wire::read_body(&lines, 1 << 20).unwrap(), &bytes);
    }

    #[test]
    fn certificates_keep_their_order(seeds in prop::collection::vec(1..200u8, 1..7)) {
        let written: Vec<_> = seeds.into_iter().map(leaf).collect();
        let pkcs7 = certs_only::write(&written.iter().collect::<Vec<_>>()).unwrap();
        let read = certs_only::read(&pkcs7).unwrap();
        prop_assert!(read.iter().map(Certificate::der).eq(written.iter().map(Certificate::der)));
    }

    #[test]
    fn csr_attributes_read_back(
        key in prop::option::of(prop::sample::select(KeyKind::ALL)),
        arcs in prop::collection::btree_set(1..100_000u32, 0..5),
        binding: bool,
    ) {
        let oid = |arc| ObjectIdentifier::new(&format!("1.3.6.1.4.1.{arc}")).unwrap();
        let written = CsrAttrs { key, usages: arcs.into_iter().map(oid).collect(), binding };
        prop_assert_eq!(CsrAttrs::read(&written.write().unwrap()).unwrap(), written);
    }

    #[test]
    fn keys_and_leaves_read_back(seed in 1..=255u8) {
        let leaf = leaf(seed);
        let body = multipart::write(&pkcs8(seed), &certs_only::write(&[&leaf]).unwrap());
        let (key, found) = multipart::read(&multipart::content_type(), &body).unwrap();
        prop_assert_eq!(key.dangerous_reveal(), pkcs8(seed));
        prop_assert_eq!(found[0].der(), leaf.der());
    }

    #[test]
    fn a_request_reads_back(serial in "[A-Za-z0-9 '()+,./:=?-]{1,64}", name in "\\PC{1,40}") {
        let wish = Wish {
            serial_number: Some(&serial),
            common_name: Some(&name),
            ..Wish::default()
        };
        let csr = Csr::parse(&make(&key(1), &wish).unwrap()).unwrap();
        prop_assert_eq!(csr.claims().serial, serial);
    }
}
