//! Engines and the command line on a home in a real PostgreSQL, where several workers share it. Without a server these tests
//! say that they were skipped, see `postgres_home.rs`.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tongkuan::catalog::Catalog;
use tongkuan::engine::{CachePolicy, CheckOutcome, Engine, Outcome};
use tongkuan::home::Home;
use tongkuan::serve::{Ended, ServeOptions};
use tongkuan::upstream::{GuardPolicy, WhyNot};

use crate::check::{ADD, check_with, copy, item, items, outcomes};
use crate::cli::{Shell, text};
use crate::fakes::{Bench, encoded, picture, png, query};
use crate::postgres_home::PostgresHome;
use crate::serve::{Service, json, options};

/// A worker that may make so many calls a day, without a pause between them.
pub(crate) fn worker(bench: &Bench, home: Home, budget: u32) -> Engine {
    let policy = GuardPolicy::default().daily_budget(budget).min_interval(Duration::ZERO);
    bench.builder_on(home).upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap()
}

#[test]
fn the_commands_work_on_a_database_as_on_a_folder() {
    let Some(home) = PostgresHome::new() else { return };
    let shell = Shell::with_sandbox();
    let address = home.text("cli");
    let run = |args: &[&str]| {
        let ran = shell.run(&[&["--home", &address, "--json"], args].concat());
        assert!(!format!("{}{}", ran.out, ran.err).contains("panicked"), "{args:?}: {ran:?}");
        ran
    };
    // What only reads makes no home.
    let none = run(&["stats"]);
    assert!(none.status == 2 && none.err.contains("no home at postgres://"), "{none:?}");

    let asked = shell.good(3, "asked.jpg");
    let first = run(&["search", text(&asked)]).json();
    assert_eq!((&first["verdict"], &first["upstream_calls"]), (&"miss".into(), &1.into()), "{first}");
    assert!(first["unanswered"].is_null() && first["unstored"].is_null(), "{first}");
    let again = run(&["search", text(&asked)]).json();
    assert_eq!((&again["verdict"], &again["upstream_calls"]), (&"hit".into(), &0.into()), "{first} {again}");

    shell.good(5, "own/5.jpg");
    shell.good(6, "own/6.jpg");
    let added = run(&["add", "own"]);
    assert_eq!((added.status, added.lines().len()), (0, 2), "{added:?}");
    let stats = run(&["stats"]).json();
    assert_eq!(
        (&stats["counts"]["photos"], &stats["counts"]["own_photos"]),
        (&3.into(), &2.into()),
        "{stats}"
    );
    let shown = stats["home"].as_str().unwrap();
    assert!(shown.starts_with("postgres:///") && shown.contains("schema=t"), "{shown}");

    let similar = run(&["similar", text(&asked)]);
    assert!(similar.out.contains("asked.jpg"), "{similar:?}");
    assert_eq!(run(&["offers", text(&asked)]).status, 0);
    assert_eq!(run(&["show", "1"]).json()["matched"]["photo_id"], 1);
    let quota = run(&["quota"]).json();
    assert_eq!(quota["upstreams"][0]["used"], 1, "{quota}");
    let checked = run(&["check", "--add", "own", text(&asked)]);
    assert_eq!(checked.out.matches("\"seen\"").count(), 3, "{checked:?}");
    assert_eq!(run(&["same", "1", "2"]).status, 0);
    assert_eq!(run(&["verdicts", "export"]).lines().len(), 2);
    let sheet = run(&["sheet", text(&asked), "--out", "sheet.csv"]);
    assert_eq!(sheet.status, 0, "{sheet:?}");
    let scanned = run(&["scan", "own", "--against", "home"]);
    assert!(scanned.err.contains("2 are there already"), "{scanned:?}");
    assert_eq!(run(&["forget", "2"]).status, 0);
    assert_eq!(run(&["stats"]).json()["counts"]["photos"], 2);

    let doctor = run(&["doctor", "--audit"]);
    assert_eq!(doctor.status, 0, "{doctor:?}");
    let of = |name: &str| {
        let line = doctor.lines().into_iter().find(|line| line["check"] == name);
        line.unwrap_or_else(|| panic!("{name}: {doctor:?}"))["detail"].as_str().unwrap().to_owned()
    };
    let (database, ledger) = (of("database"), of("ledger"));
    assert!(database.contains("PostgreSQL 1") && database.contains("format 3"), "{database}");
    assert!(
        database.contains("feed is at photo 3 and removal 1, this machine's index at photo 3 and removal 1"),
        "{database}"
    );
    assert!(ledger.contains("article: 1 of 500 calls"), "{ledger}");
}

#[test]
fn the_service_answers_from_a_database_and_lets_go_of_it_without_a_panic() {
    let Some(home) = PostgresHome::new() else { return };
    let bench = Bench::new();
    let engine = Arc::new(worker(&bench, home.worker("serve"), 10));
    let options = ServeOptions { background: Some(Duration::from_millis(50)), ..options() };
    let service = Service::of(bench, Arc::clone(&engine), options, None);
    for (verdict, calls) in [("miss", 1), ("hit", 0)] {
        let answer = json(service.search("", &png(1)));
        assert_eq!(
            (&answer["verdict"], &answer["upstream_calls"]),
            (&verdict.into(), &calls.into()),
            "{answer}"
        );
    }
    let checked = json(service.post("/v1/check?add=true").body(png(2)).send().unwrap());
    assert_eq!(checked["outcome"], "new", "{checked}");
    let similar = json(service.post("/v1/similar?count=2").body(png(2)).send().unwrap());
    assert_eq!(similar["similar"].as_array().unwrap().len(), 2, "{similar}");
    assert_eq!(json(service.get("/v1/quota"))["upstreams"][0]["used"], 1);
    let stats = json(service.get("/v1/stats"));
    assert_eq!(stats["counts"]["photos"], 2, "{stats}");
    for path in
        ["/v1/pictures/1", "/v1/offers?words=offer", "/v1/reviews", "/metrics", "/readyz", "/v1/verdicts"]
    {
        assert!(service.get(path).status().is_success(), "{path}");
    }
    // What works beside the searches takes its turn as well.
    let deleted = service.client.delete(service.url("/v1/pictures/2")).send().unwrap();
    assert!(deleted.status().is_success(), "{deleted:?}");
    assert_eq!(engine.catalog().photo_count().unwrap(), 1);
    drop(engine);
    service.server.stop();
    assert_eq!(service.server.wait(), Ended::Drained);
}

#[test]
fn an_address_with_a_password_is_refused_by_every_door_and_not_repeated() {
    let shell = Shell::alone();
    let address = "postgres://ann:s3cret@127.0.0.1/d";
    let option = shell.run(&["--home", address, "stats"]);
    let variable = crate::cli::Ran::of(shell.command(&["stats"]).env("TONGKUAN_HOME", address));
    for ran in [option, variable] {
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.err.contains("PGPASSWORD") && ran.err.contains("password_file"), "{ran:?}");
        assert!(!ran.err.contains("s3cret"), "{ran:?}");
    }
}

/// So many workers on one home check edited copies of the same pictures at the same time: each picture has to be new once.
pub(crate) fn check_copies_at_once(originals: u32, workers: u8, open: impl Fn(&str) -> Engine) {
    let barrier = Barrier::new(workers.into());
    let told: Vec<_> = std::thread::scope(|scope| {
        let working: Vec<_> = (0..workers)
            .map(|number| {
                let engine = open(&format!("w{number}"));
                let barrier = &barrier;
                // Each begins with another one, and each has other bytes of all.
                let copies: Vec<_> = (0..originals)
                    .map(|n| (n + u32::from(number)) % originals)
                    .map(|of| item(u64::from(of), &format!("{number}-{of}.jpg"), copy(of, 60 + 8 * number)))
                    .collect();
                scope.spawn(move || {
                    barrier.wait();
                    check_with(&engine, ADD, copies)
                })
            })
            .collect();
        working.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let added = told.iter().flatten().filter(|(_, _, checked)| checked.as_ref().unwrap().added);
    let new: Vec<u64> = added.map(|(row, ..)| *row).collect();
    assert_eq!(new.len(), new.iter().collect::<BTreeSet<_>>().len(), "no picture is new twice: {new:?}");
    assert_eq!(new.len(), originals as usize, "and none is lost");
}

#[test]
fn of_edited_copies_that_workers_check_at_the_same_time_one_is_new() {
    const ORIGINALS: u32 = 4;
    let Some(home) = PostgresHome::new() else { return };
    let bench = Bench::new();
    check_copies_at_once(ORIGINALS, 4, |name| worker(&bench, home.worker(name), 0));
    let engine = worker(&bench, home.worker("after"), 0);
    assert_eq!(engine.catalog().photo_count().unwrap(), u64::from(ORIGINALS));
}

#[test]
fn workers_see_at_once_what_others_add_and_remove_and_one_that_comes_later_as_well() {
    let Some(home) = PostgresHome::new() else { return };
    let bench = Bench::new();
    let (one, other) = (worker(&bench, home.worker("one"), 0), worker(&bench, home.worker("other"), 0));
    // Both have an index before there is anything.
    assert_eq!((one.index_len().unwrap(), other.index_len().unwrap()), (0, 0));
    let added = check_with(&one, ADD, items(&[png(1), png(2)]));
    assert_eq!(outcomes(&added), [CheckOutcome::New; 2]);
    let seen = other.inspect(&query(&copy(2, 70))).unwrap();
    assert_eq!(seen.best.unwrap().photo_id.0, 2, "by the index, which has followed");
    let later = worker(&bench, home.worker("later"), 0);
    assert_eq!(later.search(&query(&copy(1, 70))).unwrap().matched.unwrap().photo_id.0, 1);

    other.forget(&[added[0].2.as_ref().unwrap().photo_id.unwrap()]).unwrap();
    for engine in [&one, &other, &later, &worker(&bench, home.worker("last"), 0)] {
        assert_eq!(engine.search(&query(&copy(1, 80))).unwrap().verdict, Outcome::Miss);
        assert_eq!(engine.index_len().unwrap(), 1);
        assert_eq!(engine.index_extent().unwrap(), engine.catalog().extent().unwrap());
        assert!(engine.audit().unwrap().is_sound());
    }
    // Gone and come again, under a new number.
    assert_eq!(outcomes(&check_with(&later, ADD, items(&[copy(1, 90)]))), [CheckOutcome::New]);
    assert_eq!(one.search(&query(&png(1))).unwrap().matched.unwrap().photo_id.0, 3);
}

#[test]
fn workers_together_spend_what_the_budget_holds_and_one_call_for_copies_of_a_picture() {
    const BUDGET: u32 = 5;
    let Some(home) = PostgresHome::new() else { return };
    let bench = Bench::new();
    let workers: Vec<Engine> =
        (0..3).map(|number| worker(&bench, home.worker(&format!("w{number}")), BUDGET)).collect();
    let asked = |engine: &Engine, bytes: &[u8]| {
        let answer = engine.search(&query(bytes)).unwrap();
        (answer.upstream_calls, answer.unanswered.map(|unanswered| unanswered.reason))
    };
    // Single flight over workers: edited copies of one picture, all at once.
    let barrier = Barrier::new(workers.len());
    let calls: u32 = std::thread::scope(|scope| {
        let asking: Vec<_> = workers
            .iter()
            .zip([60, 70, 80])
            .map(|(engine, quality)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    asked(engine, &copy(100, quality)).0
                })
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).sum()
    });
    assert_eq!((calls, bench.calls()), (1, 1));
    // Different pictures: more than the budget holds.
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = workers
            .iter()
            .zip([0, 10, 20])
            .map(|(engine, first)| scope.spawn(move || [1, 2, 3, 4].map(|n| asked(engine, &png(first + n)))))
            .collect();
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().map(|(calls, _)| calls).sum::<u32>(), BUDGET - 1);
    assert_eq!(bench.calls(), BUDGET, "booked is what was made");
    let refused = answers.iter().filter(|(_, reason)| *reason == Some(WhyNot::BudgetSpent)).count();
    assert_eq!(refused, answers.len() - 4);
    for engine in &workers {
        let report = &engine.quota().unwrap()[0];
        assert_eq!((report.used, report.left), (BUDGET, 0));
    }
}

#[test]
fn a_worker_that_has_lost_its_folder_loses_nothing_but_the_index() {
    let Some(home) = PostgresHome::new() else { return };
    let bench = Bench::new();
    let engine = bench.builder_on(home.worker("lost")).exact_max(2).open().unwrap();
    let pictures: Vec<_> = (0..6).map(png).collect();
    check_with(&engine, ADD, items(&pictures));
    engine.remake_index().unwrap();
    let folder = engine.folder().to_path_buf();
    assert!(folder.join("index").is_dir(), "the snapshot is in it");
    drop(engine);
    std::fs::remove_dir_all(&folder).unwrap();
    let engine = bench.builder_on(home.worker("lost")).exact_max(2).open().unwrap();
    assert_eq!(engine.index_len().unwrap(), 6);
    let small = image::imageops::resize(&picture(4), 80, 60, image::imageops::FilterType::CatmullRom);
    let found = engine.inspect(&query(&encoded(&small, image::ImageFormat::Png))).unwrap();
    assert_eq!(found.best.unwrap().photo_id.0, 5);
    assert!(!Catalog::is_in(&folder).unwrap(), "no catalogue is made beside the database");
}
