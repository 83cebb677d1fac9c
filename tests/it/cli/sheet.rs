//! `sheet`: what it costs is said, capped, and paid once; the file holds what is known.

use std::io::Read as _;

use serde_json::Value;
use tongkuan::sandbox::SandboxOptions;

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
    let plan = &offline.lines()[0]["plan"];
    assert_eq!((&plan["calls"], &plan["left_today"]), (&0.into(), &499.into()), "left, and not to be spent");
    assert_eq!(statuses(&shell, "goods.ndjson"), ["hit", "waiting", "waiting", "waiting"]);
    let budget = sheet(&shell, &["--daily-budget", "3", "--out", "goods.ndjson"]);
    assert_eq!(budget.status, 1, "{budget:?}");
    assert_eq!(statuses(&shell, "goods.ndjson"), ["hit", "asked", "asked", "waiting"]);
    assert_eq!(sheet(&shell, &["--out", "goods.ndjson"]).status, 0);
    assert_eq!(shell.sandbox().counters().searches_ok, 4, "none was paid for twice");
}

#[test]
fn people_read_words_and_programs_codes() {
    let shell = shell_with(2);
    let told = |file: &str, heads: &str| {
        let ran = sheet(&shell, &["--out", file, "--heads", heads, "--max-calls", "0", "--details"]);
        assert!(ran.status == 1 && !ran.err.contains("max_calls"), "{ran:?}");
        std::fs::read_to_string(shell.path(file)).unwrap()
    };
    assert_eq!(told("goods.ndjson", "en").matches("\"why\":\"max_calls\"").count(), 2);
    for (file, heads, words) in [
        ("en.csv", "en", "as many calls were made as --max-calls allows"),
        ("zh.csv", "zh", "已达到 --max-calls 允许的调用次数"),
        ("en.html", "en", "as many calls were made as --max-calls allows"),
    ] {
        let text = told(file, heads);
        assert!(text.contains(words) && !text.contains("max_calls"), "{text}");
    }
}

#[test]
fn wrong_credentials_are_told_once_and_all_pictures_wait() {
    let shell = shell_with(3);
    let mut command = shell.command(&["sheet", "--key", "sku", "list.csv", "--out", "goods.ndjson"]);
    let ran = Ran::of(command.env("TONGKUAN_APP_SECRET", "a-wrong-secret"));
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(ran.err.matches("nothing more is asked").count(), 1, "{ran:?}");
    assert!(ran.err.contains("app secret"), "{ran:?}");
    assert_eq!(statuses(&shell, "goods.ndjson"), ["waiting"; 3]);
    assert_eq!(sheet(&shell, &["--out", "goods.ndjson"]).status, 0, "mended, it goes on");
}

#[test]
fn details_are_planned_paid_once_and_give_the_price_of_the_wanted_quantity() {
    let shell = shell_with(2);
    let wanted = ["--details", "--quantity", "20000", "--top", "2", "--cheapest-first"];
    let plan = sheet(&shell, &[&["--dry-run"][..], &wanted].concat());
    let told = &plan.json()["plan"];
    assert_eq!((&told["open"], &told["details"], &told["calls"]), (&2.into(), &4.into(), &6.into()));
    let ran = sheet(&shell, &[&["--out", "goods.ndjson"][..], &wanted].concat());
    assert_eq!(ran.status, 0, "{ran:?}");
    let counters = shell.sandbox().counters();
    assert_eq!(counters.searches_ok, 2);
    let paid = counters.details_ok;
    assert!((2..=4).contains(&paid), "{paid}");
    let text = std::fs::read_to_string(shell.path("goods.ndjson")).unwrap();
    for line in text.lines() {
        let picture: Value = serde_json::from_str(line).unwrap();
        let yuan = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        let offers = picture["offers"].as_array().unwrap();
        for offer in offers {
            assert_eq!(offer["details"]["price_ladder"].as_array().unwrap().len(), 3, "{offer}");
            assert!(!offer["details"]["variants"].as_array().unwrap().is_empty());
            assert!(yuan(&offer["unit_price"]) < yuan(&offer["price"]), "{offer}");
        }
        assert!(yuan(&offers[0]["unit_price"]) <= yuan(&offers[1]["unit_price"]), "{offers:?}");
    }
    let again = sheet(&shell, &[&["--out", "goods.xlsx"][..], &wanted].concat());
    assert_eq!(again.status, 0, "{again:?}");
    assert_eq!(again.lines()[0]["plan"]["details"], 0);
    assert_eq!((shell.sandbox().counters().searches_ok, shell.sandbox().counters().details_ok), (2, paid));
    let mut book = zip::ZipArchive::new(std::fs::File::open(shell.path("goods.xlsx")).unwrap()).unwrap();
    let mut names = String::new();
    book.by_name("xl/workbook.xml").unwrap().read_to_string(&mut names).unwrap();
    assert!(names.contains("name=\"Variants\""), "{names}");
    let mut drawing = String::new();
    book.by_name("xl/drawings/drawing2.xml").unwrap().read_to_string(&mut drawing).unwrap();
    assert!(drawing.contains("<xdr:pic>"), "variants have their pictures");
}

#[test]
fn every_upstream_is_asked_within_what_it_may_cost_and_an_offer_comes_once() {
    let shell = shell_with(1);
    let config = std::fs::read_to_string(shell.path("config.toml")).unwrap();
    shell.write("config.toml", config.replace("[\"article\"]", "[\"article\", \"aop\"]").as_bytes());
    let wide = |options: &[&str]| {
        let args = ["--json", "sheet", "--key", "sku", "list.csv", "--all-upstreams", "--top", "50"];
        let mut command = shell.command(&[&args[..], options].concat());
        Ran::of(command.env("TONGKUAN_REFRESH_TOKEN", SandboxOptions::default().refresh_token))
    };
    let plan = wide(&["--dry-run"]);
    assert_eq!(plan.json()["plan"]["calls"], 2, "{plan:?}");
    let capped = wide(&["--out", "goods.ndjson", "--max-calls", "1"]);
    assert_eq!(capped.lines()[1]["upstream_calls"], 1, "{capped:?}");
    let rest = wide(&["--out", "goods.ndjson"]);
    assert_eq!((rest.status, &rest.lines()[1]["upstream_calls"]), (0, &1.into()), "{rest:?}");
    assert_eq!(shell.sandbox().counters().searches_ok, 2);
    let text = std::fs::read_to_string(shell.path("goods.ndjson")).unwrap();
    let picture: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let ids: Vec<&str> = picture["offers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offer| offer["offer_id"].as_str().unwrap())
        .collect();
    let distinct: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!((distinct.len(), ids.len() >= 20), (ids.len(), true), "{ids:?}");
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

/// LibreOffice without a window, which not every machine has.
#[test]
fn libreoffice_opens_the_workbook_and_shows_its_costs() {
    let shell = shell_with(2);
    let costs =
        ["--yuan-per-unit", "7", "--fee-share", "0.1", "--freight-per-kg", "40", "--weight-kg", "0.5"];
    for file in ["goods.xlsx", "known.csv"] {
        let ran = sheet(&shell, &[&["--out", file, "--top", "2"][..], &costs].concat());
        assert_eq!(ran.status, 0, "{ran:?}");
    }
    let profile = format!("-env:UserInstallation=file://{}", shell.path("office").display());
    let opened = std::process::Command::new("soffice")
        .args([&profile, "--headless", "--convert-to", "csv", "goods.xlsx"])
        .current_dir(shell.path(""))
        .output();
    let Ok(opened) = opened else { return };
    assert!(opened.status.success(), "{opened:?}");
    let table = |file: &str| {
        let text = std::fs::read_to_string(shell.path(file)).unwrap();
        let mut table = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let heads = table.headers().unwrap().clone();
        let place = |head: &str| heads.iter().position(|known| known == head).unwrap();
        let (offer, cost) = (place("Offer"), place("Landed cost"));
        let row = |row: csv::StringRecord| (row[offer].to_owned(), row[cost].parse::<f64>().unwrap());
        table.records().map(|record| row(record.unwrap())).collect::<Vec<_>>()
    };
    let (opened, written) = (table("goods.csv"), table("known.csv"));
    assert_eq!((opened.len(), written.len()), (4, 4));
    for ((offer, cost), (written_offer, written_cost)) in opened.iter().zip(&written) {
        assert_eq!(offer, written_offer);
        assert!((cost - written_cost).abs() < 0.006, "{cost} {written_cost}");
    }
}

#[test]
fn a_sheet_for_which_there_is_no_folder_is_refused_before_anything_is_paid() {
    let shell = shell_with(1);
    let ran = sheet(&shell, &["--out", "nowhere/goods.csv"]);
    assert!(ran.status == 2 && ran.err.contains("no folder nowhere for the sheet"), "{ran:?}");
    assert_eq!(shell.sandbox().counters().searches_ok, 0);
}

#[test]
fn a_sheet_is_made_again_and_other_files_are_left_alone() {
    let shell = shell_with(1);
    shell.write("mine.csv", b"sku,price\nSKU-0,12\n");
    let ran = sheet(&shell, &["--out", "mine.csv"]);
    assert!(ran.status == 2 && ran.err.contains("mine.csv is there already"), "{ran:?}");
    assert_eq!(shell.sandbox().counters().searches_ok, 0, "nothing is paid for it");
    let ran = sheet(&shell, &["--out", "list.csv", "--force"]);
    assert!(ran.status == 2 && ran.err.contains("list.csv is what the pictures are read from"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(shell.path("list.csv")).unwrap(), list(1));
    for file in ["goods.csv", "goods.xlsx", "goods.html", "goods.ndjson"] {
        for _ in 0..2 {
            assert_eq!(sheet(&shell, &["--out", file]).status, 0, "{file}");
        }
    }
    assert_eq!(sheet(&shell, &["--out", "mine.csv", "--force"]).status, 0);
}
