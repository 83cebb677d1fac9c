//! Who works, and who is turned away? A bounded number of blocking jobs, with a bounded number of requests that wait for a
//! place; more are refused at once, so that those that were let in are answered in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

use super::request_error::RequestError;
use crate::cancel::{Cancel, Interrupt};

/// Weight of the last job in the moving mean of how long jobs take: 1/8.
const MEAN_SHIFT: u32 = 3;
/// `Retry-After` never says more: what is overloaded now may be idle then.
const MAX_RETRY_AFTER_SECS: u64 = 30;

/// Places for jobs that block.
#[derive(Debug)]
pub(super) struct Pool {
    places: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
    max_waiting: usize,
    /// Streams that wait for a place again.
    waiting_again: AtomicUsize,
    /// Moving mean of how long a job holds its place, in microseconds.
    mean_us: AtomicU64,
}

impl Pool {
    /// `size` jobs at once, and `max_waiting` requests that wait for a place.
    pub(super) fn new(size: usize, max_waiting: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(size)),
            size,
            waiting: AtomicUsize::new(0),
            max_waiting,
            waiting_again: AtomicUsize::new(0),
            mean_us: AtomicU64::new(0),
        })
    }

    /// Jobs under way.
    pub(super) fn busy(&self) -> usize {
        self.size - self.places.available_permits().min(self.size)
    }

    /// Requests that wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether anything, a stream as well, waits for a place.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting() > 0 || self.waiting_again.load(Ordering::Relaxed) > 0
    }

    /// Refuses what would be refused by [`Pool::run`], before its body is read.
    ///
    /// # Errors
    /// [`RequestError::Overloaded`].
    pub(super) fn admit(&self) -> Result<(), RequestError> {
        if self.places.available_permits() == 0 && self.waiting() >= self.max_waiting {
            return Err(self.overloaded());
        }
        Ok(())
    }

    fn overloaded(&self) -> RequestError {
        let ahead = self.waiting() as u64 + self.size as u64;
        let until_free_us = self.mean_us.load(Ordering::Relaxed) * ahead / self.size.max(1) as u64;
        let retry_after_secs = until_free_us.div_ceil(1_000_000).clamp(1, MAX_RETRY_AFTER_SECS);
        RequestError::Overloaded { retry_after_secs }
    }

    /// Runs `job` on a thread for blocking work, once there is a place. A caller that goes away (drops the future) frees its
    /// place in the line at once, and its job ends at the engine's next step.
    ///
    /// # Errors
    /// [`RequestError::Overloaded`] without a place in the line, [`RequestError::TimedOut`] at `deadline` while waiting, and
    /// [`RequestError::Panicked`].
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        job: impl FnOnce(Interrupt) -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        let place = self.place(deadline).await?;
        let cancel = CancelOnDrop(Cancel::new());
        let interrupt = Interrupt::never().deadline(deadline).cancel(cancel.0.clone());
        let pool = Arc::clone(self);
        let span = tracing::Span::current();
        let work = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let result = span.in_scope(|| job(interrupt));
            pool.count(started.elapsed());
            drop(place);
            result
        });
        joined(work).await
    }

    /// A place for as long as it is held.
    pub(super) async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, RequestError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::enter(self).ok_or_else(|| self.overloaded())?;
        let acquiring = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout_at(deadline.into(), acquiring).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(RequestError::Draining),
            Err(_) => Err(RequestError::TimedOut),
        }
    }

    /// A place for one that had one before, and is not refused for want of room in the line. `None` where there are none any more.
    pub(super) async fn place_again(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting_again.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting_again);
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Waits until no job is under way, and lets none begin from then on.
    #[cfg(feature = "mcp")]
    pub(super) async fn come_to_rest(&self) {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        if let Ok(places) = self.places.acquire_many(all).await {
            places.forget();
        }
    }

    fn count(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX >> 8);
        let next = |mean: u64| Some(mean - (mean >> MEAN_SHIFT) + (took_us >> MEAN_SHIFT));
        let _ = self.mean_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// What `work` comes to. One that was cancelled, which is when the service is cut off, never comes to anything: its request
/// is about to be dropped as well, and until then must not be told of a fault that there was not.
///
/// # Errors
/// [`RequestError::Panicked`].
pub(super) async fn joined<T>(work: impl Future<Output = Result<T, JoinError>>) -> Result<T, RequestError> {
    match work.await {
        Ok(result) => Ok(result),
        Err(error) if error.is_cancelled() => std::future::pending().await,
        Err(_) => Err(RequestError::Panicked),
    }
}

/// A place in the line.
struct Waiting<'p>(&'p AtomicUsize);

impl<'p> Waiting<'p> {
    fn enter(pool: &'p Pool) -> Option<Self> {
        let enter = |waiting: usize| (waiting < pool.max_waiting).then_some(waiting + 1);
        pool.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter)
            .ok()
            .map(|_| Self(&pool.waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Cancelling what has ended does nothing.
pub(super) struct CancelOnDrop(pub(super) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Memory for request bodies, over all requests. Counted by the KiB.
#[derive(Debug)]
pub(super) struct BodyMemory {
    free: Arc<Semaphore>,
}

/// A part of [`BodyMemory`], given back when dropped.
#[derive(Debug)]
pub(super) struct BodyShare(#[allow(dead_code, reason = "held")] OwnedSemaphorePermit);

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

impl BodyMemory {
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(kib(bytes) as usize)) })
    }

    /// Takes `bytes` for as long as the result lives.
    ///
    /// # Errors
    /// [`RequestError::Overloaded`].
    pub(super) fn take(&self, bytes: u64) -> Result<BodyShare, RequestError> {
        let taken = Arc::clone(&self.free).try_acquire_many_owned(kib(bytes));
        taken.map(BodyShare).map_err(|_| RequestError::Overloaded { retry_after_secs: 1 })
    }

    /// As [`BodyMemory::take`], once there is room: for a stream, whose sender can wait.
    pub(super) async fn wait_for(&self, bytes: u64) -> Option<BodyShare> {
        Arc::clone(&self.free).acquire_many_owned(kib(bytes)).await.ok().map(BodyShare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn one_more_than_may_wait_is_refused_at_once_and_a_place_that_is_given_back_serves_the_next() {
        block_on(async {
            let pool = Pool::new(1, 1);
            let held = pool.place(in_a_minute()).await.unwrap();
            let next = {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { pool.place(in_a_minute()).await.map(drop) })
            };
            while pool.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            assert!(matches!(pool.admit(), Err(RequestError::Overloaded { retry_after_secs: 1.. })));
            assert!(matches!(pool.place(in_a_minute()).await, Err(RequestError::Overloaded { .. })));
            drop(held);
            assert!(next.await.unwrap().is_ok());
            assert!(pool.admit().is_ok());
        });
    }

    #[test]
    fn a_caller_that_goes_away_frees_its_place_in_the_line_and_ends_its_job() {
        block_on(async {
            let pool = Pool::new(1, 8);
            let (begun, begins) = tokio::sync::oneshot::channel();
            let job = {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move {
                    let job = pool.run(in_a_minute(), move |interrupt| {
                        let _ = begun.send(());
                        while interrupt.check().is_ok() {
                            std::thread::yield_now();
                        }
                    });
                    job.await
                })
            };
            begins.await.unwrap();
            let waits = {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { pool.run(in_a_minute(), |_| ()).await })
            };
            while pool.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            waits.abort();
            let _ = waits.await;
            assert_eq!(pool.waiting(), 0);
            job.abort();
            // It ends because it was cancelled; else this would wait for a minute and fail.
            assert!(pool.place(Instant::now() + Duration::from_secs(30)).await.is_ok());
        });
    }

    #[test]
    fn work_that_was_cut_off_is_told_of_as_nothing_and_a_panic_as_one() {
        use futures_util::FutureExt as _;

        block_on(async {
            let cut = tokio::spawn(std::future::pending::<()>());
            cut.abort();
            while !cut.is_finished() {
                tokio::task::yield_now().await;
            }
            assert!(joined(cut).now_or_never().is_none());
            let panicked = tokio::task::spawn_blocking(|| std::panic::resume_unwind(Box::new("on purpose")));
            assert!(matches!(joined::<()>(panicked).await, Err(RequestError::Panicked)));
        });
    }

    #[test]
    fn who_waits_past_its_deadline_is_told_so() {
        block_on(async {
            let pool = Pool::new(1, 8);
            let _held = pool.place(in_a_minute()).await.unwrap();
            assert!(matches!(pool.place(Instant::now()).await, Err(RequestError::TimedOut)));
        });
    }

    #[test]
    fn bodies_share_one_memory() {
        let memory = BodyMemory::new(100 * 1024);
        let most = memory.take(80 * 1024).unwrap();
        assert!(memory.take(20 * 1024 + 1).is_err());
        drop(most);
        assert!(memory.take(100 * 1024).is_ok());
    }
}
