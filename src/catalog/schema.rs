//! The tables, and how an older file becomes a newer one.

use std::cmp::Ordering;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{CatalogError, answers};

/// One step per format version, in order; a file's version is the number of steps it has taken
/// (`PRAGMA user_version`). Steps are only ever added, never changed.
const MIGRATIONS: [&str; 11] = [
    VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7, VERSION_8, VERSION_9,
    VERSION_10, VERSION_11,
];

const VERSION_1: &str = "
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- AUTOINCREMENT: ids only grow and are never used again, so that an index can catch up from the last one it has.
CREATE TABLE photos (
    photo_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL CHECK (kind IN ('query', 'own')),
    label        TEXT NOT NULL,
    pixel_digest BLOB NOT NULL UNIQUE CHECK (length(pixel_digest) = 32),
    width_px     INTEGER NOT NULL,
    height_px    INTEGER NOT NULL,
    format       TEXT NOT NULL,
    added_at_ms  INTEGER NOT NULL
) STRICT;

-- Several files can hold the same pixels.
CREATE TABLE photo_bytes (
    byte_digest BLOB PRIMARY KEY CHECK (length(byte_digest) = 32),
    photo_id    INTEGER NOT NULL REFERENCES photos
) STRICT, WITHOUT ROWID;

-- Little-endian f32 values, unit length.
CREATE TABLE embeddings (
    photo_id INTEGER PRIMARY KEY REFERENCES photos,
    vector   BLOB NOT NULL
) STRICT;

CREATE TABLE offers (
    profile       TEXT NOT NULL,
    offer_id      TEXT NOT NULL,
    body          TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, offer_id)
) STRICT, WITHOUT ROWID;

-- One answer for a picture and everything that was asked about it.
CREATE TABLE answers (
    answer_id     INTEGER PRIMARY KEY,
    photo_id      INTEGER NOT NULL REFERENCES photos,
    profile       TEXT NOT NULL,
    params        TEXT NOT NULL,
    fetched_at_ms INTEGER NOT NULL,
    total         INTEGER,
    UNIQUE (photo_id, profile, params)
) STRICT;

CREATE TABLE answer_offers (
    answer_id  INTEGER NOT NULL REFERENCES answers,
    rank       INTEGER NOT NULL,
    profile    TEXT NOT NULL,
    offer_id   TEXT NOT NULL,
    similarity INTEGER,
    PRIMARY KEY (answer_id, rank),
    FOREIGN KEY (profile, offer_id) REFERENCES offers
) STRICT, WITHOUT ROWID;

-- One row a call, booked before it is made.
CREATE TABLE spend (
    spend_id    INTEGER PRIMARY KEY,
    profile     TEXT NOT NULL,
    day         TEXT NOT NULL,
    start_at_ms INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('booked', 'billed', 'refunded'))
) STRICT;
CREATE INDEX spend_by_day ON spend (profile, day);
CREATE INDEX spend_by_start ON spend (profile, start_at_ms);
";

const VERSION_2: &str = "
-- Grows with every change to photos and answers, so that one look tells whether to look again.
INSERT INTO meta (key, value) VALUES ('generation', '0');

-- Searches under way; `process` names a file that its owner keeps locked while it lives.
CREATE TABLE asking (
    asking_id INTEGER PRIMARY KEY AUTOINCREMENT,
    process   TEXT NOT NULL,
    params    TEXT NOT NULL,
    photo_id  INTEGER,
    vector    BLOB,
    CHECK ((photo_id IS NULL) <> (vector IS NULL))
) STRICT;

-- Pictures that wait until the upstream may be asked again, with their files.
CREATE TABLE queue (
    queue_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    reason       TEXT NOT NULL CHECK (reason IN ('deferred', 'stale')),
    priority     INTEGER NOT NULL,
    label        TEXT NOT NULL,
    byte_digest  BLOB NOT NULL CHECK (length(byte_digest) = 32),
    bytes        BLOB NOT NULL,
    params_key   TEXT NOT NULL,
    params       TEXT NOT NULL,
    queued_at_ms INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    trouble      TEXT,
    UNIQUE (byte_digest, params_key)
) STRICT;
CREATE INDEX queue_order ON queue (priority DESC, queue_id);

-- Pictures that an upstream does not take.
CREATE TABLE refusals (
    byte_digest   BLOB NOT NULL CHECK (length(byte_digest) = 32),
    profile       TEXT NOT NULL,
    code          TEXT NOT NULL,
    message       TEXT NOT NULL,
    refused_at_ms INTEGER NOT NULL,
    PRIMARY KEY (byte_digest, profile)
) STRICT, WITHOUT ROWID;

-- Answers given without a call, by day.
CREATE TABLE saved_calls (
    day   TEXT PRIMARY KEY,
    calls INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const VERSION_3: &str = "
-- What providers say of a day: calls beyond ours, and how many they let through.
CREATE TABLE provider_counts (
    profile       TEXT NOT NULL,
    day           TEXT NOT NULL,
    foreign_calls INTEGER NOT NULL,
    max_a_day     INTEGER NOT NULL,
    PRIMARY KEY (profile, day)
) STRICT, WITHOUT ROWID;

-- The full-text index knows rows by number only.
CREATE TABLE offer_numbers (
    offer_number INTEGER PRIMARY KEY,
    profile      TEXT NOT NULL,
    offer_id     TEXT NOT NULL,
    UNIQUE (profile, offer_id),
    FOREIGN KEY (profile, offer_id) REFERENCES offers
) STRICT;

-- The titles of all offers, cut into tokens by `words.rs`; the titles themselves are in `offers`.
CREATE VIRTUAL TABLE offer_titles USING fts5 (
    title, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 0'
);

-- Where pictures of offers are, and what became of fetching them.
CREATE TABLE offer_images (
    image_id  INTEGER PRIMARY KEY,
    profile   TEXT NOT NULL,
    offer_id  TEXT NOT NULL,
    url       TEXT NOT NULL,
    state     TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'stored', 'failed')),
    photo_id  INTEGER REFERENCES photos,
    attempts  INTEGER NOT NULL DEFAULT 0,
    trouble   TEXT,
    UNIQUE (profile, offer_id, url),
    FOREIGN KEY (profile, offer_id) REFERENCES offers,
    CHECK ((state = 'stored') = (photo_id IS NOT NULL))
) STRICT;
CREATE INDEX offer_images_waiting ON offer_images (image_id) WHERE state = 'waiting';
CREATE INDEX offer_images_by_photo ON offer_images (photo_id) WHERE photo_id IS NOT NULL;
CREATE INDEX offer_images_by_url ON offer_images (url) WHERE state = 'stored';
CREATE INDEX answer_offers_by_offer ON answer_offers (profile, offer_id);

-- Where a waiting picture was got from: some upstreams take nothing else.
ALTER TABLE queue ADD COLUMN source_url TEXT;

-- Upstreams that fail: how often in a row, and until when nobody asks because of what.
CREATE TABLE breakers (
    profile  TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    until_ms INTEGER,
    kind     TEXT,
    code     TEXT,
    message  TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE offer_details (
    profile       TEXT NOT NULL,
    offer_id      TEXT NOT NULL,
    body          TEXT NOT NULL,
    fetched_at_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, offer_id)
) STRICT, WITHOUT ROWID;

-- What the verifier keeps of a photo; the first byte is the format.
CREATE TABLE sketches (
    photo_id INTEGER PRIMARY KEY REFERENCES photos,
    sketch   BLOB NOT NULL
) STRICT;
";

const VERSION_4: &str = "
-- What people have said of two pictures, the lower id first; how sure the verifier was, where it could be asked.
CREATE TABLE told (
    photo_a    INTEGER NOT NULL REFERENCES photos ON DELETE CASCADE,
    photo_b    INTEGER NOT NULL REFERENCES photos ON DELETE CASCADE,
    same       INTEGER NOT NULL CHECK (same IN (0, 1)),
    confidence REAL,
    told_at_ms INTEGER NOT NULL,
    PRIMARY KEY (photo_a, photo_b),
    CHECK (photo_a < photo_b)
) STRICT, WITHOUT ROWID;
CREATE INDEX told_by_second ON told (photo_b);

-- Vectors of the model in meta.next_model, until all that can be had are there and take the place of the others.
CREATE TABLE next_embeddings (
    photo_id INTEGER PRIMARY KEY REFERENCES photos ON DELETE CASCADE,
    vector   BLOB NOT NULL
) STRICT;
";

const VERSION_5: &str = "
-- Photos that are gone, in the order in which they went, so that every index can follow.
CREATE TABLE removals (
    removal_id INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_id   INTEGER NOT NULL
) STRICT;
CREATE INDEX photo_bytes_by_photo ON photo_bytes (photo_id);
CREATE INDEX photos_by_time ON photos (added_at_ms);
";

const VERSION_6: &str = "
-- The price of an offer as a number to look for; the price itself is in the body.
ALTER TABLE offers ADD COLUMN price_yuan REAL
    GENERATED ALWAYS AS (CASE WHEN json_valid(body) THEN CAST(body ->> '$.price' AS REAL) END) VIRTUAL;
CREATE INDEX offers_by_price ON offers (price_yuan);

-- Every category that an offer, stored or not, was ever told to be of.
CREATE TABLE offer_categories (
    category_id INTEGER NOT NULL,
    profile     TEXT NOT NULL,
    offer_id    TEXT NOT NULL,
    PRIMARY KEY (category_id, profile, offer_id)
) STRICT, WITHOUT ROWID;
";

const VERSION_7: &str = "
-- The version of the decoder (`DECODER_VERSION`) that saw the photo.
ALTER TABLE photos ADD COLUMN decoder INTEGER NOT NULL DEFAULT 1;

-- Questions whose answers could not be read: a picture's digest and the parameters, or an offer.
CREATE TABLE unreadable_answers (
    profile        TEXT NOT NULL,
    question       TEXT NOT NULL,
    code           TEXT NOT NULL,
    message        TEXT NOT NULL,
    answered_at_ms INTEGER NOT NULL,
    PRIMARY KEY (profile, question)
) STRICT, WITHOUT ROWID;

-- The sum of each blob, so that a flipped bit is found that leaves a vector or sketch plausible; none for older rows.
ALTER TABLE embeddings ADD COLUMN crc32 INTEGER;
ALTER TABLE next_embeddings ADD COLUMN crc32 INTEGER;
ALTER TABLE sketches ADD COLUMN crc32 INTEGER;

-- What was told of a good before is replaced.
CREATE INDEX offer_categories_by_offer ON offer_categories (profile, offer_id);
";

const VERSION_8: &str = "
-- Runs of checking that write their lines to a file, by that file.
CREATE TABLE check_runs (
    run_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    output        TEXT NOT NULL UNIQUE,
    started_at_ms INTEGER NOT NULL
) STRICT;

-- The lines of each run's last group that has added something: a killed run may not have written them.
CREATE TABLE check_lines (
    run_id    INTEGER NOT NULL REFERENCES check_runs,
    input_row INTEGER NOT NULL,
    line      TEXT NOT NULL,
    PRIMARY KEY (run_id, input_row)
) STRICT, WITHOUT ROWID;
";

const VERSION_9: &str = "
-- Parts of the photo in which the upstream sees goods: JSON, a list of texts as of `Region`; null for none.
ALTER TABLE answers ADD COLUMN regions TEXT;
";

const VERSION_10: &str = "
-- What upstreams told of each offer over time: one row for as long as they told the same.
CREATE TABLE offer_history (
    profile         TEXT NOT NULL,
    offer_id        TEXT NOT NULL,
    since_ms        INTEGER NOT NULL,
    until_ms        INTEGER NOT NULL,
    price           TEXT,
    promotion_price TEXT,
    min_order       INTEGER,
    month_sold      INTEGER,
    PRIMARY KEY (profile, offer_id, since_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX offer_history_by_offer ON offer_history (offer_id);
INSERT INTO offer_history
SELECT profile, offer_id, updated_at_ms, updated_at_ms, CAST(body ->> '$.price' AS TEXT),
       CAST(body ->> '$.promotion_price' AS TEXT), CAST(body ->> '$.min_order_quantity' AS INTEGER),
       CAST(body ->> '$.month_sold' AS INTEGER)
FROM offers WHERE profile <> 'own' AND json_valid(body);

-- Answers in whose place newer ones came: which offers they named, in their order (JSON, a list of ids).
CREATE TABLE past_answers (
    photo_id      INTEGER NOT NULL REFERENCES photos ON DELETE CASCADE,
    profile       TEXT NOT NULL,
    params        TEXT NOT NULL,
    fetched_at_ms INTEGER NOT NULL,
    total         INTEGER,
    offer_ids     TEXT NOT NULL,
    PRIMARY KEY (photo_id, profile, params, fetched_at_ms)
) STRICT, WITHOUT ROWID;

-- Offers that a person wants to be asked about again and again.
CREATE TABLE watched_offers (
    offer_id         TEXT PRIMARY KEY,
    watched_since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const VERSION_11: &str = "
-- Files that were taken for a stored photo by what they show, how sure that was, by which verifier, and for which bound.
CREATE TABLE recognised (
    byte_digest      BLOB NOT NULL UNIQUE CHECK (length(byte_digest) = 32),
    photo_id         INTEGER NOT NULL REFERENCES photos ON DELETE CASCADE,
    score            REAL NOT NULL,
    confidence       REAL NOT NULL,
    max_false_hit    REAL NOT NULL,
    verifier         TEXT NOT NULL,
    recognised_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX recognised_by_photo ON recognised (photo_id);
";

/// The version that this program writes.
pub(super) fn newest() -> u64 {
    MIGRATIONS.len() as u64
}

/// Brings a file to the newest version, or refuses one that is newer still.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), CatalogError> {
    let known = MIGRATIONS.len();
    if version(connection)? == known {
        return Ok(());
    }
    // Immediate, and asked again inside: another process may be migrating the same file.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(CatalogError::TooNew { found, known });
    }
    for step in &MIGRATIONS[found..] {
        transaction.execute_batch(step)?;
    }
    if found < 3 {
        answers::index_all_offers(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(())
}

/// For a file that cannot be brought to the newest version, because it cannot be written.
pub(super) fn must_be_newest(connection: &Connection, path: &Path) -> Result<(), CatalogError> {
    let (found, known) = (version(connection)?, MIGRATIONS.len());
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(CatalogError::TooOldToRead { path: path.to_path_buf(), found, known }),
        Ordering::Greater => Err(CatalogError::TooNew { found, known }),
    }
}

fn version(connection: &Connection) -> Result<usize, CatalogError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}
