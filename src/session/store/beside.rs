//! Files beside the session's, of which one takes its place when it is whole: a crash leaves the old
//! one or the new one. Knows nothing of what is written when.

use std::{
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufWriter, ErrorKind, Write},
    path::Path,
    sync::Once,
};

use tempfile::NamedTempFile;

use crate::{path::shown, state_dir};

/// A file beside the session's that takes its place later.
pub(super) fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    // A temporary file of tempfile's has mode 0600.
    tempfile::Builder::new()
        .prefix(&temporary_prefix(path))
        .tempfile_in(folder_of(path))
}

/// How such a file's name begins: by its own, though no longer, for there is a longest name.
fn temporary_prefix(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    path.file_name().hash(&mut hasher);
    format!(".saving-{:x}-", hasher.finish())
}

/// Removes what a run that was killed left of its rewrites: as long as the session, tokens and all.
pub(super) fn remove_temporary(path: &Path) {
    let prefix = temporary_prefix(path);
    let entries = std::fs::read_dir(folder_of(path));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Writes a file beside the session's; with its length.
pub(super) fn beside(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<(NamedTempFile, u64)> {
    let temporary = temporary(path)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, temporary.as_file());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    let length = temporary.as_file().metadata()?.len();
    Ok((temporary, length))
}

/// Gives a new file its name, which no other file may have. The session has to be locked.
pub(super) fn persist_new(temporary: NamedTempFile, path: &Path) -> io::Result<File> {
    let refused = match temporary.persist_noclobber(path) {
        Ok(file) => return Ok(file),
        Err(refused) => refused,
    };
    // A file system may have neither hard links nor a rename that replaces nothing. A process of ours
    // that would take the name meanwhile has to have the session's lock.
    let is_lacking = matches!(
        refused.error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::InvalidInput
    );
    if !is_lacking || path.symlink_metadata().is_ok() {
        return Err(refused.error);
    }
    let file = refused.file.persist(path)?;
    tracing::info!(
        "the file system of {} has no hard links; a session file gets its name by a rename",
        shown(folder_of(path))
    );
    Ok(file)
}

/// Makes a rename in the folder of `path` last, where its file system can do that; says once where it
/// can't.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    static SAID: Once = Once::new();
    let folder = folder_of(path);
    if let Some(error) = state_dir::sync_folder(folder)? {
        SAID.call_once(|| {
            tracing::warn!(
                "the folder {} can't be synced on its file system ({error}): a power cut may take a \
                 session that was just made, or leave one as it was before it was last opened",
                shown(folder)
            );
        });
    }
    Ok(())
}

/// The folder a file is in; that of a bare name is the one the program is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
