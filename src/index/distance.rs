//! The inner loop of the index: products of coded vectors. All `unsafe` for instructions of certain processors is in
//! this file; that for memory is in `rows.rs`.
//!
//! Why it is sound:
//! - A function that needs instructions of a certain processor is reached only through a [`Kernel`] that names
//!   them, and [`Kernel::detect`] and [`Kernel::all`] make one only where the processor has said that it has them.
//! - Every load reads one whole `[u8; 64]` or `[u8; 32]` that a slice lent, and needs no alignment.
//! - A prefetch reads nothing that the program could see; its addresses lie within a slice all the same.
//!
//! On `aarch64` the compiler turns the plain loop into NEON by itself, which every such processor has.

#![allow(unsafe_code)]

/// Codes come in multiples of this many bytes; the rest is zero.
pub(super) const LANES: usize = 64;

/// The way in which this machine multiplies codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel(Instructions);

#[derive(Clone, Copy, Debug)]
enum Instructions {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Kernel {
    /// The fastest that this processor has.
    pub(super) fn detect() -> Self {
        Self::all().last().unwrap_or(Self(Instructions::Plain))
    }

    /// Every kernel that this processor has, slowest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let plain = std::iter::once(Instructions::Plain);
        #[cfg(target_arch = "x86_64")]
        let plain = {
            let avx2 = std::arch::is_x86_feature_detected!("avx2").then_some(Instructions::Avx2);
            let vnni = (std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512vnni"))
            .then_some(Instructions::Avx512Vnni);
            plain.chain(avx2).chain(vnni)
        };
        plain.map(Self)
    }

    /// Calls `each` with the product of `query` and every one of `rows`, in their order, and with what came with
    /// the row. All have one length, a multiple of [`LANES`]; each byte is an `i8`, none of them -128. The products
    /// of all numbers add up to less than 2^31.
    pub(super) fn products<'a, T>(
        self,
        query: &[u8],
        rows: impl Iterator<Item = (&'a [u8], T)>,
        each: impl FnMut(T, i32),
    ) {
        match self.0 {
            Instructions::Plain => plain::products(query, rows, each),
            // SAFETY: the value exists only where the processor has AVX2.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { avx2::products(query, rows, each) },
            // SAFETY: the value exists only where the processor has AVX-512 F and VNNI.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => unsafe { vnni::products(query, rows, each) },
        }
    }

    /// The product of two rows, as in [`Kernel::products`].
    pub(super) fn product(self, a: &[u8], b: &[u8]) -> i32 {
        let mut product = 0;
        self.products(a, std::iter::once((b, ())), |(), it| product = it);
        product
    }
}

/// Asks for `bytes` to be in the cache soon.
#[inline]
pub(super) fn prefetch<T>(items: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = items.as_ptr().cast::<i8>();
        for line in (0..size_of_val(items)).step_by(LANES) {
            // SAFETY: the address is within `items`; a prefetch neither reads nor writes for the program.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = items;
}

mod plain {
    pub(super) fn products<'a, T>(
        query: &[u8],
        rows: impl Iterator<Item = (&'a [u8], T)>,
        mut each: impl FnMut(T, i32),
    ) {
        for (row, with) in rows {
            let products = query
                .iter()
                .zip(row)
                .map(|(a, b)| i32::from(i16::from(a.cast_signed()) * i16::from(b.cast_signed())));
            each(with, products.sum());
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_abs_epi8, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_sign_epi8,
    };

    #[target_feature(enable = "avx2")]
    pub(super) fn products<'a, T>(
        query: &[u8],
        rows: impl Iterator<Item = (&'a [u8], T)>,
        mut each: impl FnMut(T, i32),
    ) {
        let query = query.as_chunks::<32>().0;
        let ones = _mm256_set1_epi16(1);
        for (row, with) in rows {
            let mut sums = _mm256_setzero_si256();
            for (a, b) in query.iter().zip(row.as_chunks::<32>().0) {
                let (a, b) = (load(a), load(b));
                // Unsigned times signed: the sign of `a` moves over to `b`. Two products are at most
                // 2 * 127 * 127 = 32,258, so the sixteen bits hold them.
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
            }
            each(with, total(sums));
        }
    }

    #[target_feature(enable = "avx2")]
    fn load(chunk: &[u8; 32]) -> __m256i {
        // SAFETY: 32 bytes are there to be read, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn total(sums: __m256i) -> i32 {
        let four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::{
        __m512i, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_set1_epi8,
        _mm512_setzero_si512, _mm512_xor_si512,
    };

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn products<'a, T>(
        query: &[u8],
        rows: impl Iterator<Item = (&'a [u8], T)>,
        mut each: impl FnMut(T, i32),
    ) {
        let query = query.as_chunks::<64>().0;
        // The instruction multiplies unsigned by signed. Flipping a code's top bit adds 128 to it, which adds 128
        // times the sum of the query to the product, whatever the row.
        let flip = _mm512_set1_epi8(i8::MIN);
        let mut surplus = _mm512_setzero_si512();
        for a in query {
            surplus = _mm512_dpbusd_epi32(surplus, flip, load(a));
        }
        let surplus = _mm512_reduce_add_epi32(surplus);
        for (row, with) in rows {
            let mut sums = _mm512_setzero_si512();
            for (a, b) in query.iter().zip(row.as_chunks::<64>().0) {
                sums = _mm512_dpbusd_epi32(sums, _mm512_xor_si512(load(b), flip), load(a));
            }
            each(with, _mm512_reduce_add_epi32(sums).wrapping_sub(surplus));
        }
    }

    #[target_feature(enable = "avx512f")]
    fn load(chunk: &[u8; 64]) -> __m512i {
        // SAFETY: 64 bytes are there to be read, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Kernel, LANES};

    /// Rows of `chunks * LANES` codes from -127 to 127.
    fn codes(chunks: usize) -> impl Strategy<Value = Vec<u8>> {
        let one = (-127i8..=127).prop_map(i8::cast_unsigned);
        proptest::collection::vec(one, chunks * LANES)
    }

    fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        (0usize..6).prop_flat_map(|chunks| (codes(chunks), codes(chunks)))
    }

    proptest! {
        #[test]
        fn every_kernel_gives_the_sum_of_products((a, b) in pair()) {
            let expected: i64 =
                a.iter().zip(&b).map(|(a, b)| i64::from(a.cast_signed()) * i64::from(b.cast_signed())).sum();
            for kernel in Kernel::all() {
                prop_assert_eq!(i64::from(kernel.product(&a, &b)), expected, "{:?}", kernel);
            }
        }
    }

    #[test]
    fn the_greatest_codes_do_not_overflow() {
        for kernel in Kernel::all() {
            for (a, b) in [(127i8, 127i8), (127, -127), (-127, 127), (-127, -127)] {
                let rows = [a, b].map(|code| vec![code.cast_unsigned(); 1024]);
                assert_eq!(
                    kernel.product(&rows[0], &rows[1]),
                    i32::from(a) * i32::from(b) * 1024,
                    "{kernel:?}"
                );
            }
        }
    }
}
