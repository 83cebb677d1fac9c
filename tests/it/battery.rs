//! Every dialect in every situation, against the sandbox: one table, each of whose cells is asserted.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use image::ImageFormat;
use serde_json::json;
use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::engine::{CachePolicy, Engine};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::sandbox::{Fault, Faults, Sandbox, SandboxOptions, View};
use tongkuan::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardPolicy, LinkplusUpstream, OneboundConfig,
    OneboundUpstream, QuotaDay, SearchParams, Secret, Tape, TmapiConfig, TmapiUpstream, UploadPicture,
    Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage, WhyNot, prepare,
};

use crate::fakes::{FakeEmbedder, encoded, http, png, query};
use crate::upstream::conformance_for;

pub(crate) const PROFILES: [&str; 5] = ["article", "aop", "linkplus", "onebound", "tmapi"];
pub(crate) const APP_KEY: &str = "appkey7788";
pub(crate) const SECRET: &str = "app-secret-9d1c";
pub(crate) const REFRESH_TOKEN: &str = "refresh-token-5e2a";
const GOOD: usize = 7;

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_485_600_000)))
}

pub(crate) fn sandbox(clock: &Arc<ManualClock>, options: SandboxOptions) -> Sandbox {
    Sandbox::start(SandboxOptions {
        clock: clock.clone(),
        app_key: APP_KEY.to_owned(),
        app_secret: SECRET.to_owned(),
        refresh_token: REFRESH_TOKEN.to_owned(),
        min_interval_ms: 0,
        daily_quota: 100_000,
        ..options
    })
    .unwrap()
}

/// How a client gets out, and as whom.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) base_url: String,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) timeout: Duration,
    pub(crate) secret: &'static str,
    pub(crate) tape: Option<Arc<Tape>>,
}

impl Door {
    pub(crate) fn to(sandbox: &Sandbox, clock: &Arc<ManualClock>) -> Self {
        let base_url = sandbox.base_url().to_owned();
        let timeout = Duration::from_secs(30);
        Self { base_url, clock: clock.clone(), timeout, secret: SECRET, tape: None }
    }

    pub(crate) fn client(&self, profile: &str) -> Arc<dyn Upstream> {
        let Self { base_url, clock, timeout, secret, tape } = self.clone();
        let secret = Secret::new(secret);
        let gateway = AopConfig {
            base_url: base_url.clone(),
            refresh_token: Some(Secret::new(REFRESH_TOKEN)),
            timeout,
            tape: tape.clone(),
            ..AopConfig::new(APP_KEY, secret.clone())
        };
        match profile {
            "article" => {
                let config = ArticleConfig { base_url, timeout, tape, ..ArticleConfig::new(APP_KEY, secret) };
                Arc::new(ArticleUpstream::new(config, clock).unwrap())
            }
            "aop" => Arc::new(AopUpstream::new(gateway, clock).unwrap()),
            "linkplus" => Arc::new(LinkplusUpstream::new(gateway, clock).unwrap()),
            "onebound" => {
                let config = OneboundConfig::new(Secret::new(APP_KEY), secret);
                let config = OneboundConfig { base_url, timeout, tape, ..config };
                Arc::new(OneboundUpstream::new(config, clock).unwrap())
            }
            "tmapi" => {
                let config = TmapiConfig { base_url, timeout, tape, ..TmapiConfig::new(secret) };
                Arc::new(TmapiUpstream::new(config, clock).unwrap())
            }
            other => panic!("{other} is no profile"),
        }
    }
}

/// The main picture of a good, with its address.
pub(crate) fn picture_of(sandbox: &Sandbox, number: usize, upstream: &dyn Upstream) -> UploadPicture {
    let good = &sandbox.catalogue().goods()[number];
    let drawn = sandbox.catalogue().picture(good, View::Main);
    let prepared = prepare(&drawn, None, &upstream.upload_limits()).unwrap().picture;
    let source_url = Some(format!("{}/img/{}/main.jpg", sandbox.base_url(), good.offer_id));
    UploadPicture { source_url, ..prepared }
}

/// One profile and what it is tried against.
struct Rig<'a> {
    profile: &'static str,
    sandbox: &'a Sandbox,
    /// Lets no app search.
    closed: &'a Sandbox,
    clock: &'a Arc<ManualClock>,
    upstream: Arc<dyn Upstream>,
    picture: UploadPicture,
}

impl Rig<'_> {
    fn ask(&self, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        // The provider's count grows with every call.
        let page = self.upstream.search(&self.picture, params)?;
        Ok(UpstreamPage { provider_count: None, ..page })
    }

    fn plain(&self) -> Result<UpstreamPage, UpstreamError> {
        self.ask(&SearchParams::default())
    }

    /// A search that this befalls, and how many the sandbox has billed for it.
    fn struck(&self, fault: Fault) -> (Result<UpstreamPage, UpstreamError>, u64) {
        let before = self.sandbox.counters();
        self.sandbox.inject(Faults::script([fault]));
        let result = self.plain();
        let after = self.sandbox.counters();
        assert_eq!(after.faults_injected, before.faults_injected + 1, "{fault} has not struck: {result:?}");
        (result, after.searches_ok - before.searches_ok)
    }

    /// Whether the search fails in this way, and was billed by the sandbox only if the client thinks it may have been.
    fn fails(&self, fault: Fault, kind: UpstreamErrorKind) -> bool {
        let (result, billed) = self.struck(fault);
        let Err(error) = result else { return false };
        error.kind == kind && (billed == 0 || error.may_be_billed())
    }

    /// Whether the answer is read for what it says, titles beginning with `mended`, and was billed once.
    fn reads(&self, fault: Fault, mended: &str) -> bool {
        let whole = self.plain().unwrap();
        let (result, billed) = self.struck(fault);
        let read = result.unwrap();
        let titles =
            |page: &UpstreamPage| page.offers.iter().map(|offer| offer.title.clone()).collect::<Vec<_>>();
        let expected: Vec<String> = titles(&whole).iter().map(|title| format!("{mended}{title}")).collect();
        let rest = |page: UpstreamPage| {
            let bare = |offer| Offer { title: String::new(), ..offer };
            UpstreamPage { offers: page.offers.into_iter().map(bare).collect(), ..page }
        };
        titles(&read) == expected && rest(read) == rest(whole) && billed == 1
    }

    /// What the sandbox bills for one picture that is searched for `runs` times, each time by a new engine on the same
    /// home, while every search is befallen by `fault`.
    fn paid(&self, fault: Fault, runs: u32) -> u64 {
        let home = tempfile::tempdir().unwrap();
        let source_url = self.picture.source_url.as_deref();
        let before = self.sandbox.counters().searches_ok;
        self.sandbox.inject(Faults::new([], vec![(fault, 1.0)], 1).unwrap());
        for _ in 0..runs {
            let door = Door { timeout: Duration::from_millis(1500), ..Door::to(self.sandbox, self.clock) };
            let upstream = door.client(self.profile);
            upstream.make_ready().unwrap();
            let engine = Engine::builder(home.path())
                .embedder(Arc::new(FakeEmbedder::new()))
                .upstream(upstream, GuardPolicy::default(), CachePolicy::default())
                .clock(self.clock.clone())
                .open()
                .unwrap();
            let answer = engine.search(&query(&png(77)).source_url(source_url)).unwrap();
            let reason = if fault == Fault::Html { WhyNot::Unreadable } else { WhyNot::UpstreamFailed };
            assert_eq!(answer.unanswered.unwrap().reason, reason, "{}: {:?}", self.profile, answer.warnings);
        }
        self.sandbox.inject(Faults::default());
        self.sandbox.counters().searches_ok - before
    }

    fn has_tokens(&self) -> bool {
        matches!(self.profile, "article" | "aop" | "linkplus")
    }
}

/// What came of a case; `None` where the dialect knows no such thing.
type Cell = Option<bool>;
type Case = (&'static str, fn(&Rig<'_>) -> Cell);

const CASES: [Case; 36] = [
    ("conformance", |rig| {
        conformance_for(rig.upstream.as_ref(), &rig.picture);
        Some(true)
    }),
    ("search", |rig| {
        let (first, second) = (rig.plain().unwrap(), rig.plain().unwrap());
        let wanted = rig.sandbox.catalogue().goods()[GOOD].offer_id.to_string();
        Some(first.offers[0].offer_id.as_str() == wanted && first == second)
    }),
    ("price filter", |rig| {
        let price = Some(rig.sandbox.catalogue().goods()[GOOD].price);
        let params = SearchParams::default().price_min(price).price_max(price);
        let offers = rig.ask(&params).unwrap().offers;
        Some(!offers.is_empty() && offers.iter().all(|offer| offer.price == price))
    }),
    ("category filter", |rig| {
        let category_id = Some(rig.sandbox.catalogue().goods()[GOOD].category_id);
        let answer = rig.ask(&SearchParams::default().category_id(category_id));
        if rig.profile == "tmapi" {
            assert_eq!(answer.unwrap_err().kind, UpstreamErrorKind::Param);
            return None;
        }
        let total = answer.unwrap().total.unwrap();
        Some(0 < total && total < rig.plain().unwrap().total.unwrap())
    }),
    ("categories told", |rig| {
        let offers = rig.plain().unwrap().offers;
        let good = |id: &str| rig.sandbox.catalogue().find(id.parse().unwrap()).unwrap();
        if matches!(rig.profile, "article" | "onebound") {
            assert!(offers.iter().all(|offer| offer.category_ids.is_empty()));
            return None;
        }
        Some(offers.iter().all(|it| it.category_ids == [good(it.offer_id.as_str()).category_id]))
    }),
    ("paging", |rig| {
        let page = |page, page_size| {
            rig.ask(&SearchParams::default().page(page).page_size(page_size)).unwrap().offers
        };
        Some([page(1, 5), page(2, 5)].concat() == page(1, 10))
    }),
    ("beyond the last page", |rig| {
        let page = rig.ask(&SearchParams::default().page(10_000)).unwrap();
        Some(page.offers.is_empty() && page.skipped == 0)
    }),
    ("token ends mid-run", |rig| {
        // The token that is held may have ended with another dialect's.
        rig.plain().unwrap();
        let before = rig.sandbox.counters().token_requests;
        let (result, billed) = rig.struck(Fault::TokenEnds);
        if !rig.has_tokens() {
            assert_eq!(result.unwrap_err().kind, UpstreamErrorKind::Auth);
            return None;
        }
        let fetched = rig.sandbox.counters().token_requests - before;
        Some(result.is_ok() && (billed, fetched) == (1, 1))
    }),
    ("too fast", |rig| Some(rig.fails(Fault::TooFast, UpstreamErrorKind::Rate))),
    ("too fast in HTTP 200", |rig| Some(rig.fails(Fault::TooFastIn200, UpstreamErrorKind::Rate))),
    ("nothing left", |rig| Some(rig.fails(Fault::QuotaSpent, UpstreamErrorKind::Quota))),
    ("no permission", |rig| {
        let client = Door::to(rig.closed, rig.clock).client(rig.profile);
        let source_url = rig.picture.source_url.clone();
        let source_url = source_url.map(|url| url.replace(rig.sandbox.base_url(), rig.closed.base_url()));
        let picture = UploadPicture { source_url, ..rig.picture.clone() };
        let error = client.search(&picture, &SearchParams::default()).unwrap_err();
        Some(error.kind == UpstreamErrorKind::Acl)
    }),
    ("details of an offer", |rig| {
        let good = &rig.sandbox.catalogue().goods()[GOOD];
        let detail = rig.upstream.details(&OfferId::new(good.offer_id.to_string()).unwrap()).unwrap();
        let is_told = detail.price_ladder.len() == 3
            && detail.weight_grams.is_some()
            && detail.ships_from.is_some()
            && detail.offer.title == good.title;
        let variants = detail.skus.iter();
        let in_full = variants.filter(|sku| sku.price.and(sku.stock).and(sku.image_url.as_ref()).is_some());
        Some(is_told && in_full.count() == 1 + rig.sandbox.catalogue().colour_variants(good).count())
    }),
    ("an offer not known", |rig| {
        let error = rig.upstream.details(&OfferId::new("12").unwrap()).unwrap_err();
        Some(error.code == "no_such_offer" && error.billed == Some(true))
    }),
    ("no permission, details", |rig| {
        let client = Door::to(rig.closed, rig.clock).client(rig.profile);
        let error = client.details(&OfferId::new("12").unwrap()).unwrap_err();
        Some(error.kind == UpstreamErrorKind::Acl)
    }),
    ("bad picture", |rig| Some(rig.fails(Fault::ImageIdZero, UpstreamErrorKind::Image))),
    ("truncated answer", |rig| Some(rig.fails(Fault::Truncated, UpstreamErrorKind::Unreadable))),
    ("connection cut", |rig| Some(rig.fails(Fault::Cut, UpstreamErrorKind::Transient))),
    ("log-in page", |rig| Some(rig.fails(Fault::Html, UpstreamErrorKind::Unreadable))),
    ("empty answer", |rig| Some(rig.fails(Fault::Empty, UpstreamErrorKind::Unreadable))),
    ("GBK", |rig| Some(rig.reads(Fault::Gbk, ""))),
    ("GBK undeclared", |rig| Some(rig.reads(Fault::GbkUndeclared, ""))),
    ("UTF-16", |rig| Some(rig.reads(Fault::Utf16, ""))),
    ("byte order mark", |rig| Some(rig.reads(Fault::ByteOrderMark, ""))),
    ("half a surrogate pair", |rig| Some(rig.reads(Fault::Surrogate, "\u{fffd}"))),
    ("a byte that is not UTF-8", |rig| Some(rig.reads(Fault::BadByte, "\u{fffd}"))),
    ("a thousand deep", |rig| Some(rig.reads(Fault::Deep, ""))),
    ("wrapped in a script", |rig| Some(rig.reads(Fault::Jsonp, ""))),
    ("something after it", |rig| Some(rig.reads(Fault::Trailing, ""))),
    ("answer that never comes", |rig| {
        let door = Door { timeout: Duration::from_millis(1500), ..Door::to(rig.sandbox, rig.clock) };
        let upstream = door.client(rig.profile);
        upstream.make_ready().unwrap();
        let rig = Rig { upstream, picture: rig.picture.clone(), ..*rig };
        Some(rig.fails(Fault::Hang, UpstreamErrorKind::Transient))
    }),
    ("unreadable is paid once", |rig| Some(rig.paid(Fault::Html, 3) == 1)),
    ("a cut connection is paid once", |rig| Some(rig.paid(Fault::Cut, 1) == 1)),
    ("a time-out is paid once", |rig| Some(rig.paid(Fault::Hang, 1) == 1)),
    ("answer too slow", |rig| {
        let door = Door { timeout: Duration::from_millis(1500), ..Door::to(rig.sandbox, rig.clock) };
        let upstream = door.client(rig.profile);
        upstream.make_ready().unwrap();
        let rig = Rig { upstream, picture: rig.picture.clone(), ..*rig };
        Some(rig.fails(Fault::Slow { ms: 60_000 }, UpstreamErrorKind::Transient))
    }),
    ("missing fields", |rig| {
        let whole = rig.plain().unwrap();
        let lost = rig.struck(Fault::MissingFields).0.unwrap();
        let bare = lost.offers.iter().all(|offer| {
            offer.price.is_none() && offer.title.is_empty() && offer.supplier.company_name.is_none()
        });
        let ids =
            |page: &UpstreamPage| page.offers.iter().map(|offer| offer.offer_id.clone()).collect::<Vec<_>>();
        Some(bare && lost.skipped == 0 && ids(&lost) == ids(&whole))
    }),
    ("success of another type", |rig| {
        let whole = rig.plain().unwrap();
        let other = rig.struck(Fault::OtherSuccess).0.unwrap();
        assert_eq!(other, whole);
        // The vendors' answers have codes instead.
        rig.has_tokens().then_some(true)
    }),
];

#[test]
fn every_dialect_in_every_situation() {
    let clock = clock();
    let open = sandbox(&clock, SandboxOptions::default());
    let closed = sandbox(&clock, SandboxOptions { deny_search: true, ..SandboxOptions::default() });
    let rigs = PROFILES.map(|profile| {
        let upstream = Door::to(&open, &clock).client(profile);
        let picture = picture_of(&open, GOOD, upstream.as_ref());
        Rig { profile, sandbox: &open, closed: &closed, clock: &clock, upstream, picture }
    });
    let mut table = format!("{:<24}", "");
    for profile in PROFILES {
        write!(table, "{profile:<10}").unwrap();
    }
    let mut wrong = Vec::new();
    for (name, case) in CASES {
        write!(table, "\n{name:<24}").unwrap();
        for rig in &rigs {
            let cell = case(rig);
            let expected = match (name, rig.profile) {
                ("category filter", "tmapi")
                | ("categories told", "article" | "onebound")
                | ("token ends mid-run" | "success of another type", "onebound" | "tmapi") => None,
                _ => Some(true),
            };
            if cell != expected {
                wrong.push(format!("{name} with {}: {cell:?}", rig.profile));
            }
            let word = match cell {
                Some(true) => "pass",
                Some(false) => "FAIL",
                None => "n.a.",
            };
            write!(table, "{word:<10}").unwrap();
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
}

#[test]
fn the_ledger_never_says_fewer_than_the_sandbox_has_billed() {
    let clock = clock();
    let sandbox = sandbox(&clock, SandboxOptions::default());
    let shares = [
        (Fault::TooFast, 0.08),
        (Fault::TooFastIn200, 0.04),
        (Fault::TokenEnds, 0.06),
        (Fault::Cut, 0.12),
        (Fault::Truncated, 0.12),
        (Fault::MissingFields, 0.05),
        (Fault::ImageIdZero, 0.08),
        (Fault::OtherSuccess, 0.05),
    ];
    for (profile, seed) in PROFILES.into_iter().zip(1..) {
        let home = tempfile::tempdir().unwrap();
        // Nothing is to be left alone: every search is to meet its fate.
        let policy = GuardPolicy::default()
            .breaker_failures(u32::MAX)
            .min_interval(Duration::ZERO)
            .daily_budget(10_000);
        let engine = Engine::builder(home.path())
            .embedder(Arc::new(FakeEmbedder::new()))
            .upstream(Door::to(&sandbox, &clock).client(profile), policy, CachePolicy::default())
            .clock(clock.clone())
            .open()
            .unwrap();
        let url =
            format!("{}/img/{}/main.jpg", sandbox.base_url(), sandbox.catalogue().goods()[GOOD].offer_id);
        let before = sandbox.counters();
        sandbox.inject(Faults::new([], shares.to_vec(), seed).unwrap());
        let first_day = QuotaDay::of(clock.now());
        let mut answered = 0;
        for seed in 0..40 {
            let bytes = encoded(&crate::fakes::picture(seed), ImageFormat::Png);
            match engine.search(&query(&bytes).source_url(url.as_str())) {
                Ok(answer) => answered += u32::from(answer.unanswered.is_none()),
                // A picture that is not taken, or (at the vendors) a token that is not: nothing was billed for it.
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            // What a refused token closes is open again.
            clock.sleep(Duration::from_mins(1));
        }
        let billed = sandbox.counters().searches_ok - before.searches_ok;
        let injected = sandbox.counters().faults_injected - before.faults_injected;
        let days = [first_day, QuotaDay::of(clock.now())];
        let on = |day| u64::from(engine.catalog().calls_spent(profile, &day).unwrap());
        let booked = if days[0] == days[1] { on(days[0]) } else { on(days[0]) + on(days[1]) };
        println!("{profile}: {billed} billed, {booked} booked, {answered} of 40 answered, {injected} faults");
        assert!(booked >= billed, "{profile}: {booked} booked, {billed} billed");
        assert!(injected >= 10 && answered >= 20, "{profile}: {injected} faults, {answered} answered");
    }
}

#[test]
fn faults_are_set_over_http_and_a_wrong_wish_is_refused_with_its_fault() {
    let clock = clock();
    let sandbox = sandbox(&clock, SandboxOptions::default());
    let post = |body: serde_json::Value| {
        let url = format!("{}/sandbox/faults", sandbox.base_url());
        let answer = http().post(url).body(body.to_string()).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    for (wish, fault) in [
        (json!({ "script": ["explode"] }), "explode"),
        (json!({ "shares": { "cut": 2.0 } }), "cut=2"),
        (json!({ "sharse": {} }), "sharse"),
    ] {
        let (status, words) = post(wish);
        assert!(status == 400 && words.contains(fault), "{status} {words}");
    }
    let (status, counters) = post(json!({ "script": ["quota"], "shares": {}, "seed": 7 }));
    assert!(status == 200 && counters.contains("\"faults_injected\":0"), "{counters}");
    let client = Door::to(&sandbox, &clock).client("article");
    let small = image::load_from_memory(&png(1)).unwrap().to_rgb8();
    let picture = prepare(&small, None, &client.upload_limits()).unwrap().picture;
    let error = client.search(&picture, &SearchParams::default()).unwrap_err();
    assert_eq!((error.kind, sandbox.counters().faults_injected), (UpstreamErrorKind::Quota, 1));
    assert_eq!(sandbox.counters().searches_ok, 0);
}
