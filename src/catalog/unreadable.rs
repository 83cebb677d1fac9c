//! Answers that could not be read: remembered, so that the same question is not paid for again a short while later.

use rusqlite::{OptionalExtension, params};

use super::columns::text;
use super::{Catalog, CatalogError};
use crate::timestamp::Timestamp;

/// What was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableAnswer {
    /// Whose answer it was.
    pub profile: String,
    /// The picture's digest and the parameters, or the offer: equal exactly for equal questions.
    pub question: String,
    /// Our word for the error.
    pub code: String,
    /// What the answer looks like, without secrets.
    pub message: String,
    /// When it came.
    pub answered_at: Timestamp,
}

impl Catalog {
    /// Remembers that this question got an answer that cannot be read; a newer one takes an older one's place.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn remember_unreadable(&self, answer: &UnreadableAnswer) -> Result<(), CatalogError> {
        let UnreadableAnswer { profile, question, code, message, answered_at } = answer;
        self.writer_in_time()?.execute(
            "INSERT INTO unreadable_answers (profile, question, code, message, answered_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (profile, question) DO UPDATE
             SET code = excluded.code, message = excluded.message, answered_at_ms = excluded.answered_at_ms",
            params![profile, question, code, message, answered_at.unix_ms()],
        )?;
        Ok(())
    }

    /// What came of this question at `profile`, if that could not be read, after `since` and not after `until`.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn unreadable_answer(
        &self,
        profile: &str,
        question: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<UnreadableAnswer>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT profile, question, code, message, answered_at_ms FROM unreadable_answers
                 WHERE profile = ?1 AND question = ?2 AND answered_at_ms > ?3 AND answered_at_ms <= ?4",
            )?
            .query_row(params![profile, question, since.unix_ms(), until.unix_ms()], |row| {
                Ok(UnreadableAnswer {
                    profile: text(row, 0)?,
                    question: text(row, 1)?,
                    code: text(row, 2)?,
                    message: text(row, 3)?,
                    answered_at: Timestamp::from_unix_ms(row.get(4)?),
                })
            })
            .optional()
        })
    }
}
