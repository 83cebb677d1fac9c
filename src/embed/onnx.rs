//! The real embedder: ONNX Runtime on one or more sessions.

use std::fmt;
use std::sync::Arc;

use ndarray::{Array2, Array4, Axis};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorRef, ValueType};

use super::batches::{Alike, Batches, NoResult};
use super::model::Model;
use super::provider::Provider;
use super::runtime::Runtime;
use super::{EmbedError, Embedder, Embedding, FirstLook, reference, windows};
use super::{Fingerprint, Thresholds};
use crate::pool::Pool;
use crate::tensor::{Tensor, TensorSpec};

/// Windows over so many rows and columns of cells.
type MakeWindows = fn(usize, usize) -> Array2<f32>;

/// Drawn pictures whose parts are compared with the CPU's, beside all of them as whole ones: a second look takes three times as long.
const PARTS_COMPARED: usize = 4;

/// Pictures that are run together at the most. A first look at so many takes 25 MB of input, a second one 77 MB.
const MAX_BATCH: usize = 32;

/// Runs a [`Model`] with ONNX Runtime. On the CPU, sessions are made when a thread first finds none free and kept after, so
/// there are as many as threads that ever embedded at the same time. On another [`Provider`] there is one, and pictures that
/// wait at the same moment are run together.
pub struct OnnxEmbedder {
    model: Arc<Model>,
    runtime: Runtime,
    provider: Provider,
    intra_threads: usize,
    sessions: Pool<Session>,
    /// `None` on the CPU.
    batches: Option<Batches<Job, Vec<f32>, Fault>>,
    fingerprint: Fingerprint,
    least_cosine: Option<f32>,
}

/// A picture that waits to be run.
struct Job {
    pixels: Array4<f32>,
    windows: Option<Array2<f32>>,
}

impl Alike for Job {
    fn is_alike(&self, other: &Self) -> bool {
        self.pixels.shape() == other.pixels.shape() && self.windows == other.windows
    }
}

/// What went wrong in a run; the same for each picture of a batch.
#[derive(Clone, Debug)]
enum Fault {
    Load(String),
    Run(String),
}

impl From<NoResult> for Fault {
    fn from(_: NoResult) -> Self {
        Self::Run("the run ended without a result".to_owned())
    }
}

impl From<Fault> for EmbedError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Load(reason) => Self::Load(reason),
            Fault::Run(reason) => Self::Run(reason),
        }
    }
}

impl OnnxEmbedder {
    /// Loads the model once, on the CPU, so that a broken one is found here. `intra_threads` (at least 1) is the number of
    /// threads that work on one picture.
    ///
    /// # Errors
    /// [`EmbedError`] when ONNX Runtime refuses the model, or the model does not have the input and output its
    /// manifest promises.
    pub fn new(model: Arc<Model>, runtime: Runtime, intra_threads: usize) -> Result<Self, EmbedError> {
        Self::load(model, runtime, intra_threads, Provider::Cpu)
    }

    /// As [`OnnxEmbedder::new`], on a provider. One other than the CPU is compared with it on drawn pictures, as wholes and in parts, one by one and
    /// all at once; where their least cosine is below [`COMPARABLE_COSINE`](super::COMPARABLE_COSINE), its vectors are those of
    /// another model.
    ///
    /// # Errors
    /// Those of [`OnnxEmbedder::new`], and [`EmbedError::ProviderUnavailable`].
    pub fn with_provider(
        model: Arc<Model>,
        runtime: Runtime,
        intra_threads: usize,
        provider: Provider,
    ) -> Result<Self, EmbedError> {
        let cpu = Self::new(Arc::clone(&model), runtime.clone(), intra_threads)?;
        if provider == Provider::Cpu {
            return Ok(cpu);
        }
        let mut embedder = Self::load(model, runtime, intra_threads, provider)?;
        let least_cosine = embedder.least_cosine_with(&cpu)?;
        embedder.fingerprint = provider.fingerprint(embedder.model.fingerprint(), least_cosine);
        embedder.least_cosine = Some(least_cosine);
        let model = &embedder.fingerprint.model;
        tracing::info!(%provider, %least_cosine, %model, "a provider is compared with the CPU");
        if least_cosine >= 1.0 {
            tracing::warn!(%provider, "its vectors are the CPU's bit for bit: it may have taken no part of the model");
        }
        Ok(embedder)
    }

    fn load(
        model: Arc<Model>,
        runtime: Runtime,
        intra_threads: usize,
        provider: Provider,
    ) -> Result<Self, EmbedError> {
        let mut embedder = Self {
            fingerprint: model.fingerprint(),
            model,
            runtime,
            provider,
            intra_threads: intra_threads.max(1),
            sessions: Pool::default(),
            batches: None,
            least_cosine: None,
        };
        let session = embedder.session().map_err(|e| embedder.refused(Fault::Load(e.to_string())))?;
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
        if provider != Provider::Cpu {
            let takes_any_number = session.inputs().iter().any(|input| {
                let is_any = |shape: &[i64]| shape.first() == Some(&-1);
                input.name() == manifest.input.name
                    && matches!(input.dtype(), ValueType::Tensor { shape, .. } if is_any(shape))
            });
            embedder.batches = Some(Batches::new(if takes_any_number { MAX_BATCH } else { 1 }));
        }
        embedder.sessions.put(session);
        Ok(embedder)
    }

    /// What the model runs on.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Between the provider's vectors of the drawn pictures and the CPU's; `None` on the CPU. Exactly 1 where they are the same
    /// bit for bit: the provider may then have taken no part of the model.
    #[must_use]
    pub fn least_cosine(&self) -> Option<f32> {
        self.least_cosine
    }

    fn session(&self) -> Result<Session, ort::Error> {
        // Spinning workers burn a core between pictures; on two cores that slows everything else down.
        let mut builder = Session::builder(self.runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(self.intra_threads)?
            .with_intra_op_spinning(false)?;
        if let Some(registration) = self.provider.registration() {
            builder = builder.with_execution_providers([registration])?;
        }
        builder.commit_from_memory(self.model.onnx())
    }

    /// A fault of the model on the CPU; on another provider, which runs what the CPU has run, a fault of that.
    fn refused(&self, fault: Fault) -> EmbedError {
        match (self.provider, fault) {
            (Provider::Cpu, fault) => fault.into(),
            (provider, Fault::Load(reason) | Fault::Run(reason)) => EmbedError::ProviderUnavailable {
                provider,
                path: self.runtime.location().path.clone(),
                version: self.runtime.version().unwrap_or("of an unknown version").to_owned(),
                reason,
            },
        }
    }

    fn least_cosine_with(&self, cpu: &Self) -> Result<f32, EmbedError> {
        let whole: (_, MakeWindows, _) = (Some(self.input().clone()), windows::whole_and_halves, usize::MAX);
        let parts: (_, MakeWindows, _) = (self.parts_input(), windows::halves, PARTS_COMPARED);
        let mut least = 1.0_f32;
        for (spec, make, count) in [whole, parts] {
            let Some(spec) = spec else { continue };
            let tensors = reference::tensors(&spec).map_err(|error| EmbedError::Load(error.to_string()))?;
            let job = |tensor: Tensor| -> Result<Job, EmbedError> {
                let windows = self.windows(&tensor, make)?;
                Ok(Job { pixels: tensor.as_array().clone(), windows })
            };
            let jobs = tensors.into_iter().take(count).map(job).collect::<Result<Vec<Job>, _>>()?;
            let expected = cpu.vectors(&jobs, 1)?;
            for at_once in [1, self.batches.as_ref().map_or(1, Batches::limit)] {
                for (found, expected) in self.vectors(&jobs, at_once)?.iter().zip(&expected) {
                    least = least.min(expected.cosine(found));
                }
            }
        }
        Ok(least)
    }

    /// Of each window, so many pictures in a run.
    fn vectors(&self, jobs: &[Job], at_once: usize) -> Result<Vec<Embedding>, EmbedError> {
        let mut vectors = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(at_once) {
            for values in self.infer_all(batch).map_err(|fault| self.refused(fault))? {
                let rows = batch[0].windows.as_ref().map_or(1, Array2::nrows);
                vectors.extend(self.embeddings(&values, rows)?);
            }
        }
        Ok(vectors)
    }

    fn dimension(&self) -> usize {
        self.model.manifest().output.dimension
    }

    /// Windows over the cells that `tensor` falls into; `None` for a model that knows no windows.
    fn windows(&self, tensor: &Tensor, make: MakeWindows) -> Result<Option<Array2<f32>>, EmbedError> {
        let Some(spec) = &self.model.manifest().windows else { return Ok(None) };
        let &[_, _, height_px, width_px] = tensor.as_array().shape() else { return Ok(None) };
        let Some((rows, columns)) = spec.cells(height_px).zip(spec.cells(width_px)) else {
            return Err(EmbedError::Cells { width_px, height_px, cell_px: spec.cell_px });
        };
        Ok(Some(make(rows, columns)))
    }

    /// One embedding for each window, or the one of the whole picture without.
    fn run(&self, tensor: &Tensor, windows: Option<Array2<f32>>) -> Result<Vec<Embedding>, EmbedError> {
        let rows = windows.as_ref().map_or(1, Array2::nrows);
        let values = match &self.batches {
            None => self.infer(tensor.as_array(), windows.as_ref())?,
            Some(batches) => {
                let job = Job { pixels: tensor.as_array().clone(), windows };
                batches.run(job, |jobs| self.infer_all(jobs))?
            }
        };
        self.embeddings(&values, rows)
    }

    /// The numbers that each of `jobs`, which are alike, has from one run.
    fn infer_all(&self, jobs: &[Job]) -> Result<Vec<Vec<f32>>, Fault> {
        let Some(first) = jobs.first() else { return Ok(Vec::new()) };
        let windows = first.windows.as_ref();
        let values = if jobs.len() == 1 {
            self.infer(&first.pixels, windows)?
        } else {
            let views: Vec<_> = jobs.iter().map(|job| job.pixels.view()).collect();
            let pixels = ndarray::concatenate(Axis(0), &views).map_err(|e| Fault::Run(e.to_string()))?;
            self.infer(&pixels, windows)?
        };
        if !values.len().is_multiple_of(jobs.len()) {
            return Err(Fault::Run(format!("it gave {} numbers for {} pictures", values.len(), jobs.len())));
        }
        let each = values.len() / jobs.len();
        Ok((0..jobs.len()).map(|place| values[place * each..][..each].to_vec()).collect())
    }

    /// All numbers that one run gives.
    fn infer(&self, pixels: &Array4<f32>, windows: Option<&Array2<f32>>) -> Result<Vec<f32>, Fault> {
        let manifest = self.model.manifest();
        let failed = |e: ort::Error| Fault::Run(e.to_string());
        let make = || self.session().map_err(|e| Fault::Load(e.to_string()));
        self.sessions.with(make, |session| {
            // Views: cloning a value of ort 2.0.0-rc.15 dead-locks.
            let pixels = TensorRef::from_array_view(pixels).map_err(failed)?;
            let mut inputs = ort::inputs![manifest.input.name.as_str() => pixels];
            if let (Some(spec), Some(windows)) = (&manifest.windows, windows) {
                let view = TensorRef::from_array_view(windows).map_err(failed)?;
                inputs.push((spec.input.as_str().into(), view.into()));
            }
            let outputs = session.run(inputs).map_err(failed)?;
            let (_, values) =
                outputs[manifest.output.name.as_str()].try_extract_tensor::<f32>().map_err(failed)?;
            Ok(values.to_vec())
        })
    }

    fn embeddings(&self, values: &[f32], rows: usize) -> Result<Vec<Embedding>, EmbedError> {
        let expected = rows * self.dimension();
        if values.len() != expected {
            return Err(EmbedError::Dimension { expected, found: values.len() });
        }
        values.chunks_exact(self.dimension()).map(|row| Ok(Embedding::new(row.to_vec())?)).collect()
    }
}

impl Embedder for OnnxEmbedder {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn input(&self) -> &TensorSpec {
        &self.model.manifest().input
    }

    fn thresholds(&self) -> Thresholds {
        self.model.manifest().thresholds
    }

    fn embed(&self, tensor: &Tensor) -> Result<Embedding, EmbedError> {
        let windows = self.windows(tensor, windows::whole)?;
        let mut embeddings = self.run(tensor, windows)?;
        embeddings.pop().ok_or(EmbedError::Dimension { expected: self.dimension(), found: 0 })
    }

    fn look(&self, tensor: &Tensor) -> Result<FirstLook, EmbedError> {
        let Some(detector) = self.model.composites() else {
            return Ok(FirstLook { embedding: self.embed(tensor)?, may_be_composite: true });
        };
        let windows = self.windows(tensor, windows::whole_and_halves)?;
        let embeddings = self.run(tensor, windows)?;
        let may_be_composite = detector.may_be_composite(&embeddings);
        let whole = embeddings.into_iter().next();
        let embedding = whole.ok_or(EmbedError::Dimension { expected: self.dimension(), found: 0 })?;
        Ok(FirstLook { embedding, may_be_composite })
    }

    fn parts_input(&self) -> Option<TensorSpec> {
        let manifest = self.model.manifest();
        let side_px = manifest.windows.as_ref()?.second_look_px;
        Some(TensorSpec { width_px: side_px, height_px: side_px, ..manifest.input.clone() })
    }

    fn embed_parts(&self, tensor: &Tensor) -> Result<Vec<Embedding>, EmbedError> {
        match self.windows(tensor, windows::halves)? {
            Some(windows) => self.run(tensor, Some(windows)),
            None => Ok(Vec::new()),
        }
    }
}

impl fmt::Debug for OnnxEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxEmbedder")
            .field("model", &self.model)
            .field("provider", &self.provider)
            .field("intra_threads", &self.intra_threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::{COMPARABLE_COSINE, runtime};

    fn cpu() -> OnnxEmbedder {
        let folder = runtime::shared_folder().expect("a data folder");
        let location = runtime::ensure(&folder, true, &|text| eprintln!("{text}")).unwrap();
        let model = Arc::new(Model::built_in().unwrap());
        OnnxEmbedder::new(model, Runtime::load(&location).unwrap(), 1).unwrap()
    }

    #[test]
    fn pictures_that_are_run_together_have_the_vectors_that_they_have_alone() {
        let alone = cpu();
        // As on another provider.
        let together = OnnxEmbedder { batches: Some(Batches::new(MAX_BATCH)), ..cpu() };
        assert!(together.least_cosine_with(&alone).unwrap() >= COMPARABLE_COSINE);
        let wholes = reference::tensors(alone.input()).unwrap();
        let parts = reference::tensors(&alone.parts_input().unwrap()).unwrap();
        let (alone, together) = (&alone, &together);
        let near = |expected: &Embedding, found: &Embedding| expected.cosine(found) >= COMPARABLE_COSINE;
        std::thread::scope(|scope| {
            for whole in &wholes {
                scope.spawn(move || {
                    let (expected, found) = (alone.look(whole).unwrap(), together.look(whole).unwrap());
                    assert!(near(&expected.embedding, &found.embedding));
                });
            }
            for part in parts.iter().take(4) {
                scope.spawn(move || {
                    let expected = alone.embed_parts(part).unwrap();
                    let found = together.embed_parts(part).unwrap();
                    assert_eq!((expected.len(), found.len()), (16, 16));
                    assert!(near(&expected[5], &found[5]));
                });
            }
        });
    }

    #[test]
    fn without_another_provider_nothing_is_compared_and_the_vectors_are_the_models() {
        let cpu = cpu();
        assert_eq!((cpu.provider(), cpu.least_cosine()), (Provider::Cpu, None));
        assert_eq!(cpu.fingerprint(), cpu.model.fingerprint());
    }
}
