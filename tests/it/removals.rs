//! What was removed is found by nobody, and whatever is left as well as before.

use std::collections::HashSet;
use std::time::Duration;

use tongkuan::clock::Clock;
use tongkuan::embed::Embedding;
use tongkuan::engine::{Mode, Outcome};
use tongkuan::index::{Index, IndexOptions, PhotoSet};
use tongkuan::photo_id::PhotoId;
use tongkuan::upstream::QuotaDay;

use crate::fakes::{Bench, offer, png, query};
use crate::index::{brute_force, filled, lost, noise, options, pictures};

/// Whether the picture of this number is among those that are asked for.
type IsIn = fn(i64) -> bool;
type Pictures = Vec<(PhotoId, Embedding)>;

/// Near a stored picture, but equal to none.
fn near(picture: &(PhotoId, Embedding), seed: u64) -> Embedding {
    Embedding::new(picture.1.as_slice().iter().zip(noise(seed)).map(|(v, n)| v + 0.02 * n).collect()).unwrap()
}

/// How many of the ten nearest of `kept` the graph alone finds, in hundredths, for a hundred queries.
fn recall_percent(index: &Index, kept: &[(PhotoId, Embedding)]) -> usize {
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..100 {
        let query = near(&kept[usize::try_from(seed).unwrap() * kept.len() / 100], seed);
        let nearest = brute_force(kept, &query, 10);
        let by_graph = index.search_graph_alone(&query, 10).unwrap();
        wanted += nearest.len();
        found += nearest.iter().filter(|near| by_graph.iter().any(|it| it == *near)).count();
    }
    found * 100 / wanted
}

/// Every tenth picture but for `of_ten` of ten.
fn parted(pictures: &[(PhotoId, Embedding)], of_ten: i64) -> (Pictures, Pictures) {
    pictures.iter().cloned().partition(|(id, _)| id.0 % 10 >= of_ten)
}

#[test]
fn recall_is_as_before_with_three_and_nine_of_ten_removed_and_after_their_room_is_given_back() {
    let pictures = pictures(10_000);
    for of_ten in [3, 9] {
        let index = filled(IndexOptions { exact_max: 100, ..options() }, &pictures);
        let (kept, gone) = parted(&pictures, of_ten);
        let gone_ids: Vec<PhotoId> = gone.iter().map(|(id, _)| *id).collect();
        index.remove(&gone_ids, 5);
        let fresh = index.compacted(&|_, _| {}).unwrap();
        assert_eq!((index.removed(), fresh.removed()), (gone.len(), 0));
        for index in [&index, &fresh] {
            assert_eq!((index.len(), index.removals_seen()), (kept.len(), 5));
            assert_eq!(index.last_photo_id(), Some(PhotoId(10_000)));
            assert!(recall_percent(index, &kept) >= 99, "{of_ten} of ten: {}", recall_percent(index, &kept));
            assert_eq!(lost(index, &kept), 0);
            for (id, embedding) in gone.iter().step_by(97) {
                let found = index.search(embedding, 20, 0.5).unwrap();
                assert!(found.iter().all(|it| it.photo_id != *id && it.photo_id.0 % 10 >= of_ten));
                assert_eq!(
                    index.search_exact(embedding, 9).unwrap().as_slice(),
                    brute_force(&kept, embedding, 9)
                );
            }
            let audit = index.audit_graph();
            assert_eq!((audit.without_way_in, audit.unreachable), (0, 0), "{audit:?}");
        }
        assert_eq!(fresh.unindexed(), 0);
    }
}

#[test]
fn of_equal_pictures_those_that_are_left_answer_for_themselves() {
    // All one vector, in and out of the graph.
    let one = pictures(1)[0].1.clone();
    let equal: Pictures = (1..=300).map(|id| (PhotoId(id), one.clone())).collect();
    let index = filled(IndexOptions { exact_max: 10, ..options() }, &[pictures(500), Vec::new()].concat());
    let later: Pictures = equal.iter().map(|(id, e)| (PhotoId(id.0 + 1000), e.clone())).collect();
    index.insert_many(later.iter().map(|(id, e)| (*id, e))).unwrap();
    index.catch_up();
    // The first stands for all in the graph.
    let gone: Vec<PhotoId> = [1].into_iter().chain(1001..1299).map(PhotoId).collect();
    index.remove(&gone, 1);
    let found = index.search(&one, 3, 0.9).unwrap();
    assert_eq!(
        found.iter().filter(|it| it.score >= 1.0).map(|it| it.photo_id.0).collect::<Vec<_>>(),
        [1299, 1300]
    );
    index.remove(&[PhotoId(1299), PhotoId(1300), PhotoId(77_777)], 2);
    assert!(index.search(&one, 3, 0.9).unwrap().best().unwrap().score < 1.0);
}

#[test]
fn an_index_of_which_all_is_removed_finds_nothing_and_takes_new_ones() {
    let pictures = pictures(600);
    let index = filled(IndexOptions { exact_max: 10, ..options() }, &pictures[..500]);
    index.remove(&(1..=500).map(PhotoId).collect::<Vec<_>>(), 1);
    assert!(index.is_empty() && index.search(&pictures[0].1, 5, 0.5).unwrap().is_empty());
    let fresh = index.compacted(&|_, _| {}).unwrap();
    for index in [&index, &fresh] {
        index.insert_many(pictures[500..].iter().map(|(id, e)| (*id, e))).unwrap();
        index.catch_up();
        assert_eq!((index.len(), lost(index, &pictures[500..])), (100, 0));
    }
}

#[test]
fn a_search_among_some_gives_what_comparing_every_pair_of_those_gives() {
    let mut pictures = pictures(20_000);
    // Most as they are numbered, some not.
    for i in (0..20_000).step_by(7) {
        pictures.swap(i, i * 31 % 20_000);
    }
    let index = filled(IndexOptions { exact_max: 100, ..options() }, &pictures);
    index.remove(&[PhotoId(1000), PhotoId(2000)], 1);
    pictures.retain(|(id, _)| id.0 != 1000 && id.0 != 2000);
    // From one in a thousand to nine of ten; the newest; and some that are not stored.
    let sets: [(&str, IsIn); 6] = [
        ("0.1 %", |id| id % 1000 == 0),
        ("5 %", |id| id % 20 == 0),
        ("30 %", |id| id % 10 < 3),
        ("half", |id| id % 2 == 0),
        ("90 %", |id| id % 10 != 0),
        ("the newest quarter", |id| id > 15_000),
    ];
    for (name, is_in) in sets {
        let set: PhotoSet = (1..25_000).filter(|id| is_in(*id)).map(PhotoId).collect();
        let kept: Pictures = pictures.iter().filter(|(id, _)| is_in(id.0)).cloned().collect();
        for seed in 0..50 {
            let query = near(&kept[usize::try_from(seed).unwrap() * kept.len() / 50], seed);
            let found = index.search_among(&query, 10, &set).unwrap();
            assert_eq!(found.as_slice(), brute_force(&kept, &query, 10), "{name}");
        }
    }
    let none = PhotoSet::default();
    assert!(index.search_among(&pictures[5].1, 10, &none).unwrap().is_empty());
}

#[test]
fn pictures_are_removed_while_others_search() {
    let pictures = pictures(4000);
    let index = filled(IndexOptions { exact_max: 100, ..options() }, &pictures);
    let (kept, gone) = parted(&pictures, 5);
    std::thread::scope(|scope| {
        scope.spawn(|| gone.iter().zip(1..).for_each(|((id, _), seen)| index.remove(&[*id], seen)));
        scope.spawn(|| assert_eq!(lost(&index, &kept), 0));
    });
    let gone: HashSet<PhotoId> = gone.iter().map(|(id, _)| *id).collect();
    for (_, embedding) in pictures.iter().step_by(50) {
        assert!(index.search(embedding, 20, 0.5).unwrap().iter().all(|it| !gone.contains(&it.photo_id)));
    }
}

#[test]
fn a_forgotten_picture_is_a_miss_in_every_process_at_once_and_what_was_spent_stays() {
    let bench = Bench::new();
    let (here, there) = (bench.engine(), bench.engine());
    for seed in 0..3 {
        here.search(&query(&png(seed))).unwrap();
        there.search(&query(&png(seed))).unwrap();
    }
    let gone = here.photo_of(&png(1)).unwrap().unwrap();
    assert_eq!(here.forget(&[gone, PhotoId(99)]).unwrap().photo_ids, [gone]);
    assert_eq!(here.forget(&[gone]).unwrap().photo_ids, []);
    for engine in [&here, &there, &bench.engine()] {
        let png = png(1);
        let local = query(&png).mode(Mode::LocalOnly);
        let answer = engine.search(&local).unwrap();
        assert_eq!((answer.verdict, answer.offers.len()), (Outcome::Miss, 0));
        assert!(answer.matched.is_none());
        let audit = engine.audit().unwrap();
        assert!(audit.is_sound() && audit.photos == 2, "{audit:?}");
    }
    let day = QuotaDay::of(bench.clock.now());
    assert_eq!(here.catalog().calls_spent("fake", &day).unwrap(), 3);
    assert!(here.catalog().problems().unwrap().is_empty());
    // It may come again, under a number that nobody had.
    there.search(&query(&png(1))).unwrap();
    assert_eq!((bench.calls(), there.photo_of(&png(1)).unwrap()), (4, Some(PhotoId(4))));
}

#[test]
fn a_forgotten_picture_does_not_come_back_from_the_queue() {
    let bench = Bench::new();
    let png = png(1);
    let engine = bench.engine();
    engine.search(&query(&png)).unwrap();
    bench.clock.sleep(Duration::from_hours(24 * 8));
    // Stale: it waits to be fetched anew.
    assert!(engine.search(&query(&png)).unwrap().stale);
    assert_eq!(engine.catalog().queue_counts().unwrap().stale, 1);
    engine.forget(&[PhotoId(1)]).unwrap();
    assert_eq!(engine.catalog().queue_counts().unwrap().stale, 0);
    assert_eq!(engine.catalog().photo_count().unwrap(), 0);
}

#[test]
fn an_own_good_goes_with_its_last_picture_and_only_when_it_is_named() {
    let bench = Bench::new();
    let engine = bench.engine();
    for seed in [1, 2] {
        engine.add_own(&offer("A-1"), &png(seed), "a.png").unwrap();
    }
    engine.search(&query(&png(3))).unwrap();
    bench.clock.sleep(Duration::from_hours(24 * 100));
    engine.search(&query(&png(4))).unwrap();
    let old = engine.forget_older_than(Duration::from_hours(24 * 90)).unwrap();
    assert_eq!(old.photo_ids, [PhotoId(3)]);
    let counts = || engine.catalog().counts().unwrap();
    let offers = counts().offers;
    engine.forget(&[PhotoId(1)]).unwrap();
    assert_eq!((counts().own_photos, counts().offers), (1, offers));
    engine.forget(&[PhotoId(2)]).unwrap();
    assert_eq!((counts().own_photos, counts().offers), (0, offers - 1));
}

#[test]
fn a_picture_answered_lately_is_not_old() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    bench.clock.sleep(Duration::from_hours(24 * 100));
    let png = png(1);
    engine.search(&query(&png).mode(Mode::Refresh)).unwrap();
    assert!(engine.forget_older_than(Duration::from_hours(24 * 90)).unwrap().photo_ids.is_empty());
}

#[test]
fn a_picture_forgotten_while_the_upstream_is_asked_about_it_is_stored_with_what_was_paid_for() {
    let bench = Bench::new();
    let engine = bench.engine();
    let png = png(1);
    engine.search(&query(&png)).unwrap();
    let hold = bench.upstream.hanging.lock().unwrap();
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| engine.search(&query(&png).mode(Mode::Refresh)));
        while bench.calls() < 2 {
            std::thread::yield_now();
        }
        engine.forget(&[PhotoId(1)]).unwrap();
        drop(hold);
        asking.join().unwrap().unwrap()
    });
    assert_eq!(asked.upstream_calls, 1);
    let again = engine.search(&query(&png)).unwrap();
    assert_eq!((again.verdict, bench.calls()), (Outcome::Hit, 2));
}

#[test]
fn settling_gives_back_the_room_of_forgotten_pictures_while_searches_go_on() {
    let bench = Bench::new();
    let engine = bench.engine_with_graph();
    for seed in 0..40 {
        engine.search(&query(&png(seed))).unwrap();
    }
    engine.remake_index().unwrap();
    let size = || -> u64 {
        let files = crate::index::walk(&bench.home.path().join("index"));
        files.iter().filter(|f| f.ends_with("vectors")).map(|f| f.metadata().unwrap().len()).sum()
    };
    let before = size();
    engine.forget(&(1..=30).map(PhotoId).collect::<Vec<_>>()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| engine.settle_index().unwrap());
        for seed in 30..40 {
            assert_eq!(engine.search(&query(&png(seed))).unwrap().verdict, Outcome::Hit);
        }
    });
    assert_eq!(size() * 4, before);
    let audit = engine.audit().unwrap();
    assert!(audit.is_sound() && audit.photos == 10, "{audit:?}");
}
