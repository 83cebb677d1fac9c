//! The index beside `hnsw_rs`, on the same vectors and queries: two programs that share nothing but the paper.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use hnsw_rs::prelude::{DistDot, Hnsw};
use tongkuan::embed::Embedding;
use tongkuan::index::{Index, IndexOptions};
use tongkuan::photo_id::PhotoId;

#[path = "../../../clusters/mod.rs"]
mod clusters;

use clusters::{DIMENSION, near_copy, noise, vector};

const VECTORS: u64 = 4000;
const K: usize = 10;
const BREADTH: usize = 64;

/// Of vectors of length one: their cosine.
fn product(a: &Embedding, b: &Embedding) -> f32 {
    a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| a * b).sum()
}

struct Both {
    vectors: Vec<Embedding>,
    ours: Index,
    theirs: Hnsw<'static, f32, DistDot>,
}

/// `DistDot` ends the process when a product is above 1.
fn shortened(embedding: &Embedding) -> Vec<f32> {
    embedding.as_slice().iter().map(|value| value * 0.999_999).collect()
}

impl Both {
    fn of(vectors: Vec<Embedding>) -> Self {
        let options = IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0"));
        let ours = Index::new(IndexOptions { exact_max: 0, ef_search: BREADTH, ..options });
        ours.insert_many((0..).map(|n| PhotoId(n + 1)).zip(&vectors)).expect("new pictures");
        ours.catch_up();
        let theirs = Hnsw::new(16, vectors.len(), 16, 200, DistDot);
        for (number, embedding) in vectors.iter().enumerate() {
            theirs.insert((&shortened(embedding), number));
        }
        Self { vectors, ours, theirs }
    }

    /// Scores of what `hnsw_rs` found, best first, and numbers.
    fn ask_theirs(&self, query: &Embedding) -> Vec<(f32, usize)> {
        let found = self.theirs.search(&shortened(query), K, BREADTH);
        let score = |number: usize| product(query, &self.vectors[number]);
        let mut found: Vec<_> = found.iter().map(|near| (score(near.d_id), near.d_id)).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found
    }
}

/// Of some stored vectors.
fn near_copies() -> impl Iterator<Item = Embedding> {
    (0..VECTORS).step_by(29).map(near_copy)
}

/// Near copies, and vectors that are like none.
fn queries() -> impl Iterator<Item = Embedding> {
    let strange = |n: u64| Embedding::new(noise(n + 40_000_000).take(DIMENSION).collect()).expect("a vector");
    near_copies().chain((0..60).map(strange))
}

#[test]
fn no_answer_of_hnsw_rs_is_better_than_an_exact_one() {
    let both = Both::of((0..VECTORS).map(vector).collect());
    for query in queries() {
        let ours = both.ours.search_exact(&query, K).expect("a search");
        let theirs = both.ask_theirs(&query);
        assert!(ours.len() >= theirs.len());
        for (place, (score, number)) in theirs.into_iter().enumerate() {
            assert!(ours.as_slice()[place].score >= score - 1e-6, "{place}: {number} is {score} in {ours:?}");
        }
    }
}

#[test]
fn the_graph_finds_what_hnsw_rs_finds() {
    let both = Both::of((0..VECTORS).map(vector).collect());
    let (mut found, mut wanted) = (0, 0);
    for query in near_copies() {
        let ours = both.ours.search_graph_alone(&query, K).expect("a search");
        let ours: HashSet<i64> = ours.iter().map(|candidate| candidate.photo_id.0 - 1).collect();
        let theirs = both.ask_theirs(&query);
        wanted += theirs.len();
        found +=
            theirs.iter().filter(|(_, number)| ours.contains(&i64::try_from(*number).expect("few"))).count();
    }
    assert!(wanted >= 1000 && found * 1000 >= wanted * 995, "{found} of {wanted}");
}

/// Equal vectors in great numbers, among which a graph has no directions: what `hnsw_rs` loses pictures of.
#[test]
fn whoever_hnsw_rs_loses_is_found() {
    let both = Both::of((0..VECTORS).map(|n| vector(n / 200)).collect());
    let mut lost_by_theirs = 0;
    for (number, embedding) in both.vectors.iter().enumerate() {
        lost_by_theirs += usize::from(both.ask_theirs(embedding).first().is_none_or(|best| best.0 < 0.9999));
        let all = both.ours.search(embedding, 200, 0.99).expect("a search");
        let own = PhotoId(i64::try_from(number).expect("few") + 1);
        assert!(all.iter().any(|candidate| candidate.photo_id == own), "{number} is not found by its vector");
    }
    println!("hnsw_rs loses {lost_by_theirs} of {}", both.vectors.len());
}
