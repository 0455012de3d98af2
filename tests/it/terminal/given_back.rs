//! The terminal is given back as it was: asleep, and after a panic, which also leaves a session to go
//! on with.

use std::{
    env,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use reelhaul::{
    destination::jwplayer::{JwPlayer, JwPlayerOptions},
    engine::{
        self, Timing,
        clock::Clock,
        protocol::{AddPaths, Command},
        queue::Queue,
    },
    sandbox::{SECRET, SITE},
    secret::Secret,
    session::{Header, folder, record::FORMAT},
    settings::{Concurrency, Settings},
    tui,
};

use crate::support::{
    Home, Mode, PART, Server, Source, altered::Altered, engine::ledger, install_crypto, program,
    terminal::Terminal,
};

/// Whether the terminal is one that a shell can be used in: its own screen, a cursor, no mouse.
fn is_usable(terminal: &Terminal) -> bool {
    !terminal.is("alternate_on") && terminal.is("cursor_flag") && !terminal.is("mouse_any_flag")
}

/// Waits until a line is echoed and taken as a whole, which a raw terminal does not.
fn assert_cooked(terminal: &Terminal) {
    terminal.keys(&["-l", "typed"]);
    terminal.shows_text("typed");
    terminal.keys(&["Enter"]);
    // `cat` gives it back, below what was typed.
    terminal.shows("the line and its echo", |screen| {
        screen.matches("typed").count() == 2
    });
}

#[test]
fn a_screen_that_is_put_to_sleep_gives_the_terminal_back_and_wakes_where_it_was() {
    let server = Server::start();
    server.hold_parts();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("film.mp4"), 1000, 1);
    let shell = "PS1='ready> ' sh -i";
    let Some(terminal) = Terminal::open("asleep", &home, 80, 24, shell) else {
        return;
    };
    terminal.shows_text("ready>");
    terminal.keys(&["-l", &format!("{} up tree --parts 1", program().display())]);
    terminal.keys(&["Enter"]);
    terminal.shows_text("in flight");
    for _ in 0..2 {
        terminal.keys(&["C-z"]);
        terminal.shows("the shell", |screen| {
            screen.trim_end().ends_with("ready>") && !screen.contains("in flight")
        });
        assert!(is_usable(&terminal));
        terminal.keys(&["-l", "fg"]);
        terminal.keys(&["Enter"]);
        terminal.shows("the screen as it was", |screen| {
            screen.contains("Queue") && screen.contains("film.mp4")
        });
        assert!(terminal.is("alternate_on") && terminal.is("mouse_any_flag"));
    }
    server.release();
    terminal.shows_text("Everything is done");
    terminal.keys(&["q"]);
    terminal.shows("the shell", |screen| screen.trim_end().ends_with("ready>"));
    assert!(is_usable(&terminal));
    server.report().assert_holds(&[film]);
}

#[test]
fn a_screen_that_panics_gives_the_terminal_back_and_leaves_its_session() {
    panics("screen", "the screen broke");
}

#[test]
fn an_engine_that_panics_gives_the_terminal_back_and_leaves_its_session() {
    panics("engine", "the engine broke");
}

/// A program panics after its first part; another goes on with its session.
fn panics(what: &str, words: &str) {
    let server = Server::start();
    server.hold_part(2, 1);
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("film.mp4"), 2 * PART, 1);
    let session = home.dir.path().join("panicked.toml");
    let command = format!(
        "RUST_BACKTRACE=0 BREAKS={what} URL='{}' SESSION='{}' TREE='{}' '{}' --ignored --exact --nocapture \
         terminal::given_back::a_program_that_panics",
        server.url,
        session.display(),
        home.tree().display(),
        env::current_exe().unwrap().display(),
    );
    let Some(terminal) = Terminal::open(&format!("{what}-panics"), &home, 100, 30, &command) else {
        return;
    };
    let screen = terminal.shows_text("it ended with 101");
    assert!(screen.contains(words), "{screen}");
    server.release();
    assert!(is_usable(&terminal));
    assert_cooked(&terminal);
    drop(terminal);

    let path = session.to_str().unwrap();
    home.run(["resume", path, "--json"]).assert_code(0);
    let report = server.report();
    report.assert_holds(&[film]);
    report.assert_nothing_twice();
}

/// Whether a part was acknowledged.
static SENT: AtomicBool = AtomicBool::new(false);

/// Not a test but what the tests above run on a terminal: the engine and the screen as the program
/// has them, with a fault of its own in one of them.
#[test]
#[ignore = "others run it, on a terminal"]
fn a_program_that_panics() {
    let told = |name: &str| env::var(name).expect("it is run by another test");
    let breaks = told("BREAKS");
    let breaks_engine = breaks == "engine";
    install_crypto();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let header = Header {
            format: FORMAT,
            id: "panicked".into(),
            owner: "owner".to_owned(),
            destination: "it".into(),
            settings: Settings {
                part_size: "5MiB".parse().unwrap(),
                parts_in_flight: Concurrency::Fixed(1),
                ..Settings::default()
            },
        };
        let site = JwPlayer::new(JwPlayerOptions {
            url: told("URL"),
            ..JwPlayerOptions::new(SITE, Secret::new(SECRET))
        });
        let session = folder::create_at(&PathBuf::from(told("SESSION")), header).unwrap();
        let account = Altered::new(Arc::new(site.unwrap()), move |_, part| {
            assert!(!breaks_engine || part.number < 2, "the engine broke");
            None
        });
        let (handle, ended) = engine::spawn(engine::Parts {
            ledger: ledger(&session, &account),
            session,
            queue: Queue::default(),
            account: Arc::new(account),
            timing: Timing::default(),
            events: None,
            no_wait: false,
            is_deep: false,
            clock: Clock::default(),
            open_files: reelhaul::engine::OpenFiles::default(),
        });
        let add = AddPaths {
            paths: vec![told("TREE").into()],
            ..AddPaths::default()
        };
        handle.command(Command::Add(add)).await.unwrap();
        let mut summary = handle.summary();
        tokio::spawn(async move {
            let sent = summary.wait_for(|now| now.bytes.acknowledged > 0).await;
            SENT.store(sent.is_ok(), Ordering::SeqCst);
        });
        let options = tui::Options {
            on_frame: (breaks == "screen").then_some(|_| {
                assert!(!SENT.load(Ordering::SeqCst), "the screen broke");
            }),
            ..tui::Options::default()
        };
        let exit = tui::run(handle, options).await.unwrap();
        println!("the screen was left: {exit:?}");
        // As the program does: what broke the engine is what ends it.
        ended.await.unwrap();
    });
}
