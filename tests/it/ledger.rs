//! The budget holds whoever spends it, and however they end.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tongkuan::catalog::Catalog;
use tongkuan::clock::{ManualClock, Timestamp};
use tongkuan::engine::{CachePolicy, Engine, Outcome};
use tongkuan::photo::Digest;
use tongkuan::sandbox::{Sandbox, SandboxOptions};
use tongkuan::upstream::{ArticleConfig, ArticleUpstream, GuardPolicy, QuotaDay, Secret, WhyNot};

use crate::fakes::{FakeEmbedder, png, query};

const PROCESSES: u32 = 8;
const THREADS: u32 = 8;
const BUDGET: u32 = 40;

/// One moment for all processes: 2026-11-24 10:00 in China.
const NOW: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);

fn engine(home: &Path, base_url: &str) -> Engine {
    let mut config = ArticleConfig::new("sandbox", Secret::new("sandbox-secret"));
    base_url.clone_into(&mut config.base_url);
    let upstream = ArticleUpstream::new(config, Arc::new(ManualClock::at(NOW))).unwrap();
    let policy = GuardPolicy::default().daily_budget(BUDGET).min_interval(Duration::ZERO);
    Engine::builder(home)
        .embedder(Arc::new(FakeEmbedder::new()))
        .clock(Arc::new(ManualClock::at(NOW)))
        .upstream(Arc::new(upstream), policy, CachePolicy::default())
        .open()
        .unwrap()
}

/// What each of the processes does: its threads search for pictures of their own until nothing may be asked. A thread that
/// has waited too long for its turn to write has spent nothing, and tries again.
fn spend(process: u32, home: &Path, base_url: &str) {
    let engine = engine(home, base_url);
    let number = AtomicU32::new(process * 1000);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                'spending: loop {
                    let bytes = png(number.fetch_add(1, Ordering::SeqCst));
                    while let Some(unanswered) = engine.search(&query(&bytes)).unwrap().unanswered {
                        if unanswered.reason == WhyNot::BudgetSpent {
                            break 'spending;
                        }
                        assert_eq!(unanswered.reason, WhyNot::CannotStore, "{}", unanswered.message);
                    }
                }
            });
        }
    });
}

#[test]
fn sixty_four_spenders_in_eight_processes_of_which_some_are_killed_stay_within_the_budget() {
    const NAME: &str =
        "ledger::sixty_four_spenders_in_eight_processes_of_which_some_are_killed_stay_within_the_budget";
    if let Ok(task) = std::env::var("TONGKUAN_TEST_SPEND") {
        let [process, base_url, home] = task.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
        return spend(process.parse().unwrap(), Path::new(home), base_url);
    }
    let clock = Arc::new(ManualClock::at(NOW));
    let options = SandboxOptions { min_interval_ms: 0, clock, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    sandbox.warm_up();
    let home = tempfile::tempdir().unwrap();
    let start = |process: u32| {
        let task = format!("{process} {} {}", sandbox.base_url(), home.path().display());
        Command::new(std::env::current_exe().unwrap())
            // What a child fails of stands on standard error.
            .args(["--exact", NAME, "--nocapture"])
            .env("TONGKUAN_TEST_SPEND", task)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut children: Vec<Child> = (0..PROCESSES).map(start).collect();
    // Two of them die in the middle of it.
    while sandbox.counters().searches_ok < u64::from(BUDGET / 4) {
        std::thread::yield_now();
    }
    for child in children.drain(..2) {
        let mut child = child;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let made = sandbox.counters().searches_ok;
    let catalog = Catalog::open(home.path()).unwrap();
    let booked = catalog.calls_spent("article", &QuotaDay::of(NOW)).unwrap();
    println!("budget {BUDGET}, booked {booked}, the sandbox counted {made}");
    assert_eq!(booked, BUDGET, "all of it was to be had, and no more");
    // A process that was killed leaves each of its threads' calls booked, made or not.
    assert!(made <= u64::from(booked) && made >= u64::from(booked - 2 * THREADS), "{made}");
    // What was paid for is there, but for what the killed ones had not stored yet.
    let photos = catalog.photo_count().unwrap();
    assert!(photos <= made && photos >= made - u64::from(2 * THREADS), "{photos} of {made}");
    assert!(catalog.problems().unwrap().is_empty());
    // Whoever comes later finds the budget spent and what is known.
    let later = engine(home.path(), sandbox.base_url());
    let spent = later.search(&query(&png(999_999))).unwrap();
    assert_eq!(spent.unanswered.unwrap().reason, WhyNot::BudgetSpent);
    let asked = (0..PROCESSES * 1000).filter(|n| n % 1000 < BUDGET).map(png);
    let stored: Vec<Vec<u8>> =
        asked.filter(|bytes| catalog.photo_by_bytes(Digest::of(bytes)).unwrap().is_some()).collect();
    assert_eq!(stored.len() as u64, photos);
    assert!(stored.iter().all(|bytes| later.search(&query(bytes)).unwrap().verdict == Outcome::Hit));
    assert_eq!(sandbox.counters().searches_ok, made);
}
