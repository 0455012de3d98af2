//! What uploads wait for besides their turn: a host, a disk or a folder that does not answer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::awaited::Awaited;

/// A place that does not answer as it should. Whatever has to go there waits, and goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What is waited for.
    pub what: Awaited,
    /// Since when nothing good came from there.
    pub since: Timestamp,
    /// How many milliseconds until the next try; `None` while a try is under way.
    pub retry_in_ms: Option<u64>,
    /// What the last try said, or what is waited for, in words.
    pub why: String,
}

impl Wait {
    /// What is waited for and since when: `"waiting for api.example since 03:12"`.
    #[must_use]
    pub fn words(&self, now: Timestamp) -> String {
        let since = crate::format::since(self.since, now);
        format!("waiting for {} since {since}", self.what)
    }

    /// When it is tried again: `"next try in 20s"`, `"trying now"`.
    #[must_use]
    pub fn next_try(&self) -> String {
        let left = |ms: u64| crate::format::duration(ms.div_ceil(1000));
        self.retry_in_ms.map_or_else(
            || "trying now".to_owned(),
            |ms| format!("next try in {}", left(ms)),
        )
    }
}
