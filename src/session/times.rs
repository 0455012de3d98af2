//! When what happened to an upload, to the second: small in memory, since a million uploads are held.

use std::fmt;

use jiff::Timestamp;

/// A second between 1970 and 2106, or none where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u32);

impl Moment {
    /// It, where it is known.
    #[must_use]
    pub fn known(self) -> Option<Timestamp> {
        Some(self.0)
            .filter(|seconds| *seconds > 0)
            .and_then(|seconds| Timestamp::from_second(seconds.into()).ok())
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_second()).unwrap_or(0))
    }
}

impl fmt::Display for Moment {
    /// As a TOML time; nothing where it is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known().map_or(Ok(()), |at| at.fmt(f))
    }
}

/// When what happened to an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// It was queued.
    pub queued: Moment,
    /// It was begun: its marker was made.
    pub begun: Moment,
    /// The destination accepted it.
    pub done: Moment,
}

/// What there is a time of in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// [`Times::begun`].
    Begun,
    /// [`Times::done`].
    Done,
}

impl Times {
    /// Notes when a milestone was reached.
    pub fn note(&mut self, milestone: Milestone, at: Moment) {
        match milestone {
            Milestone::Begun => self.begun = at,
            Milestone::Done => self.done = at,
        }
    }
}
