//! The responder: what a relying party is told of a certificate, at once and in every way to ask.

use crate::connections::proxied;
use crate::roll::roll;
use crate::world::line::{Heard, Line};
use crate::world::pki::{Key, Shows};
use crate::world::{DAY_S, HOUR_S, World, default_realm, simpleenroll};
use bytes::Bytes;
use ca::ocsp::wire::{Digest, Response, cert_id, request};
use ca::ocsp::{Failure, Names, Status};
use http_body_util::Full;
use hyper::{Method, Request};
use identity::text::base64;
use identity::{Certificate, Reason, Serial, UnixTime};
use serde_json::json;

/// The authority that signed what is shown.
fn issuer(world: &World, shown: &Shows) -> Certificate {
    let id = shown.certificate().authority_key_id().unwrap();
    let realm = world.running().house().realm(&default_realm()).unwrap();
    realm.authorities.iter().find(|a| a.id == id).unwrap().certificate.clone()
}

fn id(world: &World, digest: Digest, shown: &Shows) -> Vec<u8> {
    let names = Names::of(&issuer(world, shown)).unwrap();
    cert_id(digest, &names, &shown.certificate().serial().unwrap()).unwrap()
}

fn asking(world: &World, shown: &Shows) -> Vec<u8> {
    request(&[id(world, Digest::Sha1, shown)], None).unwrap()
}

async fn post(line: &mut Line, asked: &[u8]) -> Heard {
    let request = Request::post("/ocsp/default")
        .header("host", "localhost")
        .header("content-type", "application/ocsp-request")
        .body(Full::new(Bytes::copy_from_slice(asked)));
    line.send(request.unwrap()).await
}

/// The path of a GET, the base64 escaped as RFC 6960 appendix A.1 says.
fn path(asked: &[u8]) -> String {
    let escaped = base64(asked).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("/ocsp/default/{escaped}")
}

fn read(heard: &Heard) -> Response {
    assert_eq!(heard.status(), 200, "{heard:?}");
    assert_eq!(heard.header("content-type"), Some("application/ocsp-response"));
    Response::parse(heard.body()).unwrap().unwrap()
}

/// We always say who signed.
fn signer(response: &Response) -> &Certificate {
    response.responder.as_ref().unwrap()
}

/// What the responder says of a certificate now, over a connection of its own.
async fn status(world: &World, shown: &Shows) -> Status {
    let heard = post(&mut world.public().await, &asking(world, shown)).await;
    let response = read(&heard);
    response.verify(&issuer(world, shown)).unwrap();
    assert_eq!(response.singles[0].this_update.secs(), response_time(world, &response));
    response.singles[0].status
}

/// Answers are of now or of half an hour ago at most, and their signer outlives them.
fn response_time(world: &World, response: &Response) -> u64 {
    let single = &response.singles[0];
    assert!(world.now().secs_since(single.this_update) <= HOUR_S / 2);
    let next = single.next_update.unwrap();
    assert!(next.secs_since(world.now()) >= HOUR_S / 2 && next < signer(response).not_after());
    single.this_update.secs()
}

fn reason(status: Status) -> Reason {
    match status {
        Status::Revoked(revocation) => revocation.reason,
        other => panic!("revoked was expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_leaf_is_good_then_on_hold_then_good_then_revoked_each_from_the_answer_on() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    assert_eq!(status(&world, &leaf).await, Status::Good);
    assert_eq!(status(&world, &leaf).await, Status::Good, "from memory");
    assert_eq!(status(&world, &device.birth).await, Status::Good);

    world.suspend(&device.id).await;
    assert_eq!(reason(status(&world, &leaf).await), Reason::CertificateHold);
    assert_eq!(status(&world, &device.birth).await, Status::Good, "a birth is not on hold");

    world.resume(&device.id).await;
    assert_eq!(status(&world, &leaf).await, Status::Good);

    world.later(60);
    let revoked = world.now();
    world.revoke(&format!("cert:{}", leaf.serial()), "privilegeWithdrawn").await;
    let Status::Revoked(told) = status(&world, &leaf).await else { panic!("revoked") };
    assert_eq!(told.reason, Reason::PrivilegeWithdrawn);
    assert_eq!(told.at.secs(), revoked.secs());

    world.retire(&device.id).await;
    let birth = status(&world, &device.birth).await;
    assert_eq!(reason(birth), Reason::CessationOfOperation);
    world.end().await;
}

#[tokio::test]
async fn nobody_is_told_good_after_a_revocation_was_acknowledged_however_many_ask() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let (asked, port) = (asking(&world, &leaf), world.running().ports().public.unwrap());
    let acknowledged = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let askers = (0..4).map(|_| {
        let (asked, acknowledged) = (asked.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut line = Line::plain(port).await;
            loop {
                let over = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
                let good = read(&post(&mut line, &asked).await).singles[0].status == Status::Good;
                assert!(!(over && good), "good after the revocation was acknowledged");
                if !good {
                    return;
                }
            }
        })
    });
    let askers: Vec<_> = askers.collect();

    world.revoke(&format!("cert:{}", leaf.serial()), "keyCompromise").await;
    acknowledged.store(true, std::sync::atomic::Ordering::SeqCst);

    for asker in askers {
        asker.await.unwrap();
    }
    world.end().await;
}

#[tokio::test]
async fn what_we_did_not_issue_is_unknown_and_what_is_issued_later_is_good_at_once() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let names = Names::of(&issuer(&world, &leaf)).unwrap();
    let mut line = world.public().await;
    let nobodys = Serial::new(world.now(), [7; 10]);
    let asked = request(&[cert_id(Digest::Sha256, &names, &nobodys).unwrap()], None).unwrap();
    for _ in 0..2 {
        let heard = post(&mut line, &asked).await;
        assert_eq!(read(&heard).singles[0].status, Status::Unknown);
        assert_eq!(heard.header("cache-control"), Some("no-store"));
    }

    // A serial number of another issuer is unknown to this one.
    let device = world.born("pump-8").await;
    let other =
        cert_id(Digest::Sha1, &names, &device.birth.certificate().serial().unwrap()).unwrap();
    let heard = post(&mut line, &request(&[other], None).unwrap()).await;
    assert_eq!(read(&heard).singles[0].status, Status::Unknown);
    assert_eq!(status(&world, &device.birth).await, Status::Good);
    world.end().await;
}

#[tokio::test]
async fn get_and_post_and_both_digests_say_the_same() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let mut line = world.public().await;
    for digest in [Digest::Sha1, Digest::Sha256] {
        let asked = request(&[id(&world, digest, &leaf)], None).unwrap();
        let posted = post(&mut line, &asked).await;
        let got = line.get(&path(&asked), &[]).await;
        let bare = line.get(&format!("/ocsp/default/{}", base64(&asked)), &[]).await;
        assert_eq!(posted.body(), got.body());
        assert_eq!(posted.body(), bare.body(), "slashes in a path need not be escaped");
        let response = read(&got);
        assert_eq!(response.singles[0].status, Status::Good);
        assert_eq!(response.singles[0].id, id(&world, digest, &leaf));
    }
    world.end().await;
}

#[tokio::test]
async fn an_address_has_its_share_of_signatures_and_what_lies_ready_costs_nothing_of_it() {
    let mut world = World::with_config("[proxy]\nfrom = [\"127.0.0.0/8\"]\n").await;
    world.preface = proxied([192, 0, 2, 7]);
    let (_, leaf) = world.enrolled("pump-7").await;
    let plain = asking(&world, &leaf);
    let fresh = request(&[id(&world, Digest::Sha256, &leaf)], Some(&[1; 32])).unwrap();
    let mut line = world.public().await;
    read(&post(&mut line, &plain).await);
    for _ in 1..server::limits::OCSP_SIGNED_BURST {
        read(&post(&mut line, &fresh).await);
    }

    let heard = post(&mut line, &fresh).await;

    assert_eq!((heard.status(), heard.body()), (200, Failure::TryLater.octets()));
    assert_eq!(read(&post(&mut line, &plain).await).singles[0].status, Status::Good);
    world.preface = proxied([192, 0, 2, 8]);
    read(&post(&mut world.public().await, &fresh).await);
    world.later(1);
    read(&post(&mut line, &fresh).await);
    let count = "muster_ocsp_answers_total{realm=\"default\",result=\"limited\"} 1";
    assert!(world.metrics().await.contains(count));
    world.end().await;
}

#[tokio::test]
async fn a_nonce_comes_back_and_a_fresh_signature_with_it() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let mut line = world.public().await;
    let ids = [id(&world, Digest::Sha256, &leaf)];
    for nonce in [[1; 32], [2; 32]] {
        let heard = post(&mut line, &request(&ids, Some(&nonce)).unwrap()).await;
        let response = read(&heard);
        response.verify(&issuer(&world, &leaf)).unwrap();
        assert_eq!(response.nonce.as_deref(), Some(&nonce[..]));
        assert_eq!(heard.header("cache-control"), Some("no-store"));
    }
    let without = read(&post(&mut line, &request(&ids, None).unwrap()).await);
    assert_eq!(without.nonce, None);

    world.suspend(&device.id).await;
    let after = read(&post(&mut line, &request(&ids, Some(&[3; 16])).unwrap()).await);
    assert_eq!(reason(after.singles[0].status), Reason::CertificateHold);
    world.end().await;
}

#[tokio::test]
async fn several_certificates_of_one_issuer_are_answered_together_and_of_two_not() {
    let mut world = World::new().await;
    let (device, first) = world.enrolled("pump-7").await;
    let (_, second) = world.enrolled("pump-8").await;
    world.revoke(&format!("cert:{}", second.serial()), "superseded").await;
    let ids = [&first, &second].map(|leaf| id(&world, Digest::Sha1, leaf));
    let mut line = world.public().await;

    let response = read(&post(&mut line, &request(&ids, None).unwrap()).await);
    let of: Vec<_> = response.singles.iter().map(|s| s.id.clone()).collect();
    assert_eq!(of, ids);
    assert_eq!(response.singles[0].status, Status::Good);
    assert_eq!(reason(response.singles[1].status), Reason::Superseded);

    let mixed = [ids[0].clone(), id(&world, Digest::Sha1, &device.birth)];
    let heard = post(&mut line, &request(&mixed, None).unwrap()).await;
    assert_eq!(heard.body(), Failure::Unauthorized.octets());
    world.end().await;
}

#[tokio::test]
async fn caches_are_told_what_they_may_keep() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let asked = path(&asking(&world, &leaf));
    let mut line = world.public().await;

    let first = line.get(&asked, &[]).await;
    let keeps = first.header("cache-control").unwrap();
    assert_eq!(keeps, "public, max-age=60, no-transform, must-revalidate");
    let single = &read(&first).singles[0];
    let date = |name| httpdate(first.header(name).unwrap());
    assert_eq!(date("last-modified"), single.this_update.secs());
    assert_eq!(date("expires"), single.next_update.unwrap().secs());

    let etag = first.header("etag").unwrap();
    let again = line.get(&asked, &[("if-none-match", etag)]).await;
    assert_eq!((again.status(), again.body().len()), (304, 0));
    assert_eq!(again.header("etag"), Some(etag));

    world.revoke(&format!("cert:{}", leaf.serial()), "superseded").await;
    let after = line.get(&asked, &[("if-none-match", etag)]).await;
    assert_eq!(reason(read(&after).singles[0].status), Reason::Superseded);
    world.end().await;
}

/// Seconds since 1970 of an IMF-fixdate of this century.
fn httpdate(text: &str) -> u64 {
    let part: Vec<&str> = text.split([' ', ':', ',']).filter(|p| !p.is_empty()).collect();
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == part[2]).unwrap() + 1;
    let wanted = format!("{}-{month:02}-{}T{}:{}:{}Z", part[3], part[1], part[4], part[5], part[6]);
    // Found again by halving, since only the other direction is ours.
    let (mut low, mut high) = (946_684_800_u64, 4_102_444_800_u64);
    while low < high {
        let middle = u64::midpoint(low, high);
        let at = identity::text::rfc3339(UnixTime::from_secs(middle));
        if at < wanted { low = middle + 1 } else { high = middle }
    }
    low
}

#[tokio::test]
async fn an_answer_is_made_anew_in_time_and_so_is_its_signer() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let asked = asking(&world, &device.birth);
    let issuer = issuer(&world, &device.birth);
    let heard = post(&mut world.public().await, &asked).await;
    let first = read(&heard);

    world.later(HOUR_S / 2 + 1);
    let second = read(&post(&mut world.public().await, &asked).await);
    assert!(second.singles[0].this_update > first.singles[0].this_update);
    assert_eq!(signer(&second).der(), signer(&first).der());

    for days in [4, 30, 365] {
        world.later(days * DAY_S);
        let later = read(&post(&mut world.public().await, &asked).await);
        assert_ne!(signer(&later).der(), signer(&first).der());
        later.verify(&issuer).unwrap();
        assert_eq!(later.singles[0].status, Status::Good);
        response_time(&world, &later);
    }
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_malformed_and_what_is_not_ours_is_unauthorized() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let mut line = world.public().await;
    for bad in [Vec::new(), b"hello".to_vec(), vec![0x30, 0]] {
        let heard = post(&mut line, &bad).await;
        assert_eq!((heard.status(), heard.body()), (200, Failure::Malformed.octets()));
        assert_eq!(heard.header("cache-control"), Some("no-store"));
    }
    for bad in ["/ocsp/default", "/ocsp/default/", "/ocsp/default/%zz", "/ocsp/default/MEkw"] {
        let heard = line.get(bad, &[]).await;
        assert_eq!((heard.status(), heard.body()), (200, Failure::Malformed.octets()), "{bad}");
    }
    let root = Names::of(world.root()).unwrap();
    let asked = request(
        &[cert_id(Digest::Sha1, &root, &leaf.certificate().serial().unwrap()).unwrap()],
        None,
    )
    .unwrap();
    let heard = post(&mut line, &asked).await;
    assert_eq!(heard.body(), Failure::Unauthorized.octets(), "the root signs offline");

    let put = Request::put("/ocsp/default").header("host", "x").body(Full::default()).unwrap();
    let heard = line.send(put).await;
    assert_eq!((heard.status(), heard.header("allow")), (405, Some("GET, HEAD, POST")));
    assert_eq!(line.get("/ocsp/elsewhere/MEkw", &[]).await.status(), 404);

    // What is too large ends the connection, since nobody reads the rest of it.
    let heard = post(&mut line, &[0x30; 5000]).await;
    assert_eq!(heard.body(), Failure::Malformed.octets());
    assert_eq!(heard.header("connection"), Some("close"));
    world.end().await;
}

#[tokio::test]
async fn a_barred_authority_is_not_answered_for_and_a_retiring_one_is() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let (old, asked) = (issuer(&world, &leaf), asking(&world, &leaf));
    assert_eq!(status(&world, &leaf).await, Status::Good);

    roll(&mut world, "operations", json!({})).await;
    let (_, newer) = world.enrolled("pump-8").await;
    assert_ne!(issuer(&world, &newer).der(), old.der());
    assert_eq!(status(&world, &newer).await, Status::Good);
    assert_eq!(status(&world, &leaf).await, Status::Good, "the retiring one is answered for");
    world.suspend(&device.id).await;
    assert_eq!(reason(status(&world, &leaf).await), Reason::CertificateHold);

    let path = format!("/api/v1/authorities/{}", old.subject_key_id().unwrap());
    let admin = world.admin();
    let body = Some(json!({"state": "barred"}));
    let heard = world.ask_as(&admin, Method::PATCH, &path, body).await;
    assert_eq!(heard.status(), 200, "{}", heard.text());
    let heard = post(&mut world.public().await, &asked).await;
    assert_eq!(heard.body(), Failure::Unauthorized.octets());
    assert_eq!(status(&world, &device.birth).await, Status::Good, "the birth authority stands");
    world.end().await;
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_still_answered_for() {
    let mut world = World::new().await;
    let device = world.born("pump-7").await;
    let key = Key::new();
    let leaf = world.say(Some(&device.birth), simpleenroll(&key.csr(""))).await.leaf(&key);
    world.revoke(&format!("cert:{}", leaf.serial()), "superseded").await;
    world.later(400 * DAY_S);
    assert_eq!(reason(status(&world, &leaf).await), Reason::Superseded);
    world.end().await;
}
