//! Where the socket of a session is. Knows nothing of what is said on it.

use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tokio::net::UnixListener;

/// The folders that sockets are looked for in; a socket is made in the first that can hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places(Vec<PathBuf>);

impl Places {
    /// These folders.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(folders.into_iter().collect())
    }

    /// `run` below this state folder; where that can't hold a socket (its path is longer than the
    /// about 100 bytes that a socket's may have, or its file system has no sockets), a folder in
    /// `/tmp`.
    ///
    /// Not `$XDG_RUNTIME_DIR`: that folder goes when a person's last login ends, which is the very
    /// moment a session has to outlive. Not `$TMPDIR` either: it may differ between logins.
    #[must_use]
    pub fn usual(state: &Path) -> Self {
        let own = format!("/tmp/reelhaul-{}", super::own_uid());
        Self::new([state.join("run"), own.into()])
    }

    /// Where the socket of the session in this file may be.
    pub(super) fn of(&self, session_file: &Path) -> Vec<PathBuf> {
        let name = name(session_file);
        self.0.iter().map(|folder| folder.join(&name)).collect()
    }

    /// All sockets there are, of whatever sessions, dead ones too.
    pub(super) fn all(&self) -> Vec<PathBuf> {
        let entries = self.0.iter().filter_map(|folder| fs::read_dir(folder).ok());
        let mut all: Vec<PathBuf> = entries
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "sock"))
            .collect();
        all.sort();
        all
    }

    /// Makes the socket of the session in this file. One that is there already was left by a dead
    /// process, since the caller holds the session's lock, and is replaced.
    pub(super) fn bind(&self, session_file: &Path) -> io::Result<(UnixListener, Address)> {
        let mut failed = io::Error::other("no folder for sockets is known");
        for path in self.of(session_file) {
            match bind(&path) {
                Ok(bound) => return Ok(bound),
                Err(error) => {
                    let words = format!("{}: {error}", crate::path::shown(&path));
                    failed = io::Error::new(error.kind(), words);
                }
            }
        }
        Err(failed)
    }
}

/// A short name, the same for each way to the same file.
fn name(session_file: &Path) -> String {
    let whole = fs::canonicalize(session_file)
        .or_else(|_| std::path::absolute(session_file))
        .unwrap_or_else(|_| session_file.to_owned());
    let hash = Sha256::digest(whole.as_os_str().as_bytes());
    let mut start = [0; 16];
    start.copy_from_slice(&hash[..16]);
    format!("{:032x}.sock", u128::from_be_bytes(start))
}

fn bind(path: &Path) -> io::Result<(UnixListener, Address)> {
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let inode = inode(&fs::symlink_metadata(path)?);
    let path = path.to_owned();
    Ok((listener, Address { path, inode }))
}

/// Makes a folder that is ours alone, or makes sure that it is.
fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != super::own_uid() {
        let words = "the folder for sockets belongs to someone else";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn inode(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// A socket's file; gone when this is dropped. To be dropped before the listener, which keeps the
/// file's number from being given to another one.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) path: PathBuf,
    inode: (u64, u64),
}

impl Drop for Address {
    fn drop(&mut self) {
        // Another process may have the session, and this name, by now.
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|now| inode(&now) == self.inode);
        if ours {
            // What can't be removed is replaced by the next.
            drop(fs::remove_file(&self.path));
        }
    }
}
