//! The upstreams' own dialects, for scripts that are there already: they change the base URL, and save their quota.
//!
//! A hit is answered from what is stored, a miss is passed on once, by whatever upstream is configured, and stored. Who asks is
//! known by the app's own secret, as at the upstream; where a dialect sends its secret as it is, a key of the service will do, too.

mod aop;
mod article;
mod onebound;
mod tmapi;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::{any, get, post};

use super::auth::{Caller, NoLeave, caller_of_key};
use super::gateway_app::GatewayApp;
use super::input::PictureFile;
use super::key_secrets::is_same_secret;
use super::offers::details_for;
use super::problem::Failure;
use super::request_error::RequestError;
use super::search::{Plan, headers_of, search_for};
use super::state::App;
use crate::catalog::Words;
use crate::dialect::{self, Refusal, Region, Wish, put_in_order};
use crate::engine::{Breadth, Details, EngineError, Mode, Outcome, Refine, Source};
use crate::offer::{Offer, OfferDetail, OfferId};
use crate::question::{self, Phrase, SearchParams};
use crate::upstream::{GuardError, NO_SUCH_OFFER, UpstreamErrorKind, WhyNot};

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(dialect::article::TOKEN_PATH, get(article::token).post(article::token))
        .route(dialect::article::SEARCH_PATH, post(article::search))
        .route(dialect::article::DETAIL_PATH, get(article::product))
        .route(dialect::aop::PATH, any(aop::call))
        .route(dialect::onebound::UPLOAD_PATH, post(onebound::upload))
        .route(dialect::onebound::SEARCH_PATH, get(onebound::search))
        .route(dialect::onebound::DETAIL_PATH, get(onebound::product))
        .route(dialect::tmapi::SEARCH_PATH, get(tmapi::search))
        .route(dialect::tmapi::CONVERT_PATH, post(tmapi::convert))
        .route(dialect::tmapi::DETAIL_PATH, get(tmapi::product))
}

/// Who has this secret: the app for which it is configured, or a key of the service.
fn caller_of(
    app: &App,
    secret: Option<&str>,
    is_app: impl Fn(&GatewayApp) -> bool,
) -> Result<Caller, Refusal> {
    let secret = secret.ok_or(Refusal::BadToken)?;
    // All are looked at, so that the time tells nothing.
    let known = app.apps.iter().filter(|known| is_app(known));
    if known.fold(false, |found, known| is_same_secret(secret, known.app_secret.expose()) | found) {
        return Ok(Caller::owner());
    }
    caller_of_key(app, secret).map_err(|failure| refusal_of_key(&failure))
}

fn refusal_of_key(failure: &Failure) -> Refusal {
    match failure {
        Failure::Request(RequestError::RateLimited { .. }) => Refusal::TooFast,
        _ => Refusal::BadToken,
    }
}

/// What a search in any dialect came to.
struct Answered {
    offers: Vec<Offer>,
    total: u64,
    /// Parts of the picture in which the upstream saw goods.
    regions: Vec<question::Region>,
    headers: HeaderMap,
}

impl Answered {
    /// The response with what Tongkuan says of it beside.
    fn around(self, mut response: Response) -> Response {
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A search for a picture in the words of no dialect.
async fn search(
    app: &Arc<App>,
    dialect: &'static str,
    caller: &Caller,
    picture: &PictureFile,
    wish: &Wish,
    region: Option<Region>,
) -> Result<Answered, Refusal> {
    caller.may_read().map_err(|_| Refusal::NoPermission)?;
    // Words of another language can be compared with no title here.
    let translated = wish.keyword.as_deref().filter(|_| wish.translate_keyword);
    let translated = translated.map(str::parse::<Phrase>).transpose().map_err(|_| Refusal::BadQuestion)?;
    let whole = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let plan = Plan {
        params: SearchParams {
            category_id: wish.category_id,
            price_min: wish.price_min,
            price_max: wish.price_max,
            region: region.and_then(Region::as_asked),
            page: whole(wish.page),
            page_size: whole(wish.page_size).clamp(1, 50),
            translate_keyword: translated.is_some(),
            auxiliary_text: wish.auxiliary_text.clone(),
            item_title: wish.item_title.clone(),
            collection_id: wish.collection_id.clone(),
            filters: wish.filters.clone(),
            // Offers are put in order here, and titles come in the configured language.
            sort: None,
            language: None,
            keyword: translated.clone(),
        },
        mode: Mode::Default,
        refine: Refine {
            words: wish.keyword.as_deref().filter(|_| translated.is_none()).and_then(Words::parse),
            max_min_order: None,
        },
        max_age: None,
        defer: None,
        force: false,
        // A script asks as it always did, and cannot be told of parts.
        whole: true,
        breadth: Breadth::default(),
        counts_saved: false,
        // They have no number and no page at the upstream.
        without_own: true,
    };
    let failed = |failure: Failure| {
        tracing::warn!(dialect, code = failure.code(), error = %failure, "a search in a dialect failed");
        refusal_of(&failure)
    };
    let deadline = app.deadline();
    let searched = search_for(app, caller, picture, plan, deadline).await.map_err(failed)?;
    let answer = searched.answer;
    let headers = headers_of(&answer, app.clock.now());
    let word = headers.get("x-tongkuan").and_then(|word| word.to_str().ok()).unwrap_or_default();
    app.metrics.count_gateway(dialect, word);
    // Offers of a picture that merely stands out are no answer, and a script could not tell.
    let has_answer = answer.verdict == Outcome::Hit || answer.source == Source::Upstream;
    if !has_answer {
        let why = answer.unanswered.as_ref().map(|unanswered| unanswered.reason);
        // Nothing shows in it, so nothing is like it.
        if searched.no_leave.is_none() && why == Some(WhyNot::NothingToCompare) {
            return Ok(Answered { offers: Vec::new(), total: 0, regions: Vec::new(), headers });
        }
        return Err(refusal_without_answer(searched.no_leave, why));
    }
    let mut offers = answer.offers;
    put_in_order(&mut offers, wish.order, |offer| offer);
    let total = answer.total_offers.unwrap_or(offers.len() as u64);
    Ok(Answered { offers, total, regions: answer.suggested_regions, headers })
}

/// Why nothing is known and nothing could be asked.
fn refusal_without_answer(no_leave: Option<NoLeave>, why: Option<WhyNot>) -> Refusal {
    match (no_leave, why) {
        (Some(NoLeave::BudgetSpent), _) | (None, Some(WhyNot::BudgetSpent | WhyNot::QuotaSpent)) => {
            Refusal::QuotaSpent
        }
        (None, Some(WhyNot::TooSlow | WhyNot::BreakerOpen | WhyNot::DeadlinePassed)) => Refusal::TooFast,
        (Some(NoLeave::NoRight), _) | (None, Some(WhyNot::NoUpstream | WhyNot::Offline)) => {
            Refusal::NoPermission
        }
        (None, _) => Refusal::Failed,
    }
}

/// What is known of an offer; nothing where the upstream does not know it either.
struct Detailed {
    detail: Option<OfferDetail>,
    headers: HeaderMap,
}

impl Detailed {
    /// As [`Answered::around`].
    fn around(self, mut response: Response) -> Response {
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Everything about one offer, in the words of no dialect: known, or asked once.
async fn details(
    app: &Arc<App>,
    dialect: &'static str,
    caller: &Caller,
    offer_id: &OfferId,
) -> Result<Detailed, Refusal> {
    caller.may_read().map_err(|_| Refusal::NoPermission)?;
    app.local.admit().map_err(|_| Refusal::TooFast)?;
    let told = details_for(app, caller, offer_id, Mode::Default, app.deadline()).await;
    let (details, no_leave) = match told {
        Ok(told) => told,
        Err(Failure::Engine(EngineError::Upstream(GuardError::Upstream { error, .. })))
            if error.code == NO_SUCH_OFFER =>
        {
            return Ok(Detailed { detail: None, headers: HeaderMap::new() });
        }
        Err(failure) => {
            tracing::warn!(dialect, code = failure.code(), error = %failure, "details in a dialect failed");
            return Err(refusal_of(&failure));
        }
    };
    let Details { detail, source, fetched_at, unanswered, .. } = details;
    if detail.is_none() {
        return Err(refusal_without_answer(no_leave, unanswered.map(|unanswered| unanswered.reason)));
    }
    let word = if source == Source::Local { "hit" } else { "miss" };
    let mut headers = HeaderMap::new();
    headers.insert("x-tongkuan", HeaderValue::from_static(word));
    if let Some(at) = fetched_at {
        headers.insert("x-tongkuan-age", HeaderValue::from(at.until(app.clock.now()).as_secs()));
    }
    app.metrics.count_gateway(dialect, word);
    Ok(Detailed { detail, headers })
}

fn refusal_of(failure: &Failure) -> Refusal {
    match failure {
        Failure::Request(
            RequestError::Overloaded { .. } | RequestError::TimedOut | RequestError::Draining,
        ) => Refusal::TooFast,
        Failure::Request(RequestError::TooLarge { .. } | RequestError::Invalid(_))
        | Failure::Fetch(_)
        | Failure::Address(_) => Refusal::BadPicture,
        Failure::Engine(EngineError::Upstream(GuardError::Upstream { error, .. }))
            if error.kind == UpstreamErrorKind::Param =>
        {
            Refusal::BadQuestion
        }
        Failure::Engine(error) if error.is_input_error() => Refusal::BadPicture,
        _ => Refusal::Failed,
    }
}
