//! `/openapi.json` (OpenAPI 3.1, made of the code), `/docs` and `/`: what there is to ask, for programs and for people.

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{
    account, check, compare, error_list, offers, pictures, probes, reviews, schema, scrape, search, verdicts,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tongkuan",
        description = "Have we seen this picture before, and what did 1688 say about it? Options are in the query, whichever way a \
                       picture comes. Errors are problem details (RFC 9457) with stable codes."
    ),
    paths(
        search::search, check::check, pictures::similar, pictures::add, pictures::get, pictures::thumbnail, pictures::delete,
        offers::find, offers::get, offers::ask, offers::history, verdicts::tell, verdicts::export, reviews::list,
        reviews::compared, reviews::decide, reviews::put_aside, compare::compare, pictures::by_address, account::quota, account::stats,
        probes::livez, probes::readyz, scrape::metrics,
    ),
    components(responses(schema::ProblemResponse), schemas(super::problem::Problem, schema::PictureBytes, super::input::PictureForm, pictures::KindName)),
    security((), ("bearer" = []), ("header" = [])),
    modifiers(&Keys)
)]
struct Document;

/// How a key is sent, where one is needed.
struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = document.components.as_mut() else { return };
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("x-api-key"));
        components.add_security_scheme("header", SecurityScheme::ApiKey(header));
    }
}

/// The document as JSON.
pub(super) fn document() -> String {
    let mut document = Document::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    document.to_json().unwrap_or_default()
}

pub(super) async fn json() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:2rem auto;padding:0 1rem}\
code{font-size:.95em}section{border-top:1px solid color-mix(in srgb,currentColor 25%,transparent);padding:.6rem 0}\
h3{margin:.2rem 0;font-size:1rem}.m{display:inline-block;min-width:4.5rem;font-weight:700}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}td:first-child{white-space:nowrap}:target{outline:2px solid}";

fn page(title: &str, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    Html(page.into_string())
}

/// All operations, from the document.
pub(super) async fn docs() -> Html<String> {
    let document: Value = serde_json::from_str(&document()).unwrap_or_default();
    let empty = serde_json::Map::new();
    let paths = document["paths"].as_object().unwrap_or(&empty);
    page(
        "Tongkuan: API",
        &html! {
            h1 { "What can be asked here" }
            p { (document["info"]["description"].as_str().unwrap_or_default()) }
            p { a href="/openapi.json" { "The same as OpenAPI 3.1" } ", " a href="/docs/errors" { "error codes" } }
            @for (path, operations) in paths {
                @for (method, operation) in operations.as_object().unwrap_or(&empty) {
                    section {
                        h3 { span.m { (method.to_uppercase()) } code { (path) } }
                        p {
                            (operation["summary"].as_str().unwrap_or_default()) ". "
                            (operation["description"].as_str().unwrap_or_default())
                        }
                        @if let Some(kinds) = operation["requestBody"]["content"].as_object() {
                            p { "Body: " @for (place, kind) in kinds.keys().enumerate() { @if place > 0 { ", " } code { (kind) } } }
                        }
                        @if let Some(params) = operation["parameters"].as_array() {
                            table {
                                @for param in params {
                                    tr {
                                        td { code { (param["name"].as_str().unwrap_or_default()) } }
                                        td { (param["description"].as_str().unwrap_or_default()) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The list of codes that is in the source, as a page: problem details lead here.
pub(super) async fn errors() -> Html<String> {
    page(
        "Tongkuan: error codes",
        &html! {
            h1 { "What error codes mean" }
            table {
                tr { th { "code" } th { "what happened" } th { "what to do" } }
                @for row in error_list::rows() {
                    @for code in row.codes {
                        tr id=(code) { td { code { (code) } } td { (row.what) } td { (row.remedy) } }
                    }
                }
            }
        },
    )
}
