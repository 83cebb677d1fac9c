//! What waits at the same moment is run together: jobs of several threads in one call, without timers.
//!
//! A thread that finds no run under way leads one: it takes the oldest job and those like it, runs them and hands out the
//! results. Who comes meanwhile waits for that run to end, and is then handed a result or leads the next run.

use std::collections::{HashMap, VecDeque};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What can be told to fit into one run.
pub(super) trait Alike {
    fn is_alike(&self, other: &Self) -> bool;
}

/// A run has ended without a result for a job: it panicked, or gave another number of results.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoResult;

/// Jobs `J` with results `T` or errors `E`, one run at a time.
pub(super) struct Batches<J, T, E> {
    limit: usize,
    queue: Mutex<Queue<J, T, E>>,
    /// Notified when a run has ended.
    ran: Condvar,
}

struct Queue<J, T, E> {
    /// In the order of arrival, with their tickets.
    waiting: VecDeque<(u64, J)>,
    /// What was not fetched yet, by ticket.
    done: HashMap<u64, Result<T, E>>,
    next_ticket: u64,
    is_running: bool,
}

impl<J: Alike, T, E: Clone + From<NoResult>> Batches<J, T, E> {
    /// Of up to `limit` jobs, at least one.
    pub(super) fn new(limit: usize) -> Self {
        let queue =
            Queue { waiting: VecDeque::new(), done: HashMap::new(), next_ticket: 0, is_running: false };
        Self { limit: limit.max(1), queue: Mutex::new(queue), ran: Condvar::new() }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The result of `job`, from a run with others that wait. `work` gives a result for each of its jobs, in their order; an
    /// error is that of each of them.
    pub(super) fn run(&self, job: J, work: impl Fn(&[J]) -> Result<Vec<T>, E>) -> Result<T, E> {
        let mut queue = self.queue();
        let ticket = queue.add(job);
        loop {
            if let Some(result) = queue.done.remove(&ticket) {
                return result;
            }
            if queue.is_running {
                queue = self.ran.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // The oldest may be another thread's: each run shortens what is before this one's job.
            queue.is_running = true;
            let (tickets, jobs) = queue.take(self.limit);
            drop(queue);
            let results = results_of(&jobs, &work);
            queue = self.queue();
            queue.is_running = false;
            queue.done.extend(tickets.into_iter().zip(results));
            self.ran.notify_all();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<J, T, E>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }
}

impl<J: Alike, T, E> Queue<J, T, E> {
    fn add(&mut self, job: J) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back((ticket, job));
        ticket
    }

    /// The oldest job and those like it that are next, a power of two of them: some providers compile or search anew for each
    /// size of a batch, so there are few sizes.
    fn take(&mut self, limit: usize) -> (Vec<u64>, Vec<J>) {
        let Some((ticket, oldest)) = self.waiting.pop_front() else { return (Vec::new(), Vec::new()) };
        let alike = 1 + self.waiting.iter().filter(|(_, job)| job.is_alike(&oldest)).count();
        let size = 1_usize << alike.min(limit).ilog2();
        let (mut tickets, mut jobs) = (vec![ticket], vec![oldest]);
        for (ticket, job) in std::mem::take(&mut self.waiting) {
            if jobs.len() < size && job.is_alike(&jobs[0]) {
                tickets.push(ticket);
                jobs.push(job);
            } else {
                self.waiting.push_back((ticket, job));
            }
        }
        (tickets, jobs)
    }
}

/// One for each job, whatever `work` does.
fn results_of<J, T, E: Clone + From<NoResult>>(
    jobs: &[J],
    work: impl Fn(&[J]) -> Result<Vec<T>, E>,
) -> Vec<Result<T, E>> {
    match panic::catch_unwind(AssertUnwindSafe(|| work(jobs))) {
        Ok(Ok(results)) if results.len() == jobs.len() => results.into_iter().map(Ok).collect(),
        Ok(Err(error)) => jobs.iter().map(|_| Err(error.clone())).collect(),
        Ok(Ok(_)) | Err(_) => jobs.iter().map(|_| Err(E::from(NoResult))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Fault {
        Told(&'static str),
        NoResult,
    }

    impl From<NoResult> for Fault {
        fn from(_: NoResult) -> Self {
            Self::NoResult
        }
    }

    /// Numbers of one parity fit into one run.
    impl Alike for u32 {
        fn is_alike(&self, other: &Self) -> bool {
            self % 2 == other % 2
        }
    }

    type Numbers = Batches<u32, u32, Fault>;
    /// A job, and what came of it.
    type Outcome = (u32, Result<u32, Fault>);

    fn tenfold(jobs: &[u32]) -> Vec<u32> {
        jobs.iter().map(|number| 10 * number).collect()
    }

    /// Has `first` run alone until all of `others` wait, and then those by `work`. The jobs of each later run, and what came of
    /// each other job.
    fn run_while_others_wait(
        batches: &Numbers,
        others: &[u32],
        work: impl Fn(&[u32]) -> Result<Vec<u32>, Fault> + Sync,
    ) -> (Vec<Vec<u32>>, Vec<Outcome>) {
        let runs = Mutex::new(Vec::new());
        let noted = |jobs: &[u32]| {
            runs.lock().unwrap_or_else(PoisonError::into_inner).push(jobs.to_vec());
            work(jobs)
        };
        let results = std::thread::scope(|scope| {
            let (tell_started, started) = std::sync::mpsc::channel();
            scope.spawn(move || {
                let alone = batches.run(0, |jobs| {
                    tell_started.send(()).unwrap();
                    while batches.waiting() < others.len() {
                        std::thread::yield_now();
                    }
                    Ok(tenfold(jobs))
                });
                assert_eq!(alone, Ok(0));
            });
            started.recv().unwrap();
            let noted = &noted;
            let threads: Vec<_> = others
                .iter()
                .map(|number| scope.spawn(move || (*number, batches.run(*number, noted))))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        (runs.into_inner().unwrap(), results)
    }

    #[test]
    fn a_job_that_finds_no_other_is_run_at_once_and_alone() {
        let batches = Numbers::new(8);
        for number in [3, 4] {
            let result = batches.run(number, |jobs| {
                assert_eq!(jobs, [number]);
                Ok(tenfold(jobs))
            });
            assert_eq!(result, Ok(10 * number));
        }
    }

    #[test]
    fn jobs_that_wait_while_one_runs_are_run_together_and_each_gets_its_own_result() {
        let batches = Numbers::new(4);
        let (runs, results) = run_while_others_wait(&batches, &[2, 4, 6, 8, 10], |jobs| Ok(tenfold(jobs)));
        let sizes: Vec<usize> = runs.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 1], "no more than the limit");
        assert!(results.iter().all(|(number, result)| *result == Ok(10 * number)), "{results:?}");
        assert_eq!(batches.waiting(), 0);
    }

    #[test]
    fn jobs_of_different_kinds_are_run_apart() {
        let batches = Numbers::new(8);
        let others = [1, 2, 3, 4, 5, 6, 7, 8];
        let (mut runs, results) = run_while_others_wait(&batches, &others, |jobs| Ok(tenfold(jobs)));
        for run in &mut runs {
            run.sort_unstable();
        }
        runs.sort_unstable();
        assert_eq!(runs, [vec![1, 3, 5, 7], vec![2, 4, 6, 8]]);
        assert!(results.iter().all(|(number, result)| *result == Ok(10 * number)), "{results:?}");
    }

    #[test]
    fn a_batch_has_a_power_of_two_of_jobs_and_the_rest_follows() {
        let batches = Numbers::new(32);
        let others: Vec<u32> = (1..=7).map(|number| 2 * number).collect();
        let (runs, _) = run_while_others_wait(&batches, &others, |jobs| Ok(tenfold(jobs)));
        let sizes: Vec<usize> = runs.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 2, 1]);
    }

    #[test]
    fn an_error_reaches_every_job_of_the_run_and_the_next_run_is_as_ever() {
        let batches = Numbers::new(8);
        let (runs, results) = run_while_others_wait(&batches, &[2, 4, 6, 8], |_| Err(Fault::Told("full")));
        assert_eq!(runs.len(), 1);
        assert!(results.iter().all(|(_, result)| *result == Err(Fault::Told("full"))), "{results:?}");
        assert_eq!(batches.run(5, |jobs| Ok(tenfold(jobs))), Ok(50));
    }

    #[test]
    fn a_panic_and_a_missing_result_reach_every_job_of_the_run_and_none_hangs() {
        let batches = Numbers::new(8);
        let panicking = |_: &[u32]| -> Result<Vec<u32>, Fault> { panic!("as the test wants") };
        let (_, results) = run_while_others_wait(&batches, &[2, 4, 6, 8], panicking);
        assert!(results.iter().all(|(_, result)| *result == Err(Fault::NoResult)), "{results:?}");
        let (_, results) = run_while_others_wait(&batches, &[2, 4], |jobs| Ok(tenfold(&jobs[1..])));
        assert!(results.iter().all(|(_, result)| *result == Err(Fault::NoResult)), "{results:?}");
        assert_eq!(batches.run(5, |jobs| Ok(tenfold(jobs))), Ok(50));
    }

    #[test]
    fn many_threads_with_many_jobs_all_come_through() {
        let batches = Numbers::new(4);
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let batches = &batches;
                scope.spawn(move || {
                    for number in (0..200).map(|turn| 200 * thread + turn) {
                        assert_eq!(batches.run(number, |jobs| Ok(tenfold(jobs))), Ok(10 * number));
                    }
                });
            }
        });
        assert!(batches.queue().done.is_empty());
    }
}
