//! Pictures that are checked and added in one step.

use std::cell::RefCell;

use super::connection::{Lock, Write};
use super::photos::{EXTENT, extent_of, put_photo};
use super::{PostgresStore, bump_generation, count, plain};
use crate::catalog::{CatalogError, CheckGroup, Extent, NewPhoto, Stored};
use crate::store::CheckStore;
use crate::timestamp::Timestamp;

/// In a cell, because a connection is changed by reading.
struct Group<'s>(RefCell<Write<'s>>);

impl CheckGroup for Group<'_> {
    fn extent(&self) -> Result<Extent, CatalogError> {
        extent_of(&self.0.borrow_mut().one(EXTENT, &[])?)
    }

    fn add(&mut self, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError> {
        put_photo(self.0.get_mut(), photo)
    }

    fn keep_lines(&mut self, run_id: i64, lines: &[(u64, String)]) -> Result<(), CatalogError> {
        let write = self.0.get_mut();
        write.execute("DELETE FROM check_lines WHERE run_id = $1", &[&run_id])?;
        let rows: Vec<i64> = lines.iter().map(|(row, _)| i64::try_from(*row).unwrap_or(i64::MAX)).collect();
        let lines: Vec<String> = lines.iter().map(|(_, line)| plain(line).into_owned()).collect();
        write.execute(
            "INSERT INTO check_lines (run_id, input_row, line)
             SELECT $1, input_row, line FROM unnest($2::bigint[], $3::text[]) AS kept (input_row, line)",
            &[&run_id, &rows, &lines],
        )?;
        Ok(())
    }
}

impl CheckStore for PostgresStore {
    fn add_checked(
        &self,
        decide: &mut dyn FnMut(&mut dyn CheckGroup) -> Result<bool, CatalogError>,
    ) -> Result<bool, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        self.must_be_mine(&mut write)?;
        let mut group = Group(RefCell::new(write));
        if !decide(&mut group)? {
            return Ok(false);
        }
        let mut write = group.0.into_inner();
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(true)
    }

    fn check_run(&self, output: &str, resumes: bool, started_at: Timestamp) -> Result<i64, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        let output = plain(output);
        let known: Option<i64> = write
            .first(
                "SELECT run_id FROM check_runs WHERE md5(output) = md5($1::text) AND output = $1",
                &[&output],
            )?
            .map(|row| row.try_get(0))
            .transpose()?;
        let run_id = match known {
            Some(run_id) if resumes => run_id,
            known => {
                if let Some(run_id) = known {
                    forget_run(&mut write, run_id)?;
                }
                let sql = "INSERT INTO check_runs (output, started_at_ms) VALUES ($1, $2) RETURNING run_id";
                write.one(sql, &[&output, &started_at.unix_ms()])?.try_get(0)?
            }
        };
        write.commit()?;
        Ok(run_id)
    }

    fn kept_lines(&self, run_id: i64) -> Result<Vec<(u64, String)>, CatalogError> {
        self.read(|c| {
            c.query(
                "SELECT input_row, line FROM check_lines WHERE run_id = $1 ORDER BY input_row",
                &[&run_id],
            )?
            .iter()
            .map(|row| Ok((count(row.try_get(0)?), row.try_get(1)?)))
            .collect()
        })
    }

    fn end_check_run(&self, run_id: i64) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        forget_run(&mut write, run_id)?;
        write.commit()
    }
}

fn forget_run(write: &mut Write<'_>, run_id: i64) -> Result<(), CatalogError> {
    write.execute("DELETE FROM check_lines WHERE run_id = $1", &[&run_id])?;
    write.execute("DELETE FROM check_runs WHERE run_id = $1", &[&run_id])?;
    Ok(())
}
