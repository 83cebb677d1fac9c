//! The model's manifest: everything the code has to know about an ONNX file, in a JSON file beside it.
//!
//! To bring another model, put its ONNX file and a manifest somewhere and name the manifest with `--model`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::composites::CompositeDetector;
use crate::photo::Digest;
use crate::tensor::{PREPROCESSING_VERSION, TensorSpec};
use crate::vector::{Fingerprint, Thresholds};

/// The newest manifest format this code reads.
pub const MANIFEST_FORMAT: u32 = 3;

/// The largest ONNX file that is read, in bytes.
const MAX_MODEL_BYTES: u64 = 1 << 30;

/// The default model travels inside the binary: there is nothing to find, and nothing to lose.
const DEFAULT_MANIFEST: &str = include_str!("../../models/efficientnet-lite0-gem/manifest.json");
const DEFAULT_ONNX: &[u8] = include_bytes!("../../models/efficientnet-lite0-gem/model.onnx");
const DEFAULT_COMPOSITES: &[u8] =
    include_bytes!("../../models/efficientnet-lite0-gem/composites.safetensors");

/// What `manifest.json` beside an ONNX file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1 to [`MANIFEST_FORMAT`]; from 2 on there may be `windows`, from 3 on `composites` in it.
    pub format: u32,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The ONNX file, relative to the manifest.
    pub file: PathBuf,
    /// Lower-case hex SHA-256 of the ONNX file.
    pub sha256: String,
    /// What the ONNX graph takes.
    pub input: TensorSpec,
    /// What it gives.
    pub output: OutputSpec,
    /// Left out by a model that can only embed whole pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowSpec>,
    /// Of the weights.
    pub licence: String,
    /// Cosines for pictures without a sketch.
    pub thresholds: Thresholds,
}

/// What the ONNX graph gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The output's name in the ONNX graph; its shape is `[N, dimension]` for N pictures, or `[N, windows, dimension]` for
    /// a model with [`WindowSpec`].
    pub name: String,
    /// Numbers a vector.
    pub dimension: usize,
}

/// How a model is told which parts of the input to embed: its second input, `f32`, `[windows, cells]`, has for each
/// window a row of the share that each cell has in it. Cells are squares of the input, row by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// The second input's name in the ONNX graph.
    pub input: String,
    /// Side of a cell; the input's sides are multiples of it.
    pub cell_px: u32,
    /// Side of the (larger, square) input when parts of a picture are looked at.
    pub second_look_px: u32,
    /// What tells pictures that need no second look. Left out by a model for which nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composites: Option<CompositesSpec>,
}

/// The file that tells from the first look whether a picture may hold other pictures: safetensors of `f32` with four fully
/// connected layers, each `NAME.weight`, `[outputs, inputs]`, and `NAME.bias`, `[outputs]`. `whole` takes the embedding of the
/// whole input, `part` that of each of its sixteen halves; `hidden` takes what is positive of their outputs, in that order, and
/// the cosines of all pairs of the seventeen (the first with the second, third ..., the second with the third ...); `out` takes
/// what is positive of that and has one output. Where that is negative there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompositesSpec {
    /// Relative to the manifest.
    pub file: PathBuf,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
}

impl WindowSpec {
    /// How many cells a side of so many pixels falls into, at least two; `None` if they would not be whole, or fewer.
    pub(super) fn cells(&self, side_px: usize) -> Option<usize> {
        let cells = side_px.checked_div(self.cell_px as usize)?;
        (cells >= 2 && cells * self.cell_px as usize == side_px).then_some(cells)
    }

    /// Whether inputs of all these sides, and of a second look, fall into cells.
    fn fits(&self, sides_px: [u32; 2]) -> bool {
        let second_look_px = self.second_look_px;
        let [width_px, height_px] = sides_px;
        let whole = |side_px: u32| self.cells(side_px as usize).is_some();
        [width_px, height_px, second_look_px].into_iter().all(whole) && (1..=4096).contains(&second_look_px)
    }
}

/// A model ready to be loaded: a checked manifest and the bytes it vouches for.
#[derive(Clone)]
pub struct Model {
    manifest: Manifest,
    onnx: std::borrow::Cow<'static, [u8]>,
    composites: Option<CompositeDetector>,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum ModelError {
    #[error("cannot read {}: {source}; name the manifest.json of a model", path.display())]
    Io { path: PathBuf, r#source: std::io::Error },
    #[error("{} is not a model manifest: {source}; models/README.md shows the fields", path.display())]
    Manifest { path: PathBuf, r#source: serde_json::Error },
    #[error("{}: manifest format {found} is not known here (known: 1 to {MANIFEST_FORMAT}); use a newer tongkuan", path.display())]
    Format { path: PathBuf, found: u32 },
    #[error("{}: {problem}; correct the manifest", path.display())]
    Invalid { path: PathBuf, problem: &'static str },
    #[error(
        "{} has SHA-256 {found}, its manifest says {expected}: the file is damaged or another one; fetch it again or correct the manifest",
        path.display()
    )]
    Digest { path: PathBuf, expected: String, found: String },
}

impl Model {
    /// The model inside the binary.
    ///
    /// # Errors
    /// [`ModelError`] only if the binary was built from a manifest that does not fit its ONNX file.
    pub fn built_in() -> Result<Self, ModelError> {
        Self::checked(Path::new("built-in manifest.json"), DEFAULT_MANIFEST, |file| {
            let is_model = file.extension().is_some_and(|kind| kind == "onnx");
            Ok(if is_model { DEFAULT_ONNX } else { DEFAULT_COMPOSITES }.into())
        })
    }

    /// Reads a manifest and the ONNX file it names.
    ///
    /// # Errors
    /// [`ModelError`] when either cannot be read, or they do not fit one another.
    pub fn read(manifest_path: &Path) -> Result<Self, ModelError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ModelError::Io { path, source }
        };
        let text = std::fs::read_to_string(manifest_path).map_err(io(manifest_path))?;
        Self::checked(manifest_path, &text, |file| {
            let path = manifest_path.with_file_name(file);
            let length = std::fs::metadata(&path).map_err(io(&path))?.len();
            if length > MAX_MODEL_BYTES {
                return Err(ModelError::Invalid { path, problem: "the model's file is larger than 1 GiB" });
            }
            Ok(std::fs::read(&path).map_err(io(&path))?.into())
        })
    }

    fn checked(
        path: &Path,
        text: &str,
        read: impl Fn(&Path) -> Result<std::borrow::Cow<'static, [u8]>, ModelError>,
    ) -> Result<Self, ModelError> {
        let invalid = |problem| ModelError::Invalid { path: path.to_path_buf(), problem };
        let manifest: Manifest = serde_json::from_str(text)
            .map_err(|source| ModelError::Manifest { path: path.to_path_buf(), source })?;
        if !(1..=MANIFEST_FORMAT).contains(&manifest.format) {
            return Err(ModelError::Format { path: path.to_path_buf(), found: manifest.format });
        }
        let (input, cosines) = (&manifest.input, &manifest.thresholds);
        if !(1..=4096).contains(&input.width_px) || !(1..=4096).contains(&input.height_px) {
            return Err(invalid("input width_px and height_px must be 1 to 4096"));
        }
        if !input.mean.iter().all(|m| m.is_finite()) || !input.std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err(invalid("input mean must be finite and std positive"));
        }
        if !(1..=4096).contains(&manifest.output.dimension) {
            return Err(invalid("output dimension must be 1 to 4096"));
        }
        if manifest.windows.as_ref().is_some_and(|w| !w.fits([input.width_px, input.height_px])) {
            return Err(invalid(
                "windows: the sides of the input and second_look_px must be multiples of cell_px, at least two",
            ));
        }
        let ordered = -1.0 <= cosines.review && cosines.review <= cosines.same_picture;
        if !(ordered && cosines.same_picture <= 1.0) {
            return Err(invalid("thresholds must satisfy -1 <= review <= same_picture <= 1"));
        }
        let vouched_for = |file: &Path, expected: &str| {
            let bytes = read(file)?;
            let found = Digest::of(&bytes).to_string();
            if found == expected {
                return Ok(bytes);
            }
            let path = path.with_file_name(file);
            Err(ModelError::Digest { path, expected: expected.to_owned(), found })
        };
        let onnx = vouched_for(&manifest.file, &manifest.sha256)?;
        let composites = match manifest.windows.as_ref().and_then(|windows| windows.composites.as_ref()) {
            None => None,
            Some(spec) => {
                let bytes = vouched_for(&spec.file, &spec.sha256)?;
                let read = CompositeDetector::from_safetensors(&bytes, manifest.output.dimension);
                Some(read.ok_or_else(|| ModelError::Invalid {
                    path: path.with_file_name(&spec.file),
                    problem: "windows.composites must be safetensors with the layers whole, part, hidden and out that fit the dimension",
                })?)
            }
        };
        Ok(Self { manifest, onnx, composites })
    }

    /// What is known of it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The ONNX file.
    #[must_use]
    pub fn onnx(&self) -> &[u8] {
        &self.onnx
    }

    pub(super) fn composites(&self) -> Option<&CompositeDetector> {
        self.composites.as_ref()
    }

    /// What makes two vectors comparable: the weights, the dimension and how pictures are brought to the model.
    /// Stored with the catalogue and the index; see [`Fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.manifest.fingerprint()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl Manifest {
    fn fingerprint(&self) -> Fingerprint {
        let input = serde_json::to_string(&self.input).unwrap_or_default();
        let space = format!("{}\n{input}\n{}\n{PREPROCESSING_VERSION}", self.sha256, self.output.name);
        Fingerprint {
            model: format!("{} {}", self.name, self.version),
            dimension: self.output.dimension,
            digest: Digest::of(space.as_bytes()).to_string(),
        }
    }
}
