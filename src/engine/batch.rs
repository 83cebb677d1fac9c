//! What a batch needs that many threads work on: a bounded way in, and equal pictures worked on once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::EngineError;
use crate::photo::Digest;

/// The pictures under way: equal ones are embedded once.
pub(super) struct InFlight<T>(Pictures<T>);

/// By their digests; `None` for one that failed.
type Pictures<T> = Mutex<HashMap<Digest, Arc<OnceLock<Option<T>>>>>;

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> InFlight<T> {
    /// What `prepare` makes of the picture with these bytes, which another thread may be making at this moment.
    pub(super) fn once(
        &self,
        digest: Digest,
        prepare: impl Fn() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let cell = Arc::clone(self.pictures().entry(digest).or_default());
        let mut failed = None;
        let prepared = cell.get_or_init(|| prepare().map_err(|error| failed = Some(error)).ok());
        match (prepared, failed) {
            (Some(prepared), _) => Ok(prepared.clone()),
            (None, Some(error)) => {
                self.pictures().remove(&digest);
                Err(error)
            }
            // It failed for another good: this one has an error of its own.
            (None, None) => prepare(),
        }
    }

    /// From now on the catalogue knows the picture.
    pub(super) fn forget(&self, byte_digest: Digest) {
        self.pictures().remove(&byte_digest);
    }

    fn pictures(&self) -> MutexGuard<'_, HashMap<Digest, Arc<OnceLock<Option<T>>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows on their way to the workers, and how far the way is free.
pub(super) struct Intake<T> {
    /// Rows that are under way at the most.
    window: u64,
    state: Mutex<IntakeState<T>>,
    changed: Condvar,
}

struct IntakeState<T> {
    waiting: VecDeque<T>,
    /// Numbers of rows put in and done with.
    put: u64,
    done: u64,
    /// Nothing will come any more.
    ended: bool,
    /// Nothing is to be taken any more.
    stopped: bool,
}

impl<T> Intake<T> {
    pub(super) fn new(window: u64) -> Self {
        let state = IntakeState { waiting: VecDeque::new(), put: 0, done: 0, ended: false, stopped: false };
        Self { window, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Puts one in once there is room; says `false`, and drops it, when nothing is taken any more.
    pub(super) fn put(&self, item: T) -> bool {
        let mut state = self.wait_while(|state| !state.stopped && state.put >= state.done + self.window);
        if state.stopped {
            return false;
        }
        state.put += 1;
        state.waiting.push_back(item);
        self.changed.notify_all();
        true
    }

    /// Takes the next one; `None` when there will be none.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.wait_while(|state| !state.stopped && !state.ended && state.waiting.is_empty());
        if state.stopped { None } else { state.waiting.pop_front() }
    }

    /// Those before number `next` are done with.
    pub(super) fn done(&self, next: u64) {
        self.change(|state| state.done = next);
    }

    fn change(&self, change: impl FnOnce(&mut IntakeState<T>)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, IntakeState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, wait: impl Fn(&IntakeState<T>) -> bool) -> MutexGuard<'_, IntakeState<T>> {
        self.changed.wait_while(self.state(), |state| wait(state)).unwrap_or_else(PoisonError::into_inner)
    }
}

/// However the reader ends, the workers are not left waiting.
pub(super) struct EndOnDrop<'a, T>(pub(super) &'a Intake<T>);

impl<T> Drop for EndOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

/// However the batch ends, neither reader nor workers are left waiting.
pub(super) struct StopOnDrop<'a, T>(pub(super) &'a Intake<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.stopped = true;
            state.waiting.clear();
        });
    }
}
