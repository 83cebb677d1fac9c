//! Answers of several upstreams and of several parts of a picture, as one.

use std::collections::HashSet;

use super::pages::CallsLeft;
use super::picture::Picture;
use super::{Answer, AnswerPart, Engine, EngineError, Outcome, Query, Source};
use crate::offer::OfferId;
use crate::question::Region;

/// Where else to look than in the first page of the first upstream. Each place is a question of its own: what is stored of its
/// answer costs nothing, what is not costs a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breadth {
    /// Pages of offers at each place, 1 to [`MAX_PAGES`](super::MAX_PAGES).
    pub pages: u32,
    /// Ask every configured upstream instead of the first one that can answer.
    pub all_upstreams: bool,
    /// Ask also about each part of the picture in which an upstream sees goods ([`Answer::suggested_regions`]).
    pub suggested_regions: bool,
    /// Calls over all places at the most, those included that failed and were (perhaps) billed; beyond them each place is
    /// answered by what is stored. `None`: as many as the budgets allow.
    pub max_calls: Option<u32>,
}

impl Default for Breadth {
    /// One page of one upstream.
    fn default() -> Self {
        Self { pages: 1, all_upstreams: false, suggested_regions: false, max_calls: None }
    }
}

impl Breadth {
    /// So many pages at each place.
    #[must_use]
    pub fn pages(self, pages: u32) -> Self {
        Self { pages, ..self }
    }

    /// Whether every upstream is asked.
    #[must_use]
    pub fn all_upstreams(self, all_upstreams: bool) -> Self {
        Self { all_upstreams, ..self }
    }

    /// Whether the parts that an upstream suggests are asked about.
    #[must_use]
    pub fn suggested_regions(self, suggested_regions: bool) -> Self {
        Self { suggested_regions, ..self }
    }

    /// How many calls it may cost.
    #[must_use]
    pub fn max_calls(self, max_calls: impl Into<Option<u32>>) -> Self {
        Self { max_calls: max_calls.into(), ..self }
    }

    /// Whether it is the plain question: one page of one place.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self.is_one_place() && self.pages <= 1
    }

    fn is_one_place(self) -> bool {
        !self.all_upstreams && !self.suggested_regions
    }
}

impl Engine {
    /// As [`Engine::search_pages`], at several places. Offers that come from several are kept once, as the first of them tells
    /// them; those of the first place come first. What each place brought is in [`Answer::parts`]. The verdict is a hit only
    /// if all places were known.
    ///
    /// # Errors
    /// Those of [`Engine::search`] when no place could be asked; else a place's failure is a warning.
    pub fn search_widely(&self, query: &Query<'_>, breadth: Breadth) -> Result<Answer, EngineError> {
        let (picture, mut left) = (Picture::new(self, query.bytes), CallsLeft(breadth.max_calls));
        if breadth.is_one_place() {
            return self.pages_within(&picture, query, breadth.pages, &mut left);
        }
        let upstreams: Vec<Option<&str>> = match query.upstream {
            None if breadth.all_upstreams && self.has_upstreams() => {
                self.profiles().into_iter().map(Some).collect()
            }
            only => vec![only],
        };
        let mut merged = Merged::default();
        let mut first_error = None;
        for upstream in upstreams {
            let of_it = query.clone().upstream(upstream);
            let found = match self.pages_within(&picture, &of_it, breadth.pages, &mut left) {
                Ok(found) => found,
                Err(error) if error.is_interrupted() => return Err(error),
                Err(error) => {
                    merged.note_failure(upstream, None, &error);
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            let regions =
                if breadth.suggested_regions { found.suggested_regions.clone() } else { Vec::new() };
            merged.take(found, upstream, None);
            let asked = picture.part(query.params.region)?;
            for region in regions {
                // What was asked about already, and one thing as large as the picture.
                if picture.part(Some(region))? == asked {
                    continue;
                }
                let of_part = of_it.clone().params(of_it.params.clone().region(region));
                match self.pages_within(&picture, &of_part, breadth.pages, &mut left) {
                    Ok(found) => merged.take(found, upstream, Some(region)),
                    Err(error) if error.is_interrupted() => return Err(error),
                    Err(error) => merged.note_failure(upstream, Some(region), &error),
                }
            }
        }
        merged.finish().ok_or_else(|| first_error.unwrap_or(EngineError::NoUpstream))
    }
}

#[derive(Default)]
struct Merged {
    answer: Option<Answer>,
    known: HashSet<OfferId>,
    parts: Vec<AnswerPart>,
    warnings: Vec<String>,
}

impl Merged {
    fn take(&mut self, mut found: Answer, upstream: Option<&str>, region: Option<Region>) {
        found.offers.retain(|offer| self.known.insert(offer.offer_id.clone()));
        self.parts.push(AnswerPart {
            upstream: upstream.map(str::to_owned),
            region,
            source: found.source,
            fetched_at: found.fetched_at,
            new_offers: found.offers.len(),
            upstream_calls: found.upstream_calls,
            unanswered: found.unanswered.clone(),
            error: None,
        });
        let Some(all) = &mut self.answer else {
            self.answer = Some(found);
            return;
        };
        all.offers.append(&mut found.offers);
        all.filtered_out += found.filtered_out;
        // Of all places together nobody knows how many there are.
        all.total_offers = None;
        all.upstream_calls += found.upstream_calls;
        all.timings_ms.total += found.timings_ms.total;
        all.stale |= found.stale;
        all.as_of = all.as_of.into_iter().chain(found.as_of).min();
        all.unstored = all.unstored.take().or(found.unstored);
        if found.source != Source::None {
            all.fetched_at = all
                .fetched_at
                .filter(|_| all.source != Source::None)
                .min(found.fetched_at)
                .or(found.fetched_at);
        }
        if found.verdict != Outcome::Hit && all.verdict == Outcome::Hit {
            all.verdict = Outcome::Miss;
        }
        all.source = match (all.source, found.source) {
            (Source::Upstream, _) | (_, Source::Upstream) => Source::Upstream,
            (Source::Local, _) | (_, Source::Local) => Source::Local,
            (Source::None, Source::None) => Source::None,
        };
        // Some place has answered: that another did not is said of that part.
        if found.unanswered.is_none() {
            all.unanswered = None;
        }
        for region in found.suggested_regions {
            if !all.suggested_regions.contains(&region) {
                all.suggested_regions.push(region);
            }
        }
        for warning in found.warnings {
            let warning = place(upstream, region) + &warning;
            if !all.warnings.contains(&warning) {
                all.warnings.push(warning);
            }
        }
    }

    fn note_failure(&mut self, upstream: Option<&str>, region: Option<Region>, error: &EngineError) {
        self.warnings.push(format!("{}no answer: {error}", place(upstream, region)));
        self.parts.push(AnswerPart {
            upstream: upstream.map(str::to_owned),
            region,
            source: Source::None,
            fetched_at: None,
            new_offers: 0,
            upstream_calls: error.calls(),
            unanswered: None,
            error: Some(error.to_string()),
        });
    }

    fn finish(self) -> Option<Answer> {
        let Self { answer, parts, warnings, .. } = self;
        let mut answer = answer?;
        let failed = parts.iter().filter(|part| part.error.is_some());
        answer.upstream_calls += failed.map(|part| part.upstream_calls).sum::<u32>();
        answer.warnings.extend(warnings);
        answer.parts = parts;
        Some(answer)
    }
}

/// Before what is said of one of several places.
fn place(upstream: Option<&str>, region: Option<Region>) -> String {
    let upstream = upstream.map(|upstream| format!("{upstream}: "));
    let region = region.map(|region| format!("region {region}: "));
    upstream.into_iter().chain(region).collect()
}
