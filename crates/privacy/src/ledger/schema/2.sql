-- What was released, for whoever repeats a finished run. Not part of the chain: a release entry names the
-- digest of its artifact, and bytes with another digest are refused. Large artifacts are not kept.

CREATE TABLE artifacts (
    digest TEXT PRIMARY KEY, -- SHA-256 of the bytes
    bytes  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
