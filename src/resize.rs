//! Resizes RGB bytes, three a pixel, row by row.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{ResizeAlg, ResizeOptions, Resizer};

/// Why the resizer refuses sizes.
pub(crate) type ResizeFailure = Box<dyn std::error::Error + Send + Sync>;

/// Resizes `from` to `to` (width and height) into `target`, which becomes as long as that takes.
///
/// Of one type of pixels: by `Resizer::resize` all thirteen of the crate would be in the program, and two compilations of those
/// of floats differ in the order of a few instructions (docs/decisions.md).
pub(crate) fn resize_rgb(
    resizer: &mut Resizer,
    source: &[u8],
    from: (u32, u32),
    target: &mut Vec<u8>,
    to: (u32, u32),
    algorithm: ResizeAlg,
) -> Result<(), ResizeFailure> {
    target.resize(to.0 as usize * to.1 as usize * 3, 0);
    let source = TypedImageRef::<U8x3>::from_buffer(from.0, from.1, source)?;
    let mut target = TypedImage::<U8x3>::from_buffer(to.0, to.1, target)?;
    resizer.resize_typed(&source, &mut target, &ResizeOptions::new().resize_alg(algorithm))?;
    Ok(())
}
