//! Which module may know which, and how long a file may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_NON_BLANK_LINES: usize = 600;

/// A module and the modules that it may use. Only `engine` composes stages; the line up to `verdict` knows neither
/// the network nor the catalogue.
const ALLOWED: &[(&str, &[&str])] = &[
    ("access", &[]),
    // `embed` in its tests only: the shipped one is the built-in model's.
    ("calibration", &["embed", "verify"]),
    (
        "catalog",
        &[
            "access",
            "calibration",
            "cancel",
            "ledger",
            "offer",
            "photo",
            "photo_id",
            "question",
            "quota_day",
            "timestamp",
            "upstream_error",
            "vector",
        ],
    ),
    (
        "cli",
        &[
            "calibration",
            "catalog",
            "clock",
            "config",
            "embed",
            "engine",
            "eval",
            "fetch",
            "input",
            "offer",
            "photo",
            "photo_id",
            "plot",
            "printable",
            "sandbox",
            "scan",
            "upstream",
            "verdict",
            "verify",
        ],
    ),
    ("cancel", &["clock", "timestamp"]),
    ("clock", &["timestamp"]),
    // Names the errors of all modules; nothing uses it.
    (
        "codes",
        &[
            "calibration",
            "cancel",
            "catalog",
            "config",
            "embed",
            "engine",
            "eval",
            "fetch",
            "index",
            "input",
            "offer",
            "photo",
            "sandbox",
            "scan",
            "tensor",
            "upstream",
            "verify",
        ],
    ),
    // What every door needs before it opens an engine; knows none of the doors.
    ("config", &["catalog", "clock", "embed", "engine", "fetch", "offer", "photo", "upstream"]),
    // Both without knowledge of who draws or throws: the sandbox's goods, and the edits of `eval`.
    ("dice", &[]),
    ("drawing", &[]),
    ("embed", &["photo", "pool", "tensor", "vector"]),
    (
        "engine",
        &[
            "calibration",
            "cancel",
            "clock",
            "embed",
            "fetch",
            "index",
            "offer",
            "photo",
            "photo_id",
            "pool",
            "question",
            "quota_day",
            "store",
            "tensor",
            "upstream",
            "vector",
            "verdict",
            "verify",
        ],
    ),
    // Judges the engine from outside, as the command line does.
    (
        "eval",
        &[
            "calibration",
            "dice",
            "drawing",
            "embed",
            "engine",
            "input",
            "offer",
            "photo",
            "photo_id",
            "printable",
            "verify",
        ],
    ),
    ("fetch", &["http"]),
    ("http", &[]),
    ("index", &["access", "photo_id", "vector"]),
    // Knows where pictures are and what is said of them, not who wants them.
    ("input", &["offer", "photo"]),
    ("ledger", &["quota_day", "timestamp", "upstream_error"]),
    ("offer", &["timestamp"]),
    ("photo", &[]),
    ("photo_id", &[]),
    // Pure drawing, without knowledge of what the numbers mean.
    ("plot", &[]),
    ("pool", &[]),
    ("printable", &[]),
    ("question", &["offer"]),
    ("quota_day", &["timestamp"]),
    ("sandbox", &["clock", "dice", "drawing", "offer", "photo", "upstream"]),
    // Groups what the engine judges, as `eval` counts it.
    (
        "scan",
        &[
            "access",
            "embed",
            "engine",
            "index",
            "input",
            "photo",
            "photo_id",
            "plot",
            "printable",
            "timestamp",
            "vector",
            "verdict",
            "verify",
        ],
    ),
    // The engine's door to what is kept: traits, and the one that SQLite meets.
    (
        "store",
        &[
            "calibration",
            "catalog",
            "ledger",
            "offer",
            "photo",
            "photo_id",
            "question",
            "quota_day",
            "timestamp",
            "upstream_error",
            "vector",
        ],
    ),
    ("tensor", &["photo"]),
    ("timestamp", &[]),
    (
        "upstream",
        &["access", "cancel", "clock", "http", "ledger", "offer", "question", "quota_day", "upstream_error"],
    ),
    ("upstream_error", &[]),
    ("vector", &[]),
    ("verdict", &["calibration", "index", "photo_id", "vector", "verify"]),
    // The hash is a value that the index keeps.
    ("verify", &["vector"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn modules_know_only_whom_they_may_know() {
    let mut known = BTreeSet::new();
    for path in sources(&src()) {
        let relative = path.strip_prefix(src()).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "lib" | "main") {
            continue;
        }
        known.insert(module.to_owned());
        let allowed = ALLOWED.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is not in the table"));
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("crate::").skip(1) {
            let used: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let fine = used.is_empty() || used == module || allowed.contains(&used.as_str());
            assert!(fine, "{} uses crate::{used}", relative.display());
        }
    }
    assert_eq!(known.len(), ALLOWED.len());
}

#[test]
fn no_file_is_too_long_to_read() {
    for root in [src(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")] {
        for path in sources(&root) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
            assert!(lines <= MAX_NON_BLANK_LINES, "{} has {lines} lines", path.display());
        }
    }
}
