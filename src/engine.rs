//! The engine's door: [`Handle`], by which everyone else commands and asks; knows no screen.

pub mod accounts;
mod actor;
pub mod clock;
pub mod flights;
pub mod folders;
pub mod gates;
mod incidents;
pub mod order;
pub mod protocol;
pub mod queue;
pub mod rate;
pub mod record;
pub mod refusals;
pub mod retry;
pub mod room;
pub mod rows;
pub mod schedule;
pub mod timing;
pub mod tree;
pub mod tune;
pub mod upload;
pub mod window;

pub use actor::Parts;
pub use room::OpenFiles;
pub use timing::{Patience, Timing};

use protocol::{Command, Outcome, Query, Reply, Summary};
use tokio::sync::{mpsc, oneshot, watch};

/// Starts an engine on the current tokio runtime (a multi-threaded one). It runs until it is told to
/// stop or every handle is gone; the task ends when all is saved.
#[must_use]
pub fn spawn(parts: Parts) -> (Handle, tokio::task::JoinHandle<()>) {
    let (handle, server) = Handle::pair();
    let actor = actor::Actor::new(parts);
    (handle, tokio::spawn(actor.run(server)))
}

/// How many requests may wait for the engine before those who ask have to.
const REQUESTS: usize = 64;

/// Something asked of the engine, with the place for its answer.
#[derive(Debug)]
pub enum Request {
    /// Do this.
    Command(Command, oneshot::Sender<Outcome>),
    /// Tell this.
    Query(Query, oneshot::Sender<Reply>),
}

/// The engine is gone: it stopped, or the connection to it broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct Gone;

/// The other end of a [`Handle`]: where requests arrive, and where the summary is told.
#[derive(Debug)]
pub struct Server {
    /// What is asked.
    pub requests: mpsc::Receiver<Request>,
    /// The session at a glance.
    pub summary: watch::Sender<Summary>,
}

/// A way to command and ask an engine, in this process or another.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    summary: watch::Receiver<Summary>,
}

impl Handle {
    /// A handle and the end that serves it.
    #[must_use]
    pub fn pair() -> (Self, Server) {
        let (requests, served) = mpsc::channel(REQUESTS);
        let (told, summary) = watch::channel(Summary::default());
        (
            Self { requests, summary },
            Server {
                requests: served,
                summary: told,
            },
        )
    }

    /// Tells the engine to do something.
    ///
    /// # Errors
    /// [`Gone`] when the engine has stopped.
    pub async fn command(&self, command: Command) -> Result<Outcome, Gone> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Command(command, answer)).await?;
        answered.await.map_err(|_| Gone)
    }

    /// Asks the engine.
    ///
    /// # Errors
    /// [`Gone`] when the engine has stopped.
    pub async fn query(&self, query: Query) -> Result<Reply, Gone> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Query(query, answer)).await?;
        answered.await.map_err(|_| Gone)
    }

    /// Hands a request over without waiting for its answer; requests are taken in this order.
    ///
    /// # Errors
    /// [`Gone`] when the engine has stopped.
    pub async fn send(&self, request: Request) -> Result<(), Gone> {
        self.requests.send(request).await.map_err(|_| Gone)
    }

    /// The session at a glance, and a way to wait until it changes.
    #[must_use]
    pub fn summary(&self) -> watch::Receiver<Summary> {
        self.summary.clone()
    }
}
