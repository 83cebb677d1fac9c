//! Many rows on all cores, committed in groups and in their order.
//!
//! ```text
//! rows ---> reader ---> workers: prepare ---> caller: order, group, commit
//!           one thread  one a core            ^ at most two groups in all of it
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::EngineError;
use crate::cancel::Interrupt;
use crate::photo::Digest;

/// A row that is ready waits no longer than this for others of its group.
pub(super) const GROUP_MAX_AGE: Duration = Duration::from_millis(200);

/// Nor longer than this where no other row is under way: who writes one and waits for what is said of it gets it at once, and a
/// reader that is only a little slower than the workers still fills groups.
const LULL: Duration = Duration::from_millis(2);

/// How often the caller's wish to stop is looked at.
const STOP_POLL: Duration = Duration::from_millis(50);

/// How [`Engine::add_all`](super::Engine::add_all) or [`Engine::check_all`](super::Engine::check_all) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// All were told of.
    Done,
    /// It was stopped; what was not told of is not stored.
    Stopped,
}

/// Which rows are committed together.
#[derive(Clone, Copy)]
pub(super) struct Grouping {
    /// At most so many. One commit costs one fsync, some milliseconds, whatever the size of the group.
    pub(super) rows: usize,
    /// Whether they come in the order in which they were prepared, instead of that of the input.
    pub(super) unordered: bool,
    /// How long a row that is ready may wait for others that are under way.
    pub(super) max_age: Duration,
}

/// Reads `rows` on a thread of its own, has each prepared on all threads of the current rayon pool's number, and commits them
/// in groups. Once `interrupt` says so, what is ready is committed, and nothing else. At most two groups of rows are under
/// way.
///
/// # Errors
/// That of the first commit or row that fails; the rows before it are committed. What lies in one row alone belongs into its
/// `R`.
pub(super) fn in_groups<T, R>(
    rows: impl Iterator<Item = T> + Send + 'static,
    grouping: Grouping,
    interrupt: &Interrupt,
    prepare: impl Fn(T) -> Result<R, EngineError> + Sync,
    mut commit: impl FnMut(Vec<R>) -> Result<(), EngineError>,
) -> Result<BatchEnd, EngineError>
where
    T: Send + 'static,
    R: Send,
{
    let intake = Arc::new(Intake::new(2 * grouping.rows as u64));
    let reader = {
        let intake = Arc::clone(&intake);
        // Not a scoped thread: while it waits for standard input, stopping must not wait for it.
        std::thread::spawn(move || {
            let _end = EndOnDrop(&*intake);
            for numbered in (0..).zip(rows) {
                if !intake.put(numbered) {
                    break;
                }
            }
        })
    };
    let (tell, told) = mpsc::channel();
    let end = std::thread::scope(|scope| {
        let _end = StopOnDrop(&*intake);
        for _ in 0..rayon::current_num_threads() {
            let (tell, intake, prepare) = (tell.clone(), &*intake, &prepare);
            scope.spawn(move || {
                while let Some((number, row)) = intake.take() {
                    if tell.send((number, prepare(row))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(tell);
        commit_in_order(&told, &intake, grouping, interrupt, &mut commit)
    })?;
    if end == BatchEnd::Done
        && let Err(panic) = reader.join()
    {
        std::panic::resume_unwind(panic);
    }
    Ok(end)
}

/// Takes what the workers have prepared, which comes in any order, and commits it in the order of the input.
fn commit_in_order<T, R>(
    told: &Receiver<(u64, Result<R, EngineError>)>,
    intake: &Intake<T>,
    grouping: Grouping,
    interrupt: &Interrupt,
    commit: &mut dyn FnMut(Vec<R>) -> Result<(), EngineError>,
) -> Result<BatchEnd, EngineError> {
    let mut early = BTreeMap::new();
    // With the time when its first row was put there.
    let (mut group, mut since) = (Vec::new(), Instant::now());
    // With rows in any order each takes the next place.
    let (mut next, mut arrived) = (0, 0);
    loop {
        if interrupt.check().is_err() {
            commit(group)?;
            return Ok(BatchEnd::Stopped);
        }
        let wait = if group.is_empty() {
            // What came beyond a full group is taken at once.
            if early.contains_key(&next) { Duration::ZERO } else { STOP_POLL }
        } else if intake.put_in() == next {
            LULL
        } else {
            grouping.max_age.saturating_sub(since.elapsed()).min(STOP_POLL)
        };
        let (mut ended, mut is_lull) = (false, false);
        match told.recv_timeout(wait) {
            Ok((number, row)) => {
                early.insert(if grouping.unordered { arrived } else { number }, row);
                arrived += 1;
            }
            Err(RecvTimeoutError::Timeout) => is_lull = intake.put_in() == next,
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        while group.len() < grouping.rows
            && let Some(row) = early.remove(&next)
        {
            next += 1;
            if group.is_empty() {
                since = Instant::now();
            }
            match row {
                Ok(row) => group.push(row),
                Err(error) => {
                    commit(group)?;
                    return Err(error);
                }
            }
        }
        let is_full = group.len() >= grouping.rows || since.elapsed() >= grouping.max_age;
        if ended || (is_full || is_lull) && !group.is_empty() {
            commit(std::mem::take(&mut group))?;
            intake.done(next);
        }
        // A number that is missing is that of a worker that has panicked, which the scope passes on.
        if ended && !early.contains_key(&next) {
            return Ok(BatchEnd::Done);
        }
    }
}

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
struct Intake<T> {
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
    fn new(window: u64) -> Self {
        let state = IntakeState { waiting: VecDeque::new(), put: 0, done: 0, ended: false, stopped: false };
        Self { window, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Puts one in once there is room; says `false`, and drops it, when nothing is taken any more.
    fn put(&self, item: T) -> bool {
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
    fn take(&self) -> Option<T> {
        let mut state = self.wait_while(|state| !state.stopped && !state.ended && state.waiting.is_empty());
        if state.stopped { None } else { state.waiting.pop_front() }
    }

    /// How many were put in by now.
    fn put_in(&self) -> u64 {
        self.state().put
    }

    /// Those before number `next` are done with.
    fn done(&self, next: u64) {
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
struct EndOnDrop<'a, T>(&'a Intake<T>);

impl<T> Drop for EndOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

/// However the batch ends, neither reader nor workers are left waiting.
struct StopOnDrop<'a, T>(&'a Intake<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.stopped = true;
            state.waiting.clear();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;

    #[test]
    fn a_row_is_committed_as_soon_as_no_other_is_under_way() {
        let (ask, asked) = mpsc::channel::<u32>();
        let (answer, answers) = mpsc::channel();
        // So long that the test would never end if rows waited for their group.
        let grouping = Grouping { rows: 256, unordered: false, max_age: Duration::from_hours(24) };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                in_groups(asked.into_iter(), grouping, &Interrupt::from(Cancel::new()), Ok, |group| {
                    for row in group {
                        answer.send(row).unwrap();
                    }
                    Ok(())
                })
            });
            for row in 0..20 {
                ask.send(row).unwrap();
                assert_eq!(answers.recv(), Ok(row), "one at a time, each waited for");
            }
            drop(ask);
        });
        assert!(answers.recv().is_err(), "each of them once");
    }
}
