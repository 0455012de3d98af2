//! The mouse: select, scroll, click on a hint; and none where none is wanted.

use crate::support::{Home, Mode, Server, Source, program, terminal::Terminal};

const CLICK: u8 = 0;
const WHEEL_UP: u8 = 64;
const WHEEL_DOWN: u8 = 65;

/// A session of nine files, of which the first is held in the middle.
fn open(name: &str, server: &Server, home: &Home, more: &str) -> Option<Terminal> {
    server.hold_parts();
    for number in 1..=9 {
        let path = home.tree().join(format!("film {number}.mp4"));
        Source::write(path, 1000, number);
    }
    let up = format!("{} up tree --files 1 --parts 1 {more}", program().display());
    let terminal = Terminal::open(name, home, 80, 24, &up)?;
    server.wait_until_held(1);
    terminal.shows_text("film 6.mp4");
    Some(terminal)
}

/// Whether the parts on the screen are those of this file.
fn selected(number: usize) -> impl Fn(&str) -> bool {
    let parts_of = format!("Parts film {number}.mp4");
    move |screen| screen.contains(&parts_of)
}

/// Stops the session. A part in flight is waited for, so that one that is held has to be released; what
/// was not started before stays.
fn stop(terminal: &Terminal, server: &Server) {
    terminal.keys(&["C-c"]);
    terminal.shows("the wish to stop", |screen| {
        [
            " finishing ",
            "waiting for the destination",
            "it ended with 1",
        ]
        .iter()
        .any(|words| screen.contains(words))
    });
    server.release();
    terminal.shows_text("it ended with 130");
}

#[test]
fn a_click_selects_the_wheel_scrolls_and_a_hint_that_is_clicked_on_acts() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let Some(terminal) = open("mouse", &server, &home, "") else {
        return;
    };
    assert!(terminal.is("mouse_any_flag") && terminal.is("mouse_sgr_flag"));
    let (x, y) = terminal.place("film 3.mp4");
    terminal.mouse(CLICK, (x + 2, y));
    terminal.shows("the parts of the file that was clicked on", selected(3));
    // To a file that is on the screen: an answer that is on its way brings the cursor back from one that
    // is not.
    terminal.mouse(WHEEL_DOWN, (x, y));
    terminal.shows("three files further", selected(6));
    terminal.mouse(WHEEL_UP, (x, y));
    terminal.mouse(WHEEL_UP, (x, y));
    terminal.shows("the first file", selected(1));

    terminal.mouse(CLICK, terminal.place("help"));
    terminal.shows_text("begin the file, folder or marks anew");
    terminal.mouse(CLICK, terminal.place("esc close"));
    terminal.shows("no help", |screen| !screen.contains("esc close"));

    stop(&terminal, &server);
    assert!(!terminal.is("mouse_any_flag"));
}

#[test]
fn without_the_mouse_the_terminal_keeps_it_for_itself() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let Some(terminal) = open("no-mouse", &server, &home, "--no-mouse") else {
        return;
    };
    assert!(!terminal.is("mouse_any_flag"));
    stop(&terminal, &server);
}
