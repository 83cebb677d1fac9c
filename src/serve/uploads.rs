//! Pictures that a dialect uploads before it searches for them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

/// Of all uploads that are kept, in bytes; the oldest are forgotten first.
const MAX_BYTES: usize = 64 * 1024 * 1024;
const KEPT: Duration = Duration::from_hours(1);

/// Uploaded pictures by their id, in memory alone: a client uploads anew what is not known any more.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    pictures: VecDeque<(u64, Upload, Instant)>,
}

/// An uploaded picture, and where it was fetched if it was.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) bytes: Bytes,
    pub(super) source_url: Option<String>,
}

impl Uploads {
    /// Keeps a picture under an id that cannot be guessed.
    pub(super) fn put(&self, upload: Upload, now: Instant) -> u64 {
        let chance = super::key_secrets::random::<8>().unwrap_or_default();
        // 19 decimal digits at the most, as clients keep it in a signed 64-bit integer; 0 means "not taken".
        let id = (u64::from_be_bytes(chance) >> 1).max(1);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += upload.bytes.len();
        kept.pictures.push_back((id, upload, now));
        while let Some((_, oldest, at)) = kept.pictures.front()
            && (kept.bytes > MAX_BYTES || now.saturating_duration_since(*at) > KEPT)
        {
            kept.bytes -= oldest.bytes.len();
            kept.pictures.pop_front();
        }
        id
    }

    pub(super) fn get(&self, id: u64) -> Option<Upload> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pictures.iter().find(|(known, ..)| *known == id).map(|(_, upload, _)| upload.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_bounded_and_the_newest_stay() {
        let uploads = Uploads::default();
        let now = Instant::now();
        let upload = |len: usize| Upload { bytes: vec![7; len].into(), source_url: None };
        let ids: Vec<u64> = (0..5).map(|_| uploads.put(upload(MAX_BYTES / 4), now)).collect();
        assert!(uploads.get(ids[0]).is_none());
        assert!(ids[1..].iter().all(|id| uploads.get(*id).is_some()));
        let last = uploads.put(upload(1), now + KEPT + Duration::from_secs(1));
        assert!(uploads.get(ids[4]).is_none() && uploads.get(last).is_some());
    }
}
