-- Version 2. What version 1 cannot answer without reading the whole ledger.

-- Which device an entry is about: its history, and what erasing has to reach.
ALTER TABLE entry ADD COLUMN device BLOB;
CREATE INDEX entry_device ON entry (realm, device, number) WHERE device IS NOT NULL;

-- The number of the entry that tells of its issuance: what a receipt is made from.
ALTER TABLE credential ADD COLUMN entry INTEGER;

-- The tokens that name a device, for when it is retired.
CREATE INDEX token_serial ON token (realm, serial) WHERE serial IS NOT NULL AND revoked IS NULL;

-- Physical identifiers of erased devices, as a keyed digest: that they were here before, and nothing
-- else.
CREATE TABLE erased (
    realm INTEGER NOT NULL,
    digest BLOB NOT NULL,
    device BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (realm, digest, device)
) WITHOUT ROWID;
CREATE INDEX erased_device ON erased (realm, device);

-- Who is told of entries as they come.
CREATE TABLE sink (
    realm INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    format TEXT NOT NULL,
    severity TEXT NOT NULL,
    verbs TEXT NOT NULL,
    anchors TEXT,
    secret BLOB NOT NULL,
    made INTEGER NOT NULL,
    begins INTEGER NOT NULL,
    telling BLOB NOT NULL,
    PRIMARY KEY (realm, name)
) WITHOUT ROWID;

-- The number of the entry that tells of the last time that two parties were found to hold its
-- identity: who they were stands there, and goes with it where it is erased.
ALTER TABLE device ADD COLUMN caught INTEGER;
CREATE INDEX device_caught ON device (realm, caught) WHERE caught IS NOT NULL;

-- When its standing changed last: which holds are those of a suspension.
ALTER TABLE device ADD COLUMN stood INTEGER;

-- The key of the ledger whose receipt a door demands.
ALTER TABLE door ADD COLUMN receipt TEXT;

-- Of a retiring authority, when it retires; of a barred one, since when and why; and when its key was
-- destroyed.
ALTER TABLE authority ADD COLUMN retires INTEGER;
ALTER TABLE authority ADD COLUMN barred INTEGER;
ALTER TABLE authority ADD COLUMN reason TEXT;
ALTER TABLE authority ADD COLUMN wiped INTEGER;

-- Keys of authorities that are to come, with the request that the root has not answered yet.
CREATE TABLE authority_request (
    realm INTEGER NOT NULL,
    id BLOB NOT NULL,
    role TEXT NOT NULL,
    csr BLOB NOT NULL,
    made INTEGER NOT NULL,
    PRIMARY KEY (realm, id)
) WITHOUT ROWID;

-- One root's certificate for the key of another.
CREATE TABLE cross_certificate (
    realm INTEGER NOT NULL,
    id BLOB NOT NULL,
    issuer BLOB NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (realm, id, issuer)
) WITHOUT ROWID;

-- What a device last said of itself, apart from its row: that is written at every renewal.
CREATE TABLE report (
    realm INTEGER NOT NULL,
    device BLOB NOT NULL,
    at INTEGER NOT NULL,
    firmware TEXT,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    macs TEXT NOT NULL,
    imei TEXT,
    ek_digest TEXT,
    PRIMARY KEY (realm, device)
) WITHOUT ROWID;

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('device', 'device_caught', '100 100 1'),
    ('entry', 'entry_device', '1000000 1000000 10 1');
ANALYZE sqlite_schema;

-- Which device a maker's certificate (IDevID) brought in, by who proved it (the digest of its key,
-- as `credential.requester` has it). Maker and model are the words of a door, and doors change: by
-- its key a device is found again whatever the door is called, and its standing with it.
CREATE TABLE idevid (
    realm INTEGER NOT NULL,
    requester BLOB NOT NULL,
    device BLOB NOT NULL,
    PRIMARY KEY (realm, requester)
) WITHOUT ROWID;

-- Those that joined before; the first one where several did.
INSERT INTO idevid (realm, requester, device)
    SELECT credential.realm, credential.requester, credential.device
    FROM device JOIN credential
        ON credential.realm = device.realm AND credential.device = device.id
    WHERE device.maker <> '' AND credential.kind = 'leaf' AND credential.closes = 1
    ORDER BY credential.serial
    ON CONFLICT (realm, requester) DO NOTHING;
