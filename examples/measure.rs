//! Measures every pair of a query and a candidate that `models/verifier.py make` has written: what the verifier's
//! confidence is fitted on.
//!
//! `cargo run --release --example measure -- DIR FILE`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;
use tongkuan::photo::{Photo, PhotoLimits, read_bytes};
use tongkuan::verify::{Candidate, Evidence, Probe, Sketch, measure};

fn read(path: &Path) -> Result<Photo> {
    let limits = PhotoLimits::default();
    Ok(Photo::decode(&read_bytes(path, &limits)?, &limits)?)
}

/// `7:0.91250` as candidate and cosine.
fn near(text: &str) -> Result<(usize, f32)> {
    let (id, cosine) = text.split_once(':').context("no colon")?;
    Ok((id.parse()?, cosine.parse()?))
}

fn main() -> Result<()> {
    let usage = "give a folder made by models/verifier.py and a file to write";
    let mut arguments = std::env::args().skip(1);
    let (folder, file) = (arguments.next().context(usage)?, arguments.next().context(usage)?);
    let folder = Path::new(&folder);
    let table = std::fs::read_to_string(folder.join("queries.tsv"))?;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    // Those near the whole picture, and those near a part of it.
    let list = |text: &&str| text.split_terminator(',').map(near).collect::<Result<Vec<_>>>();
    let candidates: Vec<Vec<Vec<(usize, f32)>>> =
        rows.iter().map(|row| row[6..8].iter().map(list).collect()).collect::<Result<_>>()?;
    let mut ids: Vec<usize> = candidates.iter().flatten().flatten().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let sketch_of = |id: &usize| -> Result<(usize, Sketch)> {
        let photo = read(&folder.join("stored").join(format!("{id}.jpg")))?;
        Ok((*id, Sketch::of(photo.as_image())?))
    };
    let sketches: BTreeMap<usize, Sketch> = ids.par_iter().map(sketch_of).collect::<Result<_>>()?;
    let measured = |(row, lists): (&Vec<&str>, &Vec<Vec<(usize, f32)>>)| -> Result<String> {
        let photo = read(&folder.join("queries").join(format!("{}.jpg", row[0])))?;
        let probe = Probe::of(photo.as_image())?;
        let mut lines = String::new();
        for near in lists {
            let list: Vec<Candidate<'_>> = near
                .iter()
                .map(|(id, cosine)| Candidate { sketch: &sketches[id], cosine: *cosine })
                .collect();
            for ((id, _), evidence) in near.iter().zip(measure(&probe, &list)) {
                let Some(evidence) = evidence else { continue };
                write!(lines, "{}\t{id}", row[..6].join("\t"))?;
                for value in evidence.values() {
                    write!(lines, "\t{value:.4}")?;
                }
                lines.push('\n');
            }
        }
        Ok(lines)
    };
    let lines: Vec<String> = rows.par_iter().zip(&candidates).map(measured).collect::<Result<_>>()?;
    let head = ["query", "kind", "edit", "note", "half", "own", "candidate"];
    let head = [head.as_slice(), &Evidence::NAMES].concat().join("\t");
    std::fs::write(&file, format!("{head}\n{}", lines.concat()))?;
    let bytes: usize = sketches.values().map(|sketch| sketch.to_bytes().len()).sum();
    println!(
        "{} queries; {} sketches of {} bytes on average",
        rows.len(),
        sketches.len(),
        bytes / sketches.len().max(1)
    );
    Ok(())
}
