//! Titles, file names and arguments that would take over a terminal are printed without what could do so, by every command.

use std::os::unix::ffi::OsStrExt as _;

use image::ImageFormat;
use serde_json::json;

use super::{Ran, Shell, text};
use crate::fakes::{encoded, picture};

/// Colours, clears the screen (both ways to begin a sequence), rings, begins a new line, turns the direction of writing,
/// hides and tags.
const HOSTILE: &str = "\u{1b}[31m\u{9b}2J\u{7}\r\nhit: \u{202e}gpj\u{2066}\u{200f}\u{61c}\u{feff}\u{200b}\u{2028}\u{7f}\u{e0041}";

fn title() -> String {
    format!("杯子{HOSTILE}")
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| {
        let code = u32::from(c);
        c == '\n'
            || !(code < 0x20
                || (0x7f..0xa0).contains(&code)
                || [0x61c, 0xfeff].contains(&code)
                || (0x200b..=0x200f).contains(&code)
                || (0x2028..=0x202e).contains(&code)
                || (0x2060..=0x206f).contains(&code)
                || (0xe0000..=0xe007f).contains(&code))
    })
}

/// What was printed is plain, and no line of it was begun by the hostile text.
fn check(what: &str, ran: Ran) -> Ran {
    for (stream, text) in [("stdout", &ran.out), ("stderr", &ran.err)] {
        assert!(is_plain(text), "{what}, {stream}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("hit: ")), "{what}, {stream}: {text:?}");
    }
    ran
}

fn run(shell: &Shell, args: &[&str]) -> Ran {
    check(&args.join(" "), shell.run(args))
}

fn both(shell: &Shell, args: &[&str]) -> (Ran, Ran) {
    (run(shell, args), run(shell, &[&["--json"], args].concat()))
}

#[test]
fn goods_and_files_of_any_name_are_printed_plainly_by_every_command() {
    let shell = Shell::alone();
    let file = format!("a{HOSTILE}.png");
    let folder = format!("mine{HOSTILE}");
    shell.write(&format!("{folder}/{file}"), &encoded(&picture(1), ImageFormat::Png));
    shell.write("b.png", &encoded(&picture(2), ImageFormat::Png));
    let rows = [
        json!({"path": "b.png", "id": "B-1", "title": title(), "detail_url": format!("http://x/{HOSTILE}")}),
        json!({"path": format!("missing{HOSTILE}"), "id": "C-1"}),
        json!({"path": "b.png", "id": HOSTILE}),
        json!({(HOSTILE): 1}),
    ];
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let list = format!("goods{HOSTILE}.ndjson");
    shell.write(&list, rows.as_bytes());
    let (added, as_json) = both(&shell, &["add", &list]);
    assert!(added.err.contains(r"\u001b[31m"), "{}", added.err);
    assert!(as_json.lines().iter().any(|line| line["id"] == HOSTILE || line["id"] == "B-1"));
    both(&shell, &["add", &folder]);
    let hostile_file = format!("{folder}/{file}");
    let (found, as_json) = both(&shell, &["search", "b.png", &hostile_file, &format!("none{HOSTILE}")]);
    assert!(found.out.contains(r"杯子\u001b[31m\u009b2J\u0007\u000d\u000ahit: \u202egpj"), "{}", found.out);
    let lines = as_json.lines();
    assert_eq!(lines[0]["offers"][0]["title"], title().as_str(), "JSON is the very text");
    assert_eq!(lines[1]["id"], hostile_file.as_str());
    run(&shell, &["search", "--explain", &hostile_file]);
    for command in ["offers", "similar", "forget"] {
        both(&shell, &[command, &hostile_file]);
        both(&shell, &[command, &format!("none{HOSTILE}")]);
    }
    let (_, as_json) = both(&shell, &["show", "1"]);
    assert!(as_json.out.contains("matched"), "{as_json:?}");
    let (found, as_json) = both(&shell, &["find", "杯子"]);
    assert!(found.out.contains("杯子"), "{found:?}");
    assert_eq!(as_json.json()["title"], title().as_str());
    both(&shell, &["same", "b.png", &hostile_file]);
    both(&shell, &["details", "B-1"]);
    both(&shell, &["reembed", "--from", &folder]);
    both(&shell, &["calibrate", &folder]);
    both(&shell, &["eval", "--make", &folder, "--out", &format!("set{HOSTILE}")]);
    both(&shell, &["doctor"]);
    for args in [vec!["stats"], vec!["quota"], vec!["drain"], vec!["harvest"], vec!["details", HOSTILE]] {
        both(&shell, &args);
    }
    for (name, place) in [("TONGKUAN_HOME", "home"), ("TONGKUAN_CONFIG", "config")] {
        for command in ["stats", "doctor", "quota"] {
            let mut command_line = shell.command(&[command]);
            check(command, Ran::of(command_line.env(name, shell.path(&format!("{place}{HOSTILE}")))));
        }
    }
    let (unknown, value) = (format!("--{HOSTILE}"), format!("--price-min={HOSTILE}"));
    for args in
        [vec![HOSTILE], vec!["search", &unknown], vec!["search", "b.png", &value], vec!["details", HOSTILE]]
    {
        let refused = run(&shell, &args);
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(!refused.err.is_empty());
    }
    // Names that are no text at all.
    let raw = std::ffi::OsStr::from_bytes(b"\xff\x9b\x1b[31m.png");
    check("bytes", Ran::of(shell.command(&["search"]).arg(raw)));
}

#[test]
fn a_wrong_argument_is_told_once_on_lines_of_its_own() {
    let shell = Shell::alone();
    let ran = shell.run(&["details", "12\u{1b}[31m"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    let lines: Vec<&str> = ran.err.lines().collect();
    assert!(lines[0].starts_with("error: invalid value '12\\u001b[31m' for '<OFFER_ID>'"), "{ran:?}");
    assert!(
        lines.len() > 1 && !ran.err.contains("tongkuan: error:") && !ran.err.contains("\\u000a"),
        "{ran:?}"
    );
    // Nothing in an argument begins a line.
    let ran = shell.run(&["search", "--price-min=a\nb"]);
    assert!(ran.err.lines().next().unwrap().contains("'a\\u000ab'"), "{ran:?}");
}

#[test]
fn answers_of_an_upstream_are_printed_plainly() {
    let shell = Shell::with_sandbox();
    let file = format!("a{HOSTILE}.jpg");
    shell.good(3, &file);
    let answer = shell.run(&["--json", "search", &file]).json();
    let id = answer["offers"][0]["offer_id"].as_str().unwrap().to_owned();
    run(&shell, &["details", &id]);
    // What a real upstream might say, and this sandbox does not.
    let hostile = serde_json::to_string(HOSTILE).unwrap();
    let hostile = hostile.trim_matches('"');
    let catalog = rusqlite::Connection::open(shell.path("home/catalog.sqlite")).unwrap();
    let mut changed = 0;
    for table in ["offers", "offer_details"] {
        for key in ["title", "company_name", "name", "value"] {
            let sql =
                format!("UPDATE {table} SET body = replace(body, '\"{key}\":\"', '\"{key}\":\"' || ?1)");
            changed += catalog.execute(&sql, [hostile]).unwrap();
        }
    }
    assert!(changed > 0);
    drop(catalog);
    for args in [vec!["search", &file], vec!["details", &id], vec!["show", "1"], vec!["offers", &file]] {
        let (plain, as_json) = both(&shell, &args);
        assert!(plain.out.contains(r"\u001b[31m"), "{args:?}: {}", plain.out);
        assert!(as_json.out.contains(r"\u202e"), "{args:?}: {}", as_json.out);
        assert!(as_json.json().to_string().contains(hostile), "{args:?}: JSON is the very text");
    }
    // Waiting, tried in vain, and drained.
    let config = std::fs::read_to_string(shell.path("config.toml")).unwrap();
    let broke = config.replace("min_interval_ms = 0", "min_interval_ms = 0\ndaily_budget = 0");
    shell.write("config.toml", broke.as_bytes());
    let waiting = format!("w{HOSTILE}.jpg");
    shell.good(9, &waiting);
    both(&shell, &["search", "--defer", &waiting]);
    both(&shell, &["drain"]);
    shell.write("config.toml", config.as_bytes());
    let drained = run(&shell, &["drain"]);
    assert!(drained.out.contains(r"\u001b[31m"), "{drained:?}");
    both(&shell, &["harvest", "--limit", "2"]);
    shell.write(
        "config.toml",
        config.replace("http://", "http://\u{1b}[31m").replace("min_interval", "x").as_bytes(),
    );
    both(&shell, &["quota"]);
}

#[test]
fn a_manifest_and_its_report_show_names_plainly() {
    let shell = Shell::alone();
    shell.write("a.png", &encoded(&picture(1), ImageFormat::Png));
    let rows = [
        json!({"path": "a.png", "role": "reference", "item": format!("A{HOSTILE}")}),
        json!({"path": "a.png", "role": "query", "item": "B", "edit": format!("cut{HOSTILE}")}),
        json!({"path": format!("none{HOSTILE}"), "role": "query"}),
        json!({"path": "a.png", "role": HOSTILE}),
    ];
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    shell.write("set.ndjson", rows.as_bytes());
    let table = run(&shell, &["eval", "set.ndjson", "--html", "report.html"]);
    assert!(table.out.contains(r"cut\u001b[31m"), "{}", table.out);
    let (_, as_json) = both(&shell, &["eval", "set.ndjson"]);
    assert!(as_json.json()["by_edit"].get(format!("cut{HOSTILE}")).is_some(), "{}", as_json.out);
    let page = std::fs::read_to_string(shell.path("report.html")).unwrap();
    assert!(is_plain(&page));
    assert!(page.contains(r"cut\u001b[31m"));
}

#[test]
fn a_title_of_a_megabyte_does_not_fill_the_screen() {
    let shell = Shell::alone();
    shell.write("b.png", &encoded(&picture(2), ImageFormat::Png));
    let long = "长".repeat(100_000);
    shell.write("goods.ndjson", json!({"path": "b.png", "id": "B-1", "title": long}).to_string().as_bytes());
    run(&shell, &["add", "goods.ndjson"]);
    let (plain, as_json) = both(&shell, &["search", "b.png"]);
    assert!(plain.out.chars().count() < 1000, "{}", plain.out.len());
    assert!(plain.out.contains("长长…"), "{}", plain.out);
    assert_eq!(
        as_json.json()["offers"][0]["title"].as_str().map(|title| title.chars().count()),
        Some(100_000)
    );
    assert!(text(&shell.path("b.png")).len() < 1000);
}

#[test]
fn a_picture_that_cannot_be_read_is_named_by_every_command() {
    let shell = Shell::alone().with_home();
    shell.write("empty.jpg", b"");
    for command in ["offers", "similar", "changes"] {
        let ran = shell.run(&[command, "empty.jpg"]);
        assert!(ran.status == 2 && ran.err.contains("empty.jpg: the picture is empty"), "{ran:?}");
    }
    shell.write("b.png", &encoded(&picture(2), ImageFormat::Png));
    for pair in [["empty.jpg", "b.png"], ["b.png", "empty.jpg"]] {
        let ran = shell.run(&["same", pair[0], pair[1]]);
        assert!(ran.status == 2 && ran.err.contains("empty.jpg: the picture is empty"), "{ran:?}");
    }
    assert_eq!(
        shell.run(&["--json", "stats"]).json()["counts"]["photos"],
        0,
        "nothing is stored of such a pair"
    );
}
