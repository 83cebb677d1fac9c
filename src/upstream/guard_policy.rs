//! How much may be spent, how fast, and what follows a failure: figures without I/O.

use std::time::Duration;

use super::UpstreamError;

/// An upstream that keeps failing is tried again at least this often.
pub const MAX_BREAKER_PAUSE: Duration = Duration::from_mins(10);

/// How much may be spent, and how fast: the default, and what setters change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// After so many searches in a row that failed with all their attempts, the breaker opens.
    pub breaker_failures: u32,
    /// How long the breaker stays open; doubled, up to [`MAX_BREAKER_PAUSE`], when the next search fails too.
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
    /// No further attempt.
    Stop,
    /// One more, after this pause.
    RetryAfter(Duration),
}

impl GuardPolicy {
    /// Search calls per day of China standard time; 0 forbids all.
    #[must_use]
    pub fn daily_budget(self, daily_budget: u32) -> Self {
        Self { daily_budget, ..self }
    }

    /// Between the starts of two calls.
    #[must_use]
    pub fn min_interval(self, min_interval: Duration) -> Self {
        Self { min_interval, ..self }
    }

    /// Attempts for one search, the first one included.
    #[must_use]
    pub fn max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts, ..self }
    }

    /// The pause before the second attempt; doubled for each later one.
    #[must_use]
    pub fn first_backoff(self, first_backoff: Duration) -> Self {
        Self { first_backoff, ..self }
    }

    /// The longest pause between two attempts.
    #[must_use]
    pub fn max_backoff(self, max_backoff: Duration) -> Self {
        Self { max_backoff, ..self }
    }

    /// The longest wait for a turn.
    #[must_use]
    pub fn max_wait(self, max_wait: Duration) -> Self {
        Self { max_wait, ..self }
    }

    /// Searches in a row that fail before the breaker opens.
    #[must_use]
    pub fn breaker_failures(self, breaker_failures: u32) -> Self {
        Self { breaker_failures, ..self }
    }

    /// How long the breaker stays open; doubled while searches go on failing.
    #[must_use]
    pub fn breaker_pause(self, breaker_pause: Duration) -> Self {
        Self { breaker_pause, ..self }
    }

    /// What follows the failure of attempt number `attempt` (from 1). Pure: `salt` stands for chance and
    /// shortens the pause by up to a quarter, so that several processes do not come back at the same moment.
    /// A pause that the upstream asks for is never shortened.
    #[must_use]
    pub fn next_step(&self, error: &UpstreamError, attempt: u32, salt: u64) -> NextStep {
        let asked = error.retry_after.unwrap_or_default();
        if !error.is_worth_retrying() || attempt >= self.max_attempts || asked > self.max_backoff {
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
