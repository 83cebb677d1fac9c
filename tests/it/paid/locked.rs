//! Another process holds the catalogue's lock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tongkuan::catalog::{Catalog, Patience, Subject, Turn};
use tongkuan::clock::Clock;
use tongkuan::embed::Embedding;
use tongkuan::engine::{CachePolicy, Mode, Outcome, Progress, Source};
use tongkuan::upstream::{GuardPolicy, WhyNot};

use super::{Meddling, connection, quick, reason};
use crate::fakes::{Bench, png, query};

fn lock(bench: &Bench) -> Connection {
    let other = connection(bench);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    other
}

#[test]
fn a_known_answer_of_any_age_is_served_at_once_while_another_process_writes() {
    let bench = Bench::new();
    let engine = quick(&bench);
    let bytes = png(1);
    engine.search(&query(&bytes)).unwrap();
    let lock = lock(&bench);
    let start = Instant::now();
    for (age, is_stale) in [(Duration::ZERO, false), (CachePolicy::default().soft_ttl, true)] {
        bench.clock.sleep(age);
        let hit = engine.search(&query(&bytes)).unwrap();
        assert_eq!((hit.verdict, hit.stale, hit.upstream_calls), (Outcome::Hit, is_stale, 0));
    }
    // Neither what waits to be fetched anew nor the count of saved calls keeps the process.
    let refreshed = engine.refresh_stale().unwrap();
    assert_eq!(refreshed.answered, 0);
    drop(engine);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let engine = quick(&bench);
    bench.clock.sleep(CachePolicy::default().hard_ttl);
    let _short = Patience::limited_to(Duration::from_millis(300));
    let expired = engine.search(&query(&bytes)).unwrap();
    assert_eq!((expired.verdict, expired.stale, bench.calls()), (Outcome::Hit, true, 1));
    assert!(expired.warnings[0].contains("expired"), "{:?}", expired.warnings);
    drop(lock);
    assert_eq!(engine.search(&query(&bytes)).unwrap().upstream_calls, 1);
}

#[test]
fn answers_that_are_old_are_not_fetched_anew_while_another_process_writes() {
    let bench = Bench::new();
    let engine = quick(&bench);
    engine.search(&query(&png(1))).unwrap();
    bench.clock.sleep(CachePolicy::default().soft_ttl);
    engine.search(&query(&png(1))).unwrap();
    assert_eq!(engine.catalog().queue_counts().unwrap().stale, 1);
    let lock = lock(&bench);
    let start = Instant::now();
    let refreshed = engine.refresh_stale().unwrap();
    assert_eq!((refreshed.answered, bench.calls()), (0, 1));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(lock);
    assert_eq!(engine.refresh_stale().unwrap().answered, 1);
}

/// Lets the lock go once it hears that it is waited for.
struct LetsGo(Mutex<(Option<Connection>, Vec<String>)>);

impl Progress for LetsGo {
    fn note(&self, text: &str) {
        let mut state = self.0.lock().unwrap();
        state.1.push(text.to_owned());
        state.0 = None;
    }
    fn step(&self, _: &str, _: usize, _: usize) {}
}

#[test]
fn who_waits_for_another_process_to_write_says_so() {
    let bench = Bench::new();
    let listener = Arc::new(LetsGo(Mutex::default()));
    let engine =
        bench.builder().upstream(bench.upstream.clone(), GuardPolicy::default(), CachePolicy::default());
    let engine = engine.progress(listener.clone()).open().unwrap();
    listener.0.lock().unwrap().0 = Some(lock(&bench));
    // Without the note it would wait 30 s, and ask nothing.
    assert_eq!(engine.search(&query(&png(1))).unwrap().upstream_calls, 1);
    let told = &listener.0.lock().unwrap().1;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("another process is writing to the home folder: waiting for it, "),
        "{told:?}"
    );
}

#[test]
fn nothing_is_asked_while_the_call_cannot_be_booked() {
    let bench = Bench::new();
    let engine = quick(&bench);
    engine.search(&query(&png(9))).unwrap();
    let lock = lock(&bench);
    let short = Patience::limited_to(Duration::from_millis(300));
    for mode in [Mode::Default, Mode::Refresh, Mode::Bypass] {
        let unasked = engine.search(&query(&png(1)).mode(mode).defer(0)).unwrap();
        assert_eq!((reason(&unasked), bench.calls()), (Some(WhyNot::CannotStore), 1));
        assert!(!unasked.unanswered.unwrap().queued);
    }
    assert_eq!(engine.search(&query(&png(9))).unwrap().verdict, Outcome::Hit);
    drop((lock, short));
    assert_eq!(engine.search(&query(&png(1))).unwrap().upstream_calls, 1);
}

#[test]
fn a_lock_that_comes_while_the_upstream_is_asked_delays_the_answer_by_a_bounded_time() {
    let bench = Bench::new();
    let held: Arc<Mutex<Option<Connection>>> = Arc::default();
    let path = bench.home.path().join("catalog.sqlite");
    let meddling = Meddling::new({
        let held = held.clone();
        move || {
            let other = Connection::open(&path).unwrap();
            other.execute_batch("BEGIN EXCLUSIVE").unwrap();
            *held.lock().unwrap() = Some(other);
        }
    });
    let engine = meddling.engine(&bench);
    let start = Instant::now();
    let first = engine.search(&query(&png(1))).unwrap();
    // Booking, breaker, answer and turn wait five seconds together.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!((first.source, first.offers.len(), first.upstream_calls), (Source::Upstream, 1, 1));
    assert!(first.unstored.unwrap().set_aside);
    let start = Instant::now();
    let again = engine.search(&query(&png(1))).unwrap();
    assert_eq!((again.verdict, again.offers), (Outcome::Hit, first.offers));
    for seed in 2..6 {
        let unasked = engine.search(&query(&png(seed))).unwrap();
        assert_eq!(reason(&unasked), Some(WhyNot::CannotStore));
    }
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "the others of a batch do not wait: {:?}",
        start.elapsed()
    );
    assert_eq!(meddling.calls(), 1);
    *held.lock().unwrap() = None;
    // The turn that could not be given back stops nobody, nor does it hold up this process.
    let hit = engine.search(&query(&png(1))).unwrap();
    assert_eq!((hit.verdict, hit.warnings.len(), meddling.calls()), (Outcome::Hit, 0, 1));
}

/// What another user's sign of life is: there, but not to be opened. A link to itself is so for root, too.
#[cfg(unix)]
#[test]
fn a_turn_whose_holder_cannot_be_looked_at_is_not_taken_away() {
    let home = tempfile::tempdir().unwrap();
    let [mine, theirs] = [(); 2].map(|()| Catalog::open(home.path()).unwrap());
    let embedding = Embedding::new(vec![1.0, 2.0]).unwrap();
    let ask = |catalog| Catalog::take_turn(catalog, Subject::New(&embedding), "page=1", 0.9).unwrap();
    let turn = ask(&theirs);
    assert!(matches!(turn, Turn::Mine(_)) && matches!(ask(&mine), Turn::Taken));
    let signs: Vec<_> = std::fs::read_dir(home.path().join("processes")).unwrap().collect();
    for sign in &signs {
        let sign = sign.as_ref().unwrap().path();
        std::fs::remove_file(&sign).unwrap();
        std::os::unix::fs::symlink(&sign, &sign).unwrap();
    }
    assert!(matches!(ask(&mine), Turn::Taken));
    for sign in &signs {
        std::fs::remove_file(sign.as_ref().unwrap().path()).unwrap();
    }
    assert!(matches!(ask(&mine), Turn::Mine(_)), "what is gone has ended");
    drop(turn);
}
