//! Is the bound on false hits kept on pictures that the calibration did not see?
//!
//! Makes queries of a folder's pictures as `tongkuan calibrate` does, asks them, and splits the pictures by lot into two
//! halves, 20 times: one half sets the threshold, the other tells how many false hits that lets through. Then the same
//! for the shipped calibration, which has seen neither half.
//!
//! `cargo run --release --example bound -- models/efficientnet-lite0-gem/calibration.json FOLDER SEED...`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tongkuan::calibration::{Calibration, DEFAULT_MAX_FALSE_HIT, Sample, upper_bound};
use tongkuan::embed::{Model, runtime};
use tongkuan::engine::{Engine, Progress, RuntimeChoice, SecondLook};
use tongkuan::eval::{Evaluation, MakeOptions, Manifest, Recolours, evaluate, make};

const SPLITS: u64 = 20;
const BOUNDS: [f64; 3] = [0.02, 0.01, 0.005];

struct Lines;

impl Progress for Lines {
    fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    fn step(&self, what: &str, done: usize, of: usize) {
        if done.is_multiple_of(2000) {
            eprintln!("{what} {done} of {of}");
        }
    }
}

fn evaluated(folder: &Path, seed: u64) -> Result<Evaluation> {
    let work = tempfile::tempdir()?;
    let mut pictures: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e != "ndjson"))
        .collect();
    pictures.sort();
    let options = MakeOptions { seed, limit: None, recolours: Recolours::All };
    let made = make(folder, &pictures, &work.path().join("set"), options, &Lines)?;
    let folder = runtime::shared_folder().context("this system names no data folder")?;
    let engine = Engine::builder(work.path().join("home"))
        .runtime(RuntimeChoice::new(folder).may_fetch(true))
        .open()?;
    Ok(evaluate(&engine, Manifest::read(&made.manifest)?, SecondLook::Always, &Lines)?)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "give the shipped calibration, a folder of pictures and seeds";
    let shipped = std::fs::read_to_string(arguments.next().context(usage)?)?;
    let shipped = Calibration::from_json(&shipped).context("not a calibration")?;
    let folder = arguments.next().context(usage)?;
    let model = Model::built_in()?.fingerprint();
    for seed in arguments {
        let evaluation = evaluated(Path::new(&folder), seed.parse()?)?;
        let all = evaluation.calibration(&model, DEFAULT_MAX_FALSE_HIT, |_| true);
        println!(
            "seed {seed}: {} stored; {} unseen, {} look-alikes",
            all.stored, all.unseen.queries, all.look_alikes.queries
        );
        for bound in BOUNDS {
            let mut splits: BTreeMap<&str, Vec<(f32, f64)>> = BTreeMap::new();
            for split in 0..SPLITS {
                let own = evaluation.calibration(&model, bound, |asked| asked.is_in_first_half(split));
                let test = evaluation.calibration(&model, bound, |asked| !asked.is_in_first_half(split));
                for (name, calibration) in [("own", &own), ("shipped", &shipped)] {
                    if calibration.model != model.digest {
                        continue;
                    }
                    if let Ok(point) = calibration.operating_point(bound, all.stored) {
                        let realised = test.realised(point.confidence);
                        splits.entry(name).or_default().push((point.confidence, realised));
                    }
                }
            }
            for (name, found) in splits {
                let mut rates: Vec<f64> = found.iter().map(|(_, rate)| *rate).collect();
                rates.sort_by(f64::total_cmp);
                let over = rates.iter().filter(|rate| **rate > bound).count();
                let mut cuts: Vec<f32> = found.iter().map(|(cut, _)| *cut).collect();
                cuts.sort_by(f32::total_cmp);
                let answered = evaluation.answered_at(cuts[cuts.len() / 2]).unwrap_or(0.0);
                println!(
                    "| {seed} | {:.1} % | {name} | {} | {:.3} to {:.3} | {:.2} % | {:.2} % | {over} | {:.1} % |",
                    bound * 100.0,
                    found.len(),
                    cuts[0],
                    cuts[cuts.len() - 1],
                    rates[rates.len() / 2] * 100.0,
                    rates[rates.len() - 1] * 100.0,
                    answered * 100.0
                );
            }
        }
        for cut in [0.3, 0.5, 0.7, 0.84, 0.9] {
            let reach = |sample: &Sample| sample.confidences.iter().filter(|c| **c >= cut).count();
            let (unseen, alike) = (reach(&all.unseen), reach(&all.look_alikes));
            let bound = upper_bound(alike, all.look_alikes.queries).unwrap_or(1.0);
            println!(
                "{cut}: unseen {unseen}, look-alikes {alike} (at most {:.2} %), answered {:.1} %",
                bound * 100.0,
                evaluation.answered_at(cut).unwrap_or(0.0) * 100.0
            );
        }
    }
    Ok(())
}
