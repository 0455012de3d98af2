//! The line all connections share: how many bytes a second it takes, and how long a request is on
//! its way.

use std::{
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    limiter::{BandwidthLimiter, LimiterShare},
    settings::Bandwidth,
};

/// A line that can be changed while it is in use.
#[derive(Debug)]
pub(super) struct Line {
    cap: BandwidthLimiter,
    state: Mutex<State>,
}

/// What a line is like now.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// Bytes a second.
    pub(super) speed: Option<u64>,
    /// What each request waits.
    pub(super) latency: Duration,
}

fn bandwidth(speed: Option<u64>) -> Bandwidth {
    speed
        .and_then(NonZeroU64::new)
        .map_or(Bandwidth::Unlimited, Bandwidth::Limited)
}

impl Line {
    pub(super) fn new(speed: Option<u64>, latency: Duration) -> Self {
        Self {
            cap: BandwidthLimiter::new(bandwidth(speed)),
            state: Mutex::new(State { speed, latency }),
        }
    }

    /// What it is like now.
    pub(super) fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, at once for bytes already on their way.
    pub(super) fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.cap.set(bandwidth(state.speed));
    }

    /// One connection's way to take from it.
    pub(super) fn pace(&self) -> LimiterShare {
        self.cap.share()
    }
}

/// The pace of one body on a line of its own.
pub(super) fn slow(speed: u64) -> LimiterShare {
    BandwidthLimiter::new(bandwidth(Some(speed))).share()
}
