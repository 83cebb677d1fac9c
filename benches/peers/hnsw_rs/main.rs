//! The part of `hnsw_rs` in the comparison; `benches/peers/run.py` runs it. Argument: the folder with the vectors.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs};

use hnsw_rs::prelude::{DistDot, Hnsw};

const DIMENSION: usize = 256;
const K: usize = 10;
const ROUNDS: usize = 5;

fn rows(path: PathBuf) -> Vec<Vec<f32>> {
    let bytes = fs::read(path).expect("the folder with the vectors");
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b) * 0.999_999).collect();
    values.chunks_exact(DIMENSION).map(<[f32]>::to_vec).collect()
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() {
    let folder = PathBuf::from(env::args().nth(1).expect("the folder with the vectors"));
    let (vectors, queries) = (rows(folder.join("vectors.f32")), rows(folder.join("queries.f32")));
    let two = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let (before, start, start_cpu) = (resident(), Instant::now(), processor_time());
    let index = Hnsw::<f32, DistDot>::new(16, vectors.len(), 16, 200, DistDot);
    let numbered: Vec<(&Vec<f32>, usize)> = vectors.iter().zip(0..).collect();
    two.install(|| index.parallel_insert(&numbered));
    let (build_s, build_cpu_s) = (start.elapsed().as_secs_f64(), processor_time() - start_cpu);
    let bytes = resident().saturating_sub(before) / vectors.len() as u64;
    let mut out = String::new();
    for ef in [10, 12, 16, 24, 32, 48, 64, 96, 128, 192] {
        let mut times = Vec::new();
        let cpu = processor_time();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for query in &queries {
                black_box(index.search(query, K, ef));
            }
            times.push(start.elapsed().as_secs_f64() * 1e3 / queries.len() as f64);
        }
        let cpu = (processor_time() - cpu) * 1e3 / (ROUNDS * queries.len()) as f64;
        times.sort_by(f64::total_cmp);
        let found: Vec<Vec<usize>> =
            queries.iter().map(|q| index.search(q, K, ef).iter().map(|n| n.d_id).collect()).collect();
        let comma = if out.is_empty() { "" } else { "," };
        let median = times[ROUNDS / 2];
        write!(out, "{comma}{{\"ef\":{ef},\"query_ms\":{median},\"query_cpu_ms\":{cpu},\"found\":{found:?}}}")
            .expect("a string takes everything");
    }
    let json = format!(
        "{{\"name\":\"hnsw_rs\",\"build_s\":{build_s},\"build_cpu_s\":{build_cpu_s},\"bytes\":{bytes},\"rows\":[{out}]}}"
    );
    fs::write(folder.join("hnsw_rs.json"), json).expect("room on the disk");
}
