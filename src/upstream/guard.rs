//! May we ask now? Money and time in front of one upstream: budget, pace and retries.
//!
//! Every attempt is booked in the [`Ledger`] *before* it is made and settled after it, so a crash in between
//! costs at most one call of the budget and never exceeds it. All waiting goes through the [`Clock`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::{
    ProviderCount, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind,
    UpstreamPage,
};
use crate::clock::{Clock, Timestamp};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// China standard time is 8 h ahead of UTC, without summer time.
const CHINA_OFFSET_MS: i64 = 8 * 3600 * 1000;
/// The longest pause that an upstream's wish imposes on everybody; a wrong header must not stop a server for
/// days.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// An upstream that keeps failing is tried again at least this often.
pub const MAX_BREAKER_PAUSE: Duration = Duration::from_mins(10);
/// How long a refusal that only a person can mend (credentials, permission, address) answers for all.
const FATAL_PAUSE: Duration = Duration::from_mins(1);
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

/// A day of China standard time (UTC+8), by which the platform counts calls. Written as `2026-11-24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaDay(i64);

impl QuotaDay {
    /// The day that `moment` falls on.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        Self(moment.unix_ms().saturating_add(CHINA_OFFSET_MS).div_euclid(DAY_MS))
    }

    /// When the next day begins and the count starts anew.
    #[must_use]
    pub fn resets_at(self) -> Timestamp {
        Timestamp::from_unix_ms((self.0.saturating_add(1)).saturating_mul(DAY_MS) - CHINA_OFFSET_MS)
    }
}

impl fmt::Display for QuotaDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.0.saturating_mul(DAY_MS / 1000)) {
            Ok(day) => write!(f, "{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day()),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl Serialize for QuotaDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One call that somebody wants to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    pub profile: &'static str,
    pub day: QuotaDay,
    /// Calls that `day` may hold.
    pub budget: u32,
    pub now: Timestamp,
    /// Between the starts of two calls of `profile`.
    pub min_interval: Duration,
}

/// A booked call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub id: i64,
    /// The call may start at this moment and not before; never before the booking's `now`.
    pub start_at: Timestamp,
}

/// How a booked call ended for the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The upstream counts the call, or may do so.
    Billed,
    /// The upstream does not count it: the budget gets it back.
    Refunded,
}

/// Why a ledger books nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// `used` calls are booked for the day, which is the whole budget.
    #[error("the day's budget is spent: {used} calls are booked")]
    BudgetSpent { used: u32 },
    /// The storage fails; `message` says how and what to do.
    #[error("the ledger of upstream calls cannot be read or written: {message}")]
    Storage { message: String },
}

/// The account of calls, shared by every process on one data directory.
pub trait Ledger: Send + Sync {
    /// Books one call before it is made, atomically over all processes. The moment to start is the booking's
    /// `now` or `min_interval` after the start of the profile's last booking, whichever is later; a refunded
    /// booking still counts for the pace, because its request was sent, but not for the budget.
    ///
    /// # Errors
    /// [`LedgerError::BudgetSpent`] when `budget` calls of `day` are booked and not refunded;
    /// [`LedgerError::Storage`] when the account cannot be read or written.
    fn reserve(&self, booking: &Booking) -> Result<Reservation, LedgerError>;

    /// Ends a booking. One that is never settled counts as billed.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    fn settle(&self, reservation: i64, outcome: CallOutcome) -> Result<(), LedgerError>;

    /// Takes the provider's own count into account, settled calls of ours included: what it has counted beyond ours
    /// was spent by somebody else and is not there for us, and its limit holds beside the budget.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    fn reconcile(&self, profile: &str, day: QuotaDay, count: ProviderCount) -> Result<(), LedgerError>;
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
    #[error("{error}; it failed too often, so nobody is asked until {until}")]
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
            Self::BreakerOpen { .. } => Some(WhyNot::BreakerOpen),
            Self::Upstream { error, .. } => match error.kind {
                Quota => Some(WhyNot::QuotaSpent),
                Rate | Transient | Unreachable => Some(WhyNot::UpstreamFailed),
                _ => None,
            },
            Self::Ledger { .. } => None,
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

/// What the last answers have taught.
struct Mood {
    /// No call starts earlier: the pace, or a pause that the upstream has asked for.
    not_before: Timestamp,
    /// The upstream has said that nothing is left for this day. Asking on would be refused picture by
    /// picture.
    spent: Option<(QuotaDay, UpstreamError)>,
    /// Searches in a row that failed with all their attempts.
    failures: u32,
    /// Until then this error is everybody's answer.
    closed: Option<(Timestamp, UpstreamError)>,
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
        let mood = Mutex::new(Mood { not_before, spent: None, failures: 0, closed: None });
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
        let mut asked = Asked { page: UpstreamPage::default(), calls: 0, unsettled: 0 };
        let mut failed: Option<UpstreamError> = None;
        let mut attempt = 0;
        self.refuse_if_closed()?;
        loop {
            attempt += 1;
            let error = match self.attempt(picture, params, &mut asked) {
                Ok(page) => {
                    self.mood().failures = 0;
                    return Ok(Asked { page, ..asked });
                }
                Err(GuardError::Upstream { error, .. }) => error,
                Err(GuardError::Ledger { profile, error, .. }) => {
                    return Err(GuardError::Ledger { profile, error, calls: asked.calls });
                }
                Err(refusal) => {
                    return Err(match failed {
                        Some(error) => GuardError::Upstream { error, calls: asked.calls },
                        None => refusal,
                    });
                }
            };
            let salt = self.clock.now().unix_ms().unsigned_abs();
            let next = self.policy.next_step(&error, attempt, salt);
            self.learn(&error, next);
            match next {
                NextStep::Stop => return Err(GuardError::Upstream { error, calls: asked.calls }),
                // This pause is everybody's and is waited out in line.
                NextStep::RetryAfter(_) if error.kind == UpstreamErrorKind::Rate => {}
                NextStep::RetryAfter(pause) => self.clock.sleep(pause),
            }
            failed = Some(error);
        }
    }

    /// One attempt in its turn; `asked` gets what it cost.
    fn attempt(
        &self,
        picture: &UploadPicture,
        params: &SearchParams,
        asked: &mut Asked,
    ) -> Result<UpstreamPage, GuardError> {
        let failed = |error, calls| GuardError::Upstream { error, calls };
        // Before the turn: a token that is fetched between turn and search would spoil the pace.
        self.upstream.make_ready().map_err(|error| failed(error, 0))?;
        let reservation = self.take_turn()?;
        let answer = self.upstream.search(picture, params);
        let billed = answer.as_ref().map_or_else(UpstreamError::may_be_billed, |_| true);
        let outcome = if billed { CallOutcome::Billed } else { CallOutcome::Refunded };
        asked.calls += u32::from(billed);
        // An answer that has been paid for is not thrown away because of the account.
        asked.unsettled += u32::from(self.ledger.settle(reservation.id, outcome).is_err());
        if let Ok(UpstreamPage { provider_count: Some(count), .. }) = &answer {
            let day = QuotaDay::of(self.clock.now());
            asked.unsettled += u32::from(self.ledger.reconcile(self.profile(), day, *count).is_err());
        }
        answer.map_err(|error| failed(error, asked.calls))
    }

    fn learn(&self, error: &UpstreamError, next: NextStep) {
        let now = self.clock.now();
        match (error.kind, next) {
            (UpstreamErrorKind::Quota, _) => {
                self.mood().spent = Some((QuotaDay::of(now), error.clone()));
            }
            (UpstreamErrorKind::Rate, NextStep::RetryAfter(pause)) => self.hold_back(now, pause),
            (UpstreamErrorKind::Rate, NextStep::Stop) => {
                self.hold_back(now, error.retry_after.unwrap_or(self.policy.first_backoff));
            }
            (UpstreamErrorKind::Transient | UpstreamErrorKind::Unreachable, NextStep::Stop) => {
                let mut mood = self.mood();
                mood.failures = mood.failures.saturating_add(1);
                if let Some(extra) = mood.failures.checked_sub(self.policy.breaker_failures.max(1)) {
                    let pause = self.policy.breaker_pause.saturating_mul(1 << extra.min(16));
                    mood.closed = Some((now.plus(pause.min(MAX_BREAKER_PAUSE)), error.clone()));
                }
            }
            (kind, NextStep::Stop) if kind.needs_a_person() => {
                self.mood().closed = Some((now.plus(FATAL_PAUSE), error.clone()));
            }
            _ => {}
        }
    }

    /// A search after the pause is a trial: if it fails, the next pause is longer.
    fn refuse_if_closed(&self) -> Result<(), GuardError> {
        let mut mood = self.mood();
        let Some((until, error)) = mood.closed.clone() else { return Ok(()) };
        if self.clock.now() >= until {
            mood.closed = None;
            return Ok(());
        }
        Err(if error.kind.needs_a_person() {
            GuardError::Upstream { error, calls: 0 }
        } else {
            GuardError::BreakerOpen { error, until }
        })
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
            self.refuse_if_spent()?;
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
            // another thread's call may have been told that it was too fast.
            let start = self.clock.now();
            let mut mood = self.mood();
            if QuotaDay::of(start) == day && mood.not_before <= start && mood.spent.is_none() {
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

    fn refuse_if_spent(&self) -> Result<(), GuardError> {
        let mut mood = self.mood();
        match &mood.spent {
            Some((day, error)) if *day == QuotaDay::of(self.clock.now()) => {
                Err(GuardError::Upstream { error: error.clone(), calls: 0 })
            }
            _ => {
                mood.spent = None;
                Ok(())
            }
        }
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
