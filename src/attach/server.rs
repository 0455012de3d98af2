//! The engine's end of the socket: takes screens in, hands their requests to the engine in order,
//! and tells them how it stands as fast as each takes it. Knows the engine by its [`Handle`] alone.

use std::{
    future::pending,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LengthDelimitedCodec},
    sync::CancellationToken,
};

use super::{
    Places,
    place::Address,
    wire::{self, EngineSays, Gibberish, Owner, PROTOCOL, Role, ScreenSays},
};
use crate::{
    engine::{
        Gone, Handle, Request,
        protocol::{Outcome, Reply, Summary},
    },
    journal::{Journal, Reader},
};

/// How many requests of one screen may be open; it is not listened to until it takes an answer.
const OPEN: usize = 32;

/// What screens are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many may be attached at once.
    pub screens: usize,
    /// For how long one may take nothing of what it is told. One that was put to sleep (Ctrl-Z)
    /// costs a few buffers, so there is no hurry.
    pub stalled: Duration,
    /// For how long one may say nothing at all before it is known to be one.
    pub hello: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            screens: 32,
            stalled: Duration::from_mins(10),
            hello: Duration::from_secs(10),
        }
    }
}

/// A session that is served to other processes. The socket goes when this is dropped, and with it
/// every connection.
#[derive(Debug)]
pub struct Served {
    // First, since fields are dropped in order: the file is to go before the listener.
    address: Address,
    accepting: Aborting,
    end: CancellationToken,
    screens: watch::Receiver<usize>,
    leave: watch::Sender<bool>,
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Aborting(JoinHandle<()>);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Served {
    /// The socket's file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.address.path.clone()
    }

    /// How many [`Role::Screen`]s are attached.
    #[must_use]
    pub fn screens(&self) -> watch::Receiver<usize> {
        self.screens.clone()
    }

    /// Returns when another process (`reelhaul detach`) wants the screen that the session was started
    /// on to leave its terminal. As long as nobody waits for this, that is refused.
    pub async fn asked_to_detach(&self) {
        // The sender is ours: this can't fail.
        let _ = self.leave.subscribe().wait_for(|leave| *leave).await;
    }

    /// Takes no more screens and ends once those that are attached have been told the last summary
    /// of an engine that has stopped; waits a second for that at most.
    pub async fn end(self) {
        let Self {
            address,
            mut accepting,
            end,
            ..
        } = self;
        drop(address);
        end.cancel();
        let _ = timeout(Duration::from_secs(1), &mut accepting.0).await;
    }
}

/// Serves an engine, and the log of its process, to other processes of the same user, until the
/// result is dropped. To be called by the holder of the session's lock, within a tokio runtime.
///
/// # Errors
/// When no socket can be made in any of the places.
pub fn serve(
    handle: Handle,
    session: &str,
    session_file: &Path,
    places: &Places,
    limits: Limits,
    journal: Journal,
) -> io::Result<Served> {
    let (listener, address) = places.bind(session_file)?;
    let file = std::path::absolute(session_file).unwrap_or_else(|_| session_file.to_owned());
    let owner = Owner {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process: std::process::id(),
        session: session.to_owned(),
        file,
    };
    let (count, screens) = watch::channel(0);
    let leave = watch::Sender::new(false);
    let house = Arc::new(House {
        leave: leave.clone(),
        handle,
        journal,
        owner,
        limits,
        count,
        own: super::own_uid(),
    });
    let end = CancellationToken::new();
    let accepting = Aborting(tokio::spawn(accept(listener, house, end.clone())));
    Ok(Served {
        address,
        accepting,
        end,
        screens,
        leave,
    })
}

/// What all connections share.
struct House {
    handle: Handle,
    journal: Journal,
    owner: Owner,
    limits: Limits,
    count: watch::Sender<usize>,
    leave: watch::Sender<bool>,
    own: u32,
}

impl House {
    /// Has the owner's screen leave its terminal, if there is one that listens.
    fn detach(&self) -> Outcome {
        let refused = self.leave.receiver_count() == 0;
        let words = if refused {
            "the session has no screen of its own to leave"
        } else {
            self.leave.send_replace(true);
            without_screen(&self.handle.summary().borrow())
        };
        Outcome {
            reached: usize::from(!refused),
            words: words.to_owned(),
            refused,
        }
    }
}

/// What becomes of a session whose own screen leaves.
fn without_screen(summary: &Summary) -> &'static str {
    if summary.goes_on() {
        "the session goes on in the background"
    } else if summary.counts.left() > 0 {
        "the session ends: nothing is left to send until something is resumed or tried again"
    } else {
        "the session ends: nothing is left to send"
    }
}

async fn accept(listener: UnixListener, house: Arc<House>, end: CancellationToken) {
    let mut screens = JoinSet::new();
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            Some(_) = screens.join_next() => {}
            accepted = listener.accept() => match accepted {
                // One too many sees the connection end.
                Ok((stream, _)) if screens.len() < house.limits.screens => {
                    let house = Arc::clone(&house);
                    screens.spawn(async move {
                        match serve_one(stream, &house).await {
                            Ok(()) | Err(Cut::Gone) => {}
                            Err(cut) => tracing::warn!("a screen was let go: {cut}"),
                        }
                    });
                }
                Ok(_) => tracing::warn!("a screen was turned away: {} are attached", screens.len()),
                Err(error) => {
                    tracing::warn!("no screen can attach now: {error}");
                    // Out of descriptors, most likely, which takes a while to get better.
                    sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }
    while screens.join_next().await.is_some() {}
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("it runs as user {0}")]
    Stranger(u32),
    #[error("it speaks protocol {0}, and this is protocol {PROTOCOL}")]
    OtherProtocol(u32),
    #[error("it did not say hello")]
    Silent,
    #[error("it took nothing for {}", humantime::format_duration(*.0))]
    Stalled(Duration),
    #[error("what it said is {0}")]
    Gibberish(#[from] Gibberish),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the engine has stopped")]
    Gone,
}

impl From<Gone> for Cut {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

type Incoming = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;

async fn serve_one(stream: UnixStream, house: &House) -> Result<(), Cut> {
    let peer = stream.peer_cred()?.uid();
    if !super::admitted(peer, house.own) {
        return Err(Cut::Stranger(peer));
    }
    let (read, write) = stream.into_split();
    let mut incoming = FramedRead::new(read, wire::frames(wire::FROM_SCREEN));
    let mut outgoing = Outgoing {
        frames: FramedWrite::new(write, wire::frames(wire::FROM_ENGINE)),
        stalled: house.limits.stalled,
    };
    outgoing
        .say(&EngineSays::Hello(house.owner.clone()))
        .await?;
    let first = timeout(house.limits.hello, incoming.next()).await;
    let first = match first.map_err(|_| Cut::Silent)? {
        // One that only looked who is there.
        None => return Ok(()),
        Some(frame) => frame?,
    };
    let role = match wire::read(&first)? {
        ScreenSays::Hello { protocol, role } if protocol == PROTOCOL => role,
        ScreenSays::Hello { protocol, .. } => return Err(Cut::OtherProtocol(protocol)),
        _ => return Err(Cut::Silent),
    };
    let screen = role == Role::Screen;
    let _counted = screen.then(|| Counted::new(&house.count));
    let news = screen.then(|| house.journal.reader());
    let (answers, answered) = mpsc::channel(OPEN);
    let gone = CancellationToken::new();
    let listening = async {
        match listen(incoming, house, answers, &gone).await {
            // What the engine said last is still to be told.
            Err(Cut::Gone) => pending().await,
            ended => ended,
        }
    };
    tokio::select! {
        heard = listening => heard,
        told = tell(outgoing, house.handle.summary(), answered, news, &gone) => told,
    }
}

/// A screen that is counted as long as this lives.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Hands requests to the engine in the order they came, and its answers on. A screen that does not
/// take its answers is not listened to any more, which is all that comes of it.
async fn listen(
    mut incoming: Incoming,
    house: &House,
    answers: mpsc::Sender<EngineSays>,
    gone: &CancellationToken,
) -> Result<(), Cut> {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            frame = incoming.next(), if open.len() < OPEN => {
                let Some(frame) = frame else { return Ok(()) };
                let (request, answer) = match wire::read(&frame?)? {
                    ScreenSays::Hello { .. } => return Err(Cut::Silent),
                    ScreenSays::Command { id, command } => {
                        let (answer, answered) = oneshot::channel();
                        (Request::Command(command, answer), Answer::Outcome(id, answered))
                    }
                    ScreenSays::Query { id, query } => {
                        let (answer, answered) = oneshot::channel();
                        (Request::Query(query, answer), Answer::Reply(id, answered))
                    }
                    ScreenSays::Detach { id } => {
                        let outcome = house.detach();
                        let said = EngineSays::Outcome { id, outcome };
                        answers.send(said).await.map_err(|_| Cut::Gone)?;
                        continue;
                    }
                };
                if house.handle.send(request).await.is_ok() {
                    open.push(answer.wait());
                }
            }
            Some(Ok(answer)) = open.next() => {
                answers.send(answer).await.map_err(|_| Cut::Gone)?;
            }
            () = gone.cancelled() => break,
        }
    }
    // Each is answered by now, or never.
    while let Some(answer) = open.next().await {
        if let Ok(answer) = answer {
            answers.send(answer).await.map_err(|_| Cut::Gone)?;
        }
    }
    Err(Cut::Gone)
}

/// An answer the engine owes.
enum Answer {
    Outcome(u64, oneshot::Receiver<Outcome>),
    Reply(u64, oneshot::Receiver<Reply>),
}

impl Answer {
    async fn wait(self) -> Result<EngineSays, Gone> {
        match self {
            Self::Outcome(id, answered) => {
                let outcome = answered.await.map_err(|_| Gone)?;
                Ok(EngineSays::Outcome { id, outcome })
            }
            Self::Reply(id, answered) => {
                let reply = answered.await.map_err(|_| Gone)?;
                Ok(EngineSays::Reply { id, reply })
            }
        }
    }
}

/// Tells answers, of the summaries the newest each time, and what is logged. Ends with the engine,
/// after its last summary.
async fn tell(
    mut outgoing: Outgoing,
    mut summary: watch::Receiver<Summary>,
    mut answers: mpsc::Receiver<EngineSays>,
    mut log: Option<Reader>,
    gone: &CancellationToken,
) -> Result<(), Cut> {
    summary.mark_changed();
    loop {
        tokio::select! {
            biased;
            changed = summary.changed() => {
                if changed.is_err() {
                    break;
                }
                let newest = Box::new(summary.borrow_and_update().clone());
                outgoing.say(&EngineSays::Summary(newest)).await?;
            }
            Some(answer) = answers.recv() => outgoing.say(&answer).await?,
            lines = async {
                match &mut log {
                    Some(log) => log.next().await,
                    None => pending().await,
                }
            } => outgoing.say(&EngineSays::Log(lines)).await?,
        }
    }
    gone.cancel();
    while let Some(answer) = answers.recv().await {
        outgoing.say(&answer).await?;
    }
    Err(Cut::Gone)
}

struct Outgoing {
    frames: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    stalled: Duration,
}

impl Outgoing {
    async fn say(&mut self, said: &EngineSays) -> Result<(), Cut> {
        let frame: Bytes = wire::write(said)?;
        let sent = timeout(self.stalled, self.frames.send(frame)).await;
        Ok(sent.map_err(|_| Cut::Stalled(self.stalled))??)
    }
}
