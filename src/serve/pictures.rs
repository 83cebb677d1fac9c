//! `/v1/pictures` and `/v1/similar`: what is stored, added, shown, and taken away.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::idempotency;
use super::input::{Given, InPath, Params, must_be_json, parse_json, read_whole};
use super::problem::Failure;
use super::request_error::RequestError;
use super::state::App;
use crate::catalog::{GoodsFilter, PhotoFilter, PhotoKind};
use crate::doors;
use crate::engine::{Engine, EngineError};
use crate::offer::{Offer, OfferId, Price, canonical_image_url};
use crate::photo::encode_jpeg;
use crate::photo_id::PhotoId;

const MAX_SIMILAR: usize = 200;
const MAX_ADDRESSES: usize = 200;
const DAY: Duration = Duration::from_hours(24);
const THUMBNAIL_QUALITY: u8 = 80;

/// The user's own good that a picture shows.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct GoodQuery {
    /// What the good is called: 1 to 256 bytes without control characters. Without one, the picture's label.
    #[param(min_length = 1, max_length = 256)]
    id: Option<String>,
    /// Its title; by default its id.
    #[param(max_length = 1000)]
    title: Option<String>,
    /// Of one piece, in yuan.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]
    price: Option<Price>,
    /// Pieces.
    min_order_quantity: Option<u32>,
    /// Its page.
    detail_url: Option<String>,
}

/// Adds a picture of one of your own goods
///
/// From then on a search for the picture, or for an edited copy of it, is a hit that answers with the good. Adding it again
/// changes what is told of the good, and nothing else.
#[utoipa::path(
    post, path = "/v1/pictures", tag = "pictures",
    params(GoodQuery, ("Idempotency-Key" = Option<String>, Header, description = "With the same key and request, the first answer is given again for 24 hours")),
    request_body(description = "The picture", content(
        (super::schema::PictureBytes = "application/octet-stream"), (super::schema::PictureBytes = "image/jpeg"),
        (super::input::PictureForm = "multipart/form-data"), (super::input::PictureJson = "application/json"),
    )),
    responses(
        (status = 201, description = "It is a new photo", body = super::schema::Added),
        (status = 200, description = "The photo was there already", body = super::schema::Added),
        (status = "default", response = super::schema::ProblemResponse)
    )
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<GoodQuery>,
    request: Request,
) -> Result<Response, Failure> {
    caller.may_write()?;
    app.local.admit()?;
    let asked = idempotency::Asked::of(&request)?;
    let (headers, body) = read_whole(&app, request).await?;
    let asked = asked.with_body(&headers, &body.bytes);
    idempotency::once(&app, &caller, asked, async |_| {
        let deadline = app.deadline();
        let picture =
            Given::read(&headers, &body.bytes).await?.open(&app, deadline, Some(body.share)).await?;
        let id = query.id.as_deref().unwrap_or(&picture.label);
        if id.is_empty() {
            return Err(Failure::invalid("name the good with id, or the picture with label"));
        }
        let offer = Offer {
            price: query.price,
            min_order_quantity: query.min_order_quantity,
            detail_url: query.detail_url.clone(),
            ..Offer::new(OfferId::new(id)?, query.title.clone().unwrap_or_else(|| id.to_owned()))
        };
        let label = if picture.label.is_empty() { id.to_owned() } else { picture.label.clone() };
        let id = json!(offer.offer_id);
        let added = app.on_engine(move |engine| engine.add_own(&offer, &picture.bytes, &label)).await??;
        let status = if added.is_new { StatusCode::CREATED } else { StatusCode::OK };
        let json =
            json!({"id": id, "photo_id": added.photo_id, "is_new": added.is_new, "photos": added.photos});
        let location = format!("/v1/pictures/{}", added.photo_id);
        Ok((status, [(header::LOCATION, location)], axum::Json(json)).into_response())
    })
    .await
}

fn no_such_photo(photo_id: PhotoId) -> Failure {
    Failure::Engine(EngineError::NoSuchPhoto { photo_id })
}

/// What is stored about a photo
#[utoipa::path(
    get, path = "/v1/pictures/{photo_id}", tag = "pictures",
    params(("photo_id" = i64, Path, description = "As searches name it in `matched`")),
    responses((status = 200, body = super::schema::PhotoShown), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(photo_id): InPath<i64>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let photo_id = PhotoId(photo_id);
    let shown = app.on_engine(move |engine| doors::photo(engine, photo_id)).await??;
    let mut shown = shown.ok_or_else(|| no_such_photo(photo_id))?;
    shown["id"] = json!(photo_id);
    Ok(axum::Json(shown))
}

/// A small picture of a photo
///
/// Drawn from what is kept to compare it by, as originals are not stored: JPEG, its longer side some 136 pixels.
#[utoipa::path(
    get, path = "/v1/pictures/{photo_id}/thumbnail", tag = "pictures",
    params(("photo_id" = i64, Path, description = "As searches name it in `matched`")),
    responses(
        (status = 200, description = "The picture", body = super::schema::PictureBytes, content_type = "image/jpeg"),
        (status = "default", response = super::schema::ProblemResponse)
    )
)]
pub(super) async fn thumbnail(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(photo_id): InPath<i64>,
) -> Result<Response, Failure> {
    caller.may_read()?;
    let jpeg = app.on_engine(move |engine| draw(engine, PhotoId(photo_id))).await??;
    // A photo of a number never changes.
    let headers =
        [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, max-age=86400, immutable")];
    Ok((headers, jpeg).into_response())
}

fn draw(engine: &Engine, photo_id: PhotoId) -> Result<Vec<u8>, Failure> {
    if engine.catalog().photo(photo_id)?.is_none() {
        return Err(no_such_photo(photo_id));
    }
    let none = || RequestError::NoThumbnail { photo_id: photo_id.0 };
    let sketch = engine.stored_sketch(photo_id)?.ok_or_else(none)?;
    encode_jpeg(&sketch.picture(), THUMBNAIL_QUALITY).map_err(|_| none().into())
}

/// Addresses of pictures, as offers name them.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressesJson {
    /// At most 200.
    #[schema(max_items = 200)]
    urls: Vec<String>,
}

/// Which pictures of offers are stored
///
/// Of each address whose picture was fetched before, the photo; nothing is fetched.
#[utoipa::path(
    post, path = "/v1/pictures/by-address", tag = "pictures",
    request_body = AddressesJson,
    responses((status = 200, body = super::schema::ByAddress), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn by_address(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let (headers, body) = read_whole(&app, request).await?;
    must_be_json(&headers)?;
    let AddressesJson { urls } = parse_json(&body.bytes)?;
    if urls.len() > MAX_ADDRESSES {
        return Err(Failure::invalid(format!("urls has at most {MAX_ADDRESSES} addresses")));
    }
    let found = app.on_engine(move |engine| -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        for url in urls {
            let Some(canonical) = canonical_image_url(&url) else { continue };
            if let Some(photo_id) = engine.catalog().photo_by_url(&canonical)? {
                found.push(json!({"url": url, "photo_id": photo_id}));
            }
        }
        Ok(found)
    });
    Ok(axum::Json(json!({"pictures": found.await??})))
}

/// Removes a photo with everything that is stored about it
///
/// What was spent stays in the books.
#[utoipa::path(
    delete, path = "/v1/pictures/{photo_id}", tag = "pictures",
    params(("photo_id" = i64, Path, description = "As searches name it in `matched`")),
    responses((status = 200, body = super::schema::Forgotten), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    InPath(photo_id): InPath<i64>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_write()?;
    let photo_id = PhotoId(photo_id);
    let forgotten = app.on_engine(move |engine| engine.forget(&[photo_id])).await??;
    if forgotten.photo_ids.is_empty() {
        return Err(no_such_photo(photo_id));
    }
    Ok(axum::Json(json!({"id": photo_id, "forgotten": photo_id})))
}

/// Which stored pictures are meant.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct SimilarQuery {
    /// Pictures at the most; by default 10.
    #[param(minimum = 1, maximum = 200, default = 10)]
    count: Option<usize>,
    /// Only pictures of this kind.
    kind: Option<KindName>,
    /// Only pictures stored in the last so many days.
    #[param(maximum = 36500)]
    newer_than: Option<u32>,
    /// Only pictures stored longer ago, in days.
    #[param(maximum = 36500)]
    older_than: Option<u32>,
    /// Only pictures that this upstream has answered.
    answered_by: Option<String>,
    /// Only pictures that stand for goods of this category.
    category: Option<u64>,
    /// Only pictures that stand for goods from this price on, in yuan.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]
    price_min: Option<Price>,
    /// Only pictures that stand for goods up to this price.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$")]
    price_max: Option<Price>,
}

/// How a photo came to be stored.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[cfg_attr(feature = "mcp", derive(rmcp::schemars::JsonSchema), schemars(crate = "rmcp::schemars"))]
#[serde(rename_all = "snake_case")]
pub(super) enum KindName {
    /// It was searched with.
    Query,
    /// Of an own good.
    Own,
    /// Of an offer.
    Offer,
}

impl KindName {
    pub(super) fn kind(self) -> PhotoKind {
        match self {
            Self::Query => PhotoKind::Query,
            Self::Own => PhotoKind::Own,
            Self::Offer => PhotoKind::Offer,
        }
    }
}

/// The stored pictures that look most like this one
///
/// Exactly those, best first, without a verdict; never asks an upstream.
#[utoipa::path(
    post, path = "/v1/similar", tag = "search",
    params(SimilarQuery),
    request_body(description = "The picture", content(
        (super::schema::PictureBytes = "application/octet-stream"), (super::schema::PictureBytes = "image/jpeg"),
        (super::input::PictureForm = "multipart/form-data"), (super::input::PictureJson = "application/json"),
    )),
    responses((status = 200, body = super::schema::SimilarAnswer), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn similar(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<SimilarQuery>,
    request: Request,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    app.local.admit()?;
    let count = query.count.unwrap_or(10);
    if !(1..=MAX_SIMILAR).contains(&count) {
        return Err(Failure::invalid(format!("count is from 1 to {MAX_SIMILAR}")));
    }
    if [query.newer_than, query.older_than].into_iter().flatten().any(|days| days > 36_500) {
        return Err(Failure::invalid("newer_than and older_than are from 0 to 36500 days"));
    }
    if query.price_min.zip(query.price_max).is_some_and(|(min, max)| min > max) {
        return Err(Failure::invalid("price_min is above price_max"));
    }
    let now = app.clock.now();
    let filter = PhotoFilter {
        kind: query.kind.map(KindName::kind),
        added_since: query.newer_than.map(|days| now.minus(DAY * days)),
        added_before: query.older_than.map(|days| now.minus(DAY * days)),
        profile: query.answered_by,
        goods: GoodsFilter {
            category_id: query.category,
            price_min: query.price_min,
            price_max: query.price_max,
        },
    };
    let (headers, body) = read_whole(&app, request).await?;
    let deadline = app.deadline();
    let picture = Given::read(&headers, &body.bytes).await?.open(&app, deadline, Some(body.share)).await?;
    let id = picture.label.clone();
    let similar = app.on_engine(move |engine| engine.similar(&picture.bytes, count, &filter)).await??;
    Ok(axum::Json(json!({"id": id, "similar": similar})))
}
