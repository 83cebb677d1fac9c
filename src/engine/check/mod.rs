//! Was each of these pictures seen before? By the million: checked and, if wished, added in one step.
//!
//! ```text
//! rows ---> reader ---> workers (read, decode, embed, judge) ---> caller: order, settle, commit, tell
//!           one thread   one a core                                ^ at most WINDOW rows in all of it
//! ```
//!
//! Workers judge a picture against what is stored at that moment. The caller takes them in the order of the input, by the
//! group, and *settles* each (`settle.rs`): what was stored since, by this run or by another process, and what stands
//! before it in the group, takes its place among the nearest, and only where that changes them is the picture judged once
//! more. So a verdict is that of checking one picture after the other, whatever the threads and the groups. The group is
//! committed only if nothing was stored since it was settled; else it is settled again, at last with the catalogue held.
//!
//! Before a picture is embedded, stored ones are proposed by a perceptual hash (`hashes.rs`) and compared as all candidates
//! are. Where one of them is the same by the threshold that holds for all, the model is not run.

mod hashes;
mod overlay;
mod pipeline;
mod prepare;
mod provisional;
mod report;
mod settle;
mod stats;

pub use report::{CheckMatch, CheckOutcome, Checked};
pub use stats::{CheckStage, CheckStats};

use super::{BatchEnd, Engine, EngineError, SecondLook};
use crate::cancel::Interrupt;
use pipeline::Run;

/// A picture to be checked.
#[derive(Clone, Debug)]
pub struct CheckItem<R> {
    /// What a stored photo is called from then on: the user's own key, or the picture's file name.
    pub label: String,
    /// Reads the picture's file.
    pub read: R,
}

/// How [`Engine::check_all`] goes about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Pictures that are not seen are stored, each in the transaction in which that is found out. Else nothing is stored,
    /// and what is new is remembered until the end of the run.
    pub add: bool,
    /// Rows are settled and told of as they are ready. Of copies in one run that one is new which was ready first.
    pub unordered: bool,
    /// Whether a collage or a scene may be told by the first look alone from a picture that needs no second one.
    pub second_look: SecondLook,
    /// The run whose lines the store keeps until they are told of, see
    /// [`CheckStore::check_run`](crate::store::CheckStore::check_run).
    pub run_id: Option<i64>,
}

/// Hears what became of each row. `P` is whatever the caller knows a row by, `E` its errors.
pub trait CheckListener<P, E> {
    /// What is to be kept of a row, if anything, in the transaction of its group, until [`CheckListener::group_told`] has
    /// returned: a run that was killed finds it there ([`Engine::kept_check_lines`]). Asked for runs alone.
    fn line(&self, row: u64, place: &P, outcome: Result<&Checked, &E>) -> Option<String>;
    /// What is stored of the row is on disk.
    fn told(&mut self, row: u64, place: P, outcome: Result<Checked, E>);
    /// All rows of a group were told of. The next group is committed after this.
    fn group_told(&mut self) {}
}

impl Engine {
    /// Says of each picture whether it is stored already, as [`Engine::recognise`] does, and of pictures of this run, too:
    /// whether it is the same as an earlier one. `listener` hears of every row, in the order of the input unless the
    /// options say otherwise. With [`CheckOptions::add`], of copies that are checked at the same time, by any threads and
    /// processes on this home, exactly one is new, as far as the engine recognises them.
    ///
    /// `rows` is read on a thread of its own; rows that are errors are passed on in their place. At most 256 are under
    /// way: memory stays bounded. Once `interrupt` says so, what is ready is stored and told of, and nothing else. Never
    /// asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder or the model fails; rows that the listener was not told of are not stored then.
    pub fn check_all<P, R, E, I>(
        &self,
        rows: I,
        options: CheckOptions,
        stats: &CheckStats,
        interrupt: &Interrupt,
        listener: &mut dyn CheckListener<P, E>,
    ) -> Result<BatchEnd, EngineError>
    where
        P: Send + 'static,
        R: FnOnce() -> Result<Vec<u8>, E> + Send + 'static,
        E: From<EngineError> + Send + 'static,
        I: IntoIterator<Item = (u64, P, Result<CheckItem<R>, E>)>,
        I::IntoIter: Send + 'static,
    {
        let run = Run::new(self, options, stats)?;
        let end = run.run(rows.into_iter(), interrupt, listener)?;
        run.save_hashes();
        Ok(end)
    }

    /// The number of the run that writes its lines to `output`, a name of at most some hundred bytes: a new one, or, where
    /// it `resumes`, the one that has not come to its end.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails; so for all that is about runs.
    pub fn check_run(&self, output: &str, resumes: bool) -> Result<i64, EngineError> {
        Ok(self.store.check_run(output, resumes, self.clock.now())?)
    }

    /// The lines of a run's last group that has added something, by their rows.
    pub fn kept_check_lines(&self, run_id: i64) -> Result<Vec<(u64, String)>, EngineError> {
        Ok(self.store.kept_lines(run_id)?)
    }

    /// The threshold that follows from this engine's false-hit bound with so many stored pictures.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn operating_point_among(
        &self,
        pictures: u64,
    ) -> Result<crate::calibration::OperatingPoint, EngineError> {
        Ok(self.bound.policy(self.store.as_ref(), pictures, self.progress.as_ref())?.operating_point())
    }

    /// All lines of the run were written: nothing is kept of it any more.
    pub fn end_check_run(&self, run_id: i64) -> Result<(), EngineError> {
        Ok(self.store.end_check_run(run_id)?)
    }
}
