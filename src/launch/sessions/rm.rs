//! `reelhaul sessions rm`: removes the sessions that are named, and asks before it removes one that is
//! unfinished.

use super::{
    find, name_of,
    remove::{Cleaner, Locking},
};
use crate::{
    cli,
    config::Config,
    format,
    launch::{
        DONE, LEFT, Stopped,
        told::{ask, can_ask, print, say},
    },
    path::shown,
};

/// Removes them. All of them are locked first: where one can't be removed, none is.
pub(in crate::launch) fn rm(config: &Config, asked: &cli::Rm) -> Result<u8, Stopped> {
    let cleaner = Cleaner::new(config)?;
    let mut sessions: Vec<Locking> = Vec::new();
    for named in &asked.sessions {
        let path = find(named)?;
        let Ok(path) = path.canonicalize() else {
            return Err(Stopped::usage(format!(
                "there is no session {}; `reelhaul sessions` lists them",
                name_of(&path)
            )));
        };
        if sessions.iter().all(|session| session.path != path) {
            let locked = cleaner.lock(&path);
            sessions.push(locked.map_err(|stays| Stopped::usage(stays.words(&name_of(&path))))?);
        }
    }
    let unfinished = sessions.iter().find(|session| !session.is_finished());
    if let Some(session) = unfinished.filter(|_| !asked.yes && !can_ask()) {
        return Err(Stopped::usage(format!(
            "{}. Nothing was removed; to remove it all the same: reelhaul sessions rm --yes {}",
            what_is_lost(session),
            session.name
        )));
    }
    let mut code = DONE;
    for session in sessions {
        let is_wanted = session.is_finished()
            || asked.yes
            || ask(&format!("{}; remove it? [y/N] ", what_is_lost(&session)));
        if !is_wanted {
            say(&format!("{} stays", session.name));
            code = LEFT;
            continue;
        }
        let (name, words, next) = (
            session.name.clone(),
            session.words(),
            how_to_continue(&session),
        );
        match cleaner.remove(session) {
            Ok(()) => {
                print(&words);
                if let Some(next) = next {
                    print(&next);
                }
            }
            Err(stays) => {
                say(&stays.words(&name));
                code = LEFT;
            }
        }
    }
    Ok(code)
}

/// What of a session is lost with it: `"NAME has 3 files that are not uploaded"`.
fn what_is_lost(session: &Locking) -> String {
    let queue = &session.queue;
    let mut lost = Vec::new();
    match queue.counts().left() {
        0 => {}
        1 => lost.push("1 file that is not uploaded".to_owned()),
        files => lost.push(format!(
            "{} files that are not uploaded",
            format::thousands(files)
        )),
    }
    if queue.walks_left() > 0 {
        lost.push("folders that were not read to their end".to_owned());
    }
    match queue.orphans().count() {
        0 => {}
        count => lost.push(format!(
            "{} that may be left at the account, and that its file alone lists",
            format::count(count, "media object")
        )),
    }
    if session.is_damaged {
        lost.push("a damaged log, so that not all is known that it had".to_owned());
    }
    format!("{} has {}", session.name, lost.join(", and "))
}

/// How what the session had started can be continued, where it had started anything.
fn how_to_continue(session: &Locking) -> Option<String> {
    if session.started == 0 {
        return None;
    }
    let folder = session.queue.folder();
    let path = if folder.as_os_str().is_empty() {
        "PATH".to_owned()
    } else {
        shown(&folder)
    };
    Some(format!(
        "{} that it had started can be continued by: reelhaul up {path} --to {}",
        format::count(session.started, "upload"),
        crate::error::clean(&session.destination)
    ))
}
