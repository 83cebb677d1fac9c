//! `/v1/reviews`: pictures for which a stored photo stands out without being certain, until a person decides.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::compare::{ComparisonJson, comparison};
use super::input::{InPath, Params, must_be_json, parse_json, read_whole};
use super::problem::Failure;
use super::request_error::RequestError;
use super::review_store::{NewReview, StoredReview};
use super::state::App;
use super::verdicts::said;
use crate::engine::{Matched, PhotoRef};
use crate::photo_id::PhotoId;

const MAX_LISTED: u32 = 200;

/// What search and check say of a review that is worth keeping.
const FACTS: [&str; 8] =
    ["similarity", "score", "confidence", "threshold", "max_false_hit", "why", "rivals", "matched_good"];

/// Keeps what `answer` (of a search or check, as JSON) says of a picture that was not certain, for callers who may leave something
/// behind. That it cannot be kept is no reason to withhold the answer.
pub(super) async fn keep(
    app: &Arc<App>,
    caller: &Caller,
    bytes: &Bytes,
    label: &str,
    photo_id: Option<i64>,
    answer: &Value,
) {
    let Some(photo_id) = photo_id else { return };
    let leaves_traces = caller.may_write().is_ok() || caller.may_spend().is_ok();
    // A person has decided that one already.
    if !leaves_traces || app.options.max_reviews == 0 || answer["why"] == "told_apart" {
        return;
    }
    let facts = FACTS.iter().filter_map(|name| Some(((*name).to_owned(), answer.get(*name)?.clone())));
    let facts = Value::Object(facts.filter(|(_, value)| !value.is_null()).collect());
    let (app, bytes, label) = (Arc::clone(app), bytes.clone(), label.to_owned());
    let keeping = tokio::task::spawn_blocking(move || {
        let new = NewReview { picture: &bytes, label: &label, photo_id: PhotoId(photo_id), facts };
        app.store.keep_review(&new, app.options.max_reviews, app.clock.now())
    });
    if let Ok(Err(error)) = keeping.await {
        tracing::warn!(%error, "a review could not be kept");
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only reviews after this one.
    after: i64,
    /// Reviews at the most; by default 50.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// Reviews that wait for a person, the oldest first
#[utoipa::path(
    get, path = "/v1/reviews", tag = "verdicts", params(ListQuery),
    responses((status = 200, body = super::schema::Reviews), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<ListQuery>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let limit = query.limit.unwrap_or(50);
    if !(1..=MAX_LISTED).contains(&limit) {
        return Err(Failure::invalid(format!("limit is from 1 to {MAX_LISTED}")));
    }
    let reading = Arc::clone(&app);
    let listed = app.on_engine(move |engine| -> Result<Value, Failure> {
        let (mut open, reviews) = reading.store.open_reviews(query.after, limit)?;
        let mut listed = Vec::with_capacity(reviews.len());
        for review in reviews {
            if let Some(photo) = engine.catalog().photo(review.photo_id)? {
                listed.push(json_of(&review, &photo.into()));
            } else {
                reading.store.forget_reviews_of(review.photo_id)?;
                open = open.saturating_sub(1);
            }
        }
        Ok(json!({"open": open, "reviews": listed}))
    });
    Ok(axum::Json(listed.await??))
}

fn json_of(review: &StoredReview, matched: &Matched) -> Value {
    let mut value = serde_json::to_value(review).unwrap_or_default();
    value["matched"] = json!(matched);
    value
}

/// A review with its picture.
fn review_of(app: &App, review_id: i64) -> Result<(StoredReview, Vec<u8>), Failure> {
    app.store.review(review_id)?.ok_or_else(|| RequestError::NoSuchReview.into())
}

/// The two pictures of a review, and what agrees and what differs
#[utoipa::path(
    get, path = "/v1/reviews/{review_id}/comparison", tag = "verdicts",
    params(("review_id" = i64, Path, description = "As the list names it")),
    responses((status = 200, body = ComparisonJson), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn compared(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(review_id): InPath<i64>,
) -> Result<axum::Json<ComparisonJson>, Failure> {
    caller.may_read()?;
    let reading = Arc::clone(&app);
    let compared = app.on_engine(move |engine| {
        let (review, picture) = review_of(&reading, review_id)?;
        comparison(engine, &picture, review.photo_id)
    });
    Ok(axum::Json(compared.await??))
}

/// What a person says of a review.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionJson {
    /// Whether both show the same; null takes back what was said, and opens the review again (within a day).
    same: Option<bool>,
}

/// Decides a review
///
/// As if the pair was sent to `/v1/verdicts`, with the picture that was kept.
#[utoipa::path(
    post, path = "/v1/reviews/{review_id}", tag = "verdicts",
    params(("review_id" = i64, Path, description = "As the list names it")),
    request_body = DecisionJson,
    responses((status = 200, body = super::schema::Told), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(review_id): InPath<i64>,
    request: Request,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_write()?;
    let (headers, body) = read_whole(&app, request).await?;
    must_be_json(&headers)?;
    let DecisionJson { same } = parse_json(&body.bytes)?;
    let deciding = Arc::clone(&app);
    let decided = app.on_engine(move |engine| -> Result<Value, Failure> {
        let (review, picture) = review_of(&deciding, review_id)?;
        let file = PhotoRef::File { bytes: &picture, label: &review.label };
        let told = said(engine, file, PhotoRef::Photo(review.photo_id), same)?;
        deciding.store.set_review_closed(review_id, same.map(|_| deciding.clock.now()))?;
        Ok(told)
    });
    Ok(axum::Json(decided.await??))
}

/// Puts a review aside without a word
#[utoipa::path(
    delete, path = "/v1/reviews/{review_id}", tag = "verdicts",
    params(("review_id" = i64, Path, description = "As the list names it")),
    responses((status = 200, body = super::schema::PutAside), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn put_aside(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(review_id): InPath<i64>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_write()?;
    let closing = Arc::clone(&app);
    let closed = app.on_engine(move |_| -> Result<(), Failure> {
        review_of(&closing, review_id)?;
        Ok(closing.store.set_review_closed(review_id, Some(closing.clock.now()))?)
    });
    closed.await??;
    Ok(axum::Json(json!({"review_id": review_id, "put_aside": true})))
}
