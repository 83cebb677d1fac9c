//! Who may ask now? Tokens, pace and quota, and the count of what was asked.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::options::{Counters, SandboxOptions};
use crate::clock::Timestamp;
use crate::dialect::Refusal;
use crate::upstream::QuotaDay;

/// Tokens kept at the most; the one that ends first makes room. No more codes are kept either.
const MAX_TOKENS: usize = 1024;
/// As documented.
const CODE_LIFE: Duration = Duration::from_mins(2);

#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counters: Counters,
    tokens: HashMap<String, Timestamp>,
    /// Codes not yet changed into tokens: where each leads to, and when it ends.
    codes: HashMap<String, (String, Timestamp)>,
    issued: u64,
    last_search: Option<Timestamp>,
    day: Option<QuotaDay>,
    used_today: u32,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> Counters {
        self.state().counters
    }

    pub(super) fn count_image(&self) {
        self.state().counters.image_fetches += 1;
    }

    pub(super) fn count_refused(&self) {
        self.state().counters.searches_refused += 1;
    }

    pub(super) fn count_fault(&self) {
        self.state().counters.faults_injected += 1;
    }

    pub(super) fn count_token_request(&self) {
        self.state().counters.token_requests += 1;
    }

    pub(super) fn expire_tokens(&self) {
        self.state().tokens.clear();
    }

    pub(super) fn issue_token(&self, options: &SandboxOptions) -> String {
        let mut state = self.state();
        if state.tokens.len() >= MAX_TOKENS
            && let Some(oldest) = state.tokens.iter().min_by_key(|(_, ends)| **ends).map(|(t, _)| t.clone())
        {
            state.tokens.remove(&oldest);
        }
        state.issued += 1;
        let token = format!("sandbox-token-{}-{}", options.seed, state.issued);
        let ends = options.clock.now().plus(Duration::from_secs(options.token_ttl_secs));
        state.tokens.insert(token.clone(), ends);
        token
    }

    /// A code that is good once, for two minutes, and only for this redirect address.
    pub(super) fn issue_code(&self, options: &SandboxOptions, redirect_uri: &str) -> String {
        let now = options.clock.now();
        let mut state = self.state();
        state.codes.retain(|_, (_, ends)| now < *ends);
        state.issued += 1;
        let code = format!("sandbox-code-{}-{}", options.seed, state.issued);
        if state.codes.len() < MAX_TOKENS {
            state.codes.insert(code.clone(), (redirect_uri.to_owned(), now.plus(CODE_LIFE)));
        }
        code
    }

    /// Whether the code was good; it is not any more.
    pub(super) fn take_code(&self, options: &SandboxOptions, code: &str, redirect_uri: &str) -> bool {
        let taken = self.state().codes.remove(code);
        taken.is_some_and(|(uri, ends)| uri == redirect_uri && options.clock.now() < ends)
    }

    /// Whether the token is good and the app may search at all.
    pub(super) fn check(&self, options: &SandboxOptions, token: Option<&str>) -> Result<(), Refusal> {
        let now = options.clock.now();
        let state = self.state();
        let good = token.and_then(|token| state.tokens.get(token)).is_some_and(|ends| now < *ends);
        if !good {
            return Err(Refusal::BadToken);
        }
        if options.deny_search { Err(Refusal::NoPermission) } else { Ok(()) }
    }

    /// How many searches the day has seen, and how many it may see.
    pub(super) fn quota(&self, options: &SandboxOptions) -> (u32, u32) {
        let state = self.state();
        let is_today = state.day == Some(QuotaDay::of(options.clock.now()));
        (if is_today { state.used_today } else { 0 }, options.daily_quota)
    }

    /// Takes one call about an offer from the day's quota, if pace and quota allow it.
    pub(super) fn admit_detail(&self, options: &SandboxOptions) -> Result<(), Refusal> {
        let mut state = self.state();
        state.admit(options)?;
        state.counters.details_ok += 1;
        Ok(())
    }

    /// Takes one search from the day's quota, if pace and quota allow it.
    pub(super) fn admit(&self, options: &SandboxOptions) -> Result<(), Refusal> {
        let mut state = self.state();
        state.admit(options)?;
        state.counters.searches_ok += 1;
        Ok(())
    }
}

impl State {
    fn admit(&mut self, options: &SandboxOptions) -> Result<(), Refusal> {
        let now = options.clock.now();
        let today = QuotaDay::of(now);
        if self.day != Some(today) {
            self.day = Some(today);
            self.used_today = 0;
        }
        if self.used_today >= options.daily_quota {
            return Err(Refusal::QuotaSpent);
        }
        let interval = Duration::from_millis(options.min_interval_ms);
        if self.last_search.is_some_and(|last| now < last.plus(interval)) {
            return Err(Refusal::TooFast);
        }
        self.last_search = Some(now);
        self.used_today += 1;
        Ok(())
    }
}
