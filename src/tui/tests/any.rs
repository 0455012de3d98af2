//! Whatever names, states, sizes and keys: never a panic, never a character that steers a terminal.

use std::path::PathBuf;

use proptest::prelude::*;
use ratatui::{buffer::Buffer, layout::Rect};

use super::{Screen, fake::World};
use crate::{
    engine::protocol::{LimitedBy, PartState, State, Walk},
    error::is_unsafe,
    tui::{
        theme::{Background, Depth, Theme},
        update::Msg,
        view,
    },
};

const PART_STATES: [PartState; 6] = [
    PartState::Waiting,
    PartState::Running,
    PartState::Done,
    PartState::Verified,
    PartState::Retrying,
    PartState::Failed,
];

fn world() -> impl Strategy<Value = World> {
    let row = (
        ("((a|b|日本|\u{202e})/){0,6}", any::<String>()).prop_map(|(at, name)| at + &name),
        0usize..10,
        any::<u64>(),
        any::<u64>(),
        any::<String>(),
    );
    let states = prop::collection::vec((0usize..6, 0u32..3000), 0..6);
    (
        prop::collection::vec(row, 0..12),
        states,
        any::<(String, u64, u64, Option<u64>)>(),
        0usize..5,
    )
        .prop_map(|(rows, states, (words, rate, bytes, eta), limit)| {
            let mut world = World::busy();
            for (row, (name, state, size, acknowledged, note)) in world.rows.iter_mut().zip(rows) {
                row.path = PathBuf::from(name);
                row.state = State::ALL[state];
                (row.size, row.acknowledged) = (size, acknowledged);
                row.in_flight = acknowledged / 2;
                row.rate = rate;
                row.eta = eta;
                row.note = Some(note);
            }
            let parts = world.parts.iter_mut().find(|parts| parts.upload == 2);
            let parts = parts.expect("the world has an upload 2");
            parts.states = states
                .into_iter()
                .map(|(state, count)| (PART_STATES[state], count))
                .collect();
            parts.count = parts.states.iter().map(|(_, count)| count).sum();
            if let Some(failed) = parts.failed.first_mut() {
                failed.error.message.clone_from(&words);
            }
            let summary = &mut world.summary;
            summary.session.clone_from(&words);
            summary.destination.clone_from(&words);
            summary.save_error = eta.map(|_| words.clone());
            (summary.rate, summary.eta) = (rate, eta);
            summary.bytes.total = bytes;
            summary.bytes.acknowledged = rate;
            summary.history = vec![rate, bytes, 0];
            summary.limited_by = match limit {
                0 => LimitedBy::Idle,
                1 => LimitedBy::Waits,
                2 => LimitedBy::CallBudget {
                    budget: words.clone(),
                    left_ms: rate,
                },
                _ => LimitedBy::Line,
            };
            summary.walk = (limit == 3).then_some(Walk {
                files: 3,
                bytes,
                skipped: 1,
                at: words,
            });
            world
        })
}

fn safe(buffer: &Buffer) -> Result<(), TestCaseError> {
    for cell in &buffer.content {
        prop_assert!(!cell.symbol().contains(is_unsafe), "{:?}", cell.symbol());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn anything_at_any_size_is_drawn_safely(
        world in world(),
        width in 1u16..=400, height in 1u16..=100,
        small in any::<bool>(),
        keys in "[a-zA-Z?/*+<>()\\[\\] -]{0,12}|[cCUthljv *f/o]{0,12}",
        enter in prop::collection::vec("<(enter|esc|tab|up|down|left|right|back|ctrl-d|ctrl-l)>", 0..6),
        ascii in any::<bool>(),
    ) {
        let (width, height) = if small { (width % 60 + 1, height % 20 + 1) } else { (width, height) };
        let mut screen = Screen::unattended(world, width, height);
        if ascii {
            screen.app.theme = Theme::new(Depth::Mono, Background::Light, true);
        }
        safe(&screen.buffer())?;
        for (index, key) in keys.chars().enumerate() {
            screen.press(&key.to_string());
            if let Some(name) = enter.get(index) {
                screen.press(name);
            }
            safe(&screen.buffer())?;
        }
        if ascii {
            prop_assert!(screen.text().is_ascii());
        }
    }

    #[test]
    fn a_terminal_that_shrank_a_moment_ago_is_drawn_on_without_harm(
        width in 1u16..=200, height in 1u16..=60, keys in "[j?Taiqe]{0,2}",
    ) {
        let mut screen = Screen::new(World::busy(), 200, 60);
        screen.press(&keys);
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        view::paint(&screen.app, &mut buffer);
        safe(&buffer)?;
        screen.send(Msg::Input(crossterm::event::Event::Resize(width, height)));
        safe(&screen.buffer())?;
    }
}
