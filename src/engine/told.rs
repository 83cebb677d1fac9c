//! What a person says of two pictures outranks every score, and is remembered.

use serde::Serialize;

use super::{Engine, EngineError, Known, Matched, Query, Timings};
use crate::catalog::{StoredAnswer, StoredVector};
use crate::photo::Photo;
use crate::photo_id::PhotoId;
use crate::verdict::{Rule, Verdict};
use crate::verify::{Candidate, Probe, Sketch, measure};

/// One of the two pictures that something is said of.
#[derive(Clone, Copy, Debug)]
pub enum Pointed<'a> {
    Photo(PhotoId),
    /// A picture that may be stored or not. `label` is for people, usually the file's name.
    File {
        bytes: &'a [u8],
        label: &'a str,
    },
}

/// What came of [`Engine::tell`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// As they were named.
    pub photos: [PhotoId; 2],
    pub same: bool,
    /// Those that were not stored before, and now are.
    pub stored: Vec<PhotoId>,
    /// How sure the verifier was that they are the same, 0..=1; `null` where neither was given as a file or one has no
    /// sketch. Of pictures told apart, this counts in the calibration.
    pub confidence: Option<f32>,
}

impl Engine {
    /// Remembers that two pictures are the same, or that they are not, in the place of what was said of them before.
    /// A file that is not stored is stored, without an answer, because something is known about it now; an edited copy
    /// of a stored picture is a picture of its own here.
    ///
    /// Same: where one has no answer of its own, it is answered with the other's; also through a third one that is the
    /// same as both. Not the same: neither is answered with the other any more, nor is a copy of one with the other
    /// when that one is nearer.
    ///
    /// # Errors
    /// [`EngineError`] when a photo does not exist, a file cannot be read, both are one photo, or the home fails.
    pub fn tell(&self, one: Pointed<'_>, other: Pointed<'_>, same: bool) -> Result<Told, EngineError> {
        let (mut stored, mut photos) = (Vec::new(), [PhotoId(0); 2]);
        for (photo, pointed) in photos.iter_mut().zip([one, other]) {
            let (photo_id, is_new) = self.stored(pointed)?;
            *photo = photo_id;
            stored.extend(is_new.then_some(photo_id));
        }
        let [a, b] = photos;
        if a == b {
            return Err(EngineError::OnePhoto { photo_id: a });
        }
        let confidence = match (one, other) {
            (Pointed::File { bytes, .. }, _) => self.confidence_of(bytes, (a, b))?,
            (_, Pointed::File { bytes, .. }) => self.confidence_of(bytes, (b, a))?,
            _ => None,
        };
        self.catalog.tell((a, b), same, confidence, self.clock.now())?;
        Ok(Told { photos, same, stored, confidence })
    }

    /// Takes back what was said of two pictures. Returns whether anything was.
    ///
    /// # Errors
    /// [`EngineError`] when a file cannot be read, or the home fails.
    pub fn forget_told(&self, one: Pointed<'_>, other: Pointed<'_>) -> Result<bool, EngineError> {
        match (self.known_photo(one)?, self.known_photo(other)?) {
            (Some(a), Some(b)) => Ok(self.catalog.forget_told((a, b))?),
            _ => Ok(false),
        }
    }

    fn known_photo(&self, pointed: Pointed<'_>) -> Result<Option<PhotoId>, EngineError> {
        match pointed {
            Pointed::Photo(photo_id) => Ok(Some(photo_id)),
            Pointed::File { bytes, .. } => self.photo_of(bytes),
        }
    }

    fn stored(&self, pointed: Pointed<'_>) -> Result<(PhotoId, bool), EngineError> {
        match pointed {
            Pointed::Photo(photo_id) => match self.catalog.photo(photo_id)? {
                Some(_) => Ok((photo_id, false)),
                None => Err(EngineError::NoSuchPhoto { photo_id }),
            },
            Pointed::File { bytes, label } => {
                let mut timings = Timings::default();
                let mut seen = self.look_for_equal(bytes, &mut timings)?;
                if let Verdict::Hit(equal) = seen.verdict {
                    return Ok((equal.photo_id, false));
                }
                let stored = self.with_new_photo(&mut seen, bytes, label, &mut timings, |photo| {
                    self.catalog.store_photo(photo)
                })?;
                Ok((stored.photo_id, stored.is_new))
            }
        }
    }

    /// How sure the verifier is of a picture and another stored one.
    fn confidence_of(
        &self,
        bytes: &[u8],
        (own, other): (PhotoId, PhotoId),
    ) -> Result<Option<f32>, EngineError> {
        let sketch = self.catalog.sketches(&[other])?.pop().flatten();
        let Some(sketch) = sketch.and_then(|bytes| Sketch::from_bytes(&bytes).ok()) else { return Ok(None) };
        let vectors = (self.catalog.embedding(own)?, self.catalog.embedding(other)?);
        let (StoredVector::Whole(a), StoredVector::Whole(b)) = vectors else { return Ok(None) };
        let probe = Probe::of(Photo::decode(bytes, &self.limits)?.as_image())?;
        let evidence = measure(&probe, &[Candidate { sketch: &sketch, cosine: a.cosine(&b) }]);
        Ok(Some(evidence[0].map_or(0.0, |evidence| evidence.confidence())))
    }

    /// For a recognised picture without an answer of its own: the newest answer of one that is the same by somebody's
    /// word, own goods first.
    pub(super) fn remembered(
        &self,
        recognised: PhotoId,
        query: &Query<'_>,
        timings: &mut Timings,
    ) -> Result<Option<(PhotoId, StoredAnswer)>, EngineError> {
        let mut best: Option<(PhotoId, StoredAnswer)> = None;
        for photo_id in self.catalog.same_as(recognised)? {
            if let Some(answer) = self.stored_answer(photo_id, query, timings)? {
                let rank = |a: &StoredAnswer| (a.is_own(), a.fetched_at);
                if best.as_ref().is_none_or(|(_, known)| rank(&answer) > rank(known)) {
                    best = Some((photo_id, answer));
                }
            }
        }
        Ok(best)
    }

    /// Has the answer say that it is another picture's.
    pub(super) fn name_remembered(&self, known: &mut Known, photo_id: PhotoId) -> Result<(), EngineError> {
        let photo = self.catalog.photo(photo_id)?;
        known.answer.rule = Some(Rule::Remembered);
        known.answer.matched = photo.map(Matched::from);
        known.answer.explain.rule = Some(Rule::Remembered);
        known.answer.explain.recognised = known.answer.explain.photo_id.replace(photo_id);
        Ok(())
    }
}
