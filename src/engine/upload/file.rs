//! The local file of an upload: what it is now, and the MD5 of its parts. All of it blocks on the disk,
//! off the async threads.

use std::{
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
};

use crate::{
    body::Reading,
    destination::Md5,
    error::{Error, Kind, Result},
    identity::{FileStat, FileSystem, Identity},
    plan::Part,
};

/// The file as it is now.
///
/// # Errors
/// [`Kind::Local`] when it can't be opened for reading, or is no file.
pub(super) async fn read_identity(path: PathBuf) -> Result<Identity> {
    blocking(move || {
        let (_, stat) = open_regular(&path)?;
        Ok(stat.identity)
    })
    .await
}

/// Opens what is a regular file, and says all that `stat` says of it. Blocks.
///
/// # Errors
/// [`Kind::Local`] when it can't be opened for reading, or is no file.
pub(super) fn open_regular(path: &Path) -> Result<(File, FileStat)> {
    let file = open_here(path)?;
    let metadata = metadata_of(&file)?;
    if !metadata.is_file() {
        return Err(Error::new(Kind::Local, "it is no file any more"));
    }
    let stat = FileStat::new(&metadata, FileSystem::of_open(&file));
    Ok((file, stat))
}

/// Opens the file, and says what it is; not which file system it is on.
///
/// # Errors
/// [`Kind::Local`].
pub(super) async fn open(path: PathBuf) -> Result<(File, Identity)> {
    blocking(move || {
        let file = open_here(&path)?;
        let identity = version_of(&file)?;
        Ok((file, identity))
    })
    .await
}

/// What an open file is now, without its file system: that takes two more calls, of a server maybe, and
/// no part needs it. Blocks.
pub(super) fn version_of(file: &File) -> Result<Identity> {
    Ok(Identity::of(&metadata_of(file)?))
}

/// The same with its file system. Blocks.
pub(super) fn identity_of(file: &File) -> Result<Identity> {
    let identity = Identity::of_open(file);
    identity.map_err(|error| Error::local("it can't be looked at", &error))
}

fn metadata_of(file: &File) -> Result<Metadata> {
    let metadata = file.metadata();
    metadata.map_err(|error| Error::local("it can't be looked at", &error))
}

/// Opens a file for reading.
pub(super) fn open_here(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| Error::local("it can't be opened", &error))
}

/// The MD5 of one part of a file.
pub(super) fn hash(reading: &Reading, file: &File, part: Part) -> Result<Md5> {
    let md5 = reading.md5(file, part);
    md5.map_err(|error| Error::local("it can't be read", &error))
}

/// Runs what blocks on the disk off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Error::local(
                "reading ended early",
                &io::Error::other(error),
            ))
        })
}
