//! A caller that has no more time, or wants no answer any more.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tongkuan::cancel::{Interrupt, Interrupted};
use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::engine::{CachePolicy, Engine, EngineBuilder, EngineError, Mode, Outcome, Query, Source};
use tongkuan::offer::OfferId;
use tongkuan::upstream::{GuardError, GuardPolicy, UpstreamErrorKind, WhyNot};
use tongkuan::{Answer, Cancel};

use super::{Meddling, reason};
use crate::fakes::{Bench, png, query};

const MINUTE: Duration = Duration::from_mins(1);

/// One whose second call has to wait for an hour.
fn slow(bench: &Bench) -> Engine {
    let policy = GuardPolicy::default().min_interval(60 * MINUTE).max_wait(120 * MINUTE);
    bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap()
}

fn in_a_minute() -> Instant {
    Instant::now() + MINUTE
}

#[test]
fn an_engine_is_for_all_threads() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>() {}
    is_shared::<Engine>();
    is_shared::<Query<'_>>();
    is_shared::<Answer>();
    is_shared::<Cancel>();
    is_sent::<EngineBuilder>();
}

#[test]
fn a_turn_that_comes_after_the_deadline_is_not_waited_for_and_costs_nothing() {
    let bench = Bench::new();
    let engine = slow(&bench);
    engine.search(&query(&png(1))).unwrap();
    let start = bench.clock.now();
    let answer = engine.search(&query(&png(2)).deadline(in_a_minute()).defer(0)).unwrap();
    assert_eq!((answer.verdict, reason(&answer)), (Outcome::Miss, Some(WhyNot::DeadlinePassed)));
    assert!(answer.unanswered.unwrap().queued);
    assert_eq!((bench.clock.now(), bench.calls()), (start, 1));
    assert_eq!(engine.quota().unwrap()[0].used, 1, "a call that was not made is not booked");
    // With more time it is asked.
    let later = Instant::now() + 180 * MINUTE;
    assert_eq!(engine.search(&query(&png(2)).deadline(later)).unwrap().upstream_calls, 1);
}

#[test]
fn what_is_known_is_answered_when_there_is_no_time_for_more() {
    let bench = Bench::new();
    let engine = slow(&bench);
    engine.search(&query(&png(1))).unwrap();
    bench.clock.sleep(CachePolicy::default().hard_ttl);
    engine.search(&query(&png(2))).unwrap();
    let expired = engine.search(&query(&png(1)).deadline(in_a_minute())).unwrap();
    assert_eq!((expired.verdict, expired.source, expired.stale), (Outcome::Hit, Source::Local, true));
    assert!(expired.warnings[0].contains("the deadline has passed"), "{:?}", expired.warnings);
    let fresh = engine.search(&query(&png(2)).deadline(in_a_minute())).unwrap();
    assert_eq!((fresh.verdict, fresh.unanswered), (Outcome::Hit, None));
}

#[test]
fn who_comes_after_the_deadline_or_was_cancelled_is_told_so_before_any_work() {
    let bench = Bench::new();
    let engine = bench.engine();
    let cancelled = Cancel::new();
    cancelled.cancel();
    let (late, unwanted) = (query(b"no picture").deadline(Instant::now()), query(b"no picture"));
    for (query, code) in [(late, "deadline_passed"), (unwanted.cancel(&cancelled), "cancelled")] {
        let error = engine.search(&query).unwrap_err();
        assert_eq!((error.code(), error.is_interrupted()), (code, true), "{error}");
    }
    assert_eq!(bench.inferences() + bench.calls(), 0);
}

#[test]
fn an_answer_that_is_under_way_when_its_search_is_cancelled_is_stored_and_given() {
    let bench = Bench::new();
    let token = Cancel::new();
    let cancels = token.clone();
    let upstream = Meddling::new(move || cancels.cancel());
    let engine = upstream.engine(&bench);
    let asked = engine.search(&query(&png(1)).cancel(&token)).unwrap();
    assert_eq!((asked.source, asked.upstream_calls, asked.unstored), (Source::Upstream, 1, None));
    assert!(token.is_cancelled());
    let again = engine.search(&query(&png(1))).unwrap();
    assert_eq!((again.verdict, again.offers), (Outcome::Hit, asked.offers));
    // Further pages are not asked for.
    let params = tongkuan::upstream::SearchParams::default().page_size(1);
    let other = png(2);
    let pages = query(&other).params(params).cancel(&token);
    assert!(engine.search_pages(&pages, 5).unwrap_err().is_interrupted());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_search_can_be_called_away_from_the_line_behind_another_that_asks_about_its_picture() {
    let bench = Bench::new();
    let engine = bench.engine();
    let token = Cancel::new();
    let png = png(1);
    thread::scope(|scope| {
        let hanging = bench.upstream.hanging.lock().unwrap();
        let first = scope.spawn(|| engine.search(&query(&png)));
        while bench.calls() == 0 {
            thread::yield_now();
        }
        let second = scope.spawn(|| engine.search(&query(&png).cancel(&token)));
        while bench.inferences() < 2 {
            thread::yield_now();
        }
        token.cancel();
        // The first one still hangs.
        assert_eq!(second.join().unwrap().unwrap_err().code(), "cancelled");
        drop(hanging);
        assert_eq!(first.join().unwrap().unwrap().upstream_calls, 1);
    });
    assert_eq!(bench.calls(), 1);
}

/// A clock by which the first sleep is the last.
struct Cancels(Arc<ManualClock>, Cancel);

impl Clock for Cancels {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
        self.1.cancel();
    }
}

/// One whose waits end in being cancelled.
fn cancelled_by_its_clock(bench: &Bench, token: &Cancel) -> Engine {
    let clock = Arc::new(Cancels(bench.clock.clone(), token.clone()));
    let (upstream, policy) = (bench.upstream.clone(), GuardPolicy::default());
    bench.builder().clock(clock).upstream(upstream, policy, CachePolicy::default()).open().unwrap()
}

#[test]
fn a_search_that_is_cancelled_between_two_attempts_tells_what_the_first_has_cost() {
    let bench = Bench::new();
    let token = Cancel::new();
    let engine = cancelled_by_its_clock(&bench, &token);
    bench.upstream.fail_with(UpstreamErrorKind::Transient);
    let error = engine.search(&query(&png(1)).cancel(&token)).unwrap_err();
    let interrupted = GuardError::Interrupted { profile: "fake", reason: Interrupted::Cancelled, calls: 1 };
    assert!(matches!(&error, EngineError::Upstream(told) if *told == interrupted), "{error:?}");
    assert_eq!(error.to_string(), "fake was not asked again; 1 call paid: it was cancelled");
    assert_eq!((error.code(), bench.calls()), ("cancelled", 1));
}

#[test]
fn a_deadline_between_two_attempts_leaves_the_failure_of_the_first() {
    let bench = Bench::new();
    let policy = GuardPolicy::default().first_backoff(60 * MINUTE).max_backoff(60 * MINUTE);
    let engine = bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default());
    let engine = engine.open().unwrap();
    bench.upstream.fail_with(UpstreamErrorKind::Transient);
    let answer = engine.search(&query(&png(1)).deadline(in_a_minute())).unwrap();
    assert_eq!((reason(&answer), answer.upstream_calls), (Some(WhyNot::UpstreamFailed), 1));
    assert_eq!(bench.calls(), 1);
}

#[test]
fn details_have_a_deadline_too_and_are_kept_once_they_are_paid_for() {
    let bench = Bench::new();
    let token = Cancel::new();
    let cancels = token.clone();
    let upstream = Meddling::new(move || cancels.cancel());
    let engine = upstream.engine(&bench);
    let offer_id = OfferId::new("71").unwrap();
    let late = Interrupt::never().deadline(Instant::now());
    let nothing = engine.details_unless(&late, &offer_id, Mode::Default).unwrap();
    assert_eq!((nothing.detail, upstream.calls()), (None, 0));
    assert_eq!(nothing.unanswered.unwrap().reason, WhyNot::DeadlinePassed);
    let unwanted = Interrupt::never().cancel(token.clone());
    let asked = engine.details_unless(&unwanted, &offer_id, Mode::Default).unwrap();
    assert_eq!((asked.source, asked.unstored), (Source::Upstream, None));
    assert_eq!(engine.details(&offer_id, Mode::LocalOnly).unwrap().detail, asked.detail);
    let error = engine.details_unless(&unwanted, &offer_id, Mode::Refresh).unwrap_err();
    assert_eq!((error.code(), upstream.calls()), ("cancelled", 1));
}

/// Has the pictures of these seeds wait for a day with a budget.
fn defer(bench: &Bench, seeds: std::ops::Range<u32>) {
    let policy = GuardPolicy::default().daily_budget(0);
    let broke =
        bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap();
    for seed in seeds {
        let answer = broke.search(&query(&png(seed)).defer(0)).unwrap();
        assert!(answer.unanswered.unwrap().queued);
    }
}

#[test]
fn a_cancelled_drain_ends_after_the_picture_in_hand_and_the_next_one_goes_on() {
    let bench = Bench::new();
    defer(&bench, 1..4);
    let engine = bench.engine();
    let token = Cancel::new();
    let unwanted = Interrupt::never().cancel(token.clone());
    let drained = engine.drain_unless(&unwanted, None, &mut |_| token.cancel()).unwrap();
    assert_eq!((drained.answered, drained.interrupted), (1, Some(Interrupted::Cancelled)));
    assert_eq!((bench.calls(), engine.catalog().queue_counts().unwrap().deferred), (1, 2));
    let rest = engine.drain(None, &mut |_| {}).unwrap();
    assert_eq!((rest.answered, rest.interrupted, bench.calls()), (2, None, 3));
}

#[test]
fn a_call_under_way_when_its_drain_is_cancelled_is_answered_and_told_of() {
    let bench = Bench::new();
    defer(&bench, 1..3);
    let token = Cancel::new();
    let cancels = token.clone();
    let upstream = Meddling::new(move || cancels.cancel());
    let engine = upstream.engine(&bench);
    let unwanted = Interrupt::never().cancel(token);
    let mut told = Vec::new();
    let drained = engine.drain_unless(&unwanted, None, &mut |one| told.push(one.result.is_ok())).unwrap();
    assert_eq!((drained.answered, drained.interrupted), (1, Some(Interrupted::Cancelled)));
    assert_eq!((told, upstream.calls()), (vec![true], 1));
    assert_eq!(engine.catalog().queue_counts().unwrap().deferred, 1);
}

#[test]
fn a_drain_that_has_no_time_for_its_turn_leaves_the_picture_as_it_was() {
    let bench = Bench::new();
    defer(&bench, 2..4);
    let engine = slow(&bench);
    engine.search(&query(&png(1))).unwrap();
    let late = Interrupt::never().deadline(in_a_minute());
    let drained = engine.drain_unless(&late, None, &mut |_| panic!("nothing came of it")).unwrap();
    assert_eq!((drained.failed, drained.interrupted), (0, Some(Interrupted::DeadlinePassed)));
    assert_eq!(drained.stopped, None);
    let waiting = engine.catalog().queue_counts().unwrap();
    assert_eq!((waiting.deferred, waiting.in_trouble, bench.calls()), (2, 0, 1));
}

#[test]
fn a_drain_that_is_cancelled_between_two_attempts_notes_the_one_that_failed() {
    let bench = Bench::new();
    defer(&bench, 1..2);
    let token = Cancel::new();
    let engine = cancelled_by_its_clock(&bench, &token);
    bench.upstream.fail_with(UpstreamErrorKind::Transient);
    let unwanted = Interrupt::never().cancel(token);
    let drained = engine.drain_unless(&unwanted, None, &mut |_| {}).unwrap();
    assert_eq!((drained.interrupted, bench.calls()), (Some(Interrupted::Cancelled), 1));
    let waiting = engine.catalog().queue_counts().unwrap();
    assert_eq!((waiting.deferred, waiting.in_trouble), (1, 1));
}
