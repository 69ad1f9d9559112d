//! The public port: what everybody may fetch agrees with what the server knows.

use crate::world::pki::{Key, Shows};
use crate::world::{DAY_S, HOUR_S, World, simpleenroll};
use der::{Decode, Encode};
use identity::Certificate;
use ledger::note::{self, Checkpoint, VerifierKey};
use ledger::tree::{leaf_hash, verify_consistency};
use ledger::{Frontier, Head, tile};
use serde_json::json;
use std::time::{Duration, Instant};
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{CrlDistributionPoints, IssuingDistributionPoint};

async fn publish(world: &World) {
    let running = world.running();
    server::crl::publish_all(running.house(), running.view()).await;
    server::checkpoint::sign_all(running.house(), running.view()).await;
}

async fn crl(world: &World, path: &str) -> CertificateList {
    let heard = world.public().await.get(path, &[]).await;
    assert_eq!(heard.header("content-type"), Some("application/pkix-crl"));
    CertificateList::from_der(heard.body()).unwrap()
}

fn names(crl: &CertificateList, shown: &Shows) -> bool {
    let serial = shown.certificate().x509().tbs_certificate().serial_number().clone();
    crl.tbs_cert_list.revoked_certificates.iter().flatten().any(|r| r.serial_number == serial)
}

fn idp(crl: &CertificateList) -> Option<(bool, IssuingDistributionPoint)> {
    let oid = const_oid::db::rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT;
    let found = crl.tbs_cert_list.crl_extensions.iter().flatten().find(|e| e.extn_id == oid)?;
    Some((found.critical, IssuingDistributionPoint::from_der(found.extn_value.as_bytes()).unwrap()))
}

/// Where a certificate says that its CRL is, as a path.
fn shard_of(shown: &Shows) -> String {
    let points =
        shown.certificate().x509().tbs_certificate().get_extension::<CrlDistributionPoints>();
    let (_, points) = points.unwrap().unwrap();
    let Some(DistributionPointName::FullName(found)) = &points.0[0].distribution_point else {
        panic!("a full name was expected");
    };
    let GeneralName::UniformResourceIdentifier(url) = &found[0] else {
        panic!("a URL was expected")
    };
    url.as_str().strip_prefix("http://muster.example:8080").unwrap().to_owned()
}

#[tokio::test]
async fn a_revoked_leaf_is_on_its_shard_and_on_the_complete_list_and_nowhere_else() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let path = shard_of(&leaf);
    let (stem, own) = path.strip_suffix(".crl").unwrap().rsplit_once('/').unwrap();
    let own: u16 = own.parse().unwrap();

    world.revoke(&format!("cert:{}", leaf.serial()), "privilegeWithdrawn").await;
    publish(&world).await;

    let complete = crl(&world, &format!("{stem}.crl")).await;
    assert!(names(&complete, &leaf) && idp(&complete).is_none());
    for shard in 0..server::house::SHARDS {
        let path = format!("{stem}/{shard}.crl");
        let list = crl(&world, &path).await;
        assert_eq!(names(&list, &leaf), shard == own, "{path}");
        let (critical, point) = idp(&list).unwrap();
        let said = point.distribution_point.to_der().unwrap();
        let url = format!("http://muster.example:8080{path}");
        assert!(critical && said.windows(url.len()).any(|w| w == url.as_bytes()));
    }
    world.end().await;
}

#[tokio::test]
async fn a_revocation_is_published_by_itself_within_five_seconds() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let path = shard_of(&leaf);
    let asked = Instant::now();
    world.revoke(&format!("cert:{}", leaf.serial()), "keyCompromise").await;

    let published = async {
        while !names(&crl(&world, &path).await, &leaf) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), published).await.expect("within 5 s");
    println!("from the operator's request to the list at the public port: {:?}", asked.elapsed());
    world.end().await;
}

#[tokio::test]
async fn a_revoked_leaf_that_has_ended_leaves_the_lists_after_one_more_list() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let path = shard_of(&leaf);
    world.revoke(&format!("cert:{}", leaf.serial()), "superseded").await;
    publish(&world).await;
    assert!(names(&crl(&world, &path).await, &leaf));

    let ends = leaf.certificate().not_after();
    world.later(ends.secs() - world.now().secs() + 1);
    // Of lists after each other none is the one more: nobody has to fetch every one.
    for _ in 0..3 {
        publish(&world).await;
        assert!(names(&crl(&world, &path).await, &leaf), "named once more past its end");
    }
    world.later(HOUR_S);
    publish(&world).await;
    assert!(!names(&crl(&world, &path).await, &leaf));
    world.end().await;
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_hours_takes_no_revoked_leaf_off_the_lists() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let path = shard_of(&leaf);
    world.revoke(&format!("cert:{}", leaf.serial()), "keyCompromise").await;
    publish(&world).await;

    let ahead = 365 * DAY_S;
    world.later(ahead);
    publish(&world).await;
    world.later(HOUR_S);
    publish(&world).await;
    world.earlier(ahead);

    for _ in 0..3 {
        publish(&world).await;
        assert!(names(&crl(&world, &path).await, &leaf), "it is revoked, and has not ended");
        world.later(HOUR_S);
    }
    world.end().await;
}

#[tokio::test]
async fn a_list_is_not_sent_twice_and_can_be_sent_in_parts() {
    let mut world = World::new().await;
    let (_, leaf) = world.enrolled("pump-7").await;
    let path = shard_of(&leaf);
    let mut line = world.public().await;

    let whole = line.get(&path, &[]).await;
    let etag = whole.header("etag").unwrap();
    let again = line.get(&path, &[("if-none-match", etag)]).await;
    let part = line.get(&path, &[("range", "bytes=0-9"), ("if-range", etag)]).await;

    assert_eq!((again.status(), again.body().len()), (304, 0));
    assert_eq!((part.status(), part.body()), (206, &whole.body()[..10]));
    world.end().await;
}

#[tokio::test]
async fn the_certificate_of_an_authority_is_the_one_that_signed() {
    let mut world = World::new().await;
    let (device, leaf) = world.enrolled("pump-7").await;
    let mut line = world.public().await;
    for shown in [&device.birth, &leaf] {
        let issuer = shown.certificate().authority_key_id().unwrap();
        let heard = line.get(&format!("/ca/default/{issuer}.cer"), &[]).await;
        assert_eq!(heard.header("content-type"), Some("application/pkix-cert"));
        let authority = Certificate::parse(heard.body()).unwrap();
        shown.certificate().signed_by(&authority).unwrap();
        authority.signed_by(world.root()).unwrap();
    }
    world.end().await;
}

#[tokio::test]
async fn the_root_has_a_list_of_its_own() {
    let world = World::new().await;
    let root = world.root().subject_key_id().unwrap();
    let list = crl(&world, &format!("/crl/default/{root}.crl")).await;
    assert!(list.tbs_cert_list.revoked_certificates.is_none());
    world.end().await;
}

#[tokio::test]
async fn nothing_else_is_there() {
    let world = World::new().await;
    let mut line = world.public().await;
    for path in [
        "/ocsp/elsewhere",
        "/",
        "/crl/default/00.crl",
        "/ledger/default/tile/0/999",
        "/api/v1/devices",
    ] {
        assert_eq!(line.get(path, &[]).await.status(), 404, "{path}");
    }
    world.end().await;
}

/// The checkpoint that is shown, signed by the ledger's key.
async fn checkpoint(world: &mut World) -> Checkpoint {
    publish(world).await;
    let head = world.get("/api/v1/head").await;
    let key = VerifierKey::parse(head["verifier"].as_str().unwrap()).unwrap();
    let heard = world.public().await.get("/ledger/default/checkpoint", &[]).await;
    note::open(heard.text(), &[key]).unwrap()
}

#[tokio::test]
async fn the_tiles_give_the_root_of_the_checkpoint_and_every_checkpoint_grows_from_the_last() {
    let mut world = World::new().await;
    let old = checkpoint(&mut world).await;
    let device = world.born("pump-7").await;
    for _ in 0..5 {
        let key = Key::new();
        world.say(Some(&device.birth), simpleenroll(&key.csr(""))).await.leaf(&key);
    }
    let new = checkpoint(&mut world).await;
    assert!(old.size < new.size && new.size < 256, "one tile is enough");

    let mut line = world.public().await;
    let path = format!("/ledger/default/tile/entries/000.p/{}", new.size);
    let bundle = line.get(&path, &[]).await;
    let mut tree = Frontier::new();
    let mut at_old = None;
    for entry in tile::unbundle(bundle.body()).unwrap() {
        tree.append(leaf_hash(entry));
        if tree.size() == old.size {
            at_old = Some(tree.head());
        }
    }
    assert_eq!(tree.head(), Head { size: new.size, root: new.root });
    assert_eq!(at_old.unwrap().root, old.root);

    let path = format!("/ledger/default/tile/0/000.p/{}", new.size);
    let hashes = line.get(&path, &[]).await;
    let entries = line.get(&format!("/ledger/default/tile/entries/000.p/{}", new.size), &[]).await;
    let leaves: Vec<u8> =
        tile::unbundle(entries.body()).unwrap().into_iter().flat_map(leaf_hash).collect();
    assert_eq!(hashes.body(), leaves);
    assert!(!verify_consistency(&at_old.unwrap(), &tree.head(), &[]));
    world.end().await;
}

#[tokio::test]
async fn the_public_ledger_tells_a_stranger_nothing_of_a_device() {
    let mut world = World::new().await;
    let (device, _) = world.enrolled("pump-7-unmistakable").await;
    let new = checkpoint(&mut world).await;
    let path = format!("/ledger/default/tile/entries/000.p/{}", new.size);
    let bundle = world.public().await.get(&path, &[]).await;
    let says = |text: &str| bundle.body().windows(text.len()).any(|w| w == text.as_bytes());
    assert!(!says("pump-7-unmistakable") && !says(&device.id) && !says("issued"));
    assert_eq!(json!(new.size), world.get("/api/v1/head").await["size"]);
    world.end().await;
}
