//! May we ask now? Money and time in front of one upstream: budget, pace and retries.
//!
//! Every attempt is booked in the [`Ledger`] *before* it is made and settled after it, so a crash in between
//! costs at most one call of the budget and never exceeds it. All waiting goes through the [`Clock`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{
    ProviderCount, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind,
    UpstreamPage, limits,
};
use crate::cancel::{Gate, Interrupt, Interrupted};
use crate::clock::{Clock, Timestamp};
use crate::offer::{OfferDetail, OfferId};

pub use super::guard_error::{GuardError, WhyNot};
pub use super::guard_policy::{GuardPolicy, MAX_BREAKER_PAUSE, NextStep};
pub use crate::ledger::{Booking, Breaker, CallOutcome, Ledger, LedgerError, Reservation};
pub use crate::quota_day::QuotaDay;

/// The longest pause that an upstream's wish imposes on all searches; a wrong header must not stop a server for
/// days.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// How long a refusal that only a person can mend (credentials, permission, address) answers for all.
const FATAL_PAUSE: Duration = Duration::from_mins(1);
/// How long an upstream that says that nothing is left is believed, if its day does not end before: the user may have
/// bought more, and a refused call is not billed.
const QUOTA_PAUSE: Duration = Duration::from_hours(1);
/// From how long a wait on something is said about it, and how often again.
pub(crate) const WAIT_NOTE_AFTER: Duration = Duration::from_secs(5);
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// How often the clock is looked at while an answer is waited for.
const NOTE_POLL: Duration = Duration::from_millis(100);
/// How often a turn is taken anew that midnight or another thread's "too fast" has made void.
const MAX_TURN_RETRIES: u32 = 4;

/// An answer and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledPage {
    /// The answer, cut to reason.
    pub page: UpstreamPage,
    /// Search calls made and billed for it, failed ones that may have been billed included.
    pub calls: u32,
    /// Bookings that the ledger could not settle. They count as billed, so the budget errs on the safe side.
    pub unsettled: u32,
    /// What was cut from the answer, for the user to know.
    pub warnings: Vec<String>,
}

/// What is known about an offer, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledDetail {
    /// The answer, cut to reason.
    pub detail: OfferDetail,
    /// As of [`BilledPage`].
    pub calls: u32,
    /// As of [`BilledPage`].
    pub unsettled: u32,
    /// As of [`BilledPage`].
    pub warnings: Vec<String>,
}

/// Hears what is waited for, as a line of text, once that takes long.
pub type WaitNotes = Arc<dyn Fn(&str) + Send + Sync>;

/// What was spent on one question so far.
#[derive(Clone, Copy, Default)]
struct Cost {
    calls: u32,
    unsettled: u32,
}

/// What is asked. A permission for one is none for the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Search,
    Details,
}

/// Stands before one upstream. Shared between threads; one per profile and process.
pub struct Guard {
    upstream: Arc<dyn Upstream>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    policy: GuardPolicy,
    /// Held while the next start is waited for, so that at most one booking of this process is ahead of
    /// time.
    turn: Gate,
    pacer: Mutex<PacerState>,
    in_line: AtomicU32,
    wait_notes: Option<WaitNotes>,
}

/// A time in which no call starts. Void once the clock says a time before it was set: then the clock was set back, and
/// when the pause ends is not known any more.
#[derive(Clone, Copy)]
struct Pause {
    set_at: Timestamp,
    until: Timestamp,
}

impl Pause {
    const NONE: Self =
        Self { set_at: Timestamp::from_unix_ms(i64::MIN), until: Timestamp::from_unix_ms(i64::MIN) };

    fn new(set_at: Timestamp, length: Duration) -> Self {
        Self { set_at, until: set_at.plus(length) }
    }

    fn left(self, now: Timestamp) -> Duration {
        if now < self.set_at { Duration::ZERO } else { now.until(self.until) }
    }

    /// The one of both that ends later.
    fn or(self, other: Self, now: Timestamp) -> Self {
        if self.left(now) > other.left(now) { self } else { other }
    }
}

/// What the last answers have taught this process. What all of them must know is in the ledger ([`Breaker`]).
struct PacerState {
    /// No call starts earlier: the pace, or a pause that the upstream has asked for.
    not_before: Pause,
    /// Until then this error, which only a person can mend, is the answer to every search. Not in the ledger: once it is mended,
    /// the next process must not hear of it.
    broken: Option<(Pause, UpstreamError)>,
}

impl Guard {
    /// In front of `upstream`, with calls booked in `ledger` and waits by `clock`.
    #[must_use]
    pub fn new(
        upstream: Arc<dyn Upstream>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        policy: GuardPolicy,
    ) -> Self {
        let pacer = Mutex::new(PacerState { not_before: Pause::NONE, broken: None });
        let (turn, in_line) = (Gate::default(), AtomicU32::new(0));
        Self { upstream, ledger, clock, policy, turn, pacer, in_line, wait_notes: None }
    }

    /// Has `notes` told what is waited for when that takes longer than a few seconds.
    #[must_use]
    pub fn with_wait_notes(mut self, notes: WaitNotes) -> Self {
        self.wait_notes = Some(notes);
        self
    }

    /// The upstream's profile.
    #[must_use]
    pub fn profile(&self) -> &'static str {
        self.upstream.profile()
    }

    /// What the upstream accepts.
    #[must_use]
    pub fn upload_limits(&self) -> UploadLimits {
        self.upstream.upload_limits()
    }

    /// Offers a page at the most.
    #[must_use]
    pub fn max_page_size(&self) -> u32 {
        self.upstream.max_page_size()
    }

    /// How much may be spent, and how fast.
    #[must_use]
    pub fn policy(&self) -> &GuardPolicy {
        &self.policy
    }

    /// Proves address and credentials; not a search, so neither booked nor repeated.
    ///
    /// # Errors
    /// The upstream's own.
    pub fn check(&self) -> Result<(), UpstreamError> {
        self.noting(|| self.upstream.check())
    }

    /// Asks the upstream when budget and pace allow it, and again after failures that may pass. Blocks while
    /// it waits: up to `max_wait` for each turn and `max_backoff` between attempts.
    ///
    /// # Errors
    /// [`GuardError`]. Once an attempt has failed, its error is what is reported, also when the budget or the
    /// line allows no further one.
    pub fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<BilledPage, GuardError> {
        self.search_unless(&Interrupt::never(), picture, params)
    }

    /// As [`search`](Self::search), with all waits ended by `interrupt`, and no attempt after a failed one that would pass its
    /// limit of calls. A call that is under way is waited for all the same, because it is paid for.
    ///
    /// # Errors
    /// As for [`search`](Self::search); also [`GuardError::Interrupted`].
    pub fn search_unless(
        &self,
        interrupt: &Interrupt,
        picture: &UploadPicture,
        params: &SearchParams,
    ) -> Result<BilledPage, GuardError> {
        let call = || self.upstream.search(picture, params);
        let (mut page, Cost { calls, unsettled }) =
            self.ask(Question::Search, interrupt, &call, &|page: &UpstreamPage| page.provider_count)?;
        let mut warnings = limits::cut_page(self.profile(), &mut page, params.page_size);
        warnings.extend(self.unsettled_warning(unsettled));
        Ok(BilledPage { page, calls, unsettled, warnings })
    }

    /// Whether [`details`](Self::details) can be asked for at all.
    #[must_use]
    pub fn gives_details(&self) -> bool {
        self.upstream.gives_details()
    }

    /// Asks about one offer, booked and repeated as a search is.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub fn details(&self, offer_id: &OfferId) -> Result<BilledDetail, GuardError> {
        self.details_unless(&Interrupt::never(), offer_id)
    }

    /// As [`details`](Self::details), with all waits ended by `interrupt`.
    ///
    /// # Errors
    /// As for [`search_unless`](Self::search_unless).
    pub fn details_unless(
        &self,
        interrupt: &Interrupt,
        offer_id: &OfferId,
    ) -> Result<BilledDetail, GuardError> {
        let call = || self.upstream.details(offer_id);
        let (mut detail, Cost { calls, unsettled }) =
            self.ask(Question::Details, interrupt, &call, &|_| None)?;
        let mut warnings = limits::cut_detail(self.profile(), &mut detail);
        warnings.extend(self.unsettled_warning(unsettled));
        Ok(BilledDetail { detail, calls, unsettled, warnings })
    }

    /// What the caller is to know of entries that the ledger has not taken.
    fn unsettled_warning(&self, unsettled: u32) -> Option<String> {
        (unsettled > 0).then(|| {
            format!(
                "{}: the account of calls could not be brought up to date ({unsettled} entries): the call counts as paid, and \
                 other processes may not know what the upstream said",
                self.profile()
            )
        })
    }

    /// Makes `call` when it may be made, and again; `count` finds the provider's own count in an answer.
    fn ask<T>(
        &self,
        question: Question,
        interrupt: &Interrupt,
        call: &dyn Fn() -> Result<T, UpstreamError>,
        count: &dyn Fn(&T) -> Option<ProviderCount>,
    ) -> Result<(T, Cost), GuardError> {
        let mut cost = Cost::default();
        let mut failed: Option<UpstreamError> = None;
        let mut attempt = 0;
        self.refuse_if_broken()?;
        loop {
            attempt += 1;
            let error = match self.attempt(interrupt, call, count, &mut cost) {
                Ok(answer) => {
                    // An answer that has been paid for is not thrown away because of the account.
                    cost.unsettled += u32::from(self.ledger.recovered(self.profile()).is_err());
                    return Ok((answer, cost));
                }
                Err(GuardError::Upstream { error, .. }) => error,
                Err(GuardError::Ledger { profile, error, .. }) => {
                    return Err(GuardError::Ledger { profile, error, calls: cost.calls });
                }
                // A caller that wants no answer any more is told what an attempt cost, too.
                Err(GuardError::Interrupted { profile, reason: reason @ Interrupted::Cancelled, .. }) => {
                    return Err(GuardError::Interrupted { profile, reason, calls: cost.calls });
                }
                Err(refusal) => {
                    return Err(match failed {
                        Some(error) => GuardError::Upstream { error, calls: cost.calls },
                        None => refusal,
                    });
                }
            };
            let salt = self.clock.now().unix_ms().unsigned_abs();
            let next = self.policy.next_step(&error, attempt, salt);
            let (profile, code, kind) = (self.profile(), error.code.as_str(), error.kind.code());
            // That this caller pays for no more says nothing about the upstream, so nothing is learnt from it.
            self.learn(question, &error, next);
            let pause = match next {
                NextStep::RetryAfter(pause) if interrupt.allows_call_after(cost.calls) => pause,
                NextStep::RetryAfter(_) | NextStep::Stop => {
                    tracing::warn!(profile, attempt, kind, code, "not asked again: {}", error.message);
                    return Err(GuardError::Upstream { error, calls: cost.calls });
                }
            };
            tracing::warn!(profile, attempt, kind, code, ?pause, "asked again after a pause");
            // The pause of a call that was too fast holds for all threads and is waited out in line.
            if error.kind != UpstreamErrorKind::Rate {
                self.note_long(pause, || {
                    format!("{} failed ({}) and is asked again", self.profile(), error.code)
                });
                if let Err(reason) = interrupt.sleep(self.clock.as_ref(), pause) {
                    return Err(match reason {
                        Interrupted::Cancelled => self.interrupted(reason, cost.calls),
                        Interrupted::DeadlinePassed => GuardError::Upstream { error, calls: cost.calls },
                    });
                }
            }
            failed = Some(error);
        }
    }

    /// One attempt in its turn; `cost` gets what it cost.
    fn attempt<T>(
        &self,
        interrupt: &Interrupt,
        call: &dyn Fn() -> Result<T, UpstreamError>,
        count: &dyn Fn(&T) -> Option<ProviderCount>,
        cost: &mut Cost,
    ) -> Result<T, GuardError> {
        let failed = |error, calls| GuardError::Upstream { error, calls };
        interrupt.check().map_err(|reason| self.interrupted(reason, 0))?;
        // Where nothing may be asked, the upstream is not gone to for a token either: that may hang.
        self.refuse_if_open()?;
        self.refuse_if_spent()?;
        // Before the turn: a token that is fetched between turn and search would spoil the pace.
        self.noting(|| self.upstream.make_ready()).map_err(|error| failed(error, 0))?;
        let reservation = self.take_turn(interrupt)?;
        let answer = self.noting(call);
        let billed = answer.as_ref().map_or_else(UpstreamError::may_be_billed, |_| true);
        let outcome = if billed { CallOutcome::Billed } else { CallOutcome::Refunded };
        cost.calls += u32::from(billed);
        // An answer that has been paid for is not thrown away because of the account.
        cost.unsettled += u32::from(self.ledger.settle(reservation.id, outcome).is_err());
        if let Some(told) = answer.as_ref().ok().and_then(count) {
            let day = QuotaDay::of(self.clock.now());
            cost.unsettled += u32::from(self.ledger.reconcile(self.profile(), day, told).is_err());
        }
        answer.map_err(|error| failed(error, cost.calls))
    }

    /// Where the ledger cannot be written, the others do not learn; what the upstream has said is worth more to the caller
    /// than that.
    fn learn(&self, question: Question, error: &UpstreamError, next: NextStep) {
        let now = self.clock.now();
        match (error.kind, next) {
            (UpstreamErrorKind::Quota, _) => {
                let until = now.plus(QUOTA_PAUSE).min(QuotaDay::of(now).resets_at());
                self.trip(until, error);
            }
            (UpstreamErrorKind::Rate, NextStep::RetryAfter(pause)) => self.hold_back(now, pause),
            (UpstreamErrorKind::Rate, NextStep::Stop) => {
                self.hold_back(now, error.retry_after.unwrap_or(self.policy.first_backoff));
            }
            (
                UpstreamErrorKind::Transient | UpstreamErrorKind::Unreachable | UpstreamErrorKind::Unreadable,
                NextStep::Stop,
            ) => {
                let failures = self.ledger.note_failure(self.profile()).unwrap_or(0);
                if let Some(extra) = failures.checked_sub(self.policy.breaker_failures.max(1)) {
                    let pause = self.policy.breaker_pause.saturating_mul(1 << extra.min(16));
                    let until = now.plus(pause.min(MAX_BREAKER_PAUSE));
                    self.trip(until, error);
                }
            }
            // An app that may search need not be allowed to ask about offers.
            (UpstreamErrorKind::Acl | UpstreamErrorKind::Unsupported, _) if question == Question::Details => {
            }
            (kind, NextStep::Stop) if kind.needs_a_person() => {
                self.pacer().broken = Some((Pause::new(now, FATAL_PAUSE), error.clone()));
            }
            _ => {}
        }
    }

    /// Opens the breaker for all processes. Where that cannot be written, the others do not learn.
    fn trip(&self, until: Timestamp, error: &UpstreamError) {
        let (profile, kind) = (self.profile(), error.kind.code());
        tracing::warn!(profile, kind, %until, "the breaker opens");
        if let Err(error) = self.ledger.trip(profile, until, error) {
            tracing::warn!(profile, %error, "the breaker could not be written down");
        }
    }

    fn refuse_if_broken(&self) -> Result<(), GuardError> {
        match &self.pacer().broken {
            Some((pause, error)) if !pause.left(self.clock.now()).is_zero() => {
                Err(GuardError::Upstream { error: error.clone(), calls: 0 })
            }
            _ => Ok(()),
        }
    }

    /// A search after the pause is a trial: if it fails, the next pause is longer.
    fn refuse_if_open(&self) -> Result<(), GuardError> {
        match self.breaker()? {
            Some(Breaker { until, error }) if self.clock.now() < until => {
                Err(GuardError::BreakerOpen { error, until })
            }
            _ => Ok(()),
        }
    }

    /// The last trouble that all processes heard of, also one that is over. Not one that would last longer than any
    /// does: then the clock has been set back since.
    ///
    /// # Errors
    /// [`GuardError::Ledger`].
    pub fn breaker(&self) -> Result<Option<Breaker>, GuardError> {
        let breaker = self.ledger.breaker(self.profile()).map_err(|error| self.ledger_fault(error))?;
        let now = self.clock.now();
        Ok(breaker.filter(|Breaker { until, error }| {
            let longest =
                if error.kind == UpstreamErrorKind::Quota { QUOTA_PAUSE } else { MAX_BREAKER_PAUSE };
            now.until(*until) <= longest
        }))
    }

    /// No call starts for `pause` from `now`.
    fn hold_back(&self, now: Timestamp, pause: Duration) {
        let mut pacer = self.pacer();
        pacer.not_before = pacer.not_before.or(Pause::new(now, pause.min(MAX_PAUSE)), now);
    }

    /// Waits until this thread may call, with the call booked.
    fn take_turn(&self, interrupt: &Interrupt) -> Result<Reservation, GuardError> {
        let place = Place::take(&self.in_line);
        let paused = self.pacer().not_before.left(self.clock.now());
        let wait = paused.saturating_add(self.policy.min_interval.saturating_mul(place.ahead));
        self.allow(interrupt, wait)?;
        let _turn = self.turn.enter(interrupt).map_err(|reason| self.interrupted(reason, 0))?;
        for _ in 0..MAX_TURN_RETRIES {
            self.refuse_if_open()?;
            let now = self.clock.now();
            let paused = self.pacer().not_before.left(now);
            self.wait_until(interrupt, now.plus(paused))?;
            let now = self.clock.now();
            let day = QuotaDay::of(now);
            let reservation = self.book(day, now)?;
            if let Err(refusal) = self.wait_until(interrupt, reservation.start_at) {
                self.give_back(reservation)?;
                return Err(refusal);
            }
            // While this thread waited, midnight may have passed (the call would count for the wrong day), or
            // another thread's call may have been told that it was too fast, or that nothing is left.
            let start = self.clock.now();
            let may_start = self.refuse_if_open();
            let mut pacer = self.pacer();
            if QuotaDay::of(start) == day && pacer.not_before.left(start).is_zero() && may_start.is_ok() {
                pacer.not_before = Pause::new(start, self.policy.min_interval);
                return Ok(reservation);
            }
            drop(pacer);
            self.give_back(reservation)?;
        }
        Err(self.too_slow(self.policy.max_wait))
    }

    /// Before the call is booked, for the day on which it would start.
    fn refuse_if_spent(&self) -> Result<(), GuardError> {
        let now = self.clock.now();
        let day = QuotaDay::of(now.plus(self.pacer().not_before.left(now)));
        self.ledger.refuse_if_spent(&self.booking(day, now)).map_err(|error| self.refused(error, day))
    }

    fn book(&self, day: QuotaDay, now: Timestamp) -> Result<Reservation, GuardError> {
        self.ledger.reserve(&self.booking(day, now)).map_err(|error| self.refused(error, day))
    }

    fn booking(&self, day: QuotaDay, now: Timestamp) -> Booking {
        let GuardPolicy { daily_budget: budget, min_interval, max_wait, .. } = self.policy;
        let max_ahead = max_wait.saturating_add(min_interval);
        Booking { profile: self.profile(), day, budget, now, min_interval, max_ahead }
    }

    fn refused(&self, error: LedgerError, day: QuotaDay) -> GuardError {
        let (profile, budget) = (self.profile(), self.policy.daily_budget);
        match error {
            LedgerError::BudgetSpent { used } => {
                GuardError::BudgetSpent { profile, used, budget, resets_at: day.resets_at() }
            }
            error @ LedgerError::Storage { .. } => self.ledger_fault(error),
        }
    }

    fn give_back(&self, reservation: Reservation) -> Result<(), GuardError> {
        self.ledger.settle(reservation.id, CallOutcome::Refunded).map_err(|error| self.ledger_fault(error))
    }

    fn wait_until(&self, interrupt: &Interrupt, moment: Timestamp) -> Result<(), GuardError> {
        // However the clock is set meanwhile, no more is slept than this.
        let mut left = self.clock.now().until(moment);
        self.allow(interrupt, left)?;
        self.note_long(left, || format!("{} is asked when it is this search's turn", self.profile()));
        loop {
            // Another thread may move a manual clock, and an administrator the machine's.
            let rest = self.clock.now().until(moment).min(left);
            if rest.is_zero() {
                return Ok(());
            }
            interrupt.sleep(self.clock.as_ref(), rest).map_err(|reason| self.interrupted(reason, 0))?;
            left -= rest;
        }
    }

    /// Says `what` comes in `wait`, if that is long.
    fn note_long(&self, wait: Duration, what: impl FnOnce() -> String) {
        if let Some(note) = self.wait_notes.as_ref().filter(|_| wait >= WAIT_NOTE_AFTER) {
            note(&format!("{}, in {} s", what(), wait.as_secs()));
        }
    }

    /// Makes `call`, and says that it is waited for while it takes long.
    fn noting<T>(&self, call: impl FnOnce() -> T) -> T {
        let Some(note) = &self.wait_notes else { return call() };
        let (profile, clock) = (self.profile(), self.clock.as_ref());
        thread::scope(|scope| {
            // Hung up when the call has ended, in whatever way.
            let (_under_way, ended) = mpsc::channel::<()>();
            let start = clock.now();
            let watch = move || {
                let mut next = WAIT_NOTE_AFTER;
                while ended.recv_timeout(NOTE_POLL) == Err(RecvTimeoutError::Timeout) {
                    let waited = start.until(clock.now());
                    if waited >= next {
                        note(&format!("waiting for {profile}, {} s", waited.as_secs()));
                        next = waited.saturating_add(NOTE_EVERY);
                    }
                }
            };
            // Without a thread to spare the call is made in silence.
            let _ = thread::Builder::new().spawn_scoped(scope, watch);
            call()
        })
    }

    fn allow(&self, interrupt: &Interrupt, wait: Duration) -> Result<(), GuardError> {
        interrupt.allow(wait).map_err(|reason| self.interrupted(reason, 0))?;
        if wait > self.policy.max_wait { Err(self.too_slow(wait)) } else { Ok(()) }
    }

    fn interrupted(&self, reason: Interrupted, calls: u32) -> GuardError {
        GuardError::Interrupted { profile: self.profile(), reason, calls }
    }

    fn too_slow(&self, wait: Duration) -> GuardError {
        GuardError::TooSlow { profile: self.profile(), wait, max_wait: self.policy.max_wait }
    }

    fn ledger_fault(&self, error: LedgerError) -> GuardError {
        GuardError::Ledger { profile: self.profile(), error, calls: 0 }
    }

    fn pacer(&self) -> MutexGuard<'_, PacerState> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.profile();
        f.debug_struct("Guard")
            .field("profile", &profile)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A place in the line, left when dropped.
struct Place<'a> {
    in_line: &'a AtomicU32,
    ahead: u32,
}

impl<'a> Place<'a> {
    fn take(in_line: &'a AtomicU32) -> Self {
        Self { in_line, ahead: in_line.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.in_line.fetch_sub(1, Ordering::SeqCst);
    }
}
