//! The loop with an engine at its other end: what it asks, when it draws, how it ends.

use std::{
    cell::Cell,
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crossterm::event::Event;
use futures_util::{Stream, StreamExt as _, stream};
use ratatui::{Terminal, backend::TestBackend};
use tokio::sync::mpsc;

use super::{fake, text, typed};
use crate::{
    engine::{
        Handle, Request,
        protocol::{Command, Query, State},
    },
    tui::{Depth, Exit, Options, run_on},
};

fn options() -> Options {
    Options {
        color: Some(Depth::True),
        ascii: Some(false),
        ..Options::default()
    }
}

fn terminal() -> Terminal<TestBackend> {
    Terminal::new(TestBackend::new(80, 24)).unwrap()
}

/// Keys handed in while the loop runs.
fn keyboard() -> (
    mpsc::UnboundedSender<Event>,
    impl Stream<Item = io::Result<Event>> + Unpin,
) {
    let (keys, mut pressed) = mpsc::unbounded_channel();
    let events = stream::poll_fn(move |context| pressed.poll_recv(context)).map(Ok);
    (keys, events)
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_seen_commanded_and_left() {
    let (handle, world) = fake::spawn(fake::World::busy());
    let (keys, events) = keyboard();
    let mut terminal = terminal();
    let person = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for event in typed("jjJ<ctrl-c>") {
            keys.send(event).unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (exit, ()) = tokio::join!(run_on(handle, options(), &mut terminal, events), person);
    assert_eq!(exit.unwrap(), Exit::Quit);
    let screen = text(terminal.backend().buffer());
    assert!(screen.contains("03 dance.mov"), "{screen}");
    let commands = &world.lock().unwrap().commands;
    assert!(
        matches!(commands.as_slice(), [Command::Move(..), Command::Stop]),
        "{commands:?}"
    );
}

static FRAMES: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(start_paused = true)]
async fn nothing_is_drawn_while_nothing_changes() {
    let mut world = fake::World::busy();
    world
        .rows
        .retain(|row| matches!(row.state, State::Done | State::Paused));
    world.count();
    let (handle, _world) = fake::spawn(world);
    let (keys, events) = keyboard();
    let options = Options {
        on_frame: Some(|_| {
            FRAMES.fetch_add(1, Ordering::SeqCst);
        }),
        ..options()
    };
    let mut terminal = terminal();
    let person = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let settled = FRAMES.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(FRAMES.load(Ordering::SeqCst), settled);
        for event in typed("<ctrl-c>") {
            keys.send(event).unwrap();
        }
    };
    let (exit, ()) = tokio::join!(run_on(handle, options, &mut terminal, events), person);
    assert_eq!(exit.unwrap(), Exit::Quit);
}

#[tokio::test(start_paused = true)]
async fn the_time_until_the_next_try_goes_down_though_nothing_else_happens() {
    let mut world = fake::World::busy();
    world.rows.retain(|row| row.state == State::Queued);
    world.rows[0].state = State::Creating;
    world.count();
    let (handle, mut server) = Handle::pair();
    server.summary.send_replace(world.summary.clone());
    let seconds = Cell::new(99);
    let engine = async {
        while let Some(request) = server.requests.recv().await {
            if let Request::Query(query, answer) = request {
                world.rows[0].note = Some(format!("again in {}s: answered 503", seconds.get()));
                answer.send(world.reply(&query)).unwrap();
            }
        }
    };
    let (keys, events) = keyboard();
    let mut terminal = terminal();
    let person = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        seconds.set(7);
        tokio::time::sleep(Duration::from_secs(1)).await;
        for event in typed("<ctrl-c><ctrl-c><ctrl-c>") {
            keys.send(event).unwrap();
        }
    };
    let screen = async {
        let (exit, ()) = tokio::join!(run_on(handle, options(), &mut terminal, events), person);
        exit
    };
    tokio::select! {
        exit = screen => drop(exit.unwrap()),
        () = engine => panic!("the engine ended first"),
    }
    let screen = text(terminal.backend().buffer());
    assert!(screen.contains("again in 7s"), "{screen}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_answered_while_the_engine_is_not() {
    let (handle, mut server) = Handle::pair();
    let world = fake::World::busy();
    server.summary.send_replace(world.summary.clone());
    // It answers the first question about rows and none after that.
    let mut kept = Vec::new();
    let engine = async {
        let mut answered = false;
        while let Some(request) = server.requests.recv().await {
            match request {
                Request::Query(query @ Query::Window(_), answer) if !answered => {
                    answered = true;
                    answer.send(world.reply(&query)).unwrap();
                }
                other => kept.push(other),
            }
        }
    };
    let (keys, events) = keyboard();
    let mut terminal = terminal();
    let seen = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for event in typed("jT") {
            keys.send(event).unwrap();
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        // Stop, at once, and without waiting for anyone.
        for event in typed("<ctrl-c><ctrl-c><ctrl-c>") {
            keys.send(event).unwrap();
        }
    };
    let screen = async {
        let (exit, ()) = tokio::join!(run_on(handle, options(), &mut terminal, events), seen);
        exit
    };
    let exit = tokio::select! {
        exit = screen => exit,
        () = engine => panic!("the engine ended first"),
    };
    assert_eq!(exit.unwrap(), Exit::Quit);
    let screen = text(terminal.backend().buffer());
    assert!(screen.contains("retries of a part"), "{screen}");
    assert!(screen.contains("waiting for the engine"), "{screen}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_ends_the_screen() {
    let (handle, server) = Handle::pair();
    drop(server);
    let (_keys, events) = keyboard();
    let exit = run_on(handle, options(), &mut terminal(), events).await;
    assert_eq!(exit.unwrap(), Exit::EngineGone);
}
