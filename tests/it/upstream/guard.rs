//! Budget, pace and retries, with time under control.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::upstream::guard::NextStep;
use tongkuan::upstream::{
    BilledPage, CallOutcome, Guard, GuardError, GuardPolicy, QuotaDay, SearchParams, UploadMediaType,
    UploadPicture, UpstreamError, UpstreamErrorKind, UpstreamPage, WhyNot,
};

use super::MORNING;
use super::fake::{MemoryLedger, Scripted, failure, failure_with_pause};

pub(super) struct Scene {
    clock: Arc<ManualClock>,
    upstream: Arc<Scripted>,
    pub(super) ledger: Arc<MemoryLedger>,
    pub(super) guard: Guard,
}

impl Scene {
    pub(super) fn new(policy: GuardPolicy, answers: Vec<Result<UpstreamPage, UpstreamError>>) -> Self {
        Self::with_ledger(MemoryLedger::default(), policy, answers)
    }

    fn with_ledger(
        ledger: MemoryLedger,
        policy: GuardPolicy,
        answers: Vec<Result<UpstreamPage, UpstreamError>>,
    ) -> Self {
        let clock = Arc::new(ManualClock::at(MORNING));
        let upstream = Scripted::new(Arc::clone(&clock) as _, answers);
        let ledger = Arc::new(ledger);
        let guard =
            Guard::new(Arc::clone(&upstream) as _, Arc::clone(&ledger) as _, Arc::clone(&clock) as _, policy);
        Self { clock, upstream, ledger, guard }
    }

    pub(super) fn ask(&self) -> Result<BilledPage, GuardError> {
        self.guard.search(&some_picture(), &SearchParams::default())
    }

    pub(super) fn calls(&self) -> Vec<Timestamp> {
        self.upstream.calls.lock().unwrap().clone()
    }
}

pub(super) fn some_picture() -> UploadPicture {
    UploadPicture {
        bytes: vec![1],
        media_type: UploadMediaType::Jpeg,
        width_px: 1,
        height_px: 1,
        region: None,
        source_url: None,
    }
}

pub(super) fn policy() -> GuardPolicy {
    GuardPolicy::default()
}

fn failures(kind: UpstreamErrorKind, count: usize) -> Vec<Result<UpstreamPage, UpstreamError>> {
    vec![Err(failure(kind)); count]
}

#[test]
fn the_five_hundred_and_first_call_of_a_day_is_refused_without_a_request() {
    let scene = Scene::new(policy(), vec![]);
    for _ in 0..500 {
        scene.ask().unwrap();
    }
    let error = scene.ask().unwrap_err();
    let resets_at = QuotaDay::of(MORNING).resets_at();
    assert_eq!(error, GuardError::BudgetSpent { profile: "scripted", used: 500, budget: 500, resets_at });
    assert!(error.to_string().contains("2026-11-24T16:00:00Z"), "{error}");
    assert_eq!(scene.calls().len(), 500);
    scene.clock.sleep(Duration::from_hours(14));
    scene.ask().unwrap();
}

#[test]
fn an_upstream_that_may_not_be_asked_is_not_gone_to_for_a_token() {
    let tokens = |scene: &Scene| scene.upstream.tokens.load(Ordering::SeqCst);
    let spent = Scene::new(policy().daily_budget(1), vec![]);
    spent.ask().unwrap();
    assert_eq!(spent.ask().unwrap_err().why_not(), Some(WhyNot::BudgetSpent));
    assert_eq!(tokens(&spent), 1);
    let open = Scene::new(policy().breaker_failures(1), failures(UpstreamErrorKind::Unreadable, 1));
    open.ask().unwrap_err();
    assert_eq!(open.ask().unwrap_err().why_not(), Some(WhyNot::BreakerOpen));
    assert_eq!(tokens(&open), 1);
    // The next day it is asked again.
    spent.clock.sleep(Duration::from_hours(24));
    spent.ask().unwrap();
    assert_eq!(tokens(&spent), 2);
}

#[test]
fn two_calls_start_at_least_the_interval_apart() {
    let scene = Scene::new(policy(), vec![]);
    for _ in 0..5 {
        scene.ask().unwrap();
    }
    let calls = scene.calls();
    assert_eq!(calls[0], MORNING, "the first does not wait");
    assert!(calls.windows(2).all(|pair| pair[0].until(pair[1]) >= Duration::from_secs(1)), "{calls:?}");
    scene.clock.sleep(Duration::from_hours(1));
    let now = scene.clock.now();
    scene.ask().unwrap();
    assert_eq!(scene.calls()[5], now, "after a quiet time nobody waits");
}

#[test]
fn sixteen_threads_never_exceed_the_budget_or_the_pace() {
    let scene = Scene::new(policy().daily_budget(40), vec![]);
    let answered: usize = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..16).map(|_| scope.spawn(|| (0..5).filter(|_| scene.ask().is_ok()).count())).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!((answered, scene.calls().len(), scene.ledger.spent()), (40, 40, 40));
    let booked = scene.ledger.booked.lock().unwrap();
    let apart =
        |pair: &[super::fake::Booked]| pair[0].start_at.until(pair[1].start_at) >= Duration::from_secs(1);
    assert!(booked.windows(2).all(apart));
}

#[test]
fn sixteen_threads_that_fail_and_try_again_never_exceed_the_budget() {
    let scene = Scene::new(
        policy().daily_budget(20).breaker_failures(u32::MAX),
        failures(UpstreamErrorKind::Transient, 1000),
    );
    let calls: u32 = thread::scope(|scope| {
        let workers: Vec<_> = (0..16).map(|_| scope.spawn(|| scene.ask().unwrap_err().calls())).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!((calls, scene.calls().len(), scene.ledger.spent()), (20, 20, 20));
}

#[test]
fn a_passing_failure_is_tried_again_with_growing_pauses_and_counts_as_billed() {
    let scene = Scene::new(policy(), failures(UpstreamErrorKind::Transient, 2));
    assert_eq!(scene.ask().unwrap().calls, 3);
    let calls = scene.calls();
    let pauses: Vec<_> = calls.windows(2).map(|pair| pair[0].until(pair[1]).as_millis()).collect();
    assert!((1500..=2000).contains(&pauses[0]) && (3000..=4000).contains(&pauses[1]), "{pauses:?}");
    assert_eq!(scene.ledger.spent(), 3);
}

#[test]
fn trouble_before_a_search_is_tried_again_and_costs_nothing() {
    let scene = Scene::new(policy(), failures(UpstreamErrorKind::Unreachable, 9));
    let error = scene.ask().unwrap_err();
    assert_eq!(error, GuardError::Upstream { error: failure(UpstreamErrorKind::Unreachable), calls: 0 });
    assert_eq!((scene.calls().len(), scene.ledger.spent()), (3, 0));
}

#[test]
fn every_other_refusal_is_final_and_refunded() {
    use UpstreamErrorKind::{Acl, Auth, Image, Param, Quota, Signature, Unsupported};
    for kind in [Acl, Auth, Image, Param, Quota, Signature, Unsupported] {
        let scene = Scene::new(policy(), failures(kind, 1));
        assert_eq!(scene.ask().unwrap_err(), GuardError::Upstream { error: failure(kind), calls: 0 });
        assert_eq!((scene.calls().len(), scene.ledger.spent()), (1, 0), "{kind:?}");
    }
}

#[test]
fn a_retry_needs_budget_too() {
    let scene = Scene::new(policy().daily_budget(1), failures(UpstreamErrorKind::Transient, 9));
    let error = scene.ask().unwrap_err();
    assert_eq!(error, GuardError::Upstream { error: failure(UpstreamErrorKind::Transient), calls: 1 });
    assert_eq!(scene.calls().len(), 1);
}

#[test]
fn a_budget_of_nothing_forbids_every_call() {
    let scene = Scene::new(policy().daily_budget(0), vec![]);
    assert!(matches!(scene.ask(), Err(GuardError::BudgetSpent { used: 0, budget: 0, .. })));
    assert!(scene.calls().is_empty());
}

#[test]
fn a_pause_longer_than_the_policy_allows_ends_the_search_and_holds_the_next_one_back() {
    let too_long = failure_with_pause(UpstreamErrorKind::Rate, 300);
    let scene = Scene::new(policy(), vec![Err(too_long.clone())]);
    assert_eq!(scene.ask().unwrap_err(), GuardError::Upstream { error: too_long, calls: 0 });
    let error = scene.ask().unwrap_err();
    assert!(matches!(&error, GuardError::TooSlow { wait, .. } if wait.as_secs() == 300), "{error}");
    assert_eq!(scene.calls().len(), 1);
    scene.clock.sleep(Duration::from_mins(5));
    scene.ask().unwrap();
}

#[test]
fn a_call_that_would_start_after_midnight_is_booked_for_the_new_day() {
    let scene = Scene::new(policy().daily_budget(2), vec![]);
    let midnight = QuotaDay::of(MORNING).resets_at();
    scene.clock.sleep(MORNING.until(midnight).checked_sub(Duration::from_millis(500)).unwrap());
    scene.ask().unwrap();
    scene.ask().unwrap();
    scene.ask().unwrap();
    let booked = scene.ledger.booked.lock().unwrap();
    let kept = booked.iter().filter(|b| b.outcome == Some(CallOutcome::Billed));
    let days: Vec<String> = kept.map(|b| b.day.to_string()).collect();
    assert_eq!(days, ["2026-11-24", "2026-11-25", "2026-11-25"]);
}

#[test]
fn an_answer_is_not_thrown_away_when_the_account_cannot_be_written() {
    let ledger = MemoryLedger { broken: true, ..MemoryLedger::default() };
    let scene = Scene::with_ledger(ledger, policy(), vec![]);
    let asked = scene.ask().unwrap();
    assert_eq!((asked.calls, asked.unsettled), (1, 1));
    assert!(
        asked.warnings[0].contains("could not be brought up to date (1 entries)"),
        "{:?}",
        asked.warnings
    );
    assert_eq!(scene.ledger.spent(), 1, "what is not settled counts as billed");
}

#[test]
fn a_quota_day_begins_at_midnight_in_china() {
    let last = Timestamp::from_unix_ms(1_795_535_999_999);
    assert_eq!(QuotaDay::of(last).to_string(), "2026-11-24");
    let next = last.plus(Duration::from_millis(1));
    assert_eq!(QuotaDay::of(next).to_string(), "2026-11-25");
    assert_eq!(QuotaDay::of(last).resets_at(), next);
}

#[test]
fn pauses_double_up_to_the_longest_and_chance_only_shortens_them_by_a_quarter() {
    let policy = policy().max_attempts(40);
    let error = failure(UpstreamErrorKind::Transient);
    for (attempt, seconds) in [(1, 2_u64), (2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (35, 60)] {
        for salt in 0..100 {
            let NextStep::RetryAfter(pause) = policy.next_step(&error, attempt, salt) else {
                panic!("{attempt}")
            };
            let full = Duration::from_secs(seconds);
            assert!(pause <= full && pause >= full * 3 / 4, "{attempt} {salt} {pause:?}");
        }
    }
    assert_eq!(policy.next_step(&error, 40, 0), NextStep::Stop);
    let asked = failure_with_pause(UpstreamErrorKind::Rate, 30);
    assert_eq!(policy.next_step(&asked, 1, 0), NextStep::RetryAfter(Duration::from_secs(30)));
    assert_eq!(policy.next_step(&failure_with_pause(UpstreamErrorKind::Rate, 61), 1, 0), NextStep::Stop);
}
