use super::super::{Place, load_ledgers, open_writer};
use super::{APPLICATION_ID, MIGRATIONS};
use identity::UnixTime;
use identity::device::DeviceId;
use identity::key::sha256;
use identity::text::hex;
use ledger::tree::{Frontier, leaf_hash};
use ledger::{Class, Entry, Payload};
use rusqlite::{Connection, params};
use std::path::Path;

/// The digests of what was released: another text would leave two kinds of files of one version.
const FROZEN: &[&str] = &["20f2f23f80c8e49cc484f3e803953be41e55bc374161aced3c3da1c1c97f70df"];

#[test]
fn a_released_migration_is_never_changed() {
    for (migration, frozen) in MIGRATIONS.iter().zip(FROZEN) {
        assert_eq!(hex(&sha256(&[migration.sql.as_bytes()])), *frozen);
    }
}

#[test]
fn a_file_of_version_1_opens_and_its_history_is_found() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("muster.db");
    let device = DeviceId::new(UnixTime::from_secs(1_800_000_000), [7; 10]);
    let told =
        Payload::new("birth.issued").with("device", device.to_string()).with("serial", vec![9; 16]);
    let said = Payload::new("operator.added").with("name", "ada");
    version_1(&path, &device, &[(Class::Birth, told), (Class::Operator, said)]);

    let db = open_writer(&Place::File(path)).unwrap();

    let (realms, ledgers) = load_ledgers(&db).unwrap();
    assert_eq!(ledgers[&realms[0].key].size(), 2);
    let about = "SELECT number FROM entry WHERE realm = 1 AND device = ?1";
    let found: i64 = db.query_row(about, [device.octets()], |row| row.get(0)).unwrap();
    assert_eq!(found, 0);
    let unlinked = "SELECT number FROM entry WHERE device IS NULL";
    assert_eq!(db.query_row(unlinked, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    let issued = "SELECT entry FROM credential WHERE serial = ?1";
    assert_eq!(db.query_row(issued, [[9_u8; 16]], |row| row.get::<_, i64>(0)).unwrap(), 0);
    let version = db.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    assert_eq!(version.unwrap() as usize, MIGRATIONS.len());
}

#[test]
fn a_makers_certificate_of_version_1_finds_its_first_device() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("muster.db");
    version_1(&path, &DeviceId::new(UnixTime::default(), [1; 10]), &[]);
    let db = Connection::open(&path).unwrap();
    for (n, maker, closes) in [(1_u8, "acme", 1), (2, "acme", 1), (3, "acme", 0), (4, "", 1)] {
        db.execute(
            "INSERT INTO device (realm, id, standing, assurance, version, generation, born, maker, \
             model, serial, macs, meta, group_names) VALUES (1, ?1, 'retired', 'certified', 1, 1, \
             0, ?2, '', ?3, '', '', '')",
            params![[n; 16], maker, n.to_string()],
        )
        .unwrap();
        // The first two showed the same certificate, to doors of other names.
        db.execute(
            "INSERT INTO credential (realm, serial, kind, device, issuer, generation, spki, \
             requester, closes, shard, issued, not_after) \
             VALUES (1, ?1, 'leaf', ?1, ?2, 1, ?1, ?3, ?4, 0, 0, 0)",
            params![[n; 16], [2_u8; 20], [n.max(2); 32], closes],
        )
        .unwrap();
    }
    drop(db);

    let db = open_writer(&Place::File(path)).unwrap();

    let mut kept = db.prepare("SELECT requester, device FROM idevid").unwrap();
    let kept = kept.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let kept: Vec<([u8; 32], [u8; 16])> = kept.map(Result::unwrap).collect();
    assert_eq!(kept, [([2; 32], [1; 16])]);
}

#[test]
fn the_schema_is_the_same_by_whichever_version_a_file_began() {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (place.path().join("old.db"), place.path().join("new.db"));
    version_1(&old, &DeviceId::new(UnixTime::default(), [1; 10]), &[]);
    let schema = |path: &Path| {
        let db = open_writer(&Place::File(path.to_owned())).unwrap();
        let mut said = db.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
        let said = said.query_map([], |row| row.get(0)).unwrap();
        said.collect::<Result<Vec<Option<String>>, _>>().unwrap()
    };
    assert_eq!(schema(&old), schema(&new));
}

/// A file as version 1 left it: one device with a birth certificate, and these entries.
fn version_1(path: &Path, device: &DeviceId, entries: &[(Class, Payload)]) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(MIGRATIONS[0].sql).unwrap();
    let mut edge = Frontier::new();
    for (number, (class, payload)) in (0_u64..).zip(entries) {
        let digest = ledger::digest(&[3; 32], &payload.encode());
        let entry = Entry::new(number, UnixTime::default(), *class, digest).encode();
        let leaf = leaf_hash(&entry);
        edge.append(leaf);
        db.execute(
            "INSERT INTO entry (realm, number, at, entry, leaf, payload, salt) \
             VALUES (1, ?1, 0, ?2, ?3, ?4, ?5)",
            params![number as i64, entry, leaf, payload.encode(), [3_u8; 32]],
        )
        .unwrap();
    }
    db.execute(
        "INSERT INTO realm (realm, name, id, origin, founded, size, root, frontier) \
         VALUES (1, 'default', ?1, 'o', 0, ?2, ?3, ?4)",
        params![[1_u8; 16], edge.size() as i64, edge.root(), edge.encode()],
    )
    .unwrap();
    db.execute(
        "INSERT INTO credential (realm, serial, kind, device, issuer, generation, spki, \
         requester, closes, shard, issued, not_after) \
         VALUES (1, ?1, 'birth', ?2, ?3, 0, ?4, ?4, 0, 0, 0, 0)",
        params![[9_u8; 16], device.octets(), [2_u8; 20], [4_u8; 32]],
    )
    .unwrap();
    db.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
}
