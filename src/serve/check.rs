//! `POST /v1/check`: was each of these pictures seen before? One, several, or a stream of lines without end.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::idempotency;
use super::input::{Given, NDJSON, Params, PictureJson, checked_label, read_whole};
use super::pool::BodyShare;
use super::problem::Failure;
use super::request_error::RequestError;
use super::reviews;
use super::state::App;
use super::turn::Turn;
use crate::cancel::{Cancel, Interrupt};
use crate::doors::{self, CheckedLine};
use crate::engine::{
    CheckItem, CheckListener, CheckOptions, CheckStats, Checked, Engine, EngineError, SecondLook,
};
use crate::fetch::Fetch;
use crate::input::PictureSource;

/// Lines that were read and not yet taken, and answers that were given and not yet sent: a slow reader slows the check.
const LINES_AHEAD: usize = 16;
/// After how long it is worth asking again where as many streams are open as may be.
const STREAM_RETRY_SECS: u64 = 5;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct CheckQuery {
    /// Store what is not seen, so that copies of it are seen from then on.
    add: bool,
    /// Look for stored pictures inside of every picture that is not seen as a whole.
    thorough: bool,
    /// Your own key of the picture: it is carried through, and names the picture when copies of it are seen later.
    #[param(max_length = 256)]
    key: Option<String>,
}

/// A line of a stream of pictures.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckLine {
    /// What the answer's line is called.
    id: Option<String>,
    /// Your own key of the picture.
    #[schema(max_length = 256)]
    key: Option<String>,
    /// The picture's file in base64.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// Where the picture is to be fetched, in its place.
    #[schema(format = "uri")]
    url: Option<String>,
}

/// Whatever is wrong with one row.
#[derive(Debug)]
struct RowError(Failure);

impl From<EngineError> for RowError {
    fn from(error: EngineError) -> Self {
        Self(error.into())
    }
}

/// What a row is known by.
struct Place {
    id: String,
    key: Option<String>,
}

type Read = Box<dyn FnOnce() -> Result<Vec<u8>, RowError> + Send>;
type Row = (u64, Place, Result<CheckItem<Read>, RowError>);

fn line_of(place: &Place, row: u64, outcome: Result<&Checked, &RowError>) -> CheckedLine {
    let mut line = CheckedLine::new(row, &place.id, place.key.as_deref());
    match outcome {
        Ok(checked) => line.take_checked(checked),
        Err(RowError(failure)) => line.take_error(&failure.to_string(), Some(failure.code())),
    }
    line
}

/// Sends the lines on as they are told of.
struct Sender<F: FnMut(CheckedLine) -> bool> {
    send: F,
    stop: Cancel,
}

impl<F: FnMut(CheckedLine) -> bool> CheckListener<Place, RowError> for Sender<F> {
    fn line(&self, row: u64, place: &Place, outcome: Result<&Checked, &RowError>) -> Option<String> {
        Some(line_of(place, row, outcome).to_line())
    }

    fn told(&mut self, row: u64, place: Place, outcome: Result<Checked, RowError>) {
        if !(self.send)(line_of(&place, row, outcome.as_ref())) {
            // Nobody listens any more.
            self.stop.cancel();
        }
    }
}

fn options_of(query: &CheckQuery, run_id: Option<i64>) -> CheckOptions {
    let second_look = if query.thorough { SecondLook::Always } else { SecondLook::WhenLikely };
    CheckOptions { add: query.add, second_look, run_id, ..CheckOptions::default() }
}

fn check_all(
    engine: &Engine,
    rows: impl Iterator<Item = Row> + Send + 'static,
    options: CheckOptions,
    stop: &Cancel,
    send: impl FnMut(CheckedLine) -> bool,
) -> Result<(), EngineError> {
    let mut sender = Sender { send, stop: stop.clone() };
    engine.check_all(rows, options, &CheckStats::default(), &stop.clone().into(), &mut sender).map(|_| ())
}

/// Was each of these pictures seen before?
///
/// A picture in any of the usual forms gets one object, and a form with several pictures a line for each, in their order. Lines of JSON (`application/x-ndjson`) get a line each, as soon as
/// it is known: both streams may go on without end. With `add`, what is not seen is stored in the same step.
#[utoipa::path(
    post, path = "/v1/check", tag = "search",
    params(CheckQuery, ("Idempotency-Key" = Option<String>, Header, description = "With the same key and request, the first answer is given again for 24 hours; not for streams")),
    request_body(description = "The picture, or a line of JSON for each of many", content(
        (super::schema::PictureBytes = "application/octet-stream"), (super::schema::PictureBytes = "image/jpeg"),
        (super::input::PictureForm = "multipart/form-data"), (PictureJson = "application/json"),
        (CheckLine = "application/x-ndjson"),
    )),
    responses(
        (status = 200, content((super::schema::CheckedLine = "application/json"), (super::schema::CheckedLine = "application/x-ndjson"))),
        (status = "default", response = super::schema::ProblemResponse)
    )
)]
pub(super) async fn check(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<CheckQuery>,
    request: Request,
) -> Result<Response, Failure> {
    caller.may_read()?;
    if query.add {
        caller.may_write()?;
    }
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with(NDJSON) {
        return stream_of(app, query, request.into_body());
    }
    app.local.admit()?;
    let key = query.key.clone().map(checked_label).transpose()?;
    let asked = idempotency::Asked::of(&request)?;
    let (headers, body) = read_whole(&app, request).await?;
    let mut pictures = Given::read_all(&headers, &body.bytes).await?;
    if pictures.len() > 1 {
        if asked.key().is_some() || key.is_some() {
            return Err(Failure::invalid(
                "key and Idempotency-Key go with one picture: send one, or lines of JSON",
            ));
        }
        return several_of(app, query, pictures, body.share).await;
    }
    let given = pictures.pop().ok_or(RequestError::Panicked)?;
    let asked = asked.with_body(&headers, &body.bytes);
    // What was stored by a run that was killed is found under this name, in the transaction of the picture itself.
    let run_name =
        asked.key().filter(|_| query.add).map(|key| format!("idempotency {} {key}", caller.scope()));
    idempotency::once(&app, &caller, asked, async |began| {
        let deadline = app.deadline();
        let picture = given.open(&app, deadline, Some(body.share)).await?;
        let engine = Arc::clone(&app.engine);
        let (bytes, label) = (picture.bytes.clone(), picture.label.clone());
        let job = move |_| -> Result<Value, Failure> {
            let run_id = run_name.map(|name| engine.check_run(&name, began.is_some())).transpose()?;
            let kept = match run_id {
                Some(run_id) if began.is_some() => engine.kept_check_lines(run_id)?.pop(),
                _ => None,
            };
            let line = match kept.and_then(|(_, text)| serde_json::from_str(&text).ok()) {
                Some(line) => Ok(line),
                None => check_one(&engine, &query, key, picture.label.clone(), picture.bytes.clone(), run_id),
            };
            // What failed on the way may be taken up.
            let is_done = line.as_ref().map_or_else(|failure| failure.status().is_client_error(), |_| true);
            if let Some(run_id) = run_id.filter(|_| is_done) {
                engine.end_check_run(run_id)?;
            }
            line
        };
        let line = app.local.run(deadline, job).await??;
        app.metrics.count_check(line["outcome"].as_str().unwrap_or_default());
        if line["outcome"] == "review" {
            reviews::keep(&app, &caller, &bytes, &label, line["matched_photo_id"].as_i64(), &line).await;
        }
        Ok(axum::Json(line).into_response())
    })
    .await
}

/// One picture of a caller that has no request of its own to take up again.
#[cfg(feature = "mcp")]
pub(super) async fn check_picture(
    app: &Arc<App>,
    picture: super::input::PictureFile,
    add: bool,
    thorough: bool,
    key: Option<String>,
) -> Result<Value, Failure> {
    let query = CheckQuery { add, thorough, key: None };
    let engine = Arc::clone(&app.engine);
    let job = move |_| check_one(&engine, &query, key, picture.label.clone(), picture.bytes.clone(), None);
    let line = app.local.run(app.deadline(), job).await??;
    app.metrics.count_check(line["outcome"].as_str().unwrap_or_default());
    Ok(line)
}

/// Keeps the one row, and its error as an error.
struct Only(Option<Result<CheckedLine, RowError>>);
impl CheckListener<Place, RowError> for Only {
    fn line(&self, row: u64, place: &Place, outcome: Result<&Checked, &RowError>) -> Option<String> {
        Some(line_of(place, row, outcome).to_line())
    }
    fn told(&mut self, row: u64, place: Place, outcome: Result<Checked, RowError>) {
        self.0 = Some(outcome.map(|checked| line_of(&place, row, Ok(&checked))));
    }
}

/// One picture; an error of its own is the request's.
fn check_one(
    engine: &Engine,
    query: &CheckQuery,
    key: Option<String>,
    label: String,
    bytes: Bytes,
    run_id: Option<i64>,
) -> Result<Value, Failure> {
    let name = key.clone().unwrap_or_else(|| label.clone());
    let read: Read = Box::new(move || Ok(bytes.to_vec()));
    let row = (0, Place { id: label, key }, Ok(CheckItem { label: name, read }));
    let mut only = Only(None);
    let stats = CheckStats::default();
    engine.check_all([row], options_of(query, run_id), &stats, &Interrupt::never(), &mut only)?;
    match only.0 {
        Some(Ok(line)) => Ok(serde_json::from_str(&line.to_line()).unwrap_or_default()),
        Some(Err(RowError(failure))) => Err(failure),
        None => Err(RequestError::Panicked.into()),
    }
}

/// The pictures of one form, and a line for each. What is wrong with one of them is said in its line.
async fn several_of(
    app: Arc<App>,
    query: CheckQuery,
    pictures: Vec<Given>,
    share: BodyShare,
) -> Result<Response, Failure> {
    let (engine, fetcher) = (Arc::clone(&app.engine), app.fetcher.clone());
    let (pool, deadline) = (Arc::clone(&app.batches), app.deadline());
    let job = move |_| -> Result<Vec<String>, EngineError> {
        let rows = pictures.into_iter().zip(0..).map(move |(given, row)| {
            let name = match &given {
                Given::File { label, .. } if !label.is_empty() => label.clone(),
                Given::Address { address, .. } => PictureSource::Address(address.clone()).name(),
                Given::File { .. } => row.to_string(),
            };
            let item = read_of(given, fetcher.clone()).map(|read| CheckItem { label: name.clone(), read });
            (row, Place { id: name, key: None }, item.map_err(RowError))
        });
        let (mut lines, stop) = (Vec::new(), Cancel::new());
        let keep = |line: CheckedLine| {
            lines.push(line.to_line() + "\n");
            app.metrics.count_check(line.text("outcome").unwrap_or_default());
            true
        };
        check_all(&engine, rows, options_of(&query, None), &stop, keep)?;
        drop(share);
        Ok(lines)
    };
    let lines = pool.run(deadline, job).await??;
    Ok(([(header::CONTENT_TYPE, NDJSON)], lines.concat()).into_response())
}

/// Lines in, lines out, both while they come.
fn stream_of(app: Arc<App>, query: CheckQuery, body: Body) -> Result<Response, Failure> {
    if app.is_draining() {
        return Err(RequestError::Draining.into());
    }
    let open = Arc::clone(&app.streams).try_acquire_owned();
    let open = open.map_err(|_| RequestError::Overloaded { retry_after_secs: STREAM_RETRY_SECS })?;
    let turn = Turn::new(&app.batches);
    let (put, taken) = std::sync::mpsc::sync_channel::<Row>(LINES_AHEAD);
    let (tell, told) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(LINES_AHEAD);
    let stop = Cancel::new();
    tokio::spawn(read_lines(Arc::clone(&app), body, put, stop.clone()));
    tokio::task::spawn_blocking(move || {
        let tell_line = |line: CheckedLine| {
            app.metrics.count_check(line.text("outcome").unwrap_or_default());
            turn.tell(&tell, Ok(Bytes::from(line.to_line() + "\n")))
        };
        let rows = Arc::clone(&turn).rows(taken);
        if let Err(error) = check_all(&app.engine, rows, options_of(&query, None), &stop, tell_line) {
            tracing::error!(%error, code = error.code(), "a stream of checks failed");
            let mut line = CheckedLine::new(u64::MAX, "", None);
            line.set("row", Value::Null);
            line.take_error(&error.to_string(), Some(error.code()));
            turn.end();
            let _ = tell.blocking_send(Ok(Bytes::from(line.to_line() + "\n")));
        }
        turn.end();
        drop(open);
    });
    let lines = stream::unfold(told, |mut told| async move { Some((told.recv().await?, told)) });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

/// Takes the body apart into lines, each within the limit of one request.
async fn read_lines(app: Arc<App>, body: Body, put: std::sync::mpsc::SyncSender<Row>, stop: Cancel) {
    let limit = usize::try_from(app.options.max_body_bytes).unwrap_or(usize::MAX).saturating_mul(4) / 3;
    let mut chunks = body.into_data_stream();
    // `searched`: so many bytes of `rest` hold no end of a line.
    let (mut rest, mut searched, mut row) = (Vec::new(), 0, 0);
    let mut is_open = true;
    while is_open && !stop.is_cancelled() {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            // A line that has not come to its end by then is not looked at, so it has no answer either.
            () = app.until_draining() => return,
        };
        if let Some(Ok(chunk)) = chunk {
            rest.extend_from_slice(&chunk);
        } else {
            is_open = false;
            if !rest.ends_with(b"\n") {
                rest.push(b'\n');
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = rest[searched..].iter().position(|byte| *byte == b'\n').map(|at| at + searched)
        {
            let line: Vec<u8> = rest.drain(..=end).collect();
            searched = 0;
            if !line.iter().all(u8::is_ascii_whitespace) {
                let Some(share) = app.bodies.wait_for(line.len() as u64).await else { return };
                lines.push(row_of(&app, row, &line, share));
                row += 1;
            }
        }
        searched = rest.len();
        if rest.len() > limit {
            let place = Place { id: row.to_string(), key: None };
            let limit_bytes = app.options.max_body_bytes;
            lines.push((row, place, Err(RowError(RequestError::TooLarge { limit_bytes }.into()))));
            // What follows a line without an end is none.
            is_open = false;
        }
        // A full channel is waited for on a thread that may wait.
        let put = put.clone();
        let sent = tokio::task::spawn_blocking(move || lines.into_iter().all(|line| put.send(line).is_ok()));
        is_open &= sent.await.unwrap_or(false);
    }
}

/// `share` is of the line's bytes, and is kept until its picture is read.
fn row_of(app: &App, row: u64, line: &[u8], share: BodyShare) -> Row {
    let parsed = serde_json::from_slice::<CheckLine>(line).map_err(|error| {
        RowError(Failure::invalid(format!("the line is not the JSON that is wanted: {error}")))
    });
    let line = match parsed {
        Ok(line) => line,
        Err(error) => return (row, Place { id: row.to_string(), key: None }, Err(error)),
    };
    let id = line.id.clone().or_else(|| line.key.clone()).unwrap_or_else(|| row.to_string());
    let place = Place { id, key: line.key.clone() };
    let item = item_of(app, line, &place, share);
    (row, place, item.map_err(RowError))
}

fn item_of(app: &App, line: CheckLine, place: &Place, share: BodyShare) -> Result<CheckItem<Read>, Failure> {
    let name = checked_label(place.key.clone().unwrap_or_else(|| place.id.clone()))?;
    let is_named = line.id.is_some() || line.key.is_some();
    let given = Given::of_json(PictureJson { image: line.image, url: line.url, label: None })?;
    let label = match &given {
        Given::Address { address, .. } if !is_named => PictureSource::Address(address.clone()).name(),
        _ => name,
    };
    let read = read_of(given, app.fetcher.clone())?;
    let read: Read = Box::new(move || {
        let _until_read = share;
        read()
    });
    Ok(CheckItem { label, read })
}

/// Reads or fetches a picture once it is its turn.
fn read_of(given: Given, fetcher: Option<Arc<dyn Fetch + Send>>) -> Result<Read, Failure> {
    match given {
        Given::File { bytes, .. } => Ok(Box::new(move || Ok(bytes.to_vec()))),
        Given::Address { address, .. } => {
            let fetcher = fetcher.ok_or_else(|| Failure::invalid("this server may not fetch pictures"))?;
            Ok(Box::new(move || {
                let fetch = |address: &str| Fetch::fetch(fetcher.as_ref(), address);
                let fetched = doors::fetch_largest(&address, fetch);
                fetched.map(|(bytes, _)| bytes).map_err(|error| RowError(error.into()))
            }))
        }
    }
}
