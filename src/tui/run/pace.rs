//! When to draw and when to ask: at most so many frames a second, at once for a person, fewer where
//! the terminal is slow.

use std::time::Duration;

use tokio::time::Instant;

/// How long a frame waits for answers that are on their way, so that they come in one.
const GATHER: Duration = Duration::from_millis(20);

/// When to draw and when to ask.
pub(super) struct Pace {
    frame: Duration,
    /// When the next frame is wanted.
    draw: Option<Instant>,
    /// The earliest a frame may be, unless a person waits for it.
    earliest: Instant,
    refresh: bool,
    refreshed: Instant,
}

impl Pace {
    pub(super) fn new(fps: u16) -> Self {
        let now = Instant::now();
        Self {
            frame: Duration::from_secs(1) / u32::from(fps.clamp(1, 120)),
            draw: Some(now),
            earliest: now,
            refresh: true,
            refreshed: now,
        }
    }

    /// Something changed; a person who pressed a key sees it at once.
    pub(super) fn changed(&mut self, by_person: bool) {
        let now = Instant::now();
        let at = if by_person {
            now
        } else {
            self.earliest.max(now)
        };
        self.draw = Some(self.draw.map_or(at, |draw| draw.min(at)));
    }

    pub(super) fn refresh(&mut self) {
        self.refresh = true;
    }

    pub(super) fn refresh_due(&mut self, lively: bool) -> bool {
        let now = Instant::now();
        let due = self.refresh || (lively && now >= self.refreshed + self.frame);
        if due {
            self.refresh = false;
            self.refreshed = now;
        }
        due
    }

    pub(super) fn draw_due(&self, answers_come: bool) -> bool {
        let now = Instant::now();
        self.draw
            .is_some_and(|at| now >= at && (!answers_come || now >= at + GATHER))
    }

    /// A frame was drawn. A terminal that is slow to take bytes gets fewer.
    pub(super) fn drawn(&mut self, took: Duration) {
        self.draw = None;
        self.earliest = Instant::now() + self.frame.saturating_sub(took).max(took * 3);
    }

    pub(super) fn wake(&self, lively: bool, answers_come: bool) -> Option<Instant> {
        let draw = self
            .draw
            .map(|at| if answers_come { at + GATHER } else { at });
        let ask = lively.then(|| self.refreshed + self.frame);
        draw.into_iter().chain(ask).min()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many frames are drawn in a second in which something always changes.
    async fn frames_a_second(fps: u16, took: Duration) -> u32 {
        let mut pace = Pace::new(fps);
        let end = Instant::now() + SECOND;
        let mut frames = 0;
        while Instant::now() < end {
            pace.changed(false);
            if pace.draw_due(false) {
                advance(took).await;
                pace.drawn(took);
                frames += 1;
            }
            advance(Duration::from_millis(1)).await;
        }
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_at_most_as_many_as_allowed_and_fewer_on_a_slow_terminal() {
        let quick = Duration::from_millis(1);
        assert!((9..=10).contains(&frames_a_second(10, quick).await));
        assert!((27..=30).contains(&frames_a_second(30, quick).await));
        assert!(frames_a_second(10, SECOND / 10).await <= 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_does_not_wait_for_the_next_frame_but_for_answers_that_come() {
        let mut pace = Pace::new(1);
        pace.drawn(Duration::ZERO);
        pace.changed(false);
        assert!(!pace.draw_due(false));
        pace.changed(true);
        assert!(pace.draw_due(false));
        assert!(!pace.draw_due(true));
        advance(GATHER).await;
        assert!(pace.draw_due(true));
    }
}
