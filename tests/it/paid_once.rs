//! What is not paid for a second time: pages that bring nothing new, answers that cannot be read, and pictures whose
//! search hangs elsewhere.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tongkuan::clock::Clock;
use tongkuan::engine::{Answer, CachePolicy, Engine, Mode, Outcome, Progress, Refine};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::sandbox::{Fault, Faults};
use tongkuan::upstream::{
    GuardPolicy, Region, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError,
    UpstreamErrorKind, UpstreamPage, WhyNot,
};

use crate::cli::{Shell, text};
use crate::fakes::{Bench, picture, png, query};

/// Answers each page with what `page` makes of its number and size.
struct Pages {
    page: fn(u32, u32) -> UpstreamPage,
    max_page_size: u32,
    calls: AtomicU32,
}

impl Upstream for Pages {
    fn profile(&self) -> &'static str {
        "pages"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 1000, takes_region: false }
    }

    fn max_page_size(&self) -> u32 {
        self.max_page_size
    }

    fn search(&self, _: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok((self.page)(params.page, params.page_size.min(self.max_page_size)))
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

fn offers(ids: impl IntoIterator<Item = u32>) -> Vec<Offer> {
    ids.into_iter()
        .map(|id| Offer::new(OfferId::new(format!("{}", id + 1)).unwrap(), format!("cup {id}")))
        .collect()
}

/// All pages of such an upstream, asked for twice: the offers, the calls of the first time and of the second.
fn all_of(
    max_page_size: u32,
    page_size: u32,
    refine: Refine,
    page: fn(u32, u32) -> UpstreamPage,
) -> (Answer, u32, u32) {
    let bench = Bench::new();
    let upstream = Arc::new(Pages { page, max_page_size, calls: AtomicU32::new(0) });
    let policy = GuardPolicy::default().min_interval(Duration::ZERO);
    let engine = bench.builder().upstream(upstream.clone(), policy, CachePolicy::default()).open().unwrap();
    let bytes = png(1);
    let params = SearchParams::default().page_size(page_size);
    let query = query(&bytes).params(params).refine(refine);
    let first = engine.search_pages(&query, 100).unwrap();
    let calls = upstream.calls.load(Ordering::SeqCst);
    let second = engine.search_pages(&query, 100).unwrap();
    assert_eq!(first.offers.len(), second.offers.len(), "what is stored is as much as what came");
    (first, calls, upstream.calls.load(Ordering::SeqCst) - calls)
}

fn slice(all: u32, page: u32, size: u32) -> Vec<Offer> {
    offers((0..all).skip(((page - 1) * size) as usize).take(size as usize))
}

#[test]
fn an_upstream_that_repeats_its_first_page_is_asked_for_two() {
    for total in [None, Some(5000)] {
        let page: fn(u32, u32) -> UpstreamPage = match total {
            None => |_, size| UpstreamPage { offers: offers(0..size), ..UpstreamPage::default() },
            Some(_) => |_, size| UpstreamPage {
                offers: offers(0..size),
                total: Some(5000),
                ..UpstreamPage::default()
            },
        };
        let (answer, calls, again) = all_of(50, 20, Refine::default(), page);
        assert_eq!((answer.offers.len(), calls, again), (20, 2, 0));
        assert!(
            answer.warnings.iter().any(|warning| warning.contains("no new offer")),
            "{:?}",
            answer.warnings
        );
    }
}

#[test]
fn all_pages_come_whether_or_not_their_number_is_told_and_no_call_is_made_beyond_it() {
    let told: fn(u32, u32) -> UpstreamPage = |page, size| UpstreamPage {
        offers: slice(75, page, size),
        total: Some(75),
        ..UpstreamPage::default()
    };
    let untold: fn(u32, u32) -> UpstreamPage =
        |page, size| UpstreamPage { offers: slice(75, page, size), ..UpstreamPage::default() };
    for page in [told, untold] {
        let (answer, calls, again) = all_of(50, 20, Refine::default(), page);
        assert_eq!((answer.offers.len(), calls, again), (75, 4, 0));
    }
    // Exactly full pages: only the number tells that there are no more.
    let (answer, calls, _) = all_of(50, 25, Refine::default(), told);
    assert_eq!((answer.offers.len(), calls), (75, 3));
    // Larger pages are asked for than the upstream gives.
    let (answer, calls, _) = all_of(20, 50, Refine::default(), told);
    assert_eq!((answer.offers.len(), calls), (75, 4));
}

#[test]
fn a_page_that_lacks_a_bad_row_is_not_the_last_while_more_are_told_of() {
    let (answer, calls, again) = all_of(50, 20, Refine::default(), |page, size| {
        let mut offers = slice(60, page, size);
        let skipped = u32::from(page == 1);
        offers.truncate(offers.len() - skipped as usize);
        UpstreamPage { offers, total: Some(60), skipped, ..UpstreamPage::default() }
    });
    assert_eq!((answer.offers.len(), calls, again), (59, 3, 0));
    assert!(
        answer.warnings.iter().any(|warning| warning.contains("1 offers of pages's answer")),
        "{:?}",
        answer.warnings
    );
}

#[test]
fn a_region_that_covers_all_of_the_picture_is_the_question_without_one() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let (width, height) = picture(1).dimensions();
    let calls = |region: String| {
        let params = SearchParams::default().region(region.parse::<Region>().unwrap());
        engine.search(&query(&bytes).params(params)).unwrap().upstream_calls
    };
    assert_eq!(calls("0,0,9999,9999".to_owned()), 1);
    assert_eq!(engine.search(&query(&bytes)).unwrap().upstream_calls, 0);
    assert_eq!(calls(format!("0,0,{width},{height}")), 0);
    // A part that goes beyond the edge is the same part as one that ends there.
    assert_eq!(calls(format!("5,0,{width},{height}")), 1);
    assert_eq!(calls(format!("5,0,{},{height}", width + 1)), 0);
    assert_eq!(bench.calls(), 2);
}

#[test]
fn a_number_that_is_too_high_costs_one_call_at_the_most() {
    let (answer, calls, _) = all_of(50, 20, Refine::default(), |page, size| UpstreamPage {
        offers: slice(43, page, size),
        total: Some(100_000),
        ..UpstreamPage::default()
    });
    assert_eq!((answer.offers.len(), calls), (43, 3));
}

#[test]
fn offers_that_are_not_wanted_are_new_all_the_same() {
    let refine = Refine::default().words(tongkuan::catalog::Words::parse("74"));
    let (answer, calls, _) = all_of(50, 20, refine, |page, size| UpstreamPage {
        offers: slice(75, page, size),
        total: Some(75),
        ..UpstreamPage::default()
    });
    assert_eq!((answer.offers.len(), answer.filtered_out, calls), (1, 74, 4));
}

#[test]
fn one_bad_offer_spoils_no_other_and_what_is_beyond_reason_is_cut_and_said() {
    let (answer, calls, again) = all_of(50, 20, Refine::default(), |_, _| {
        let mut offers = offers(0..500);
        offers[3].title = "杯".repeat(1_000_000);
        offers[4].category_ids = (1..4000).collect();
        UpstreamPage { offers, total: Some(20), skipped: 2, ..UpstreamPage::default() }
    });
    assert_eq!((answer.offers.len(), calls, again), (20, 1, 0));
    assert_eq!((answer.offers[3].title.chars().count(), answer.offers[4].category_ids.len()), (500, 16));
    for told in ["500 offers where 20", "2 offers", "1 texts shortened"] {
        assert!(
            answer.warnings.iter().any(|warning| warning.contains(told)),
            "{told}: {:?}",
            answer.warnings
        );
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_remembered_for_a_day_and_refresh_asks_again() {
    let bench = Bench::new();
    let bytes = png(1);
    bench.upstream.fail_with(UpstreamErrorKind::Unreadable);
    for run in 0..3 {
        let answer = bench.engine().search(&query(&bytes)).unwrap();
        let unanswered = answer.unanswered.unwrap();
        assert_eq!((unanswered.reason, answer.upstream_calls), (WhyNot::Unreadable, u32::from(run == 0)));
        assert_eq!(unanswered.message.contains("remembered from"), run > 0, "{}", unanswered.message);
    }
    assert_eq!(bench.calls(), 1);
    // Another page of the same picture is another question.
    let params = SearchParams::default().page(2);
    bench.engine().search(&query(&bytes).params(params)).unwrap();
    assert_eq!(bench.calls(), 2);
    bench.upstream.fail_with(None);
    assert_eq!(bench.engine().search(&query(&bytes)).unwrap().upstream_calls, 0);
    let asked = bench.engine().search(&query(&bytes).mode(Mode::Refresh)).unwrap();
    assert_eq!((asked.upstream_calls, asked.unanswered), (1, None));
    assert_eq!(bench.engine().search(&query(&bytes)).unwrap().verdict, Outcome::Hit);

    let other = png(2);
    bench.upstream.fail_with(UpstreamErrorKind::Unreadable);
    bench.engine().search(&query(&other)).unwrap();
    bench.upstream.fail_with(None);
    bench.clock.sleep(CachePolicy::default().unreadable_ttl);
    assert_eq!(bench.engine().search(&query(&other)).unwrap().upstream_calls, 1);
}

#[test]
fn a_waiting_picture_whose_answer_cannot_be_read_holds_up_no_other() {
    let bench = Bench::new();
    let engine = bench.engine();
    bench.upstream.fail_with(UpstreamErrorKind::Unreadable);
    let bytes = png(1);
    engine.search(&query(&bytes).defer(5)).unwrap();
    bench.upstream.fail_with(UpstreamErrorKind::Unreachable);
    let other = png(2);
    engine.search(&query(&other).defer(0)).unwrap();
    bench.upstream.fail_with(None);
    let drained = engine.drain(None, &mut |_| {}).unwrap();
    assert_eq!((drained.answered, drained.failed, drained.dropped, drained.stopped), (1, 1, 0, None));
    assert_eq!(
        engine.catalog().queue_counts().unwrap().deferred,
        1,
        "it waits until it may be asked about again"
    );
}

/// Passes on what it hears.
struct Hears(Mutex<mpsc::Sender<String>>);

impl Progress for Hears {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().send(text.to_owned()).unwrap();
    }
    fn step(&self, _: &str, _: usize, _: usize) {}
}

#[test]
fn a_search_that_hangs_elsewhere_delays_others_by_a_bounded_announced_time_and_one_of_them_asks() {
    let bench = Bench::new();
    let (hears, heard) = mpsc::channel();
    let hears = Arc::new(Hears(Mutex::new(hears)));
    let engine = || -> Engine {
        bench
            .builder()
            .upstream(bench.upstream.clone(), GuardPolicy::default(), CachePolicy::default())
            .progress(hears.clone())
            .open()
            .unwrap()
    };
    let (hung, others) = (engine(), [engine(), engine(), engine()]);
    let bytes = png(1);
    let hanging = bench.upstream.hanging.lock().unwrap();
    std::thread::scope(|scope| {
        let stuck = scope.spawn(|| hung.search(&query(&bytes)).unwrap());
        while bench.calls() < 1 {
            std::thread::yield_now();
        }
        let waiting: Vec<_> =
            others.iter().map(|engine| scope.spawn(|| engine.search(&query(&bytes)).unwrap())).collect();
        // Whoever begins to wait after a step hears of it after the next one.
        let mut said = 0;
        for _ in 0..20 {
            bench.clock.sleep(Duration::from_secs(5));
            while let Ok(note) = heard.recv_timeout(Duration::from_millis(300)) {
                said += u32::from(note.contains("another search is asking"));
            }
            if said == 3 {
                break;
            }
        }
        assert_eq!((said, waiting.iter().any(std::thread::ScopedJoinHandle::is_finished)), (3, false));
        assert_eq!(bench.calls(), 1);
        // Two minutes later one of them asks, and the others wait for that one.
        bench.clock.sleep(Duration::from_mins(2));
        while bench.calls() < 2 {
            std::thread::yield_now();
        }
        drop(hanging);
        let answers: Vec<Answer> = waiting.into_iter().map(|search| search.join().unwrap()).collect();
        assert!(answers.iter().all(|answer| !answer.offers.is_empty()));
        assert!(!stuck.join().unwrap().offers.is_empty());
    });
    assert_eq!(bench.calls(), 2);
}

#[test]
fn the_command_pays_once_for_a_page_that_cannot_be_read_and_says_what_came() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    shell.sandbox().inject(Faults::new([], vec![(Fault::Html, 1.0)], 1).unwrap());
    for run in 0..3 {
        let ran = shell.run(&["search", text(&picture)]);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(
            ran.out.contains("a captcha or log-in page") && ran.out.contains("<!DOCTYPE html>"),
            "{ran:?}"
        );
        assert_eq!(ran.out.contains("remembered"), run > 0, "{ran:?}");
    }
    assert_eq!(shell.sandbox().counters().searches_ok, 1);
    shell.sandbox().inject(Faults::default());
    let refreshed = shell.run(&["--json", "search", "--refresh", text(&picture)]).json();
    assert_eq!(refreshed["upstream_calls"], 1, "{refreshed}");
}

#[test]
fn the_command_refuses_to_send_a_secret_in_plain_http_to_another_machine() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    for profile in ["article", "aop"] {
        let mut command = shell.command(&["search", text(&picture), "--upstream", profile]);
        command
            .args(["--base-url", "http://10.255.255.1"])
            .env("TONGKUAN_REFRESH_TOKEN", "sandbox-refresh-token");
        let ran = crate::cli::Ran::of(&mut command);
        assert!(
            ran.status == 2 && ran.err.contains("https://") && ran.err.contains("nothing was sent"),
            "{ran:?}"
        );
    }
}
