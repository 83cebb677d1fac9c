//! What people have said of pairs, carried from one home to another: pictures are known by their digests there.

use serde::{Deserialize, Serialize};

use super::{Engine, EngineError};
use crate::clock::Timestamp;
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::store::ToldRecord;

/// Pairs that are read in one query.
const CHUNK: u32 = 512;

/// A verdict that is dated further ahead than this counts as said now: no two machines' clocks are a day apart.
const MAX_AHEAD_MS: i64 = 24 * 60 * 60 * 1000;

/// One of the two pictures, by whatever is known of it. Pixels go before bytes, and both before the number, which means
/// something in its own home only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictSide {
    /// 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_digest: Option<String>,
    /// Lower-case hex SHA-256 of the pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_digest: Option<String>,
    /// The number in this home; another home numbers differently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photo_id: Option<PhotoId>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What was said of two pictures: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictLine {
    /// Whether both show the same picture.
    pub same: bool,
    /// One of the pair.
    pub one: VerdictSide,
    /// The other of the pair.
    pub other: VerdictSide,
    /// How sure the verifier was, 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// When it was said; now, where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
}

/// What came of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenVerdict {
    /// It is remembered from now on.
    Noted {
        /// The pair.
        photos: [PhotoId; 2],
    },
    /// Something was said of the two at the same time or later: that stays.
    Older {
        /// The pair.
        photos: [PhotoId; 2],
    },
    /// This picture, 0 for the first, is not stored here.
    Unknown {
        /// 0 or 1.
        side: usize,
    },
    /// Both are one picture here.
    OnePhoto {
        /// That one.
        photo_id: PhotoId,
    },
}

impl Engine {
    /// Hears of everything that was said of pairs, in the order of their numbers, until `each` returns `false`.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder cannot be read.
    pub fn each_verdict(&self, each: &mut dyn FnMut(VerdictLine) -> bool) -> Result<(), EngineError> {
        self.each_told(&mut |ToldRecord { photos: [one, other], same, confidence, told_at }| {
            Ok(each(VerdictLine {
                same,
                one: self.side_of(one)?,
                other: self.side_of(other)?,
                confidence,
                told_at: Some(told_at),
            }))
        })
    }

    /// As [`Engine::each_verdict`], of pictures by their numbers alone.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder cannot be read, and what `each` returns.
    pub(crate) fn each_told(
        &self,
        each: &mut dyn FnMut(ToldRecord) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        let mut after = None;
        loop {
            let some = self.store.told_after(after, CHUNK)?;
            let Some(last) = some.last() else { return Ok(()) };
            after = Some((last.photos[0], last.photos[1]));
            for told in some {
                if !each(told)? {
                    return Ok(());
                }
            }
        }
    }

    fn side_of(&self, photo_id: PhotoId) -> Result<VerdictSide, EngineError> {
        let digests = self.store.digests_of(photo_id)?;
        Ok(VerdictSide {
            pixel_digest: digests.map(|(pixels, _)| pixels.to_string()),
            byte_digest: digests.and_then(|(_, bytes)| bytes).map(|bytes| bytes.to_string()),
            photo_id: Some(photo_id),
            label: self.store.photo(photo_id)?.map(|photo| photo.label),
        })
    }

    /// Remembers what was said elsewhere, in one transaction; what was said here later stays. Lines without a time, and those
    /// with one that is more than a day ahead, were said now.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails; nothing is remembered then.
    pub fn take_verdicts(&self, lines: &[VerdictLine]) -> Result<Vec<TakenVerdict>, EngineError> {
        let (mut taken, mut records, mut places) = (Vec::with_capacity(lines.len()), Vec::new(), Vec::new());
        for line in lines {
            let found = [self.photo_named(&line.one)?, self.photo_named(&line.other)?];
            taken.push(match found {
                [None, _] => TakenVerdict::Unknown { side: 0 },
                [_, None] => TakenVerdict::Unknown { side: 1 },
                [Some(one), Some(other)] if one == other => TakenVerdict::OnePhoto { photo_id: one },
                [Some(one), Some(other)] => {
                    let photos = [one, other];
                    // What a clock that was wrong puts far into the future could not be corrected before then.
                    let now = self.clock.now();
                    let latest = Timestamp::from_unix_ms(now.unix_ms().saturating_add(MAX_AHEAD_MS));
                    let told_at =
                        line.told_at.map_or(now, |told_at| if told_at > latest { now } else { told_at });
                    let confidence = line.confidence.filter(|sure| (0.0..=1.0).contains(sure));
                    records.push(ToldRecord { photos, same: line.same, confidence, told_at });
                    places.push(taken.len());
                    TakenVerdict::Noted { photos }
                }
            });
        }
        if records.is_empty() {
            return Ok(taken);
        }
        let noted = self.store.take_told(&records)?;
        self.recent.let_words_go();
        for ((place, record), noted) in places.into_iter().zip(records).zip(noted) {
            if !noted {
                taken[place] = TakenVerdict::Older { photos: record.photos };
            }
        }
        Ok(taken)
    }

    fn photo_named(&self, side: &VerdictSide) -> Result<Option<PhotoId>, EngineError> {
        let digest = |text: &Option<String>| text.as_deref().and_then(Digest::from_hex);
        if let Some(pixels) = digest(&side.pixel_digest)
            && let Some(photo_id) = self.store.photo_by_pixels(pixels)?
        {
            return Ok(Some(photo_id));
        }
        if let Some(bytes) = digest(&side.byte_digest) {
            return Ok(self.store.photo_by_bytes(bytes)?);
        }
        match side.photo_id.filter(|_| side.pixel_digest.is_none()) {
            Some(photo_id) => Ok(self.store.photo(photo_id)?.map(|photo| photo.photo_id)),
            None => Ok(None),
        }
    }
}
