//! EST, the client machine against the server machine, in memory.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod pki;

use der::asn1::{Any, OctetString};
use enroll::est::client::{self, Incoming, Outgoing, Reply};
use enroll::est::server::{self, Action, Answer, Request, hear};
use enroll::est::wire::{self, csrattrs::CsrAttrs};
use enroll::request::{Wish, make};
use identity::ask::{Binding, Cause, KeySource, Want};
use identity::key::Signer;
use identity::profile::Profile;
use identity::token::{ShownToken, TokenId, TokenSecret};
use identity::{Ask, Certificate, KeyKind, RealmName, Refusal, RuleId};
use pki::{certificate, key, pkcs8, with_attribute};
use std::net::{IpAddr, Ipv4Addr};

/// A connection: what the handshake proved.
#[derive(Default)]
struct Connection {
    chain: Vec<Certificate>,
    exporter: Option<[u8; 32]>,
}

impl Connection {
    fn send(&self, out: &Outgoing) -> Action {
        hear(self.request(out))
    }

    fn request<'a>(&self, out: &'a Outgoing) -> Request<'a> {
        let header = |name| out.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        Request {
            method: out.method,
            path: &out.path,
            content_type: header("Content-Type"),
            authorization: header("Authorization"),
            receipt: header("Muster-Receipt"),
            body: &out.body,
            chain: self.chain.clone(),
            exporter: self.exporter,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

fn realm() -> RealmName {
    RealmName::parse("plant-7").unwrap()
}

fn csr() -> Vec<u8> {
    make(&key(1), &Wish { serial_number: Some("S1"), ..Wish::default() }).unwrap()
}

fn join() -> Outgoing {
    client::enroll(&realm(), Want::Join, &csr(), None)
}

fn token() -> ShownToken {
    ShownToken {
        id: TokenId::parse(&"i".repeat(16)).unwrap(),
        secret: TokenSecret::parse(&"s".repeat(43)).unwrap(),
    }
}

fn judged(action: Action) -> Ask {
    match action {
        Action::Judge { realm: named, ask } => {
            assert_eq!(named, realm());
            *ask
        }
        other => panic!("{other:?}"),
    }
}

fn answered(action: Action) -> Answer {
    match action {
        Action::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// The status, and the name of the defect or rule.
fn refused(action: Action) -> (u16, String) {
    let answer = answered(action);
    let name = match answer.refusal.unwrap() {
        Refusal::Malformed(defect) => defect.name.to_owned(),
        Refusal::Denied(rule) => rule.as_str().to_owned(),
        Refusal::Outage(cause) => panic!("{cause}"),
    };
    (answer.status, name)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
}

fn incoming(answer: &Answer) -> Incoming<'_> {
    Incoming {
        status: answer.status,
        content_type: header(answer, "Content-Type"),
        retry_after: header(answer, "Retry-After"),
        body: &answer.body,
    }
}

fn done<T: std::fmt::Debug>(reply: Reply<T>) -> T {
    match reply {
        Reply::Done(found) => found,
        other => panic!("{other:?}"),
    }
}

fn leaf() -> Certificate {
    certificate(key(1).public().spki(), "leaf", &key(9))
}

#[test]
fn a_device_reads_the_authorities_that_the_server_sends_in_their_order() {
    let action = Connection::default().send(&client::cacerts(&realm()));
    assert!(matches!(action, Action::CaCerts(named) if named == realm()));

    let chain: Vec<_> =
        [7, 2, 5].map(|n| certificate(key(n).public().spki(), "ca", &key(9))).into();
    let answer = server::cacerts(&chain);
    let read = done(client::read_cacerts(&incoming(&answer)).unwrap());

    assert!(read.iter().map(Certificate::der).eq(chain.iter().map(Certificate::der)));
    assert!(!answer.body.contains(&b'\n'), "one unbroken run");
}

#[test]
fn a_device_joins_and_reads_its_leaf() {
    let shown = Connection { chain: vec![leaf()], exporter: None };
    let ask = judged(shown.send(&join()));
    assert_eq!((ask.want, ask.key, ask.binding), (Want::Join, KeySource::Device, Binding::Absent));
    assert_eq!(ask.csr.claims().serial, "S1");
    assert_eq!(ask.shown.chain.len(), 1);

    let answer = server::enrolled(&leaf());
    let read = done(client::read_leaf(&incoming(&answer), ask.csr.key()).unwrap());

    assert_eq!(read.der(), leaf().der());
    assert_eq!(header(&answer, "Content-Type"), Some(wire::CERTS_ONLY));
}

#[test]
fn a_leaf_for_another_key_is_not_taken() {
    let answer = server::enrolled(&leaf());
    let defect = client::read_leaf(&incoming(&answer), key(2).public()).unwrap_err();
    assert_eq!(defect.name, "answer-key");
}

#[test]
fn a_device_renews_at_its_own_path() {
    let out = client::enroll(&RealmName::default_realm(), Want::Renew, &csr(), None);
    assert_eq!(out.path, "/.well-known/est/simplereenroll");
    let out = client::enroll(&realm(), Want::Renew, &csr(), None);
    assert_eq!(judged(Connection::default().send(&out)).want, Want::Renew);
}

#[test]
fn a_key_from_the_server_arrives_with_its_leaf() {
    let out = client::serverkeygen(&realm(), &csr(), None);
    let ask = judged(Connection::default().send(&out));
    assert_eq!(ask.key, KeySource::Server);

    let made = certificate(key(3).public().spki(), "leaf", &key(9));
    let answer = server::enrolled_with_key(&made, &pkcs8(3));
    let (private, read) = done(client::read_key_and_leaf(&incoming(&answer)).unwrap());

    assert_eq!(private.dangerous_reveal(), pkcs8(3));
    assert_eq!(read.der(), made.der());
    assert_eq!(format!("{private:?}"), "PrivateKey(..)");
}

#[test]
fn a_key_from_the_server_without_its_own_leaf_is_not_taken() {
    let answer = server::enrolled_with_key(&leaf(), &pkcs8(3));
    assert_eq!(client::read_key_and_leaf(&incoming(&answer)).unwrap_err().name, "answer-key");
}

#[test]
fn a_key_from_the_server_is_not_encrypted_once_more() {
    for oid in ["1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54"] {
        let value = Any::encode_from(&OctetString::new([1, 2]).unwrap()).unwrap();
        let csr = with_attribute(&csr(), oid, value, &key(1));
        let out = client::serverkeygen(&realm(), &csr, None);
        let action = Connection::default().send(&out);
        assert_eq!(refused(action), (400, "key-encryption".to_owned()));
        judged(Connection::default().send(&client::enroll(&realm(), Want::Join, &csr, None)));
    }
}

#[test]
fn a_device_learns_what_its_request_should_have() {
    let action = Connection::default().send(&client::csrattrs(&realm()));
    assert!(matches!(action, Action::CsrAttrs { realm: named, .. } if named == realm()));

    let profile = Profile { keys: [KeyKind::P384].into(), ..Profile::standard() };
    let answer = server::csrattrs(&profile, false);
    let wanted = done(client::read_csrattrs(&incoming(&answer)).unwrap());

    assert_eq!(wanted.key, Some(KeyKind::P384));
    assert_eq!(wanted.usages, [const_oid::db::rfc5280::ID_KP_CLIENT_AUTH]);
}

#[test]
fn a_server_without_wishes_says_so_with_a_status() {
    for status in [204, 404] {
        let nothing = Incoming { status, content_type: None, retry_after: None, body: b"" };
        assert_eq!(done(client::read_csrattrs(&nothing).unwrap()), CsrAttrs::default());
    }
}

#[test]
fn a_request_is_bound_to_its_own_connection_only() {
    let password = wire::challenge_password(&[5; 32]);
    let wish = Wish { challenge_password: Some(&password), ..Wish::default() };
    let out = client::enroll(&realm(), Want::Join, &make(&key(1), &wish).unwrap(), None);
    let bound = |exporter| judged(Connection { chain: Vec::new(), exporter }.send(&out)).binding;
    assert_eq!(bound(Some([5; 32])), Binding::Held);
    assert_eq!(bound(Some([6; 32])), Binding::Other);
    assert_eq!(bound(None), Binding::Other);
}

#[test]
fn a_token_is_shown_as_basic_or_bearer_in_any_case() {
    let out = client::enroll(&realm(), Want::Join, &csr(), Some(&token()));
    let basic = judged(Connection::default().send(&out)).shown.token.unwrap();
    assert_eq!(basic.id, token().id);
    assert_eq!(basic.secret.digest(), token().secret.digest());

    let bearer = format!("bEARER {}.{}", "i".repeat(16), "s".repeat(43));
    let mut out = join();
    out.headers.push(("Authorization", bearer));
    assert!(judged(Connection::default().send(&out)).shown.token.is_some());
}

#[test]
fn an_unreadable_token_is_refused_unless_a_certificate_is_shown_too() {
    let mut out = join();
    out.headers.push(("Authorization", "Basic dXNlcjpwYXNz".to_owned()));
    let answer = answered(Connection::default().send(&out));
    assert_eq!(answer.status, 401);
    assert_eq!(header(&answer, "WWW-Authenticate"), Some("Basic realm=\"muster\""));
    assert!(answer.close);

    let shown = Connection { chain: vec![leaf()], exporter: None };
    assert!(judged(shown.send(&out)).shown.token.is_none());
}

#[test]
fn every_other_path_and_method_is_told_what_would_be_right() {
    for path in ["/", "/.well-known/est", "/.well-known/est/x", "/.well-known/est/a/b/cacerts"] {
        let out = Outgoing { path: path.to_owned(), ..join() };
        assert_eq!(refused(Connection::default().send(&out)), (404, "path".to_owned()), "{path}");
    }
    let out = Outgoing { method: "GET", ..join() };
    let answer = answered(Connection::default().send(&out));
    assert_eq!((answer.status, header(&answer, "Allow")), (405, Some("POST")));
    let out = Outgoing { method: "POST", ..client::cacerts(&realm()) };
    let answer = answered(Connection::default().send(&out));
    assert_eq!((answer.status, header(&answer, "Allow")), (405, Some("GET, HEAD")));
    let out = Outgoing { path: "/.well-known/est/fullcmc".to_owned(), ..join() };
    assert_eq!(refused(Connection::default().send(&out)), (501, "fullcmc".to_owned()));
}

#[test]
fn a_request_says_that_it_is_pkcs10_and_parameters_do_not_matter() {
    let out = Outgoing { headers: Vec::new(), ..join() };
    assert_eq!(refused(Connection::default().send(&out)), (415, "content-type".to_owned()));
    let wrong = vec![("Content-Type", "application/octet-stream".to_owned())];
    let out = Outgoing { headers: wrong, ..join() };
    assert_eq!(refused(Connection::default().send(&out)), (415, "content-type".to_owned()));
    let right = vec![("Content-Type", "Application/PKCS10 ; charset=us-ascii".to_owned())];
    judged(Connection::default().send(&Outgoing { headers: right, ..join() }));
}

#[test]
fn a_body_may_have_line_breaks_but_is_neither_empty_nor_too_large_nor_anything_else() {
    let base64 = join().body;
    let broken: Vec<u8> = base64.chunks(64).flat_map(|l| [l, b"\r\n"].concat()).collect();
    judged(Connection::default().send(&Outgoing { body: broken, ..join() }));
    // RFC 8951 §3.1: CR, LF, space and tab are to be tolerated, wherever they stand.
    let blank: Vec<u8> = base64.chunks(7).flat_map(|l| [b" \t", l, b"\r\n"].concat()).collect();
    judged(Connection::default().send(&Outgoing { body: blank, ..join() }));

    let pem = [&b"-----BEGIN CERTIFICATE REQUEST-----\n"[..], &base64].concat();
    let mut altered = csr();
    *altered.last_mut().unwrap() ^= 1;
    for (body, wanted) in [
        (Vec::new(), (400, "body-empty")),
        (b" \r\n".to_vec(), (400, "body-empty")),
        (vec![b'A'; wire::BODY_OCTETS_MAX + 1], (413, "body-too-large")),
        (vec![b'A'; wire::BODY_OCTETS_MAX], (413, "csr-too-large")),
        (b"%%%".to_vec(), (400, "body-base64")),
        (pem, (400, "body-base64")),
        (csr(), (400, "body-base64")),
        (b"AAAA".to_vec(), (400, "csr-der")),
        (wire::write_body(&altered), (400, "csr-signature")),
    ] {
        let action = Connection::default().send(&Outgoing { body, ..join() });
        assert_eq!(refused(action), (wanted.0, wanted.1.to_owned()));
    }
}

#[test]
fn a_chain_has_six_certificates_at_most() {
    let chain = |count| Connection { chain: vec![leaf(); count], exporter: None };
    judged(chain(6).send(&join()));
    assert_eq!(refused(chain(7).send(&join())), (400, "chain-too-long".to_owned()));
    assert!(matches!(chain(7).send(&client::cacerts(&realm())), Action::CaCerts(_)));
}

#[test]
fn the_client_hears_whose_move_is_next() {
    let turned_away = |refusal: &Refusal| {
        let answer = server::refuse(refusal);
        (client::read_csrattrs(&incoming(&answer)).unwrap(), answer.close)
    };
    let refused = |status, sentence: &str, after_s| Reply::Refused {
        status,
        sentence: sentence.to_owned(),
        after_s,
    };
    let denied = |rule: RuleId| Refusal::Denied(rule);

    let revoked = RuleId::REVOKED.sentence();
    assert_eq!(turned_away(&denied(RuleId::REVOKED)), (refused(403, &revoked, None), true));
    let nothing = RuleId::NO_CREDENTIAL.sentence();
    assert_eq!(turned_away(&denied(RuleId::NO_CREDENTIAL)), (refused(401, &nothing, None), true));
    let rate = RuleId::RATE.sentence();
    assert_eq!(turned_away(&denied(RuleId::RATE)), (refused(429, &rate, Some(60)), false));
    let outage = Refusal::Outage(Cause("the disk is full".into()));
    assert_eq!(turned_away(&outage), (refused(503, "the disk is full", Some(30)), false));
}

#[test]
fn an_answer_that_comes_later_is_waited_for() {
    for (retry_after, after_s) in [
        (Some("120"), 120),
        (None, 300),
        (Some("Wed, 21 Oct 2026 07:28:00 GMT"), 300),
        (Some("99999999999"), 7 * 86_400),
    ] {
        let later = Incoming { status: 202, content_type: None, retry_after, body: b"" };
        let reply = client::read_csrattrs(&later).unwrap();
        assert_eq!(reply, Reply::Later { after_s });
    }
}

#[test]
fn a_refusal_cannot_speak_to_a_terminal() {
    let body = b"\x1b[2Jno\nmore";
    let no = Incoming { status: 403, content_type: None, retry_after: None, body };
    let reply = client::read_csrattrs(&no).unwrap();
    let sentence = "[2Jno".to_owned();
    assert_eq!(reply, Reply::Refused { status: 403, sentence, after_s: None });
}

#[test]
fn an_answer_of_another_kind_is_a_defect_of_the_server() {
    let html = Incoming {
        status: 200,
        content_type: Some("text/html"),
        retry_after: None,
        body: b"<p>Welcome",
    };
    assert_eq!(client::read_cacerts(&html).unwrap_err().name, "content-type");
    assert_eq!(client::read_csrattrs(&html).unwrap_err().name, "content-type");
    assert_eq!(client::read_leaf(&html, key(1).public()).unwrap_err().name, "content-type");
    assert_eq!(client::read_key_and_leaf(&html).unwrap_err().name, "multipart");
}
