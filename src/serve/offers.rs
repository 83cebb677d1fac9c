//! `/v1/offers`: what is known about offers, and what can be asked about one.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::auth::{Caller, NoLeave};
use super::idempotency;
use super::input::{InPath, Params};
use super::problem::Failure;
use super::request_error::RequestError;
use super::state::App;
use crate::catalog::Words;
use crate::clock::Timestamp;
use crate::engine::{Details, Mode};
use crate::offer::OfferId;

const MAX_FOUND: u32 = 200;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FindQuery {
    /// Words, in Chinese or not; any part of a Chinese title is found.
    #[param(min_length = 1, example = "马克杯")]
    words: String,
    /// Offers at the most; by default 20.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<u32>,
}

/// Stored offers by words of their titles
///
/// Never asks an upstream.
#[utoipa::path(
    get, path = "/v1/offers", tag = "offers", params(FindQuery),
    responses((status = 200, body = super::schema::FoundOffers), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn find(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<FindQuery>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let words = Words::parse(&query.words).ok_or_else(|| Failure::invalid("there is no word to look for"))?;
    let limit = query.limit.unwrap_or(20);
    if !(1..=MAX_FOUND).contains(&limit) {
        return Err(Failure::invalid(format!("limit is from 1 to {MAX_FOUND}")));
    }
    let found = app.on_engine(move |engine| engine.catalog().find_offers(&words, limit)).await??;
    Ok(axum::Json(json!({"offers": found})))
}

/// What is known about one offer
///
/// Never asks an upstream; POST does.
#[utoipa::path(
    get, path = "/v1/offers/{offer_id}", tag = "offers",
    params(("offer_id" = String, Path, description = "As searches name it")),
    responses((status = 200, body = super::schema::OfferDetails), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(offer_id): InPath<String>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let offer_id = OfferId::new(offer_id)?;
    let asked = offer_id.clone();
    let details = app.on_engine(move |engine| engine.details(&asked, Mode::LocalOnly)).await??;
    if details.detail.is_none() {
        return Err(RequestError::NoSuchOffer.into());
    }
    Ok(axum::Json(json_of(&details, &offer_id)))
}

/// Price, least order and sales of one offer over time
///
/// An entry for each time that something else was told, the oldest first; none for an offer that nobody has told of. Never asks an
/// upstream.
#[utoipa::path(
    get, path = "/v1/offers/{offer_id}/history", tag = "offers",
    params(("offer_id" = String, Path, description = "As searches name it")),
    responses((status = 200, body = super::schema::OfferHistory), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(offer_id): InPath<String>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let offer_id = OfferId::new(offer_id)?;
    let asked = offer_id.clone();
    let history = app.on_engine(move |engine| engine.catalog().history(&asked)).await??;
    Ok(axum::Json(json!({"id": offer_id, "history": history})))
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct DetailQuery {
    /// Ask even if the details are known, and store what is said.
    refresh: bool,
    /// The answer has to be there after so many milliseconds.
    #[param(minimum = 1, maximum = 3_600_000)]
    deadline_ms: Option<u64>,
}

/// Asks about one offer, unless its details are known
///
/// Costs one call where they are not.
#[utoipa::path(
    post, path = "/v1/offers/{offer_id}", tag = "offers",
    params(
        DetailQuery, ("offer_id" = String, Path, description = "As searches name it"),
        ("Idempotency-Key" = Option<String>, Header, description = "With the same key and request, the first answer is given again for 24 hours; nothing is paid for twice"),
    ),
    responses((status = 200, body = super::schema::OfferDetails), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(offer_id): InPath<String>,
    Params(query): Params<DetailQuery>,
    request: Request,
) -> Result<Response, Failure> {
    caller.may_read()?;
    caller.may_spend()?;
    let offer_id = OfferId::new(offer_id)?;
    let deadline = app.deadline_of(query.deadline_ms)?;
    // All that is asked stands in the address.
    let asked = idempotency::Asked::of(&request)?.with_body(request.headers(), b"");
    drop(request);
    idempotency::once(&app, &caller, asked, async |began| {
        let mode = match began {
            _ if !query.refresh => Mode::Default,
            Some(began_at) if was_told_since(&app, &offer_id, began_at).await? => Mode::Default,
            _ => Mode::Refresh,
        };
        let (details, no_leave) = details_for(&app, &caller, &offer_id, mode, deadline).await?;
        let mut json = json_of(&details, &offer_id);
        if let Some(why) = no_leave {
            json["unanswered"] =
                json!({"reason": why.reason(), "message": why.message(), "retry_at": null, "queued": false});
        }
        let came_to_nothing =
            details.upstream_calls == 0 && (details.unanswered.is_some() || no_leave.is_some());
        let mut response = axum::Json(json).into_response();
        if came_to_nothing {
            response.extensions_mut().insert(idempotency::NothingSpent);
        }
        Ok(response)
    })
    .await
}

/// Whether an interrupted request, or another one meanwhile, has stored what it was to ask for.
async fn was_told_since(app: &Arc<App>, offer_id: &OfferId, began_at: Timestamp) -> Result<bool, Failure> {
    let asked = offer_id.clone();
    let known = app.on_engine(move |engine| engine.details(&asked, Mode::LocalOnly)).await??;
    Ok(known.fetched_at.is_some_and(|fetched_at| fetched_at >= began_at))
}

/// Details in the name of a caller, and why it was kept from asking about what is not known, if it was.
pub(super) async fn details_for(
    app: &Arc<App>,
    caller: &Caller,
    offer_id: &OfferId,
    mode: Mode,
    deadline: Instant,
) -> Result<(Details, Option<NoLeave>), Failure> {
    let booked = if mode == Mode::LocalOnly { None } else { Some(caller.book(app, 1)?) };
    let (booked, no_leave) = match booked {
        Some(Ok(booked)) => (Some(booked), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let (engine, asked) = (Arc::clone(&app.engine), offer_id.clone());
    let (pool, mode) = if booked.is_some() { (&app.asking, mode) } else { (&app.local, Mode::LocalOnly) };
    let job = move |interrupt| engine.details_unless(&interrupt, &asked, mode);
    let told = pool.run(deadline, job).await.map_err(Failure::from);
    let details = match told.and_then(|told| told.map_err(Failure::from)) {
        Ok(details) => details,
        Err(failure) => {
            if let Some((booked, calls)) = booked.zip(failure.calls_if_known()) {
                booked.settle(app, calls);
            }
            return Err(failure);
        }
    };
    if let Some(booked) = booked {
        booked.settle(app, details.upstream_calls);
    }
    app.metrics.count_calls(details.upstream_calls);
    let no_leave = no_leave.filter(|_| details.detail.is_none() || details.stale);
    Ok((details, no_leave))
}

fn json_of(details: &Details, offer_id: &OfferId) -> Value {
    let mut value = serde_json::to_value(details).unwrap_or_default();
    value["id"] = json!(offer_id);
    value
}
