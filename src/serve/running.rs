//! Which requests with an `Idempotency-Key` are under way?

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Requests with a key that are under way in this process.
#[derive(Debug, Default)]
pub(super) struct Running(Arc<Mutex<HashSet<(String, String)>>>);

impl Running {
    pub(super) fn enter(&self, scope: &str, key: &str) -> Option<Here> {
        let place = (scope.to_owned(), key.to_owned());
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone());
        is_new.then(|| Here(Arc::clone(&self.0), place))
    }
}

/// A request under way; not any more when dropped.
pub(super) struct Here(Arc<Mutex<HashSet<(String, String)>>>, (String, String));

impl Drop for Here {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
