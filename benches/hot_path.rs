//! Every stage of a search, and the two kinds of hit, on the real model and a rendered picture.
//!
//! `TONGKUAN_BENCH_MAX` caps the number of stored pictures (default 100000).
//! Recall is printed beside the index's latency: the share of near copies whose original comes first.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[path = "clusters/mod.rs"]
mod clusters;

use clusters::{DIMENSION, near_copy, noise, vector};
use criterion::{Criterion, criterion_group, criterion_main};
use tongkuan::calibration::OperatingPoint;
use tongkuan::embed::runtime::{self, Runtime};
use tongkuan::embed::{Embedder, Embedding, Model, OnnxEmbedder};
use tongkuan::engine::{Engine, Mode, Outcome, Query, RuntimeChoice};
use tongkuan::index::{Index, IndexOptions};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::photo::{Digest, Photo, PhotoLimits};
use tongkuan::photo_id::PhotoId;
use tongkuan::sandbox::{Catalogue, View};
use tongkuan::tensor::Preprocessor;
use tongkuan::verdict::{Finding, Policy};

const SEED: u64 = 1688;

fn runtime_folder() -> PathBuf {
    runtime::shared_folder().expect("a data folder")
}

fn pictures(count: u64) -> Vec<(PhotoId, Embedding)> {
    (0..count).map(|i| (PhotoId(i64::try_from(i).expect("small") + 1), vector(i))).collect()
}

fn index_of(pictures: &[(PhotoId, Embedding)]) -> Index {
    // With a graph at every size, so that the bench can tell where one pays.
    let options = IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0"));
    let index = Index::new(IndexOptions { exact_max: 4096, ..options });
    index.insert_many(pictures.iter().map(|(id, e)| (*id, e))).expect("new pictures");
    index.catch_up();
    index
}

/// How many pictures are stored, from bench to bench.
fn counts() -> impl Iterator<Item = u64> {
    let cap = std::env::var("TONGKUAN_BENCH_MAX").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000u64);
    [10_000u64, 100_000].into_iter().filter(move |count| *count <= cap)
}

/// Not timed: how many of 20,000 pictures find themselves, and how many the graph alone would have lost.
fn self_retrieval(_: &mut Criterion) {
    let pictures = pictures(20_000);
    let index = index_of(&pictures);
    let sure = Policy::new(
        Model::built_in().expect("the built-in model").manifest().thresholds,
        OperatingPoint::UNCALIBRATED,
    );
    let own = |found: Option<PhotoId>, id: &PhotoId| found == Some(*id);
    let found = pictures.iter().filter(|(id, e)| {
        own(index.search(e, 1, sure.hit_threshold()).expect("a search").best().map(|b| b.photo_id), id)
    });
    let found = found.count();
    let graph = pictures
        .iter()
        .filter(|(id, e)| {
            own(index.search_graph_alone(e, 1).expect("a search").best().map(|b| b.photo_id), id)
        })
        .count();
    println!("self-retrieval at 20000: index {found}, graph alone {graph}");
}

fn stages(c: &mut Criterion) {
    let goods = Catalogue::new(SEED);
    let bytes = goods.jpeg(&goods.goods()[0], View::Main);
    let limits = PhotoLimits::default();
    let photo = Photo::decode(&bytes, &limits).expect("a rendered picture");
    let model = Arc::new(Model::built_in().expect("the built-in model"));
    let location =
        runtime::ensure(&runtime_folder(), true, &|text| eprintln!("{text}")).expect("ONNX Runtime");
    let runtime = Runtime::load(&location).expect("ONNX Runtime");
    let embedder = OnnxEmbedder::new(model, runtime, 1).expect("the built-in model");
    let mut preprocessor = Preprocessor::new(embedder.input().clone());
    let tensor = preprocessor.tensor(&photo).expect("a tensor");

    c.bench_function("decode 800x800 JPEG", |b| b.iter(|| Photo::decode(black_box(&bytes), &limits)));
    c.bench_function("tensor", |b| b.iter(|| preprocessor.tensor(black_box(&photo))));
    c.bench_function("embed, one thread", |b| b.iter(|| embedder.embed(black_box(&tensor))));
}

fn index(c: &mut Criterion) {
    let model = Model::built_in().expect("the built-in model");
    let policy = Policy::new(model.manifest().thresholds, OperatingPoint::UNCALIBRATED);
    for count in counts() {
        let pictures = pictures(count);
        let start = std::time::Instant::now();
        let index = index_of(&pictures);
        println!("index of {count}: built in {:.1} s", start.elapsed().as_secs_f64());
        let queries: Vec<(u64, Embedding)> =
            (0..500).map(|q| q * (count / 500)).map(|i| (i, near_copy(i))).collect();
        let first = |i: &u64, e: &Embedding| {
            let found = index.search(e, 20, policy.hit_threshold()).expect("a search");
            found.best().is_some_and(|best| best.photo_id == pictures[usize::try_from(*i).expect("small")].0)
        };
        let found = queries.iter().filter(|(i, e)| first(i, e)).count();
        println!("index of {count}: recall@1 of near copies {found}/{}", queries.len());
        let far = Embedding::new(noise(77).take(DIMENSION).collect()).expect("a vector");
        let mut turn = queries.iter().cycle();
        c.bench_function(&format!("index hit at {count}"), |b| {
            b.iter(|| index.search(&turn.next().expect("endless").1, 20, policy.hit_threshold()))
        });
        c.bench_function(&format!("index miss at {count} (exact)"), |b| {
            b.iter(|| index.search(black_box(&far), 20, policy.hit_threshold()))
        });
        let candidates = index.search(&far, 20, policy.hit_threshold()).expect("a search");
        let findings: Vec<Finding> = candidates.iter().map(|candidate| Finding::from(*candidate)).collect();
        c.bench_function(&format!("verdict at {count}"), |b| {
            b.iter(|| policy.judge(black_box(&findings), &|_, _| None))
        });
    }
}

/// A home folder with `count` stored pictures: the first 100 goods of the sandbox, then made-up vectors.
fn home_of(count: u64) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let engine = engine_on(home.path());
    let goods = Catalogue::new(SEED);
    for good in goods.goods().iter().take(100) {
        let offer_id = OfferId::new(good.offer_id.to_string()).expect("digits");
        let own = Offer { price: Some(good.price), ..Offer::new(offer_id, good.title.as_str()) };
        engine.add_own(&own, &goods.jpeg(good, View::Main), &good.title).expect("a good");
    }
    // Past the engine, in one transaction: a made-up vector has no picture that could be added.
    let mut catalog =
        rusqlite::Connection::open(engine.folder().join("catalog.sqlite")).expect("the catalogue");
    let transaction = catalog.transaction().expect("a transaction");
    for i in 100..count {
        let digest = Digest::of(&i.to_le_bytes());
        transaction
            .prepare_cached(
                "INSERT INTO photos (kind, label, pixel_digest, width_px, height_px, format, added_at_ms)
                 VALUES ('query', 'made up', ?1, 800, 800, 'jpeg', 0)",
            )
            .and_then(|mut insert| insert.execute([digest.as_bytes()]))
            .expect("a photo");
        let photo_id = transaction.last_insert_rowid();
        let embedding = vector(i);
        let vector: Vec<u8> = embedding.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
        transaction
            .prepare_cached("INSERT INTO photo_bytes (byte_digest, photo_id) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute((digest.as_bytes(), photo_id)))
            .expect("its digest");
        transaction
            .prepare_cached("INSERT INTO embeddings (photo_id, vector) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute((photo_id, vector)))
            .expect("its embedding");
    }
    transaction.commit().expect("the photos");
    home
}

fn engine_on(home: &Path) -> Engine {
    let choice = RuntimeChoice::new(runtime_folder()).may_fetch(true);
    Engine::builder(home).runtime(choice).open().expect("a home")
}

fn whole_hits(c: &mut Criterion) {
    let goods = Catalogue::new(SEED);
    let original = goods.jpeg(&goods.goods()[0], View::Main);
    let picture = image::load_from_memory(&original).expect("a picture").to_rgb8();
    let mut copy = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut copy, 70).encode_image(&picture).expect("a JPEG");
    for count in counts() {
        let home = home_of(count);
        let engine = engine_on(home.path());
        engine.settle_index().expect("a linked index");
        for (name, bytes) in [("bytes", &original), ("embedding", &copy)] {
            let query = Query::new(bytes, "bench").mode(Mode::LocalOnly);
            let answer = engine.search(&query).expect("a search");
            assert_eq!(answer.verdict, Outcome::Hit, "the bench measures a hit");
            println!("whole hit by {name} at {count}: {:?} {:?}", answer.rule(), answer.timings_ms);
            c.bench_function(&format!("whole hit by {name} at {count}"), |b| {
                b.iter(|| engine.search(black_box(&query)))
            });
        }
        drop(engine);
        let start = std::time::Instant::now();
        engine_on(home.path()).warm_up().expect("an index");
        println!("opening a home of {count}, index and model: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = stages, self_retrieval, index, whole_hits
}
criterion_main!(benches);
