//! Who is let in, and what each may do.

use std::sync::Arc;

use serde_json::json;
use tongkuan::fetch::{FetchLimits, Fetcher};
use tongkuan::serve::{NewKey, Rights, ServeError, ServeOptions, ServeParts, ServeStore, Server};

use super::{Service, engine_of, json, options, problem};
use crate::fakes::{Bench, png};

#[test]
fn a_key_without_the_right_to_spend_never_costs_a_call() {
    let service = Service::start();
    let key = service.key("reader", "read,write", None);
    let send =
        |path: &str, seed| service.post(path).bearer_auth(key.expose()).body(png(seed)).send().unwrap();
    let answer = json(send("/v1/search", 1));
    assert_eq!(
        (&answer["verdict"], &answer["unanswered"]["reason"]),
        (&json!("miss"), &json!("key_may_not_spend"))
    );
    json(send("/v1/search?pages=3", 1));
    json(send("/v1/search?max_age_days=0&page=2", 1));
    for option in ["refresh=true", "bypass=true", "defer=5"] {
        assert_eq!(problem(send(&format!("/v1/search?{option}"), 1)), (403, "key_forbidden".to_owned()));
    }
    assert_eq!(problem(send("/v1/offers/123?refresh=true", 1)), (403, "key_forbidden".to_owned()));
    json(send("/v1/check?add=true", 2));
    // What it stores is not asked about later either.
    assert_eq!(
        json(service.client.get(service.url("/v1/quota")).bearer_auth(key.expose()).send().unwrap())["waiting"]
            ["deferred"],
        0
    );
    assert_eq!(service.bench.calls(), 0);
}

#[test]
fn a_keys_budget_ends_with_the_last_call_that_it_allows() {
    let service = Service::start();
    let key = service.key("shop", "read,spend", Some(2));
    let search =
        |seed| json(service.post("/v1/search").bearer_auth(key.expose()).body(png(seed)).send().unwrap());
    for seed in [1, 1, 2, 2] {
        search(seed);
    }
    assert_eq!(service.bench.calls(), 2);
    let refused = search(3);
    assert_eq!(
        (&refused["upstream_calls"], &refused["unanswered"]["reason"]),
        (&json!(0), &json!("key_budget_spent"))
    );
    // What is known costs nothing.
    assert_eq!(search(1)["verdict"], "hit");
    assert_eq!(service.bench.calls(), 2);
    let other = service.key("other", "read,spend", None);
    json(service.post("/v1/search").header("x-api-key", other.expose()).body(png(3)).send().unwrap());
    assert_eq!(service.bench.calls(), 3);
}

#[test]
fn once_there_is_a_key_nobody_is_let_in_without_one_and_each_right_stands_alone() {
    let service = Service::start();
    json(service.search("", &png(1)));
    let key = |rights: &str| service.key(rights, rights, None).expose().to_owned();
    let (read, write) = (key("read"), key("write"));
    assert_eq!(problem(service.search("", &png(1))), (401, "key_missing".to_owned()));
    assert_eq!(problem(service.get("/metrics")), (401, "key_missing".to_owned()));
    for open in ["/livez", "/docs", "/openapi.json"] {
        assert!(service.get(open).status().is_success(), "{open}");
    }
    let send = |key: &str, path: &str| service.post(path).bearer_auth(key).body(png(1)).send().unwrap();
    assert_eq!(problem(send("tk_nobody_knows", "/v1/search")), (401, "key_unknown".to_owned()));
    json(send(&read, "/v1/search"));
    assert_eq!(problem(send(&read, "/v1/pictures?id=a")), (403, "key_forbidden".to_owned()));
    assert_eq!(problem(send(&read, "/v1/check?add=true")), (403, "key_forbidden".to_owned()));
    json(send(&write, "/v1/pictures?id=a"));
    assert_eq!(problem(send(&write, "/v1/search")), (403, "key_forbidden".to_owned()));
    service.store.revoke_key("read", tongkuan::clock::Timestamp::from_unix_ms(1)).unwrap();
    assert_eq!(problem(send(&read, "/v1/search")), (401, "key_unknown".to_owned()));
}

#[test]
fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let service = Service::start();
    let new =
        NewKey { name: "fast".to_owned(), rights: Rights::ALL, daily_budget: None, per_second: Some(0.5) };
    let (_, key) = service.store.make_key(&new, tongkuan::clock::Timestamp::from_unix_ms(0)).unwrap();
    let get = || service.client.get(service.url("/v1/stats")).bearer_auth(key.expose()).send().unwrap();
    assert!(get().status().is_success());
    let refused = get();
    assert!((1..=2).contains(&refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap()));
    assert_eq!(problem(refused), (429, "rate_limited".to_owned()));
}

#[test]
fn other_machines_are_let_in_only_with_keys() {
    let bench = Bench::new();
    let store = Arc::new(ServeStore::open(bench.home.path()).unwrap());
    let start = |store: &Arc<ServeStore>| {
        let parts = ServeParts {
            engine: engine_of(&bench),
            fetcher: None,
            store: Arc::clone(store),
            apps: Vec::new(),
            clock: bench.clock.clone(),
        };
        Server::start(parts, ServeOptions { listen: ([0, 0, 0, 0], 0).into(), ..options() })
    };
    assert!(matches!(start(&store), Err(ServeError::NeedsKeys { .. })));
    let new = NewKey { name: "a".to_owned(), rights: Rights::ALL, daily_budget: None, per_second: None };
    store.make_key(&new, tongkuan::clock::Timestamp::from_unix_ms(0)).unwrap();
    assert!(start(&store).is_ok());
}

#[test]
fn a_page_of_another_site_and_a_name_that_leads_here_are_refused() {
    let service = Service::start();
    let search = || service.post("/v1/search").body(png(1));
    let with = |name: &str, value: &str| problem(search().header(name, value).send().unwrap());
    assert_eq!(with("origin", "https://evil.example"), (403, "origin_refused".to_owned()));
    assert_eq!(with("origin", "null"), (403, "origin_refused".to_owned()));
    assert_eq!(with("sec-fetch-site", "cross-site"), (403, "origin_refused".to_owned()));
    assert_eq!(with("host", "rebound.example"), (421, "host_refused".to_owned()));
    assert_eq!(service.bench.calls(), 0);
    let own = service.server.base_url();
    assert!(search().header("origin", own).send().unwrap().status().is_success());
    assert!(!service.get("/v1/stats").headers().contains_key("access-control-allow-origin"));
    let allowed = ServeOptions { allowed_origins: vec!["https://erp.example".to_owned()], ..options() };
    let service = Service::with(allowed, None);
    let response =
        service.post("/v1/search").header("origin", "https://erp.example").body(png(1)).send().unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "https://erp.example");
    assert!(response.status().is_success());
}

#[test]
fn an_address_inside_of_this_machines_network_is_not_fetched() {
    let fetcher = Fetcher::new(FetchLimits::default(), &[]).unwrap();
    let service = Service::with(options(), Some(Arc::new(fetcher)));
    for address in [
        "http://127.0.0.1/a.jpg",
        "http://[::1]/a.jpg",
        "http://169.254.169.254/latest",
        "http://localhost/a.jpg",
    ] {
        let response = service.post("/v1/search").json(&json!({"url": address})).send().unwrap();
        assert_eq!(problem(response), (422, "address_not_public".to_owned()), "{address}");
    }
    assert_eq!(service.bench.calls(), 0);
}
