-- The ledger of one population. One row an entry, hash-chained, never changed and never deleted.
-- The text of these statements is compared with the file at each open, so a trigger, a view or a
-- table that somebody added is noticed.

CREATE TABLE entries (
    seq         INTEGER PRIMARY KEY CHECK (seq >= 0),
    kind        TEXT NOT NULL,
    body        TEXT NOT NULL, -- JSON; hashed as it stands
    recorded_at TEXT NOT NULL, -- RFC 3339, UTC
    previous    TEXT NOT NULL, -- hash of the entry before, zeros for the first
    hash        TEXT NOT NULL UNIQUE
) STRICT;

-- Where the chain ends. The spent total is not stored: it is recomputed from the entries.
CREATE TABLE head (
    id   INTEGER PRIMARY KEY CHECK (id = 0),
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'ledger entries are never changed'); END;

CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'ledger entries are never deleted'); END;
