//! All integration tests in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::format_collect, reason = "a short text is made once")]

mod battery;
mod bound;
mod catalog;
mod check;
mod cli;
mod colour;
mod crash;
mod damage;
mod details;
mod embedding;
mod engine;
mod errors;
mod eval;
mod examples;
mod fakes;
mod fetch;
mod fields;
mod goods;
mod harvest;
mod history;
mod index;
mod layering;
mod ledger;
mod merge;
mod move_home;
mod moving;
#[cfg(feature = "postgres")]
mod moving_stores;
mod official;
mod paid;
mod paid_once;
#[cfg(feature = "postgres")]
mod pgvector;
mod photo;
mod photo_bad;
#[cfg(feature = "postgres")]
mod postgres_away;
#[cfg(feature = "postgres")]
mod postgres_engine;
#[cfg(feature = "postgres")]
mod postgres_home;
#[cfg(feature = "postgres")]
mod postgres_restart;
#[cfg(feature = "postgres")]
mod postgres_tls;
mod provider;
mod recognised;
mod reembed;
mod removals;
mod sandbox;
mod scan;
mod scan_both_ways;
#[cfg(unix)]
mod scan_links;
#[cfg(unix)]
mod scan_stays;
mod scan_unchanged;
mod scan_worth;
mod serve;
mod shared_snapshot;
mod similar;
mod snapshot;
mod soak;
mod spending;
mod store;
mod store_views;
mod tape;
mod told;
mod upstream;
mod verify;
