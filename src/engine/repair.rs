//! Entries that cannot be read: found and taken away, so that they are made anew.

use super::{Engine, EngineError};
use crate::store::{Damage, Entry, PaidWaiting};
use crate::verify::Sketch;

impl Engine {
    /// Reads every vector, sketch, offer and waiting picture, and returns those that cannot be read. Searches need none of
    /// this: they pass such an entry over.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn damage(&self) -> Result<Vec<Damage>, EngineError> {
        let sketch = |bytes: &[u8]| Sketch::from_bytes(bytes).err().map(|error| error.to_string());
        Ok(self.store.damaged_entries(&sketch)?)
    }

    /// Takes away what [`Engine::damage`] has found, in one transaction. A photo without its vector stays known by its
    /// bytes and pixels, until [`EngineBuilder::reembed`](super::EngineBuilder::reembed) has its original.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails; nothing has changed then.
    pub fn repair(&self, damage: &[Damage]) -> Result<(), EngineError> {
        if damage.is_empty() {
            return Ok(());
        }
        self.store.repair(damage)?;
        if damage.iter().any(|damage| matches!(damage.entry, Entry::Vector(_))) {
            // It may have been made before the damage, and have a photo now that the catalogue has no vector of.
            self.index.reset(self.progress.as_ref());
        }
        Ok(())
    }

    /// Whether what would be paid for now could be kept, whatever happens to the store; with how much waits to be stored.
    ///
    /// # Errors
    /// [`EngineError`] when it could not, or when what waits cannot be read.
    pub fn paid_waiting(&self) -> Result<PaidWaiting, EngineError> {
        let waiting = self.store.paid_waiting()?;
        if self.has_upstreams() {
            self.store.keep_room_for_an_answer()?;
        }
        Ok(waiting)
    }

    /// How many stored photos have no vector of this engine's model, and how many no sketch: known by their bytes and
    /// pixels only, and judged by their vectors alone.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn lacking(&self) -> Result<(u64, u64), EngineError> {
        Ok(self.store.lacking(&self.embedder.fingerprint)?)
    }
}
