//! What a sheet asks for, within what it may cost.

use anyhow::Result;

use crate::cancel::Interrupt;
use crate::cli::advice;
use crate::cli::output::complain_about;
use crate::cli::picture::Pictures;
use crate::engine::{Answer, Breadth, Engine, Mode, Outcome, Query};
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
        let may_ask = self.left > 0 && self.over.is_none() && interrupt.check().is_ok();
        let mode = if may_ask { Mode::Default } else { Mode::LocalOnly };
        match self.engine.details_unless(interrupt, offer_id, mode) {
            Ok(details) => {
                self.left = self.left.saturating_sub(details.upstream_calls);
                if let Some(unanswered) = &details.unanswered {
                    let why = if may_ask { unanswered.message.clone() } else { self.limit.to_owned() };
                    self.why_no_details.get_or_insert(why);
                }
                details.detail
            }
            Err(error) => {
                self.left = self.left.saturating_sub(error.calls());
                self.why_no_details.get_or_insert_with(|| advice::explained(&error));
                None
            }
        }
    }

    /// The answer, or what is known, and what it waits for.
    pub(super) fn ask(
        &mut self,
        source: &PictureSource,
        known: Answer,
        interrupt: &Interrupt,
    ) -> (Answer, Option<String>) {
        if interrupt.check().is_err() {
            self.over = Some(INTERRUPTED.to_owned());
        }
        // An equal or edited copy may have been asked about since, which costs nothing to find out.
        let mode = if self.left == 0 || self.over.is_some() { Mode::LocalOnly } else { Mode::Default };
        match self.search(source, mode, interrupt) {
            Ok(answer) => {
                self.left = self.left.saturating_sub(answer.upstream_calls);
                for warning in &answer.warnings {
                    complain_about(source.name(), warning);
                }
                let waits_for = if mode == Mode::LocalOnly {
                    let limit = || self.over.clone().unwrap_or_else(|| self.limit.to_owned());
                    (answer.verdict != Outcome::Hit).then(limit)
                } else if let Some(unanswered) = &answer.unanswered {
                    // What holds for one holds for all: budget, quota, a breaker that is open.
                    let reason = serde_json::to_value(unanswered.reason).unwrap_or_default();
                    self.over = reason.as_str().map(ToOwned::to_owned);
                    self.over.clone()
                } else {
                    None
                };
                (answer, waits_for)
            }
            Err(error) => (known, Some(advice::explained(error.as_ref()))),
        }
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
