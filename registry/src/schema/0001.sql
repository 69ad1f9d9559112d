-- Version 1. Everything is keyed by realm; keys of growing tables are ordered by time, so that an
-- insert is an append. WITHOUT ROWID is SQLite's word for a clustered primary key; another dialect
-- leaves it out. Moments are milliseconds since 1970. Lists of words are packed into one text
-- (rows/text.rs): nobody asks for one of them alone, except for groups, which have a table of their
-- own beside it.

CREATE TABLE realm (
    realm INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    id BLOB NOT NULL UNIQUE,
    origin TEXT NOT NULL,
    founded INTEGER NOT NULL,
    -- The head of the ledger: entries, root, and what the next append needs.
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    frontier BLOB NOT NULL
);

CREATE TABLE entry (
    realm INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    entry BLOB NOT NULL,
    -- The hash of the entry as a leaf: a tile in the making, and what tells which entry of a tile
    -- was changed.
    leaf BLOB NOT NULL,
    -- Erasing destroys these two and leaves the entry.
    payload BLOB,
    salt BLOB,
    PRIMARY KEY (realm, number)
) WITHOUT ROWID;

-- Full subtrees at tile boundaries: 256^level leaves under each.
CREATE TABLE subtree (
    realm INTEGER NOT NULL,
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (realm, level, number)
) WITHOUT ROWID;

CREATE TABLE device (
    realm INTEGER NOT NULL,
    id BLOB NOT NULL,
    standing TEXT NOT NULL,
    assurance TEXT NOT NULL,
    version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    born INTEGER NOT NULL,
    enrolled INTEGER,
    -- When half of its newest leaf's life is over, which is when an agent renews.
    due INTEGER,
    maker TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    macs TEXT NOT NULL,
    imei TEXT,
    ek_digest TEXT,
    meta TEXT NOT NULL,
    group_names TEXT NOT NULL,
    -- The name of the door by which it last joined.
    door TEXT,
    mark TEXT,
    PRIMARY KEY (realm, id)
) WITHOUT ROWID;

-- Uniqueness of physical identifiers, and the way to a device by its serial number alone.
CREATE UNIQUE INDEX device_serial ON device (realm, serial, model, maker) WHERE serial <> '';

CREATE TABLE membership (
    realm INTEGER NOT NULL,
    name TEXT NOT NULL,
    device BLOB NOT NULL,
    PRIMARY KEY (realm, name, device)
) WITHOUT ROWID;

-- What is asked and changed often; the certificate itself stands in the next table.
CREATE TABLE credential (
    realm INTEGER NOT NULL,
    serial BLOB NOT NULL,
    kind TEXT NOT NULL,
    device BLOB NOT NULL,
    issuer BLOB NOT NULL,
    generation INTEGER NOT NULL,
    spki BLOB NOT NULL,
    requester BLOB NOT NULL,
    -- Whether its first use ends earlier leaves at once.
    closes INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    issued INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    used INTEGER,
    spent INTEGER,
    revoked INTEGER,
    reason TEXT,
    PRIMARY KEY (realm, serial)
) WITHOUT ROWID;

-- A key belongs to one device, and the roll tells which: so this index also finds the credentials
-- of a key. By generation, which is the order of leaves also where the clock went backwards.
CREATE INDEX credential_device ON credential (realm, device, generation);
CREATE INDEX credential_revoked ON credential (realm, issuer, shard, serial)
    WHERE revoked IS NOT NULL;

CREATE TABLE certificate (
    realm INTEGER NOT NULL,
    serial BLOB NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (realm, serial)
) WITHOUT ROWID;

-- Keys that never enroll again.
CREATE TABLE compromised (
    realm INTEGER NOT NULL,
    spki BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (realm, spki)
) WITHOUT ROWID;

CREATE TABLE authority (
    realm INTEGER NOT NULL,
    id BLOB NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (realm, id)
) WITHOUT ROWID;

CREATE TABLE token (
    realm INTEGER NOT NULL,
    id TEXT NOT NULL,
    digest BLOB NOT NULL,
    uses_left INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    made INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    group_names TEXT NOT NULL,
    serial TEXT,
    revoked INTEGER,
    maker_name TEXT NOT NULL,
    PRIMARY KEY (realm, id)
) WITHOUT ROWID;

CREATE TABLE door (
    realm INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    open INTEGER NOT NULL,
    group_names TEXT NOT NULL,
    profile TEXT NOT NULL,
    assurance TEXT NOT NULL,
    binding INTEGER NOT NULL,
    -- The rest is said of maker doors only.
    place TEXT,
    pattern TEXT,
    model TEXT,
    allow TEXT,
    PRIMARY KEY (realm, name)
) WITHOUT ROWID;

CREATE TABLE anchor (
    realm INTEGER NOT NULL,
    door TEXT NOT NULL,
    number INTEGER NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (realm, door, number)
) WITHOUT ROWID;

CREATE TABLE profile (
    realm INTEGER NOT NULL,
    name TEXT NOT NULL,
    lifetime_s INTEGER NOT NULL,
    keys TEXT NOT NULL,
    organization TEXT,
    usages TEXT NOT NULL,
    server_key INTEGER NOT NULL,
    PRIMARY KEY (realm, name)
) WITHOUT ROWID;

CREATE TABLE setting (
    realm INTEGER NOT NULL,
    name TEXT NOT NULL,
    -- Empty for the whole realm.
    of_group TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (realm, name, of_group)
) WITHOUT ROWID;

CREATE TABLE operator (
    realm INTEGER NOT NULL,
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    role TEXT NOT NULL,
    digest BLOB NOT NULL,
    made INTEGER NOT NULL,
    PRIMARY KEY (realm, name),
    UNIQUE (realm, id)
) WITHOUT ROWID;

-- Bookkeeping that names no identity: CRL numbers, cursors, idempotency keys.
CREATE TABLE note (
    realm INTEGER NOT NULL,
    space TEXT NOT NULL,
    name BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (realm, space, name)
) WITHOUT ROWID;

-- What the planner shall believe of a large fleet in few realms, whatever the first rows look like:
-- how many rows, then how many have the same first column, the same first two, and so on. Without
-- this it takes `realm = ?` for selective and walks a whole realm for the credentials of one
-- device.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('entry', 'entry', '1000000 1000000 1'),
    ('device', 'device', '1000000 1000000 1'),
    ('device', 'device_serial', '1000000 1000000 1 1 1'),
    ('membership', 'membership', '1000000 1000000 10000 1'),
    ('credential', 'credential', '1000000 1000000 1'),
    ('credential', 'credential_device', '1000000 1000000 10 1'),
    ('credential', 'credential_revoked', '10000 10000 5000 500 1'),
    ('certificate', 'certificate', '1000000 1000000 1');
ANALYZE sqlite_schema;
