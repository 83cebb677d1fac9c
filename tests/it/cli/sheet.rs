//! `sheet`: what it costs is said, capped, and paid once; the file holds what is known.

use std::io::Read as _;

use serde_json::Value;

use super::{Ran, Shell};

/// A shell with a folder `goods` of so many pictures, and a file among them that is none.
fn shell_with(goods: usize) -> Shell {
    let shell = Shell::with_sandbox();
    for number in 0..goods {
        // Goods with a number between them are not variants of each other.
        shell.good(20 * number, &format!("goods/{number}.jpg"));
    }
    shell.write("list.csv", list(goods).as_bytes());
    shell
}

fn list(goods: usize) -> String {
    (0..goods)
        .fold("path,sku\n".to_owned(), |list, number| format!("{list}goods/{number}.jpg,SKU-{number}\n"))
}

fn sheet(shell: &Shell, options: &[&str]) -> Ran {
    shell.run(&[&["--json", "sheet", "--key", "sku", "list.csv"][..], options].concat())
}

fn statuses(shell: &Shell, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(shell.path(file)).unwrap();
    let status =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["status"].as_str().unwrap().to_owned();
    text.lines().map(status).collect()
}

#[test]
fn a_sheet_says_what_it_costs_pays_once_and_is_filled_from_memory_then() {
    let shell = shell_with(3);
    let plan = sheet(&shell, &["--dry-run"]);
    assert_eq!(plan.status, 0, "{plan:?}");
    let told = &plan.json()["plan"];
    assert_eq!((&told["pictures"], &told["open"], &told["calls"]), (&3.into(), &3.into(), &3.into()));
    assert_eq!(shell.sandbox().counters().searches_ok, 0, "a dry run asks nothing");

    let first = sheet(&shell, &["--out", "goods.ndjson", "--top", "2"]);
    assert_eq!(first.status, 0, "{first:?}");
    assert_eq!(first.lines()[1]["upstream_calls"], 3);
    assert_eq!(statuses(&shell, "goods.ndjson"), ["asked"; 3]);
    let line: Value = serde_json::from_str(
        std::fs::read_to_string(shell.path("goods.ndjson")).unwrap().lines().next().unwrap(),
    )
    .unwrap();
    assert_eq!((&line["key"], line["offers"].as_array().unwrap().len()), (&"SKU-0".into(), 2));

    let again = sheet(&shell, &["--out", "goods.ndjson"]);
    assert_eq!((again.status, &again.lines()[1]["upstream_calls"]), (0, &0.into()), "{again:?}");
    assert_eq!(statuses(&shell, "goods.ndjson"), ["hit"; 3]);
    assert_eq!(shell.sandbox().counters().searches_ok, 3);
}

#[test]
fn what_may_not_be_asked_waits_and_a_second_run_fills_it_in() {
    let shell = shell_with(4);
    let capped = sheet(&shell, &["--out", "goods.ndjson", "--max-calls", "1"]);
    assert_eq!(capped.status, 1, "{capped:?}");
    assert_eq!(statuses(&shell, "goods.ndjson"), ["asked", "waiting", "waiting", "waiting"]);
    let offline = sheet(&shell, &["--offline", "--out", "goods.ndjson"]);
    assert_eq!(offline.status, 1, "{offline:?}");
    assert_eq!(statuses(&shell, "goods.ndjson"), ["hit", "waiting", "waiting", "waiting"]);
    let budget = sheet(&shell, &["--daily-budget", "3", "--out", "goods.ndjson"]);
    assert_eq!(budget.status, 1, "{budget:?}");
    assert_eq!(statuses(&shell, "goods.ndjson"), ["hit", "asked", "asked", "waiting"]);
    assert_eq!(sheet(&shell, &["--out", "goods.ndjson"]).status, 0);
    assert_eq!(shell.sandbox().counters().searches_ok, 4, "none was paid for twice");
}

#[test]
fn one_that_cannot_be_used_is_a_row_of_its_own() {
    let shell = shell_with(1);
    shell.write("list.csv", format!("{}no.jpg,SKU-9\nlist.csv,SKU-8\n", list(1)).as_bytes());
    let ran = sheet(&shell, &["--out", "goods.csv"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    let table = std::fs::read_to_string(shell.path("goods.csv")).unwrap();
    assert_eq!(table.matches("SKU-9").count(), 1, "{table}");
    assert!(table.contains("SKU-8") && ran.err.contains("no.jpg"), "{table} {ran:?}");
}

#[test]
fn a_run_that_is_killed_goes_on_without_paying_twice() {
    let shell = shell_with(6);
    let mut child = shell
        .command(&["sheet", "list.csv", "--out", "goods.ndjson"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while shell.sandbox().counters().searches_ok < 2 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let paid = shell.sandbox().counters().searches_ok;
    let rest = sheet(&shell, &["--out", "goods.ndjson"]);
    assert_eq!(rest.status, 0, "{rest:?}");
    assert_eq!(statuses(&shell, "goods.ndjson").len(), 6);
    // One call may have been answered and not stored when the process was killed.
    assert!(shell.sandbox().counters().searches_ok <= 7, "{paid} before");
}

#[test]
fn a_workbook_and_a_page_have_the_offers_pictures_in_them() {
    let shell = shell_with(2);
    for (file, heads) in [("goods.xlsx", "en"), ("goods.html", "zh")] {
        let ran = sheet(&shell, &["--out", file, "--heads", heads, "--top", "1"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert!(!ran.err.contains("could not be fetched"), "{ran:?}");
    }
    let page = std::fs::read_to_string(shell.path("goods.html")).unwrap();
    // Of each picture: itself, the stored one that it is, and its offer.
    assert_eq!(page.matches("<img").count(), 6);
    assert!(page.contains("状态"));
    let mut book = zip::ZipArchive::new(std::fs::File::open(shell.path("goods.xlsx")).unwrap()).unwrap();
    let mut drawing = String::new();
    book.by_name("xl/drawings/drawing1.xml").unwrap().read_to_string(&mut drawing).unwrap();
    // The workbook was written first: what was just asked about was recognised as nothing stored.
    assert_eq!(drawing.matches("<xdr:pic>").count(), 4, "{drawing}");
    let unknown = sheet(&shell, &["--out", "goods.pdf"]);
    assert_eq!(unknown.status, 2, "{unknown:?}");
    assert!(unknown.err.contains(".xlsx"), "{unknown:?}");
}
