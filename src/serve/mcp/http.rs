//! `POST /mcp`: the tool for agents over HTTP, with the keys and limits of the service.
//!
//! Without sessions: each request stands for itself, so nothing grows with the number of clients, and a restart interrupts nobody.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse as _, Response};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use super::super::auth::Caller;
use super::super::input::read_whole;
use super::super::problem::Failure;
use super::super::state::App;
use super::agent::{Agent, Connection};

pub(in crate::serve) async fn post(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Failure> {
    caller.may_read()?;
    app.local.admit()?;
    let (mut parts, body) = request.into_parts();
    let head = Request::from_parts(parts.clone(), body);
    let (_, whole) = read_whole(&app, head).await?;
    // The request's memory is held for as long as it is worked on.
    parts.extensions.insert(Arc::new(whole.share));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // Who may ask from where is the service's own door.
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(usize::try_from(app.options.max_body_bytes).unwrap_or(usize::MAX));
    let agent = Agent::new(app, Connection::Http);
    let service = StreamableHttpService::new(
        move || Ok(agent.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let response = service.handle(Request::from_parts(parts, Body::from(whole.bytes))).await;
    Ok(response.map(Body::new).into_response())
}
