//! A home moves, row by row, to where none is: between folders, into a database and back.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use tongkuan::calibration::{CALIBRATION_FORMAT, Calibration, Sample};
use tongkuan::catalog::Catalog;
use tongkuan::catalog::moving::{MoveError, MoveOptions, Moved};
use tongkuan::embed::Embedding;
use tongkuan::engine::{Engine, Mode, Outcome};
use tongkuan::home::Home;
use tongkuan::offer::OfferDetail;
use tongkuan::photo::Digest;
use tongkuan::photo_id::PhotoId;
use tongkuan::store::{NewWaiting, Recognised, Refill, Refusal, Store, UnreadableAnswer, WaitReason};
use tongkuan::upstream::{ProviderCount, QuotaDay, SearchParams, UpstreamError, UpstreamErrorKind};

use crate::cli::{Shell, text};
use crate::fakes::{Bench, offer, png, query};
use crate::moving::{answers, filled};
#[cfg(feature = "postgres")]
use crate::postgres_home::PostgresHome;
use crate::store::{LATER, Made, NOW, answered, fingerprint, store_photo};

/// Something in every table of a home that [`filled`] has made.
fn fill_the_rest(store: &dyn Store) {
    let queued = NewWaiting {
        reason: WaitReason::Stale,
        priority: 1,
        label: "a\0b.png",
        byte_digest: Digest::of(b"bytes"),
        bytes: b"bytes",
        source_url: Some("https://img.example/a.jpg"),
        params: &SearchParams::default(),
        queued_at: NOW,
    };
    store.queue(&queued).unwrap();
    let refusal = Refusal {
        profile: "fake".to_owned(),
        code: "size".to_owned(),
        message: "太大".to_owned(),
        refused_at: NOW,
    };
    store.remember_refusal(Digest::of(b"refused"), &refusal).unwrap();
    let unreadable = UnreadableAnswer {
        profile: "fake".to_owned(),
        question: "q".to_owned(),
        code: "form".to_owned(),
        message: "no JSON".to_owned(),
        answered_at: NOW,
    };
    store.remember_unreadable(&unreadable).unwrap();
    let categories = tongkuan::offer::Offer { category_ids: vec![7], ..offer("1") };
    let detail = OfferDetail::new(categories);
    store.store_details("fake", &detail.offer.offer_id, &detail, NOW).unwrap();
    store.watch_offers(std::slice::from_ref(&detail.offer.offer_id), NOW).unwrap();
    // The second answer has the first one kept, which named other offers.
    let image_url = Some("https://img.example/1.jpg".parse().unwrap());
    let shown = tongkuan::offer::Offer { image_url, ..detail.offer.clone() };
    store.store_answer(PhotoId(1), &answered(&[offer("2")], NOW)).unwrap();
    store.store_answer(PhotoId(1), &answered(&[shown], LATER)).unwrap();
    let day = QuotaDay::of(NOW);
    store.add_saved_calls(&day, 3).unwrap();
    store.reconcile("fake", day, ProviderCount { used_today: 40, max_a_day: 100 }).unwrap();
    store.trip("fake", LATER, &UpstreamError::new("fake", UpstreamErrorKind::Quota, "spent", "all")).unwrap();
    let sample = || Sample { queries: 8, pictures: 8, confidences: vec![0.25], made_of: Vec::new() };
    let calibration = Calibration {
        format: CALIBRATION_FORMAT,
        model: "fake".to_owned(),
        verifier: "v".to_owned(),
        max_false_hit: 0.5,
        stored: 4,
        unseen: sample(),
        look_alikes: sample(),
    };
    store.keep_calibration(Some(&calibration)).unwrap();
    let recognised = Recognised {
        byte_digest: Digest::of(b"recognised"),
        photo_id: PhotoId(1),
        score: 0.875,
        confidence: 0.96,
        max_false_hit: 0.01,
        verifier: "v".to_owned(),
        recognised_at: NOW,
    };
    store.remember_recognised(&[recognised]).unwrap();
    let run = store.check_run("out.ndjson", false, NOW).unwrap();
    let added = store.add_checked(&mut |group| {
        group.add(&Made::of(9).photo())?;
        group.keep_lines(run, &[(1, "{}".to_owned())])?;
        Ok(true)
    });
    assert!(added.unwrap());
    let next = fingerprint("next");
    store.gather_for(&next).unwrap();
    let vector = Embedding::new(vec![0.0, 1.0, 0.0]).unwrap();
    let (pixels, _) = store.digests_of(PhotoId(1)).unwrap().unwrap();
    let refill = Refill { vector: Some(&vector), sketch: None, pixel_digest: pixels };
    store.fill(PhotoId(1), &next, &refill).unwrap();
}

/// A home in a folder with rows in all tables.
pub(crate) fn source() -> Bench {
    let bench = filled();
    fill_the_rest(&Catalog::open(bench.home.path()).unwrap());
    bench
}

pub(crate) fn moved(from: &Home, to: &Home) -> Result<Moved, MoveError> {
    from.move_to(to, MoveOptions::default(), &mut |_, _, _| {})
}

/// Moves again and again, each time stopped some pages later, until a move comes to its end.
fn moved_in_pieces(from: &Home, to: &Home) -> Moved {
    for pages in (1..).step_by(6) {
        let mut left = pages;
        let once = catch_unwind(AssertUnwindSafe(|| {
            from.move_to(to, MoveOptions::default(), &mut |_, _, _| {
                left -= 1;
                if left == 0 {
                    resume_unwind(Box::new("stopped"));
                }
            })
        }));
        if let Ok(once) = once {
            return once.unwrap();
        }
        assert!(!to.is_there().unwrap(), "half of a home is none");
    }
    unreachable!()
}

fn there_and_back(bench: &Bench, between: &Home) {
    let (folder, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = Home::from(bench.home.path());
    let before = answers(bench, bench.home.path());
    let there = moved(&home, between).unwrap();
    let empty: Vec<_> =
        there.tables.iter().filter(|table| table.rows == 0).map(|table| table.table).collect();
    assert!(empty.is_empty(), "the test has nothing in {empty:?}");
    assert_eq!(there.rows_before, 0);
    assert!(there.tables.iter().all(|table| table.sha256.is_some()));
    let returned = Home::from(back.path().join("home"));
    let again = moved_in_pieces(between, &returned);
    assert_eq!(again.tables, there.tables, "the same in every table");
    assert!(again.rows_before > 0, "it went on where it was");
    assert_eq!(answers(bench, between.clone()), before);
    assert_eq!(answers(bench, returned.clone()), before);
    // Numbers of photos that are gone are not given again.
    let engine =
        Engine::builder(returned.clone()).embedder(bench.embedder.clone()).clock(bench.clock.clone());
    let next = engine.open().unwrap().add_own(&offer("Z"), &png(99), "z.png").unwrap().photo_id;
    assert!(next.0 > 9, "{next:?}");
    // Where something is, nothing moves to.
    for target in [between, &returned] {
        let refused = moved(&home, target);
        assert!(matches!(refused, Err(MoveError::TargetUsed { .. })), "{refused:?}");
    }
    let nowhere = moved(&Home::from(folder.path().join("nothing")), &Home::from(folder.path().join("b")));
    assert!(matches!(nowhere, Err(MoveError::NoHome { .. })), "{nowhere:?}");
    assert!(matches!(moved(&home, &home), Err(MoveError::SameHome { .. })));
}

#[test]
fn a_home_goes_to_another_folder_and_back_and_is_the_same() {
    let between = tempfile::tempdir().unwrap();
    there_and_back(&source(), &Home::from(between.path().join("home")));
}

#[cfg(feature = "postgres")]
#[test]
fn a_home_goes_into_a_postgres_database_and_back_and_is_the_same() {
    let homes = [PostgresHome::new(), PostgresHome::new().map(PostgresHome::partitioned)];
    for home in homes.into_iter().flatten() {
        there_and_back(&source(), &home.worker("moved"));
    }
}

/// What arrives at a target while others search the source, and while one writes to it.
fn moves_while_it_is_used(target: &Home) {
    let bench = source();
    let home = Home::from(bench.home.path());
    let engine = bench.builder_on(home.clone()).open().unwrap();
    let mut searched = 0;
    let changed = home.move_to(target, MoveOptions::default(), &mut |what, _, _| {
        let known = engine.search(&query(&png(1)).mode(Mode::LocalOnly)).unwrap();
        assert_eq!(known.verdict, Outcome::Hit, "while it is {what}");
        searched += 1;
        if what == "verifying" {
            let catalog = Catalog::open(bench.home.path()).unwrap();
            store_photo(&catalog, 200 + u8::try_from(searched % 50).unwrap());
        }
    });
    let said = changed.unwrap_err();
    assert!(matches!(said, MoveError::Differs { .. } | MoveError::Changed), "{said}");
    assert!(searched > 20 && !target.is_there().unwrap());
    // What has arrived is of an older state: it is begun anew, and by nobody else.
    let other = filled();
    let unfinished = moved(&Home::from(other.home.path()), target);
    assert!(matches!(unfinished, Err(MoveError::Unfinished { .. })), "{unfinished:?}");
    let counted =
        home.move_to(target, MoveOptions { dry_run: true, ..MoveOptions::default() }, &mut |_, _, _| {});
    let counted = counted.unwrap();
    assert!(!target.is_there().unwrap() && counted.tables.iter().all(|table| table.sha256.is_none()));
    let anew =
        home.move_to(target, MoveOptions { restart: true, ..MoveOptions::default() }, &mut |_, _, _| {});
    let anew = anew.unwrap();
    assert_eq!((anew.rows, anew.rows_before), (counted.rows, 0));
}

#[test]
fn a_source_is_searched_while_it_moves_to_a_folder_and_what_is_written_meanwhile_is_found_out() {
    let target = tempfile::tempdir().unwrap();
    moves_while_it_is_used(&Home::from(target.path().join("home")));
}

#[cfg(feature = "postgres")]
#[test]
fn a_source_is_searched_while_it_moves_to_postgres_and_what_is_written_meanwhile_is_found_out() {
    let Some(home) = PostgresHome::new() else { return };
    moves_while_it_is_used(&home.worker("moved"));
}

/// Kills the program again and again, each time a little later.
fn killed_and_moved(from: &str, to: &str) -> serde_json::Value {
    let shell = Shell::alone();
    for round in 1..60_u64 {
        let mut command = shell.command(&["move", "--from", from, "--to", to, "--json"]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(15 * round));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        if ended.success() {
            let out = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
            return serde_json::from_str(&out).unwrap();
        }
        if ended.code().is_some() {
            // The one before was killed behind its last step, before it could say so: another move tells what came.
            let further = shell.path("further");
            return shell.run(&["move", "--from", to, "--to", text(&further), "--json"]).json();
        }
    }
    shell.run(&["move", "--from", from, "--to", to, "--json"]).json()
}

/// With more rows than a page has.
pub(crate) fn big_source() -> Bench {
    let bench = source();
    let catalog = Catalog::open(bench.home.path()).unwrap();
    for seed in 10..=220 {
        let photo_id = store_photo(&catalog, seed);
        let offers: Vec<_> = (0..6).map(|n| offer(&format!("{seed}-{n}"))).collect();
        tongkuan::store::AnswerStore::store_answer(&catalog, photo_id, &answered(&offers, NOW)).unwrap();
    }
    bench
}

#[test]
fn a_move_that_is_killed_at_any_moment_goes_on_and_loses_nothing() {
    let bench = big_source();
    let from = text(bench.home.path()).to_owned();
    let target = tempfile::tempdir().unwrap();
    let to = target.path().join("home");
    #[cfg(feature = "postgres")]
    let database = PostgresHome::new();
    #[cfg(feature = "postgres")]
    let other_targets: Vec<String> = database.iter().map(|home| home.text("killed")).collect();
    #[cfg(not(feature = "postgres"))]
    let other_targets = Vec::<String>::new();
    let tables = |answer: &serde_json::Value| answer["moved"]["tables"].clone();
    let in_folder = killed_and_moved(&from, text(&to));
    assert!(in_folder["moved"]["rows"].as_u64().unwrap() > 2_000, "{in_folder}");
    for other in other_targets {
        let in_database = killed_and_moved(&from, &other);
        assert_eq!(tables(&in_database), tables(&in_folder));
    }
}

#[test]
fn the_command_counts_first_and_says_what_stays_behind() {
    let bench = source();
    let shell = Shell::alone();
    std::fs::create_dir(bench.home.path().join("tokens")).unwrap();
    let from = text(bench.home.path());
    let dry = shell.run(&["move", "--from", from, "--to", "there", "--dry-run"]);
    assert!(dry.status == 0 && dry.out.contains("would move") && !shell.path("there").exists(), "{dry:?}");
    let ran = shell.run(&["move", "--from", from, "--to", "there"]);
    assert!(ran.status == 0 && ran.out.contains("tokens") && ran.out.contains("log in again"), "{ran:?}");
    let again = shell.run(&["move", "--from", from, "--to", "there", "--json"]);
    assert!(again.status == 2 && again.err.contains("holds something already"), "{again:?}");
    let counted = |from: &str| {
        let counted = shell.run(&["move", "--from", from, "--to", "elsewhere", "--dry-run", "--json"]).json();
        assert_eq!(counted["dry_run"], true, "{counted}");
        counted["moved"].clone()
    };
    assert_eq!(counted("there"), counted(from));
}
