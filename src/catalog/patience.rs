//! How long may a search wait for others that write? As long as this thread is given, over all its statements.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};

use super::{BUSY_TIMEOUT, Catalog};
use crate::cancel::Interrupt;

/// How often a thread that waits with a limit looks whether another thread of its process has done writing.
const POLL: Duration = Duration::from_millis(1);

/// What all writes after a call may wait together: the answer is there, and people wait for it.
const AFTER_CALL: Duration = Duration::from_secs(5);

/// From how long a wait for another process is said.
pub(crate) const NOTE_AFTER: Duration = Duration::from_secs(5);

thread_local! {
    /// What this thread may still wait; `None` while nothing limits it.
    static LEFT: Cell<Option<Duration>> = const { Cell::new(None) };
    /// What ends a wait of this thread before that.
    static INTERRUPT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
    /// The wait of the statement that this thread is at.
    static WAIT: RefCell<Option<Wait>> = const { RefCell::new(None) };
}

/// Hears what is waited for, as a line of text.
pub(crate) type WaitListener = Arc<dyn Fn(&str) + Send + Sync>;

/// A wait until another connection has done writing.
pub(super) struct Wait {
    since: Instant,
    limit: Duration,
    /// Until it has been told.
    listener: Option<WaitListener>,
}

impl Wait {
    pub(super) fn new(limit: Duration, listener: Option<WaitListener>) -> Self {
        Self { since: Instant::now(), limit, listener }
    }

    /// Sleeps a while, longer after more `tries`, and says whether to try again.
    pub(super) fn pause(&mut self, tries: u32) -> bool {
        let waited = self.since.elapsed();
        if waited >= self.limit || is_interrupted() {
            return false;
        }
        if waited >= NOTE_AFTER
            && let Some(listener) = self.listener.take()
        {
            listener(&format!(
                "another process is writing to the home folder: waiting for it, {} s at the most",
                self.limit.as_secs()
            ));
        }
        let pause = Duration::from_millis(u64::from(tries).clamp(1, 50));
        std::thread::sleep(pause.min(self.limit.saturating_sub(waited)));
        true
    }
}

/// What SQLite calls when another connection is writing.
fn keep_waiting(tries: i32) -> bool {
    WAIT.with_borrow_mut(|wait| wait.as_mut().is_some_and(|wait| wait.pause(tries.unsigned_abs())))
}

fn is_interrupted() -> bool {
    INTERRUPT.with_borrow(|interrupt| interrupt.as_ref().is_some_and(|interrupt| interrupt.check().is_err()))
}

/// While it lives, the writes of this thread wait no longer than the limit, all together.
#[derive(Debug)]
#[must_use]
pub struct Patience {
    before: Option<Duration>,
    interrupt_before: Option<Interrupt>,
    /// Of one thread.
    _not_send: PhantomData<*const ()>,
}

impl Patience {
    /// No longer than `limit`, nor than what is left of a limit that holds already. An interrupt that holds does not end
    /// such a wait: it is short, and for what has to be noted all the same.
    pub fn limited_to(limit: Duration) -> Self {
        let before = LEFT.get();
        LEFT.set(Some(before.map_or(limit, |left| left.min(limit))));
        let interrupt_before = INTERRUPT.take();
        Self { before, interrupt_before, _not_send: PhantomData }
    }

    /// As [`limited_to`](Self::limited_to), and only until `interrupt` ends it. What follows a call is not interrupted: its
    /// answer is paid for.
    pub fn limited_unless(limit: Duration, interrupt: &Interrupt) -> Self {
        let patience = Self::limited_to(limit);
        INTERRUPT.set(Some(interrupt.clone()));
        patience
    }

    /// What this thread may still wait; `None` while nothing limits it.
    #[cfg(feature = "postgres")]
    pub(crate) fn left() -> Option<Duration> {
        LEFT.get()
    }

    /// Takes what was waited from what may be waited.
    #[cfg(feature = "postgres")]
    pub(crate) fn spend(waited: Duration) {
        LEFT.set(LEFT.get().map(|left| left.saturating_sub(waited)));
    }

    /// Whether an interrupt ends the waits of this thread.
    #[cfg(feature = "postgres")]
    pub(crate) fn is_interrupted() -> bool {
        is_interrupted()
    }

    /// Whether one can.
    #[cfg(feature = "postgres")]
    pub(crate) fn can_be_interrupted() -> bool {
        INTERRUPT.with_borrow(Option::is_some)
    }

    /// A call has been made: what follows it has a limit of its own, if there was one.
    pub(crate) fn call_ended() {
        INTERRUPT.set(None);
        if LEFT.get().is_some() {
            LEFT.set(Some(AFTER_CALL));
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        LEFT.set(self.before);
        INTERRUPT.set(self.interrupt_before.take());
    }
}

/// The writing connection, while no other thread has it.
pub(super) struct Writer<'c> {
    connection: MutexGuard<'c, Connection>,
    since: Instant,
}

impl Deref for Writer<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Writer<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        LEFT.set(LEFT.get().map(|left| left.saturating_sub(self.since.elapsed())));
        WAIT.set(None);
        // Cannot fail for an open connection.
        let _ = self.connection.busy_timeout(BUSY_TIMEOUT);
    }
}

impl Catalog {
    /// Has `listener` told when a search waits long for another process that is writing. Only the first call counts.
    pub fn on_wait(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.waits.set(Arc::new(listener));
    }

    /// As [`Catalog::writer`], within this thread's [`Patience`].
    pub(super) fn writer_in_time(&self) -> Result<Writer<'_>, rusqlite::Error> {
        let since = Instant::now();
        let mut connection = match LEFT.get() {
            None => self.writer(),
            Some(left) => loop {
                match self.writer.try_lock() {
                    Ok(connection) => break connection,
                    Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                    Err(TryLockError::WouldBlock) if since.elapsed() < left && !is_interrupted() => {
                        std::thread::sleep(POLL);
                    }
                    Err(TryLockError::WouldBlock) => {
                        LEFT.set(Some(Duration::ZERO));
                        return Err(busy());
                    }
                }
            },
        };
        let limit = LEFT.get().unwrap_or(BUSY_TIMEOUT).saturating_sub(since.elapsed());
        WAIT.set(Some(Wait::new(limit, self.waits.get().cloned())));
        connection.busy_handler(Some(keep_waiting))?;
        Ok(Writer { connection, since })
    }
}

/// What SQLite says when another connection is writing.
fn busy() -> rusqlite::Error {
    let message = "another thread of this process is writing".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;

    #[test]
    fn a_wait_ends_at_its_limit_and_at_once_where_it_is_interrupted() {
        let limit = Duration::from_millis(3);
        let mut wait = Wait::new(limit, None);
        let mut tries = 0;
        while wait.pause(tries) {
            tries += 1;
        }
        assert!(tries > 0 && wait.since.elapsed() >= limit, "{tries} tries");

        let cancel = Cancel::new();
        let _patience = Patience::limited_unless(BUSY_TIMEOUT, &Interrupt::from(cancel.clone()));
        assert!(Wait::new(BUSY_TIMEOUT, None).pause(0));
        cancel.cancel();
        assert!(!Wait::new(BUSY_TIMEOUT, None).pause(0));
    }
}
