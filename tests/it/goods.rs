//! Own goods by the batch: order, groups, equal pictures, stopping.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use tongkuan::cancel::{Cancel, Interrupt};
use tongkuan::catalog::{Catalog, CatalogError, GoodsPhoto, NewAnswer, NewGood, NewPhoto, Words};
use tongkuan::clock::Timestamp;
use tongkuan::embed::Embedding;
use tongkuan::engine::{Added, BatchEnd, Engine, EngineError, Mode, Outcome, OwnGood, Source};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::photo::{Digest, PhotoFormat};
use tongkuan::photo_id::PhotoId;

use crate::fakes::{Bench, offer, png, query};

type Read = Box<dyn FnOnce() -> Result<Vec<u8>, EngineError> + Send>;
type Task = (String, Result<OwnGood<Read>, EngineError>);

/// The good `id` on the picture of `seed`.
fn good(id: &str, seed: u32) -> Task {
    priced(id, seed, "59.00")
}

fn priced(id: &str, seed: u32, price: &str) -> Task {
    let offer =
        Offer { price: price.parse().ok(), ..Offer::new(OfferId::new(id).unwrap(), format!("杯子 {id}")) };
    let read: Read = Box::new(move || Ok(png(seed)));
    (id.to_owned(), Ok(OwnGood { offer, label: format!("{seed}.png"), read }))
}

fn bytes(id: &str, bytes: &'static [u8]) -> Task {
    let read: Read = Box::new(move || Ok(bytes.to_vec()));
    (id.to_owned(), Ok(OwnGood { offer: offer("bad"), label: id.to_owned(), read }))
}

/// Adds all, and returns what was told of each, in that order.
fn add_all(engine: &Engine, tasks: Vec<Task>) -> Vec<(String, Result<Added, EngineError>)> {
    let mut told = Vec::new();
    let end = engine.add_all(tasks, &Interrupt::never(), &mut |id, result| told.push((id, result)));
    assert_eq!(end.unwrap(), BatchEnd::Done);
    told
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn local(engine: &Engine, seed: u32) -> tongkuan::engine::Answer {
    let png = png(seed);
    engine.search(&query(&png).mode(Mode::LocalOnly)).unwrap()
}

#[test]
fn goods_are_told_of_in_the_order_of_the_input_and_a_bad_one_in_its_place() {
    let bench = Bench::new();
    let engine = bench.engine();
    let mut tasks: Vec<Task> = (0..300).map(|n| good(&format!("G/{n}"), n % 100)).collect();
    tasks[7] = bytes("no picture", b"no picture");
    let gone: Read = Box::new(|| Err(EngineError::NoUpstream));
    tasks[8].1.as_mut().unwrap().read = gone;
    tasks[9] = ("not read at all".to_owned(), Err(EngineError::NoUpstream));
    let ids: Vec<String> = tasks.iter().map(|(id, _)| id.clone()).collect();
    let told = on_threads(8, || add_all(&engine, tasks));
    assert_eq!(told.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), ids);
    let failed: Vec<usize> = (0..300).filter(|&n| told[n].1.is_err()).collect();
    assert_eq!(failed, [7, 8, 9]);
    let counts = engine.catalog().counts().unwrap();
    assert_eq!((counts.photos, counts.own_goods), (100, 297));
    assert_eq!(local(&engine, 42).offers.len(), 3);
}

#[test]
fn the_last_row_of_an_id_wins_however_many_threads_there_are() {
    for threads in [1, 2, 8] {
        let bench = Bench::new();
        let engine = bench.engine();
        let rows: Vec<Task> = (1..=40).map(|n| priced("A-1", 1, &n.to_string())).collect();
        let told = on_threads(threads, || add_all(&engine, rows));
        assert_eq!(told.iter().filter(|(_, added)| added.as_ref().unwrap().is_new).count(), 1);
        let answer = local(&engine, 1);
        assert_eq!((answer.offers.len(), answer.offers[0].price), (1, "40".parse().ok()));
        assert_eq!(bench.inferences(), 1, "equal pictures of one batch are embedded once");
    }
}

#[test]
fn what_a_good_was_before_its_last_row_is_forgotten_with_its_categories() {
    let bench = Bench::new();
    let engine = bench.engine();
    let of = |category_ids: Vec<u64>| Offer { category_ids, ..offer("A-1") };
    for category_ids in [vec![7, 8], vec![9]] {
        engine.add_own(&of(category_ids), &png(1), "a.png").unwrap();
    }
    let photos = |category_id| {
        let goods = tongkuan::catalog::GoodsFilter { category_id: Some(category_id), ..Default::default() };
        let filter = tongkuan::catalog::PhotoFilter { goods, ..Default::default() };
        engine.catalog().photos(&filter).unwrap().len()
    };
    assert_eq!((photos(7), photos(8), photos(9)), (0, 0, 1));
}

#[test]
fn one_good_may_have_several_pictures_and_is_found_once() {
    let bench = Bench::new();
    let engine = bench.engine();
    let told = add_all(
        &engine,
        vec![good("蓝色-01", 1), good("蓝色-01", 2), priced("蓝色-01", 3, "61"), good("B/2", 3)],
    );
    let photos: Vec<u32> = told.iter().map(|(_, added)| added.as_ref().unwrap().photos).collect();
    assert_eq!(photos, [1, 2, 3, 1]);
    let id = OfferId::new("蓝色-01").unwrap();
    let shown = engine.catalog().photos_of_own(&id).unwrap();
    assert_eq!(shown, [PhotoId(1), PhotoId(2), PhotoId(3)]);
    for seed in [1, 2, 3] {
        let answer = local(&engine, seed);
        assert_eq!((answer.verdict, &answer.offers[0].offer_id), (Outcome::Hit, &id));
        assert_eq!(answer.offers[0].price, "61".parse().ok());
    }
    let found = engine.catalog().find_offers(&Words::parse("杯子 蓝色").unwrap(), 9).unwrap();
    assert_eq!(found.len(), 1);
    let counts = engine.catalog().counts().unwrap();
    assert_eq!((counts.own_photos, counts.own_goods), (3, 2));
    // It goes with its last picture.
    engine.forget(&shown[..2]).unwrap();
    assert_eq!(engine.catalog().own_good(&id).unwrap().unwrap().offer_id, id);
    engine.forget(&shown[2..]).unwrap();
    assert_eq!(engine.catalog().own_good(&id).unwrap(), None);
}

#[test]
fn details_of_an_own_good_are_what_was_told_of_it_and_cost_no_call() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.add_own(&offer("AB 102/红"), &png(1), "a.png").unwrap();
    let known = engine.details(&OfferId::new("AB 102/红").unwrap(), Mode::Default).unwrap();
    assert_eq!((known.source, known.upstream_calls), (Source::Local, 0));
    assert_eq!(known.detail.unwrap().offer.title, "offer AB 102/红");
    let unknown = engine.details(&OfferId::new("AB 103/红").unwrap(), Mode::Default).unwrap();
    assert_eq!((unknown.detail, unknown.upstream_calls), (None, 0));
    assert!(unknown.warnings[0].contains("AB 103/红"), "{:?}", unknown.warnings);
}

#[test]
fn goods_are_committed_in_groups_and_told_of_only_then() {
    let bench = Bench::new();
    let engine = bench.engine();
    let other_process = Catalog::open(bench.home.path()).unwrap();
    let before = engine.catalog().generation().unwrap();
    let mut groups = BTreeSet::new();
    let tasks: Vec<Task> = (0..600).map(|n| good(&format!("G-{n}"), n)).collect();
    let mut told = 0;
    engine
        .add_all(tasks, &Interrupt::never(), &mut |_, added: Result<Added, EngineError>| {
            told += 1;
            let photo = other_process.photo(added.unwrap().photo_id).unwrap();
            assert!(photo.is_some(), "it was told of before it was on disk");
            groups.insert(other_process.generation().unwrap());
        })
        .unwrap();
    assert_eq!((told, engine.index_len().unwrap()), (600, 600));
    let commits = engine.catalog().generation().unwrap() - before;
    assert!(commits >= 3, "no more than 256 at a time: {commits} commits");
    assert_eq!(usize::try_from(commits).unwrap(), groups.len());
}

/// Yields some goods, then waits for whoever holds the other end.
fn then_waiting(
    goods: Vec<Task>,
    waiting: mpsc::Receiver<Task>,
) -> impl Iterator<Item = Task> + Send + 'static {
    goods.into_iter().chain(waiting)
}

#[test]
fn a_good_is_told_of_soon_although_the_next_one_is_not_there_yet() {
    let bench = Bench::new();
    let (send, waiting) = mpsc::channel();
    let mut send = Some(send);
    let mut told = 0;
    // The second one is sent only when the first one was told of.
    let end = bench.engine().add_all(
        then_waiting(vec![good("A", 1)], waiting),
        &Interrupt::never(),
        &mut |_, added: Result<Added, EngineError>| {
            added.unwrap();
            told += 1;
            if let Some(send) = send.take() {
                send.send(good("B", 2)).unwrap();
            }
        },
    );
    assert_eq!((end.unwrap(), told), (BatchEnd::Done, 2));
}

#[test]
fn a_batch_that_is_stopped_has_stored_what_it_told_of_and_nothing_else() {
    let bench = Bench::new();
    let engine = bench.engine();
    let (_send, waiting) = mpsc::channel();
    let stop = Cancel::new();
    let tasks = (0..2000).map(|n| good(&format!("G-{n}"), n)).collect();
    let mut told = 0;
    let end = engine.add_all(then_waiting(tasks, waiting), &stop.clone().into(), &mut |_,
                                                                                       added: Result<
        Added,
        EngineError,
    >| {
        added.unwrap();
        told += 1;
        stop.cancel();
    });
    // The input would go on for ever.
    assert_eq!(end.unwrap(), BatchEnd::Stopped);
    assert!((1..2000).contains(&told), "{told}");
    assert_eq!(engine.catalog().counts().unwrap().own_goods, told);
}

#[test]
fn an_input_without_an_end_is_read_no_further_than_is_under_way() {
    let bench = Bench::new();
    let engine = bench.engine();
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let endless = (0..).map(move |n: u32| {
        counted.fetch_add(1, Ordering::SeqCst);
        good(&format!("G-{n}"), n % 10)
    });
    let stop = Cancel::new();
    let (mut told, mut furthest) = (0, 0);
    engine
        .add_all(endless, &stop.clone().into(), &mut |_, _: Result<Added, EngineError>| {
            furthest = furthest.max(read.load(Ordering::SeqCst) - told);
            told += 1;
            if told >= 3000 {
                stop.cancel();
            }
        })
        .unwrap();
    assert!(furthest <= 513, "{furthest} goods were held at once");
}

#[test]
fn a_home_that_fails_ends_the_batch_and_nothing_is_told_of_that_is_not_stored() {
    let bench = Bench::new();
    let engine = bench.engine();
    let raw = rusqlite::Connection::open(bench.home.path().join("catalog.sqlite")).unwrap();
    raw.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON photos WHEN (SELECT count(*) FROM photos) >= 400
         BEGIN SELECT RAISE(ROLLBACK, 'no room'); END",
    )
    .unwrap();
    let mut told = 0;
    let tasks: Vec<Task> = (0..1000).map(|n| good(&format!("G-{n}"), n)).collect();
    let end = engine.add_all(tasks, &Interrupt::never(), &mut |_, added: Result<Added, EngineError>| {
        added.unwrap();
        told += 1;
    });
    end.unwrap_err();
    assert_eq!(engine.catalog().photo_count().unwrap(), told);
}

#[test]
fn one_good_that_cannot_be_stored_does_not_spoil_its_group() {
    let bench = Bench::new();
    let engine = bench.engine();
    let raw = rusqlite::Connection::open(bench.home.path().join("catalog.sqlite")).unwrap();
    raw.execute_batch(
        "CREATE TRIGGER bad BEFORE INSERT ON offers WHEN new.offer_id = 'bad'
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    .unwrap();
    let told = add_all(&engine, vec![good("a", 1), good("bad", 2), good("c", 3)]);
    let fine: Vec<bool> = told.iter().map(|(_, added)| added.is_ok()).collect();
    assert_eq!(fine, [true, false, true]);
    assert_eq!(engine.catalog().photo_count().unwrap(), 2, "nothing is left behind of the bad one");
    assert_eq!(local(&engine, 3).offers[0].offer_id.as_str(), "c");
}

#[test]
fn a_photo_that_was_removed_meanwhile_is_an_error_in_its_place() {
    let home = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(home.path()).unwrap();
    let (now, embedding) = (Timestamp::from_unix_ms(0), Embedding::new(vec![1.0, 0.0]).unwrap());
    let photo = NewPhoto {
        label: "a.png",
        byte_digest: Digest::of(b"bytes"),
        pixel_digest: Digest::of(b"pixels"),
        width_px: 1,
        height_px: 1,
        format: PhotoFormat::Png,
        embedding: &embedding,
        sketch: &[1],
        added_at: now,
    };
    let goods = ["a", "b", "c"].map(offer);
    let of = |offer, photo| NewGood { offer, photo, added_at: now };
    let group = [
        of(&goods[0], GoodsPhoto::New(photo)),
        of(&goods[1], GoodsPhoto::Stored(PhotoId(7))),
        // The same bytes in the same group.
        of(&goods[2], GoodsPhoto::New(photo)),
    ];
    let stored = catalog.store_all(&group).unwrap();
    assert!(matches!(stored[1], Err(CatalogError::PhotoGone { photo_id: PhotoId(7) })), "{stored:?}");
    let (first, last) = (stored[0].as_ref().unwrap(), stored[2].as_ref().unwrap());
    assert_eq!(
        (first.photo_id, first.is_new, last.photo_id, last.is_new),
        (PhotoId(1), true, PhotoId(1), false)
    );
    let answer = NewAnswer::Own { added_at: now, offer: &goods[0] };
    assert!(catalog.store_answer(PhotoId(1), &answer).unwrap());
    assert_eq!(catalog.answers(PhotoId(1)).unwrap()[0].offers.len(), 2);
}
