//! The dialect of the common articles, from a server that stands before an upstream.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest as _, Multipart, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};

use super::super::auth::{Caller, caller_of_id, caller_of_key};
use super::super::input::{PictureFile, discard, share_for};
use super::super::state::App;
use super::{caller_of, details as details_in, refusal_of_key, search as search_in, token as tokens};
use crate::dialect::Refusal;
use crate::dialect::article::{self as dialect, DetailRequest, Search, TokenRequest};

pub(in super::super) async fn token(
    State(app): State<Arc<App>>,
    Query(asked): Query<TokenRequest>,
) -> Response {
    if !asked.is_for_client_credentials() {
        return dialect::bad_client();
    }
    let id = asked.client_id.as_deref().unwrap_or_default();
    let caller = caller_of(&app, asked.client_secret.as_deref(), |known| {
        known.is_of_platform() && known.app_key == id
    });
    match caller {
        Ok(caller) => dialect::token(&tokens::issue(&app, &caller), tokens::TTL.as_secs()),
        Err(Refusal::BadToken) => dialect::bad_client(),
        Err(refusal) => dialect::refused(refusal),
    }
}

/// Who sends this token: one that was issued here, or a key of the service.
fn bearer_of(app: &App, token: Option<&str>) -> Result<Caller, Refusal> {
    let token = token.ok_or(Refusal::BadToken)?;
    let caller = match tokens::holder(&app.token_secret, token, app.clock.now()) {
        Some("owner") => return Ok(Caller::owner()),
        // A key may have been revoked since.
        Some(key_id) => caller_of_id(app, key_id),
        None => caller_of_key(app, token),
    };
    caller.map_err(|failure| refusal_of_key(&failure))
}

pub(in super::super) async fn search(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request).await.unwrap_or_else(|refusal| *refusal)
}

async fn answer(app: &Arc<App>, request: Request) -> Result<Response, Box<Response>> {
    let refused = |refusal| Box::new(dialect::refused(refusal));
    let caller = match bearer_of(app, dialect::bearer(request.headers())) {
        Ok(caller) => caller,
        Err(refusal) => {
            discard(app, request.into_body()).await;
            return Err(refused(refusal));
        }
    };
    app.local.admit().map_err(|_| refused(Refusal::TooFast))?;
    let share = share_for(app, request.body()).map_err(|_| refused(Refusal::TooFast))?;
    let max_bytes = usize::try_from(app.options.max_body_bytes).unwrap_or(usize::MAX);
    let request = request.map(|body| Body::new(http_body_util::Limited::new(body, max_bytes)));
    let reading = async {
        match Multipart::from_request(request, &()).await {
            Ok(form) => Search::read(form, max_bytes).await,
            Err(rejection) => Err(dialect::bad_parameter(&rejection.body_text())),
        }
    };
    let form = tokio::time::timeout(app.options.read_timeout, reading).await;
    let Search { image, wish } =
        form.map_err(|_| dialect::bad_parameter("the form did not arrive in time"))??;
    let picture = PictureFile::new(image, "article".to_owned(), None, Some(share));
    let found = search_in(app, "article", &caller, &picture, &wish, None).await.map_err(refused)?;
    let page = dialect::page(&wish, found.total, &found.offers);
    Ok(found.around(axum::Json(page).into_response()))
}

pub(in super::super) async fn product(
    State(app): State<Arc<App>>,
    Query(asked): Query<DetailRequest>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let refused = |refusal| Box::new(dialect::refused(refusal));
        let caller = bearer_of(&app, dialect::bearer(&headers)).map_err(refused)?;
        let offer_id = asked.offer_id()?;
        let found = details_in(&app, "article", &caller, &offer_id).await.map_err(refused)?;
        let product = dialect::product(found.detail.as_ref());
        Ok::<_, Box<Response>>(found.around(axum::Json(product).into_response()))
    };
    answer.await.unwrap_or_else(|refusal| *refusal)
}
