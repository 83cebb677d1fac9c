//! Every stage of a search, and the two kinds of hit, on the real model and a rendered picture.
//!
//! `TONGKUAN_BENCH_MAX` caps the number of stored pictures (default 100000; linking that many takes minutes).
//! Recall is printed beside the index's latency: the share of near copies whose original comes first.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tongkuan::embed::runtime::{self, Runtime};
use tongkuan::embed::{Embedder, Embedding, Model, OnnxEmbedder};
use tongkuan::engine::{Engine, Mode, Query, RuntimeChoice};
use tongkuan::index::{Index, IndexOptions};
use tongkuan::offer::{Offer, OfferId, Supplier};
use tongkuan::photo::{Photo, PhotoLimits};
use tongkuan::photo_id::PhotoId;
use tongkuan::sandbox::{Catalogue, View};
use tongkuan::tensor::Preprocessor;
use tongkuan::upstream::SearchParams;
use tongkuan::verdict::Policy;

const DIMENSION: usize = 256;
const SEED: u64 = 1688;

fn runtime_folder() -> PathBuf {
    runtime::shared_folder().expect("a data folder")
}

/// Repeatable noise in -1..1 (SplitMix64).
fn noise(seed: u64) -> impl Iterator<Item = f32> {
    (1u64..).map(move |i| {
        let mut z = (seed ^ SEED)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f32::from(u16::try_from((z >> 48) & 0xFFFF).expect("16 bits")) / 32768.0 - 1.0
    })
}

/// Vectors in clusters of 20, as colour variants and look-alikes are.
fn vector(i: u64) -> Vec<f32> {
    noise(i / 20).zip(noise(i + 10_000_000)).take(DIMENSION).map(|(centre, own)| centre + 0.6 * own).collect()
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
    let cap = std::env::var("TONGKUAN_BENCH_MAX").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000u64);
    let model = Model::built_in().expect("the built-in model");
    let policy = Policy::new(model.manifest().thresholds);
    for count in [10_000u64, 100_000].into_iter().filter(|count| *count <= cap) {
        let pictures: Vec<(PhotoId, Embedding)> = (0..count)
            .map(|i| {
                (PhotoId(i64::try_from(i).expect("small") + 1), Embedding::new(vector(i)).expect("a vector"))
            })
            .collect();
        let index = Index::new(IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0")));
        index.insert_many(pictures.iter().map(|(id, e)| (*id, e))).expect("new pictures");
        index.catch_up();
        let near = |i: u64| {
            let values = vector(i).into_iter().zip(noise(i + 20_000_000)).map(|(v, n)| v + 0.1 * n);
            Embedding::new(values.collect()).expect("a vector")
        };
        let queries: Vec<(u64, Embedding)> =
            (0..500).map(|q| q * (count / 500)).map(|i| (i, near(i))).collect();
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
        c.bench_function(&format!("verdict at {count}"), |b| b.iter(|| policy.judge(black_box(&candidates))));
    }
}

fn whole_hits(c: &mut Criterion) {
    let home = tempfile::tempdir().expect("a folder");
    let choice = RuntimeChoice { folder: runtime_folder(), may_fetch: true, intra_threads: 1 };
    let engine = Engine::builder(home.path()).runtime(choice).open().expect("a home");
    let goods = Catalogue::new(SEED);
    for good in goods.goods().iter().take(100) {
        let own = Offer {
            offer_id: OfferId::new(good.offer_id.to_string()).expect("digits"),
            title: good.title.clone(),
            price: Some(good.price),
            min_order_quantity: None,
            similarity: None,
            image_url: None,
            detail_url: None,
            supplier: Supplier::default(),
        };
        engine.add_own(&own, &goods.jpeg(good, View::Main), &good.title).expect("a good");
    }
    let original = goods.jpeg(&goods.goods()[0], View::Main);
    let picture = image::load_from_memory(&original).expect("a picture").to_rgb8();
    let mut copy = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut copy, 70).encode_image(&picture).expect("a JPEG");
    for (name, bytes) in [("whole hit by bytes", &original), ("whole hit by embedding", &copy)] {
        let query = Query { bytes, label: "bench", params: SearchParams::default(), mode: Mode::LocalOnly };
        let answer = engine.search(&query).expect("a search");
        println!("{name}: {:?} by {:?}", answer.verdict, answer.rule);
        c.bench_function(name, |b| b.iter(|| engine.search(black_box(&query))));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = stages, index, whole_hits
}
criterion_main!(benches);
