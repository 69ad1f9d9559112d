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
async fn ocsp_says_try_later() {
    let view = view();
    for path in ["/ocsp/default", "/ocsp/default/MEIwQDA%2B"] {
        let answer = get(&view, path);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/ocsp-response");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
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
