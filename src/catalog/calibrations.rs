//! The home's own calibration, if its user made one.

use super::{Catalog, CatalogError, meta};
use crate::calibration::Calibration;

const KEY: &str = "calibration";

impl Catalog {
    /// The calibration that was made for this home, for whatever model. One that cannot be read is none: the shipped
    /// one then takes its place.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn calibration(&self) -> Result<Option<Calibration>, CatalogError> {
        let text = self.read(|c| meta(c, KEY))?;
        Ok(text.and_then(|text| Calibration::from_json(&text)))
    }

    /// Keeps a calibration in the place of the one before; `None` forgets it.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn keep_calibration(&self, calibration: Option<&Calibration>) -> Result<(), CatalogError> {
        let writer = self.writer();
        match calibration {
            Some(calibration) => writer.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
                [KEY, &calibration.to_json()],
            )?,
            None => writer.execute("DELETE FROM meta WHERE key = ?1", [KEY])?,
        };
        Ok(())
    }
}
