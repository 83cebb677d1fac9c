//! The home's own calibration, if its user made one.

use rusqlite::TransactionBehavior;

use super::damage::Entry;
use super::recognised::forget_all_recognised;
use super::{Catalog, CatalogError, meta};
use crate::calibration::Calibration;

pub(super) const KEY: &str = "calibration";
const CHANGES_KEY: &str = "calibrations";

/// Part of every transaction that changes the calibration, or what people have told apart.
pub(super) fn bump_calibrations(transaction: &rusqlite::Transaction<'_>) -> Result<(), rusqlite::Error> {
    transaction
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, '1')
             ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)",
        )?
        .execute([CHANGES_KEY])?;
    Ok(())
}

impl Catalog {
    /// The calibration that was made for this home, for whatever model. One that cannot be read is none: the shipped
    /// one then takes its place.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn calibration(&self) -> Result<Option<Calibration>, CatalogError> {
        let text = self.read(|c| meta(c, KEY))?;
        Ok(text.and_then(|text| {
            let calibration = Calibration::from_json(&text);
            if calibration.is_none() {
                self.damage.note(Entry::Calibration, "it is no calibration");
            }
            calibration
        }))
    }

    /// Keeps a calibration in the place of the one before; `None` forgets it.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn keep_calibration(&self, calibration: Option<&Calibration>) -> Result<(), CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match calibration {
            Some(calibration) => transaction.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
                [KEY, &calibration.to_json()],
            )?,
            None => transaction.execute("DELETE FROM meta WHERE key = ?1", [KEY])?,
        };
        forget_all_recognised(&transaction)?;
        bump_calibrations(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// How often anything that a threshold follows from was changed: a cached one is computed anew when this has grown.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn calibrations(&self) -> Result<u64, CatalogError> {
        let times = self.read(|c| meta(c, CHANGES_KEY))?;
        Ok(times.and_then(|times| times.parse().ok()).unwrap_or(0))
    }
}
