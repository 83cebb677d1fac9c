//! The real embedder: ONNX Runtime on one or more sessions.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use super::model::{Fingerprint, Model, Thresholds};
use super::runtime::Runtime;
use super::{EmbedError, Embedder, Embedding};
use crate::tensor::{Tensor, TensorSpec};

/// Runs a [`Model`] with ONNX Runtime. Sessions are made when a thread first finds none free and kept after, so
/// there are as many as threads that ever embedded at the same time.
pub struct OnnxEmbedder {
    model: Arc<Model>,
    runtime: Runtime,
    intra_threads: usize,
    idle: Mutex<Vec<Session>>,
}

impl OnnxEmbedder {
    /// Loads the model once, so that a broken one is found here. `intra_threads` (at least 1) is the number of
    /// threads that work on one picture.
    ///
    /// # Errors
    /// [`EmbedError`] when ONNX Runtime refuses the model, or the model does not have the input and output its
    /// manifest promises.
    pub fn new(model: Arc<Model>, runtime: Runtime, intra_threads: usize) -> Result<Self, EmbedError> {
        let embedder = Self { model, runtime, intra_threads: intra_threads.max(1), idle: Mutex::default() };
        let session = embedder.session().map_err(|e| EmbedError::Load(e.to_string()))?;
        let manifest = embedder.model.manifest();
        let missing = |what: &'static str, name: &str, names: Vec<String>| EmbedError::Graph {
            what,
            name: name.to_owned(),
            found: names.join(", "),
        };
        let inputs: Vec<String> = session.inputs().iter().map(|i| i.name().to_owned()).collect();
        if !inputs.contains(&manifest.input.name) {
            return Err(missing("input", &manifest.input.name, inputs));
        }
        let outputs: Vec<String> = session.outputs().iter().map(|o| o.name().to_owned()).collect();
        if !outputs.contains(&manifest.output.name) {
            return Err(missing("output", &manifest.output.name, outputs));
        }
        embedder.give_back(session);
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

    fn take(&self) -> Result<Session, ort::Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.session(), Ok)
    }

    fn give_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
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
        let manifest = self.model.manifest();
        let mut session = self.take().map_err(|e| EmbedError::Load(e.to_string()))?;
        let values = {
            // A view: cloning a value of ort 2.0.0-rc.15 dead-locks.
            let input =
                TensorRef::from_array_view(tensor.as_array()).map_err(|e| EmbedError::Run(e.to_string()))?;
            let outputs = session
                .run(ort::inputs![manifest.input.name.as_str() => input])
                .map_err(|e| EmbedError::Run(e.to_string()))?;
            let (_, values) = outputs[manifest.output.name.as_str()]
                .try_extract_tensor::<f32>()
                .map_err(|e| EmbedError::Run(e.to_string()))?;
            values.to_vec()
        };
        self.give_back(session);
        if values.len() != manifest.output.dimension {
            return Err(EmbedError::Dimension { expected: manifest.output.dimension, found: values.len() });
        }
        Ok(Embedding::new(values)?)
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
