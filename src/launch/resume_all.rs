//! `reelhaul resume --all`: every session that is unfinished and does not run, one after another, the one
//! that was changed last at the end.

use super::{
    DONE, INTERRUPTED, LEFT, Stopped, load,
    run::{open_console, run},
    screen::Shown,
    sessions,
    told::say,
    upload::{Again, prepare},
};
use crate::{
    cli::{self, Global},
    config::Config,
    headless::{Console, Style},
};

/// Resumes them; the exit code is the worst of theirs. One that stops on an error keeps none of the others
/// from running; a person or the system that ends one ends all.
pub(super) async fn resume_all(global: &Global, resume: cli::Resume) -> Result<u8, Stopped> {
    let asked = cli::Screen {
        headless: true,
        ..resume.screen
    };
    let screen = Shown::start(asked, global)?;
    let config = load(global)?;
    let style = screen.lines.unwrap_or(Style::Human);
    let mut console = open_console(&screen, style)?;
    let code = each((global, &config), &resume, screen, &mut console).await;
    console.end().await;
    code
}

async fn each(
    from: (&Global, &Config),
    resume: &cli::Resume,
    screen: Shown,
    console: &mut Console,
) -> Result<u8, Stopped> {
    let mut worst = None;
    for path in sessions::folder()?.list().into_iter().rev() {
        // At its turn: it may have been resumed or finished meanwhile.
        match sessions::is_to_be_resumed(&path) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(stopped) => {
                say(&format!("{}. It is not resumed", stopped.words));
                worst = worst.max(Some(LEFT));
                continue;
            }
        }
        if console.is_stopped() {
            say("not all sessions were resumed; continue with: reelhaul resume --all");
            return Ok(INTERRUPTED);
        }
        let name = sessions::name_of(&path);
        console.introduce(&name);
        let ended = one(from, &path, resume, screen, console).await;
        let code = ended.unwrap_or_else(|stopped| {
            say(&format!("session {name}: {}", stopped.words));
            stopped.code
        });
        worst = worst.max(Some(code));
    }
    if worst.is_none() {
        say("no session is to be resumed; `reelhaul sessions` lists what is saved");
    }
    Ok(worst.unwrap_or(DONE))
}

async fn one(
    (global, config): (&Global, &Config),
    path: &std::path::Path,
    resume: &cli::Resume,
    screen: Shown,
    console: &mut Console,
) -> Result<u8, Stopped> {
    let again = Again::of(resume);
    let (chosen, work) = tokio::select! {
        prepared = prepare(config, path, again, &resume.tuning, &screen) => prepared?,
        () = console.stopped() => return Ok(INTERRUPTED),
    };
    run((global, config), chosen, work, screen, Some(console)).await
}
