//! The walk itself: what becomes of each entry, with one call to the disk for each file.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::{self, File, FileType, Metadata},
    io::{self, Read},
    ops::ControlFlow,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use walkdir::{DirEntry, WalkDir};

use super::{Batch, Found, Skipped, Unreadable, filters::Filters, words};
use crate::{
    identity::{FileStat, FileSystem, Mount},
    metadata,
    open_files::is_used_up,
};

/// How many findings are handed on at once at most.
pub(super) const BATCH: usize = 512;

/// For how long findings are held back at most, as long as the disk answers.
const EVERY: Duration = Duration::from_millis(100);

/// How long to wait before it is tried again whether there are open files to spare.
const CROWDED: Duration = Duration::from_millis(200);

/// Folders in which systems keep what a person threw away, snapshots and indexes. They hold media,
/// but not what anybody means by "this tree"; some are closed to all but root. Named as a path
/// itself, each is walked.
const SYSTEM_FOLDERS: &[&str] = &[
    "$RECYCLE.BIN",
    ".DocumentRevisions-V100",
    ".Spotlight-V100",
    ".TemporaryItems",
    ".Trash",
    ".Trashes",
    ".fseventsd",
    ".git",
    ".snapshot",
    ".snapshots",
    ".zfs",
    "@eaDir",
    "System Volume Information",
    "lost+found",
];

/// The walk under way.
pub(super) struct Walk<'a> {
    batch: Batch,
    flushed: Instant,
    sink: &'a mut dyn FnMut(Batch) -> ControlFlow<()>,
    /// Links to files, for the end.
    links: Vec<PathBuf>,
    /// The paths to walk that lie within another of them: what is there is met more than once.
    nested: HashSet<PathBuf>,
    /// What was reported of it.
    reported: HashSet<PathBuf>,
    /// The file system of each device.
    file_systems: HashMap<u64, FileSystem>,
    /// Where those are mounted that were reported.
    mounts: HashSet<PathBuf>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(roots: &[&Path], sink: &'a mut dyn FnMut(Batch) -> ControlFlow<()>) -> Self {
        Self {
            batch: Batch::default(),
            flushed: Instant::now(),
            sink,
            links: Vec::new(),
            nested: nested(roots),
            file_systems: HashMap::new(),
            mounts: HashSet::new(),
            reported: HashSet::new(),
        }
    }

    /// What is at a path, which is the one that was named or lies below it. Links are followed here,
    /// to folders too, when the person named them.
    pub(super) fn root(&mut self, root: &Path, at: &Path, filters: &Filters) -> ControlFlow<()> {
        if at != root && at.is_symlink() {
            self.links.push(at.to_path_buf());
            return ControlFlow::Continue(());
        }
        let metadata = match fs::metadata(at) {
            Ok(metadata) => metadata,
            Err(_) if at != root && is_gone(root, at) => {
                self.skipped(at.to_path_buf(), "it is no longer there");
                return ControlFlow::Continue(());
            }
            Err(error) => {
                self.no_metadata(at, &error);
                return ControlFlow::Continue(());
            }
        };
        if !metadata.is_dir() {
            let below = if at == root {
                at.file_name().map_or(at, Path::new)
            } else {
                strip(root, at)
            };
            if filters.take(at, below) {
                self.leaf(at, metadata.file_type(), || Ok(metadata));
            }
            return self.flush_when_due();
        }
        at.clone_into(&mut self.batch.at);
        let mut entries = WalkDir::new(at)
            .min_depth(1)
            .sort_by_file_name()
            .into_iter();
        while let Some(entry) = entries.next() {
            match entry {
                Err(error) => {
                    let path = error.path().unwrap_or(at).to_path_buf();
                    let error = io_error(error);
                    if is_used_up(&error) {
                        self.wait_for_room(|| fs::read_dir(&path).map(drop))?;
                        self.root(root, &path, filters)?;
                    } else {
                        self.unreadable(path, words(&error));
                    }
                }
                Ok(entry) if entry.file_type().is_dir() => {
                    if !self.enter(&entry, root, filters) {
                        entries.skip_current_dir();
                    }
                }
                Ok(entry) if !filters.take(entry.path(), strip(root, entry.path())) => {}
                Ok(entry) if entry.path_is_symlink() => self.links.push(entry.into_path()),
                Ok(entry) => {
                    let metadata = || entry.metadata().map_err(io_error);
                    self.leaf(entry.path(), entry.file_type(), metadata);
                }
            }
            self.flush_when_due()?;
        }
        ControlFlow::Continue(())
    }

    /// Returns when a look at the disk finds open files to spare. Parts in flight take them for a while,
    /// and what can't be looked at meanwhile is not unreadable.
    fn wait_for_room(&mut self, look: impl Fn() -> io::Result<()>) -> ControlFlow<()> {
        while look().is_err_and(|error| is_used_up(&error)) {
            thread::sleep(CROWDED);
            self.flush()?;
        }
        ControlFlow::Continue(())
    }

    /// Whether a folder is walked.
    fn enter(&mut self, folder: &DirEntry, root: &Path, filters: &Filters) -> bool {
        let path = folder.path();
        if filters.leave_out(path, strip(root, path)) {
            return false;
        }
        if is_system_folder(folder.file_name()) {
            if self.nested.contains(path) {
                return false; // its turn comes
            }
            let reason = "a folder of the system's own: name it to have it walked";
            self.skipped(path.to_path_buf(), reason);
            return false;
        }
        path.clone_into(&mut self.batch.at);
        true
    }

    /// What is left when every path was walked.
    pub(super) fn end(&mut self) -> ControlFlow<()> {
        for link in std::mem::take(&mut self.links) {
            self.link(&link);
            self.flush_when_due()?;
        }
        self.flush()
    }

    /// A link inside a tree, after all else was found.
    fn link(&mut self, path: &Path) {
        match fs::metadata(path) {
            Err(error) => self.no_metadata(path, &error),
            Ok(target) if target.is_dir() && self.nested.contains(path) => {} // it was walked
            Ok(target) if target.is_dir() => {
                let reason = if leads_back(path) {
                    "link loop"
                } else {
                    "a link to a folder: not followed, name it to have it walked"
                };
                self.skipped(path.to_path_buf(), reason);
            }
            Ok(target) => self.leaf(path, target.file_type(), || Ok(target)),
        }
    }

    /// A file, or what looks like one. `metadata` is asked only when it is needed: it is the one
    /// call to the disk that a file costs.
    fn leaf(
        &mut self,
        path: &Path,
        kind: FileType,
        metadata: impl FnOnce() -> io::Result<Metadata>,
    ) {
        if self.reported.contains(path) {
            return;
        }
        if let Some(reason) = not_a_file(kind).or_else(|| not_media(path)) {
            return self.skipped(path.to_path_buf(), reason);
        }
        let metadata = match metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.no_metadata(path, &error),
        };
        if metadata.len() == 0 {
            return self.skipped(path.to_path_buf(), "empty");
        }
        if metadata::may_be_text(path) {
            let read = loop {
                match reads_as_text(path) {
                    Err(error) if is_used_up(&error) => {
                        if self.wait_for_room(|| File::open(path).map(drop)).is_break() {
                            return;
                        }
                    }
                    read => break read,
                }
            };
            match read {
                Ok(false) => {}
                Ok(true) => return self.skipped(path.to_path_buf(), "not media: it is text"),
                Err(error) => return self.unreadable(path.to_path_buf(), words(&error)),
            }
        }
        self.report(path);
        let file_system = self.file_system(path, metadata.dev());
        self.batch.found.push(Found {
            path: path.to_path_buf(),
            stat: FileStat::new(&metadata, file_system),
        });
    }

    /// The file system of a file on this device. It is asked for once, and so is where it is mounted.
    fn file_system(&mut self, path: &Path, device: u64) -> FileSystem {
        if let Some(known) = self.file_systems.get(&device) {
            return *known;
        }
        let on = FileSystem::at(path);
        self.file_systems.insert(device, on);
        // Of the folder: some file systems give files devices of their own.
        let folder = path.parent().unwrap_or(path);
        if let Some(mount) = Mount::of(folder, on)
            && self.mounts.insert(mount.path.clone())
        {
            self.batch.mounts.push(mount);
        }
        on
    }

    /// Something that can't be looked at: a link in circles, or a failure. A link that leads
    /// nowhere is one only when media is missing by it.
    fn no_metadata(&mut self, path: &Path, error: &io::Error) {
        let dangling = error.kind() == io::ErrorKind::NotFound && path.is_symlink();
        if error.raw_os_error() == Some(ELOOP) {
            self.skipped(path.to_path_buf(), "link loop");
        } else if !dangling {
            self.unreadable(path.to_path_buf(), words(error));
        } else if not_media(path).is_some() {
            self.skipped(path.to_path_buf(), "a link that leads nowhere");
        } else {
            self.unreadable(path.to_path_buf(), "a link that leads nowhere".to_owned());
        }
    }

    fn skipped(&mut self, path: PathBuf, reason: &str) {
        if self.report(&path) {
            let reason = reason.to_owned();
            self.batch.skipped.push(Skipped { path, reason });
        }
    }

    fn unreadable(&mut self, path: PathBuf, reason: String) {
        if self.report(&path) {
            self.batch.unreadable.push(Unreadable { path, reason });
        }
    }

    /// Whether nothing was reported of this path before. Only paths that may come again are remembered:
    /// for all of a large tree that would take too much memory.
    fn report(&mut self, path: &Path) -> bool {
        let again =
            !self.nested.is_empty() && path.ancestors().any(|above| self.nested.contains(above));
        !again || self.reported.insert(path.to_path_buf())
    }

    fn flush_when_due(&mut self) -> ControlFlow<()> {
        if self.batch.len() >= BATCH || self.flushed.elapsed() >= EVERY {
            self.flush()
        } else {
            ControlFlow::Continue(())
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        let next = Batch {
            at: self.batch.at.clone(),
            ..Batch::default()
        };
        self.flushed = Instant::now();
        (self.sink)(std::mem::replace(&mut self.batch, next))
    }
}

/// `ELOOP` as Linux numbers it: std has no stable name for it.
#[cfg(target_os = "linux")]
const ELOOP: i32 = 40;
/// `ELOOP` as macOS and the BSDs number it.
#[cfg(not(target_os = "linux"))]
const ELOOP: i32 = 62;

fn strip<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

fn not_a_file(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_fifo() {
        Some("a fifo")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("a device")
    } else {
        Some("no file")
    }
}

fn not_media(path: &Path) -> Option<&'static str> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if metadata::mime(path).is_none() {
        Some("not media")
    } else if name.starts_with(b"._") {
        // macOS leaves one beside each file on volumes that are not its own, extension and all.
        Some("not media: attributes kept by macOS")
    } else {
        None
    }
}

fn reads_as_text(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(1024).read_to_end(&mut head)?;
    Ok(metadata::is_text(&head))
}

fn is_system_folder(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| SYSTEM_FOLDERS.contains(&name) || name.starts_with(".Trash-"))
}

/// Whether this link leads to a folder that it lies in.
fn leads_back(link: &Path) -> bool {
    let parent = link.parent().map(fs::canonicalize);
    match (fs::canonicalize(link), parent) {
        (Ok(target), Some(Ok(parent))) => parent.starts_with(target),
        _ => false,
    }
}

/// The paths that lie within another one, by their names.
fn nested(roots: &[&Path]) -> HashSet<PathBuf> {
    let all: HashSet<&Path> = roots.iter().copied().collect();
    let within = |root: &&&Path| root.ancestors().skip(1).any(|above| all.contains(above));
    let nested = roots.iter().filter(within);
    nested.map(|root| root.to_path_buf()).collect()
}

/// Whether a path below one that is there is not there itself. Of one that is too long to be looked at,
/// a folder on the way to it tells.
fn is_gone(root: &Path, at: &Path) -> bool {
    let missing = |path: &Path| {
        fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let mut way = at.ancestors().take_while(|path| *path != root);
    !missing(root) && way.any(missing)
}

/// The system's own error, without the words that the walk puts around it.
fn io_error(error: walkdir::Error) -> io::Error {
    let words = error.to_string();
    error
        .into_io_error()
        .unwrap_or_else(|| io::Error::other(words))
}
