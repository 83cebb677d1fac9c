//! What is asked and answered.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::blocking::multipart::{Form, Part};
use serde_json::{Value, json};
use tongkuan::doors::CheckedLine;

use super::{Service, json, problem};
use crate::fakes::png;

#[test]
fn a_miss_asks_once_and_the_picture_is_a_hit_from_then_on_however_it_is_sent() {
    let service = Service::start();
    let first = service.search("", &png(1));
    assert_eq!(first.headers()["x-tongkuan"], "miss");
    let first = json(first);
    assert_eq!((&first["verdict"], &first["upstream_calls"]), (&json!("miss"), &json!(1)));
    let form = Form::new().part("image", Part::bytes(png(1)).file_name("a.png"));
    let forms = [
        service.post("/v1/search").body(png(1)),
        service.post("/v1/search").header("content-type", "image/png").body(png(1)),
        service.post("/v1/search").multipart(form),
        service.post("/v1/search").json(&json!({"image": STANDARD.encode(png(1)), "label": "a.png"})),
    ];
    for request in forms {
        let response = request.send().unwrap();
        assert_eq!(response.headers()["x-tongkuan"], "hit");
        assert_eq!(response.headers()["x-tongkuan-age"], "0");
        let answer = json(response);
        assert_eq!((&answer["rule"], &answer["offers"]), (&json!("same_bytes"), &first["offers"]));
    }
    assert_eq!(service.bench.calls(), 1);
}

#[test]
fn the_answer_is_the_one_that_the_engine_serialises_with_the_pictures_name() {
    let service = Service::start();
    service.search("", &png(1));
    let mut answer = json(
        service
            .post("/v1/search")
            .json(&json!({"image": STANDARD.encode(png(1)), "label": "n"}))
            .send()
            .unwrap(),
    );
    let engine = service.bench.engine();
    let mut direct =
        serde_json::to_value(engine.search(&tongkuan::Query::new(&png(1), "n")).unwrap()).unwrap();
    direct["id"] = json!("n");
    for value in [&mut answer, &mut direct] {
        value["timings_ms"] = Value::Null;
    }
    assert_eq!(answer, direct);
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_a_code_and_costs_nothing() {
    let service = Service::start();
    let post = |path: &str, body: &[u8]| problem(service.post(path).body(body.to_vec()).send().unwrap());
    let cases: [(&str, &[u8], u16, &str); 15] = [
        ("/v1/search", b"", 422, "empty"),
        ("/v1/search", b"<html>no picture", 422, "not_a_picture"),
        ("/v1/search?pagee=2", b"x", 400, "request_invalid"),
        ("/v1/search?page=0", b"x", 400, "request_invalid"),
        ("/v1/search?page=two", b"x", 400, "request_invalid"),
        ("/v1/search?price_min=-1", b"x", 400, "request_invalid"),
        ("/v1/search?local=true&refresh=true", b"x", 400, "request_invalid"),
        ("/v1/search?filter=shipIn24Hour", b"x", 400, "request_invalid"),
        ("/v1/search?sort=cheap", b"x", 400, "request_invalid"),
        ("/v1/search?translate_keyword=true", b"x", 400, "request_invalid"),
        ("/v1/check", b"GIF89a", 422, "truncated"),
        ("/v1/pictures", b"x", 400, "request_invalid"),
        ("/v1/similar?count=0", b"x", 400, "request_invalid"),
        ("/v1/offers/%0a", b"", 422, "not_an_id"),
        ("/v1/nothing", b"", 404, "no_such_path"),
    ];
    for (path, body, status, code) in cases {
        assert_eq!(post(path, body), (status, code.to_owned()), "{path}");
    }
    let typed = |kind: &str, body: &str| {
        let request = service.post("/v1/search").header("content-type", kind).body(body.to_owned());
        problem(request.send().unwrap())
    };
    assert_eq!(typed("text/plain", "x"), (415, "media_type".to_owned()));
    for body in
        ["", "{", "[]", "{}", r#"{"image":"*"}"#, r#"{"image":"","url":"http://a/"}"#, r#"{"imagee":"QQ=="}"#]
    {
        assert_eq!(typed("application/json", body), (400, "request_invalid".to_owned()), "{body}");
    }
    assert_eq!(
        typed("application/json", r#"{"url":"file:///etc/passwd"}"#),
        (400, "request_invalid".to_owned())
    );
    assert_eq!(typed("application/json", r#"{"url":"/etc/passwd"}"#), (400, "request_invalid".to_owned()));
    assert_eq!(problem(service.get("/v1/search")), (405, "method_not_allowed".to_owned()));
    assert_eq!(json(service.get("/v1/offers/864704291266/history"))["history"], json!([]));
    assert_eq!(problem(service.get("/v1/pictures/77")), (404, "no_such_photo".to_owned()));
    assert_eq!(problem(service.get("/v1/pictures/x")), (400, "request_invalid".to_owned()));
    assert_eq!(service.bench.calls(), 0);
}

#[test]
fn a_picture_of_an_own_good_is_added_shown_drawn_found_and_taken_away() {
    let service = Service::start();
    let add = || service.post("/v1/pictures?id=A%2F1&title=Mug&price=59.00").body(png(3)).send().unwrap();
    let added = add();
    assert_eq!(added.status(), 201);
    let location = added.headers()["location"].to_str().unwrap().to_owned();
    let added = json(added);
    assert_eq!((&added["id"], &added["is_new"]), (&json!("A/1"), &json!(true)));
    assert_eq!(add().status(), 200);
    let found = json(service.search("?local=true", &png(3)));
    assert_eq!((&found["verdict"], &found["offers"][0]["price"]), (&json!("hit"), &json!("59.00")));
    let shown = json(service.get(&location));
    assert_eq!(
        (&shown["matched"]["kind"], &shown["own_goods"][0]["offer_id"]),
        (&json!("own"), &json!("A/1"))
    );
    let thumbnail = service.get(&format!("{location}/thumbnail"));
    assert_eq!(thumbnail.headers()["content-type"], "image/jpeg");
    let drawn = image::load_from_memory(&thumbnail.bytes().unwrap()).unwrap();
    assert!((1..=136).contains(&drawn.width().max(drawn.height())));
    let similar = json(service.post("/v1/similar?count=3&kind=own").body(png(3)).send().unwrap());
    assert_eq!(similar["similar"][0]["photo_id"], added["photo_id"]);
    assert_eq!(json(service.get("/v1/offers/A%2F1"))["detail"]["offer"]["title"], "Mug");
    assert_eq!(json(service.get("/v1/offers?words=Mug"))["offers"].as_array().unwrap().len(), 1);
    let gone = json(service.client.delete(service.url(&location)).send().unwrap());
    assert_eq!(gone["forgotten"], added["photo_id"]);
    assert_eq!(problem(service.get(&location)), (404, "no_such_photo".to_owned()));
    assert_eq!(service.bench.calls(), 0);
}

#[test]
fn of_copies_that_are_checked_one_is_new_and_the_others_are_seen() {
    let service = Service::start();
    let check = |query: &str| json(service.post(&format!("/v1/check{query}")).body(png(4)).send().unwrap());
    assert_eq!(check("")["outcome"], "new");
    let added = check("?add=true&key=sku-4");
    assert_eq!(
        (&added["outcome"], &added["added"], &added["key"]),
        (&json!("new"), &json!(true), &json!("sku-4"))
    );
    let seen = check("?add=true");
    assert_eq!((&seen["outcome"], &seen["matched_label"]), (&json!("seen"), &json!("sku-4")));
    assert_eq!(seen["photo_id"], added["photo_id"]);
    assert_eq!(service.bench.calls(), 0);
}

#[test]
fn a_form_with_several_pictures_gets_a_line_for_each_in_their_order() {
    let service = Service::start();
    let form = || {
        let part = |seed, name: &str| Part::bytes(png(seed)).file_name(name.to_owned());
        let text = Part::bytes(b"no picture".to_vec()).file_name("b.txt");
        Form::new().part("image", part(4, "a.png")).part("image", text).part("image", part(4, "c.png"))
    };
    let response = service.post("/v1/check?add=true").multipart(form()).send().unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        response.text().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|line| (&line["id"], &line["outcome"], &line["code"])).collect();
    assert_eq!(told[0], (&json!("a.png"), &json!("new"), &Value::Null));
    assert_eq!(told[1], (&json!("b.txt"), &json!("error"), &json!("not_a_picture")));
    assert_eq!((told[2].0, told[2].1), (&json!("c.png"), &json!("seen")));
    assert_eq!(lines[2]["matched_label"], "a.png");
    // As those of `tongkuan check`: all columns, whatever became of the picture.
    let columns = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let plain: Value = serde_json::from_str(&CheckedLine::new(0, "a", None).to_line()).unwrap();
    assert!(lines.iter().all(|line| columns(line) == columns(&plain)), "{lines:?}");
    let refused = problem(service.post("/v1/check?key=k").multipart(form()).send().unwrap());
    assert_eq!(refused, (400, "request_invalid".to_owned()));
    let labelled = form().text("label", "x");
    let refused = problem(service.post("/v1/check").multipart(labelled).send().unwrap());
    assert_eq!(refused, (400, "request_invalid".to_owned()));
}

#[test]
fn what_a_person_says_of_a_pair_is_remembered_listed_and_taken_back() {
    let service = Service::start();
    let side = |seed| json!({"image": STANDARD.encode(png(seed)), "label": format!("{seed}.png")});
    let tell = |same: Value| {
        let said = json!({"one": side(1), "other": side(2), "same": same});
        json(service.post("/v1/verdicts").json(&said).send().unwrap())
    };
    let told = tell(json!(false));
    assert_eq!((&told["same"], told["photos"].as_array().unwrap().len()), (&json!(false), 2));
    let lines = service.get("/v1/verdicts").text().unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[0]["tongkuan_verdicts"], &lines[1]["same"]),
        (2, &json!(1), &json!(false))
    );
    assert_eq!(tell(Value::Null)["forgotten"], true);
    let one = json!({"one": side(1), "other": side(1), "same": true});
    assert_eq!(
        problem(service.post("/v1/verdicts").json(&one).send().unwrap()),
        (409, "one_photo".to_owned())
    );
    let form = service.post("/v1/verdicts").header("content-type", "text/plain").body("{}");
    assert_eq!(problem(form.send().unwrap()), (415, "media_type".to_owned()));
}

#[test]
fn quota_stats_and_metrics_tell_what_happened() {
    let service = Service::start();
    for seed in [1, 1, 2] {
        service.search("", &png(seed));
    }
    let quota = json(service.get("/v1/quota"));
    assert_eq!((&quota["upstreams"][0]["used"], &quota["calls_saved"]["ever"]), (&json!(2), &json!(1)));
    let stats = json(service.get("/v1/stats"));
    assert_eq!((&stats["counts"]["photos"], &stats["service"]["local"]["waiting"]), (&json!(2), &json!(0)));
    let metrics = service.get("/metrics").text().unwrap();
    for line in [
        "tongkuan_searches_total{verdict=\"hit\",rule=\"same_bytes\"} 1",
        "tongkuan_searches_total{verdict=\"miss\",rule=\"none\"} 2",
        "tongkuan_upstream_calls_total 2",
        "tongkuan_calls_saved 1",
        "tongkuan_quota_calls{upstream=\"fake\",calls=\"used\"} 2",
        "tongkuan_photos 2",
        "tongkuan_http_requests_total{route=\"/v1/search\",status=\"200\"} 3",
    ] {
        assert!(metrics.lines().any(|metric| metric == line), "{line} in\n{metrics}");
    }
}

/// The keys of an object that the document requires, and all that it names.
fn described(document: &Value, path: &str, method: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let answers = &document["paths"][path][method]["responses"];
    let content = answers["200"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
    let schema = &document["components"]["schemas"][content.rsplit('/').next().unwrap()];
    let all = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    (required.iter().map(|name| name.as_str().unwrap().to_owned()).collect(), all)
}

#[test]
fn the_document_names_every_field_that_is_sent_and_requires_none_that_may_be_missing() {
    let service = Service::start();
    let document = json(service.get("/openapi.json"));
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let (miss, hit) = (json(service.search("", &png(1))), json(service.search("", &png(1))));
    let local = json(service.search("?local=true", &png(9)));
    let wide = json(service.search("?all_upstreams=true", &png(1)));
    let offer_id = hit["offers"][0]["offer_id"].as_str().unwrap().to_owned();
    let new = json(service.post("/v1/check").body(png(5)).send().unwrap());
    let seen = json(service.post("/v1/check").body(png(1)).send().unwrap());
    let sent = [
        ("/v1/search", "post", vec![miss, hit, local, wide]),
        ("/v1/check", "post", vec![new, seen]),
        ("/v1/similar", "post", vec![json(service.post("/v1/similar").body(png(1)).send().unwrap())]),
        (
            "/v1/pictures",
            "post",
            vec![{
                service.post("/v1/pictures?id=g").body(png(6)).send().unwrap();
                json(service.post("/v1/pictures?id=g").body(png(6)).send().unwrap())
            }],
        ),
        ("/v1/pictures/{photo_id}", "get", vec![json(service.get("/v1/pictures/1"))]),
        ("/v1/offers/{offer_id}", "get", vec![json(service.get("/v1/offers/g"))]),
        (
            "/v1/offers/{offer_id}/history",
            "get",
            vec![json(service.get(&format!("/v1/offers/{offer_id}/history")))],
        ),
        ("/v1/offers", "get", vec![json(service.get("/v1/offers?words=offer"))]),
        ("/v1/quota", "get", vec![json(service.get("/v1/quota"))]),
        ("/v1/stats", "get", vec![json(service.get("/v1/stats")), json(service.get("/v1/stats?days=9"))]),
        ("/v1/reviews", "get", vec![json(service.get("/v1/reviews"))]),
        (
            "/v1/compare/{photo_id}",
            "post",
            vec![json(service.post("/v1/compare/1").body(png(1)).send().unwrap())],
        ),
    ];
    for (path, method, answers) in sent {
        let (required, all) = described(&document, path, method);
        for answer in answers {
            let keys: BTreeSet<String> = answer.as_object().unwrap().keys().cloned().collect();
            assert!(required.is_subset(&keys), "{path} lacks {:?}", required.difference(&keys));
            assert!(keys.is_subset(&all), "{path} sends {:?}", keys.difference(&all));
        }
    }
}

#[test]
fn pages_bring_nothing_from_elsewhere_and_every_code_has_its_place() {
    let service = Service::start();
    for path in ["/docs", "/docs/errors"] {
        let response = service.get(path);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(
            response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
        );
        let page = response.text().unwrap();
        assert!(!page.contains("src=") && !page.contains("href=\"http"), "{path}");
        assert!(!page.contains("<script"), "{path}");
    }
    let errors = service.get("/docs/errors").text().unwrap();
    for code in tongkuan::serve::RequestError::CODES {
        assert!(errors.contains(&format!("id=\"{code}\"")), "{code}");
    }
    let docs = service.get("/docs").text().unwrap();
    assert!(["/v1/search", "/v1/check", "/readyz", "price_min"].iter().all(|word| docs.contains(word)));
}
