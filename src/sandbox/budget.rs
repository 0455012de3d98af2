//! Calls a minute, as both vendors ration them: a window that begins with its first call.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_mins(1);

/// What a call is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    JwPlayer,
    Uploads,
    Writes,
    Reads,
}

/// How a call stands with its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) limit: u32,
    /// Calls left after this one; `None`: this one was one too many.
    pub(super) remaining: Option<u32>,
    /// Until the window ends.
    pub(super) retry_after: Duration,
}

#[derive(Debug)]
pub(super) struct Budget {
    per_minute: Option<u32>,
    windows: Mutex<HashMap<Class, (Instant, u32)>>,
}

impl Budget {
    pub(super) fn new(per_minute: Option<u32>) -> Self {
        Self {
            per_minute,
            windows: Mutex::default(),
        }
    }

    /// Counts a call at this moment; `None` where nothing is rationed.
    pub(super) fn take(&self, class: Class, now: Instant) -> Option<Allowance> {
        let limit = self.per_minute?;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, used) = windows.entry(class).or_insert((now, 0));
        if now.duration_since(*begun) >= WINDOW {
            (*begun, *used) = (now, 0);
        }
        let remaining = limit.checked_sub(*used + 1);
        if remaining.is_some() {
            *used += 1;
        }
        Some(Allowance {
            limit,
            remaining,
            retry_after: WINDOW.saturating_sub(now.duration_since(*begun)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_too_many_is_refused_until_the_window_ends() {
        let budget = Budget::new(Some(2));
        let begun = Instant::now();
        let left = |class, seconds| {
            let now = begun + Duration::from_secs(seconds);
            budget.take(class, now).unwrap().remaining
        };
        assert_eq!(left(Class::Reads, 0), Some(1));
        assert_eq!(left(Class::Reads, 1), Some(0));
        assert_eq!(left(Class::Reads, 59), None);
        assert_eq!(left(Class::Writes, 59), Some(1));
        assert_eq!(left(Class::Reads, 60), Some(1));
    }
}
