//! The dialect of the articles over a real socket.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tongkuan::clock::{Clock, ManualClock};
use tongkuan::upstream::{
    ArticleConfig, ArticleUpstream, Guard, GuardError, GuardPolicy, SearchParams, Secret, Upstream,
    UpstreamError, UpstreamErrorKind, UpstreamPage, WhyNot,
};

use super::fake::{MemoryLedger, page_of};
use super::loopback::{Answer, Loopback, Seen};
use super::{MORNING, conformance, picture_for, yuan};

const APP_SECRET: &str = "app-secret-9d1c";

/// Hands out `token-1`, `token-2`, ... for `life` seconds each, and answers searches from a list.
fn server(life: Value, searches: Vec<Answer>) -> Loopback {
    let tokens = AtomicU32::new(0);
    let searches = Mutex::new(VecDeque::from(searches));
    Loopback::new(move |request: &Seen| {
        if request.target.starts_with("/auth/requestToken?") {
            let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer::Json(
                200,
                json!({ "access_token": format!("token-{number}"), "expires_in": life }),
            );
        }
        searches.lock().unwrap().pop_front().unwrap_or_else(|| Answer::Json(200, empty()))
    })
}

fn empty() -> Value {
    json!({ "success": true, "total": 0, "products": [] })
}

fn refusal(code: &str) -> Value {
    json!({ "success": false, "error_code": code, "error_message": "no" })
}

fn client_at(base_url: &str, clock: Arc<ManualClock>, timeout: Duration) -> ArticleUpstream {
    let config = ArticleConfig {
        base_url: base_url.to_owned(),
        timeout,
        ..ArticleConfig::new("app-key", Secret::new(APP_SECRET))
    };
    ArticleUpstream::new(config, clock).unwrap()
}

fn client(server: &Loopback) -> ArticleUpstream {
    client_at(&server.base, Arc::new(ManualClock::at(MORNING)), Duration::from_secs(20))
}

fn search(client: &ArticleUpstream) -> Result<UpstreamPage, UpstreamError> {
    client.search(&picture_for(client), &SearchParams::default())
}

fn search_error(answers: Vec<Answer>) -> (UpstreamError, usize) {
    let server = server(json!(3600), answers);
    let error = search(&client(&server)).unwrap_err();
    (error, server.requests_to("imageSearch").len())
}

#[test]
fn the_article_client_conforms() {
    let server = Loopback::new(|request: &Seen| {
        if request.target.starts_with("/auth/") {
            return Answer::Json(200, json!({ "access_token": "t", "expires_in": "36000" }));
        }
        let number = |name| request.field(name).unwrap().parse().unwrap();
        let price = |name| request.field(name).map(|text| yuan(&text));
        let page = page_of(price("priceStart"), price("priceEnd"), number("pageNo"), number("pageSize"));
        let products: Vec<Value> = page
            .offers
            .iter()
            .map(|offer| {
                json!({
                    "productId": offer.offer_id,
                    "title": offer.title,
                    "price": offer.price,
                    "minOrderQuantity": offer.min_order_quantity,
                    "similarity": offer.similarity,
                    "imageUrl": offer.image_url,
                    "detailUrl": offer.detail_url,
                    "supplierInfo": { "companyName": "Workshop", "creditLevel": "5A" },
                })
            })
            .collect();
        Answer::Json(200, json!({ "success": true, "total": page.total, "products": products }))
    });
    conformance(&client(&server));
}

#[test]
fn a_search_asks_as_the_articles_say() {
    let server = server(json!(3600), vec![]);
    let client = client(&server);
    let picture = picture_for(&client);
    let params = SearchParams::default()
        .category_id(311)
        .price_min(yuan("5"))
        .price_max(yuan("7.50"))
        .page(2)
        .page_size(10);
    client.search(&picture, &params).unwrap();
    let [token, search] = server.requests().try_into().unwrap();
    assert_eq!(token.method, "GET");
    let query = format!("grant_type=client_credentials&client_id=app-key&client_secret={APP_SECRET}");
    assert_eq!(token.target, format!("/auth/requestToken?{query}"));
    assert_eq!(search.method, "POST");
    assert_eq!(search.target, "/openapi/param2/1/com.alibaba.product/alibaba.product.imageSearch");
    assert_eq!(search.header("authorization"), Some("Bearer token-1"));
    assert_eq!(search.header("user-agent"), Some(concat!("tongkuan/", env!("CARGO_PKG_VERSION"))));
    let (head, bytes) = search.part("image").unwrap();
    assert!(head.contains("filename=\"photo.jpg\"") && head.contains("image/jpeg"), "{head}");
    assert_eq!(bytes, picture.bytes);
    let fields =
        ["categoryId", "priceStart", "priceEnd", "pageNo", "pageSize"].map(|name| search.field(name));
    assert_eq!(fields.map(Option::unwrap), ["311", "5", "7.50", "2", "10"]);
}

#[test]
fn parameters_that_are_not_set_are_not_sent() {
    let server = server(json!(3600), vec![]);
    search(&client(&server)).unwrap();
    let request = &server.requests_to("imageSearch")[0];
    for name in ["categoryId", "priceStart", "priceEnd"] {
        assert_eq!(request.field(name), None);
    }
}

#[test]
fn every_known_way_of_writing_a_field_is_read() {
    let body = json!({ "success": "true", "total": "40", "products": [
        { "productId": "123456789012", "title": "cup", "price": "59.00", "minOrderQuantity": 2, "similarity": 92,
          "imageUrl": "//img.example/a.jpg", "detailUrl": "https://shop.example/1",
          "supplierInfo": { "companyName": "Workshop", "creditLevel": "5A" } },
        { "productId": 1_048_608_196_202_797_156_u64, "price": 59.9, "minOrderQuantity": "3", "similarity": 0.87 },
        { "title": "without an id" },
    ]});
    let server = server(json!(3600), vec![Answer::Json(200, body)]);
    let page = search(&client(&server)).unwrap();
    assert_eq!((page.total, page.skipped, page.offers.len()), (Some(40), 1, 2));
    let [first, second] = page.offers.try_into().unwrap();
    assert_eq!(first.offer_id.as_str(), "123456789012");
    assert_eq!(first.price.unwrap().to_string(), "59.00");
    assert_eq!((first.min_order_quantity, first.similarity), (Some(2), Some(92)));
    assert_eq!(first.image_url.as_deref(), Some("https://img.example/a.jpg"));
    assert_eq!(first.supplier.company_name.as_deref(), Some("Workshop"));
    assert_eq!(first.supplier.credit_level.as_deref(), Some("5A"));
    assert_eq!(second.offer_id.as_str(), "1048608196202797156");
    assert_eq!(second.price.unwrap().to_string(), "59.9");
    assert_eq!((second.min_order_quantity, second.similarity), (Some(3), Some(87)));
    assert_eq!((second.title.as_str(), second.detail_url), ("", None));
}

#[test]
fn a_token_is_kept_until_a_minute_before_its_end() {
    let server = server(json!("600"), vec![]);
    let clock = Arc::new(ManualClock::at(MORNING));
    let client = client_at(&server.base, Arc::clone(&clock), Duration::from_secs(20));
    search(&client).unwrap();
    clock.sleep(Duration::from_secs(539));
    search(&client).unwrap();
    assert_eq!(server.requests_to("requestToken").len(), 1);
    clock.sleep(Duration::from_secs(1));
    search(&client).unwrap();
    assert_eq!(server.requests_to("requestToken").len(), 2);
}

#[test]
fn many_searches_at_once_fetch_one_token() {
    let server = server(json!(3600), vec![]);
    let client = client(&server);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| search(&client).unwrap());
        }
    });
    assert_eq!(server.requests_to("requestToken").len(), 1);
    assert_eq!(server.requests_to("imageSearch").len(), 8);
}

#[test]
fn a_refused_token_is_replaced_once_and_the_search_made_again() {
    let server = server(json!(3600), vec![Answer::Json(401, refusal("40001"))]);
    search(&client(&server)).unwrap();
    assert_eq!(server.requests_to("requestToken").len(), 2);
    let bearers: Vec<_> = server
        .requests_to("imageSearch")
        .iter()
        .map(|request| request.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(bearers, ["Bearer token-1", "Bearer token-2"]);
}

#[test]
fn a_second_refusal_of_the_token_is_final() {
    let (error, searches) = search_error(vec![
        Answer::Json(200, refusal("40001")),
        Answer::Json(200, refusal("40001")),
        Answer::Json(200, empty()),
    ]);
    assert_eq!((error.kind, searches), (UpstreamErrorKind::Auth, 2));
}

#[test]
fn a_missing_permission_is_final_at_once() {
    for status in [200, 403] {
        let (error, searches) = search_error(vec![Answer::Json(status, refusal("40003"))]);
        assert_eq!((error.kind, error.code.as_str(), searches), (UpstreamErrorKind::Acl, "40003", 1));
    }
}

#[test]
fn an_error_inside_http_200_is_an_error() {
    let unnamed = json!({ "success": "false", "products": [] });
    let cases = [(refusal("40011"), UpstreamErrorKind::Image), (unnamed, UpstreamErrorKind::Transient)];
    for (body, kind) in cases {
        assert_eq!(search_error(vec![Answer::Json(200, body)]).0.kind, kind);
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_never_an_empty_answer() {
    let bodies = [
        json!({ "success": true }),
        json!({ "success": true, "products": "none" }),
        json!({ "success": true, "products": [{ "title": "no id" }] }),
        json!([]),
    ];
    for body in bodies {
        let (error, searches) = search_error(vec![Answer::Json(200, body)]);
        assert_eq!(
            (error.kind, error.code.as_str(), searches),
            (UpstreamErrorKind::Unreadable, "unreadable", 1)
        );
    }
    let truncated = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"success\":true,\"pro";
    let half = search_error(vec![Answer::Raw(truncated.to_vec())]).0;
    assert_eq!((half.kind, half.code.as_str()), (UpstreamErrorKind::Unreadable, "unreadable"));
}

#[test]
fn a_connection_cut_in_the_answer_is_transient_and_not_repeated_by_the_client() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{\"success\":true".to_vec();
    for bytes in [cut, Vec::new()] {
        let (error, searches) = search_error(vec![Answer::Raw(bytes)]);
        assert_eq!((error.kind, error.code.as_str()), (UpstreamErrorKind::Transient, "connection"));
        assert_eq!(searches, 1);
    }
}

#[test]
fn an_answer_that_does_not_come_or_only_drips_ends_with_the_timeout() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{".to_vec();
    for answer in [Answer::Hang(Vec::new()), Answer::Hang(half), Answer::Drip] {
        let server = server(json!(3600), vec![answer]);
        let clock = Arc::new(ManualClock::at(MORNING));
        let client = client_at(&server.base, clock, Duration::from_millis(400));
        let error = search(&client).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (UpstreamErrorKind::Transient, "timeout"), "{error}");
    }
}

#[test]
fn an_oversized_answer_is_not_read_to_its_end() {
    let announced = b"HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n".to_vec();
    assert_eq!(search_error(vec![Answer::Hang(announced)]).0.code, "oversized");
    let mut unannounced = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    unannounced.resize(33 * 1024 * 1024, b' ');
    assert_eq!(search_error(vec![Answer::Hang(unannounced)]).0.code, "oversized");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = server(json!(3600), vec![]);
    let location = format!("Location: {}/auth/requestToken?x", elsewhere.base);
    for status in [302, 307, 308] {
        let answer = Answer::JsonWith(status, vec![location.clone()], json!({}));
        let (error, searches) = search_error(vec![answer]);
        assert_eq!((error.kind, searches), (UpstreamErrorKind::Unsupported, 1));
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn trouble_before_the_search_is_no_search() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let clock = || Arc::new(ManualClock::at(MORNING));
    let nobody = client_at(&format!("http://{closed}"), clock(), Duration::from_secs(20));
    let error = search(&nobody).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (UpstreamErrorKind::Unreachable, "not_connected"));

    let server = Loopback::new(|_| Answer::Json(503, json!({})));
    let error = search(&client(&server)).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (UpstreamErrorKind::Unreachable, "503"));
    assert!(server.requests_to("imageSearch").is_empty());
}

#[test]
fn check_fetches_a_fresh_token_and_makes_no_search() {
    let server = server(json!(3600), vec![]);
    let client = client(&server);
    client.check().unwrap();
    client.check().unwrap();
    assert_eq!(server.requests_to("requestToken").len(), 2);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn no_secret_is_readable_in_an_error_or_a_configuration() {
    let mut texts = Vec::new();
    for status in [200, 400, 401, 503] {
        // A gateway that quotes what was sent to it, in every field that ends up in an error.
        let server = Loopback::new(move |request: &Seen| {
            let Some(bearer) = request.header("authorization") else {
                return Answer::Json(200, json!({ "access_token": "token-1", "expires_in": 3600 }));
            };
            let words = format!("{bearer} of {APP_SECRET} is wrong");
            Answer::Json(status, json!({ "success": false, "error_code": bearer, "error_message": words }))
        });
        let client = client(&server);
        let error = search(&client).unwrap_err();
        assert!(error.message.contains("is wrong"), "{error}");
        texts.push(format!("{error} {error:?} {client:?}"));
    }
    let server = server(json!(3600), vec![Answer::Raw(b"nonsense\r\n\r\n".to_vec())]);
    let error = search(&client(&server)).unwrap_err();
    texts.push(format!("{error} {error:?}"));
    for answer in [|| Answer::Raw(Vec::new()), || Answer::Hang(Vec::new())] {
        let server = Loopback::new(move |_| answer());
        let clock = Arc::new(ManualClock::at(MORNING));
        let client = client_at(&server.base, clock, Duration::from_millis(300));
        let error = client.check().unwrap_err();
        texts.push(format!("{error} {error:?}"));
    }
    let config = ArticleConfig::new("app-key", Secret::new(APP_SECRET));
    texts.push(format!("{config:?}"));
    for base_url in
        ["ftp://x", "not an address", "http://user:app-secret-9d1c@x", "http://x/?k=app-secret-9d1c"]
    {
        let config = ArticleConfig { base_url: base_url.to_owned(), ..config.clone() };
        let error = ArticleUpstream::new(config, Arc::new(ManualClock::at(MORNING))).unwrap_err();
        assert_eq!(error.code, "config");
        texts.push(format!("{error} {error:?}"));
    }
    for text in texts {
        for secret in [APP_SECRET, "token-1", "client_secret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

fn guarded(server: &Loopback) -> (Guard, Arc<ManualClock>, Arc<MemoryLedger>) {
    let clock = Arc::new(ManualClock::at(MORNING));
    let client = client_at(&server.base, Arc::clone(&clock), Duration::from_secs(20));
    let ledger = Arc::new(MemoryLedger::default());
    let guard = Guard::new(
        Arc::new(client),
        Arc::clone(&ledger) as _,
        Arc::clone(&clock) as _,
        GuardPolicy::default(),
    );
    (guard, clock, ledger)
}

#[test]
fn too_fast_is_waited_out_for_as_long_as_the_gateway_asks() {
    let seconds = Answer::JsonWith(429, vec!["Retry-After: 7".into()], refusal("429"));
    let date =
        Answer::JsonWith(429, vec!["Retry-After: Tue, 24 Nov 2026 02:00:30 GMT".into()], refusal("429"));
    let server = server(json!(3600), vec![seconds, date]);
    let (guard, clock, ledger) = guarded(&server);
    let picture = picture_for(&client(&server));
    let asked = guard.search(&picture, &SearchParams::default()).unwrap();
    assert_eq!((asked.calls, ledger.spent()), (1, 1), "the two refused calls cost nothing");
    assert_eq!(server.requests_to("imageSearch").len(), 3);
    assert_eq!(clock.now(), MORNING.plus(Duration::from_secs(30)));
}

#[test]
fn a_spent_quota_is_asked_for_once_an_hour_in_case_more_was_bought() {
    let spent =
        json!({ "success": false, "error_code": "429", "reason": "daily_quota", "error_message": "all" });
    let server = server(json!(3600), vec![Answer::Json(429, spent)]);
    let (guard, clock, ledger) = guarded(&server);
    let picture = picture_for(&client(&server));
    let told = guard.search(&picture, &SearchParams::default()).unwrap_err();
    assert!(
        matches!(&told, GuardError::Upstream { error, calls: 0 } if error.kind == UpstreamErrorKind::Quota)
    );
    for _ in 0..3 {
        let known = guard.search(&picture, &SearchParams::default()).unwrap_err();
        assert!(
            matches!(&known, GuardError::BreakerOpen { until, .. } if *until == MORNING.plus(Duration::from_hours(1)))
        );
        assert_eq!(known.why_not(), Some(WhyNot::QuotaSpent));
    }
    assert_eq!((server.requests_to("imageSearch").len(), ledger.spent()), (1, 0));
    clock.sleep(Duration::from_hours(1));
    guard.search(&picture, &SearchParams::default()).unwrap();
}
