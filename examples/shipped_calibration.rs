//! Makes the calibration of the built-in model: how sure the engine is of searches that it must not answer.
//!
//! FOLDER is what `models/judge/unseen.py` has written: pictures, and queries that are like none of them. Standard input
//! is what `models/judge/make_pairs.py` writes: of its pairs, those that are not the same picture are the look-alikes.
//!
//! `cargo run --release --example shipped_calibration -- FOLDER FILE < PAIRS`

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use tongkuan::calibration::{Calibration, DEFAULT_MAX_FALSE_HIT, Sample};
use tongkuan::embed::Model;
use tongkuan::photo::{Photo, PhotoLimits, read_bytes};
use tongkuan::verify::{Probe, REVIEW_CONFIDENCE, Sketch, SketchedCandidate, measure};

/// Pairs that are taken of one product: the few real families would outweigh all others.
const MOST_OF_ONE: usize = 60;
/// Pairs that are in memory at once.
const PAIRS_AT_ONCE: usize = 256;

fn decoded(bytes: &[u8]) -> Result<Photo> {
    Ok(Photo::decode(bytes, &PhotoLimits::default())?)
}

fn read(path: &Path) -> Result<Photo> {
    decoded(&read_bytes(path, &PhotoLimits::default())?)
}

/// How sure the engine is of the surest candidate, and its place in the list.
fn surest(probe: &Probe, candidates: &[SketchedCandidate<'_>]) -> (f32, usize) {
    let sure = measure(probe, candidates)
        .into_iter()
        .map(|found| found.map_or(0.0, |evidence| evidence.confidence()));
    sure.zip(0..).fold((0.0, 0), |best, one| if one.0 > best.0 { one } else { best })
}

/// Stored pictures and their cosines.
type Near = Vec<(usize, f32)>;

/// `7:0.91250,...`
fn near(text: &str) -> Result<Near> {
    let one = |text: &str| {
        let (id, cosine) = text.split_once(':').context("no colon")?;
        Ok((id.parse()?, cosine.parse()?))
    };
    text.split_terminator(',').map(one).collect()
}

/// The picture that each query was made of, and the surest candidate's confidence; with the number of stored pictures.
fn unseen(folder: &Path) -> Result<(Vec<(String, f32)>, u64)> {
    let text =
        std::fs::read_to_string(folder.join("queries.tsv")).context("give a folder made by unseen.py")?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    // Those near the whole picture, and those near a part of it.
    let lists: Vec<Vec<Near>> =
        rows.iter().map(|row| row[3..5].iter().map(|text| near(text)).collect()).collect::<Result<_>>()?;
    let ids: BTreeSet<usize> = lists.iter().flatten().flatten().map(|(id, _)| *id).collect();
    let sketch = |id: usize| -> Result<(usize, Sketch)> {
        Ok((id, Sketch::of(read(&folder.join(format!("stored/{id}.jpg")))?.as_image())?))
    };
    let sketches: BTreeMap<usize, Sketch> = ids.into_par_iter().map(sketch).collect::<Result<_>>()?;
    let bytes: usize = sketches.values().map(|sketch| sketch.to_bytes().len()).sum();
    println!("{} sketches of {} bytes on average", sketches.len(), bytes / sketches.len().max(1));
    let one = |(row, lists): (&Vec<&str>, &Vec<Near>)| -> Result<(String, f32)> {
        let probe = Probe::of(read(&folder.join(format!("queries/{}.jpg", row[0])))?.as_image())?;
        let sure = lists.iter().map(|list| {
            let list: Vec<SketchedCandidate<'_>> = list
                .iter()
                .map(|(id, cosine)| SketchedCandidate { sketch: &sketches[id], cosine: *cosine })
                .collect();
            surest(&probe, &list)
        });
        let sure = sure.zip(lists).fold(
            (0.0, 0),
            |best, ((sure, place), list)| {
                if sure > best.0 { (sure, list[place].0) } else { best }
            },
        );
        if sure.0 >= REVIEW_CONFIDENCE {
            println!("{:.4} {} {} {} {}", sure.0, row[0], row[1], row[2], sure.1);
        }
        Ok((row[2].to_owned(), sure.0))
    };
    let found = rows.par_iter().zip(&lists).map(one).collect::<Result<_>>()?;
    let stored = std::fs::read_dir(folder.join("stored"))?.count() as u64;
    Ok((found, stored))
}

/// A pair of make_pairs.py: what it was made of, stored, query, cosine.
type Pair = (String, Vec<u8>, Vec<u8>, f32);

/// The next pairs that must not be answered.
fn next_pairs(input: &mut impl BufRead) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    while pairs.len() < PAIRS_AT_ONCE {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            break;
        }
        let head: serde_json::Value = serde_json::from_str(&line)?;
        let mut take = |name: &str| -> Result<Vec<u8>> {
            let length = head[name].as_u64().with_context(|| format!("no length of {name}"))?;
            let mut bytes = vec![0; usize::try_from(length)?];
            input.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let (stored, query) = (take("stored")?, take("query")?);
        let word = |name: &str| head[name].as_str().with_context(|| format!("no {name}"));
        if word("kind")? != "same" {
            #[expect(clippy::cast_possible_truncation, reason = "a cosine")]
            pairs.push((
                word("group")?.to_owned(),
                stored,
                query,
                head["cosine"].as_f64().unwrap_or(0.7) as f32,
            ));
        }
    }
    Ok(pairs)
}

fn look_alikes() -> Result<Vec<(String, f32)>> {
    let mut input = std::io::BufReader::with_capacity(1 << 20, std::io::stdin().lock());
    let (mut found, mut taken) = (Vec::new(), HashMap::<String, usize>::new());
    loop {
        let mut pairs = next_pairs(&mut input)?;
        if pairs.is_empty() {
            return Ok(found);
        }
        pairs.retain(|(group, ..)| {
            let taken = taken.entry(group.clone()).or_default();
            *taken += 1;
            *taken <= MOST_OF_ONE
        });
        let one = |(group, stored, query, cosine): Pair| -> Result<(String, f32)> {
            let sketch = Sketch::of(decoded(&stored)?.as_image())?;
            let probe = Probe::of(decoded(&query)?.as_image())?;
            Ok((group, surest(&probe, &[SketchedCandidate { sketch: &sketch, cosine }]).0))
        };
        found.extend(pairs.into_par_iter().map(one).collect::<Result<Vec<_>>>()?);
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file] = arguments.as_slice() else {
        bail!("give a folder of unseen.py and a file to write")
    };
    let look_alikes = Sample::of(look_alikes()?);
    let (unseen, stored) = unseen(Path::new(folder))?;
    let unseen = Sample::of(unseen);
    let model = Model::built_in()?.fingerprint().digest;
    let calibration = Calibration::new(&model, DEFAULT_MAX_FALSE_HIT, stored, unseen, look_alikes);
    for (name, sample) in [("unseen", &calibration.unseen), ("look-alikes", &calibration.look_alikes)] {
        println!(
            "{name}: {} queries of {} pictures, {} stand out",
            sample.queries,
            sample.pictures,
            sample.confidences.len()
        );
    }
    for bound in [0.02, 0.01, 0.005, 0.002, 0.001] {
        match calibration.line(bound, stored) {
            Ok(line) => println!("{bound}: from {} on", line.confidence),
            Err(refused) => println!("{bound}: {refused}"),
        }
    }
    std::fs::write(file, calibration.to_json() + "\n")?;
    Ok(())
}
