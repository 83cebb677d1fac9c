//! A value that must never be read in a log.

use std::fmt;

/// An app secret, a token or another credential: printed as `Secret(***)`, never serialised, read only
/// through [`expose`](Self::expose), so that every use can be found by that word.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The credential itself: for a request on its way out, and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` with this credential blotted out, for texts of an upstream that may quote what was sent to it.
    #[must_use]
    pub fn blot(&self, text: &str) -> String {
        // A credential of one or two letters would blot out the text around it and hide nothing.
        if self.0.len() < 3 { text.to_owned() } else { text.replace(&self.0, "***") }
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_not_readable_in_its_debug_text() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(***))");
    }

    #[test]
    fn a_secret_is_blotted_out_of_a_foreign_text() {
        assert_eq!(Secret::new("hunter2").blot("token hunter2 is old"), "token *** is old");
    }
}
