//! How often may a key ask?

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::keys::{KeyId, StoredKey};
use super::request_error::RequestError;

/// Paces that are remembered. Keys are few; this only bounds what a mistake could cost.
const MAX_PACES: usize = 10_000;
/// A key may ask so many seconds' worth of requests at once.
const BURST_SECS: f64 = 2.0;

/// How much each key may ask just now (token buckets).
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<KeyId, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Paces {
    pub(super) fn take(&self, key: &StoredKey, now: Instant) -> Result<(), RequestError> {
        let Some(per_second) = key.per_second else { return Ok(()) };
        let most = (per_second * BURST_SECS).max(1.0);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_PACES {
            buckets.clear();
        }
        let bucket = buckets.entry(key.key_id.clone()).or_insert(Bucket { tokens: most, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * per_second).min(most);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            let wait_secs = ((1.0 - bucket.tokens) / per_second).ceil().clamp(1.0, 3600.0);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 3600")]
            return Err(RequestError::RateLimited { retry_after_secs: wait_secs as u64 });
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::keys::Rights;
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn a_pace_lets_a_burst_through_and_then_what_it_says() {
        let key = StoredKey {
            key_id: KeyId("k".to_owned()),
            name: "k".to_owned(),
            rights: Rights::ALL,
            daily_budget: None,
            per_second: Some(2.0),
            created_at: Timestamp::from_unix_ms(0),
            revoked_at: None,
            calls_today: 0,
        };
        let (paces, now) = (Paces::default(), Instant::now());
        let passed = (0..10).filter(|_| paces.take(&key, now).is_ok()).count();
        assert_eq!(passed, 4);
        assert_eq!(paces.take(&key, now), Err(RequestError::RateLimited { retry_after_secs: 1 }));
        assert!(paces.take(&key, now + Duration::from_secs(1)).is_ok());
    }
}
