//! Keeps API calls within an account's calls per minute, so that no call is refused with a 429; knows
//! no account. A 429 that comes all the same is the engine's to wait for. Time is tokio's, so tests
//! can hold it still.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{RateLimitWait, need};

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

/// One budget of calls a minute. Calls may burst until it is used up, then each waits until one of a
/// minute ago no longer counts. The one whose need is oldest goes first ([`need`]), of several the one
/// that came first.
#[derive(Debug)]
pub(super) struct CallRateLimiter {
    what: &'static str,
    state: Mutex<State>,
}

/// Whose turn is before whose: by the age of the need, then by arrival.
type Turn = (Option<Instant>, u64);

#[derive(Debug)]
struct State {
    /// Calls a minute as configured; no server's word raises the limit above it.
    configured: u32,
    /// Calls a minute that are allowed now, at least 1.
    limit: u32,
    /// The calls that still count, oldest first: when they were made, and how many.
    runs: VecDeque<(Instant, u32)>,
    /// The calls that wait, and what wakes each to look whether it may go.
    waiting: BTreeMap<Turn, Arc<Notify>>,
    /// How many calls are kept free for steps under way: younger needs do not get them.
    reserved: BTreeMap<Turn, u32>,
    /// How many calls came.
    arrived: u64,
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

    /// When fewer than `limit` calls will count, if not now.
    fn blocked_until(&mut self, now: Instant, limit: u64) -> Option<Instant> {
        self.forget_old(now);
        let mut used = self.used();
        let mut until = None;
        for &(at, count) in &self.runs {
            if used < limit {
                break;
            }
            used -= u64::from(count);
            until = Some(at + WINDOW);
        }
        until
    }

    /// Makes a call of this turn if it may go now.
    fn try_call(&mut self, turn: Turn, now: Instant) -> Next {
        if self.waiting.first_key_value().map(|(first, _)| *first) != Some(turn) {
            return Next::AfterOthers;
        }
        let older = self
            .reserved
            .iter()
            .take_while(|((since, _), _)| *since < turn.0);
        let reserved: u64 = older.map(|(_, calls)| u64::from(*calls)).sum();
        let limit = u64::from(self.limit).saturating_sub(reserved);
        if limit == 0 {
            return Next::AfterOthers;
        }
        if let Some(until) = self.blocked_until(now, limit) {
            return Next::NotBefore(until);
        }
        self.count(now, 1);
        let mut own = self.reserved.range_mut((turn.0, 0)..=turn);
        if let Some((_, calls)) = own.find(|(_, calls)| **calls > 0) {
            *calls -= 1;
        }
        Next::Go
    }

    fn next_turn(&mut self, since: Option<Instant>) -> Turn {
        self.arrived += 1;
        (since, self.arrived)
    }

    /// Wakes the call that goes next: it alone watches the clock.
    fn wake_first(&self) {
        if let Some((_, wake)) = self.waiting.first_key_value() {
            wake.notify_one();
        }
    }
}

/// What a call that waits does next.
enum Next {
    Go,
    NotBefore(Instant),
    AfterOthers,
}

/// A call that waits. When it went, or is dropped while it waits, the next one is woken.
struct Waiting<'a> {
    limiter: &'a CallRateLimiter,
    turn: Turn,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        let first = state.waiting.first_key_value().map(|(first, _)| *first);
        state.waiting.remove(&self.turn);
        if first == Some(self.turn) {
            state.wake_first();
        }
    }
}

/// Calls that are kept free for a step. When it ends or is dropped, others may use them.
struct Reserved<'a> {
    limiter: &'a CallRateLimiter,
    turn: Turn,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.reserved.remove(&self.turn);
        state.wake_first();
    }
}

impl CallRateLimiter {
    /// A budget of `limit` calls a minute (at least 1); `what` names them: `"API calls"`.
    pub(super) fn new(what: &'static str, limit: u32) -> Self {
        let limit = limit.max(1);
        Self {
            what,
            state: Mutex::new(State {
                configured: limit,
                limit,
                runs: VecDeque::new(),
                waiting: BTreeMap::new(),
                reserved: BTreeMap::new(),
                arrived: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call may be made, and counts it. Since when it is needed is what [`need::since`]
    /// says of the task.
    pub(super) async fn acquire(&self) {
        let wake = Arc::new(Notify::new());
        let waiting = self.wait_in_turn(Arc::clone(&wake));
        loop {
            let next = self.state().try_call(waiting.turn, Instant::now());
            match next {
                Next::Go => return,
                Next::NotBefore(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    // An older need came, or the limit has risen.
                    () = wake.notified() => {}
                },
                Next::AfterOthers => wake.notified().await,
            }
        }
    }

    fn wait_in_turn(&self, wake: Arc<Notify>) -> Waiting<'_> {
        let mut state = self.state();
        let turn = state.next_turn(need::current());
        state.waiting.insert(turn, wake);
        Waiting {
            limiter: self,
            turn,
        }
    }

    /// Runs a step that makes so many calls at most, one after another. They are kept free for it: calls
    /// of younger need do not use the budget up while the step waits for an answer.
    pub(super) async fn reserve<F: Future>(&self, calls: usize, step: F) -> F::Output {
        let since = need::current();
        let _reserved = {
            let mut state = self.state();
            let turn = state.next_turn(since);
            let calls = u32::try_from(calls).unwrap_or(u32::MAX);
            state.reserved.insert(turn, calls);
            Reserved {
                limiter: self,
                turn,
            }
        };
        need::scope(since, step).await
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
            state.wake_first();
        }
    }

    /// The used-up budget, where a call waits for it.
    pub(super) fn rate_limit_wait(&self) -> Option<RateLimitWait> {
        let mut state = self.state();
        let now = Instant::now();
        let limit = u64::from(state.limit);
        let until = state.blocked_until(now, limit)?;
        (!state.waiting.is_empty()).then(|| RateLimitWait {
            remaining: until - now,
            budget: format!("{} {} a minute", state.limit, self.what),
        })
    }
}

#[cfg(test)]
mod tests {
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

    /// Makes one call that has been needed since then, and notes its name when it goes.
    fn call(
        limiter: &Arc<CallRateLimiter>,
        went: &Arc<Mutex<Vec<&'static str>>>,
        name: &'static str,
        since: Instant,
    ) -> tokio::task::JoinHandle<()> {
        let (limiter, went) = (Arc::clone(limiter), Arc::clone(went));
        tokio::spawn(need::since(since, async move {
            limiter.acquire().await;
            went.lock().unwrap().push(name);
        }))
    }

    /// Lets all tasks come to where they wait.
    async fn settle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_need_goes_first_and_of_equal_ones_the_one_that_came_first() {
        let limiter = Arc::new(CallRateLimiter::new("API calls", 1));
        calls(&limiter, 1).await;
        let went = Arc::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        tokio::time::sleep(Duration::from_secs(9)).await;
        let mut tasks = Vec::new();
        // One after another, so that which came first is known.
        for (name, since) in [("7", at(7)), ("5", at(5)), ("5, too", at(5)), ("1", at(1))] {
            tasks.push(call(&limiter, &went, name, since));
            settle().await;
        }
        let arrived = tokio::spawn({
            let (limiter, went) = (Arc::clone(&limiter), Arc::clone(&went));
            async move {
                limiter.acquire().await;
                went.lock().unwrap().push("needed when it came");
            }
        });
        settle().await;
        let bearer = tokio::spawn({
            let (limiter, went) = (Arc::clone(&limiter), Arc::clone(&went));
            need::before_all(async move {
                limiter.acquire().await;
                went.lock().unwrap().push("all wait for it");
            })
        });
        for task in tasks.into_iter().chain([arrived, bearer]) {
            task.await.unwrap();
        }
        assert_eq!(
            *went.lock().unwrap(),
            [
                "all wait for it",
                "1",
                "5",
                "5, too",
                "7",
                "needed when it came"
            ]
        );
        assert_eq!(start.elapsed(), WINDOW * 6, "one each minute");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_while_it_waits_leaves_its_turn_to_the_next() {
        let limiter = Arc::new(CallRateLimiter::new("API calls", 1));
        calls(&limiter, 1).await;
        let start = Instant::now();
        let went = Arc::default();
        let first = call(&limiter, &went, "first", start);
        settle().await;
        let second = call(&limiter, &went, "second", start);
        let third = call(&limiter, &went, "third", start);
        settle().await;
        for dropped in [first, third] {
            dropped.abort();
            assert!(dropped.await.unwrap_err().is_cancelled());
        }
        second.await.unwrap();
        assert_eq!(start.elapsed(), WINDOW);
        assert_eq!(*went.lock().unwrap(), ["second"]);
        assert!(limiter.state().waiting.is_empty());
        assert_eq!(
            calls(&limiter, 1).await,
            WINDOW,
            "the dropped ones do not count"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_step_reserved_is_kept_from_younger_needs_until_it_ends_or_is_dropped() {
        let limiter = Arc::new(CallRateLimiter::new("API calls", 5));
        let start = Instant::now();
        let step = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move {
                let never_ends = async {
                    limiter.acquire().await;
                    std::future::pending::<()>().await;
                };
                limiter.reserve(4, never_ends).await;
            }
        });
        settle().await;
        assert_eq!(calls(&limiter, 1).await, Duration::ZERO, "one is left");
        let went = Arc::default();
        let mut younger = call(&limiter, &went, "younger", Instant::now());
        let waits = tokio::time::timeout(WINDOW / 2, &mut younger).await;
        assert!(waits.is_err(), "{:?}", went.lock().unwrap());
        call(&limiter, &went, "older", start).await.unwrap();
        step.abort();
        younger.await.unwrap();
        assert!(start.elapsed() < WINDOW);
        assert_eq!(*went.lock().unwrap(), ["older", "younger"]);
        assert!(limiter.state().reserved.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_reserves_more_than_the_budget_comes_to_its_end() {
        let limiter = CallRateLimiter::new("API calls", 2);
        let took = limiter.reserve(5, calls(&limiter, 5)).await;
        assert_eq!(took, WINDOW * 2);
        assert_eq!(calls(&limiter, 1).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_of_single_calls_waits_once_and_not_anew_for_each_of_them() {
        let limiter = Arc::new(CallRateLimiter::new("API calls", 10));
        calls(&limiter, 10).await;
        let went = Arc::default();
        let start = Instant::now();
        for _ in 0..15 {
            call(&limiter, &went, "older create", start);
        }
        settle().await;
        let due = Instant::now();
        let poll = tokio::spawn({
            let (limiter, went) = (Arc::clone(&limiter), Arc::clone(&went));
            need::since(due, async move {
                let calls = async {
                    for _ in 0..10 {
                        limiter.acquire().await;
                        went.lock().unwrap().push("poll");
                        // The answer.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                limiter.reserve(10, calls).await;
            })
        });
        settle().await;
        for _ in 0..30 {
            call(&limiter, &went, "newer create", Instant::now());
        }
        poll.await.unwrap();
        // 15 that are older and its 10 calls take three times the budget; what is left of that is free.
        assert!(start.elapsed() < WINDOW * 3 + Duration::from_secs(1));
        let went = went.lock().unwrap().clone();
        assert_eq!(went[..15], ["older create"; 15]);
        assert!(went.len() <= 30, "{went:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_polls_nor_creates_starve_where_a_poll_rests_as_long_as_it_took() {
        let limiter = Arc::new(CallRateLimiter::new("API calls", 60));
        let went = Arc::<Mutex<Vec<&str>>>::default();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (limiter, went) = (Arc::clone(&limiter), Arc::clone(&went));
            tasks.spawn(async move {
                loop {
                    limiter.acquire().await;
                    went.lock().unwrap().push("create");
                }
            });
        }
        tasks.spawn({
            let (limiter, went) = (Arc::clone(&limiter), Arc::clone(&went));
            async move {
                loop {
                    let due = Instant::now();
                    let poll = async {
                        for _ in 0..10 {
                            limiter.acquire().await;
                            went.lock().unwrap().push("poll");
                            // The answer.
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    };
                    need::since(due, limiter.reserve(10, poll)).await;
                    tokio::time::sleep(due.elapsed().max(Duration::from_secs(2))).await;
                }
            }
        });
        tokio::time::sleep(Duration::from_hours(1)).await;
        let went = went.lock().unwrap();
        let share = |name: &str| went.iter().filter(|one| **one == name).count() * 100 / went.len();
        assert!(share("poll") >= 5, "{} %", share("poll"));
        assert!(share("create") >= 50, "{} %", share("create"));
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
