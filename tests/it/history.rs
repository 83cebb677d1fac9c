//! What was told over time: of offers, about pictures, and of offers that are watched.

use std::sync::Arc;
use std::time::Duration;

use tongkuan::cancel::Interrupt;
use tongkuan::clock::{Clock as _, ManualClock, Timestamp};
use tongkuan::engine::{Engine, Mode};
use tongkuan::offer::{Offer, OfferDetail, OfferId, OfferTerms};
use tongkuan::sandbox::SandboxOptions;

use crate::cli::Shell;
use crate::fakes::{Bench, offer, png, query};
use crate::store::{LATER, Made, NOW, answered, on_every_store, store_photo};

fn id(id: &str) -> OfferId {
    OfferId::new(id).unwrap()
}

fn sold(id: &str, price: &str, month_sold: u32) -> Offer {
    Offer { price: Some(price.parse().unwrap()), month_sold: Some(month_sold), ..offer(id) }
}

fn after(days: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(days * 86_400))
}

/// Since when, until when, at which price, how many sold.
fn rows(history: &[OfferTerms]) -> Vec<(Timestamp, Timestamp, String, Option<u32>)> {
    let row = |terms: &OfferTerms| {
        let price = terms.price.map(|price| price.yuan().normalize().to_string()).unwrap_or_default();
        (terms.since, terms.until, price, terms.month_sold)
    };
    history.iter().map(row).collect()
}

#[test]
fn what_is_told_again_is_one_row_and_what_is_new_another() {
    on_every_store(|open| {
        let store = open();
        let photo_id = store_photo(&*store, 1);
        for (day, price, month_sold) in [(0, "12.0", 7), (1, "12.00", 7), (2, "11.50", 7), (3, "12.0", 7)] {
            let told = [sold("1", price, month_sold), sold("2", "3", 1)];
            assert!(store.store_answer(photo_id, &answered(&told, after(day))).unwrap());
        }
        let history = open().history(&id("1")).unwrap();
        let twelve = |from, to| (after(from), after(to), "12".to_owned(), Some(7));
        let cheaper = (after(2), after(2), "11.5".to_owned(), Some(7));
        assert_eq!(rows(&history), [twelve(0, 1), cheaper, twelve(3, 3)]);
        assert_eq!(history[0].profile, "fake");
        assert_eq!(rows(&store.history(&id("2")).unwrap()), [(after(0), after(3), "3".to_owned(), Some(1))]);
        assert!(store.history(&id("3")).unwrap().is_empty());
    });
}

#[test]
fn what_an_answer_does_not_tell_stays_as_it_was_told_before() {
    on_every_store(|open| {
        let store = open();
        let photo_id = store_photo(&*store, 1);
        store.store_answer(photo_id, &answered(&[sold("1", "12", 7)], after(0))).unwrap();
        let silent = Offer { month_sold: None, ..sold("1", "11", 0) };
        let detail = OfferDetail::new(silent);
        store.store_details("fake", &id("1"), &detail, after(1)).unwrap();
        let told = rows(&store.history(&id("1")).unwrap());
        assert_eq!(told[1], (after(1), after(1), "11".to_owned(), Some(7)));
    });
}

#[test]
fn what_is_stored_late_takes_its_place_in_time() {
    on_every_store(|open| {
        let store = open();
        let (one, other) = (store_photo(&*store, 1), store_photo(&*store, 2));
        store.store_answer(one, &answered(&[sold("1", "12", 7)], after(5))).unwrap();
        store.store_answer(other, &answered(&[sold("1", "10", 7)], after(2))).unwrap();
        let prices: Vec<String> =
            rows(&store.history(&id("1")).unwrap()).into_iter().map(|(_, _, price, _)| price).collect();
        assert_eq!(prices, ["10", "12"]);
    });
}

#[test]
fn answers_that_are_replaced_keep_their_offers_in_order_and_the_oldest_go() {
    on_every_store(|open| {
        let store = open();
        let photo_id = store_photo(&*store, 1);
        for day in 0..24_u64 {
            let told = [offer(&(100 + day).to_string()), offer("1")];
            store.store_answer(photo_id, &answered(&told, after(day))).unwrap();
        }
        let past = open().past_answers(photo_id).unwrap();
        assert_eq!(past.len(), 20);
        assert_eq!((past[0].fetched_at, past[0].total), (after(22), Some(9)));
        assert_eq!(past[0].offer_ids, [id("122"), id("1")]);
        assert_eq!(past[19].fetched_at, after(3));
        store.forget(&[photo_id]).unwrap();
        assert!(store.past_answers(photo_id).unwrap().is_empty());
    });
}

#[test]
fn offers_are_watched_once_and_until_they_are_let_go() {
    on_every_store(|open| {
        let store = open();
        assert_eq!(store.watch_offers(&[id("2"), id("1")], NOW).unwrap(), 2);
        assert_eq!(open().watch_offers(&[id("2"), id("3")], LATER).unwrap(), 1);
        assert_eq!(store.watched_offers().unwrap(), [(id("1"), NOW), (id("2"), NOW), (id("3"), LATER)]);
        assert_eq!(store.unwatch_offers(&[id("2"), id("9")]).unwrap(), 1);
        assert_eq!(open().watched_offers().unwrap(), [(id("1"), NOW), (id("3"), LATER)]);
    });
}

#[test]
fn a_store_has_no_history_of_the_users_own_goods() {
    on_every_store(|open| {
        let store = open();
        let own = sold("OWN-1", "5", 1);
        let answer = tongkuan::store::NewAnswer::Own { added_at: NOW, offer: &own };
        store.store(&Made::of(1).photo(), &answer).unwrap();
        assert!(store.history(&own.offer_id).unwrap().is_empty());
    });
}

/// A bench whose upstream names these offers from now on.
fn say(bench: &Bench, offers: &[Offer]) {
    *bench.upstream.offers.lock().unwrap() = Some(offers.to_vec());
}

fn refreshed(engine: &Engine, bytes: &[u8]) {
    let answer = engine.search(&query(bytes).mode(Mode::Refresh)).unwrap();
    assert_eq!(answer.upstream_calls, 1);
}

#[test]
fn two_answers_about_a_picture_tell_what_came_what_went_and_what_has_changed() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let told = |offers: &[Offer]| {
        say(&bench, offers);
        refreshed(&engine, &bytes);
        let at = bench.clock.now();
        bench.clock.sleep(Duration::from_hours(24));
        at
    };
    let first = told(&[sold("1", "12", 7), sold("2", "5", 1), sold("3", "8", 2)]);
    let photo_id = engine.search(&query(&bytes)).unwrap().matched.unwrap().photo_id;
    assert!(engine.answer_changes(photo_id, None).unwrap().is_empty(), "one answer is nothing to compare");
    let second = told(&[sold("3", "8", 2), sold("1", "11", 9)]);
    let third = told(&[sold("1", "11", 9), sold("4", "1", 0)]);

    let newest = engine.answer_changes(photo_id, None).unwrap().remove(0);
    assert_eq!((newest.before, newest.after, newest.unchanged), (second, third, 1));
    assert_eq!(newest.came.iter().map(|offer| offer.offer_id.as_str()).collect::<Vec<_>>(), ["4"]);
    assert_eq!(newest.went[0].offer_id, id("3"));
    assert_eq!(newest.went[0].terms.as_ref().unwrap().price, Some("8".parse().unwrap()));

    let long = engine.answer_changes(photo_id, Some(first)).unwrap().remove(0);
    assert_eq!((long.before, long.after, long.unchanged), (first, third, 0));
    let changes = &long.changed[0].changes;
    assert_eq!(changes.price.unwrap().before, Some("12".parse().unwrap()));
    assert_eq!(changes.month_sold.unwrap().after, Some(9));
    assert_eq!(long.went.len(), 2);
}

#[test]
fn offers_of_which_nothing_was_told_come_first_and_those_told_of_lately_wait() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    say(&bench, &[sold("1", "12", 7)]);
    refreshed(&engine, &bytes);
    engine.watch_offers(&[id("1"), id("2")]).unwrap();
    let due = |hours: u64| {
        let due = engine.offers_to_ask_about(Duration::from_secs(3600 * hours)).unwrap();
        due.into_iter().map(|(offer_id, _)| offer_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(due(0), ["2", "1"]);
    assert_eq!(due(20), ["2"]);
    bench.clock.sleep(Duration::from_hours(20));
    assert_eq!(due(20), ["2", "1"]);
}

#[test]
fn an_offer_that_cannot_be_asked_about_keeps_what_was_told_of_it() {
    let bench = Bench::new();
    say(&bench, &[sold("1", "12", 7)]);
    refreshed(&bench.engine(), &png(1));
    let alone = bench.builder().open().unwrap();
    let again = alone.ask_again(&Interrupt::never(), &id("1")).unwrap();
    assert!(again.unanswered.is_some() && again.changes.is_empty());
    assert_eq!(again.after, again.before);
    assert_eq!(again.after.unwrap().price, Some("12".parse().unwrap()));
}

/// A sandbox in which prices are others a minute later, and the clock that it goes by.
fn moving_market() -> (Shell, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_485_600_000)));
    let options =
        SandboxOptions { market_day_secs: Some(60), clock: clock.clone(), ..SandboxOptions::default() };
    (Shell::with_sandbox_of(options), clock)
}

#[test]
fn watched_offers_are_asked_about_within_a_number_of_calls_and_say_what_has_changed() {
    let (shell, clock) = moving_market();
    let ids: Vec<String> =
        (0..3).map(|number| shell.sandbox().catalogue().goods()[number].offer_id.to_string()).collect();
    shell.write("ids.txt", format!("{}\n\n{}\n", ids[1], ids[2]).as_bytes());
    let added = shell.run(&["--json", "watch", "add", &ids[0], "--from", "ids.txt"]).json();
    assert_eq!((added["added"].as_u64(), added["named"].as_u64()), (Some(3), Some(3)));
    let planned = shell.run(&["--json", "watch", "ask", "--dry-run", "--max-calls", "2"]).json();
    assert_eq!((planned["due"].as_u64(), planned["calls"].as_u64()), (Some(3), Some(2)));
    assert_eq!(shell.sandbox().counters().details_ok, 0, "a dry run asks nothing");

    let ran = shell.run(&["--json", "watch", "ask", "--max-calls", "2"]);
    assert_eq!((ran.status, shell.sandbox().counters().details_ok), (1, 2));
    let lines = ran.lines();
    assert_eq!((lines[2]["asked"].as_u64(), lines[2]["left"].as_u64()), (Some(2), Some(1)));
    assert_eq!(shell.run(&["watch", "ask"]).status, 0, "the third one is asked about");
    assert_eq!(shell.sandbox().counters().details_ok, 3, "those told of lately are left alone");

    clock.sleep(Duration::from_mins(1));
    let ran = shell.run(&["watch", "ask", "--min-age-hours", "0"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.contains("price ¥") && ran.out.contains(" -> ¥"), "{}", ran.out);
    let history = shell.run(&["--json", "history", &ids[0]]).json();
    assert_eq!(history["history"].as_array().unwrap().len(), 2, "{history}");
    let drawn = shell.run(&["history", &ids[0], "--plot", "h.svg"]);
    assert!(drawn.out.contains('▁') && drawn.out.contains('█'), "{}", drawn.out);
    assert!(std::fs::read_to_string(shell.path("h.svg")).unwrap().starts_with("<svg"));
    assert_eq!(shell.run(&["history", "999"]).status, 1);
    assert_eq!(shell.run(&["watch", "add", "--from", "none.txt"]).status, 2);
    let removed = shell.run(&["--json", "watch", "remove", &ids[0], "1"]).json();
    assert_eq!((removed["removed"].as_u64(), removed["named"].as_u64()), (Some(1), Some(2)));
    assert_eq!(shell.run(&["--json", "watch", "list"]).out.lines().count(), 2);
}

#[test]
fn offers_that_are_gone_cost_calls_that_are_counted_and_bounded() {
    let shell = Shell::with_sandbox();
    assert_eq!(shell.run(&["watch", "add", "999001", "999002", "999003"]).status, 0);
    let ran = shell.run(&["--json", "watch", "ask", "--max-calls", "2"]);
    let told = ran.lines().pop().unwrap();
    assert_eq!((told["upstream_calls"].as_u64(), told["failed"].as_u64()), (Some(2), Some(2)), "{ran:?}");
    assert_eq!((ran.status, told["left"].as_u64()), (2, Some(1)), "{ran:?}");
    assert_eq!(shell.run(&["--json", "quota"]).json()["upstreams"][0]["used"], 2);
}

#[test]
fn the_changes_of_an_answer_are_printed_for_people_and_for_programs() {
    let (shell, clock) = moving_market();
    shell.good(0, "a.jpg");
    assert_eq!(shell.run(&["search", "a.jpg"]).status, 1);
    let once = shell.run(&["changes", "a.jpg"]);
    assert_eq!(once.status, 1);
    assert!(once.out.contains("no two answers"), "{}", once.out);
    clock.sleep(Duration::from_mins(1));
    shell.run(&["search", "--refresh", "a.jpg"]);
    assert_eq!(shell.sandbox().counters().searches_ok, 2);
    let told = shell.run(&["changes", "a.jpg"]);
    assert_eq!(told.status, 0, "{}", told.err);
    assert!(told.out.contains("changed") && told.out.contains("price ¥"), "{}", told.out);
    let json = shell.run(&["--json", "changes", "a.jpg"]).json();
    assert!(!json["answers"][0]["changed"].as_array().unwrap().is_empty(), "{json}");
    let never = shell.run(&["changes", "a.jpg", "--by", "2020-01-01"]);
    assert_eq!(never.status, 1);
    assert_eq!(shell.run(&["changes", "a.jpg", "--by", "yesterday"]).status, 2);
}
