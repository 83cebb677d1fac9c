//! The real embedder: ONNX Runtime on one or more sessions.

use std::fmt;
use std::sync::Arc;

use ndarray::Array2;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use super::model::Model;
use super::runtime::Runtime;
use super::{EmbedError, Embedder, Embedding, windows};
use super::{Fingerprint, Thresholds};
use crate::pool::Pool;
use crate::tensor::{Tensor, TensorSpec};

/// Runs a [`Model`] with ONNX Runtime. Sessions are made when a thread first finds none free and kept after, so
/// there are as many as threads that ever embedded at the same time.
pub struct OnnxEmbedder {
    model: Arc<Model>,
    runtime: Runtime,
    intra_threads: usize,
    sessions: Pool<Session>,
}

impl OnnxEmbedder {
    /// Loads the model once, so that a broken one is found here. `intra_threads` (at least 1) is the number of
    /// threads that work on one picture.
    ///
    /// # Errors
    /// [`EmbedError`] when ONNX Runtime refuses the model, or the model does not have the input and output its
    /// manifest promises.
    pub fn new(model: Arc<Model>, runtime: Runtime, intra_threads: usize) -> Result<Self, EmbedError> {
        let embedder =
            Self { model, runtime, intra_threads: intra_threads.max(1), sessions: Pool::default() };
        let session = embedder.session().map_err(|e| EmbedError::Load(e.to_string()))?;
        let manifest = embedder.model.manifest();
        let missing = |what: &'static str, name: &str, names: Vec<String>| EmbedError::Graph {
            what,
            name: name.to_owned(),
            found: names.join(", "),
        };
        let inputs: Vec<String> = session.inputs().iter().map(|i| i.name().to_owned()).collect();
        let wanted = std::iter::once(&manifest.input.name).chain(manifest.windows.as_ref().map(|w| &w.input));
        for name in wanted {
            if !inputs.contains(name) {
                return Err(missing("input", name, inputs));
            }
        }
        let outputs: Vec<String> = session.outputs().iter().map(|o| o.name().to_owned()).collect();
        if !outputs.contains(&manifest.output.name) {
            return Err(missing("output", &manifest.output.name, outputs));
        }
        embedder.sessions.put(session);
        Ok(embedder)
    }

    fn session(&self) -> Result<Session, ort::Error> {
        // Spinning workers burn a core between pictures; on two cores that slows everything else down.
        Session::builder(self.runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(self.intra_threads)?
            .with_intra_op_spinning(false)?
            .commit_from_memory(self.model.onnx())
    }

    fn dimension(&self) -> usize {
        self.model.manifest().output.dimension
    }

    /// Windows over the cells that `tensor` falls into; `None` for a model that knows no windows.
    fn windows(
        &self,
        tensor: &Tensor,
        make: fn(usize, usize) -> Array2<f32>,
    ) -> Result<Option<Array2<f32>>, EmbedError> {
        let Some(spec) = &self.model.manifest().windows else { return Ok(None) };
        let &[_, _, height_px, width_px] = tensor.as_array().shape() else { return Ok(None) };
        let Some((rows, columns)) = spec.cells(height_px).zip(spec.cells(width_px)) else {
            return Err(EmbedError::Cells { width_px, height_px, cell_px: spec.cell_px });
        };
        Ok(Some(make(rows, columns)))
    }

    /// One embedding for each window, or the one of the whole picture without.
    fn run(&self, tensor: &Tensor, windows: Option<&Array2<f32>>) -> Result<Vec<Embedding>, EmbedError> {
        let manifest = self.model.manifest();
        let failed = |e: ort::Error| EmbedError::Run(e.to_string());
        let expected = windows.map_or(1, Array2::nrows) * self.dimension();
        let make = || self.session().map_err(|e| EmbedError::Load(e.to_string()));
        let values = self.sessions.with(make, |session| {
            // Views: cloning a value of ort 2.0.0-rc.15 dead-locks.
            let pixels = TensorRef::from_array_view(tensor.as_array()).map_err(failed)?;
            let mut inputs = ort::inputs![manifest.input.name.as_str() => pixels];
            if let (Some(spec), Some(windows)) = (&manifest.windows, windows) {
                let view = TensorRef::from_array_view(windows).map_err(failed)?;
                inputs.push((spec.input.as_str().into(), view.into()));
            }
            let outputs = session.run(inputs).map_err(failed)?;
            let (_, values) =
                outputs[manifest.output.name.as_str()].try_extract_tensor::<f32>().map_err(failed)?;
            Ok(values.to_vec())
        })?;
        if values.len() != expected {
            return Err(EmbedError::Dimension { expected, found: values.len() });
        }
        let rows = values.chunks_exact(self.dimension());
        rows.map(|row| Ok(Embedding::new(row.to_vec())?)).collect()
    }
}

impl Embedder for OnnxEmbedder {
    fn fingerprint(&self) -> Fingerprint {
        self.model.fingerprint()
    }

    fn input(&self) -> &TensorSpec {
        &self.model.manifest().input
    }

    fn thresholds(&self) -> Thresholds {
        self.model.manifest().thresholds
    }

    fn embed(&self, tensor: &Tensor) -> Result<Embedding, EmbedError> {
        let windows = self.windows(tensor, windows::whole)?;
        let mut embeddings = self.run(tensor, windows.as_ref())?;
        embeddings.pop().ok_or(EmbedError::Dimension { expected: self.dimension(), found: 0 })
    }

    fn parts_input(&self) -> Option<TensorSpec> {
        let manifest = self.model.manifest();
        let side_px = manifest.windows.as_ref()?.second_look_px;
        Some(TensorSpec { width_px: side_px, height_px: side_px, ..manifest.input.clone() })
    }

    fn embed_parts(&self, tensor: &Tensor) -> Result<Vec<Embedding>, EmbedError> {
        match self.windows(tensor, windows::halves)? {
            Some(windows) => self.run(tensor, Some(&windows)),
            None => Ok(Vec::new()),
        }
    }
}

impl fmt::Debug for OnnxEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxEmbedder")
            .field("model", &self.model)
            .field("intra_threads", &self.intra_threads)
            .finish_non_exhaustive()
    }
}
