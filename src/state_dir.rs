//! The folder that this program keeps its own files in.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use etcetera::{BaseStrategy as _, base_strategy::Xdg};

/// `$XDG_STATE_HOME/reelhaul`, which need not be there; `None` where no home folder is known.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    let xdg = Xdg::new().ok()?;
    let base = xdg.state_dir().unwrap_or_else(|| xdg.data_dir());
    Some(base.join("reelhaul"))
}

/// Makes a folder for its owner alone, with those that it is in, unless it is there.
///
/// # Errors
/// Those of making it.
pub fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes the names in a folder last. Returns the system's error where the file system can't do that.
///
/// # Errors
/// Any other error.
pub fn sync_folder(folder: &Path) -> io::Result<Option<io::Error>> {
    match File::open(folder)?.sync_all() {
        Ok(()) => Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}
