//! Which line keeps the false hits as few as the user allows? Of the home's own calibration, else the shipped one.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::{Engine, EngineError, Progress};
use crate::calibration::{Calibration, DEFAULT_MAX_FALSE_HIT, Line};
use crate::catalog::Catalog;
use crate::embed::{Fingerprint, Thresholds};
use crate::verdict::Policy;
use crate::verify::weights_digest;

/// Where the line of a home comes from.
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

/// The lines of one home, by how many pictures it stores.
pub(super) struct Bound {
    asked: f64,
    thresholds: Thresholds,
    calibration: Option<Calibration>,
    pub(super) calibrated_on: CalibratedOn,
    /// The newest line and the number of pictures that it is for.
    newest: Mutex<(u64, Line)>,
}

impl Bound {
    /// Chooses the calibration. `asked`: the share of false hits that the user allows; by default one in a hundred.
    ///
    /// # Errors
    /// [`EngineError::TooFewPairs`] when the calibration cannot support `asked` in the smallest home, and
    /// [`EngineError::Uncalibrated`] when there is none for the model and the user asks for a bound.
    pub(super) fn open(
        catalog: &Catalog,
        fingerprint: &Fingerprint,
        thresholds: Thresholds,
        asked: Option<f64>,
    ) -> Result<Self, EngineError> {
        let fits = |c: &Calibration| c.model == fingerprint.digest && c.verifier == weights_digest();
        let shipped = || Calibration::shipped().filter(|c| fits(c)).cloned();
        let (mut calibration, calibrated_on) = match catalog.calibration()?.filter(fits) {
            Some(own) => (Some(own), CalibratedOn::Own),
            None => shipped().map_or((None, CalibratedOn::Nothing), |c| (Some(c), CalibratedOn::Shipped)),
        };
        if let Some(calibration) = &mut calibration {
            // Whom a person told apart, the engine took for each other: more look-alikes.
            for confidence in catalog.told_apart_confidences()? {
                calibration.look_alikes.add(confidence);
            }
        }
        if calibration.is_none() && asked.is_some() {
            return Err(EngineError::Uncalibrated { model: fingerprint.to_string() });
        }
        let made_for = calibration.as_ref().map_or(DEFAULT_MAX_FALSE_HIT, |c| c.max_false_hit);
        let asked = asked.unwrap_or(made_for);
        let line = match &calibration {
            Some(calibration) => calibration.line(asked, 0)?,
            None => Line::UNCALIBRATED,
        };
        Ok(Self { asked, thresholds, calibration, calibrated_on, newest: Mutex::new((0, line)) })
    }

    /// The policy with `stored` pictures. Where the calibration cannot promise what was asked for any more, the line is
    /// that of the largest home for which it could, and the policy says what it promises here.
    pub(super) fn policy(&self, stored: u64, progress: &dyn Progress) -> Policy {
        // Doublings are fine enough, and a new line for each picture would cost more than it tells.
        let stored = stored.max(1).next_power_of_two();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(calibration)) = (newest.0 != stored, &self.calibration) {
            let line = calibration.line(self.asked, stored).unwrap_or_else(|refused| {
                progress.note(&refused.to_string());
                self.line_of_the_largest(calibration, stored)
            });
            *newest = (stored, line);
        }
        Policy::new(self.thresholds, newest.1)
    }

    fn line_of_the_largest(&self, calibration: &Calibration, stored: u64) -> Line {
        let mut fewer = std::iter::successors(Some(stored / 2), |n| (*n > 0).then_some(n / 2));
        let largest = fewer.find_map(|n| calibration.line(self.asked, n).ok());
        let line = largest.unwrap_or_else(|| calibration.strictest(stored));
        Line { max_false_hit: Some(calibration.bound(line.confidence, stored)), ..line }
    }

    /// The policy of the last search.
    pub(super) fn newest(&self) -> Policy {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        Policy::new(self.thresholds, newest.1)
    }
}

impl Engine {
    /// Where the line between hit and review comes from.
    #[must_use]
    pub fn calibrated_on(&self) -> CalibratedOn {
        self.bound.calibrated_on
    }

    /// The line with as many pictures as are stored now.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn line(&self) -> Result<Line, EngineError> {
        let stored = self.catalog.photo_count()?;
        Ok(self.bound.policy(stored, self.progress.as_ref()).line())
    }
}
