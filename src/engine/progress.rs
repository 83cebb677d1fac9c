//! Who hears about long work?

use crate::store::DamageNote;

/// Hears about long work.
pub trait Progress: Send + Sync {
    /// Something worth a line.
    fn note(&self, text: &str);
    /// Something stored cannot be read, and is done without.
    fn damage(&self, damage: DamageNote<'_>) {
        self.note(&damage.to_string());
    }
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
