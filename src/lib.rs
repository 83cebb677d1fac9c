//! Tongkuan (同款, "the same item"): have we seen this picture before, and what did 1688 say about it?
//!
//! [`engine::Engine`] is the way in. A picture that is stored is answered from the home folder:
//!
//! ```
//! use tongkuan::engine::{Engine, Query};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = tempfile::tempdir()?;
//! let engine = Engine::builder(home.path()).open()?;
//! // No model is needed to recognise a file that is broken, and the error says what to do.
//! let error = engine.search(&Query::new(b"no picture", "a.jpg")).unwrap_err();
//! assert!(error.to_string().contains("JPEG"));
//! # Ok(())
//! # }
//! ```
//!
//! ARCHITECTURE.md has a line for each module, phrased as the question it answers.

pub mod catalog;
pub mod cli;
pub mod clock;
mod dice;
mod drawing;
pub mod embed;
pub mod engine;
pub mod eval;
pub mod index;
pub mod offer;
pub mod photo;
pub mod photo_id;
pub mod sandbox;
pub mod tensor;
pub mod upstream;
pub mod verdict;

/// The README's examples are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
