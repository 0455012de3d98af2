//! Removing a session: its file, its lock, its log, and its claims.
//!
//! What a session made stays known without its file, since the ledger has it. Where the ledger lacks
//! something that the file says (an older program made it, or the ledger was lost), the session stays, and
//! the way to import it is named: else a later run would upload its films again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::{Timestamp, tz::TimeZone};

use super::{glance, name_of, process};
use crate::{
    config::Config,
    engine::queue::Queue,
    error::{Error, clean},
    format,
    launch::{Stopped, import},
    ledger::{
        self,
        owner::{NotTaken, Owner},
        sqlite::Removal,
    },
    session::{
        folder::beside,
        lock::{Lock, Locked},
        read::read_head,
    },
};

/// Why a session is not removed.
#[derive(Debug)]
pub(super) enum Stays {
    /// It was changed not long ago.
    Recent,
    /// This process has it open.
    Running(String),
    /// Something of it is left to do.
    Unfinished,
    /// Its log is damaged: what is lost of it may be left to do.
    Damaged,
    /// It lists media objects that may be left at the account.
    Orphans(usize),
    /// The ledger lacks what so many of its uploads made.
    NotInLedger(usize),
    /// It can't be read, locked or removed.
    Failed(String),
}

impl Stays {
    /// The word for programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Running(_) => "running",
            Self::Unfinished => "unfinished",
            Self::Damaged => "damaged",
            Self::Orphans(_) => "orphans",
            Self::NotInLedger(_) => "not_in_ledger",
            Self::Failed(_) => "failed",
        }
    }

    /// What a person has to know of this session, and what they can do.
    pub(super) fn words(&self, name: &str) -> String {
        match self {
            Self::Recent | Self::Unfinished => format!("{name} stays: it is {}", self.word()),
            Self::Running(process) => {
                format!("{name} stays: it runs ({process}); see it with: reelhaul attach {name}")
            }
            Self::Damaged => format!(
                "{name} stays: its log is damaged, and what is lost of it may be left to do; resume it \
                 first: reelhaul resume {name}"
            ),
            Self::Orphans(count) => format!(
                "{name} stays: its file alone lists {} that may be left at the account, as [[orphan]]",
                format::count(*count, "media object")
            ),
            Self::NotInLedger(count) => format!(
                "{name} stays: the ledger does not know {} of it, and without the session their files \
                 would be uploaded again; add them with: reelhaul ledger import {name}",
                format::count(*count, "upload")
            ),
            Self::Failed(words) => format!("{name} stays: {words}"),
        }
    }
}

impl From<Locked> for Stays {
    fn from(locked: Locked) -> Self {
        match locked {
            Locked::InUse(holder) => Self::Running(process(&holder).to_owned()),
            locked => Self::Failed(locked.to_string()),
        }
    }
}

impl From<NotTaken> for Stays {
    fn from(not_taken: NotTaken) -> Self {
        Self::Failed(not_taken.to_string())
    }
}

impl From<Error> for Stays {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Stays {
    fn from(error: io::Error) -> Self {
        Self::Failed(clean(&error.to_string()))
    }
}

/// When a session's file was changed last.
pub(super) fn changed(path: &Path) -> io::Result<SystemTime> {
    path.metadata()?.modified()
}

/// A session that nobody can open, so that it can be removed.
pub(super) struct Locking {
    /// What a person calls it.
    pub(super) name: String,
    /// The one name that its file goes by.
    pub(super) path: PathBuf,
    /// The name of its destination in the config.
    pub(super) destination: String,
    /// All that its file says.
    pub(super) queue: Queue,
    /// Whether some of what its file said is lost.
    pub(super) is_damaged: bool,
    /// How many of its uploads can be continued by another session.
    pub(super) started: usize,
    changed: Option<Timestamp>,
    owner: String,
    lock: Lock,
    /// No copy of it runs.
    _living: Option<Owner>,
}

impl Locking {
    /// Whether nothing of it is left to do, and nothing has to be remembered of it.
    pub(super) fn is_finished(&self) -> bool {
        let is_done = self.queue.left() == 0 && self.queue.orphans().next().is_none();
        is_done && !self.is_damaged
    }

    /// How many files it has.
    pub(super) fn files(&self) -> usize {
        super::files(&self.queue)
    }

    /// When it was changed last, to the second.
    pub(super) fn changed(&self) -> Option<Timestamp> {
        self.changed
    }

    /// What a person is told once it is removed.
    pub(super) fn words(&self) -> String {
        let files = format::count(self.files(), "file");
        let left = self.queue.counts().left();
        if self.queue.left() > 0 {
            let left = format::thousands(left);
            return format!(
                "removed {}: {files}, {left} of them not uploaded",
                self.name
            );
        }
        let finished = self.changed.map_or_else(String::new, |time| {
            format!(", finished {}", time.to_zoned(TimeZone::system()).date())
        });
        format!("removed {}: {files}{finished}", self.name)
    }
}

/// Removes sessions.
#[derive(Debug)]
pub(super) struct Cleaner(Removal);

impl Cleaner {
    pub(super) fn new(config: &Config) -> Result<Self, Stopped> {
        let ledger = ledger::open_for_removal(&config.ledger_file()?);
        ledger.map(Self).map_err(Stopped::usage)
    }

    /// Locks a session that the ledger knows all of.
    pub(super) fn lock(&self, path: &Path) -> Result<Locking, Stays> {
        let failed = |error: &dyn std::fmt::Display| Stays::Failed(error.to_string());
        let path = path.canonicalize()?;
        // Nothing is put beside a file that is no session.
        read_head(&path).map_err(|error| failed(&error))?;
        let lock = Lock::take(&path)?;
        let (opened, queue) = glance(&path).map_err(|stopped| Stays::Failed(stopped.words))?;
        let owner = opened.header.owner;
        let living = if owner.is_empty() {
            None
        } else {
            Some(self.0.take_owner(&owner)?)
        };
        let known = self
            .0
            .has(import::made(&queue).filter_map(import::upload))?;
        if known.missing > 0 {
            return Err(Stays::NotInLedger(known.missing));
        }
        let time = changed(&path).ok().and_then(|time| time.try_into().ok());
        Ok(Locking {
            name: name_of(&path),
            destination: opened.header.destination,
            is_damaged: !opened.damage.is_empty(),
            queue,
            started: known.started,
            changed: time.and_then(|time: Timestamp| Timestamp::from_second(time.as_second()).ok()),
            owner,
            lock,
            _living: living,
            path,
        })
    }

    /// Removes a session with what lies beside it. What it holds is given back first: a kill in between
    /// leaves a session that can be resumed, or removed once more.
    pub(super) fn remove(&self, session: Locking) -> Result<(), Stays> {
        self.0.give_back(&session.owner, &session.path)?;
        fs::remove_file(&session.path)?;
        for name in ["log", "damaged"] {
            // It need not be there, and does no harm.
            drop(fs::remove_file(beside(&session.path, name)));
        }
        session.lock.remove();
        Ok(())
    }
}
