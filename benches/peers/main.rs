//! Our part of the comparison that `benches/peers/run.py` makes; `cargo bench --bench peers` alone shows only that.
//!
//! `TONGKUAN_PEERS_FOLDER` names a folder (default: a temporary one) for `vectors.f32`, `queries.f32` (rows of 256
//! little-endian numbers, of length one) and `tongkuan.json`.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use tongkuan::embed::Embedding;
use tongkuan::index::{Index, IndexOptions};
use tongkuan::photo_id::PhotoId;

const DIMENSION: usize = 256;
const VECTORS: u64 = 50_000;
const QUERIES: u32 = 1000;
const K: usize = 10;
const BREADTHS: [usize; 4] = [16, 32, 64, 128];
const ROUNDS: u32 = 5;
const SEED: u64 = 1688;

/// Repeatable noise in -1..1 (SplitMix64).
fn noise(seed: u64) -> impl Iterator<Item = f32> {
    (1u64..).map(move |i| {
        let mut z = (seed ^ SEED)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f32::from(u16::try_from((z >> 48) & 0xFFFF).expect("16 bits")) / 32768.0 - 1.0
    })
}

/// Clusters of 20, as colour variants and look-alikes are.
fn vector(i: u64) -> Vec<f32> {
    noise(i / 20).zip(noise(i + 10_000_000)).take(DIMENSION).map(|(centre, own)| centre + 0.6 * own).collect()
}

/// A near copy of a stored vector: a cosine of about 0.996.
fn query(q: u64) -> Vec<f32> {
    let i = q * (VECTORS / u64::from(QUERIES));
    vector(i).into_iter().zip(noise(i + 20_000_000)).map(|(v, n)| v + 0.1 * n).collect()
}

fn embeddings(count: u64, vector: impl Fn(u64) -> Vec<f32>) -> Vec<Embedding> {
    (0..count).map(|i| Embedding::new(vector(i)).expect("a vector")).collect()
}

fn write(path: &Path, embeddings: &[Embedding]) {
    let bytes: Vec<u8> = embeddings.iter().flat_map(Embedding::to_le_bytes).collect();
    fs::write(path, bytes).expect("room on the disk");
}

/// Resident memory in bytes; 0 where there is no `/proc`.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// Processor time of this process in seconds, all threads; 0 where there is no `/proc`.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, in hundredths of a second on every Linux that we know.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os("TONGKUAN_PEERS_FOLDER").map_or(temporary.path().to_owned(), Into::into);
    let vectors = embeddings(VECTORS, vector);
    let queries = embeddings(u64::from(QUERIES), query);
    write(&folder.join("vectors.f32"), &vectors);
    write(&folder.join("queries.f32"), &queries);

    let options = IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0"));
    let options = IndexOptions { exact_max: 0, ..options };
    let pictures = |index: &Index| {
        let numbered = (1i64..).map(PhotoId).zip(&vectors);
        index.insert_many(numbered).expect("new pictures");
        index.catch_up();
    };
    let two = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let (before, start, start_cpu) = (resident(), Instant::now(), processor_time());
    let first = Index::new(options);
    two.install(|| pictures(&first));
    let (build_s, build_cpu_s) = (start.elapsed().as_secs_f64(), processor_time() - start_cpu);
    let bytes = resident().saturating_sub(before) / VECTORS;

    // How broad to search is a property of an index, so there is one for each breadth, from one snapshot.
    let saved = tempfile::tempdir().expect("a folder");
    let fingerprint = tongkuan::index::IndexFingerprint("peers".to_owned());
    first.save(saved.path(), &fingerprint).expect("a snapshot");
    drop(first);
    let catalogue: Vec<(PhotoId, Embedding)> = (1i64..).map(PhotoId).zip(vectors).collect();
    let mut rows = String::new();
    for breadth in BREADTHS {
        let options = IndexOptions { breadth, ..options };
        let index = Index::load(options, saved.path(), &fingerprint, &catalogue).expect("the snapshot");
        let search = |query: &Embedding| index.search(query, K, -1.0).expect("a search");
        let (mut times, start_cpu) = (Vec::new(), processor_time());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for query in &queries {
                black_box(search(query));
            }
            times.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(QUERIES));
        }
        // Its clock ticks in hundredths of a second, so over all rounds together.
        let cpu = (processor_time() - start_cpu) * 1e3 / f64::from(ROUNDS * QUERIES);
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let found: Vec<Vec<i64>> =
            queries.iter().map(|q| search(q).iter().map(|c| c.photo_id.0 - 1).collect()).collect();
        let comma = if rows.is_empty() { "" } else { "," };
        write!(
            rows,
            "{comma}{{\"ef\":{breadth},\"query_ms\":{median},\"query_cpu_ms\":{cpu},\"found\":{found:?}}}"
        )
        .expect("a string takes everything");
        println!("breadth {breadth}: {median:.4} ms a query");
    }
    println!("built in {build_s:.2} s ({build_cpu_s:.2} s of processor time), {bytes} bytes a vector");
    let json = format!(
        "{{\"name\":\"tongkuan\",\"build_s\":{build_s},\"build_cpu_s\":{build_cpu_s},\"bytes\":{bytes},\"rows\":[{rows}]}}"
    );
    fs::write(folder.join("tongkuan.json"), json).expect("room on the disk");
}
