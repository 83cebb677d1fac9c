//! Own goods by the thousand: read and embedded on all cores, committed in groups, told of in their order.
//!
//! ```text
//! goods ---> reader ---> workers (read, decode, embed) ---> caller: order, group, commit, tell
//!            one thread   one a core                         ^ at most WINDOW goods in all of it
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::goods::PreparedPhoto;
use super::picture::Picture;
use super::{Added, Engine, EngineError};
use crate::offer::Offer;
use crate::photo::Digest;
use crate::store::NewGood;

/// A group is committed when it has so many goods, or when its first one has waited so long. One commit costs one fsync,
/// some milliseconds, whatever the size of the group.
const GROUP: usize = 256;
const GROUP_MAX_AGE: Duration = Duration::from_millis(200);

/// Goods that are under way at the most. Each takes some 8 kB once it is embedded.
const WINDOW: u64 = 2 * GROUP as u64;

/// How often the caller's wish to stop is looked at.
const STOP_POLL: Duration = Duration::from_millis(50);

/// A good to be added.
#[derive(Clone, Debug)]
pub struct OwnGood<R> {
    /// What is told of it.
    pub offer: Offer,
    /// For people, usually the picture's file name; stored with the photo.
    pub label: String,
    /// Reads the picture's file.
    pub read: R,
}

/// How [`Engine::add_all`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// All were told of.
    Done,
    /// It was stopped; goods that were not told of are not stored.
    Stopped,
}

/// A good with its number in the input.
type Numbered<P, R, E> = (u64, P, Result<OwnGood<R>, E>);

/// A good that can be stored.
struct Ready {
    offer: Offer,
    label: String,
    byte_digest: Digest,
    photo: PreparedPhoto,
}

/// What a worker says of a good: its number, and what came of it.
type Worked<P, E> = (u64, (P, Result<Ready, Failure<E>>));

enum Failure<E> {
    /// Of this good.
    Good(E),
    /// Of all that would follow.
    Home(EngineError),
}

impl Engine {
    /// Stores many goods of the user's own, each as [`Engine::add_own`] does: pictures are read and embedded on all threads
    /// of the current rayon pool's number, and committed in groups of up to 256, or as many as came within 200 ms. `each`
    /// hears of every good, in the order of the input, after its group is on disk: what it was told outlives any crash.
    /// With several goods of one id the last one counts, however many threads there are. Memory stays bounded.
    ///
    /// `goods` is read on a thread of its own. `P` is whatever the caller knows a good by; a good that is an error is
    /// passed on to `each` in its place. When `stop` becomes true, what is ready is stored and told of, and nothing else.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder or the model fails; goods that `each` was not told of are not stored then.
    pub fn add_all<P, R, E, I>(
        &self,
        goods: I,
        stop: &AtomicBool,
        each: &mut dyn FnMut(P, Result<Added, E>),
    ) -> Result<BatchEnd, EngineError>
    where
        P: Send + 'static,
        R: FnOnce() -> Result<Vec<u8>, E> + Send + 'static,
        E: From<EngineError> + Send + 'static,
        I: IntoIterator<Item = (P, Result<OwnGood<R>, E>)>,
        I::IntoIter: Send + 'static,
    {
        let intake = Arc::new(Intake::default());
        let goods = goods.into_iter();
        let reader = {
            let intake = Arc::clone(&intake);
            // Not a scoped thread: while it waits for standard input, stopping must not wait for it.
            std::thread::spawn(move || {
                let _end = EndOnDrop(&*intake);
                for (number, (place, good)) in (0..).zip(goods) {
                    if !intake.put((number, place, good)) {
                        break;
                    }
                }
            })
        };
        let shared = InFlight::default();
        let (tell, told) = mpsc::channel();
        let end = std::thread::scope(|scope| {
            let _end = StopOnDrop(&*intake);
            for _ in 0..rayon::current_num_threads() {
                let (tell, intake, shared) = (tell.clone(), &*intake, &shared);
                scope.spawn(move || {
                    while let Some((number, place, good)) = intake.take() {
                        let good = good.map_err(Failure::Good).and_then(|good| self.prepare(good, shared));
                        if tell.send((number, (place, good))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(tell);
            self.store_in_order(&told, &intake, &shared, stop, each)
        })?;
        if end == BatchEnd::Done
            && let Err(panic) = reader.join()
        {
            std::panic::resume_unwind(panic);
        }
        Ok(end)
    }

    fn prepare<R, E>(&self, good: OwnGood<R>, shared: &InFlight) -> Result<Ready, Failure<E>>
    where
        R: FnOnce() -> Result<Vec<u8>, E>,
        E: From<EngineError>,
    {
        let bytes = (good.read)().map_err(Failure::Good)?;
        let byte_digest = Digest::of(&bytes);
        let prepare = || Self::prepare_photo(&Picture::with_digest(self, &bytes, byte_digest));
        let photo = shared.once(byte_digest, prepare).map_err(|error| {
            if error.is_input_error() { Failure::Good(error.into()) } else { Failure::Home(error) }
        })?;
        Ok(Ready { offer: good.offer, label: good.label, byte_digest, photo })
    }

    /// Takes what the workers have prepared, which comes in any order, and commits it in the order of the input.
    fn store_in_order<P, R, E: From<EngineError>>(
        &self,
        told: &mpsc::Receiver<Worked<P, E>>,
        intake: &Intake<Numbered<P, R, E>>,
        shared: &InFlight,
        stop: &AtomicBool,
        each: &mut dyn FnMut(P, Result<Added, E>),
    ) -> Result<BatchEnd, EngineError> {
        let mut early = BTreeMap::new();
        let mut group = Group { goods: Vec::new(), since: Instant::now() };
        let mut next = 0;
        loop {
            if stop.load(Ordering::Relaxed) {
                self.commit(&mut group, shared, each)?;
                return Ok(BatchEnd::Stopped);
            }
            let wait = if group.goods.is_empty() {
                STOP_POLL
            } else {
                GROUP_MAX_AGE.saturating_sub(group.since.elapsed()).min(STOP_POLL)
            };
            let ended = match told.recv_timeout(wait) {
                Ok((number, worked)) => early.insert(number, worked).is_some(),
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            while group.goods.len() < GROUP
                && let Some((place, good)) = early.remove(&next)
            {
                next += 1;
                if group.goods.is_empty() {
                    group.since = Instant::now();
                }
                let good = match good {
                    Ok(ready) => Ok(ready),
                    Err(Failure::Good(error)) => Err(error),
                    Err(Failure::Home(error)) => {
                        self.commit(&mut group, shared, each)?;
                        return Err(error);
                    }
                };
                group.goods.push((place, good));
            }
            let is_full = group.goods.len() >= GROUP || group.since.elapsed() >= GROUP_MAX_AGE;
            if ended || is_full && !group.goods.is_empty() {
                self.commit(&mut group, shared, each)?;
                intake.done(next);
            }
            // A number that is missing is that of a worker that has panicked, which the scope passes on.
            if ended && !early.contains_key(&next) {
                return Ok(BatchEnd::Done);
            }
        }
    }

    /// Commits a group, then tells of its goods.
    fn commit<P, E: From<EngineError>>(
        &self,
        group: &mut Group<P, E>,
        shared: &InFlight,
        each: &mut dyn FnMut(P, Result<Added, E>),
    ) -> Result<(), EngineError> {
        let goods = std::mem::take(&mut group.goods);
        let added_at = self.clock.now();
        let new: Vec<NewGood<'_>> = goods
            .iter()
            .filter_map(|(_, good)| good.as_ref().ok())
            .map(|Ready { offer, label, photo, .. }| NewGood {
                offer,
                photo: photo.as_new(label, added_at),
                added_at,
            })
            .collect();
        let stored = if new.is_empty() { Vec::new() } else { self.store.store_all(&new)? };
        drop(new);
        let mut stored = stored.into_iter();
        for (place, good) in goods {
            let result = good.and_then(|ready| {
                shared.forget(ready.byte_digest);
                let stored = stored.next().expect("store_all has a result for each good");
                stored.map(Added::from).map_err(|error| EngineError::from(error).into())
            });
            each(place, result);
        }
        Ok(())
    }
}

/// What is to be committed together.
struct Group<P, E> {
    goods: Vec<(P, Result<Ready, E>)>,
    /// When the first of them was put there.
    since: Instant,
}

/// The pictures under way: equal ones are embedded once.
#[derive(Default)]
struct InFlight(Mutex<HashMap<Digest, Arc<OnceLock<Option<PreparedPhoto>>>>>);

impl InFlight {
    /// What `prepare` makes of the picture with these bytes, which another thread may be making at this moment.
    fn once(
        &self,
        digest: Digest,
        prepare: impl Fn() -> Result<PreparedPhoto, EngineError>,
    ) -> Result<PreparedPhoto, EngineError> {
        let cell = Arc::clone(self.pictures().entry(digest).or_default());
        let mut failed = None;
        let prepared = cell.get_or_init(|| prepare().map_err(|error| failed = Some(error)).ok());
        match (prepared, failed) {
            (Some(photo), _) => Ok(photo.clone()),
            (None, Some(error)) => {
                self.pictures().remove(&digest);
                Err(error)
            }
            // It failed for another good: this one has an error of its own.
            (None, None) => prepare(),
        }
    }

    /// From now on the catalogue knows the picture.
    fn forget(&self, byte_digest: Digest) {
        self.pictures().remove(&byte_digest);
    }

    fn pictures(&self) -> MutexGuard<'_, HashMap<Digest, Arc<OnceLock<Option<PreparedPhoto>>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goods on their way to the workers, and how far the way is free.
struct Intake<T> {
    state: Mutex<IntakeState<T>>,
    changed: Condvar,
}

struct IntakeState<T> {
    waiting: VecDeque<T>,
    /// Numbers of goods put in and done with.
    put: u64,
    done: u64,
    /// Nothing will come any more.
    ended: bool,
    /// Nothing is to be taken any more.
    stopped: bool,
}

impl<T> Default for Intake<T> {
    fn default() -> Self {
        let state = IntakeState { waiting: VecDeque::new(), put: 0, done: 0, ended: false, stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Intake<T> {
    /// Puts one in once there is room; says `false`, and drops it, when nothing is taken any more.
    fn put(&self, item: T) -> bool {
        let mut state = self.wait_while(|state| !state.stopped && state.put >= state.done + WINDOW);
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
