//! The program in a real terminal, driven by keys: tmux holds the terminal, the sandbox tells what
//! arrived. Where there is no tmux, these tests say so and do nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::{Command, Stdio};

use serde_json::json;
use support::{Home, MIB, Mode, Server, Source, wait_for};

/// A terminal of its own for one test, on a tmux server of its own.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// A shell command in a new terminal of this size; `None` without tmux.
    fn open(name: &str, home: &Home, columns: u16, rows: u16, command: &str) -> Option<Self> {
        let there = Command::new("tmux")
            .arg("-V")
            .stdout(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            println!("skipped: there is no tmux");
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

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "it"])
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "it"], keys].concat());
    }

    /// Waits until the screen is as wanted.
    fn shows(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || {
                last = self.screen();
                is(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("{what} was never on the screen, which is:\n{last}"))
    }

    fn shows_text(&self, text: &str) -> String {
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

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_reelhaul")
}

#[test]
fn a_session_is_steered_by_keys_from_the_first_part_to_the_resumed_end() {
    let server = Server::with(|options| options.speed = Some(4 * MIB));
    // The first try of the big file's second part fails, and is not tried again by itself.
    server.script(&json!([{"fault": "error-before", "on": "part", "part": 2, "times": 1}]));
    let home = Home::new(Mode::JwPlayer, &server.url);
    let big = Source::write(home.tree().join("first/big film.mp4"), 60 * MIB, 1);
    let small = Source::write(home.tree().join("second/small film.mp4"), 11 * MIB, 2);
    let up = format!(
        "{} up tree/first --part-size 5MiB --parts 2 --retries 0",
        program()
    );
    let Some(terminal) = Terminal::open("steered", &home, 80, 24, &up) else {
        return;
    };

    terminal.shows("a part in flight", |screen| {
        screen.contains("uploading") && screen.contains("in flight")
    });
    // More parts at once, and the tuning panel says so.
    terminal.keys(&["+"]);
    terminal.keys(&["+"]);
    terminal.keys(&["T"]);
    terminal.shows("4 parts in flight in the tuning panel", |screen| {
        screen
            .lines()
            .any(|line| line.contains("parts in flight") && line.contains(" 4"))
    });
    terminal.keys(&["Escape"]);
    terminal.shows("four parts on their way", |screen| {
        screen.contains("4 in flight")
    });

    // The failed part is found in the grid and tried again by key.
    terminal.shows("the failed part", |screen| screen.contains("1 failed"));
    terminal.keys(&["Enter"]);
    terminal.keys(&["Right"]);
    terminal.keys(&["t"]);
    terminal.shows("no failed part", |screen| !screen.contains("failed"));
    assert_eq!(server.met("error-before"), 1);

    // Another folder is added while the first is under way.
    terminal.keys(&["Escape"]);
    terminal.keys(&["a"]);
    let second = home.tree().join("second");
    terminal.keys(&["-l", second.to_str().unwrap()]);
    terminal.shows_text("second/");
    terminal.keys(&["Enter"]);
    terminal.shows_text("small film.mp4");

    // What is typed hides the rest.
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "SMALL"]);
    terminal.keys(&["Enter"]);
    terminal.shows("the filtered queue", |screen| {
        screen.contains("small film.mp4") && !screen.contains("big film.mp4")
    });
    terminal.keys(&["Escape"]);
    terminal.shows_text("big film.mp4");

    // Larger parts are cut from what was not begun, and the screen says how many before.
    terminal.keys(&["]"]);
    terminal.shows("what a larger part size would do", |screen| {
        screen.contains("re-cuts")
    });
    terminal.keys(&["Enter"]);
    terminal.shows("the larger parts", |screen| screen.contains("cut anew"));

    // Quitting says what will happen, and leaves a session to go on with.
    terminal.keys(&["q"]);
    terminal.shows("the question before quitting", |screen| {
        screen.contains("Quit")
    });
    terminal.keys(&["Enter"]);
    let after = terminal.shows_text("it ended with");
    assert!(after.contains("reelhaul resume"), "{after}");
    assert!(after.contains("it ended with 1"), "{after}");
    drop(terminal);

    server.line(0);
    let resume = format!("{} resume", program());
    let Some(terminal) = Terminal::open("resumed", &home, 120, 40, &resume) else {
        return;
    };
    let end = |screen: &str| screen.contains("2 done") || screen.contains("it ended with 0");
    terminal.shows("both files done", end);
    let report = server.report();
    report.assert_holds(&[big, small]);
    report.assert_nothing_twice();
}

#[test]
fn a_terminal_that_can_not_show_a_screen_is_refused_with_a_hint() {
    let home = Home::bare();
    let command = format!("TERM=dumb {} demo", program());
    let Some(terminal) = Terminal::open("dumb", &home, 80, 24, &command) else {
        return;
    };
    let screen = terminal.shows_text("it ended with 2");
    assert!(screen.contains("--headless"), "{screen}");
}
