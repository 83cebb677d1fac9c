//! Both index modes of a home in PostgreSQL, side by side: the index of a process, and pgvector on the server.
//! Prints; times are wall clock on one thread, each search timed by itself.
//!
//! ```sh
//! TONGKUAN_BENCH_MAX=100000 .ci/postgres cargo bench --bench index_modes
//! ```
//!
//! `TONGKUAN_BENCH_MAX` is the number of stored pictures (default 20000), `TONGKUAN_TEST_PGVECTOR` the address of a server with
//! pgvector; a schema of its own is made there and is left. A million pictures want `maintenance_work_mem` of about 2 GB there.

use std::collections::HashSet;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

#[path = "../clusters/mod.rs"]
mod clusters;

use clusters::{DIMENSION, near_copy, vector};
use tongkuan::clock::Timestamp;
use tongkuan::embed::{Embedding, Fingerprint};
use tongkuan::index::{Index, IndexOptions};
use tongkuan::photo::{Digest, PhotoFormat};
use tongkuan::photo_id::PhotoId;
use tongkuan::postgres::{PostgresAddress, PostgresStore};
use tongkuan::store::{NewPhoto, PhotoStore as _, VectorSearchStore as _};

const QUERIES: u64 = 500;
const SCANS: usize = 50;
const K: usize = 10;
/// `hnsw.ef_search`: as the engine asks up to 200,000 pictures, above, and where the graph has the last word; and one more.
const BREADTHS: [usize; 4] = [100, 200, 400, 800];
const GROUP: u64 = 500;

/// The median and the 99th of a hundred, in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("p50 {:.3}, p99 {:.3} ms", at(50), at(99))
}

/// Searches for each, once to warm up: how long each took, and how many of the nearest were found, of a hundred.
fn measure(
    what: &str,
    queries: &[Embedding],
    nearest: &[HashSet<PhotoId>],
    search: impl Fn(&Embedding) -> Vec<PhotoId>,
) {
    queries.iter().take(20).for_each(|query| drop(black_box(search(query))));
    let (mut times, mut found, mut wanted) = (Vec::new(), 0usize, 0usize);
    for (query, nearest) in queries.iter().zip(nearest) {
        let start = Instant::now();
        let there = search(query);
        times.push(start.elapsed());
        wanted += nearest.len();
        found += there.iter().filter(|photo_id| nearest.contains(photo_id)).count();
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let recall = found as f64 * 100.0 / wanted.max(1) as f64;
    println!("{what:<34} recall@{K} {recall:.2} %, {}", spread(times));
}

fn picture(store: &PostgresStore, numbers: std::ops::Range<u64>) {
    let embeddings: Vec<(u64, Embedding)> = numbers.map(|i| (i, vector(i))).collect();
    let photos: Vec<NewPhoto<'_>> = embeddings
        .iter()
        .map(|(i, embedding)| NewPhoto {
            label: "bench",
            byte_digest: Digest::of(&i.to_le_bytes()),
            pixel_digest: Digest::of(&i.to_be_bytes().repeat(2)),
            width_px: 1,
            height_px: 1,
            format: PhotoFormat::Png,
            embedding,
            sketch: &[0],
            added_at: Timestamp::from_unix_ms(0),
        })
        .collect();
    store.store_photos(&photos).expect("a server that takes them");
}

fn main() {
    let count = std::env::var("TONGKUAN_BENCH_MAX").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000u64);
    let Ok(server) = std::env::var("TONGKUAN_TEST_PGVECTOR") else {
        println!("skipped: TONGKUAN_TEST_PGVECTOR names no PostgreSQL server with pgvector");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let sign = if server.contains('?') { '&' } else { '?' };
    let address = format!("{server}{sign}schema=modes_{}", std::process::id());
    let address = PostgresAddress::parse(&address).expect("an address");
    let store = PostgresStore::open(&address, folder.path()).expect("a server");
    let fingerprint =
        Fingerprint { model: "bench".to_owned(), dimension: DIMENSION, digest: "bench".to_owned() };
    store.claim_model(&fingerprint).expect("a new home");
    let start = Instant::now();
    for first in (0..count).step_by(usize::try_from(GROUP).expect("small")) {
        picture(&store, first..count.min(first + GROUP));
    }
    println!("{count} pictures stored in {:.1} s", start.elapsed().as_secs_f64());

    let queries: Vec<Embedding> =
        (0..QUERIES).map(|q| near_copy(q * (count / QUERIES).max(1) % count)).collect();
    let start = Instant::now();
    let index = Index::new(IndexOptions {
        exact_max: 0,
        ..IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0"))
    });
    let mut after = None;
    loop {
        let chunk = store.embeddings_after(after, 8192).expect("a server");
        let Some(last) = chunk.last else { break };
        after = Some(last);
        index.insert_many(chunk.embeddings.iter().map(|(id, embedding)| (*id, embedding))).expect("new ones");
    }
    index.catch_up();
    println!("the process's index read and linked in {:.1} s", start.elapsed().as_secs_f64());
    let ids = |found: tongkuan::index::Candidates| found.iter().map(|it| it.photo_id).collect::<Vec<_>>();
    let exact = |query: &Embedding| ids(index.search_exact(query, K).expect("a search"));
    let nearest: Vec<HashSet<PhotoId>> =
        queries.iter().map(|query| exact(query).into_iter().collect()).collect();
    measure("of the process, the graph:", &queries, &nearest, |query| {
        ids(index.search(query, K, -1.0).expect("a search"))
    });
    measure("of the process, all of them:", &queries[..SCANS], &nearest, exact);
    drop(index);

    let start = Instant::now();
    store.prepare_search(DIMENSION, u64::MAX, false, &|_, _, _| {}).expect("pgvector");
    println!("pgvector: vectors copied in {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    store.prepare_search(DIMENSION, 0, false, &|_, _, _| {}).expect("pgvector");
    let facts = store.search_facts().expect("a server").expect("pgvector");
    println!(
        "pgvector {}: linked in {:.1} s, the index has {} MB",
        facts.extension,
        start.elapsed().as_secs_f64(),
        facts.graph_bytes / 1_000_000
    );
    let scored = |found: Option<Vec<(PhotoId, f32)>>| {
        found.expect("all vectors").into_iter().map(|(photo_id, _)| photo_id).collect::<Vec<_>>()
    };
    for breadth in BREADTHS {
        measure(&format!("pgvector, the graph, {breadth} in view:"), &queries, &nearest, |query| {
            scored(store.nearest_by_graph(query, K, breadth).expect("a search"))
        });
    }
    measure("pgvector, all of them:", &queries[..SCANS], &nearest, |query| {
        scored(store.nearest_exactly(query, K, None).expect("a search"))
    });
    let start = Instant::now();
    picture(&store, count..count + GROUP);
    println!(
        "pgvector: one more picture in {:.2} ms, in a group of {GROUP}",
        start.elapsed().as_secs_f64() * 1e3 / f64::from(u32::try_from(GROUP).expect("small"))
    );
}
