//! All integration tests in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod battery;
mod catalog;
mod cli;
mod crash;
mod details;
mod embedding;
mod engine;
mod eval;
mod fakes;
mod fetch;
mod harvest;
mod index;
mod layering;
mod ledger;
mod photo;
mod photo_bad;
mod removals;
mod sandbox;
mod snapshot;
mod soak;
mod spending;
mod tape;
mod upstream;
mod verify;
