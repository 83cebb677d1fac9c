//! What does a store of another kind have in common with this one? Rules and values that know no SQLite.

pub(crate) use super::answers::{OWN_PARAMS, parse_offer, regions_json, salvaged_offer};
pub(crate) use super::columns::{checked, crc32, read_vector};
pub(crate) use super::damage::DamageLog;
pub(crate) use super::days::MOST_DAYS;
pub(crate) use super::filter::category_number;
pub(crate) use super::flaw_of_model;
pub(crate) use super::history::{MAX_PAST_ANSWERS, past_offers};
pub(crate) use super::images::MAX_ATTEMPTS;
pub(crate) use super::patience::{NOTE_AFTER, WaitListener};
pub(crate) use super::queue::{RawWaiting, first_readable};
pub(crate) use super::recognised::MAX_RECOGNISED;
pub(crate) use super::repair::{BlobVisitor, changed_blobs, params_problem, scan_blobs};
pub(crate) use super::set_aside::SetAside;
pub(crate) use super::told::{MAX_SAME, ordered};
