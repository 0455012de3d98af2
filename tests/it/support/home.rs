//! A home of its own for runs of the program, and the destination its config names.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reelhaul::{
    attach::{self, Places, Role},
    engine::protocol::Phase,
    sandbox::{SECRET, SITE},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{DEADLINE, Ended, Running, Server};

/// Who nobody is, on every system these tests run on.
const NOBODY: u32 = 65534;

/// A way to send to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    JwPlayer,
    ApiVideoBytes,
    ApiVideoPart,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::JwPlayer, Self::ApiVideoBytes, Self::ApiVideoPart];

    pub(crate) fn is_jwplayer(self) -> bool {
        self == Self::JwPlayer
    }

    /// A config with this destination as its only one.
    pub(crate) fn config(self, url: &str) -> String {
        match self {
            Self::JwPlayer => format!(
                "[destination.it]\nkind = \"jwplayer\"\nsite_id = \"{SITE}\"\nsecret = \"{SECRET}\"\n\
                 url = \"{url}\"\ncalls_per_minute = 100000\n"
            ),
            Self::ApiVideoBytes | Self::ApiVideoPart => {
                let range = if self == Self::ApiVideoPart {
                    "part"
                } else {
                    "bytes"
                };
                format!(
                    "[destination.it]\nkind = \"apivideo\"\napi_key = \"{}\"\nurl = \"{url}\"\n\
                     range = \"{range}\"\n",
                    reelhaul::sandbox::API_KEY
                )
            }
        }
    }
}

/// A home of its own for runs of the program: config, state, and a folder for files.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
    /// The program, where it is not the one cargo built.
    pub(crate) program: PathBuf,
    /// User and group to run it as.
    pub(crate) user: Option<u32>,
}

impl Home {
    /// A home without a config.
    pub(crate) fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["state", "config/reelhaul", "tree"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Self {
            dir,
            program: program(),
            user: None,
        }
    }

    /// Makes the program one that is bound by permissions: root is not, so there it runs as nobody.
    pub(crate) fn be_mortal(&mut self) {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let dir = self.dir.path();
        if fs::metadata(dir).unwrap().uid() == 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
            // Nobody may not see where cargo put it.
            self.program = copy_of_the_program(dir);
            self.user = Some(NOBODY);
        }
    }

    /// Gives everything in the home to whom the program runs as.
    pub(crate) fn hand_over(&self) {
        let Some(user) = self.user else { return };
        let mut chown = Command::new("chown");
        let owner = format!("{user}:{user}");
        let given = chown.arg("-Rh").arg(owner).arg(self.dir.path()).status();
        assert!(given.unwrap().success());
    }

    /// A home with a config for one destination.
    pub(crate) fn new(mode: Mode, url: &str) -> Self {
        let home = Self::bare();
        home.write_config(&mode.config(url));
        home
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("config/reelhaul/config.toml")
    }

    /// Writes the config, for its owner's eyes alone.
    pub(crate) fn write_config(&self, text: &str) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(self.config_file()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state/reelhaul")
    }

    /// The one session that is saved.
    pub(crate) fn session(&self) -> PathBuf {
        let found = self.sessions();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    /// The session files.
    pub(crate) fn sessions(&self) -> Vec<PathBuf> {
        let folder = self.state().join("sessions");
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension() == Some(OsStr::new("toml")))
            .collect()
    }

    /// The program with these arguments, in this home.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("REELHAUL_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("NO_COLOR", "1")
            // That a media object is not there is believed soon: this sandbox's lists do not lag.
            .env("REELHAUL_SETTLE_MS", "50")
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            use std::os::unix::process::CommandExt as _;
            command.uid(user).gid(user);
        }
        command
    }

    /// Starts the program.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        Running::new(self.command(args))
    }

    /// Starts the program so that it is killed where it reaches this point: `name`, or `name:n` for
    /// the n-th time. [`Ended::assert_killed`] says whether it was.
    pub(crate) fn start_killed_at<S: AsRef<OsStr>>(
        &self,
        point: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Running {
        let mut command = self.command(args);
        command.env("REELHAUL_KILL_AT", point);
        Running::new(command)
    }

    /// Sends this signal to the run that has this session, and waits until its engine waits for the
    /// parts in flight: no other part starts after that.
    pub(crate) fn interrupt(&self, run: &Running, session: &Path, signal: &str) {
        let places = Places::usual(&self.state());
        Runtime::new().unwrap().block_on(async {
            let attached = attach::connect(session, &places, Role::Watcher).await;
            let attached = attached.unwrap();
            let mut summary = attached.handle.summary();
            run.signal(signal);
            let draining = summary.wait_for(|summary| summary.phase == Phase::Draining);
            let draining = tokio::time::timeout(DEADLINE, draining).await;
            assert!(draining.unwrap().is_ok(), "it ended first");
        });
    }

    /// Runs the program to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        self.start(args).end()
    }

    /// Uploads the tree, in parts as small as they may be.
    pub(crate) fn up(&self, more: &[&str]) -> Running {
        let mut args = vec!["--part-size", "5MiB"];
        args.extend(more);
        self.up_with(&args)
    }

    /// Uploads the tree.
    pub(crate) fn up_with(&self, more: &[&str]) -> Running {
        let tree = self.tree();
        let mut args: Vec<&OsStr> = vec!["up".as_ref(), tree.as_ref(), "--json".as_ref()];
        args.extend(more.iter().map(OsStr::new));
        self.start(args)
    }

    /// Goes on with the one session that is saved.
    pub(crate) fn resume(&self, more: &[&str]) -> Running {
        let mut args = vec!["resume", "--json"];
        args.extend(more);
        self.start(args)
    }

    /// Uploads the tree until the first part of its first file has arrived, and kills that while the second
    /// is held.
    pub(crate) fn kill_after_the_first_part(&self, server: &Server) {
        server.hold_part(2, 1);
        let mut run = self.up(&["--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
    }

    /// Resumes this session.
    pub(crate) fn resume_session(&self, session: &Path, more: &[&str]) -> Running {
        let mut args = vec!["resume".as_ref(), session.as_os_str(), "--json".as_ref()];
        args.extend(more.iter().map(OsStr::new));
        self.start(args)
    }

    /// Uploads these, in parts as small as they may be.
    pub(crate) fn up_paths(&self, paths: &[&Path], more: &[&str]) -> Running {
        let mut args: Vec<&OsStr> = vec!["up".as_ref()];
        args.extend(paths.iter().map(|path| path.as_os_str()));
        args.extend(["--json", "--part-size", "5MiB"].map(OsStr::new));
        args.extend(more.iter().map(OsStr::new));
        self.start(args)
    }

    /// The one session that is none of these.
    pub(crate) fn session_besides(&self, known: &[&Path]) -> PathBuf {
        let mut found = self.sessions();
        found.retain(|session| !known.contains(&&**session));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

/// Copies the program to where any user can reach it. Another process does it: a file that this one had
/// open to write would be busy as long as a fork of another test's thread still has it.
pub(crate) fn copy_of_the_program(to: &Path) -> PathBuf {
    let copy = to.join("reelhaul");
    let copied = Command::new("cp").arg(program()).arg(&copy).status();
    assert!(copied.unwrap().success());
    copy
}

/// The program under test: the one that cargo built, unless `REELHAUL_BIN` names another.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("REELHAUL_BIN")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_reelhaul").into())
        .into()
}
