//! The queue as a tree of folders: what it looks like, what keys and clicks do to it, and what
//! commands on a folder are for.

use crossterm::event::{Event, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use insta::assert_snapshot;
use ratatui::style::Color;

use super::{Screen, fake::World, find};
use crate::{
    engine::protocol::{Command, Filter, FolderId, LineId, Place, Show, State, Targets},
    tui::{
        action::Pane,
        app::Dialog,
        theme::{Background, Depth, Theme},
        update::{Effect, Msg},
    },
};

fn screen(width: u16, height: u16) -> Screen {
    Screen::new(World::busy(), width, height)
}

fn commands(effects: Vec<Effect>) -> Vec<Command> {
    let command = |effect| match effect {
        Effect::Command(command) => Some(command),
        _ => None,
    };
    effects.into_iter().filter_map(command).collect()
}

/// The folder under the cursor.
fn folder(screen: &Screen) -> FolderId {
    match screen.app.queue.selected {
        Some(LineId::Folder(id)) => id,
        other => panic!("no folder is under the cursor but {other:?}"),
    }
}

fn name(screen: &Screen) -> String {
    let folder = screen.app.queue.current_folder().unwrap();
    folder.name.display().to_string()
}

fn click(screen: &mut Screen, column: u16, row: u16) {
    screen.send(Msg::Input(Event::Mouse(MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column,
        row,
        modifiers: KeyModifiers::NONE,
    })));
}

/// Of the row with this text, the cells as a text.
fn row_of(screen: &Screen, text: &str) -> String {
    let screen = screen.text();
    let row = screen.lines().find(|line| line.contains(text));
    row.unwrap_or_else(|| panic!("no {text:?} in {screen}"))
        .to_owned()
}

#[test]
fn a_tree_at_80_by_24() {
    let mut screen = screen(80, 24);
    screen.press("j");
    assert_snapshot!(screen.text());
}

#[test]
fn a_tree_at_120_by_40() {
    let mut screen = screen(120, 40);
    screen.press("jj");
    assert_snapshot!(screen.text());
}

#[test]
fn a_tree_at_200_by_50() {
    let mut screen = screen(200, 50);
    screen.press("c");
    assert_snapshot!(screen.text());
}

#[test]
fn a_tree_at_40_by_10() {
    assert_snapshot!(screen(40, 10).text());
}

#[test]
fn a_tree_in_ascii_without_colour() {
    let theme = Theme::new(Depth::Mono, Background::Dark, true);
    let mut screen = screen(80, 24).with_theme(theme);
    screen.press("cj ");
    assert!(screen.text().is_ascii());
    assert_snapshot!(screen.text());
}

#[test]
fn a_folder_tells_what_is_inside_in_the_columns_of_files() {
    let mut screen = screen(120, 40);
    let row = row_of(&screen, "2019/wedding/");
    assert!(row.contains("▾ 2019/wedding/"), "{row}");
    assert!(row.contains("1 running  1/3"), "{row}");
    // Its size ends where those of files end.
    let end = |row: &str, size: &str| crate::format::width(&row[..row.find(size).unwrap()]);
    let file = row_of(&screen, "03 dance");
    assert_eq!(end(&row, "4.6 GiB"), end(&file, "940 MiB"));
    let theme = screen.app.theme.clone();
    let buffer = screen.buffer();
    let (x, y) = find(&buffer, "1 failed  1/3").unwrap();
    assert_eq!(buffer[(x, y)].fg, theme.bad.fg.unwrap());
    assert_eq!(buffer[(x + 10, y)].fg, theme.dim.fg.unwrap());
    // The glyph and the word of what is worst in it.
    let row = row_of(&screen, "interviews/");
    assert!(row.contains("✗ failed"), "{row}");
    screen.press("jc");
    assert!(row_of(&screen, "2019/wedding/").contains('▸'));
}

#[test]
fn folding_hides_and_unfolding_shows_by_keys_as_everywhere() {
    let mut screen = screen(120, 40);
    assert_eq!(name(&screen), "2019/wedding");
    let all = screen.app.queue.window.length;
    screen.press("h");
    assert!(!screen.text().contains("03 dance"));
    assert_eq!(screen.app.queue.window.length, all - 3);
    assert_eq!(
        screen.app.queue.window.matching, 14,
        "nothing is hidden by a filter"
    );
    screen.press("l");
    assert!(screen.text().contains("03 dance"));
    // Into it, and from a file out to its folder, wherever that is.
    screen.press("l<right>");
    assert_eq!(
        screen.app.focus,
        Pane::Parts,
        "a file has parts to the right"
    );
    screen.press("<esc>jj");
    assert_eq!(screen.app.queue.upload(), Some(3));
    screen.press("<left>");
    assert_eq!(name(&screen), "2019/wedding");
    screen.press("<enter>");
    assert!(!screen.text().contains("03 dance"));
    screen.press("<enter>j");
    // From a file its folder is folded, and the cursor is on it.
    screen.press("c");
    assert_eq!(name(&screen), "2019/wedding");
    assert!(!screen.text().contains("03 dance"));
}

#[test]
fn all_folders_fold_and_unfold_at_once_and_the_cursor_stays_with_its_file() {
    let mut screen = screen(120, 40);
    screen.press("jjj");
    assert_eq!(screen.app.queue.upload(), Some(3));
    screen.press("C");
    assert_eq!(name(&screen), "2019/wedding");
    let text = screen.text();
    assert!(
        !text.contains(".mov") && text.contains("▸ 2023/concert/"),
        "{text}"
    );
    assert!(text.contains("notes.aiff"), "it is in no folder: {text}");
    screen.press("U");
    assert!(screen.text().contains("03 dance"));
    screen.press("jjjt");
    assert_eq!(screen.app.queue.upload(), Some(3));
    assert!(screen.text().contains(" 2019/wedding/01 ceremony.mov "));
    screen.press("c");
    assert!(screen.text().contains("there is no tree here; t shows it"));
    screen.press("t");
    assert_eq!(screen.app.queue.upload(), Some(3));
}

#[test]
fn a_screen_that_nobody_steers_shows_the_folder_that_hides_what_runs() {
    let mut screen = Screen::unattended(World::busy(), 80, 24);
    assert_eq!(screen.app.queue.upload(), Some(2));
    screen.app.queue.folds.fold_all(true);
    screen.told();
    assert_eq!(name(&screen), "2019/wedding");
    screen.told();
    assert_eq!(name(&screen), "2019/wedding");
}

#[test]
fn a_filter_leaves_folders_with_a_hit_and_says_what_it_hides() {
    let mut screen = screen(120, 40);
    screen.press("/dance<enter>");
    let text = screen.text();
    assert!(text.contains("2019/wedding/"), "{text}");
    assert!(!text.contains("interviews/"), "{text}");
    let row = row_of(&screen, "2019/wedding/");
    assert!(row.contains("2 hidden"), "{row}");
    assert!(text.contains("13 hidden"), "{text}");
    screen.press("<esc>ff");
    assert_eq!(screen.app.queue.filter.show, Show::Failed);
    let row = row_of(&screen, "interviews/");
    assert!(
        row.contains("2 hidden") && row.contains("1 failed"),
        "{row}"
    );
}

#[test]
fn a_command_on_a_folder_is_for_all_that_is_shown_inside() {
    let mut screen = screen(80, 24);
    let at = folder(&screen);
    let inside = || Targets::Inside(at, Filter::default());
    assert_eq!(
        commands(screen.press("prXyHE")),
        [
            Command::Pause(inside()),
            Command::Retry(inside()),
            Command::Skip(inside()),
            Command::Move(inside(), Place::Top),
            Command::Move(inside(), Place::Bottom),
        ]
    );
    screen.press("/dance<enter>");
    let filter = Filter {
        text: "dance".into(),
        ..Filter::default()
    };
    let shown = Targets::Inside(folder(&screen), filter);
    assert_eq!(commands(screen.press("p")), [Command::Pause(shown)]);
}

#[test]
fn a_folder_of_paused_files_is_resumed_by_the_same_key() {
    let mut world = World::busy();
    for row in &mut world.rows[0..3] {
        if row.state != State::Done {
            (row.state, row.parts_running) = (State::Paused, 0);
        }
    }
    let mut screen = Screen::new(world, 80, 24);
    let inside = Targets::Inside(folder(&screen), Filter::default());
    assert!(screen.text().contains("p resume"));
    assert_eq!(commands(screen.press("p")), [Command::Resume(inside)]);
}

#[test]
fn what_would_be_lost_of_a_folder_is_asked_first_and_what_the_filter_hides_is_named() {
    let mut screen = screen(80, 24);
    let at = folder(&screen);
    assert_eq!(commands(screen.press("x")), []);
    let text = screen.text();
    assert!(text.contains("Take out of the queue?"), "{text}");
    assert!(text.contains("/mnt/archive/2019/wedding/"), "{text}");
    assert!(text.contains("with 3 files inside, however deep"), "{text}");
    assert!(
        text.contains("of 4.6 GiB are at the destination already"),
        "{text}"
    );
    let all = Targets::Inside(at, Filter::default());
    assert_eq!(commands(screen.press("y")), [Command::Remove(all)]);
    screen.press("/dance<enter>");
    assert_eq!(commands(screen.press("S")), []);
    let text = screen.text();
    assert!(text.contains("with 1 file inside"), "{text}");
    assert!(
        text.contains("2 files in it that the filter hides: left alone"),
        "{text}"
    );
    assert!(matches!(screen.app.dialog, Some(Dialog::Confirm(_))));
}

#[test]
fn a_folder_shows_whether_all_some_or_none_of_it_is_marked() {
    let mut screen = screen(120, 40);
    let mark = |screen: &Screen| {
        let buffer = screen.buffer();
        let (x, y) = find(&buffer, "▾ 2019/wedding/").unwrap();
        buffer[(x - 14, y)].symbol().to_owned()
    };
    assert_eq!(mark(&screen), " ");
    screen.press("j ");
    assert_eq!(mark(&screen), "◐");
    assert!(screen.text().contains("1 marked"));
    screen.press("  ");
    assert_eq!(mark(&screen), "●", "all files of it, one by one");
    screen.press("<esc>g ");
    assert_eq!(mark(&screen), "●");
    assert!(screen.text().contains("3 marked"));
    assert_eq!(screen.app.queue.upload(), Some(1));
    // One of it is left out again.
    screen.press(" ");
    assert_eq!(mark(&screen), "◐");
    let at = {
        screen.press("g");
        folder(&screen)
    };
    let marked = Targets::Marked {
        inside: vec![(at, Filter::default())],
        except: vec![1],
        ids: vec![],
    };
    assert_eq!(commands(screen.press("p")), [Command::Pause(marked)]);
    assert!(screen.text().contains("2 marked"));
    screen.press(" g");
    assert_eq!(mark(&screen), "●");
    screen.press(" ");
    assert_eq!(mark(&screen), " ");
    assert!(screen.app.queue.marks.is_empty());
}

#[test]
fn a_folder_is_not_left_out_of_what_was_marked_around_it() {
    let mut screen = screen(120, 40);
    screen.press("* ");
    assert!(screen.text().contains("it is marked with all around it"));
    assert!(screen.text().contains("14 marked"));
    assert_eq!(
        commands(screen.press("p")),
        [Command::Pause(Targets::Filtered(Filter::default()))]
    );
}

#[test]
fn a_range_takes_folded_folders_whole_and_of_others_the_lines_in_it() {
    let mut screen = screen(120, 40);
    // The first folder folded, then two lines of the next.
    screen.press("cvjj");
    let at = {
        let line = screen.app.queue.line(0).unwrap();
        line.folder().unwrap().id
    };
    let marked = Targets::Marked {
        inside: vec![(at, Filter::default())],
        except: vec![],
        ids: vec![4],
    };
    let next = screen
        .app
        .queue
        .line(1)
        .unwrap()
        .folder()
        .map(|one| one.name.clone());
    assert_eq!(next, Some("2020".into()));
    assert_eq!(
        commands(screen.press("p")),
        [Command::Pause(marked.clone())]
    );
    screen.press("<esc>gvG");
    screen.press("v");
    let targets = screen.app.queue.targets().unwrap();
    let Targets::Marked { ids, .. } = targets else {
        panic!("{targets:?}")
    };
    assert_eq!(ids, (4..=14).collect::<Vec<u32>>());
}

#[test]
fn what_is_marked_twice_is_counted_once() {
    let mut screen = screen(120, 40);
    screen.press("*vGv");
    assert!(screen.text().contains("14 marked"));
    screen.press("<esc>gj g ");
    assert!(screen.text().contains("3 marked"));
    // The folder alone, for the file in it says nothing more.
    let all = Targets::Inside(
        screen.app.queue.line(0).unwrap().folder().unwrap().id,
        Filter::default(),
    );
    assert_eq!(screen.app.queue.targets(), Some(all));
}

#[test]
fn a_file_that_was_left_out_is_not_marked_again_while_a_filter_hides_it() {
    let mut screen = screen(120, 40);
    // The folder without its first file; then the folder again, with only the third one shown.
    screen.press("  /dance<enter>");
    assert_eq!(name(&screen), "2019/wedding");
    screen.press(" ");
    let Some(Targets::Marked { except, .. }) = screen.app.queue.targets() else {
        panic!("{:?}", screen.app.queue.targets());
    };
    assert_eq!(except, [1]);
}

#[test]
fn a_click_on_the_glyph_folds_and_a_click_on_the_name_only_selects() {
    let mut screen = screen(120, 40);
    let (x, y) = find(&screen.buffer(), "▾ 2021/interviews/").unwrap();
    click(&mut screen, x + 3, y);
    assert_eq!(name(&screen), "2021/interviews");
    assert!(screen.text().contains("jonas"));
    click(&mut screen, x, y);
    assert!(!screen.text().contains("jonas"));
    assert_eq!(screen.buffer()[(x, y)].symbol(), "▸");
    click(&mut screen, x, y);
    assert!(screen.text().contains("jonas"));
}

#[test]
fn names_that_would_steer_or_overflow_are_harmless_as_folders() {
    let mut world = World::default();
    let long = "日本語の長い名前".repeat(9);
    for (id, path) in [
        (1, format!("{long}/a.mov")),
        (2, "x\u{1b}[31m\u{202e}\n/b.mov".to_owned()),
        (3, format!("{}c.mov", "deep/deeper/".repeat(30))),
        (4, format!("{}d.mov", "deep/deeper/".repeat(15))),
        (5, "مجلد/فيلم.mov".to_owned()),
    ] {
        world.push(id, &path, 7 << 20, State::Queued);
    }
    world.count();
    for width in [20, 40, 80, 200] {
        let screen = Screen::new(
            World {
                rows: world.rows.clone(),
                parts: world.parts.clone(),
                ..World::default()
            },
            width,
            24,
        );
        let buffer = screen.buffer();
        for cell in &buffer.content {
            assert!(!cell.symbol().contains(crate::error::is_unsafe));
        }
        // The border is where it was.
        for line in screen.text().lines().skip(4).take(5) {
            assert_eq!(crate::format::width(line), usize::from(width), "{line}");
        }
    }
}

#[test]
fn the_pane_of_parts_tells_of_a_folder_what_is_inside() {
    let screen = screen(120, 40);
    let text = screen.text();
    assert!(
        text.contains("3 files · 2.8 GiB of 4.6 GiB uploaded"),
        "{text}"
    );
    assert!(
        text.contains("✓ 1 done") && text.contains("· 1 queued"),
        "{text}"
    );
    let theme = &screen.app.theme;
    let buffer = screen.buffer();
    let (x, y) = find(&buffer, "✓ 1 done").unwrap();
    assert_eq!(buffer[(x, y)].fg, theme.good.fg.unwrap());
    assert_eq!(buffer[(x + 2, y)].fg, Color::Reset);
}
