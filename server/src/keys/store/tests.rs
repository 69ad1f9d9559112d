use super::*;
use identity::KeyKind;
use std::os::unix::fs::PermissionsExt;

fn key() -> NewKey {
    NewKey::make(KeyKind::P256).unwrap()
}

#[test]
fn without_a_passphrase_a_key_is_plain_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::with(dir.path(), None).unwrap();
    let key = key();

    assert_eq!(store.keep("birth", &key).unwrap(), Keeping::Plain);

    let loaded = store.load("birth").unwrap();
    assert_eq!(loaded.keeping, Keeping::Plain);
    assert_eq!(loaded.key.public(), key.signer().unwrap().public());
}

#[test]
fn a_plain_key_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::with(dir.path(), None).unwrap();
    store.keep("birth", &key()).unwrap();
    let path = dir.path().join("birth.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(store.load("birth").unwrap_err().to_string().contains("open to others"));
}

#[test]
fn with_a_passphrase_a_key_is_encrypted_and_opens_only_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("muster-key-passphrase"), "x".repeat(44) + "\n").unwrap();
    let store = KeyStore::with(dir.path(), Some(credentials)).unwrap();

    assert_eq!(store.keep("birth", &key()).unwrap(), Keeping::Encrypted);

    assert_eq!(store.load("birth").unwrap().keeping, Keeping::Encrypted);
    assert!(!dir.path().join("birth.key").exists());
    let without = KeyStore::with(dir.path(), None).unwrap();
    assert!(matches!(without.load("birth"), Err(KeyTrouble::Locked(_))));
}

#[test]
fn a_half_made_key_is_no_key_until_it_is_finished_and_a_destroyed_one_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::with(dir.path(), None).unwrap();
    let key = key();
    let id = key.signer().unwrap().public().key_id();
    let name = format!("operations-{id}");

    store.keep_half(&name, &key).unwrap();
    assert_eq!(store.names().unwrap(), Vec::<String>::new());
    assert_eq!(store.halves().unwrap(), std::slice::from_ref(&name));
    assert_eq!(store.name_of(Role::Operations, &id).unwrap(), None);

    store.finish(&name).unwrap();
    store.finish(&name).unwrap();
    assert_eq!(store.halves().unwrap(), Vec::<String>::new());
    assert_eq!(store.name_of(Role::Operations, &id).unwrap(), Some(name.clone()));

    store.destroy(&name).unwrap();
    store.destroy(&name).unwrap();
    assert!(!store.has(&name).unwrap());
}

#[test]
fn the_keys_of_the_first_start_are_found_by_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::with(dir.path(), None).unwrap();
    let (mine, other) = (key(), key());
    store.keep("operations", &mine).unwrap();
    let of = |key: &NewKey| {
        let id = key.signer().unwrap().public().key_id();
        store.name_of(Role::Operations, &id).unwrap()
    };
    assert_eq!(of(&mine).as_deref(), Some("operations"));
    assert_eq!(of(&other), None);
}

#[test]
fn a_credential_goes_before_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let (mine, other) = (key(), key());
    fs::write(credentials.join("muster-birth-key"), mine.dangerous_pkcs8()).unwrap();
    let store = KeyStore::with(dir.path(), Some(credentials)).unwrap();
    store.keep("birth", &other).unwrap();

    let loaded = store.load("birth").unwrap();

    assert_eq!(loaded.keeping, Keeping::Credential);
    assert_eq!(loaded.key.public(), mine.signer().unwrap().public());
}

#[test]
fn a_guessable_passphrase_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("muster-key-passphrase"), "secret").unwrap();
    assert!(KeyStore::with(dir.path(), Some(dir.path().to_owned())).is_err());
}
