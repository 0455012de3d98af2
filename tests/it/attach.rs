//! A session outlives its terminal, and is seen and steered from elsewhere while it runs.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use crate::support::{
    Home, Mode, PART, Running, Server, Source, copy_of_the_program, program, terminal::Terminal,
    wait_for,
};
use reelhaul::{
    attach::{
        self, Attached, NotAttached, PROTOCOL, Places, Role,
        wire::{self, EngineSays, ScreenSays},
    },
    cli::Global,
    engine::{
        Gone, Handle,
        protocol::{Command, Phase, Query, Reply, State, Summary, Targets, WindowQuery},
    },
    launch::background::go_on_in_background,
    settings::{Concurrency, Settings},
};
use serde_json::json;
use tokio::runtime::Runtime;

fn places(home: &Home) -> Places {
    Places::usual(&home.state())
}

/// Attaches once the session can be attached to.
async fn attached(home: &Home, role: Role) -> Attached {
    let begun = Instant::now();
    loop {
        assert!(
            begun.elapsed() < Duration::from_mins(2),
            "it can't be attached to"
        );
        if let [session] = &home.sessions()[..] {
            match attach::connect(session, &places(home), role).await {
                Ok(attached) => return attached,
                Err(NotAttached::NotRunning) => {}
                Err(error) => panic!("{error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn when(handle: &Handle, is: impl Fn(&Summary) -> bool) -> Summary {
    let mut summary = handle.summary();
    let found = tokio::time::timeout(Duration::from_mins(2), summary.wait_for(|now| is(now))).await;
    let Ok(found) = found else {
        panic!("it never came to that: {:#?}", *handle.summary().borrow())
    };
    found.expect("the engine goes on").clone()
}

fn uploading(summary: &Summary) -> bool {
    summary.parts_running > 0
}

/// A server that holds every part in the middle, and a home with one file of some parts.
fn held(parts: u64) -> (Server, Home, [Source; 1]) {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("a.mp4"), parts * PART, 1);
    server.hold_parts();
    (server, home, [file])
}

/// The same, and its upload in the middle of its first part.
fn held_upload(parts: u64, more: &[&str]) -> (Server, Home, [Source; 1], Running) {
    let (server, home, files) = held(parts);
    let running = home.up(more);
    server.wait_until_held(1);
    (server, home, files, running)
}

/// An upload whose first part has arrived, and whose second is held in the middle.
fn half_sent_upload(parts: u64, more: &[&str]) -> (Server, Home, [Source; 1], Running) {
    let (server, home, files) = held(parts);
    let running = home.up(&[&["--parts", "1"], more].concat());
    server.wait_until_held(1);
    server.release_held();
    server.wait_until_held(2);
    (server, home, files, running)
}

/// Sends a signal, and waits until the engine is about to stop.
fn asked_to_end(home: &Home, run: &Running, signal: &str) {
    runtime().block_on(async {
        let watcher = attached(home, Role::Watcher).await;
        run.signal(signal);
        when(&watcher.handle, |now| now.phase == Phase::Draining).await;
    });
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

#[test]
fn a_session_is_steered_from_elsewhere_by_two_at_once() {
    let (server, home, files, run) = held_upload(4, &["--parts", "1"]);
    runtime().block_on(async {
        let one = attached(&home, Role::Screen).await.handle;
        let two = attached(&home, Role::Screen).await.handle;
        when(&one, uploading).await;

        let settings = Settings {
            parts_in_flight: Concurrency::Fixed(3),
            ..one.summary().borrow().settings.clone()
        };
        let tune = Command::Tune(settings.clone());
        assert!(!one.command(tune).await.unwrap().refused);
        when(&two, |summary| {
            summary.settings == settings && summary.parts_running == 3
        })
        .await;

        let rows = WindowQuery {
            rows: 10,
            ..WindowQuery::default()
        };
        let Reply::Window(window) = two.query(Query::Window(rows)).await.unwrap() else {
            panic!("another answer")
        };
        let first = window.uploads().next().unwrap();
        assert_eq!(first.path, files[0].path);
        assert_eq!(first.state, State::Uploading);

        // A session that a person holds does not end, though nothing is left to do by itself.
        one.command(Command::Pause(Targets::All)).await.unwrap();
        server.release();
        when(&two, |summary| summary.phase == Phase::Settled).await;
        drop(one);
        assert!(!two.command(Command::Save).await.unwrap().refused);
        two.command(Command::Resume(Targets::All)).await.unwrap();
        when(&two, |summary| summary.phase == Phase::Stopped).await;
        let mut summary = two.summary();
        while summary.changed().await.is_ok() {}
        assert_eq!(two.command(Command::Save).await, Err(Gone));
    });
    run.end().assert_code(0);
    server.report().assert_holds(&files);
}

#[test]
fn lines_from_elsewhere_end_with_the_session_and_its_code() {
    let (server, home, files, run) = held_upload(2, &[]);
    let mut watch = home.start(["attach", "--json"]);
    watch.wait_for("progress with all bytes", |event| {
        event["event"] == "progress" && event["bytes"]["total"] == files[0].size
    });
    server.release();
    let watch = watch.end();
    watch.assert_code(0);
    let last = watch.events().pop().unwrap();
    assert_eq!(last["bytes"]["acknowledged"], files[0].size, "{last}");
    run.end().assert_code(0);
}

#[test]
fn leaving_the_lines_leaves_the_session() {
    let (server, home, files, mut run) = held_upload(2, &[]);
    let mut watch = home.start(["attach", "--json"]);
    watch.wait_for_event("progress");
    watch.signal("INT");
    watch.end().assert_code(0);
    assert!(run.is_running());
    server.release();
    run.end().assert_code(0);
    server.report().assert_holds(&files);
}

#[test]
fn a_screen_that_reads_nothing_and_one_that_talks_nonsense_do_not_slow_the_upload() {
    let (server, home, files) = held(3);
    server.no_faults();
    server.script(&json!([
        { "fault": "hold", "on": "part", "times": 3 },
        { "fault": "hold", "on": "complete" },
    ]));
    let run = home.up(&["--parts", "1"]);
    server.wait_until_held(1);
    runtime().block_on(async {
        let screen = attached(&home, Role::Watcher).await;
        let socket = socket(&home);
        let mut deaf = Deaf::attach(&socket);
        deaf.stop_up(run.process());
        let unread = deaf.unread();

        let mut nonsense = connect(&socket);
        nonsense.write_all(&[0xff; 4096]).unwrap();
        let mut rest = Vec::new();
        drop(nonsense.read_to_end(&mut rest));
        assert!(rest.len() > 4, "a new screen is not greeted");
        let hello = wire::read(&rest[4..]).unwrap();
        assert!(matches!(hello, EngineSays::Hello(_)), "{hello:?}");

        // Every part is acknowledged, and others hear of it, with the deaf one still there.
        for part in 1..=3 {
            server.wait_until_held(part);
            server.release_held();
            when(&screen.handle, |now| now.bytes.acknowledged == part * PART).await;
        }
        server.wait_until_held(4);
        assert!(deaf.is_full(), "the deaf one was let go, or heard");
        assert_eq!(deaf.unread(), unread, "it received more");
        server.release();
        when(&screen.handle, |now| now.phase == Phase::Stopped).await;
        drop(deaf);
    });
    run.end().assert_code(0);
    server.report().assert_holds(&files);
}

/// A screen that was attached as any other and reads nothing since, but asks and asks.
struct Deaf {
    stream: UnixStream,
    ask: Vec<u8>,
    /// How much of the question is written: a frame that is torn by a full socket is gone on with.
    written: usize,
}

impl Deaf {
    fn attach(socket: &Path) -> Self {
        let mut stream = connect(socket);
        let hello = hear(&mut stream);
        assert!(matches!(hello, EngineSays::Hello(_)), "{hello:?}");
        let (protocol, role) = (PROTOCOL, Role::Watcher);
        let hello = frame(&ScreenSays::Hello { protocol, role });
        stream.write_all(&hello).unwrap();
        let first = hear(&mut stream);
        assert!(matches!(first, EngineSays::Summary(_)), "{first:?}");
        stream.set_nonblocking(true).unwrap();
        let rows = WindowQuery {
            rows: 1000,
            ..WindowQuery::default()
        };
        let ask = frame(&ScreenSays::Query {
            id: 1,
            query: Query::Window(rows),
        });
        Self {
            stream,
            ask,
            written: 0,
        }
    }

    /// Asks until nothing more is taken; says whether anything was.
    fn ask(&mut self) -> bool {
        let mut taken = false;
        loop {
            match self.stream.write(&self.ask[self.written..]) {
                Ok(length) => {
                    taken = true;
                    self.written = (self.written + length) % self.ask.len();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                Err(error) => panic!("the deaf one is not attached any more: {error}"),
            }
        }
    }

    /// Asks until the process with the engine, all of it at rest, takes no question more: it can't
    /// get rid of the answers.
    fn stop_up(&mut self, engine: u32) {
        wait_for("a socket that is full", || {
            self.ask();
            let unread = self.unread();
            every_thread_rests(engine);
            (self.is_full() && self.unread() == unread && unread > 0).then_some(())
        });
    }

    /// Whether the other end is there and takes nothing.
    fn is_full(&mut self) -> bool {
        !self.ask()
    }

    /// Bytes that were sent to it.
    fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.stream).unwrap()
    }
}

/// A connection on which nothing is waited for in vain.
fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    let patience = Some(Duration::from_mins(1));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// The next that the engine says.
fn hear(stream: &mut UnixStream) -> EngineSays {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut words = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut words).unwrap();
    wire::read(&words).unwrap()
}

/// What a screen says, with its length before it.
fn frame(said: &ScreenSays) -> Vec<u8> {
    let words = wire::write(said).unwrap();
    let length = u32::try_from(words.len()).unwrap().to_be_bytes();
    [&length[..], &words].concat()
}

/// The one socket there is.
fn socket(home: &Home) -> PathBuf {
    let found: Vec<_> = sockets(home);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn sockets(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.state().join("run")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn the_socket_is_its_owners_alone_even_where_the_folder_is_open() {
    let (server, home, _files, run) = held_upload(1, &[]);
    runtime().block_on(attached(&home, Role::Screen));
    let socket = socket(&home);
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    // Only root can be another user here; for others the modes have to do.
    if rustix::process::geteuid().is_root() {
        let world = tempfile::tempdir().unwrap();
        fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut other = Home::bare();
        // Nobody may not see where cargo put it.
        other.program = copy_of_the_program(world.path());
        other.user = Some(65534);
        for folder in [&home, &other].map(|home| home.dir.path()) {
            open_to_all(folder);
        }
        // Root's engine, and nobody before the screen.
        let session = home.session();
        let mut command = other.command(["attach", "--json"]);
        let refused = command
            .arg(&session)
            .env("XDG_STATE_HOME", home.dir.path().join("state"))
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{words}");
        assert!(words.contains("does not answer"), "{words}");
    }
    server.release();
    let ended = run.end();
    ended.assert_code(0);
    if rustix::process::geteuid().is_root() {
        assert!(
            ended.stderr.contains("it runs as user 65534"),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(sockets(&home), [] as [PathBuf; 0]);
}

fn open_to_all(folder: &Path) {
    let all = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    all(folder, 0o777).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => open_to_all(&entry.path()),
            _ => all(&entry.path(), 0o666).unwrap(),
        }
    }
}

#[test]
fn a_hang_up_leaves_the_upload_and_a_new_login_sees_it() {
    let (server, home, files, mut run) = half_sent_upload(3, &[]);
    runtime().block_on(async {
        attached(&home, Role::Watcher).await;
        run.signal("HUP");
        run.signal("HUP");
        let screen = attached(&home, Role::Watcher).await;
        when(&screen.handle, uploading).await;
    });
    assert!(run.is_running());
    server.release();
    run.end().assert_code(0);
    server.report().assert_holds(&files);
    server.report().assert_nothing_twice();
}

#[test]
fn a_hang_up_ends_and_saves_for_those_who_want_that() {
    let (server, home, files, run) = half_sent_upload(3, &["--on-hangup", "stop"]);
    asked_to_end(&home, &run, "HUP");
    // The part in flight is waited for, and the last is not sent.
    server.release();
    run.end().assert_code(130);
    assert_eq!(sockets(&home), [] as [PathBuf; 0]);
    assert!(!server.report().one(&files[0].title()).complete);
    home.resume(&[]).end().assert_code(0);
    server.report().assert_holds(&files);
    server.report().assert_nothing_twice();
}

#[test]
fn a_session_that_does_not_run_is_told_with_what_to_do() {
    let home = Home::bare();
    let none = home.run(["attach"]);
    none.assert_code(2);
    assert!(none.stderr.contains("no session runs"), "{}", none.stderr);
    let unknown = home.run(["attach", "tuesday"]);
    unknown.assert_code(2);
    assert!(
        unknown.stderr.contains("there is no session tuesday"),
        "{}",
        unknown.stderr
    );

    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    Source::write(home.tree().join("a.mp4"), 1000, 1);
    home.up(&[]).end().assert_code(0);
    let session = home.session();
    let name = session.file_stem().unwrap().to_str().unwrap();
    let ended = home.run(["attach", name]);
    ended.assert_code(2);
    let told = format!("the session {name} does not run; go on with it: reelhaul resume {name}");
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
}

#[test]
fn which_of_several_is_meant_has_to_be_said() {
    let (server, home, _, one) = held_upload(1, &["--session", "one.toml"]);
    let other = Source::write(home.dir.path().join("other/b.mp4"), 1000, 2);
    let two = home.up_paths(&[&other.path], &["--session", "two.toml"]);
    server.wait_until_held(2);
    wait_for("two sockets", || (sockets(&home).len() == 2).then_some(()));
    let ended = home.run(["attach", "--json"]);
    ended.assert_code(2);
    assert!(
        ended.stderr.contains("2 sessions run; name one:"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("two.toml"), "{}", ended.stderr);
    // By its name, though it is not in the folder with the others.
    let mut watch = home.start(["attach", "two", "--json"]);
    watch.wait_for_event("progress");
    server.release();
    watch.end().assert_code(0);
    one.end().assert_code(0);
    two.end().assert_code(0);
}

#[test]
fn a_socket_that_a_killed_process_left_is_replaced() {
    let (server, home, files, run) = half_sent_upload(3, &[]);
    runtime().block_on(attached(&home, Role::Watcher));
    assert!(run.kill().0);
    assert_eq!(sockets(&home).len(), 1);
    let told = home.run(["attach"]);
    assert!(told.stderr.contains("no session runs"), "{}", told.stderr);
    let run = home.resume(&[]);
    runtime().block_on(attached(&home, Role::Watcher));
    server.release();
    run.end().assert_code(0);
    server.report().assert_holds(&files);
}

#[test]
fn a_session_goes_on_in_a_process_of_its_own() {
    let (server, home, files, run) = half_sent_upload(4, &[]);
    asked_to_end(&home, &run, "TERM");
    server.release_held();
    run.end().assert_code(130);
    let session = home.session();
    let starter = starter(&home);
    let (global, places) = (Global::default(), places(&home));
    let there = runtime().block_on(async {
        let there = go_on_in_background(&starter, &global, &session, &places);
        let there = there.await.unwrap();
        let screen = attached(&home, Role::Watcher).await;
        assert_eq!(screen.owner.process, there.process);
        // It is the leader of a session (the system's) of its own: no terminal can take it along.
        let process = i32::try_from(there.process).unwrap();
        let pid = rustix::process::Pid::from_raw(process).unwrap();
        assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
        server.wait_until_held(3);
        server.release();
        when(&screen.handle, |summary| summary.phase == Phase::Stopped).await;
        there
    });
    wait_for("the end of the other process", || {
        sockets(&home).is_empty().then_some(())
    });
    assert_eq!(mode(&there.log), 0o600);
    server.report().assert_holds(&files);
    server.report().assert_nothing_twice();
}

#[test]
fn what_can_not_go_on_in_the_background_is_told_at_once() {
    let (_server, home, _, run) = held_upload(1, &[]);
    run.interrupt().assert_code(130);
    let session = home.session();
    home.write_config("");
    let starter = starter(&home);
    let refused = runtime().block_on(go_on_in_background(
        &starter,
        &Global::default(),
        &session,
        &places(&home),
    ));
    let words = refused.unwrap_err().words;
    assert!(
        words.contains("could not go on in the background"),
        "{words}"
    );
    assert!(words.contains("go on with: reelhaul resume"), "{words}");
}

#[test]
fn going_to_the_background_writes_over_no_file() {
    let (_server, home, _, run) = held_upload(1, &["--session", "archive.log"]);
    run.interrupt().assert_code(130);
    let session = home.dir.path().join("archive.log");
    let saved = fs::read_to_string(&session).unwrap();
    let log = home.dir.path().join("archive.log.log");
    fs::write(&log, "what was there\n").unwrap();
    home.write_config("");
    let (starter, global, places) = (starter(&home), Global::default(), places(&home));
    let refused = runtime().block_on(go_on_in_background(&starter, &global, &session, &places));
    let words = refused.unwrap_err().words;
    assert!(!words.contains("what was there"), "{words}");
    assert_eq!(fs::read_to_string(&session).unwrap(), saved);
    let told = fs::read_to_string(&log).unwrap();
    let new = told.strip_prefix("what was there\n");
    assert!(
        new.is_some_and(|new| new.starts_with("reelhaul: ")),
        "{told}"
    );
}

/// The program, as it is in this home. What writes the script has ended before it is run: no other
/// test's thread can fork it with the file still open, which would make it busy.
fn starter(home: &Home) -> PathBuf {
    let path = home.dir.path().join("starter");
    let (dir, program) = (home.dir.path().display(), program());
    let script = format!(
        "#!/bin/sh\nexport HOME={dir} XDG_STATE_HOME={dir}/state XDG_CONFIG_HOME={dir}/config\n\
         exec {} \"$@\"\n",
        program.display()
    );
    let write = "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let written = process::Command::new("sh")
        .args(["-c", write, "sh", &script])
        .arg(&path)
        .status();
    assert!(written.unwrap().success());
    path
}

/// A terminal in which this is typed; `None` without tmux.
fn terminal(name: &str, home: &Home, args: &str) -> Option<Terminal> {
    let program = program();
    let command = format!("{} {args}", program.display());
    Terminal::open(name, home, 100, 30, &command)
}

/// Attaches to what is held, releases it, and holds what came of it against the file.
fn finish(server: &Server, home: &Home, files: &[Source]) {
    runtime().block_on(async {
        let screen = attached(home, Role::Watcher).await;
        server.release();
        when(&screen.handle, |summary| summary.phase == Phase::Stopped).await;
    });
    wait_for("the end of the session", || {
        sockets(home).is_empty().then_some(())
    });
    server.report().assert_holds(files);
    server.report().assert_nothing_twice();
}

/// Waits until each thread of a process was seen asleep: one that spins never is.
fn every_thread_rests(process: u32) {
    let threads = || fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut awake: BTreeSet<PathBuf> = threads().map(|thread| thread.unwrap().path()).collect();
    wait_for("every thread to rest", || {
        awake.retain(|thread| {
            // `12 (tokio-rt-worker) S …`; one that has ended rests too.
            let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, state)| !state.starts_with('S'))
        });
        awake.is_empty().then_some(())
    });
}

#[test]
fn a_terminal_that_is_closed_leaves_the_upload_going() {
    let (server, home, files) = held(2);
    let Some(screen) = terminal("closed", &home, "up tree --part-size 5MiB") else {
        return;
    };
    server.wait_until_held(1);
    let before = runtime()
        .block_on(attached(&home, Role::Watcher))
        .owner
        .process;
    drop(screen);
    // The screen has noticed, and has led its input elsewhere.
    wait_for("a screen without its terminal", || {
        let input = fs::read_link(format!("/proc/{before}/fd/0")).unwrap();
        (!input.starts_with("/dev/pts") && !input.starts_with("/dev/tty")).then_some(())
    });
    let after = runtime()
        .block_on(attached(&home, Role::Watcher))
        .owner
        .process;
    assert_eq!(before, after, "nothing was cut");
    every_thread_rests(before);
    finish(&server, &home, &files);
}

#[test]
fn leaving_on_purpose_gives_the_terminal_back_and_attach_shows_the_session_again() {
    let (server, home, files) = held(3);
    let Some(screen) = terminal("left", &home, "up tree --part-size 5MiB --parts 1") else {
        return;
    };
    server.wait_until_held(1);
    screen.shows_text("1 of 1 parts in flight");
    screen.keys(&["D"]);
    screen.shows_text("after the parts in flight");
    server.release_held();
    screen.shows_text("it ended with 0");
    screen.shows_text("reelhaul attach");
    drop(screen);
    server.wait_until_held(2);

    let again = terminal("again", &home, "attach").unwrap();
    again.shows_text("a.mp4");
    again.keys(&["D"]);
    again.shows_text("it ended with 0");
    finish(&server, &home, &files);
}

#[test]
fn a_screen_is_sent_away_from_elsewhere() {
    let (server, home, files) = held(3);
    let Some(screen) = terminal("sent-away", &home, "up tree --part-size 5MiB --parts 1") else {
        return;
    };
    server.wait_until_held(1);
    screen.shows_text("1 of 1 parts in flight");
    home.run(["detach"]).assert_code(0);
    screen.shows_text("after the parts in flight");
    server.release_held();
    screen.shows_text("it ended with 0");
    server.wait_until_held(2);
    let refused = home.run(["detach"]);
    refused.assert_code(1);
    finish(&server, &home, &files);
}

#[test]
fn an_attached_screen_shows_the_log_of_the_process_that_holds_the_engine() {
    let (server, home, files, run) = held_upload(2, &["--parts", "1"]);
    let Some(screen) = terminal("log", &home, "attach") else {
        return;
    };
    screen.shows_text("a.mp4");
    // Said before this screen was opened, by another process.
    screen.keys(&["Tab", "Tab", "z"]);
    screen.shows_text("accepts the key");
    // And what it says from now on.
    server.script(&json!([{"fault": "error-before", "on": "part", "part": 2, "times": 1}]));
    server.release();
    screen.shows_text("a.mp4, part");
    run.end().assert_code(0);
    server.report().assert_holds(&files);
}
