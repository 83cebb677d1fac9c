//! Addresses that others have written lead to public places only.

use std::time::Duration;

use serde_json::json;
use tongkuan::fetch::{Fetch as _, FetchError, FetchLimits, Fetcher};

use crate::upstream::loopback::{Answer, Loopback};

fn fetcher(origins: &[&str]) -> Fetcher {
    let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
    Fetcher::new(FetchLimits { max_bytes: 1000, ..FetchLimits::default() }, &origins).unwrap()
}

fn file(bytes: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
    Answer::Raw([head.as_bytes(), bytes].concat())
}

fn redirect(target: &str) -> Answer {
    Answer::JsonWith(302, vec![format!("Location: {target}")], json!({}))
}

#[test]
fn inner_addresses_are_refused_however_they_are_written() {
    let server = Loopback::new(|_| file(b"secret"));
    let port = server.base.rsplit(':').next().unwrap().to_owned();
    let fetcher = fetcher(&[]);
    for url in [
        "http://127.0.0.1/",
        "http://localhost/",
        "https://localhost/a.jpg",
        "http://0.0.0.0/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://[fd00::1]/",
        "http://[64:ff9b::7f00:1]/",
    ] {
        let error = fetcher.fetch(url).unwrap_err();
        assert!(matches!(error, FetchError::NotPublic { .. }), "{url}: {error}");
        assert!(!error.may_pass());
    }
    let with_port = fetcher.fetch(&format!("http://127.0.0.1:{port}/")).unwrap_err();
    assert!(matches!(with_port, FetchError::Port { .. }), "{with_port}");
    assert!(server.requests().is_empty());
}

#[test]
fn what_is_no_plain_web_address_is_refused_and_its_secrets_are_not_printed() {
    let fetcher = fetcher(&[]);
    for url in ["file:///etc/passwd", "ftp://example.com/a", "a.jpg", "gopher://example.com", "http://"] {
        assert!(matches!(fetcher.fetch(url), Err(FetchError::NotWeb { .. })), "{url}");
    }
    let error = fetcher.fetch("http://me:hunter2@127.0.0.1/a?token=hunter3").unwrap_err();
    assert!(matches!(error, FetchError::NotWeb { .. }) && !error.to_string().contains("hunter"), "{error}");
    let error = fetcher.fetch("http://127.0.0.1/a?token=hunter3").unwrap_err();
    assert!(!error.to_string().contains("hunter"), "{error}");
}

#[test]
fn a_named_origin_is_fetched_from_but_its_redirects_are_checked_too() {
    let other = Loopback::new(|_| file(b"secret"));
    let target = other.base.clone();
    let server = Loopback::new(move |request| match request.target.as_str() {
        "/a.jpg" => file(b"picture"),
        "/moved" => redirect("/a.jpg"),
        "/out" => redirect(&format!("{target}/a.jpg")),
        "/meta" => redirect("http://169.254.169.254/latest/"),
        "/file" => redirect("file:///etc/passwd"),
        "/round" => redirect("/round"),
        _ => Answer::Json(404, json!({})),
    });
    let fetcher = fetcher(&[&server.base]);
    let fetch = |path: &str| fetcher.fetch(&format!("{}{path}", server.base));
    assert_eq!(fetch("/a.jpg").unwrap(), b"picture");
    assert_eq!(fetch("/moved").unwrap(), b"picture");
    assert!(matches!(fetch("/out"), Err(FetchError::Port { .. })));
    assert!(matches!(fetch("/meta"), Err(FetchError::NotPublic { .. })));
    assert!(matches!(fetch("/file"), Err(FetchError::NotWeb { .. })));
    assert!(matches!(fetch("/round"), Err(FetchError::Redirects { max_redirects: 3, .. })));
    assert!(matches!(fetch("/gone"), Err(FetchError::Status { status: 404, .. })));
    assert!(other.requests().is_empty());
    assert_eq!(server.requests_to("/round").len(), 4);
}

#[test]
fn a_file_ends_at_the_limits_of_size_and_time() {
    let server = Loopback::new(|request| match request.target.as_str() {
        "/announced" => file(&[7; 1001]),
        "/silent" => Answer::Raw([&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], &[7; 5000]].concat()),
        "/just" => file(&[7; 1000]),
        "/cut" => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nabc".to_vec()),
        "/hang" => Answer::Hang(Vec::new()),
        _ => Answer::Drip,
    });
    let small = fetcher(&[&server.base]);
    let fetch = |path: &str| small.fetch(&format!("{}{path}", server.base));
    assert_eq!(fetch("/just").unwrap().len(), 1000);
    for path in ["/announced", "/silent"] {
        assert!(matches!(fetch(path), Err(FetchError::TooLarge { max_bytes: 1000, .. })), "{path}");
    }
    let limits = FetchLimits { timeout: Duration::from_millis(300), ..FetchLimits::default() };
    let brief = Fetcher::new(limits, std::slice::from_ref(&server.base)).unwrap();
    for path in ["/cut", "/hang", "/drip"] {
        let error = brief.fetch(&format!("{}{path}", server.base)).unwrap_err();
        assert!(matches!(error, FetchError::Failed { .. }) && error.may_pass(), "{path}: {error}");
    }
}
