//! Measures every query that `models/verifier.py make` has written against its candidates.
//!
//! `measure DIR FILE.tsv` writes all measurements of each pair: what the verifier's confidence is fitted on.
//! `measure DIR FILE.json STORED [DIR...]` writes how sure the engine is of each query that it must not answer, with
//! STORED pictures stored: a calibration of the built-in model.
//! In the place of DIR, DIR/TABLE takes the queries of another table than queries.tsv.
//!
//! `cargo run --release --example measure -- DIR FILE`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use tongkuan::calibration::{Calibration, DEFAULT_MAX_FALSE_HIT, Sample};
use tongkuan::embed::Model;
use tongkuan::photo::{Photo, PhotoLimits, read_bytes};
use tongkuan::verify::{Candidate, Evidence, Probe, Sketch, measure};

const USAGE: &str = "give a folder made by models/verifier.py and a file to write";

fn read(path: &Path) -> Result<Photo> {
    let limits = PhotoLimits::default();
    Ok(Photo::decode(&read_bytes(path, &limits)?, &limits)?)
}

/// `7:0.91250` as candidate and cosine.
fn near(text: &str) -> Result<(usize, f32)> {
    let (id, cosine) = text.split_once(':').context("no colon")?;
    Ok((id.parse()?, cosine.parse()?))
}

/// Candidates and their cosines.
type Near = Vec<(usize, f32)>;

/// A query and its measured candidates.
struct Measured {
    folder: PathBuf,
    /// query, kind, edit, note, half, own, made of
    fields: Vec<String>,
    found: Vec<(usize, Evidence)>,
}

impl Measured {
    fn lines(&self) -> Result<String> {
        let mut lines = String::new();
        for (id, evidence) in &self.found {
            write!(lines, "{}\t{id}", self.fields[..6].join("\t"))?;
            for value in evidence.values() {
                write!(lines, "\t{value:.4}")?;
            }
            lines.push('\n');
        }
        Ok(lines)
    }

    /// Names the picture that the query was made of.
    fn made_of(&self) -> (&Path, &str) {
        (&self.folder, &self.fields[6])
    }

    fn surest(&self) -> f32 {
        self.found.iter().map(|(_, evidence)| evidence.confidence()).fold(0.0, f32::max)
    }
}

/// Measures the queries of a made folder, or of one of its tables.
fn measured(path: &Path) -> Result<Vec<Measured>> {
    let table = if path.is_dir() { path.join("queries.tsv") } else { path.to_path_buf() };
    let folder = table.parent().context(USAGE)?;
    let text = std::fs::read_to_string(&table).with_context(|| table.display().to_string())?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    // Those near the whole picture, and those near a part of it.
    let list = |text: &&str| text.split_terminator(',').map(near).collect::<Result<Vec<_>>>();
    let candidates: Vec<Vec<Near>> =
        rows.iter().map(|row| row[7..9].iter().map(list).collect()).collect::<Result<_>>()?;
    let ids: BTreeSet<usize> = candidates.iter().flatten().flatten().map(|(id, _)| *id).collect();
    let sketch_of = |id: &usize| -> Result<(usize, Sketch)> {
        let photo = read(&folder.join("stored").join(format!("{id}.jpg")))?;
        Ok((*id, Sketch::of(photo.as_image())?))
    };
    let sketches: BTreeMap<usize, Sketch> =
        ids.into_par_iter().map(|id| sketch_of(&id)).collect::<Result<_>>()?;
    let bytes: usize = sketches.values().map(|sketch| sketch.to_bytes().len()).sum();
    println!(
        "{} queries; {} sketches of {} bytes on average",
        rows.len(),
        sketches.len(),
        bytes / sketches.len().max(1)
    );
    let one = |(row, lists): (&Vec<&str>, &Vec<Near>)| -> Result<Measured> {
        let photo = read(&folder.join("queries").join(format!("{}.jpg", row[0])))?;
        let probe = Probe::of(photo.as_image())?;
        let mut found = Vec::new();
        for near in lists {
            let list: Vec<Candidate<'_>> = near
                .iter()
                .map(|(id, cosine)| Candidate { sketch: &sketches[id], cosine: *cosine })
                .collect();
            let evidence = measure(&probe, &list);
            found.extend(near.iter().zip(evidence).filter_map(|((id, _), e)| Some((*id, e?))));
        }
        Ok(Measured {
            folder: folder.to_path_buf(),
            fields: row[..7].iter().map(ToString::to_string).collect(),
            found,
        })
    };
    rows.par_iter().zip(&candidates).map(one).collect()
}

fn calibration(measured: &[Measured], stored: u64) -> Result<Calibration> {
    let of = |kinds: &[&str]| {
        let chosen = measured.iter().filter(|query| kinds.contains(&query.fields[1].as_str()));
        // The picture: the folder, and the item's place in it.
        Sample::of(chosen.map(|query| (query.made_of(), query.surest())))
    };
    let model = Model::built_in()?.fingerprint().digest;
    let look_alikes = of(&["variant", "recolour", "posted", "swap"]);
    Ok(Calibration::new(&model, DEFAULT_MAX_FALSE_HIT, stored, of(&["unseen"]), look_alikes))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file, rest @ ..] = arguments.as_slice() else { bail!(USAGE) };
    let mut all = measured(Path::new(folder))?;
    if Path::new(file).extension().is_some_and(|ending| ending == "json") {
        let [stored, more @ ..] = rest else { bail!("say how many pictures were stored") };
        for folder in more {
            all.extend(measured(Path::new(folder))?);
        }
        std::fs::write(file, calibration(&all, stored.parse()?)?.to_json() + "\n")?;
    } else {
        let head = ["query", "kind", "edit", "note", "half", "own", "candidate"];
        let head = [head.as_slice(), &Evidence::NAMES].concat().join("\t");
        let lines: Vec<String> = all.iter().map(Measured::lines).collect::<Result<_>>()?;
        std::fs::write(file, format!("{head}\n{}", lines.concat()))?;
    }
    Ok(())
}
