//! Of a set that `tongkuan eval --make` has made, the pairs of pictures that the pair judge finds hard: what it takes for the same and is
//! not, and copies that it is not sure of. Standard output is what `examples/pairs.rs` reads; a line for each pair, as
//! `models/judge/make_pairs.py` writes them, goes to the second file.
//!
//! `cargo run --release --example hard_pairs -- set/manifest.ndjson fit1.ndjson | target/release/examples/pairs > fit1.bin`

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rayon::prelude::*;
use serde::Deserialize;
use tongkuan::embed::runtime;
use tongkuan::engine::{Engine, Mode, Query, RuntimeChoice};
use tongkuan::offer::{Offer, OfferId};

/// From this confidence on, other pictures are hard to tell apart; beyond the second, labels may be wrong.
const HARD: std::ops::Range<f32> = 0.1..0.93;

#[derive(Deserialize)]
struct Line {
    path: String,
    role: String,
    item: Option<String>,
    negative: Option<String>,
}

/// What the judge is to say of a picture that is not stored.
fn kind_of(negative: Option<&str>) -> &'static str {
    match negative {
        Some("variant" | "recolour") => "colour",
        Some("print" | "words" | "poster") => "print",
        _ => "goods",
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, manifest, labels] = &args[..] else { anyhow::bail!("name the manifest and the file for labels") };
    let folder = Path::new(manifest).parent().context("the manifest lies nowhere")?;
    let text = fs::read_to_string(manifest)?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Line>, _>>()?;
    let (stored, asked): (Vec<Line>, Vec<Line>) =
        lines.into_iter().partition(|line| line.role == "reference");
    let home = tempfile::tempdir()?;
    let runtime =
        RuntimeChoice::new(runtime::shared_folder().context("there is no folder for ONNX Runtime")?);
    let engine = Engine::builder(home.path()).runtime(runtime).open()?;
    let (mut of_photo, mut of_item) = (HashMap::new(), HashMap::<&str, Vec<&str>>::new());
    for (number, line) in stored.iter().enumerate() {
        let good = Offer::new(OfferId::new(number.to_string())?, line.path.clone());
        let added = engine.add_own(&good, &fs::read(folder.join(&line.path))?, &line.path)?;
        of_photo.insert(added.photo_id, line);
        of_item.entry(line.item.as_deref().unwrap_or_default()).or_default().push(&line.path);
    }
    engine.settle_index()?;
    let pairs_of = |query: &Line| -> Result<Vec<(String, String, &'static str)>> {
        let bytes = fs::read(folder.join(&query.path))?;
        let found = engine.inspect(&Query::new(&bytes, &query.path).mode(Mode::LocalOnly))?;
        let Some(best) = found.best else { return Ok(Vec::new()) };
        let (taken_for, sure) = (of_photo[&best.photo_id], best.confidence.unwrap_or(0.0));
        let right = query.item.as_deref().and_then(|item| of_item.get(item));
        let is_right = right.is_some() && taken_for.item == query.item;
        let mut pairs = Vec::new();
        if !is_right && HARD.contains(&sure) {
            pairs.push((taken_for.path.clone(), query.path.clone(), kind_of(query.negative.as_deref())));
        }
        if sure < HARD.end {
            let right = right.into_iter().flatten();
            pairs.extend(right.map(|path| ((*path).to_owned(), query.path.clone(), "same")));
        }
        Ok(pairs)
    };
    let pairs = asked.par_iter().map(pairs_of).collect::<Result<Vec<_>>>()?;
    let (mut out, mut told) = (std::io::stdout().lock(), fs::File::create(labels)?);
    for (stored, query, kind) in pairs.into_iter().flatten() {
        let [stored, query] = [stored, query].map(|path| fs::read(folder.join(path)));
        let (stored, query) = (stored?, query?);
        let head = serde_json::json!({"stored": stored.len(), "query": query.len(), "cosine": 0.8});
        writeln!(out, "{head}")?;
        out.write_all(&stored)?;
        out.write_all(&query)?;
        // Layouts are learnt whichever split their names fall into: the set was made of one.
        let label = serde_json::json!({"kind": kind, "note": if kind == "same" { "-" } else { "hard" }, "group": "layout", "edit": "-"});
        writeln!(told, "{label}")?;
    }
    Ok(())
}
