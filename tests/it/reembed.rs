//! A home goes over to another model, or gets the sketches it lacks.

use std::path::PathBuf;
use std::sync::Arc;

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use tongkuan::cancel::{Cancel, Interrupt, Interrupted};
use tongkuan::catalog::CatalogError;
use tongkuan::engine::{Engine, EngineBuilder, EngineError, Mode, Originals, Outcome, Reembedded};
use tongkuan::verdict::Rule;

use crate::fakes::{Bench, FakeEmbedder, encoded, offer, picture, png, query};

/// The same home with another model.
fn other_model(bench: &Bench) -> EngineBuilder {
    let mut embedder = FakeEmbedder::new();
    embedder.fingerprint.digest = "other".into();
    Engine::builder(bench.home.path()).embedder(Arc::new(embedder)).clock(bench.clock.clone())
}

fn originals(files: Vec<PathBuf>, leave_the_rest: bool) -> Originals<'static> {
    Originals { files, fetcher: None, leave_the_rest }
}

fn reembed(bench: &Bench, files: Vec<PathBuf>, leave_the_rest: bool) -> Reembedded {
    other_model(bench).reembed(&originals(files, leave_the_rest), &|_| {}).unwrap()
}

/// The pictures of these seeds as files.
fn files(folder: &tempfile::TempDir, seeds: std::ops::Range<u32>) -> Vec<PathBuf> {
    let file = |seed: u32| {
        let path = folder.path().join(format!("{seed}.png"));
        std::fs::write(&path, png(seed)).unwrap();
        path
    };
    seeds.map(file).collect()
}

fn store(engine: &Engine, seeds: std::ops::Range<u32>) {
    for seed in seeds {
        engine.add_own(&offer(&format!("A-{seed}")), &png(seed), "a.png").unwrap();
    }
}

fn local(engine: &Engine, bytes: &[u8]) -> Result<tongkuan::engine::Answer, EngineError> {
    engine.search(&query(bytes).mode(Mode::LocalOnly))
}

fn copy(seed: u32) -> Vec<u8> {
    encoded(&resize(&picture(seed), 96, 72, FilterType::CatmullRom), ImageFormat::Png)
}

#[test]
fn a_home_of_another_model_is_refused_with_the_remedy_and_the_remedy_works() {
    let bench = Bench::new();
    store(&bench.engine(), 0..4);
    let refused = other_model(&bench).open().unwrap_err();
    assert!(refused.to_string().contains("embed the pictures anew"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let done = reembed(&bench, files(&folder, 0..4), false);
    assert_eq!((done.embedded, done.failed, done.without_vector, done.done), (4, 0, 0, true));
    let engine = other_model(&bench).open().unwrap();
    assert_eq!(engine.audit().unwrap().photos, 4);
    assert_eq!(local(&engine, &copy(2)).unwrap().offers[0].offer_id.as_str(), "A-2");
    let refused = bench.builder().open().unwrap_err();
    assert!(matches!(refused, EngineError::Catalog(CatalogError::OtherModel { .. })), "{refused}");
}

#[test]
fn searches_with_the_old_model_go_on_until_the_new_vectors_are_complete_and_are_then_refused() {
    let bench = Bench::new();
    let old = bench.engine();
    store(&old, 0..3);
    let folder = tempfile::tempdir().unwrap();
    let half = reembed(&bench, files(&folder, 0..2), false);
    assert_eq!((half.embedded, half.without_vector, half.done), (2, 1, false));
    assert_eq!(local(&old, &copy(1)).unwrap().verdict, Outcome::Hit);
    store(&old, 3..4);
    // Taken up again, what is done is not done again.
    let rest = reembed(&bench, files(&folder, 0..4), false);
    assert_eq!((rest.embedded, rest.done), (2, true));
    let refused = local(&old, &copy(1)).unwrap_err();
    assert!(matches!(refused, EngineError::Catalog(CatalogError::ModelChanged)), "{refused}");
    let refused = old.add_own(&offer("A-9"), &png(9), "a.png").unwrap_err();
    assert!(matches!(refused, EngineError::Catalog(CatalogError::ModelChanged)), "{refused}");
    assert_eq!(local(&old, &png(1)).unwrap().rule(), Some(Rule::SameBytes), "bytes have no model");
}

#[test]
fn a_cancelled_run_leaves_the_home_to_its_model_and_the_next_one_goes_on() {
    let bench = Bench::new();
    store(&bench.engine(), 0..4);
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder, 0..4);
    let token = Cancel::new();
    let unwanted = Interrupt::never().cancel(token.clone());
    // Even where the rest may be left: it was not tried.
    let originals = originals(files.clone(), true);
    let run = || other_model(&bench).reembed_unless(&unwanted, &originals, &|_| token.cancel()).unwrap();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let first = one_thread.install(run);
    assert_eq!(first.interrupted, Some(Interrupted::Cancelled));
    assert_eq!((first.embedded, first.without_vector, first.done), (1, 3, false));
    assert_eq!(local(&bench.engine(), &copy(3)).unwrap().verdict, Outcome::Hit);
    let rest = reembed(&bench, files, false);
    assert_eq!((rest.embedded, rest.interrupted, rest.done), (3, None, true));
}

#[test]
fn what_cannot_be_had_again_stays_known_by_its_bytes_and_is_counted() {
    let bench = Bench::new();
    store(&bench.engine(), 0..3);
    let folder = tempfile::tempdir().unwrap();
    let done = reembed(&bench, files(&folder, 0..1), true);
    assert_eq!((done.embedded, done.without_vector, done.done), (1, 2, true));
    let engine = other_model(&bench).open().unwrap();
    assert_eq!(local(&engine, &png(2)).unwrap().rule(), Some(Rule::SameBytes));
    assert_ne!(local(&engine, &copy(2)).unwrap().verdict, Outcome::Hit);
    drop(engine);
    // Found later, it is recognised again.
    let later = reembed(&bench, files(&folder, 2..3), false);
    assert_eq!((later.embedded, later.without_vector, later.done), (1, 1, true));
    let engine = other_model(&bench).open().unwrap();
    assert_eq!(local(&engine, &copy(2)).unwrap().verdict, Outcome::Hit);
}

#[test]
fn a_photo_without_a_sketch_gets_one_and_no_vector_is_made_again() {
    let bench = Bench::new();
    store(&bench.engine(), 0..2);
    let raw = rusqlite::Connection::open(bench.home.path().join("catalog.sqlite")).unwrap();
    raw.execute("DELETE FROM sketches WHERE photo_id = 1", []).unwrap();
    drop(raw);
    let folder = tempfile::tempdir().unwrap();
    let inferences = bench.inferences();
    let done = bench.builder().reembed(&originals(files(&folder, 0..2), false), &|_| {}).unwrap();
    assert_eq!((done.embedded, done.sketched, done.without_sketch, done.done), (0, 1, 0, true));
    assert_eq!(bench.inferences(), inferences);
    assert!(local(&bench.engine(), &copy(0)).unwrap().confidence().is_some());
}

#[test]
fn pictures_that_are_not_stored_or_cannot_be_read_do_no_harm() {
    let bench = Bench::new();
    store(&bench.engine(), 0..1);
    let folder = tempfile::tempdir().unwrap();
    let mut all = files(&folder, 0..3);
    let bad = folder.path().join("bad.png");
    std::fs::write(&bad, b"no picture").unwrap();
    all.push(bad);
    let done = reembed(&bench, all, false);
    assert_eq!((done.embedded, done.failed, done.done), (1, 1, true));
    assert_eq!(other_model(&bench).open().unwrap().catalog().photo_count().unwrap(), 1);
}
