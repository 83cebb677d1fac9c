//! Which module may know which, that no files use each other in a circle, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MAX_NON_BLANK_LINES: usize = 600;

/// A module and the modules that it may use. Only `engine` composes stages; the line up to `verdict` knows neither
/// the network nor the catalogue.
const ALLOWED: &[(&str, &[&str])] = &[
    ("access", &["paths"]),
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
            "paths",
            "photo",
            "photo_id",
            "presence",
            "question",
            "quota_day",
            "temporary",
            "timestamp",
            "upstream_error",
            "vector",
        ],
    ),
    (
        "cli",
        &[
            "calibration",
            "cancel",
            "catalog",
            "clock",
            "config",
            "doors",
            "embed",
            "engine",
            "eval",
            "fetch",
            "home",
            "input",
            "offer",
            "paths",
            "photo",
            "photo_id",
            "plot",
            "printable",
            "sandbox",
            "scan",
            "serve",
            "sheet",
            "store",
            "temporary",
            "thumbnail",
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
            "serve",
            "sheet",
            "tensor",
            "timestamp",
            "upstream",
            "verify",
        ],
    ),
    // What every door needs before it opens an engine; knows none of the doors.
    ("config", &["catalog", "clock", "embed", "engine", "fetch", "home", "offer", "photo", "upstream"]),
    // Words alone: who is asked and what is found is known to `sandbox` and `serve`.
    ("dialect", &["clock", "offer", "question", "upstream"]),
    ("doors", &["catalog", "engine", "fetch", "offer", "photo", "photo_id"]),
    // Pure, for the pages of `scan` and `serve`.
    ("difference", &["verify"]),
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
            "home",
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
            "temporary",
            "verify",
        ],
    ),
    ("fetch", &["http"]),
    // One value for both kinds of stores, so that nobody above asks which it is.
    ("home", &["catalog", "postgres", "store", "timestamp"]),
    ("http", &[]),
    ("index", &["access", "photo_id", "vector"]),
    // Knows where pictures are and what is said of them, not who wants them.
    ("input", &["offer", "photo"]),
    ("ledger", &["quota_day", "timestamp", "upstream_error"]),
    ("offer", &["timestamp"]),
    ("paths", &[]),
    ("presence", &["access"]),
    ("photo", &[]),
    ("photo_id", &[]),
    // Pure drawing, without knowledge of what the numbers mean.
    ("plot", &[]),
    ("pool", &[]),
    // The same traits as `catalog` meets, and the values and rules that both share.
    (
        "postgres",
        &[
            "access",
            "calibration",
            "catalog",
            "ledger",
            "offer",
            "photo",
            "photo_id",
            "quota_day",
            "store",
            "timestamp",
            "upstream_error",
            "vector",
        ],
    ),
    ("printable", &[]),
    ("question", &["offer"]),
    ("quota_day", &["timestamp"]),
    ("resize", &[]),
    ("sandbox", &["clock", "dialect", "dice", "drawing", "offer", "photo", "question", "upstream"]),
    // Groups what the engine judges, as `eval` counts it.
    (
        "scan",
        &[
            "access",
            "cancel",
            "difference",
            "embed",
            "engine",
            "index",
            "input",
            "paths",
            "photo",
            "photo_id",
            "plot",
            "printable",
            "temporary",
            "timestamp",
            "vector",
            "verdict",
            "verify",
        ],
    ),
    // HTTP around the engine; knows what is asked for, not how it is answered.
    (
        "serve",
        &[
            "access",
            "cancel",
            "catalog",
            "clock",
            "config",
            "dialect",
            "difference",
            "doors",
            "engine",
            "fetch",
            "input",
            "offer",
            "photo",
            "photo_id",
            "presence",
            "printable",
            "question",
            "quota_day",
            "timestamp",
            "upstream",
            "verify",
        ],
    ),
    ("sheet", &["offer", "photo_id", "printable", "temporary", "timestamp", "verify"]),
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
    ("temporary", &["access", "paths"]),
    ("tensor", &["photo", "resize"]),
    ("thumbnail", &["photo"]),
    ("timestamp", &[]),
    (
        "upstream",
        &[
            "access",
            "cancel",
            "clock",
            "http",
            "ledger",
            "offer",
            "paths",
            "question",
            "quota_day",
            "resize",
            "upstream_error",
        ],
    ),
    ("upstream_error", &[]),
    ("vector", &[]),
    ("verdict", &["calibration", "index", "photo_id", "vector", "verify"]),
    // The hash is a value that the index keeps.
    ("verify", &["resize", "vector"]),
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

/// A module by the names that lead to it: `["verify", "align"]`.
type Module = Vec<String>;

/// The source without comments and without the tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let without_comments = code.lines().map(|line| line.split("//").next().unwrap());
    without_comments.collect::<Vec<_>>().join("\n")
}

fn modules() -> BTreeMap<Module, String> {
    let module = |path: PathBuf| {
        let relative = path.strip_prefix(src()).unwrap().with_extension("");
        let mut names: Module = relative.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        names.retain(|name| !matches!(name.as_str(), "mod" | "lib"));
        (names, code(&path))
    };
    sources(&src()).into_iter().map(module).collect()
}

/// The paths that a tree of imports names: `a::{b, c::d as e}` is `a::b` and `a::c::d`.
fn imported(prefix: &[String], tree: &str, found: &mut Vec<Module>) {
    let tree = tree.trim();
    let (path, rest) = tree.split_once('{').map_or((tree, None), |(path, rest)| (path, Some(rest)));
    let path = path.split(" as ").next().unwrap();
    let names = path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    let prefix = [prefix, &names.collect::<Module>()].concat();
    let Some(inside) = rest.and_then(|rest| rest.rsplit_once('}')) else { return found.push(prefix) };
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inside.0.char_indices() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if depth == 0 && letter == ',' {
            imported(&prefix, &inside.0[start..at], found);
            start = at + 1;
        }
    }
    if !inside.0[start..].trim().is_empty() {
        imported(&prefix, &inside.0[start..], found);
    }
}

/// `path`, as it stands in `module`, from the root of the crate; `None` for another crate's.
fn from_root(module: &[String], path: &[String], known: &BTreeMap<Module, String>) -> Option<Module> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let child = || [module, &path[..1]].concat();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat()),
        _ if known.contains_key(&child()) => Some([module, path].concat()),
        _ => None,
    }
}

/// The module in which what `path` leads to is defined, behind all re-exports.
fn home_of(
    mut path: Module,
    known: &BTreeMap<Module, String>,
    exports: &BTreeMap<Module, Module>,
) -> Option<Module> {
    for _ in 0..8 {
        let inside = (0..=path.len()).rev().find(|n| known.contains_key(&path[..*n]))?;
        let exported = path.get(..=inside).and_then(|name| exports.get(name));
        match exported {
            Some(there) => path = [there.as_slice(), &path[inside + 1..]].concat(),
            None => return Some(path[..inside].to_vec()),
        }
    }
    None
}

/// The modules that each one names, without those above and below it: those are one thing in several files.
fn uses() -> BTreeMap<Module, BTreeSet<Module>> {
    let known = modules();
    let (mut paths, mut exports) = (Vec::new(), BTreeMap::new());
    for (module, code) in &known {
        let mut rest = code.as_str();
        while let Some(at) = rest.find("use ") {
            let begins = rest[..at].chars().next_back().is_none_or(char::is_whitespace);
            let is_public =
                rest[..at].rsplit('\n').next().is_some_and(|before| before.trim_start().starts_with("pub"));
            rest = &rest[at + "use ".len()..];
            if !begins {
                continue;
            }
            let (tree, after) = rest.split_once(';').unwrap_or((rest, ""));
            let mut found = Vec::new();
            imported(&[], tree, &mut found);
            for path in found.into_iter().filter_map(|path| from_root(module, &path, &known)) {
                if let (true, Some(name)) = (is_public, path.last()) {
                    exports.insert([module.as_slice(), std::slice::from_ref(name)].concat(), path.clone());
                }
                paths.push((module.clone(), path));
            }
            rest = after;
        }
        for word in code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if ["crate::", "super::"].iter().any(|start| word.starts_with(start)) {
                let path: Module = word.split("::").map(str::to_owned).collect();
                paths.extend(from_root(module, &path, &known).map(|path| (module.clone(), path)));
            }
        }
    }
    let mut uses = BTreeMap::<Module, BTreeSet<Module>>::new();
    for (module, path) in paths {
        let Some(used) = home_of(path, &known, &exports) else { continue };
        if !used.starts_with(&module) && !module.starts_with(&used) {
            uses.entry(module).or_default().insert(used);
        }
    }
    uses
}

#[test]
fn no_file_uses_one_that_uses_it_over_whatever_others() {
    let mut uses = uses();
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 500, "the imports are found");
    // In no circle are those that use nothing that is left, and those that nothing uses that is left.
    let mut before = usize::MAX;
    while uses.len() < before {
        before = uses.len();
        let used: BTreeSet<Module> = uses.values().flatten().cloned().collect();
        uses.retain(|module, _| used.contains(module));
        let using: BTreeSet<Module> = uses.keys().cloned().collect();
        for used in uses.values_mut() {
            used.retain(|module| using.contains(module));
        }
        uses.retain(|_, used| !used.is_empty());
    }
    let line = |(module, used): (&Module, &BTreeSet<Module>)| {
        let used: Vec<String> = used.iter().map(|module| module.join("::")).collect();
        format!("{} uses {}", module.join("::"), used.join(", "))
    };
    let lines: Vec<String> = uses.iter().map(line).collect();
    assert!(lines.is_empty(), "these use each other in a circle:\n{}", lines.join("\n"));
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
