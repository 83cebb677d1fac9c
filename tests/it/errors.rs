//! Errors say a thing once. An error's text holds its cause, so the cause is not its `source` as well: whoever prints
//! the text, and whoever prints the chain, prints the same.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::cli::{Ran, Shell};

/// The parts of a message, without those that are too short to be a statement.
fn clauses(message: &str) -> Vec<&str> {
    let parts = message.split([';', '\n']).flat_map(|part| part.split(": "));
    parts.map(|part| part.trim_matches([' ', '.', '(', ')'])).filter(|part| part.len() >= 8).collect()
}

fn said_twice(message: &str) -> Option<&str> {
    let clauses = clauses(message);
    clauses
        .iter()
        .enumerate()
        .find(|(place, clause)| clauses[place + 1..].iter().any(|later| later.contains(*clause)))
        .map(|(_, clause)| *clause)
}

#[test]
fn no_clause_of_a_real_failure_is_printed_twice() {
    let shell = Shell::alone();
    let file = shell.write("a-file", b"not a folder");
    let picture = shell.write("a.jpg", b"no picture");
    shell.write("broken.toml", b"home = [");
    shell.write("broken.json", b"{\"name\": 1}");
    shell.write("broken.ndjson", b"{\"half\n");
    shell.write("labels.ndjson", b"{\"file\":\n");
    shell.write("damaged-home/catalog.sqlite", &[7; 8192]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (inside, picture) = (file.join("home"), picture.to_str().unwrap());
    let runs: [&[&str]; 15] = [
        &["search", "no-such-file.jpg"],
        &["search", picture],
        &["add", "no-such-folder"],
        &["add", "broken.ndjson"],
        &["stats", "--home", inside.to_str().unwrap()],
        &["stats", "--home", "damaged-home"],
        &["stats", "--config", "no-such.toml"],
        &["stats", "--config", "broken.toml"],
        &["search", picture, "--model", "no-such.json"],
        &["search", picture, "--model", "broken.json"],
        &["search", picture, "--record", "a-file"],
        &["search", picture, "--replay", "no-such.ndjson"],
        &["search", picture, "--replay", "broken.ndjson"],
        &["eval", "no-such.ndjson"],
        &["sandbox", "--port", &port],
    ];
    for args in runs {
        for json in [false, true] {
            let mut command = shell.command(args);
            if json {
                command.arg("--json");
            }
            let ran = Ran::of(&mut command);
            assert_eq!(ran.status, 2, "{args:?}: {ran:?}");
            for line in ran.err.lines() {
                let said = line.strip_prefix("tongkuan: ").unwrap_or(line);
                assert_eq!(said_twice(said), None, "{args:?}: {line}");
            }
        }
    }
}

#[test]
fn a_cause_that_the_text_holds_is_no_source_too() {
    fn look(folder: &Path, wrong: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, wrong);
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let mut before = "";
            for line in text.lines().map(str::trim) {
                let passes_on = line.contains("#[from]") && before != "#[error(transparent)]";
                let names = line.contains("#[source]")
                    || line.contains(" source: ") && line.contains("Error") && !line.contains("fn ")
                    || line.starts_with("source: ") && line.contains("Error");
                if passes_on || names {
                    wrong.push(format!("{}: {line}", path.display()));
                }
                before = line;
            }
        }
    }
    let mut wrong = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut wrong);
    assert!(wrong.is_empty(), "write `r#source`, or a `From` of its own: {wrong:#?}");
}

#[test]
fn the_test_for_repetition_finds_one() {
    assert_eq!(
        said_twice("cannot open x: unable to open database file: unable to open database file"),
        Some("unable to open database file")
    );
    assert_eq!(said_twice("cannot open x: no such file; check that it exists"), None);
}
