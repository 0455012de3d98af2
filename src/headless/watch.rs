//! Someone else's engine watched as lines: how far it is, until all is done, it ends, or the watcher has
//! enough.

use std::io::Write;

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{EVERY, Lines, Style, written};
use crate::engine::{
    Handle,
    protocol::{Phase, Summary},
};

/// How a watch ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// The engine stopped, or has nothing left to do; its last summary.
    Ended(Box<Summary>),
    /// The connection ended, and what became of the engine is not known.
    Lost,
    /// The watcher had enough.
    Left,
}

impl Watched {
    /// 0: all is uploaded, or the watcher left; 1: something failed or was left, or is not known.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Ended(summary) => u8::from(summary.left() > 0),
            Self::Lost => 1,
            Self::Left => 0,
        }
    }
}

/// Writes to `out` how far an engine is, until all is done, it ends, or a message comes on `stops`. It
/// is left as it is. One of which something is left may be gone on with by a person, and is waited for.
pub async fn watch(
    handle: Handle,
    mut stops: mpsc::Receiver<()>,
    out: impl Write + Send + 'static,
    style: Style,
) -> Watched {
    let mut lines = Lines::new(out, style);
    let mut summary = handle.summary();
    lines.progress(&summary.borrow_and_update());
    let mut tick = interval_at(Instant::now() + EVERY, EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !all_is_done(&summary.borrow()) {
        tokio::select! {
            changed = summary.changed() => {
                if changed.is_err() || summary.borrow_and_update().phase == Phase::Stopped {
                    break;
                }
            }
            _ = stops.recv() => return Watched::Left,
            _ = tick.tick() => lines.progress(&summary.borrow()),
        }
    }
    let last = summary.borrow().clone();
    lines.progress(&last);
    written(lines, &mut stops, false).await;
    if last.phase == Phase::Stopped || all_is_done(&last) {
        Watched::Ended(Box::new(last))
    } else {
        Watched::Lost
    }
}

/// Whether there was something to do, and none of it is left.
fn all_is_done(summary: &Summary) -> bool {
    summary.phase == Phase::Settled && summary.counts.total() > 0 && summary.left() == 0
}
