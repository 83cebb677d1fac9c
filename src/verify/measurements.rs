//! The candidates of one picture in question, measured step by step. What was found is kept: among others, only new ones cost.

use std::cell::{LazyCell, OnceCell};
use std::collections::HashMap;

use super::align::{self, Guess, Target};
use super::evidence::Evidence;
use super::sketch::{Probe, Sketch};
use super::{FEW_CORNERS, MANY_CORNERS, Query, SketchedCandidate, WINDOWS_BELOW_PROMISE, looks, promise};

/// Candidates whose alignment is refined.
const REFINED: usize = 4;
/// Below this promise the second best and the ones behind it are not refined.
const REFINED_FROM_PROMISE: f32 = 0.7;
/// Candidates that are measured in any case ...
const MEASURED: usize = 2;
/// ... and the promise from which on the other refined ones are, too: colour variants look alike in brightness.
const MEASURED_FROM_PROMISE: f32 = 1.2;
/// From this probability of being the same on, a candidate's other guesses are not looked at: no threshold lies higher
/// (docs/benchmarks/bound.md).
const SURE: f32 = 0.998;
/// What a step of 255 by which the colours differ takes from a candidate's promise, and how many steps count.
const COLOURS_APART_WEIGHT: f32 = 0.01;
const MOST_APART: f32 = 40.0;
/// The nearest candidates are also tried without corners, and by few corners.
const TRIED_BY_FEW_CORNERS: usize = 6;

/// What was found of the candidates of one picture in question. As pictures are stored, one or two of the nearest change: the
/// others are measured with the same result and for next to nothing. Some 15 kB for 40 candidates.
#[derive(Clone, Debug, Default)]
pub struct Measurements(HashMap<Tried, Known>);

/// A candidate by its number, and whether it was tried as the nearest ones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tried {
    id: i64,
    is_near: bool,
}

/// What is known of a candidate.
#[derive(Clone, Debug)]
struct Known {
    plain: Lie,
    /// The same with windows, if they were tried.
    by_windows: Option<Lie>,
}

/// How a candidate may lie, followed as far as was needed by now.
#[derive(Clone, Debug)]
struct Lie {
    /// None where nothing tells.
    guesses: Vec<Guess>,
    rank: Option<f32>,
    refined: Option<Refined>,
}

#[derive(Clone, Debug)]
struct Refined {
    /// None where it cannot be laid over the picture.
    guesses: Vec<Guess>,
    rank: f32,
    evidence: Option<Evidence>,
}

impl Lie {
    fn by(guesses: Vec<Guess>) -> Self {
        Self { guesses, rank: None, refined: None }
    }
}

impl Known {
    fn of(query: &Query<'_>, sketch: &Sketch, target: &OnceCell<Target>, is_near: bool) -> Self {
        let maps = query.maps(sketch, if is_near { FEW_CORNERS } else { MANY_CORNERS });
        let guesses = if maps.is_empty() && !is_near {
            Vec::new()
        } else {
            query.guesses(maps, target.get_or_init(|| Target::of(sketch)), is_near)
        };
        Self { plain: Lie::by(guesses), by_windows: None }
    }
}

/// A candidate in its turn.
struct Trial<'a> {
    probe: &'a Probe,
    /// Among the candidates.
    place: usize,
    candidate: SketchedCandidate<'a>,
    target: OnceCell<Target>,
    known: Known,
    with_windows: bool,
}

impl Measurements {
    /// Measures the candidates, nearest first, in their order, as [`measure`](super::measure) does. `probe` is the same at each
    /// call, and `ids` has for each candidate the number that stands for its sketch.
    pub fn measure<'a>(
        &mut self,
        probe: &'a Probe,
        candidates: &[SketchedCandidate<'a>],
        ids: &[i64],
    ) -> Vec<Option<Evidence>> {
        let query = LazyCell::new(|| Query::of(probe));
        let tried = |(place, id): (usize, &i64)| Tried { id: *id, is_near: place < TRIED_BY_FEW_CORNERS };
        let tried: Vec<Tried> = ids.iter().enumerate().map(tried).collect();
        let trial = |((place, candidate), tried): ((usize, &SketchedCandidate<'a>), &Tried)| {
            let target = OnceCell::new();
            let known = self.0.remove(tried);
            let known = known.unwrap_or_else(|| Known::of(&query, candidate.sketch, &target, tried.is_near));
            Trial { probe, place, candidate: *candidate, target, known, with_windows: false }
        };
        let mut trials: Vec<Trial<'_>> = candidates.iter().enumerate().zip(&tried).map(trial).collect();
        let found = measured(&mut trials);
        self.0.extend(tried.into_iter().zip(trials.into_iter().map(|trial| trial.known)));
        found
    }
}

fn measured(trials: &mut [Trial<'_>]) -> Vec<Option<Evidence>> {
    let mut found = vec![None; trials.len()];
    let is_possible =
        |trial: &&mut Trial<'_>| trial.place < TRIED_BY_FEW_CORNERS || !trial.known.plain.guesses.is_empty();
    let mut all: Vec<&mut Trial<'_>> = trials.iter_mut().filter(is_possible).collect();
    if all.iter().all(|trial| promise(&trial.known.plain.guesses) < WINDOWS_BELOW_PROMISE)
        && let Some(first) = all.first_mut()
    {
        first.try_windows();
    }
    // Of goods in twenty colours, all are as promising: those whose colours are nearest come first.
    sort_by_rank(&mut all, Trial::rank);
    let mut refined: Vec<&mut Trial<'_>> = Vec::new();
    for (rank, trial) in all.into_iter().enumerate() {
        let promise = promise(&trial.lie().guesses);
        // The nearest by its embedding is looked at in any case.
        let is_worth_it =
            trial.place == 0 || rank == 0 || (rank < REFINED && promise >= REFINED_FROM_PROMISE);
        if is_worth_it && !trial.refined().guesses.is_empty() {
            refined.push(trial);
        }
    }
    sort_by_rank(&mut refined, |trial| trial.refined().rank);
    for (rank, trial) in refined.into_iter().enumerate() {
        let promise = promise(&trial.refined().guesses);
        if trial.place == 0 || rank < MEASURED || promise >= MEASURED_FROM_PROMISE {
            found[trial.place] = trial.evidence();
        }
    }
    found
}

/// The best first. Each rank is taken once.
fn sort_by_rank<'t, 'a>(trials: &mut Vec<&'t mut Trial<'a>>, rank: impl Fn(&mut Trial<'a>) -> f32) {
    let mut ranked: Vec<(f32, &'t mut Trial<'a>)> =
        trials.drain(..).map(|trial| (rank(trial), trial)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    trials.extend(ranked.into_iter().map(|(_, trial)| trial));
}

impl Trial<'_> {
    fn target(&self) -> &Target {
        self.target.get_or_init(|| Target::of(self.candidate.sketch))
    }

    fn lie(&mut self) -> &mut Lie {
        match &mut self.known.by_windows {
            Some(lie) if self.with_windows => lie,
            _ => &mut self.known.plain,
        }
    }

    fn try_windows(&mut self) {
        if !self.candidate.may_hold_the_picture() {
            return;
        }
        if self.known.by_windows.is_none() {
            let mut guesses = self.known.plain.guesses.clone();
            guesses.extend(align::best_windows(self.probe, self.target()));
            self.known.by_windows = Some(Lie::by(guesses));
        }
        self.with_windows = true;
    }

    /// The promise, less for colours that differ.
    fn rank(&mut self) -> f32 {
        if let Some(rank) = self.lie().rank {
            return rank;
        }
        let guesses = self.lie().guesses.clone();
        let rank = self.rank_of(&guesses);
        *self.lie().rank.insert(rank)
    }

    fn rank_of(&self, guesses: &[Guess]) -> f32 {
        let best = guesses.iter().max_by(|a, b| a.promise().total_cmp(&b.promise()));
        let apart = best.map_or(0.0, |guess| align::colours_apart(self.probe, self.target(), guess));
        promise(guesses) - COLOURS_APART_WEIGHT * apart.min(MOST_APART)
    }

    fn refined(&mut self) -> &mut Refined {
        if self.lie().refined.is_none() {
            let mut guesses = self.lie().guesses.clone();
            let guesses = align::refined(self.probe, self.target(), &mut guesses);
            let rank = self.rank_of(&guesses);
            self.lie().refined = Some(Refined { guesses, rank, evidence: None });
        }
        self.lie().refined.as_mut().unwrap_or_else(|| unreachable!("it was refined above"))
    }

    /// Of guesses that are equally good, that by which the pictures are the same the most surely.
    fn evidence(&mut self) -> Option<Evidence> {
        if let Some(evidence) = self.refined().evidence {
            return Some(evidence);
        }
        let guesses = self.refined().guesses.clone();
        let mut best: Option<Evidence> = None;
        for (_, evidence) in looks(self.probe, self.candidate.sketch, self.target(), &guesses) {
            if best.is_none_or(|best| evidence.same > best.same) {
                best = Some(evidence);
            }
            if evidence.same >= SURE {
                break;
            }
        }
        self.refined().evidence = best;
        best
    }
}
