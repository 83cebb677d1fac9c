//! The vendor TMAPI over a real socket.

use std::sync::Arc;

use serde_json::{Value, json};
use tongkuan::clock::ManualClock;
use tongkuan::upstream::{
    Region, SearchParams, Secret, TmapiConfig, TmapiUpstream, Upstream, UpstreamErrorKind,
};

use super::fake::page_of;
use super::loopback::{Answer, Loopback, Seen};
use super::{MORNING, conformance_for, picture_at, picture_for, yuan};

const AT_ALIBABA: &str = "https://cbu01.alicdn.com/img/ibank/a.jpg";
const ELSEWHERE: &str = "https://shop.example/a.jpg?sign=theirs";

fn client(server: &Loopback) -> TmapiUpstream {
    let config =
        TmapiConfig { base_url: server.base.clone(), ..TmapiConfig::new(Secret::new("tmapi-token-77")) };
    TmapiUpstream::new(config, Arc::new(ManualClock::at(MORNING))).unwrap()
}

fn vendor() -> Loopback {
    Loopback::new(|request: &Seen| {
        if request.target.contains("convert_url") {
            let data = json!({ "image_url": "/search/imgextra/1_q7.jpg" });
            return Answer::Json(200, json!({ "code": 200, "msg": "success", "data": data }));
        }
        let Some(_) = request.query_field("img_url") else {
            return Answer::Json(200, json!({ "code": 422, "msg": "img_url is missing" }));
        };
        let number = |name| request.query_field(name).unwrap().parse().unwrap();
        let price = |name| request.query_field(name).map(|text| yuan(&text));
        let page = page_of(price("price_start"), price("price_end"), number("page"), number("page_size"));
        let items: Vec<Value> = page
            .offers
            .iter()
            .map(|offer| {
                let id: u64 = offer.offer_id.as_str().parse().unwrap();
                json!({ "item_id": id, "title": offer.title, "price": offer.price })
            })
            .collect();
        let data = json!({ "total_count": page.total, "items": items });
        Answer::Json(200, json!({ "code": 200, "msg": "success", "data": data }))
    })
}

#[test]
fn the_tmapi_client_conforms() {
    let server = vendor();
    let client = client(&server);
    conformance_for(&client, &picture_at(&client, AT_ALIBABA));
    assert!(server.requests_to("convert_url").is_empty(), "a picture at Alibaba is taken as it is");
}

#[test]
fn a_picture_elsewhere_gets_an_address_at_the_vendor_first() {
    let server = vendor();
    let client = client(&server);
    client.search(&picture_at(&client, ELSEWHERE), &SearchParams::default()).unwrap();
    let [convert, search] = server.requests().try_into().unwrap();
    assert_eq!((convert.method.as_str(), search.method.as_str()), ("POST", "GET"));
    let body: Value = serde_json::from_slice(&convert.body).unwrap();
    assert_eq!(body, json!({ "url": ELSEWHERE, "search_api_endpoint": "/1688/search/image" }));
    assert_eq!(search.query_field("img_url").as_deref(), Some("/search/imgextra/1_q7.jpg"));
    for request in [convert, search] {
        assert_eq!(request.query_field("apiToken").as_deref(), Some("tmapi-token-77"));
    }
}

#[test]
fn what_the_vendor_cannot_search_for_is_refused_before_anything_is_sent() {
    let server = vendor();
    let client = client(&server);
    let at = picture_at(&client, AT_ALIBABA);
    let region = Region::new(0, 0, 10, 10);
    for (picture, params) in [
        (picture_for(&client), SearchParams::default()),
        (picture_at(&client, "file:///etc/passwd"), SearchParams::default()),
        (at.clone(), SearchParams::default().region(region)),
        (at, SearchParams::default().category_id(7)),
    ] {
        let error = client.search(&picture, &params).unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::Param, "{error}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_page_is_never_asked_to_be_larger_than_the_vendor_takes() {
    let server = vendor();
    let client = client(&server);
    let params = SearchParams::default().page_size(50);
    client.search(&picture_at(&client, AT_ALIBABA), &params).unwrap();
    assert_eq!(server.requests()[0].query_field("page_size").as_deref(), Some("20"));
    assert_eq!(client.max_page_size(), 20);
}

#[test]
fn a_dead_address_blames_the_picture_and_the_token_is_in_no_message() {
    let server = Loopback::new(|request: &Seen| {
        let code = if request.target.contains("convert_url") { 417 } else { 439 };
        Answer::Json(200, json!({ "code": code, "msg": "tmapi-token-77 is not welcome" }))
    });
    let client = client(&server);
    for (url, kind) in [(ELSEWHERE, UpstreamErrorKind::Image), (AT_ALIBABA, UpstreamErrorKind::Quota)] {
        let picture = picture_at(&client, url);
        let error = client.search(&picture, &SearchParams::default()).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        let said = format!("{error} {error:?} {client:?} {picture:?}");
        assert!(!said.contains("tmapi-token-77") && !said.contains("theirs"), "{said}");
    }
}
