//! The gateway's search for a picture at an address, over a real socket.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tongkuan::clock::{Clock, ManualClock};
use tongkuan::engine::CachePolicy;
use tongkuan::upstream::aop::sign;
use tongkuan::upstream::{
    AopConfig, GuardPolicy, LinkplusUpstream, SearchParams, Secret, UploadLimits, UploadPicture, Upstream,
    UpstreamError, UpstreamErrorKind, UpstreamPage,
};

use super::fake::page_of;
use super::loopback::{Answer, Loopback, Seen};
use super::{MORNING, conformance_for, picture_at, picture_for, yuan};
use crate::fakes::{Bench, png, query};

const URL: &str = "https://pictures.example/a.jpg?sign=theirs";

fn client(server: &Loopback) -> LinkplusUpstream {
    let config = AopConfig {
        base_url: server.base.clone(),
        access_token: Some(Secret::new("access-token")),
        ..AopConfig::new("1000000", Secret::new("app-secret"))
    };
    LinkplusUpstream::new(config, Arc::new(ManualClock::at(MORNING))).unwrap()
}

fn answering(answer: &Value) -> Loopback {
    let answer = answer.clone();
    Loopback::new(move |_| Answer::Json(200, answer.clone()))
}

#[test]
fn the_linkplus_client_conforms() {
    let server = Loopback::new(|request: &Seen| {
        if request.target.contains("currentTime") {
            return Answer::Json(200, json!("20261124100000223+0800"));
        }
        let number = |name: &str| request.form_field(name).unwrap().parse().unwrap();
        let price = |name: &str| request.form_field(name).map(|text| yuan(&text));
        let page = page_of(price("priceMin"), price("priceMax"), number("page"), number("pageSize"));
        let row = |offer: &tongkuan::offer::Offer| {
            let fen = offer.price.unwrap().yuan() * rust_decimal::Decimal::ONE_HUNDRED;
            let fen: i64 = fen.try_into().unwrap();
            json!({ "offerId": offer.offer_id, "subject": offer.title, "oldPrice": fen })
        };
        let rows: Vec<Value> = page.offers.iter().map(row).collect();
        Answer::Json(200, json!({ "success": true, "result": { "total": page.total, "result": rows } }))
    });
    let client = client(&server);
    conformance_for(&client, &picture_at(&client, URL));
}

#[test]
fn a_search_is_one_signed_post_of_flat_parameters() {
    let row = json!({
        "offerId": 1_048_608_196_202_797_157_u64, "subject": "杯子", "oldPrice": 5990, "quantityBegin": 2,
        "imageUrl": "https://img.example/a.jpg", "detailUrl": "https://detail.1688.com/offer/1.html",
    });
    let server = answering(&json!({ "success": true, "result": { "total": 1, "result": [row] } }));
    let client = client(&server);
    let params = SearchParams::default().category_id(311).page(3).page_size(50);
    let page = client.search(&picture_at(&client, URL), &params).unwrap();
    let [request] = server.requests().try_into().unwrap();
    let path = "param2/1/com.alibaba.linkplus/alibaba.cross.similar.offer.search/1000000";
    assert_eq!(request.target, format!("/openapi/{path}"));
    let sent = [
        ("access_token", "access-token"),
        ("picUrl", URL),
        ("page", "3"),
        ("pageSize", "20"),
        ("categoryID", "311"),
    ];
    for (name, value) in sent {
        assert_eq!(request.form_field(name).as_deref(), Some(value), "{name}");
    }
    let signature = sign(path, &sent, &Secret::new("app-secret"));
    assert_eq!(request.form_field("_aop_signature"), Some(signature));
    let offer = &page.offers[0];
    assert_eq!((offer.offer_id.as_str(), offer.price), ("1048608196202797157", Some(yuan("59.90"))));
    assert_eq!((offer.min_order_quantity, page.total), (Some(2), Some(1)));
}

#[test]
fn a_picture_that_the_gateway_cannot_fetch_is_no_empty_answer() {
    let refused = json!({
        "code": "SYSTEM_ERROR", "success": false, "message": format!("handle image error with url {URL}"),
    });
    let nothing = json!({ "success": "true", "result": { "total": 0, "result": [] } });
    let silent = json!({ "success": true, "result": {} });
    for (answer, kind) in [
        (&refused, Err(UpstreamErrorKind::Image)),
        (&nothing, Ok(UpstreamPage { total: Some(0), ..UpstreamPage::default() })),
        (&silent, Err(UpstreamErrorKind::Unreadable)),
    ] {
        let server = answering(answer);
        let client = client(&server);
        let result = client.search(&picture_at(&client, URL), &SearchParams::default());
        let result = result.map_err(|error| {
            assert!(!error.to_string().contains("theirs"), "{error}");
            error.kind
        });
        assert_eq!(result, kind, "{answer}");
    }
}

#[test]
fn a_file_without_an_address_is_refused_before_anything_is_sent() {
    let server = answering(&json!({}));
    let client = client(&server);
    let error = client.search(&picture_for(&client), &SearchParams::default()).unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Param);
    assert!(error.message.contains("URL"), "{error}");
    assert!(server.requests().is_empty());
}

/// Notes under which address each picture comes.
#[derive(Default)]
struct ByAddress {
    addresses: Mutex<Vec<Option<String>>>,
    is_spent: AtomicBool,
}

impl Upstream for ByAddress {
    fn profile(&self) -> &'static str {
        "by-address"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 1000, takes_region: false }
    }

    fn max_page_size(&self) -> u32 {
        5
    }

    fn search(&self, picture: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        if self.is_spent.load(Ordering::SeqCst) {
            return Err(UpstreamError::new("by-address", UpstreamErrorKind::Quota, "spent", "nothing left"));
        }
        self.addresses.lock().unwrap().push(picture.source_url.clone());
        Ok(UpstreamPage { total: Some(0), ..UpstreamPage::default() })
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

#[test]
fn a_picture_without_an_address_goes_to_the_next_upstream_and_costs_nothing_at_the_first() {
    let bench = Bench::new();
    let server = answering(&json!({}));
    let engine = bench
        .builder()
        .upstream(Arc::new(client(&server)), GuardPolicy::default(), CachePolicy::default())
        .upstream(bench.upstream.clone(), GuardPolicy::default(), CachePolicy::default())
        .open()
        .unwrap();
    assert_eq!(engine.search(&query(&png(1))).unwrap().upstream_calls, 1);
    assert_eq!((server.requests().len(), bench.calls()), (0, 1));
    assert_eq!(engine.quota().unwrap()[0].used, 0);
}

#[test]
fn the_address_of_a_picture_reaches_the_upstream_at_once_and_out_of_the_queue() {
    let bench = Bench::new();
    let upstream = Arc::new(ByAddress::default());
    let engine = bench
        .builder()
        .upstream(upstream.clone(), GuardPolicy::default(), CachePolicy::default())
        .open()
        .unwrap();
    let (one, two) = (png(1), png(2));
    let at = |bytes, url| query(bytes).source_url(url).defer(0);
    let first = engine.search(&at(&one, "https://a.example/1")).unwrap();
    assert!(first.warnings.contains(&"by-address gives at most 5 offers a page".to_owned()), "{first:?}");
    upstream.is_spent.store(true, Ordering::SeqCst);
    let second = engine.search(&at(&two, "https://a.example/2")).unwrap();
    assert!(second.unanswered.unwrap().queued);
    upstream.is_spent.store(false, Ordering::SeqCst);
    bench.clock.sleep(Duration::from_hours(24));
    assert_eq!(engine.drain(None, &mut |_| {}).unwrap().answered, 1);
    let addresses = upstream.addresses.lock().unwrap().clone();
    assert_eq!(addresses, ["https://a.example/1", "https://a.example/2"].map(|url| Some(url.to_owned())));
}
