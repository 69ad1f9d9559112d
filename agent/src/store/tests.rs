//! The store on a real directory. What a kill at each step leaves behind is tried with the whole
//! program, in `strangers/agent`.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn store() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("state");
    (dir, root)
}

fn put(root: &Path, number: u64) {
    let dir = root.join("sets").join(number.to_string());
    disk::private_dir(&dir).unwrap();
    disk::write_new(&dir.join("key.pem"), b"key").unwrap();
}

#[test]
fn a_set_that_nothing_points_to_yet_is_put_to_use_at_the_next_start() {
    let (_dir, root) = store();
    drop(Store::lock(&root).unwrap());
    put(&root, 1);
    // The plug was pulled between the two.
    put(&root, 2);
    disk::private_dir(&root.join("sets/3.new")).unwrap();

    let locked = Store::lock(&root).unwrap();

    assert_eq!(locked.current_number(), Some(2));
    assert!(!root.join("sets/3.new").exists());
    assert_eq!(locked.numbers().unwrap().len(), 2);
}

#[test]
fn the_set_before_goes_only_once_the_new_one_has_worked() {
    let (_dir, root) = store();
    drop(Store::lock(&root).unwrap());
    put(&root, 1);
    put(&root, 2);
    let locked = Store::lock(&root).unwrap();
    locked.mark(Mark::Announced, "").unwrap();
    assert!(root.join("sets/1/key.pem").exists());

    locked.mark(Mark::Worked, "").unwrap();

    assert!(!root.join("sets/1").exists());
    assert!(root.join("current/key.pem").exists());
}

#[test]
fn what_others_may_read_is_not_used() {
    let (dir, root) = store();
    let key = dir.path().join("birth.key");
    disk::write_new(&key, b"key").unwrap();
    assert_eq!(read_secret(&key).unwrap().as_slice(), b"key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(read_secret(&key).unwrap_err().to_string().contains("others"));

    drop(Store::lock(&root).unwrap());
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Store::lock(&root).unwrap_err().to_string().contains("others"));
}

#[test]
fn what_servers_said_of_the_time_is_kept() {
    let (_dir, root) = store();
    let locked = Store::lock(&root).unwrap();
    assert_eq!(locked.clock().unwrap(), None);
    let [told, floor, next] = [9, 5, 7].map(identity::UnixTime::from_secs);
    locked.put_clock(Kept { told, floor, next }).unwrap();
    assert_eq!(locked.clock().unwrap(), Some(Kept { told, floor, next }));
}

#[test]
fn whether_the_device_stays_is_one_file_that_changes_its_name() {
    let (_dir, root) = store();
    let locked = Store::lock(&root).unwrap();
    let file = fs::metadata(root.join("here")).unwrap();
    for stay in [Stay::Leaving, Stay::Left, Stay::Left, Stay::Here, Stay::Leaving] {
        locked.put_stay(stay).unwrap();
        assert_eq!(locked.stay(), stay);
        let now = fs::metadata(root.join(stay.as_str())).unwrap();
        assert_eq!(now.ino(), file.ino(), "nothing was made that needs room");
    }
}

#[test]
fn wiping_leaves_neither_key_nor_link() {
    let (_dir, root) = store();
    drop(Store::lock(&root).unwrap());
    put(&root, 1);
    let locked = Store::lock(&root).unwrap();
    locked.put_pending(b"key").unwrap();
    locked.wipe().unwrap();
    assert!(!root.join("current").exists() && !root.join("pending.pem").exists());
    assert_eq!(locked.numbers().unwrap(), Vec::<u64>::new());
}

#[test]
fn a_leave_that_a_crash_cut_short_is_brought_to_its_end_and_nothing_comes_back() {
    let (dir, root) = store();
    drop(Store::lock(&root).unwrap());
    put(&root, 1);
    let locked = Store::lock(&root).unwrap();
    locked.put_pending(b"key").unwrap();
    // The plug was pulled as soon as it was noted that the device has left.
    locked.put_stay(Stay::Left).unwrap();
    drop(locked);
    put(&root, 2);
    // What is overwritten is seen under another name of the same file.
    let piece = root.join("sets/3.new");
    disk::private_dir(&piece).unwrap();
    disk::write_new(&piece.join("key.pem"), b"key").unwrap();
    let seen = ["sets/1", "sets/2", "sets/3.new"].map(|set| {
        let other = dir.path().join(set.replace('/', "-"));
        fs::hard_link(root.join(set).join("key.pem"), &other).unwrap();
        other
    });

    let locked = Store::lock(&root).unwrap();

    assert!(!root.join("current").exists() && !root.join("pending.pem").exists());
    assert!(fs::read_dir(root.join("sets")).unwrap().next().is_none());
    assert_eq!(locked.stay(), Stay::Left);
    for key in seen {
        assert_eq!(fs::read(key).unwrap(), [0; 3], "a key is overwritten before it goes");
    }
}
