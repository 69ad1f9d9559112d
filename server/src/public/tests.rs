use super::*;
use identity::UnixTime;

fn view() -> PublicView {
    let registry = Registry::open_memory().unwrap();
    let view = PublicView::new(registry, [(RealmName::default_realm(), RealmKey(1))]);
    let crl = PublicFile::new(Kind::Crl, vec![1, 2, 3], UnixTime::from_secs(1));
    view.show("/crl/default/ab.crl", crl);
    view
}

fn get(view: &PublicView, path: &str) -> Answer {
    answer(view, path, &HeaderMap::new())
}

#[tokio::test]
async fn what_is_shown_is_found_and_nothing_else() {
    let view = view();
    assert_eq!(get(&view, "/crl/default/ab.crl").status(), StatusCode::OK);
    for path in ["/", "/crl/default/ac.crl", "/crl/default/../ab.crl", "/ocsp/other", "/ocsp/"] {
        assert_eq!(get(&view, path).status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_new_list_takes_the_place_of_the_old_one() {
    let view = view();
    view.show("/crl/default/ab.crl", PublicFile::new(Kind::Crl, vec![4], UnixTime::from_secs(2)));
    assert_eq!(view.shown("/crl/default/ab.crl").unwrap().octets(), [4]);
}

#[tokio::test]
async fn paths_of_tiles_are_read_and_others_are_not() {
    let view = view();
    assert!(tile_of(&view, "/ledger/default/tile/0/x001/067").is_some());
    assert!(tile_of(&view, "/ledger/default/tile/entries/000.p/17").is_some());
    for path in ["/ledger/other/tile/0/000", "/ledger/default/tile/0/0", "/ledger/default/x"] {
        assert!(tile_of(&view, path).is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_full_tile_is_kept_for_good_and_a_part_is_not() {
    let full = tile_answer(vec![0; 8192], true);
    assert!(full.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let part = tile_answer(vec![0; 32], false);
    assert!(!part.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
}

#[tokio::test]
async fn a_tile_that_is_not_there_is_not_found() {
    let view = Arc::new(view());
    let tile = TilePath::parse("tile/0/000").unwrap();
    let answer = read_tile(view, RealmKey(1), tile).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

/// A responder in an empty house.
fn responder() -> Arc<ocsp::Desk> {
    use crate::house::{Furniture, House};
    let ledger_key = crate::keys::NewKey::make(identity::KeyKind::Ed25519).unwrap();
    let furniture = Furniture {
        registry: Registry::open_memory().unwrap(),
        clock: crate::clock::Clock::System,
        keyring: crate::house::Keyring::new(),
        ledger_key: Arc::new(ledger_key.signer().unwrap()),
        public_url: None,
    };
    ocsp::Desk::new(House::new(furniture).unwrap())
}

async fn over_http(requests: &str) -> String {
    use crate::listen::{Gate, Limits, Stopper, bind, serve as listen};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (listener, port) = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let (_stopper, stop) = Stopper::new();
    let gate = Gate {
        limits: Limits::PUBLIC,
        tls: None,
        proxies: crate::listen::Proxies::default(),
        strangers: Arc::default(),
        sessions: Arc::default(),
        tally: Arc::default(),
        met: None,
        stop,
    };
    let server = tokio::spawn(listen(listener, gate, handler(Arc::new(view()), responder())));
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    server.abort();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn the_public_port_speaks_http() {
    let heard = over_http(
        "HEAD /crl/default/ab.crl HTTP/1.1\r\nHost: x\r\n\r\n\
         POST /ocsp/default HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
         DELETE /crl/default/ab.crl HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    let statuses: Vec<&str> =
        heard.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "404", "405"], "{heard}");
    assert!(heard.contains("content-length: 3\r\n"), "{heard}");
    assert!(heard.contains("allow: GET, HEAD"), "{heard}");
}
