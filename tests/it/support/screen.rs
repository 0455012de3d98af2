//! A screen without a terminal, attached to a run of the program.

use std::path::Path;

use reelhaul::{
    attach::{self, Attached, Places, Role},
    engine::protocol::{Command, Query, Reply, Summary, Targets, WindowQuery},
    settings::Settings,
};
use tokio::runtime::Runtime;

use super::{DEADLINE, Home, Source};

/// A screen attached to a run of the program, which does not end while this lives.
pub(crate) struct Screen {
    runtime: Runtime,
    attached: Attached,
}

impl Screen {
    /// Attaches to the run of the one session that is saved.
    pub(crate) fn attach(home: &Home) -> Self {
        Self::attach_to(home, &home.session())
    }

    /// Attaches to the run of this session.
    pub(crate) fn attach_to(home: &Home, session: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let places = Places::usual(&home.state());
        let attached = attach::connect(session, &places, Role::Screen);
        let attached = runtime.block_on(attached).unwrap();
        Self { runtime, attached }
    }

    /// Gives a command, which is not refused.
    pub(crate) fn tell(&self, command: Command) {
        let outcome = self.attached.handle.command(command);
        let outcome = self.runtime.block_on(outcome).unwrap();
        assert!(!outcome.refused, "{}", outcome.words);
    }

    /// The upload of this file, as the target of a command.
    pub(crate) fn only(&self, file: &Source) -> Targets {
        let rows = WindowQuery {
            rows: 100,
            ..WindowQuery::default()
        };
        let reply = self.attached.handle.query(Query::Window(rows));
        let Ok(Reply::Window(window)) = self.runtime.block_on(reply) else {
            panic!("no window");
        };
        let row = window.uploads().find(|row| row.path == file.path);
        Targets::Ids(vec![row.unwrap().id])
    }

    /// The settings of the run.
    pub(crate) fn settings(&self) -> Settings {
        self.attached.handle.summary().borrow().settings.clone()
    }

    /// Waits for a summary that is as wanted.
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Summary) -> bool) {
        let mut summary = self.attached.handle.summary();
        self.runtime.block_on(async {
            let waited = tokio::time::timeout(DEADLINE, summary.wait_for(|now| is(now))).await;
            let found = waited.unwrap_or_else(|_| panic!("in vain waited for {what}"));
            assert!(found.is_ok(), "it ended without {what}");
        });
    }
}
