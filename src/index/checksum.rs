//! Sums that show damage, and hashes of what is stored. Not cryptographic: they guard against damage, not against attackers.
//!
//! Every step is one for one in the sum and in the word, so a change within one word is always seen; any other but
//! for one case in 2^64. Four sums side by side keep the multiplier busy: about 10 GB a second.

use std::io::{self, Write};

/// A file is summed in pieces of this many bytes, so that it can be written as it comes.
const PIECE_BYTES: usize = 1 << 20;

/// A number for a number, one for one, in which every bit depends on most.
#[inline]
pub(super) fn mix(number: u64) -> u64 {
    let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

/// The sum of `bytes`, which stand at place `place` of something greater: a piece in another's place is damage, too.
pub(super) fn checksum(bytes: &[u8], place: u64) -> u64 {
    // A fuzzer does not guess sums, and is to get at what they guard.
    if cfg!(fuzzing) {
        return 0;
    }
    let mut sums = [1, 2, 3, 4];
    let (words, rest) = bytes.as_chunks::<8>();
    let (fours, few) = words.as_chunks::<4>();
    for four in fours {
        for (sum, word) in sums.iter_mut().zip(four) {
            *sum = mix(*sum ^ u64::from_le_bytes(*word));
        }
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    for (sum, word) in sums.iter_mut().zip(few.iter().chain([&last])) {
        *sum = mix(*sum ^ u64::from_le_bytes(*word));
    }
    sums.into_iter().fold(mix(place) ^ bytes.len() as u64, |all, sum| mix(all ^ sum))
}

/// The sum of a whole file.
pub(super) fn file_sum(bytes: &[u8]) -> u64 {
    (0..).zip(bytes.chunks(PIECE_BYTES)).fold(0, |sum, (place, piece)| mix(sum ^ checksum(piece, place)))
}

/// Writes and sums up what it has written, as [`file_sum`] does.
pub(super) struct Summed<W> {
    to: W,
    piece: Vec<u8>,
    pieces: u64,
    sum: u64,
}

impl<W: Write> Summed<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, piece: Vec::with_capacity(PIECE_BYTES), pieces: 0, sum: 0 }
    }

    fn write_piece(&mut self) -> io::Result<()> {
        self.sum = mix(self.sum ^ checksum(&self.piece, self.pieces));
        self.pieces += 1;
        self.to.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// What was written to, and the sum.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        if !self.piece.is_empty() {
            self.write_piece()?;
        }
        Ok((self.to, self.sum))
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.write_piece()?;
        }
        Ok(taken)
    }

    /// Pieces go out when they are whole.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::{PIECE_BYTES, Summed, checksum, file_sum};

    proptest! {
        #[test]
        fn no_flipped_bit_and_no_cut_goes_unseen(
            bytes in proptest::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>(), bit in 0u32..8,
        ) {
            let at = at.index(bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            prop_assert_ne!(checksum(&flipped, 7), checksum(&bytes, 7));
            prop_assert_ne!(checksum(&bytes[..at], 7), checksum(&bytes, 7));
            prop_assert_ne!(checksum(&bytes, 8), checksum(&bytes, 7));
        }
    }

    #[test]
    fn what_is_summed_while_it_is_written_is_the_sum_of_the_file() {
        for size in [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 5] {
            let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
            let mut summed = Summed::new(Vec::new());
            for part in bytes.chunks(1000) {
                summed.write_all(part).unwrap();
            }
            let (written, sum) = summed.finish().unwrap();
            assert_eq!((sum, written.len()), (file_sum(&bytes), size));
        }
    }
}
