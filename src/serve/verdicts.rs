//! `/v1/verdicts`: what people say of pairs outranks every score.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::auth::Caller;
use super::idempotency;
use super::input::{Given, NDJSON, PictureFile, PictureJson, must_be_json, parse_json, read_whole};
use super::problem::Failure;
use super::state::App;
use crate::engine::{Engine, PhotoRef, Sameness};
use crate::photo::Digest;
use crate::photo_id::PhotoId;

/// One of two pictures: a stored photo, or another, which is stored if it is not.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Side {
    /// As searches name it in `matched`.
    photo_id: Option<i64>,
    /// The picture's file in base64, in its place.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// Where the picture is to be fetched, in its place.
    #[schema(format = "uri")]
    url: Option<String>,
    /// What the file is called, for people.
    #[schema(max_length = 256)]
    label: Option<String>,
}

/// What is said of two pictures.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerdictJson {
    one: Side,
    other: Side,
    /// Whether they show the same; null takes back what was said.
    same: Option<bool>,
}

enum Named {
    Photo(PhotoId),
    File(PictureFile),
}

impl Side {
    async fn named(self, app: &Arc<App>) -> Result<Named, Failure> {
        let Self { photo_id, image, url, label } = self;
        match (photo_id, &image, &url) {
            (Some(number), None, None) => Ok(Named::Photo(PhotoId(number))),
            (None, Some(_), None) | (None, None, Some(_)) => {
                let given = Given::of_json(PictureJson { image, url, label })?;
                Ok(Named::File(given.open(app, app.deadline(), None).await?))
            }
            _ => Err(Failure::invalid("a side has one of photo_id, image and url")),
        }
    }
}

impl Named {
    fn photo_ref(&self) -> PhotoRef<'_> {
        match self {
            Self::Photo(photo_id) => PhotoRef::Photo(*photo_id),
            Self::File(file) => PhotoRef::File { bytes: &file.bytes, label: &file.label },
        }
    }
}

/// Remembers what a person says of two pictures, or takes it back: what is answered then.
pub(super) fn said(
    engine: &Engine,
    one: PhotoRef<'_>,
    other: PhotoRef<'_>,
    same: Option<bool>,
) -> Result<Value, Failure> {
    let Some(same) = same else {
        let forgotten = engine.forget_told(one, other)?;
        return Ok(json!({"id": null, "forgotten": forgotten}));
    };
    let sameness = if same { Sameness::Same } else { Sameness::Different };
    let mut value = serde_json::to_value(engine.tell(one, other, sameness)?).unwrap_or_default();
    value["id"] = Value::Null;
    Ok(value)
}

/// Says of two pictures that they are the same, or that they are not
#[utoipa::path(
    post, path = "/v1/verdicts", tag = "verdicts",
    params(("Idempotency-Key" = Option<String>, Header, description = "With the same key and request, the first answer is given again for 24 hours")),
    request_body = VerdictJson,
    responses((status = 200, body = super::schema::Told), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn tell(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Failure> {
    caller.may_write()?;
    app.local.admit()?;
    let asked = idempotency::Asked::of(&request)?;
    let (headers, body) = read_whole(&app, request).await?;
    must_be_json(&headers)?;
    let asked = asked.with_body(&headers, &body.bytes);
    idempotency::once(&app, &caller, asked, async |_| {
        let VerdictJson { one, other, same } = parse_json(&body.bytes)?;
        let (one, other) = (one.named(&app).await?, other.named(&app).await?);
        let telling = Arc::clone(&app);
        let told = app.on_engine(move |engine| -> Result<Value, Failure> {
            let told = said(engine, one.photo_ref(), other.photo_ref(), same)?;
            // The review of the pair, if there is one, is decided with it.
            if let (Named::File(file), Named::Photo(photo_id)) | (Named::Photo(photo_id), Named::File(file)) =
                (&one, &other)
            {
                let closed_at = same.map(|_| telling.clock.now());
                telling.store.set_pair_closed(Digest::of(&file.bytes), *photo_id, closed_at)?;
            }
            Ok(told)
        });
        Ok(axum::Json(told.await??).into_response())
    })
    .await
}

/// All that was said, a line a pair, as `tongkuan verdicts export` writes it
#[utoipa::path(
    get, path = "/v1/verdicts", tag = "verdicts",
    responses((status = 200, body = super::schema::VerdictLine, content_type = "application/x-ndjson"), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    caller.may_read()?;
    let place = app.batches.place(app.deadline()).await?;
    let (tell, told) = mpsc::channel::<Result<Bytes, std::io::Error>>(16);
    tokio::task::spawn_blocking(move || {
        let send = |value: &Value| tell.blocking_send(Ok(Bytes::from(format!("{value}\n")))).is_ok();
        if send(&json!({"tongkuan_verdicts": 1})) {
            let each = app
                .engine
                .each_verdict(&mut |line| serde_json::to_value(&line).is_ok_and(|value| send(&value)));
            if let Err(error) = each {
                tracing::error!(%error, code = error.code(), "an export of verdicts broke off");
                // The client must not take half for the whole.
                let _ = tell.blocking_send(Err(std::io::Error::other(error.to_string())));
            }
        }
        drop(place);
    });
    let lines = stream::unfold(told, |mut told| async move { Some((told.recv().await?, told)) });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}
