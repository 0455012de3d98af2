//! Keys and tokens that no one can print by accident, and where they are fetched from; knows nothing of
//! what they open.

mod source;

use std::fmt;

pub use source::Source;
pub(crate) use source::resolve;

/// A text that is never shown: neither `Display` nor `Debug` give it away, reading it takes
/// [`Secret::expose`], which is easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text. White space around it (the line end of a key file) is no part of it.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        match text.trim() {
            trimmed if trimmed.len() == text.len() => Self(text),
            trimmed => Self(trimmed.to_owned()),
        }
    }

    /// The text itself, for the one place that has to send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself_but_can_be_read_on_purpose() {
        let secret = Secret::new("hunter2\n");
        assert_eq!(format!("{secret:?} {secret}"), "Secret(…) …");
        assert_eq!(secret.expose(), "hunter2");
    }
}
