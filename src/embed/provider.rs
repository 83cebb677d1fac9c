//! On what does the model run? A provider of ONNX Runtime, and whether its vectors are comparable with the CPU's.

use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProviderDispatch};
use serde::{Deserialize, Serialize};

use crate::photo::Digest;
use crate::vector::Fingerprint;

/// The least cosine between a provider's vector of a picture and the CPU's with which both are of one space: edited copies are
/// told from other pictures by far more than the rest.
pub const COMPARABLE_COSINE: f32 = 0.999;

/// What the model runs on: an execution provider of the ONNX Runtime that is loaded. All but the CPU need a runtime that was
/// built with them; without it, or without what it needs on this machine, they are an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The processor, which every runtime has.
    #[default]
    Cpu,
    /// GPUs of NVIDIA, with ONNX Runtime 1.18 or newer.
    Cuda,
    /// Intel's OpenVINO, on the device that its runtime was built for.
    OpenVino,
    /// Apple's Core ML.
    CoreMl,
}

impl Provider {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cuda, Self::OpenVino, Self::CoreMl];

    /// As it is named in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::OpenVino => "openvino",
            Self::CoreMl => "coreml",
        }
    }

    /// What has a session run on it, or fail; `None` for the CPU, which sessions have anyhow.
    pub(super) fn registration(self) -> Option<ExecutionProviderDispatch> {
        let provider = match self {
            Self::Cpu => return None,
            // Each size of a batch would have an exhaustive search of its own. TF32 rounds to 10 bits, too coarse for vectors
            // that are to be comparable.
            Self::Cuda => ep::CUDA::default()
                .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                .with_tf32(false)
                .build(),
            Self::OpenVino => ep::OpenVINO::default().build(),
            Self::CoreMl => ep::CoreML::default().build(),
        };
        Some(provider.error_on_failure())
    }

    /// What names the vectors that the model `of_cpu` has on this provider: the same, if the least cosine with the CPU's says
    /// that they are comparable, else another model.
    pub(super) fn fingerprint(self, of_cpu: Fingerprint, least_cosine: f32) -> Fingerprint {
        if self == Self::Cpu || least_cosine >= COMPARABLE_COSINE {
            return of_cpu;
        }
        Fingerprint {
            model: format!("{}@{self}", of_cpu.model),
            dimension: of_cpu.dimension,
            digest: Digest::of(format!("{}\n{self}", of_cpu.digest).as_bytes()).to_string(),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        let known = Self::ALL.into_iter().find(|provider| provider.name() == text.trim());
        known.ok_or(UnknownProvider)
    }
}

/// A name that no provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use cpu, cuda, openvino or coreml")]
pub struct UnknownProvider;

#[cfg(test)]
mod tests {
    use super::*;

    fn of_cpu() -> Fingerprint {
        Fingerprint { model: "model 3".to_owned(), dimension: 256, digest: "digest".to_owned() }
    }

    #[test]
    fn a_provider_has_one_name_everywhere() {
        for provider in Provider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
            let json = serde_json::to_string(&provider).unwrap();
            assert_eq!(json, format!("{:?}", provider.name()));
            assert_eq!(serde_json::from_str::<Provider>(&json).unwrap(), provider);
        }
        assert_eq!(" cuda ".parse(), Ok(Provider::Cuda));
        for unknown in ["", "CUDA", "gpu", "tensorrt"] {
            assert_eq!(unknown.parse::<Provider>(), Err(UnknownProvider));
        }
        assert_eq!(Provider::default(), Provider::Cpu);
    }

    #[test]
    fn vectors_near_the_cpus_are_the_same_models_and_others_another_models() {
        for comparable in [1.0, 0.9995, COMPARABLE_COSINE] {
            assert_eq!(Provider::Cuda.fingerprint(of_cpu(), comparable), of_cpu());
        }
        for apart in [0.9989, 0.994, -1.0, f32::NAN] {
            let other = Provider::OpenVino.fingerprint(of_cpu(), apart);
            assert_eq!((other.model.as_str(), other.dimension), ("model 3@openvino", 256));
            assert_ne!(other.digest, of_cpu().digest);
            assert_eq!(other, Provider::OpenVino.fingerprint(of_cpu(), 0.5), "however far apart");
            assert_ne!(other.digest, Provider::Cuda.fingerprint(of_cpu(), apart).digest);
        }
        assert_eq!(Provider::Cpu.fingerprint(of_cpu(), 0.0), of_cpu());
    }
}
