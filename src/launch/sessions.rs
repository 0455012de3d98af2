//! The sessions that are saved: listing them, finding the one to go on with, and removing some.

mod prune;
mod remove;
mod rm;

use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use serde_json::json;

use super::{
    DONE, Stopped,
    told::{print, say},
};
use crate::{
    config,
    engine::{protocol::State, queue::Queue},
    error::clean,
    format,
    path::shown,
    session::{
        Folder,
        folder::beside,
        lock,
        read::{Opened, read},
        record::Record,
    },
};

pub(super) use self::{prune::prune, rm::rm};

/// The folder with all sessions.
pub(super) fn folder() -> Result<Folder, Stopped> {
    Ok(Folder::new(config::sessions_dir()?))
}

/// What a person calls a session on the command line: its id, or its file when that is elsewhere.
pub(super) fn name(id: &str, file: &Path) -> String {
    // The folder may be reached through a symlink; the file's own name goes through none.
    let own = |folder: Folder| {
        let here = folder.file(id);
        here == file
            || matches!((here.canonicalize(), file.canonicalize()), (Ok(a), Ok(b)) if a == b)
    };
    if folder().is_ok_and(own) {
        clean(id)
    } else {
        shown(file)
    }
}

/// The same, of a session that is known by its file alone.
pub(super) fn name_of(file: &Path) -> String {
    name(
        &file.file_stem().unwrap_or_default().to_string_lossy(),
        file,
    )
}

/// Reads a session without opening it.
pub(super) fn glance(path: &Path) -> Result<(Opened, Queue), Stopped> {
    let mut queue = Queue::default();
    let opened = read(path, |record| match record {
        Record::Settings(_) => Ok(()),
        record => queue.restore(record),
    });
    let opened = opened.map_err(Stopped::usage)?;
    queue.restored();
    Ok((opened, queue))
}

/// Removes a session that holds nothing, with what lies beside it. What can't be removed does no harm.
pub(super) fn forget(file: &Path) {
    let besides = ["lock", "log", "damaged"].map(|extension| beside(file, extension));
    for path in besides.iter().map(PathBuf::as_path).chain([file]) {
        drop(std::fs::remove_file(path));
    }
}

/// The file of the session that is named: by its name, the beginning of that, or its file. One that
/// is nowhere is told when it is opened.
pub(super) fn find(wanted: &Path) -> Result<PathBuf, Stopped> {
    let Some(begin) = wanted.to_str() else {
        return Ok(wanted.to_owned());
    };
    let folder = folder()?;
    let file = folder.file(begin);
    if file == wanted || file.exists() {
        return Ok(file);
    }
    let stem = |path: &PathBuf| path.file_stem()?.to_str().map(str::to_owned);
    let mut meant = folder.list();
    meant.retain(|path| stem(path).is_some_and(|name| name.starts_with(begin)));
    match &*meant {
        [] => Ok(file),
        [one] => Ok(one.clone()),
        several => {
            let stems = several.iter().filter_map(stem);
            let listed: Vec<String> = stems.map(|name| format!("\n  {}", clean(&name))).collect();
            let listed = listed.concat();
            let words = format!(
                "{} sessions begin like that; name one:{listed}",
                several.len()
            );
            Err(Stopped::usage(words))
        }
    }
}

/// A session's holder without the moment since when it is that.
pub(super) fn process(holder: &str) -> &str {
    holder
        .split_once(", since")
        .map_or(holder, |(process, _)| process)
}

/// How many files a session has: what is skipped is none of them, nor is what could not be read.
fn files(queue: &Queue) -> usize {
    queue.len() - queue.counts().of(State::Skipped) - queue.unread()
}

/// What `reelhaul sessions` tells of one.
#[derive(Debug, Serialize)]
struct Listed {
    session: String,
    /// `running`, `unfinished`, `paused` (nothing goes on by itself, and nothing failed) or `done`.
    state: &'static str,
    /// When it was changed last, to the second.
    changed: Option<Timestamp>,
    destination: String,
    /// The folder that all its files lie in.
    #[serde(with = "crate::path::text")]
    folder: PathBuf,
    #[serde(with = "crate::path::text")]
    file: PathBuf,
    files: usize,
    done: usize,
    failed: usize,
    bytes: u64,
    bytes_done: u64,
    /// Who has it open.
    held_by: Option<String>,
}

impl Listed {
    fn new(session: String, path: PathBuf) -> Result<Self, Stopped> {
        let (opened, queue) = glance(&path)?;
        let counts = queue.counts();
        let holder = lock::holder(&path);
        let failed = counts.of(State::Failed) + counts.of(State::Changed);
        let modified = path.metadata().and_then(|found| found.modified()).ok();
        let changed = modified.and_then(|time| Timestamp::try_from(time).ok());
        Ok(Self {
            session,
            state: if holder.is_some() {
                "running"
            } else if queue.left() == 0 {
                "done"
            } else if queue.left() == counts.of(State::Paused) {
                "paused"
            } else {
                "unfinished"
            },
            changed: changed.and_then(|time| Timestamp::from_second(time.as_second()).ok()),
            destination: clean(&opened.header.destination),
            folder: queue.folder(),
            file: path,
            files: files(&queue),
            done: counts.of(State::Done),
            failed,
            bytes: queue.bytes().total,
            bytes_done: queue.bytes().acknowledged,
            held_by: holder.as_deref().map(|holder| process(holder).to_owned()),
        })
    }

    fn words(&self) -> String {
        let state = match &self.held_by {
            Some(process) => format!("running in {process}"),
            None => self.state.to_owned(),
        };
        let changed = self.changed.map_or_else(String::new, |time| {
            let time = time.to_zoned(TimeZone::system());
            format!("  {}", time.strftime("%Y-%m-%d %H:%M"))
        });
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {} failed", format::thousands(failed)),
        };
        format!(
            "{}  {state}{changed}  {} to {}: {} of {} done{failed}, {} of {}",
            self.session,
            shown(&self.folder),
            self.destination,
            format::thousands(self.done),
            format::count(self.files, "file"),
            format::bytes(self.bytes_done),
            format::bytes(self.bytes),
        )
    }
}

/// `reelhaul sessions`: a line for each, the one changed last first.
pub(super) fn list(json: bool) -> Result<u8, Stopped> {
    let folder = folder()?;
    let files = folder.list();
    if files.is_empty() && !json {
        print(&format!(
            "no sessions are saved in {}",
            folder.path().display()
        ));
    }
    for path in files {
        let name = clean(&path.file_stem().unwrap_or_default().to_string_lossy());
        let line = match (Listed::new(name.clone(), path), json) {
            (Ok(listed), true) => serde_json::to_string(&listed).map_err(Stopped::left)?,
            (Ok(listed), false) => listed.words(),
            (Err(error), true) => json!({ "session": name, "error": error.words }).to_string(),
            (Err(error), false) => format!("{name}  {}", error.words),
        };
        print(&line);
    }
    Ok(DONE)
}

/// A session that something is left of.
enum Unfinished {
    /// Nobody has it open.
    Idle,
    /// This process has it open.
    Running(String),
}

/// `None` for a finished session.
fn unfinished(path: &Path) -> Result<Option<Unfinished>, Stopped> {
    let (_, queue) = glance(path)?;
    Ok(match lock::holder(path) {
        // It may have found nothing yet.
        Some(holder) if queue.left() > 0 || queue.is_empty() => Some(Unfinished::Running(holder)),
        None if queue.left() > 0 => Some(Unfinished::Idle),
        _ => None,
    })
}

/// Whether something is left of this session, and it does not run.
///
/// # Errors
/// When it can't be read: nobody knows then.
pub(super) fn is_to_be_resumed(path: &Path) -> Result<bool, Stopped> {
    Ok(matches!(unfinished(path)?, Some(Unfinished::Idle)))
}

/// The newest session that something is left of and that does not run.
pub(super) fn newest_unfinished() -> Result<PathBuf, Stopped> {
    let mut running = Vec::new();
    for path in folder()?.list() {
        match unfinished(&path) {
            Err(stopped) => say(&stopped.words),
            Ok(None) => {}
            Ok(Some(Unfinished::Idle)) => return Ok(path),
            Ok(Some(Unfinished::Running(holder))) => running.push((path, holder)),
        }
    }
    Err(nothing_to_resume(&running))
}

/// Why no session can be resumed, where these run.
fn nothing_to_resume(running: &[(PathBuf, String)]) -> Stopped {
    match running {
        [] => Stopped::usage("no session is unfinished; `reelhaul sessions` lists what is saved"),
        [(path, holder)] => {
            let name = name_of(path);
            Stopped::left(format!(
                "the session {name} still runs ({}), and no other one is unfinished; see it with: \
                 reelhaul attach {name}",
                process(holder)
            ))
        }
        several => {
            let attach =
                |(path, _): &(PathBuf, _)| format!("\n  reelhaul attach {}", name_of(path));
            let attach: String = several.iter().map(attach).collect();
            Stopped::left(format!(
                "{} sessions still run, and no other one is unfinished; see one of them with:{attach}",
                several.len()
            ))
        }
    }
}
