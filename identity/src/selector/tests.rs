use super::*;
use crate::device::{DeviceId, Identifiers, Standing};
use crate::outside::UnixTime;
use proptest::prelude::*;

fn pump() -> Device {
    Device {
        id: DeviceId::new(UnixTime::from_millis(1_790_000_000_000), [7; 10]),
        standing: Standing::Enrolled,
        assurance: Assurance::Certified,
        identifiers: Identifiers {
            model: "P7".into(),
            serial: "S-0042".into(),
            macs: ["00:11:22:33:44:55".to_owned(), "00:11:22:33:44:56".to_owned()].into(),
            meta: [("site".into(), "Ulm".into()), ("hw-rev".into(), "3".into())].into(),
            ..Identifiers::default()
        },
        groups: ["line-3", "pumps"].into_iter().filter_map(GroupName::parse).collect(),
        version: 4,
        generation: 2,
        born: UnixTime::from_secs(1_777_622_400), // 2026-05-01T08:00:00Z
        enrolled: None,
        door: Some("birth".into()),
        mark: None,
    }
}

fn holds(text: &str) -> bool {
    let selector = Selector::parse(text).and_then(|s| s.check(&DEVICE_MEMBERS));
    selector.unwrap_or_else(|defect| panic!("{text}: {defect}")).holds(&pump())
}

#[test]
fn each_member_of_a_device_can_be_asked_for() {
    for text in [
        r#"id >= "0190""#,
        r#"standing == "enrolled""#,
        r#"assurance == "certified""#,
        r#"model == 'P7'"#,
        r#"maker == """#,
        r#"serial.endsWith("42")"#,
        r#"mac == "00:11:22:33:44:56""#,
        r#"!(imei == "123")"#,
        r#"group == "pumps""#,
        r#"born == "2026-05-01T08:00:00Z""#,
        r#"enrolled != "2026-05-01T08:00:00Z""#,
        "!has(enrolled)",
        "has(born)",
        r#"door == "birth""#,
        "generation == 2",
        r#"meta.site == "Ulm""#,
        r#"meta["hw-rev"] == "3""#,
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn a_list_holds_where_one_of_it_does() {
    assert!(holds(r#"group == "line-3""#) && !holds(r#"group == "line-4""#));
    assert!(holds(r#"group != "line-4""#) && !holds(r#"group != "line-3""#));
    assert!(holds(r#"group in ["a", "pumps"]"#) && !holds(r#"group in ["a", "b"]"#));
    assert!(holds(r#""pumps" in group"#) && !holds(r#""a" in group"#));
    assert!(holds(r#"mac.startsWith("00:11")"#) && !holds(r#"mac.startsWith("11")"#));
}

#[test]
fn times_are_compared_as_rfc_3339_texts() {
    assert!(holds(r#"born >= "2026-05" && born < "2026-06""#));
    assert!(!holds(r#"born < "2026-05-01T08:00:00Z""#));
    assert!(holds(r#""2026-04-30" < born"#));
    assert!(holds(r#"born > "2026-05-01""#), "a day begins at its midnight");
}

#[test]
fn assurance_is_compared_by_what_it_is_worth_and_not_by_the_alphabet() {
    assert!(holds(r#"assurance >= "token""#) && holds(r#"assurance < "hardware""#));
    assert!(holds(r#"assurance > "claimed""#) && !holds(r#"assurance >= "measured""#));
}

#[test]
fn what_is_absent_equals_nothing_and_can_be_asked_for() {
    assert!(!holds(r#"imei == "1""#) && holds(r#"imei != "1""#) && !holds(r#"imei >= "0""#));
    assert!(!holds(r#"meta.none.contains("")"#) && !holds("model in []"));
    assert!(!holds("has(imei)") && holds("!has(mark)") && holds("has(serial) && has(group)"));
    assert!(holds(r#"has(meta["hw-rev"])"#) && !holds("has(meta.none)"));
    assert!(!holds("has(maker)"), "an empty text is none");
}

#[test]
fn a_question_that_nobody_or_everybody_would_meet_is_refused() {
    let refused = |text: &str| {
        let checked = Selector::parse(text).unwrap().check(&DEVICE_MEMBERS);
        let defect = checked.expect_err(text);
        assert_eq!(defect.name, "selector-literal", "{text}");
        defect.sentence.into_owned()
    };
    for date in [r#"born < "2026-13-01""#, r#"born < "x""#, "born < 2026", r#"enrolled != """#] {
        assert!(refused(date).contains("is a moment"), "{date}");
    }
    for front in [r#"born == "2026-05-01""#, r#"enrolled != "2026""#, r#"born in ["2026-05"]"#] {
        assert!(refused(front).contains("more than one"), "{front}");
    }
    for capital in [
        r#"mac == "00:11:22:AA:BB:CC""#,
        r#"!mac.startsWith("AA")"#,
        r#"id != "0190A5B2-7C3D-7E4F-8A1B-2C3D4E5F6071""#,
        r#"ek_digest in ["AB"]"#,
        r#"leaf.spki == "AB""#,
    ] {
        assert!(refused(capital).contains("no capital letters: write \""), "{capital}");
    }
    assert!(refused(r#"ek_digest == """#).contains("never empty"));
    refused(r#"leaf.not_after < "next week""#);
    refused(r#"model == "P7" && !(born in ["2026", "2026-02-30"])"#);
    let typed = refused(r#"standing == "enroled""#);
    assert_eq!(
        typed,
        "`standing` is never \"enroled\": it is one of born, enrolled, quarantined, suspended, \
         retired"
    );
    refused(r#"standing in ["born", "Enrolled"]"#);
    refused(r#"standing < "retired""#);
    refused(r#"assurance >= "great""#);
    refused(r#"leaf.state == "good enough""#);
    for typed in
        ["!has(leaf.usde)", r#"leaf.usde == "x""#, "!leaf.usde", r#"leaf.usde.contains("x")"#]
    {
        assert!(refused(typed).contains("leaf.revoked.reason"), "{typed}");
    }
    assert!(refused(r#"mark != """#).contains("`has(mark)`"));
    for typed in [r#"generation != "2""#, "model < 5", "meta.rev == 3", "weak_detection == 1"] {
        refused(typed);
    }
    for typed in ["generation", "!standing", r#"generation.contains("1")"#] {
        refused(typed);
    }
}

#[test]
fn precedence_is_that_of_cel() {
    assert!(holds(r#"model == "P7" || model == "x" && false"#));
    assert!(!holds(r#"(model == "P7" || model == "x") && false"#));
    assert!(holds(r#"!false && !(model == "x")"#) && holds("!!true"));
}

#[test]
fn an_error_says_where_and_what_would_be_right() {
    let said = |text: &str| Selector::parse(text).unwrap_err().to_string();
    assert_eq!(said("model = 'x'"), "at character 7: a comparison is written `==`");
    assert_eq!(said("ä"), "at character 1: `ä` has no meaning here");
    assert_eq!(
        said("model =="),
        "at character 9: here stands the end instead of a member or a literal"
    );
    assert_eq!(
        said("a == 1 b"),
        "at character 8: here stands `b` instead of `&&`, `||` or the end"
    );
    assert_eq!(said("(a == 1"), "at character 8: here stands the end instead of `)`");
    assert_eq!(said("a == 'x"), "at character 6: this text has no closing quote");
    assert_eq!(said("a == b"), "at character 1: a comparison is between a member and a literal");
    assert!(said("!a == 1").contains("write `!(..)`"));
    assert!(said("a.size()").contains("only `startsWith`"));
    assert!(said("mark == null").contains("`has(mark)`") && said("has('x')").contains("a member"));
    assert!(said("'ä' == a && 5g == a").starts_with("at character 13"));
    assert!(said("a == 99999999999999999999").contains("64 bits"));
    assert!(said("").contains("the end"));
    assert!(said(r"a == '\x'").contains("backslash"));
}

#[test]
fn an_unknown_member_is_refused_with_the_list_of_known_ones() {
    let refused = |text| Selector::parse(text).unwrap().check(&DEVICE_MEMBERS).unwrap_err();
    let defect = refused(r#"standing == "born" && !(modle == "P7")"#);
    assert_eq!(defect.name, "selector-member");
    assert!(defect.sentence.starts_with("there is no member `modle`: the members are id, "));
    assert!(
        defect.sentence.ends_with("ek_digest, mark, version, weak_detection, leaf.KEY, meta.KEY")
    );
    refused("meta == 'x'");
    refused("model.x == 'x'");
}

#[test]
fn a_selector_has_limits() {
    let name = |text: &str| Selector::parse(text).map_err(|defect| defect.name);
    let terms = |count| vec!["a"; count].join("||");
    assert!(name(&terms(TERMS_MAX)).is_ok());
    assert_eq!(name(&terms(TERMS_MAX + 1)), Err("selector-too-many"));
    let list = format!("a in [{}]", vec!["1"; TERMS_MAX].join(","));
    assert_eq!(name(&list), Err("selector-too-many"));
    let nested = |depth| "(".repeat(depth) + "a" + &")".repeat(depth);
    assert!(name(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(name(&nested(DEPTH_MAX + 1)), Err("selector-too-deep"));
    assert_eq!(name(&("!".repeat(DEPTH_MAX + 1) + "a")), Err("selector-too-deep"));
    assert_eq!(name(&" ".repeat(TEXT_OCTETS_MAX + 1)), Err("selector-too-long"));
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{3,8}".prop_filter("taken", |n| n != "true" && n != "false"),
        "meta\\.[a-z]{1,5}(\\.[a-z]{1,3})?",
        ".{0,6}".prop_map(|key| format!("meta.{key}")),
    ]
}

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        ".{0,8}".prop_map(Literal::Text),
        "[\\\\'\"\n\t\r]{1,4}".prop_map(Literal::Text),
        any::<i64>().prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Bool),
    ]
}

fn exprs() -> impl Strategy<Value = Expr> {
    let by = prop::sample::select(Comparison::ALL.map(|(by, _)| by).to_vec());
    let place = prop::sample::select(Place::ALL.map(|(place, _)| place).to_vec());
    let plain = prop_oneof![
        (names(), by, literals()).prop_map(|(member, by, to)| Expr::Compare { member, by, to }),
        (names(), prop::collection::vec(literals(), 0..3))
            .prop_map(|(member, list)| Expr::In { member, list }),
        (names(), place, ".{0,5}").prop_map(|(member, place, part)| Expr::Has {
            member,
            place,
            part
        }),
        names().prop_map(Expr::Flag),
        names().prop_map(Expr::There),
        any::<bool>().prop_map(Expr::Constant),
    ];
    plain.prop_recursive(4, 12, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            several.clone().prop_map(Expr::any),
            several.prop_map(Expr::all),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same_tree(expr in exprs()) {
        let printed = expr.to_string();
        prop_assume!(printed.len() <= TEXT_OCTETS_MAX);
        let read = Selector::parse(&printed).map(|selector| selector.expr);
        prop_assert_eq!(read, Ok(expr), "{}", printed);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,200}") {
        if let Ok(selector) = Selector::parse(&text) {
            selector.holds(&pump());
        }
    }

    #[test]
    fn texts_that_look_like_selectors_are_read_without_a_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "model", "group", "meta", ".", "x", "(", ")", "[", "]", "!", "&&", "||", "==", "!=",
            "<", ">=", "in", "true", "'a'", "\"b\"", "7", "-", ",", "startsWith", "(\"c\")", "has", " ",
        ]), 0..20),
    ) {
        if let Ok(selector) = Selector::parse(&parts.concat()) {
            let printed = selector.to_string();
            prop_assert_eq!(Selector::parse(&printed), Ok(selector.clone()), "{}", printed);
            selector.holds(&pump());
        }
    }
}

#[test]
fn what_only_leaves_tell_is_known_by_name() {
    let asks = |text: &str| Selector::parse(text).unwrap().asks_for(&LEAF_MEMBERS);
    assert!(asks("leaf.not_after < '2027' && model == 'P7'") && asks("!weak_detection"));
    assert!(!asks("version > 3 && meta.leaf == 'x'"));
}
