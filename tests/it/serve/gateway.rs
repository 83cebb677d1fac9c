//! Scripts that are there already: they change the base URL and save their quota.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use image::imageops::{FilterType, resize};
use tongkuan::clock::{ManualClock, Timestamp};
use tongkuan::config::Profile;
use tongkuan::engine::{CachePolicy, Engine, Mode, Query};
use tongkuan::fetch::{FetchLimits, Fetcher};
use tongkuan::offer::{OfferId, Sku};
use tongkuan::photo::{Photo, PhotoLimits};
use tongkuan::sandbox::{Sandbox, SandboxOptions, View};
use tongkuan::serve::{GatewayApp, NewKey, Rights, ServeParts, ServeStore, Server};
use tongkuan::upstream::aop::sign;
use tongkuan::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardPolicy, LinkplusUpstream, OneboundConfig,
    OneboundUpstream, SearchParams, Secret, Sort, TmapiConfig, TmapiUpstream, Upstream, UpstreamError,
    UpstreamErrorKind, prepare,
};

use super::options;
use crate::fakes::{FakeEmbedder, http};

const KEY: &str = "sandbox";
const SECRET: &str = "sandbox-secret";
/// Of clients: a busy machine is no fault.
const PATIENCE: Duration = Duration::from_mins(5);

/// A service whose upstream is a sandbox, asked in the dialect `upstream`.
struct Gateway {
    home: tempfile::TempDir,
    sandbox: Sandbox,
    server: Server,
    store: Arc<ServeStore>,
    clock: Arc<ManualClock>,
}

impl Gateway {
    /// A key of the service that may read, and nothing else.
    fn read_key(&self) -> Secret {
        let new = NewKey {
            name: "r".to_owned(),
            rights: "read".parse::<Rights>().unwrap(),
            daily_budget: None,
            per_second: None,
        };
        self.store.make_key(&new, Timestamp::from_unix_ms(0)).unwrap().1
    }

    fn asking(upstream: Profile) -> Self {
        Self::of(upstream, SandboxOptions::default().daily_quota)
    }

    fn of(upstream: Profile, daily_budget: u32) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_485_600_000)));
        let options_of =
            SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
        let sandbox = Sandbox::start(options_of).unwrap();
        // Drawing all goods takes longer than a client waits, where nothing is optimised.
        sandbox.warm_up();
        let home = tempfile::tempdir().unwrap();
        let policy = GuardPolicy::default().min_interval(Duration::ZERO).daily_budget(daily_budget);
        let engine = Engine::builder(home.path())
            .embedder(Arc::new(FakeEmbedder::new()))
            .clock(clock.clone())
            .upstream(
                client_of(upstream, sandbox.base_url(), &sandbox.issue_token(), &clock),
                policy,
                CachePolicy::default(),
            )
            .open()
            .unwrap();
        let fetcher = Fetcher::new(FetchLimits::default(), &[sandbox.base_url().to_owned()]).unwrap();
        let store = Arc::new(ServeStore::open(home.path()).unwrap());
        let app = |profile| GatewayApp { profile, app_key: KEY.to_owned(), app_secret: Secret::new(SECRET) };
        let parts = ServeParts {
            engine: Arc::new(engine),
            fetcher: Some(Arc::new(fetcher)),
            store: Arc::clone(&store),
            apps: vec![app(Profile::Aop), app(Profile::Onebound), app(Profile::Tmapi)],
            clock: clock.clone(),
        };
        let server = Server::start(parts, options()).unwrap();
        Self { home, sandbox, server, store, clock }
    }

    fn picture(&self, number: usize) -> Vec<u8> {
        let catalogue = self.sandbox.catalogue();
        catalogue.jpeg(&catalogue.goods()[number], View::Main)
    }

    fn address(&self, number: usize) -> String {
        let good = &self.sandbox.catalogue().goods()[number];
        format!("{}/img/{}/main.jpg", self.sandbox.base_url(), good.offer_id)
    }

    fn file(&self, number: usize) -> PathBuf {
        let path = self.home.path().join(format!("{number}.jpg"));
        std::fs::write(&path, self.picture(number)).unwrap();
        path
    }

    /// The ids of the offers that a client of this crate finds here.
    fn search(&self, dialect: Profile, number: usize) -> Result<Vec<String>, UpstreamError> {
        let client = client_of(dialect, &self.server.base_url(), "any-token", &self.clock);
        let picture = Photo::decode(&self.picture(number), &PhotoLimits::default()).unwrap();
        let mut picture = prepare(picture.as_image(), None, &client.upload_limits()).unwrap().picture;
        picture.source_url = Some(self.address(number));
        let page = client.search(&picture, &SearchParams::default())?;
        assert!(page.offers.iter().all(|offer| offer.price.is_some() && !offer.title.is_empty()));
        Ok(page.offers.iter().map(|offer| offer.offer_id.to_string()).collect())
    }
}

/// The client of a dialect, as it is in use against the real services.
fn client_of(dialect: Profile, base_url: &str, token: &str, clock: &Arc<ManualClock>) -> Arc<dyn Upstream> {
    let gateway = || {
        let mut config = AopConfig::new(KEY, Secret::new(SECRET));
        config.access_token = Some(Secret::new(token));
        base_url.clone_into(&mut config.base_url);
        config.timeout = PATIENCE;
        config
    };
    match dialect {
        Profile::Article => {
            let mut config = ArticleConfig::new(KEY, Secret::new(SECRET));
            base_url.clone_into(&mut config.base_url);
            config.timeout = PATIENCE;
            Arc::new(ArticleUpstream::new(config, clock.clone()).unwrap())
        }
        Profile::Aop => Arc::new(AopUpstream::new(gateway(), clock.clone()).unwrap()),
        Profile::Linkplus => Arc::new(LinkplusUpstream::new(gateway(), clock.clone()).unwrap()),
        Profile::Onebound => {
            let mut config = OneboundConfig::new(Secret::new(KEY), Secret::new(SECRET));
            base_url.clone_into(&mut config.base_url);
            config.timeout = PATIENCE;
            Arc::new(OneboundUpstream::new(config, clock.clone()).unwrap())
        }
        Profile::Tmapi => {
            let mut config = TmapiConfig::new(Secret::new(SECRET));
            base_url.clone_into(&mut config.base_url);
            config.timeout = PATIENCE;
            Arc::new(TmapiUpstream::new(config, clock.clone()).unwrap())
        }
    }
}

#[test]
fn every_dialect_is_served_from_any_other_and_all_share_one_call() {
    for upstream in [Profile::Article, Profile::Aop] {
        let gateway = Gateway::asking(upstream);
        let first = gateway.search(Profile::Article, 7).unwrap();
        assert_eq!(first.len(), 20);
        for dialect in Profile::ALL {
            assert_eq!(gateway.search(dialect, 7).unwrap(), first, "{dialect} from {upstream}");
        }
        assert_eq!(gateway.sandbox.counters().searches_ok, 1, "{upstream}");
    }
}

#[test]
fn a_filter_of_a_script_is_part_of_its_question_and_an_order_is_made_here() {
    let gateway = Gateway::asking(Profile::Aop);
    let client = client_of(Profile::Aop, &gateway.server.base_url(), "any-token", &gateway.clock);
    let picture = Photo::decode(&gateway.picture(7), &PhotoLimits::default()).unwrap();
    let picture = prepare(picture.as_image(), None, &client.upload_limits()).unwrap().picture;
    let search = |params: &SearchParams| client.search(&picture, params).unwrap();
    let plain = search(&SearchParams::default());
    let dropship = SearchParams::default().filters(["isOnePsale".parse().unwrap()]);
    let filtered = search(&dropship);
    assert!(
        filtered.total < plain.total && filtered.offers.iter().all(|offer| offer.dropships == Some(true))
    );
    let told = plain.offers.iter().all(|o| o.shipping_promise.is_some() && o.supplier.years.is_some());
    assert!(told && !plain.suggested_regions.is_empty(), "what the upstream told is passed on");
    assert_eq!(gateway.sandbox.counters().searches_ok, 2);
    let sorted = search(&SearchParams::default().sort(Sort::MonthSoldDesc));
    assert!(sorted.offers.is_sorted_by_key(|offer| std::cmp::Reverse(offer.month_sold)));
    assert_eq!((search(&dropship), gateway.sandbox.counters().searches_ok), (filtered, 2), "asked once each");

    let of_article = Gateway::asking(Profile::Article);
    let client = client_of(Profile::Aop, &of_article.server.base_url(), "any-token", &of_article.clock);
    let refused = client.search(&picture, &dropship).unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (UpstreamErrorKind::Param, "gw.ParamInvalid"));
    assert_eq!(of_article.sandbox.counters().searches_ok, 0);
}

#[test]
fn a_miss_in_each_dialect_is_passed_on_once() {
    let gateway = Gateway::asking(Profile::Article);
    for (number, dialect) in Profile::ALL.into_iter().enumerate() {
        let number = 20 * number;
        let first = gateway.search(dialect, number).unwrap();
        assert!(!first.is_empty(), "{dialect}");
        assert_eq!(gateway.search(dialect, number).unwrap(), first, "{dialect}");
        assert_eq!(gateway.sandbox.counters().searches_ok, 1 + number as u64 / 20, "{dialect}");
    }
}

#[test]
fn a_picture_of_own_goods_is_asked_about_for_a_script_and_its_own_goods_are_no_answer() {
    let gateway = Gateway::asking(Profile::Aop);
    // Another process on the home.
    let engine = Engine::builder(gateway.home.path()).embedder(Arc::new(FakeEmbedder::new())).open().unwrap();
    engine.add_own(&crate::fakes::offer("/goods/A-1.jpg"), &gateway.picture(7), "A-1.jpg").unwrap();
    let first = gateway.search(Profile::Article, 7).unwrap();
    assert_eq!((first.len(), gateway.sandbox.counters().searches_ok), (20, 1), "{first:?}");
    for dialect in Profile::ALL {
        assert_eq!(gateway.search(dialect, 7).unwrap(), first, "{dialect}");
    }
    assert_eq!(gateway.sandbox.counters().searches_ok, 1);
    // Who names no upstream sees the own goods, and who names one what it has said.
    let picture = gateway.picture(7);
    for (upstream, offers) in [(None, 1), (Some("aop"), 20)] {
        let query = Query::new(&picture, "q.jpg").mode(Mode::LocalOnly).upstream(upstream);
        assert_eq!(engine.search(&query).unwrap().offers.len(), offers, "{upstream:?}");
    }
}

#[test]
fn a_tall_picture_of_a_script_is_searched_for_once_and_asked_about_as_a_whole() {
    let gateway = Gateway::asking(Profile::Aop);
    let client = client_of(Profile::Article, &gateway.server.base_url(), "any-token", &gateway.clock);
    let picture = Photo::decode(&gateway.picture(7), &PhotoLimits::default()).unwrap();
    // As large as the article's dialect takes it; the one behind would be sent a strip of 250 pixels.
    let tall = resize(picture.as_image(), 320, 1280, FilterType::Triangle);
    let picture = prepare(&tall, None, &client.upload_limits()).unwrap().picture;
    assert_eq!((picture.width_px, picture.height_px), (320, 1280));
    client.search(&picture, &SearchParams::default()).unwrap();
    assert_eq!(gateway.sandbox.counters().searches_ok, 1);
    let key = gateway.read_key();
    let metrics = http().get(format!("{}/metrics", gateway.server.base_url())).bearer_auth(key.expose());
    let metrics = metrics.send().unwrap().text().unwrap();
    let searched: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("tongkuan_searches_total")).collect();
    assert_eq!(searched, ["tongkuan_searches_total{verdict=\"miss\",rule=\"none\"} 1"]);
}

#[test]
fn details_of_an_offer_are_asked_for_once_and_told_in_each_dialect() {
    let gateway = Gateway::asking(Profile::Aop);
    let offer_id = |id: &str| OfferId::new(id).unwrap();
    let id = offer_id(&gateway.sandbox.catalogue().goods()[3].offer_id.to_string());
    let at = |base_url: &str, dialect, id: &OfferId| {
        client_of(dialect, base_url, &gateway.sandbox.issue_token(), &gateway.clock).details(id)
    };
    let here = |dialect, id: &OfferId| at(&gateway.server.base_url(), dialect, id);
    let by_article = here(Profile::Article, &id).unwrap();
    assert_eq!(gateway.sandbox.counters().details_ok, 1);
    let by_aop = here(Profile::Aop, &id).unwrap();
    assert_eq!(gateway.sandbox.counters().details_ok, 1, "it is known");
    assert_eq!(by_aop, at(gateway.sandbox.base_url(), Profile::Aop, &id).unwrap());
    // The article's dialect does not weigh single variants.
    let weightless = |sku: &Sku| Sku { weight_grams: None, ..sku.clone() };
    let skus: Vec<Sku> = by_aop.skus.iter().map(weightless).collect();
    assert_eq!((&by_article.skus, &by_article.attributes), (&skus, &by_aop.attributes));
    assert_eq!(
        (&by_article.price_ladder, by_article.weight_grams),
        (&by_aop.price_ladder, by_aop.weight_grams)
    );
    assert_eq!(by_aop.price_ladder.len(), 3);
    assert_eq!((&by_article.offer.title, by_article.offer.price), (&by_aop.offer.title, by_aop.offer.price));
    let known = gateway.sandbox.counters().details_ok;
    for dialect in Profile::ALL {
        let told = here(dialect, &id).unwrap();
        assert_eq!(
            (told.price_ladder, told.skus.len(), told.offer.title),
            (by_aop.price_ladder.clone(), by_aop.skus.len(), by_aop.offer.title.clone()),
            "{dialect}"
        );
    }
    assert_eq!(gateway.sandbox.counters().details_ok, known, "known in all of them");
    for dialect in Profile::ALL {
        assert_eq!(here(dialect, &offer_id("1")).unwrap_err().code, "no_such_offer", "{dialect}");
    }
}

#[test]
fn a_wrong_secret_or_signature_is_refused_in_the_dialects_own_words() {
    let gateway = Gateway::asking(Profile::Article);
    let base = gateway.server.base_url();
    let text = |request: reqwest::blocking::RequestBuilder| request.send().unwrap().text().unwrap();
    let get = |path: &str| text(http().get(format!("{base}{path}")));
    let token = "/auth/requestToken?grant_type=client_credentials&client_id=sandbox&client_secret=";
    assert!(get(&format!("{token}wrong")).contains("40001"));
    assert!(get(&format!("{token}{SECRET}")).contains("access_token"));
    // Each answer of this dialect tells the account, but not to one who is not let in.
    for path in ["item_search_img/?imgid=x", "item_get/?num_iid=864704291266"] {
        let (refused, told) =
            ["wrong", SECRET].map(|secret| get(&format!("/1688/{path}&key=sandbox&secret={secret}"))).into();
        assert!(refused.contains("4005") && !refused.contains("api_info"), "{refused}");
        assert!(told.contains("today:") && told.contains("max:500"), "{told}");
    }
    let upload = http().post(format!("{base}/1688/upload_img/?key=sandbox&secret=wrong")).form(&[("a", "b")]);
    assert!(!text(upload).contains("api_info"));
    assert!(get("/1688/search/image?apiToken=wrong&img_url=x").contains("401"));
    let path = format!("param2/1/com.alibaba.linkplus/alibaba.cross.similar.offer.search/{KEY}");
    let signed = |secret: &str, token: &str| {
        let params = [("picUrl", "http://a/b.jpg"), ("page", "1"), ("access_token", token)];
        let signature = sign(&path, &params, &Secret::new(secret));
        let request = http().post(format!("{base}/openapi/{path}"));
        text(request.form(&params).query(&[("_aop_signature", signature)]))
    };
    assert!(signed("wrong", "t").contains("gw.SignatureInvalid"));
    assert!(signed(SECRET, "").contains("Request need user authenticated"));
    // What is right so far comes to the picture, which is not to be had.
    assert!(signed(SECRET, "t").contains("handle image error with url"));
    assert!(
        text(http().post(format!("{base}/openapi/{path}")).form(&[("page", "1")]))
            .contains("gw.SignatureMissing")
    );
    assert_eq!(gateway.sandbox.counters().searches_ok, 0);
}

#[test]
fn where_nothing_is_left_to_spend_each_dialect_says_so_as_its_upstream_does_and_hits_go_on() {
    let gateway = Gateway::of(Profile::Article, 1);
    let known = gateway.search(Profile::Article, 7).unwrap();
    for dialect in Profile::ALL {
        let error = gateway.search(dialect, 60).unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::Quota, "{dialect}: {error}");
        assert_eq!(gateway.search(dialect, 7).unwrap(), known, "{dialect}");
    }
    let client = client_of(Profile::Article, &gateway.server.base_url(), "any", &gateway.clock);
    let error = client.details(&OfferId::new("864704291266").unwrap()).unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Quota, "{error}");
    assert_eq!(gateway.sandbox.counters().searches_ok, 1);
}

#[test]
fn a_key_of_the_service_is_a_secret_where_a_dialect_sends_it_and_keeps_its_limits() {
    let gateway = Gateway::asking(Profile::Article);
    let key = gateway.read_key();
    let base = gateway.server.base_url();
    let search = |number: usize| {
        let query = [("key", "any"), ("secret", key.expose()), ("imgid", &gateway.address(number))];
        let response = http().get(format!("{base}/1688/item_search_img/")).query(&query).send().unwrap();
        response.json::<serde_json::Value>().unwrap()
    };
    assert_eq!(search(7)["error_code"], "4012");
    assert_eq!(gateway.sandbox.counters().searches_ok, 0);
    gateway.search(Profile::Article, 7).unwrap();
    assert_eq!(search(7)["error_code"], "0000");
    gateway.store.revoke_key("r", Timestamp::from_unix_ms(1)).unwrap();
    assert_eq!(search(7)["error_code"], "4005");
}

/// Where pip has put requests.
fn python_path() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-requests");
        let lock = std::fs::File::create(place.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        if !place.join("requests/__init__.py").exists() {
            let pip = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "requests==2.32.5",
                "--target",
            ];
            let status = Command::new("python3").args(pip).arg(&place).status().unwrap();
            assert!(status.success(), "pip could not install requests");
        }
        place
    })
}

/// What a script of docs/examples/serve prints: standard output and standard error.
pub(super) fn script(program: &str, name: &str, args: &[&str]) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/serve").join(name);
    let mut command = Command::new(program);
    if program == "python3" {
        command.env("PYTHONPATH", python_path());
    }
    let ran = command.arg(path).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(ran.stdout), text(ran.stderr));
    assert!(ran.status.success(), "{name}: {err}{out}");
    (out, err)
}

#[test]
fn scripts_that_know_nothing_of_this_run_unchanged_and_the_second_time_for_nothing() {
    let gateway = Gateway::asking(Profile::Aop);
    let base = gateway.server.base_url();
    let (file, address) = (gateway.file(7), gateway.address(7));
    let file = file.to_str().unwrap();
    let (misses, err) = script("python3", "article_client.py", &[&base, KEY, SECRET, file]);
    assert!(misses.lines().count() == 20 && err.contains("x-tongkuan: miss"), "{misses}{err}");
    let ids = |out: &str| -> Vec<String> {
        out.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let mut scripts: Vec<(&str, &str, Vec<&str>)> = vec![
        ("python3", "article_client.py", vec![&base, KEY, SECRET, file]),
        ("python3", "aop_client.py", vec![&base, KEY, SECRET, "a-token-of-the-platform", file]),
        ("python3", "onebound_client.py", vec![&base, KEY, SECRET, &address]),
    ];
    // CI has no JDK everywhere; the signature is the same as in Python.
    if Command::new("java").arg("-version").output().is_ok() {
        scripts.push(("java", "AopClient.java", vec![&base, KEY, SECRET, "a-token-of-the-platform", file]));
    }
    for (program, name, args) in scripts {
        let (out, err) = script(program, name, &args);
        assert_eq!(ids(&out), ids(&misses), "{name}");
        assert!(err.contains("x-tongkuan: hit"), "{name}: {err}");
    }
    assert_eq!(gateway.sandbox.counters().searches_ok, 1);
}

#[test]
fn the_examples_of_the_docs_do_what_they_say() {
    let gateway = Gateway::asking(Profile::Article);
    let base = gateway.server.base_url();
    let file = gateway.file(3);
    let (out, _) = script("python3", "search.py", &[&base, file.to_str().unwrap()]);
    assert!(out.starts_with("miss 1 calls\n") && out.lines().count() == 21, "{out}");
    let (out, _) = script("sh", "search.sh", &[&base, file.to_str().unwrap()]);
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[0]["verdict"], &lines[1]["outcome"], &lines[2]["outcome"]),
        (3, &"hit".into(), &"seen".into(), &"seen".into())
    );
    assert_eq!((&lines[1]["key"], &lines[2]["key"]), (&"my-own-key".into(), &"again".into()));
}
