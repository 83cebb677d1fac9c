//! How the official gateway's tokens are got, renewed once for all, and shared between processes.

use std::sync::Arc;
use std::time::Duration;

use tongkuan::clock::{Clock, ManualClock};
use tongkuan::sandbox::{Sandbox, SandboxOptions};
use tongkuan::upstream::aop::authorize_url;
use tongkuan::upstream::{
    AopConfig, AopUpstream, SearchParams, Secret, TokenFile, Upstream, UpstreamErrorKind,
};

use super::{MORNING, picture_for};
use crate::fakes::http;

const REDIRECT: &str = "http://127.0.0.1:9/consent";

struct Gateway {
    clock: Arc<ManualClock>,
    sandbox: Sandbox,
    home: tempfile::TempDir,
}

impl Gateway {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(MORNING));
        let options =
            SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
        Self { clock, sandbox: Sandbox::start(options).unwrap(), home: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> TokenFile {
        TokenFile::of_home(self.home.path(), "aop")
    }

    fn client(&self, refresh_token: Option<&str>) -> AopUpstream {
        let config = AopConfig {
            base_url: self.sandbox.base_url().to_owned(),
            refresh_token: refresh_token.map(Secret::new),
            token_file: Some(self.file()),
            ..AopConfig::new("sandbox", Secret::new("sandbox-secret"))
        };
        AopUpstream::new(config, self.clock.clone()).unwrap()
    }

    fn code(&self) -> String {
        let page = format!("{}/oauth/authorize", self.sandbox.base_url());
        let url = authorize_url(&page, "sandbox", REDIRECT, "state 1").unwrap();
        let answer = http().get(url).send().unwrap();
        let location = reqwest::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        let param = |name: &str| location.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        assert!(location.as_str().starts_with(REDIRECT) && param("state") == "state 1");
        param("code")
    }
}

fn search(client: &AopUpstream) -> Result<(), UpstreamErrorKind> {
    client.search(&picture_for(client), &SearchParams::default()).map(drop).map_err(|error| error.kind)
}

#[test]
fn a_code_becomes_tokens_that_a_later_process_finds() {
    let gateway = Gateway::new();
    let client = gateway.client(None);
    assert_eq!(search(&client), Err(UpstreamErrorKind::Auth), "nobody has logged in");
    client.log_in(&gateway.code(), REDIRECT).unwrap();
    search(&client).unwrap();
    search(&gateway.client(None)).unwrap();
    assert_eq!(gateway.sandbox.counters().token_requests, 1, "the second client reads the file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(gateway.file().path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only its owner may read it");
    }
}

#[test]
fn a_code_is_good_once_for_two_minutes_and_for_its_own_address() {
    let gateway = Gateway::new();
    let client = gateway.client(None);
    let log_in = |code: &str, address: &str| client.log_in(code, address).map_err(|error| error.kind);
    let code = gateway.code();
    assert_eq!(log_in(&code, "http://127.0.0.1:9/other"), Err(UpstreamErrorKind::Auth));
    assert_eq!(log_in(&code, REDIRECT), Err(UpstreamErrorKind::Auth), "it was used up");
    let code = gateway.code();
    gateway.clock.sleep(Duration::from_mins(2));
    assert_eq!(log_in(&code, REDIRECT), Err(UpstreamErrorKind::Auth));
    log_in(&gateway.code(), REDIRECT).unwrap();
}

#[test]
fn a_token_that_ends_or_is_refused_is_renewed_once_for_all_who_search() {
    let gateway = Gateway::new();
    let client = gateway.client(Some("sandbox-refresh-token"));
    let all_search = || {
        std::thread::scope(|scope| {
            let searches: Vec<_> = (0..8).map(|_| scope.spawn(|| search(&client))).collect();
            assert!(searches.into_iter().all(|search| search.join().unwrap().is_ok()));
        });
        gateway.sandbox.counters().token_requests
    };
    assert_eq!(all_search(), 1);
    assert_eq!(all_search(), 1);
    gateway.clock.sleep(Duration::from_hours(10));
    assert_eq!(all_search(), 2, "it has ended");
    gateway.sandbox.expire_tokens();
    assert_eq!(all_search(), 3, "it was refused");
    // The refresh token is still there, though the gateway gave no new one.
    gateway.clock.sleep(Duration::from_hours(10));
    search(&gateway.client(None)).unwrap();
    assert_eq!(gateway.sandbox.counters().token_requests, 4);
}

#[test]
fn a_token_that_another_process_has_renewed_is_used_and_not_renewed_again() {
    let gateway = Gateway::new();
    let (one, other) = (gateway.client(Some("sandbox-refresh-token")), gateway.client(None));
    search(&one).unwrap();
    search(&other).unwrap();
    gateway.sandbox.expire_tokens();
    search(&one).unwrap();
    search(&other).unwrap();
    assert_eq!(gateway.sandbox.counters().token_requests, 2);
}

#[test]
fn a_wrong_refresh_token_is_fatal_and_in_no_message() {
    let gateway = Gateway::new();
    let client = gateway.client(Some("a-wrong-refresh-token"));
    let error = client.search(&picture_for(&client), &SearchParams::default()).unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Auth, "{error}");
    assert!(!format!("{error} {error:?} {client:?}").contains("a-wrong-refresh-token"));
    assert!(!gateway.file().path().exists());
}

#[test]
fn a_token_file_that_cannot_be_read_is_as_good_as_none() {
    let gateway = Gateway::new();
    let file = gateway.file();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), b"{ half of it").unwrap();
    search(&gateway.client(Some("sandbox-refresh-token"))).unwrap();
    assert_eq!(gateway.sandbox.counters().token_requests, 1);
}
