//! One entry that cannot be read: the rest goes on, it is named once with the remedy, and the remedy mends it.

use std::sync::{Arc, Mutex};

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use proptest::prelude::*;
use tongkuan::catalog::{Entry, Words};
use tongkuan::engine::{Answer, CachePolicy, Engine, Mode, Originals, Outcome, Progress};
use tongkuan::offer::{OfferId, Price};
use tongkuan::photo_id::PhotoId;
use tongkuan::question::Region;
use tongkuan::upstream::{GuardPolicy, SearchParams};
use tongkuan::verdict::Rule;

use crate::fakes::{Bench, encoded, offer, picture, png, query};

/// Hears what a person would read.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn step(&self, _: &str, _: usize, _: usize) {}
}

impl Notes {
    fn of(&self, what: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|note| note.contains(what)).cloned().collect()
    }
}

/// A home of four own goods, `A-1` on photo 1 and so on.
fn four_goods() -> Bench {
    let bench = Bench::new();
    let engine = bench.engine();
    for n in 1..=4 {
        engine.add_own(&offer(&format!("A-{n}")), &png(n), &format!("{n}.png")).unwrap();
    }
    bench
}

fn open(bench: &Bench) -> (Engine, Notes) {
    let notes = Notes::default();
    let engine = bench
        .builder()
        .upstream(bench.upstream.clone(), GuardPolicy::default(), CachePolicy::default())
        .progress(Arc::new(notes.clone()))
        .open()
        .unwrap();
    (engine, notes)
}

fn raw(bench: &Bench) -> rusqlite::Connection {
    rusqlite::Connection::open(bench.home.path().join("catalog.sqlite")).unwrap()
}

/// Changes the bytes of one value.
fn change(bench: &Bench, table: &str, column: &str, row: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let raw = raw(bench);
    let sql = format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE {row}");
    let mut bytes: Vec<u8> = raw.query_row(&sql, [], |row| row.get(0)).unwrap();
    change(&mut bytes);
    let is_text: bool = raw
        .query_row(&format!("SELECT typeof({column}) = 'text' FROM {table} WHERE {row}"), [], |row| {
            row.get(0)
        })
        .unwrap();
    let value = if is_text { "CAST(?1 AS TEXT)" } else { "?1" };
    raw.execute(&format!("UPDATE {table} SET {column} = {value} WHERE {row}"), [bytes]).unwrap();
}

fn copy(seed: u32) -> Vec<u8> {
    encoded(&resize(&picture(seed), 96, 72, FilterType::CatmullRom), ImageFormat::Png)
}

fn local(engine: &Engine, bytes: &[u8]) -> Answer {
    engine.search(&query(bytes).mode(Mode::LocalOnly)).unwrap()
}

/// A search for a new picture, and for copies of photos 1, 2 and 4, answers as if nothing were wrong with photo 3.
fn the_rest_goes_on(engine: &Engine) {
    assert_eq!(local(engine, &png(99)).verdict, Outcome::Miss);
    for n in [1, 2, 4] {
        let answer = local(engine, &copy(n));
        assert_eq!((answer.verdict, answer.offers[0].offer_id.as_str()), (Outcome::Hit, &*format!("A-{n}")));
    }
    assert_eq!(local(engine, &png(3)).rule(), Some(Rule::SameBytes));
    engine.similar(&png(99), 9, &tongkuan::catalog::PhotoFilter::default()).unwrap();
}

fn with_number(vector: &mut [u8], number: f32) {
    vector[8..12].copy_from_slice(&number.to_le_bytes());
}

type Damager = fn(&mut Vec<u8>);

#[test]
fn a_vector_that_cannot_be_read_leaves_its_photo_out_and_is_named_once() {
    let kinds: [(&str, Damager); 8] = [
        ("one bit, plausible", |vector| vector[11] ^= 0x80),
        ("one low bit", |vector| vector[8] ^= 1),
        ("too short", |vector| vector.truncate(40)),
        ("half a number", |vector| vector.truncate(41)),
        ("too long", |vector| vector.extend([0; 4])),
        ("empty", Vec::clear),
        ("not a number", |vector| with_number(vector, f32::NAN)),
        ("infinite", |vector| with_number(vector, f32::INFINITY)),
    ];
    for (kind, damager) in kinds {
        let bench = four_goods();
        change(&bench, "embeddings", "vector", "photo_id = 3", damager);
        let (engine, notes) = open(&bench);
        the_rest_goes_on(&engine);
        the_rest_goes_on(&engine);
        assert_ne!(local(&engine, &copy(3)).verdict, Outcome::Hit, "{kind}");
        let notes = notes.of("photo 3");
        assert!(
            matches!(&notes[..], [note] if note.contains("a repair takes the vector away")),
            "{kind}: {notes:?}"
        );
        assert_eq!(engine.index_len().unwrap(), 3, "{kind}");
        engine.add_own(&offer("A-9"), &png(9), "9.png").unwrap();
        assert_eq!(local(&engine, &copy(9)).verdict, Outcome::Hit, "what comes later is found, too");
    }
}

#[test]
fn vectors_from_before_there_were_sums_are_read_and_damaged_ones_among_them_found() {
    let bench = four_goods();
    raw(&bench).execute("UPDATE embeddings SET crc32 = NULL", []).unwrap();
    the_rest_goes_on(&open(&bench).0);
    let kinds: [Damager; 3] = [|v| v.truncate(40), |v| with_number(v, 2.0), |v| with_number(v, f32::NAN)];
    for damager in kinds {
        let bench = four_goods();
        raw(&bench).execute("UPDATE embeddings SET crc32 = NULL", []).unwrap();
        change(&bench, "embeddings", "vector", "photo_id = 3", damager);
        let (engine, notes) = open(&bench);
        the_rest_goes_on(&engine);
        assert_eq!(notes.of("photo 3").len(), 1);
    }
}

#[test]
fn the_newest_vector_may_be_damaged_and_all_of_them() {
    let bench = four_goods();
    for n in 1..=4 {
        change(&bench, "embeddings", "vector", &format!("photo_id = {n}"), |vector| vector[3] ^= 0x40);
    }
    let (engine, notes) = open(&bench);
    assert_eq!(local(&engine, &png(99)).verdict, Outcome::Miss);
    assert_eq!(local(&engine, &png(4)).verdict, Outcome::Hit);
    assert_eq!(notes.of("the vector of photo").len(), 4);
    assert_eq!(engine.audit().unwrap().photos, 0);
}

#[test]
fn a_saved_index_is_used_when_a_vector_in_the_catalogue_is_damaged() {
    let bench = four_goods();
    bench.engine_with_graph().remake_index().unwrap();
    for n in [3, 4] {
        change(&bench, "embeddings", "vector", &format!("photo_id = {n}"), |vector| vector[3] ^= 0x40);
    }
    let engine = bench.engine_with_graph();
    assert_eq!(local(&engine, &copy(2)).verdict, Outcome::Hit);
    assert_eq!(local(&engine, &copy(4)).verdict, Outcome::Hit, "the index has its vector");
    engine.repair(&engine.damage().unwrap()).unwrap();
    let audit = engine.audit().unwrap();
    assert!(audit.is_sound() && audit.photos == 2, "{audit:?}");
}

#[test]
fn repair_takes_a_damaged_vector_away_and_the_original_brings_it_back() {
    let bench = four_goods();
    change(&bench, "embeddings", "vector", "photo_id = 3", |vector| vector[11] ^= 0x80);
    change(&bench, "sketches", "sketch", "photo_id = 2", |sketch| sketch[9] ^= 1);
    let (engine, _) = open(&bench);
    let damage = engine.damage().unwrap();
    let entries: Vec<Entry> = damage.iter().map(|damage| damage.entry.clone()).collect();
    assert_eq!(entries, [Entry::Vector(PhotoId(3)), Entry::Sketch(PhotoId(2))]);
    engine.repair(&damage).unwrap();
    assert_eq!((engine.damage().unwrap(), engine.lacking().unwrap()), (vec![], (1, 1)));
    the_rest_goes_on(&engine);
    drop(engine);
    mended_by_originals(&bench, (1, 1));
}

#[test]
fn reembed_alone_makes_damaged_vectors_and_sketches_anew_from_their_originals() {
    let bench = four_goods();
    change(&bench, "embeddings", "vector", "photo_id = 3", |vector| vector.truncate(7));
    change(&bench, "embeddings", "vector", "photo_id = 4", |vector| with_number(vector, f32::NAN));
    change(&bench, "sketches", "sketch", "photo_id = 3", |sketch| sketch.truncate(20));
    mended_by_originals(&bench, (2, 1));
}

fn mended_by_originals(bench: &Bench, (embedded, sketched): (u64, u64)) {
    let folder = tempfile::tempdir().unwrap();
    let files = (1..=4).map(|n| {
        let path = folder.path().join(format!("{n}.png"));
        std::fs::write(&path, png(n)).unwrap();
        path
    });
    let originals = Originals { files: files.collect(), fetcher: None, leave_the_rest: false };
    let done = bench.builder().reembed(&originals, &|_| {}).unwrap();
    assert_eq!((done.embedded, done.sketched, done.without_vector, done.done), (embedded, sketched, 0, true));
    let (engine, notes) = open(bench);
    for n in 1..=4 {
        let answer = local(&engine, &copy(n));
        assert_eq!((answer.verdict, answer.confidence().is_some()), (Outcome::Hit, true), "{n}");
    }
    assert_eq!((engine.damage().unwrap(), notes.of("photo")), (vec![], vec![]));
}

#[test]
fn a_damaged_sketch_has_its_photo_judged_by_the_vector_alone() {
    let kinds: [Damager; 4] =
        [Vec::clear, |sketch| sketch.truncate(30), |sketch| sketch[0] = 99, |sketch| sketch[40] ^= 0x10];
    for damager in kinds {
        let bench = four_goods();
        change(&bench, "sketches", "sketch", "photo_id = 3", damager);
        let (engine, notes) = open(&bench);
        the_rest_goes_on(&engine);
        assert_eq!(local(&engine, &copy(3)).confidence(), None);
        local(&engine, &copy(3));
        assert_eq!(notes.of("the sketch of photo 3").len(), 1);
        assert_eq!(engine.damage().unwrap()[0].entry, Entry::Sketch(PhotoId(3)));
    }
}

#[test]
fn a_good_whose_text_is_damaged_keeps_its_id_and_spoils_no_answer_beside_it() {
    let bench = four_goods();
    bench.engine().add_own(&offer("B-3"), &png(3), "3.png").unwrap();
    change(&bench, "offers", "body", "offer_id = 'A-3'", |body| body[0] = b'x');
    let (engine, notes) = open(&bench);
    the_rest_goes_on(&engine);
    let ids = |answer: Answer| answer.offers.iter().map(|o| o.offer_id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(local(&engine, &png(3))), ["A-3", "B-3"]);
    assert_eq!(engine.catalog().answers(PhotoId(3)).unwrap()[0].offers.len(), 2);
    assert_eq!(engine.catalog().find_offers(&Words::parse("offer").unwrap(), 9).unwrap().len(), 5);
    assert_eq!(notes.of("the own good A-3").len(), 1);
    let damage = engine.damage().unwrap();
    assert!(
        matches!(&damage[..], [it] if matches!(&it.entry, Entry::Offer { offer_id, .. } if offer_id == "A-3"))
    );
    engine.repair(&damage).unwrap();
    assert_eq!(
        (engine.damage().unwrap(), ids(local(&engine, &png(3)))),
        (vec![], vec!["A-3".into(), "B-3".into()])
    );
    engine.add_own(&offer("A-3"), &png(3), "3.png").unwrap();
    assert_eq!(engine.catalog().own_good(&OfferId::new("A-3").unwrap()).unwrap().unwrap().title, "offer A-3");
}

#[test]
fn a_damaged_answer_is_another_question_and_stops_none() {
    let bench = four_goods();
    bench.engine().search(&query(&png(50))).unwrap();
    change(&bench, "answers", "params", "profile = 'fake'", |params| params.push(0xFF));
    change(&bench, "photos", "label", "photo_id = 3", |label| label[0] = 0xC3);
    change(&bench, "photos", "format", "photo_id = 5", |format| *format = vec![0xFF; 3]);
    raw(&bench).execute("UPDATE photos SET width_px = -7 WHERE photo_id = 2", []).unwrap();
    raw(&bench).execute("UPDATE answers SET total = -7", []).unwrap();
    raw(&bench).execute("UPDATE answer_offers SET similarity = 99999", []).unwrap();
    let (engine, _) = open(&bench);
    the_rest_goes_on(&engine);
    let answer = local(&engine, &png(50));
    assert_eq!((answer.verdict, answer.offers.len()), (Outcome::Miss, 0));
    assert_eq!(engine.catalog().answers(PhotoId(5)).unwrap()[0].offers.len(), 2);
}

#[test]
fn parameters_that_no_search_has_and_rows_without_an_owner_are_found_by_the_doctor() {
    let bench = Bench::new();
    let (engine, _) = open(&bench);
    let asked = SearchParams::default()
        .price_min("5.50".parse::<Price>().ok())
        .region("0,0,9,9".parse::<Region>().ok())
        .page(2);
    assert!(SearchParams::is_key(&asked.key()) && SearchParams::is_key(&SearchParams::default().key()));
    for seed in [1, 2] {
        engine.search(&query(&png(seed))).unwrap();
    }
    assert_eq!((engine.damage().unwrap(), engine.catalog().problems().unwrap()), (vec![], vec![]));
    change(&bench, "answers", "params", "answer_id = 1", |params| params[0] ^= 1);
    let damage = engine.damage().unwrap();
    assert_eq!(
        damage.iter().map(|damage| damage.entry.clone()).collect::<Vec<_>>(),
        [Entry::Params { answer_id: 1 }]
    );
    engine.repair(&damage).unwrap();
    assert_eq!(engine.damage().unwrap(), []);
    assert_eq!(engine.search(&query(&png(1))).unwrap().upstream_calls, 1, "it is asked anew");
    raw(&bench).execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM answers WHERE photo_id = 2").unwrap();
    let problems = engine.catalog().problems().unwrap();
    assert!(
        problems.iter().any(|problem| problem.contains("rows of answer_offers belong to none of answers")),
        "{problems:?}"
    );
}

#[test]
fn a_damaged_entry_of_the_queue_is_passed_over_and_never_paid_for() {
    let bench = Bench::new();
    bench.upstream.fail_with(tongkuan::upstream::UpstreamErrorKind::Quota);
    let engine = bench.engine();
    for seed in 1..=4 {
        let png = png(seed);
        let answer = engine.search(&query(&png).defer(0)).unwrap();
        assert!(answer.unanswered.unwrap().queued);
    }
    drop(engine);
    bench.upstream.fail_with(None);
    change(&bench, "queue", "params", "queue_id = 1", |params| params[0] = b'x');
    change(&bench, "queue", "bytes", "queue_id = 2", |bytes| bytes[60] ^= 4);
    raw(&bench).execute("UPDATE queue SET priority = 1 << 40 WHERE queue_id = 3", []).unwrap();
    raw(&bench).execute("DELETE FROM breakers", []).unwrap();
    let (engine, notes) = open(&bench);
    let calls = bench.calls();
    let drained = engine.drain(None, &mut |_| {}).unwrap();
    assert_eq!((drained.answered, drained.failed, bench.calls() - calls), (1, 0, 1));
    assert_eq!(notes.of("of the queue").len(), 3);
    let damage = engine.damage().unwrap();
    assert_eq!(damage.len(), 3);
    engine.repair(&damage).unwrap();
    assert_eq!(engine.catalog().queue_counts().unwrap().deferred, 0);
}

#[test]
fn single_values_that_cannot_be_read_stop_nothing() {
    let changes: [(&str, Damager); 8] = [
        ("model", |text| text[20] ^= 1),
        ("model", |text| text[0] ^= 1),
        ("model", |text| text[3] = 0xFF),
        ("model", |text| *text = b"nonsense".to_vec()),
        ("model", Vec::clear),
        ("generation", |text| *text = b"nonsense".to_vec()),
        ("generation", |text| *text = vec![0xFF; 4]),
        ("generation", |text| *text = b"99999999999999999999".to_vec()),
    ];
    for (key, damager) in changes {
        let bench = four_goods();
        change(&bench, "meta", "value", &format!("key = '{key}'"), damager);
        let (engine, notes) = open(&bench);
        the_rest_goes_on(&engine);
        assert_eq!(notes.of("the name of the model").len(), usize::from(key == "model"), "{key}");
        // Storing mends the count, which others go by.
        let before = engine.catalog().generation().unwrap();
        engine.search(&query(&png(60))).unwrap();
        assert_ne!(engine.catalog().generation().unwrap(), before);
        drop(engine);
        let (engine, notes) = open(&bench);
        the_rest_goes_on(&engine);
        assert_eq!(notes.of("the name of the model"), [""; 0]);
    }
    let bench = four_goods();
    let meta = raw(&bench);
    meta.execute("DELETE FROM meta WHERE key = 'generation'", []).unwrap();
    meta.execute("INSERT INTO meta VALUES ('calibration', 'nonsense'), ('calibrations', 'x')", []).unwrap();
    let (engine, notes) = open(&bench);
    the_rest_goes_on(&engine);
    assert_eq!(notes.of("calibration").len(), 1);
    let damage = engine.damage().unwrap();
    assert_eq!(damage.iter().map(|it| &it.entry).collect::<Vec<_>>(), [&Entry::Calibration]);
    engine.repair(&damage).unwrap();
    assert_eq!(engine.damage().unwrap(), []);
}

#[test]
fn a_model_of_another_dimension_is_not_taken_for_the_one_whose_name_is_lost() {
    let bench = four_goods();
    change(&bench, "meta", "value", "key = 'model'", |text| *text = b"nonsense".to_vec());
    raw(&bench).execute("UPDATE embeddings SET vector = x'0000803f', crc32 = NULL", []).unwrap();
    let refused = bench.builder().open().unwrap_err().to_string();
    assert!(
        refused.contains("meta.model") && refused.contains("embed the pictures anew from the originals"),
        "{refused}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_bits_of_one_row_flip_searches_of_other_pictures_answer(
        flips in prop::collection::vec((0..5_usize, any::<prop::sample::Index>(), 0..8_u32), 1..4),
        has_sums in any::<bool>(),
    ) {
        let bench = four_goods();
        if !has_sums {
            raw(&bench).execute_batch("UPDATE embeddings SET crc32 = NULL; UPDATE sketches SET crc32 = NULL").unwrap();
        }
        for (column, at, bit) in flips {
            let (table, column, row) = [
                ("embeddings", "vector", "photo_id = 3"),
                ("sketches", "sketch", "photo_id = 3"),
                ("offers", "body", "offer_id = 'A-3'"),
                ("photos", "label", "photo_id = 3"),
                ("answers", "params", "photo_id = 3"),
            ][column];
            change(&bench, table, column, row, |bytes| {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            });
        }
        let (engine, _) = open(&bench);
        the_rest_goes_on(&engine);
        engine.repair(&engine.damage().unwrap()).unwrap();
        prop_assert_eq!(engine.damage().unwrap(), []);
        the_rest_goes_on(&engine);
    }
}
