//! A terminal that a test looks at, types into and points at.

use std::process::{Command, Stdio};

use super::{Home, skip, wait_for};

/// A terminal of its own for one test, on a tmux server of its own.
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    /// A shell command in a new terminal of this size; `None` without tmux.
    pub(crate) fn open(
        name: &str,
        home: &Home,
        columns: u16,
        rows: u16,
        command: &str,
    ) -> Option<Self> {
        let there = Command::new("tmux")
            .arg("-V")
            .stdout(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            skip("there is no tmux");
            return None;
        }
        let terminal = Self {
            socket: format!("reelhaul-{name}-{}", std::process::id()),
        };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let dir = home.dir.path().display();
        let command = format!(
            "cd '{dir}' && export HOME='{dir}' XDG_STATE_HOME='{dir}/state' \
             XDG_CONFIG_HOME='{dir}/config' LC_ALL=C.UTF-8 TERM=tmux-256color; {command}; \
             echo \"it ended with $?\"; exec cat"
        );
        let size = ["new-session", "-d", "-s", "it", "-x", &columns, "-y", &rows];
        terminal.tmux(
            &size
                .into_iter()
                .chain(["sh", "-c", &command])
                .collect::<Vec<_>>(),
        );
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-f", "/dev/null", "-L", &self.socket])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "it"])
    }

    pub(crate) fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "it"], keys].concat());
    }

    /// What tmux knows of the terminal: `alternate_on`, `cursor_flag`, `mouse_any_flag` and the like.
    pub(crate) fn is(&self, flag: &str) -> bool {
        let format = format!("#{{{flag}}}");
        let told = self.tmux(&["display-message", "-p", "-t", "it", &format]);
        match told.trim() {
            "1" => true,
            "0" => false,
            other => panic!("{flag} is {other:?}"),
        }
    }

    /// Does with the mouse what a terminal reports as this button at this cell, both from 0; in the
    /// words a terminal has for that (SGR).
    pub(crate) fn mouse(&self, button: u8, (x, y): (usize, usize)) {
        let (x, y) = (x + 1, y + 1);
        self.keys(&["-l", &format!("\x1b[<{button};{x};{y}M")]);
        if button == 0 {
            self.keys(&["-l", &format!("\x1b[<{button};{x};{y}m")]);
        }
    }

    /// Where a text is on the screen.
    pub(crate) fn place(&self, text: &str) -> (usize, usize) {
        let screen = self.shows_text(text);
        let line = |(y, line): (usize, &str)| {
            let at = line.find(text)?;
            Some((line[..at].chars().count(), y))
        };
        screen.lines().enumerate().find_map(line).unwrap()
    }

    /// Waits until the screen is as wanted.
    pub(crate) fn shows(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || {
                last = self.screen();
                is(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("{what} was never on the screen, which is:\n{last}"))
    }

    pub(crate) fn shows_text(&self, text: &str) -> String {
        self.shows(text, |screen| screen.contains(text))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .output();
    }
}
