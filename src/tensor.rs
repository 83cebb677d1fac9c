//! How does the model want it? Resizes a picture to the model's input and normalises its channels.
//!
//! Everything the model asks for comes from its manifest ([`TensorSpec`]), so that another model is another file
//! and no code. The version of this arithmetic is part of the model's fingerprint: vectors made by different
//! preprocessing are never compared.

use fast_image_resize::{FilterType, ResizeAlg, Resizer};
use image::RgbImage;
use ndarray::{Array4, s};
use serde::{Deserialize, Serialize};

use crate::photo::Photo;
use crate::resize::resize_rgb;

/// Raise when the pixels that reach a model change for the same picture and the same [`TensorSpec`].
pub const PREPROCESSING_VERSION: u32 = 1;

/// What a model's input looks like; part of its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// The input's name in the ONNX graph.
    pub name: String,
    /// The input's; at least 1.
    pub width_px: u32,
    /// The input's; at least 1.
    pub height_px: u32,
    /// How the values lie in memory.
    pub layout: Layout,
    /// Subtracted from each channel (R, G, B) of a pixel in 0..=1.
    pub mean: [f32; 3],
    /// Divides each channel after the mean is taken off.
    pub std: [f32; 3],
    /// How a picture of another shape is fitted.
    pub resize: ResizePolicy,
    /// How pixels are interpolated.
    pub filter: ResizeFilter,
}

/// How a tensor's values lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[1, 3, height, width]`, planes in the order R, G, B.
    Nchw,
}

/// How a picture of another shape is fitted into the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizePolicy {
    /// The whole picture fills the input; its aspect ratio is not kept.
    Squash,
    /// The whole picture is fitted into the middle of a white input; its aspect ratio is kept.
    Pad,
}

/// How pixels are interpolated; the filters of `fast_image_resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeFilter {
    /// Triangle, support 1.
    Bilinear,
    /// Cubic with B 0 and C 0.5, support 2.
    CatmullRom,
    /// Windowed sinc, support 3.
    Lanczos3,
}

impl ResizeFilter {
    /// What `fast_image_resize` calls it.
    fn kernel(self) -> FilterType {
        match self {
            Self::Bilinear => FilterType::Bilinear,
            Self::CatmullRom => FilterType::CatmullRom,
            Self::Lanczos3 => FilterType::Lanczos3,
        }
    }
}

/// A picture as a model wants it: `f32`, `[1, 3, height, width]`, standard (row-major) layout, all finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor(Array4<f32>);

impl Tensor {
    /// The values: `[1, 3, height, width]`.
    #[must_use]
    pub fn as_array(&self) -> &Array4<f32> {
        &self.0
    }
}

/// Why a picture could not become a tensor: only a specification no picture can meet leads here.
#[derive(Debug, thiserror::Error)]
#[error("cannot resize a {width_px}x{height_px} picture for the model: {source}")]
pub struct TensorError {
    width_px: u32,
    height_px: u32,
    r#source: Box<dyn std::error::Error + Send + Sync>,
}

/// Makes tensors of one specification; owns the buffers it needs, so one worker should keep one.
#[derive(Debug)]
pub struct Preprocessor {
    spec: TensorSpec,
    resizer: Resizer,
    resized: Vec<u8>,
}

impl Preprocessor {
    /// For inputs of this kind; keeps its buffers between pictures.
    #[must_use]
    pub fn new(spec: TensorSpec) -> Self {
        Self { spec, resizer: Resizer::new(), resized: Vec::new() }
    }

    /// # Errors
    /// [`TensorError`] when the resizer refuses the sizes.
    pub fn tensor(&mut self, photo: &Photo) -> Result<Tensor, TensorError> {
        self.tensor_of(photo.as_image())
    }

    /// As [`Preprocessor::tensor`], of a picture that was not decoded.
    pub(crate) fn tensor_of(&mut self, picture: &RgbImage) -> Result<Tensor, TensorError> {
        let (width_px, height_px) = picture.dimensions();
        let to = fitted_size(&self.spec, width_px, height_px);
        let algorithm = ResizeAlg::Convolution(self.spec.filter.kernel());
        resize_rgb(
            &mut self.resizer,
            picture.as_raw(),
            picture.dimensions(),
            &mut self.resized,
            to,
            algorithm,
        )
        .map_err(|source| TensorError { width_px, height_px, source })?;
        Ok(Tensor(self.normalise(to.0 as usize, to.1 as usize)))
    }

    /// Spreads the resized RGB bytes over three normalised planes; what they do not cover stays white.
    fn normalise(&self, width: usize, height: usize) -> Array4<f32> {
        let (full_width, full_height) = (self.spec.width_px as usize, self.spec.height_px as usize);
        let mut planes = Array4::<f32>::zeros((1, 3, full_height, full_width));
        let (left, top) = ((full_width - width) / 2, (full_height - height) / 2);
        for channel in 0..3 {
            let scale = 1.0 / (255.0 * self.spec.std[channel]);
            let offset = -self.spec.mean[channel] / self.spec.std[channel];
            // A byte has 256 values: `mul_add` is a call where the processor is not known to have it.
            let mut values = [0.0f32; 256];
            for (value, byte) in values.iter_mut().zip(0..=u8::MAX) {
                *value = f32::from(byte).mul_add(scale, offset);
            }
            let mut plane = planes.slice_mut(s![0, channel, .., ..]);
            if (width, height) != (full_width, full_height) {
                plane.fill(values[255]);
            }
            let rows = self.resized.chunks_exact(width * 3);
            for (mut row, bytes) in
                plane.slice_mut(s![top..top + height, ..]).rows_mut().into_iter().zip(rows)
            {
                let pixels = bytes.iter().skip(channel).step_by(3);
                for (value, &byte) in row.slice_mut(s![left..left + width]).iter_mut().zip(pixels) {
                    *value = values[usize::from(byte)];
                }
            }
        }
        planes
    }
}

/// The size, in pixels, that the picture itself takes inside the model's input.
fn fitted_size(spec: &TensorSpec, width_px: u32, height_px: u32) -> (u32, u32) {
    match spec.resize {
        ResizePolicy::Squash => (spec.width_px, spec.height_px),
        ResizePolicy::Pad => {
            // In u64: side lengths are at most u32::MAX, their products are not.
            let (w, h) = (u64::from(width_px), u64::from(height_px));
            let (full_w, full_h) = (u64::from(spec.width_px), u64::from(spec.height_px));
            let (fit_w, fit_h) = if w * full_h >= h * full_w {
                (full_w, (h * full_w + w / 2) / w)
            } else {
                ((w * full_h + h / 2) / h, full_h)
            };
            let narrow = |fit: u64, full: u32| u32::try_from(fit).unwrap_or(full).clamp(1, full);
            (narrow(fit_w, spec.width_px), narrow(fit_h, spec.height_px))
        }
    }
}
