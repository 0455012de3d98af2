//! How long the engine waits for things, and when it gives up.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::retry::Backoff;
use crate::fault_point::shortened;

/// How long requests may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For how long a connection may take no bytes of a part before it is closed.
    pub stall: Duration,
    /// For how long the answer to a part may take once all its bytes were taken.
    pub answer: Duration,
}

/// How long the engine waits for things, and when it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long steps may take.
    pub patience: Patience,
    /// How long to wait before a part or step is tried again.
    pub backoff: Backoff,
    /// How long after a create was sent it is believed that there is no media object when the account
    /// says so: its lists lag, and the create may still be on its way.
    pub settle: Duration,
    /// How long until it is looked again whether uploads that wait for others may go on.
    pub look_again: Duration,
    /// How long parts in flight are waited for at the end.
    pub drain: Duration,
    /// How long the destination is given before it is asked again what became of a file …
    pub poll_first: Duration,
    /// … and at most, after having been asked many times.
    pub poll_most: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            patience: Patience {
                stall: shortened("REELHAUL_STALL_MS", Duration::from_mins(1)),
                answer: Duration::from_mins(5),
            },
            backoff: Backoff {
                first: Duration::from_secs(1),
                most: Duration::from_mins(2),
            },
            settle: shortened("REELHAUL_SETTLE_MS", Duration::from_secs(10)),
            look_again: Duration::from_secs(1),
            drain: Duration::from_secs(15),
            poll_first: Duration::from_secs(1),
            poll_most: Duration::from_mins(1),
        }
    }
}

/// Ends at this moment; never without one.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
