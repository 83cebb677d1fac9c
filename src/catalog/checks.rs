//! Pictures that are checked and added in one step, and the lines of a run that may not have been told of yet.

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::columns::{integer, text};
use super::photos::{NewPhoto, Stored, put_photo};
use super::{Catalog, CatalogError, Extent, bump_generation};
use crate::timestamp::Timestamp;

/// A write transaction that stays open while this lives: no other thread or process adds to the catalogue meanwhile.
pub trait CheckGroup {
    /// How far the catalogue has come, without what this group adds.
    ///
    /// # Errors
    /// [`CatalogError`] when the file fails; so for all methods.
    fn extent(&self) -> Result<Extent, CatalogError>;

    /// Adds a photo without an answer; one that has these bytes or pixels already stays.
    fn add(&mut self, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError>;

    /// Keeps these lines of a run, by their rows, in the place of those that were kept of it.
    fn keep_lines(&mut self, run_id: i64, lines: &[(u64, String)]) -> Result<(), CatalogError>;
}

struct Group<'t>(Transaction<'t>);

impl CheckGroup for Group<'_> {
    fn extent(&self) -> Result<Extent, CatalogError> {
        let query = "SELECT (SELECT max(photo_id) FROM embeddings), (SELECT coalesce(max(removal_id), 0) FROM removals)";
        let extent =
            |row: &rusqlite::Row<'_>| Ok(Extent { last_photo_id: row.get(0)?, last_removal: row.get(1)? });
        Ok(self.0.prepare_cached(query)?.query_row([], extent)?)
    }

    fn add(&mut self, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError> {
        Ok(put_photo(&self.0, photo)?)
    }

    fn keep_lines(&mut self, run_id: i64, lines: &[(u64, String)]) -> Result<(), CatalogError> {
        self.0.prepare_cached("DELETE FROM check_lines WHERE run_id = ?1")?.execute([run_id])?;
        let mut insert =
            self.0.prepare_cached("INSERT INTO check_lines (run_id, input_row, line) VALUES (?1, ?2, ?3)")?;
        for (row, line) in lines {
            insert.execute(params![run_id, row, line])?;
        }
        Ok(())
    }
}

impl Catalog {
    /// Adds a group of photos in one transaction. `decide` looks at what is stored, with any method that reads, while
    /// no other writer can add or remove anything, and adds. When it says `false`, or fails, nothing has changed.
    ///
    /// # Errors
    /// Those of `decide`, and [`CatalogError`] when the write fails; nothing has changed then.
    pub fn add_checked(
        &self,
        decide: &mut dyn FnMut(&mut dyn CheckGroup) -> Result<bool, CatalogError>,
    ) -> Result<bool, CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.must_be_mine(&transaction)?;
        let mut group = Group(transaction);
        if !decide(&mut group)? {
            return Ok(false);
        }
        bump_generation(&group.0)?;
        group.0.commit()?;
        Ok(true)
    }

    /// The number of the run that writes to `output`, which names it. Unless it `resumes`, it is a new one, and lines that
    /// were kept of an earlier one are gone.
    ///
    /// # Errors
    /// [`CatalogError`] when the file fails; so for all that is about runs.
    pub fn check_run(&self, output: &str, resumes: bool, started_at: Timestamp) -> Result<i64, CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known: Option<i64> = transaction
            .prepare_cached("SELECT run_id FROM check_runs WHERE output = ?1")?
            .query_row([output], |row| row.get(0))
            .optional()?;
        let run_id = match known {
            Some(run_id) if resumes => run_id,
            known => {
                if let Some(run_id) = known {
                    forget_run(&transaction, run_id)?;
                }
                transaction
                    .prepare_cached("INSERT INTO check_runs (output, started_at_ms) VALUES (?1, ?2)")?
                    .execute(params![output, started_at.unix_ms()])?;
                transaction.last_insert_rowid()
            }
        };
        transaction.commit()?;
        Ok(run_id)
    }

    /// The lines of a run's last group, by their rows: they may have been told of or not.
    pub fn kept_lines(&self, run_id: i64) -> Result<Vec<(u64, String)>, CatalogError> {
        self.read(|c| {
            c.prepare_cached("SELECT input_row, line FROM check_lines WHERE run_id = ?1 ORDER BY input_row")?
                .query_map([run_id], |row| {
                    let number = integer(row, 0)?.and_then(|row| u64::try_from(row).ok());
                    Ok((number.unwrap_or(0), text(row, 1)?))
                })?
                .collect()
        })
    }

    /// All lines of the run were told of.
    pub fn end_check_run(&self, run_id: i64) -> Result<(), CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        forget_run(&transaction, run_id)?;
        transaction.commit()?;
        Ok(())
    }
}

fn forget_run(transaction: &Transaction<'_>, run_id: i64) -> Result<(), rusqlite::Error> {
    for statement in ["DELETE FROM check_lines WHERE run_id = ?1", "DELETE FROM check_runs WHERE run_id = ?1"]
    {
        transaction.prepare_cached(statement)?.execute([run_id])?;
    }
    Ok(())
}
