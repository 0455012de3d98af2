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
//! - The same file under a second name (hard link, link, another way to its folder) is found under each:
//!   of which one it is uploaded is decided when it is.
//! - Of each path is reported once what becomes of it, also where it was given twice, or lies within
//!   another one that was given.
//! - What can't be read is reported as such, and the walk goes on.

mod filters;
mod walk;

use std::{
    collections::HashSet,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use self::{filters::Filters, walk::Walk};
use crate::{
    add_paths::AddPaths,
    error::clean,
    identity::{FileStat, Mount},
};

/// A media file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is: absolute, by the names it was reached by.
    pub path: PathBuf,
    /// What identifies it; its size is never 0.
    pub stat: FileStat,
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
    /// Disks that it met for the first time: those of the media files are among these, or were before.
    pub mounts: Vec<Mount>,
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
    /// Each with the path below which globs look.
    roots: Vec<Root>,
    filters: Filters,
}

/// Where a walk begins.
#[derive(Debug, Clone)]
struct Root {
    /// As a person named it.
    named: PathBuf,
    /// What of it is walked: all of it, or a path below.
    at: PathBuf,
}

/// The same with all paths absolute, so that it means the same wherever it is read again.
///
/// # Errors
/// When a path can't be made absolute.
pub fn absolute(add: &AddPaths) -> Result<AddPaths, BadScan> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|error| BadScan::BadPath {
            path: path.clone(),
            why: words(&error),
        })
    };
    Ok(AddPaths {
        paths: add.paths.iter().map(absolute).collect::<Result<_, _>>()?,
        ..add.clone()
    })
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
        let root = |path: PathBuf| Root {
            named: path.clone(),
            at: path,
        };
        Ok(Self {
            roots: absolute(add)?.paths.into_iter().map(root).collect(),
            filters: Filters::new(&add.include, &add.exclude)?,
        })
    }

    /// The same for some paths within what was named, which could not be read at first. One that is
    /// no longer there is skipped.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn again(add: &AddPaths, paths: &[PathBuf]) -> Result<Self, BadScan> {
        let whole = Self::new(add)?;
        let root = |at: &PathBuf| {
            let named = whole.roots.iter().map(|root| &root.named);
            let over = named.filter(|named| at.starts_with(named));
            let named = over.max_by_key(|named| named.as_os_str().len());
            Root {
                named: named.unwrap_or(at).clone(),
                at: at.clone(),
            }
        };
        Ok(Self {
            roots: paths.iter().map(root).collect(),
            filters: whole.filters.clone(),
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
            fs::symlink_metadata(&root.at)
                .map(|_| ())
                .map_err(|error| BadScan::BadPath {
                    path: root.at.clone(),
                    why: words(&error),
                })
        })
    }

    /// Walks it all; hands what it finds to `sink` at least every 512 findings, and stops when that
    /// breaks. Blocks on the disk.
    pub fn walk(&self, sink: &mut dyn FnMut(Batch) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut given = HashSet::new();
        let mut roots = self.roots.clone();
        roots.retain(|root| given.insert(root.at.clone()));
        let at: Vec<&Path> = roots.iter().map(|root| &*root.at).collect();
        let mut walk = Walk::new(&at, sink);
        for root in &roots {
            walk.root(&root.named, &root.at, &self.filters)?;
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
