//! What the task of an upload and the actor say to each other.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    awaited::Awaited,
    body::Progress,
    destination::{Limits, LineSeen, PartReceipt, StatusBatch},
    engine::{
        protocol::UploadId,
        record::{NextPart, RunChange},
        retry::Verdict,
    },
    error::{CallClass, Error, Result},
    identity::Identity,
    ids::{Claim, MediaId, ObjectId},
    ledger::{InUse, Uploaded, Wait},
    plan::PartNumber,
    session::{Change, Orphan},
    settings::PartSize,
};

/// What reaches the actor from the futures it started.
#[derive(Debug)]
pub enum Message {
    /// From the task of an upload.
    Upload(UploadId, Told),
    /// What a poll of these uploads returned.
    Statuses(Vec<UploadId>, StatusBatch),
    /// Something became of these objects, for which uploads wait.
    MayGoOn(Result<Vec<ObjectId>>),
    /// The ledger was told that the account works on this upload; whether it is still this session's.
    WasCompleted(UploadId, bool),
    /// A file could not be read: whether that is so because something above it is away, and what that is.
    Looked(UploadId, Error, Option<(Awaited, String)>),
    /// A file of this disk could not be read: what came of trying others since then.
    TriedOthers(Awaited, Instant, Others),
    /// The ledger does not know that these are accepted.
    Unaccepted(Vec<(Claim, MediaId)>),
}

/// What came of reading other files of a disk.
#[derive(Debug, PartialEq, Eq)]
pub enum Others {
    /// This one could be read.
    Read(PathBuf),
    /// The disk fails with them too: why, in words.
    Failed(String),
    /// There are none, or none that says anything.
    Unknown,
}

/// What the task of an upload tells the actor.
#[derive(Debug)]
pub enum Told {
    /// It asks for a permit.
    Wants(Want),
    /// It gave a permit back; for a part: of this one, if it was sent.
    Returned(Leave, Option<PartNumber>),
    /// Its record changes, and so does the session file.
    Changed(Vec<Change>),
    /// It waits until all changes of its record are on disk. Dropped where the upload was removed.
    Flushes(oneshot::Sender<()>),
    /// Its record changes in this run alone.
    Noted(RunChange),
    /// The account works on what it sent: no other upload of this process continues the object until
    /// it is known what became of it.
    StaysInUse(InUse),
    /// The account has these parts, which this run did not send, or their MD5 is known from now on.
    Found(Vec<(PartNumber, PartReceipt)>),
    /// Parts can be sent from now on, within these limits.
    Ready(Limits),
    /// A part is in flight.
    Sends(Sending),
    /// A part arrived.
    Arrived(NextPart, PartReceipt),
    /// It looks at its file, which is seen here, or has looked.
    AtDisk(Option<Arc<Progress>>),
    /// A request failed.
    Failed(Failure),
    /// An object may be left at the account for an upload that was removed.
    Orphaned(Orphan),
    /// It has ended. Nothing follows.
    Ended(End),
}

/// What a permit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Calls to the API, of this class at most.
    Call(CallClass),
    /// A part in flight.
    Part {
        /// Whether the API has to answer first: where the part goes is not known.
        asks_api: bool,
    },
}

/// What was permitted, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// What it is for.
    pub need: Need,
    /// The host that it goes to.
    pub host: Awaited,
}

/// A permit that a task waits for.
#[derive(Debug)]
pub struct Want {
    /// What it is for.
    pub need: Need,
    /// The host that the parts of the upload go to, as far as that is known.
    pub parts_host: Option<Awaited>,
    /// Who waits for it.
    pub grant: oneshot::Sender<Grant>,
}

/// A permit, and what there is to know for whoever uses it.
#[derive(Debug)]
pub struct Grant {
    /// The permit.
    pub permit: Permit,
    /// How things are now.
    pub conditions: Conditions,
}

/// Permission to do what was needed, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    upload: UploadId,
    leave: Leave,
    part: Option<PartNumber>,
    told: mpsc::UnboundedSender<Message>,
}

impl Permit {
    /// A permit whose end is told here.
    #[must_use]
    pub fn new(upload: UploadId, leave: Leave, told: mpsc::UnboundedSender<Message>) -> Self {
        Self {
            upload,
            leave,
            part: None,
            told,
        }
    }

    /// The same, used for this part.
    #[must_use]
    pub fn of(mut self, part: PartNumber) -> Self {
        self.part = Some(part);
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Without an actor nobody counts them.
        let returned = Told::Returned(self.leave.clone(), self.part);
        let _ = self.told.send(Message::Upload(self.upload, returned));
    }
}

/// What a task plans and retries by.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// The part size that is asked for.
    pub part_size: PartSize,
    /// How many times a failed part or step is retried.
    pub retries: u16,
    /// How many parts go out at once, over all uploads.
    pub at_once: u16,
    /// What was seen of the network.
    pub line: Option<LineSeen>,
    /// How many parts an earlier run that was killed may have had in flight.
    pub late: u16,
}

/// What the actor tells the task of an upload.
#[derive(Debug)]
pub enum Order {
    /// The settings are others now.
    Tuned(Conditions),
    /// Failed parts are retried now, or this one alone.
    Retry(Option<PartNumber>),
    /// It ends.
    Stop(Stop),
}

/// How a task ends before its upload is complete. Each ends more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Parts in flight may arrive; nothing else begins.
    Drain,
    /// Parts in flight are cancelled.
    Cancel,
    /// The upload was removed from the session: what is being created for it is deleted.
    Removed,
}

/// A part in flight, as it can be seen from outside.
#[derive(Debug)]
pub struct Sending {
    /// The part.
    pub part: NextPart,
    /// Its length in bytes.
    pub length: u64,
    /// How far it is.
    pub progress: Arc<Progress>,
}

/// A request that failed.
#[derive(Debug)]
pub struct Failure {
    /// The part that it was for; `None`: for a step of the whole upload.
    pub part: Option<PartNumber>,
    /// Which attempt it was.
    pub attempt: u32,
    /// Why.
    pub error: Error,
    /// The host or disk whose failure it is, where it is one's.
    pub awaited: Option<Awaited>,
    /// The class of call that it went out as.
    pub class: CallClass,
    /// What follows.
    pub verdict: Verdict,
    /// When it failed.
    pub now: Instant,
}

/// How a task ended.
#[derive(Debug)]
pub enum End {
    /// The account has all of it.
    Complete,
    /// It was told to.
    Stopped,
    /// The person has to do something first.
    Failed(Error),
    /// The file is uploaded already.
    Uploaded(Uploaded),
    /// Another upload sends the same file, in this session or another.
    Waits(Wait),
    /// The file may still be written to: it is looked at again then.
    Unsettled(Identity, Instant),
}
