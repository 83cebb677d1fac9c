//! Our part of the comparison that `benches/peers/run.py` makes; `cargo bench --bench peers` alone shows only that.
//!
//! `TONGKUAN_PEERS_FOLDER` names a folder (default: a temporary one) for `vectors.f32`, `queries.f32` (rows of 256
//! little-endian numbers, of length one) and `tongkuan.json`; `TONGKUAN_PEERS_VECTORS` says how many vectors (default:
//! 50000). `TONGKUAN_PEERS_FROM` names a folder with two such files (`benches/peers/embed.py` makes them), to be taken
//! instead of clusters; then the default is all. How the index is opened is measured in a process of its own.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[path = "../clusters/mod.rs"]
mod clusters;

use clusters::{DIMENSION, near_copy, vector};
use tongkuan::embed::Embedding;
use tongkuan::index::{Index, IndexFingerprint, IndexOptions};
use tongkuan::photo_id::PhotoId;

const QUERIES: u32 = 1000;
const K: usize = 10;
const BREADTHS: [usize; 10] = [10, 12, 16, 24, 32, 48, 64, 96, 128, 192];
const ROUNDS: u32 = 5;

/// Vectors, and near copies of some from all over.
fn clusters(vectors: u64) -> [Vec<Embedding>; 2] {
    let step = vectors / u64::from(QUERIES);
    [(0..vectors).map(vector).collect(), (0..u64::from(QUERIES)).map(|q| near_copy(q * step)).collect()]
}

fn read(path: &Path) -> Vec<Embedding> {
    let bytes = fs::read(path).expect("a file of vectors");
    let (rows, rest) = bytes.as_chunks::<{ 4 * DIMENSION }>();
    assert!(rest.is_empty() && !rows.is_empty(), "{}: rows of {DIMENSION} numbers", path.display());
    let embedding = |row: &[u8; 4 * DIMENSION]| {
        let values = row.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
        Embedding::new(values.collect()).expect("a vector")
    };
    rows.iter().map(embedding).collect()
}

fn write(path: &Path, embeddings: &[Embedding]) {
    let bytes: Vec<u8> = embeddings.iter().flat_map(Embedding::to_le_bytes).collect();
    fs::write(path, bytes).expect("room on the disk");
}

/// Resident memory in bytes, and how much of it is in no file; 0 where there is no `/proc`.
fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    };
    (field("VmRSS:"), field("RssAnon:"))
}

/// Processor time of this process in seconds, all threads; 0 where there is no `/proc`.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, in hundredths of a second on every Linux that we know.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn options() -> IndexOptions {
    let options = IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0"));
    IndexOptions { exact_max: 0, ..options }
}

fn fingerprint() -> IndexFingerprint {
    IndexFingerprint("peers".to_owned())
}

/// In a process of its own: opens what was saved in `saved`, asks once, then all queries of its parent.
fn open(saved: &Path) {
    let queries = read(&saved.with_file_name("queries.f32"));
    let (rss, anon) = resident();
    let start = Instant::now();
    let index = Index::load(options(), saved, &fingerprint()).expect("the snapshot");
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    let vectors = index.len() as u64;
    let grown = || {
        let (now, now_anon) = resident();
        (now.saturating_sub(rss) / vectors, now_anon.saturating_sub(anon) / vectors)
    };
    let opened = grown();
    let start = Instant::now();
    black_box(index.search(&queries[0], K, -1.0).expect("a search"));
    let first_ms = start.elapsed().as_secs_f64() * 1e3;
    for query in &queries {
        black_box(index.search(query, K, -1.0).expect("a search"));
    }
    let asked = grown();
    let start = Instant::now();
    black_box(index.search_exact(&queries[0], K).expect("a search"));
    let scan_ms = start.elapsed().as_secs_f64() * 1e3;
    println!(
        "opened in {open_ms:.1} ms ({} bytes a vector, {} in no file), first search {first_ms:.1} ms; after {} \
         searches {} bytes a vector, {} in no file; first exact scan {scan_ms:.1} ms",
        opened.0,
        opened.1,
        queries.len(),
        asked.0,
        asked.1
    );
}

fn main() {
    if let Some(saved) = std::env::var_os("TONGKUAN_PEERS_OPEN") {
        return open(Path::new(&saved));
    }
    let wanted = std::env::var("TONGKUAN_PEERS_VECTORS").ok().map(|n| n.parse::<u64>().expect("a number"));
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os("TONGKUAN_PEERS_FOLDER").map_or(temporary.path().to_owned(), Into::into);
    let [mut vectors, queries] = match std::env::var_os("TONGKUAN_PEERS_FROM").map(PathBuf::from) {
        Some(from) => ["vectors.f32", "queries.f32"].map(|name| read(&from.join(name))),
        None => clusters(wanted.unwrap_or(50_000)),
    };
    vectors.truncate(wanted.map_or(usize::MAX, |n| usize::try_from(n).expect("fits")));
    let (count, asked) = (vectors.len() as u64, u32::try_from(queries.len()).expect("few"));
    write(&folder.join("vectors.f32"), &vectors);
    write(&folder.join("queries.f32"), &queries);

    let two = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let ((before, before_anon), start, start_cpu) = (resident(), Instant::now(), processor_time());
    let first = Index::new(options());
    two.install(|| {
        first.insert_many((1i64..).map(PhotoId).zip(&vectors)).expect("new pictures");
        first.catch_up();
    });
    let (build_s, build_cpu_s) = (start.elapsed().as_secs_f64(), processor_time() - start_cpu);
    let peak = resident().0.saturating_sub(before) / count;
    let saved = tempfile::tempdir_in(&folder).expect("a folder");
    let start = Instant::now();
    first.save(saved.path(), &fingerprint()).expect("a snapshot");
    let save_s = start.elapsed().as_secs_f64();
    for query in &queries {
        black_box(first.search(query, K, -1.0).expect("a search"));
    }
    let (rss, anon) = resident();
    let (bytes, anon) = (rss.saturating_sub(before) / count, anon.saturating_sub(before_anon) / count);
    let looked_for = vectors.iter().step_by(vectors.len().div_ceil(20_000));
    let looked_for_len = looked_for.len();
    let lost_by_graph = looked_for.filter(|vector| {
        let found = first.search_graph_alone(vector, 1).expect("a search");
        found.best().is_none_or(|best| best.score < 1.0)
    });
    let lost_by_graph = lost_by_graph.count();
    let audit = first.audit_graph();
    drop(first);
    drop(vectors);

    // How broad to search is a property of an index, so there is one for each, from one snapshot.
    let mut rows = String::new();
    for ef_search in BREADTHS {
        let index = Index::load(IndexOptions { ef_search, ..options() }, saved.path(), &fingerprint());
        let index = index.expect("the snapshot");
        let search = |query: &Embedding| index.search(query, K, -1.0).expect("a search");
        // All sums are looked at before the clock starts.
        for query in &queries {
            black_box(search(query));
        }
        let (mut times, start_cpu) = (Vec::new(), processor_time());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for query in &queries {
                black_box(search(query));
            }
            times.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(asked));
        }
        // Its clock ticks in hundredths of a second, so over all rounds together.
        let cpu = (processor_time() - start_cpu) * 1e3 / f64::from(ROUNDS * asked);
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let found: Vec<Vec<i64>> =
            queries.iter().map(|q| search(q).iter().map(|c| c.photo_id.0 - 1).collect()).collect();
        let comma = if rows.is_empty() { "" } else { "," };
        write!(
            rows,
            "{comma}{{\"ef\":{ef_search},\"query_ms\":{median},\"query_cpu_ms\":{cpu},\"found\":{found:?}}}"
        )
        .expect("a string takes everything");
        println!("ef_search {ef_search}: {median:.4} ms a query, {cpu:.4} ms of processor time");
    }
    println!(
        "{count} vectors built in {build_s:.2} s ({build_cpu_s:.2} s of processor time), {peak} bytes a vector then; \
         saved in {save_s:.2} s; {bytes} bytes a vector after {asked} searches, {anon} of them in no file; \
         {lost_by_graph} of {looked_for_len} lost by the graph; {audit:?}"
    );
    let json = format!(
        "{{\"name\":\"tongkuan\",\"build_s\":{build_s},\"build_cpu_s\":{build_cpu_s},\"bytes\":{bytes},\"anon\":{anon},\"rows\":[{rows}]}}"
    );
    fs::write(folder.join("tongkuan.json"), json).expect("room on the disk");
    let this = std::env::current_exe().expect("this program");
    let opening = std::process::Command::new(this).env("TONGKUAN_PEERS_OPEN", saved.path()).status();
    assert!(opening.expect("this program").success());
}
