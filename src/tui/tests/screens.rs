//! Whole screens as they are seen, and cells with their styles.

use std::time::Duration;

use insta::assert_snapshot;
use ratatui::style::{Color, Modifier};

use super::{Screen, fake::World, find};
use crate::{
    engine::protocol::{Awaited, LimitedBy, Phase, Row, State, Wait, Walk},
    tui::{
        Detach,
        app::{Dialog, Listing},
        theme::{Background, Depth, Theme},
        update::Msg,
    },
};

fn busy(width: u16, height: u16) -> Screen {
    let mut screen = Screen::flat(World::busy(), width, height);
    screen.press("j");
    screen
}

#[test]
fn at_80_by_24() {
    assert_snapshot!(busy(80, 24).text());
}

#[test]
fn at_120_by_40() {
    assert_snapshot!(busy(120, 40).text());
}

#[test]
fn at_200_by_50() {
    assert_snapshot!(busy(200, 50).text());
}

#[test]
fn at_40_by_10() {
    assert_snapshot!(busy(40, 10).text());
}

#[test]
fn what_all_files_have_in_common_is_said_once_and_the_rest_with_each() {
    let mut screen = busy(120, 40);
    let text = screen.text();
    assert!(text.contains("Queue · 14 files · /mnt/archive/ "), "{text}");
    assert!(text.contains(" 2019/wedding/01 ceremony.mov "), "{text}");
    assert!(!text.contains("/mnt/archive/2019"), "{text}");
    screen.app.home = Some("/mnt".into());
    assert!(screen.text().contains("· ~/archive/ "));
    let theme = &screen.app.theme;
    let buffer = screen.buffer();
    let (x, y) = find(&buffer, "2019/wedding/01").unwrap();
    assert_eq!(buffer[(x, y)].fg, theme.dim.fg.unwrap());
    assert_eq!(buffer[(x + 13, y)].fg, Color::Reset);
    screen.press("/mnt/archive/2019<enter>");
    assert_eq!(screen.app.queue.window.matching, 3);
}

#[test]
fn without_colour() {
    let screen = busy(80, 24).with_theme(Theme::new(Depth::Mono, Background::Dark, false));
    let buffer = screen.buffer();
    for cell in &buffer.content {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
    }
    assert_snapshot!(screen.text());
}

#[test]
fn in_ascii() {
    let screen = busy(80, 24).with_theme(Theme::new(Depth::Ansi, Background::Dark, true));
    assert!(screen.text().is_ascii());
    assert_snapshot!(screen.text());
}

#[test]
fn an_empty_queue_says_how_to_fill_it() {
    assert_snapshot!(Screen::new(World::default(), 80, 24).text());
}

#[test]
fn the_parts_of_a_file_with_the_story_of_a_failed_one() {
    let mut screen = busy(120, 40);
    screen.press("<enter>lllllllllllll");
    assert_snapshot!(screen.text());
}

#[test]
fn a_file_without_parts_says_why_it_has_none() {
    let mut screen = Screen::flat(World::busy(), 80, 24);
    let text = screen.text();
    assert!(text.contains("all parts arrived · 2.6 GiB"), "{text}");
    assert!(text.contains("media id media0001"), "{text}");
    screen.press("jj");
    let text = screen.text();
    assert!(
        text.contains("not begun; will be cut into about 59 parts"),
        "{text}"
    );
    screen.press("jjjjj");
    let text = screen.text();
    assert!(text.contains("failed before it was begun"), "{text}");
    assert!(text.contains("the account may not upload audio"), "{text}");
}

#[test]
fn a_part_that_is_all_sent_waits_for_the_answer_and_has_no_speed() {
    let mut world = World::busy();
    let parts = world.parts.iter_mut().find(|parts| parts.upload == 2);
    let part = &mut parts.unwrap().running[0];
    part.taken = part.length;
    let mut screen = Screen::flat(world, 120, 40);
    screen.press("j");
    let text = screen.text();
    let line = text.lines().find(|line| line.contains("│▸ 18 ")).unwrap();
    assert!(line.contains("waiting for the answer"), "{line}");
    assert!(!line.split("││").next().unwrap().contains("/s"), "{line}");
}

#[test]
fn a_part_that_its_disk_holds_up_says_so_and_has_no_speed() {
    let mut world = World::busy();
    let parts = world.parts.iter_mut().find(|parts| parts.upload == 2);
    parts.unwrap().running[0].reading_ms = Some(75_000);
    let mut screen = Screen::flat(world, 120, 40);
    screen.press("j");
    let text = screen.text();
    let line = text.lines().find(|line| line.contains("│▸ 18 ")).unwrap();
    assert!(line.contains("reading; the disk has not"), "{line}");
    assert!(!line.split("││").next().unwrap().contains("/s"), "{line}");
}

#[test]
fn the_header_says_how_it_ended() {
    let mut world = World::busy();
    world.rows.retain(|row| row.state == State::Done);
    world.count();
    world.summary.phase = Phase::Settled;
    let mut screen = Screen::flat(world, 80, 24);
    assert!(screen.text().contains("everything is done"));
    screen.world.push(90, "late.mov", 7, State::Failed);
    screen.world.count();
    screen.told();
    assert!(screen.text().contains("ended; R tries again"));
}

#[test]
fn the_summary_says_how_many_files_were_uploaded_before() {
    let mut screen = busy(80, 24);
    screen.press("e");
    assert!(!screen.text().contains("uploaded before"));
    let mut world = World::busy();
    world.summary.uploaded_before = 13;
    let mut screen = Screen::flat(world, 80, 24);
    screen.press("e");
    let text = screen.text();
    let words = "known         13 files uploaded before: nothing was sent of them";
    assert!(text.contains(words), "{text}");
}

#[test]
fn the_help() {
    let mut screen = busy(80, 24);
    screen.press("?");
    assert_snapshot!("the_help", screen.text());
    screen.press("bandwidth");
    assert_snapshot!("the_help_searched", screen.text());
    let mut narrow = busy(50, 24);
    narrow.press("?");
    assert_snapshot!("the_help_on_a_narrow_screen", narrow.text());
}

#[test]
fn tuning_shows_what_a_change_would_do_before_it_is_taken() {
    let mut screen = busy(80, 24);
    screen.press("]");
    assert_snapshot!(screen.text());
}

#[test]
fn adding_with_a_file_browser_and_a_walk() {
    let mut screen = busy(80, 24);
    screen.press("a");
    let entry = |name: &str, folder: bool, size| crate::tui::app::Entry {
        path: format!("/mnt/archive/{name}").into(),
        name: name.to_owned(),
        folder,
        media: name.ends_with("mov"),
        size,
    };
    screen.send(Msg::Listing(Listing {
        folder: "/mnt/archive/".into(),
        entries: vec![
            entry("2019", true, 0),
            entry("2020", true, 0),
            entry("trailer.mov", false, 88_000_000),
            entry("notes \u{1b}[2J.txt", false, 812),
            entry(".hidden", true, 0),
        ],
        error: None,
    }));
    screen.press("<down>");
    assert_snapshot!("adding", screen.text());
    screen.press("<enter>");
    screen.world.summary.walk = Some(Walk {
        files: 4032,
        bytes: 812 << 30,
        skipped: 17,
        at: "/mnt/archive/2019/wedding".into(),
    });
    screen.told();
    assert_snapshot!("adding_walks", screen.text());
}

#[test]
fn details_of_a_file() {
    let mut screen = busy(80, 24);
    screen.press("i");
    assert_snapshot!(screen.text());
}

#[test]
fn quitting_while_uploads_run_says_what_will_happen() {
    let mut screen = busy(80, 24);
    screen.press("q");
    assert_snapshot!(screen.text());
}

#[test]
fn the_end_is_told_once_by_itself() {
    let mut world = World::busy();
    world.rows.retain(|row| row.id == 1 || row.id == 8);
    world.count();
    world.summary.sending_ms = 811_200;
    let mut screen = Screen::flat(world, 80, 24);
    // However long one looks at it.
    screen.pass(Duration::from_hours(3));
    screen.world.summary.phase = Phase::Settled;
    screen.told();
    assert_snapshot!(screen.text());
    screen.press("<esc>");
    screen.told();
    assert!(screen.app.dialog.is_none());
    screen.world.summary.phase = Phase::Running;
    screen.told();
    screen.world.summary.phase = Phase::Settled;
    screen.told();
    assert!(
        screen.app.dialog.is_none(),
        "a retry that failed again is seen where it was asked for"
    );
}

#[test]
fn the_end_can_be_read_to_its_last_line_on_a_small_screen() {
    let mut world = World::busy();
    world.rows.retain(|row| row.id == 1 || row.id == 8);
    world.count();
    let mut screen = Screen::flat(world, 40, 10);
    screen.world.summary.phase = Phase::Settled;
    screen.told();
    assert_snapshot!("the_end_on_a_small_screen", screen.text());
    let first = screen.text();
    let mut seen = first.clone();
    while !screen.text().contains(" end ") {
        let before = screen.text();
        screen.press("<down>");
        assert_ne!(screen.text(), before, "it goes on");
        seen += &screen.text();
    }
    for words in [
        "filter f shows",
        "there before",
        "errors",
        "2026-11-23-archive",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    let last = screen.text();
    screen.press("<down>");
    assert_eq!(screen.text(), last);
    screen.press("g");
    assert_eq!(screen.text(), first);
    screen.press("G");
    assert_eq!(screen.text(), last);
    screen.press("<esc>");
    assert!(screen.app.dialog.is_none());
}

#[test]
fn the_end_says_where_media_ids_are_to_be_had_of_a_session_that_stays() {
    let mut world = World::busy();
    world.rows.retain(|row| row.state == State::Done);
    world.count();
    let mut screen = Screen::flat(world, 80, 24);
    screen.world.summary.phase = Phase::Settled;
    screen.told();
    assert!(
        !screen.text().contains("reelhaul report"),
        "it is forgotten"
    );
    screen.app.detach = Detach::Asked;
    let text = screen.text();
    let words = "media ids     reelhaul report tells them, file by file";
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_pause_or_a_stop_is_no_end_that_takes_the_keys() {
    let mut screen = busy(120, 40);
    assert!(screen.world.summary.counts.of(State::Paused) > 0);
    screen.world.summary.phase = Phase::Settled;
    screen.told();
    assert!(screen.app.dialog.is_none());

    screen.world.rows.retain(|row| row.state == State::Queued);
    screen.world.count();
    let why = "create: answered 401 — mend the key".into();
    screen.world.summary.limited_by = LimitedBy::Halted { why };
    screen.world.summary.phase = Phase::Running;
    screen.told();
    screen.world.summary.phase = Phase::Settled;
    screen.told();
    assert!(screen.app.dialog.is_none());
    let text = screen.text();
    assert!(
        text.contains("stopped, R tries again: create: answered 401"),
        "{text}"
    );
    assert!(!text.contains("everything is done"));
}

#[test]
fn what_could_not_be_read_is_no_good_end() {
    let mut world = World::busy();
    // The engine counts such a path as a file that failed.
    world
        .rows
        .retain(|row| matches!(row.state, State::Done | State::Failed));
    world.count();
    world.summary.unreadable = world.summary.counts.of(State::Failed);
    world.summary.phase = Phase::Settled;
    let mut screen = Screen::flat(world, 120, 40);
    screen.told();
    let text = screen.text();
    assert!(text.contains("ended; R tries again what failed"), "{text}");
    assert!(text.contains("1 path; the log names them"), "{text}");
    assert!(!text.contains("Everything is done"));
}

#[test]
fn what_is_waited_for_is_named_with_since_when_and_when_it_is_tried_again() {
    let mut screen = busy(160, 40);
    let now = jiff::Timestamp::now();
    let since = crate::format::since(now, now);
    for (what, retry_in_ms, words) in [
        (
            Awaited::Host("api.example".into()),
            Some(11_200),
            format!(
                "waiting for api.example since {since}, next try in 12s, R tries now: no route"
            ),
        ),
        (
            Awaited::Disk("/mnt/tape".into()),
            None,
            format!("waiting for the disk at /mnt/tape since {since}, trying now: no route"),
        ),
        (
            Awaited::Folder("/media/disk".into()),
            None,
            format!("waiting for /media/disk since {since}, trying now: no route"),
        ),
    ] {
        // Whatever else holds the rest back.
        for limit in [LimitedBy::Waits, LimitedBy::Line, LimitedBy::Files] {
            screen.world.summary.limited_by = limit;
            screen.world.summary.waits = vec![Wait {
                what: what.clone(),
                since: now,
                retry_in_ms,
                why: "no route\u{1b}[2J".into(),
            }];
            screen.told();
            assert!(screen.text().contains(&words), "{}", screen.text());
        }
    }
    let first = screen.world.summary.waits[0].clone();
    screen.world.summary.waits = vec![first.clone(), first.clone(), first];
    screen.told();
    let text = screen.text();
    assert!(text.contains("(and for 2 more), trying now"), "{text}");
}

#[test]
fn what_holds_the_speed_back_is_told_in_words() {
    let mut screen = busy(120, 40);
    for (limit, words) in [
        (
            LimitedBy::CallBudget {
                budget: "60 API calls a minute".into(),
                left_ms: 11_200,
            },
            "held at 60 API calls a minute, next call in 12s",
        ),
        (LimitedBy::Disk, "limited by the disk"),
        (LimitedBy::Bandwidth, "held at unlimited"),
        (LimitedBy::Paused, "everything is paused"),
        (
            LimitedBy::Stalled { for_ms: 27_900 },
            "nothing has moved for 27s",
        ),
        (LimitedBy::Files, "limited to 2 files at once"),
        (LimitedBy::Idle, "no part is on its way yet"),
    ] {
        screen.world.summary.limited_by = limit;
        screen.told();
        assert!(screen.text().contains(words), "{}", screen.text());
    }
}

#[test]
fn what_is_wrong_takes_the_room_of_the_history_and_half_a_word_of_a_reason_is_left_out() {
    let mut screen = busy(88, 24);
    let line = |screen: &Screen| screen.text().lines().nth(2).unwrap().to_owned();
    let wait = |why: &str| {
        vec![Wait {
            what: Awaited::Host("s3".to_owned()),
            since: jiff::Timestamp::now(),
            retry_in_ms: None,
            why: why.to_owned(),
        }]
    };
    screen.world.summary.waits = wait("503");
    screen.told();
    let told = line(&screen);
    assert!(told.contains(", trying now: 503"), "{told}");
    assert!(!told.contains('▇') && !told.contains('█'), "{told}");
    screen.world.summary.waits = wait("the connection broke to s3");
    screen.told();
    let told = line(&screen);
    assert!(told.contains(", trying now  "), "{told}");
    assert!(!told.contains('…'), "{told}");
}

#[test]
fn leaving_says_what_is_waited_for() {
    let mut screen = busy(120, 40);
    let summary = &mut screen.world.summary;
    summary.phase = Phase::Draining;
    (summary.parts_running, summary.saved) = (2, true);
    screen.told();
    let told = |screen: &Screen| screen.text().lines().nth(2).unwrap().to_owned();
    let line = told(&screen);
    assert!(line.contains("finishing 2 parts; q at once"), "{line}");
    screen.world.summary.parts_running = 0;
    screen.told();
    let line = told(&screen);
    assert!(
        line.contains("waiting for the destination; q at once"),
        "{line}"
    );
    screen.world.summary.saved = false;
    screen.told();
    assert!(told(&screen).contains(" saving"), "{}", told(&screen));
}

#[test]
fn the_session_s_name_stays_where_it_is_while_it_is_saved_again_and_again() {
    let mut screen = busy(80, 24);
    let at = |screen: &Screen| find(&screen.buffer(), "2026-11-23").unwrap();
    screen.world.summary.saved = true;
    screen.told();
    let before = at(&screen);
    screen.world.summary.saved = false;
    screen.told();
    assert!(screen.text().contains("saving"));
    assert_eq!(at(&screen), before);
}

#[test]
fn the_cursor_in_the_grid_is_seen_on_a_part_that_is_done() {
    let mut screen = busy(120, 40);
    screen.press("<enter>g");
    let buffer = screen.buffer();
    let (x, y) = find(&buffer, "■■").unwrap();
    assert!(buffer[(x, y)].modifier.contains(Modifier::REVERSED));
    assert_ne!(buffer[(x, y)].fg, buffer[(x + 1, y)].fg);
}

#[test]
fn a_paused_file_shows_how_far_it_is_and_not_how_its_last_part_was_cut_off() {
    let mut screen = busy(120, 40);
    let row = &mut screen.world.rows[1];
    (row.state, row.parts_running, row.rate) = (State::Paused, 0, 0);
    row.note = Some("it was cut short before the answer came".to_owned());
    screen.told();
    let text = screen.text();
    let line = text
        .lines()
        .find(|line| line.contains("02 dinner"))
        .unwrap();
    assert!(line.contains(" %") && !line.contains("cut short"), "{line}");
}

#[test]
fn a_failed_part_names_the_key_that_means_it_in_the_pane_one_is_in() {
    let mut screen = busy(120, 40);
    assert!(
        screen.text().contains("r tries it again"),
        "{}",
        screen.text()
    );
    screen.press("<enter>");
    assert!(
        screen.text().contains("t tries it again"),
        "{}",
        screen.text()
    );
}

#[test]
fn the_bar_under_the_cursor_is_told_by_its_cells_where_the_line_has_one_colour() {
    let theme = |depth| Theme::new(depth, Background::Dark, false);
    let bar = |depth| {
        let screen = busy(120, 40).with_theme(theme(depth));
        let text = screen.text();
        let line = text.lines().find(|line| line.contains("02 dinner"));
        line.unwrap().to_owned()
    };
    let few = bar(Depth::Ansi);
    assert!(few.contains('┄'), "{few}");
    assert!(!bar(Depth::Indexed).contains('┄'));
}

#[test]
fn a_cap_by_schedule_says_so_and_until_when() {
    let mut screen = busy(120, 40);
    screen.world.summary.limited_by = LimitedBy::Bandwidth;
    screen.world.summary.settings.bandwidth = "2MiB/s".parse().unwrap();
    screen.world.summary.bandwidth_why = "by schedule until 18:00".to_owned();
    screen.told();
    let words = "held at 2MiB/s by schedule until 18:00";
    assert!(screen.text().contains(words), "{}", screen.text());
}

#[test]
fn the_row_under_the_cursor_stands_out_and_a_failed_one_is_red_and_worded() {
    let screen = busy(120, 40);
    let theme = &screen.app.theme;
    let buffer = screen.buffer();
    let (x, y) = find(&buffer, "02 dinner").unwrap();
    assert_eq!(buffer[(x, y)].bg, theme.selected.bg.unwrap());
    assert!(buffer[(x, y)].modifier.contains(Modifier::BOLD));
    let (x, y) = find(&buffer, "failed     ").unwrap();
    assert_eq!(buffer[(x, y)].fg, theme.bad.fg.unwrap());
    assert_eq!(buffer[(x, y)].bg, Color::Reset);
    assert_eq!(buffer[(x - 2, y)].symbol(), "✗");
    let (x, y) = find(&buffer, "403 Forbidden").unwrap();
    assert_eq!(buffer[(x, y)].fg, theme.bad.fg.unwrap());
}

#[test]
fn a_bar_is_full_only_when_nothing_is_missing() {
    let mut world = World::busy();
    world.rows[1].acknowledged = world.rows[1].size - 1;
    world.rows[1].in_flight = 0;
    let mut screen = Screen::flat(world, 120, 40);
    let full = |screen: &Screen, name: &str| {
        let buffer = screen.buffer();
        let (_, y) = find(&buffer, name).unwrap();
        let theme = &screen.app.theme;
        (0..120).map(|x| &buffer[(x, y)]).all(|cell| {
            cell.symbol() != "╸" && (cell.symbol() != "━" || cell.style().fg != theme.track.fg)
        })
    };
    assert!(screen.text().contains("99 %"));
    assert!(!full(&screen, "02 dinner"));
    let row: &mut Row = &mut screen.world.rows[1];
    row.acknowledged = row.size;
    screen.told();
    assert!(full(&screen, "02 dinner"));
}

#[test]
fn a_group_of_parts_shows_the_worst_of_it() {
    let mut world = World::busy();
    world.running(2, 9000, &[40, 41], &[(5000, None)]);
    world.count();
    let mut screen = Screen::flat(world, 80, 24);
    screen.press("j");
    let text = screen.text();
    assert!(text.contains("9000 parts"), "{text}");
    let grid = crate::tui::update::moving::grid(&screen.app).unwrap();
    assert!(grid.group > 1);
    let (x, y) = grid.position(4999 / grid.group).unwrap();
    assert_eq!(screen.buffer()[(x, y)].symbol(), "✗");
    let (x, y) = grid.position(0).unwrap();
    assert_eq!(screen.buffer()[(x, y)].symbol(), "▸");
}

#[test]
fn a_part_that_failed_tells_its_story_in_a_small_terminal_too() {
    let mut screen = busy(80, 24);
    screen.press("<enter>lllllllllllll<enter>");
    assert!(matches!(screen.app.dialog, Some(Dialog::Part)));
    assert_snapshot!(screen.text());
}

#[test]
fn what_a_failed_part_waits_for_is_said_instead_of_no_time_at_all() {
    let mut screen = busy(120, 40);
    let waits = |screen: &mut Screen, what: &str| {
        for parts in &mut screen.world.parts {
            for part in &mut parts.failed {
                if part.retry_in_ms.is_some() {
                    part.retry_in_ms = Some(0);
                    part.waits_for = Some(what.to_owned());
                }
            }
        }
        screen.told();
        screen.text()
    };
    let text = waits(&mut screen, "when the line is back");
    assert!(text.contains("again when the line is back"), "{text}");
    assert!(!text.contains("again in 0s"), "{text}");
}
