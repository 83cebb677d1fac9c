//! Own goods: what the user sells or has bought already, indexed so that a search finds it.

use serde::Serialize;

use super::{Engine, EngineError, Timings};
use crate::catalog::NewAnswer;
use crate::offer::Offer;
use crate::photo_id::PhotoId;
use crate::verdict::Verdict;

/// What [`Engine::add_own`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Added {
    pub photo_id: PhotoId,
    /// False when a photo with the same bytes or pixels was there already; the good was added to it.
    pub is_new: bool,
}

impl Engine {
    /// Stores a good of the user's own with a picture of it. From then on a search for that picture, or an edited
    /// copy of it, is a hit that answers with the good. Adding the same good with the same picture again changes
    /// its title and price, nothing else. Never asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails; nothing is stored then.
    pub fn add_own(&self, good: &Offer, bytes: &[u8], label: &str) -> Result<Added, EngineError> {
        let mut timings = Timings::default();
        let added_at = self.clock.now();
        let answer = NewAnswer::Own { added_at, offer: good };
        let mut seen = self.look_for_equal(bytes, &mut timings)?;
        if let Verdict::Hit(same) = seen.verdict
            && self.catalog.store_answer(same.photo_id, &answer)?
        {
            return Ok(Added { photo_id: same.photo_id, is_new: false });
        }
        let stored = self.store(&mut seen, bytes, label, &answer, &mut timings)?;
        Ok(Added { photo_id: stored.photo_id, is_new: stored.is_new })
    }
}
