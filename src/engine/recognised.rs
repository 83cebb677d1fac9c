//! Files that were recognised by sight are remembered by their bytes: the same file is not judged again. Besides the time, that saves
//! calls: once alike goods are stored beside the right ones, a picture that was a hit may be one of several equal ones.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::paying::NOTE_PATIENCE;
use super::quota::FLUSH_EVERY;
use super::search::Search;
use super::{Engine, EngineError, Stage};
use crate::store::{Patience, Recognised};
use crate::verdict::{Match, Rule, Verdict};
use crate::verify::{CONFIDENCE_RULES, weights_digest};

/// Files that were recognised since they were last written down, [`FLUSH_EVERY`] at a time, because a hit must not wait for the
/// disk. A process that is killed forgets fewer, and judges them anew.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<Vec<Recognised>>);

impl Unwritten {
    fn list(&self) -> MutexGuard<'_, Vec<Recognised>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What names today's verifier.
fn verifier() -> String {
    format!("{}-{CONFIDENCE_RULES}", weights_digest())
}

impl Search<'_> {
    /// The photo that these very bytes were taken for before, by today's verifier and for a bound that was no weaker.
    pub(super) fn find_recognised(&self) -> Result<Option<Match>, EngineError> {
        let (store, digest) = (&self.engine.store, self.picture.byte_digest());
        let known = self.picture.timings.measure(Stage::Catalog, || store.recognised(digest))?;
        let holds = |known: &Recognised| {
            known.verifier == verifier() && f64::from(known.max_false_hit) <= self.engine.bound.asked()
        };
        Ok(known.filter(holds).map(|known| Match {
            score: known.score,
            confidence: Some(known.confidence),
            ..Match::equal(known.photo_id, Rule::SamePicture)
        }))
    }

    /// Remembers what the picture was recognised as, if that was by sight and just now.
    pub(super) fn remember_recognised(&self) {
        let Verdict::Hit(Match { photo_id, score, confidence: Some(confidence), .. }) = self.verdict else {
            return;
        };
        if !self.was_judged() || self.engine.store.is_read_only() {
            return;
        }
        // Down, not to the nearest: what is read back must not be a weaker bound than what was asked for.
        #[expect(clippy::cast_possible_truncation, reason = "a share of 0 to 1")]
        let max_false_hit = (self.engine.bound.asked() as f32).next_down();
        let mut unwritten = self.engine.recognised.list();
        unwritten.push(Recognised {
            byte_digest: self.picture.byte_digest(),
            photo_id,
            score,
            confidence,
            max_false_hit,
            verifier: verifier(),
            recognised_at: self.engine.clock.now(),
        });
        let is_enough = unwritten.len() as u64 >= FLUSH_EVERY;
        drop(unwritten);
        if is_enough {
            self.engine.flush_recognised();
        }
    }
}

impl Engine {
    /// Writes down what was recognised; what cannot be written now is judged anew another time.
    pub(super) fn flush_recognised(&self) {
        let _patience = Patience::limited_to(NOTE_PATIENCE);
        let recognised = std::mem::take(&mut *self.recognised.list());
        if !recognised.is_empty() {
            let _ = self.store.remember_recognised(&recognised);
        }
    }
}
