//! The server is stopped and started anew in the middle of work, really so: `.ci/postgres` has one for that.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tongkuan::engine::{Engine, Mode, Outcome};
use tongkuan::store::SpendStore as _;
use tongkuan::upstream::QuotaDay;

use crate::fakes::{Bench, offer, png, query};
use crate::postgres_engine::worker;
use crate::postgres_home::PostgresHome;
use crate::store::NOW;

const WORKERS: u32 = 3;

/// Starts the server, or stops it and starts it anew. A stop ends all connections, whatever they are doing.
fn restart(program: &str) {
    let mut command = Command::new(program);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.unwrap().success());
}

/// What a worker was told is stored.
#[derive(Default)]
struct Acknowledged {
    searched: Vec<u32>,
    added: Vec<u32>,
    /// Searches and additions that failed, and were begun again.
    failed: u32,
}

/// Searches and adds pictures of its own until it is told to end; each until it has succeeded.
fn work(engine: &Engine, first: u32, has_ended: &AtomicBool) -> Acknowledged {
    let mut done = Acknowledged::default();
    let tries = |done: &mut Acknowledged, once: &dyn Fn() -> bool| {
        let since = Instant::now();
        while !once() {
            done.failed += 1;
            assert!(since.elapsed() < Duration::from_secs(90), "it does not go on by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for seed in (first..).step_by(2) {
        if has_ended.load(Ordering::Relaxed) {
            break;
        }
        tries(&mut done, &|| match engine.search(&query(&png(seed))) {
            Ok(answer) => answer.unanswered.is_none(),
            Err(error) => {
                assert_eq!(error.code(), "database_failed", "{error}");
                false
            }
        });
        done.searched.push(seed);
        tries(&mut done, &|| match engine.add_own(
            &offer(&format!("A-{}", seed + 1)),
            &png(seed + 1),
            "own.png",
        ) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.code(), "database_failed", "{error}");
                false
            }
        });
        done.added.push(seed + 1);
    }
    done
}

#[test]
fn a_server_that_is_restarted_in_the_middle_of_work_loses_nothing_that_was_acknowledged() {
    let (Ok(program), Ok(server)) =
        (std::env::var("TONGKUAN_TEST_POSTGRES_RESTART"), std::env::var("TONGKUAN_TEST_POSTGRES_RESTARTED"))
    else {
        eprintln!("skipped: TONGKUAN_TEST_POSTGRES_RESTART names no server to be restarted");
        return;
    };
    restart(&program);
    let home = PostgresHome::on(server);
    let bench = Bench::new();
    let folder = |number: u32| format!("worker-{number}");
    let engines: Vec<Engine> =
        (0..WORKERS).map(|number| worker(&bench, home.worker(&folder(number)), 100_000)).collect();
    let has_ended = AtomicBool::new(false);
    let done: Vec<Acknowledged> = std::thread::scope(|scope| {
        let has_ended = &has_ended;
        let working: Vec<_> = engines
            .iter()
            .zip((0..).step_by(10_000))
            .map(|(engine, first)| scope.spawn(move || work(engine, first, has_ended)))
            .collect();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            restart(&program);
        }
        std::thread::sleep(Duration::from_millis(700));
        has_ended.store(true, Ordering::Relaxed);
        working.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    drop(engines);
    // What was set aside while the server was away is stored by the next process of each machine.
    for number in 0..WORKERS {
        drop(worker(&bench, home.worker(&folder(number)), 100_000));
    }
    let next = worker(&bench, home.worker("next"), 100_000);
    let known = |seed: u32| next.search(&query(&png(seed)).mode(Mode::LocalOnly)).unwrap();
    let failed: u32 = done.iter().map(|done| done.failed).sum();
    assert!(failed > 0, "the server was away");
    for done in &done {
        assert!(done.searched.len() > 1, "each worker has got on");
        for seed in &done.searched {
            assert_eq!(known(*seed).verdict, Outcome::Hit, "searched for: {seed}");
        }
        for seed in &done.added {
            let answer = known(*seed);
            assert_eq!(answer.verdict, Outcome::Hit, "added: {seed}");
            assert_eq!(answer.offers[0].offer_id.as_str(), format!("A-{seed}"));
        }
    }
    let store = home.open();
    let booked = store.calls_spent("fake", &QuotaDay::of(NOW)).unwrap();
    let made = bench.calls();
    // A booking whose acknowledgement was lost stays, and its call is not made: that search has failed.
    assert!((made..=made + failed).contains(&booked), "{booked} booked, {made} made, {failed} failed");
    let searched: usize = done.iter().map(|done| done.searched.len()).sum();
    assert!(made as usize >= searched, "{made} made for {searched} pictures");
}
