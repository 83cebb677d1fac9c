//! The tables of `scan.sqlite`.

pub(super) const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- Every file that is a picture by its first bytes. `path` is below the folder, as the system writes it.
CREATE TABLE files (
    path        BLOB PRIMARY KEY,
    name        TEXT NOT NULL,
    is_link     INTEGER NOT NULL,
    dev         INTEGER NOT NULL,
    ino         INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    read_at_ns  INTEGER NOT NULL DEFAULT 0,
    byte_digest BLOB,
    trouble     TEXT,
    code        TEXT,
    scan        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX files_by_digest ON files (byte_digest, path);

-- Every distinct file's content. `header_px` is width times height as the header has it; `unseen` a word of `Unseen`.
CREATE TABLE pictures (
    byte_digest  BLOB PRIMARY KEY,
    size         INTEGER NOT NULL,
    header_px    INTEGER NOT NULL,
    photo_id     INTEGER,
    pixel_digest BLOB,
    width_px     INTEGER,
    height_px    INTEGER,
    sharpness    REAL,
    is_blank     INTEGER,
    unseen       TEXT,
    trouble      TEXT,
    code         TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX pictures_by_pixels ON pictures (pixel_digest);
CREATE INDEX pictures_by_photo ON pictures (photo_id);

-- What was decided of every distinct picture; `evidence` is a digest of all that it was decided by, `whole` another edited
-- picture of the group that shows the whole of it.
CREATE TABLE decisions (
    pixel_digest    BLOB PRIMARY KEY,
    evidence        BLOB NOT NULL,
    medoid          BLOB NOT NULL,
    relation        TEXT NOT NULL,
    whole           BLOB,
    confidence      REAL,
    score           REAL,
    near            BLOB,
    near_why        TEXT,
    near_confidence REAL,
    near_score      REAL,
    place           INTEGER NOT NULL,
    scan            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX decisions_by_medoid ON decisions (medoid);
";
