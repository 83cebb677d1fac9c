//! The source of truth: what it keeps through crashes, and what it refuses.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tongkuan::catalog::{Catalog, CatalogError, GoodsFilter, PhotoFilter, Subject, Turn, Words};
use tongkuan::clock::Timestamp;
use tongkuan::embed::Fingerprint;
use tongkuan::engine::{CachePolicy, Engine, Mode, Originals, Outcome, Query};
use tongkuan::photo::{Photo, PhotoLimits};
use tongkuan::photo_id::PhotoId;
use tongkuan::upstream::{Booking, CallOutcome, GuardPolicy, Ledger, LedgerError, QuotaDay, SearchParams};
use tongkuan::verdict::Rule;
use tongkuan::verify::Sketch;

use crate::fakes::{Bench, FakeEmbedder, encoded, png, query};

fn booking(now: Timestamp, budget: u32) -> Booking {
    Booking {
        profile: "fake",
        day: QuotaDay::of(now),
        budget,
        now,
        min_interval: Duration::from_secs(1),
        max_ahead: Duration::from_mins(2),
    }
}

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);

#[test]
fn bookings_are_paced_a_second_apart_and_stop_at_the_budget() {
    let home = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(home.path()).unwrap();
    let first = catalog.reserve(&booking(NOW, 2)).unwrap();
    let second = catalog.reserve(&booking(NOW, 2)).unwrap();
    assert_eq!(first.start_at.until(second.start_at), Duration::from_secs(1));
    assert_eq!(catalog.reserve(&booking(NOW, 2)), Err(LedgerError::BudgetSpent { used: 2 }));
    catalog.settle(first.id, CallOutcome::Refunded).unwrap();
    assert!(catalog.reserve(&booking(NOW, 2)).is_ok());
}

#[test]
fn many_threads_on_two_connections_never_book_over_the_budget() {
    let home = tempfile::tempdir().unwrap();
    let catalogs = [Catalog::open(home.path()).unwrap(), Catalog::open(home.path()).unwrap()];
    let booked: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|i| {
                let catalog = &catalogs[i % 2];
                scope.spawn(move || (0..5).filter(|_| catalog.reserve(&booking(NOW, 40)).is_ok()).count())
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(booked, 40);
    assert_eq!(catalogs[0].calls_spent("fake", &QuotaDay::of(NOW)).unwrap(), 40);
}

#[test]
fn a_catalogue_of_a_newer_program_is_refused() {
    let home = tempfile::tempdir().unwrap();
    drop(Catalog::open(home.path()).unwrap());
    let raw = rusqlite::Connection::open(home.path().join("catalog.sqlite")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    let error = Catalog::open(home.path()).unwrap_err();
    assert!(matches!(error, CatalogError::TooNew { found: 99, .. }), "{error}");
}

#[test]
fn a_file_that_is_no_catalogue_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("catalog.sqlite"), vec![7u8; 9000]).unwrap();
    let error = Catalog::open(home.path()).unwrap_err();
    assert!(error.to_string().contains("catalog.sqlite"), "{error}");
}

#[test]
fn a_process_killed_while_it_stores_loses_nothing_acknowledged() {
    // The child is this very test binary, told by a variable to store pictures and print each when it is stored.
    if let Ok(home) = std::env::var("TONGKUAN_TEST_STORE_IN") {
        let bench = Bench::new();
        let engine = Engine::builder(home)
            .embedder(bench.embedder.clone())
            .upstream(bench.upstream.clone(), GuardPolicy::default(), CachePolicy::default())
            .clock(bench.clock.clone())
            .open()
            .unwrap();
        for seed in 0..400 {
            engine.search(&query(&png(seed))).unwrap();
            println!("\nstored {seed}");
        }
        return;
    }
    let bench = Bench::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "catalog::a_process_killed_while_it_stores_loses_nothing_acknowledged",
            "--nocapture",
        ])
        .env("TONGKUAN_TEST_STORE_IN", bench.home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut acknowledged = Vec::new();
    for line in lines {
        if let Some(seed) = line.unwrap().strip_prefix("stored ") {
            acknowledged.push(seed.parse::<u32>().unwrap());
            if acknowledged.len() == 25 {
                // SIGKILL, in the middle of whatever comes next.
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 25);
    let engine = bench.engine();
    for seed in &acknowledged {
        let answer = engine.search(&query(&png(*seed))).unwrap();
        assert_eq!(answer.offers.len(), 2, "picture {seed}");
    }
    assert_eq!(bench.calls(), 0);
    assert!(engine.catalog().problems().unwrap().is_empty());
    let photos = usize::try_from(engine.catalog().photo_count().unwrap()).unwrap();
    let audit = engine.audit().unwrap();
    assert!(audit.is_sound() && audit.photos == photos, "{audit:?}");
}

/// Catalogues of earlier formats are kept as they were written, by the program of their time and with its model. Formats 4,
/// 6 and 7 are those of 3, 5 and 6 after one more step: no program wrote them from the start.
#[test]
fn catalogues_of_earlier_formats_are_migrated_and_answer() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (version, waiting) in [(1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)] {
        let home = tempfile::tempdir().unwrap();
        let file = data.join(format!("catalog/v{version}.sqlite"));
        std::fs::copy(file, home.path().join("catalog.sqlite")).unwrap();
        // The model of that time: nothing is embedded here.
        let mut embedder = FakeEmbedder::new();
        embedder.fingerprint = written_with(&home.path().join("catalog.sqlite"));
        let engine = Engine::builder(home.path()).embedder(Arc::new(embedder)).open().unwrap();
        assert_eq!(engine.audit().unwrap().photos, 2);
        let params = SearchParams::default().page_size(3);
        for (file, offers, first) in [("wide.jpg", 3, "864704291266"), ("square.jpg", 1, "A-1")] {
            let bytes = std::fs::read(data.join("embedding").join(file)).unwrap();
            let query = Query::new(&bytes, file).params(params.clone());
            let answer = engine.search(&query).unwrap();
            assert_eq!((answer.verdict, answer.offers.len()), (Outcome::Hit, offers), "{version} {file}");
            assert_eq!(answer.offers[0].offer_id.as_str(), first);
            // Titles and pictures of old offers are known to what came later.
            let words = Words::parse(&answer.offers[0].title).unwrap();
            let found = engine.catalog().find_offers(&words, 9).unwrap();
            assert!(found.iter().any(|found| found.offer.offer_id.as_str() == first));
        }
        assert_eq!(engine.catalog().image_counts().unwrap().waiting, 3);
        let price =
            GoodsFilter { price_min: "73.2".parse().ok(), price_max: "73.2".parse().ok(), category_id: None };
        let filter = PhotoFilter { goods: price, ..PhotoFilter::default() };
        assert_eq!(engine.catalog().photos(&filter).unwrap(), [PhotoId(1)]);
        assert_eq!(engine.catalog().queue_counts().unwrap().deferred, waiting);
    }
}

/// `v6-colours.sqlite` was written by a program that passed colour profiles over: it knows `colour/p3.png` by the vector, sketch
/// and pixels of the same samples without a profile, and `photo/rgb.png`, which has none.
#[test]
fn pictures_stored_before_colour_profiles_were_honoured_are_counted_and_looked_at_again() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(data.join("catalog/v6-colours.sqlite"), home.path().join("catalog.sqlite")).unwrap();
    let builder = || Engine::builder(home.path()).embedder(Arc::new(FakeEmbedder::new()));
    let decoded = |name: &str| {
        let bytes = std::fs::read(data.join(name)).unwrap();
        Photo::decode(&bytes, &PhotoLimits::default()).unwrap()
    };
    let (plain, p3) = (decoded("colour/plain.png"), decoded("colour/p3.png"));
    let local = |engine: &Engine, photo: &Photo| {
        let bytes = encoded(photo.as_image(), image::ImageFormat::Bmp);
        let query = query(&bytes).mode(Mode::LocalOnly);
        engine.search(&query).unwrap().rule()
    };
    let engine = builder().open().unwrap();
    assert_eq!(engine.catalog().seen_by_older_decoders().unwrap(), 2);
    assert_eq!(local(&engine, &plain), Some(Rule::SamePixels), "of another colour, as it was stored");
    assert_ne!(local(&engine, &p3), Some(Rule::SamePixels));
    let before = engine.catalog().embedding(PhotoId(1)).unwrap();
    let untouched = engine.catalog().embedding(PhotoId(2)).unwrap();
    // The file itself is known all the same.
    let p3_file = std::fs::read(data.join("colour/p3.png")).unwrap();
    let answer = engine.search(&query(&p3_file).mode(Mode::LocalOnly)).unwrap();
    assert_eq!((answer.rule(), answer.offers[0].offer_id.as_str()), (Some(Rule::SameBytes), "P3"));
    drop(engine);

    let files = vec![data.join("photo/rgb.png"), data.join("colour/p3.png"), data.join("colour/adobe.png")];
    let originals = Originals { files, fetcher: None, leave_the_rest: false };
    let done = builder().reembed(&originals, &|_| {}).unwrap();
    // Both sketches are of format 1.
    assert_eq!((done.recoloured, done.embedded, done.sketched, done.failed), (1, 1, 2, 0));
    assert_eq!((done.decoded_before, done.done), (0, true));
    let engine = builder().open().unwrap();
    assert_eq!(local(&engine, &p3), Some(Rule::SamePixels));
    assert_ne!(local(&engine, &plain), Some(Rule::SamePixels));
    assert_ne!(engine.catalog().embedding(PhotoId(1)).unwrap(), before);
    assert_eq!(engine.catalog().embedding(PhotoId(2)).unwrap(), untouched);
    let sketch = Sketch::of(p3.as_image()).unwrap().to_bytes();
    assert_eq!(engine.catalog().sketches(&[PhotoId(1)]).unwrap(), [Some(sketch)]);
    assert_eq!(engine.audit().unwrap().photos, 2);
    drop(engine);
    // Nothing is left to do.
    let done = builder().reembed(&originals, &|_| {}).unwrap();
    assert_eq!((done.recoloured, done.embedded, done.sketched), (0, 0, 0));
}

fn written_with(catalog: &Path) -> Fingerprint {
    let file = rusqlite::Connection::open(catalog).unwrap();
    let text: String =
        file.query_row("SELECT value FROM meta WHERE key = 'model'", [], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_a_killed_process_was_asking_about_is_free_at_once() {
    if let Ok(home) = std::env::var("TONGKUAN_TEST_ASK_IN") {
        let catalog = Catalog::open(Path::new(&home)).unwrap();
        let turn = catalog.take_turn(Subject::Stored(PhotoId(7)), "p", 0.9).unwrap();
        assert!(matches!(turn, Turn::Mine(_)));
        let offer = catalog.take_turn(Subject::Offer(&"7001".parse().unwrap()), "", 1.0).unwrap();
        assert!(matches!(offer, Turn::Mine(_)));
        println!("\nasking");
        loop {
            std::thread::park();
        }
    }
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "catalog::what_a_killed_process_was_asking_about_is_free_at_once", "--nocapture"])
        .env("TONGKUAN_TEST_ASK_IN", home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap() == "asking"));
    let catalog = Catalog::open(home.path()).unwrap();
    let ask = |photo_id, params| catalog.take_turn(Subject::Stored(PhotoId(photo_id)), params, 0.9).unwrap();
    let offer = || catalog.take_turn(Subject::Offer(&"7001".parse().unwrap()), "", 1.0).unwrap();
    assert!(matches!((ask(7, "p"), offer()), (Turn::Taken, Turn::Taken)));
    assert!(matches!(ask(7, "other parameters"), Turn::Mine(_)));
    assert!(matches!(ask(8, "p"), Turn::Mine(_)));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(offer(), Turn::Mine(_)));
    let turn = ask(7, "p");
    assert!(matches!(turn, Turn::Mine(_)));
    assert!(matches!(ask(7, "p"), Turn::Taken), "now it is ours");
    drop(turn);
    assert!(matches!(ask(7, "p"), Turn::Mine(_)));
}
