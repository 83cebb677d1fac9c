//! The way of the rows: read by one thread, prepared by many, settled, committed and told of by the caller's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::super::batch::{GROUP_MAX_AGE, Grouping, InFlight, in_groups};
use super::super::{BatchEnd, Engine, EngineError};
use super::overlay::NewPicture;
use super::prepare::{Prepared, Scope};
use super::report::{named, renumbered};
use super::settle::{Recent, Standing, numbers, settle};
use super::{CheckItem, CheckListener, CheckMatch, CheckOptions, CheckStage, CheckStats, Checked};
use crate::cancel::Interrupt;
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::store::{CheckGroup, NewPhoto};

/// Rows that are settled and committed together, at most. Twice as many are under way, each of which takes up to 1 MB once
/// it is decoded.
const GROUP: usize = 128;

/// After so many attempts that came too late, because another process had stored something, a group is settled with the
/// store held.
const OPTIMISTIC_ATTEMPTS: usize = 3;

pub(super) struct Run<'e> {
    scope: Scope<'e>,
    options: CheckOptions,
    under_way: InFlight<Prepared>,
}

/// A row that can be settled.
struct Ready {
    label: String,
    byte_digest: Digest,
    prepared: Prepared,
}

struct Row<P, T> {
    number: u64,
    place: P,
    what: T,
}

impl<'e> Run<'e> {
    pub(super) fn new(
        engine: &'e Engine,
        options: CheckOptions,
        stats: &'e CheckStats,
    ) -> Result<Self, EngineError> {
        Ok(Self { scope: Scope::new(engine, options, stats)?, options, under_way: InFlight::default() })
    }

    pub(super) fn run<P, R, E>(
        &self,
        rows: impl Iterator<Item = (u64, P, Result<CheckItem<R>, E>)> + Send + 'static,
        interrupt: &Interrupt,
        listener: &mut dyn CheckListener<P, E>,
    ) -> Result<BatchEnd, EngineError>
    where
        P: Send + 'static,
        R: FnOnce() -> Result<Vec<u8>, E> + Send + 'static,
        E: From<EngineError> + Send + 'static,
    {
        let mut recent = Recent::new(self.scope.mark()?);
        let prepare = |(number, place, item): (u64, P, Result<CheckItem<R>, E>)| {
            let what = match item {
                Ok(item) => self.prepare(item)?,
                Err(error) => Err(error),
            };
            Ok(Row { number, place, what })
        };
        let grouping = Grouping { rows: GROUP, unordered: self.options.unordered, max_age: GROUP_MAX_AGE };
        in_groups(rows, grouping, interrupt, prepare, |rows| self.commit(rows, &mut recent, listener))
    }

    pub(super) fn save_hashes(&self) {
        self.scope.save_hashes();
    }

    /// The row, or what is wrong with it.
    ///
    /// # Errors
    /// Those of all rows that would follow.
    fn prepare<R, E>(&self, item: CheckItem<R>) -> Result<Result<Ready, E>, EngineError>
    where
        R: FnOnce() -> Result<Vec<u8>, E>,
        E: From<EngineError>,
    {
        let bytes = match self.scope.stats.measure(CheckStage::Read, item.read) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        let byte_digest = Digest::of(&bytes);
        let prepare = || self.scope.prepare(&bytes, byte_digest);
        let prepared = match self.under_way.once(byte_digest, prepare) {
            Ok(prepared) => prepared,
            Err(error) if error.is_input_error() => return Ok(Err(error.into())),
            Err(error) => return Err(error),
        };
        if matches!(prepared, Prepared::Known { .. }) {
            self.under_way.forget(byte_digest);
        }
        Ok(Ok(Ready { label: item.label, byte_digest, prepared }))
    }

    /// Settles a group, stores what is to be stored, then tells of its rows.
    fn commit<P, E: From<EngineError>>(
        &self,
        rows: Vec<Row<P, Result<Ready, E>>>,
        recent: &mut Recent,
        listener: &mut dyn CheckListener<P, E>,
    ) -> Result<(), EngineError> {
        if rows.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let mut numbers = numbers(&self.scope);
        let mut standings: Vec<Option<Standing>> = rows
            .iter()
            .map(|row| {
                let number = numbers.next()?;
                match &row.what {
                    Ok(Ready { prepared: Prepared::Fresh(fresh), .. }) => {
                        Some(Standing::new(Arc::clone(fresh), number))
                    }
                    _ => None,
                }
            })
            .collect();
        let outcomes = if self.options.add {
            self.settle_and_store(&rows, &mut standings, recent, listener)?
        } else {
            self.settle_and_remember(&rows, &mut standings, recent)?
        };
        self.scope.stats.add(CheckStage::Commit, start.elapsed());
        for (row, outcome) in rows.into_iter().zip(outcomes) {
            let outcome = row.what.map(|ready| {
                self.under_way.forget(ready.byte_digest);
                outcome.unwrap_or_else(|| unreachable!("rows that are ready have an outcome"))
            });
            listener.told(row.number, row.place, outcome);
        }
        listener.group_told();
        Ok(())
    }

    fn settle_and_store<P, E>(
        &self,
        rows: &[Row<P, Result<Ready, E>>],
        standings: &mut [Option<Standing>],
        recent: &mut Recent,
        listener: &dyn CheckListener<P, E>,
    ) -> Result<Vec<Option<Checked>>, EngineError> {
        if standings.iter().all(Option::is_none) {
            return self.outcomes(rows, standings, &BTreeMap::new());
        }
        for attempt in 0.. {
            let mark = settle(standings, recent, &self.scope)?;
            if !standings.iter().flatten().any(Standing::is_added) {
                return self.outcomes(rows, standings, &BTreeMap::new());
            }
            let (mut failed, mut outcomes) = (None, Vec::new());
            let is_stored = self.scope.engine.store.add_checked(&mut |store| {
                let extent = store.extent()?;
                let is_newest = extent.last_photo_id.unwrap_or(PhotoId(0)) == mark.photo
                    && extent.last_removal == mark.removal;
                let stored = match is_newest {
                    true => self.store_group(store, rows, standings, listener),
                    false if attempt < OPTIMISTIC_ATTEMPTS => return Ok(false),
                    false => settle(standings, recent, &self.scope)
                        .and_then(|_| self.store_group(store, rows, standings, listener)),
                };
                match stored {
                    Ok(stored) => outcomes = stored,
                    Err(EngineError::Catalog(error)) => return Err(error),
                    Err(error) => failed = Some(error),
                }
                Ok(failed.is_none())
            })?;
            match failed {
                Some(error) => return Err(error),
                None if is_stored => return Ok(outcomes),
                None => self.scope.stats.note_resettled(),
            }
        }
        unreachable!("the store is held at last")
    }

    /// Adds what is new, with the store held.
    fn store_group<P, E>(
        &self,
        store: &mut dyn CheckGroup,
        rows: &[Row<P, Result<Ready, E>>],
        standings: &[Option<Standing>],
        listener: &dyn CheckListener<P, E>,
    ) -> Result<Vec<Option<Checked>>, EngineError> {
        let (mut added, mut labels) = (BTreeMap::new(), BTreeMap::new());
        let added_at = self.scope.engine.clock.now();
        for (row, standing) in rows.iter().zip(standings) {
            let (Ok(ready), Some(standing)) = (&row.what, standing) else { continue };
            if let (true, Some(measured)) = (standing.is_added(), standing.fresh.measured()) {
                let photo: NewPhoto<'_> = measured.as_new(&ready.label, added_at);
                let photo_id = store.add(&photo)?.photo_id;
                added.insert(standing.number(), photo_id);
                labels.insert(photo_id, ready.label.as_str());
            }
        }
        let outcomes = self.outcomes_with(rows, standings, &added, |photo_id| {
            labels.get(&photo_id).map(|label| CheckMatch {
                photo_id: Some(photo_id),
                row: None,
                label: (*label).to_owned(),
                kind: Some(crate::store::PhotoKind::Query),
                good: None,
            })
        })?;
        if let Some(run_id) = self.options.run_id {
            let lines = rows.iter().zip(&outcomes);
            let lines: Vec<(u64, String)> = lines
                .filter_map(|(row, outcome)| {
                    let outcome = match (&row.what, outcome) {
                        (Err(error), _) => Err(error),
                        (Ok(_), outcome) => Ok(outcome.as_ref()?),
                    };
                    Some((row.number, listener.line(row.number, &row.place, outcome)?))
                })
                .collect();
            store.keep_lines(run_id, &lines)?;
        }
        Ok(outcomes)
    }

    fn settle_and_remember<P, E>(
        &self,
        rows: &[Row<P, Result<Ready, E>>],
        standings: &mut [Option<Standing>],
        recent: &mut Recent,
    ) -> Result<Vec<Option<Checked>>, EngineError> {
        let Some(overlay) = &self.scope.overlay else { return Ok(Vec::new()) };
        settle(standings, recent, &self.scope)?;
        let (mut pictures, mut places) = (Vec::new(), Vec::new());
        for (row, standing) in rows.iter().zip(&*standings) {
            let (Ok(ready), Some(standing)) = (&row.what, standing) else { continue };
            if let (true, Some(measured)) = (standing.is_added(), standing.fresh.measured()) {
                places.push(standing.number());
                pictures.push(NewPicture {
                    row: row.number,
                    label: &ready.label,
                    byte_digest: measured.byte_digest,
                    pixel_digest: measured.pixel_digest,
                    embedding: &measured.embedding,
                    sketch: &measured.sketch,
                    hash: standing.fresh.hashes[0],
                });
            }
        }
        let first = overlay.len();
        overlay.add(&pictures)?;
        let numbers = (first..).map(super::provisional::provisional);
        let remembered: BTreeMap<PhotoId, PhotoId> = places.into_iter().zip(numbers.clone()).collect();
        for (photo_id, picture) in numbers.zip(&pictures) {
            recent.push(photo_id, picture.embedding.clone());
        }
        self.outcomes(rows, standings, &remembered)
    }

    fn outcomes<P, E>(
        &self,
        rows: &[Row<P, Result<Ready, E>>],
        standings: &[Option<Standing>],
        renumber: &BTreeMap<PhotoId, PhotoId>,
    ) -> Result<Vec<Option<Checked>>, EngineError> {
        self.outcomes_with(rows, standings, renumber, |_| None)
    }

    /// What became of each row that is ready. `renumber`: the numbers that pictures of the group have by now; `new`: what
    /// is known of those that are not committed yet.
    fn outcomes_with<P, E>(
        &self,
        rows: &[Row<P, Result<Ready, E>>],
        standings: &[Option<Standing>],
        renumber: &BTreeMap<PhotoId, PhotoId>,
        new: impl Fn(PhotoId) -> Option<CheckMatch>,
    ) -> Result<Vec<Option<Checked>>, EngineError> {
        let number = |photo_id: PhotoId| renumber.get(&photo_id).copied().unwrap_or(photo_id);
        let outcome = |(row, standing): (&Row<P, Result<Ready, E>>, &Option<Standing>)| {
            let Ok(ready) = &row.what else { return Ok(None) };
            let (verdict, judged_by, matched, added) = match (&ready.prepared, standing) {
                (Prepared::Known { verdict, matched }, _) => (**verdict, None, Some(matched.clone()), None),
                (_, Some(standing)) => {
                    let verdict = renumbered(standing.verdict(), number);
                    let of = |photo_id| match new(photo_id) {
                        Some(matched) => Ok(matched),
                        None => self.scope.check_match(photo_id),
                    };
                    let matched = named(&verdict).map(of).transpose()?;
                    let added = renumber.get(&standing.number()).copied().filter(|_| standing.is_added());
                    (verdict, standing.judged_by(), matched, added)
                }
                (Prepared::Fresh(_), None) => return Ok(None),
            };
            let stored = added.filter(|photo_id| !super::provisional::is_provisional(*photo_id));
            // What is equal in its pixels is not stored twice, even where that says nothing.
            let stands_for_it = standing.as_ref().is_none_or(|standing| !standing.is_added());
            let photo_id = stored.or_else(|| matched.as_ref()?.photo_id.filter(|_| stands_for_it));
            let checked = Checked::of(verdict, judged_by);
            let is_by_hash = standing.as_ref().is_some_and(Standing::is_by_hash);
            let score = checked.score.filter(|_| !is_by_hash);
            Ok(Some(Checked { photo_id, added: stored.is_some(), matched, score, ..checked }))
        };
        rows.iter().zip(standings).map(outcome).collect()
    }
}
