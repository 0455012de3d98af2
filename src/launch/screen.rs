//! How a session is shown: the screen, or lines where there is no terminal or none is wanted.

use std::{
    io::{IsTerminal, stdin, stdout},
    path::Path,
};

use super::{DONE, LEFT, Stopped, logs};
use crate::{
    cli::{self, Global},
    config::{Colour, Config},
    engine::{
        Handle,
        protocol::{State, Summary},
    },
    headless::Style,
    tui::{self, Depth, Exit, KeyMap},
};

/// How a session is to be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) asked: cli::Screen,
    pub(super) lines: Option<Style>,
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
        } else if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
            let words = "this terminal can't show a screen (TERM=dumb): use --headless";
            return Err(Stopped::usage(words));
        } else {
            logs::to_pane(global)?;
        }
        Ok(Self { asked, lines })
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
            keys: KeyMap::from_toml(&config.keys).map_err(Stopped::usage)?,
            ..usual
        })
    }
}

/// Shows a session of this process on the screen until the person leaves or it is done.
pub(super) async fn show(
    handle: Handle,
    options: tui::Options,
    file: &Path,
) -> Result<u8, Stopped> {
    let options = tui::Options {
        session_file: Some(file.to_owned()),
        ..options
    };
    let summary = handle.summary();
    let exit = tui::run(handle, options).await.map_err(Stopped::left)?;
    let left = left(&summary.borrow());
    Ok(match exit {
        _ if left == 0 => DONE,
        Exit::Quit | Exit::Finished | Exit::Detached | Exit::EngineGone => LEFT,
    })
}

/// How many uploads are neither done nor left out.
pub(super) fn left(summary: &Summary) -> usize {
    let counts = &summary.counts;
    counts.total() - counts.of(State::Done) - counts.of(State::Skipped)
}
