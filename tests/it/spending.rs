//! What a search costs: who is asked, how often, and what is answered when nobody may be.

use std::time::{Duration, Instant};

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use tongkuan::catalog::WaitReason;
use tongkuan::clock::Clock;
use tongkuan::engine::{CachePolicy, Engine, EngineError, Mode, Outcome, Source};
use tongkuan::upstream::{GuardError, GuardPolicy, SearchParams, UpstreamErrorKind, WhyNot};

use crate::check::{ADD, check_with, items};
use crate::fakes::{Bench, FakeUpstream, encoded, picture, png, query};

fn edited(seed: u32, side: u32) -> Vec<u8> {
    encoded(&resize(&picture(seed), side, side * 3 / 4, FilterType::CatmullRom), ImageFormat::Jpeg)
}

fn with_budget(bench: &Bench, daily_budget: u32) -> Engine {
    let policy = GuardPolicy::default().daily_budget(daily_budget);
    bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap()
}

#[test]
fn an_old_answer_is_served_at_once_and_fetched_anew_afterwards() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let first = engine.search(&query(&bytes)).unwrap();
    bench.clock.sleep(CachePolicy::default().soft_ttl);
    let old = engine.search(&query(&bytes)).unwrap();
    assert_eq!((old.verdict, old.stale, old.upstream_calls), (Outcome::Hit, true, 0));
    assert_eq!(old.offers, first.offers);
    assert_eq!((bench.calls(), engine.catalog().queue_counts().unwrap().stale), (1, 1));
    // Asked for again and again, it waits once.
    engine.search(&query(&bytes)).unwrap();
    let drained = engine.refresh_stale().unwrap();
    assert_eq!((drained.answered, drained.stopped, bench.calls()), (1, None, 2));
    let new = engine.search(&query(&bytes)).unwrap();
    assert_eq!((new.verdict, new.stale), (Outcome::Hit, false));
    assert_ne!(new.offers, first.offers);
    assert_eq!(engine.catalog().queue_counts().unwrap().stale, 0);
}

#[test]
fn an_expired_answer_is_fetched_anew_before_it_is_served() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let first = engine.search(&query(&bytes)).unwrap();
    bench.clock.sleep(CachePolicy::default().hard_ttl);
    let offline = engine.search(&query(&bytes).mode(Mode::LocalOnly)).unwrap();
    assert_eq!((offline.verdict, offline.stale, bench.calls()), (Outcome::Hit, true, 1));
    let new = engine.search(&query(&bytes)).unwrap();
    assert_eq!((new.verdict, new.stale, new.source), (Outcome::Miss, false, Source::Upstream));
    assert_ne!(new.offers, first.offers);
    assert_eq!(engine.search(&query(&bytes)).unwrap().verdict, Outcome::Hit);
    assert_eq!((bench.calls(), engine.catalog().photo_count().unwrap()), (2, 1));
}

#[test]
fn an_expired_answer_is_better_than_none_when_the_upstream_fails() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let first = engine.search(&query(&bytes)).unwrap();
    bench.clock.sleep(CachePolicy::default().hard_ttl);
    for kind in [UpstreamErrorKind::Transient, UpstreamErrorKind::Acl] {
        bench.upstream.fail_with(kind);
        let old = engine.search(&query(&bytes)).unwrap();
        assert_eq!((old.verdict, old.stale, &old.offers), (Outcome::Hit, true, &first.offers));
        assert!(old.warnings[0].contains("expired"), "{:?}", old.warnings);
    }
    assert_eq!(engine.catalog().queue_counts().unwrap().stale, 1);
}

#[test]
fn what_was_just_asked_in_vain_is_not_fetched_anew_at_once() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    engine.search(&query(&bytes)).unwrap();
    bench.clock.sleep(CachePolicy::default().hard_ttl);
    bench.upstream.fail_with(UpstreamErrorKind::Unreadable);
    assert!(engine.search(&query(&bytes)).unwrap().stale);
    let calls = bench.calls();
    let at_once = engine.refresh_stale().unwrap();
    assert_eq!((at_once.answered + at_once.failed, bench.calls()), (0, calls));
    // It waits, and is asked about when some time has passed.
    bench.upstream.fail_with(None);
    bench.clock.sleep(CachePolicy::default().unreadable_ttl);
    assert_eq!(engine.refresh_stale().unwrap().answered, 1);
    assert_eq!(bench.calls(), calls + 1);
}

#[test]
fn a_refresh_that_fails_gives_what_is_stored_and_says_why() {
    let bench = Bench::new();
    let bytes = png(1);
    let first = bench.engine().search(&query(&bytes)).unwrap();
    let refreshed = |engine: &Engine, reason: Option<WhyNot>| {
        let answer = engine.search(&query(&bytes).mode(Mode::Refresh)).unwrap();
        assert_eq!((answer.verdict, &answer.offers), (Outcome::Hit, &first.offers));
        assert_eq!((answer.stale, answer.source), (true, Source::Local));
        assert_eq!(answer.unanswered.map(|why| why.reason), reason);
        answer.warnings.join("; ")
    };
    let why = refreshed(&with_budget(&bench, 1), Some(WhyNot::BudgetSpent));
    assert!(why.contains("stored answer") && why.contains("budget is spent"), "{why}");
    let engine = bench.engine();
    let failures = [(UpstreamErrorKind::Rate, Some(WhyNot::UpstreamFailed)), (UpstreamErrorKind::Acl, None)];
    for (kind, reason) in failures {
        bench.upstream.fail_with(kind);
        let why = refreshed(&engine, reason);
        assert!(why.contains("stored answer") && why.contains("told to fail"), "{why}");
    }
    assert_eq!(engine.catalog().queue_counts().unwrap().stale, 0, "it is good by itself");
    let why = refreshed(&bench.builder().open().unwrap(), Some(WhyNot::NoUpstream));
    assert!(why.contains("no upstream is configured"), "{why}");
    bench.upstream.fail_with(None);
    let new = bench.engine().search(&query(&bytes).mode(Mode::Refresh)).unwrap();
    assert_eq!((new.verdict, new.source, new.stale), (Outcome::Miss, Source::Upstream, false));
}

#[test]
fn the_caller_may_ask_for_a_younger_answer() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    engine.search(&query(&bytes)).unwrap();
    bench.clock.sleep(Duration::from_hours(2));
    let with = |hours| query(&bytes).max_age(Duration::from_hours(hours));
    assert_eq!(engine.search(&with(3)).unwrap().upstream_calls, 0);
    assert_eq!(engine.search(&with(2)).unwrap().upstream_calls, 1);
    assert_eq!(engine.search(&with(1)).unwrap().upstream_calls, 0);
}

#[test]
fn nothing_found_is_remembered_for_a_shorter_time() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    bench.upstream.finds_nothing.store(true, std::sync::atomic::Ordering::SeqCst);
    engine.search(&query(&bytes)).unwrap();
    assert_eq!(engine.search(&query(&bytes)).unwrap().verdict, Outcome::Hit);
    bench.clock.sleep(CachePolicy::default().empty_ttl);
    assert_eq!(engine.search(&query(&bytes)).unwrap().upstream_calls, 1);
    assert_eq!(bench.calls(), 2);
}

#[test]
fn a_picture_that_the_upstream_does_not_take_is_not_shown_to_it_again_until_later() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    bench.upstream.fail_with(UpstreamErrorKind::Image);
    for _ in 0..3 {
        let error = engine.search(&query(&bytes)).unwrap_err();
        assert!(error.is_input_error(), "{error}");
    }
    assert_eq!(bench.calls(), 1);
    assert!(engine.search(&query(&bytes)).unwrap_err().to_string().contains("remembered"));
    bench.upstream.fail_with(None);
    bench.clock.sleep(CachePolicy::default().refused_ttl);
    assert_eq!(engine.search(&query(&bytes)).unwrap().upstream_calls, 1);
}

#[test]
fn a_picture_that_waits_is_answered_when_the_budget_is_back() {
    let bench = Bench::new();
    let engine = with_budget(&bench, 2);
    for seed in [1, 2] {
        engine.search(&query(&png(seed))).unwrap();
    }
    let defer = |seed: u32, priority| {
        let answer = engine.search(&query(&png(seed)).defer(priority)).unwrap();
        let unanswered = answer.unanswered.unwrap();
        assert_eq!((unanswered.reason, unanswered.queued), (WhyNot::BudgetSpent, true));
    };
    defer(3, 0);
    defer(4, 5);
    defer(5, 0);
    defer(3, 0);
    let none = engine.drain(None, &mut |_| {}).unwrap();
    assert_eq!((none.answered, none.stopped.unwrap().reason), (0, WhyNot::BudgetSpent));
    bench.clock.sleep(Duration::from_hours(24));
    let mut order = Vec::new();
    // Another process takes it up.
    drop(engine);
    let engine = with_budget(&bench, 2);
    let some = engine
        .drain(None, &mut |one| {
            assert_eq!(one.waiting.reason, WaitReason::Deferred);
            order.push((one.waiting.bytes.clone(), one.result.as_ref().unwrap().unanswered.is_none()));
        })
        .unwrap();
    assert_eq!((some.answered, some.stopped.unwrap().reason), (2, WhyNot::BudgetSpent));
    assert_eq!(order, [(png(4), true), (png(3), true), (png(5), false)]);
    bench.clock.sleep(Duration::from_hours(24));
    let rest = engine.drain(None, &mut |_| {}).unwrap();
    assert_eq!((rest.answered, rest.stopped, bench.calls()), (1, None, 5));
    assert_eq!(engine.search(&query(&png(5))).unwrap().verdict, Outcome::Hit);
}

#[test]
fn a_waiting_picture_that_can_never_be_answered_leaves_the_queue() {
    let bench = Bench::new();
    let engine = bench.engine();
    bench.upstream.fail_with(UpstreamErrorKind::Unreachable);
    let deferred = engine.search(&query(&png(1)).defer(0)).unwrap();
    assert_eq!(deferred.unanswered.unwrap().reason, WhyNot::UpstreamFailed);
    bench.upstream.fail_with(UpstreamErrorKind::Image);
    let drained = engine.drain(None, &mut |_| {}).unwrap();
    assert_eq!((drained.answered, drained.dropped, drained.stopped), (0, 1, None));
    assert_eq!(engine.catalog().queue_counts().unwrap().deferred, 0);
}

#[test]
fn old_answers_are_not_renewed_from_the_last_tenth_of_the_budget() {
    let bench = Bench::new();
    let engine = with_budget(&bench, 10);
    engine.search(&query(&png(1))).unwrap();
    bench.clock.sleep(CachePolicy::default().soft_ttl);
    for seed in 2..=10 {
        engine.search(&query(&png(seed))).unwrap();
    }
    engine.search(&query(&png(1))).unwrap();
    assert_eq!(engine.refresh_stale().unwrap().answered, 0);
    assert_eq!((bench.calls(), engine.catalog().queue_counts().unwrap().stale), (10, 1));
}

#[test]
fn the_next_upstream_takes_over_when_one_is_spent_and_only_then() {
    let bench = Bench::new();
    let second = FakeUpstream::named("second");
    let policy = |daily_budget| GuardPolicy::default().daily_budget(daily_budget);
    let engine = bench
        .builder()
        .upstream(bench.upstream.clone(), policy(2), CachePolicy::default())
        .upstream(second.clone(), policy(1), CachePolicy::default())
        .open()
        .unwrap();
    let calls = || (bench.calls(), second.calls());
    engine.search(&query(&png(1))).unwrap();
    assert_eq!(calls(), (1, 0));
    bench.upstream.fail_with(UpstreamErrorKind::Quota);
    let taken_over = engine.search(&query(&png(2))).unwrap();
    assert_eq!((calls(), taken_over.upstream_calls), ((2, 1), 1));
    assert!(taken_over.warnings.iter().any(|w| w.contains("second is asked instead")));
    // An answer of either will do.
    for seed in [1, 2] {
        assert_eq!(engine.search(&query(&png(seed))).unwrap().verdict, Outcome::Hit);
    }
    let spent = engine.search(&query(&png(3))).unwrap();
    assert_eq!((spent.unanswered.unwrap().reason, calls()), (WhyNot::BudgetSpent, (2, 1)));
    let [first, other] = engine.quota().unwrap().try_into().unwrap();
    assert_eq!((first.used, first.left, other.used, other.left), (1, 1, 1, 0));
    // A failure that may have been billed is nobody else's to try.
    bench.clock.sleep(Duration::from_hours(24));
    bench.upstream.fail_with(UpstreamErrorKind::Transient);
    let failed = engine.search(&query(&png(4))).unwrap();
    assert_eq!((failed.unanswered.unwrap().reason, second.calls()), (WhyNot::UpstreamFailed, 1));
}

#[test]
fn an_upstream_that_keeps_failing_is_left_alone_for_a_while() {
    let bench = Bench::new();
    let engine = bench.engine();
    bench.upstream.fail_with(UpstreamErrorKind::Unreachable);
    let reason = |seed| engine.search(&query(&png(seed))).unwrap().unanswered.unwrap();
    let policy = GuardPolicy::default();
    for seed in 0..policy.breaker_failures {
        assert_eq!(reason(seed).reason, WhyNot::UpstreamFailed);
    }
    let calls = bench.calls();
    let open = reason(50);
    assert_eq!((open.reason, bench.calls()), (WhyNot::BreakerOpen, calls));
    assert!(bench.clock.now() < open.retry_at.unwrap());
    // Asked again after the pause and failing again, it is left alone for twice as long.
    bench.clock.sleep(policy.breaker_pause);
    assert_eq!(reason(51).reason, WhyNot::UpstreamFailed);
    bench.clock.sleep(policy.breaker_pause);
    assert_eq!(reason(52).reason, WhyNot::BreakerOpen);
    bench.clock.sleep(policy.breaker_pause);
    bench.upstream.fail_with(None);
    assert!(engine.search(&query(&png(53))).unwrap().unanswered.is_none());
}

#[test]
fn what_only_a_person_can_mend_is_asked_once_and_said_to_all() {
    let bench = Bench::new();
    let engine = bench.engine();
    bench.upstream.fail_with(UpstreamErrorKind::Signature);
    for seed in 0..5 {
        let error = engine.search(&query(&png(seed))).unwrap_err();
        assert!(
            matches!(&error, EngineError::Upstream(GuardError::Upstream { error, .. })
                if error.kind == UpstreamErrorKind::Signature),
            "{error}"
        );
    }
    assert_eq!(bench.calls(), 1);
}

#[test]
fn a_hundred_edited_copies_of_an_unseen_picture_at_once_make_one_call_over_two_engines() {
    let bench = Bench::new();
    let engines = [bench.engine(), bench.engine()];
    let copies: Vec<Vec<u8>> = (0..100).map(|i| edited(2, 80 + i)).collect();
    let hanging = bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        let ask = |(i, copy): (usize, &'_ Vec<u8>)| {
            let engine = &engines[i % 2];
            let copy = copy.clone();
            scope.spawn(move || engine.search(&query(&copy)).unwrap())
        };
        // The smallest asks first: which copies are known by the first must not be left to chance.
        let mut copies = copies.iter().enumerate();
        let mut searches: Vec<_> = copies.by_ref().take(1).map(ask).collect();
        while bench.calls() == 0 {
            std::thread::yield_now();
        }
        // The others come to wait for it.
        searches.extend(copies.map(ask));
        drop(hanging);
        let answers: Vec<_> = searches.into_iter().map(|search| search.join().unwrap()).collect();
        assert_eq!(answers.iter().map(|answer| answer.upstream_calls).sum::<u32>(), 1);
        assert!(answers.iter().all(|answer| answer.offers == answers[0].offers));
    });
    assert_eq!((bench.calls(), engines[0].catalog().photo_count().unwrap()), (1, 1));
}

#[test]
fn a_picture_that_is_stored_while_it_is_asked_about_is_paid_for_once() {
    let bench = Bench::new();
    let (first, second) = (bench.engine(), bench.engine());
    let bytes = png(1);
    let hanging = bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| first.search(&query(&bytes)).unwrap());
        while bench.calls() == 0 {
            std::thread::yield_now();
        }
        // As `check --add --ask` does: what is new is stored, and then asked about.
        check_with(&second, ADD, items(std::slice::from_ref(&bytes)));
        let checked = scope.spawn(|| {
            let soon = Instant::now() + Duration::from_millis(300);
            second.search(&query(&bytes).deadline(soon)).unwrap()
        });
        while !checked.is_finished() && bench.calls() == 1 {
            std::thread::yield_now();
        }
        drop(hanging);
        assert_eq!(asking.join().unwrap().upstream_calls, 1);
        let why = checked.join().unwrap().unanswered.map(|why| why.reason);
        assert_eq!(why, Some(WhyNot::DeadlinePassed), "it waited for the first one's answer");
    });
    assert_eq!(second.search(&query(&bytes)).unwrap().verdict, Outcome::Hit);
    assert_eq!((bench.calls(), second.catalog().photo_count().unwrap()), (1, 1));
}

#[test]
fn different_pictures_are_asked_about_at_the_same_time() {
    let bench = Bench::new();
    let engine = bench.engine();
    let hanging = bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let engine = &engine;
            scope.spawn(move || engine.search(&query(&png(seed))).unwrap());
        }
        while bench.calls() < 4 {
            std::thread::yield_now();
        }
        drop(hanging);
    });
    assert_eq!(engine.catalog().photo_count().unwrap(), 4);
}

#[test]
fn other_parameters_of_the_same_new_picture_are_asked_about_separately() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    std::thread::scope(|scope| {
        for page in 1..=3 {
            let (engine, bytes) = (&engine, &bytes);
            let params = SearchParams::default().page(page);
            scope.spawn(move || engine.search(&query(bytes).params(params)).unwrap());
        }
    });
    assert_eq!((bench.calls(), engine.catalog().photo_count().unwrap()), (3, 1));
}

#[test]
fn a_hit_does_not_notice_that_the_upstream_hangs() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let hanging = bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        let stuck = scope.spawn(|| engine.search(&query(&png(2))).unwrap());
        while bench.calls() < 2 {
            std::thread::yield_now();
        }
        for _ in 0..10 {
            assert_eq!(engine.search(&query(&edited(1, 96))).unwrap().verdict, Outcome::Hit);
        }
        assert!(!stuck.is_finished());
        drop(hanging);
    });
}

#[test]
fn offline_a_picture_that_stands_out_brings_its_own_offers_and_says_what_it_is() {
    let bench = Bench::new();
    let engine = bench.engine();
    let seen = engine.search(&query(&png(1))).unwrap();
    // Less and less of the picture is left, until it is only like the stored one.
    let like = (1..60).find_map(|n| {
        let mut changed = picture(1);
        for pixel in changed.pixels_mut().take(n * 300) {
            pixel.0 = [128, 128, 128];
        }
        let bytes = encoded(&changed, ImageFormat::Png);
        let answer = engine.search(&query(&bytes).mode(Mode::LocalOnly)).unwrap();
        (answer.verdict == Outcome::Review).then_some(answer)
    });
    let like = like.expect("something between hit and miss");
    assert_eq!((like.source, &like.offers), (Source::Local, &seen.offers));
    assert_eq!(like.unanswered.unwrap().reason, WhyNot::Offline);
}

#[test]
fn saved_calls_are_counted_over_restarts() {
    let bench = Bench::new();
    let engine = bench.engine();
    for _ in 0..70 {
        engine.search(&query(&png(1))).unwrap();
    }
    let offline = png(1);
    engine.search(&query(&offline).mode(Mode::LocalOnly)).unwrap();
    drop(engine);
    assert_eq!(bench.engine().saved_calls().unwrap(), (69, 69));
}

#[test]
fn the_end_of_the_budget_is_announced() {
    let bench = Bench::new();
    let engine = with_budget(&bench, 10);
    let warned: Vec<bool> = (1..=10)
        .map(|seed| {
            let answer = engine.search(&query(&png(seed))).unwrap();
            answer.warnings.iter().any(|warning| warning.contains("calls are left today"))
        })
        .collect();
    assert_eq!(warned.iter().position(|warned| *warned), Some(8), "{warned:?}");
}

#[test]
fn what_one_process_has_learnt_of_an_upstream_the_next_one_need_not_pay_to_learn() {
    let bench = Bench::new();
    let failing = || (bench.engine(), bench.calls());
    bench.upstream.fail_with(UpstreamErrorKind::Unreachable);
    for seed in 0..GuardPolicy::default().breaker_failures {
        // Each search by another process.
        let reason = failing().0.search(&query(&png(seed))).unwrap().unanswered.unwrap().reason;
        assert_eq!(reason, WhyNot::UpstreamFailed);
    }
    let (engine, calls) = failing();
    assert_eq!(engine.search(&query(&png(50))).unwrap().unanswered.unwrap().reason, WhyNot::BreakerOpen);
    assert_eq!(bench.calls(), calls);
    assert!(engine.quota().unwrap()[0].open_because.as_ref().unwrap().contains("told to fail"));
    bench.clock.sleep(GuardPolicy::default().breaker_pause);
    bench.upstream.fail_with(None);
    assert_eq!(engine.search(&query(&png(51))).unwrap().upstream_calls, 1);
    assert_eq!(engine.quota().unwrap()[0].open_until, None);

    bench.upstream.fail_with(UpstreamErrorKind::Quota);
    let reason = |engine: &Engine, seed| engine.search(&query(&png(seed))).unwrap().unanswered.unwrap();
    assert_eq!(reason(&engine, 52).reason, WhyNot::QuotaSpent);
    let (other, calls) = failing();
    let spent = reason(&other, 53);
    assert_eq!((spent.reason, bench.calls()), (WhyNot::QuotaSpent, calls));
    // Whoever has bought more is served within the hour.
    bench.clock.sleep(bench.clock.now().until(spent.retry_at.unwrap()));
    bench.upstream.fail_with(None);
    assert_eq!(other.search(&query(&png(53))).unwrap().upstream_calls, 1);
}
