-- Version 2. What version 1 cannot answer without reading the whole ledger.

-- Which device an entry is about: its history, and what erasing has to reach.
ALTER TABLE entry ADD COLUMN device BLOB;
CREATE INDEX entry_device ON entry (realm, device, number) WHERE device IS NOT NULL;

-- The number of the entry that tells of its issuance: what a receipt is made from.
ALTER TABLE credential ADD COLUMN entry INTEGER;

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
    PRIMARY KEY (realm, name)
) WITHOUT ROWID;

-- The number of the entry that tells of the last time that two parties were found to hold its
-- identity: who they were stands there, and goes with it where it is erased.
ALTER TABLE device ADD COLUMN caught INTEGER;
CREATE INDEX device_caught ON device (realm, caught) WHERE caught IS NOT NULL;

-- The key of the ledger whose receipt a door demands.
ALTER TABLE door ADD COLUMN receipt TEXT;

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('device', 'device_caught', '100 100 1'),
    ('entry', 'entry_device', '1000000 1000000 10 1');
ANALYZE sqlite_schema;
