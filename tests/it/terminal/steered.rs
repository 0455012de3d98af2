//! A session steered by keys from its beginning to its end.

use serde_json::json;

use crate::support::{Home, MIB, Mode, Server, Source, program, terminal::Terminal};

#[test]
fn a_session_is_steered_by_keys_from_the_first_part_to_the_resumed_end() {
    let server = Server::start();
    // The first try of the big file's second part fails, and is not tried again by itself.
    server.script(&json!([{"fault": "status", "on": "part", "part": 2, "times": 1}]));
    server.hold_parts();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let big = Source::write(home.tree().join("first/big film.mp4"), 45 * MIB, 1);
    let small = Source::write(home.tree().join("second/small film.mp4"), 1000, 2);
    let up = format!(
        "{} up tree/first --part-size 5MiB --parts 2 --retries 0",
        program().display()
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
    assert_eq!(server.met("status"), 1);

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
    terminal.shows_text("finishing 4 parts");
    server.release();
    let after = terminal.shows_text("it ended with");
    assert!(after.contains("reelhaul resume"), "{after}");
    assert!(after.contains("it ended with 130"), "{after}");
    drop(terminal);

    let resume = format!("{} resume", program().display());
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
fn a_demo_that_is_left_early_names_no_session_that_is_gone() {
    let home = Home::bare();
    let command = format!("{} demo --shrink 16", program().display());
    let Some(terminal) = Terminal::open("demo", &home, 100, 30, &command) else {
        return;
    };
    terminal.shows_text("uploading");
    terminal.keys(&["C-c"]);
    let after = terminal.shows_text("it ended with");
    assert!(after.contains("it ended with 130"), "{after}");
    assert!(!after.contains("reelhaul resume"), "{after}");
}

#[test]
fn a_terminal_that_can_not_show_a_screen_is_refused_with_a_hint() {
    let home = Home::bare();
    let command = format!("TERM=dumb {} demo", program().display());
    let Some(terminal) = Terminal::open("dumb", &home, 80, 24, &command) else {
        return;
    };
    let screen = terminal.shows_text("it ended with 2");
    assert!(screen.contains("--headless"), "{screen}");
}
