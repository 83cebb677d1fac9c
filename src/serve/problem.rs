//! How does a client hear that something went wrong? As problem details (RFC 9457) with the stable codes of `docs/errors.md`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::request_error::RequestError;
use super::store::ServeStoreError;
use crate::catalog::CatalogError;
use crate::engine::EngineError;
use crate::fetch::FetchError;
use crate::input::SourceProblem;
use crate::offer::OfferIdError;

pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Problem details.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Where the code is explained, on this server.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#not_a_picture")]
    kind: String,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, and what to do, for people.
    detail: String,
    /// The error's code, for programs; never renamed.
    #[schema(example = "not_a_picture")]
    code: &'static str,
    /// Search calls that were made, and perhaps billed, before it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_calls: Option<u32>,
}

/// Whatever ends a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Address(#[from] SourceProblem),
    #[error(transparent)]
    OfferId(#[from] OfferIdError),
    #[error(transparent)]
    Store(#[from] ServeStoreError),
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::Engine(error.into())
    }
}

impl Failure {
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Request(RequestError::Invalid(text.into()))
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::Fetch(error) => error.code(),
            Self::Address(error) => error.code(),
            Self::OfferId(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Request(error) => status_of_request(error),
            Self::Engine(error) => status_of_engine(error),
            Self::Fetch(_) | Self::Address(_) | Self::OfferId(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Calls that were made, where that is known of this failure: a request that never came to a place to work cost nothing, one
    /// that was given up on the way may have.
    pub(super) fn calls_if_known(&self) -> Option<u32> {
        match self {
            Self::Engine(EngineError::Upstream(error)) => Some(error.calls()),
            Self::Engine(error) if error.is_input_error() || error.is_interrupted() => Some(0),
            Self::Request(
                RequestError::Overloaded { .. } | RequestError::TimedOut | RequestError::Draining,
            ) => Some(0),
            _ => None,
        }
    }

    /// Calls that were paid, or may have been.
    fn upstream_calls(&self) -> Option<u32> {
        match self {
            Self::Engine(EngineError::Upstream(error)) => Some(error.calls()),
            _ => None,
        }
    }
}

fn status_of_request(error: &RequestError) -> StatusCode {
    use RequestError as E;
    match error {
        E::Invalid(_) => StatusCode::BAD_REQUEST,
        E::NoSuchPath | E::NoSuchOffer | E::NoSuchReview | E::NoThumbnail { .. } => StatusCode::NOT_FOUND,
        E::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        E::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        E::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        E::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        E::Overloaded { .. } | E::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        E::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        E::Draining => StatusCode::SERVICE_UNAVAILABLE,
        E::KeyMissing | E::KeyUnknown => StatusCode::UNAUTHORIZED,
        E::Forbidden { .. } | E::Origin { .. } | E::PathOutside { .. } | E::AddNotAllowed => {
            StatusCode::FORBIDDEN
        }
        E::Host { .. } => StatusCode::MISDIRECTED_REQUEST,
        E::IdempotencyReused => StatusCode::UNPROCESSABLE_ENTITY,
        E::IdempotencyRunning | E::IdempotencyUnknown => StatusCode::CONFLICT,
        E::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn status_of_engine(error: &EngineError) -> StatusCode {
    match error.code() {
        "too_many_bytes" | "too_many_pixels" | "too_much_memory" => StatusCode::PAYLOAD_TOO_LARGE,
        "no_such_photo" => StatusCode::NOT_FOUND,
        "one_photo" => StatusCode::CONFLICT,
        "deadline_passed" | "cancelled" => StatusCode::GATEWAY_TIMEOUT,
        _ if error.is_input_error() => StatusCode::UNPROCESSABLE_ENTITY,
        _ if matches!(error, EngineError::Upstream(_)) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        if status.is_server_error() {
            tracing::error!(code, error = %self, "a request failed");
        }
        let problem = Problem {
            kind: format!("/docs/errors#{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.to_string(),
            code,
            upstream_calls: self.upstream_calls(),
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Self::Request(error) = &self {
            if let Some(secs) = error.retry_after_secs() {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
            }
            if matches!(error, RequestError::KeyMissing | RequestError::KeyUnknown) {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            if matches!(error, RequestError::TooSlow { .. } | RequestError::TooLarge { .. }) {
                // What is left of the body is not waited for.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        response
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}
