//! A set of picture numbers.

use roaring::RoaringTreemap;

use crate::photo_id::PhotoId;

/// Some pictures, by number: compressed, and asked once for every picture of a scan.
#[derive(Clone, Debug, Default)]
pub struct PhotoSet(RoaringTreemap);

/// With the sign's bit turned over, unsigned numbers have the order of the signed ones.
const SIGN: u64 = 1 << 63;

fn key(photo_id: PhotoId) -> u64 {
    photo_id.0.cast_unsigned() ^ SIGN
}

impl PhotoSet {
    /// Puts a picture in; one that is there stays.
    pub fn insert(&mut self, photo_id: PhotoId) {
        self.0.insert(key(photo_id));
    }

    /// Whether the photo is in it.
    #[must_use]
    pub fn contains(&self, photo_id: PhotoId) -> bool {
        self.0.contains(key(photo_id))
    }

    /// How many pictures there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.0.len()).unwrap_or(usize::MAX)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = PhotoId> {
        self.0.iter().map(|key| PhotoId((key ^ SIGN).cast_signed()))
    }
}

impl FromIterator<PhotoId> for PhotoSet {
    fn from_iter<I: IntoIterator<Item = PhotoId>>(photo_ids: I) -> Self {
        Self(photo_ids.into_iter().map(key).collect())
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
