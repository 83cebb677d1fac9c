//! Who hears about long work?

/// Hears about long work.
pub trait Progress: Send + Sync {
    /// Something worth a line.
    fn note(&self, text: &str);
    /// `done` of `of` steps of the work `what`.
    fn step(&self, what: &str, done: usize, of: usize);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn note(&self, _: &str) {}
    fn step(&self, _: &str, _: usize, _: usize) {}
}
