//! What a sheet asks for, within what it may cost.

use anyhow::Result;

use crate::cancel::Interrupt;
use crate::cli::advice;
use crate::cli::output::{complain, complain_about};
use crate::cli::picture::Pictures;
use crate::engine::{Answer, Breadth, Engine, EngineError, Mode, Outcome, Query};
use crate::input::PictureSource;
use crate::offer::{OfferDetail, OfferId};
use crate::upstream::SearchParams;

/// For programs, as reasons are that an engine gives.
pub(super) const INTERRUPTED: &str = "interrupted";

/// Asks about open pictures while it may.
pub(super) struct Asker<'a> {
    pub(super) engine: &'a Engine,
    pub(super) pictures: &'a Pictures,
    /// What is asked beside each picture.
    pub(super) params: SearchParams,
    pub(super) breadth: Breadth,
    /// Calls that may still be made.
    pub(super) left: u32,
    /// What bounds them.
    pub(super) limit: &'static str,
    /// Why nothing is asked any more.
    pub(super) over: Option<String>,
    /// Why details were not told.
    pub(super) why_no_details: Option<String>,
}

impl Asker<'_> {
    /// What is told of an offer's page, if that may be asked for.
    pub(super) fn details(&mut self, offer_id: &OfferId, interrupt: &Interrupt) -> Option<OfferDetail> {
        self.heed(interrupt);
        let may_ask = self.left > 0 && self.over.is_none();
        let mode = if may_ask { Mode::Default } else { Mode::LocalOnly };
        match self.engine.details_unless(&interrupt.clone().max_calls(self.left), offer_id, mode) {
            Ok(details) => {
                self.left = self.left.saturating_sub(details.upstream_calls);
                if let Some(unanswered) = &details.unanswered {
                    let why = if may_ask { unanswered.message.clone() } else { self.why_not() };
                    self.why_no_details.get_or_insert(why);
                }
                details.detail
            }
            Err(error) => {
                self.left = self.left.saturating_sub(error.calls());
                self.why_no_details.get_or_insert_with(|| advice::explained(&error));
                if advice::needs_a_person(&error) {
                    self.over = advice::code_of(&error).map(ToOwned::to_owned);
                }
                None
            }
        }
    }

    /// The answer, or what is known, and what it waits for.
    pub(super) fn ask(
        &mut self,
        source: &PictureSource,
        mut known: Answer,
        interrupt: &Interrupt,
    ) -> (Answer, Option<String>) {
        self.heed(interrupt);
        // An equal or edited copy may have been asked about since, which costs nothing to find out.
        let mode = if self.left == 0 || self.over.is_some() { Mode::LocalOnly } else { Mode::Default };
        match self.search(source, mode, interrupt) {
            Ok(answer) => {
                self.left = self.left.saturating_sub(answer.upstream_calls);
                for warning in &answer.warnings {
                    complain_about(source.name(), warning);
                }
                let waits_for = if mode == Mode::LocalOnly {
                    (answer.verdict != Outcome::Hit).then(|| self.why_not())
                } else if let Some(unanswered) = &answer.unanswered {
                    let reason = serde_json::to_value(unanswered.reason).unwrap_or_default();
                    let reason = reason.as_str().map(ToOwned::to_owned);
                    // The others hold for all: budget, quota, a breaker that is open.
                    if !advice::is_of_one_picture(unanswered.reason) {
                        self.over.clone_from(&reason);
                    }
                    reason
                } else {
                    None
                };
                (answer, waits_for)
            }
            Err(error) => {
                if let Some(error) = error.downcast_ref::<EngineError>() {
                    known.upstream_calls = error.calls();
                    self.left = self.left.saturating_sub(error.calls());
                    if advice::needs_a_person(error) {
                        // All others would fail in the same way.
                        self.over = advice::code_of(error).map(ToOwned::to_owned);
                        complain(format_args!("nothing more is asked: {}", advice::explained(error)));
                    }
                }
                (known, Some(advice::explained(error.as_ref())))
            }
        }
    }

    /// Once it was interrupted, nothing is asked any more.
    fn heed(&mut self, interrupt: &Interrupt) {
        if interrupt.check().is_err() {
            self.over = Some(INTERRUPTED.to_owned());
        }
    }

    /// Why nothing may be asked.
    fn why_not(&self) -> String {
        self.over.clone().unwrap_or_else(|| self.limit.to_owned())
    }

    fn search(&self, source: &PictureSource, mode: Mode, interrupt: &Interrupt) -> Result<Answer> {
        let picture = self.pictures.read(source)?;
        let mut query = Query::new(&picture.bytes, &picture.label)
            .source_url(picture.source_url.as_deref())
            .params(self.params.clone())
            .mode(mode);
        query.interrupt = interrupt.clone();
        Ok(self.engine.search_widely(&query, self.breadth.max_calls(self.left))?)
    }
}
