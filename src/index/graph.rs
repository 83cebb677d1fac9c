//! The accelerator: a navigable graph over the vectors, from `hnsw_rs`, kept at arm's length.
//!
//! What this file knows about `hnsw_rs` 0.3.5, so that nobody else needs to:
//! - more than 256 links ends the process; a NaN distance and a negative distance panic;
//! - points that are inserted while there is no entry point yet are never linked, so the first ones go in one
//!   by one ([`LINKED_ALONE`]);
//! - among many equal vectors a point's links all lead to its equals, and the group drops out of the graph: the
//!   index inserts each vector once;
//! - `modify_level_scale` prints to standard output, where our answers go, so it is not called;
//! - a dump can be read back only when it was made with 16 layers; reading may panic or end the process, so the
//!   caller has compared checksums before;
//! - what was read back borrows from its reader, though without memory maps nothing is borrowed in fact.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hnsw_rs::api::AnnT;
use hnsw_rs::hnsw::Hnsw;
use hnsw_rs::hnswio::HnswIo;
use hnsw_rs::prelude::Distance;

use crate::embed::dot;
use crate::photo_id::PhotoId;

/// Links per point and layer (twice that in the lowest).
pub(super) const LINKS: usize = 32;
/// How many neighbours are weighed when a point is linked.
pub(super) const EF_CONSTRUCTION: usize = 200;
const LAYERS: usize = 16;
const _: () =
    assert!(LINKS <= 128, "hnsw_rs ends the process above 256, and its dump counts links in a byte");

/// So many points go in before several threads may insert at once.
const LINKED_ALONE: usize = 64;

const BASENAME: &str = "graph";
/// What a dump consists of.
pub(super) const DUMP_FILES: [&str; 2] = ["graph.hnsw.graph", "graph.hnsw.data"];

/// One minus the cosine, never below zero and never NaN for finite vectors. Its name is part of the dump.
#[derive(Clone, Copy, Default)]
struct CosineDistance;

impl Distance<f32> for CosineDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

/// A graph over distinct vectors. Finds most near ones fast; promises nothing.
pub(super) struct Graph {
    hnsw: Hnsw<'static, f32, CosineDistance>,
}

impl Graph {
    pub(super) fn new() -> Self {
        Self { hnsw: Hnsw::new(LINKS, 1024, LAYERS, EF_CONSTRUCTION, CosineDistance) }
    }

    pub(super) fn len(&self) -> usize {
        self.hnsw.get_nb_point()
    }

    /// Whether points may be inserted by several threads at once.
    pub(super) fn takes_many(&self) -> bool {
        self.len() >= LINKED_ALONE
    }

    /// Links a picture. Its number is greater than zero.
    pub(super) fn insert(&self, photo_id: PhotoId, vector: &[f32]) {
        if let Ok(origin) = usize::try_from(photo_id.0) {
            self.hnsw.insert((vector, origin));
        }
    }

    /// Up to `breadth` pictures near `query`, most of the nearest among them.
    pub(super) fn search(&self, query: &[f32], breadth: usize) -> impl Iterator<Item = PhotoId> + use<> {
        let breadth = breadth.min(self.len());
        let found = if breadth == 0 { Vec::new() } else { self.hnsw.search(query, breadth, breadth) };
        found.into_iter().filter_map(|neighbour| i64::try_from(neighbour.d_id).ok().map(PhotoId))
    }

    /// Visits every point.
    pub(super) fn all(&self, mut visit: impl FnMut(PhotoId, &[f32]) -> bool) -> bool {
        self.hnsw.get_point_indexation().into_iter().all(|point| {
            i64::try_from(point.get_origin_id()).is_ok_and(|id| visit(PhotoId(id), point.get_v()))
        })
    }

    /// Writes [`DUMP_FILES`] into `dir`, an empty directory, while nobody inserts. The graph is not empty.
    pub(super) fn dump(&self, dir: &Path) -> Result<(), String> {
        match catch_unwind(AssertUnwindSafe(|| self.hnsw.file_dump(dir, BASENAME))) {
            Ok(Ok(basename)) if basename == BASENAME => Ok(()),
            Ok(Ok(basename)) => Err(format!("the dump was named {basename}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the dump panicked".to_owned()),
        }
    }

    /// Reads [`DUMP_FILES`] from `dir`, whose bytes are known to be those that [`Graph::dump`] wrote.
    pub(super) fn load(dir: &Path) -> Result<Self, String> {
        // The graph cannot outlive its reader by its type, though without memory maps it holds nothing of it.
        // The reader is two short strings and stays for the life of the process.
        let reader = Box::leak(Box::new(HnswIo::new(dir, BASENAME)));
        match catch_unwind(AssertUnwindSafe(|| reader.load_hnsw_with_dist(CosineDistance))) {
            Ok(Ok(hnsw)) => Ok(Self { hnsw }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("reading the dump panicked".to_owned()),
        }
    }
}
