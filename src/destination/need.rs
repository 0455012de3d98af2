//! How old the need for a call is. Calls that wait for one call budget are made by the age of their need,
//! not by when they came to wait: a step that makes several calls (a list, then a status each) does not
//! queue again behind everyone for each of them.
//!
//! The age goes with the task, so that accounts need not hand it on. A task that is spawned within a
//! step does not inherit it.

use tokio::time::Instant;

tokio::task_local! {
    /// `None`: before every other.
    static SINCE: Option<Instant>;
}

/// Runs a step whose calls have been needed since this moment.
pub async fn since<F: Future>(since: Instant, step: F) -> F::Output {
    SINCE.scope(Some(since), step).await
}

/// Runs a step whose calls have the need that was [`current`].
pub(super) async fn scope<F: Future>(since: Option<Instant>, step: F) -> F::Output {
    SINCE.scope(since, step).await
}

/// Runs calls that go before all others, because those wait for what they bring.
pub(super) async fn before_all<F: Future>(step: F) -> F::Output {
    SINCE.scope(None, step).await
}

/// Since when a call that is made now has been needed; without a scope, since now. In the order in which
/// calls go.
pub(super) fn current() -> Option<Instant> {
    SINCE
        .try_with(|since| *since)
        .unwrap_or_else(|_| Some(Instant::now()))
}
