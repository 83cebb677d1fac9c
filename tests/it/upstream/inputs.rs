//! What each dialect sends of a question and reads of an offer; what it has no words for is refused, never left out.

use std::sync::Arc;

use serde_json::{Value, json};
use tongkuan::clock::ManualClock;
use tongkuan::offer::{Offer, OfferId};
use tongkuan::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, LinkplusUpstream, OneboundConfig,
    OneboundUpstream, SearchParams, Secret, Sort, TmapiConfig, TmapiUpstream, Upstream, UpstreamErrorKind,
    WeightUnit,
};

use super::loopback::{Answer, Loopback, Seen};
use super::{MORNING, picture_at, picture_for, yuan};

/// A picture's address that every dialect takes as it is.
const URL: &str = "https://cbu01.alicdn.com/img/ibank/a.jpg";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(MORNING))
}

fn gateway(server: &Loopback) -> AopConfig {
    AopConfig {
        base_url: server.base.clone(),
        access_token: Some(Secret::new("access-token")),
        ..AopConfig::new("1000000", Secret::new("app-secret"))
    }
}

fn aop(server: &Loopback) -> AopUpstream {
    AopUpstream::new(gateway(server), clock()).unwrap()
}

fn linkplus(server: &Loopback) -> LinkplusUpstream {
    LinkplusUpstream::new(gateway(server), clock()).unwrap()
}

fn onebound(server: &Loopback) -> OneboundUpstream {
    let config = OneboundConfig {
        base_url: server.base.clone(),
        ..OneboundConfig::new(Secret::new("onebound-key"), Secret::new("onebound-secret"))
    };
    OneboundUpstream::new(config, clock()).unwrap()
}

fn tmapi(server: &Loopback) -> TmapiUpstream {
    let config =
        TmapiConfig { base_url: server.base.clone(), ..TmapiConfig::new(Secret::new("tmapi-token-77")) };
    TmapiUpstream::new(config, clock()).unwrap()
}

fn article(server: &Loopback) -> ArticleUpstream {
    let config = ArticleConfig {
        base_url: server.base.clone(),
        ..ArticleConfig::new("key", Secret::new("app-secret"))
    };
    ArticleUpstream::new(config, clock()).unwrap()
}

/// Answers searches with this body, and uploads with a picture's number.
fn server(body: Value) -> Loopback {
    Loopback::new(move |request: &Seen| {
        let uploaded = if request.target.contains("image.upload") {
            json!({ "result": { "success": "true", "code": "200", "result": "77" } })
        } else if request.target.contains("upload_img") {
            json!({ "items": { "item": { "name": "https://img.example/77.jpg" } }, "error_code": "0000" })
        } else {
            body.clone()
        };
        Answer::Json(200, uploaded)
    })
}

/// The only offer of an answer, as the client reads it.
fn read(client: &dyn Upstream, params: &SearchParams) -> Offer {
    let mut page = client.search(&picture_at(client, URL), params).unwrap();
    assert_eq!((page.offers.len(), page.skipped), (1, 0));
    page.offers.remove(0)
}

fn with_all_inputs() -> SearchParams {
    SearchParams::default()
        .keyword("mug".parse().ok())
        .translate_keyword(true)
        .auxiliary_text("blue cat".parse().ok())
        .item_title("Cat mug".parse().ok())
        .collection_id("226".parse().ok())
        .filters(["shipIn24Hours", "certifiedFactory"].map(|word| word.parse().unwrap()))
        .sort(Sort::MonthSoldDesc)
        .language("ru".parse().ok())
}

#[test]
fn the_official_search_is_sent_every_input_in_its_own_words() {
    let found = json!({ "result": { "success": true, "result": { "totalRecords": 0, "data": [] } } });
    let server = server(found);
    let client = aop(&server);
    client.search(&picture_for(&client), &with_all_inputs()).unwrap();
    let [query] = server.requests_to("imageQuery").try_into().unwrap();
    let sent: Value = serde_json::from_str(&query.form_field("offerQueryParam").unwrap()).unwrap();
    let expected = json!({
        "imageId": "77", "beginPage": 1, "pageSize": 20, "country": "ru", "keyword": "mug", "keywordTranslate": true,
        "auxiliaryText": "blue cat", "itemTitle": "Cat mug", "productCollectionId": "226",
        "filter": "certifiedFactory,shipIn24Hours", "sort": "{\"monthSold\":\"desc\"}",
    });
    assert_eq!(sent, expected);
}

#[test]
fn what_the_official_search_tells_of_an_offer_is_read() {
    let data = json!([{
        "offerId": 1, "subject": "杯子", "subjectTrans": "cup", "isOnePsale": "true", "repurchaseRate": "13%",
        "priceInfo": { "price": "59.00", "consignPrice": "61.20", "promotionPrice": "55" }, "monthSold": 1200,
        "sales7d": "310", "tradeScore": "4.8", "isPatentProduct": true, "companyAddress": "浙江省 义乌市",
        "productSimpleShippingInfo": { "shippingTimeGuarantee": "shipIn24Hours" },
        "invoiceInfo": { "supportOnlineInvoice": true, "invoiceTypes": ["普通发票"] },
        "sellerIdentities": ["super_factory", "tp_member"],
        "sellerDataInfo": { "tpYear": 7, "compositeServiceScore": "4.5" },
    }]);
    let regions = json!({ "currentRegion": "10,90,20,80", "yoloCropRegion": "10,90,20,80;0,50,0,60" });
    let result = json!({ "totalRecords": 1, "data": data, "picRegionInfo": regions });
    let server = server(json!({ "result": { "success": "true", "result": result } }));
    let client = aop(&server);
    let page = client.search(&picture_for(&client), &SearchParams::default()).unwrap();
    let told: Vec<String> = page.suggested_regions.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["10,20,90,80", "0,0,50,60"], "left, top, right, bottom");
    let offer = &page.offers[0];
    assert_eq!(offer.title_translated.as_deref(), Some("cup"));
    let prices = (offer.price, offer.dropship_price, offer.promotion_price);
    assert_eq!(prices, (Some(yuan("59.00")), Some(yuan("61.20")), Some(yuan("55"))));
    assert_eq!(
        (offer.dropships, offer.is_patented, offer.gives_invoice),
        (Some(true), Some(true), Some(true))
    );
    let sold = (offer.month_sold, offer.week_sold, offer.repurchase_percent);
    assert_eq!(sold, (Some(1200), Some(310), Some(13)));
    assert_eq!(offer.trade_score.map(|score| score.to_string()).as_deref(), Some("4.8"));
    assert_eq!(offer.shipping_promise.as_deref(), Some("shipIn24Hours"));
    assert_eq!(offer.invoice_types, ["普通发票"]);
    let seller = &offer.supplier;
    assert_eq!((seller.address.as_deref(), seller.years), (Some("浙江省 义乌市"), Some(7)));
    assert_eq!(seller.service_score.map(|score| score.to_string()).as_deref(), Some("4.5"));
    assert_eq!(seller.identities, ["super_factory", "tp_member"]);
}

#[test]
fn what_cannot_be_read_of_an_offer_is_not_told_and_loses_nothing_else() {
    let data = json!([{
        "offerId": 1, "subject": "杯子", "repurchaseRate": "many", "tradeScore": "11", "isOnePsale": "perhaps",
        "priceInfo": { "price": "59.00", "consignPrice": "ask" }, "sellerDataInfo": { "tpYear": -1 }, "sales7d": "100+",
        "productSimpleShippingInfo": [], "sellerIdentities": "super_factory", "invoiceInfo": "yes",
    }]);
    let regions = json!({ "yoloCropRegion": "5,1,0,9;a,b,c,d" });
    let result = json!({ "totalRecords": 1, "data": data, "picRegionInfo": regions });
    let server = server(json!({ "result": { "success": "true", "result": result } }));
    let client = aop(&server);
    let page = client.search(&picture_for(&client), &SearchParams::default()).unwrap();
    assert!(page.suggested_regions.is_empty());
    let mut offer = page.offers[0].clone();
    assert_eq!((offer.price, offer.detail_url.take().is_some()), (Some(yuan("59.00")), true));
    assert_eq!(offer, Offer { price: offer.price, ..Offer::new(offer.offer_id.clone(), "杯子") });
}

#[test]
fn linkplus_sends_a_keyword_and_reads_where_the_seller_is() {
    let row = json!({ "offerId": 1, "subject": "杯子", "oldPrice": 5990, "province": "浙江", "city": "义乌市", "supplyAmount": 807 });
    let server = server(json!({ "success": true, "result": { "total": 1, "result": [row] } }));
    let offer = read(&linkplus(&server), &SearchParams::default().keyword("马克杯".parse().ok()));
    assert_eq!(server.requests()[0].form_field("keywords").as_deref(), Some("马克杯"));
    assert_eq!(offer.supplier.address.as_deref(), Some("浙江 义乌市"));
    assert_eq!(offer.stock, Some(807));
}

#[test]
fn the_vendors_are_asked_about_an_offer_by_its_number_and_weigh_as_configured() {
    let id = OfferId::new("859086919394").unwrap();
    let delivery = json!({ "unit_weight": 350, "delivery_fee": 6.5, "location": "广东省东莞市" });
    let vendor = server(
        json!({ "code": 200, "msg": "success", "data": { "title": "杯子", "delivery_info": delivery } }),
    );
    for (weight_unit, grams) in [(WeightUnit::Grams, 350), (WeightUnit::Kilograms, 350_000)] {
        let config = TmapiConfig {
            base_url: vendor.base.clone(),
            weight_unit,
            ..TmapiConfig::new(Secret::new("tmapi-token-77"))
        };
        let detail = TmapiUpstream::new(config, clock()).unwrap().details(&id).unwrap();
        assert_eq!((detail.weight_grams, detail.freight), (Some(grams), Some(yuan("6.5"))));
        assert_eq!((&detail.offer.offer_id, detail.ships_from.as_deref()), (&id, Some("广东省东莞市")));
    }
    let request = &vendor.requests()[0];
    assert!(request.target.starts_with("/1688/item_detail"), "{}", request.target);
    assert_eq!(request.query_field("item_id").as_deref(), Some(id.as_str()));

    let item = json!({ "title": "杯子", "item_weight": "0.35", "post_fee": "9.00", "priceRange": [[3, 35], [50, "30"]] });
    let vendor = server(json!({ "item": item, "error_code": "0000", "error": "" }));
    let detail = onebound(&vendor).details(&id).unwrap();
    assert_eq!((detail.weight_grams, detail.freight), (Some(350), Some(yuan("9.00"))));
    assert_eq!((detail.unit_price(60), detail.offer.min_order_quantity), (Some(yuan("30")), Some(3)));
    let request = &vendor.requests()[0];
    assert!(request.target.starts_with("/1688/item_get/"), "{}", request.target);
    let sent = ["num_iid", "cache", "lang"].map(|name| request.query_field(name).unwrap());
    assert_eq!(sent, [id.as_str(), "no", "cn"], "an answer that the vendor kept is as old as it is");
}

#[test]
fn onebound_sends_an_order_and_reads_its_fields() {
    let row = json!({
        "num_iid": "637323599860", "title": "杯子", "price": "90.00", "promotion_price": "80.00", "sales": 803,
        "turnHead": "15%", "area": "浙江 金华", "one_psale": 1,
    });
    let server =
        server(json!({ "items": { "item": [row], "total_results": 1 }, "error_code": "0000", "error": "" }));
    for (sort, word) in [(Sort::PriceAsc, "bid"), (Sort::PriceDesc, "_bid"), (Sort::MonthSoldDesc, "_sale")] {
        let offer = read(&onebound(&server), &SearchParams::default().sort(sort));
        let last = server.requests_to("item_search_img").pop().unwrap();
        assert_eq!(last.query_field("sort").as_deref(), Some(word));
        assert_eq!((offer.promotion_price, offer.dropships), (Some(yuan("80.00")), Some(true)));
        assert_eq!((offer.month_sold, offer.repurchase_percent), (Some(803), Some(15)));
        assert_eq!(offer.supplier.address.as_deref(), Some("浙江 金华"));
    }
}

#[test]
fn tmapi_sends_an_order_and_the_filter_for_dropshipping_and_reads_its_fields() {
    let item = json!({
        "item_id": 1, "title": "杯子", "price": "19.00", "price_info": { "drop_ship_price": "21.00" },
        "item_repurchase_rate": "33%", "shop_info": { "company_name": "Workshop", "location": ["浙江", "义乌"], "tp_year": 4 },
        "quantity_prices": [{ "begin_num": "100", "end_num": "", "price": "17" }, { "begin_num": "2", "end_num": "99", "price": "19.00" }],
        "delivery_info": { "area_from": ["浙江"], "weight": "0.35", "free_postage": false },
    });
    let server =
        server(json!({ "code": 200, "msg": "success", "data": { "total_count": 1, "items": [item] } }));
    let dropship = SearchParams::default().filters(["isOnePsale".parse().unwrap()]);
    let offer = read(&tmapi(&server), &dropship.sort(Sort::MonthSoldDesc));
    let request = &server.requests()[0];
    assert_eq!(request.query_field("sort").as_deref(), Some("sales"));
    assert_eq!(request.query_field("support_dropshipping").as_deref(), Some("true"));
    assert_eq!((offer.dropship_price, offer.repurchase_percent), (Some(yuan("21.00")), Some(33)));
    assert_eq!((offer.supplier.address.as_deref(), offer.supplier.years), (Some("浙江 义乌"), Some(4)));
    assert_eq!((offer.weight_grams, offer.is_postage_free), (Some(350), Some(false)));
    assert_eq!(
        [1, 99, 100].map(|pieces| offer.unit_price(pieces)),
        ["19.00", "19.00", "17"].map(|text| Some(yuan(text)))
    );
    read(&tmapi(&server), &SearchParams::default());
    let plain = server.requests().pop().unwrap();
    assert_eq!((plain.query_field("sort"), plain.query_field("support_dropshipping")), (None, None));
}

#[test]
fn what_a_dialect_has_no_words_for_is_refused_before_anything_is_sent() {
    let server = server(json!({}));
    let plain = SearchParams::default;
    let keyword = plain().keyword("mug".parse().ok());
    let filter = |word: &str| plain().filters([word.parse().unwrap()]);
    let of_official = [
        keyword.clone().translate_keyword(true),
        plain().auxiliary_text("blue".parse().ok()),
        plain().item_title("Mug".parse().ok()),
        plain().collection_id("7".parse().ok()),
        plain().language("en".parse().ok()),
        plain().sort(Sort::RepurchaseRateAsc),
        filter("certifiedFactory"),
    ];
    let (article, linkplus) = (article(&server), linkplus(&server));
    let (onebound, tmapi) = (onebound(&server), tmapi(&server));
    let others: [(&dyn Upstream, Vec<SearchParams>); 4] = [
        (&article, vec![keyword.clone(), plain().sort(Sort::PriceAsc), filter("isOnePsale")]),
        (&linkplus, vec![plain().sort(Sort::PriceAsc), filter("isOnePsale")]),
        (&onebound, vec![keyword.clone(), filter("isOnePsale")]),
        (&tmapi, vec![keyword, plain().category_id(7)]),
    ];
    for (client, own) in others {
        for params in of_official.iter().chain(&own) {
            let error = client.search(&picture_at(client, URL), params).unwrap_err();
            let told = (error.kind, error.code.as_str());
            assert_eq!(
                told,
                (UpstreamErrorKind::Param, "input_not_taken"),
                "{} {}",
                client.profile(),
                params.key()
            );
        }
    }
    assert!(server.requests().is_empty());
    let nothing = aop(&server).search(&picture_at(&linkplus, URL), &plain().translate_keyword(true));
    assert_eq!(nothing.unwrap_err().kind, UpstreamErrorKind::Param, "there is no keyword to translate");
}
