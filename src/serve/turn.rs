//! When does a stream of pictures hold a place among the batches? While its rows are worked on, and not while its client is waited
//! for, be it for the next row or as a reader. A stream that is never waited for lets others have their turn.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::pool::Pool;

/// Once it has had its place for this long, a stream takes no more rows while another request waits for one: it finishes those that
/// it has, and stands in line again.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// The place of one stream, for the threads that work on it.
pub(super) struct Turn {
    pool: Arc<Pool>,
    runtime: Handle,
    longest: Duration,
    state: Mutex<State>,
    /// The reader is back, all rows are told of, or nothing is worked on any more.
    has_moved: Condvar,
}

#[derive(Default)]
struct State {
    /// And since when it is held.
    place: Option<(OwnedSemaphorePermit, Instant)>,
    /// Rows that were handed over and not told of.
    open_rows: usize,
    waits_for_reader: bool,
    has_ended: bool,
}

impl Turn {
    /// On the runtime that this is called on.
    pub(super) fn new(pool: &Arc<Pool>) -> Arc<Self> {
        Self::of_at_most(pool, LONGEST_TURN)
    }

    fn of_at_most(pool: &Arc<Pool>, longest: Duration) -> Arc<Self> {
        let (pool, runtime) = (Arc::clone(pool), Handle::current());
        Arc::new(Self { pool, runtime, longest, state: Mutex::default(), has_moved: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the place back, or blocks until there is one. Nobody else can be in need of `state` meanwhile: a stream without a
    /// place has no row to be told of.
    fn settle(&self, state: &mut State) {
        let needs_place = state.open_rows > 0 && !state.waits_for_reader && !state.has_ended;
        if !needs_place {
            state.place = None;
        } else if state.place.is_none() {
            let place = self.runtime.block_on(self.pool.place_again());
            state.place = place.map(|place| (place, Instant::now()));
        }
    }

    /// Whether the next row has to wait: for the reader, or until the rows before it are told of and another has had its turn.
    fn has_to_wait(&self, state: &State) -> bool {
        let is_over =
            |(_, since): &(_, Instant)| since.elapsed() >= self.longest && self.pool.is_waited_for();
        !state.has_ended && (state.waits_for_reader || state.place.as_ref().is_some_and(is_over))
    }

    /// The rows as they come, each handed over with a place. May block for as long as nothing comes.
    pub(super) fn rows<T>(self: Arc<Self>, taken: Receiver<T>) -> impl Iterator<Item = T> {
        taken.into_iter().inspect(move |_| {
            let mut state = self.state();
            while self.has_to_wait(&state) {
                state = self.has_moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.open_rows += 1;
            self.settle(&mut state);
        })
    }

    /// Tells the client of a row; whether it still listens.
    pub(super) fn tell<T>(&self, client: &Sender<T>, line: T) -> bool {
        let is_told = match client.try_send(line) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(line)) => {
                self.wait_for_reader(true);
                let is_told = client.blocking_send(line).is_ok();
                self.wait_for_reader(false);
                is_told
            }
        };
        let mut state = self.state();
        state.open_rows = state.open_rows.saturating_sub(1);
        self.settle(&mut state);
        self.has_moved.notify_all();
        is_told
    }

    fn wait_for_reader(&self, waits: bool) {
        let mut state = self.state();
        state.waits_for_reader = waits;
        self.settle(&mut state);
        self.has_moved.notify_all();
    }

    /// Nothing is worked on any more, whatever is still to come.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.has_ended = true;
        self.settle(&mut state);
        self.has_moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(pool: &Pool, places: usize) {
        while pool.busy() != places {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_stream_has_a_place_while_its_rows_are_worked_on_and_none_while_its_client_is_waited_for() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let pool = Pool::new(1, 1);
        let turn = runtime.block_on(async { Turn::new(&pool) });
        let (put, taken) = std::sync::mpsc::channel();
        let (client, mut reader) = tokio::sync::mpsc::channel(1);
        let mut rows = Arc::clone(&turn).rows(taken);
        put.send(1).unwrap();
        put.send(2).unwrap();
        put.send(3).unwrap();
        assert_eq!((rows.next(), rows.next(), pool.busy()), (Some(1), Some(2), 1));
        assert!(turn.tell(&client, 1));
        assert_eq!(pool.busy(), 1, "a row is open");
        std::thread::scope(|scope| {
            let told = scope.spawn(|| turn.tell(&client, 2));
            busy(&pool, 0);
            assert_eq!(reader.blocking_recv(), Some(1));
            assert!(told.join().unwrap());
        });
        assert_eq!((reader.blocking_recv(), pool.busy()), (Some(2), 0));
        // The place is taken by another one meanwhile.
        let other = runtime.block_on(pool.place_again());
        std::thread::scope(|scope| {
            let next = scope.spawn(|| rows.next());
            drop(other);
            assert_eq!(next.join().unwrap(), Some(3));
        });
        assert_eq!(pool.busy(), 1);
        drop(reader);
        assert!(!turn.tell(&client, 3));
        assert_eq!(pool.busy(), 0);
        put.send(4).unwrap();
        turn.end();
        assert_eq!((rows.next(), pool.busy()), (Some(4), 0));
    }

    #[test]
    fn a_stream_whose_rows_never_end_lets_who_waits_for_a_place_have_one() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let pool = Pool::new(1, 1);
        let turn = runtime.block_on(async { Turn::of_at_most(&pool, Duration::ZERO) });
        let (put, taken) = std::sync::mpsc::channel();
        let (client, _reader) = tokio::sync::mpsc::channel(8);
        let mut rows = Arc::clone(&turn).rows(taken);
        (0..4).for_each(|row| put.send(row).unwrap());
        assert_eq!((rows.next(), rows.next()), (Some(0), Some(1)), "nobody else waits");
        let other = runtime.spawn({
            let pool = Arc::clone(&pool);
            async move { pool.place(Instant::now() + Duration::from_mins(1)).await }
        });
        while pool.waiting() == 0 {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            let next = scope.spawn(|| rows.next());
            assert!(turn.tell(&client, 0) && turn.tell(&client, 1));
            // The rows before are told of, so that the other one has the place, and the next row waits for it.
            let other = runtime.block_on(other).unwrap().unwrap();
            assert!(!next.is_finished());
            drop(other);
            assert_eq!(next.join().unwrap(), Some(2));
        });
        // Another stream is waited for as well, which is in no line of requests.
        let again = runtime.spawn({
            let pool = Arc::clone(&pool);
            async move { pool.place_again().await }
        });
        while !pool.is_waited_for() {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            let next = scope.spawn(|| rows.next());
            assert!(turn.tell(&client, 2));
            drop(runtime.block_on(again).unwrap());
            assert_eq!(next.join().unwrap(), Some(3));
        });
    }
}
