//! The screen's end of the socket: a [`Handle`] to an engine in another process. Whoever holds it
//! can't tell the difference.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::{
    Places,
    wire::{self, EngineSays, Owner, PROTOCOL, Role, ScreenSays},
};
use crate::{
    engine::{
        Handle, Request, Server,
        protocol::{Outcome, Reply, Summary},
    },
    journal::Journal,
};

/// How long an engine may take to answer the first word; it is at work, not at rest.
const HELLO: Duration = Duration::from_secs(10);

/// A connection to an engine in another process.
#[derive(Debug)]
pub struct Attached {
    /// Commands it. [`crate::engine::Gone`] once the connection has ended, for whatever reason; the
    /// connection ends when every clone of this is dropped.
    pub handle: Handle,
    /// Who runs it.
    pub owner: Owner,
    /// The last lines of its process's log, and those that follow; none for a [`Role::Watcher`].
    pub log: Journal,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NotAttached {
    /// No process serves this session.
    #[error("no process serves the session")]
    NotRunning,
    /// The socket is someone else's.
    #[error("the session's socket is served by another user (uid {0})")]
    Stranger(u32),
    /// The two programs are of different versions.
    #[error(
        "the session runs in reelhaul {theirs} (process {process}) and this is reelhaul {ours}: \
         attach with that version, or stop it (kill {process}) and resume the session with this one",
        ours = env!("CARGO_PKG_VERSION")
    )]
    OtherVersion {
        /// The version that runs it.
        theirs: String,
        /// Its process.
        process: u32,
    },
    /// It is there, and ended the talk or said nothing.
    #[error("the process that runs the session does not answer: {0}")]
    Mute(String),
    /// The system refuses.
    #[error("the session's socket can't be used: {0}")]
    Io(#[from] io::Error),
}

/// Attaches to the engine that runs the session in this file. The first summary is there when this
/// returns.
///
/// # Errors
/// When it does not run, or does not want to be spoken with.
pub async fn connect(
    session_file: &Path,
    places: &Places,
    role: Role,
) -> Result<Attached, NotAttached> {
    Line::find(session_file, places).await?.attach(role).await
}

/// Has the screen that a session was started on leave its terminal; the session goes on.
///
/// # Errors
/// As [`connect`].
pub async fn detach(session_file: &Path, places: &Places) -> Result<Outcome, NotAttached> {
    let mut line = Line::find(session_file, places).await?;
    line.hello(Role::Watcher).await?;
    line.say(&ScreenSays::Detach { id: 0 }).await?;
    loop {
        // Summaries come before.
        if let EngineSays::Outcome { outcome, .. } = hear(&mut line.incoming).await? {
            return Ok(outcome);
        }
    }
}

/// Who runs sessions now, of those that serve one.
pub async fn running(places: &Places) -> Vec<Owner> {
    let mut found = Vec::new();
    for socket in places.all() {
        match Line::open(&socket).await {
            Ok(line) => found.push(line.owner),
            Err(NotAttached::NotRunning) => {}
            Err(error) => tracing::debug!("{}: {error}", crate::path::shown(&socket)),
        }
    }
    found
}

type Incoming = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;
type Outgoing = FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>;

/// A connection on which the engine has said hello.
struct Line {
    incoming: Incoming,
    outgoing: Outgoing,
    owner: Owner,
}

impl Line {
    async fn find(session_file: &Path, places: &Places) -> Result<Self, NotAttached> {
        let mut failed = NotAttached::NotRunning;
        for socket in places.of(session_file) {
            match Self::open(&socket).await {
                Err(NotAttached::NotRunning) => {}
                Err(error) => failed = error,
                opened => return opened,
            }
        }
        Err(failed)
    }

    async fn open(socket: &Path) -> Result<Self, NotAttached> {
        use io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound};
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            // A path too long for a socket is one where none can be.
            match error.kind() {
                NotFound | ConnectionRefused | InvalidInput => NotAttached::NotRunning,
                _ => NotAttached::Io(error),
            }
        })?;
        let peer = stream.peer_cred()?.uid();
        if !super::admitted(peer, super::own_uid()) {
            return Err(NotAttached::Stranger(peer));
        }
        let (read, write) = stream.into_split();
        let mut incoming = FramedRead::new(read, wire::frames(wire::FROM_ENGINE));
        let outgoing = FramedWrite::new(write, wire::frames(wire::FROM_SCREEN));
        match hear(&mut incoming).await? {
            EngineSays::Hello(owner) => Ok(Self {
                incoming,
                outgoing,
                owner,
            }),
            _ => Err(NotAttached::Mute("it said no hello".to_owned())),
        }
    }

    async fn say(&mut self, said: &ScreenSays) -> Result<(), NotAttached> {
        let frame = wire::write(said).map_err(|error| NotAttached::Mute(error.to_string()))?;
        Ok(self.outgoing.send(frame).await?)
    }

    async fn hello(&mut self, role: Role) -> Result<(), NotAttached> {
        if self.owner.protocol != PROTOCOL {
            return Err(NotAttached::OtherVersion {
                theirs: crate::error::clean(&self.owner.version),
                process: self.owner.process,
            });
        }
        let protocol = PROTOCOL;
        self.say(&ScreenSays::Hello { protocol, role }).await
    }

    async fn attach(mut self, role: Role) -> Result<Attached, NotAttached> {
        self.hello(role).await?;
        let EngineSays::Summary(first) = hear(&mut self.incoming).await? else {
            let words = "it did not say how the session stands";
            return Err(NotAttached::Mute(words.to_owned()));
        };
        let (handle, server) = Handle::pair();
        server.summary.send_replace(*first);
        let (incoming, outgoing) = (self.incoming, self.outgoing);
        let log = Journal::default();
        let heard = log.clone();
        tokio::spawn(async move {
            let Server { requests, summary } = server;
            let owed = Owed::default();
            // Reading and writing never wait for each other, or both ends could wait for ever.
            let ended = tokio::select! {
                ended = write(requests, outgoing, &owed) => ended,
                ended = read(incoming, &summary, &owed, &heard) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!("the connection to the session ended: {error}");
            }
        });
        Ok(Attached {
            handle,
            owner: self.owner,
            log,
        })
    }
}

/// The next that the engine says.
async fn hear(incoming: &mut Incoming) -> Result<EngineSays, NotAttached> {
    let mute = |words: String| NotAttached::Mute(crate::error::clean(&words));
    let frame = match timeout(HELLO, incoming.next()).await {
        Err(_) => {
            let waited = humantime::format_duration(HELLO);
            return Err(mute(format!("nothing came for {waited}")));
        }
        Ok(None) => return Err(mute("it ended the connection".to_owned())),
        Ok(Some(frame)) => frame.map_err(|error| mute(error.to_string()))?,
    };
    wire::read(&frame).map_err(|error| mute(error.to_string()))
}

/// The answers that are waited for, by the number of their requests.
#[derive(Debug, Default)]
struct Owed(Mutex<(u64, HashMap<u64, Waiting>)>);

#[derive(Debug)]
enum Waiting {
    Outcome(oneshot::Sender<Outcome>),
    Reply(oneshot::Sender<Reply>),
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Waiting>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, waiting: Waiting) -> u64 {
        let mut owed = self.lock();
        owed.0 += 1;
        let id = owed.0;
        owed.1.insert(id, waiting);
        id
    }

    fn take(&self, id: u64) -> Option<Waiting> {
        self.lock().1.remove(&id)
    }
}

async fn write(
    mut requests: mpsc::Receiver<Request>,
    mut outgoing: Outgoing,
    owed: &Owed,
) -> io::Result<()> {
    while let Some(request) = requests.recv().await {
        let (id, said) = match request {
            Request::Command(command, answer) => {
                let id = owed.note(Waiting::Outcome(answer));
                (id, ScreenSays::Command { id, command })
            }
            Request::Query(query, answer) => {
                let id = owed.note(Waiting::Reply(answer));
                (id, ScreenSays::Query { id, query })
            }
        };
        match wire::write(&said) {
            Ok(frame) if frame.len() <= wire::FROM_SCREEN => outgoing.send(frame).await?,
            _ => refuse(owed.take(id)),
        }
    }
    Ok(())
}

/// What is more than a frame holds is answered here.
fn refuse(waiting: Option<Waiting>) {
    if let Some(Waiting::Outcome(answer)) = waiting {
        let _ = answer.send(Outcome {
            reached: 0,
            words: "that is too much for one command: mark fewer".to_owned(),
            refused: true,
        });
    }
}

async fn read(
    mut incoming: Incoming,
    summary: &watch::Sender<Summary>,
    owed: &Owed,
    log: &Journal,
) -> io::Result<()> {
    while let Some(frame) = incoming.next().await {
        match wire::read(&frame?).map_err(io::Error::other)? {
            EngineSays::Hello(_) => {}
            EngineSays::Summary(newest) => {
                summary.send_replace(*newest);
            }
            EngineSays::Log(lines) => lines.into_iter().for_each(|line| log.push(line)),
            // A screen that no longer wants an answer has dropped its end.
            EngineSays::Outcome { id, outcome } => {
                if let Some(Waiting::Outcome(answer)) = owed.take(id) {
                    let _ = answer.send(outcome);
                }
            }
            EngineSays::Reply { id, reply } => {
                if let Some(Waiting::Reply(answer)) = owed.take(id) {
                    let _ = answer.send(reply);
                }
            }
        }
    }
    Ok(())
}
