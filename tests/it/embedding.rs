//! The real model on the real ONNX Runtime, against the Python reference in tests/data/embedding.
//!
//! ONNX Runtime is fetched once with pip when there is none on the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{ImageFormat, RgbImage, imageops};
use serde::Deserialize;
use tongkuan::embed::runtime::{self, Runtime, RuntimeError};
use tongkuan::embed::{Embedder, Embedding, Model, ModelError, OnnxEmbedder};
use tongkuan::photo::{Digest, Photo, PhotoLimits};
use tongkuan::tensor::{Preprocessor, TensorSpec};

use crate::fakes::encoded;

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
        // Among bytes one sum that is rounded the other way moves all that come after it.
        assert!(cosine >= 0.99, "{}: {cosine}", expected.file);
    }
}

#[test]
fn each_picture_of_a_collage_is_nearest_to_a_part_of_it() {
    const TILE_PX: u32 = 280;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/embedding");
    let embedder = real_embedder();
    let decode = |bytes: &[u8]| Photo::decode(bytes, &PhotoLimits::default()).unwrap();
    let mut preprocessor = Preprocessor::new(embedder.input().clone());
    let mut collage = RgbImage::new(2 * TILE_PX, 2 * TILE_PX);
    let mut wholes = Vec::new();
    for (place, file) in (0_i64..).zip(["square.jpg", "turned.jpg", "lossy.webp", "deep.png"]) {
        let photo = decode(&std::fs::read(folder.join(file)).unwrap());
        wholes.push(embedder.embed(&preprocessor.tensor(&photo).unwrap()).unwrap());
        let picture = RgbImage::from_raw(photo.width_px(), photo.height_px(), photo.rgb().to_vec()).unwrap();
        let tile = imageops::resize(&picture, TILE_PX, TILE_PX, imageops::FilterType::Triangle);
        let (x, y) = (place % 2 * i64::from(TILE_PX), place / 2 * i64::from(TILE_PX));
        imageops::replace(&mut collage, &tile, x, y);
    }
    let photo = decode(&encoded(&collage, ImageFormat::Png));
    let whole = embedder.embed(&preprocessor.tensor(&photo).unwrap()).unwrap();
    let look = embedder.look(&preprocessor.tensor(&photo).unwrap()).unwrap();
    assert!(look.may_be_composite);
    assert!(look.embedding.cosine(&whole) > 0.999_99, "the same whichever windows are asked for beside it");
    let single = decode(&std::fs::read(folder.join("grey.png")).unwrap());
    assert!(!embedder.look(&preprocessor.tensor(&single).unwrap()).unwrap().may_be_composite);
    let mut preprocessor = Preprocessor::new(embedder.parts_input().unwrap());
    let parts = embedder.embed_parts(&preprocessor.tensor(&photo).unwrap()).unwrap();
    assert_eq!(parts.len(), 16);
    // The corners of the four by four parts are the tiles.
    for (tile, part) in [0, 3, 12, 15].into_iter().enumerate() {
        let cosines: Vec<f32> = wholes.iter().map(|whole| whole.cosine(&parts[part])).collect();
        let nearest = (0..4).max_by(|a, b| cosines[*a].total_cmp(&cosines[*b])).unwrap();
        assert_eq!(nearest, tile, "{cosines:?}");
        assert!(cosines[tile] > whole.cosine(&wholes[tile]), "{cosines:?}");
    }
    // A tensor of the wrong size is an error, not a wrong answer.
    assert!(embedder.embed_parts(&Preprocessor::new(odd(&embedder)).tensor(&photo).unwrap()).is_err());
}

fn odd(embedder: &OnnxEmbedder) -> TensorSpec {
    TensorSpec { width_px: 250, ..embedder.input().clone() }
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
    manifest["windows"].as_object_mut().unwrap().remove("composites");
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
