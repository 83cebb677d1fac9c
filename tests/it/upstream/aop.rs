//! The open platform's dialect over a real socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use serde_json::{Value, json};
use tongkuan::clock::ManualClock;
use tongkuan::upstream::aop::sign;
use tongkuan::upstream::{
    AopConfig, AopUpstream, SearchParams, Secret, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage,
};

use super::fake::page_of;
use super::loopback::{Answer, Loopback, Seen};
use super::{MORNING, conformance, picture_for, yuan};

const NAMESPACE: &str = "param2/1/com.alibaba.fenxiao.crossborder";

fn client(server: &Loopback) -> AopUpstream {
    let config = AopConfig {
        base_url: server.base.clone(),
        access_token: Some(Secret::new("access-token")),
        ..AopConfig::new("1000000", Secret::new("app-secret"))
    };
    AopUpstream::new(config, Arc::new(ManualClock::at(MORNING))).unwrap()
}

fn uploaded(id: &Value) -> Answer {
    Answer::Json(200, json!({ "result": { "success": "true", "code": "200", "result": id } }))
}

fn answering(answers: Vec<Answer>) -> Loopback {
    let answers = Mutex::new(VecDeque::from(answers));
    Loopback::new(move |_| answers.lock().unwrap().pop_front().unwrap_or(Answer::Json(500, json!({}))))
}

fn search(server: &Loopback) -> Result<UpstreamPage, UpstreamError> {
    let client = client(server);
    client.search(&picture_for(&client), &SearchParams::default())
}

#[test]
fn the_aop_client_conforms() {
    let server = Loopback::new(|request: &Seen| {
        if request.target.contains("currentTime") {
            return Answer::Json(200, json!("20261124100000223+0800"));
        }
        if request.target.contains("image.upload") {
            return uploaded(&json!("1048608196202797156"));
        }
        let query: Value = serde_json::from_str(&request.form_field("offerQueryParam").unwrap()).unwrap();
        let number = |name: &str| usize::try_from(query[name].as_u64().unwrap()).unwrap();
        let price = |name: &str| query[name].as_str().map(yuan);
        let page = page_of(price("priceStart"), price("priceEnd"), number("beginPage"), number("pageSize"));
        let row = |offer: &tongkuan::offer::Offer| {
            let id: u64 = offer.offer_id.as_str().parse().unwrap();
            json!({ "offerId": id, "subject": offer.title, "priceInfo": { "price": offer.price } })
        };
        let data: Vec<Value> = page.offers.iter().map(row).collect();
        let result = json!({ "totalRecords": page.total, "data": data });
        Answer::Json(200, json!({ "result": { "success": "true", "code": "200", "result": result } }))
    });
    conformance(&client(&server));
}

#[test]
fn a_search_is_an_upload_and_a_query_both_signed() {
    let data = json!([{
        "offerId": 1_048_608_196_202_797_157_u64, "subject": "杯子", "subjectTrans": "cup",
        "priceInfo": { "price": "59.00" }, "imageUrl": "https://img.example/a.jpg", "minOrderQuantity": 2,
        "companyName": "Workshop", "sellerDataInfo": { "tradeMedalLevel": "5" },
    }]);
    let found = json!({ "result": { "success": true, "result": { "totalRecords": 1, "data": data } } });
    let server = answering(vec![uploaded(&json!("77")), Answer::Json(200, found)]);
    let client = client(&server);
    let picture = picture_for(&client);
    let page = client.search(&picture, &SearchParams::default()).unwrap();
    let [upload, query] = server.requests().try_into().unwrap();
    for (request, call, name) in [
        (&upload, "product.image.upload", "uploadImageParam"),
        (&query, "product.search.imageQuery", "offerQueryParam"),
    ] {
        let path = format!("{NAMESPACE}/{call}/1000000");
        assert_eq!((request.method.as_str(), &request.target), ("POST", &format!("/openapi/{path}")));
        let value = request.form_field(name).unwrap();
        let signature =
            sign(&path, &[(name, &value), ("access_token", "access-token")], &Secret::new("app-secret"));
        assert_eq!(request.form_field("_aop_signature"), Some(signature));
        assert_eq!(request.form_field("access_token").as_deref(), Some("access-token"));
    }
    let sent: Value = serde_json::from_str(&upload.form_field("uploadImageParam").unwrap()).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&picture.bytes);
    assert_eq!(sent, json!({ "imageBase64": base64 }));
    let sent: Value = serde_json::from_str(&query.form_field("offerQueryParam").unwrap()).unwrap();
    assert_eq!(sent, json!({ "imageId": "77", "beginPage": 1, "pageSize": 20, "country": "en" }));
    let offer = &page.offers[0];
    assert_eq!((offer.offer_id.as_str(), offer.title.as_str()), ("1048608196202797157", "杯子"));
    assert_eq!((offer.price, offer.similarity), (Some(yuan("59.00")), None));
    assert_eq!(offer.supplier.company_name.as_deref(), Some("Workshop"));
}

#[test]
fn the_image_id_zero_or_none_is_trouble_with_the_picture() {
    for id in [json!("0"), json!(0), json!(null), json!("")] {
        let server = answering(vec![uploaded(&id)]);
        let error = search(&server).unwrap_err();
        assert_eq!((error.kind, server.requests().len()), (UpstreamErrorKind::Image, 1), "{id}");
    }
}

#[test]
fn a_refusal_is_found_at_every_level_of_the_envelope() {
    let gateway = json!({ "error_code": "gw.APIACLDecline", "error_message": "AppKey is not allowed(acl)" });
    let inner = json!({ "result": { "success": "false", "code": "401", "message": "access-token is old" } });
    let outer =
        json!({ "success": false, "code": "SYSTEM_ERROR", "message": "handle image error with url x" });
    let cases = [
        (400, gateway.clone(), UpstreamErrorKind::Acl),
        (200, gateway, UpstreamErrorKind::Acl),
        (200, inner, UpstreamErrorKind::Auth),
        (200, outer, UpstreamErrorKind::Image),
        (200, json!({ "result": { "success": "true", "result": {} } }), UpstreamErrorKind::Unreadable),
        (502, json!(null), UpstreamErrorKind::Transient),
    ];
    for (status, body, kind) in cases {
        let server = answering(vec![uploaded(&json!("77")), Answer::Json(status, body.clone())]);
        let error = search(&server).unwrap_err();
        assert_eq!(error.kind, kind, "{body}");
        let text = format!("{error} {error:?} {:?}", client(&server));
        assert!(!text.contains("access-token") && !text.contains("app-secret"), "{text}");
    }
}

#[test]
fn a_key_that_does_not_fit_in_an_address_is_refused() {
    let config = AopConfig::new("a/b", Secret::new("s"));
    let error = AopUpstream::new(config, Arc::new(ManualClock::at(MORNING))).unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (UpstreamErrorKind::Param, "config"));
}
