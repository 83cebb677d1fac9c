//! The offers' own pictures, their titles and their pages.

use std::sync::Arc;
use std::time::Duration;

use tongkuan::cancel::{Cancel, Interrupt, Interrupted};
use tongkuan::catalog::{GoodsFilter, ImageCounts, PhotoFilter, PhotoKind, WaitingImage, Words};
use tongkuan::engine::{
    Answer, CachePolicy, Engine, HarvestError, Harvested, Mode, Originals, Outcome, Refine,
};
use tongkuan::fetch::{Fetch, FetchError, FetchLimits, Fetcher};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::sandbox::{Sandbox, SandboxOptions, View};
use tongkuan::upstream::{ArticleConfig, ArticleUpstream, GuardPolicy, SearchParams, Secret, WhyNot};
use tongkuan::verdict::Rule;

use crate::fakes::{Bench, FakeEmbedder, png, query};

/// An engine on the fake embedder that asks a real sandbox.
struct Shop {
    sandbox: Option<Sandbox>,
    bench: Bench,
    engine: Engine,
    fetcher: Fetcher,
}

impl Shop {
    fn new(daily_budget: u32) -> Self {
        let bench = Bench::new();
        let clock = bench.clock.clone();
        let sandbox =
            Sandbox::start(SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() }).unwrap();
        let mut config = ArticleConfig::new("sandbox", Secret::new("sandbox-secret"));
        sandbox.base_url().clone_into(&mut config.base_url);
        let upstream = Arc::new(ArticleUpstream::new(config, clock).unwrap());
        let policy = GuardPolicy::default().daily_budget(daily_budget);
        let engine = bench.builder().upstream(upstream, policy, CachePolicy::default()).open().unwrap();
        let fetcher = Fetcher::new(FetchLimits::default(), &[sandbox.base_url().to_owned()]).unwrap();
        Self { sandbox: Some(sandbox), bench, engine, fetcher }
    }

    fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().unwrap()
    }

    fn good(&self, number: usize) -> Vec<u8> {
        let catalogue = self.sandbox().catalogue();
        catalogue.jpeg(&catalogue.goods()[number], View::Main)
    }

    fn harvest(&self, limit: Option<u64>) -> Harvested {
        self.engine.harvest(&self.fetcher, limit, &mut |_, _| {}).unwrap()
    }

    fn counts(&self) -> ImageCounts {
        self.engine.catalog().image_counts().unwrap()
    }

    fn search(&self, bytes: &[u8]) -> Answer {
        self.engine.search(&query(bytes)).unwrap()
    }
}

#[test]
fn a_suppliers_own_picture_is_a_hit_after_the_harvest_and_names_its_offer_first() {
    let shop = Shop::new(500);
    let first = shop.search(&png(1));
    assert_eq!((first.offers.len(), shop.counts().waiting), (20, 20));
    let Harvested { stored, known, failed, .. } = shop.harvest(None);
    assert_eq!((stored, known, failed), (20, 0, 0));
    assert_eq!(shop.counts(), ImageCounts { waiting: 0, stored: 20, failed: 0 });
    for (place, offer) in first.offers.iter().enumerate() {
        let catalogue = shop.sandbox().catalogue();
        let good = catalogue.find(offer.offer_id.as_str().parse().unwrap()).unwrap();
        let answer = shop.search(&catalogue.jpeg(good, View::Main));
        assert_eq!((answer.verdict, answer.rule()), (Outcome::Hit, Some(Rule::SameBytes)), "offer {place}");
        assert_eq!(answer.offers[0].offer_id, offer.offer_id);
        assert_eq!((answer.offers.len(), answer.fetched_at), (20, first.fetched_at));
        assert_eq!(answer.matched.unwrap().kind, PhotoKind::Offer);
    }
    assert_eq!(shop.sandbox().counters().searches_ok, 1);
    // Another question about such a picture was never answered, so it is asked.
    let bytes = shop.sandbox().catalogue().jpeg(
        shop.sandbox().catalogue().find(first.offers[0].offer_id.as_str().parse().unwrap()).unwrap(),
        View::Main,
    );
    let params = SearchParams::default().page_size(7);
    let asked = shop.engine.search(&query(&bytes).params(params)).unwrap();
    assert_eq!((asked.upstream_calls, asked.offers.len()), (1, 7));
    assert_eq!(
        shop.search(&bytes).matched.unwrap().kind,
        PhotoKind::Query,
        "by now somebody has searched with it"
    );
}

#[test]
fn pictures_of_variants_are_harvested_as_those_of_their_offer() {
    let shop = Shop::new(500);
    let first = shop.search(&png(1));
    let catalogue = shop.sandbox().catalogue();
    let good = |id: &OfferId| catalogue.find(id.as_str().parse().unwrap()).unwrap();
    let told: Vec<u64> = first.offers.iter().map(|offer| good(&offer.offer_id).offer_id).collect();
    // An offer one of whose colours the answer does not name as an offer of its own.
    let of_another_colour = |offer: &Offer| {
        let mut colours = catalogue.colour_variants(good(&offer.offer_id));
        let colour = colours.find(|colour| !told.contains(&colour.offer_id));
        colour.map(|colour| (offer.offer_id.clone(), colour))
    };
    let (offer_id, colour) = first.offers.iter().find_map(of_another_colour).unwrap();
    shop.engine.details(&offer_id, Mode::Default).unwrap();
    let waiting = shop.counts().waiting;
    assert!(waiting > 20, "{waiting}");
    let harvested = shop.harvest(None);
    assert!(harvested.stored > 20 && harvested.failed == 0, "{harvested:?}");

    let answer = shop.search(&catalogue.jpeg(colour, View::Main));
    assert_eq!((answer.verdict, answer.upstream_calls), (Outcome::Hit, 0));
    assert_eq!(answer.offers[0].offer_id, offer_id);
    let matched = answer.matched.unwrap();
    assert_eq!(
        (matched.kind, matched.label),
        (PhotoKind::Offer, format!("offer {offer_id}, {}", colour.colour))
    );
}

#[test]
fn harvested_pictures_can_be_looked_for_by_the_prices_of_their_offers() {
    let shop = Shop::new(500);
    let offers = shop.search(&png(1)).offers;
    shop.harvest(None);
    let price = offers[7].price;
    let goods = GoodsFilter { price_min: price, price_max: price, category_id: None };
    let filter = PhotoFilter { kind: Some(PhotoKind::Offer), goods, ..PhotoFilter::default() };
    let mut found: Vec<_> = shop.engine.catalog().photos(&filter).unwrap();
    let mut expected: Vec<_> = offers
        .iter()
        .filter(|offer| offer.price == price)
        .map(|offer| {
            let catalogue = shop.sandbox().catalogue();
            let good = catalogue.find(offer.offer_id.as_str().parse().unwrap()).unwrap();
            shop.engine.photo_of(&catalogue.jpeg(good, View::Main)).unwrap().unwrap()
        })
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert!(!found.is_empty() && found.len() < 20);
    assert_eq!(found, expected);
}

#[test]
fn a_harvest_goes_on_where_it_was_stopped_and_fetches_nothing_twice() {
    let shop = Shop::new(500);
    shop.search(&png(1));
    assert_eq!(shop.harvest(Some(7)).stored, 7);
    assert_eq!(shop.sandbox().counters().image_fetches, 7);
    assert_eq!(shop.harvest(None).stored, 13);
    assert_eq!(shop.harvest(None), Harvested::default());
    assert_eq!(shop.sandbox().counters().image_fetches, 20);
    // The same offers in another answer bring no new pictures.
    let params = SearchParams::default().page_size(10);
    shop.engine.search(&query(&png(1)).params(params)).unwrap();
    assert_eq!(shop.counts().waiting, 0);
}

/// Is cancelled while the first pictures are fetched.
#[derive(Debug)]
struct CancelledMeanwhile<'a>(&'a Fetcher, Cancel);

impl Fetch for CancelledMeanwhile<'_> {
    fn fetch(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        self.1.cancel();
        self.0.fetch(address)
    }
}

#[test]
fn a_cancelled_harvest_stores_the_pictures_in_hand_and_the_next_one_fetches_the_rest() {
    let shop = Shop::new(500);
    shop.search(&png(1));
    let token = Cancel::new();
    let unwanted = Interrupt::never().cancel(token.clone());
    let fetcher = CancelledMeanwhile(&shop.fetcher, token);
    let mut told = 0;
    let first = shop.engine.harvest_unless(&unwanted, &fetcher, None, &mut |_, _| told += 1).unwrap();
    assert_eq!(first.interrupted, Some(Interrupted::Cancelled));
    assert!((1..=4).contains(&first.stored) && first.stored == told, "{first:?}, told of {told}");
    let rest = shop.harvest(None);
    assert_eq!((first.stored + rest.stored, rest.interrupted), (20, None));
    assert_eq!(shop.sandbox().counters().image_fetches, 20);
}

#[test]
fn pictures_of_offers_are_fetched_anew_for_another_model_and_one_that_is_another_picture_by_now_is_counted() {
    let shop = Shop::new(500);
    shop.search(&png(1));
    assert_eq!(shop.harvest(Some(3)).stored, 3);
    // Beside them, what was searched with: of that there is a file.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("1.png");
    std::fs::write(&file, png(1)).unwrap();
    let raw = rusqlite::Connection::open(shop.bench.home.path().join("catalog.sqlite")).unwrap();
    let urls = "SELECT url FROM offer_images WHERE state = 'stored' ORDER BY image_id";
    let urls: Vec<String> =
        raw.prepare(urls).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    raw.execute("UPDATE offer_images SET url = 'gone:' || url WHERE url = ?1", [&urls[0]]).unwrap();
    raw.execute("UPDATE offer_images SET url = ?1 WHERE url = ?2", [&urls[0], &urls[1]]).unwrap();
    drop(raw);
    let mut embedder = FakeEmbedder::new();
    embedder.fingerprint.digest = "other".into();
    let embedder = Arc::new(embedder);
    let reembed = |files: Vec<_>, leave_the_rest| {
        let builder = Engine::builder(shop.bench.home.path()).embedder(embedder.clone());
        let originals = Originals { files, fetcher: Some(&shop.fetcher), leave_the_rest };
        builder.clock(shop.bench.clock.clone()).reembed(&originals, &|_| {}).unwrap()
    };
    let first = reembed(vec![file.clone()], false);
    assert_eq!(
        (first.embedded, first.failed, first.without_vector, first.done),
        (2, 2, 2, false),
        "{first:?}"
    );
    let fetches = shop.sandbox().counters().image_fetches;
    let second = reembed(vec![file], true);
    assert_eq!((second.embedded, second.without_vector, second.done), (0, 2, true), "{second:?}");
    assert_eq!(shop.sandbox().counters().image_fetches, fetches + 1, "only what still lacks a vector");
}

#[test]
fn a_picture_that_a_search_has_stored_is_linked_and_not_stored_again() {
    let shop = Shop::new(500);
    let good = shop.good(5);
    let answer = shop.search(&good);
    let photos = shop.engine.catalog().photo_count().unwrap();
    assert_eq!(photos, 1);
    let harvested = shop.harvest(None);
    assert_eq!((harvested.stored, harvested.known), (19, 1));
    assert_eq!(shop.search(&good).offers, answer.offers, "its own answer comes before one that names it");
}

#[test]
fn pictures_that_cannot_be_fetched_are_tried_three_times_and_no_more() {
    let mut shop = Shop::new(500);
    shop.search(&png(1));
    drop(shop.sandbox.take());
    for left in [20, 20, 0] {
        let Harvested { stored, known, failed, .. } = shop.harvest(None);
        assert_eq!((stored, known, failed), (0, 0, 20));
        assert_eq!(shop.counts().waiting, left);
    }
    assert_eq!((shop.harvest(None), shop.counts().failed), (Harvested::default(), 20));
}

#[test]
fn pictures_at_inner_addresses_wait_until_their_address_is_named() {
    let shop = Shop::new(500);
    shop.search(&png(1));
    let stranger = Fetcher::new(FetchLimits::default(), &[]).unwrap();
    let mut troubles = Vec::new();
    // Every time, and whatever the limit: they are at the front of those that wait.
    for limit in [None, Some(1), None, None] {
        troubles.clear();
        let mut each = |_: &WaitingImage, result: &Result<_, HarvestError>| {
            troubles.extend(result.as_ref().err().map(ToString::to_string));
        };
        let harvested = shop.engine.harvest(&stranger, limit, &mut each).unwrap();
        assert_eq!((harvested.refused, harvested.failed, troubles.len()), (20, 0, 20));
    }
    assert_eq!(shop.counts(), ImageCounts { waiting: 20, stored: 0, failed: 0 });
    assert!(troubles.iter().all(|trouble| trouble.contains("refused")), "{troubles:?}");
    assert_eq!(shop.sandbox().counters().image_fetches, 0);
    let harvested = shop.harvest(None);
    assert_eq!((harvested.stored + harvested.known, harvested.refused), (20, 0));
}

#[test]
fn offers_are_found_by_any_part_of_their_chinese_titles_and_by_no_other() {
    let shop = Shop::new(500);
    let all = shop.search(&shop.good(5)).offers;
    let title: Vec<char> = all[0].title.chars().filter(|c| ('\u{4E00}'..='\u{9FA5}').contains(c)).collect();
    let part: String = title[2..4].iter().collect();
    let find = |text: &str| {
        let words = Words::parse(text).unwrap();
        let found = shop.engine.catalog().find_offers(&words, 1000).unwrap();
        let mut ids: Vec<_> = found.into_iter().map(|found| found.offer.offer_id).collect();
        ids.sort();
        let mut expected: Vec<_> = all.iter().filter(|offer| words.are_in(&offer.title)).collect();
        expected.sort_by(|a, b| a.offer_id.cmp(&b.offer_id));
        assert_eq!(ids, expected.iter().map(|offer| offer.offer_id.clone()).collect::<Vec<_>>(), "{text}");
        ids.len()
    };
    assert!(find(&part) > 0 && find(&part) <= all.len(), "{part}");
    assert_eq!(find("龘龘"), 0);
    find(&all[3].title);
    find("2");
    find("\"OR\" NEAR( *");
}

#[test]
fn a_refinement_chooses_among_what_is_there_and_costs_nothing() {
    let shop = Shop::new(500);
    let bytes = shop.good(5);
    let all = shop.search(&bytes).offers;
    let least = all.iter().filter_map(|offer| offer.min_order_quantity).min().unwrap();
    let refine = Refine::default().max_min_order(least);
    let few = shop.engine.search(&query(&bytes).refine(refine)).unwrap();
    assert_eq!(few.offers.len() + few.filtered_out, all.len());
    assert!(!few.offers.is_empty() && few.offers.iter().all(|offer| offer.min_order_quantity == Some(least)));
    let refine = Refine::default().words(Words::parse("龘龘"));
    let none = shop.engine.search(&query(&bytes).refine(refine)).unwrap();
    assert_eq!((none.verdict, none.offers.len(), none.filtered_out), (Outcome::Hit, 0, all.len()));
    assert_eq!(shop.search(&bytes).offers, all, "what is stored is whole");
    assert_eq!(shop.sandbox().counters().searches_ok, 1);
}

#[test]
fn pages_are_asked_one_by_one_and_each_only_once() {
    let shop = Shop::new(500);
    let bytes = shop.good(5);
    let two = shop.engine.search_pages(&query(&bytes), 2).unwrap();
    assert_eq!((two.offers.len(), two.upstream_calls, two.verdict), (40, 2, Outcome::Miss));
    let three = shop.engine.search_pages(&query(&bytes), 3).unwrap();
    assert_eq!((three.offers.len(), three.upstream_calls, three.verdict), (60, 1, Outcome::Miss));
    let again = shop.engine.search_pages(&query(&bytes), 3).unwrap();
    assert_eq!((again.upstream_calls, again.verdict), (0, Outcome::Hit));
    assert_eq!(again.offers.len(), 60);
    let params = SearchParams::default().page_size(50);
    let all = shop.engine.search_pages(&query(&bytes).params(params), 100).unwrap();
    let goods = shop.sandbox().catalogue().goods().len();
    assert_eq!(all.offers.len(), goods);
    assert_eq!(all.upstream_calls as usize, goods.div_ceil(50), "no page is asked for after the last one");
}

#[test]
fn the_pages_before_the_end_of_the_budget_are_answered() {
    let shop = Shop::new(2);
    let bytes = shop.good(5);
    let some = shop.engine.search_pages(&query(&bytes), 5).unwrap();
    assert_eq!((some.offers.len(), some.upstream_calls), (40, 2));
    assert_eq!(some.unanswered.unwrap().reason, WhyNot::BudgetSpent);
    let offline = query(&bytes).mode(Mode::LocalOnly);
    let stored = shop.engine.search_pages(&offline, 5).unwrap();
    assert_eq!((stored.offers.len(), stored.unanswered.unwrap().reason), (40, WhyNot::Offline));
}

#[test]
fn a_price_is_as_old_as_the_newest_answer_that_told_it() {
    use tongkuan::clock::Clock;
    let shop = Shop::new(500);
    let (one, other) = (shop.good(5), shop.good(6));
    let first = shop.search(&one);
    let then = first.fetched_at;
    assert!(first.offers.iter().all(|offer| offer.seen_at == then));
    shop.bench.clock.sleep(Duration::from_hours(5));
    let second = shop.search(&other);
    let shared: Vec<_> = second.offers.iter().map(|offer| &offer.offer_id).collect();
    let again = shop.search(&one);
    assert_eq!(again.fetched_at, then);
    let renewed = again.offers.iter().filter(|offer| shared.contains(&&offer.offer_id)).count();
    assert!(renewed > 0, "colours of one model come in both answers");
    for offer in &again.offers {
        let expected = if shared.contains(&&offer.offer_id) { second.fetched_at } else { then };
        assert_eq!(offer.seen_at, expected);
    }
}
