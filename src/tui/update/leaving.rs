//! The end: of the uploads, and of the screen, which the engine may outlive.

use super::{Effect, say};
use crate::{
    engine::protocol::{Command, LimitedBy, State},
    tui::{
        Detach, Exit,
        action::Action,
        app::{App, Dialog, Leaving, Tone},
    },
};

/// Whether this end is to be told by itself: when all is done, each time; when something failed, the
/// first time. A pause is the person's own, and a retry that failed again is seen where it was asked.
pub(super) fn is_an_end(app: &mut App) -> bool {
    let counts = &app.summary.counts;
    let halted = matches!(app.summary.limited_by, LimitedBy::Halted { .. });
    if counts.of(State::Paused) > 0 || halted {
        return false;
    }
    let first = !std::mem::replace(&mut app.end_told, true);
    first || counts.left() == 0
}

pub(super) fn end_of(app: &App) -> Exit {
    if App::left(&app.summary.counts) == 0 {
        Exit::Finished
    } else {
        Exit::Quit
    }
}

/// Whether the engine goes on when the screen is left.
pub(in crate::tui) fn can_detach(app: &App) -> bool {
    app.attached || app.detach != Detach::Never
}

/// Whether the engine goes on when the terminal is gone; not when the person was stopping it.
pub(in crate::tui) fn outlives(app: &App) -> bool {
    app.attached || app.detach == Detach::AskedOrHungUp && matches!(app.leaving, Leaving::No)
}

/// Leaving: asks where uploads run; a second time is at once, a third does not wait for anyone.
pub(super) fn leave(app: &mut App, action: Action) -> Vec<Effect> {
    match app.leaving {
        Leaving::Stopping => {
            app.leaving = Leaving::AtOnce;
            return vec![Effect::Command(Command::StopNow)];
        }
        Leaving::AtOnce => return vec![Effect::Leave(Exit::Quit)],
        Leaving::No => {}
    }
    if action == Action::Detach {
        if can_detach(app) {
            return vec![Effect::Leave(Exit::Detached)];
        }
        say(app, Tone::Bad, "this session ends with its screen");
        return Vec::new();
    }
    if app.attached || (action == Action::Quit && app.summary.goes_on()) {
        app.dialog = Some(Dialog::Quit);
        return Vec::new();
    }
    stop(app)
}

pub(super) fn stop(app: &mut App) -> Vec<Effect> {
    app.dialog = None;
    app.leaving = Leaving::Stopping;
    vec![Effect::Command(Command::Stop)]
}
