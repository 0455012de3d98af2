//! An engine in this process with a sandbox to talk to, steered by commands and watched by its
//! summaries.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reelhaul::{
    destination::{
        Account,
        apivideo::{ApiVideo, ApiVideoOptions, RangeMode},
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    engine::{
        self, Handle, Timing,
        clock::Clock,
        protocol::{
            AddPaths, Command, Details, Outcome, Phase, Query, Reply, Row, State, Summary, Targets,
            WindowQuery,
        },
        queue::Queue,
        retry::Backoff,
    },
    ledger::{self, Ledger},
    sandbox::{API_KEY, Options, SECRET, SITE, Sandbox, Storage},
    secret::Secret,
    session::{
        Header,
        folder::{self, Open},
        record::FORMAT,
    },
    settings::{Concurrency, Settings},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{LOOK, MIB, Mode, an_hour_ago, hex, install_crypto};

/// How many MiB a film has that a test is in the middle of: four parts.
pub(crate) const FILM: u64 = 20;

/// What there is to know of a site of the sandbox's.
pub(crate) fn site(sandbox: &Sandbox) -> JwPlayerOptions {
    JwPlayerOptions {
        url: sandbox.url(),
        calls_per_minute: 10_000,
        ..JwPlayerOptions::new(SITE, Secret::new(SECRET))
    }
}

/// That site.
pub(crate) fn jwplayer(sandbox: &Sandbox) -> Arc<dyn Account> {
    to(Mode::JwPlayer, &sandbox.url())
}

/// An account of the sandbox's.
pub(crate) fn apivideo(sandbox: &Sandbox) -> Arc<dyn Account> {
    to(Mode::ApiVideoBytes, &sandbox.url())
}

/// The sandbox at this address, in this mode.
pub(crate) fn to(mode: Mode, url: &str) -> Arc<dyn Account> {
    let url = url.to_owned();
    let range = match mode {
        Mode::JwPlayer => {
            let options = JwPlayerOptions {
                url,
                calls_per_minute: 10_000,
                ..JwPlayerOptions::new(SITE, Secret::new(SECRET))
            };
            return Arc::new(JwPlayer::new(options).unwrap());
        }
        Mode::ApiVideoBytes => RangeMode::Bytes,
        Mode::ApiVideoPart => RangeMode::Part,
    };
    let options = ApiVideoOptions {
        url,
        range,
        ..ApiVideoOptions::new(Secret::new(API_KEY))
    };
    Arc::new(ApiVideo::new(options).unwrap())
}

/// What a world is made of.
pub(crate) struct Making {
    /// Bytes a second that all connections share.
    pub(crate) speed: Option<u64>,
    pub(crate) settings: Settings,
    /// What is queued from an earlier run.
    pub(crate) queue: Queue,
    /// What a schedule goes by.
    pub(crate) clock: Clock,
    /// How long it waits before it tries again.
    pub(crate) backoff: Backoff,
}

impl Default for Making {
    /// Parts as small as they may be, two at once, on a line without a limit.
    fn default() -> Self {
        Self {
            speed: None,
            settings: Settings {
                part_size: "5MiB".parse().unwrap(),
                parts_in_flight: Concurrency::Fixed(2),
                ..Settings::default()
            },
            queue: Queue::default(),
            clock: Clock::default(),
            backoff: timing().backoff,
        }
    }
}

pub(crate) struct World {
    pub(crate) home: TempDir,
    pub(crate) sandbox: Sandbox,
    pub(crate) handle: Handle,
    pub(crate) ended: JoinHandle<()>,
    account: Arc<dyn Account>,
}

/// How long an engine here waits for things.
pub(crate) fn timing() -> Timing {
    Timing {
        poll_first: Duration::from_millis(50),
        settle: Duration::from_millis(50),
        look_again: Duration::from_millis(50),
        backoff: Backoff {
            first: Duration::from_millis(50),
            most: Duration::from_millis(200),
        },
        ..Timing::default()
    }
}

/// An engine with a new session.
pub(crate) fn beginning(
    session: &Path,
    settings: Settings,
    destination: Arc<dyn Account>,
    timing: Timing,
) -> (Handle, JoinHandle<()>) {
    let session = folder::create_at(session, header(settings)).unwrap();
    spawn(session, Queue::default(), destination, timing)
}

/// An engine that resumes a session.
pub(crate) fn resuming(
    session: &Path,
    destination: Arc<dyn Account>,
    timing: Timing,
) -> (Handle, JoinHandle<()>) {
    let (session, queue) = Queue::open(session).unwrap();
    spawn(session, queue, destination, timing)
}

/// Rewrites the file of a session that does not run.
pub(crate) fn rewrite(session: &Path) {
    let (mut session, queue) = Queue::open(session).unwrap();
    let Open { store, header, .. } = &mut session;
    store
        .rewrite(|out| queue.write_session(header, out))
        .unwrap();
}

fn header(settings: Settings) -> Header {
    Header {
        format: FORMAT,
        id: "test".to_owned(),
        owner: "owner".to_owned(),
        destination: "sandbox".to_owned(),
        settings,
    }
}

fn spawn(
    session: Open,
    queue: Queue,
    account: Arc<dyn Account>,
    timing: Timing,
) -> (Handle, JoinHandle<()>) {
    engine::spawn(engine::Parts {
        ledger: ledger(&session, &*account),
        session,
        queue,
        account,
        timing,
        no_wait: false,
        is_deep: false,
        events: None,
        clock: Clock::default(),
        open_files: reelhaul::engine::OpenFiles::default(),
    })
}

/// The ledger beside a session's file.
pub(crate) fn ledger(session: &Open, account: &dyn Account) -> Arc<dyn Ledger> {
    let of = ledger::Session {
        owner: &session.header.owner,
        name: &session.header.id,
        file: &session.path,
        adopts: false,
    };
    ledger::open(&session.path.with_file_name(ledger::FILE), of, account).unwrap()
}

/// To walk this path.
pub(crate) fn add(path: &Path) -> Command {
    Command::Add(AddPaths {
        paths: vec![path.into()],
        ..AddPaths::default()
    })
}

impl World {
    /// An engine whose destination is a way to the sandbox.
    pub(crate) async fn new(to: impl FnOnce(&Sandbox) -> Arc<dyn Account>, making: Making) -> Self {
        install_crypto();
        let home = tempfile::tempdir().unwrap();
        let options = Options {
            storage: Storage::Keep(home.path().join("received")),
            speed: making.speed,
            processing: Duration::ZERO,
            ..Options::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sandbox = Sandbox::start(listener, options).await.unwrap();
        let session = home.path().join("test.toml");
        let mut session = folder::create_at(&session, header(making.settings)).unwrap();
        let Open { store, header, .. } = &mut session;
        let queue = &making.queue;
        store
            .rewrite(|out| queue.write_session(header, out))
            .unwrap();
        let account = to(&sandbox);
        let (handle, ended) = engine::spawn(engine::Parts {
            ledger: ledger(&session, &*account),
            session,
            queue: making.queue,
            account: Arc::clone(&account),
            timing: Timing {
                backoff: making.backoff,
                ..timing()
            },
            no_wait: false,
            is_deep: false,
            clock: making.clock,
            open_files: reelhaul::engine::OpenFiles::default(),
            events: None,
        });
        Self {
            home,
            sandbox,
            handle,
            ended,
            account,
        }
    }

    /// Ends the engine at once after this command, and begins another with what it saved. Nothing comes
    /// in between where test and engine share one thread.
    pub(crate) async fn begin_again_after(self, command: Command) -> Self {
        self.tell_at_once([command, Command::StopNow]).await;
        self.ended.await.unwrap();
        drop(self.handle);
        let path = self.home.path().join("test.toml");
        let (handle, ended) = resuming(&path, Arc::clone(&self.account), timing());
        Self {
            handle,
            ended,
            ..self
        }
    }

    /// The same, with a film of [`FILM`] of which the first part has arrived, while the next two are
    /// held in the middle until [`Self::release`].
    pub(crate) async fn amid_a_film(
        to: impl FnOnce(&Sandbox) -> Arc<dyn Account>,
        making: Making,
    ) -> (Self, PathBuf) {
        Self::amid_a_film_of(FILM, to, making).await
    }

    /// The same with a film of so many MiB.
    pub(crate) async fn amid_a_film_of(
        mib: u64,
        to: impl FnOnce(&Sandbox) -> Arc<dyn Account>,
        making: Making,
    ) -> (Self, PathBuf) {
        let world = Self::new(to, making).await;
        for part in [2, 3] {
            let hold = json!({ "fault": "hold", "on": "part", "part": part, "times": 99 });
            world.fault(hold).await;
        }
        let film = world.write("film.mp4", mib);
        world.add(&film).await;
        world
            .until("a part that arrived", |now| now.bytes.acknowledged > 0)
            .await;
        world.until_held(2).await;
        (world, film)
    }

    /// How often a fault really struck.
    pub(crate) async fn met(&self, fault: &str) -> u64 {
        let faults = self.ask("GET", "faults", Value::Null).await;
        faults["met"][fault].as_u64().unwrap_or(0)
    }

    /// Waits until so many requests were held since the last time all faults were forgotten.
    pub(crate) async fn until_held(&self, count: u64) {
        self.look("requests that are held", async || {
            self.met("hold").await >= count
        })
        .await;
    }

    /// Lets everything that is held go on, and holds nothing more.
    pub(crate) async fn release(&self) {
        self.ask("DELETE", "holds", Value::Null).await;
    }

    /// Writes a file of so many MiB, no two alike.
    pub(crate) fn write(&self, name: &str, mib: u64) -> PathBuf {
        let path = self.home.path().join(name);
        let mut bytes = vec![0; usize::try_from(mib * MIB).unwrap()];
        let seed = name.bytes().fold(mib, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(byte.into())
        });
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(&bytes).unwrap();
        file.set_modified(an_hour_ago()).unwrap();
        path
    }

    pub(crate) async fn try_to(&self, command: Command) -> Outcome {
        self.handle.command(command).await.unwrap()
    }

    pub(crate) async fn tell(&self, command: Command) -> Outcome {
        let outcome = self.try_to(command).await;
        assert!(!outcome.refused, "{}", outcome.words);
        outcome
    }

    /// Tells all of these before the engine can have done anything else, which holds where test and
    /// engine share one thread.
    pub(crate) async fn tell_at_once(&self, commands: impl IntoIterator<Item = Command>) {
        let told = commands.into_iter().map(|command| self.tell(command));
        futures_util::future::join_all(told).await;
    }

    pub(crate) async fn add(&self, path: &Path) {
        self.tell(add(path)).await;
    }

    /// Waits for a summary that is as wanted.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Summary) -> bool) -> Summary {
        let mut summary = self.handle.summary();
        let waited = tokio::time::timeout(Duration::from_mins(2), summary.wait_for(|now| is(now)));
        let Ok(found) = waited.await else {
            let last = self.handle.summary().borrow().clone();
            panic!(
                "in vain waited for {what}: {last:#?}, {:#?}",
                self.rows().await
            );
        };
        found.unwrap().clone()
    }

    pub(crate) async fn until_state(&self, state: State) -> Summary {
        self.until(state.word(), |now| now.counts.of(state) == 1)
            .await
    }

    /// Waits until nothing more happens by itself.
    pub(crate) async fn until_settled(&self) -> Summary {
        self.until("an end", |now| {
            now.phase == Phase::Settled && now.counts.total() > 0
        })
        .await
    }

    pub(crate) async fn rows(&self) -> Vec<Row> {
        let query = WindowQuery {
            rows: 100,
            ..WindowQuery::default()
        };
        match self.handle.query(Query::Window(query)).await.unwrap() {
            Reply::Window(window) => window.uploads().cloned().collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn details(&self, id: u32) -> Box<Details> {
        match self.handle.query(Query::Details(id)).await.unwrap() {
            Reply::Details(Some(details)) => details,
            other => panic!("{other:?}"),
        }
    }

    /// Asks the sandbox itself.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/_sandbox/{path}", self.sandbox.url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.parse().unwrap(), url);
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap()
    }

    /// Scripts a fault.
    pub(crate) async fn fault(&self, script: Value) {
        self.ask("POST", "faults", json!([script])).await;
    }

    /// The media objects that the sandbox made, deleted ones too.
    pub(crate) async fn media(&self) -> Vec<Value> {
        let report = self.ask("GET", "report", Value::Null).await;
        report["media"].as_array().unwrap().clone()
    }

    /// Looks at the sandbox's report until it is as wanted.
    pub(crate) async fn until_report(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let report = async || is(&self.ask("GET", "report", Value::Null).await);
        self.look(what, report).await;
    }

    /// Looks until it is as wanted.
    pub(crate) async fn look(&self, what: &str, is: impl AsyncFn() -> bool) {
        let look = async {
            while !is().await {
                tokio::time::sleep(LOOK).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(2), look).await;
        waited.unwrap_or_else(|_| panic!("in vain waited for {what}"));
    }

    /// One media object is there, and it is this file; the others were deleted.
    pub(crate) async fn assert_one_is(&self, file: &Path) {
        let mut there = self.media().await;
        there.retain(|media| media["state"] != "deleted");
        assert_eq!(there.len(), 1, "{there:#?}");
        let digest = Sha256::digest(fs::read(file).unwrap());
        assert_eq!(there[0]["sha256"], hex(&digest).as_str(), "{there:#?}");
    }

    pub(crate) async fn end(self) {
        self.tell(Command::Stop).await;
        self.ended.await.unwrap();
        self.sandbox.stop().await;
    }
}

/// All files.
pub(crate) fn all() -> Targets {
    Targets::All
}
