//! Folders on file systems that lack something, as the program sees them: a small library in C that is
//! preloaded into it refuses the calls. Where there is no C compiler, that is said, and the test passed over.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::{Home, skip};

/// What a call answers that its file system can't do, as a number of Linux.
pub(crate) const PERM: &str = "1";
pub(crate) const IO: &str = "5";
pub(crate) const INVAL: &str = "22";
pub(crate) const NOLCK: &str = "37";
pub(crate) const NOSYS: &str = "38";
pub(crate) const OPNOTSUPP: &str = "95";

/// From now on this home's program finds `folder` on a file system without this: `links`, `folder-sync`,
/// `flock` or stable `inodes`; what it asks for in vain answers with `errno`. `false`, told loudly, where
/// that can't be done.
#[must_use]
pub(crate) fn lacks(home: &mut Home, folder: &Path, what: &str, errno: &str) -> bool {
    let Some(library) = library() else {
        skip("there is no C compiler");
        return false;
    };
    let script = home.dir.path().join(format!("without-{what}-{errno}"));
    let text = format!(
        "#!/bin/sh\nexec env LD_PRELOAD='{}' LACKS='{what}={errno}' LACKS_UNDER='{}' '{}' \"$@\"\n",
        library.display(),
        folder.display(),
        home.program.display(),
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    home.program = script;
    true
}

/// The library, built once.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join("file_system.so");
        // Other test runs may build it, or use it, at the same time.
        let new = folder.join(format!("file_system-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/file_system.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-o"])
            .args([&new, &source]);
        let built = compiler.output().ok()?;
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        fs::rename(new, &library).unwrap();
        Some(library)
    };
    LIBRARY.get_or_init(build).as_deref()
}
