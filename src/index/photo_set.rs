//! Some of the stored pictures.

use std::collections::BTreeMap;

use crate::photo_id::PhotoId;

/// So many numbers share an entry.
const SPAN: i64 = 1024;
const WORDS: usize = 16;

/// Some pictures, by number: a bit each where they lie close together, as they do in a catalogue.
#[derive(Clone, Debug, Default)]
pub struct PhotoSet {
    spans: BTreeMap<i64, [u64; WORDS]>,
    len: usize,
}

/// Span, word and bit of a picture.
#[expect(clippy::cast_possible_truncation, reason = "0 to 1023")]
fn place(photo_id: PhotoId) -> (i64, usize, u64) {
    let within = photo_id.0.rem_euclid(SPAN) as usize;
    (photo_id.0.div_euclid(SPAN), within / 64, 1 << (within % 64))
}

impl PhotoSet {
    /// Puts a picture in; one that is there stays.
    pub fn insert(&mut self, photo_id: PhotoId) {
        let (span, word, bit) = place(photo_id);
        let word = &mut self.spans.entry(span).or_default()[word];
        self.len += usize::from(*word & bit == 0);
        *word |= bit;
    }

    #[must_use]
    pub fn contains(&self, photo_id: PhotoId) -> bool {
        let (span, word, bit) = place(photo_id);
        self.spans.get(&span).is_some_and(|words| words[word] & bit != 0)
    }

    /// How many pictures there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = PhotoId> {
        self.spans.iter().flat_map(|(span, words)| {
            let withins = (0..SPAN).step_by(64).zip(words);
            let withins = withins.flat_map(|(first, word)| set_bits(*word).map(move |bit| first + bit));
            withins.map(move |within| PhotoId(span * SPAN + within))
        })
    }
}

/// The numbers of the bits that are set, from the lowest on.
fn set_bits(word: u64) -> impl Iterator<Item = i64> {
    let without_lowest = |word: &u64| Some(word & word.wrapping_sub(1));
    let rest = std::iter::successors(Some(word), without_lowest).take_while(|rest| *rest != 0);
    rest.map(|rest| i64::from(rest.trailing_zeros()))
}

impl FromIterator<PhotoId> for PhotoSet {
    fn from_iter<I: IntoIterator<Item = PhotoId>>(photo_ids: I) -> Self {
        let mut set = Self::default();
        for photo_id in photo_ids {
            set.insert(photo_id);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::PhotoSet;
    use crate::photo_id::PhotoId;

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in_and_nothing_else(
            ids in proptest::collection::vec(
                prop_oneof![-5i64..3000, any::<i64>(), i64::MAX - 99..=i64::MAX, i64::MIN..=i64::MIN + 99], 0..200,
            ),
            other in any::<i64>(),
        ) {
            let set: PhotoSet = ids.iter().map(|&id| PhotoId(id)).collect();
            let expected: BTreeSet<i64> = ids.into_iter().collect();
            let in_order: Vec<i64> = expected.iter().copied().collect();
            prop_assert_eq!(set.iter().map(|id| id.0).collect::<Vec<_>>(), in_order);
            prop_assert_eq!(set.len(), expected.len());
            prop_assert_eq!(set.contains(PhotoId(other)), expected.contains(&other));
        }
    }
}
