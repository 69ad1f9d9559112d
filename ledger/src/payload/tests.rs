use super::*;
use identity::text::hex;
use proptest::prelude::*;

fn values() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        ".{0,40}".prop_map(Value::Text),
        any::<u64>().prop_map(Value::Uint),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        any::<bool>().prop_map(Value::Bool),
    ];
    plain.prop_recursive(4, 24, 5, |inner| {
        let members = prop::collection::vec((".{0,30}", inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::List),
            members.prop_map(|members| Value::Map(members.into_iter().collect())),
        ]
    })
}

fn payloads() -> impl Strategy<Value = Payload> {
    let members = prop::collection::vec(("[a-z_]{1,30}", values()), 0..8);
    ("[a-z.]{1,20}", members).prop_map(|(verb, members)| {
        members.into_iter().fold(Payload::new(&verb), |all, (key, value)| all.with(&key, value))
    })
}

proptest! {
    #[test]
    fn a_payload_reads_back_as_it_was_written(payload in payloads()) {
        let octets = payload.encode();
        prop_assume!(payload.get(LEFT_OUT).is_none() && octets.len() < PAYLOAD_OCTETS_MAX);
        prop_assert_eq!(Payload::decode(&octets), Ok(payload));
    }

    #[test]
    fn what_is_read_at_all_has_one_encoding(octets in any::<Vec<u8>>()) {
        if let Ok(payload) = Payload::decode(&octets) {
            prop_assert_eq!(payload.encode(), octets);
        }
    }

    #[test]
    fn a_flipped_bit_never_reads_as_the_same(payload in payloads(), at in any::<u32>()) {
        let mut octets = payload.encode();
        let bit = at as usize % (octets.len() * 8);
        octets[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = Payload::decode(&octets) {
            prop_assert_ne!(&read, &payload);
            prop_assert_eq!(read.encode(), octets);
        }
    }

    #[test]
    fn whatever_is_said_can_be_written_and_read_again(
        sizes in prop::collection::vec(0..12_000_usize, 0..6),
        deep in 0..20_usize,
    ) {
        let nested = (0..deep).fold(Value::Bool(true), |v, _| Value::List(vec![v]));
        let payload = sizes.iter().enumerate().fold(
            Payload::new(&"long".repeat(40)).with("nested", nested),
            |all, (i, size)| all.with(&format!("k{i}"), vec![0_u8; *size]),
        );
        let read = Payload::decode(&payload.encode()).unwrap();
        let left_out = read.get(LEFT_OUT).and_then(Value::as_uint).unwrap_or(0);
        let extra = u64::from(left_out > 0);
        prop_assert_eq!(read.iter().count() as u64 + left_out, sizes.len() as u64 + 2 + extra);
    }
}

#[test]
fn shorter_keys_come_first_and_then_octet_by_octet() {
    let payload = Payload::new("v").with("bb", 1_u64).with("a", 2_u64).with("ab", 24_u64);
    assert_eq!(hex(&payload.encode()), "a461610262616218186262620164766572626176");
    let keys: Vec<&str> = payload.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "ab", "bb", "verb"]);
}

#[test]
fn other_encodings_of_the_same_map_are_refused() {
    let why = |hex: &str| {
        let octets = identity::text::from_hex(&hex.replace(' ', "")).unwrap();
        Payload::decode(&octets).err().map(|defect| defect.name)
    };
    let other = Some("payload-not-deterministic");
    assert_eq!(why("a1 6476657262 6176"), None);
    assert_eq!(why("a2 6476657262 6176 6161 01"), other, "out of order");
    assert_eq!(why("a2 6476657262 6176 6476657262 6176"), other, "twice");
    assert_eq!(why("bf 6476657262 6176 ff"), other, "of unsaid length");
    assert_eq!(why("a2 6161 1801 6476657262 6176"), other, "a longer number than need be");
    assert_eq!(why("a1 6476657262 6176 00"), other, "octets behind the end");
    assert_eq!(why("a0"), Some("payload-verb"), "no verb");
    assert_eq!(why("a1 6476657262 01"), Some("payload-verb"), "a verb that is a number");
    assert_eq!(why("a1 6476657262 f90000"), Some("payload-type"), "a float");
    assert_eq!(why("a1 6476657262 20"), Some("payload-type"), "a negative number");
    assert_eq!(why("80"), Some("payload-cbor"), "not a map");
}

#[test]
fn absurd_nesting_and_absurd_counts_are_refused() {
    let mut deep = vec![0xa2, 0x61, b'a'];
    deep.extend([0x81; 10_000]);
    assert_eq!(Payload::decode(&deep).unwrap_err().name, "payload-too-deep");
    let many = [0xa1, 0x61, b'a', 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(Payload::decode(&many).unwrap_err().name, "payload-cbor");
    let long = vec![0; PAYLOAD_OCTETS_MAX + 1];
    assert_eq!(Payload::decode(&long).unwrap_err().name, "payload-too-large");
}

#[test]
fn the_verb_cannot_be_overwritten() {
    assert_eq!(Payload::new("birth.issued").with("verb", "other").verb(), "birth.issued");
}
