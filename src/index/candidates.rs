//! The nearest pictures, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::photo_id::PhotoId;

/// A stored picture and how alike it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub photo_id: PhotoId,
    /// Exact cosine, -1 to 1; 1 means that the vectors are the same bit for bit.
    pub score: f32,
}

/// Better first: higher score, then older picture.
fn better_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.photo_id.cmp(&b.photo_id))
}

/// Candidates by descending score, equal scores by ascending picture; no picture twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates(Vec<Candidate>);

impl Candidates {
    /// The best `k` of `found`, where a picture found twice counts once.
    pub(super) fn best_of(mut found: Vec<Candidate>, k: usize) -> Self {
        found.sort_unstable_by(better_first);
        // A picture has one score, so its repetitions are neighbours now.
        found.dedup_by_key(|candidate| candidate.photo_id);
        found.truncate(k);
        Self(found)
    }

    #[must_use]
    pub fn as_slice(&self) -> &[Candidate] {
        &self.0
    }

    #[must_use]
    pub fn best(&self) -> Option<&Candidate> {
        self.0.first()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.0.iter()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Candidates {
    type Item = &'a Candidate;
    type IntoIter = std::slice::Iter<'a, Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Candidates {
    type Item = Candidate;
    type IntoIter = std::vec::IntoIter<Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The best `k` seen so far of a long stream without repetitions.
pub(super) struct Podium {
    k: usize,
    /// The worst of the best is on top.
    places: BinaryHeap<Place>,
    /// What a score must reach to be worth a look.
    floor: f32,
}

impl Podium {
    /// A podium with `k >= 1` places.
    pub(super) fn new(k: usize) -> Self {
        Self { k, places: BinaryHeap::with_capacity(k), floor: f32::NEG_INFINITY }
    }

    pub(super) fn offer(&mut self, candidate: Candidate) {
        if candidate.score < self.floor {
            return;
        }
        let place = Place(candidate);
        if self.places.len() < self.k {
            self.places.push(place);
        } else if let Some(mut worst) = self.places.peek_mut()
            && place < *worst
        {
            *worst = place;
        }
        if self.places.len() == self.k {
            self.floor = self.places.peek().map_or(f32::NEG_INFINITY, |worst| worst.0.score);
        }
    }

    pub(super) fn into_vec(self) -> Vec<Candidate> {
        self.places.into_iter().map(|place| place.0).collect()
    }
}

/// Ordered so that the worse is the greater.
struct Place(Candidate);

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        better_first(&self.0, &other.0)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}
