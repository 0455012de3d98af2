//! The folder with all sessions: making, finding, listing and opening them.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tokio::sync::oneshot;

use super::{
    lock::{Lock, Locked},
    read::{Opened, Unreadable, read},
    record::{self, BadTable, Header, Kept, Record},
    store::Store,
};
use crate::settings::Settings;

/// A session that is open and locked.
#[derive(Debug)]
pub struct Open {
    /// Its head, with the settings it was left with.
    pub header: Header,
    /// Its file.
    pub store: Store,
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes a crash had torn off its end.
    pub torn: u64,
    /// Held as long as the session is open.
    pub lock: Lock,
}

impl Open {
    /// Writes the session file anew, with these settings and uploads. The answer comes when it is in
    /// place, or can't be put there.
    ///
    /// # Errors
    /// When it can't be written beside; the old file goes on.
    pub fn compact(
        &mut self,
        settings: Settings,
        uploads: impl Iterator<Item = Kept>,
    ) -> io::Result<oneshot::Receiver<io::Result<()>>> {
        let header = Header {
            settings,
            ..self.header.clone()
        };
        self.store.compact(|out| {
            out.write_all(record::write_header(&header).as_bytes())?;
            let mut text = String::new();
            for kept in uploads {
                text.clear();
                record::write_upload(&mut text, &kept);
                out.write_all(text.as_bytes())?;
            }
            Ok(())
        })
    }
}

/// Why a session can't be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It is in use, or can't be locked.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The file system refuses.
    #[error("{path}: {error}")]
    Io {
        /// Which file or folder.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// There is no such session.
    #[error("there is no session {0}; `reelhaul sessions` lists them")]
    Unknown(String),
}

/// The folder with all sessions.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The sessions in this folder; it is made, readable by its owner alone, when it is needed.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file of the session with this id; an argument with a slash or `.toml` is a file itself.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        let is_file =
            name.contains('/') || Path::new(name).extension().is_some_and(|e| e == "toml");
        if is_file {
            PathBuf::from(name)
        } else {
            self.0.join(format!("{name}.toml"))
        }
    }

    /// Makes a new session.
    ///
    /// # Errors
    /// When the folder or the file can't be written.
    pub fn create(&self, header: Header) -> Result<Open, Failed> {
        let path = self.file(&header.id);
        create_at(&path, header)
    }

    /// The files of all sessions, the one changed last first.
    #[must_use]
    pub fn list(&self) -> Vec<PathBuf> {
        let mut files: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(&self.0)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
            .collect();
        files.sort();
        files.into_iter().rev().map(|(_, path)| path).collect()
    }
}

/// Makes a new session in this file.
///
/// # Errors
/// When the folder or the file can't be written.
pub fn create_at(path: &Path, header: Header) -> Result<Open, Failed> {
    let io = |error| Failed::Io {
        path: path.display().to_string(),
        error,
    };
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(io)?;
    }
    let lock = Lock::take(path)?;
    let head = record::write_header(&header);
    let store = Store::create(path, |out| out.write_all(head.as_bytes())).map_err(io)?;
    Ok(Open {
        header,
        store,
        path: path.to_owned(),
        torn: 0,
        lock,
    })
}

/// Opens a session, handing each of its tables to `each`.
///
/// # Errors
/// When there is none, it is in use, or it can't be read.
pub fn open(
    path: &Path,
    mut each: impl FnMut(Record) -> Result<(), BadTable>,
) -> Result<Open, Failed> {
    if !path.is_file() {
        return Err(Failed::Unknown(crate::path::encode(path)));
    }
    let lock = Lock::take(path)?;
    let mut settings = None;
    let Opened {
        mut header,
        good,
        torn,
    } = read(path, |record| match record {
        Record::Settings(tuned) => {
            settings = Some(tuned);
            Ok(())
        }
        record => each(record),
    })?;
    header.settings = settings.unwrap_or(header.settings);
    let store = Store::open(path, good).map_err(|error| Failed::Io {
        path: path.display().to_string(),
        error,
    })?;
    Ok(Open {
        header,
        store,
        path: path.to_owned(),
        torn,
        lock,
    })
}

/// The id of a session begun on this day for this destination: `2026-11-23-archive-k3f9`.
#[must_use]
pub fn new_id(day: jiff::civil::Date, destination: &str, random: &mut fastrand::Rng) -> String {
    let name: String = destination
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '-' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    let tail: String = (0..4)
        .map(|_| {
            if random.bool() {
                random.lowercase()
            } else {
                random.digit(10)
            }
        })
        .collect();
    format!("{day}-{name}-{tail}")
}
