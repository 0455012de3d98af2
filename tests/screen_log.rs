//! The log pane shows what reelhaul says, and nothing that steers the terminal or buries it.
//!
//! A file of its own, because the log is one for a whole process.

use std::{collections::VecDeque, sync::LazyLock};

use futures_util::{StreamExt as _, stream};
use ratatui::{Terminal, backend::TestBackend};
use reelhaul::{
    engine::{
        Handle, Request, Server,
        protocol::{Command, Outcome, Phase, Query, Reply, Summary, Window},
    },
    tui::{Depth, Options, init_logging, run_on},
};
use tokio::sync::watch;

/// An engine with an empty queue that ends when it is told to.
async fn serve(mut server: Server) {
    while let Some(request) = server.requests.recv().await {
        match request {
            Request::Query(Query::Window(_), answer) => {
                // Nobody waits for it once the screen was left.
                let _ = answer.send(Reply::Window(Window::default()));
            }
            Request::Query(..) => {}
            Request::Command(command, answer) => {
                let outcome = Outcome {
                    reached: 0,
                    words: String::new(),
                    refused: false,
                };
                let _ = answer.send(outcome);
                if command == Command::Stop {
                    server.summary.send_replace(Summary {
                        phase: Phase::Stopped,
                        ..Summary::default()
                    });
                }
            }
        }
    }
}

/// How many frames were drawn.
static FRAMES: LazyLock<watch::Sender<u64>> = LazyLock::new(watch::Sender::default);

/// Waits for a frame after the one of this number; returns the number of the newest.
async fn frame_after(seen: u64) -> u64 {
    let mut frames = FRAMES.subscribe();
    let newest = frames.wait_for(|frames| *frames > seen).await;
    *newest.expect("the sender is static")
}

/// The screen after these keys, each pressed once a frame shows what the one before did.
async fn screen_after(keys: &str) -> String {
    let (handle, server) = Handle::pair();
    let engine = tokio::spawn(serve(server));
    let seen = *FRAMES.borrow();
    let keys: VecDeque<char> = keys.chars().chain("q".chars()).collect();
    let events = stream::unfold((keys, seen), |(mut keys, seen)| async move {
        let key = keys.pop_front()?;
        let seen = frame_after(seen).await;
        let code = match key {
            '\t' => crossterm::event::KeyCode::Tab,
            key => crossterm::event::KeyCode::Char(key),
        };
        let event = crossterm::event::Event::Key(code.into());
        Some((Ok(event), (keys, seen)))
    });
    let events = Box::pin(events.chain(stream::pending()));
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("it takes any size");
    let options = Options {
        color: Some(Depth::Mono),
        ascii: Some(false),
        on_frame: Some(|_| FRAMES.send_modify(|frames| *frames += 1)),
        ..Options::default()
    };
    run_on(handle, options, &mut terminal, events)
        .await
        .expect("this terminal does not fail");
    engine.abort();
    terminal.backend().to_string()
}

#[tokio::test(start_paused = true)]
async fn the_log_shows_what_matters_by_level_and_speaker() {
    init_logging().unwrap();
    tracing::info!(target: "reelhaul::engine", "part 3 of \u{1b}[31mred\u{202e}.mov acknowledged");
    tracing::warn!(target: "reelhaul::session", "the disk is nearly full");
    tracing::debug!(target: "reelhaul::engine", "a detail");
    tracing::debug!(target: "hyper_util::client", "chatter about a connection");
    tracing::warn!(target: "hyper_util::client", "a connection broke");

    let screen = screen_after("").await;
    for seen in [
        "acknowledged",
        "warning the disk is nearly full",
        "a connection broke",
    ] {
        assert!(screen.contains(seen), "{seen} in {screen}");
    }
    for unseen in ["\u{1b}", "\u{202e}", "a detail", "chatter"] {
        assert!(!screen.contains(unseen), "{unseen:?} in {screen}");
    }

    let more = screen_after("\t\tm").await;
    assert!(more.contains("a detail"), "{more}");
    assert!(!more.contains("chatter"), "{more}");

    let less = screen_after("\t\tn").await;
    assert!(less.contains("nearly full"), "{less}");
    assert!(!less.contains("acknowledged"), "{less}");

    // The speakers come in the order of their names.
    let one = screen_after("\t\ttt").await;
    assert!(one.contains("acknowledged"), "{one}");
    assert!(!one.contains("nearly full"), "{one}");
    assert!(!one.contains("a connection broke"), "{one}");
}
