//! Makes the calibration of the built-in model: how sure the engine is of searches that it must not answer.
//!
//! FOLDER is what `models/judge/unseen.py` has written: pictures, and queries that are like none of them. Standard input
//! is what `models/judge/make_pairs.py` writes: of its pairs, other colours and other prints or words are the look-alikes.
//! The kind of them that takes the highest threshold is what the calibration holds: the others would only thin it out, as other goods
//! would, and whoever asks for that kind alone would get more false hits than were promised.
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

/// A pair of make_pairs.py: its kind, what it was made of, stored, query, cosine.
type Pair = (&'static str, String, Vec<u8>, Vec<u8>, f32);

/// The kind of a pair that must not be answered; `None` for others.
fn kind_of(kind: &str, note: &str) -> Option<&'static str> {
    match (kind, note) {
        ("colour", "family") => Some("colours of real families"),
        ("colour", _) => Some("made colours"),
        ("print", _) => Some("prints and words"),
        _ => None,
    }
}

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
        if let Some(kind) = kind_of(word("kind")?, word("note")?) {
            #[expect(clippy::cast_possible_truncation, reason = "a cosine")]
            pairs.push((
                kind,
                word("group")?.to_owned(),
                stored,
                query,
                head["cosine"].as_f64().unwrap_or(0.7) as f32,
            ));
        }
    }
    Ok(pairs)
}

/// By kinds: what each pair was made of, and the candidate's confidence.
fn look_alikes() -> Result<BTreeMap<&'static str, Vec<(String, f32)>>> {
    let mut input = std::io::BufReader::with_capacity(1 << 20, std::io::stdin().lock());
    let (mut found, mut taken) = (BTreeMap::<_, Vec<_>>::new(), HashMap::<(&str, String), usize>::new());
    loop {
        let mut pairs = next_pairs(&mut input)?;
        if pairs.is_empty() {
            return Ok(found);
        }
        pairs.retain(|(kind, group, ..)| {
            let taken = taken.entry((*kind, group.clone())).or_default();
            *taken += 1;
            *taken <= MOST_OF_ONE
        });
        let one = |(kind, group, stored, query, cosine): Pair| -> Result<(&str, (String, f32))> {
            let sketch = Sketch::of(decoded(&stored)?.as_image())?;
            let probe = Probe::of(decoded(&query)?.as_image())?;
            Ok((kind, (group, surest(&probe, &[SketchedCandidate { sketch: &sketch, cosine }]).0)))
        };
        for (kind, pair) in pairs.into_par_iter().map(one).collect::<Result<Vec<_>>>()? {
            found.entry(kind).or_default().push(pair);
        }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file] = arguments.as_slice() else {
        bail!("give a folder of unseen.py and a file to write")
    };
    let kinds = look_alikes()?;
    let (unseen, stored) = unseen(Path::new(folder))?;
    let unseen = Sample::of(unseen);
    println!("unseen: {}", facts(&unseen));
    let model = Model::built_in()?.fingerprint().digest;
    let with =
        |look_alikes| Calibration::new(&model, DEFAULT_MAX_FALSE_HIT, stored, unseen.clone(), look_alikes);
    let by_kind = kinds.into_iter().map(|(kind, pairs)| {
        let sample = Sample::of(pairs);
        println!("{kind}: {}", facts(&sample));
        let calibration = with(sample);
        print_thresholds(&calibration);
        calibration
    });
    let threshold = |one: &Calibration| {
        one.operating_point(DEFAULT_MAX_FALSE_HIT, stored).map_or(1.0, |point| point.confidence)
    };
    let hardest = by_kind.max_by(|a, b| threshold(a).total_cmp(&threshold(b))).context("no look-alikes")?;
    println!("shipped: {} look-alikes", hardest.look_alikes.queries);
    std::fs::write(file, hardest.to_json() + "\n")?;
    Ok(())
}

fn facts(sample: &Sample) -> String {
    let Sample { queries, pictures, confidences, .. } = sample;
    format!("{queries} queries of {pictures} pictures, {} stand out", confidences.len())
}

fn print_thresholds(calibration: &Calibration) {
    for bound in [0.02, 0.01, 0.005, 0.002, 0.001] {
        match calibration.operating_point(bound, calibration.stored) {
            Ok(point) => println!("    {bound}: from {} on", point.confidence),
            Err(refused) => println!("    {bound}: {refused}"),
        }
    }
}
