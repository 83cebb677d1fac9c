//! The second half of the battery that every store has to pass: what is found, filtered, shown and mended.

use std::time::Duration;

use tongkuan::offer::{Offer, OfferDetail, Sku};
use tongkuan::photo::Digest;
use tongkuan::photo_id::PhotoId;
use tongkuan::store::{
    Damage, Entry, GoodsPhoto, NewAnswer, NewGood, NewWaiting, PhotoFilter, PhotoKind, Store, ToldRecord,
    UnreadableAnswer, WaitReason, Words,
};
use tongkuan::upstream::{Booking, QuotaDay, SearchParams};

use crate::fakes::offer;
use crate::store::{KEY, LATER, Made, NOW, answered, fingerprint, on_every_store, store_photo};

fn titled(id: &str, title: &str) -> Offer {
    Offer { title: title.to_owned(), ..offer(id) }
}

fn found(store: &dyn Store, words: &str) -> Vec<String> {
    let found = store.find_offers(&Words::parse(words).unwrap(), 10).unwrap();
    let mut ids: Vec<String> = found.iter().map(|found| found.offer.offer_id.to_string()).collect();
    ids.sort();
    ids
}

fn add_good(store: &dyn Store, good: &Offer, photo_id: PhotoId) {
    let good = NewGood { offer: good, photo: GoodsPhoto::Stored(photo_id), added_at: NOW };
    store.store_all(&[good]).unwrap().remove(0).unwrap();
}

#[test]
fn offers_are_found_by_any_part_of_their_newest_titles() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let offers = [
            titled("1", "新款陶瓷马克杯 大容量500ML（带盖）ＵＳＢ加热"),
            titled("2", "陶瓷 盘子 don't & | ! :* ' \" \\ tail"),
        ];
        let photo_id = one.store(&Made::of(1).photo(), &answered(&offers, NOW)).unwrap().photo_id;
        for (words, ids) in [
            ("克杯", &["1"][..]),
            ("陶瓷", &["1", "2"]),
            ("瓷陶", &[]),
            ("马克杯 陶瓷", &["1"]),
            ("陶瓷马", &["1"]),
            ("500", &["1"]),
            ("00ml", &[]),
            ("usb", &["1"]),
            ("tail don", &["2"]),
        ] {
            assert_eq!(found(&*other, words), ids, "{words}");
        }
        one.store_answer(photo_id, &answered(&[titled("1", "玻璃杯")], LATER)).unwrap();
        assert!(found(&*other, "马克杯").is_empty(), "the title that it had is gone");
        assert_eq!(found(&*other, "玻璃"), ["1"]);
    });
}

#[test]
fn an_offer_that_an_answer_names_twice_keeps_both_places_and_what_was_said_last() {
    on_every_store(|open| {
        let store = open();
        let twice = [titled("1", "first"), titled("2", "between"), titled("1", "last")];
        let photo_id = store.store(&Made::of(1).photo(), &answered(&twice, NOW)).unwrap().photo_id;
        let offers = store.answer(photo_id, &KEY).unwrap().unwrap().offers;
        let titles: Vec<&str> = offers.iter().map(|offer| offer.title.as_str()).collect();
        assert_eq!(titles, ["last", "between", "last"]);
    });
}

#[test]
fn a_filter_means_photos_by_kind_time_upstream_category_and_price() {
    on_every_store(|open| {
        let store = open();
        let priced = |id: &str, price: &str, category| Offer {
            price: Some(price.parse().unwrap()),
            category_ids: vec![category],
            image_url: Some(format!("https://img.example/{id}.jpg")),
            ..offer(id)
        };
        let offers = [priced("1", "19.90", 7), priced("2", "100", 8)];
        let searched = store.store(&Made::of(1).photo(), &answered(&offers, NOW)).unwrap().photo_id;
        let image = &store.waiting_images(0, 1).unwrap()[0];
        let harvested = store.store_image(image.image_id, &Made::of(2).photo()).unwrap().photo_id;
        let own = store_photo(&*store, 3);
        add_good(&*store, &priced("OWN-1", "50.00", 9), own);
        let means = |filter: &PhotoFilter| store.photos(filter).unwrap();
        let of_kind = |kind| PhotoFilter { kind: Some(kind), ..PhotoFilter::default() };
        assert_eq!(means(&of_kind(PhotoKind::Query)), [searched]);
        assert_eq!(means(&of_kind(PhotoKind::Offer)), [harvested]);
        assert_eq!(means(&of_kind(PhotoKind::Own)), [own]);
        assert_eq!(store.photo(harvested).unwrap().unwrap().kind, PhotoKind::Offer);
        let mut filter = PhotoFilter { added_since: Some(LATER), ..PhotoFilter::default() };
        assert!(means(&filter).is_empty());
        filter = PhotoFilter {
            added_before: Some(LATER),
            profile: Some("fake".to_owned()),
            ..PhotoFilter::default()
        };
        assert_eq!(means(&filter), [searched]);
        let priced = |min: Option<&str>, max: Option<&str>, category_id| {
            let mut filter = PhotoFilter::default();
            filter.goods.price_min = min.map(|price| price.parse().unwrap());
            filter.goods.price_max = max.map(|price| price.parse().unwrap());
            filter.goods.category_id = category_id;
            means(&filter)
        };
        assert_eq!(priced(Some("19.9"), Some("19.9"), None), [searched, harvested]);
        assert_eq!(priced(Some("19.91"), Some("60"), None), [own]);
        assert_eq!(priced(Some("60"), None, None), [searched]);
        assert_eq!(priced(None, Some("60"), Some(8)), [], "one of them has to fulfil all");
        assert_eq!(priced(None, None, Some(9)), [own]);
        assert_eq!(store.searched_before(LATER).unwrap(), [searched]);
        assert!(store.searched_before(NOW).unwrap().is_empty());
    });
}

#[test]
fn a_picture_of_an_offer_is_answered_by_the_newest_answer_that_names_it() {
    on_every_store(|open| {
        let store = open();
        let pictured =
            |id: &str| Offer { image_url: Some(format!("https://img.example/{id}.jpg")), ..offer(id) };
        store.store(&Made::of(1).photo(), &answered(&[pictured("1"), pictured("2")], NOW)).unwrap();
        let image = store.waiting_images(0, 10).unwrap().remove(1);
        assert_eq!(image.offer_id, "2");
        let photo_id = store.store_image(image.image_id, &Made::of(2).photo()).unwrap().photo_id;
        let offers = store.answer(photo_id, &KEY).unwrap().unwrap().offers;
        let ids: Vec<&str> = offers.iter().map(|offer| offer.offer_id.as_str()).collect();
        assert_eq!(ids, ["2", "1"], "the one that it shows comes first");
        for attempt in 1..=3 {
            let waiting = store.waiting_images(0, 10).unwrap();
            assert_eq!(waiting.len(), 1, "attempt {attempt}");
            store.note_image_trouble(waiting[0].image_id, "away", true).unwrap();
        }
        let counts = store.image_counts().unwrap();
        assert_eq!((counts.waiting, counts.stored, counts.failed), (0, 1, 1));
        store.link_image(1, photo_id).unwrap();
        assert_eq!(store.fetched_photos(0, 10).unwrap().len(), 2);
    });
}

#[test]
fn pictures_of_an_offers_variants_wait_with_its_own_and_lead_to_it() {
    on_every_store(|open| {
        let store = open();
        let url = |name: &str| format!("https://img.example/{name}.jpg");
        let pictured = |id: &str| Offer { image_url: Some(url(id)), ..offer(id) };
        store.store(&Made::of(1).photo(), &answered(&[pictured("1"), pictured("2")], NOW)).unwrap();
        let with = |picture: &str| Sku { image_url: Some(url(picture)), ..Sku::default() };
        let mut detail = OfferDetail::new(offer("1"));
        // Its own picture, the other offer's, and one that two sizes share.
        detail.skus = ["1", "2", "red", "red"].map(with).into();
        for _ in 0..2 {
            store.store_details("fake", &detail.offer.offer_id, &detail, NOW).unwrap();
        }
        let mut unknown = OfferDetail::new(offer("9"));
        unknown.skus = vec![with("9")];
        store.store_details("fake", &unknown.offer.offer_id, &unknown, NOW).unwrap();
        let waiting = store.waiting_images(0, 10).unwrap();
        let told: Vec<(&str, String)> =
            waiting.iter().map(|image| (image.offer_id.as_str(), image.url.clone())).collect();
        assert_eq!(told, [("1", url("1")), ("2", url("2")), ("1", url("2")), ("1", url("red"))]);

        let first = |photo_id| store.answer(photo_id, &KEY).unwrap().unwrap().offers[0].offer_id.clone();
        let red = store.store_image(waiting[3].image_id, &Made::of(2).photo()).unwrap().photo_id;
        assert_eq!(first(red).as_str(), "1");
        let other = store.store_image(waiting[1].image_id, &Made::of(3).photo()).unwrap().photo_id;
        store.link_image(waiting[2].image_id, other).unwrap();
        assert_eq!(first(other).as_str(), "2", "whose own picture it is");
    });
}

#[test]
fn an_own_good_goes_with_its_last_photo_and_what_upstreams_named_stays() {
    on_every_store(|open| {
        let store = open();
        let good = titled("OWN-1", "mug");
        let first =
            store.store(&Made::of(1).photo(), &answered(&[titled("1", "mug")], NOW)).unwrap().photo_id;
        let second = store_photo(&*store, 2);
        add_good(&*store, &good, first);
        add_good(&*store, &good, second);
        assert_eq!(store.photos_of_own(&good.offer_id).unwrap(), [first, second]);
        store.tell((first, second), true, None, NOW).unwrap();
        assert_eq!(store.forget(&[second, second]).unwrap(), [second]);
        assert!(store.told_of(first).unwrap().is_empty());
        assert!(store.own_good(&good.offer_id).unwrap().is_some(), "another photo shows it");
        assert_eq!(store.forget(&[first]).unwrap(), [first]);
        assert!(store.own_good(&good.offer_id).unwrap().is_none());
        assert_eq!(found(&*store, "mug"), ["1"]);
        let counts = store.counts().unwrap();
        assert_eq!((counts.photos, counts.own_goods, counts.answers, counts.offers), (0, 0, 0, 1));
        assert!(counts.file_bytes > 0);
    });
}

#[test]
fn what_was_told_is_listed_in_order_and_taken_over_where_it_is_newer() {
    on_every_store(|open| {
        let store = open();
        let ids: Vec<PhotoId> = (1..=3).map(|seed| store_photo(&*store, seed)).collect();
        let [a, b, c] = ids[..] else { unreachable!() };
        store.tell((c, a), true, Some(0.5), LATER).unwrap();
        store.tell((a, b), false, None, NOW).unwrap();
        let told = store.told_after(None, 10).unwrap();
        let pairs: Vec<_> = told.iter().map(|told| told.photos).collect();
        assert_eq!(pairs, [[a, b], [a, c]]);
        assert_eq!(store.told_after(Some((a, b)), 10).unwrap(), told[1..]);
        let older = ToldRecord { same: false, told_at: NOW, ..told[1] };
        let newer = ToldRecord { same: true, confidence: None, told_at: LATER, ..told[0] };
        assert_eq!(store.take_told(&[older, newer]).unwrap(), [false, true]);
        assert!(store.told_after(None, 10).unwrap().iter().all(|told| told.same));
        let of_a = store.told_of(a).unwrap();
        assert_eq!(of_a.len(), 2);
        assert!(store.tell((a, PhotoId(999)), true, None, NOW).is_err(), "both have to be there");
    });
}

#[test]
fn details_and_answers_that_could_not_be_read_are_kept_by_what_was_asked() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let detail = OfferDetail::new(titled("1", "detailed"));
        let offer_id = &detail.offer.offer_id;
        one.store_details("fake", offer_id, &detail, NOW).unwrap();
        one.store_details("fake", offer_id, &detail, LATER).unwrap();
        let kept = other.details(offer_id, &["elsewhere", "fake"]).unwrap().unwrap();
        assert_eq!((kept.fetched_at, &kept.detail), (LATER, &detail));
        assert!(other.details(offer_id, &["elsewhere"]).unwrap().is_none());
        assert!(other.details(offer_id, &[]).unwrap().is_some());
        let unreadable = UnreadableAnswer {
            profile: "fake".to_owned(),
            question: "q".to_owned(),
            code: "odd".to_owned(),
            message: "no JSON".to_owned(),
            answered_at: NOW,
        };
        one.remember_unreadable(&unreadable).unwrap();
        let before = NOW.minus(Duration::from_secs(1));
        assert_eq!(other.unreadable_answer("fake", "q", before, NOW).unwrap(), Some(unreadable));
        assert!(other.unreadable_answer("fake", "q", NOW, LATER).unwrap().is_none());
    });
}

#[test]
fn each_day_is_shown_with_what_was_stored_called_and_saved_on_it() {
    on_every_store(|open| {
        let store = open();
        assert!(store.by_day().unwrap().is_empty());
        store_photo(&*store, 1);
        let in_two_days = NOW.plus(Duration::from_hours(48));
        let day = QuotaDay::of(in_two_days);
        let booking = Booking {
            profile: "fake",
            day,
            budget: 9,
            now: in_two_days,
            min_interval: Duration::ZERO,
            max_ahead: Duration::from_mins(2),
        };
        store.reserve(&booking).unwrap();
        store.add_saved_calls(&day, 2).unwrap();
        let days = store.by_day().unwrap();
        let counts: Vec<_> = days.iter().map(|day| (day.photos, day.calls, day.saved)).collect();
        assert_eq!(counts, [(1, 0, 0), (0, 0, 0), (0, 1, 2)]);
        assert_eq!(days[0].day, QuotaDay::of(NOW).to_string());
        assert_eq!(days[2].day, day.to_string());
    });
}

#[test]
fn a_whole_store_has_no_problems_and_what_is_taken_away_is_lacking() {
    on_every_store(|open| {
        let store = open();
        let model = fingerprint("fake");
        store.claim_model(&model).unwrap();
        assert_eq!(store.stored_model().unwrap(), Some(model.clone()));
        let photo_id = store_photo(&*store, 1);
        let params = SearchParams::default();
        let waiting = NewWaiting {
            reason: WaitReason::Stale,
            priority: 1,
            label: "a.png",
            byte_digest: Digest::of(b"bytes"),
            bytes: b"bytes",
            source_url: Some("https://img.example/a.jpg"),
            params: &params,
            queued_at: NOW,
        };
        assert!(store.queue(&waiting).unwrap());
        assert!(!store.queue(&NewWaiting { priority: 3, ..waiting }).unwrap(), "it waits already");
        assert_eq!(store.next_waiting(None).unwrap().unwrap().priority, 3);
        let asked = NewAnswer::Upstream {
            profile: "fake",
            params: &params.key(),
            fetched_at: NOW,
            total: None,
            regions: &[],
            offers: &[offer("1")],
        };
        store.store_answer(photo_id, &asked).unwrap();
        assert!(store.problems().unwrap().is_empty());
        assert!(store.damaged_entries(&|_| None).unwrap().is_empty());
        let sketches = store.damaged_entries(&|_| Some("odd".to_owned())).unwrap();
        assert_eq!(sketches, [Damage { entry: Entry::Sketch(photo_id), problem: "odd".to_owned() }]);
        assert_eq!(store.lacking(&model).unwrap(), (0, 0));
        store.repair(&sketches).unwrap();
        assert_eq!(store.lacking(&model).unwrap(), (0, 1));
        let lacks = store.lacks(photo_id, &model, 1).unwrap();
        assert_eq!((lacks.vector, lacks.sketch, lacks.decoding), (false, true, false));
        let taken: Vec<Damage> =
            [Entry::Offer { profile: "fake".to_owned(), offer_id: "1".to_owned() }, Entry::Vector(photo_id)]
                .map(|entry| Damage { entry, problem: String::new() })
                .into();
        store.repair(&taken).unwrap();
        assert_eq!(store.answers(photo_id).unwrap()[0].offers[0].title, "");
        assert_eq!(store.lacking(&model).unwrap(), (1, 1));
        assert!(store.has_pixels(photo_id, Made::of(1).pixels).unwrap());
        assert_eq!(store.digests_of(photo_id).unwrap(), Some((Made::of(1).pixels, Some(Made::of(1).bytes))));
    });
}
