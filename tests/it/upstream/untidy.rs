//! Answers, refusals and tokens as they should not be; secrets in them; and where no secret is sent.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;
use tongkuan::clock::ManualClock;
use tongkuan::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, LinkplusUpstream, OneboundConfig,
    OneboundUpstream, SearchParams, Secret, Tape, TmapiConfig, TmapiUpstream, TokenFile, Upstream,
    UpstreamError, UpstreamErrorKind,
};

use super::loopback::{Answer, Loopback, Seen};
use super::{MORNING, picture_at};

const PROFILES: [&str; 5] = ["article", "aop", "linkplus", "onebound", "tmapi"];

fn client(profile: &str, base_url: &str, secret: &str, tape: Option<Arc<Tape>>) -> Arc<dyn Upstream> {
    let clock = Arc::new(ManualClock::at(MORNING));
    let (base_url, timeout) = (base_url.to_owned(), Duration::from_secs(20));
    let gateway = AopConfig {
        base_url: base_url.clone(),
        timeout,
        access_token: Some(Secret::new("access-token-77")),
        tape: tape.clone(),
        ..AopConfig::new("appkey7788", Secret::new(secret))
    };
    match profile {
        "article" => {
            let config =
                ArticleConfig { base_url, timeout, tape, ..ArticleConfig::new("app", Secret::new(secret)) };
            Arc::new(ArticleUpstream::new(config, clock).unwrap())
        }
        "aop" => Arc::new(AopUpstream::new(gateway, clock).unwrap()),
        "linkplus" => Arc::new(LinkplusUpstream::new(gateway, clock).unwrap()),
        "onebound" => {
            let config = OneboundConfig::new(Secret::new("key-3f"), Secret::new(secret));
            Arc::new(
                OneboundUpstream::new(OneboundConfig { base_url, timeout, tape, ..config }, clock).unwrap(),
            )
        }
        _ => {
            let config = TmapiConfig { base_url, timeout, tape, ..TmapiConfig::new(Secret::new(secret)) };
            Arc::new(TmapiUpstream::new(config, clock).unwrap())
        }
    }
}

fn search(upstream: &dyn Upstream) -> Result<(), UpstreamError> {
    let picture = picture_at(upstream, "https://cbu01.alicdn.com/img/ibank/a.jpg");
    upstream.search(&picture, &SearchParams::default()).map(drop)
}

fn raw(status: u16, content_type: &str, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Answer::Raw([head.as_bytes(), body].concat())
}

/// Answers token requests well, and all others with this.
fn server(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Loopback {
    Loopback::new(move |request| {
        if request.target.starts_with("/auth/") {
            return Answer::Json(200, json!({ "access_token": "access-token-77", "expires_in": 3600 }));
        }
        answer(request)
    })
}

#[test]
fn an_answer_that_is_compressed_without_being_asked_for_is_read() {
    use std::io::Write as _;
    let body =
        json!({ "success": true, "total": 1, "products": [{ "productId": "7", "title": "杯" }] }).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.as_bytes()).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(body.as_bytes()).unwrap();
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(body.as_bytes()).unwrap();
    let packed = [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", deflate.finish().unwrap()),
    ];
    for (name, packed) in packed {
        let server = server(move |_| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {name}\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                packed.len()
            );
            Answer::Raw([head.as_bytes(), &packed].concat())
        });
        let client = client("article", &server.base, "secret-7788", None);
        let picture = picture_at(&*client, "https://cbu01.alicdn.com/img/ibank/a.jpg");
        let page = client.search(&picture, &SearchParams::default()).unwrap();
        assert_eq!(page.offers[0].offer_id.as_str(), "7", "{name}");
        let asked = server.requests_to("imageSearch");
        assert_eq!(asked[0].header("accept-encoding"), Some("identity"));
    }
}

#[test]
fn a_page_for_people_is_named_with_its_beginning_and_without_secrets() {
    for profile in PROFILES {
        let server = server(|request| {
            let words = format!(
                "<html><title>login</title>{} {}",
                request.target,
                String::from_utf8_lossy(&request.body)
            );
            raw(200, "text/html", words.as_bytes())
        });
        let error = search(client(profile, &server.base, "hush-9d1c", None).as_ref()).unwrap_err();
        assert_eq!(
            (error.kind, error.may_be_billed()),
            (UpstreamErrorKind::Unreadable, true),
            "{profile}: {error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("a captcha or log-in page") && text.contains("`<html><title>login</title>"),
            "{text}"
        );
        assert!(!text.contains("hush-9d1c") && !text.contains("access-token-77"), "{text}");
    }
}

#[test]
fn a_refusal_in_gbk_says_what_it_says() {
    let (words, _, _) = encoding_rs::GBK.encode("签名不对，请检查");
    for profile in PROFILES {
        let words = words.clone().into_owned();
        let server = server(move |_| {
            let body = [
                &b"{\"error_code\":\"gw.SignatureInvalid\",\"code\":422,\"success\":false,\"error_message\":\""[..],
                &words,
                b"\",\"reason\":\"",
                &words,
                b"\",\"msg\":\"",
                &words,
                b"\"}",
            ];
            raw(400, "application/json; charset=GBK", &body.concat())
        });
        let error = search(client(profile, &server.base, "hush-9d1c", None).as_ref()).unwrap_err();
        assert!(error.message.contains("签名不对，请检查"), "{profile}: {error}");
        if matches!(profile, "article" | "aop" | "linkplus") {
            assert_eq!(error.kind, UpstreamErrorKind::Signature, "{profile}: {error}");
        }
    }
}

#[test]
fn a_token_with_a_byte_order_mark_is_a_token_and_a_page_in_its_place_was_no_search() {
    let token = "\u{feff}{\"access_token\":\"access-token-77\",\"expires_in\":\"3600\"}";
    for (body, is_read) in
        [(token, true), ("<html>captcha", false), ("{\"result\":{\"access_token\":\"hidden-1\"}}", false)]
    {
        let server = Loopback::new(move |request| {
            if request.target.starts_with("/auth/") {
                raw(200, "application/json", body.as_bytes())
            } else {
                Answer::Json(200, json!({ "success": true, "total": 0, "products": [] }))
            }
        });
        let result = search(client("article", &server.base, "hush-9d1c", None).as_ref());
        assert_eq!(result.is_ok(), is_read, "{body}: {result:?}");
        if let Err(error) = result {
            assert_eq!(
                (error.kind, error.may_be_billed()),
                (UpstreamErrorKind::Unreachable, false),
                "{error}"
            );
            assert!(!error.to_string().contains("hidden-1"), "{error}");
            assert!(server.requests_to("imageSearch").is_empty());
        }
    }
}

#[test]
fn no_secret_is_sent_in_plain_http_to_another_machine() {
    for profile in PROFILES {
        for host in ["http://10.255.255.1", "http://gw.open.1688.example", "http://[2001:db8::1]:8080"] {
            let upstream = client(profile, host, "hush-9d1c", None);
            let error = search(upstream.as_ref()).unwrap_err();
            assert_eq!(
                (error.kind, error.code.as_str()),
                (UpstreamErrorKind::Unsupported, "plain_http"),
                "{profile}"
            );
            assert!(error.message.contains("https://") && !error.may_be_billed(), "{error}");
        }
    }
    let home = tempfile::tempdir().unwrap();
    let config = AopConfig {
        base_url: "http://10.255.255.1".to_owned(),
        token_file: Some(TokenFile::of_home(home.path(), "aop")),
        ..AopConfig::new("appkey7788", Secret::new("hush-9d1c"))
    };
    let upstream = AopUpstream::new(config, Arc::new(ManualClock::at(MORNING))).unwrap();
    assert_eq!(upstream.log_in("code", "http://localhost/").unwrap_err().code, "plain_http");
}

#[test]
fn a_signature_alone_may_go_in_plain_http() {
    // Nothing listens there: the request was made.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = AopConfig {
        base_url: format!("http://{closed}"),
        ..AopConfig::new("appkey7788", Secret::new("hush-9d1c"))
    };
    let upstream = AopUpstream::new(config, Arc::new(ManualClock::at(MORNING))).unwrap();
    assert_eq!(upstream.check().unwrap_err().code, "not_connected");
}

/// As an upstream may quote `secret`.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let form = reqwest::Url::parse_with_params("http://x/", [("", secret)]).unwrap();
    let form = form.query().unwrap()[1..].to_owned();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let base64 = STANDARD.encode(secret);
    // The last characters hold bits of what follows.
    let base64 = base64[..secret.len() * 8 / 6].to_owned();
    vec![secret.to_owned(), json[1..json.len() - 1].to_owned(), form, percent.to_uppercase(), percent, base64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn no_form_of_a_random_secret_leaks_through_an_error_or_a_recording(secret in "[!-~ é蓝]{6,24}", status in prop::sample::select(vec![200, 400, 503])) {
        prop_assume!(secret.trim() == secret && !secret.contains('*'));
        let quoted = forms(&secret);
        let words = quoted.join(" ; ");
        let server = {
            let words = words.clone();
            server(move |_| Answer::Json(status, json!({
                "error_code": "4005", "code": "422", "error_message": words, "reason": words, "msg": words,
            })))
        };
        let folder = tempfile::tempdir().unwrap();
        for profile in PROFILES {
            let path = folder.path().join(profile);
            let tape = Arc::new(Tape::record(&path).unwrap());
            let upstream = client(profile, &server.base, &secret, Some(tape));
            let error = search(upstream.as_ref()).unwrap_err();
            let recorded = std::fs::read_to_string(&path).unwrap();
            for text in [error.to_string(), format!("{error:?}"), recorded, format!("{:?}", Secret::new(secret.clone()))] {
                for form in &quoted {
                    prop_assert!(!text.contains(form.as_str()), "{profile}: {form} in {text}");
                }
            }
        }
    }
}
