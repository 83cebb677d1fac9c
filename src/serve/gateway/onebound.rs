//! The vendor OneBound's dialect. `imgid` is a public address, or what an upload here has given.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::auth::Caller;
use super::super::input::{Given, PictureFile, read_whole};
use super::super::requests::new_id;
use super::super::state::App;
use super::super::uploads::Upload;
use super::{caller_of, details as details_in, search as search_in};
use crate::config::Profile;
use crate::dialect::Refusal;
use crate::dialect::onebound::{self as dialect, BAD_DATA, Fault, MAINTENANCE, NOT_FETCHED, Params};
use crate::photo::PhotoFormat;

fn check(app: &App, query: &Params) -> Result<Caller, Fault> {
    let (key, secret) = dialect::credentials(query);
    let key = key.unwrap_or_default();
    let is_app = |known: &super::GatewayApp| known.profile == Profile::Onebound && known.app_key == key;
    Ok(caller_of(app, secret, is_app)?)
}

/// What is told one who is not let in: nothing of the account.
fn refuse(fault: Fault) -> Response {
    answer_of(Err(fault), None)
}

fn answer_of(result: Result<Value, Fault>, account: Option<(u32, u32)>) -> Response {
    axum::Json(dialect::reply(result, account, &format!("gw-{}", new_id()))).into_response()
}

/// Every other answer states the account of the day, here that of all upstreams together.
async fn reply(app: &Arc<App>, result: Result<Value, Fault>) -> Response {
    let engine = Arc::clone(&app.engine);
    let reports = tokio::task::spawn_blocking(move || engine.quota()).await.ok().and_then(Result::ok);
    let account = reports.unwrap_or_default().iter().fold((0_u32, 0_u32), |(used, max), report| {
        (used.saturating_add(report.used), max.saturating_add(report.budget))
    });
    answer_of(result, Some(account))
}

pub(in super::super) async fn upload(
    State(app): State<Arc<App>>,
    Query(query): Query<Params>,
    request: Request,
) -> Response {
    if let Err(fault) = check(&app, &query) {
        return refuse(fault);
    }
    let result = match app.local.admit() {
        Ok(()) => take(&app, request).await,
        Err(_) => Err(Refusal::TooFast.into()),
    };
    reply(&app, result).await
}

async fn take(app: &App, request: Request) -> Result<Value, Fault> {
    let (headers, body) = read_whole(app, request).await.map_err(|_| BAD_DATA)?;
    let form: Params = url::form_urlencoded::parse(&body.bytes).into_owned().collect();
    let bytes = STANDARD.decode(dialect::uploaded(&form)?).map_err(|_| BAD_DATA)?;
    match PhotoFormat::sniff(&bytes) {
        Ok(PhotoFormat::WebP) | Err(_) => return Err(BAD_DATA),
        Ok(_) => {}
    }
    let id = app.uploads.put(Upload { bytes: bytes.into(), source_url: None }, Instant::now());
    Ok(dialect::upload(Some(&format!("{}/uploaded/{id}.jpg", base_url(app, &headers)))))
}

/// As the client has reached it.
fn base_url(app: &App, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.map_or_else(|| format!("http://{}", app.options.listen), |host| format!("http://{host}"))
}

pub(in super::super) async fn search(
    State(app): State<Arc<App>>,
    Query(query): Query<Params>,
    headers: HeaderMap,
) -> Response {
    let caller = match check(&app, &query) {
        Ok(caller) => caller,
        Err(fault) => return refuse(fault),
    };
    match ask(&app, &caller, &query, &headers).await {
        Ok((body, found)) => found.around(reply(&app, Ok(body)).await),
        Err(fault) => reply(&app, Err(fault)).await,
    }
}

async fn ask(
    app: &Arc<App>,
    caller: &Caller,
    query: &Params,
    headers: &HeaderMap,
) -> Result<(Value, super::Answered), Fault> {
    app.local.admit().map_err(|_| Fault::from(Refusal::TooFast))?;
    if app.is_draining() {
        return Err(MAINTENANCE);
    }
    let (imgid, wish) = dialect::asked(query)?;
    let own = imgid.strip_prefix(&base_url(app, headers)).is_some_and(|path| path.starts_with("/uploaded/"));
    let picture = if own {
        let upload = dialect::upload_id(&imgid).and_then(|id| app.uploads.get(id)).ok_or(NOT_FETCHED)?;
        PictureFile::new(upload.bytes, "onebound".to_owned(), upload.source_url, None)
    } else {
        let given = Given::of_address(&imgid, None).map_err(|_| NOT_FETCHED)?;
        given.open(app, app.deadline(), None).await.map_err(|_| NOT_FETCHED)?
    };
    let found = search_in(app, "onebound", caller, &picture, &wish, None).await?;
    Ok((dialect::page(&wish, found.total, &found.offers), found))
}

pub(in super::super) async fn product(State(app): State<Arc<App>>, Query(query): Query<Params>) -> Response {
    let caller = match check(&app, &query) {
        Ok(caller) => caller,
        Err(fault) => return refuse(fault),
    };
    let told = async {
        let offer_id = dialect::item_asked(&query)?;
        let found = details_in(&app, "onebound", &caller, &offer_id).await?;
        Ok::<_, Fault>((dialect::item(found.detail.as_ref()), found))
    };
    match told.await {
        Ok((item, found)) => found.around(reply(&app, Ok(item)).await),
        Err(fault) => reply(&app, Err(fault)).await,
    }
}
