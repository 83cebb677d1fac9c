//! Many mixed requests while much goes wrong. `TONGKUAN_SOAK_REQUESTS=10000 cargo test soak -- --nocapture` makes it long.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::engine::{CachePolicy, Engine, EngineError, Mode, Outcome, Query};
use tongkuan::sandbox::{Fault, Faults, Sandbox, SandboxOptions};
use tongkuan::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardPolicy, QuotaDay, SearchParams, Secret,
};

use crate::fakes::{FakeEmbedder, encoded, mix, picture, query};

const THREADS: u64 = 8;
const SEED: u64 = 20_261_124;
/// 2026-11-24 10:00 in China.
const MORNING: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);

/// What somebody asks: a picture, one of eight files of it, and a page.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Wish {
    picture: u32,
    side: u32,
    page: u32,
    mode: Mode,
}

impl Wish {
    /// The `n`th of all. Few pictures are asked for often, many seldom.
    fn of(n: u64, pictures: u32) -> Self {
        let dice = mix(n, SEED);
        let spread = |bits: u64| u32::try_from(bits % u64::from(pictures)).unwrap();
        let rare = spread(dice >> 8);
        let often = spread(dice >> 40).min(spread(mix(n + 1_000_000_007, SEED)));
        Self {
            picture: if dice.is_multiple_of(4) { rare } else { rare.min(often) },
            side: 88 + 8 * u32::try_from((dice >> 32) % 8).unwrap(),
            page: if dice % 16 == 1 { 2 } else { 1 },
            mode: match dice % 100 {
                0..=4 => Mode::LocalOnly,
                5 => Mode::Refresh,
                _ => Mode::Default,
            },
        }
    }

    fn bytes(self) -> Vec<u8> {
        encoded(
            &resize(&picture(self.picture), self.side, self.side * 3 / 4, FilterType::CatmullRom),
            ImageFormat::Jpeg,
        )
    }

    fn query<'a>(&self, bytes: &'a [u8]) -> Query<'a> {
        let params = SearchParams::default().page(self.page).page_size(10);
        query(bytes).params(params).mode(self.mode).defer(0)
    }
}

struct World {
    sandbox: Sandbox,
    home: tempfile::TempDir,
    clock: Arc<ManualClock>,
    budget: u32,
}

impl World {
    /// As another process would open it.
    fn engine(&self) -> Engine {
        let base = self.sandbox.base_url().to_owned();
        let mut aop = AopConfig::new("sandbox", Secret::new("sandbox-secret"));
        aop.base_url.clone_from(&base);
        aop.refresh_token = Some(Secret::new("sandbox-refresh-token"));
        let mut article = ArticleConfig::new("sandbox", Secret::new("sandbox-secret"));
        article.base_url = base;
        let policy = GuardPolicy::default().daily_budget(self.budget).min_interval(Duration::from_millis(20));
        let clock = || Arc::clone(&self.clock) as Arc<dyn Clock>;
        Engine::builder(self.home.path())
            .embedder(Arc::new(FakeEmbedder::new()))
            .clock(clock())
            .upstream(
                Arc::new(AopUpstream::new(aop, clock()).unwrap()),
                policy.clone(),
                CachePolicy::default(),
            )
            .upstream(
                Arc::new(ArticleUpstream::new(article, clock()).unwrap()),
                policy,
                CachePolicy::default(),
            )
            .open()
            .unwrap()
    }
}

#[test]
fn a_soak_with_faults_loses_no_answer_and_spends_no_call_too_many() {
    let requests: u64 = std::env::var("TONGKUAN_SOAK_REQUESTS").map_or(300, |n| n.parse().unwrap());
    let pictures = u32::try_from(requests / 10).unwrap();
    let clock = Arc::new(ManualClock::at(MORNING));
    let shares = vec![
        (Fault::TooFast, 0.02),
        (Fault::TooFastIn200, 0.01),
        (Fault::TokenEnds, 0.02),
        (Fault::Cut, 0.02),
        (Fault::Truncated, 0.02),
        (Fault::MissingFields, 0.02),
        (Fault::ImageIdZero, 0.01),
        (Fault::OtherSuccess, 0.02),
        (Fault::Slow { ms: 5 }, 0.02),
    ];
    let options = SandboxOptions {
        clock: clock.clone(),
        min_interval_ms: 0,
        daily_quota: u32::MAX,
        faults: Faults::new([], shares, SEED).unwrap(),
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).unwrap();
    // About half of what is needed, so that it runs out.
    let world = World { sandbox, home: tempfile::tempdir().unwrap(), clock, budget: pictures / 4 };

    let next = AtomicU64::new(0);
    let paid = Mutex::new(HashSet::new());
    let ends = Mutex::new(BTreeMap::<String, u64>::new());
    let calls = AtomicU64::new(0);
    for half in [requests / 2, requests] {
        // Two processes at a time, and both end in the middle.
        let engines = [world.engine(), world.engine()];
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let engine = &engines[(thread % 2) as usize];
                let (next, paid, ends, calls) = (&next, &paid, &ends, &calls);
                scope.spawn(move || {
                    loop {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        if n >= half {
                            break next.fetch_min(half, Ordering::SeqCst);
                        }
                        let wish = Wish::of(n, pictures);
                        let bytes = wish.bytes();
                        let end = match engine.search(&wish.query(&bytes)) {
                            Ok(answer) => {
                                calls.fetch_add(u64::from(answer.upstream_calls), Ordering::SeqCst);
                                if let Some(unanswered) = answer.unanswered {
                                    format!("unanswered: {:?}", unanswered.reason)
                                } else {
                                    paid.lock().unwrap().insert(Wish { mode: Mode::Default, ..wish });
                                    format!("{:?}", answer.verdict).to_lowercase()
                                }
                            }
                            Err(EngineError::Upstream(error)) => {
                                calls.fetch_add(u64::from(error.calls()), Ordering::SeqCst);
                                "refused picture".to_owned()
                            }
                            Err(error) => panic!("{n}: {error}"),
                        };
                        *ends.lock().unwrap().entry(end).or_default() += 1;
                    }
                });
            }
        });
        world.clock.sleep(Duration::from_hours(24));
    }

    let engine = world.engine();
    let queued = engine.catalog().queue_counts().unwrap();
    let mut drained = 0;
    for _ in 0..40 {
        let some = engine
            .drain(None, &mut |one| {
                if let Ok(answer) = one.result {
                    calls.fetch_add(u64::from(answer.upstream_calls), Ordering::SeqCst);
                } else if let Err(EngineError::Upstream(error)) = one.result {
                    calls.fetch_add(u64::from(error.calls()), Ordering::SeqCst);
                }
            })
            .unwrap();
        drained += some.answered;
        if some.stopped.is_none() {
            break;
        }
        world.clock.sleep(Duration::from_hours(24));
    }

    // Nothing that was answered is lost, whichever file of the picture is shown.
    let paid = paid.into_inner().unwrap();
    let lost = paid.iter().filter(|wish| {
        let bytes = wish.bytes();
        let query = wish.query(&bytes).mode(Mode::LocalOnly);
        engine.search(&query).unwrap().verdict != Outcome::Hit
    });
    let lost = lost.count();
    let waits = engine.catalog().queue_counts().unwrap();
    let (mut booked, mut over) = (0, 0);
    let mut day = QuotaDay::of(MORNING);
    while day <= QuotaDay::of(world.clock.now()) {
        for profile in ["aop", "article"] {
            let spent = engine.catalog().calls_spent(profile, &day).unwrap();
            booked += u64::from(spent);
            over += spent.saturating_sub(world.budget);
        }
        day = QuotaDay::of(day.resets_at());
    }
    let counters = world.sandbox.counters();
    println!("{requests} requests for {pictures} pictures, {THREADS} threads in two processes, seed {SEED}");
    println!("ends: {:?}", ends.lock().unwrap());
    println!("queue: {} waited, {drained} answered later, {} still wait", queued.deferred, waits.deferred);
    println!(
        "calls: {booked} booked, {} made by the sandbox's count, {} faults, {} saved, {over} over the budget of {} a day",
        counters.searches_ok,
        counters.faults_injected,
        requests - booked,
        world.budget
    );
    println!("answers: {} different ones paid for, {lost} lost", paid.len());
    assert_eq!((lost, over), (0, 0));
    assert_eq!(booked, calls.load(Ordering::SeqCst), "what the answers say they cost is what is booked");
    assert!(booked >= counters.searches_ok, "the ledger may be too careful, never too careless");
    assert!(counters.faults_injected > 0 && queued.deferred > 0 && booked < requests / 2);
    assert_eq!(waits.deferred, 0);
    assert!(engine.catalog().problems().unwrap().is_empty());
}
