//! What may not answer, so that whatever needs it waits: a host, a disk or a folder. Knows no I/O.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What may be waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// A host, with its port where that is not the usual one.
    Host(String),
    /// A disk, by the path where it is mounted.
    Disk(PathBuf),
    /// A folder that was queued, or that a queued file lies in.
    Folder(PathBuf),
}

impl Awaited {
    /// The host of this name.
    #[must_use]
    pub fn host(name: &str) -> Self {
        Self::Host(name.to_owned())
    }

    /// That it is well again: `"api.example answers"`, `"/media/disk is there"`.
    #[must_use]
    pub fn is_back(&self) -> String {
        match self {
            Self::Host(_) | Self::Disk(_) => format!("{self} answers"),
            Self::Folder(_) => format!("{self} is there"),
        }
    }

    /// Where files lie that wait for it; `None` for a host.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Host(_) => None,
            Self::Disk(path) | Self::Folder(path) => Some(path),
        }
    }
}

impl fmt::Display for Awaited {
    /// As it is named to people: the host's name, or the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::Disk(path) => write!(f, "the disk at {}", crate::path::shown(path)),
            Self::Folder(path) => f.write_str(&crate::path::shown(path)),
        }
    }
}
