//! The service over real HTTP, on fakes: what it answers, to whom, and what it never does.

mod api;
mod doors;
mod gateway;
mod limits;
mod mcp;
mod once;
mod page;
mod program;

use std::sync::Arc;

use reqwest::blocking::{Client, RequestBuilder, Response};
use serde_json::Value;
use tongkuan::engine::{CachePolicy, Engine};
use tongkuan::fetch::Fetch;
use tongkuan::serve::{NewKey, Rights, ServeOptions, ServeParts, ServeStore, Server};
use tongkuan::upstream::{GuardPolicy, Secret};

use crate::fakes::{Bench, http};

/// Of clients and of the service.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(5);

/// A service on fakes: nothing in the background, no pause between calls.
pub(crate) struct Service {
    pub(crate) bench: Bench,
    pub(crate) server: Server,
    pub(crate) store: Arc<ServeStore>,
    pub(crate) client: Client,
}

pub(crate) fn options() -> ServeOptions {
    ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        workers: 2,
        background: None,
        // A busy machine is no fault.
        deadline: PATIENCE,
        ..ServeOptions::default()
    }
}

pub(crate) fn engine_of(bench: &Bench) -> Arc<Engine> {
    let policy = GuardPolicy::default().min_interval(std::time::Duration::ZERO);
    let builder = bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default());
    Arc::new(builder.open().unwrap())
}

impl Service {
    pub(crate) fn start() -> Self {
        Self::with(options(), None)
    }

    pub(crate) fn with(options: ServeOptions, fetcher: Option<Arc<dyn Fetch + Send>>) -> Self {
        Self::on(Bench::new(), options, fetcher)
    }

    pub(crate) fn on(bench: Bench, options: ServeOptions, fetcher: Option<Arc<dyn Fetch + Send>>) -> Self {
        let engine = engine_of(&bench);
        Self::of(bench, engine, options, fetcher)
    }

    pub(crate) fn of(
        bench: Bench,
        engine: Arc<Engine>,
        options: ServeOptions,
        fetcher: Option<Arc<dyn Fetch + Send>>,
    ) -> Self {
        let store = Arc::new(ServeStore::open(engine.folder()).unwrap());
        let parts = ServeParts {
            engine,
            fetcher,
            store: Arc::clone(&store),
            apps: Vec::new(),
            clock: bench.clock.clone(),
        };
        let server = Server::start(parts, options).unwrap();
        Self { bench, server, store, client: http() }
    }

    /// The same home, served anew.
    pub(crate) fn restarted(self) -> Self {
        let Self { bench, server, store, .. } = self;
        drop((server, store));
        Self::on(bench, options(), None)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.base_url())
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path)).timeout(PATIENCE)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).timeout(PATIENCE).send().unwrap()
    }

    /// A search for a picture as raw bytes.
    pub(crate) fn search(&self, query: &str, bytes: &[u8]) -> Response {
        self.post(&format!("/v1/search{query}")).body(bytes.to_vec()).send().unwrap()
    }

    pub(crate) fn key(&self, name: &str, rights: &str, daily_budget: Option<u32>) -> Secret {
        let rights: Rights = rights.parse().unwrap();
        let new = NewKey { name: name.to_owned(), rights, daily_budget, per_second: None };
        self.store.make_key(&new, tongkuan::clock::Timestamp::from_unix_ms(0)).unwrap().1
    }
}

pub(crate) fn json(response: Response) -> Value {
    let status = response.status();
    assert!(status.is_success(), "{status}: {}", response.text().unwrap());
    response.json().unwrap()
}

/// The status and the code of a refusal, which has to be problem details.
pub(crate) fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let text = response.text().unwrap();
    assert_eq!(kind.as_deref(), Some("application/problem+json"), "{status} {text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["status"], status);
    let code = value["code"].as_str().unwrap().to_owned();
    assert_eq!(value["type"], format!("/docs/errors#{code}"));
    assert!(!value["detail"].as_str().unwrap().is_empty());
    (status, code)
}
