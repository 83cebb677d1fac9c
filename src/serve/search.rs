//! `POST /v1/search`: have we seen this picture before, and what did 1688 say about it?

#![allow(
    clippy::large_stack_arrays,
    reason = "utoipa's derive of IntoParams lays all parameters in one array"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::auth::{Caller, NoLeave};
use super::idempotency;
use super::input::{Given, Params, PictureFile, read_whole};
use super::problem::Failure;
use super::reviews;
use super::state::App;
use crate::catalog::Words;
use crate::clock::Timestamp;
use crate::engine::{Answer, Breadth, MAX_PAGES, Mode, Outcome, Query, Refine};
use crate::offer::Price;
use crate::question::{LanguageCode, OfferFilter, Phrase, Region, SearchParams, Sort};

/// What is asked beside the picture, and what may be done to answer.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own, as at the command line")]
pub(super) struct SearchOptions {
    /// Never ask an upstream: the answer is what is known here.
    pub(super) local: bool,
    /// As `local`, for a client that asks in a second step where nothing is known: a hit counts as a call that was saved.
    pub(super) known: bool,
    /// Ask the upstream even if the answer is known, and store what it says; where that fails, the stored answer is given.
    pub(super) refresh: bool,
    /// Ask the upstream even if the answer is known, and store nothing.
    pub(super) bypass: bool,
    /// Ask about a picture in which nothing shows, too, and about a tall detail page as a whole.
    pub(super) force: bool,
    /// Only offers of this category.
    pub(super) category: Option<u64>,
    /// Only offers from this price on, in yuan.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]
    pub(super) price_min: Option<Price>,
    /// Only offers up to this price, in yuan.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]
    pub(super) price_max: Option<Price>,
    /// Only offers that are all of this, in the official search's words with commas between: shipIn24Hours, isOnePsale,
    /// certifiedFactory and others. Part of the question, as all that follow up to `language`: other words are another call.
    pub(super) filter: Option<String>,
    /// In which order the upstream puts all it finds, before it cuts pages; the most alike first without it.
    #[param(value_type = Option<String>, pattern = "^(price|month_sold|repurchase_rate)_(asc|desc)$")]
    pub(super) sort: Option<Sort>,
    /// Have the upstream look for this text, too; unlike `keyword` it may bring other offers.
    #[param(value_type = Option<String>, max_length = 200)]
    pub(super) upstream_keyword: Option<Phrase>,
    /// The upstream keyword is not in Chinese: have it translated.
    pub(super) translate_keyword: bool,
    /// Say in words, too, what is meant in the picture.
    #[param(value_type = Option<String>, max_length = 200)]
    pub(super) auxiliary_text: Option<Phrase>,
    /// What the goods are called where the picture comes from.
    #[param(value_type = Option<String>, max_length = 200)]
    pub(super) item_title: Option<Phrase>,
    /// Only offers of this collection of the upstream's.
    #[param(value_type = Option<String>, max_length = 200)]
    pub(super) collection: Option<Phrase>,
    /// In which language titles are translated: en, ru, ja.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z]{2,3}$")]
    pub(super) language: Option<LanguageCode>,
    /// Only offers with all of these words in their titles; chosen among those that come, so it costs nothing.
    pub(super) keyword: Option<String>,
    /// Only offers that sell as few pieces as this.
    pub(super) max_min_order: Option<u32>,
    /// Only this part of the picture, in pixels: left,top,right,bottom.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,5},[0-9]{1,5},[0-9]{1,5},[0-9]{1,5}$")]
    pub(super) region: Option<Region>,
    /// Which page of offers, from 1 on.
    #[param(minimum = 1, default = 1)]
    pub(super) page: Option<u32>,
    /// Offers a page, 1 to 50; by default 20.
    #[param(minimum = 1, maximum = 50, default = 20)]
    pub(super) page_size: Option<u32>,
    /// So many pages of offers; each page that is not known costs a call.
    #[param(minimum = 1, maximum = 100, default = 1)]
    pub(super) pages: Option<u32>,
    /// Ask every configured upstream, not the first one that can answer; an offer that several have comes once, and `parts`
    /// tells what each brought.
    pub(super) all_upstreams: bool,
    /// Ask also about each part of the picture in which the upstream sees goods, as far as it says so; a call for each.
    pub(super) suggested_regions: bool,
    /// Calls at the most, repeated ones included; by default one for each page of each upstream, and eight more for suggested
    /// regions.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) max_calls: Option<u32>,
    /// Fetch anew what is known but at least this old, in days.
    #[param(minimum = 0, maximum = 36500)]
    pub(super) max_age_days: Option<f64>,
    /// Have the picture wait when nothing may be asked now, under this priority; it is asked about later.
    pub(super) defer: Option<i32>,
    /// The answer has to be there after so many milliseconds; it then is what is known.
    #[param(minimum = 1, maximum = 3_600_000)]
    pub(super) deadline_ms: Option<u64>,
}

/// Options that make sense together.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "wishes that do not depend on each other")]
pub(super) struct Plan {
    pub(super) params: SearchParams,
    pub(super) mode: Mode,
    pub(super) refine: Refine,
    pub(super) max_age: Option<Duration>,
    pub(super) defer: Option<i32>,
    pub(super) force: bool,
    /// Whether an elongated picture is asked about as a whole without `force`, too.
    pub(super) whole: bool,
    /// Where else to ask, without a limit of calls where none was given.
    pub(super) breadth: Breadth,
    /// Whether a hit of a search that asks nobody counts as a saved call.
    pub(super) counts_saved: bool,
    /// Whether own goods are no answer.
    pub(super) without_own: bool,
}

impl SearchOptions {
    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        let (page, page_size, pages) =
            (self.page.unwrap_or(1), self.page_size.unwrap_or(20), self.pages.unwrap_or(1));
        if page == 0 || !(1..=50).contains(&page_size) || !(1..=MAX_PAGES).contains(&pages) {
            return Err(Failure::invalid("page is from 1 on, page_size from 1 to 50, pages from 1 to 100"));
        }
        if self.max_calls.is_some_and(|calls| !(1..=1000).contains(&calls)) {
            return Err(Failure::invalid("max_calls is from 1 to 1000"));
        }
        if self.price_min.zip(self.price_max).is_some_and(|(min, max)| min > max) {
            return Err(Failure::invalid("price_min is above price_max"));
        }
        if self.translate_keyword && self.upstream_keyword.is_none() {
            return Err(Failure::invalid("translate_keyword needs upstream_keyword"));
        }
        let filters = self.filter.iter().flat_map(|list| list.split(',')).map(str::parse::<OfferFilter>);
        let filters = filters
            .collect::<Result<BTreeSet<_>, _>>()
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let mode = match (self.local, self.known, self.refresh, self.bypass) {
            (false, false, false, false) => Mode::Default,
            (true, false, false, false) | (false, true, false, false) => Mode::LocalOnly,
            (false, false, true, false) => Mode::Refresh,
            (false, false, false, true) => Mode::Bypass,
            _ => return Err(Failure::invalid("use one of local, known, refresh and bypass")),
        };
        let max_age = match self.max_age_days {
            Some(days) if (0.0..=36_500.0).contains(&days) => Some(Duration::from_secs_f64(days * 86_400.0)),
            Some(_) => return Err(Failure::invalid("max_age_days is from 0 to 36500")),
            None => None,
        };
        let words = self
            .keyword
            .as_deref()
            .map(|text| Words::parse(text).ok_or_else(|| Failure::invalid("there is no word in keyword")));
        Ok(Plan {
            params: SearchParams {
                category_id: self.category,
                price_min: self.price_min,
                price_max: self.price_max,
                region: self.region,
                page,
                page_size,
                keyword: self.upstream_keyword.clone(),
                translate_keyword: self.translate_keyword,
                auxiliary_text: self.auxiliary_text.clone(),
                item_title: self.item_title.clone(),
                collection_id: self.collection.clone(),
                filters,
                sort: self.sort,
                language: self.language,
            },
            mode,
            refine: Refine { words: words.transpose()?, max_min_order: self.max_min_order },
            max_age,
            defer: self.defer,
            force: self.force,
            whole: false,
            breadth: Breadth::default()
                .pages(pages)
                .all_upstreams(self.all_upstreams)
                .suggested_regions(self.suggested_regions)
                .max_calls(self.max_calls),
            counts_saved: self.known,
            without_own: false,
        })
    }
}

/// What a search came to, and why the caller's key kept it from asking, if it did.
pub(super) struct Searched {
    pub(super) answer: Answer,
    pub(super) no_leave: Option<NoLeave>,
}

impl Searched {
    /// Whether there is no new answer, for reasons that pass, and nothing was spent on it.
    fn came_to_nothing(&self) -> bool {
        let Answer { unanswered, stale, upstream_calls, .. } = &self.answer;
        *upstream_calls == 0 && (unanswered.is_some() || *stale || self.no_leave.is_some())
    }
}

/// A search in the name of a caller: what is known is answered where a core is free, and what has to be asked waits where
/// waiting costs nothing.
pub(super) async fn search_for(
    app: &Arc<App>,
    caller: &Caller,
    picture: &PictureFile,
    plan: Plan,
    deadline: Instant,
) -> Result<Searched, Failure> {
    let stores_nothing = plan.mode == Mode::Bypass;
    let searched = found_for(app, caller, picture, plan, deadline).await?;
    if searched.answer.verdict == Outcome::Review && !stores_nothing {
        let photo_id = searched.answer.matched.as_ref().map(|matched| matched.photo_id.0);
        let facts = serde_json::to_value(&searched.answer).unwrap_or_default();
        reviews::keep(app, caller, &picture.bytes, &picture.label, photo_id, &facts).await;
    }
    Ok(searched)
}

async fn found_for(
    app: &Arc<App>,
    caller: &Caller,
    picture: &PictureFile,
    plan: Plan,
    deadline: Instant,
) -> Result<Searched, Failure> {
    let run = |pool: Arc<super::pool::Pool>, plan: Plan, known_only: bool| {
        let (app, picture) = (Arc::clone(app), picture.clone());
        async move {
            let job = move |interrupt| {
                let query = Query {
                    interrupt,
                    ..Query::new(&picture.bytes, &picture.label)
                        .source_url(picture.source_url.as_deref())
                        .params(plan.params)
                        .without_own(plan.without_own)
                        .mode(plan.mode)
                        .max_age(plan.max_age)
                        .defer(plan.defer)
                        .force(plan.force)
                        .whole(plan.whole)
                        .refine(plan.refine)
                };
                if known_only {
                    return app.engine.search_known(&query);
                }
                app.engine.search_widely(&query, plan.breadth).map(Some)
            };
            Ok::<_, Failure>(pool.run(deadline, job).await??)
        }
    };
    if plan.counts_saved && app.has_upstreams {
        // Only a search that might have asked can have saved a call; this one ends where it would ask.
        let might_ask = Plan { mode: Mode::Default, ..plan.clone() };
        if let Some(answer) = run(Arc::clone(&app.local), might_ask, true).await? {
            return done(app, Some(answer), None);
        }
    }
    let may_ask = app.has_upstreams && plan.mode != Mode::LocalOnly;
    if !may_ask {
        let answer = run(Arc::clone(&app.local), plan, false).await?;
        return done(app, answer, None);
    }
    if matches!(plan.mode, Mode::Refresh | Mode::Bypass) || plan.defer.is_some() {
        // Asked for in so many words, so that it is an error where it may not be.
        caller.may_spend()?;
    }
    if plan.mode == Mode::Default
        && plan.breadth.is_plain()
        && caller.may_spend().is_ok()
        && let Some(answer) = run(Arc::clone(&app.local), plan.clone(), true).await?
    {
        return done(app, Some(answer), None);
    }
    // So many calls are booked. Where the caller has not said how many it may cost, only those for regions have to be bounded:
    // a call that failed may be repeated, which is settled afterwards.
    let calls = plan.breadth.max_calls.unwrap_or_else(|| usual_calls(plan.breadth, app));
    let max_calls = plan.breadth.max_calls.or(plan.breadth.suggested_regions.then_some(calls));
    let plan = Plan { breadth: plan.breadth.max_calls(max_calls), ..plan };
    let booked = match caller.book(app, calls)? {
        Ok(booked) => booked,
        Err(why) => {
            // Without `defer`, which would be paid for later.
            let plan = Plan { mode: Mode::LocalOnly, defer: None, ..plan };
            let answer = run(Arc::clone(&app.local), plan, false).await?;
            return done(app, answer, Some(why));
        }
    };
    match run(Arc::clone(&app.asking), plan, false).await {
        Ok(answer) => {
            booked.settle(app, answer.as_ref().map_or(0, |answer| answer.upstream_calls));
            done(app, answer, None)
        }
        Err(failure) => {
            // What is not known to be free stays booked.
            if let Some(calls) = failure.calls_if_known() {
                booked.settle(app, calls);
            }
            Err(failure)
        }
    }
}

/// Calls for regions that an upstream may suggest, where the caller has not said how many it may cost.
const CALLS_FOR_REGIONS: u32 = 8;

fn usual_calls(breadth: Breadth, app: &App) -> u32 {
    let upstreams = if breadth.all_upstreams { app.engine.profiles().len() } else { 1 };
    let searches = breadth.pages.saturating_mul(u32::try_from(upstreams).unwrap_or(1));
    searches + if breadth.suggested_regions { CALLS_FOR_REGIONS } else { 0 }
}

fn done(app: &App, answer: Option<Answer>, no_leave: Option<NoLeave>) -> Result<Searched, Failure> {
    // A search that is not for what is known alone always has an answer.
    let answer = answer.ok_or(super::request_error::RequestError::Panicked)?;
    app.metrics.count_search(&answer);
    let no_leave = no_leave.filter(|_| answer.verdict != Outcome::Hit || answer.stale);
    Ok(Searched { answer, no_leave })
}

/// The JSON of the command line.
pub(super) fn json_of(searched: &Searched, id: &str) -> Value {
    let mut value = serde_json::to_value(&searched.answer).unwrap_or_default();
    value["id"] = json!(id);
    if let Some(why) = searched.no_leave {
        value["unanswered"] =
            json!({"reason": why.reason(), "message": why.message(), "retry_at": null, "queued": false});
    }
    value
}

/// `x-tongkuan: hit|miss|review`, and the age of the answer in seconds.
pub(super) fn headers_of(answer: &Answer, now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let word = match answer.verdict {
        Outcome::Hit => "hit",
        Outcome::Review => "review",
        Outcome::Miss => "miss",
    };
    headers.insert("x-tongkuan", HeaderValue::from_static(word));
    if let Some(fetched_at) = answer.fetched_at {
        headers.insert("x-tongkuan-age", HeaderValue::from(fetched_at.until(now).as_secs()));
    }
    let stages = answer.timings_ms.stages();
    let stages = stages.iter().filter_map(|(name, ms)| Some(format!("{name};dur={:.1}", (*ms)?)));
    let mut stages: Vec<String> = stages.collect();
    stages.push(format!("total;dur={:.1}", answer.timings_ms.total));
    if let Ok(value) = HeaderValue::from_str(&stages.join(", ")) {
        headers.insert("server-timing", value);
    }
    headers
}

/// Was this picture seen before, and what does 1688 sell like it?
///
/// A known picture is answered from what is stored. For an unknown one the upstream is asked, once, and its answer is stored;
/// a key without the right to spend never causes that. Costs nothing for a hit.
#[utoipa::path(
    post, path = "/v1/search", tag = "search",
    params(SearchOptions, ("Idempotency-Key" = Option<String>, Header, description = "With the same key and request, the first answer is given again for 24 hours; nothing is paid for twice")),
    request_body(description = "The picture", content(
        (super::schema::PictureBytes = "application/octet-stream"), (super::schema::PictureBytes = "image/jpeg"),
        (super::input::PictureForm = "multipart/form-data"), (super::input::PictureJson = "application/json"),
    )),
    responses((status = 200, body = super::schema::Answer, headers(
        ("x-tongkuan" = String, description = "hit, miss or review"),
        ("x-tongkuan-age" = u64, description = "Seconds since the answer was fetched"),
    )), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn search(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(options): Params<SearchOptions>,
    request: Request,
) -> Result<Response, Failure> {
    caller.may_read()?;
    app.local.admit()?;
    let plan = options.plan()?;
    let deadline = app.deadline_of(options.deadline_ms)?;
    let asked = idempotency::Asked::of(&request)?;
    let (headers, body) = read_whole(&app, request).await?;
    let asked = asked.with_body(&headers, &body.bytes);
    idempotency::once(&app, &caller, asked, async |began| {
        let plan = began.map_or(Ok(plan.clone()), |began_at| resumed(&plan, began_at, app.clock.now()))?;
        let given = Given::read(&headers, &body.bytes).await?;
        let picture = given.open(&app, deadline, Some(body.share)).await?;
        let searched = search_for(&app, &caller, &picture, plan, deadline).await?;
        let headers = headers_of(&searched.answer, app.clock.now());
        let mut response = (headers, axum::Json(json_of(&searched, &picture.label))).into_response();
        if searched.came_to_nothing() {
            response.extensions_mut().insert(idempotency::NothingSpent);
        }
        Ok(response)
    })
    .await
}

/// The same search after one that was interrupted: an answer that came since it began will do, whoever paid for it.
fn resumed(plan: &Plan, began_at: Timestamp, now: Timestamp) -> Result<Plan, Failure> {
    match plan.mode {
        Mode::Refresh => Ok(Plan { mode: Mode::Default, max_age: Some(began_at.until(now)), ..plan.clone() }),
        Mode::Bypass => Err(super::request_error::RequestError::IdempotencyUnknown.into()),
        Mode::Default | Mode::LocalOnly => Ok(plan.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_refresh_takes_what_came_since_and_an_interrupted_bypass_is_not_repeated() {
        let at = Timestamp::from_unix_ms;
        let plan = |options: SearchOptions| options.plan().unwrap();
        let refresh = plan(SearchOptions { refresh: true, ..SearchOptions::default() });
        let again = resumed(&refresh, at(1000), at(61_000)).unwrap();
        assert_eq!((again.mode, again.max_age), (Mode::Default, Some(Duration::from_mins(1))));
        let bypass = plan(SearchOptions { bypass: true, ..SearchOptions::default() });
        assert_eq!(resumed(&bypass, at(0), at(1)).unwrap_err().code(), "idempotency_unknown");
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for wrong in [
            SearchOptions { local: true, refresh: true, ..SearchOptions::default() },
            SearchOptions { local: true, known: true, ..SearchOptions::default() },
            SearchOptions { page: Some(0), ..SearchOptions::default() },
            SearchOptions { page_size: Some(51), ..SearchOptions::default() },
            SearchOptions { max_age_days: Some(-1.0), ..SearchOptions::default() },
            SearchOptions { keyword: Some(" ".to_owned()), ..SearchOptions::default() },
            SearchOptions {
                price_min: Some("2".parse().unwrap()),
                price_max: Some("1".parse().unwrap()),
                ..SearchOptions::default()
            },
        ] {
            assert_eq!(wrong.plan().unwrap_err().code(), "request_invalid", "{wrong:?}");
        }
    }
}
