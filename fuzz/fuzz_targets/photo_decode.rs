#![no_main]

use libfuzzer_sys::fuzz_target;
use tongkuan::photo::{Photo, PhotoError, PhotoLimits};

fuzz_target!(|bytes: &[u8]| {
    // Small enough that a find is about the decoder's logic, not about its honest use of memory.
    let limits = PhotoLimits {
        max_pixels: 1 << 20,
        max_memory_bytes: 64 << 20,
        ..PhotoLimits::default()
    };
    match Photo::decode(bytes, &limits) {
        Ok(photo) => {
            let pixels = u64::from(photo.width_px()) * u64::from(photo.height_px());
            assert!(pixels >= 1 && pixels <= limits.max_pixels);
            assert_eq!(photo.rgb().len() as u64, 3 * pixels);
        }
        // Contained in production, but a find here: it is to be fixed upstream.
        Err(PhotoError::DecoderPanicked { format, detail }) => panic!("{format}: {detail}"),
        Err(_) => {}
    }
});
