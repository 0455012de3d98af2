//! Keeps API calls within an account's calls per minute, so that no call is refused with a 429; knows
//! no account. A 429 that comes all the same is the engine's to wait for. Time is tokio's, so tests
//! can hold it still.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::RateLimitWait;

/// How long a call counts: a minute, and a second more because calls do not all travel equally
/// long, and because calls within [`TOGETHER`] count as made at one time.
const WINDOW: Duration = Duration::from_secs(61);

/// Calls that are made within this time count as made at the time of the first of them: whatever the
/// limit is, no more than [`WINDOW`] ÷ [`TOGETHER`] times are kept.
const TOGETHER: Duration = Duration::from_millis(100);

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
pub(super) struct CallRateLimiter {
    what: &'static str,
    queue: tokio::sync::Mutex<()>,
    /// Wakes the call that waits when the limit has risen.
    raised: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Calls a minute as configured; no server's word raises the limit above it.
    configured: u32,
    /// Calls a minute that are allowed now, at least 1.
    limit: u32,
    /// The calls that still count, oldest first: when they were made, and how many.
    runs: VecDeque<(Instant, u32)>,
    waiting: usize,
}

impl State {
    fn forget_old(&mut self, now: Instant) {
        while self.runs.front().is_some_and(|&(at, _)| at + WINDOW <= now) {
            self.runs.pop_front();
        }
    }

    /// How many calls count.
    fn used(&self) -> u64 {
        self.runs.iter().map(|&(_, count)| u64::from(count)).sum()
    }

    fn count(&mut self, now: Instant, calls: u32) {
        match self.runs.back_mut() {
            Some((at, count)) if now < *at + TOGETHER => *count = count.saturating_add(calls),
            _ => self.runs.push_back((now, calls)),
        }
    }

    /// When the next call may go, if not now.
    fn blocked_until(&mut self, now: Instant) -> Option<Instant> {
        self.forget_old(now);
        let mut used = self.used();
        let mut until = None;
        for &(at, count) in &self.runs {
            if used < u64::from(self.limit) {
                break;
            }
            used -= u64::from(count);
            until = Some(at + WINDOW);
        }
        until
    }
}

/// Counts those who wait, also when one of them is dropped while waiting.
struct Waiting<'a>(&'a CallRateLimiter);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl CallRateLimiter {
    /// A budget of `limit` calls a minute (at least 1); `what` names them: `"API calls"`.
    pub(super) fn new(what: &'static str, limit: u32) -> Self {
        let limit = limit.max(1);
        Self {
            what,
            queue: tokio::sync::Mutex::new(()),
            raised: Notify::new(),
            state: Mutex::new(State {
                configured: limit,
                limit,
                runs: VecDeque::new(),
                waiting: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call may be made, and counts it.
    pub(super) async fn acquire(&self) {
        self.state().waiting += 1;
        let _waiting = Waiting(self);
        // tokio's mutex is fair, so the call that waits longest goes first.
        let _turn = self.queue.lock().await;
        loop {
            let blocked = {
                let mut state = self.state();
                let now = Instant::now();
                let blocked = state.blocked_until(now);
                if blocked.is_none() {
                    state.count(now, 1);
                }
                blocked
            };
            let Some(until) = blocked else { return };
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.raised.notified() => {}
            }
        }
    }

    /// Follows what the server's latest answer says of its budget: the limit both ways, but never
    /// above the configured one and never to 0; and calls that are gone though we did not make them,
    /// because others may use the same key.
    pub(super) fn observe_headers(&self, budget: Budget) {
        let mut state = self.state();
        let before = state.limit;
        if let Some(limit) = budget.limit.filter(|&limit| limit > 0) {
            state.limit = limit.min(state.configured);
        }
        let now = Instant::now();
        state.forget_old(now);
        if let Some(remaining) = budget.remaining {
            let ours = u64::from(state.limit).saturating_sub(state.used());
            let others = ours.saturating_sub(u64::from(remaining));
            if let Ok(calls @ 1..) = u32::try_from(others) {
                state.count(now, calls);
            }
        }
        if state.limit > before {
            self.raised.notify_one();
        }
    }

    /// The used-up budget, where a call waits for it.
    pub(super) fn rate_limit_wait(&self) -> Option<RateLimitWait> {
        let mut state = self.state();
        let now = Instant::now();
        let until = state.blocked_until(now)?;
        (state.waiting > 0).then(|| RateLimitWait {
            remaining: until - now,
            budget: format!("{} {} a minute", state.limit, self.what),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    async fn calls(limiter: &CallRateLimiter, count: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..count {
            limiter.acquire().await;
        }
        start.elapsed()
    }

    fn says(limit: u32, remaining: u32) -> Budget {
        Budget {
            limit: Some(limit),
            remaining: Some(remaining),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_up_to_the_budget_goes_at_once_and_the_next_call_waits_out_the_minute() {
        let limiter = CallRateLimiter::new("API calls", 60);
        assert_eq!(calls(&limiter, 60).await, Duration::ZERO);
        assert_eq!(limiter.rate_limit_wait(), None, "nobody waits yet");
        assert_eq!(calls(&limiter, 1).await, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_ever_holds_more_calls_than_the_budget() {
        for apart in [3000, 70] {
            let limiter = Arc::new(CallRateLimiter::new("API calls", 7));
            let tasks: Vec<_> = (0..50)
                .map(|n: u64| {
                    let limiter = Arc::clone(&limiter);
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(n * apart)).await;
                        limiter.acquire().await;
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
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_for_the_budget_shows_which_and_for_how_long() {
        let limiter = Arc::new(CallRateLimiter::new("API calls", 2));
        calls(&limiter, 2).await;
        let waiter = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.acquire().await }
        });
        tokio::time::sleep(Duration::from_secs(21)).await;
        assert_eq!(
            limiter.rate_limit_wait(),
            Some(RateLimitWait {
                remaining: Duration::from_secs(40),
                budget: "2 API calls a minute".into()
            })
        );
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(
            limiter.rate_limit_wait(),
            None,
            "a dropped call no longer waits"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_spend_of_the_same_key_is_counted() {
        let limiter = CallRateLimiter::new("API calls", 60);
        calls(&limiter, 1).await;
        limiter.observe_headers(says(60, 1));
        assert_eq!(calls(&limiter, 1).await, Duration::ZERO);
        assert_eq!(calls(&limiter, 1).await, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_budget_is_bounded_by_the_configured_one() {
        let limiter = CallRateLimiter::new("API calls", 60);
        for limit in [0, u32::MAX] {
            limiter.observe_headers(says(limit, u32::MAX));
        }
        assert_eq!(calls(&limiter, 60).await, Duration::ZERO);
        assert_eq!(calls(&limiter, 1).await, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn one_odd_limit_is_undone_by_the_next_answer() {
        let limiter = Arc::new(CallRateLimiter::new("uploads", 60));
        calls(&limiter, 10).await;
        limiter.observe_headers(says(1, 0));
        let waiter = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { calls(&limiter, 50).await }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        let wait = limiter.rate_limit_wait().unwrap();
        assert_eq!(wait.budget, "1 uploads a minute");
        limiter.observe_headers(says(60, 50));
        assert_eq!(
            waiter.await.unwrap(),
            Duration::from_secs(2),
            "the call that waits already goes at once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whatever_the_budget_and_the_server_say() {
        let limiter = CallRateLimiter::new("API calls", u32::MAX);
        for n in 0..5_000 {
            limiter.acquire().await;
            limiter.observe_headers(says(u32::MAX, n % 2));
            limiter.observe_headers(says(u32::MAX, u32::MAX));
            tokio::time::advance(Duration::from_millis(7)).await;
            if n % 100 == 99 {
                tokio::time::advance(WINDOW).await;
            }
        }
        let limiter = CallRateLimiter::new("API calls", 1_000_000);
        for _ in 0..20_000 {
            limiter.acquire().await;
            tokio::time::advance(Duration::from_millis(7)).await;
        }
        assert!(limiter.state().runs.len() <= 611);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_large_budget_takes_no_memory_where_no_limit_is_named() {
        let limiter = CallRateLimiter::new("API calls", u32::MAX);
        for n in 0..20_000 {
            let remaining = Some(u32::MAX / 20_000 * (20_000 - n));
            let limit = None;
            limiter.observe_headers(Budget { limit, remaining });
            assert!(limiter.state().runs.len() <= 611);
            tokio::time::advance(Duration::from_millis(7)).await;
        }
    }

    proptest! {
        #[test]
        fn no_budget_a_server_names_makes_it_panic_or_exceed_what_is_configured(
            configured: u32, said: Vec<(Option<u32>, Option<u32>)>,
        ) {
            let limiter = CallRateLimiter::new("API calls", configured);
            for (limit, remaining) in said {
                limiter.observe_headers(Budget { limit, remaining });
                let state = limiter.state();
                prop_assert!((1..=configured.max(1)).contains(&state.limit));
                prop_assert!(state.runs.len() <= 611);
            }
        }
    }
}
