//! Walks files and folders for media, in batches; blocking, so it belongs on a thread of its own.
//! Knows no queue: what it finds goes to a sink.
//!
//! What becomes of what:
//! - Media by extension ([`crate::metadata::mime`]) is found, under its name as given: absolute, but never
//!   canonicalised. Each folder is taken in the order of its names.
//! - Not media, empty files, fifos, sockets, devices and the folders in which systems keep their
//!   trash and bookkeeping are skipped with a reason. What a person's own globs leave out is not
//!   worth a word.
//! - Links to files are followed. Links to folders are not (a tree would be sent twice, or for
//!   ever), unless they were given by name. Links come last, so that a file which is itself in the
//!   tree is found under its own name.
//! - The same file under a second name (hard link, link, overlapping paths) is skipped.
//! - What can't be read is reported as such, and the walk goes on.

mod filters;
mod walk;

use std::{fs, io, ops::ControlFlow, path::PathBuf};

use self::{filters::Filters, walk::Walk};
use crate::{engine::protocol::AddPaths, error::clean};

/// A media file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is: absolute, by the names it was reached by.
    pub path: PathBuf,
    /// Its size in bytes, never 0.
    pub size: u64,
    /// When it was last modified: seconds since 1970 (before it when negative) and nanoseconds.
    pub modified: (i64, u32),
    /// Device and inode.
    pub inode: (u64, u64),
}

/// Something that is left out for a reason; no failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why, in words.
    pub reason: String,
}

/// Something that could not be read; a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it is.
    pub path: PathBuf,
    /// Why, in words.
    pub reason: String,
}

/// What a stretch of the walk brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The folder the walk is in now.
    pub at: PathBuf,
    /// Media files.
    pub found: Vec<Found>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Batch {
    fn len(&self) -> usize {
        self.found.len() + self.skipped.len() + self.unreadable.len()
    }
}

/// Why there is nothing to walk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScan {
    /// No path was given.
    #[error("no file or folder was named")]
    NoPath,
    /// A glob is none.
    #[error("{glob:?} is no glob: {why}")]
    BadGlob {
        /// As it was typed.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
    /// A path leads nowhere, or to what can't be looked at.
    #[error("{}: {why}", crate::path::shown(path))]
    BadPath {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A walk that can be begun: its globs are sound.
#[derive(Debug, Clone)]
pub struct Scan {
    roots: Vec<PathBuf>,
    filters: Filters,
}

impl Scan {
    /// Reads paths and globs; touches no file.
    ///
    /// # Errors
    /// When no path is given or a glob is none.
    pub fn new(add: &AddPaths) -> Result<Self, BadScan> {
        if add.paths.is_empty() {
            return Err(BadScan::NoPath);
        }
        let roots = add
            .paths
            .iter()
            .map(|path| {
                std::path::absolute(path).map_err(|error| BadScan::BadPath {
                    path: path.clone(),
                    why: words(&error),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            roots,
            filters: Filters::new(&add.include, &add.exclude)?,
        })
    }

    /// Looks whether every path given leads somewhere, so that a mistyped one is told before the
    /// work begins. Blocks on the disk.
    ///
    /// # Errors
    /// Names the first path that does not.
    pub fn check_roots(&self) -> Result<(), BadScan> {
        self.roots.iter().try_for_each(|root| {
            // A link that leads in circles is there, though: the walk tells of it.
            fs::symlink_metadata(root)
                .map(|_| ())
                .map_err(|error| BadScan::BadPath {
                    path: root.clone(),
                    why: words(&error),
                })
        })
    }

    /// Walks it all; hands what it finds to `sink` at least every 512 findings, and stops when that
    /// breaks. Blocks on the disk.
    pub fn walk(&self, sink: &mut dyn FnMut(Batch) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut walk = Walk::new(&self.roots, sink);
        for root in &self.roots {
            walk.root(root, &self.filters)?;
        }
        walk.end()
    }
}

/// Walks `add` and hands what it finds to `sink`, until that breaks: [`Scan::new`] and
/// [`Scan::walk`] in one.
///
/// # Errors
/// Before the walk, when no path is given or a glob is none.
pub fn walk(
    add: &AddPaths,
    sink: &mut dyn FnMut(Batch) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, BadScan> {
    Ok(Scan::new(add)?.walk(sink))
}

/// What went wrong, without the number that the system calls it by.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        _ => clean(&error.to_string()),
    }
}

#[cfg(test)]
mod tests;
