//! The real model on the real ONNX Runtime, against the Python reference in tests/data/embedding.
//!
//! ONNX Runtime is fetched once with pip when there is none on the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tongkuan::embed::runtime::{self, Runtime, RuntimeError};
use tongkuan::embed::{Embedder, Embedding, Model, ModelError, OnnxEmbedder};
use tongkuan::photo::{Digest, Photo, PhotoLimits};
use tongkuan::tensor::Preprocessor;

/// Where the command line keeps it too, so that a machine fetches it once.
pub(crate) fn runtime_folder() -> PathBuf {
    runtime::shared_folder().expect("a data folder")
}

pub(crate) fn real_embedder() -> OnnxEmbedder {
    let location = runtime::ensure(&runtime_folder(), true, &|text| eprintln!("{text}")).unwrap();
    OnnxEmbedder::new(Arc::new(Model::built_in().unwrap()), Runtime::load(&location).unwrap(), 1).unwrap()
}

#[derive(Deserialize)]
struct Golden {
    model_sha256: String,
    pictures: Vec<GoldenPicture>,
}

#[derive(Deserialize)]
struct GoldenPicture {
    file: String,
    width_px: u32,
    height_px: u32,
    embedding: Vec<f32>,
}

#[test]
fn embeddings_agree_with_the_python_reference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/embedding");
    let golden: Golden = serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
    assert_eq!(golden.model_sha256, Model::built_in().unwrap().manifest().sha256);
    assert!(golden.pictures.len() >= 5);
    let embedder = real_embedder();
    let mut preprocessor = Preprocessor::new(embedder.input().clone());
    for expected in golden.pictures {
        let bytes = std::fs::read(folder.join(&expected.file)).unwrap();
        let photo = Photo::decode(&bytes, &PhotoLimits::default()).unwrap();
        assert_eq!((photo.width_px(), photo.height_px()), (expected.width_px, expected.height_px));
        let embedding = embedder.embed(&preprocessor.tensor(&photo).unwrap()).unwrap();
        let cosine = embedding.cosine(&Embedding::new(expected.embedding).unwrap());
        assert!(cosine >= 0.999, "{}: {cosine}", expected.file);
    }
}

#[test]
fn without_a_library_and_without_leave_to_fetch_the_error_names_the_remedy() {
    let empty = tempfile::tempdir().unwrap();
    match runtime::ensure(empty.path(), false, &|_| {}) {
        Err(RuntimeError::NotFound { folder }) => assert_eq!(folder, empty.path()),
        // A machine may have one installed; then that one is used.
        Ok(location) => assert!(location.path.is_file()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_half_download_is_never_used() {
    let whole = runtime::ensure(&runtime_folder(), true, &|text| eprintln!("{text}")).unwrap();
    if whole.origin != runtime::RuntimeOrigin::DataDirectory {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let below = whole.path.strip_prefix(runtime_folder()).unwrap();
    let half = folder.path().join(below);
    std::fs::create_dir_all(half.parent().unwrap()).unwrap();
    std::fs::write(&half, &std::fs::read(&whole.path).unwrap()[..1_000_000]).unwrap();
    let found = runtime::locate(folder.path());
    assert!(!matches!(&found, Ok(location) if location.path == half), "{found:?}");
}

#[test]
fn a_model_file_that_is_not_the_one_its_manifest_names_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = serde_json::to_value(Model::built_in().unwrap().manifest()).unwrap();
    std::fs::write(folder.path().join("model.onnx"), b"something else").unwrap();
    let path = folder.path().join("manifest.json");
    std::fs::write(&path, manifest.to_string()).unwrap();
    let error = Model::read(&path).unwrap_err();
    assert!(matches!(&error, ModelError::Digest { .. }), "{error}");
    // Vouched for, but not an ONNX file: the runtime's refusal is an error too.
    manifest["sha256"] = Digest::of(b"something else").to_string().into();
    std::fs::write(&path, manifest.to_string()).unwrap();
    let model = Arc::new(Model::read(&path).unwrap());
    let location = runtime::ensure(&runtime_folder(), true, &|text| eprintln!("{text}")).unwrap();
    assert!(OnnxEmbedder::new(model, Runtime::load(&location).unwrap(), 1).is_err());
}
