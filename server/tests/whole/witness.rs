//! Two Musters, of which one witnesses the other's ledger.

use crate::world::World;
use aws_lc_rs::signature::{KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use identity::key::sha256;
use identity::text::{base64, hex};
use ledger::note::{self, open_whole};
use ledger::witness::AddCheckpoint;
use ledger::{Checkpoint, Receipt, Trust, VerifierKey};
use serde_json::json;
use server::caller::Caller;
use server::checkpoint::{sign_all, witness_all};
use server::listen::{self, Gate, Limits, Stopper};
use server::witness::serve::{Witness, answer};
use std::sync::Arc;
use tempfile::TempDir;

/// A witness of one log, behind a port.
struct Beside {
    key: VerifierKey,
    url: String,
    _dir: TempDir,
    _stopper: Stopper,
}

impl Beside {
    fn of(log: &VerifierKey) -> Self {
        let dir = TempDir::new().unwrap();
        let logs = [(log.name().clone(), log.clone())];
        let witness = Arc::new(Witness::open(dir.path(), None, logs).unwrap());
        let (listener, port) = listen::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let (stopper, stop) = Stopper::new();
        let gate = Gate::plain(Limits::PUBLIC, stop);
        let key = witness.key().unwrap();
        let says = move |_, request| answer(witness.clone(), request);
        tokio::spawn(listen::serve(listener, gate, says));
        Self { key, url: format!("http://127.0.0.1:{port}"), _dir: dir, _stopper: stopper }
    }
}

/// A witness of another make, which signs with ML-DSA-44 as C2SP tlog-cosignature has it.
fn post_quantum() -> Beside {
    let pair = Arc::new(PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[4; 32]).unwrap());
    let name = "pq.example/w";
    let material = [&[6], pair.public_key().as_ref()].concat();
    let id = sha256(&[name.as_bytes(), b"\n", &material])[..4].to_vec();
    let key = format!("{name}+{}+{}", hex(&id), base64(&material));
    let says = move |_, request: Request<Incoming>| {
        let (pair, id) = (Arc::clone(&pair), id.clone());
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let add = AddCheckpoint::decode(std::str::from_utf8(&body).unwrap()).unwrap();
            let seen = note::unbelieved(&add.note).unwrap();
            let at = 1_790_000_000_u64.to_be_bytes();
            let said =
                |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            let message = [
                b"subtree/v1\n\0".as_slice(),
                &said(name),
                &at,
                &said(seen.origin.as_str()),
                &[0; 8],
                &seen.size.to_be_bytes(),
                &seen.root,
            ];
            let mut signature = vec![0; 2420];
            pair.sign(&message.concat(), &mut signature).unwrap();
            let line = base64(&[&id, at.as_slice(), &signature].concat());
            Response::new(Full::new(Bytes::from(format!("\u{2014} {name} {line}\n"))))
        }
    };
    let (listener, port) = listen::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let (stopper, stop) = Stopper::new();
    tokio::spawn(listen::serve(listener, Gate::plain(Limits::PUBLIC, stop), says));
    let (key, dir) = (VerifierKey::parse(&key).unwrap(), TempDir::new().unwrap());
    Beside { key, url: format!("http://127.0.0.1:{port}"), _dir: dir, _stopper: stopper }
}

async fn log_key(world: &mut World) -> VerifierKey {
    let head = world.get("/api/v1/head").await;
    VerifierKey::parse(head["verifier"].as_str().unwrap()).unwrap()
}

async fn turn(world: &World) {
    let running = world.running();
    sign_all(running.house(), running.view()).await;
    witness_all(running.house(), running.view()).await;
}

async fn published(world: &World) -> String {
    world.public().await.get("/ledger/default/checkpoint", &[]).await.text().to_owned()
}

async fn name(world: &mut World, witness: &Beside) {
    let said = json!({"url": witness.url, "key": witness.key.to_string()});
    world.put("/api/v1/witnesses/beside", said).await;
}

#[tokio::test]
async fn a_witnessed_checkpoint_is_published_and_its_receipts_carry_the_cosignature() {
    let mut world = World::new().await;
    let log = log_key(&mut world).await;
    let beside = Beside::of(&log);
    name(&mut world, &beside).await;
    let (device, _) = world.enrolled("pump-7").await;
    let path = format!("/api/v1/devices/{}/receipt", device.id);
    let (admin, seen) = (world.admin(), format!("{path}?witnessed=true"));
    let heard = world.ask_as(&admin, Method::GET, &seen, None).await;
    assert_eq!(heard.status(), 503, "{}", heard.text());
    assert!(heard.text().contains("no witness has cosigned"), "{}", heard.text());
    assert_eq!(heard.header("retry-after"), Some("1"), "it is asked within the second");
    turn(&world).await;

    let keys = [log, beside.key.clone()];
    let note = published(&world).await;
    let opened = open_whole(&note, &keys).unwrap();
    assert_eq!(opened.cosigned[0].witness, *beside.key.name());
    let heard = world.ask_as(&admin, Method::GET, &seen, None).await;
    let receipt = Receipt::decode(heard.text()).unwrap();
    assert!(receipt.verify(&Trust { keys: &keys, quorum: 1 }).is_ok());

    let page = world.get("/api/v1/witnesses").await;
    assert_eq!(page["items"][0]["cosigned_size"], opened.checkpoint.size);
    assert_eq!(page["items"][0]["lag"], 0);
    let figures = world.ask_as(&admin, Method::GET, "/metrics", None).await;
    let line = "muster_witness_lag_entries{realm=\"default\",witness=\"beside\"} 0\n";
    assert!(figures.text().contains(line), "{}", figures.text());

    let two = json!({"key": "witness_quorum", "value": "2"});
    world.put("/api/v1/settings", two).await;
    let ready = world.get("/readyz").await;
    let said = ready["checks"].as_array().unwrap().iter().find(|c| c["name"] == "witnesses");
    let detail = said.unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("`default` names 1 and waits for 2"), "{detail}");
    world.end().await;
}

#[tokio::test]
async fn a_post_quantum_witness_counts_like_another() {
    let mut world = World::new().await;
    let log = log_key(&mut world).await;
    let beside = post_quantum();
    name(&mut world, &beside).await;
    world.enrolled("pump-7").await;
    turn(&world).await;
    let note = published(&world).await;
    assert_eq!(open_whole(&note, &[log.clone(), beside.key]).unwrap().cosigned.len(), 1);
    assert!(open_whole(&note, &[log]).unwrap().cosigned.is_empty());
    world.end().await;
}

#[tokio::test]
async fn what_nobody_saw_is_not_published_until_a_witness_did() {
    let mut world = World::new().await;
    let log = log_key(&mut world).await;
    turn(&world).await;
    let before = published(&world).await;
    let nowhere = json!({"url": "http://127.0.0.1:9", "key": Beside::of(&log).key.to_string()});
    world.put("/api/v1/witnesses/beside", nowhere).await;
    world.enrolled("pump-7").await;
    turn(&world).await;
    assert_eq!(published(&world).await, before);
    let page = world.get("/api/v1/witnesses").await;
    assert!(page["items"][0]["trouble"].as_str().unwrap().contains("cannot be reached"));

    let beside = Beside::of(&log);
    name(&mut world, &beside).await;
    turn(&world).await;
    let size = open_whole(&published(&world).await, &[log, beside.key]).unwrap().checkpoint.size;
    assert_eq!(world.get("/api/v1/head").await["size"], size);

    world.restart().await;
    world.delete("/api/v1/witnesses/beside").await;
    turn(&world).await;
    turn(&world).await;
    let plain = note::unbelieved(&published(&world).await).unwrap();
    assert_eq!(world.get("/api/v1/head").await["size"], plain.size);
    world.end().await;
}

#[tokio::test]
async fn a_log_that_forks_with_its_own_key_is_refused_by_its_witness() {
    let mut world = World::new().await;
    let log = log_key(&mut world).await;
    let beside = Beside::of(&log);
    name(&mut world, &beside).await;
    world.enrolled("pump-7").await;
    turn(&world).await;
    let seen = note::unbelieved(&published(&world).await).unwrap();

    // Whoever owns the host owns the key, and can sign any past.
    let key = world.running().house().ledger_key.clone();
    let caller = Caller::parse(&beside.url).unwrap();
    let add = |size, root| {
        let forged = Checkpoint { origin: seen.origin.clone(), size, root };
        let note = note::sign(&forged, &*key).unwrap();
        AddCheckpoint { old: seen.size, proof: Vec::new(), note }.encode()
    };
    let said = caller.post("/add-checkpoint", add(seen.size, [7; 32]), 1000).await.unwrap();
    assert_eq!((said.status, &said.body[..]), (409, format!("{}\n", seen.size).as_bytes()));
    let said = caller.post("/add-checkpoint", add(seen.size + 1, [7; 32]), 1000).await.unwrap();
    assert_eq!(said.status, 422);
    world.end().await;
}

#[tokio::test]
async fn only_an_admin_names_witnesses_and_only_with_a_key_of_one() {
    let mut world = World::new().await;
    let log = log_key(&mut world).await;
    let admin = world.admin();
    let good = Beside::of(&log).key.to_string();
    for (name, said) in [
        ("beside", json!({"url": "http://w.example", "key": log.to_string()})),
        ("beside", json!({"url": "ftp://w.example", "key": good})),
        ("be side", json!({"url": "http://w.example", "key": good})),
    ] {
        let path = api::path::fill(api::path::WITNESS, &[name]);
        let heard = world.ask_as(&admin, Method::PUT, &path, Some(said)).await;
        assert_eq!(heard.status(), 400, "{}", heard.text());
    }
    let said = json!({"url": "http://w.example", "key": good});
    world.put("/api/v1/witnesses/a", said.clone()).await;
    let heard = world.ask_as(&admin, Method::PUT, "/api/v1/witnesses/b", Some(said)).await;
    assert_eq!(heard.status(), 409, "{}", heard.text());
    assert_eq!(world.last_entry().verb(), "witness.set");
    // What is a witness is no setting that anybody may write.
    let said = json!({"key": "witness:c", "value": "x"});
    let heard = world.ask_as(&admin, Method::PUT, "/api/v1/settings", Some(said)).await;
    assert_eq!(heard.status(), 400, "{}", heard.text());
    assert_eq!(world.get("/api/v1/settings").await["items"], json!([]));
    world.end().await;
}
