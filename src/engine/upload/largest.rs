//! The largest part that the destination takes, as far as its refusals have shown it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What all uploads know of it: from the moment one part is refused, no other starts that is as large.
#[derive(Debug)]
pub struct LargestPart(AtomicU64);

/// That nothing was refused.
const ANY: u64 = u64::MAX;

impl LargestPart {
    /// This, where it is known from an earlier run.
    #[must_use]
    pub fn new(known: Option<u64>) -> Self {
        Self(AtomicU64::new(known.unwrap_or(ANY)))
    }

    /// How many bytes it has; `None` where none was refused.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|most| *most != ANY)
    }

    /// It has no more bytes than this. Returns how many it has from now on.
    pub fn lower(&self, most: u64) -> u64 {
        self.0.fetch_min(most, Ordering::Relaxed).min(most)
    }

    /// It is this from now on, whatever was seen before.
    pub fn set(&self, known: Option<u64>) {
        self.0.store(known.unwrap_or(ANY), Ordering::Relaxed);
    }

    /// Whether a part of this many bytes is larger.
    #[must_use]
    pub fn is_exceeded_by(&self, length: u64) -> bool {
        length > self.0.load(Ordering::Relaxed)
    }
}
