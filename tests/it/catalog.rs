//! The source of truth: what it keeps through crashes, and what it refuses.

use std::process::{Command, Stdio};
use std::time::Duration;

use tongkuan::catalog::{Catalog, CatalogError};
use tongkuan::clock::Timestamp;
use tongkuan::upstream::{Booking, CallOutcome, Ledger, LedgerError, QuotaDay};

use crate::fakes::{Bench, png, query};

fn booking(now: Timestamp, budget: u32) -> Booking {
    Booking { profile: "fake", day: QuotaDay::of(now), budget, now, min_interval: Duration::from_secs(1) }
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
        let engine = tongkuan::engine::Engine::builder(home)
            .embedder(bench.embedder.clone())
            .upstream(bench.upstream.clone(), tongkuan::upstream::GuardPolicy::default())
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
    assert_eq!(engine.audit().unwrap(), photos);
}
