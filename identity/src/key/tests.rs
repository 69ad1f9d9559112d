use super::*;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};

fn p256() -> SoftwareKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(
        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        &SystemRandom::new(),
    )
    .unwrap();
    SoftwareKey::from_pkcs8(pkcs8.as_ref()).unwrap()
}

#[test]
fn every_kind_of_software_key_signs_what_its_public_side_verifies() {
    let random = SystemRandom::new();
    let keys = [
        EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap(),
        EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, &random).unwrap(),
        Ed25519KeyPair::generate_pkcs8(&random).unwrap(),
    ];
    for pkcs8 in keys {
        let key = SoftwareKey::from_pkcs8(pkcs8.as_ref()).unwrap();
        let scheme =
            Scheme::named(algorithm(key.public().kind()).oid, key.public().kind()).unwrap();
        let signature = key.sign(b"roll call").unwrap();
        assert_eq!(key.public().verify(scheme, b"roll call", &signature), Ok(()));
        assert_eq!(key.public().verify(scheme, b"roll cull", &signature), Err(KeyError::Signature));
        assert_eq!(PublicKey::parse(key.public().spki()).unwrap(), *key.public());
    }
}

#[test]
fn rsa_from_2048_bits_is_a_key_and_a_point_off_the_curve_is_none() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki = pair.public_key().as_der().unwrap();
    assert_eq!(PublicKey::parse(spki.as_ref()).unwrap().kind(), KeyKind::Rsa);

    let mut off = p256().public().spki().to_vec();
    *off.last_mut().unwrap() ^= 1;
    assert_eq!(PublicKey::parse(&off).unwrap_err().name, "key-invalid");
}

#[test]
fn a_short_rsa_key_and_a_small_exponent_are_refused() {
    let short = RsaPublicKey {
        modulus: der::asn1::UintRef::new(&[0xc1; 128]).unwrap(),
        exponent: der::asn1::UintRef::new(&[1, 0, 1]).unwrap(),
    };
    let spki = spki_der(KeyKind::Rsa, &short.to_der().unwrap()).unwrap();
    assert_eq!(PublicKey::parse(&spki).unwrap_err().name, "key-rsa-bits");

    let weak = RsaPublicKey {
        modulus: der::asn1::UintRef::new(&[0xc1; 256]).unwrap(),
        exponent: der::asn1::UintRef::new(&[3]).unwrap(),
    };
    let spki = spki_der(KeyKind::Rsa, &weak.to_der().unwrap()).unwrap();
    assert_eq!(PublicKey::parse(&spki).unwrap_err().name, "key-rsa-exponent");
}

/// A SubjectPublicKeyInfo with this algorithm identifier.
fn info(algorithm: &[u8], raw: &[u8]) -> Vec<u8> {
    use der::asn1::{AnyRef, BitStringRef};
    use der::{Decode, Encode, Tag};
    let key = BitStringRef::from_bytes(raw).unwrap().to_der().unwrap();
    let algorithm = AnyRef::from_der(algorithm).unwrap().to_der().unwrap();
    AnyRef::new(Tag::Sequence, &[algorithm, key].concat()).unwrap().to_der().unwrap()
}

#[test]
fn a_key_has_one_encoding_so_that_it_is_known_again() {
    let ec = p256();
    let (raw, spki) = (ec.public().raw(), ec.public().spki());
    let p256 = &spki[2..2 + 21];
    assert_eq!(info(p256, raw), spki);
    let compressed = [&[2 | raw[64] & 1], &raw[1..33]].concat();
    let hybrid = [&[6 | raw[64] & 1], &raw[1..]].concat();
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let ed = SoftwareKey::from_pkcs8(pkcs8.as_ref()).unwrap();
    let ed25519 = &ed.public().spki()[2..2 + 7];
    assert_eq!(info(ed25519, ed.public().raw()), ed.public().spki());
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa = PublicKey::parse(rsa.public_key().as_der().unwrap().as_ref()).unwrap();
    let bare = [0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    for other in [
        info(p256, &compressed),
        info(p256, &hybrid),
        info(p256, spki),
        info(p256, &[spki, b"anything"].concat()),
        info(ed25519, &[ed.public().spki(), b"anything"].concat()),
        info(&[0x30, 7, 6, 3, 0x2b, 0x65, 0x70, 5, 0], ed.public().raw()),
        info(&bare, rsa.raw()),
    ] {
        let name = PublicKey::parse(&other).map_err(|defect| defect.name);
        assert!(matches!(name, Err("key-form" | "key-invalid")), "{name:?}");
    }
}

#[test]
fn a_weak_hash_is_no_scheme() {
    assert!(Scheme::named(rfc5912::SHA_1_WITH_RSA_ENCRYPTION, KeyKind::Rsa).is_err());
    assert!(Scheme::named(rfc5912::ECDSA_WITH_SHA_256, KeyKind::Rsa).is_err());
}

#[test]
fn a_private_key_is_shy() {
    let shown = format!("{:?}", p256());
    assert!(shown.starts_with("SoftwareKey(PublicKey(p256 ") && shown.ends_with(", ..)"));
}
