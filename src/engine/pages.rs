//! Answers of several pages.

use std::collections::HashSet;

use super::{Answer, Engine, EngineError, Outcome, Query, Source};
use crate::upstream::SearchParams;

/// More pages are never asked for: 1688 shows no more, and each costs a call.
pub const MAX_PAGES: u32 = 100;

impl Engine {
    /// As [`Engine::search`], over up to `max_pages` pages from the query's page on, until one is not full. Every page
    /// is an answer of its own: what is stored of them costs nothing. The verdict is a hit only if all pages were
    /// known. Offers that come twice are kept once. When a later page cannot be had, the answer holds those before
    /// it, and [`Answer::unanswered`] says why.
    ///
    /// # Errors
    /// Those of [`Engine::search`] for the first page; a later one's failure is a warning.
    pub fn search_pages(&self, query: &Query<'_>, max_pages: u32) -> Result<Answer, EngineError> {
        let (mut all, mut is_last) = self.page(query, query.params.page)?;
        let mut known: HashSet<_> = all.offers.iter().map(|offer| offer.offer_id.clone()).collect();
        for page in (query.params.page..).skip(1).take(max_pages.clamp(1, MAX_PAGES) as usize - 1) {
            if is_last || all.unanswered.is_some() {
                break;
            }
            let next;
            (next, is_last) = match self.page(query, page) {
                Ok(answered) => answered,
                Err(error) => {
                    all.warnings.push(format!("page {page} and those after it are missing: {error}"));
                    break;
                }
            };
            all.upstream_calls += next.upstream_calls;
            all.filtered_out += next.filtered_out;
            all.timings_ms.total += next.timings_ms.total;
            all.warnings.extend(next.warnings.into_iter().map(|warning| format!("page {page}: {warning}")));
            all.unanswered = next.unanswered;
            all.unstored = all.unstored.or(next.unstored);
            all.stale |= next.stale;
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
            let new = next.offers.into_iter().filter(|offer| known.insert(offer.offer_id.clone()));
            all.offers.extend(new);
        }
        Ok(all)
    }

    /// One page, and whether no other follows it.
    fn page(&self, query: &Query<'_>, page: u32) -> Result<(Answer, bool), EngineError> {
        let params = SearchParams { page, ..query.params.clone() };
        let page_size = params.page_size as usize;
        let answer = self.search(&Query { params, ..query.clone() })?;
        let so_far = u64::from(page) * page_size as u64;
        let is_last = answer.offers.len() + answer.filtered_out < page_size
            || answer.total_offers.is_some_and(|total| total <= so_far);
        Ok((answer, is_last))
    }
}
