//! The bandwidth over the day: what the schedule says is put in force at its time.

use std::time::Duration;

use jiff::{Timestamp, Zoned};
use tokio::time::Instant;

use super::Actor;
use crate::settings::Bandwidth;

/// The longest the clock on the wall is not looked at while there is a schedule: the timers of a
/// machine that was asleep do not know of it, nor do they of a clock that was set.
const LOOK: Duration = Duration::from_secs(20);

/// What there is to know of the bandwidth that is in force by a schedule.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    /// When the clock is looked at again; `None` without a schedule that changes.
    look: Option<Instant>,
    /// By whose word it is what it is, and until when.
    pub(super) why: String,
}

impl Scheduled {
    /// When time is a reason to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.look
    }
}

impl Actor {
    /// Looks at the clock if it is time to.
    pub(super) fn keep_to_schedule_when_due(&mut self) {
        if self.scheduled.look.is_some_and(|at| at <= Instant::now()) {
            self.keep_to_schedule();
        }
    }

    /// Puts in force what the schedule says now.
    pub(super) fn keep_to_schedule(&mut self) {
        let now = self.clock.now();
        let before = self.settings.bandwidth;
        let until = self.settings.keep_to_schedule(&now);
        let bandwidth = self.settings.bandwidth;
        if bandwidth != before {
            tracing::info!("bandwidth {bandwidth} by schedule, before it was {before}");
        }
        self.put_in_force(before);
        let timed = !self.settings.schedule.is_empty();
        let left = until.and_then(|until| Duration::try_from(until - now.timestamp()).ok());
        self.scheduled = Scheduled {
            look: timed.then(|| Instant::now() + left.unwrap_or(LOOK).min(LOOK)),
            why: if timed {
                why(self.settings.by_hand_until.is_some(), until, &now)
            } else {
                String::new()
            },
        };
    }

    /// What is to be said of a bandwidth that is set by hand now.
    pub(super) fn until_the_schedule_changes(&self) -> String {
        let now = self.clock.now();
        match self.settings.schedule.at(&now).until {
            Some(until) => format!(
                "holds until {}; then the schedule goes on",
                shown(until, &now)
            ),
            None => "holds until the schedule is another".to_owned(),
        }
    }

    /// The bandwidth of the settings holds from now on, for parts in flight too.
    pub(super) fn put_in_force(&self, before: Bandwidth) {
        if self.settings.bandwidth != before {
            self.shared.cap.set(self.settings.bandwidth);
        }
    }
}

/// `by schedule until 18:00`, `by hand until Mon 08:00`.
fn why(by_hand: bool, until: Option<Timestamp>, now: &Zoned) -> String {
    let whose = if by_hand { "by hand" } else { "by schedule" };
    match until {
        Some(until) => format!("{whose} until {}", shown(until, now)),
        None => whose.to_owned(),
    }
}

/// A moment within the next days as the local clock shows it; with its day, unless that is today.
fn shown(at: Timestamp, now: &Zoned) -> String {
    let at = at.to_zoned(now.time_zone().clone());
    let format = if at.date() == now.date() {
        "%H:%M"
    } else {
        "%a %H:%M"
    };
    at.strftime(format).to_string()
}
