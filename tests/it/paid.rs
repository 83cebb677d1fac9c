//! What was paid for is answered, kept and not paid for again, whatever becomes of the catalogue.

mod homes;
mod interrupted;
mod locked;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use tongkuan::clock::Clock;
use tongkuan::engine::{Answer, CachePolicy, Engine, Mode, Outcome, Source};
use tongkuan::offer::{OfferDetail, OfferId};
use tongkuan::photo_id::PhotoId;
use tongkuan::upstream::{
    GuardPolicy, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind,
    UpstreamPage, WhyNot,
};

use crate::fakes::{Bench, FakeUpstream, encoded, picture, png, query};

/// The catalogue by another connection.
fn connection(bench: &Bench) -> rusqlite::Connection {
    rusqlite::Connection::open(bench.home.path().join("catalog.sqlite")).unwrap()
}

/// From now on small entries can be written, but no answer: as on a disk that is almost full.
fn fill(bench: &Bench) {
    connection(bench)
        .execute_batch(
            "CREATE TRIGGER full_1 BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;
             CREATE TRIGGER full_2 BEFORE INSERT ON offer_details BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;
             CREATE TRIGGER full_3 BEFORE INSERT ON refusals BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
        )
        .unwrap();
}

fn make_room(bench: &Bench) {
    connection(bench)
        .execute_batch("DROP TRIGGER full_1; DROP TRIGGER full_2; DROP TRIGGER full_3;")
        .unwrap();
}

fn reason(answer: &Answer) -> Option<WhyNot> {
    answer.unanswered.as_ref().map(|unanswered| unanswered.reason)
}

/// Without a pause between calls.
fn quick(bench: &Bench) -> Engine {
    let policy = GuardPolicy::default().min_interval(std::time::Duration::ZERO);
    bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap()
}

#[test]
fn a_paid_answer_that_cannot_be_stored_is_given_and_is_not_paid_again() {
    let bench = Bench::new();
    let engine = bench.engine();
    fill(&bench);
    let bytes = png(1);
    let first = engine.search(&query(&bytes)).unwrap();
    assert_eq!((first.verdict, first.source, first.upstream_calls), (Outcome::Miss, Source::Upstream, 1));
    assert_eq!((first.offers.len(), first.unanswered.as_ref()), (2, None));
    let unstored = first.unstored.as_ref().unwrap();
    assert!(unstored.set_aside && unstored.message.contains("the disk is full"), "{unstored:?}");
    let warning = &first.warnings[0];
    assert!(warning.contains("could not be stored") && warning.contains("1 call paid"), "{warning}");
    // The same process, another one, and one that may not spend.
    for (engine, mode) in
        [(&engine, Mode::Default), (&bench.engine(), Mode::Default), (&engine, Mode::LocalOnly)]
    {
        let again = engine.search(&query(&bytes).mode(mode)).unwrap();
        assert_eq!((again.verdict, again.source, again.upstream_calls), (Outcome::Hit, Source::Local, 0));
        assert_eq!((&again.offers, again.fetched_at), (&first.offers, first.fetched_at));
    }
    assert_eq!(bench.calls(), 1);
    drop(engine);
    make_room(&bench);
    // The next run stores it first thing, with all that makes it a photo.
    let engine = bench.engine();
    assert_eq!(engine.catalog().photo_count().unwrap(), 1);
    let hit = engine.search(&query(&bytes)).unwrap();
    assert_eq!((hit.verdict, hit.unstored.as_ref(), &hit.offers), (Outcome::Hit, None, &first.offers));
    assert_eq!((hit.matched.unwrap().photo_id, hit.total_offers), (PhotoId(1), first.total_offers));
    let smaller = resize(&picture(1), 80, 60, FilterType::CatmullRom);
    let edited = engine.inspect(&query(&encoded(&smaller, ImageFormat::Jpeg))).unwrap();
    assert_eq!(edited.best.unwrap().photo_id, PhotoId(1), "its embedding is there, too");
    assert_eq!(engine.catalog().sketches(&[PhotoId(1)]).unwrap().iter().flatten().count(), 1);
    assert!(engine.catalog().problems().unwrap().is_empty());
}

#[test]
fn a_batch_pays_one_call_in_vain_and_goes_on_when_storing_works_again() {
    let bench = Bench::new();
    let engine = quick(&bench);
    engine.search(&query(&png(9))).unwrap();
    fill(&bench);
    let [first, second, third] = [1, 2, 3].map(|seed| engine.search(&query(&png(seed))).unwrap());
    assert_eq!((first.upstream_calls, first.offers.len()), (1, 2));
    for unasked in [second, third] {
        assert_eq!((reason(&unasked), unasked.upstream_calls), (Some(WhyNot::CannotStore), 0));
        assert!(unasked.warnings[0].contains("the disk is full"), "{:?}", unasked.warnings);
    }
    let known = engine.search(&query(&png(9))).unwrap();
    assert_eq!((known.verdict, reason(&known), bench.calls()), (Outcome::Hit, None, 2));
    make_room(&bench);
    let [first, second] = [1, 2].map(|seed| engine.search(&query(&png(seed))).unwrap());
    assert_eq!((first.verdict, first.unstored, second.upstream_calls), (Outcome::Hit, None, 1));
    assert_eq!((bench.calls(), engine.catalog().photo_count().unwrap()), (3, 3));
}

#[test]
fn working_off_the_queue_three_times_on_a_full_disk_pays_one_call() {
    let bench = Bench::new();
    let policy = GuardPolicy::default().daily_budget(0);
    let poor =
        bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap();
    for seed in [1, 2] {
        let answer = poor.search(&query(&png(seed)).defer(0)).unwrap();
        assert!(answer.unanswered.unwrap().queued);
    }
    fill(&bench);
    let mut answered = 0;
    for _ in 0..3 {
        let drained = quick(&bench)
            .drain(None, &mut |one| {
                answered += u32::from(one.result.as_ref().is_ok_and(|answer| answer.offers.len() == 2));
            })
            .unwrap();
        assert_eq!(drained.stopped.unwrap().reason, WhyNot::CannotStore);
    }
    assert_eq!((bench.calls(), answered), (1, 2), "given when it was paid for, and when it left the queue");
    make_room(&bench);
    let engine = quick(&bench);
    let drained = engine.drain(None, &mut |_| {}).unwrap();
    assert_eq!((drained.answered, drained.stopped, bench.calls()), (1, None, 2));
    assert_eq!(engine.catalog().photo_count().unwrap(), 2);
}

#[test]
fn pages_after_one_that_cannot_be_stored_are_not_asked_for() {
    let bench = Bench::new();
    let engine = quick(&bench);
    fill(&bench);
    let bytes = png(1);
    let params = SearchParams::default().page_size(2);
    bench.upstream.says_total.store(false, Ordering::SeqCst);
    let pages = engine.search_pages(&query(&bytes).params(params), 5).unwrap();
    assert_eq!((pages.offers.len(), pages.upstream_calls, bench.calls()), (2, 1, 1));
    assert_eq!(reason(&pages), Some(WhyNot::CannotStore));
    assert!(pages.unstored.unwrap().set_aside);
}

#[test]
fn a_refreshed_answer_that_cannot_be_stored_is_given_once_and_then_no_more_is_asked() {
    let bench = Bench::new();
    let engine = quick(&bench);
    let bytes = png(1);
    let old = engine.search(&query(&bytes)).unwrap();
    bench.clock.sleep(std::time::Duration::from_mins(1));
    // Another answer to the same question is an update.
    connection(&bench)
        .execute_batch(
            "CREATE TRIGGER full BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
        )
        .unwrap();
    let refresh = || engine.search(&query(&bytes).mode(Mode::Refresh)).unwrap();
    let new = refresh();
    assert_ne!(new.offers, old.offers);
    assert!(new.unstored.unwrap().set_aside);
    assert_eq!((reason(&refresh()), bench.calls()), (Some(WhyNot::CannotStore), 2));
    connection(&bench).execute_batch("DROP TRIGGER full;").unwrap();
    let hit = bench.engine().search(&query(&bytes)).unwrap();
    assert_eq!((hit.verdict, hit.offers, bench.calls()), (Outcome::Hit, new.offers, 2));
}

#[test]
fn an_answer_that_waited_does_not_replace_a_newer_one() {
    let bench = Bench::new();
    let engine = quick(&bench);
    let bytes = png(1);
    fill(&bench);
    engine.search(&query(&bytes)).unwrap();
    let journal = bench.home.path().join("paid.journal");
    let waiting = std::fs::read(&journal).unwrap();
    make_room(&bench);
    bench.clock.sleep(std::time::Duration::from_mins(1));
    let newer = engine.search(&query(&bytes).mode(Mode::Refresh)).unwrap();
    drop(engine);
    // As if the process had been killed between storing it and taking it out of the journal.
    std::fs::write(&journal, waiting).unwrap();
    let hit = bench.engine().search(&query(&bytes)).unwrap();
    assert_eq!((hit.verdict, hit.offers), (Outcome::Hit, newer.offers));
}

#[test]
fn without_a_place_for_the_answer_nothing_is_paid_and_what_is_known_is_answered() {
    let bench = Bench::new();
    let engine = quick(&bench);
    engine.search(&query(&png(9))).unwrap();
    // A folder in the journal's place: not even root can write to it.
    let journal = bench.home.path().join("paid.journal");
    std::fs::remove_file(&journal).unwrap();
    std::fs::create_dir(&journal).unwrap();
    let unasked = engine.search(&query(&png(1))).unwrap();
    assert_eq!((reason(&unasked), bench.calls()), (Some(WhyNot::CannotStore), 1));
    assert_eq!(engine.search(&query(&png(9))).unwrap().verdict, Outcome::Hit);
    std::fs::remove_dir(&journal).unwrap();
    assert_eq!(engine.search(&query(&png(1))).unwrap().upstream_calls, 1);
}

#[test]
fn an_answer_that_can_be_neither_stored_nor_set_aside_is_given_and_kept_while_the_process_lives() {
    let bench = Bench::new();
    let journal = bench.home.path().join("paid.journal");
    let meddling = Meddling::new({
        let journal = journal.clone();
        move || {
            std::fs::remove_file(&journal).unwrap();
            std::fs::create_dir(&journal).unwrap();
        }
    });
    let engine = meddling.engine(&bench);
    fill(&bench);
    let bytes = png(1);
    let first = engine.search(&query(&bytes)).unwrap();
    assert_eq!((first.offers.len(), first.unstored.unwrap().set_aside), (1, false));
    let again = engine.search(&query(&bytes)).unwrap();
    assert_eq!((again.verdict, again.offers, meddling.calls()), (Outcome::Hit, first.offers, 1));
    assert_eq!(reason(&engine.search(&query(&png(2))).unwrap()), Some(WhyNot::CannotStore));
    make_room(&bench);
    // Stored with the last occasion.
    drop(engine);
    std::fs::remove_dir(&journal).unwrap();
    let hit = meddling.engine(&bench).search(&query(&bytes)).unwrap();
    assert_eq!((hit.verdict, hit.warnings.len(), meddling.calls()), (Outcome::Hit, 0, 1));
}

#[test]
fn a_refusal_that_cannot_be_stored_is_reported_and_remembered_later() {
    let bench = Bench::new();
    let engine = quick(&bench);
    fill(&bench);
    bench.upstream.fail_with(UpstreamErrorKind::Image);
    let error = engine.search(&query(&png(1))).unwrap_err();
    assert!(error.is_input_error(), "{error}");
    assert_eq!(reason(&engine.search(&query(&png(1))).unwrap()), Some(WhyNot::CannotStore));
    make_room(&bench);
    let error = engine.search(&query(&png(1))).unwrap_err();
    assert!(error.to_string().contains("remembered"), "{error}");
    assert_eq!(bench.calls(), 1);
}

#[test]
fn who_waits_for_a_turn_does_not_pay_again_for_what_could_not_be_stored() {
    let bench = Bench::new();
    let engines = [quick(&bench), quick(&bench)];
    let small = encoded(&resize(&picture(1), 120, 90, FilterType::CatmullRom), ImageFormat::Jpeg);
    let bytes = png(1);
    let hanging = bench.upstream.hanging.lock().unwrap();
    let answers = std::thread::scope(|scope| {
        let first = scope.spawn(|| engines[0].search(&query(&bytes)).unwrap());
        while bench.calls() == 0 {
            std::thread::yield_now();
        }
        let others = [(&engines[0], &bytes), (&engines[1], &bytes), (&engines[1], &small)];
        let others = others.map(|(engine, bytes)| scope.spawn(|| engine.search(&query(bytes)).unwrap()));
        // All of them have looked whether there is room, and wait.
        while bench.inferences() < 4 {
            std::thread::yield_now();
        }
        fill(&bench);
        drop(hanging);
        [first].into_iter().chain(others).map(|search| search.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(bench.calls(), 1);
    assert_eq!(answers[0].unstored.as_ref().map(|unstored| unstored.set_aside), Some(true));
    for same_bytes in &answers[1..3] {
        assert_eq!((same_bytes.verdict, &same_bytes.offers), (Outcome::Hit, &answers[0].offers));
    }
    assert_eq!(reason(&answers[3]), Some(WhyNot::CannotStore));
    make_room(&bench);
    assert_eq!(engines[1].search(&query(&small)).unwrap().verdict, Outcome::Hit);
    assert_eq!(bench.calls(), 1);
}

#[test]
fn details_that_cannot_be_stored_are_given_and_are_not_paid_again() {
    let bench = Bench::new();
    let upstream = Meddling::new(|| {});
    let engine = upstream.engine(&bench);
    fill(&bench);
    let [one, other] = ["1", "2"].map(|id| OfferId::new(id).unwrap());
    let first = engine.details(&one, Mode::Default).unwrap();
    assert_eq!((first.source, first.upstream_calls), (Source::Upstream, 1));
    assert!(first.unstored.as_ref().unwrap().set_aside && first.warnings[0].contains("1 call paid"));
    for engine in [&engine, &upstream.engine(&bench)] {
        for mode in [Mode::Default, Mode::LocalOnly] {
            let again = engine.details(&one, mode).unwrap();
            assert_eq!((&again.detail, again.source), (&first.detail, Source::Local));
        }
        for (id, mode) in [(&other, Mode::Default), (&one, Mode::Refresh)] {
            let unasked = engine.details(id, mode).unwrap();
            assert_eq!(unasked.unanswered.unwrap().reason, WhyNot::CannotStore);
        }
    }
    assert_eq!(upstream.calls(), 1);
    drop(engine);
    make_room(&bench);
    let engine = upstream.engine(&bench);
    let stored = engine.catalog().details(&one, &[]).unwrap().unwrap();
    assert_eq!((Some(stored.detail), Some(stored.fetched_at)), (first.detail, first.fetched_at));
    assert_eq!(engine.details(&other, Mode::Default).unwrap().upstream_calls, 1);
}

#[test]
fn a_warning_that_cannot_be_made_costs_no_answer() {
    let bench = Bench::new();
    let home = bench.home.path().join("catalog.sqlite");
    // What was spent cannot be read any more once the upstream has answered.
    let meddling = Meddling::new(move || {
        rusqlite::Connection::open(&home).unwrap().execute_batch("ALTER TABLE spend RENAME TO gone").unwrap();
    });
    let answer = meddling.engine(&bench).search(&query(&png(1))).unwrap();
    assert_eq!((answer.offers.len(), answer.upstream_calls, answer.unstored), (1, 1, None));
}

/// An upstream that does something to the home folder while it is asked.
struct Meddling {
    inner: Arc<FakeUpstream>,
    meddle: Box<dyn Fn() + Send + Sync>,
    details: AtomicU32,
}

impl Meddling {
    fn new(meddle: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let inner = FakeUpstream::named("fake");
        Arc::new(Self { inner, meddle: Box::new(meddle), details: AtomicU32::new(0) })
    }

    fn engine(self: &Arc<Self>, bench: &Bench) -> Engine {
        let policy = GuardPolicy::default().min_interval(std::time::Duration::ZERO);
        bench.builder().upstream(self.clone(), policy, CachePolicy::default()).open().unwrap()
    }

    fn calls(&self) -> u32 {
        self.inner.calls() + self.details.load(Ordering::SeqCst)
    }
}

impl Upstream for Meddling {
    fn profile(&self) -> &'static str {
        self.inner.profile()
    }

    fn upload_limits(&self) -> UploadLimits {
        self.inner.upload_limits()
    }

    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        let mut page = self.inner.search(picture, params)?;
        page.offers.truncate(1);
        (self.meddle)();
        Ok(page)
    }

    fn gives_details(&self) -> bool {
        true
    }

    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        self.details.fetch_add(1, Ordering::SeqCst);
        let offer = crate::fakes::offer(offer_id.as_str());
        (self.meddle)();
        Ok(OfferDetail::new(offer))
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}
