//! Keeps API calls under a destination's calls-per-minute rule, so that a 429 is never met; knows
//! no destination. Time is tokio's, so tests can hold it still.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::HoldUp;

/// How far back calls count: a minute, and a second more because calls do not all travel equally
/// long.
const WINDOW: Duration = Duration::from_secs(61);

/// How long everyone waits after a 429 that names no time; doubled with each in a row.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait that is believed.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// What a server says of its budget in an answer's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Budget {
    /// How many calls a minute there are in all.
    pub(super) limit: Option<u32>,
    /// How many of them are left.
    pub(super) remaining: Option<u32>,
}

/// One budget of calls a minute. Calls may burst until it is used up, then each waits, first come
/// first served, until one of a minute ago no longer counts.
#[derive(Debug)]
pub(super) struct Pacer {
    what: &'static str,
    queue: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// When each call that still counts was made, oldest first.
    made: VecDeque<Instant>,
    /// Until when a 429 forbids calls.
    not_before: Option<Instant>,
    refused_in_a_row: u32,
    waiting: usize,
}

impl State {
    /// When the next call may go, if not now.
    fn blocked_until(&mut self, now: Instant) -> Option<Instant> {
        while self.made.front().is_some_and(|&at| at + WINDOW <= now) {
            self.made.pop_front();
        }
        self.not_before = self.not_before.filter(|&at| at > now);
        let surplus = (self.made.len() + 1).checked_sub(self.limit + 1);
        let full = surplus.and_then(|index| self.made.get(index)).copied();
        self.not_before.max(full.map(|at| at + WINDOW))
    }
}

/// Counts those who wait, also when one of them is dropped while waiting.
struct Waiting<'a>(&'a Pacer);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl Pacer {
    /// A budget of `limit` calls a minute (at least 1); `what` names them: `"API calls"`.
    pub(super) fn new(what: &'static str, limit: u32) -> Self {
        Self {
            what,
            queue: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                limit: usize::try_from(limit.max(1)).unwrap_or(usize::MAX),
                made: VecDeque::new(),
                not_before: None,
                refused_in_a_row: 0,
                waiting: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call may be made, and counts it.
    pub(super) async fn turn(&self) {
        self.state().waiting += 1;
        let _waiting = Waiting(self);
        // tokio's mutex is fair, so whoever waits longest goes first.
        let _turn = self.queue.lock().await;
        loop {
            let blocked = {
                let mut state = self.state();
                let now = Instant::now();
                let blocked = state.blocked_until(now);
                if blocked.is_none() {
                    state.made.push_back(now);
                }
                blocked
            };
            match blocked {
                None => return,
                Some(at) => sleep_until(at).await,
            }
        }
    }

    /// Believes what the server says of its budget, where that is less than what we think: someone
    /// else may use the same key.
    pub(super) fn heed(&self, told: Budget) {
        let mut state = self.state();
        state.refused_in_a_row = 0;
        if let Some(limit) = told.limit.filter(|&limit| limit > 0) {
            state.limit = state.limit.min(limit as usize);
        }
        let now = Instant::now();
        state.blocked_until(now);
        let left = state.limit.saturating_sub(state.made.len());
        if let Some(remaining) = told.remaining {
            for _ in (remaining as usize)..left {
                state.made.push_back(now);
            }
        }
    }

    /// A call met a 429: everyone waits as long as the server said, or a while that grows with each
    /// 429 in a row. Answers how long that is.
    pub(super) fn refused(&self, wait: Option<Duration>) -> Duration {
        let mut state = self.state();
        let guess = FIRST_WAIT * 2u32.pow(state.refused_in_a_row.min(5));
        // A server that names no time at all, by a zero, would be asked again and again at once.
        let wait = wait.unwrap_or(guess).clamp(FIRST_WAIT, LONGEST_WAIT);
        state.refused_in_a_row = state.refused_in_a_row.saturating_add(1);
        let until = Instant::now() + wait;
        state.not_before = state.not_before.max(Some(until));
        wait
    }

    /// What holds calls back now: a 429 whose time is not over, or a used-up budget that someone
    /// waits for.
    pub(super) fn hold_up(&self) -> Option<HoldUp> {
        let mut state = self.state();
        let now = Instant::now();
        let until = state.blocked_until(now)?;
        let why = if state.not_before == Some(until) {
            format!("too many {}", self.what)
        } else if state.waiting > 0 {
            format!("{} {} a minute", state.limit, self.what)
        } else {
            return None;
        };
        Some(HoldUp {
            left: until - now,
            why,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn turns(pacer: &Pacer, count: usize) -> Duration {
        let begun = Instant::now();
        for _ in 0..count {
            pacer.turn().await;
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_up_to_the_budget_goes_at_once_and_the_next_call_waits_out_the_minute() {
        let pacer = Pacer::new("API calls", 60);
        assert_eq!(turns(&pacer, 60).await, Duration::ZERO);
        assert_eq!(pacer.hold_up(), None, "nobody waits yet");
        assert_eq!(turns(&pacer, 1).await, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_ever_holds_more_calls_than_the_budget() {
        let pacer = Arc::new(Pacer::new("API calls", 7));
        let tasks: Vec<_> = (0..50)
            .map(|n: u64| {
                let pacer = Arc::clone(&pacer);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(n * 3)).await;
                    pacer.turn().await;
                    Instant::now()
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.push(task.await.unwrap());
        }
        assert!(times.is_sorted(), "first come, first served");
        for window in times.windows(8) {
            assert!(window[7] - window[0] > Duration::from_mins(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_budget_is_told_why_and_for_how_long() {
        let pacer = Arc::new(Pacer::new("API calls", 2));
        turns(&pacer, 2).await;
        let waiter = tokio::spawn({
            let pacer = Arc::clone(&pacer);
            async move { pacer.turn().await }
        });
        tokio::time::sleep(Duration::from_secs(21)).await;
        assert_eq!(
            pacer.hold_up(),
            Some(HoldUp {
                left: Duration::from_secs(40),
                why: "2 API calls a minute".into()
            })
        );
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(pacer.hold_up(), None, "one who gave up no longer waits");
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_makes_everyone_wait_as_long_as_it_says_and_longer_each_time_it_says_nothing() {
        let pacer = Pacer::new("uploads", 100);
        pacer.refused(Some(Duration::from_secs(12)));
        assert_eq!(turns(&pacer, 1).await, Duration::from_secs(12));
        assert_eq!(pacer.refused(None), Duration::from_secs(2));
        assert_eq!(pacer.refused(None), Duration::from_secs(4));
        pacer.heed(Budget::default());
        assert_eq!(pacer.refused(None), Duration::from_secs(1));
        assert_eq!(pacer.refused(Some(Duration::MAX)), LONGEST_WAIT);
        assert_eq!(pacer.refused(Some(Duration::ZERO)), FIRST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_spend_of_the_same_key_is_counted() {
        let pacer = Pacer::new("API calls", 60);
        turns(&pacer, 1).await;
        pacer.heed(Budget {
            limit: Some(60),
            remaining: Some(1),
        });
        assert_eq!(turns(&pacer, 1).await, Duration::ZERO);
        assert_eq!(turns(&pacer, 1).await, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_budget_is_bounded_by_what_is_known() {
        let pacer = Pacer::new("API calls", 60);
        pacer.heed(Budget {
            limit: Some(0),
            remaining: Some(u32::MAX),
        });
        assert_eq!(turns(&pacer, 60).await, Duration::ZERO);
        assert_eq!(turns(&pacer, 1).await, WINDOW);
    }
}
