//! The folder with all sessions: making, finding, listing and opening them.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::NamedTempFile;

use super::{
    lock::{Lock, Locked},
    read::{Opened, Unreadable, read, read_head},
    record::{self, BadTable, FORMAT, Header, Record},
    store::Store,
};
use crate::{
    path::{shown, with_suffix},
    settings::Settings,
    state_dir::make_private,
};

/// A session that is open and locked.
#[derive(Debug)]
pub struct Open {
    /// Its head, with the settings it was left with.
    pub header: Header,
    /// Its file.
    pub store: Store,
    /// Where it is: the one name its file goes by, absolute and without symlinks.
    pub path: PathBuf,
    /// How many bytes a crash had torn off its end.
    pub torn: u64,
    /// What of its log was damaged and is dropped, in words.
    pub damage: Vec<String>,
    /// How many parts a run that did not end cleanly may have had in flight when it ended; 0 where the
    /// last one did.
    pub late_parts: u16,
    /// Held as long as the session is open.
    pub lock: Lock,
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
            .filter_map(|path| {
                // A pipe would hold up whoever reads it.
                let found = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((found.modified().ok()?, path))
            })
            .collect();
        files.sort();
        files.into_iter().rev().map(|(_, path)| path).collect()
    }
}

/// The file that goes with a session's: its whole name with this behind it, so that no other file
/// than ours is likely to be called so.
pub(crate) fn beside(session: &Path, extension: &str) -> PathBuf {
    with_suffix(session, &format!(".{extension}"))
}

/// An id that no other session has, whatever their files are called.
pub fn new_owner(random: &mut fastrand::Rng) -> String {
    (0..20).map(|_| random.alphanumeric()).collect()
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
    let path = place(path).map_err(io)?;
    let lock = Lock::take(&path)?;
    let head = record::write_header(&header);
    let store = Store::create(&path, |out| out.write_all(head.as_bytes())).map_err(io)?;
    Ok(Open {
        header,
        store,
        path,
        torn: 0,
        damage: Vec::new(),
        late_parts: 0,
        lock,
    })
}

/// The one name by which a file that is not there yet will go; makes its folder.
fn place(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        let words = "this names no file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    };
    make_private(folder)?;
    Ok(folder.canonicalize()?.join(name))
}

/// Opens a session, handing each of its tables to `each`. One of an older format has to be rewritten
/// before anything is appended to it.
///
/// # Errors
/// When there is none, it is in use, or it can't be read.
pub fn open(
    path: &Path,
    mut each: impl FnMut(Record) -> Result<(), BadTable>,
) -> Result<Open, Failed> {
    let unknown = || Failed::Unknown(crate::path::encode(path));
    // One file has one lock, one store, one socket, whatever it is called by.
    let path = path.canonicalize().map_err(|_| unknown())?;
    if !path.is_file() {
        return Err(unknown());
    }
    // Nothing is put beside a file that is no session.
    read_head(&path)?;
    let lock = Lock::take(&path)?;
    let mut settings: Option<Settings> = None;
    let mut late_parts = 0;
    let Opened {
        mut header,
        good,
        torn,
        has_log,
        log,
        damage,
        more_damage,
    } = read(&path, |record| match record {
        Record::Settings(tuned) => {
            late_parts = late_parts.max(tuned.parts_in_flight.bound());
            settings = Some(tuned);
            Ok(())
        }
        record => each(record),
    })?;
    let has_log = has_log || torn > 0 || !damage.is_empty() || header.format < FORMAT;
    late_parts = late_parts.max(header.settings.parts_in_flight.bound());
    header.settings = settings.unwrap_or(header.settings);
    let damage = if damage.is_empty() {
        Vec::new()
    } else {
        let more = (more_damage > 0).then(|| format!("and {more_damage} more stretches of it"));
        let kept = keep_damaged(&path);
        let said = damage.iter().map(ToString::to_string);
        said.chain(more).chain([kept]).collect()
    };
    let store = Store::open(&path, good, has_log, log).map_err(|error| Failed::Io {
        path: path.display().to_string(),
        error,
    })?;
    Ok(Open {
        header,
        store,
        path,
        torn,
        damage,
        late_parts: if has_log { late_parts } else { 0 },
        lock,
    })
}

/// Copies a session file whose log is damaged, before it is rewritten: what is dropped may be an edit by
/// hand. Returns where the copy is, in words.
fn keep_damaged(path: &Path) -> String {
    let copy = beside(path, "damaged");
    let copied =
        NamedTempFile::new_in(path.parent().unwrap_or(Path::new("."))).and_then(|mut new| {
            io::copy(&mut File::open(path)?, &mut new)?;
            new.persist(&copy).map_err(|error| error.error)
        });
    match copied {
        Ok(_) => format!(
            "the session file as it was is kept as {}; where you edited it by hand, delete its line \
             \"# The log begins here\" and put it back",
            shown(&copy)
        ),
        Err(error) => format!("the session file as it was can't be kept: {error}"),
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::settings::Settings;

    fn header() -> Header {
        Header {
            format: record::FORMAT,
            id: "s".into(),
            owner: "owner".to_owned(),
            destination: "d".into(),
            settings: Settings::default(),
        }
    }

    fn refused(path: &Path) -> Failed {
        open(path, |_| Ok(())).unwrap_err()
    }

    #[test]
    fn one_session_is_open_once_whatever_it_is_called_by() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        std::fs::create_dir(&real).unwrap();
        let (other, link) = (folder.path().join("other"), folder.path().join("l.toml"));
        symlink(&real, &other).unwrap();
        symlink(real.join("s.toml"), &link).unwrap();
        // Made through a symlinked folder, opened by each other way.
        let made = create_at(&other.join("s.toml"), header()).unwrap();
        for name in [&real.join("s.toml"), &other.join("s.toml"), &link] {
            let error = refused(name);
            assert!(
                matches!(error, Failed::Locked(Locked::InUse(_))),
                "{}: {error}",
                name.display()
            );
        }
        drop(made);
        let opened = open(&link, |_| Ok(())).unwrap();
        let error = refused(&real.join("s.toml"));
        assert!(matches!(error, Failed::Locked(Locked::InUse(_))), "{error}");
        assert_eq!(opened.path, real.canonicalize().unwrap().join("s.toml"));
    }

    #[test]
    fn a_rewritten_file_goes_where_the_symlink_points_and_not_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("r.toml"), folder.path().join("l.toml"));
        drop(create_at(&real, header()).unwrap());
        symlink(&real, &link).unwrap();
        let mut opened = open(&link, |_| Ok(())).unwrap();
        let head = record::write_header(&opened.header);
        let rewritten = opened.store.rewrite(|out| out.write_all(head.as_bytes()));
        rewritten.unwrap();
        assert!(link.is_symlink());
        assert!(!real.is_symlink() && real.is_file());
    }

    #[test]
    fn a_file_that_is_no_session_is_left_alone_with_all_that_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let [cargo, lock] = ["Cargo.toml", "Cargo.lock"].map(|name| folder.path().join(name));
        std::fs::write(&cargo, "[package]\nname = \"x\"\n").unwrap();
        std::fs::write(&lock, "version = 4\n").unwrap();
        let error = refused(&cargo);
        assert!(matches!(error, Failed::Unreadable(_)), "{error}");
        assert_eq!(std::fs::read_to_string(lock).unwrap(), "version = 4\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_goes_with_a_session_has_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("archive.log");
        let _made = create_at(&file, header()).unwrap();
        assert_eq!(beside(&file, "log"), folder.path().join("archive.log.log"));
        assert!(folder.path().join("archive.log.lock").is_file());
    }
}
