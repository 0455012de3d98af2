//! A session that goes on without its terminal: in this process when the terminal is gone, in one of
//! its own when a person leaves on purpose, since a shell waits for what it started.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{self, Child, Stdio},
    time::Duration,
};

use clap::CommandFactory;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use super::{DONE, INTERRUPTED, LEFT, Stopped, logs, screen::Seen, sessions, told::say};
use crate::{
    attach::{self, Limits, Places, Role, Served},
    cli::{Cli, Global},
    config,
    engine::{
        Handle,
        protocol::{Command, Phase, Summary},
    },
    headless::{self, Report, Style},
    session::folder::beside,
};

/// How long the new process may take until it serves the session: it reads the session's file and
/// asks the destination once.
const START: Duration = Duration::from_mins(1);

/// Where this user's sessions are served.
///
/// # Errors
/// When there is no state folder.
pub fn places() -> Result<Places, Stopped> {
    Ok(Places::usual(&config::state_dir()?))
}

/// Lets other processes attach. A session does not depend on that.
pub(super) fn serve(handle: &Handle, id: &str, file: &Path) -> Option<Served> {
    let places = places().ok()?;
    let limits = Limits::default();
    attach::serve(handle.clone(), id, file, &places, limits, logs::journal())
        .inspect_err(|error| tracing::warn!("no other screen can attach: {error}"))
        .ok()
}

/// How many screens are attached, where they can be.
pub(super) fn screens(served: Option<&Served>) -> watch::Receiver<usize> {
    served.map_or_else(|| watch::channel(0).1, Served::screens)
}

/// Whether the terminal this process was started on is no longer there (its line was hung up): the
/// screen has led input and output elsewhere then.
#[must_use]
pub fn terminal_is_gone() -> bool {
    !io::stdin().is_terminal() && !io::stdout().is_terminal()
}

/// Goes on in this process without the terminal, until the session is at its end or SIGTERM comes.
/// Nobody waits for it any more, so nobody is told how far it is but those who attach.
///
/// # Errors
/// When signals can't be listened to.
pub(super) async fn go_on_here(handle: Handle, served: Option<&Served>) -> Result<Report, Stopped> {
    let stops = headless::stop_signals(false).map_err(Stopped::left)?;
    let (_, nothing) = mpsc::unbounded_channel();
    let screens = screens(served);
    Ok(headless::run(handle, nothing, stops, io::sink(), Style::Human, screens).await)
}

/// Stops the engine so that another process can go on with its session: a walk is waited for, since
/// what it has yet to find is written nowhere, and so are the parts in flight, for a while.
///
/// SIGINT and SIGTERM end the session here instead; so does that nothing is left to go on with.
pub(super) async fn stop_for_another(handle: &Handle) -> Seen {
    let stops = headless::stop_signals(false);
    let mut summary = handle.summary();
    let waits = waits_for(&summary.borrow());
    if let Some(words) = waits {
        say(words);
    }
    let ended = async {
        // Fails when the engine has gone, which is as good.
        drop(summary.wait_for(|now| now.walk.is_none()).await);
        drop(handle.command(Command::Stop).await);
        drop(summary.wait_for(|now| now.phase == Phase::Stopped).await);
    };
    let told = async {
        match stops {
            Ok(mut stops) => drop(stops.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = ended => {}
        () = told => {
            drop(handle.command(Command::StopNow).await);
            return Seen::Over(INTERRUPTED);
        }
    }
    let last = handle.summary().borrow().clone();
    match (last.counts.unsettled(), last.counts.left()) {
        (1.., _) => Seen::Detached,
        (0, 1..) => Seen::Over(LEFT),
        (0, 0) => Seen::Over(DONE),
    }
}

/// What is waited for before a session is left to another process, in words; nothing of what is
/// paused goes on there.
fn waits_for(now: &Summary) -> Option<&'static str> {
    if now.walk.is_some() {
        Some("once all files are found, the session goes on in the background …")
    } else if now.parts_running == 0 {
        None
    } else if now.goes_on() {
        Some("after the parts in flight, the session goes on in the background …")
    } else {
        Some("the parts in flight are waited for …")
    }
}

/// Has another process go on with a session that was stopped for that, and says where it is.
pub(super) async fn hand_over(global: &Global, id: &str, file: &Path) -> Result<u8, Stopped> {
    let program = std::env::current_exe().map_err(Stopped::left)?;
    let there = go_on_in_background(&program, global, file, &places()?).await?;
    let name = sessions::name(id, file);
    say(&format!(
        "the session goes on in the background (process {}); see it again with: reelhaul attach \
         {name}",
        there.process
    ));
    say(&format!("its log is in {}", crate::path::shown(&there.log)));
    Ok(DONE)
}

/// Leaves the session (the system's, not ours) that this process's terminal belongs to, so that
/// nothing that happens to that concerns it, and nothing it starts can ask there.
pub(super) fn leave_terminal_session() -> Result<(), Stopped> {
    match rustix::process::setsid() {
        // One that leads a group already was started as such, and is as far away as it can be.
        Ok(_) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(error) => Err(Stopped::left(error)),
    }
}

/// A session that goes on in a process of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Background {
    /// The process.
    pub process: u32,
    /// Where its log is.
    pub log: PathBuf,
}

/// Goes on with a session in a process of its own, which no terminal belongs to, and returns once
/// that serves it. The session must be saved and its lock given back: the engine has ended. To be
/// called by this very program: `program` is it.
///
/// # Errors
/// When the new process could not be started or ended at once, with its words.
pub async fn go_on_in_background(
    program: &Path,
    global: &Global,
    session_file: &Path,
    places: &Places,
) -> Result<Background, Stopped> {
    let failed = |words: String| {
        let name = sessions::name_of(session_file);
        Stopped::left(format!(
            "the session could not go on in the background: {words}\nit is saved; go on with: \
             reelhaul resume {name}"
        ))
    };
    let io = |error: io::Error| failed(error.to_string());
    let file = std::path::absolute(session_file).map_err(io)?;
    let path = beside(&file, "log");
    // What is there stays: it is an older log of this session's, or not ours at all.
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    let mut log = options.mode(0o600).open(&path).map_err(io)?;
    let before = log.metadata().map_err(io)?.len();
    let errors = log.try_clone().map_err(io)?;
    let mut child = command(program, global, &file)
        .stderr(errors)
        .spawn()
        .map_err(io)?;
    match until_served(&mut child, &file, places).await {
        Ok(true) => Ok(Background {
            process: child.id(),
            log: path,
        }),
        Ok(false) => Err(failed(last_words(&mut log, before))),
        Err(error) => Err(io(error)),
    }
}

fn command(program: &Path, global: &Global, file: &Path) -> process::Command {
    let mut command = process::Command::new(program);
    command.arg("resume").arg(file);
    command.args(["--headless", "--background", "--on-hangup", "detach"]);
    if let Some(config) = &global.config {
        command.arg("--config").arg(config);
    }
    if let Some(log) = &global.log_file {
        command.arg("--log-file").arg(log);
    }
    command.args((0..global.verbose).map(|_| "--verbose"));
    // What was tuned on the screen is the session's; the environment had its say before.
    for argument in Cli::command()
        .find_subcommand("resume")
        .into_iter()
        .flat_map(clap::Command::get_arguments)
    {
        if let Some(name) = argument.get_env() {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Waits until the child serves the session; `false` when it ended before.
async fn until_served(child: &mut Child, file: &Path, places: &Places) -> io::Result<bool> {
    let until = Instant::now() + START;
    loop {
        if let Ok(attached) = attach::connect(file, places, Role::Watcher).await
            && attached.owner.process == child.id()
        {
            return Ok(true);
        }
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        if until <= Instant::now() {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// What a process said last, of what it wrote to this file behind what was there before.
fn last_words(log: &mut File, before: u64) -> String {
    const MOST: u64 = 2000;
    let mut text = Vec::new();
    let length = log.metadata().map_or(0, |found| found.len());
    let read = log
        .seek(SeekFrom::Start(length.saturating_sub(MOST).max(before)))
        .and_then(|_| log.take(MOST).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match (
        read,
        text.lines().rev().find(|line| !line.trim().is_empty()),
    ) {
        (Ok(_), Some(line)) => {
            let line = crate::error::clean(line);
            line.strip_prefix("reelhaul: ").unwrap_or(&line).to_owned()
        }
        _ => "the new process ended without a word".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::State;

    #[test]
    fn nothing_is_said_to_go_on_where_all_that_is_left_was_paused() {
        let mut now = Summary::default();
        now.counts.add(State::Paused);
        assert_eq!(waits_for(&now), None);
        now.parts_running = 2;
        assert_eq!(
            waits_for(&now),
            Some("the parts in flight are waited for …")
        );
        now.counts.add(State::Queued);
        let words = "after the parts in flight, the session goes on in the background …";
        assert_eq!(waits_for(&now), Some(words));
    }
}
