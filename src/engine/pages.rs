//! Answers of several pages.

use std::collections::HashSet;

use super::picture::Picture;
use super::{Answer, Engine, EngineError, Inspection, Mode, Outcome, Query, Refine, Source};
use crate::offer::OfferId;
use crate::question::SearchParams;

/// More pages are never asked for: 1688 shows no more, and each costs a call.
pub const MAX_PAGES: u32 = 100;

impl Engine {
    /// As [`Engine::search`], over up to `max_pages` pages from the query's page on, until the last one. Every page
    /// is an answer of its own: what is stored of them costs nothing. The verdict is a hit only if all pages were
    /// known. Offers that come twice are kept once; a page that brings no new one is the last, whatever the upstream
    /// says of their number: some answer every page with the first. When a later page cannot be had, the answer holds
    /// those before it, and [`Answer::unanswered`] says why.
    ///
    /// # Errors
    /// Those of [`Engine::search`] for the first page; a later one's failure is a warning.
    pub fn search_pages(&self, query: &Query<'_>, max_pages: u32) -> Result<Answer, EngineError> {
        self.pages_within(&Picture::new(self, query.bytes), query, max_pages, &mut CallsLeft(None))
    }

    /// As [`Engine::search_pages`], of the query's picture; once no calls are left, with what is stored.
    pub(super) fn pages_within(
        &self,
        picture: &Picture<'_>,
        query: &Query<'_>,
        max_pages: u32,
        left: &mut CallsLeft,
    ) -> Result<Answer, EngineError> {
        if max_pages <= 1 {
            return left.spend(self.inspect_picture(&left.limit(query), picture));
        }
        let mut known = HashSet::new();
        let mut all = self.page(picture, query, query.params.page, left)?;
        let mut is_last = self.is_last(&all, query.params.page, &query.params);
        take_new(query, &mut all, &mut known);
        for page in (query.params.page..).skip(1).take(max_pages.min(MAX_PAGES) as usize - 1) {
            if is_last || all.unanswered.is_some() {
                break;
            }
            let mut next = match self.page(picture, query, page, left) {
                Ok(answered) => answered,
                Err(error) => {
                    all.upstream_calls += error.calls();
                    all.warnings.push(format!("page {page} and those after it are missing: {error}"));
                    break;
                }
            };
            is_last = self.is_last(&next, page, &query.params);
            all.upstream_calls += next.upstream_calls;
            all.timings_ms.total += next.timings_ms.total;
            for warning in std::mem::take(&mut next.warnings) {
                // What is said of the page before is said of this one.
                if !all.warnings.iter().any(|said| said.ends_with(&warning)) {
                    all.warnings.push(format!("page {page}: {warning}"));
                }
            }
            all.unanswered = next.unanswered.take();
            all.unstored = all.unstored.or(next.unstored.take());
            all.stale |= next.stale;
            all.as_of = all.as_of.into_iter().chain(next.as_of).min();
            if all.unanswered.is_some() {
                break;
            }
            if next.verdict != Outcome::Hit {
                all.verdict = Outcome::Miss;
            }
            if next.source == Source::Upstream {
                all.source = Source::Upstream;
            }
            all.fetched_at = all.fetched_at.min(next.fetched_at);
            if take_new(query, &mut next, &mut known) == 0 && !is_last {
                is_last = true;
                all.warnings.push(format!("page {page} brings no new offer, so none after it is asked for"));
            }
            all.filtered_out += next.filtered_out;
            all.offers.append(&mut next.offers);
        }
        Ok(all)
    }

    /// One page with all its offers, wanted or not: whether it brings new ones is another question.
    fn page(
        &self,
        picture: &Picture<'_>,
        query: &Query<'_>,
        page: u32,
        left: &mut CallsLeft,
    ) -> Result<Answer, EngineError> {
        let params = SearchParams { page, ..query.params.clone() };
        let query = Query { params, refine: Refine::default(), ..left.limit(query) };
        left.spend(self.inspect_picture(&query, picture))
    }

    /// Whether no page follows this one, by what the upstream says or by how full it is. A few rows of a page may have
    /// been left out, so where the number of offers is known, only a page that is half empty is the last before that
    /// number is reached.
    fn is_last(&self, answer: &Answer, page: u32, params: &SearchParams) -> bool {
        let smallest = self.upstreams.iter().map(|upstream| upstream.guard.max_page_size()).min();
        // A query for larger pages gets pages of this size.
        let page_size = u64::from(params.page_size.min(smallest.unwrap_or(u32::MAX)));
        let offers = answer.offers.len() as u64;
        match answer.total_offers {
            Some(total) => total <= u64::from(page) * page_size || offers * 2 < page_size,
            None => offers < page_size,
        }
    }
}

/// Calls that may still be made; `None`: as many as the budgets allow.
pub(super) struct CallsLeft(pub(super) Option<u32>);

impl CallsLeft {
    /// The query, as far as it may still be asked.
    fn limit<'q>(&self, query: &Query<'q>) -> Query<'q> {
        let query = query.clone();
        match self.0 {
            None => query,
            Some(0) => query.mode(Mode::LocalOnly),
            Some(left) => Query { interrupt: query.interrupt.clone().max_calls(left), ..query },
        }
    }

    fn spend(&mut self, searched: Result<Inspection, EngineError>) -> Result<Answer, EngineError> {
        let searched = searched.map(|inspection| inspection.answer);
        let calls = match &searched {
            Ok(answer) => answer.upstream_calls,
            Err(error) => error.calls(),
        };
        self.0 = self.0.map(|left| left.saturating_sub(calls));
        searched
    }
}

/// Leaves the offers that are new and wanted; how many are new.
fn take_new(query: &Query<'_>, answer: &mut Answer, known: &mut HashSet<OfferId>) -> usize {
    answer.offers.retain(|offer| known.insert(offer.offer_id.clone()));
    let new = answer.offers.len();
    answer.filtered_out = query.refine.apply(&mut answer.offers);
    new
}
