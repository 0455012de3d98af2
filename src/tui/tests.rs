//! Tests of the screen from outside: whole screens, what keys lead to, anything at any size, and
//! the loop against an engine made for it.

mod any;
pub(super) mod fake;
mod flows;
mod folders;
mod live;
mod screens;

use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::{buffer::Buffer, layout::Rect};

use self::fake::World;
use super::{
    app::{App, Found},
    keys::KeyMap,
    theme::{Background, Depth, Theme},
    update::{Effect, Msg, moving, update},
    view,
};
use crate::engine::protocol::{Query, Reply};

/// A screen and the world it shows, without a loop between them.
pub(super) struct Screen {
    pub(super) app: App,
    pub(super) world: World,
}

impl Screen {
    /// A screen of this size that has asked once, and that a person has taken hold of: its cursor
    /// is on the first file and follows nothing.
    pub(super) fn new(world: World, width: u16, height: u16) -> Self {
        Self::made(world, width, height, false)
    }

    /// The same without the tree of folders: a line for each file.
    pub(super) fn flat(world: World, width: u16, height: u16) -> Self {
        let mut screen = Self::new(world, width, height);
        screen.press("t");
        screen
    }

    /// A screen with nobody before it.
    pub(super) fn unattended(world: World, width: u16, height: u16) -> Self {
        Self::made(world, width, height, true)
    }

    fn made(world: World, width: u16, height: u16, following: bool) -> Self {
        let mut app = App::new(
            Theme::new(Depth::True, Background::Dark, false),
            KeyMap::default(),
        );
        app.size = Rect::new(0, 0, width, height);
        app.here = "/mnt/archive".into();
        app.queue.following = following;
        let mut screen = Self { app, world };
        screen.told();
        screen
    }

    pub(super) fn with_theme(mut self, theme: Theme) -> Self {
        self.app.theme = theme;
        self
    }

    /// The engine tells its summary; what follows is answered.
    pub(super) fn told(&mut self) {
        let summary = Box::new(self.world.summary.clone());
        self.send(Msg::Summary(summary));
    }

    /// A message, and answers to all that is asked because of it; what else was to be done.
    pub(super) fn send(&mut self, msg: Msg) -> Vec<Effect> {
        let mut left = Vec::new();
        for effect in update(&mut self.app, msg) {
            match effect {
                Effect::Refresh => self.refresh(),
                Effect::Ask(Query::Details(id)) => {
                    if let Reply::Details(details) = self.world.reply(&Query::Details(id)) {
                        self.send(Msg::Details(details));
                    }
                }
                Effect::Ask(Query::Preview(settings)) => {
                    let reply = self.world.reply(&Query::Preview(settings.clone()));
                    if let Reply::Preview(preview) = reply {
                        self.send(Msg::Preview(settings, preview));
                    }
                }
                Effect::Mark(query) => {
                    let window = self.world.window(&query);
                    let found = window.lines.iter().filter_map(Found::of).collect();
                    self.send(Msg::Marked(found));
                }
                other => left.push(other),
            }
        }
        left
    }

    fn refresh(&mut self) {
        for _ in 0..2 {
            let query = self.app.queue.query(moving::rows(&self.app));
            let window = self.world.window(&query);
            update(&mut self.app, Msg::Window(query, window));
        }
        if let Some(id) = self.app.queue.upload()
            && let Reply::Parts(parts) = self.world.reply(&Query::Parts(id))
        {
            update(&mut self.app, Msg::Parts(id, parts));
        }
    }

    /// Presses keys, each a character or a name in angle brackets; what was to be done outside.
    pub(super) fn press(&mut self, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for event in typed(keys) {
            effects.extend(self.send(Msg::Input(event)));
        }
        effects
    }

    pub(super) fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::empty(self.app.size);
        view::paint(&self.app, &mut buffer);
        buffer
    }

    pub(super) fn text(&self) -> String {
        text(&self.buffer())
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let now = self.app.now + time;
        self.send(Msg::Clock(now));
    }
}

/// The events of keys: `"jj<enter>"`.
pub(super) fn typed(keys: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rest = keys;
    while let Some(c) = rest.chars().next() {
        let named = rest
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .filter(|(name, _)| name.len() > 1);
        let (code, modifiers, after) = match named {
            Some((name, after)) => {
                let (modifiers, name) = match name.strip_prefix("ctrl-") {
                    Some(name) => (KeyModifiers::CONTROL, name),
                    None => (KeyModifiers::NONE, name),
                };
                let code = match name {
                    "enter" => KeyCode::Enter,
                    "esc" => KeyCode::Esc,
                    "tab" => KeyCode::Tab,
                    "back" => KeyCode::Backspace,
                    "up" => KeyCode::Up,
                    "down" => KeyCode::Down,
                    "left" => KeyCode::Left,
                    "right" => KeyCode::Right,
                    other => KeyCode::Char(other.chars().next().unwrap()),
                };
                (code, modifiers, after)
            }
            None => (KeyCode::Char(c), KeyModifiers::NONE, &rest[c.len_utf8()..]),
        };
        events.push(Event::Key(KeyEvent::new(code, modifiers)));
        rest = after;
    }
    events
}

/// The cells as text, a line a row.
pub(super) fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
            }
            skip = crate::format::width(symbol).max(skip).saturating_sub(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Where a text begins on the screen.
pub(super) fn find(buffer: &Buffer, wanted: &str) -> Option<(u16, u16)> {
    let lines = text(buffer);
    lines.lines().zip(0u16..).find_map(|(line, y)| {
        let at = line.find(wanted)?;
        let x = crate::format::width(&line[..at]);
        Some((u16::try_from(x).ok()?, y))
    })
}
