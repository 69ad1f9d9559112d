use super::*;
use crate::home::OperatorFile;
use crate::home::config::Config;
use crate::keys::{KeyStore, Secret, Unlock, unlock_root};
use identity::Signer;
use identity::authority::Role;
use registry::{Options, Registry};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

fn settings(options: &ServeOptions) -> Settings {
    Settings::from(Config::default(), options).unwrap()
}

fn ensure_in(dir: &Path, options: &ServeOptions) -> Result<Option<Founded>, FoundError> {
    let home = Home::open(dir).unwrap();
    let lock = home.lock().unwrap();
    ensure(&home, &lock, &settings(options), options)
}

fn realm_of(dir: &Path) -> registry::Realm {
    let registry = Registry::open(&dir.join("muster.db"), Options::default()).unwrap();
    registry.realms().pop().unwrap()
}

#[test]
fn an_empty_home_becomes_a_complete_one() {
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();

    let founded = ensure_in(dir.path(), &ServeOptions::default()).unwrap().unwrap();

    eprintln!("founded in {:?}", began.elapsed());
    assert!(founded.passphrase_beside);
    let home = Home::open(dir.path()).unwrap();
    let store = KeyStore::with(&home.keys(), None).unwrap();
    let registry = Registry::open(&home.database(), Options::default()).unwrap();
    let realm = registry.realms().pop().unwrap();
    assert_eq!(realm.name.as_str(), "default");
    let authorities = registry.authorities(realm.key).unwrap();
    for role in [Role::Birth, Role::Operations, Role::Service] {
        let authority = authorities.iter().find(|a| a.role == role).unwrap();
        authority.certificate.signed_by(&founded.root).unwrap();
        let key = store.load(role.as_str()).unwrap().key;
        assert_eq!(key.public(), authority.certificate.key());
    }
    assert_eq!(store.load("ledger").unwrap().key.public().kind(), identity::KeyKind::Ed25519);
    let operator = OperatorFile::read(&home.operator()).unwrap();
    assert_eq!(operator.root_pin, founded.root.spki_hash().to_string());
    assert_eq!(registry.head(realm.key).unwrap().size, 1);
}

#[test]
fn nothing_secret_is_readable_by_others() {
    let dir = tempfile::tempdir().unwrap();
    ensure_in(dir.path(), &ServeOptions::default()).unwrap();
    for name in [
        "operator.toml",
        "muster.db",
        "keys/birth.key",
        "keys/ledger.key",
        "offline/root.key.age",
        "offline/root.passphrase",
    ] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn the_passphrase_beside_it_opens_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let founded = ensure_in(dir.path(), &ServeOptions::default()).unwrap().unwrap();
    let offline = dir.path().join("offline");
    let secret = root::passphrase_file(&offline.join("root.passphrase")).unwrap();

    let key = unlock_root(&offline.join("root.key.age"), &Unlock::Passphrase(&secret)).unwrap();

    assert_eq!(key.public(), founded.root.key());
    let wrong = Secret::random();
    assert!(unlock_root(&offline.join("root.key.age"), &Unlock::Passphrase(&wrong)).is_err());
}

#[test]
fn a_second_start_founds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    ensure_in(dir.path(), &ServeOptions::default()).unwrap();
    let before = realm_of(dir.path());
    assert!(ensure_in(dir.path(), &ServeOptions::default()).unwrap().is_none());
    assert_eq!(realm_of(dir.path()), before);
}

#[test]
fn a_crash_while_building_is_founded_again_from_scratch() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".founding/keys")).unwrap();
    fs::write(dir.path().join(".founding/keys/birth.key"), "half").unwrap();

    assert!(ensure_in(dir.path(), &ServeOptions::default()).unwrap().is_some());

    assert!(!dir.path().join(".founding").exists());
}

#[test]
fn a_crash_while_moving_in_is_gone_on_with_and_no_key_changes() {
    let dir = tempfile::tempdir().unwrap();
    ensure_in(dir.path(), &ServeOptions::default()).unwrap();
    let before = realm_of(dir.path());
    let key = fs::read(dir.path().join("keys/birth.key")).unwrap();
    for left in [&["muster.db"][..], &["keys", "muster.db"], &["offline", "operator.toml"], &[]] {
        let built = dir.path().join(".founded");
        fs::create_dir(&built).unwrap();
        for name in left {
            fs::rename(dir.path().join(name), built.join(name)).unwrap();
        }

        assert!(ensure_in(dir.path(), &ServeOptions::default()).unwrap().is_none(), "{left:?}");

        assert!(!built.exists());
        assert_eq!(realm_of(dir.path()), before);
        assert_eq!(fs::read(dir.path().join("keys/birth.key")).unwrap(), key);
    }
}

#[test]
fn keys_without_a_database_are_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    ensure_in(dir.path(), &ServeOptions::default()).unwrap();
    fs::remove_file(dir.path().join("muster.db")).unwrap();
    let key = fs::read(dir.path().join("keys/birth.key")).unwrap();

    let refused = ensure_in(dir.path(), &ServeOptions::default()).unwrap_err().to_string();

    assert!(refused.contains("no muster.db"), "{refused}");
    assert_eq!(fs::read(dir.path().join("keys/birth.key")).unwrap(), key);
}

#[test]
fn somebody_elses_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    assert!(ensure_in(dir.path(), &ServeOptions::default()).is_err());
    assert!(!dir.path().join("keys").exists());
}

#[test]
fn a_home_with_just_its_file_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("muster.toml"), "").unwrap();
    assert!(ensure_in(dir.path(), &ServeOptions::default()).unwrap().is_some());
}

#[test]
fn authorities_of_every_kind_are_founded() {
    for kind in [identity::KeyKind::P384, identity::KeyKind::Ed25519] {
        let dir = tempfile::tempdir().unwrap();
        let options = ServeOptions { key_kind: Some(kind), ..Default::default() };
        let founded = ensure_in(dir.path(), &options).unwrap().unwrap();
        assert_eq!(founded.root.key().kind(), kind);
    }
}

#[test]
fn a_database_that_lost_its_content_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    ensure_in(dir.path(), &ServeOptions::default()).unwrap();
    let database = dir.path().join("muster.db");

    let torn: [&[u8]; 4] = [b"", b"S", b"SQLite format 4\0", &[0; 4096]];
    for torn in torn {
        fs::write(&database, torn).unwrap();
        let error = ensure_in(dir.path(), &ServeOptions::default()).unwrap_err().to_string();
        assert!(error.contains("muster.db") && error.contains("back-up"), "{error}");
        assert_eq!(fs::read(&database).unwrap(), torn);
    }
}

#[test]
fn a_home_with_a_write_ahead_log_and_no_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("muster.db-wal"), b"what was written last").unwrap();

    let error = ensure_in(dir.path(), &ServeOptions::default()).unwrap_err().to_string();

    assert!(
        error.contains("muster.db-wal") && error.contains("bring its database back"),
        "{error}"
    );
    assert!(!dir.path().join("muster.db").exists());
    assert_eq!(fs::read(dir.path().join("muster.db-wal")).unwrap(), b"what was written last");
}
