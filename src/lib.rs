//! Tongkuan (同款, "the same item"): have we seen this picture before, and what did 1688 say about it?
//!
//! [`Engine`] is the way in. Here it asks the sandbox, a local stand-in for 1688, about a picture that it does
//! not know, and then knows it:
//!
//! ```
//! use std::sync::Arc;
//!
//! use tongkuan::clock::SystemClock;
//! use tongkuan::embed::runtime;
//! use tongkuan::engine::{CachePolicy, RuntimeChoice};
//! use tongkuan::sandbox::{Sandbox, SandboxOptions, View};
//! use tongkuan::upstream::{ArticleConfig, ArticleUpstream, GuardPolicy, Secret};
//! use tongkuan::{Engine, Outcome, Query};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::start(SandboxOptions::default())?;
//! let mut config = ArticleConfig::new("sandbox", Secret::new("sandbox-secret"));
//! config.base_url = sandbox.base_url().to_owned();
//! let upstream = Arc::new(ArticleUpstream::new(config, Arc::new(SystemClock))?);
//!
//! let home = tempfile::tempdir()?;
//! let folder = runtime::shared_folder().unwrap_or_else(|| home.path().join("runtime"));
//! let engine = Engine::builder(home.path())
//!     // ONNX Runtime is fetched with pip if this machine has none.
//!     .runtime(RuntimeChoice::new(folder).may_fetch(true))
//!     .upstream(upstream, GuardPolicy::default(), CachePolicy::default())
//!     .open()?;
//!
//! let picture = sandbox.catalogue().jpeg(&sandbox.catalogue().goods()[7], View::Main);
//! let first = engine.search(&Query::new(&picture, "mug.jpg"))?;
//! assert_eq!((first.verdict, first.upstream_calls), (Outcome::Miss, 1));
//!
//! let again = engine.search(&Query::new(&picture, "mug.jpg"))?;
//! assert_eq!((again.verdict, again.upstream_calls), (Outcome::Hit, 0));
//! assert_eq!(again.offers[0].offer_id, first.offers[0].offer_id);
//! # Ok(())
//! # }
//! ```
//!
//! ARCHITECTURE.md has a line for each module, phrased as the question it answers.

#![warn(missing_docs)]

mod access;
pub mod calibration;
pub mod cancel;
pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
mod codes;
#[cfg(feature = "config")]
pub mod config;
#[cfg(any(feature = "sandbox", feature = "serve"))]
#[cfg_attr(
    not(all(feature = "sandbox", feature = "serve")),
    allow(dead_code, reason = "sandbox and gateway each refuse in ways of their own")
)]
mod dialect;
#[cfg(any(feature = "sandbox", feature = "eval"))]
mod dice;
#[cfg(any(feature = "scan", feature = "serve"))]
mod difference;
#[cfg(feature = "input")]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "tables of lines are the command line's"))]
pub mod doors;
#[cfg(any(feature = "sandbox", feature = "eval"))]
#[cfg_attr(
    not(all(feature = "sandbox", feature = "eval")),
    allow(dead_code, unused_imports, reason = "each of the two needs a part of it")
)]
mod drawing;
pub mod embed;
pub mod engine;
#[cfg(feature = "eval")]
pub mod eval;
pub mod fetch;
pub mod home;
#[cfg(feature = "upstream")]
mod http;
pub mod index;
#[cfg(feature = "input")]
pub mod input;
pub mod ledger;
pub mod offer;
mod paths;
pub mod photo;
pub mod photo_id;
#[cfg(feature = "scan")]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "a page needs some of it"))]
mod plot;
mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;
mod presence;
#[cfg(any(feature = "cli", feature = "eval", feature = "mcp", feature = "scan", feature = "sheet"))]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "a report needs fields alone"))]
mod printable;
pub mod question;
pub mod quota_day;
mod resize;
#[cfg(feature = "sandbox")]
pub mod sandbox;
#[cfg(feature = "scan")]
pub mod scan;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "sheet")]
pub mod sheet;
pub mod store;
mod temporary;
pub mod tensor;
#[cfg(feature = "cli")]
mod thumbnail;
pub mod timestamp;
pub mod upstream;
pub mod upstream_error;
pub mod vector;
pub mod verdict;
pub mod verify;

pub use cancel::{Cancel, Interrupt};
pub use engine::{Answer, Engine, EngineBuilder, EngineError, Mode, Outcome, Query};
pub use home::Home;

/// The README's examples are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
