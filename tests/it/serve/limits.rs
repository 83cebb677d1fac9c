//! What happens when there is more to do than can be done, and when it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tongkuan::serve::{Ended, ServeOptions};

use super::{Service, json, options, problem};
use crate::fakes::png;

/// Waits for something that other threads bring about.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn who_waits_for_the_upstream_is_in_nobodys_way_and_one_too_many_is_refused_at_once() {
    let service =
        Service::with(ServeOptions { workers: 1, max_waiting: 4, max_asking: 1, ..options() }, None);
    json(service.search("", &png(1)));
    let held = service.bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        let waits: Vec<_> = [2, 3]
            .map(|seed| {
                scope.spawn({
                    let service = &service;
                    move || service.search("", &png(seed)).status().as_u16()
                })
            })
            .into_iter()
            .collect();
        until("one asks and one waits", || {
            let asking = &json(service.get("/v1/stats"))["service"]["asking"];
            (&asking["busy"], &asking["waiting"]) == (&json!(1), &json!(1))
        });
        let refused = service.search("", &png(4));
        assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(problem(refused), (429, "overloaded".to_owned()));
        assert_eq!(json(service.search("", &png(1)))["verdict"], "hit");
        drop(held);
        for wait in waits {
            assert_eq!(wait.join().unwrap(), 200);
        }
    });
    assert_eq!(service.bench.calls(), 3);
}

#[test]
fn a_request_that_was_accepted_is_answered_before_the_end_and_later_ones_are_not_taken() {
    let service = Service::start();
    until("ready", || service.get("/readyz").status() == 200);
    let held = service.bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| json(service.search("", &png(1))));
        until("it asks", || service.bench.calls() == 1);
        service.server.stop();
        until("no more is taken", || TcpStream::connect(service.server.address()).is_err());
        drop(held);
        assert_eq!(under_way.join().unwrap()["offers"].as_array().unwrap().len(), 2);
        assert_eq!(service.server.wait(), Ended::Drained);
    });
}

#[test]
fn told_to_end_twice_it_does_not_wait() {
    let service = Service::start();
    let held = service.bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        let cut = scope.spawn(|| service.post("/v1/search").body(png(1)).send().is_err());
        until("it asks", || service.bench.calls() == 1);
        service.server.stop();
        until("no more is taken", || TcpStream::connect(service.server.address()).is_err());
        service.server.stop();
        assert_eq!(service.server.wait(), Ended::Cut);
        assert!(cut.join().unwrap());
        drop(held);
    });
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let service = Service::with(ServeOptions { max_body_bytes: 1000, ..options() }, None);
    assert_eq!(problem(service.search("", &[7; 1001])), (413, "request_too_large".to_owned()));
    let mut stream = TcpStream::connect(service.server.address()).unwrap();
    stream
        .write_all(b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999999\r\n\r\n")
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 413"), "{line}");
}

#[test]
fn bodies_that_would_not_fit_into_memory_together_are_refused() {
    let small = ServeOptions { max_body_bytes: 100_000, max_bytes_in_flight: 100_000, ..options() };
    let service = Service::with(small, None);
    // One that has told its size and sends nothing; what it asked to be told first is told once its room is taken.
    let mut first = TcpStream::connect(service.server.address()).unwrap();
    first.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    first
        .write_all(
            b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99900\r\nexpect: 100-continue\r\n\r\n",
        )
        .unwrap();
    let mut told = String::new();
    BufReader::new(&first).read_line(&mut told).unwrap();
    assert_eq!(told, "HTTP/1.1 100 Continue\r\n");
    assert_eq!(problem(service.search("?local=true", &png(1))), (429, "overloaded".to_owned()));
    drop(first);
    until("its room is free again", || service.search("?local=true", &png(1)).status() == 200);
}

/// A stream of lines over a connection of its own, chunk by chunk.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(service: &Service, query: &str) -> Self {
        let stream = TcpStream::connect(service.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut stream = BufReader::new(stream);
        let head = format!(
            "POST /v1/check{query} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn head(&mut self) -> String {
        let status = self.line();
        while self.line().trim() != "" {}
        status
    }

    fn answer(&mut self) -> Value {
        let length = usize::from_str_radix(self.line().trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        self.0.read_exact(&mut chunk).unwrap();
        serde_json::from_slice(&chunk).unwrap()
    }
}

#[test]
fn a_stream_of_checks_is_answered_line_by_line_while_it_goes_on() {
    let service = Service::start();
    let mut stream = Stream::open(&service, "?add=true");
    let line = |key: &str, seed| format!("{}\n", json!({"key": key, "image": STANDARD.encode(png(seed))}));
    stream.send(&line("a", 1));
    assert!(stream.head().starts_with("HTTP/1.1 200"));
    let first = stream.answer();
    assert_eq!((&first["row"], &first["outcome"], &first["key"]), (&json!(0), &json!("new"), &json!("a")));
    // Two rows, the second of which comes in two pieces; and one that is none.
    let copy = line("b", 1);
    stream.send(&copy[..100]);
    stream.send(&copy[100..]);
    let seen = stream.answer();
    assert_eq!((&seen["outcome"], &seen["matched_label"]), (&json!("seen"), &json!("a")));
    stream.send("{\"key\":\n\n");
    let wrong = stream.answer();
    assert_eq!(
        (&wrong["row"], &wrong["outcome"], &wrong["code"]),
        (&json!(2), &json!("error"), &json!("request_invalid"))
    );
    stream.send(&line("c", 2));
    assert_eq!(stream.answer()["outcome"], "new");
    stream.send("");
    assert_eq!(stream.line().trim(), "0");
    assert_eq!(json(service.get("/v1/stats"))["counts"]["photos"], 2);
}

/// One row that is answered: the stream is open.
fn open_stream(service: &Service, seed: u32) -> Stream {
    let mut stream = Stream::open(service, "");
    stream.send(&format!("{}\n", json!({"image": STANDARD.encode(png(seed))})));
    assert!(stream.head().starts_with("HTTP/1.1 200"));
    assert_eq!(stream.answer()["outcome"], "new");
    stream
}

#[test]
fn streams_that_wait_for_their_senders_are_in_nobodys_way_and_go_on_afterwards() {
    let service = Service::with(ServeOptions { max_batches: 1, ..options() }, None);
    let mut streams = [1, 2].map(|seed| open_stream(&service, seed));
    let mut form = reqwest::blocking::multipart::Form::new();
    for seed in [3, 4] {
        form = form.part("image", reqwest::blocking::multipart::Part::bytes(png(seed)).file_name("a.png"));
    }
    let lines = service.post("/v1/check").multipart(form).send().unwrap().text().unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for stream in &mut streams {
        stream.send(&format!("{}\n", json!({"image": STANDARD.encode(png(5))})));
        assert_eq!(stream.answer()["outcome"], "new");
        stream.send("");
        assert_eq!(stream.line().trim(), "0");
    }
}

#[test]
fn one_stream_too_many_is_refused_at_once_and_one_that_ends_makes_room() {
    let service = Service::with(ServeOptions { max_streams: 1, ..options() }, None);
    let mut stream = open_stream(&service, 1);
    let next = || service.post("/v1/check").header("content-type", "application/x-ndjson").send().unwrap();
    let refused = next();
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(problem(refused), (429, "overloaded".to_owned()));
    stream.send("");
    assert_eq!(stream.line().trim(), "0");
    until("there is room", || next().status() == 200);
}

#[test]
fn streams_that_are_open_end_with_the_service_once_their_rows_are_answered() {
    let service = Service::start();
    let mut stream = open_stream(&service, 1);
    // A line that has not come to its end is no row.
    stream.send("{\"image\":");
    service.server.stop();
    assert_eq!(stream.line().trim(), "0");
    assert_eq!(service.server.wait(), Ended::Drained);
}

#[test]
fn bodies_of_callers_who_are_not_let_in_take_no_memory_from_others() {
    let small = ServeOptions { max_body_bytes: 100_000, max_bytes_in_flight: 100_000, ..options() };
    let service = Service::with(small, None);
    let key = service.key("reader", "read", None);
    let path = "/openapi/param2/1/com.alibaba";
    let forms = [
        (format!("{path}.product/alibaba.product.imageSearch"), "multipart/form-data; boundary=x"),
        (
            format!("{path}.fenxiao.crossborder/product.image.upload/unknown"),
            "application/x-www-form-urlencoded",
        ),
        (format!("{path}.no/such"), "application/x-www-form-urlencoded"),
    ];
    // Each has told its size, and never sends all of it.
    let slow: Vec<TcpStream> = forms
        .iter()
        .cycle()
        .take(9)
        .map(|(path, kind)| {
            let mut slow = TcpStream::connect(service.server.address()).unwrap();
            slow.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: 99900\r\nexpect: 100-continue\r\n\r\n"
            );
            slow.write_all(head.as_bytes()).unwrap();
            let mut told = String::new();
            BufReader::new(&slow).read_line(&mut told).unwrap();
            assert_eq!(told, "HTTP/1.1 100 Continue\r\n", "{path}");
            slow
        })
        .collect();
    let search = service.post("/v1/search?local=true").bearer_auth(key.expose()).body(png(1)).send();
    assert_eq!(json(search.unwrap())["verdict"], "miss");
    // One whose body does come is refused in the words of its dialect.
    let (path, _) = &forms[1];
    let refused = service.post(path).form(&[("a", "b")]).send().unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.text().unwrap().contains("AppKey unknown is not known"));
    drop(slow);
}
