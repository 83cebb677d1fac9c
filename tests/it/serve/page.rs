//! The page for people, and what it asks: reviews, comparisons, stored pictures of offers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::ImageFormat;
use reqwest::blocking::Response;
use serde_json::{Value, json};
use tongkuan::serve::ServeOptions;

use super::{Service, json, options, problem};
use crate::fakes::{encoded, picture, png};

/// The picture of a seed with red and blue exchanged: the same goods in another colour.
fn recoloured(seed: u32) -> Vec<u8> {
    let mut other = picture(seed);
    for pixel in other.pixels_mut() {
        pixel.0.swap(0, 2);
    }
    encoded(&other, ImageFormat::Png)
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A service that knows one good, and was asked about it in another colour.
fn with_a_review() -> (Service, Value) {
    let service = Service::start();
    json(service.post("/v1/pictures?id=mug").body(png(1)).send().unwrap());
    let answer = json(service.search("?local=true", &recoloured(1)));
    assert_eq!((&answer["verdict"], &answer["why"]), (&json!("review"), &json!("other_variant")));
    (service, answer)
}

fn open_reviews(service: &Service) -> Vec<Value> {
    let listed = json(service.get("/v1/reviews"));
    let reviews = listed["reviews"].as_array().unwrap().clone();
    assert_eq!(listed["open"], reviews.len());
    reviews
}

#[test]
fn the_page_is_served_with_a_strict_policy_in_the_browsers_language_and_only_once() {
    let service = Service::start();
    let page = service.get("/");
    let policy = header(&page, "content-security-policy").to_owned();
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-language", "en"),
        ("vary", "accept-language"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(header(&page, name), value, "{name}");
    }
    let text = page.text().unwrap();
    assert!(text.contains("<html lang=\"en\">") && !text.contains("style=") && !text.contains("<style"));
    let chinese =
        service.client.get(service.url("/")).header("accept-language", "zh-CN,en;q=0.8").send().unwrap();
    assert_eq!(header(&chinese, "content-language"), "zh");
    assert!(chinese.text().unwrap().contains("<html lang=\"zh-Hans\">"));
    // All that it names is there, and comes from here.
    for name in text.split(['"', '\'']).filter(|name| name.starts_with("/page/")) {
        let file = service.get(name);
        let etag = header(&file, "etag").to_owned();
        assert!(file.status().is_success() && etag.len() == 18, "{name} {etag}");
        assert_eq!(header(&file, "cache-control"), "no-cache");
        assert!(header(&file, "content-security-policy").starts_with("default-src 'none'"));
        for known in [etag.clone(), format!("W/{etag}"), format!("\"old\", {etag}")] {
            let again = service.client.get(service.url(name)).header("if-none-match", known).send().unwrap();
            assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, etag.as_str()), "{name}");
            assert!(again.bytes().unwrap().is_empty());
        }
        let old = service.client.get(service.url(name)).header("if-none-match", "\"old\"").send().unwrap();
        assert_eq!(old.status(), 200);
    }
    assert_eq!(problem(service.get("/page/nothing.js")), (404, "no_such_path".to_owned()));
    assert_eq!(problem(service.get("/page/..%2fmod.rs")), (404, "no_such_path".to_owned()));
}

#[test]
fn both_languages_of_the_page_have_the_same_words() {
    let service = Service::start();
    let words = |name: &str| json(service.get(name)).as_object().unwrap().clone();
    let (en, zh) = (words("/page/en.json"), words("/page/zh.json"));
    let names = |text: &str| {
        let mut names: Vec<&str> =
            text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
        names.sort_unstable();
        names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    for (key, text) in &en {
        // Chinese has no singular of its own.
        if key.rsplit('.').next() == Some("one") {
            continue;
        }
        let other = zh.get(key).unwrap_or_else(|| panic!("{key} is not in Chinese"));
        assert_eq!(names(text.as_str().unwrap()), names(other.as_str().unwrap()), "{key}");
    }
    assert!(zh.keys().all(|key| en.contains_key(key)));
    // Every error that a person can run into has words, and every word for an error is of one.
    let codes = service.get("/docs/errors").text().unwrap();
    for key in en.keys().filter_map(|key| key.strip_prefix("error.")) {
        let is_own = ["again", "back", "code", "calls", "other", "no_connection"].contains(&key);
        assert!(is_own || codes.contains(&format!("id=\"{key}\"")), "{key}");
    }
}

#[test]
fn a_review_waits_until_a_person_decides_and_the_decision_is_a_verdict() {
    let (service, answer) = with_a_review();
    // Asked again, it is the same review; `check` finds it, too.
    json(service.search("?local=true", &recoloured(1)));
    assert_eq!(json(service.post("/v1/check").body(recoloured(1)).send().unwrap())["outcome"], "review");
    let reviews = open_reviews(&service);
    assert_eq!(reviews.len(), 1);
    let review = &reviews[0];
    assert_eq!((&review["matched"], &review["facts"]["why"]), (&answer["matched"], &json!("other_variant")));
    let path = format!("/v1/reviews/{}", review["review_id"]);
    let compared = json(service.get(&format!("{path}/comparison")));
    assert_eq!(compared["photo_id"], answer["matched"]["photo_id"]);
    for side in ["picture", "stored"] {
        let jpeg = STANDARD.decode(compared[side]["jpeg"].as_str().unwrap()).unwrap();
        let drawn = image::load_from_memory(&jpeg).unwrap();
        assert_eq!(compared[side]["width_px"], drawn.width());
    }
    let decide = |same: Value| json(service.post(&path).json(&json!({"same": same})).send().unwrap());
    assert_eq!(decide(json!(false))["same"], false);
    assert!(open_reviews(&service).is_empty());
    assert_eq!(service.get("/v1/verdicts").text().unwrap().lines().count(), 2);
    assert_eq!(decide(Value::Null)["forgotten"], true);
    assert_eq!(open_reviews(&service).len(), 1, "open again");
    assert_eq!(decide(json!(true))["same"], true);
    let known = json(service.search("?local=true", &recoloured(1)));
    assert_eq!((&known["verdict"], &known["rule"]), (&json!("hit"), &json!("remembered")));
    assert_eq!(service.bench.calls(), 0);
}

#[test]
fn a_pair_that_is_decided_elsewhere_put_aside_or_gone_waits_no_more() {
    let (service, answer) = with_a_review();
    let photo_id = &answer["matched"]["photo_id"];
    let side = json!({"image": STANDARD.encode(recoloured(1)), "label": "a"});
    let tell = |same: Value| {
        let said = json!({"one": side, "other": {"photo_id": photo_id}, "same": same});
        json(service.post("/v1/verdicts").json(&said).send().unwrap())
    };
    tell(json!(true));
    assert!(open_reviews(&service).is_empty());
    tell(Value::Null);
    let path = format!("/v1/reviews/{}", open_reviews(&service)[0]["review_id"]);
    let put_aside = || service.client.delete(service.url(&path)).send().unwrap();
    assert_eq!(json(put_aside())["put_aside"], true);
    json(service.search("?local=true", &recoloured(1)));
    assert!(open_reviews(&service).is_empty(), "it does not come back by itself");
    // One whose photo is taken away is none any more.
    json(service.post("/v1/pictures?id=lamp").body(png(2)).send().unwrap());
    json(service.search("?local=true", &recoloured(2)));
    let photo = open_reviews(&service)[0]["matched"]["photo_id"].clone();
    json(service.client.delete(service.url(&format!("/v1/pictures/{photo}"))).send().unwrap());
    assert!(open_reviews(&service).is_empty());
    assert_eq!(problem(service.get("/v1/reviews/99/comparison")), (404, "no_such_review".to_owned()));
    let form =
        service.post(&path).header("content-type", "text/plain").body("{\"same\":true}").send().unwrap();
    assert_eq!(problem(form), (415, "media_type".to_owned()));
}

#[test]
fn reviews_are_not_kept_of_those_who_may_only_read_nor_where_none_are_wanted() {
    let (service, _) = with_a_review();
    let (reader, writer) = (service.key("reader", "read", None), service.key("writer", "read,write", None));
    json(service.post("/v1/pictures?id=lamp").bearer_auth(writer.expose()).body(png(2)).send().unwrap());
    let search = |key: &str| {
        json(service.post("/v1/search?local=true").bearer_auth(key).body(recoloured(2)).send().unwrap())
    };
    let open = || {
        let listed =
            service.client.get(service.url("/v1/reviews")).bearer_auth(reader.expose()).send().unwrap();
        json(listed)["open"].as_u64().unwrap()
    };
    search(reader.expose());
    assert_eq!(open(), 1);
    search(writer.expose());
    assert_eq!(open(), 2);
    let decided = service.post("/v1/reviews/1").bearer_auth(reader.expose()).json(&json!({"same": true}));
    assert_eq!(problem(decided.send().unwrap()), (403, "key_forbidden".to_owned()));
    let service = Service::with(ServeOptions { max_reviews: 0, ..options() }, None);
    json(service.post("/v1/pictures?id=mug").body(png(1)).send().unwrap());
    assert_eq!(json(service.search("?local=true", &recoloured(1)))["verdict"], "review");
    assert!(open_reviews(&service).is_empty());
}

/// Large fields of colours without a pattern, and a patch in a corner of them.
fn fields(patch: bool) -> Vec<u8> {
    let drawn = image::RgbImage::from_fn(200, 152, |x, y| {
        if patch && x < 30 && y < 26 {
            return image::Rgb([250, 20, 20]);
        }
        let n = (y / 38 * 8 + x / 40).wrapping_mul(0x9E37_79B9) >> 8;
        let [r, g, b, _] = n.to_le_bytes();
        image::Rgb([r / 2, 127 + g / 2, b])
    });
    encoded(&drawn, ImageFormat::Png)
}

#[test]
fn two_pictures_are_laid_over_each_other_and_what_differs_is_marked() {
    let service = Service::start();
    let added = json(service.post("/v1/pictures?id=mug").body(fields(false)).send().unwrap());
    let path = format!("/v1/compare/{}", added["photo_id"]);
    let same = json(service.post(&path).body(fields(false)).send().unwrap());
    let other = json(service.post(&path).body(fields(true)).send().unwrap());
    let share = |compared: &Value| compared["differs"].as_f64().unwrap();
    // What is kept is coarse, so that edges differ a little; the patch is 2.6 % of the picture.
    assert!(share(&same) < 0.15, "{}", share(&same));
    assert!((0.01..0.06).contains(&(share(&other) - share(&same))), "{} {}", share(&same), share(&other));
    let marks = |side: &str| {
        let png = STANDARD.decode(other["marks"][side].as_str().unwrap()).unwrap();
        image::load_from_memory(&png).unwrap().into_rgba8()
    };
    for marks in [marks("picture"), marks("stored")] {
        let (w, h) = marks.dimensions();
        assert!(marks.get_pixel(w * 15 / 200, h * 13 / 152).0[3] > 0, "where the patch is");
        assert_eq!(marks.get_pixel(w / 2, h * 57 / 152).0[3], 0, "elsewhere");
    }
    for (corner, wanted) in [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]].iter().enumerate() {
        for (axis, wanted) in wanted.iter().enumerate() {
            let found = other["outline"][corner][axis].as_f64().unwrap();
            assert!((found - wanted).abs() < 0.05, "{} at {corner}", other["outline"]);
        }
    }
    let unknown = service.post("/v1/compare/99").body(png(1)).send().unwrap();
    assert_eq!(problem(unknown), (404, "no_such_photo".to_owned()));
    assert_eq!(
        problem(service.post(&path).body("no picture").send().unwrap()),
        (422, "not_a_picture".to_owned())
    );
}

#[test]
fn a_client_is_told_what_its_key_may_and_what_happened_on_each_day() {
    let service = Service::start();
    assert_eq!(json(service.get("/v1/quota"))["key"], Value::Null);
    json(service.search("", &png(1)));
    let stats = json(service.get("/v1/stats?days=3"));
    assert_eq!((&stats["by_day"][0]["photos"], &stats["by_day"][0]["calls"]), (&json!(1), &json!(1)));
    assert!(json(service.get("/v1/stats"))["by_day"].is_null());
    assert_eq!(problem(service.get("/v1/stats?days=3661")), (400, "request_invalid".to_owned()));
    let key = service.key("shop", "read,spend", Some(7));
    json(service.post("/v1/search").bearer_auth(key.expose()).body(png(2)).send().unwrap());
    let quota = json(service.client.get(service.url("/v1/quota")).bearer_auth(key.expose()).send().unwrap());
    let rights = json!({"read": true, "write": false, "spend": true});
    assert_eq!(quota["key"], json!({"name": "shop", "rights": rights, "daily_budget": 7, "calls_today": 1}));
}

#[test]
fn a_client_that_asks_in_a_second_step_is_told_what_is_known_and_its_hits_are_saved_calls() {
    let service = Service::start();
    let known = json(service.search("?known=true", &png(1)));
    assert_eq!((&known["verdict"], &known["source"]), (&json!("miss"), &json!("none")));
    assert_eq!(service.bench.calls(), 0);
    json(service.search("", &png(1)));
    assert_eq!(json(service.search("?known=true", &png(1)))["verdict"], "hit");
    assert_eq!(json(service.search("?local=true", &png(1)))["verdict"], "hit");
    assert_eq!(json(service.get("/v1/quota"))["calls_saved"]["ever"], 1);
    assert_eq!(service.bench.calls(), 1);
}

#[test]
fn pictures_of_offers_are_named_where_they_are_stored_and_nothing_is_fetched() {
    let service = Service::start();
    let ask =
        |urls: Value| service.post("/v1/pictures/by-address").json(&json!({"urls": urls})).send().unwrap();
    assert_eq!(json(ask(json!(["https://cbu01.alicdn.com/img/a.jpg", "nothing"])))["pictures"], json!([]));
    assert_eq!(problem(ask(json!(vec!["a"; 201]))), (400, "request_invalid".to_owned()));
}
