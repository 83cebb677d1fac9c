//! Errors say a thing once. An error's text holds its cause, so the cause is not its `source` as well: whoever prints
//! the text, and whoever prints the chain, prints the same.

use std::collections::BTreeSet;
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

/// The words in the first column of the tables of docs/errors.md.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).unwrap();
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells
        .flat_map(|cell| cell.split(", ").map(|code| code.trim_matches('`').to_owned()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_code_is_documented_and_every_documented_code_is_there() {
    use tongkuan::{
        calibration, cancel, catalog, clock, config, embed, engine, eval, fetch, index, input, offer, photo,
        sandbox, scan, serve, sheet, tensor, upstream, verify,
    };
    let of_types = [
        calibration::TooFewPairs::CODES,
        cancel::Interrupted::CODES,
        catalog::CatalogError::CODES,
        config::ConfigError::CODES,
        config::UnknownProfile::CODES,
        catalog::moving::MoveError::CODES,
        embed::runtime::RuntimeError::CODES,
        embed::EmbedError::CODES,
        embed::EmbeddingError::CODES,
        embed::ModelError::CODES,
        embed::UnknownProvider::CODES,
        engine::EngineError::CODES,
        engine::HarvestError::CODES,
        engine::UnknownIndex::CODES,
        eval::BadLine::CODES,
        eval::EvalError::CODES,
        eval::LabelProblem::CODES,
        eval::LineProblem::CODES,
        fetch::FetchError::CODES,
        index::IndexError::CODES,
        index::LoadError::CODES,
        index::SaveError::CODES,
        input::FileProblem::CODES,
        input::InputError::CODES,
        input::PriceProblem::CODES,
        input::ReadProblem::CODES,
        input::RowProblem::CODES,
        input::SourceProblem::CODES,
        offer::OfferIdError::CODES,
        offer::PriceError::CODES,
        clock::TimestampError::CODES,
        offer::ScoreError::CODES,
        photo::PhotoError::CODES,
        sandbox::FaultError::CODES,
        sandbox::SandboxError::CODES,
        sandbox::ViewError::CODES,
        scan::ScanError::CODES,
        serve::McpError::CODES,
        serve::RequestError::CODES,
        serve::RightsError::CODES,
        serve::ServeError::CODES,
        serve::ServeStoreError::CODES,
        sheet::SheetError::CODES,
        tensor::TensorError::CODES,
        upstream::GuardError::CODES,
        upstream::LedgerError::CODES,
        upstream::PrepareError::CODES,
        upstream::RegionError::CODES,
        upstream::TapeError::CODES,
        upstream::UpstreamError::CODES,
        upstream::WordError::CODES,
        verify::SketchBytesError::CODES,
        verify::SketchError::CODES,
    ];
    // And of files that a scan passes over, which are no errors of a type.
    let of_all = of_types.into_iter().chain([scan::Trouble::CODES]).flatten();
    let codes: BTreeSet<String> = of_all.map(|code| (*code).to_owned()).collect();
    let documented = documented();
    let missing: Vec<_> = codes.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&codes).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "not documented: {missing:?}; not in the code: {unknown:?}"
    );
    for code in &codes {
        assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
    }
    // A type that is not in the list above has no code at all.
    let mut types = BTreeSet::new();
    for text in sources() {
        for after in text.split("thiserror::Error").skip(1) {
            // What is no error but worded by the same means, or private, has none.
            let declared = after.lines().find(|line| line.contains("enum ") || line.contains("struct "));
            let name =
                declared.and_then(|line| line.strip_prefix("pub enum ").or(line.strip_prefix("pub struct ")));
            types.extend(
                name.map(|name| name.trim_end_matches([' ', '{', ';']).split('(').next().unwrap().to_owned()),
            );
        }
    }
    types.remove("UploadWarning");
    assert_eq!(types.len(), of_types.len(), "{types:?}");
}

/// Advice for a command line is the command line's: a server or Python has other words.
#[test]
fn the_library_s_errors_name_no_command_and_no_option() {
    let named: Vec<String> = sources()
        .into_iter()
        .flat_map(|text| {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned);
            lines.filter(|line| line.contains("`tongkuan ")).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(named, Vec::<String>::new());
}

/// The library's sources, without those of its doors.
fn sources() -> Vec<String> {
    fn read(folder: &Path, all: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "cli") {
                    read(&path, all);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                all.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut all = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    all
}
