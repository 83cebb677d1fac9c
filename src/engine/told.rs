//! What a person says of two pictures outranks every score, and is remembered.

use serde::{Serialize, Serializer};

use super::picture::Picture;
use super::search::{Known, Origin, Search};
use super::{Engine, EngineError, Matched};
use crate::photo::Photo;
use crate::photo_id::PhotoId;
use crate::store::{StoredAnswer, StoredVector};
use crate::verify::{Probe, Sketch, SketchedCandidate, measure};

/// Whether two pictures are the same, as a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// They show the same.
    Same,
    /// They show different things.
    Different,
}

/// One of the two pictures that something is said of.
#[derive(Clone, Copy, Debug)]
pub enum PhotoRef<'a> {
    /// A stored one, by its number.
    Photo(PhotoId),
    /// A picture that may be stored or not. `label` is for people, usually the file's name.
    File {
        /// The picture's file.
        bytes: &'a [u8],
        /// For people, usually the file's name.
        label: &'a str,
    },
}

/// What came of [`Engine::tell`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PairFeedback {
    /// As they were named.
    pub photos: [PhotoId; 2],
    /// What was said.
    #[serde(rename = "same", serialize_with = "as_bool")]
    pub sameness: Sameness,
    /// Those that were not stored before, and now are.
    pub stored: Vec<PhotoId>,
    /// How sure the verifier was that they are the same, 0..=1; `null` where neither was given as a file or one has no
    /// sketch. Of pictures told apart, this counts in the calibration.
    pub confidence: Option<f32>,
}

// serde passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn as_bool<S: Serializer>(sameness: &Sameness, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*sameness == Sameness::Same)
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
    pub fn tell(
        &self,
        one: PhotoRef<'_>,
        other: PhotoRef<'_>,
        sameness: Sameness,
    ) -> Result<PairFeedback, EngineError> {
        let (mut stored, mut photos) = (Vec::new(), [PhotoId(0); 2]);
        for (photo, photo_ref) in photos.iter_mut().zip([one, other]) {
            let (photo_id, is_new) = self.stored(photo_ref)?;
            *photo = photo_id;
            stored.extend(is_new.then_some(photo_id));
        }
        let [a, b] = photos;
        if a == b {
            return Err(EngineError::OnePhoto { photo_id: a });
        }
        let confidence = match (one, other) {
            (PhotoRef::File { bytes, .. }, _) => self.confidence_of(bytes, (a, b))?,
            (_, PhotoRef::File { bytes, .. }) => self.confidence_of(bytes, (b, a))?,
            _ => None,
        };
        self.store.tell((a, b), sameness == Sameness::Same, confidence, self.clock.now())?;
        self.recent.let_words_go();
        Ok(PairFeedback { photos, sameness, stored, confidence })
    }

    /// Takes back what was said of two pictures. Returns whether anything was.
    ///
    /// # Errors
    /// [`EngineError`] when a file cannot be read, or the home fails.
    pub fn forget_told(&self, one: PhotoRef<'_>, other: PhotoRef<'_>) -> Result<bool, EngineError> {
        match (self.known_photo(one)?, self.known_photo(other)?) {
            (Some(a), Some(b)) => {
                let was_told = self.store.forget_told((a, b))?;
                self.recent.let_words_go();
                Ok(was_told)
            }
            _ => Ok(false),
        }
    }

    fn known_photo(&self, photo_ref: PhotoRef<'_>) -> Result<Option<PhotoId>, EngineError> {
        match photo_ref {
            PhotoRef::Photo(photo_id) => Ok(Some(photo_id)),
            PhotoRef::File { bytes, .. } => self.photo_of(bytes),
        }
    }

    fn stored(&self, photo_ref: PhotoRef<'_>) -> Result<(PhotoId, bool), EngineError> {
        match photo_ref {
            PhotoRef::Photo(photo_id) => match self.store.photo(photo_id)? {
                Some(_) => Ok((photo_id, false)),
                None => Err(EngineError::NoSuchPhoto { photo_id }),
            },
            PhotoRef::File { bytes, label } => {
                let picture = Picture::new(self, bytes);
                if let Some(photo_id) = picture.stored_id()? {
                    return Ok((photo_id, false));
                }
                let stored = picture.store_as_new(label, |photo| self.store.store_photo(photo))?;
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
        let sketch = self.store.sketches(&[other])?.pop().flatten();
        let Some(sketch) = sketch.and_then(|bytes| Sketch::from_bytes(&bytes).ok()) else { return Ok(None) };
        let vectors = (self.store.embedding(own)?, self.store.embedding(other)?);
        let (StoredVector::Whole(a), StoredVector::Whole(b)) = vectors else { return Ok(None) };
        let probe = Probe::of(Photo::decode(bytes, &self.limits)?.as_image())?;
        let evidence = measure(&probe, &[SketchedCandidate { sketch: &sketch, cosine: a.cosine(&b) }]);
        Ok(Some(evidence[0].map_or(0.0, |evidence| evidence.confidence())))
    }
}

impl Search<'_> {
    /// For a recognised picture without an answer of its own: the newest answer of one that is the same by a person's
    /// word, own goods first.
    pub(super) fn remembered(&self, recognised: PhotoId) -> Result<Option<Known>, EngineError> {
        let store = &self.engine.store;
        let mut best: Option<(PhotoId, StoredAnswer)> = None;
        for photo_id in store.same_as(recognised)? {
            if let Some(answer) = self.stored_answer(photo_id)? {
                let rank = |a: &StoredAnswer| (a.is_own(), a.fetched_at);
                if best.as_ref().is_none_or(|(_, known)| rank(&answer) > rank(known)) {
                    best = Some((photo_id, answer));
                }
            }
        }
        let Some((photo_id, stored)) = best else { return Ok(None) };
        let matched = store.photo(photo_id)?.map(Matched::from);
        Ok(Some(self.known(stored, Origin::Remembered { photo_id, matched })))
    }
}
