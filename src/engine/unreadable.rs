//! Questions whose answers could not be read lately: they are not paid for again.

use super::miss::remembered;
use super::{ConfiguredUpstream, Engine, EngineError, Mode};
use crate::store::UnreadableAnswer;
use crate::upstream::UpstreamErrorKind;
use crate::upstream::guard::GuardError;

impl Engine {
    /// Makes `ask` unless the same question had an answer that cannot be read a short while ago, and remembers it if it
    /// has one now. `question` is the same for equal questions only.
    pub(super) fn ask_if_readable<T>(
        &self,
        upstream: &ConfiguredUpstream,
        question: String,
        mode: Mode,
        ask: impl FnOnce() -> Result<T, GuardError>,
    ) -> Result<T, EngineError> {
        let (profile, now) = (upstream.guard.profile(), self.clock.now());
        if mode == Mode::Default {
            let ttl = upstream.cache_policy.unreadable_ttl;
            // One from the future was answered before the clock was set back; how long ago is not known.
            let known = self.store.unreadable_answer(profile, &question, now.minus(ttl), now.plus(ttl))?;
            if let Some(known) = known {
                let message = format!("{} (remembered from {})", known.message, known.answered_at);
                return Err(remembered(profile, UpstreamErrorKind::Unreadable, known.code, message));
            }
        }
        let result = ask();
        if let Err(GuardError::Upstream { error, .. }) = &result
            && error.kind == UpstreamErrorKind::Unreadable
        {
            let answer = UnreadableAnswer {
                profile: profile.to_owned(),
                question,
                code: error.code.clone(),
                message: error.message.clone(),
                answered_at: self.clock.now(),
            };
            // What is wrong with the answer matters more than that it could not be written down.
            if let Err(trouble) = self.store.remember_unreadable(&answer) {
                self.progress
                    .note(&format!("an answer that cannot be read could not be remembered: {trouble}"));
            }
        }
        Ok(result?)
    }
}
