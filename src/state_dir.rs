//! The folder that this program keeps its own files in.

use std::{
    fs::DirBuilder,
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
