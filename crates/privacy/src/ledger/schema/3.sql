-- Room for what a charge will release, so that a disk which fills up in between cannot keep the release from being
-- recorded. A row goes when its charge is released; of charges that never were, the latest few are kept.
-- From this version on, a genesis and a charge have a random nonce, a release says how long its artifact is, and there
-- are entries of the kind `rollback`.

CREATE TABLE reserved (
    charge_seq INTEGER PRIMARY KEY,
    bytes      BLOB NOT NULL -- zeros
) STRICT;
