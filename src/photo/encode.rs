//! Pixels as a file, for what is shown or made up.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageError, RgbImage};

/// A JPEG of `picture`, at a quality of 1 to 100.
///
/// # Errors
/// When a side is longer than 65,535 pixels, which no JPEG can be.
pub(crate) fn encode_jpeg(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{Photo, PhotoFormat, PhotoLimits};
    use super::*;

    #[test]
    fn what_is_encoded_is_a_jpeg_of_the_same_size_and_what_is_too_long_is_an_error() {
        let bytes = encode_jpeg(&RgbImage::new(12, 7), 80).unwrap();
        let photo = Photo::decode(&bytes, &PhotoLimits::default()).unwrap();
        assert_eq!((photo.format(), photo.width_px(), photo.height_px()), (PhotoFormat::Jpeg, 12, 7));
        assert!(encode_jpeg(&RgbImage::new(65_536, 1), 80).is_err());
    }
}
