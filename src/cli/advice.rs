//! What to do at a command line about an error of the library, which says what is wrong and leaves the words of its door
//! to the door.

use std::error::Error;

use serde::Serialize;
use serde_json::{Value, json};

use crate::catalog::moving::MoveError;
use crate::catalog::{CatalogError, DamageNote, Entry, OWN_PROFILE};
use crate::config::ConfigError;
use crate::embed::runtime::RuntimeError;
use crate::embed::{EmbedError, ModelError};
use crate::engine::{EngineError, HarvestError};
use crate::eval::{EvalError, LineProblem};
use crate::fetch::FetchError;
use crate::input::{FileProblem, InputError, ReadProblem, SourceProblem};
use crate::offer::{OfferIdError, PriceError};
use crate::photo::PhotoError;
use crate::sandbox::{FaultError, SandboxError};
use crate::scan::ScanError;
use crate::serve::{McpError, RightsError, ServeError, ServeStoreError};
use crate::sheet::SheetError;
use crate::upstream::{GuardError, TapeError, UpstreamError, UpstreamErrorKind, WhyNot};

/// The code of the first error in the chain that has one.
pub(super) fn code_of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    chain(error).find_map(code)
}

/// An error and its causes.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

fn code(error: &(dyn Error + 'static)) -> Option<&'static str> {
    macro_rules! first_of {
        ($($type:ty),+ $(,)?) => {
            None$(.or_else(|| error.downcast_ref::<$type>().map(<$type>::code)))+
        };
    }
    let upstream = error.downcast_ref::<UpstreamError>().map(|error| error.kind.code());
    upstream.or_else(|| {
        first_of!(
            ConfigError,
            EngineError,
            CatalogError,
            PhotoError,
            FetchError,
            InputError,
            FileProblem,
            ReadProblem,
            SourceProblem,
            OfferIdError,
            PriceError,
            HarvestError,
            EmbedError,
            ModelError,
            RuntimeError,
            EvalError,
            LineProblem,
            TapeError,
            SandboxError,
            FaultError,
            ScanError,
            SheetError,
            MoveError,
            ServeError,
            ServeStoreError,
            RightsError,
            McpError,
        )
    })
}

/// What to do here about an error with this code.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "home_unusable" | "catalog_too_new" => "--home chooses another",
        "other_model" => {
            "--model and --provider name the model, `tongkuan reembed --from FOLDER` embeds anew, --home chooses another home"
        }
        "model_changed" => "--model and --provider name the model",
        "catalog_damaged" => "`tongkuan reembed --from FOLDER` embeds anew, --model names another model",
        "pgvector_unavailable" => {
            "leave --index pgvector away (TONGKUAN_INDEX, or index in the configuration file) to search without it"
        }
        "catalog_too_old_to_read" => "--home names the copy",
        "runtime_not_found" | "runtime_not_loaded" | "runtime_download" | "runtime_digest"
        | "runtime_telemetry" => "run `tongkuan setup` with network access",
        "address_port" => {
            "save the picture first, or name the address in fetch_from of the configuration file"
        }
        "address_not_public" => "if it is yours, name it in fetch_from of the configuration file",
        "too_many_redirects" => "name the last address",
        "http_status" => "open the address in a browser",
        "download_too_large" => "save the picture smaller, and name the file",
        "fetch_failed" => "try again later",
        "provider_unavailable" => "--provider cpu runs it on the processor",
        "model_not_read" => "correct --model, or leave it away",
        "model_not_loaded" => "`tongkuan doctor` looks at every part",
        "uncalibrated" => "`tongkuan calibrate FOLDER` makes one; else leave --max-false-hit away",
        "too_few_pairs" => "raise --max-false-hit, or give `tongkuan calibrate FOLDER` more pictures",
        "no_home_folder" => "--home names one",
        "record_and_replay" => "leave --record or --replay away",
        "config_not_read" => "correct --config or TONGKUAN_CONFIG, or let this user read it",
        "upstream_not_configured" => {
            "name it, as with --upstream aop; `tongkuan --help` tells its credentials"
        }
        "no_picture_column" | "row_no_picture" => "`check` and `sheet` take another name of it with --column",
        "offline" => "--offline forbids it, too",
        "no_home" => "--home names another; `tongkuan add` or a search that is not offline makes one there",
        "home_not_readable" => "--home names another",
        "move_exists" => "--force replaces it",
        "serve_needs_keys" => "`tongkuan keys add NAME` makes one",
        "no_such_key" => "`tongkuan keys list` names them",
        "no_such_photo" => "`tongkuan search` names the photo that it matched",
        "no_upstream" => "`tongkuan --help` tells how to name one",
        "upstream_auth" => "for the official gateway, `tongkuan login` gets new tokens",
        "upstream_image" | "upstream_unreadable" => "--refresh asks again",
        _ => return None,
    })
}

/// The error in all its words, and what to do about it here.
pub(super) fn explained(error: &(dyn Error + 'static)) -> String {
    let words: Vec<String> = chain(error).map(ToString::to_string).collect();
    with_advice(words.join(": "), code_of(error))
}

fn with_advice(text: String, code: Option<&str>) -> String {
    match code.and_then(advice) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

/// What to do here when nothing was asked, for this reason.
pub(super) fn for_unanswered(reason: WhyNot) -> Option<&'static str> {
    match reason {
        WhyNot::NoUpstream => advice("no_upstream"),
        WhyNot::NothingToCompare => Some("--force asks all the same"),
        WhyNot::TooElongated => Some(
            "--region asks about one part, --suggested-regions about each of them, --force about all of it at once",
        ),
        WhyNot::Unreadable => advice(UpstreamErrorKind::Unreadable.code()),
        _ => None,
    }
}

/// Whether it holds for every picture until a person mends credentials, permission or address.
pub(super) fn needs_a_person(error: &EngineError) -> bool {
    matches!(error, EngineError::Upstream(GuardError::Upstream { error, .. }) if error.kind.needs_a_person())
}

/// Whether it is, below any context, that the home cannot be read or written at present: its database server failed, or its
/// folder is locked, full or read-only. Then no picture can wait in the queue either.
pub(super) fn is_home_failure(error: &(dyn Error + 'static)) -> bool {
    let fails = |error: &CatalogError| error.is_server_failure() || error.is_about_writing();
    chain(error).any(|error| match error.downcast_ref::<EngineError>() {
        Some(EngineError::Catalog(error)) => fails(error),
        _ => error.downcast_ref::<CatalogError>().is_some_and(fails),
    })
}

/// Whether it says nothing about other pictures.
pub(super) fn is_of_one_picture(reason: WhyNot) -> bool {
    reason.is_of_the_picture() || reason == WhyNot::Unreadable
}

/// What is printed with `--json` of an input that failed.
pub(super) fn json_of(id: impl Serialize, error: &(dyn Error + 'static)) -> Value {
    json!({"id": id, "error": explained(error), "code": code_of(error)})
}

/// What repairs something stored that cannot be read.
pub(super) fn for_damage(damage: DamageNote<'_>) -> &'static str {
    let DamageNote::Entry(damage) = damage else { return "`tongkuan doctor` counts them" };
    match &damage.entry {
        Entry::Vector(_) | Entry::Sketch(_) => {
            "`tongkuan doctor --repair` repairs, `tongkuan reembed --from FOLDER` makes it anew"
        }
        Entry::NextVector(_) => "run `tongkuan reembed` again",
        Entry::Offer { profile, .. } if profile == OWN_PROFILE => {
            "`tongkuan add` takes it again, `tongkuan doctor --repair` repairs"
        }
        Entry::Calibration => "`tongkuan calibrate` makes one, `tongkuan doctor --repair` repairs",
        Entry::Model => "`tongkuan reembed --from FOLDER` embeds anew",
        _ => "`tongkuan doctor --repair` repairs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::DatabaseTrouble;
    use anyhow::Context as _;

    #[test]
    fn a_home_that_fails_is_known_below_any_context_and_by_its_type() {
        for trouble in [DatabaseTrouble::Away, DatabaseTrouble::Locked, DatabaseTrouble::Other] {
            let failed = || CatalogError::Database { problem: "gone".to_owned(), trouble };
            let of_engine = anyhow::Error::from(EngineError::Catalog(failed())).context("a.jpg");
            let of_store = anyhow::Error::from(failed());
            assert!(is_home_failure(of_engine.as_ref()) && is_home_failure(of_store.as_ref()), "{trouble:?}");
        }
        let others = [
            anyhow::Error::from(EngineError::Catalog(CatalogError::ModelChanged)),
            anyhow::Error::from(EngineError::NoUpstream),
            anyhow::anyhow!("database_failed"),
        ];
        assert!(!others.iter().any(|error| is_home_failure(error.as_ref())));
        let source = std::io::ErrorKind::StorageFull.into();
        let full = CatalogError::Home { path: "home".into(), source };
        assert!(is_home_failure(anyhow::Error::from(EngineError::Catalog(full)).as_ref()));
    }

    #[test]
    fn an_error_keeps_its_code_below_any_context_and_gets_the_words_of_the_command_line() {
        let error = anyhow::Error::from(EngineError::NoUpstream).context("stopped: 3 added");
        assert_eq!(code_of(error.as_ref()), Some("no_upstream"));
        let text = "stopped: 3 added: no upstream is configured; `tongkuan --help` tells how to name one";
        assert_eq!(explained(error.as_ref()), text);
        assert_eq!(
            json_of("a.jpg", error.as_ref()),
            json!({"id": "a.jpg", "error": text, "code": "no_upstream"})
        );
        let other = Err::<(), _>(PhotoError::Empty).context("b.jpg").unwrap_err();
        assert_eq!(code_of(other.as_ref()), Some("empty"));
        assert_eq!(
            json_of(7, anyhow::anyhow!("else").as_ref()),
            json!({"id": 7, "error": "else", "code": null})
        );
    }
}
