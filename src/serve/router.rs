//! Which path belongs to which handler.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use axum::middleware;
use axum::routing::{get, post};
use tower_http::cors::CorsLayer;

use super::request_error::RequestError;
use super::state::App;
use super::{
    account, auth, check, compare, gateway, offers, openapi, page, pictures, probes, requests, reviews,
    scrape, search, verdicts,
};

pub(super) fn router(app: &Arc<App>) -> Router {
    let gated = Router::new()
        .route("/v1/search", post(search::search))
        .route("/v1/check", post(check::check))
        .route("/v1/similar", post(pictures::similar))
        .route("/v1/pictures", post(pictures::add))
        .route("/v1/pictures/by-address", post(pictures::by_address))
        .route("/v1/pictures/{photo_id}", get(pictures::get).delete(pictures::delete))
        .route("/v1/pictures/{photo_id}/thumbnail", get(pictures::thumbnail))
        .route("/v1/compare/{photo_id}", post(compare::compare))
        .route("/v1/offers", get(offers::find))
        .route("/v1/offers/{offer_id}", get(offers::get).post(offers::ask))
        .route("/v1/offers/{offer_id}/history", get(offers::history))
        .route("/v1/verdicts", get(verdicts::export).post(verdicts::tell))
        .route("/v1/reviews", get(reviews::list))
        .route("/v1/reviews/{review_id}", post(reviews::decide).delete(reviews::put_aside))
        .route("/v1/reviews/{review_id}/comparison", get(reviews::compared))
        .route("/v1/quota", get(account::quota))
        .route("/v1/stats", get(account::stats))
        .route("/metrics", get(scrape::metrics));
    #[cfg(feature = "mcp")]
    let gated = if app.options.mcp { gated.route("/mcp", post(super::mcp::http::post)) } else { gated };
    let gated = gated
        .method_not_allowed_fallback(method)
        .layer(middleware::from_fn_with_state(Arc::clone(app), auth::gate));
    let open = Router::new()
        .route("/", get(page::index))
        .route("/page/{name}", get(page::asset))
        .route("/docs", get(openapi::docs))
        .route("/docs/errors", get(openapi::errors))
        .route("/openapi.json", get(openapi::json))
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .method_not_allowed_fallback(method);
    let mut all = gated.merge(open);
    if app.options.gateway {
        all = all.merge(gateway::router());
    }
    let all = all
        .fallback(async || RequestError::NoSuchPath)
        // Handlers have their own limits, which say so in problem details.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(app), requests::around));
    let origins: Vec<HeaderValue> =
        app.options.allowed_origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    let all = if origins.is_empty() {
        all
    } else {
        let headers = [
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("mcp-protocol-version"),
            HeaderName::from_static("x-request-id"),
        ];
        let shown =
            ["x-tongkuan", "x-tongkuan-age", "x-request-id", "retry-after"].map(HeaderName::from_static);
        let cors = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers(headers)
            .expose_headers(shown);
        all.layer(cors)
    };
    all.with_state(Arc::clone(app))
}

async fn method(request: Request<axum::body::Body>) -> RequestError {
    RequestError::Method { method: request.method().as_str().chars().take(20).collect() }
}
