//! The vendor TMAPI's dialect, for pictures at a public address.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};

use super::super::auth::Caller;
use super::super::input::{Given, PictureFile, read_whole};
use super::super::state::App;
use super::super::uploads::Upload;
use super::{caller_of, details as details_in, search as search_in};
use crate::config::Profile;
use crate::dialect::Refusal;
use crate::dialect::tmapi::{self as dialect, Fault, NOT_RETRIEVED, Named, Params, WRONG};

fn check(app: &App, query: &Params) -> Result<Caller, Fault> {
    Ok(caller_of(app, dialect::token(query), |known| known.profile == Profile::Tmapi)?)
}

async fn open(app: &App, url: &str) -> Result<PictureFile, Fault> {
    let given = Given::of_address(url, None).map_err(|_| NOT_RETRIEVED)?;
    given.open(app, app.deadline(), None).await.map_err(|_| NOT_RETRIEVED)
}

pub(in super::super) async fn convert(
    State(app): State<Arc<App>>,
    Query(query): Query<Params>,
    request: Request,
) -> Response {
    let converted = async {
        check(&app, &query)?;
        let (_, body) = read_whole(&app, request).await.map_err(|_| WRONG)?;
        let PictureFile { bytes, source_url, .. } = open(&app, &dialect::to_convert(&body.bytes)?).await?;
        Ok::<_, Fault>(dialect::converted(app.uploads.put(Upload { bytes, source_url }, Instant::now())))
    };
    converted.await.map_or_else(IntoResponse::into_response, |body| axum::Json(body).into_response())
}

pub(in super::super) async fn search(State(app): State<Arc<App>>, Query(query): Query<Params>) -> Response {
    ask(&app, &query).await.unwrap_or_else(IntoResponse::into_response)
}

async fn ask(app: &Arc<App>, query: &Params) -> Result<Response, Fault> {
    let caller = check(app, query)?;
    app.local.admit().map_err(|_| Fault::from(Refusal::TooFast))?;
    let (url, wish) = dialect::asked(query)?;
    let picture = match dialect::named(&url) {
        Named::Converted(id) => {
            let upload = app.uploads.get(id).ok_or(NOT_RETRIEVED)?;
            PictureFile::new(upload.bytes, "tmapi".to_owned(), upload.source_url, None)
        }
        Named::Elsewhere => open(app, &url).await?,
    };
    let found = search_in(app, "tmapi", &caller, &picture, &wish, None).await?;
    let page = dialect::page(&wish, found.total, &found.offers);
    Ok(found.around(axum::Json(page).into_response()))
}

pub(in super::super) async fn product(State(app): State<Arc<App>>, Query(query): Query<Params>) -> Response {
    let told = async {
        let caller = check(&app, &query)?;
        let offer_id = dialect::item_asked(&query)?;
        let found = details_in(&app, "tmapi", &caller, &offer_id).await?;
        let item = dialect::item(found.detail.as_ref());
        Ok::<_, Fault>(found.around(axum::Json(item).into_response()))
    };
    told.await.unwrap_or_else(IntoResponse::into_response)
}
