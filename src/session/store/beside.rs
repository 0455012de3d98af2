//! Files beside the session's, of which one takes its place when it is whole: a crash leaves the old
//! one or the new one. Knows nothing of what is written when.

use std::{
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufWriter, Write},
    path::Path,
};

use tempfile::NamedTempFile;

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

/// Makes a rename in the folder of `path` last.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder a file is in; that of a bare name is the one the program is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
