//! What both ends of the socket promise, held against an engine that is played by the test.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_util::codec::{Decoder, Framed};

use super::{
    wire::{EngineSays, ScreenSays},
    *,
};
use crate::{
    engine::{
        Gone, Handle, Request,
        protocol::{
            AddPaths, Command, Outcome, Phase, Query, Reply, State, Summary, Targets, Walk, Window,
            WindowQuery,
        },
    },
    journal::{Journal, KEPT, Level, Line},
};

/// A folder with a session's file and room for sockets.
struct Site {
    folder: TempDir,
    file: PathBuf,
    places: Places,
    journal: Journal,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s-1.toml");
        fs::write(&file, "").unwrap();
        let places = Places::new([folder.path().join("run")]);
        Self {
            folder,
            file,
            places,
            journal: Journal::default(),
        }
    }

    fn serve(&self, limits: Limits) -> (Served, crate::engine::Server) {
        let (handle, engine) = Handle::pair();
        let served = serve(
            handle,
            "s-1",
            &self.file,
            &self.places,
            limits,
            self.journal.clone(),
        )
        .unwrap();
        (served, engine)
    }

    /// Serves an engine that answers everything by its words, and tells the words of each command.
    fn play(&self) -> (Served, mpsc::UnboundedReceiver<Command>) {
        let (served, mut engine) = self.serve(Limits::default());
        let (told, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            // Its summary is there as long as it is.
            let _summary = &engine.summary;
            while let Some(request) = engine.requests.recv().await {
                match request {
                    Request::Command(command, answer) => {
                        let _ = answer.send(outcome(&format!("{command:?}")));
                        let _ = told.send(command);
                    }
                    Request::Query(_, answer) => {
                        let _ = answer.send(Reply::Window(Window::default()));
                    }
                }
            }
        });
        (served, heard)
    }

    async fn attach(&self) -> Handle {
        let attached = connect(&self.file, &self.places, Role::Screen).await;
        attached.unwrap().handle
    }

    /// A connection on which nothing was said.
    async fn raw(&self) -> UnixStream {
        UnixStream::connect(&self.places.of(&self.file)[0])
            .await
            .unwrap()
    }
}

fn outcome(words: &str) -> Outcome {
    Outcome {
        reached: 1,
        words: words.to_owned(),
        refused: false,
    }
}

fn window() -> Query {
    Query::Window(WindowQuery::default())
}

/// What a screen of ours says first, as it is on the wire.
fn hello() -> Vec<u8> {
    framed(&ScreenSays::Hello {
        protocol: PROTOCOL,
        role: Role::Screen,
    })
}

fn framed(said: &ScreenSays) -> Vec<u8> {
    let frame = wire::write(said).unwrap();
    let mut bytes = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(&frame);
    bytes
}

/// Reads until the other end hangs up.
async fn until_cut(mut stream: UnixStream) {
    let mut rest = Vec::new();
    // A reset is a hang-up too.
    drop(stream.read_to_end(&mut rest).await);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(wire::read::<ScreenSays>(&bytes));
        drop(wire::read::<EngineSays>(&bytes));
        let mut frames = wire::frames(wire::FROM_SCREEN);
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(frame)) = frames.decode(&mut buffer) {
            drop(wire::read::<ScreenSays>(&frame));
        }
    }

    #[test]
    fn damaged_words_never_panic(at in any::<prop::sample::Index>(), byte: u8, cut in 0usize..200) {
        let command = Command::Move(Targets::Ids(vec![1, 2]), crate::engine::protocol::Place::Top);
        let mut bytes = wire::write(&ScreenSays::Command { id: 7, command }).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(bytes.len().saturating_sub(cut).max(1));
        drop(wire::read::<ScreenSays>(&bytes));
    }

    #[test]
    fn lines_of_a_tree_and_what_is_asked_and_told_of_folders_travel_whole(
        bytes in proptest::collection::vec(1u8.., 1..60),
        folder: u32, all: bool, except: std::collections::BTreeSet<u32>, number: usize,
    ) {
        use std::os::unix::ffi::OsStringExt;
        use crate::engine::protocol::{
            Entry, Filter, Folds, FolderRow, Line, LineId, Totals, UploadId,
        };
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        let query = WindowQuery {
            follow: Some(LineId::Folder(folder)),
            tree: Some(Folds { all, except: except.clone() }),
            ..WindowQuery::default()
        };
        let said = ScreenSays::Query { id: 1, query: Query::Window(query) };
        let heard: ScreenSays = wire::read(&wire::write(&said).unwrap()).unwrap();
        prop_assert_eq!(heard, said);
        let ids: Vec<UploadId> = except.into_iter().collect();
        for targets in [
            Targets::Inside(folder, Filter::default()),
            Targets::Marked {
                inside: vec![(folder, Filter::default())],
                except: ids.clone(),
                ids,
            },
        ] {
            let said = ScreenSays::Command { id: 2, command: Command::Pause(targets) };
            let heard: ScreenSays = wire::read(&wire::write(&said).unwrap()).unwrap();
            prop_assert_eq!(heard, said);
        }
        let row = FolderRow {
            id: folder,
            path: path.clone(),
            name: path,
            folded: all,
            totals: Totals::default(),
            matching: number,
            in_flight: 1,
            rate: 2,
        };
        let line = Line { depth: 3, parent: Some(folder), entry: Entry::Folder(row) };
        let window = Window {
            lines: vec![line],
            length: number,
            followed: Some(number),
            ..Window::default()
        };
        let said = EngineSays::Reply { id: 3, reply: Reply::Window(window) };
        let heard: EngineSays = wire::read(&wire::write(&said).unwrap()).unwrap();
        prop_assert_eq!(heard, said);
    }

    #[test]
    fn any_path_travels_whole(bytes in proptest::collection::vec(1u8.., 1..60), id: u64) {
        use std::os::unix::ffi::OsStringExt;
        let paths = vec![PathBuf::from(std::ffi::OsString::from_vec(bytes))];
        let command = Command::Add(AddPaths { paths, ..AddPaths::default() });
        let said = ScreenSays::Command { id, command };
        let heard: ScreenSays = wire::read(&wire::write(&said).unwrap()).unwrap();
        prop_assert_eq!(heard, said);
    }
}

#[test]
fn only_the_owner_and_root_are_let_in() {
    assert!(admitted(1000, 1000));
    assert!(admitted(0, 1000));
    assert!(!admitted(1001, 1000));
    assert!(!admitted(1000, 0));
}

#[tokio::test]
async fn commands_reach_the_engine_in_order_and_are_answered() {
    let site = Site::new();
    let (_served, mut heard) = site.play();
    let handle = site.attach().await;
    for command in [
        Command::Save,
        Command::Pause(Targets::All),
        Command::Resume(Targets::All),
    ] {
        let answer = handle.command(command.clone()).await.unwrap();
        assert_eq!(answer.words, format!("{command:?}"));
        assert_eq!(heard.recv().await, Some(command));
    }
    let reply = handle.query(window()).await.unwrap();
    assert_eq!(reply, Reply::Window(Window::default()));
}

#[tokio::test]
async fn every_screen_sees_the_newest_summary_at_once_and_when_it_changes() {
    let site = Site::new();
    let (served, engine) = site.serve(Limits::default());
    engine.summary.send_modify(|summary| summary.rate = 1);
    let (one, two) = (site.attach().await, site.attach().await);
    assert_eq!(one.summary().borrow().rate, 1);
    assert_eq!(*served.screens().borrow(), 2);
    engine.summary.send_modify(|summary| summary.rate = 2);
    for screen in [&one, &two] {
        let mut summary = screen.summary();
        summary.wait_for(|summary| summary.rate == 2).await.unwrap();
    }
    drop(one);
    let mut screens = served.screens();
    screens.wait_for(|count| *count == 1).await.unwrap();
}

#[tokio::test]
async fn a_watcher_is_no_screen_that_a_session_waits_for() {
    let site = Site::new();
    let (served, _engine) = site.serve(Limits::default());
    let _watcher = connect(&site.file, &site.places, Role::Watcher)
        .await
        .unwrap();
    assert_eq!(*served.screens().borrow(), 0);
}

#[tokio::test]
async fn a_screen_that_reads_nothing_holds_up_nobody_and_is_not_listened_to_for_ever() {
    let site = Site::new();
    let (_served, mut heard) = site.play();
    let mut deaf = site.raw().await;
    deaf.write_all(&hello()).await.unwrap();
    // It asks until nobody takes its questions any more: its answers fill up what is bounded.
    let question = framed(&ScreenSays::Command {
        id: 1,
        command: Command::Remove(Targets::Ids(vec![1_000_000; 2000])),
    });
    let flood = tokio::spawn(async move {
        loop {
            deaf.write_all(&question).await.unwrap();
        }
    });
    heard.recv().await.unwrap();
    let handle = site.attach().await;
    for _ in 0..100 {
        handle.command(Command::Save).await.unwrap();
    }
    // The engine was asked a bounded number of times although nothing was taken: it comes to rest.
    let mut asked = 0;
    while let Ok(command) = tokio::time::timeout(Duration::from_millis(500), heard.recv()).await {
        asked += usize::from(matches!(command, Some(Command::Remove(_))));
    }
    assert!(asked < 2000, "{asked}");
    assert!(!flood.is_finished());
    flood.abort();
}

#[tokio::test]
async fn a_screen_that_takes_nothing_for_long_is_let_go() {
    let site = Site::new();
    let stalled = Duration::from_millis(50);
    let (served, engine) = site.serve(Limits {
        stalled,
        ..Limits::default()
    });
    let mut deaf = site.raw().await;
    deaf.write_all(&hello()).await.unwrap();
    let mut screens = served.screens();
    screens.wait_for(|count| *count == 1).await.unwrap();
    let telling = tokio::spawn(async move {
        loop {
            engine.summary.send_modify(|summary| {
                summary.rate += 1;
                summary.history = vec![u64::MAX; 10_000];
            });
            tokio::task::yield_now().await;
        }
    });
    screens.wait_for(|count| *count == 0).await.unwrap();
    until_cut(deaf).await;
    telling.abort();
}

#[tokio::test]
async fn one_who_talks_nonsense_is_cut_and_others_are_not() {
    let site = Site::new();
    let (_served, _heard) = site.play();
    let handle = site.attach().await;
    let good = hello();
    let late_hello = [&good[..], &good[..]].concat();
    let nonsense = [&good[..], &[0, 0, 0, 3], b"{]!"].concat();
    let unknown = [&good[..], &[0, 0, 0, 12], br#"{"fly":true} "#].concat();
    let huge = [&good[..], &[0xff; 64]].concat();
    let deep = [&good[..], &[0, 1, 0, 0], "[".repeat(65536).as_bytes()].concat();
    let no_hello = framed(&ScreenSays::Query {
        id: 1,
        query: window(),
    });
    let other = framed(&ScreenSays::Hello {
        protocol: PROTOCOL + 1,
        role: Role::Screen,
    });
    let http = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    for said in [
        late_hello, nonsense, unknown, huge, deep, no_hello, other, http,
    ] {
        let mut stream = site.raw().await;
        // It may be cut before it has said all.
        drop(stream.write_all(&said).await);
        until_cut(stream).await;
        handle.command(Command::Save).await.unwrap();
    }
}

#[tokio::test]
async fn one_who_says_nothing_is_cut() {
    let site = Site::new();
    let (_served, _engine) = site.serve(Limits {
        hello: Duration::from_millis(20),
        ..Limits::default()
    });
    until_cut(site.raw().await).await;
}

#[tokio::test]
async fn one_screen_too_many_is_turned_away() {
    let site = Site::new();
    let (_served, _engine) = site.serve(Limits {
        screens: 1,
        ..Limits::default()
    });
    let _first = site.attach().await;
    let second = connect(&site.file, &site.places, Role::Screen).await;
    assert!(matches!(second, Err(NotAttached::Mute(_))), "{second:?}");
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_goes_at_the_end() {
    let site = Site::new();
    let run = site.folder.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, Permissions::from_mode(0o755)).unwrap();
    let (served, _engine) = site.serve(Limits::default());
    let path = served.path();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&path), mode(&run)), (0o600, 0o700));
    drop(served);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_dead_process_socket_is_replaced_and_a_new_owners_is_left_alone() {
    let site = Site::new();
    let (old, _engine) = site.serve(Limits::default());
    // As if its process had died: the file stays and is taken over.
    let (new, _engine) = site.serve(Limits::default());
    assert_eq!(old.path(), new.path());
    drop(old);
    assert!(new.path().exists());
    site.attach().await;
}

#[tokio::test]
async fn where_a_socket_can_not_be_the_next_place_is_taken() {
    let site = Site::new();
    let long = site.folder.path().join("x".repeat(100));
    let plain_file = site.folder.path().join("s-1.toml");
    let short = site.folder.path().join("run");
    let places = Places::new([long, plain_file, short.clone()]);
    let (handle, engine) = Handle::pair();
    let served = serve(
        handle,
        "s-1",
        &site.file,
        &places,
        Limits::default(),
        Journal::default(),
    )
    .unwrap();
    assert_eq!(served.path().parent(), Some(&*short));
    // Another way to the same file leads to the same socket.
    let link = site.folder.path().join("link");
    std::os::unix::fs::symlink(site.folder.path(), &link).unwrap();
    let attached = connect(&link.join("s-1.toml"), &places, Role::Screen).await;
    assert_eq!(attached.unwrap().owner.process, std::process::id());
    drop(engine);
}

#[tokio::test]
async fn those_who_run_are_found_and_the_dead_are_not() {
    let site = Site::new();
    assert_eq!(running(&site.places).await, []);
    let (served, _engine) = site.serve(Limits::default());
    let dead = served.path().with_file_name("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    let found = running(&site.places).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].session, &found[0].file), ("s-1", &site.file));
    let other = site.folder.path().join("other.toml");
    let refused = connect(&other, &site.places, Role::Screen).await;
    assert!(
        matches!(refused, Err(NotAttached::NotRunning)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_the_engine_says_last_arrives_then_it_is_gone() {
    let site = Site::new();
    let (served, mut engine) = site.serve(Limits::default());
    let handle = site.attach().await;
    let asking = handle.clone();
    let asked = tokio::spawn(async move { asking.command(Command::StopNow).await });
    let Some(Request::Command(Command::StopNow, answer)) = engine.requests.recv().await else {
        panic!("no command")
    };
    answer.send(outcome("closing now")).unwrap();
    engine
        .summary
        .send_modify(|summary| summary.phase = Phase::Stopped);
    drop(engine);
    served.end().await;
    assert_eq!(asked.await.unwrap().unwrap().words, "closing now");
    let mut summary = handle.summary();
    summary
        .wait_for(|summary| summary.phase == Phase::Stopped)
        .await
        .unwrap();
    while summary.changed().await.is_ok() {}
    assert_eq!(handle.command(Command::Save).await, Err(Gone));
    assert_eq!(handle.query(window()).await, Err(Gone));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_gone_and_not_waited_for() {
    let site = Site::new();
    let (served, mut engine) = site.serve(Limits::default());
    let handle = site.attach().await;
    let asking = handle.clone();
    let asked = tokio::spawn(async move { asking.query(window()).await });
    let _kept = engine.requests.recv().await.unwrap();
    drop(served);
    assert_eq!(asked.await.unwrap(), Err(Gone));
}

#[tokio::test]
async fn more_than_a_frame_holds_is_refused_here_and_the_line_stands() {
    let site = Site::new();
    let (_served, _heard) = site.play();
    let handle = site.attach().await;
    let too_many = Targets::Ids(vec![u32::MAX; 1_000_000]);
    assert!(
        handle
            .command(Command::Skip(too_many))
            .await
            .unwrap()
            .refused
    );
    assert!(!handle.command(Command::Save).await.unwrap().refused);
}

#[tokio::test]
async fn an_engine_of_another_version_is_told_as_such() {
    let site = Site::new();
    let socket = site.places.of(&site.file).remove(0);
    fs::create_dir(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = Framed::new(stream, wire::frames(wire::FROM_ENGINE));
        // A later one may say more of itself.
        let said = r#"{"hello":{"protocol":99,"version":"9.0\u001b[m","process":7,"session":"s",
                       "file":"/s.toml","mood":"good"}}"#;
        stream.send(bytes::Bytes::from(said)).await.unwrap();
        stream.next().await
    });
    let refused = connect(&site.file, &site.places, Role::Screen).await;
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("reelhaul 9.0 [m (process 7)"), "{words}");
    assert!(serving.await.unwrap().is_none());
}

#[tokio::test]
async fn the_owners_screen_leaves_when_it_is_asked_from_elsewhere() {
    let site = Site::new();
    let (served, _engine) = site.serve(Limits::default());
    let refused = detach(&site.file, &site.places).await.unwrap();
    assert!(refused.refused, "nobody listens: {refused:?}");
    let asked = served.asked_to_detach();
    tokio::pin!(asked);
    tokio::select! {
        biased;
        () = &mut asked => panic!("nobody asked"),
        () = std::future::ready(()) => {}
    }
    let told = detach(&site.file, &site.places).await.unwrap();
    assert!(!told.refused, "{told:?}");
    asked.await;
}

#[tokio::test]
async fn who_sends_a_screen_away_is_told_whether_anything_goes_on_without_it() {
    let site = Site::new();
    let (served, engine) = site.serve(Limits::default());
    let listening = served.asked_to_detach();
    tokio::pin!(listening);
    assert!(futures_util::poll!(&mut listening).is_pending());
    let told = async |states: &[State], walk: Option<Walk>| {
        engine.summary.send_modify(|summary| {
            *summary = Summary::default();
            summary.walk = walk;
            for state in states {
                summary.counts.add(*state);
            }
        });
        detach(&site.file, &site.places).await.unwrap().words
    };
    let goes_on = "the session goes on in the background";
    assert_eq!(told(&[State::Queued, State::Paused], None).await, goes_on);
    let walk = Walk {
        files: 0,
        bytes: 0,
        skipped: 0,
        at: String::new(),
    };
    assert_eq!(told(&[], Some(walk)).await, goes_on);
    assert_eq!(
        told(&[State::Paused, State::Failed, State::Done], None).await,
        "the session ends: nothing is left to send until something is resumed or tried again"
    );
    assert_eq!(
        told(&[State::Done], None).await,
        "the session ends: nothing is left to send"
    );
}

#[tokio::test]
async fn summaries_a_screen_is_too_slow_for_are_left_out() {
    let site = Site::new();
    let (_served, engine) = site.serve(Limits::default());
    let mut slow = site.raw().await;
    slow.write_all(&hello()).await.unwrap();
    let padding = vec![u64::MAX; 20_000];
    for rate in 1..=1000 {
        engine.summary.send_modify(|summary| {
            summary.rate = rate;
            summary.history.clone_from(&padding);
        });
        tokio::task::yield_now().await;
    }
    let mut frames = Framed::new(slow, wire::frames(wire::FROM_ENGINE));
    let mut told = 0;
    loop {
        let frame = frames.next().await.unwrap().unwrap();
        if let EngineSays::Summary(summary) = wire::read(&frame).unwrap() {
            told += 1;
            let summary: Summary = *summary;
            if summary.rate == 1000 {
                break;
            }
        }
    }
    assert!(told < 500, "{told}");
}

fn logged(number: usize) -> Line {
    Line {
        at: jiff::Timestamp::UNIX_EPOCH,
        level: Level::Info,
        target: "reelhaul::engine".into(),
        words: format!("line {number} {}", "x".repeat(900)),
    }
}

#[tokio::test]
async fn a_screen_hears_what_was_logged_before_it_came_and_what_follows() {
    let site = Site::new();
    let (_served, _engine) = site.serve(Limits::default());
    (0..KEPT + 3).for_each(|number| site.journal.push(logged(number)));
    // The connection lives as long as the handle does.
    let attached = connect(&site.file, &site.places, Role::Screen).await;
    let attached = attached.unwrap();
    let mut log = attached.log.reader();
    let mut heard = Vec::new();
    while heard.len() < KEPT {
        heard.extend(log.next().await);
    }
    assert_eq!(heard, (3..KEPT + 3).map(logged).collect::<Vec<_>>());
    site.journal.push(logged(9999));
    assert_eq!(log.next().await, [logged(9999)]);
}

#[tokio::test]
async fn lines_a_screen_is_too_slow_for_are_left_out_and_counted() {
    let site = Site::new();
    let (_served, _engine) = site.serve(Limits::default());
    let mut slow = site.raw().await;
    slow.write_all(&hello()).await.unwrap();
    for number in 0..50_000 {
        site.journal.push(logged(number));
        tokio::task::yield_now().await;
    }
    let mut frames = Framed::new(slow, wire::frames(wire::FROM_ENGINE));
    let (mut told, mut left_out) = (0, 0);
    loop {
        let frame = frames.next().await.unwrap().unwrap();
        let EngineSays::Log(lines) = wire::read(&frame).unwrap() else {
            continue;
        };
        for line in &lines {
            match line.words.split_once(" lines came faster") {
                Some((count, _)) => left_out += count.parse::<usize>().unwrap(),
                None => told += 1,
            }
        }
        if lines.last() == Some(&logged(49_999)) {
            break;
        }
    }
    assert!(left_out > 10_000, "{told} told, {left_out} left out");
    assert_eq!(told + left_out, 50_000);
}

#[tokio::test]
async fn what_an_engine_logs_can_not_steer_the_terminal_of_a_screen() {
    let site = Site::new();
    let socket = site.places.of(&site.file).remove(0);
    fs::create_dir(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let owner = Owner {
        protocol: PROTOCOL,
        version: String::new(),
        process: 7,
        session: "s".into(),
        file: site.file.clone(),
    };
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = Framed::new(stream, wire::frames(wire::FROM_ENGINE));
        let line = Line {
            target: "a\u{1b}[2J".into(),
            words: "b\u{1b}]0;title\u{7}\n\u{202e}c".into(),
            ..logged(1)
        };
        for said in [
            EngineSays::Hello(owner),
            EngineSays::Summary(Box::default()),
            EngineSays::Log(vec![line]),
        ] {
            stream.send(wire::write(&said).unwrap()).await.unwrap();
        }
        stream.next().await
    });
    let attached = connect(&site.file, &site.places, Role::Screen).await;
    let attached = attached.unwrap();
    let lines = attached.log.reader().next().await;
    assert_eq!(lines[0].target, "a [2J");
    assert_eq!(lines[0].words, "b ]0;title c");
    serving.abort();
}
