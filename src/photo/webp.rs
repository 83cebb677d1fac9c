//! WebP: what its RIFF chunks promise, checked before the decoder believes them.

use super::{PhotoError, PhotoFormat, PhotoLimits};

/// Peak bytes a pixel costs while decoding, besides the decoded picture: a four-byte copy for a lossless
/// frame.
const STILL_BYTES: u64 = 4;
/// An animation adds a canvas.
const ANIMATED_BYTES: u64 = 8;

/// Walks the chunks; returns how many extra bytes a pixel costs at the decoder's peak.
///
/// The decoder allocates what a chunk's header says before reading it, and whole frames before comparing
/// their size with the picture's, so both are checked here. Like libwebp, this refuses a file shorter than it
/// says.
///
/// # Errors
/// [`PhotoError::Truncated`] when a chunk does not fit the file, [`PhotoError::TooManyPixels`] when a frame
/// does not fit the limits.
pub(super) fn survey(bytes: &[u8], limits: &PhotoLimits) -> Result<u64, PhotoError> {
    let short = |detail: &str| PhotoError::truncated(PhotoFormat::WebP, detail);
    let promised = u64::from(le32(bytes, 4).ok_or_else(|| short("its header is cut"))?) + 8;
    let end = usize::try_from(promised).ok().filter(|&end| end <= bytes.len());
    let end = end.ok_or_else(|| short(&format!("{} of {promised} bytes", bytes.len())))?;

    let mut extra = STILL_BYTES;
    let mut at = 12;
    // The last chunk may lack its padding byte.
    while at + 8 <= end {
        let (fourcc, rest) = (&bytes[at..at + 4], &bytes[at + 8..end]);
        let size = le32(bytes, at + 4).and_then(|size| usize::try_from(size).ok());
        let payload = size.and_then(|size| rest.get(..size)).ok_or_else(|| short("a chunk is cut"))?;
        if fourcc == b"ANMF" {
            extra = ANIMATED_BYTES;
            // A frame's own chunks follow 16 bytes of place and timing; its alpha comes before its pixels.
            let mut inner = payload.get(16..).unwrap_or_default();
            while let (Some(fourcc), Some(size)) = (inner.get(..4), le32(inner, 4)) {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let payload = inner[8..].get(..size).ok_or_else(|| short("a frame is cut"))?;
                admit_frame(fourcc, payload, limits)?;
                inner = inner[8..].get(size.saturating_add(size & 1)..).unwrap_or_default();
            }
        }
        admit_frame(fourcc, payload, limits)?;
        at += 8 + payload.len() + (payload.len() & 1);
    }
    Ok(extra)
}

/// Checks the size that the header of a frame or of the canvas gives.
fn admit_frame(fourcc: &[u8], payload: &[u8], limits: &PhotoLimits) -> Result<(), PhotoError> {
    let size = match (fourcc, payload) {
        (b"VP8 ", &[_, _, _, _, _, _, w0, w1, h0, h1, ..]) => {
            Some((u32::from_le_bytes([w0, w1, 0, 0]) & 0x3fff, u32::from_le_bytes([h0, h1, 0, 0]) & 0x3fff))
        }
        (b"VP8X", &[_, _, _, _, w0, w1, w2, h0, h1, h2, ..]) => {
            Some((u32::from_le_bytes([w0, w1, w2, 0]) + 1, u32::from_le_bytes([h0, h1, h2, 0]) + 1))
        }
        (b"VP8L", _) => le32(payload, 1).map(|bits| ((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1)),
        _ => None,
    };
    size.map_or(Ok(()), |(width, height)| limits.admit(width, height).map(drop))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&four| u32::from_le_bytes(four))
}
