//! Lays pairs of pictures over each other as the engine does and writes what the pair judge sees of them.
//!
//! Standard input: for each pair a line of JSON, then the bytes of the stored picture, then those of the query; the
//! line has `stored` and `query`, their lengths, and `cosine`. Standard output, for each pair in order: a byte that is
//! 1 if they could be aligned, 13 planes of bytes (of the stored picture four of luma and two of chroma, the same of the
//! query, what both show), the content shares, then the measurements (f32, little-endian).
//!
//! `cargo run --release --no-default-features --example pairs < IN > OUT`

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths and cosines of a file that make_pairs.py wrote, and values that are bytes"
)]

use std::io::{BufRead, Read, Write};

use rayon::prelude::*;
use tongkuan::photo::{Photo, PhotoLimits};
use tongkuan::verify::{Evidence, PAIR_SIDE_PX, Place, Probe, Sketch, SketchedCandidate, aligned};

/// Numbers of a `Place`: luma, then two of chroma.
const LANES: usize = size_of::<Place>() / size_of::<f32>();

fn seen(stored: &[u8], query: &[u8], cosine: f32) -> Option<(Vec<u8>, usize)> {
    let limits = PhotoLimits::default();
    let stored = Photo::decode(stored, &limits).ok()?;
    let query = Photo::decode(query, &limits).ok()?;
    let sketch = Sketch::of(stored.as_image()).ok()?;
    let probe = Probe::of(query.as_image()).ok()?;
    let (pair, evidence) = aligned(&probe, &SketchedCandidate { sketch: &sketch, cosine })?;
    let mut out = vec![1];
    let byte = |v: f32| v.round().clamp(0.0, 255.0) as u8;
    for picture in [&pair.stored, &pair.query] {
        for lane in 0..LANES {
            let zero = if lane < LANES - 2 { 0.0 } else { 128.0 };
            out.extend(picture.iter().map(|p| byte(p[lane] + zero)));
        }
    }
    out.extend(pair.seen.iter().map(|s| u8::from(*s)));
    for v in pair.content.iter().chain(evidence.values().iter()) {
        out.extend(v.to_le_bytes());
    }
    Some((out, sketch.to_bytes().len()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let size = 1 + (2 * LANES + 1) * PAIR_SIDE_PX * PAIR_SIDE_PX + 4 * (3 + Evidence::NAMES.len());
    let mut input = std::io::BufReader::with_capacity(1 << 20, std::io::stdin().lock());
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    eprintln!("{size} bytes a pair: {}", Evidence::NAMES.join(" "));
    let (mut bytes, mut count) = (0, 0);
    loop {
        let mut batch = Vec::new();
        while batch.len() < 256 {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                break;
            }
            let head: serde_json::Value = serde_json::from_str(&line)?;
            let mut take = |name: &str| -> std::io::Result<Vec<u8>> {
                let mut bytes = vec![0; head[name].as_u64().unwrap_or(0) as usize];
                input.read_exact(&mut bytes)?;
                Ok(bytes)
            };
            let (stored, query) = (take("stored")?, take("query")?);
            batch.push((stored, query, head["cosine"].as_f64().unwrap_or(0.7) as f32));
        }
        if batch.is_empty() {
            break;
        }
        let made: Vec<_> = batch.par_iter().map(|(s, q, c)| seen(s, q, *c)).collect();
        for one in made {
            match one {
                Some((record, sketch_bytes)) => {
                    bytes += sketch_bytes;
                    count += 1;
                    output.write_all(&record)?;
                }
                None => output.write_all(&vec![0; size])?,
            }
        }
        output.flush()?;
    }
    eprintln!("{count} aligned; sketches take {} bytes on average", bytes / count.max(1));
    Ok(())
}
