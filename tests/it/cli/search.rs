//! `search`, `offers`, `show`, `stats`: exit statuses and the JSON contract.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tongkuan::sandbox::View;

use super::{Ran, Shell, text};
use crate::fakes::http;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_miss_exits_1_and_the_same_picture_again_is_a_hit_and_exits_0() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let miss = shell.run(&["search", text(&picture)]);
    assert_eq!(miss.status, 1, "{miss:?}");
    assert!(miss.out.contains("a.jpg: miss") && miss.out.contains("1 call(s)"), "{}", miss.out);
    let hit = shell.run(&["search", text(&picture)]);
    assert_eq!(hit.status, 0, "{hit:?}");
    assert!(hit.out.contains("a.jpg: hit by the same bytes"), "{}", hit.out);
    assert!(!hit.out.contains('\u{1b}'), "no colour where nobody looks");
    assert_eq!(shell.sandbox().counters().searches_ok, 1);
}

#[test]
fn the_json_of_a_search_has_every_field_of_the_contract() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let miss = shell.run(&["search", "--json", text(&picture)]).json();
    let answer = shell.run(&["--json", "search", text(&picture)]).json();
    for value in [&miss, &answer] {
        for field in [
            "verdict",
            "rule",
            "similarity",
            "score",
            "confidence",
            "why",
            "threshold",
            "max_false_hit",
            "source",
            "fetched_at",
            "stale",
            "matched",
            "offers",
            "timings_ms",
            "upstream_calls",
        ] {
            assert!(value.get(field).is_some(), "{field} is missing in {value}");
        }
        let stages = ["catalog", "decode", "embed", "index", "tensor", "total", "upstream", "verdict"];
        assert_eq!(keys(&value["timings_ms"]), stages);
        assert_eq!(value["max_false_hit"], 0.01);
    }
    assert_eq!((miss["verdict"].as_str(), miss["upstream_calls"].as_u64()), (Some("miss"), Some(1)));
    assert_eq!(miss["source"], "upstream");
    assert!(miss["timings_ms"]["upstream"].as_f64().unwrap() > 0.0);
    assert_eq!((answer["verdict"].as_str(), answer["upstream_calls"].as_u64()), (Some("hit"), Some(0)));
    assert_eq!((answer["rule"].as_str(), answer["source"].as_str()), (Some("same_bytes"), Some("local")));
    assert_eq!((answer["similarity"].as_u64(), answer["stale"].as_bool()), (Some(100), Some(false)));
    assert_eq!(keys(&answer["matched"]), ["kind", "label", "photo_id"]);
    assert_eq!(answer["timings_ms"]["embed"], Value::Null);
    assert_eq!(answer["offers"], miss["offers"]);
    let offer = &answer["offers"][0];
    for field in [
        "offer_id",
        "title",
        "price",
        "min_order_quantity",
        "similarity",
        "image_url",
        "detail_url",
        "supplier",
    ] {
        assert!(offer.get(field).is_some(), "{field} is missing in {offer}");
    }
    assert!(offer["offer_id"].is_string() && offer["price"].is_string());
    assert_eq!(keys(&offer["supplier"]), ["company_name", "credit_level"]);
}

#[test]
fn a_bad_picture_among_several_exits_2_and_stops_none() {
    let shell = Shell::with_sandbox();
    let (a, b) = (shell.good(3, "a.jpg"), shell.good(90, "b.jpg"));
    let bad = shell.write("bad.jpg", b"not a picture");
    let ran = shell.run(&["search", "--json", text(&a), text(&bad), text(&b), text(&a)]);
    assert_eq!(ran.status, 2, "{ran:?}");
    let lines = ran.lines();
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&a, &bad, &b, &a].map(|path| text(path)));
    assert!(lines[1]["error"].as_str().unwrap().contains("JPEG"), "{}", lines[1]);
    assert_eq!(lines[3]["rule"], "same_bytes");
    assert!(ran.err.contains(text(&bad)), "{}", ran.err);
    let missing = shell.run(&["search", "no-such.jpg"]);
    assert!(missing.status == 2 && missing.err.contains("no-such.jpg"), "{missing:?}");
}

#[test]
fn offline_asks_nobody_and_still_answers_what_it_knows() {
    let shell = Shell::with_sandbox().with_home();
    let (a, b) = (shell.good(3, "a.jpg"), shell.good(90, "b.jpg"));
    let unseen = shell.run(&["--offline", "--json", "search", text(&a)]);
    assert_eq!((unseen.status, shell.sandbox().counters().searches_ok), (1, 0), "{unseen:?}");
    assert_eq!(unseen.json()["source"], "none");
    shell.run(&["search", text(&a)]);
    let seen = shell.run(&["--offline", "search", text(&a)]);
    assert_eq!((seen.status, shell.sandbox().counters().searches_ok), (0, 1), "{seen:?}");
    // `offers` never asks, online or not.
    assert_eq!(shell.run(&["offers", text(&b)]).status, 1);
    assert_eq!(shell.sandbox().counters().searches_ok, 1);
}

#[test]
fn offers_that_are_left_out_are_counted_in_the_text() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let plain = shell.run(&["search", text(&picture)]);
    assert!(!plain.out.contains("left out"), "{plain:?}");
    let none = shell.run(&["search", "--keyword", "zzz", text(&picture)]);
    assert_eq!(none.status, 0, "{none:?}");
    assert!(none.out.contains("left out by --keyword or --max-min-order: all, "), "{none:?}");
}

#[test]
fn every_question_about_a_picture_has_an_answer_of_its_own() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let ask = |args: &[&str]| {
        let mut all = vec!["--json", "search", text(&picture)];
        all.extend(args);
        shell.run(&all).json()
    };
    let all = ask(&[]);
    let category = shell.sandbox().catalogue().goods()[3].category_id.to_string();
    let questions: [&[&str]; 4] = [
        &["--category", &category],
        &["--price-min", "10", "--price-max", "60"],
        &["--page", "2"],
        &["--page-size", "5"],
    ];
    for question in questions {
        let first = ask(question);
        assert_eq!(first["upstream_calls"], 1, "{question:?}: {first}");
        assert_ne!(first["offers"], all["offers"], "{question:?}");
        let again = ask(question);
        assert_eq!((again["upstream_calls"].as_u64(), &again["offers"]), (Some(0), &first["offers"]));
    }
    // What was found in a category, or for a price, can be looked for among it.
    let wrong = ["--category", "1"];
    for filter in [&["--category", &category][..], &["--price-min", "10", "--price-max", "60"]] {
        let similar = shell.run(&[&["similar", text(&picture)], filter].concat());
        assert!(similar.status == 0 && similar.out.contains("a.jpg"), "{similar:?}");
    }
    assert_eq!(shell.run(&[&["similar", text(&picture)], &wrong[..]].concat()).status, 1);
    assert_eq!(ask(&["--refresh"])["upstream_calls"], 1);
    assert_eq!(ask(&["--bypass"])["upstream_calls"], 1);
    assert_eq!(shell.run(&["search", "a.jpg", "--price-min", "9", "--price-max", "1"]).status, 2);
}

#[test]
fn what_is_stored_can_be_looked_at() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let answer = shell.run(&["--json", "search", text(&picture)]).json();
    let offers = shell.run(&["--json", "offers", text(&picture)]);
    assert_eq!(offers.status, 0, "{offers:?}");
    assert_eq!(offers.json()["answers"][0]["offers"], answer["offers"]);
    let shown = shell.run(&["--json", "show", "1"]).json();
    assert_eq!((&shown["id"], &shown["matched"]), (&1.into(), &offers.json()["matched"]));
    assert_eq!(shown["answers"], offers.json()["answers"]);
    let absent = shell.run(&["show", "77"]);
    assert!(absent.status == 2 && absent.err.contains("77"), "{absent:?}");
    let stats = shell.run(&["--json", "stats"]).json();
    assert_eq!(stats["counts"]["photos"], 1, "{stats}");
    let quota = shell.run(&["--json", "quota"]).json();
    assert_eq!((&quota["upstreams"][0]["used"], &quota["upstreams"][0]["left"]), (&1.into(), &499.into()));
    shell.run(&["search", text(&picture)]);
    let read = shell.run(&["quota"]).out;
    assert!(read.contains("1 of 500 used, 499 left") && read.contains("saved     1 calls today"), "{read}");
}

#[test]
fn a_secret_is_in_no_output_even_when_the_upstream_refuses_it() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let mut command = shell.command(&["search", text(&picture)]);
    let ran = Ran::of(command.env("TONGKUAN_APP_SECRET", "a-wrong-secret"));
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("app secret") && !format!("{ran:?}").contains("a-wrong-secret"), "{ran:?}");
}

/// Ends the process whatever happens to the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_sandbox_command_is_an_upstream_for_another_process() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let mut command: Command = shell.command(&["sandbox", "--port", "0", "--json", "--min-interval-ms", "0"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let mut search = shell.command(&["--json", "search", text(&picture)]);
    search.env("TONGKUAN_BASE_URL", said["base_url"].as_str().unwrap());
    search.env("TONGKUAN_APP_KEY", said["app_key"].as_str().unwrap());
    search.env("TONGKUAN_APP_SECRET", said["app_secret"].as_str().unwrap());
    let ran = Ran::of(&mut search);
    assert_eq!(ran.json()["upstream_calls"], 1, "{ran:?}");
    assert_eq!(shell.sandbox().counters().searches_ok, 0, "the other sandbox was asked");
}

#[test]
fn the_sandbox_command_lets_go_wrong_what_it_is_told_to() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let args =
        ["sandbox", "--port", "0", "--json", "--fault", "quota", "--fault", "cut=0.01", "--fault-seed", "7"];
    let mut running = Running(shell.command(&args).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let mut search = shell.command(&["--json", "search", text(&picture)]);
    let ran = Ran::of(search.env("TONGKUAN_BASE_URL", said["base_url"].as_str().unwrap()));
    assert_eq!((ran.status, &ran.json()["unanswered"]["reason"]), (1, &"quota_spent".into()), "{ran:?}");
    let wrong = shell.run(&["sandbox", "--port", "0", "--fault", "explode"]);
    assert!(wrong.status == 2 && wrong.err.contains("missing-fields"), "{wrong:?}");
}

#[test]
fn what_an_upstream_cannot_be_asked_is_refused_and_costs_nothing() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let refused = shell.run(&["--json", "search", text(&picture), "--filter", "shipIn24Hours"]);
    assert_eq!((refused.status, &refused.json()["code"]), (2, &"upstream_param".into()), "{refused:?}");
    assert!(refused.err.contains("filter"), "{refused:?}");
    let mistyped = shell.run(&["search", text(&picture), "--filter", "shipIn24Hour"]);
    assert!(mistyped.status == 2 && mistyped.err.contains("shipIn24Hours"), "{mistyped:?}");
    let without = shell.run(&["search", text(&picture), "--translate-keyword"]);
    assert!(without.status == 2 && without.err.contains("--upstream-keyword"), "{without:?}");
    let counters = shell.sandbox().counters();
    assert_eq!((counters.searches_ok, counters.searches_refused), (0, 0));
}

#[test]
fn the_official_dialect_works_from_the_login_on() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let aop = ["--json", "--upstream", "aop"];
    let run = |args: &[&str]| shell.run(&[&aop[..], args].concat());
    let not_yet = run(&["search", text(&picture)]);
    assert!(not_yet.status == 2 && not_yet.err.contains("tongkuan login"), "{not_yet:?}");
    let page = format!("{}/oauth/authorize", shell.sandbox().base_url());
    let redirect = ["login", "--redirect-uri", "http://127.0.0.1:9/back"];
    let open = run(&[&redirect[..], &["--authorize-url", &page]].concat()).json();
    let answer = http().get(open["open"].as_str().unwrap()).send().unwrap();
    let location = answer.headers()["location"].to_str().unwrap();
    let code = location.split_once("code=").unwrap().1.split('&').next().unwrap();
    let done = run(&[&redirect[..], &["--code", code]].concat());
    assert_eq!(done.status, 0, "{done:?}");
    assert_eq!(run(&["search", text(&picture)]).json()["upstream_calls"], 1);
    let hit = run(&["search", text(&picture)]).json();
    assert_eq!((&hit["verdict"], &hit["offers"][0]["similarity"]), (&"hit".into(), &Value::Null));
    let dropship = ["search", text(&picture), "--filter", "isOnePsale,shipIn48Hours", "--sort", "price_asc"];
    let asked = run(&dropship).json();
    let offers = asked["offers"].as_array().unwrap();
    assert_eq!(asked["upstream_calls"], 1, "another question");
    assert!(!offers.is_empty() && offers.iter().all(|offer| offer["dropships"] == true), "{asked}");
    let people = shell.run(&[&["--upstream", "aop"], &dropship[..]].concat());
    assert!(people.status == 0 && people.out.contains("dropship ¥"), "{people:?}");
    assert_eq!(shell.sandbox().counters().token_requests, 1);
}

#[test]
fn the_demo_takes_a_folder_of_own_pictures() {
    let shell = Shell::with_sandbox();
    let catalogue = shell.sandbox().catalogue();
    shell.write("mine/shirt.jpg", &catalogue.jpeg(&catalogue.goods()[20], View::Angled));
    let page = shell.path("demo.html");
    let lines = shell.run(&["--json", "demo", "--html", text(&page), text(&shell.path("mine"))]).lines();
    let told: Vec<(&str, u64)> = lines[..lines.len() - 1]
        .iter()
        .map(|line| (line["verdict"].as_str().unwrap(), line["upstream_calls"].as_u64().unwrap()))
        .collect();
    assert_eq!(told[0], ("miss", 1), "{lines:?}");
    assert_eq!(told[1], ("hit", 0), "an edited copy: {lines:?}");
    assert!(told[2..].iter().all(|line| *line == ("hit", 0)), "offline: {lines:?}");
    assert_eq!(lines.last().unwrap()["sandbox_counted"]["searches_ok"], 1);
    let page = std::fs::read_to_string(page).unwrap();
    let (pictures, rows) = (page.matches("<img").count(), page.matches("<li>").count());
    // Each picture, and beside all but the first the stored one that it was recognised as.
    assert_eq!((pictures, rows), (2 * told.len() - 1, told.len()));
    assert!(!page.contains("http://") && !page.contains("https://"), "it links to nothing");
    let empty = shell.run(&["demo", text(&shell.path("home"))]);
    assert_eq!(empty.status, 2, "{empty:?}");
}
