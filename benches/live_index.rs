//! The index while it changes: searches beside an ingest at full speed, with pictures removed, among some of them.
//! Prints; times are wall clock on one thread, each search timed by itself.
//!
//! `TONGKUAN_BENCH_MAX` is the number of stored pictures (default 100000).

use std::collections::HashSet;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[path = "clusters/mod.rs"]
mod clusters;

use clusters::{DIMENSION, near_copy, vector};
use tongkuan::embed::Embedding;
use tongkuan::index::{Index, IndexFingerprint, IndexOptions, PhotoSet};
use tongkuan::photo_id::PhotoId;

const QUERIES: u64 = 2000;
const QUERIES_AMONG: usize = 600;
/// As the engine asks: a near copy has a cosine of about 0.996.
const SURE_ABOVE: f32 = 0.9;
/// What no cosine comes to: the graph is asked in vain, and then all are looked at.
const NOTHING_IS_SURE: f32 = 1.1;

fn picture_id(i: u64) -> PhotoId {
    PhotoId(i64::try_from(i).expect("small") + 1)
}

fn picture(i: u64) -> (PhotoId, Embedding) {
    (picture_id(i), vector(i))
}

/// The median, the 99th and 99.9th of a hundred, and the greatest, in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("p50 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3} ms", at(500), at(990), at(999), at(1000))
}

fn timed(queries: &[Embedding], mut search: impl FnMut(&Embedding)) -> Vec<Duration> {
    let time = |query| {
        let start = Instant::now();
        search(query);
        start.elapsed()
    };
    queries.iter().map(time).collect()
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

/// How many of the ten nearest are found, of a hundred, for some of the queries.
fn recall(found: impl Fn(&Embedding, f32) -> HashSet<PhotoId>, queries: &[Embedding]) -> f64 {
    let (mut there, mut wanted) = (0u32, 0u32);
    for query in queries.iter().step_by(10) {
        let (quick, exact) = (found(query, SURE_ABOVE), found(query, f32::INFINITY));
        wanted += u32::try_from(exact.len()).expect("ten");
        there += u32::try_from(exact.intersection(&quick).count()).expect("ten");
    }
    f64::from(there) * 100.0 / f64::from(wanted.max(1))
}

fn ids(found: &tongkuan::index::Candidates) -> HashSet<PhotoId> {
    found.iter().map(|it| it.photo_id).collect()
}

fn main() {
    let count = std::env::var("TONGKUAN_BENCH_MAX").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000u64);
    let index = Index::new(IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0")));
    for i in 0..count {
        let (photo_id, embedding) = picture(i);
        index.insert(photo_id, &embedding).expect("a new picture");
    }
    index.catch_up();
    let folder = tempfile::tempdir().expect("a folder");
    let fingerprint = IndexFingerprint("bench".to_owned());
    index.save(folder.path(), &fingerprint).expect("room on the disk");
    let queries: Vec<Embedding> = (0..QUERIES).map(|q| near_copy(q * (count / QUERIES))).collect();
    let hit = |query: &Embedding| drop(black_box(index.search(query, 20, SURE_ABOVE).expect("a search")));
    let miss =
        |query: &Embedding| drop(black_box(index.search(query, 20, NOTHING_IS_SURE).expect("a search")));
    timed(&queries, hit);
    println!("{count} pictures, quiet, hits:   {}", spread(timed(&queries, hit)));
    println!("{count} pictures, quiet, misses: {}", spread(timed(&queries[..200], miss)));

    // At full speed: vectors are at hand, somebody else links.
    let fresh: Vec<_> = (count..count + 50_000).map(picture).collect();
    let (done, inserted) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut slowest = Duration::ZERO;
    let (hits, misses, seconds) = std::thread::scope(|scope| {
        let slowest = &mut slowest;
        scope.spawn(|| {
            for (photo_id, embedding) in &fresh {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let start = Instant::now();
                index.insert(*photo_id, embedding).expect("a new picture");
                *slowest = start.elapsed().max(*slowest);
                inserted.fetch_add(1, Ordering::Relaxed);
                if index.unindexed() > 512 {
                    index.link_some();
                }
            }
        });
        let start = Instant::now();
        let (hits, misses) = (timed(&queries, hit), timed(&queries[..200], miss));
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (hits, misses, seconds)
    });
    let inserted = inserted.into_inner();
    println!("beside {inserted} inserts with links in {seconds:.1} s, hits:   {}", spread(hits));
    println!("beside the same, misses: {}; slowest insert {slowest:?}", spread(misses));
    index.catch_up();
    index.save(folder.path(), &fingerprint).expect("room on the disk");

    let all = i64::try_from(count + inserted).expect("small");
    for per_mille in [1, 10, 50, 100, 150, 200, 250, 300, 400, 500, 900] {
        // Here and there, without a pattern.
        let is_in = |i: &u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) * 1000 < per_mille << 24;
        let ids_in: Vec<u64> = (0..count + inserted).filter(is_in).collect();
        let set: PhotoSet = ids_in.iter().map(|&i| picture_id(i)).collect();
        let step = (ids_in.len() / QUERIES_AMONG).max(1);
        let near: Vec<Embedding> =
            ids_in.iter().step_by(step).take(QUERIES_AMONG).map(|&i| near_copy(i)).collect();
        let find =
            |query: &Embedding| drop(black_box(index.search_among(query, 10, &set).expect("a search")));
        println!("among {per_mille} of a thousand: {}", spread(timed(&near, find)));
    }

    for share in [3, 9] {
        let gone: Vec<PhotoId> = (1..=all).filter(|id| id % 10 < share).map(PhotoId).collect();
        index.remove(&gone, 1);
        let find = |query: &Embedding, sure| ids(&index.search(query, 10, sure).expect("a search"));
        // Near copies of what is left.
        let left: Vec<Embedding> =
            (0..QUERIES).map(|q| near_copy(q * (count / QUERIES) / 10 * 10 + 8)).collect();
        let times = timed(&left, hit);
        println!("{share} of 10 removed: {}; recall@10 {:.2} %", spread(times), recall(find, &left));
        let (before, start) = (resident_mb(), Instant::now());
        let compacted = std::thread::scope(|scope| {
            let making = scope.spawn(|| index.compacted(&|_, _| {}).expect("an index"));
            let mut times = Vec::new();
            while !making.is_finished() {
                times.extend(timed(&left[..100], hit));
            }
            println!("  while its room is given back: {}", spread(times));
            making.join().expect("an index")
        });
        let seconds = start.elapsed().as_secs_f64();
        let other = tempfile::tempdir().expect("a folder");
        compacted.save(other.path(), &fingerprint).expect("room on the disk");
        let find = |query: &Embedding, sure| ids(&compacted.search(query, 10, sure).expect("a search"));
        let times = timed(&left, |query| drop(black_box(find(query, SURE_ABOVE))));
        println!(
            "  made anew in {seconds:.1} s: {} pictures, {}; recall@10 {:.2} %; {before} MB in no file before, {} with both",
            compacted.len(),
            spread(times),
            recall(find, &left),
            resident_mb()
        );
    }
}
