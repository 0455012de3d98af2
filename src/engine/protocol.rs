//! What the engine is told and asked, and what it answers: plain serde values, so that a screen may
//! sit in this process or at the other end of a socket. Knows no I/O.

use std::{collections::BTreeSet, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind},
    plan::PartNumber,
    settings::Settings,
};

/// The number of an upload, unique within its session and never used again as long as that is open:
/// what is known by it (a screen's marked rows, lines) does not outlive the engine. The numbers of
/// the last ones may be given anew after they were taken out, once the session was written without
/// them and opened again.
pub type UploadId = u32;

/// The number of a folder in a session's queue: as lasting as that of an upload.
pub type FolderId = u32;

/// The folder that all others are in.
pub const ROOT: FolderId = 0;

/// What a line of the queue stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineId {
    /// A folder.
    Folder(FolderId),
    /// An upload.
    Upload(UploadId),
}

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// The media object is being made, or looked for after a lost answer.
    Creating,
    /// Parts are being sent.
    Uploading,
    /// All parts were acknowledged; the destination is being told so.
    Completing,
    /// The destination works on what it got.
    Processing,
    /// Uploaded and accepted.
    Done,
    /// Held by the person.
    Paused,
    /// Stopped by an error that is not tried again by itself.
    Failed,
    /// The local file is no longer the one that was begun.
    Changed,
    /// Left out, with a reason.
    Skipped,
}

impl State {
    /// All states, in the order of an upload's life.
    pub const ALL: [State; 10] = [
        State::Queued,
        State::Creating,
        State::Uploading,
        State::Completing,
        State::Processing,
        State::Done,
        State::Paused,
        State::Failed,
        State::Changed,
        State::Skipped,
    ];

    /// The word that is shown, logged and saved.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Creating => "creating",
            State::Uploading => "uploading",
            State::Completing => "completing",
            State::Processing => "processing",
            State::Done => "done",
            State::Paused => "paused",
            State::Failed => "failed",
            State::Changed => "changed",
            State::Skipped => "skipped",
        }
    }

    /// Whether nothing more will happen to it by itself.
    #[must_use]
    pub fn settled(self) -> bool {
        matches!(
            self,
            State::Done | State::Paused | State::Failed | State::Changed | State::Skipped
        )
    }
}

/// Which uploads a command is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// Every upload of the session.
    All,
    /// These.
    Ids(Vec<UploadId>),
    /// Those a filter lets through.
    Filtered(Filter),
    /// Those in a folder, however deep, that a filter lets through.
    Inside(FolderId, Filter),
    /// What was marked of several sorts.
    Marked {
        /// What is in these folders, and their filters let through …
        inside: Vec<(FolderId, Filter)>,
        /// … but for these.
        except: Vec<UploadId>,
        /// These, whatever else.
        ids: Vec<UploadId>,
    },
}

/// What the engine can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Walk these files and folders and queue what is media. Answered at once; the walk goes on
    /// and shows in [`Summary::walk`].
    Add(AddPaths),
    /// Start nothing more of these; what is in flight of them is stopped now and sent again later.
    Pause(Targets),
    /// Go on with these.
    Resume(Targets),
    /// Try again what failed of these: failed uploads, and failed parts of running ones.
    Retry(Targets),
    /// Try one failed part again, now.
    RetryPart {
        /// Whose part.
        upload: UploadId,
        /// Which part.
        part: PartNumber,
    },
    /// Begin these anew: the unfinished media object is removed, a fresh one is made.
    StartOver(Targets),
    /// Leave these changed or failed uploads out.
    Skip(Targets),
    /// Take these out of the queue. What the destination already has of them stays there.
    Remove(Targets),
    /// Move these within the queue, keeping their order.
    Move(Targets, Place),
    /// Tune. All of the settings, as they shall be.
    Tune(Settings),
    /// Write the session file anew, now, and answer when it is on disk.
    Save,
    /// End: start no new parts, wait a bounded time for those in flight, save.
    Stop,
    /// End now: cut what is in flight, save what is known.
    StopNow,
}

/// Paths to walk, and what of them to take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddPaths {
    /// Files and folders.
    #[serde(with = "crate::path::texts")]
    pub paths: Vec<PathBuf>,
    /// Only files that match one of these globs; all when empty.
    pub include: Vec<String>,
    /// No files or folders that match one of these globs.
    pub exclude: Vec<String>,
    /// Files that another session holds too.
    #[serde(default)]
    pub again: bool,
}

/// Where to in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// To the head.
    Top,
    /// One up.
    Up,
    /// One down.
    Down,
    /// To the end.
    Bottom,
}

/// What the engine can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Rows of the queue, as a screen shows them.
    Window(WindowQuery),
    /// The parts of one upload.
    Parts(UploadId),
    /// Everything about one upload that may be shown.
    Details(UploadId),
    /// What [`Command::Tune`] with these settings would do.
    Preview(Settings),
}

/// A stretch of the filtered and sorted queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowQuery {
    /// Which uploads.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// The first row wanted, from 0.
    pub start: usize,
    /// How many rows; never more than [`Self::MOST_ROWS`] are answered.
    pub rows: usize,
    /// When set, the window is moved so that this line is in it, or the folded folder that hides it,
    /// if the filter lets it through.
    pub follow: Option<LineId>,
    /// Whether the first upload with parts in flight is followed instead of `follow`, unless parts
    /// of that are being sent: so that a screen which nobody steers always shows something alive.
    pub follow_running: bool,
    /// As a tree of folders, of which these are folded; `None`: uploads alone.
    pub tree: Option<Folds>,
}

/// Which folders are folded. Each screen has its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Folds {
    /// All, or none …
    pub all: bool,
    /// … but for these.
    pub except: BTreeSet<FolderId>,
}

impl Folds {
    /// Whether this folder is folded.
    #[must_use]
    pub fn folded(&self, folder: FolderId) -> bool {
        self.all != self.except.contains(&folder)
    }

    /// Folds or unfolds this folder.
    pub fn fold(&mut self, folder: FolderId, fold: bool) {
        if fold == self.all {
            self.except.remove(&folder);
        } else {
            self.except.insert(folder);
        }
    }

    /// Folds or unfolds all of them.
    pub fn fold_all(&mut self, fold: bool) {
        self.all = fold;
        self.except.clear();
    }
}

impl WindowQuery {
    /// The most rows one answer holds.
    pub const MOST_ROWS: usize = 1000;
}

/// Which uploads a screen shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// By state.
    pub show: Show,
    /// Only paths that contain this, whatever the case; all when empty.
    pub text: String,
}

impl Filter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A group of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// All.
    #[default]
    All,
    /// Creating, uploading, completing, processing.
    Running,
    /// Failed and changed, and running ones with failed parts.
    Failed,
    /// Queued and paused.
    Waiting,
    /// Done.
    Done,
}

impl Show {
    /// Whether an upload in this state is one of them; `troubled`: whether parts of it failed and
    /// wait for the person.
    #[must_use]
    pub fn shows(self, state: State, troubled: bool) -> bool {
        use State::{Changed, Completing, Creating, Failed, Paused, Processing, Queued, Uploading};
        match self {
            Show::All => true,
            Show::Running => matches!(state, Creating | Uploading | Completing | Processing),
            Show::Failed => troubled || matches!(state, Failed | Changed),
            Show::Waiting => matches!(state, Queued | Paused),
            Show::Done => state == State::Done,
        }
    }
}

/// An order of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// The other way round.
    pub descending: bool,
}

/// What a queue can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// The order in which they will go.
    #[default]
    Queue,
    /// The path.
    Name,
    /// The size in bytes.
    Size,
    /// The share that was acknowledged.
    Progress,
    /// The state, in the order of [`State`].
    State,
    /// The speed now.
    Speed,
}

/// What a query is answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Query::Window`].
    Window(Window),
    /// To [`Query::Parts`]; `None` when there is no such upload.
    Parts(Option<Parts>),
    /// To [`Query::Details`]; `None` when there is no such upload.
    Details(Option<Box<Details>>),
    /// To [`Query::Preview`].
    Preview(Preview),
}

/// What a command was answered with: how many uploads or parts it reached, or why it can't be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many uploads (or parts, for a retry of parts) the command reached.
    pub reached: usize,
    /// In words, for the status line; empty where there is nothing to say.
    pub words: String,
    /// Whether it was refused.
    pub refused: bool,
}

impl Outcome {
    /// It was done, and reached so many.
    #[must_use]
    pub fn new(reached: usize, words: impl Into<String>) -> Self {
        Self {
            reached,
            words: words.into(),
            refused: false,
        }
    }

    /// It can't be done, for this reason.
    #[must_use]
    pub fn refused(words: impl Into<String>) -> Self {
        Self {
            reached: 0,
            words: words.into(),
            refused: true,
        }
    }
}

/// Rows of the queue.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Window {
    /// The index of the first line within the filtered order.
    pub start: usize,
    /// The lines.
    pub lines: Vec<Line>,
    /// How many lines there are in the filtered order: where nothing is folded and there are no
    /// folders, as many as `matching`.
    pub length: usize,
    /// The index of the line that was to be followed, or of the folded folder that hides it.
    pub followed: Option<usize>,
    /// How many uploads the filter lets through.
    pub matching: usize,
    /// How many there are in all; the difference is hidden.
    pub total: usize,
    /// A folder that all files of the queue lie in, however deep, so that it need not be said with
    /// each of them; empty where they have none in common.
    #[serde(with = "crate::path::text")]
    pub folder: PathBuf,
}

impl Window {
    /// The uploads among the lines.
    pub fn uploads(&self) -> impl Iterator<Item = &Row> {
        self.lines.iter().filter_map(Line::upload)
    }
}

/// A line of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// In how many folders of the tree it is.
    pub depth: u16,
    /// The innermost of them, if it is in any.
    pub parent: Option<FolderId>,
    /// What it tells.
    pub entry: Entry,
}

/// What a line of the queue tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A folder, with what is inside.
    Folder(FolderRow),
    /// An upload.
    Upload(Row),
}

impl Line {
    /// What it stands for.
    #[must_use]
    pub fn id(&self) -> LineId {
        match &self.entry {
            Entry::Folder(folder) => LineId::Folder(folder.id),
            Entry::Upload(row) => LineId::Upload(row.id),
        }
    }

    /// The upload, if it is one.
    #[must_use]
    pub fn upload(&self) -> Option<&Row> {
        match &self.entry {
            Entry::Upload(row) => Some(row),
            Entry::Folder(_) => None,
        }
    }

    /// The folder, if it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&FolderRow> {
        match &self.entry {
            Entry::Folder(folder) => Some(folder),
            Entry::Upload(_) => None,
        }
    }
}

/// One folder as a row. Totals are those of all uploads inside, however deep, also of those that a
/// filter hides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FolderRow {
    /// Its number.
    pub id: FolderId,
    /// Where it is.
    #[serde(with = "crate::path::text")]
    pub path: PathBuf,
    /// Its name, with those of the folders above it that hold nothing else: `a/b/c`.
    #[serde(with = "crate::path::text")]
    pub name: PathBuf,
    /// Whether its lines are not shown.
    pub folded: bool,
    /// What is inside.
    pub totals: Totals,
    /// How many uploads inside the filter lets through.
    pub matching: usize,
    /// Bytes on their way in parts in flight.
    pub in_flight: u64,
    /// Bytes a second, now.
    pub rate: u64,
}

/// What uploads add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// How many are in each state.
    pub counts: Counts,
    /// Bytes of those that are not skipped.
    pub bytes: u64,
    /// Bytes of them that the destination acknowledged.
    pub acknowledged: u64,
}

impl Totals {
    /// The state that is worth knowing of all of them together: what failed first of all, then what
    /// goes on, what is to come, and what is held.
    #[must_use]
    pub fn state(&self) -> State {
        use State::{
            Changed, Completing, Creating, Done, Failed, Paused, Processing, Queued, Skipped,
            Uploading,
        };
        let worth = [
            Failed, Changed, Uploading, Creating, Completing, Processing, Queued, Paused, Done,
        ];
        let there = |state: &State| self.counts.of(*state) > 0;
        worth.into_iter().find(there).unwrap_or(Skipped)
    }
}

/// One upload as a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: UploadId,
    /// Where the file is.
    #[serde(with = "crate::path::text")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes the destination acknowledged, never more than `size`.
    pub acknowledged: u64,
    /// Bytes on their way in parts in flight.
    pub in_flight: u64,
    /// Its state.
    pub state: State,
    /// Bytes a second, now.
    pub rate: u64,
    /// Seconds left at this speed, where that can be told.
    pub eta: Option<u64>,
    /// How many parts it is cut into; 0 before it is begun.
    pub parts: u32,
    /// How many of them are acknowledged.
    pub parts_done: u32,
    /// How many are in flight.
    pub parts_running: u32,
    /// How many failed and wait for the person.
    pub parts_failed: u32,
    /// How many wait to be tried again.
    pub parts_retrying: u32,
    /// What there is to say about it: why it failed, waits, was skipped.
    pub note: Option<String>,
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Not begun.
    Waiting,
    /// On its way.
    Running,
    /// Acknowledged by the destination.
    Done,
    /// Acknowledged, and the destination's MD5 is the one taken on the way.
    Verified,
    /// Failed, will be tried again by itself.
    Retrying,
    /// Failed, waits for the person.
    Failed,
}

/// The parts of one upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Whose.
    pub upload: UploadId,
    /// How many there are; 0 before it is begun and once it is done.
    pub count: u32,
    /// How many there will be, as far as that can be told before it is begun.
    pub expected: Option<u32>,
    /// The media object's id, once there is one.
    pub media: Option<String>,
    /// Their states in order, as stretches of equal ones; they add up to `count`.
    pub states: Vec<(PartState, u32)>,
    /// Those in flight, by number.
    pub running: Vec<RunningPart>,
    /// Those that failed, whether tried again by themselves or not, by number.
    pub failed: Vec<FailedPart>,
}

/// A part on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningPart {
    /// Its number.
    pub number: PartNumber,
    /// Its length in bytes.
    pub length: u64,
    /// Bytes the connection took.
    pub taken: u64,
    /// Bytes a second, now.
    pub rate: u64,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// For how many milliseconds it has been on its way.
    pub age_ms: u64,
}

/// A part that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedPart {
    /// Its number.
    pub number: PartNumber,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed last.
    pub error: Error,
    /// In how many milliseconds it is tried again; `None`: the person is asked.
    pub retry_in_ms: Option<u64>,
    /// What else it waits for, where that is not time alone: `"when the line is back"`.
    #[serde(default)]
    pub waits_for: Option<String>,
}

/// Everything about an upload that may be shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Its row.
    pub row: Row,
    /// When the file was last modified.
    pub modified: Timestamp,
    /// When it was queued, where that is known.
    pub queued: Option<Timestamp>,
    /// When it was begun, if it was.
    pub begun: Option<Timestamp>,
    /// When the destination accepted it, if it did.
    pub done: Option<Timestamp>,
    /// The media type it is announced as.
    pub mime: String,
    /// What the destination is told of it when its media object is made, as it is set up now: names
    /// and values in the destination's words.
    pub metadata: Vec<(String, String)>,
    /// The marker, once it is made.
    pub marker: Option<String>,
    /// The media object's id, once there is one.
    pub media: Option<String>,
    /// Where the media object can be looked at, once there is one.
    pub address: Option<String>,
    /// The plan, as `(first part, count, size in bytes)`.
    pub plan: Vec<(PartNumber, u32, u64)>,
    /// How many requests for parts were begun since the program started.
    pub attempts: u32,
    /// What went wrong lately since the program started, newest first.
    pub incidents: Vec<Incident>,
    /// Why it stopped, if it did.
    pub failure: Option<Error>,
}

/// Something that went wrong with an upload and ended it or was tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When.
    pub at: Timestamp,
    /// With which part; `None`: with a step of the whole upload.
    pub part: Option<PartNumber>,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// What happened.
    pub message: String,
}

/// What a change of settings would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preview {
    /// How many running files would be cut anew.
    pub files: usize,
    /// How many of their parts were not begun …
    pub parts_before: u64,
    /// … and how many those become.
    pub parts_after: u64,
    /// How many queued files will be cut by the new size.
    pub queued: usize,
    /// The same in one sentence.
    pub words: String,
}

/// How many uploads are in each state, in the order of [`State::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts([u32; State::ALL.len()]);

impl Counts {
    /// How many are in this state.
    #[must_use]
    pub fn of(&self, state: State) -> usize {
        self.0[state as usize] as usize
    }

    /// Whether nothing goes on by itself, and something is held by the person.
    #[must_use]
    pub fn all_paused(&self) -> bool {
        self.unsettled() == 0 && self.of(State::Paused) > 0
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().map(|count| *count as usize).sum()
    }

    /// How many are neither done nor left out.
    #[must_use]
    pub fn left(&self) -> usize {
        self.total() - self.of(State::Done) - self.of(State::Skipped)
    }

    /// How many something will still happen to by itself.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        State::ALL
            .iter()
            .filter(|state| !state.settled())
            .map(|state| self.of(*state))
            .sum()
    }

    /// Counts one more.
    pub fn add(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    /// Counts one less.
    pub fn subtract(&mut self, state: State) {
        self.0[state as usize] -= 1;
    }
}

/// Bytes of all uploads that are not skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByteTotals {
    /// Of all files.
    pub total: u64,
    /// Acknowledged by the destination, in this run or before.
    pub acknowledged: u64,
    /// Acknowledged in this run.
    pub sent: u64,
    /// What was there already when this run began, or was found there.
    pub already_there: u64,
    /// On their way.
    pub in_flight: u64,
}

/// What holds the speed back right now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// Nothing is to be sent.
    #[default]
    Idle,
    /// Nothing more is begun until the person has mended something and tries again.
    Halted {
        /// What happened, and what they can do.
        why: String,
    },
    /// The line takes no more.
    Line,
    /// Parts are on their way, and nothing of them has moved for a while.
    Stalled {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// More parts could go out, but no more files may be under way at once.
    Files,
    /// The cap a person set.
    Bandwidth,
    /// Everything is paused.
    Paused,
    /// The destination asks to wait.
    Destination {
        /// Its reason.
        why: String,
        /// How long still, in milliseconds.
        left_ms: u64,
    },
    /// The line is down.
    Offline {
        /// What the last try said.
        why: String,
        /// How long until the next, in milliseconds.
        left_ms: u64,
    },
    /// The disk does not keep up with the line.
    Disk,
}

/// What the engine is about as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// There is something to do.
    #[default]
    Running,
    /// Everything is settled.
    Settled,
    /// Parts in flight are waited for before the end.
    Draining,
    /// It is over; the session is saved.
    Stopped,
}

/// A walk that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Files queued so far.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files left out so far, with a reason each in the log.
    pub skipped: usize,
    /// The folder it is in.
    pub at: String,
}

/// The session at a glance; sent whenever it changes, at most a few times a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The session's id.
    pub session: String,
    /// The destination, in words.
    pub destination: String,
    /// The settings in force.
    pub settings: Settings,
    /// By whose word the bandwidth is what it is, and until when, where a schedule changes it: `"by
    /// schedule until 18:00"`.
    pub bandwidth_why: String,
    /// How many parts may be in flight right now; differs from the setting when that is `auto`.
    pub parts_limit: u16,
    /// Why `parts_limit` is what it is, in words, when it was found and not set.
    pub parts_limit_why: String,
    /// Uploads by state.
    pub counts: Counts,
    /// Bytes over all.
    pub bytes: ByteTotals,
    /// Bytes a second, now.
    pub rate: u64,
    /// Bytes a second over the last minutes, oldest first, one value every [`Self::HISTORY_STEP_MS`].
    pub history: Vec<u64>,
    /// Seconds left, where that can be told.
    pub eta: Option<u64>,
    /// For how many milliseconds parts were in flight since the program started.
    pub sending_ms: u64,
    /// Parts in flight.
    pub parts_running: u32,
    /// Parts that wait to be tried again.
    pub parts_retrying: u32,
    /// Parts that failed and wait for the person.
    pub parts_failed: u32,
    /// Errors since the program started, retried ones too.
    pub errors: u64,
    /// Files and folders that a walk could not read; they are among those that failed.
    pub unreadable: usize,
    /// Walks that did not come to their end: a session that is resumed goes on with them.
    #[serde(default)]
    pub walks_left: usize,
    /// What holds the speed back.
    pub limited_by: LimitedBy,
    /// What the engine is about.
    pub phase: Phase,
    /// The walk under way, if there is one.
    pub walk: Option<Walk>,
    /// Whether all that is known is on disk.
    pub saved: bool,
    /// Why the session can't be saved, when it can't.
    pub save_error: Option<String>,
}

impl Summary {
    /// Milliseconds between two values of [`Self::history`].
    pub const HISTORY_STEP_MS: u64 = 2000;

    /// How much is left to do: uploads, and walks that may find more.
    #[must_use]
    pub fn left(&self) -> usize {
        self.counts.left() + self.walks_left
    }
}

/// What happened, for those who write it down (headless lines).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A file was queued.
    Queued {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// A file was left out for a reason; no failure.
    Skipped {
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something could not be read; a failure.
    Unreadable {
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file's first part is about to go out.
    Started {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Its media object.
        media: String,
        /// How many parts it is cut into.
        parts: u32,
    },
    /// A part was acknowledged.
    Part {
        /// Whose.
        id: UploadId,
        /// Its number.
        part: PartNumber,
        /// Its length in bytes.
        bytes: u64,
        /// Which try it was, from 1.
        attempt: u32,
    },
    /// A step failed and is tried again.
    Retrying {
        /// Whose.
        id: UploadId,
        /// Which part; `None` for a step of the whole upload.
        part: Option<PartNumber>,
        /// What happened.
        error: Error,
        /// In how many milliseconds.
        retry_in_ms: u64,
    },
    /// A file is done.
    Done {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Its media object.
        media: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A file or one of its parts failed, and is not tried again by itself.
    Failed {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Which part; `None` for the whole upload.
        part: Option<PartNumber>,
        /// What sort of failure it is.
        kind: Kind,
        /// What happened.
        message: String,
        /// What the person can do.
        next_step: String,
    },
}
