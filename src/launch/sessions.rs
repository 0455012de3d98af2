//! The sessions that are saved: listing them, and finding the one to go on with.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use super::{DONE, Stopped, told::print};
use crate::{
    config,
    engine::{elsewhere::Elsewhere, protocol::State, queue::Queue},
    session::{
        Folder,
        folder::beside,
        lock,
        read::{Opened, read, read_head},
        record::Record,
    },
};

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
        crate::error::clean(id)
    } else {
        crate::path::shown(file)
    }
}

/// Reads a session without opening it.
fn glance(path: &Path) -> Result<(Opened, Queue), Stopped> {
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
    for path in [file.to_owned(), beside(file, "lock"), beside(file, "log")] {
        drop(std::fs::remove_file(path));
    }
}

/// What the sessions that are saved hold for this destination. One that can't be read is passed over.
/// Blocks on the disk.
pub(super) fn elsewhere(destination: &str) -> Result<Elsewhere, Stopped> {
    let mut elsewhere = Elsewhere::default();
    for path in folder()?.list() {
        let passed_over = |error| tracing::warn!("{error}; what it holds may be sent once more");
        let head = match read_head(&path) {
            Ok(head) => head,
            Err(error) => {
                passed_over(error);
                continue;
            }
        };
        if head.destination != destination {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let runs = lock::holder(&path).is_some();
        let taken = elsewhere.take(name(&stem, &path), runs, |each| {
            read(&path, |record| {
                each(record);
                Ok(())
            })
            .map(drop)
        });
        if let Err(error) = taken {
            passed_over(error);
        }
    }
    Ok(elsewhere)
}

/// `reelhaul sessions`: a line for each, the one changed last first.
pub(super) fn list() -> Result<u8, Stopped> {
    let folder = folder()?;
    let files = folder.list();
    if files.is_empty() {
        print(&format!(
            "no sessions are saved in {}",
            folder.path().display()
        ));
    }
    for path in files {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = crate::error::clean(&name);
        match glance(&path) {
            Err(stopped) => print(&format!("{name}  {}", stopped.words)),
            Ok((opened, queue)) => {
                let counts = queue.counts();
                let bytes = queue.bytes();
                let iec = |bytes| ByteSize(bytes).display().iec().to_string();
                let held = lock::holder(&path)
                    .map_or_else(String::new, |holder| format!(", running in {holder}"));
                let failed = counts.of(State::Failed) + counts.of(State::Changed);
                let failed = if failed > 0 {
                    format!(", {failed} failed")
                } else {
                    String::new()
                };
                print(&format!(
                    "{name}  to {}: {} of {} files done{failed}, {} of {}{held}",
                    crate::error::clean(&opened.header.destination),
                    counts.of(State::Done),
                    queue.len() - counts.of(State::Skipped),
                    iec(bytes.acknowledged),
                    iec(bytes.total),
                ));
            }
        }
    }
    Ok(DONE)
}

/// The newest session with something left to do.
pub(super) fn newest_unfinished() -> Result<PathBuf, Stopped> {
    let folder = folder()?;
    let unfinished = |path: &PathBuf| {
        matches!(glance(path), Ok((_, queue)) if queue.counts().left() > 0)
            && lock::holder(path).is_none()
    };
    folder.list().into_iter().find(unfinished).ok_or_else(|| {
        Stopped::usage("no session is unfinished; `reelhaul sessions` lists what is saved")
    })
}
