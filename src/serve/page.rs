//! `/` and `/page/...`: the page for people. Its files are as they are in the folder `page/`: no build step, and nothing comes
//! from elsewhere.

use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::request_error::RequestError;
use crate::photo::Digest;

/// Scripts and styles are files of this server; pictures may also be what scripts made of answers (`blob:`, `data:`). Nothing is
/// sent elsewhere, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";
const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($name:literal $kind:expr),+ $(,)?) => {
        &[$(Asset { name: $name, kind: $kind, text: include_str!(concat!("page/", $name)) }),+]
    };
}

/// Everything under `/page/`.
const ASSETS: &[Asset] = assets![
    "api.js" SCRIPT,
    "app.js" SCRIPT,
    "ask.js" SCRIPT,
    "boot.js" SCRIPT,
    "charts.js" SCRIPT,
    "dom.js" SCRIPT,
    "en.json" JSON,
    "i18n.js" SCRIPT,
    "icon.svg" SVG,
    "key.js" SCRIPT,
    "many.js" SCRIPT,
    "metrics.js" SCRIPT,
    "offers.js" SCRIPT,
    "overview.js" SCRIPT,
    "page.css" CSS,
    "pair.js" SCRIPT,
    "prefs.js" SCRIPT,
    "reviews.js" SCRIPT,
    "search.js" SCRIPT,
    "verdict.js" SCRIPT,
    "wide.js" SCRIPT,
    "zh.json" JSON,
];

const INDEX: &str = include_str!("page/index.html");
/// Where the language stands that the page begins in.
const LANGUAGE_PLACE: &str = "<html lang=\"en\">";

/// The language of the page that a browser would rather have: `zh` or `en`, and `en` where it has neither.
fn language_of(headers: &HeaderMap) -> &'static str {
    let wanted =
        headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let ranges = wanted.split(',').filter_map(|range| {
        let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
        let primary = tag.trim().split('-').next()?.to_ascii_lowercase();
        let language = ["zh", "en"].into_iter().find(|language| *language == primary)?;
        let weight = weight.trim().strip_prefix("q=").map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
        Some((language, weight))
    });
    // Of equal weights, the first.
    let best = ranges.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.filter(|(_, weight)| *weight > 0.0).map_or("en", |(language, _)| language)
}

/// `"` and 16 hexadecimal digits of the text's digest and `"`.
fn etag(text: &str) -> String {
    format!("\"{:.16}\"", Digest::of(text.as_bytes()).to_string())
}

/// Whether the browser has this text already.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == etag)
}

/// A text that the browser keeps, and asks about each time: after an update it gets the new one at once.
fn answer(headers: &HeaderMap, kind: &'static str, etag: &str, text: &'static str) -> Response {
    let own = [
        (header::ETAG, etag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    if is_known(headers, etag) {
        return (StatusCode::NOT_MODIFIED, own).into_response();
    }
    (own, [(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The page, in the browser's language.
pub(super) async fn index(headers: HeaderMap) -> Response {
    static PAGES: OnceLock<[(&str, String, String); 2]> = OnceLock::new();
    let pages = PAGES.get_or_init(|| {
        ["en", "zh"].map(|language| {
            let tag = if language == "zh" { "zh-Hans" } else { language };
            let text = INDEX.replace(LANGUAGE_PLACE, &format!("<html lang=\"{tag}\">"));
            (language, etag(&text), text)
        })
    });
    let language = language_of(&headers);
    let (_, etag, text) = if language == "zh" { &pages[1] } else { &pages[0] };
    let more = [
        (header::VARY, "accept-language"),
        (header::CONTENT_LANGUAGE, language),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ];
    (more, answer(&headers, HTML, etag, text)).into_response()
}

/// One of the page's files.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    static ETAGS: OnceLock<Vec<String>> = OnceLock::new();
    let etags = ETAGS.get_or_init(|| ASSETS.iter().map(|asset| etag(asset.text)).collect());
    let Some((asset, etag)) = ASSETS.iter().zip(etags).find(|(asset, _)| asset.name == name) else {
        return RequestError::NoSuchPath.into_response();
    };
    answer(&headers, asset.kind, etag, asset.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_that_the_browser_puts_first() {
        let told = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, text.parse().unwrap());
            language_of(&headers)
        };
        for zh in ["zh", "zh-CN", "ZH-hans-CN,en;q=0.9", "fr, zh;q=0.5", "en;q=0.3,zh;q=0.8", "de,zh-TW,en"] {
            assert_eq!(told(zh), "zh", "{zh}");
        }
        for en in ["", "en-GB,zh;q=0.9", "fr", "*", "zh;q=0", "zhx", "en,zh", ";;,q="] {
            assert_eq!(told(en), "en", "{en}");
        }
    }

    #[test]
    fn the_pages_first_language_has_its_place() {
        assert_eq!(INDEX.matches(LANGUAGE_PLACE).count(), 1);
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/page");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        files.sort();
        assert_eq!(files, ASSETS.iter().map(|asset| asset.name).collect::<Vec<_>>());
    }
}
