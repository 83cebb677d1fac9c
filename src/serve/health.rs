//! Can the service answer? Ready is who has just looked at a real picture.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use image::{Rgb, RgbImage};

use crate::engine::{Engine, EngineError};
use crate::photo::encode_jpeg;
use crate::timestamp::Timestamp;

/// What the last inference came to.
#[derive(Debug, Default)]
pub(super) struct Health {
    ready: AtomicBool,
    last: Mutex<Option<(Timestamp, Option<String>)>>,
}

impl Health {
    /// Whether the last inference worked.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// When the last inference was, and the code of what was wrong with it.
    pub(super) fn last(&self) -> Option<(Timestamp, Option<String>)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads model and index, and has a picture looked at that is not stored, so that the model runs.
    pub(super) fn prove(&self, engine: &Engine, now: Timestamp) {
        let proved = engine.warm_up().and_then(|()| look(engine, now));
        if let Err(error) = &proved {
            tracing::error!(%error, code = error.code(), "not ready: the trial picture could not be looked at");
        }
        self.ready.store(proved.is_ok(), Ordering::Release);
        let told = (now, proved.err().map(|error| error.code().to_owned()));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
}

/// Two shapes on a gradient, other ones at each time: known bytes would not be embedded.
fn look(engine: &Engine, now: Timestamp) -> Result<(), EngineError> {
    let seed = now.unix_ms().unsigned_abs();
    let (left, top) = ((seed % 61) as u32, (seed / 61 % 53) as u32);
    #[allow(clippy::cast_possible_truncation, reason = "taken modulo 256")]
    let picture = RgbImage::from_fn(128, 112, |x, y| {
        let inside = (left..left + 48).contains(&x) && (top..top + 40).contains(&y);
        let at = x.abs_diff(96).pow(2) + y.abs_diff(72).pow(2) < 500;
        match (inside, at) {
            (true, _) => Rgb([200, (x * 2 % 256) as u8, (seed % 251) as u8]),
            (_, true) => Rgb([30, 60, (y * 2 % 256) as u8]),
            _ => Rgb([(x * 2 % 256) as u8, (y * 2 % 256) as u8, 240]),
        }
    });
    // It is small enough.
    let jpeg = encode_jpeg(&picture, 90).unwrap_or_default();
    engine.recognise(&jpeg).map(|_| ())
}
