//! How a session is shown: the screen, or lines where there is no terminal or none is wanted.

use std::{
    ffi::OsStr,
    io::{IsTerminal, stdin, stdout},
    path::Path,
};

use super::{DONE, INTERRUPTED, LEFT, Stopped, background, logs};
use crate::{
    attach::Served,
    cli::{self, Global, OnHangup},
    config::{Colour, Config},
    engine::{Handle, protocol::Summary},
    headless::Style,
    path::shown,
    tui::{self, Depth, Detach, Exit, KeyMap},
};

/// The keys as the config has them.
pub(super) fn keys(config: &Config) -> Result<KeyMap, Stopped> {
    KeyMap::from_toml(&config.keys)
        .map_err(|error| Stopped::usage(format!("{}: {error}", shown(&config.file))))
}

/// How a session is to be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) asked: cli::Screen,
    pub(super) lines: Option<Style>,
    /// Whether the session can outlive this process: what it uploads, and to where, stays.
    pub(super) lasting: bool,
}

impl Shown {
    /// Lines where they are wanted or there is no terminal, else the screen; starts the log where
    /// that is to go.
    pub(super) fn start(asked: cli::Screen, global: &Global) -> Result<Self, Stopped> {
        let terminal = stdout().is_terminal() && stdin().is_terminal();
        let lines = match (asked.json, asked.is_headless() || !terminal) {
            (true, _) => Some(Style::Json),
            (false, true) => Some(Style::Human),
            (false, false) => None,
        };
        if lines.is_some() {
            logs::to_stderr(global)?;
        } else if let Some(why) = no_screen(std::env::var_os("TERM").as_deref()) {
            let words = format!("this terminal can't show a screen ({why}): use --headless");
            return Err(Stopped::usage(words));
        } else {
            logs::to_pane(global)?;
        }
        Ok(Self {
            asked,
            lines,
            lasting: true,
        })
    }

    pub(super) fn is_headless(self) -> bool {
        self.lines.is_some()
    }

    /// What the screen is to be like, as the command line and the config say.
    pub(super) fn options(self, config: &Config) -> Result<tui::Options, Stopped> {
        let usual = tui::Options::default();
        let ui = config.ui;
        Ok(tui::Options {
            fps: self.asked.fps.or(ui.fps).map_or(usual.fps, u16::from),
            mouse: !self.asked.no_mouse && ui.mouse.unwrap_or(true),
            ascii: if self.asked.ascii {
                Some(true)
            } else {
                ui.ascii
            },
            color: match ui.colour.unwrap_or_default() {
                Colour::Auto => None,
                Colour::Always => Some(Depth::Indexed),
                Colour::Never => Some(Depth::Mono),
            },
            detach: match self.asked.on_hangup {
                _ if !self.lasting => Detach::Never,
                Some(OnHangup::Stop) => Detach::Asked,
                Some(OnHangup::Detach) | None => Detach::AskedOrHungUp,
            },
            keys: keys(config)?,
            ..usual
        })
    }
}

/// Why a terminal of this kind shows no screen, if that is so.
fn no_screen(term: Option<&OsStr>) -> Option<&'static str> {
    match term.and_then(OsStr::to_str) {
        None | Some("") => Some("TERM is not set"),
        Some("dumb") => Some("TERM=dumb"),
        Some(_) => None,
    }
}

/// The exit code of a session whose screen was left, by how it was left and what is left of it.
pub(super) fn code(exit: Exit, last: &Summary) -> u8 {
    match exit {
        _ if last.left() == 0 => DONE,
        Exit::Quit if last.counts.unsettled() + last.walks_left > 0 => INTERRUPTED,
        _ => LEFT,
    }
}

/// What became of a session that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is over; the exit code.
    Over(u8),
    /// It is to go on, and the terminal is no longer there.
    HungUp,
    /// It is to go on, and the terminal is wanted for something else.
    Detached,
}

/// Shows a session of this process on the screen until the person leaves or it is done.
pub(super) async fn show(
    handle: Handle,
    options: tui::Options,
    file: &Path,
    served: Option<&Served>,
) -> Result<Seen, Stopped> {
    let options = tui::Options {
        session_file: Some(file.to_owned()),
        ..options
    };
    let summary = handle.summary();
    let detach = options.detach;
    let asked = async {
        match served {
            Some(served) if detach != Detach::Never => served.asked_to_detach().await,
            _ => std::future::pending().await,
        }
    };
    let exit = tokio::select! {
        exit = tui::run(handle, options) => exit,
        () = asked => Ok(Exit::Detached),
    };
    let gone = background::terminal_is_gone();
    match exit {
        // A terminal that is gone may also be told by a frame that can't be drawn.
        Ok(Exit::Detached) | Err(_) if gone && detach == Detach::AskedOrHungUp => Ok(Seen::HungUp),
        Ok(Exit::Detached) => Ok(Seen::Detached),
        Ok(exit) => Ok(Seen::Over(code(exit, &summary.borrow()))),
        Err(error) => Err(Stopped::left(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::State;

    #[test]
    fn leaving_before_a_walk_has_found_anything_is_no_success() {
        let mut last = Summary {
            walks_left: 1,
            ..Summary::default()
        };
        assert_eq!(code(Exit::Quit, &last), INTERRUPTED);
        last.walks_left = 0;
        assert_eq!(code(Exit::Quit, &last), DONE);
        last.counts.add(State::Failed);
        assert_eq!(code(Exit::Quit, &last), LEFT);
    }
}
