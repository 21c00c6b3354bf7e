//! The schema, as numbered migrations: forward only, each in one transaction.

/// `application_id` of every ledger file: "SRLG".
pub(in crate::ledger) const APPLICATION_ID: i32 = 0x5352_4c47;

/// Every migration in order; `user_version` says how many were applied.
///
/// Addresses are their 20 bytes without the prefix, ids and hashes their
/// bytes, a token is its [key](crate::types::TokenKey) (0 for TRX, the id of a TRC-10 token), times are milliseconds, everything
/// else is an integer not above `i64::MAX`. States and kinds are the numbers
/// in `rows.rs`.
pub(in crate::ledger) const MIGRATIONS: &[&str] =
    &[V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, V13];

/// Every table with its key; one that others refer to comes before them.
pub(in crate::ledger) const TABLES: &[(&str, &[&str])] = &[
    ("meta", &["name"]),
    ("epoch", &["payer", "payee", "token", "epoch"]),
    ("receipt", &["kind", "payer", "payee", "token", "epoch"]),
    ("equivocation", &["payer", "payee", "token", "ordinal"]),
    ("pair", &["payer", "payee", "token"]),
    ("transfer", &["txid"]),
    ("account", &["account"]),
    ("batch", &["id"]),
    ("payout", &["id"]),
    ("attempt", &["txid"]),
    ("spend_grant", &["hash"]),
    ("revocation", &["payer", "signer"]),
    ("standing", &["address", "token"]),
    (
        "flow",
        &["kind", "payer", "payee", "token", "day", "torrent"],
    ),
    ("watch", &["account", "token"]),
    ("adopted", &["txid"]),
    ("recovery", &["account"]),
    ("witness", &["address"]),
    ("worker", &["name"]),
    ("trail", &["account", "token", "number"]),
    ("token", &["number"]),
];

const V1: &str = "
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE TABLE epoch (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token > 0),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    since_block INTEGER NOT NULL CHECK (since_block >= 0),
    remainder INTEGER NOT NULL CHECK (remainder >= 0 AND remainder < 1073741824),
    holder TEXT,
    closed INTEGER NOT NULL CHECK (closed IN (0, 1)),
    PRIMARY KEY (payer, payee, token, epoch)
);

CREATE TABLE receipt (
    kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token > 0),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    signer BLOB NOT NULL,
    since_block INTEGER NOT NULL CHECK (since_block >= 0),
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    amount INTEGER NOT NULL CHECK (amount >= 0),
    delivered_bytes INTEGER NOT NULL CHECK (delivered_bytes >= 0),
    issued_at INTEGER NOT NULL CHECK (issued_at >= 0),
    grant_hash BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (kind, payer, payee, token, epoch)
);

CREATE TABLE equivocation (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    token INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    first BLOB NOT NULL,
    second BLOB NOT NULL,
    PRIMARY KEY (payer, payee, token, ordinal)
);

CREATE TABLE pair (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token > 0),
    issued INTEGER NOT NULL CHECK (issued >= 0),
    received INTEGER NOT NULL CHECK (received >= 0),
    first_since INTEGER NOT NULL CHECK (first_since >= 0),
    owed_since INTEGER NOT NULL CHECK (owed_since >= 0),
    PRIMARY KEY (payer, payee, token)
);
CREATE INDEX pair_payee ON pair (payee, token);

CREATE TABLE transfer (
    txid BLOB NOT NULL PRIMARY KEY,
    block INTEGER NOT NULL CHECK (block >= 0),
    block_time INTEGER NOT NULL CHECK (block_time >= 0),
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token >= 0),
    amount INTEGER NOT NULL CHECK (amount > 0)
);
CREATE INDEX transfer_pair ON transfer (payer, payee, token, block);
CREATE INDEX transfer_payee ON transfer (payee, block);

CREATE TABLE account (
    account BLOB NOT NULL PRIMARY KEY,
    fence INTEGER NOT NULL CHECK (fence >= 0),
    holder TEXT NOT NULL,
    bound BLOB,
    scanned_from INTEGER CHECK (scanned_from >= 0),
    last BLOB,
    last_time INTEGER
);

CREATE TABLE batch (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id >= 0),
    payer BLOB NOT NULL,
    kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
    created_at INTEGER NOT NULL CHECK (created_at >= 0)
);
CREATE INDEX batch_payer ON batch (payer, created_at);

-- kind 2: a transfer seen on the chain that is no payout of ours. It has no
-- batch, is confirmed from the start, and takes its range of what was paid.
CREATE TABLE payout (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id >= 0),
    batch INTEGER REFERENCES batch (id),
    ordinal INTEGER NOT NULL CHECK (ordinal >= 0),
    kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token >= 0),
    range_from INTEGER NOT NULL CHECK (range_from >= 0),
    range_to INTEGER NOT NULL CHECK (range_to > range_from),
    memo BLOB NOT NULL,
    state INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3)),
    reason TEXT NOT NULL,
    owed INTEGER NOT NULL CHECK (owed >= 0),
    owed_to_us INTEGER NOT NULL CHECK (owed_to_us >= 0),
    CHECK ((kind = 2) = (batch IS NULL))
);
CREATE UNIQUE INDEX payout_from ON payout (payer, payee, token, range_from) WHERE state <> 3;
CREATE UNIQUE INDEX payout_to ON payout (payer, payee, token, range_to) WHERE state <> 3;
CREATE INDEX payout_batch ON payout (batch, ordinal);
CREATE INDEX payout_live ON payout (payer, token, payee) WHERE state IN (0, 1);

CREATE TABLE attempt (
    txid BLOB NOT NULL PRIMARY KEY,
    payout INTEGER NOT NULL REFERENCES payout (id),
    ordinal INTEGER NOT NULL CHECK (ordinal > 0),
    bytes BLOB NOT NULL,
    reference BLOB NOT NULL,
    expiration INTEGER NOT NULL,
    signed_at INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3, 4)),
    block INTEGER CHECK (block >= 0),
    fee INTEGER CHECK (fee >= 0),
    remark TEXT NOT NULL,
    UNIQUE (payout, ordinal)
);
-- At most one attempt of a payout may pay, or has paid.
CREATE UNIQUE INDEX attempt_paying ON attempt (payout) WHERE state <> 4;
";

/// Grants, what is remembered of other parties, for which torrent and on which
/// day something is owed, and how far the solid chain was read for income.
const V2: &str = "
CREATE TABLE spend_grant (
    hash BLOB NOT NULL PRIMARY KEY,
    payer BLOB NOT NULL,
    signer BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token > 0),
    max_per_payee INTEGER NOT NULL CHECK (max_per_payee >= 0),
    max_total INTEGER NOT NULL CHECK (max_total >= 0),
    not_before INTEGER NOT NULL CHECK (not_before >= 0),
    not_after INTEGER NOT NULL CHECK (not_after >= not_before),
    serial INTEGER NOT NULL CHECK (serial >= 0),
    signature BLOB NOT NULL
);
CREATE INDEX spend_grant_payer ON spend_grant (payer, signer, serial);
CREATE INDEX receipt_grant ON receipt (grant_hash, kind)
    WHERE grant_hash <> x'0000000000000000000000000000000000000000000000000000000000000000';

CREATE TABLE revocation (
    payer BLOB NOT NULL,
    signer BLOB NOT NULL,
    serial INTEGER NOT NULL CHECK (serial >= 0),
    signature BLOB NOT NULL,
    PRIMARY KEY (payer, signer)
);

CREATE TABLE standing (
    address BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token > 0),
    defaults INTEGER NOT NULL CHECK (defaults >= 0),
    defaulted INTEGER NOT NULL CHECK (defaulted >= 0),
    defaulted_at INTEGER NOT NULL,
    forgiven INTEGER NOT NULL CHECK (forgiven >= 0),
    banned_at INTEGER,
    reason TEXT NOT NULL,
    PRIMARY KEY (address, token)
);

-- Sums of what receipts of kind 0 and 1 raised, by UTC day since 1970 and by
-- info-hash (zero: not known). Moved in the same transaction as the receipt.
CREATE TABLE flow (
    kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token > 0),
    day INTEGER NOT NULL CHECK (day >= 0),
    torrent BLOB NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (kind, payer, payee, token, day, torrent)
);
INSERT INTO flow (kind, payer, payee, token, day, torrent, amount, bytes)
    SELECT kind, payer, payee, token, issued_at / 86400,
           x'0000000000000000000000000000000000000000', sum(amount), sum(delivered_bytes)
    FROM receipt WHERE kind IN (0, 1)
    GROUP BY kind, payer, payee, token, issued_at / 86400;

CREATE TABLE watch (
    account BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token > 0),
    scanned_from INTEGER NOT NULL CHECK (scanned_from >= 0),
    last BLOB NOT NULL,
    PRIMARY KEY (account, token)
);
";

/// Restored copies, transfers made outside, witnesses.
const V3: &str = "
-- Transfers made outside of this ledger that the user said to know.
CREATE TABLE adopted (
    txid BLOB NOT NULL PRIMARY KEY REFERENCES transfer (txid),
    note TEXT NOT NULL
);

-- Accounts of a restored ledger (meta 'restored') on their way back.
CREATE TABLE recovery (
    account BLOB NOT NULL PRIMARY KEY,
    began INTEGER NOT NULL,
    done INTEGER NOT NULL CHECK (done IN (0, 1))
);

CREATE TABLE witness (
    address BLOB NOT NULL PRIMARY KEY,
    last_block INTEGER NOT NULL CHECK (last_block >= 0)
);
";

/// What is exclusive by the database's clock, where processes share no
/// operating system: when an account's lease ends, and until when a holder of
/// epochs is taken to live (milliseconds since the Unix epoch).
const V4: &str = "
ALTER TABLE account ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;

CREATE TABLE worker (
    name TEXT NOT NULL PRIMARY KEY,
    expires INTEGER NOT NULL
);
";

/// Whether a payout has ended (0 it has not, 1 confirmed, 2 failed), apart from
/// its state, for the indexes: they are then left alone while it is signed and
/// sent, which was most of the work of a batch.
const V5: &str = "
ALTER TABLE payout ADD COLUMN ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1, 2));
UPDATE payout SET ended = CASE state WHEN 2 THEN 1 WHEN 3 THEN 2 ELSE 0 END;
DROP INDEX payout_from;
DROP INDEX payout_to;
DROP INDEX payout_live;
CREATE UNIQUE INDEX payout_from ON payout (payer, payee, token, range_from) WHERE ended <> 2;
CREATE UNIQUE INDEX payout_to ON payout (payer, payee, token, range_to) WHERE ended <> 2;
CREATE INDEX payout_live ON payout (payer, token, payee) WHERE ended = 0;
";

/// From how many more blocks an account learns who the witnesses are. The newest
/// transfer that the account made outside of this ledger. And from which block on
/// its transfers are recorded, when that is before the one it was bound at.
const V6: &str = "
ALTER TABLE account ADD COLUMN to_learn INTEGER NOT NULL DEFAULT 81;
ALTER TABLE account ADD COLUMN history INTEGER;
ALTER TABLE account ADD COLUMN foreign_txid BLOB;
ALTER TABLE account ADD COLUMN foreign_at INTEGER;
UPDATE account SET foreign_txid = (
    SELECT transfer.txid FROM transfer WHERE transfer.payer = account.account
        AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.txid = transfer.txid)
    ORDER BY transfer.block_time DESC, transfer.txid LIMIT 1);
UPDATE account SET foreign_at = (
    SELECT transfer.block_time FROM transfer WHERE transfer.txid = account.foreign_txid);
";

/// Whether an attempt in state 0 still lacks the signatures of those who hold the
/// account's keys.
const V7: &str = "
ALTER TABLE attempt ADD COLUMN offered INTEGER NOT NULL DEFAULT 0 CHECK (offered IN (0, 1));
";

/// What the payee lets be unsettled, as it quoted last.
const V8: &str = "
ALTER TABLE pair ADD COLUMN cap INTEGER CHECK (cap >= 0);
";

/// What its user calls a payout, and which of his orders a transfer made outside of
/// this ledger is. Transactions of which it is not known what they burnt are found
/// without reading all.
const V9: &str = "
ALTER TABLE payout ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE adopted ADD COLUMN order_key BLOB;
CREATE UNIQUE INDEX adopted_order ON adopted (order_key) WHERE order_key IS NOT NULL;
CREATE INDEX attempt_unpriced ON attempt (block)
    WHERE fee IS NULL AND state >= 3 AND block IS NOT NULL;
";

/// Which key each witness signs with: its own until now, as others were refused.
/// From how many more blocks a reader of income learns who the witnesses are. And
/// some of the blocks that were read, by reader (token 0: what the account pays), to
/// find the last one that a node has, too.
const V10: &str = "
ALTER TABLE witness ADD COLUMN signer BLOB;
UPDATE witness SET signer = address;
ALTER TABLE witness ADD COLUMN first_block INTEGER NOT NULL DEFAULT 0 CHECK (first_block >= 0);

ALTER TABLE watch ADD COLUMN to_learn INTEGER NOT NULL DEFAULT 81;

CREATE TABLE trail (
    account BLOB NOT NULL,
    token INTEGER NOT NULL CHECK (token >= 0),
    number INTEGER NOT NULL CHECK (number >= 0),
    block BLOB NOT NULL,
    block_time INTEGER NOT NULL,
    PRIMARY KEY (account, token, number)
);
";

/// What receipts of a pair raised above what was sold: it is owed, and counts for
/// nothing else. And what was written off as connections with an address ended.
const V11: &str = "
ALTER TABLE pair ADD COLUMN unsold INTEGER NOT NULL DEFAULT 0 CHECK (unsold >= 0);
ALTER TABLE standing ADD COLUMN written_off INTEGER NOT NULL DEFAULT 0 CHECK (written_off >= 0);
";

/// Whether a payment that its user typed counts against no debt. And of which contract a
/// token's key is, from 2^62 on; none is given out yet.
const V12: &str = "
ALTER TABLE payout ADD COLUMN apart INTEGER NOT NULL DEFAULT 0 CHECK (apart IN (0, 1));

CREATE TABLE token (
    number INTEGER NOT NULL PRIMARY KEY CHECK (number >= 4611686018427387904),
    contract BLOB NOT NULL UNIQUE
);
";

/// Of which grant one is a renewal: the first of those that followed one another.
const V13: &str = "
ALTER TABLE spend_grant ADD COLUMN root BLOB;
CREATE INDEX spend_grant_root ON spend_grant (root) WHERE root IS NOT NULL;
";
