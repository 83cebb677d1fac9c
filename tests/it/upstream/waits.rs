//! How long anything is waited for, and what is said meanwhile; clocks that are set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tongkuan::catalog::Catalog;
use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::upstream::{
    Breaker, Guard, GuardError, GuardPolicy, Ledger, ProviderCount, QuotaDay, SearchParams, UploadLimits,
    UploadPicture, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage,
};

use super::MORNING;
use super::fake::{Scripted, failure};
use super::guard::{Scene, policy, some_picture};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A clock that can be set, also back.
struct Settable(AtomicI64);

impl Settable {
    fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.unix_ms())))
    }

    fn set(&self, now: Timestamp) {
        self.0.store(now.unix_ms(), Ordering::SeqCst);
    }
}

impl Clock for Settable {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) {
        self.set(self.now().plus(duration));
    }
}

/// A guard with a real ledger and a clock that can be set.
struct Set {
    clock: Arc<Settable>,
    upstream: Arc<Scripted>,
    catalog: Arc<Catalog>,
    home: tempfile::TempDir,
}

impl Set {
    fn new(answers: Vec<Result<UpstreamPage, UpstreamError>>) -> Self {
        let clock = Settable::at(MORNING);
        let home = tempfile::tempdir().unwrap();
        let upstream = Scripted::new(Arc::clone(&clock) as _, answers);
        Self { clock, upstream, catalog: Arc::new(Catalog::open(home.path()).unwrap()), home }
    }

    fn guard(&self) -> Guard {
        Guard::new(self.upstream.clone(), self.catalog.clone(), self.clock.clone(), policy())
    }

    /// How long one more search takes by the clock.
    fn ask(&self, guard: &Guard) -> Duration {
        let start = self.clock.now();
        guard.search(&some_picture(), &SearchParams::default()).unwrap();
        start.until(self.clock.now())
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_no_search_waiting() {
    for back in [Duration::from_mins(5), HOUR, DAY, 400 * DAY] {
        let scene = Set::new(vec![]);
        let old = scene.guard();
        scene.ask(&old);
        scene.clock.set(MORNING.minus(back));
        for guard in [old, scene.guard()] {
            let waited = scene.ask(&guard);
            assert!(waited <= Duration::from_secs(2), "{back:?}: {waited:?}");
        }
        assert!(scene.home.path().join("catalog.sqlite").exists());
    }
}

#[test]
fn a_clock_that_is_set_back_by_little_delays_by_no_more_than_a_turn_may_take() {
    let scene = Set::new(vec![]);
    let guard = scene.guard();
    scene.ask(&guard);
    scene.clock.set(MORNING.minus(Duration::from_secs(90)));
    assert!(scene.ask(&guard) <= policy().max_wait);
}

#[test]
fn a_clock_that_was_a_day_ahead_leaves_the_next_day_its_budget() {
    let scene = Set::new(vec![]);
    let guard = scene.guard();
    scene.clock.set(MORNING.plus(DAY));
    for _ in 0..3 {
        scene.ask(&guard);
    }
    let [today, tomorrow] = [MORNING, MORNING.plus(DAY)].map(QuotaDay::of);
    let count = ProviderCount { used_today: 400, max_a_day: 450 };
    scene.catalog.reconcile("scripted", tomorrow, count).unwrap();
    scene.clock.set(MORNING);
    scene.ask(&guard);
    let spent = |day| scene.catalog.calls_spent("scripted", &day).unwrap();
    assert_eq!((spent(today), spent(tomorrow)), (4, 0), "they were made, and before now");
    assert_eq!(scene.catalog.provider_limits("scripted", &tomorrow).unwrap(), (0, None));
}

#[test]
fn midnight_is_no_clock_that_was_set_back() {
    let scene = Set::new(vec![]);
    let guard = scene.guard();
    let midnight = QuotaDay::of(MORNING).resets_at();
    scene.clock.set(midnight.plus(Duration::from_millis(1)));
    scene.ask(&guard);
    // Another process that read the clock a moment before.
    scene.clock.set(midnight.minus(Duration::from_millis(1)));
    scene.ask(&scene.guard());
    assert_eq!(
        scene.catalog.calls_spent("scripted", &QuotaDay::of(midnight)).unwrap(),
        2,
        "a turn later it is midnight"
    );
}

#[test]
fn pauses_that_would_last_longer_than_any_does_are_void() {
    use UpstreamErrorKind::{Quota, Signature, Transient};
    let now = MORNING;
    for (kind, ahead, is_void) in [
        (Transient, Duration::from_mins(10), false),
        (Transient, Duration::from_mins(11), true),
        (Quota, HOUR, false),
        (Quota, HOUR + Duration::from_mins(1), true),
    ] {
        let scene = Set::new(vec![]);
        scene.catalog.trip("scripted", now.plus(ahead), &failure(kind)).unwrap();
        let result = scene.guard().search(&some_picture(), &SearchParams::default());
        assert_eq!(result.is_ok(), is_void, "{kind:?} {ahead:?}: {result:?}");
        if let Err(GuardError::BreakerOpen { until, .. }) = result {
            assert_eq!(until, now.plus(ahead));
        }
    }
    // What only a person can mend is said for a minute, also if the clock is set back in it.
    let scene = Set::new(vec![Err(failure(Signature))]);
    let guard = scene.guard();
    guard.search(&some_picture(), &SearchParams::default()).unwrap_err();
    guard.search(&some_picture(), &SearchParams::default()).unwrap_err();
    scene.clock.set(now.minus(DAY));
    scene.ask(&guard);
    assert_eq!(scene.upstream.calls.lock().unwrap().len(), 2);
    let _: Option<Breaker> = scene.catalog.breaker("scripted").unwrap();
}

/// Goes back by as much as it is slept, for ever.
struct Backwards(ManualClock, AtomicI64);

impl Clock for Backwards {
    fn now(&self) -> Timestamp {
        self.0.now().minus(Duration::from_millis(self.1.load(Ordering::SeqCst).unsigned_abs()))
    }

    fn sleep(&self, duration: Duration) {
        self.1.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

#[test]
fn a_clock_that_goes_backwards_ends_every_wait_all_the_same() {
    let clock = Arc::new(Backwards(ManualClock::at(MORNING), AtomicI64::new(0)));
    let home = tempfile::tempdir().unwrap();
    let catalog = Arc::new(Catalog::open(home.path()).unwrap());
    let upstream = Scripted::new(Arc::clone(&clock) as _, []);
    let guard = Guard::new(upstream.clone(), catalog, clock, policy());
    for _ in 0..3 {
        guard.search(&some_picture(), &SearchParams::default()).unwrap();
    }
    assert_eq!(upstream.calls.lock().unwrap().len(), 3);
}

#[test]
fn a_time_out_is_not_tried_again_and_costs_one_call() {
    for code in ["timeout", "504"] {
        let late = UpstreamError { code: code.to_owned(), ..failure(UpstreamErrorKind::Transient) };
        let scene = Scene::new(policy(), vec![Err(late.clone()); 3]);
        assert_eq!(scene.ask().unwrap_err(), GuardError::Upstream { error: late, calls: 1 });
        assert_eq!((scene.calls().len(), scene.ledger.spent()), (1, 1), "{code}");
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_not_asked_for_again_and_costs_one_call() {
    let foreign = failure(UpstreamErrorKind::Unreadable);
    let scene = Scene::new(policy(), vec![Err(foreign.clone()); 3]);
    assert_eq!(scene.ask().unwrap_err(), GuardError::Upstream { error: foreign, calls: 1 });
    assert_eq!((scene.calls().len(), scene.ledger.spent()), (1, 1));
}

#[test]
fn an_upstream_of_which_nothing_can_be_read_is_left_alone_for_a_while() {
    let scene = Scene::new(policy(), vec![Err(failure(UpstreamErrorKind::Unreadable)); 9]);
    for _ in 0..policy().breaker_failures {
        scene.ask().unwrap_err();
    }
    assert!(matches!(scene.ask(), Err(GuardError::BreakerOpen { .. })));
}

/// Takes its time, which it makes pass on the clock, until somebody has heard of it `notes` times.
struct Slow {
    clock: Arc<ManualClock>,
    heard: Mutex<mpsc::Receiver<String>>,
    notes: Vec<(Duration, &'static str)>,
}

impl Upstream for Slow {
    fn profile(&self) -> &'static str {
        "slow"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 1000, takes_region: false }
    }

    fn search(&self, _: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        for (passes, note) in &self.notes {
            self.clock.sleep(*passes);
            assert_eq!(self.heard.lock().unwrap().recv().unwrap(), *note);
        }
        Ok(UpstreamPage::default())
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

#[test]
fn a_wait_for_an_answer_is_said_after_five_seconds_and_every_ten_from_then_on() {
    let clock = Arc::new(ManualClock::at(MORNING));
    let (hear, heard) = mpsc::channel();
    let secs = Duration::from_secs;
    let notes = vec![
        (secs(5), "waiting for slow, 5 s"),
        (secs(10), "waiting for slow, 15 s"),
        (secs(12), "waiting for slow, 27 s"),
    ];
    let upstream = Arc::new(Slow { clock: clock.clone(), heard: Mutex::new(heard), notes });
    let home = tempfile::tempdir().unwrap();
    let catalog = Arc::new(Catalog::open(home.path()).unwrap());
    let guard = Guard::new(upstream, catalog, clock, GuardPolicy::default())
        .with_wait_notes(Arc::new(move |text: &str| hear.send(text.to_owned()).unwrap()));
    guard.search(&some_picture(), &SearchParams::default()).unwrap();
}

#[test]
fn a_long_wait_for_a_turn_is_said_before_it_begins() {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let scene = Scene::new(policy().min_interval(Duration::from_secs(30)), vec![]);
    let said_by_guard = Arc::clone(&said);
    let guard = scene
        .guard
        .with_wait_notes(Arc::new(move |text: &str| said_by_guard.lock().unwrap().push(text.to_owned())));
    for _ in 0..2 {
        guard.search(&some_picture(), &SearchParams::default()).unwrap();
    }
    assert_eq!(*said.lock().unwrap(), ["scripted is asked when it is this search's turn, in 30 s"]);
}
