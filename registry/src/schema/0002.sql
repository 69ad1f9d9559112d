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
