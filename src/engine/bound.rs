//! Which threshold keeps the false hits as few as the user allows? Of the home's own calibration, else the shipped one.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Engine, EngineError, Progress};
use crate::calibration::{Calibration, DEFAULT_MAX_FALSE_HIT, OperatingPoint};
use crate::store::Store;
use crate::vector::{Fingerprint, Thresholds};
use crate::verdict::Policy;
use crate::verify::weights_digest;

/// Where the threshold of a home comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibratedOn {
    /// The user's own pictures (`tongkuan calibrate`).
    Own,
    /// The pictures that the program was calibrated on.
    Shipped,
    /// Nothing: there is no calibration for this model, and nothing is promised.
    Nothing,
}

impl fmt::Display for CalibratedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "calibrated on your own pictures",
            Self::Shipped => "as the program came calibrated",
            Self::Nothing => "there is no calibration for this model",
        })
    }
}

/// The thresholds of one home, by how many pictures it stores.
pub(super) struct Bound {
    fingerprint: Fingerprint,
    thresholds: Thresholds,
    /// The share of false hits that the user allows; `None` for what the calibration was made for.
    asked: Option<f64>,
    now: Mutex<Now>,
}

/// What was found when it was last looked at.
struct Now {
    /// [`FeedbackStore::calibrations`](crate::store::FeedbackStore::calibrations) then.
    calibrations: u64,
    calibration: Option<Calibration>,
    calibrated_on: CalibratedOn,
    asked: f64,
    /// The number of pictures that the operating point is for.
    stored: u64,
    operating_point: OperatingPoint,
}

impl Bound {
    /// Chooses the calibration. `asked`: the share of false hits that the user allows; by default one in a hundred.
    ///
    /// # Errors
    /// [`EngineError::TooFewPairs`] when the calibration cannot support `asked` in the smallest home, and
    /// [`EngineError::Uncalibrated`] when there is none for the model and the user asks for a bound.
    pub(super) fn open(
        store: &dyn Store,
        fingerprint: &Fingerprint,
        thresholds: Thresholds,
        asked: Option<f64>,
    ) -> Result<Self, EngineError> {
        let mut now = Now::read(store, fingerprint, asked)?;
        if now.calibration.is_none() && asked.is_some() {
            return Err(EngineError::Uncalibrated { model: fingerprint.to_string() });
        }
        if let Some(calibration) = &now.calibration {
            now.operating_point = calibration.operating_point(now.asked, 0)?;
        }
        Ok(Self { fingerprint: fingerprint.clone(), thresholds, asked, now: Mutex::new(now) })
    }

    /// The policy with `stored` pictures, by the newest calibration, whichever process made it. Where that cannot
    /// promise what was asked for any more, the threshold is that of the largest home for which it could, and the policy says
    /// what it promises here.
    pub(super) fn policy(
        &self,
        store: &dyn Store,
        stored: u64,
        progress: &dyn Progress,
    ) -> Result<Policy, EngineError> {
        let calibrations = store.calibrations()?;
        let mut now = self.now();
        if now.calibrations != calibrations {
            *now = Now::read(store, &self.fingerprint, self.asked)?;
        }
        now.update_operating_point(stored, progress);
        Ok(Policy::new(self.thresholds, now.operating_point))
    }

    /// As [`policy`](Self::policy), by the calibration that was read last; `None` where that is not the one of `calibrations`.
    pub(super) fn policy_as_of(
        &self,
        calibrations: Option<u64>,
        stored: u64,
        progress: &dyn Progress,
    ) -> Option<Policy> {
        let mut now = self.now();
        if calibrations != Some(now.calibrations) {
            return None;
        }
        now.update_operating_point(stored, progress);
        Some(Policy::new(self.thresholds, now.operating_point))
    }

    /// The policy of the last search.
    pub(super) fn newest(&self) -> Policy {
        Policy::new(self.thresholds, self.now().operating_point)
    }

    /// The share of false hits, 0..=1, that the threshold is to keep to.
    pub(super) fn asked(&self) -> f64 {
        self.now().asked
    }

    pub(super) fn calibrated_on(&self) -> CalibratedOn {
        self.now().calibrated_on
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    /// Without a threshold yet.
    fn read(store: &dyn Store, fingerprint: &Fingerprint, asked: Option<f64>) -> Result<Self, EngineError> {
        // First: what changes after this is read at the next look.
        let calibrations = store.calibrations()?;
        let fits = |c: &Calibration| c.model == fingerprint.digest && c.verifier == weights_digest();
        let shipped = || Calibration::shipped().filter(|c| fits(c)).cloned();
        let (mut calibration, calibrated_on) = match store.calibration()?.filter(fits) {
            Some(own) => (Some(own), CalibratedOn::Own),
            None => shipped().map_or((None, CalibratedOn::Nothing), |c| (Some(c), CalibratedOn::Shipped)),
        };
        if let Some(calibration) = &mut calibration {
            // Whom a person told apart, the engine took for each other: more look-alikes.
            for confidence in store.told_apart_confidences()? {
                calibration.look_alikes.add(confidence);
            }
        }
        let made_for = calibration.as_ref().map_or(DEFAULT_MAX_FALSE_HIT, |c| c.max_false_hit);
        let asked = asked.unwrap_or(made_for);
        Ok(Self {
            calibrations,
            calibration,
            calibrated_on,
            asked,
            stored: 0,
            operating_point: OperatingPoint::UNCALIBRATED,
        })
    }

    /// Computes the operating point for so many pictures.
    fn update_operating_point(&mut self, stored: u64, progress: &dyn Progress) {
        // Doublings are fine enough, and a new threshold for each picture would cost more than it tells.
        let stored = stored.max(1).next_power_of_two();
        if let (true, Some(calibration)) = (self.stored != stored, &self.calibration) {
            self.operating_point =
                calibration.operating_point(self.asked, stored).unwrap_or_else(|refused| {
                    progress.note(&refused.to_string());
                    point_of_the_largest(calibration, self.asked, stored)
                });
            self.stored = stored;
        }
    }
}

fn point_of_the_largest(calibration: &Calibration, asked: f64, stored: u64) -> OperatingPoint {
    let mut fewer = std::iter::successors(Some(stored / 2), |n| (*n > 0).then_some(n / 2));
    let largest = fewer.find_map(|n| calibration.operating_point(asked, n).ok());
    let point = largest.unwrap_or_else(|| calibration.strictest(stored));
    let bounds = calibration.bounds(point.confidence, stored);
    OperatingPoint { max_false_hit: Some(bounds.worst()), bounds: Some(bounds), ..point }
}

impl Engine {
    /// Where the threshold between hit and review comes from.
    #[must_use]
    pub fn calibrated_on(&self) -> CalibratedOn {
        self.bound.calibrated_on()
    }

    /// The threshold between hit and review with as many pictures as are stored now.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn operating_point(&self) -> Result<OperatingPoint, EngineError> {
        let stored = self.store.photo_count()?;
        Ok(self.bound.policy(self.store.as_ref(), stored, self.progress.as_ref())?.operating_point())
    }
}
