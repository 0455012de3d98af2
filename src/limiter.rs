//! The bandwidth cap that all parts in flight share. Time is tokio's, so that tests can pause it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::settings::Bandwidth;

/// How much of a second's budget may go out in one piece, so that a cap is held smoothly.
const PIECES_A_SECOND: u64 = 20;

/// The smallest piece worth a write, in bytes.
const SMALLEST_PIECE: u64 = 2 * 1024;

/// The cap on the bytes a second over all parts. Cheap to clone; a change acts at once on all.
///
/// It is a schedule of one line: whoever takes bytes moves the moment at which the next bytes may go.
/// An idle cap saves up at most one piece, so that there is no burst after a pause.
#[derive(Debug, Clone)]
pub struct BandwidthLimiter(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    cap: Bandwidth,
    next: Instant,
    changes: watch::Sender<()>,
}

impl BandwidthLimiter {
    /// A cap of this bandwidth.
    #[must_use]
    pub fn new(cap: Bandwidth) -> Self {
        let (changes, _) = watch::channel(());
        Self(Arc::new(Mutex::new(Line {
            cap,
            next: Instant::now(),
            changes,
        })))
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the bandwidth, at once for all parts in flight.
    pub fn set(&self, cap: Bandwidth) {
        let mut line = self.line();
        line.cap = cap;
        line.next = Instant::now();
        line.changes.send_replace(());
    }

    /// Whether the cap is what holds the bytes back now.
    #[must_use]
    pub fn holds(&self) -> bool {
        let line = self.line();
        line.cap != Bandwidth::Unlimited && line.next > Instant::now()
    }

    /// One part's way to take from this cap.
    #[must_use]
    pub fn share(&self) -> LimiterShare {
        LimiterShare {
            cap: self.clone(),
            waiting: None,
        }
    }

    /// Reserves up to `wanted` bytes: how many, and when they may go. Reservations are handed out in
    /// turn, so no part is starved by another that asks more often.
    fn reserve(&self, wanted: usize) -> (usize, Option<(Instant, watch::Receiver<()>)>) {
        let mut line = self.line();
        let Bandwidth::Limited(rate) = line.cap else {
            return (wanted, None);
        };
        let now = Instant::now();
        let piece = (rate.get() / PIECES_A_SECOND).max(SMALLEST_PIECE);
        let taken = usize::try_from(piece).unwrap_or(usize::MAX).min(wanted);
        #[allow(clippy::cast_precision_loss)] // a wait of microseconds' precision
        let cost = Duration::from_secs_f64(taken as f64 / rate.get() as f64);
        // What an idle line saved up is one piece, not a burst.
        let turn = line.next.max(now.checked_sub(cost).unwrap_or(now));
        line.next = turn + cost;
        (
            taken,
            (turn > now).then(|| (turn, line.changes.subscribe())),
        )
    }
}

/// One part's way to take from a [`BandwidthLimiter`].
pub struct LimiterShare {
    cap: BandwidthLimiter,
    waiting: Option<Waiting>,
}

/// A reservation whose turn has not come; `None` comes of it when the cap was changed meanwhile.
type Waiting = Pin<Box<dyn Future<Output = Option<usize>> + Send + Sync>>;

impl std::fmt::Debug for LimiterShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimiterShare")
            .field("waiting", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}

impl LimiterShare {
    /// How many of `wanted` bytes (at least 1) may go now; pending until some may.
    pub fn poll_take(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                let reserved = std::task::ready!(waiting.as_mut().poll(context));
                self.waiting = None;
                if let Some(reserved) = reserved {
                    return Poll::Ready(reserved.min(wanted));
                }
            }
            match self.cap.reserve(wanted) {
                (reserved, None) => return Poll::Ready(reserved),
                (reserved, Some((turn, mut changed))) => {
                    self.waiting = Some(Box::pin(async move {
                        tokio::select! {
                            () = sleep_until(turn) => Some(reserved),
                            _ = changed.changed() => None,
                        }
                    }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn limited(rate: u64) -> Bandwidth {
        Bandwidth::Limited(NonZeroU64::new(rate).unwrap())
    }

    async fn send(share: &mut LimiterShare, mut bytes: usize) {
        while bytes > 0 {
            bytes -= std::future::poll_fn(|context| share.poll_take(context, bytes)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn parts_together_keep_to_the_cap_within_three_percent() {
        let cap = BandwidthLimiter::new(limited(1_000_000));
        let begun = Instant::now();
        let parts: Vec<_> = (0..7)
            .map(|_| {
                let mut share = cap.share();
                tokio::spawn(async move { send(&mut share, 1_000_000).await })
            })
            .collect();
        for part in parts {
            part.await.unwrap();
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((took - 7.0).abs() < 0.21, "7 MB at 1 MB/s took {took} s");
    }

    /// What so many parts take of a cap, each in blocks of its own size, and when.
    async fn taken(
        cap: &BandwidthLimiter,
        blocks: &[usize],
        seconds: u64,
    ) -> Vec<(Duration, usize)> {
        let begun = Instant::now();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let parts = blocks.iter().map(|block| {
            let (mut share, taken, block) = (cap.share(), Arc::clone(&taken), *block);
            tokio::spawn(async move {
                while begun.elapsed() < Duration::from_secs(seconds) {
                    let bytes = std::future::poll_fn(|c| share.poll_take(c, block)).await;
                    taken.lock().unwrap().push((begun.elapsed(), bytes));
                }
            })
        });
        for part in parts.collect::<Vec<_>>() {
            part.await.unwrap();
        }
        Arc::into_inner(taken).unwrap().into_inner().unwrap()
    }

    fn between(taken: &[(Duration, usize)], from: u64, to: u64) -> usize {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        let within = taken.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, bytes)| bytes).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn any_ten_seconds_keep_to_the_cap_within_three_percent_whatever_the_blocks() {
        for rate in [50_000, 1_000_000, 25_000_000] {
            let cap = BandwidthLimiter::new(limited(rate));
            let taken = taken(&cap, &[128 << 10, 1 << 20, 16 << 10, 300, 128 << 10], 60).await;
            let cap = usize::try_from(rate).unwrap() * 10;
            for from in 0..50 {
                let sent = between(&taken, from, from + 10);
                assert!(
                    sent.abs_diff(cap) * 100 <= cap * 3,
                    "{sent} bytes in ten seconds at {rate} a second"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lowered_cap_holds_at_once_and_within_three_percent() {
        let cap = BandwidthLimiter::new(limited(10_000_000));
        let lower = cap.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            lower.set(limited(200_000));
        });
        let taken = taken(&cap, &[128 << 10; 8], 30).await;
        let before = between(&taken, 0, 10);
        assert!(before.abs_diff(100_000_000) < 3_000_000, "{before}");
        let after = between(&taken, 10, 20);
        assert!(after.abs_diff(2_000_000) < 60_000, "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn parts_share_the_cap_fairly() {
        let cap = BandwidthLimiter::new(limited(1_000_000));
        let ends = (0..5).map(|_| {
            let mut share = cap.share();
            tokio::spawn(async move {
                send(&mut share, 500_000).await;
                Instant::now()
            })
        });
        let mut at = Vec::new();
        for end in ends.collect::<Vec<_>>() {
            at.push(end.await.unwrap());
        }
        let apart = *at.iter().max().unwrap() - *at.iter().min().unwrap();
        assert!(
            apart <= Duration::from_millis(500),
            "the first and the last end {apart:?} apart"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_cap_wakes_a_part_that_waits() {
        let cap = BandwidthLimiter::new(limited(1));
        let begun = Instant::now();
        let mut share = cap.share();
        let part = tokio::spawn(async move { send(&mut share, 100_000).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        cap.set(Bandwidth::Unlimited);
        part.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }
}
