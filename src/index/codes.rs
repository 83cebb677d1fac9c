//! Vectors in a quarter of their size, with a bound on what that changes.
//!
//! A unit vector `v` is stored as whole numbers `c` from -127 to 127 and read as `v' = scale * c`, where
//! `scale = 1 / |c|`, so that `v'` has length one, too. How far it is off, `error = |v - v'|`, is stored with it
//! (about 0.009 for 256 numbers of a normal distribution). For two vectors
//!
//! ```text
//! v.w - v'.w'  =  v.(w - w') + (v - v').w'
//! |v.w - v'.w'|  <=  |w - w'| + |v - v'|  =  the sum of the two errors
//! ```
//!
//! to which comes what `f32` rounds away, see [`rounding`]. So the estimate `v'.w'` tells for most vectors of a
//! scan that they are not among the best, and the rest is scored with the vectors themselves: the result is that of
//! a scan over the vectors, at a quarter of the memory read.
//!
//! A row, one after the other in blocks of [`BLOCK_ROWS`]:
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 4 | `scale`, `f32`, little-endian |
//! | 4 to 8 | `error`, `f32`, little-endian |
//! | 8 on | the codes, one signed byte each, then zeros up to a multiple of 64 |

use std::io;
use std::sync::Arc;

use super::distance::{self, Kernel, LANES};
use super::rows::{BLOCK_ROWS, Mapped, RowStore, RowView};

const HEAD: usize = 8;

/// Codes are asked for so many slots before they are multiplied where slots do not follow each other.
const SLOTS_AHEAD: usize = 8;

/// For what is rounded away while an error is summed up, at most a share of 1e-7 for each eighth number.
const WIDER: f32 = 1.001;

/// How far rounding may take a score away from the product of the vectors, whose length is one within 1e-6. Each
/// of the `dimension` products and sums of a score is rounded by a share of at most `f32::EPSILON / 2`, the few
/// steps of an estimate too; the differences in two errors by 2e-7 together; a score is cut off at one, up to 2e-6
/// lower. This is more than twice all that.
#[expect(clippy::cast_precision_loss, reason = "a bound may be a little off, it is twice what is needed")]
fn rounding(dimension: usize) -> f32 {
    8e-6 + (dimension + 32) as f32 * f32::EPSILON
}

/// The greatest code: 127, or less where the sum of so many products would not fit into an `i32`.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "up to 127 is left of it")]
fn levels(dimension: usize) -> f32 {
    (f64::from(i32::MAX) / dimension as f64).sqrt().floor().clamp(1.0, 127.0) as f32
}

/// One vector's codes.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) scale: f32,
    pub(super) error: f32,
    codes: &'a [u8],
}

impl<'a> Row<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (scale, rest) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let (error, codes) = rest.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        Self { scale: f32::from_le_bytes(*scale), error: f32::from_le_bytes(*error), codes }
    }
}

/// A vector that is not stored, coded like those that are.
pub(super) struct Coded(Vec<u8>);

impl Coded {
    pub(super) fn row(&self) -> Row<'_> {
        Row::of(&self.0)
    }
}

/// How vectors of one dimension are coded and compared.
#[derive(Clone, Copy)]
struct Coder {
    dimension: usize,
    stride: usize,
    rounding: f32,
    levels: f32,
    kernel: Kernel,
}

/// The codes of all vectors, in slots 0, 1, 2, …
pub(super) struct QuantizedVectors {
    coder: Coder,
    rows: RowStore<Mapped>,
}

impl QuantizedVectors {
    pub(super) fn new(dimension: usize) -> Self {
        let stride = stride(dimension);
        let (rounding, levels) = (rounding(dimension), levels(dimension));
        let coder = Coder { dimension, stride, rounding, levels, kernel: Kernel::detect() };
        Self { coder, rows: RowStore::new(stride) }
    }

    /// Makes room for a vector more.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn make_room(&self) -> io::Result<()> {
        self.rows.make_room()
    }

    /// Puts a unit vector of our dimension into the next slot. One at a time.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn push(&self, vector: &[f32]) -> io::Result<()> {
        self.rows.push(|row| encode(vector, self.coder.levels, row))
    }

    /// Takes in the codes that a snapshot holds, while there are none.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn read(&self, file: &Arc<Mapped>) -> io::Result<()> {
        self.rows.read(file)
    }

    /// Has the codes of whole blocks read from the file of a snapshot.
    pub(super) fn adopt(&self, file: &Arc<Mapped>) {
        self.rows.adopt(file);
    }

    /// What is in the first `len` slots.
    pub(super) fn view(&self, len: usize) -> Codes {
        Codes { coder: self.coder, len, rows: self.rows.view() }
    }
}

/// Bytes of a row.
pub(super) fn stride(dimension: usize) -> usize {
    HEAD + dimension.next_multiple_of(LANES)
}

/// The codes in slots 0 to `len`. A clone costs nothing.
#[derive(Clone)]
pub(super) struct Codes {
    coder: Coder,
    len: usize,
    rows: RowView<Mapped>,
}

impl Codes {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The rows as they are stored.
    pub(super) fn rows(&self) -> &RowView<Mapped> {
        &self.rows
    }

    /// The codes of a unit vector of our dimension.
    pub(super) fn coded(&self, vector: &[f32]) -> Coded {
        debug_assert_eq!(vector.len(), self.coder.dimension);
        let mut row = vec![0; self.coder.stride];
        encode(vector, self.coder.levels, &mut row);
        Coded(row)
    }

    /// The codes in a slot before `len`.
    #[inline]
    pub(super) fn row(&self, slot: u32) -> Row<'_> {
        Row::of(self.rows.row(slot))
    }

    /// The codes in a slot as they are stored, which are asked to be at hand soon.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) -> &[u8] {
        let row = self.rows.row(slot);
        distance::prefetch(row);
        row
    }

    /// An estimate of the cosine of two vectors, off by at most [`Codes::error_bound`].
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "counted in `rounding`")]
    pub(super) fn estimate(&self, a: Row<'_>, b: Row<'_>) -> f32 {
        a.scale * b.scale * self.coder.kernel.product(a.codes, b.codes) as f32
    }

    /// The estimates for the vectors in `slots`, each handed to `each` with its slot, in their order.
    #[inline]
    pub(super) fn estimates(&self, query: Row<'_>, slots: &[u32], each: impl FnMut(u32, f32)) {
        self.estimates_of(query, slots.iter().map(|&slot| (slot, self.rows.row(slot))), each);
    }

    /// As [`Codes::estimates`], for slots with their codes as they are stored.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "counted in `rounding`")]
    pub(super) fn estimates_of<'a>(
        &self,
        query: Row<'_>,
        rows: impl Iterator<Item = (u32, &'a [u8])>,
        mut each: impl FnMut(u32, f32),
    ) {
        let rows = rows.map(|(slot, bytes)| {
            let row = Row::of(bytes);
            (row.codes, (slot, query.scale * row.scale))
        });
        self.coder
            .kernel
            .products(query.codes, rows, |(slot, scale), product| each(slot, scale * product as f32));
    }

    /// The estimates for all of a block from its row `skipped` on: slot, estimate, and how far it may be off.
    #[expect(clippy::cast_possible_truncation, reason = "slots are below 2^31")]
    pub(super) fn scan_block(
        &self,
        query: Row<'_>,
        block: usize,
        skipped: usize,
        each: impl FnMut(u32, f32, f32),
    ) {
        let first = block * BLOCK_ROWS;
        let filled = self.len.saturating_sub(first).min(BLOCK_ROWS);
        let skipped = skipped.min(filled);
        let rows = self.rows.rows_of(block, skipped..filled).chunks_exact(self.coder.stride);
        self.scan(
            query,
            rows.zip(first + skipped..).map(|(bytes, slot)| (slot as u32, Row::of(bytes))),
            each,
        );
    }

    /// As [`Codes::scan_block`], for some slots, wherever they lie.
    pub(super) fn scan_slots(&self, query: Row<'_>, slots: &[u32], each: impl FnMut(u32, f32, f32)) {
        let rows = slots.iter().enumerate().map(|(at, &slot)| {
            if let Some(&ahead) = slots.get(at + SLOTS_AHEAD) {
                self.prefetch(ahead);
            }
            (slot, self.row(slot))
        });
        self.scan(query, rows, each);
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "counted in `rounding`")]
    fn scan<'a>(
        &self,
        query: Row<'_>,
        rows: impl Iterator<Item = (u32, Row<'a>)>,
        mut each: impl FnMut(u32, f32, f32),
    ) {
        let rows = rows
            .map(|(slot, row)| (row.codes, (slot, query.scale * row.scale, self.error_bound(query, row))));
        self.coder.kernel.products(query.codes, rows, |(slot, scale, error_bound), product| {
            each(slot, scale * product as f32, error_bound);
        });
    }

    /// How far an estimate may be from the score: the score lies between estimate - error_bound and estimate + error_bound.
    #[inline]
    pub(super) fn error_bound(&self, a: Row<'_>, b: Row<'_>) -> f32 {
        a.error + b.error + self.coder.rounding
    }
}

#[expect(clippy::cast_possible_truncation, reason = "-127 to 127; and rounding to f32 is what is wanted")]
fn encode(vector: &[f32], levels: f32, row: &mut [u8]) {
    let greatest = vector.iter().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
    let per_step = levels / greatest;
    let codes = &mut row[HEAD..];
    let mut square = 0_i64;
    for (code, value) in codes.iter_mut().zip(vector) {
        let step = value * per_step;
        // To the nearest, by cutting off: `round` is a call where SSE4.1 cannot be taken for granted.
        let step = (step + 0.5_f32.copysign(step)) as i8;
        *code = step.cast_unsigned();
        square += i64::from(step) * i64::from(step);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let scale = (1.0 / (square as f64).sqrt()) as f32;
    // Eight independent sums, as floats may not be reordered.
    let mut off = [0.0_f32; 8];
    let mut add = |values: &[f32; 8], codes: &[u8; 8]| {
        for lane in 0..8 {
            let difference = values[lane] - scale * f32::from(codes[lane].cast_signed());
            off[lane] += difference * difference;
        }
    };
    let (whole, rest) = vector.as_chunks::<8>();
    let codes = codes.as_chunks::<8>().0;
    for (values, codes) in whole.iter().zip(codes) {
        add(values, codes);
    }
    if let Some(codes) = codes.get(whole.len()) {
        let mut last = [0.0; 8];
        last[..rest.len()].copy_from_slice(rest);
        add(&last, codes);
    }
    let error = off.iter().sum::<f32>().sqrt() * WIDER;
    row[..4].copy_from_slice(&scale.to_le_bytes());
    row[4..HEAD].copy_from_slice(&error.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::QuantizedVectors;
    use crate::vector::{Embedding, similarity};

    fn unit(dimension: usize) -> impl Strategy<Value = Embedding> {
        // Few large numbers, many small ones: what coarse steps treat worst.
        let value = prop_oneof![-1.0f32..1.0, -0.01f32..0.01, Just(0.0), Just(1.0)];
        proptest::collection::vec(value, dimension)
            .prop_filter_map("no direction", |values| Embedding::new(values).ok())
    }

    fn pair() -> impl Strategy<Value = (Embedding, Embedding)> {
        (1usize..300).prop_flat_map(|dimension| (unit(dimension), unit(dimension)))
    }

    proptest! {
        #[test]
        fn a_score_is_never_farther_from_its_estimate_than_the_bound((a, b) in pair(), nearly in any::<bool>()) {
            let b = if nearly { a.clone() } else { b };
            let codes = QuantizedVectors::new(a.dimension()).view(0);
            let (coded_a, coded_b) = (codes.coded(a.as_slice()), codes.coded(b.as_slice()));
            let off = (codes.estimate(coded_a.row(), coded_b.row()) - similarity(a.as_slice(), b.as_slice())).abs();
            let error_bound = codes.error_bound(coded_a.row(), coded_b.row());
            prop_assert!(off <= error_bound, "{} > {}", off, error_bound);
        }
    }

    #[test]
    fn a_very_long_vector_is_coded_without_overflow() {
        let dimension = 200_000;
        let vector = Embedding::new(vec![1.0; dimension]).unwrap();
        let codes = QuantizedVectors::new(dimension).view(0);
        let coded = codes.coded(vector.as_slice());
        assert!((codes.estimate(coded.row(), coded.row()) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn what_was_handed_out_does_not_change_when_more_is_pushed() {
        let store = QuantizedVectors::new(3);
        let vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        store.push(&vectors[0]).unwrap();
        let before = store.view(1);
        store.push(&vectors[1]).unwrap();
        let codes = store.view(2);
        assert_eq!((before.len(), codes.len()), (1, 2));
        let query = codes.coded(&vectors[0]);
        assert!(before.estimate(query.row(), before.row(0)) > 0.99);
        assert!(codes.estimate(query.row(), codes.row(1)).abs() < 1e-6);
    }
}
