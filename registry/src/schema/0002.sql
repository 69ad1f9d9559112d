-- Version 2. What version 1 cannot answer without reading the whole ledger.

-- Which device an entry is about: its history, and what erasing has to reach.
ALTER TABLE entry ADD COLUMN device BLOB;
CREATE INDEX entry_device ON entry (realm, device, number) WHERE device IS NOT NULL;

-- The number of the entry that tells of its issuance: what a receipt is made from.
ALTER TABLE credential ADD COLUMN entry INTEGER;

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
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
