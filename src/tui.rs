//! The screen: one client of the engine among others. It knows the engine by its
//! [`Handle`] alone, and keeps no copy of the queue: it asks for the
//! rows and parts it shows.
//!
//! ```text
//! key, click ─▶ keys (one table) ─▶ Action ─▶ update(App, Msg) ─▶ Effect ─▶ run ─▶ Handle
//!                                                 ▲                                  │
//!            draw(&App) ◀─ at most fps ─ App ─────┴──────── Summary, rows, parts ◀───┘
//! ```
//! `update` and `draw` are pure: clock and size are data in `App`. `run` alone waits and does.

mod action;
mod app;
mod keys;
mod layout;
mod log_view;
mod run;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod update;
mod view;

use std::{path::PathBuf, time::Duration};

use crossterm::event::EventStream;

pub use self::{
    keys::{BadKeys, KeyMap},
    log_view::{init_logging, log_layer},
    run::run_on,
    theme::Depth,
};
use crate::{engine::Handle, journal::Journal};

/// How the screen behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most frames a second while something moves; nothing is drawn while nothing changes.
    pub fps: u16,
    /// Whether clicks and the wheel are listened to.
    pub mouse: bool,
    /// Whether to keep to ASCII; `None`: as the locale says.
    pub ascii: Option<bool>,
    /// How many colours; `None`: as the environment says (`NO_COLOR`, `COLORTERM`, `TERM`).
    pub color: Option<Depth>,
    /// Whether the terminal is dark text on light; `None`: as `COLORFGBG` says, else light on dark.
    pub light: Option<bool>,
    /// The keys.
    pub keys: KeyMap,
    /// Whether the engine lives in another process and goes on when the screen leaves.
    pub attached: bool,
    /// Whether an engine that lives in this process can go on without the screen.
    pub detach: Detach,
    /// Where the session is kept, to be told at the end.
    pub session_file: Option<PathBuf>,
    /// The log of the process that holds the engine, where that is not this one.
    pub log: Option<Journal>,
    /// Is told how long each frame took, drawing and writing; for measuring.
    pub on_frame: Option<fn(Duration)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fps: 10,
            mouse: true,
            ascii: None,
            color: None,
            light: None,
            keys: KeyMap::default(),
            attached: false,
            detach: Detach::Never,
            session_file: None,
            log: None,
            on_frame: None,
        }
    }
}

/// When the screen may be left with [`Exit::Detached`] though the engine lives in this process:
/// whoever opened the screen sees to it that the engine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detach {
    /// Never: leaving is stopping.
    #[default]
    Never,
    /// When the person wants it.
    Asked,
    /// Also when the terminal is gone.
    AskedOrHungUp,
}

/// How the screen was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The engine was told to stop while something was left.
    Quit,
    /// Everything was at its end.
    Finished,
    /// The engine goes on without this screen.
    Detached,
    /// The engine ended, or the connection to it, without having been told to.
    EngineGone,
}

/// Why there is no screen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no terminal, or one that can't be drawn on.
    #[error("{0}; --headless works without a screen")]
    NoScreen(&'static str),
    /// The terminal failed.
    #[error("the terminal failed: {0}")]
    Terminal(String),
}

impl Error {
    fn terminal(error: impl std::error::Error) -> Self {
        Self::Terminal(error.to_string())
    }
}

/// Opens the screen on this process's terminal and stays until the person leaves or the engine is
/// done. The terminal is given back as it was, also after a panic.
///
/// # Errors
/// When there is no terminal to draw on, or it fails.
pub async fn run(handle: Handle, options: Options) -> Result<Exit, Error> {
    let mut screen = terminal::Screen::open(options.mouse)?;
    let outside = terminal::outside(EventStream::new()).map_err(Error::terminal)?;
    let hold = terminal::Ours {
        mouse: options.mouse,
    };
    run::run_with(handle, options, &mut screen.terminal, outside, hold).await
}
