//! What the server says is wrong, as an error of a store.

use std::error::Error as _;

use postgres::error::{DbError, SqlState};

use super::tls_fault::TlsFault;
use crate::catalog::{CatalogError, DatabaseTrouble};

impl From<postgres::Error> for CatalogError {
    fn from(error: postgres::Error) -> Self {
        if let Some(fault) = tls_fault(&error).filter(|fault| fault.is_distrust()) {
            return Self::DatabaseNotTrusted { problem: fault.to_string() };
        }
        Self::Database { problem: problem(&error), trouble: trouble(&error) }
    }
}

/// What a wait that was given up ends with.
pub(super) fn locked(problem: &str) -> CatalogError {
    CatalogError::Database { problem: problem.to_owned(), trouble: DatabaseTrouble::Locked }
}

/// Something in the store that is not as this program writes it.
pub(super) fn unexpected(problem: String) -> CatalogError {
    CatalogError::Database { problem, trouble: DatabaseTrouble::Other }
}

/// In one line. Neither the server nor the client puts passwords into its errors.
pub(super) fn problem(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!("; {detail}")).unwrap_or_default();
        return format!("{}{detail} (SQLSTATE {})", said.message(), said.code().code());
    }
    match (tls_fault(error), error.source()) {
        (Some(fault), _) => fault.to_string(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

fn tls_fault(error: &postgres::Error) -> Option<&TlsFault> {
    error.source().and_then(|cause| cause.downcast_ref())
}

pub(super) fn trouble(error: &postgres::Error) -> DatabaseTrouble {
    match error.as_db_error().map(DbError::code) {
        Some(state) => trouble_of(state),
        // What never came to be a statement: an address without a server, a connection that broke.
        None if error.is_closed() || is_io(error) => DatabaseTrouble::Away,
        None => DatabaseTrouble::Other,
    }
}

fn trouble_of(state: &SqlState) -> DatabaseTrouble {
    match state.code() {
        // Of locks, and of statements that took too long, which is mostly a wait for one.
        "55P03" | "40P01" | "40001" | "57014" => DatabaseTrouble::Locked,
        "25006" | "53100" | "53200" | "42501" => DatabaseTrouble::NoWrites,
        "57P01" | "57P02" | "57P03" | "53300" | "25P03" => DatabaseTrouble::Away,
        code if code.starts_with("08") => DatabaseTrouble::Away,
        _ => DatabaseTrouble::Other,
    }
}

fn is_io(error: &postgres::Error) -> bool {
    error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_the_server_say_what_may_pass_and_what_cannot_be_written() {
        for (code, expected) in [
            ("55P03", DatabaseTrouble::Locked),
            ("40P01", DatabaseTrouble::Locked),
            ("25006", DatabaseTrouble::NoWrites),
            ("53100", DatabaseTrouble::NoWrites),
            ("57P01", DatabaseTrouble::Away),
            ("08006", DatabaseTrouble::Away),
            ("23505", DatabaseTrouble::Other),
        ] {
            assert_eq!(trouble_of(&SqlState::from_code(code)), expected, "{code}");
        }
        assert!(locked("others write").is_about_writing());
        assert!(!unexpected("odd".to_owned()).is_about_writing());
    }
}
