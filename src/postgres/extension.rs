//! pgvector, as it is in the database.

use super::PostgresStore;
use crate::catalog::CatalogError;

/// The first version of pgvector whose searches go on where too many of what they found is gone (`hnsw.iterative_scan`).
const OLDEST: (u32, u32) = (0, 8);

/// The extension as it is in the database.
#[derive(Clone, Debug)]
pub(super) struct Extension {
    /// Quoted: operators and types of it are named with this, because a home's connections look for names in its schema alone.
    pub(super) schema: String,
    pub(super) version: String,
}

impl PostgresStore {
    /// The extension, or why it cannot be used.
    pub(super) fn extension(&self) -> Result<Extension, CatalogError> {
        if let Some(known) = self.extension.get() {
            return Ok(known.clone());
        }
        let found = self.read(|c| {
            let row = c.first(
                "SELECT quote_ident(n.nspname), e.extversion FROM pg_extension e
                 JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'",
                &[],
            )?;
            if let Some(row) = row {
                return Ok(Ok(Extension { schema: row.try_get(0)?, version: row.try_get(1)? }));
            }
            let is_installed =
                c.exists("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'", &[])?;
            Ok(Err(unavailable(if is_installed {
                "the extension is not in this database: have its owner run CREATE EXTENSION vector SCHEMA public"
            } else {
                "its server lacks the extension: install pgvector 0.8 or newer there, then run CREATE EXTENSION vector \
                 SCHEMA public"
            })))
        })??;
        if version(&found.version).is_none_or(|found| found < OLDEST) {
            return Err(unavailable(&format!(
                "version {} of the extension is too old: install 0.8 or newer, then run ALTER EXTENSION vector UPDATE",
                found.version
            )));
        }
        Ok(self.extension.get_or_init(|| found).clone())
    }
}

pub(super) fn unavailable(problem: &str) -> CatalogError {
    CatalogError::PgvectorUnavailable { problem: problem.to_owned() }
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(version("0.10.1") > Some(OLDEST) && version("0.8.0") == Some(OLDEST));
        assert!(version("0.7.4") < Some(OLDEST));
        assert_eq!(version("odd"), None);
    }
}
