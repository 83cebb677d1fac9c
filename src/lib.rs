//! Tongkuan (同款, "the same item"): have we seen this picture before, and what did 1688 say about it?

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod embed;
pub mod engine;
pub mod index;
pub mod offer;
pub mod photo;
pub mod photo_id;
pub mod sandbox;
pub mod tensor;
pub mod upstream;
pub mod verdict;
