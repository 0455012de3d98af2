//! An account that lives in this process, and an engine on a paused clock that uploads to it. The
//! account answers as it is scripted, and remembers what it was asked and when.
//!
//! The clock moves by itself when nothing but time is waited for. A file that is read holds it, the
//! session file does not: hours may pass until that is synced. So tests look at the order of things,
//! or script waits that are far longer.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};
use reelhaul::{
    body::PartBody,
    destination::{
        Account, Completed, Limits, Lookup, MediaStatus, NewMedia, Receipt, Receipts, Received,
        ReceivedPart, RemoteUpload, StatusBatch, Target, Ticket,
    },
    engine::{
        Handle, Patience, Timing,
        protocol::{Command, Phase, Query, Reply, Row, State, Summary, WindowQuery},
        retry::Backoff,
    },
    error::{Error, Kind, Result},
    ids::{AccountId, MediaId},
    plan::{Part, PartNumber, PartPlan},
    settings::{Concurrency, Offline, Settings},
};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{Source, engine};

/// The size of each part: two blocks, so that half of one can be read.
pub(crate) const PART: u64 = 256 * 1024;

/// Longer than any test takes, on a clock that is paused.
const YEAR: Duration = Duration::from_hours(365 * 24);

/// What is asked of an account; a part goes by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Find,
    Delete,
    Prepare(PartNumber),
    Put(PartNumber),
    /// The part arrived, and its answer is on its way.
    Acknowledge(PartNumber),
    Received,
    Complete,
    /// What became of its media object.
    Status,
}

/// What comes of a step in place of what usually does. Each is given once.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Nothing is done.
    Fail(Error),
    /// It is done, and the answer is lost.
    Lose,
    /// Half of the part arrives, then the connection breaks.
    Break,
    /// Half of the part arrives, then nothing more happens.
    Hang,
    /// The part arrives with other bytes.
    Corrupt,
    /// It is done after [`Memory::release`].
    Hold,
    /// The part's answer has this text in the ticket from now on.
    Token(&'static str),
    /// What an earlier create is found to have made.
    Find(Lookup),
    /// What the account says it has.
    Have(Received),
}

/// What was asked, and when.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    /// The file's name; of a delete, the ticket's media object.
    pub(crate) of: String,
    pub(crate) step: Step,
    /// What [`Answer::Token`] put into the ticket that the upload was opened by.
    pub(crate) token: Option<String>,
}

/// One upload at the account.
#[derive(Debug, Default)]
struct Object {
    name: String,
    /// What arrived, by its offset.
    bytes: BTreeMap<u64, Vec<u8>>,
    in_flight: usize,
    most_in_flight: usize,
    /// What it was completed with.
    receipts: Receipts,
}

impl Object {
    /// How many bytes there are from the beginning.
    fn offset(&self) -> u64 {
        self.bytes.iter().fold(0, |end, (offset, bytes)| {
            if *offset == end {
                end + bytes.len() as u64
            } else {
                end
            }
        })
    }
}

#[derive(Debug, Default)]
struct Seen {
    script: Vec<(String, Step, Answer)>,
    asked: Vec<Asked>,
    /// By their keys, which are their places here.
    objects: Vec<Object>,
    /// How long a status takes to come.
    status_takes: Duration,
    /// Whether every media object is still worked on.
    processing: bool,
}

#[derive(Debug)]
struct Inner {
    id: AccountId,
    limits: Limits,
    names_at_end: bool,
    seen: Mutex<Seen>,
    open: AtomicUsize,
    released: watch::Sender<bool>,
}

/// The account. Its copies are one account.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Inner>);

impl Memory {
    /// An account that takes parts in any order and names a media object when that is created.
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, false)
    }

    /// The same where these limits are others.
    pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(change, false)
    }

    /// The same, ordered, where the media object gets its id at the end.
    pub(crate) fn ordered() -> Self {
        Self::with(|limits| limits.ordered = true, true)
    }

    fn with(change: impl FnOnce(&mut Limits), names_at_end: bool) -> Self {
        let mut limits = Limits {
            part_min: PART,
            part_max: PART,
            part_default: PART,
            parts_max: 100,
            file_max: PART * 100,
            multiple_of: 1,
            uniform: false,
            ordered: false,
            first_alone: false,
            can_replan: true,
            parts_per_minute: None,
        };
        change(&mut limits);
        Self(Arc::new(Inner {
            id: AccountId::new("memory", "here", 1, ""),
            limits,
            names_at_end,
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            released: watch::Sender::new(false),
        }))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scripts what comes of a step for this file.
    pub(crate) fn script(&self, of: &str, step: Step, answer: Answer) {
        self.seen().script.push((of.to_owned(), step, answer));
    }

    /// Releases everything that is held.
    pub(crate) fn release(&self) {
        self.0.released.send_replace(true);
    }

    /// Has every status take so long to come.
    pub(crate) fn take_for_a_status(&self, time: Duration) {
        self.seen().status_takes = time;
    }

    /// Has the account work on every media object, or be ready with all.
    pub(crate) fn process(&self, processing: bool) {
        self.seen().processing = processing;
    }

    /// The files that were asked about, in that order.
    pub(crate) fn statuses(&self) -> Vec<Asked> {
        let asked = self.seen().asked.clone();
        let statuses = asked.into_iter().filter(|asked| asked.step == Step::Status);
        statuses.collect()
    }

    /// How many uploads are open now.
    pub(crate) fn open_uploads(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// What was asked for this file.
    pub(crate) fn asked(&self, of: &str) -> Vec<Asked> {
        let asked = self.seen().asked.clone();
        asked.into_iter().filter(|asked| asked.of == of).collect()
    }

    /// The steps of that.
    pub(crate) fn steps(&self, of: &str) -> Vec<Step> {
        self.asked(of).iter().map(|asked| asked.step).collect()
    }

    /// All media objects that were created and not deleted are these files.
    #[track_caller]
    pub(crate) fn assert_has(&self, files: &[&PathBuf]) {
        let seen = self.seen();
        let there = seen.objects.iter().filter(|object| !object.name.is_empty());
        let there: Vec<Vec<u8>> = there
            .map(|object| object.bytes.values().flatten().copied().collect())
            .collect();
        let files: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(there == files, "{:#?}", seen.asked);
    }

    /// The most parts of this file that were in flight at once.
    pub(crate) fn most_in_flight(&self, of: &str) -> usize {
        let seen = self.seen();
        let of = seen.objects.iter().filter(|object| object.name == of);
        of.map(|object| object.most_in_flight).max().unwrap_or(0)
    }

    /// What this file was completed with.
    pub(crate) fn completed_with(&self, of: &str) -> Receipts {
        let seen = self.seen();
        let object = seen.objects.iter().find(|object| object.name == of);
        object.map_or_else(Receipts::new, |object| object.receipts.clone())
    }

    /// Notes a step, and gives what is scripted for it.
    fn ask(&self, of: &str, step: Step, token: Option<&str>) -> Option<Answer> {
        let mut seen = self.seen();
        seen.asked.push(Asked {
            at: Instant::now(),
            of: of.to_owned(),
            step,
            token: token.map(str::to_owned),
        });
        let script = &mut seen.script;
        let found = script
            .iter()
            .position(|(name, on, _)| name == of && *on == step);
        found.map(|found| script.remove(found).2)
    }

    /// The same, where the step is held or fails before it is done if that is scripted.
    async fn begin(&self, of: &str, step: Step, token: Option<&str>) -> Result<Option<Answer>> {
        match self.ask(of, step, token) {
            Some(Answer::Fail(error)) => Err(error),
            Some(Answer::Hold) => {
                let mut released = self.0.released.subscribe();
                drop(released.wait_for(|released| *released).await);
                Ok(None)
            }
            answer => Ok(answer),
        }
    }
}

impl Memory {
    /// What became of one media object.
    async fn status_of(&self, media: &MediaId) -> Result<MediaStatus> {
        let name = {
            let seen = self.seen();
            let mut objects = seen.objects.iter().enumerate();
            let object = objects.find(|(key, _)| media_of(&key.to_string()) == *media);
            object.map(|(_, object)| object.name.clone())
        };
        let name = name.unwrap_or_default();
        self.begin(&name, Step::Status, None).await?;
        let (takes, processing) = {
            let seen = self.seen();
            (seen.status_takes, seen.processing)
        };
        sleep(takes).await;
        Ok(if name.is_empty() {
            MediaStatus::Gone
        } else if processing {
            MediaStatus::Processing("encoding".to_owned())
        } else {
            MediaStatus::Ready
        })
    }
}

fn broken() -> Error {
    Error::new(Kind::Broken, "the connection broke")
}

/// The answer, unless it is to be lost.
fn unless_lost<T>(scripted: Option<&Answer>, answer: T) -> Result<T> {
    if matches!(scripted, Some(Answer::Lose)) {
        Err(broken())
    } else {
        Ok(answer)
    }
}

#[async_trait]
impl Account for Memory {
    fn id(&self) -> &AccountId {
        &self.0.id
    }
    fn describe(&self) -> String {
        "memory".to_owned()
    }
    fn page_url(&self, _: &MediaId) -> Option<url::Url> {
        None
    }
    fn metadata(&self, _: &NewMedia) -> Map<String, Value> {
        Map::new()
    }
    fn limits(&self) -> &Limits {
        &self.0.limits
    }
    fn host(&self) -> Arc<str> {
        "api.memory".into()
    }
    async fn check(&self) -> Result<String> {
        Ok(self.describe())
    }

    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        let name = &media.file_name;
        let scripted = self.begin(name, Step::Create, None).await?;
        let objects = &mut self.seen().objects;
        objects.push(Object {
            name: name.clone(),
            ..Object::default()
        });
        let key = (objects.len() - 1).to_string();
        let named = (!self.0.names_at_end).then(|| media_of(&key));
        let ticket = Ticket {
            media: named,
            ..Ticket::default().with("key", key)
        };
        unless_lost(scripted.as_ref(), ticket)
    }

    async fn find_created(&self, media: &NewMedia) -> Result<Lookup> {
        match self.begin(&media.file_name, Step::Find, None).await? {
            Some(Answer::Find(lookup)) => Ok(lookup),
            _ => Ok(Lookup::Absent),
        }
    }

    async fn status(&self, media: &[MediaId]) -> StatusBatch {
        let mut batch = StatusBatch::unanswered(media.len());
        for index in batch.to_ask_singly() {
            if batch
                .add(index, self.status_of(&media[index]).await)
                .is_break()
            {
                break;
            }
        }
        batch
    }

    async fn delete(&self, ticket: &Ticket) -> Result<()> {
        let media = ticket.media.as_ref().map_or("", MediaId::as_str);
        self.begin(media, Step::Delete, None).await?;
        if let Some(key) = ticket.text("key") {
            self.seen().objects[key.parse::<usize>().unwrap()] = Object::default();
        }
        Ok(())
    }

    fn open(&self, ticket: Ticket) -> Result<Box<dyn RemoteUpload>> {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let key: usize = ticket.text("key").unwrap().parse().unwrap();
        let name = self.seen().objects[key].name.clone();
        Ok(Box::new(Remote {
            account: self.clone(),
            ticket,
            key,
            name,
        }))
    }
}

/// The media object of an upload.
fn media_of(key: &str) -> MediaId {
    format!("media-{key}").into()
}

/// One upload, open.
#[derive(Debug)]
struct Remote {
    account: Memory,
    ticket: Ticket,
    key: usize,
    name: String,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.account.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Remote {
    fn with<T>(&self, look: impl FnOnce(&mut Object) -> T) -> T {
        look(&mut self.account.seen().objects[self.key])
    }

    async fn begin(&self, step: Step) -> Result<Option<Answer>> {
        let token = self.ticket.text("token");
        self.account.begin(&self.name, step, token).await
    }
}

/// A part in flight, counted as long as this lives.
struct InFlight<'a>(&'a Remote);

impl<'a> InFlight<'a> {
    fn new(remote: &'a Remote) -> Self {
        remote.with(|object| {
            object.in_flight += 1;
            object.most_in_flight = object.most_in_flight.max(object.in_flight);
        });
        Self(remote)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.with(|object| object.in_flight -= 1);
    }
}

#[async_trait]
impl RemoteUpload for Remote {
    fn limits(&self) -> Limits {
        self.account.0.limits.clone()
    }

    fn parts_host(&self) -> Option<Arc<str>> {
        Some("parts.memory".into())
    }

    async fn prepare(&self, _: &PartPlan, part: Part) -> Result<Target> {
        self.begin(Step::Prepare(part.number)).await?;
        Ok(Target::Link("memory:".to_owned()))
    }

    /// Takes a second, in which another part could come.
    async fn put(
        &self,
        _: Target,
        _: &PartPlan,
        part: Part,
        mut body: PartBody,
    ) -> Result<Receipt> {
        let _in_flight = InFlight::new(self);
        let scripted = self.begin(Step::Put(part.number)).await?;
        let half = matches!(scripted, Some(Answer::Break | Answer::Hang));
        let wanted = usize::try_from(if half { part.length / 2 } else { part.length }).unwrap();
        let mut bytes = Vec::new();
        while bytes.len() < wanted {
            let frame = body.frame().await.unwrap().map_err(|_| broken())?;
            bytes.extend_from_slice(&frame.into_data().unwrap());
        }
        bytes.truncate(wanted);
        sleep(Duration::from_secs(1)).await;
        if matches!(scripted, Some(Answer::Corrupt)) {
            bytes[0] ^= 1;
        }
        let md5 = Md5::digest(&bytes).into();
        let ordered = self.account.0.limits.ordered;
        self.with(|object| {
            if ordered && object.offset() != part.offset {
                let words = format!("{} is not {}", part.offset, object.offset());
                return Err(Error::new(Kind::Server, words).with_status(409));
            }
            if ordered || !half {
                object.bytes.insert(part.offset, bytes);
            }
            Ok(())
        })?;
        match scripted {
            Some(Answer::Break) => return Err(broken()),
            Some(Answer::Hang) => std::future::pending().await,
            _ => {}
        }
        drop(
            self.account
                .ask(&self.name, Step::Acknowledge(part.number), None),
        );
        let renamed = match scripted {
            Some(Answer::Token(token)) => Some(self.ticket.clone().with("token", token)),
            _ => None,
        };
        let receipt = Receipt {
            md5: Some(md5),
            tag: Some(format!("\"tag\" {}", part.number)),
            ticket: renamed,
        };
        unless_lost(scripted.as_ref(), receipt)
    }

    async fn received(&self, plan: &PartPlan) -> Result<Received> {
        if let Some(Answer::Have(received)) = self.begin(Step::Received).await? {
            return Ok(received);
        }
        if self.account.0.limits.ordered {
            return Ok(Received::Offset(self.with(|object| object.offset())));
        }
        let there = self.with(|object| {
            let there = |part: Part| {
                let bytes = object.bytes.get(&part.offset)?;
                Some(ReceivedPart {
                    number: part.number,
                    md5: Some(Md5::digest(bytes).into()),
                })
            };
            plan.parts().filter_map(there).collect()
        });
        Ok(Received::Parts(there))
    }

    async fn complete(&self, _: &PartPlan, receipts: &Receipts) -> Result<Completed> {
        let scripted = self.begin(Step::Complete).await?;
        self.with(|object| object.receipts = receipts.clone());
        let media = media_of(&self.key.to_string());
        unless_lost(scripted.as_ref(), Completed::Complete(media))
    }
}

/// An engine that uploads to the account.
pub(crate) struct Run {
    pub(crate) account: Memory,
    handle: Handle,
    ended: JoinHandle<()>,
    home: TempDir,
}

/// It waits a second or two before it tries again, and for ever for what does not come.
fn timing() -> Timing {
    Timing {
        patience: Patience {
            stall: YEAR,
            answer: YEAR,
        },
        backoff: Backoff {
            first: Duration::from_secs(1),
            most: Duration::from_secs(2),
        },
        ..Timing::default()
    }
}

impl Run {
    /// An engine with a new session, that sends two parts at once.
    pub(crate) fn new(account: &Memory) -> Self {
        Self::sending(2, account)
    }

    /// The same that sends so many parts at once.
    pub(crate) fn sending(parts: u16, account: &Memory) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = Settings {
            parts_in_flight: Concurrency::Fixed(parts),
            offline: Offline::For(YEAR),
            ..Settings::default()
        };
        let session = home.path().join("it.toml");
        let to = Arc::new(account.clone());
        let (handle, ended) = engine::beginning(&session, settings, to, timing());
        Self {
            account: account.clone(),
            handle,
            ended,
            home,
        }
    }

    /// Ends the engine, and begins another with what it saved.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// The same; in between, something is done with the session file.
    pub(crate) async fn restart_after(self, between: impl FnOnce(&Path)) -> Self {
        self.command(Command::StopNow).await;
        self.ended.await.unwrap();
        drop(self.handle);
        let session = self.home.path().join("it.toml");
        between(&session);
        let to = Arc::new(self.account.clone());
        let (handle, ended) = engine::resuming(&session, to, timing());
        Self {
            account: self.account,
            handle,
            ended,
            home: self.home,
        }
    }

    /// What is in the session file.
    pub(crate) fn session(&self) -> String {
        fs::read_to_string(self.home.path().join("it.toml")).unwrap()
    }

    pub(crate) async fn command(&self, command: Command) {
        let outcome = self.handle.command(command).await.unwrap();
        assert!(!outcome.refused, "{}", outcome.words);
    }

    /// Adds a file of so many parts.
    pub(crate) async fn add(&self, name: &str, parts: u64) -> PathBuf {
        let path = self.home.path().join(name);
        // No two are alike.
        let seed = name.bytes().fold(parts, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(byte.into())
        });
        Source::write(&path, parts * PART, seed);
        self.command(engine::add(&path)).await;
        path
    }

    pub(crate) fn summary(&self) -> Summary {
        self.handle.summary().borrow().clone()
    }

    pub(crate) fn is(&self, state: State) -> bool {
        self.summary().counts.of(state) == 1
    }

    /// The first file as a screen shows it.
    pub(crate) async fn row(&self) -> Row {
        let query = Query::Window(WindowQuery {
            rows: 9,
            ..WindowQuery::default()
        });
        match self.handle.query(query).await.unwrap() {
            Reply::Window(window) => window.uploads().next().unwrap().clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until it is as wanted. The time that this may take is not the paused clock's.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let started = std::time::Instant::now();
        while !is(self) {
            let asked = &self.account.seen().asked.clone();
            let waits = started.elapsed() < Duration::from_mins(1);
            assert!(
                waits,
                "in vain waited for {what}: {asked:#?} {:#?}",
                self.summary()
            );
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Waits until a step was asked for this file.
    pub(crate) async fn until_asked(&self, of: &str, step: Step) {
        let asked = |run: &Self| run.account.steps(of).contains(&step);
        self.until(&format!("{step:?} of {of}"), asked).await;
    }

    /// Waits until everything is uploaded.
    pub(crate) async fn until_done(&self) {
        let done = |run: &Self| {
            let now = run.summary();
            let done = now.counts.of(State::Done);
            done > 0 && done == now.counts.total() && now.phase == Phase::Settled
        };
        self.until("an end", done).await;
    }
}
