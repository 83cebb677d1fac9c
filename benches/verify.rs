//! What a verdict costs: the probe of a decoded picture, and the comparison with 1 and with 20 stored ones.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};
use tongkuan::sandbox::{Catalogue, View};
use tongkuan::verify::{Probe, Sketch, SketchedCandidate, measure};

const SEED: u64 = 1688;

fn sketch(picture: &RgbImage) -> Sketch {
    Sketch::of(picture).expect("a picture")
}

fn verify(c: &mut Criterion) {
    let goods = Catalogue::new(SEED);
    let picture = goods.picture(&goods.goods()[0], View::Main);
    c.bench_function("probe of 800x800", |b| b.iter(|| Probe::of(black_box(&picture))));

    // A crop, smaller: what has to be found again. Beside it, the pictures of other goods.
    let cut = crop_imm(&picture, 90, 60, 620, 620).to_image();
    let probe = Probe::of(&resize(&cut, 500, 500, FilterType::Triangle)).expect("a picture");
    let others = goods.goods().iter().skip(1).take(19).map(|good| sketch(&goods.picture(good, View::Main)));
    let sketches: Vec<Sketch> = std::iter::once(sketch(&picture)).chain(others).collect();
    let near: Vec<SketchedCandidate<'_>> =
        sketches.iter().map(|sketch| SketchedCandidate { sketch, cosine: 0.8 }).collect();
    let confidence = measure(&probe, &near)[0].map(|evidence| evidence.confidence());
    println!(
        "the right one of 20: confidence {confidence:?}, {} bytes a sketch",
        sketches[0].to_bytes().len()
    );
    c.bench_function("compare with 1", |b| b.iter(|| measure(black_box(&probe), &near[..1])));
    c.bench_function("compare with 20", |b| b.iter(|| measure(black_box(&probe), &near)));
    c.bench_function("compare with 20 others", |b| b.iter(|| measure(black_box(&probe), &near[1..])));
    let bytes = sketches[0].to_bytes();
    c.bench_function("sketch from bytes", |b| b.iter(|| Sketch::from_bytes(black_box(&bytes))));
}

criterion_group!(benches, verify);
criterion_main!(benches);
