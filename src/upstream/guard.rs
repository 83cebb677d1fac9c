//! May we ask now? Money and time in front of one upstream: budget, pace and retries.
//!
//! Every attempt is booked in the [`Ledger`] *before* it is made and settled after it, so a crash in between
//! costs at most one call of the budget and never exceeds it. All waiting goes through the [`Clock`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::{
    ProviderCount, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind,
    UpstreamPage,
};
use crate::clock::{Clock, Timestamp};
use crate::offer::{OfferDetail, OfferId};

pub use super::ledger::{Booking, Breaker, CallOutcome, Ledger, LedgerError, QuotaDay, Reservation};

/// The longest pause that an upstream's wish imposes on everybody; a wrong header must not stop a server for
/// days.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// An upstream that keeps failing is tried again at least this often.
pub const MAX_BREAKER_PAUSE: Duration = Duration::from_mins(10);
/// How long a refusal that only a person can mend (credentials, permission, address) answers for all.
const FATAL_PAUSE: Duration = Duration::from_mins(1);
/// How long an upstream that says that nothing is left is believed, if its day does not end before: the user may have
/// bought more, and a refused call is not billed.
const QUOTA_PAUSE: Duration = Duration::from_hours(1);
/// How often a turn that was spoilt (by midnight, by somebody's "too fast") is taken anew.
const MAX_SPOILT_TURNS: u32 = 4;

/// How much may be spent, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardPolicy {
    /// Search calls per day of China standard time, over all processes on one data directory. 0 forbids all.
    pub daily_budget: u32,
    /// Between the starts of two calls.
    pub min_interval: Duration,
    /// Attempts for one search, the first one included; 0 is read as 1.
    pub max_attempts: u32,
    /// Before the second attempt; doubled for each later one.
    pub first_backoff: Duration,
    /// No pause between two attempts is longer. An upstream that asks for a longer one gets no further
    /// attempt.
    pub max_backoff: Duration,
    /// A search that would wait longer than this for its turn is refused at once.
    pub max_wait: Duration,
    /// After so many searches in a row that failed with all their attempts, nobody is asked for a while.
    pub breaker_failures: u32,
    /// How long nobody is asked then; doubled, up to [`MAX_BREAKER_PAUSE`], when the next search fails too.
    pub breaker_pause: Duration,
}

impl Default for GuardPolicy {
    fn default() -> Self {
        Self {
            daily_budget: 500,
            // One second, and a little more because two requests do not travel equally long.
            min_interval: Duration::from_millis(1050),
            max_attempts: 3,
            first_backoff: Duration::from_secs(2),
            max_backoff: Duration::from_mins(1),
            max_wait: Duration::from_mins(2),
            breaker_failures: 3,
            breaker_pause: Duration::from_secs(30),
        }
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    Stop,
    RetryAfter(Duration),
}

impl GuardPolicy {
    /// What follows the failure of attempt number `attempt` (from 1). Pure: `salt` stands for chance and
    /// shortens the pause by up to a quarter, so that several processes do not come back at the same moment.
    /// A pause that the upstream asks for is never shortened.
    #[must_use]
    pub fn next_step(&self, error: &UpstreamError, attempt: u32, salt: u64) -> NextStep {
        let asked = error.retry_after.unwrap_or_default();
        if !error.kind.is_worth_retrying() || attempt >= self.max_attempts || asked > self.max_backoff {
            return NextStep::Stop;
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.first_backoff.saturating_mul(1 << doublings).min(self.max_backoff);
        let shortened = full.saturating_sub(full / 1024 * u32::from(chance(salt)));
        NextStep::RetryAfter(shortened.max(asked))
    }
}

/// 0 to 255, spread evenly over `salt` (the last step of `SplitMix64`).
fn chance(salt: u64) -> u8 {
    let mut z = salt.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).to_be_bytes()[0]
}

/// An answer and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub page: UpstreamPage,
    /// Search calls made and billed for it, failed ones that may have been billed included.
    pub calls: u32,
    /// Bookings that the ledger could not settle. They count as billed, so the budget errs on the safe side.
    pub unsettled: u32,
}

/// What is known about an offer, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedDetail {
    pub detail: OfferDetail,
    /// As of [`Asked`].
    pub calls: u32,
    /// As of [`Asked`].
    pub unsettled: u32,
}

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

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    #[error(
        "{profile}: today's budget is spent ({used} of {budget} calls); it begins anew at {resets_at}, or \
         raise daily_budget"
    )]
    BudgetSpent { profile: &'static str, used: u32, budget: u32, resets_at: Timestamp },
    /// `calls` search calls were made and (perhaps) billed without an answer.
    #[error("{error}")]
    Upstream { error: UpstreamError, calls: u32 },
    #[error("{profile}: {error}")]
    Ledger { profile: &'static str, error: LedgerError, calls: u32 },
    #[error(
        "{profile}: this search would wait {} s for its turn, and {} s are allowed; ask again later, or \
         raise max_wait (if nobody else is asking, check that the machine's clock was not set back)",
        wait.as_secs(), max_wait.as_secs()
    )]
    TooSlow { profile: &'static str, wait: Duration, max_wait: Duration },
    /// Nobody is asked, in any process: the upstream failed too often, or has said that nothing is left.
    #[error("{error}; nobody is asked before {until}")]
    BreakerOpen { error: UpstreamError, until: Timestamp },
}

/// Why nothing was asked, or asked in vain, in a way that passes by itself or with a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    /// The caller forbade it.
    Offline,
    /// There is nobody to ask.
    NoUpstream,
    /// The budget of the day, which the user sets, is spent.
    BudgetSpent,
    /// The upstream says that nothing is left.
    QuotaSpent,
    /// The upstream failed too often just now.
    BreakerOpen,
    /// Too many wait for their turn.
    TooSlow,
    /// The upstream was asked and failed.
    UpstreamFailed,
    /// The home folder cannot be written, so neither could the call be booked nor its answer be kept.
    CannotStore,
}

impl GuardError {
    /// Search calls made and (perhaps) billed before giving up.
    #[must_use]
    pub fn calls(&self) -> u32 {
        match self {
            Self::Upstream { calls, .. } | Self::Ledger { calls, .. } => *calls,
            Self::BudgetSpent { .. } | Self::TooSlow { .. } | Self::BreakerOpen { .. } => 0,
        }
    }

    /// Why nothing came of it, if that passes; `None` for what only a person can mend, and for what lies in the
    /// picture or the parameters.
    #[must_use]
    pub fn why_not(&self) -> Option<WhyNot> {
        use UpstreamErrorKind::{Quota, Rate, Transient, Unreachable};
        match self {
            Self::BudgetSpent { .. } => Some(WhyNot::BudgetSpent),
            Self::TooSlow { .. } => Some(WhyNot::TooSlow),
            Self::BreakerOpen { error, .. } if error.kind == Quota => Some(WhyNot::QuotaSpent),
            Self::BreakerOpen { .. } => Some(WhyNot::BreakerOpen),
            Self::Upstream { error, .. } => match error.kind {
                Quota => Some(WhyNot::QuotaSpent),
                Rate | Transient | Unreachable => Some(WhyNot::UpstreamFailed),
                _ => None,
            },
            Self::Ledger { .. } => Some(WhyNot::CannotStore),
        }
    }

    /// When it is worth asking again, where that is known.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::BudgetSpent { resets_at, .. } => Some(*resets_at),
            Self::BreakerOpen { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether another upstream may be asked in this one's place: this one is not going to bill the search.
    #[must_use]
    pub fn leaves_room_for_another(&self) -> bool {
        match self {
            Self::Upstream { error, calls } => {
                let is_elsewhere = error.code == super::NO_ADDRESS
                    || matches!(error.kind, UpstreamErrorKind::Quota | UpstreamErrorKind::Unreachable);
                *calls == 0 && is_elsewhere
            }
            Self::BudgetSpent { .. } | Self::BreakerOpen { .. } => true,
            Self::TooSlow { .. } | Self::Ledger { .. } => false,
        }
    }
}

/// Stands before one upstream. Shared between threads; one per profile and process.
pub struct Guard {
    upstream: Arc<dyn Upstream>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    policy: GuardPolicy,
    /// Held by the one who waits for the next start, so that at most one booking of this process is ahead of
    /// time.
    turn: Mutex<()>,
    mood: Mutex<Mood>,
    in_line: AtomicU32,
}

/// What the last answers have taught this process. What all of them must know is in the ledger ([`Breaker`]).
struct Mood {
    /// No call starts earlier: the pace, or a pause that the upstream has asked for.
    not_before: Timestamp,
    /// Until then this error, which only a person can mend, is everybody's answer. Not in the ledger: once it is mended,
    /// the next process must not hear of it.
    broken: Option<(Timestamp, UpstreamError)>,
}

impl Guard {
    #[must_use]
    pub fn new(
        upstream: Arc<dyn Upstream>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        policy: GuardPolicy,
    ) -> Self {
        let not_before = Timestamp::from_unix_ms(i64::MIN);
        let mood = Mutex::new(Mood { not_before, broken: None });
        Self { upstream, ledger, clock, policy, turn: Mutex::new(()), mood, in_line: AtomicU32::new(0) }
    }

    #[must_use]
    pub fn profile(&self) -> &'static str {
        self.upstream.profile()
    }

    #[must_use]
    pub fn upload_limits(&self) -> UploadLimits {
        self.upstream.upload_limits()
    }

    /// Offers a page at the most.
    #[must_use]
    pub fn max_page_size(&self) -> u32 {
        self.upstream.max_page_size()
    }

    #[must_use]
    pub fn policy(&self) -> &GuardPolicy {
        &self.policy
    }

    /// Proves address and credentials; not a search, so neither booked nor repeated.
    ///
    /// # Errors
    /// The upstream's own.
    pub fn check(&self) -> Result<(), UpstreamError> {
        self.upstream.check()
    }

    /// Asks the upstream when budget and pace allow it, and again after failures that may pass. Blocks while
    /// it waits: up to `max_wait` for each turn and `max_backoff` between attempts.
    ///
    /// # Errors
    /// [`GuardError`]. Once an attempt has failed, its error is what is reported, also when the budget or the
    /// line allows no further one.
    pub fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<Asked, GuardError> {
        let call = || self.upstream.search(picture, params);
        let (page, Cost { calls, unsettled }) =
            self.ask(Question::Search, &call, &|page: &UpstreamPage| page.provider_count)?;
        Ok(Asked { page, calls, unsettled })
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
    pub fn details(&self, offer_id: &OfferId) -> Result<AskedDetail, GuardError> {
        let call = || self.upstream.details(offer_id);
        let (detail, Cost { calls, unsettled }) = self.ask(Question::Details, &call, &|_| None)?;
        Ok(AskedDetail { detail, calls, unsettled })
    }

    /// Makes `call` when it may be made, and again; `count` finds the provider's own count in an answer.
    fn ask<T>(
        &self,
        question: Question,
        call: &dyn Fn() -> Result<T, UpstreamError>,
        count: &dyn Fn(&T) -> Option<ProviderCount>,
    ) -> Result<(T, Cost), GuardError> {
        let mut cost = Cost::default();
        let mut failed: Option<UpstreamError> = None;
        let mut attempt = 0;
        self.refuse_if_broken()?;
        loop {
            attempt += 1;
            let error = match self.attempt(call, count, &mut cost) {
                Ok(answer) => {
                    // An answer that has been paid for is not thrown away because of the account.
                    cost.unsettled += u32::from(self.ledger.recovered(self.profile()).is_err());
                    return Ok((answer, cost));
                }
                Err(GuardError::Upstream { error, .. }) => error,
                Err(GuardError::Ledger { profile, error, .. }) => {
                    return Err(GuardError::Ledger { profile, error, calls: cost.calls });
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
            self.learn(question, &error, next);
            match next {
                NextStep::Stop => return Err(GuardError::Upstream { error, calls: cost.calls }),
                // This pause is everybody's and is waited out in line.
                NextStep::RetryAfter(_) if error.kind == UpstreamErrorKind::Rate => {}
                NextStep::RetryAfter(pause) => self.clock.sleep(pause),
            }
            failed = Some(error);
        }
    }

    /// One attempt in its turn; `cost` gets what it cost.
    fn attempt<T>(
        &self,
        call: &dyn Fn() -> Result<T, UpstreamError>,
        count: &dyn Fn(&T) -> Option<ProviderCount>,
        cost: &mut Cost,
    ) -> Result<T, GuardError> {
        let failed = |error, calls| GuardError::Upstream { error, calls };
        // Before the turn: a token that is fetched between turn and search would spoil the pace.
        self.upstream.make_ready().map_err(|error| failed(error, 0))?;
        let reservation = self.take_turn()?;
        let answer = call();
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
                let _ = self.ledger.close(self.profile(), until, error);
            }
            (UpstreamErrorKind::Rate, NextStep::RetryAfter(pause)) => self.hold_back(now, pause),
            (UpstreamErrorKind::Rate, NextStep::Stop) => {
                self.hold_back(now, error.retry_after.unwrap_or(self.policy.first_backoff));
            }
            (UpstreamErrorKind::Transient | UpstreamErrorKind::Unreachable, NextStep::Stop) => {
                let failures = self.ledger.note_failure(self.profile()).unwrap_or(0);
                if let Some(extra) = failures.checked_sub(self.policy.breaker_failures.max(1)) {
                    let pause = self.policy.breaker_pause.saturating_mul(1 << extra.min(16));
                    let until = now.plus(pause.min(MAX_BREAKER_PAUSE));
                    let _ = self.ledger.close(self.profile(), until, error);
                }
            }
            // An app that may search need not be allowed to ask about offers.
            (UpstreamErrorKind::Acl | UpstreamErrorKind::Unsupported, _) if question == Question::Details => {
            }
            (kind, NextStep::Stop) if kind.needs_a_person() => {
                self.mood().broken = Some((now.plus(FATAL_PAUSE), error.clone()));
            }
            _ => {}
        }
    }

    fn refuse_if_broken(&self) -> Result<(), GuardError> {
        match &self.mood().broken {
            Some((until, error)) if self.clock.now() < *until => {
                Err(GuardError::Upstream { error: error.clone(), calls: 0 })
            }
            _ => Ok(()),
        }
    }

    /// A search after the pause is a trial: if it fails, the next pause is longer.
    fn refuse_if_closed(&self) -> Result<(), GuardError> {
        match self.breaker()? {
            Some(Breaker { until, error }) if self.clock.now() < until => {
                Err(GuardError::BreakerOpen { error, until })
            }
            _ => Ok(()),
        }
    }

    /// The last trouble that all processes heard of, also one that is over.
    ///
    /// # Errors
    /// [`GuardError::Ledger`].
    pub fn breaker(&self) -> Result<Option<Breaker>, GuardError> {
        self.ledger.breaker(self.profile()).map_err(|error| self.ledger_fault(error))
    }

    /// Nobody starts for `pause` from `now`.
    fn hold_back(&self, now: Timestamp, pause: Duration) {
        let mut mood = self.mood();
        mood.not_before = mood.not_before.max(now.plus(pause.min(MAX_PAUSE)));
    }

    /// Waits until this thread may call, with the call booked.
    fn take_turn(&self) -> Result<Reservation, GuardError> {
        let place = Place::take(&self.in_line);
        let paused = self.clock.now().until(self.mood().not_before);
        self.allow(paused.saturating_add(self.policy.min_interval.saturating_mul(place.ahead)))?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..MAX_SPOILT_TURNS {
            self.refuse_if_closed()?;
            let not_before = self.mood().not_before;
            self.wait_until(not_before)?;
            let now = self.clock.now();
            let day = QuotaDay::of(now);
            let reservation = self.book(day, now)?;
            if let Err(too_slow) = self.wait_until(reservation.start_at) {
                self.give_back(reservation)?;
                return Err(too_slow);
            }
            // While this thread waited, midnight may have passed (the call would count for the wrong day), or
            // another thread's call may have been told that it was too fast, or that nothing is left.
            let start = self.clock.now();
            let closed = self.refuse_if_closed();
            let mut mood = self.mood();
            if QuotaDay::of(start) == day && mood.not_before <= start && closed.is_ok() {
                mood.not_before = start.plus(self.policy.min_interval);
                return Ok(reservation);
            }
            drop(mood);
            self.give_back(reservation)?;
        }
        Err(self.too_slow(self.policy.max_wait))
    }

    fn book(&self, day: QuotaDay, now: Timestamp) -> Result<Reservation, GuardError> {
        let budget = self.policy.daily_budget;
        let profile = self.profile();
        let booking = Booking { profile, day, budget, now, min_interval: self.policy.min_interval };
        self.ledger.reserve(&booking).map_err(|error| match error {
            LedgerError::BudgetSpent { used } => {
                GuardError::BudgetSpent { profile, used, budget, resets_at: day.resets_at() }
            }
            error @ LedgerError::Storage { .. } => self.ledger_fault(error),
        })
    }

    fn give_back(&self, reservation: Reservation) -> Result<(), GuardError> {
        self.ledger.settle(reservation.id, CallOutcome::Refunded).map_err(|error| self.ledger_fault(error))
    }

    fn wait_until(&self, moment: Timestamp) -> Result<(), GuardError> {
        self.allow(self.clock.now().until(moment))?;
        // A sleep may end early, and another thread may move a manual clock.
        loop {
            let rest = self.clock.now().until(moment);
            if rest.is_zero() {
                return Ok(());
            }
            self.clock.sleep(rest);
        }
    }

    fn allow(&self, wait: Duration) -> Result<(), GuardError> {
        if wait > self.policy.max_wait { Err(self.too_slow(wait)) } else { Ok(()) }
    }

    fn too_slow(&self, wait: Duration) -> GuardError {
        GuardError::TooSlow { profile: self.profile(), wait, max_wait: self.policy.max_wait }
    }

    fn ledger_fault(&self, error: LedgerError) -> GuardError {
        GuardError::Ledger { profile: self.profile(), error, calls: 0 }
    }

    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
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
