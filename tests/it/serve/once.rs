//! What is sent twice is done once.

use std::sync::Arc;
use std::time::Duration;

use reqwest::blocking::multipart::{Form, Part};
use serde_json::json;
use tongkuan::cancel::Interrupt;
use tongkuan::engine::{
    CachePolicy, CheckItem, CheckListener, CheckOptions, CheckStats, Checked, EngineError,
};
use tongkuan::upstream::{GuardPolicy, UpstreamErrorKind};

use super::{Service, json, options, problem};
use crate::fakes::{Bench, Telling, png};

#[test]
fn a_request_with_the_same_key_is_answered_again_and_not_done_again() {
    let service = Service::start();
    let refresh = |seed| {
        service
            .post("/v1/search?refresh=true")
            .header("idempotency-key", "job-1")
            .body(png(seed))
            .send()
            .unwrap()
    };
    let first = json(refresh(1));
    let again = refresh(1);
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.headers()["x-tongkuan"], "miss");
    assert_eq!(json(again), first);
    assert_eq!(problem(refresh(2)), (422, "idempotency_reused".to_owned()));
    assert_eq!(service.bench.calls(), 1);
    // After a restart, too.
    let service = service.restarted();
    let again = service
        .post("/v1/search?refresh=true")
        .header("idempotency-key", "job-1")
        .body(png(1))
        .send()
        .unwrap();
    assert_eq!(json(again), first);
    assert_eq!(service.bench.calls(), 1);
}

#[test]
fn two_at_once_with_one_key_do_it_once() {
    let service = Service::start();
    let held = service.bench.upstream.hanging.lock().unwrap();
    let send = || service.post("/v1/search").header("idempotency-key", "k").body(png(1)).send().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(send);
        while service.bench.calls() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(problem(send()), (409, "idempotency_running".to_owned()));
        drop(held);
        json(first.join().unwrap());
    });
    json(send());
    assert_eq!(service.bench.calls(), 1);
}

#[test]
fn a_form_is_the_same_request_with_another_boundary_and_a_refused_request_may_be_corrected() {
    let service = Service::start();
    let add = |query: &str, seed| {
        let form = Form::new().part("image", Part::bytes(png(seed)).file_name("a.png"));
        service
            .post(&format!("/v1/pictures{query}"))
            .header("idempotency-key", "k")
            .multipart(form)
            .send()
            .unwrap()
    };
    assert_eq!(problem(add("?price=x", 1)), (400, "request_invalid".to_owned()));
    assert_eq!(add("?id=a", 1).status(), 201);
    let again = add("?id=a", 1);
    assert_eq!(
        (again.status().as_u16(), again.headers()["idempotent-replayed"].to_str().unwrap()),
        (201, "true")
    );
}

/// Keeps each row's line, as the service does.
struct Keeps;

impl CheckListener<(), EngineError> for Keeps {
    fn line(&self, row: u64, (): &(), outcome: Result<&Checked, &EngineError>) -> Option<String> {
        let checked = outcome.unwrap();
        Some(
            json!({"row": row, "outcome": checked.outcome, "photo_id": checked.photo_id, "kept": true})
                .to_string(),
        )
    }
    fn told(&mut self, _: u64, (): (), _: Result<Checked, EngineError>) {}
}

#[test]
fn a_check_that_was_stored_and_not_told_of_says_the_same_when_it_is_sent_again() {
    let service = Service::start();
    let send = || {
        service.post("/v1/check?add=true&key=a").header("idempotency-key", "k").body(png(1)).send().unwrap()
    };
    let first = json(send());
    assert_eq!(first["outcome"], "new");
    // As a process that was killed between storing and answering leaves it: begun, not finished, stored with its line.
    json(service.client.delete(service.url("/v1/pictures/1")).send().unwrap());
    let engine = service.bench.engine();
    let run_id = engine.check_run("idempotency owner k", false).unwrap();
    let item = CheckItem { label: "a".to_owned(), read: || Ok::<_, EngineError>(png(1)) };
    let options = CheckOptions { add: true, run_id: Some(run_id), ..CheckOptions::default() };
    engine
        .check_all([(0, (), Ok(item))], options, &CheckStats::default(), &Interrupt::never(), &mut Keeps)
        .unwrap();
    interrupt(&service);
    let again = json(send());
    assert_eq!((&again["outcome"], &again["kept"]), (&json!("new"), &json!(true)));
    // Its answer is kept from now on, and the run has ended.
    assert_eq!(send().headers()["idempotent-replayed"], "true");
    assert!(engine.kept_check_lines(run_id).unwrap().is_empty());
    assert_eq!(json(service.get("/v1/stats"))["counts"]["photos"], 1);
}

/// As a killed process leaves its requests, a second ago.
fn interrupt(service: &Service) {
    let database = rusqlite::Connection::open(service.bench.home.path().join("serve.sqlite")).unwrap();
    let changed = database
        .execute("UPDATE requests SET status = NULL, finished_ms = NULL, began_ms = began_ms - 1000", [])
        .unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn an_interrupted_refresh_is_not_paid_for_again() {
    let service = Service::start();
    let send = || {
        service.post("/v1/search?refresh=true").header("idempotency-key", "k").body(png(1)).send().unwrap()
    };
    let first = json(send());
    interrupt(&service);
    let again = json(send());
    assert_eq!((&again["verdict"], &again["upstream_calls"]), (&json!("hit"), &json!(0)));
    assert_eq!(again["offers"], first["offers"]);
    assert_eq!(service.bench.calls(), 1);
}

#[test]
fn details_with_the_same_key_are_paid_for_once() {
    let bench = Bench::new();
    let upstream = Arc::new(Telling::default());
    let policy = GuardPolicy::default().min_interval(Duration::ZERO);
    let engine = bench.builder().upstream(upstream.clone(), policy, CachePolicy::default()).open().unwrap();
    let service = Service::of(bench, Arc::new(engine), options(), None);
    let send = |path: &str| service.post(path).header("idempotency-key", "k").send().unwrap();
    let first = json(send("/v1/offers/9001?refresh=true"));
    assert_eq!(first["upstream_calls"], 1);
    let again = send("/v1/offers/9001?refresh=true");
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(json(again), first);
    assert_eq!(problem(send("/v1/offers/9002?refresh=true")), (422, "idempotency_reused".to_owned()));
    assert_eq!(upstream.asked().len(), 1);
    // What was told before the process was killed is not paid for again either.
    interrupt(&service);
    let taken_up = json(send("/v1/offers/9001?refresh=true"));
    assert_eq!((&taken_up["detail"], &taken_up["upstream_calls"]), (&first["detail"], &json!(0)));
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn a_failure_that_cost_nothing_is_not_given_again() {
    let service = Service::start();
    let send = |path: &str, key: &str| {
        service.post(path).header("idempotency-key", key).body(png(1)).send().unwrap()
    };
    service.bench.upstream.fail_with(UpstreamErrorKind::Unreachable);
    let failed = json(send("/v1/search", "k"));
    assert_eq!(
        (&failed["unanswered"]["reason"], &failed["upstream_calls"]),
        (&json!("upstream_failed"), &json!(0))
    );
    service.bench.upstream.fail_with(None);
    let answered = send("/v1/search", "k");
    assert!(!answered.headers().contains_key("idempotent-replayed"));
    let answered = json(answered);
    assert_eq!(answered["upstream_calls"], 1);
    assert_eq!(json(send("/v1/search", "k")), answered, "this one is kept");
    // A refresh that brought nothing new is done again, too.
    service.bench.upstream.fail_with(UpstreamErrorKind::Unreachable);
    let old = json(send("/v1/search?refresh=true", "r"));
    assert_eq!((&old["offers"], &old["upstream_calls"]), (&answered["offers"], &json!(0)));
    service.bench.upstream.fail_with(None);
    assert_eq!(json(send("/v1/search?refresh=true", "r"))["upstream_calls"], 1);
}

#[test]
fn a_failure_that_may_have_been_paid_for_is_given_again() {
    let service = Service::start();
    let send = || service.post("/v1/search").header("idempotency-key", "k").body(png(1)).send().unwrap();
    service.bench.upstream.fail_with(UpstreamErrorKind::Unreadable);
    let failed = json(send());
    assert_eq!(failed["upstream_calls"], 1);
    service.bench.upstream.fail_with(None);
    assert_eq!(json(send()), failed);
    assert_eq!(service.bench.calls(), 1);
}
