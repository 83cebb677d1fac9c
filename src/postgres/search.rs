//! Which stored pictures are near, where the server answers with pgvector?
//!
//! The vectors are in `search_vectors` once more, in half precision; `search_tables.rs` says how they come there. Half precision
//! only chooses: every score is that of the vectors in `embeddings`, and [`error_bound`] says by how much a choice may be wrong.
//!
//! Each statement names `search_state` first: who drops the tables locks it first, so they never wait for each other in a circle.

use postgres::Row;
use postgres::error::SqlState;
use postgres::types::ToSql;

use super::connection::Reader;
use super::extension::{Extension, unavailable};
use super::photos::{extent_of, raw};
use super::search_tables::{GRAPH, ready};
use super::{PostgresStore, count};
use crate::catalog::shared::read_vector;
use crate::catalog::{CatalogError, Entry, Extent};
use crate::photo_id::PhotoId;
use crate::store::{GraphState, SearchFacts, SearchReach, SearchTell, VectorSearchStore};
use crate::vector::Embedding;

/// Rows that are asked for beyond those wanted, because half precision may have put them into another order.
const SPARE: usize = 20;

/// Numbers of photos that one statement looks among.
const AMONG: usize = 16_384;

/// How a statement looks for what is near.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// By the graph, so many in view.
    Graph { breadth: usize },
    /// At each, or at each of these.
    Exact { among: Option<&'a [i64]> },
}

/// Rows in the order of their half precision.
struct Found {
    /// With exact scores, the best first; those whose vectors are damaged are left out.
    scored: Vec<(PhotoId, f32)>,
    /// With damaged ones.
    rows: usize,
    /// What the last row scores in half precision.
    last: f32,
}

impl VectorSearchStore for PostgresStore {
    fn check_vector_search(&self) -> Result<(), CatalogError> {
        self.extension().map(drop)
    }

    fn search_reach(&self, since: Option<Extent>) -> Result<Option<SearchReach>, CatalogError> {
        let photo = since.and_then(|extent| extent.last_photo_id).map_or(0, |id| id.0);
        // All removals are passed over by one who has counted nothing yet.
        let removal = since.map_or(i64::MAX, |extent| extent.last_removal);
        let sql = format!(
            "SELECT (SELECT max(photo_id) FROM embeddings), (SELECT coalesce(max(removal_id), 0) FROM removals),
                    (SELECT count(*) FROM search_vectors WHERE photo_id > $1),
                    (SELECT count(*) FROM removals WHERE removal_id > $2 AND photo_id <= $1), {},
                    EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('{GRAPH}') AND indisvalid),
                    (SELECT value FROM meta WHERE key = 'model')
             FROM search_state",
            ready()
        );
        self.read(|c| {
            let Some(rows) = unless_missing(c.query(&sql, &[&photo, &removal]))? else { return Ok(None) };
            let Some(row) = rows.first() else { return Ok(None) };
            let model: Option<String> = row.try_get(6)?;
            if self.model.get().is_some_and(|mine| Some(mine) != model.as_ref()) {
                return Err(CatalogError::ModelChanged);
            }
            let is_ready: bool = row.try_get(4)?;
            let reach = SearchReach {
                extent: extent_of(row)?,
                came: count(row.try_get(2)?),
                went: count(row.try_get(3)?),
                has_graph: row.try_get(5)?,
            };
            Ok(is_ready.then_some(reach))
        })
    }

    fn prepare_search(
        &self,
        dimension: usize,
        graph_from: u64,
        anew: bool,
        tell: SearchTell<'_>,
    ) -> Result<(), CatalogError> {
        let extension = self.extension()?;
        if self.is_read_only {
            return match self.search_reach(None)? {
                Some(_) => Ok(()),
                None => Err(unavailable(
                    "its vectors are not made yet, and the database is read-only: have a worker that may write use it once",
                )),
            };
        }
        self.make_search_tables(&extension, dimension, anew)?;
        self.fill_search_vectors(tell)?;
        self.make_graph(&extension, graph_from, tell)
    }

    fn nearest_by_graph(
        &self,
        query: &Embedding,
        k: usize,
        breadth: usize,
    ) -> Result<Option<Vec<(PhotoId, f32)>>, CatalogError> {
        let limit = (k + SPARE).next_power_of_two();
        let found = self.near(query, Way::Graph { breadth: breadth.max(limit) }, limit)?;
        Ok(found.map(|found| best(found.scored, k)))
    }

    fn nearest_exactly(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&[PhotoId]>,
    ) -> Result<Option<Vec<(PhotoId, f32)>>, CatalogError> {
        let Some(among) = among else { return self.nearest_of(query, k, None) };
        let mut found = Vec::new();
        for some in raw(among).chunks(AMONG) {
            let Some(nearest) = self.nearest_of(query, k, Some(some))? else { return Ok(None) };
            found.extend(nearest);
        }
        Ok(Some(best(found, k)))
    }

    fn search_facts(&self) -> Result<Option<SearchFacts>, CatalogError> {
        self.read(|c| {
            let Some((extension, there)) = facts_of_tables(c)? else { return Ok(None) };
            if !there {
                return Ok(Some(SearchFacts {
                    extension,
                    vectors: 0,
                    stored: 0,
                    is_ready: false,
                    graph: GraphState::Missing,
                    graph_bytes: 0,
                }));
            }
            let row = c.one(
                &format!(
                    "SELECT (SELECT count(*) FROM search_vectors), (SELECT count(*) FROM embeddings), coalesce({}, false),
                            (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{GRAPH}')),
                            EXISTS (SELECT 1 FROM pg_stat_progress_create_index WHERE relid = to_regclass('search_vectors')),
                            coalesce(pg_relation_size(to_regclass('{GRAPH}')), 0)
                     FROM (SELECT 1) AS one LEFT JOIN search_state ON true",
                    ready()
                ),
                &[],
            )?;
            let (is_valid, is_being_built): (Option<bool>, bool) = (row.try_get(3)?, row.try_get(4)?);
            let graph = match is_valid {
                Some(true) => GraphState::Valid,
                _ if is_being_built => GraphState::BeingBuilt,
                Some(false) => GraphState::NotValid,
                None => GraphState::Missing,
            };
            Ok(Some(SearchFacts {
                extension,
                vectors: count(row.try_get(0)?),
                stored: count(row.try_get(1)?),
                is_ready: row.try_get(2)?,
                graph,
                graph_bytes: count(row.try_get(5)?),
            }))
        })
    }
}

impl PostgresStore {
    /// The best `k`, none missed: as long as one that was not read might be among them, more are read.
    fn nearest_of(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&[i64]>,
    ) -> Result<Option<Vec<(PhotoId, f32)>>, CatalogError> {
        let mut limit = (2 * k.max(1) + 3 * SPARE).next_power_of_two();
        loop {
            let Some(found) = self.near(query, Way::Exact { among }, limit)? else { return Ok(None) };
            let least = found.scored.get(k.max(1) - 1).map(|(_, score)| *score);
            let most_of_others = found.last + error_bound(query.dimension());
            if found.rows < limit || least.is_some_and(|least| least > most_of_others) {
                return Ok(Some(best(found.scored, k)));
            }
            limit = limit.saturating_mul(4);
        }
    }

    /// The first `limit` by half precision; `None` where what it takes is not there, or not complete.
    fn near(&self, query: &Embedding, way: Way<'_>, limit: usize) -> Result<Option<Found>, CatalogError> {
        let Extension { schema, .. } = self.extension()?;
        let distance = format!("vector OPERATOR({schema}.<#>) (SELECT $1::real[]::{schema}.halfvec)");
        let (distance, only, begin) = match way {
            // What it is set to is forgotten with the transaction. Sorting all would be right, too, and slow.
            Way::Graph { breadth } => (
                distance,
                "",
                format!(
                    "BEGIN READ ONLY; SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = {breadth};
                     SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off"
                ),
            ),
            // A sum is nothing that the graph knows.
            Way::Exact { among } => (
                format!("({distance}) + 0"),
                if among.is_some() { "WHERE photo_id = ANY($2)" } else { "" },
                "BEGIN READ ONLY; SET LOCAL jit = off".to_owned(),
            ),
        };
        // The limit stands in the text: a plan for an unknown one would be a plan for many. State and vectors are read at
        // one moment, so vectors that are being made anew are never taken for all.
        let sql = format!(
            "SELECT found.photo_id, found.distance, found.vector, found.crc32
             FROM search_state LEFT JOIN (
                 SELECT near.photo_id, near.distance, e.vector, e.crc32
                 FROM (SELECT photo_id, {distance} AS distance FROM search_vectors {only}
                       ORDER BY {distance} LIMIT {limit}) AS near
                 JOIN embeddings AS e USING (photo_id)) AS found ON true
             WHERE {}",
            ready()
        );
        let numbers = query.as_slice();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&numbers];
        if let Way::Exact { among: Some(among) } = &way {
            values.push(among);
        }
        let rows = self.read_in(&begin, |c| unless_missing(c.query(&sql, &values)))?;
        rows.filter(|rows| !rows.is_empty()).map(|rows| self.scored(query, &rows)).transpose()
    }

    fn scored(&self, query: &Embedding, rows: &[Row]) -> Result<Found, CatalogError> {
        let mut found = Found { scored: Vec::with_capacity(rows.len()), rows: 0, last: f32::INFINITY };
        for row in rows {
            let Some(photo_id) = row.try_get::<_, Option<i64>>(0)?.map(PhotoId) else { continue };
            found.rows += 1;
            #[expect(clippy::cast_possible_truncation, reason = "a sum of singles")]
            let score = -row.try_get::<_, f64>(1)? as f32;
            found.last = found.last.min(score);
            match read_vector(row.try_get(2)?, Some(row.try_get(3)?), Some(query.dimension())) {
                Ok(stored) => found.scored.push((photo_id, query.cosine(&stored))),
                Err(problem) => self.damage.note(Entry::Vector(photo_id), problem),
            }
        }
        found.scored = best(found.scored, usize::MAX);
        Ok(found)
    }
}

/// The best `k`, the best first, of equals the older.
fn best(mut found: Vec<(PhotoId, f32)>, k: usize) -> Vec<(PhotoId, f32)> {
    found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(k);
    found
}

/// By how much the score of two unit vectors of so many numbers may differ in half precision. Rounding moves each number by a
/// share of 2^-11 of itself at most, or by 2^-25 where it is that small; singles add up with 2^-24 for each number.
fn error_bound(dimension: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let dimension = dimension as f32;
    0.000_977 + dimension * 1.2e-7
}

/// `None` where a table is missing: it was never made, or is being made anew.
fn unless_missing(rows: Result<Vec<Row>, postgres::Error>) -> Result<Option<Vec<Row>>, CatalogError> {
    match rows {
        Ok(rows) => Ok(Some(rows)),
        Err(error)
            if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN]
                .iter()
                .any(|state| error.code() == Some(state)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The extension's version, where it is in the database, and whether the tables are there.
fn facts_of_tables(c: &mut Reader<'_>) -> Result<Option<(String, bool)>, CatalogError> {
    let row = c.first(
        "SELECT extversion, to_regclass('search_vectors') IS NOT NULL AND to_regclass('search_state') IS NOT NULL
         FROM pg_extension WHERE extname = 'vector'",
        &[],
    )?;
    Ok(row.map(|row| Ok::<_, postgres::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_of_equals_the_older() {
        let found = [(3, 0.5), (9, 0.9), (2, 0.9), (4, 0.1)].map(|(id, score)| (PhotoId(id), score));
        assert_eq!(best(found.to_vec(), 3), [(PhotoId(2), 0.9), (PhotoId(9), 0.9), (PhotoId(3), 0.5)]);
    }

    /// To eleven bits, as half precision has them.
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    fn halved(value: f32) -> f32 {
        let step = 2f64.powi((f64::from(value.abs()).log2().floor() as i32).max(-14) - 10);
        ((f64::from(value) / step).round_ties_even() * step) as f32
    }

    #[test]
    fn no_score_in_half_precision_is_further_from_the_exact_one_than_the_bound() {
        let number = |at: u32, seed: u32| {
            let mixed =
                (at.wrapping_mul(0x9E37_79B9) ^ seed.wrapping_mul(0x85EB_CA6B)).wrapping_mul(0xC2B2_AE35);
            f32::from(u16::try_from(mixed >> 16).unwrap_or(0)) / 32_768.0 - 1.0
        };
        let vector = |seed| Embedding::new((0..256).map(|at| number(at, seed)).collect());
        for seed in 1..200 {
            let (Ok(one), Ok(other)) = (vector(seed), vector(seed / 2)) else {
                unreachable!("they have a direction")
            };
            let pairs = one.as_slice().iter().zip(other.as_slice());
            let half: f32 = pairs.map(|(a, b)| halved(*a) * halved(*b)).sum();
            let far = (half - one.cosine(&other)).abs();
            assert!(far <= error_bound(256), "seed {seed}: {far}");
        }
    }
}
