//! Tongkuan (同款, "the same item"): have we seen this picture before, and what did 1688 say about it?

pub mod clock;
pub mod offer;
pub mod upstream;
