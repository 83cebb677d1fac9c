//! A picture as Python names it: bytes, a path or an address.

use std::path::Path;
use std::sync::Arc;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tongkuan::doors::fetch_largest;
use tongkuan::fetch::{Fetch as _, Fetcher};
use tongkuan::input::PictureSource;
use tongkuan::photo::PhotoLimits;

use crate::error::Failure;

/// As the Python part hands it over: the file's bytes, or a text that names a file or an address.
#[derive(FromPyObject)]
pub(crate) enum Given {
    Bytes(Vec<u8>),
    Named(String),
}

/// A picture that was read.
pub(crate) struct Picture {
    pub(crate) bytes: Vec<u8>,
    pub(crate) label: String,
    pub(crate) source_url: Option<String>,
}

/// Reads pictures, and fetches them unless there is to be no network.
pub(crate) struct Pictures(pub(crate) Option<Fetcher>);

impl Pictures {
    pub(crate) fn read(&self, given: Given, label: Option<String>) -> Result<Picture, Failure> {
        let text = match given {
            Given::Bytes(bytes) => {
                let label = label.unwrap_or_else(|| "bytes".to_owned());
                return Ok(Picture { bytes, label, source_url: None });
            }
            Given::Named(text) => text,
        };
        let source = PictureSource::parse(&text, Path::new(""))?;
        if let PictureSource::Address(address) = &source {
            let Some(fetcher) = &self.0 else {
                return Err(Failure::Picture {
                    code: "offline",
                    text: format!("{address} cannot be fetched: the engine was opened with offline=True"),
                });
            };
            let (bytes, address) = fetch_largest(address, |address| fetcher.fetch(address))?;
            let label = label.unwrap_or_else(|| PictureSource::Address(address.clone()).name());
            return Ok(Picture { bytes, label, source_url: Some(address) });
        }
        let bytes = source.read(&PhotoLimits::default())?;
        Ok(Picture { bytes, label: label.unwrap_or_else(|| source.name()), source_url: None })
    }
}

/// How a picture is read when its turn comes.
pub(crate) type Read = Box<dyn FnOnce() -> Result<Vec<u8>, Failure> + Send>;

pub(crate) fn reading(pictures: &Arc<Pictures>, given: Given, label: &str) -> Read {
    let (pictures, label) = (Arc::clone(pictures), label.to_owned());
    Box::new(move || Ok(pictures.read(given, Some(label))?.bytes))
}

/// A PNG file, lossless, of `height * width * channels` bytes in rows from the top. Channels: 1 grey, 2 grey and alpha, 3 red,
/// green, blue, 4 with alpha.
#[pyfunction]
pub(crate) fn encode_png(
    py: Python<'_>,
    pixels: Vec<u8>,
    height: u32,
    width: u32,
    channels: u8,
) -> Result<Bound<'_, PyBytes>, Failure> {
    let colour = match channels {
        1 => ExtendedColorType::L8,
        2 => ExtendedColorType::La8,
        3 => ExtendedColorType::Rgb8,
        4 => ExtendedColorType::Rgba8,
        _ => return Err(Failure::argument("argument", "a picture has 1 to 4 channels")),
    };
    let wanted = u64::from(height) * u64::from(width) * u64::from(channels);
    if wanted == 0 || pixels.len() as u64 != wanted {
        let text = format!("{} bytes are no picture of {height} x {width} x {channels}", pixels.len());
        return Err(Failure::argument("argument", text));
    }
    let png = py.detach(|| {
        let mut png = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive);
        encoder.write_image(&pixels, width, height, colour).map(|()| png)
    });
    let png = png.map_err(|error| Failure::Picture { code: "argument", text: error.to_string() })?;
    Ok(PyBytes::new(py, &png))
}
