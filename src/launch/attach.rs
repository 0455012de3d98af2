//! `attach` and `detach`: finds the session that is meant among those that run, and speaks with it.

use std::{
    io::stdout,
    path::{Path, PathBuf},
};

use super::{
    DONE, LEFT, Stopped, background, load, logs,
    screen::{self, Shown},
    sessions,
    told::{print, say},
};
use crate::{
    attach::{self, Attached, NotAttached, Owner, Places, Role},
    cli::{self, Global},
    engine::protocol::{Phase, Summary},
    headless::{self, Style, Watched},
    session::lock,
    tui::{self, Exit},
};

/// `reelhaul attach`.
pub(super) async fn attach(global: &Global, asked: cli::Attach) -> Result<u8, Stopped> {
    let screen = Shown::start(asked.screen, global)?;
    let places = background::places()?;
    let file = find(asked.session.as_deref(), &places, "attach").await?;
    match screen.lines {
        Some(style) => watch(&file, &places, style).await,
        None => look(global, screen, &file, &places).await,
    }
}

/// The same screen as the session's own, in this terminal.
async fn look(global: &Global, screen: Shown, file: &Path, places: &Places) -> Result<u8, Stopped> {
    let look = screen.options(&load(global)?)?;
    let Attached { handle, owner, log } = connect(file, places, Role::Screen).await?;
    let options = tui::Options {
        attached: true,
        session_file: Some(owner.file.clone()),
        log: Some(log),
        ..look
    };
    let summary = handle.summary();
    let exit = tui::run(handle, options).await.map_err(Stopped::left)?;
    let last = summary.borrow();
    match exit {
        Exit::Detached => {
            let name = sessions::name(&owner.session, &owner.file);
            say(&format!("{}reelhaul attach {name}", left(&last)));
            Ok(DONE)
        }
        Exit::EngineGone if last.phase != Phase::Stopped => Err(lost(&owner)),
        exit => Ok(screen::code(exit, &last)),
    }
}

/// What becomes of a session that a screen from elsewhere has left, up to the command that shows it
/// again. Whether its process stays is for that to know.
fn left(last: &Summary) -> &'static str {
    if last.goes_on() {
        "the session goes on; see it again with: "
    } else if last.counts.left() > 0 {
        "nothing is left to send until something is resumed or tried again: "
    } else {
        "nothing is left to send; see it again, while it runs, with: "
    }
}

fn lost(owner: &Owner) -> Stopped {
    let name = sessions::name(&owner.session, &owner.file);
    Stopped::left(format!(
        "the process {} that ran the session has gone without a word; go on with: reelhaul \
         resume {name}",
        owner.process
    ))
}

/// Lines until the session ends, or this is told to; the session goes on then.
async fn watch(file: &Path, places: &Places, style: Style) -> Result<u8, Stopped> {
    let Attached { handle, owner, .. } = connect(file, places, Role::Watcher).await?;
    let stops = headless::stop_signals(true).map_err(Stopped::left)?;
    let watched = headless::watch(handle, stops, stdout(), style).await;
    if watched == Watched::Lost {
        return Err(lost(&owner));
    }
    Ok(watched.exit_code())
}

/// `reelhaul detach`.
pub(super) async fn detach(global: &Global, asked: cli::Detach) -> Result<u8, Stopped> {
    logs::to_stderr(global)?;
    let places = background::places()?;
    let file = find(asked.session.as_deref(), &places, "detach").await?;
    let told = attach::detach(&file, &places).await;
    let outcome = told.map_err(|error| not_attached(&file, &error))?;
    print(&crate::error::clean(&outcome.words));
    Ok(if outcome.refused { LEFT } else { DONE })
}

/// Attaches to the session in this file.
async fn connect(file: &Path, places: &Places, role: Role) -> Result<Attached, Stopped> {
    let attached = attach::connect(file, places, role).await;
    attached.map_err(|error| not_attached(file, &error))
}

/// The file of the session that is named, or of the one that runs.
async fn find(session: Option<&Path>, places: &Places, command: &str) -> Result<PathBuf, Stopped> {
    let Some(named) = session else {
        return one(&attach::running(places).await, command).map(|owner| owner.file.clone());
    };
    let Some(name) = named.to_str() else {
        return Ok(named.to_owned());
    };
    let file = sessions::folder()?.file(name);
    if file.exists() {
        return Ok(file);
    }
    // One that is kept elsewhere is known by its name as long as it runs.
    let running = attach::running(places).await;
    let known = running.into_iter().find(|owner| owner.session == name);
    known.map_or_else(|| sessions::find(named), |owner| Ok(owner.file))
}

/// The one session that runs, if there is just one.
fn one<'a>(running: &'a [Owner], command: &str) -> Result<&'a Owner, Stopped> {
    match running {
        [] => Err(Stopped::usage(
            "no session runs; `reelhaul sessions` lists what is saved, `reelhaul resume` goes on",
        )),
        [owner] => Ok(owner),
        several => {
            let each = several.iter().map(|owner| {
                let name = sessions::name(&owner.session, &owner.file);
                format!("\n  reelhaul {command} {name}  (process {})", owner.process)
            });
            let each: String = each.collect();
            let words = format!("{} sessions run; name one:{each}", several.len());
            Err(Stopped::usage(words))
        }
    }
}

/// Why a session can't be attached to, and what can be done.
fn not_attached(file: &Path, error: &NotAttached) -> Stopped {
    if !matches!(error, NotAttached::NotRunning) {
        return Stopped::left(error);
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = sessions::name(&stem, file);
    if !file.is_file() {
        let words = format!("there is no session {name}; `reelhaul sessions` lists them");
        return Stopped::usage(words);
    }
    match lock::holder(file) {
        Some(holder) => Stopped::left(format!(
            "the session {name} is in use by {}, which does not take screens; its log says why",
            sessions::process(&holder)
        )),
        None => Stopped::usage(format!(
            "the session {name} does not run; go on with it: reelhaul resume {name}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(session: &str, process: u32) -> Owner {
        Owner {
            protocol: attach::PROTOCOL,
            version: "1".into(),
            process,
            session: session.into(),
            file: format!("/elsewhere/{session}.toml").into(),
        }
    }

    #[test]
    fn a_session_in_which_nothing_happens_is_not_said_to_go_on() {
        use crate::engine::protocol::State;
        let told = |states: &[State]| {
            let mut last = Summary::default();
            for state in states {
                last.counts.add(*state);
            }
            left(&last)
        };
        assert!(told(&[State::Paused, State::Processing]).starts_with("the session goes on"));
        for quiet in [&[State::Paused, State::Failed][..], &[State::Done]] {
            assert!(told(quiet).starts_with("nothing is left to send"));
        }
    }

    #[test]
    fn which_session_is_meant_is_never_guessed() {
        assert!(
            one(&[], "attach")
                .unwrap_err()
                .words
                .contains("no session runs")
        );
        assert_eq!(one(&[owner("a", 1)], "attach").unwrap().session, "a");
        let words = one(&[owner("a", 1), owner("b", 2)], "detach")
            .unwrap_err()
            .words;
        assert!(
            words.contains("reelhaul detach /elsewhere/a.toml  (process 1)"),
            "{words}"
        );
        assert!(
            words.contains("reelhaul detach /elsewhere/b.toml  (process 2)"),
            "{words}"
        );
    }
}
