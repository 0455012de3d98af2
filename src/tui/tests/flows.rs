//! What keys lead to: commands, marks, filters, dialogs.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::{Screen, fake::World};
use crate::{
    engine::protocol::{Command, Filter, Phase, Place, Query, Show, SortBy, State, Targets},
    settings::{Bandwidth, Concurrency, PartSize},
    tui::{
        Exit,
        action::Pane,
        app::Dialog,
        update::{Effect, Msg, update},
    },
};

fn screen() -> Screen {
    Screen::flat(World::busy(), 80, 24)
}

fn ids(list: &[u32]) -> Targets {
    Targets::Ids(list.to_vec())
}

fn commands(effects: Vec<Effect>) -> Vec<Command> {
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Command(command) => Some(command),
            _ => None,
        })
        .collect()
}

#[test]
fn arrows_and_vim_keys_move_alike() {
    let mut screen = screen();
    screen.press("jj<down>");
    assert_eq!(screen.app.queue.upload(), Some(4));
    screen.press("k<up>");
    assert_eq!(screen.app.queue.upload(), Some(2));
    screen.press("G");
    assert_eq!(screen.app.queue.upload(), Some(14));
    assert!(screen.text().contains("notes.aiff"));
    screen.press("g");
    assert_eq!(
        (screen.app.queue.upload(), screen.app.queue.offset),
        (Some(1), 0)
    );
}

#[test]
fn the_cursor_stays_on_its_file_when_the_order_changes_below_it() {
    let mut screen = screen();
    screen.press("jjj");
    screen.world.rows.swap(3, 13);
    screen.told();
    assert_eq!(screen.app.queue.upload(), Some(4));
    assert_eq!(screen.app.queue.cursor, 13);
    assert!(screen.text().contains("Straßenfest"));
}

#[test]
fn a_screen_that_nobody_steers_shows_a_file_that_runs() {
    let mut screen = Screen::unattended(World::busy(), 80, 24);
    assert_eq!(screen.app.queue.upload(), Some(2));
    assert!(screen.text().contains("17 of 74 parts"));
    // It stays where it is while that goes on, and goes on when that is done.
    screen.world.running(1, 164, &[4], &[]);
    screen.told();
    assert_eq!(screen.app.queue.upload(), Some(2));
    let row = &mut screen.world.rows[1];
    (row.state, row.parts_running) = (State::Done, 0);
    screen.world.rows[0].parts_running = 0;
    screen.told();
    assert_eq!(screen.app.queue.upload(), Some(5));
}

#[test]
fn a_file_that_runs_far_down_is_brought_into_view() {
    let mut world = World::busy();
    for id in [2, 5] {
        let row = &mut world.rows[id - 1];
        (row.state, row.parts_running) = (State::Done, 0);
    }
    world.rows[11].state = State::Uploading;
    world.running(12, 500, &[8, 9], &[]);
    let screen = Screen::unattended(world, 80, 24);
    assert_eq!(screen.app.queue.upload(), Some(12));
    assert!(screen.text().contains("main.mkv"));
}

#[test]
fn the_cursor_stays_once_it_was_moved_until_esc_lets_it_follow_again() {
    let mut screen = Screen::unattended(World::busy(), 80, 24);
    screen.press("j");
    screen.told();
    assert_eq!(screen.app.queue.upload(), Some(3));
    screen.press("/inter<enter><esc>");
    assert!(!screen.app.queue.following);
    screen.press("G<esc>");
    assert_eq!(screen.app.queue.upload(), Some(2));
}

#[test]
fn a_file_that_was_acted_on_stays_under_the_cursor() {
    let mut screen = Screen::unattended(World::busy(), 80, 24);
    assert_eq!(commands(screen.press("p")), [Command::Pause(ids(&[2]))]);
    let row = &mut screen.world.rows[1];
    (row.state, row.parts_running) = (State::Paused, 0);
    screen.told();
    assert_eq!(commands(screen.press("p")), [Command::Resume(ids(&[2]))]);
}

#[test]
fn a_file_that_is_gone_leaves_the_cursor_on_its_neighbour() {
    let mut screen = screen();
    screen.press("G");
    screen.world.rows.pop();
    screen.told();
    assert_eq!(screen.app.queue.upload(), Some(13));
    screen.world.rows.clear();
    screen.told();
    assert_eq!(screen.app.queue.upload(), None);
}

#[test]
fn commands_are_for_the_file_under_the_cursor() {
    let mut screen = screen();
    assert_eq!(
        commands(screen.press("jpr")),
        [Command::Pause(ids(&[2])), Command::Retry(ids(&[2]))]
    );
    assert_eq!(
        commands(screen.press("RPw")),
        [
            Command::Retry(Targets::All),
            Command::Pause(Targets::All),
            Command::Save
        ]
    );
}

#[test]
fn a_paused_file_is_resumed_by_the_same_key() {
    let mut screen = screen();
    screen.press("jjjjjjjj");
    assert_eq!(commands(screen.press("p")), [Command::Resume(ids(&[9]))]);
}

#[test]
fn marks_take_the_place_of_the_cursor() {
    let mut screen = screen();
    screen.press("  ");
    assert!(screen.text().contains("2 marked"));
    assert_eq!(commands(screen.press("X")), []);
    assert!(screen.text().contains("Leave out?"), "{}", screen.text());
    assert_eq!(commands(screen.press("y")), [Command::Skip(ids(&[1, 2]))]);
    screen.press("g ");
    assert_eq!(commands(screen.press("p")), [Command::Pause(ids(&[2]))]);
    screen.press("<esc>");
    assert!(screen.app.queue.marks.is_empty());
}

#[test]
fn leaving_out_asks_first_where_what_was_sent_would_be_lost() {
    let mut screen = screen();
    screen.press("fj");
    assert_eq!(commands(screen.press("X")), []);
    let text = screen.text();
    assert!(text.contains("Leave out?"), "{text}");
    assert!(text.contains("is not used again"), "{text}");
    screen.press("n");
    assert!(screen.app.dialog.is_none());
    // What failed or changed is left out at once: that is what the key is for.
    screen.press("fG");
    assert_eq!(screen.app.queue.filter.show, Show::Failed);
    let told = commands(screen.press("X"));
    assert!(matches!(&told[..], [Command::Skip(_)]), "{}", screen.text());
}

#[test]
fn a_range_is_marked_with_all_its_rows_even_those_out_of_view() {
    let mut screen = screen();
    screen.press("vG");
    assert!(screen.text().contains("range"));
    screen.press("v");
    let all: Vec<u32> = (1..=14).collect();
    assert_eq!(screen.app.queue.targets(), Some(ids(&all)));
    screen.press("<esc>gvj");
    assert_eq!(commands(screen.press("p")), [Command::Pause(ids(&[1, 2]))]);
}

#[test]
fn all_of_a_filter_is_marked_without_a_list() {
    let mut screen = screen();
    screen.press("/drone<enter>*");
    assert!(screen.text().contains("3 marked"));
    let filter = Filter {
        show: Show::All,
        text: "drone".into(),
    };
    assert_eq!(
        commands(screen.press("p")),
        [Command::Pause(Targets::Filtered(filter))]
    );
}

#[test]
fn what_is_marked_beyond_the_filter_is_told_before_it_is_taken_out() {
    let mut screen = screen();
    screen.press("*ff");
    assert_eq!(screen.app.queue.filter.show, Show::Failed);
    assert_eq!(commands(screen.press("x")), []);
    let text = screen.text();
    assert!(text.contains("14 marked files"), "{text}");
    assert!(text.contains("hidden now are among them"), "{text}");
    // Under the filter that they were marked with there is nothing to tell.
    screen.press("<esc><esc><esc>/drone<enter>*");
    assert_eq!(commands(screen.press("x")), []);
    let text = screen.text();
    assert!(text.contains("3 marked files"), "{text}");
    assert!(!text.contains("hidden now"), "{text}");
}

#[test]
fn what_is_uploaded_is_not_forgotten_without_a_question() {
    let mut screen = screen();
    screen.press("ffff");
    assert_eq!(screen.app.queue.filter.show, Show::Done);
    assert_eq!(commands(screen.press("x")), []);
    let text = screen.text();
    assert!(text.contains("media ids"), "{text}");
    let taken_out = commands(screen.press("<enter>"));
    assert!(
        matches!(taken_out[..], [Command::Remove(_)]),
        "{taken_out:?}"
    );
}

#[test]
fn a_filter_acts_as_it_is_typed_and_says_what_it_hides() {
    let mut screen = screen();
    screen.press("/dro");
    assert_eq!(screen.app.queue.window.matching, 3);
    assert!(screen.text().contains("3 of 14"));
    screen.press("ne/q<enter>");
    assert_eq!(screen.app.queue.filter.text, "drone/q");
    assert!(screen.text().contains("nothing matches"));
    screen.press("<esc>");
    assert_eq!(screen.app.queue.window.matching, 14);
    screen.press("ffo");
    assert_eq!(screen.app.queue.filter.show, Show::Failed);
    assert_eq!(screen.app.queue.sort.by, SortBy::Name);
    assert!(screen.text().contains("11 hidden"));
}

#[test]
fn reordering_keeps_to_the_queue_s_own_order() {
    let mut screen = screen();
    assert_eq!(
        commands(screen.press("jJKHE")),
        [Place::Down, Place::Up, Place::Top, Place::Bottom].map(|p| Command::Move(ids(&[2]), p))
    );
    assert_eq!(commands(screen.press("oJ")), []);
    assert!(screen.text().contains("sort by queue order first"));
}

#[test]
fn only_what_loses_something_is_asked_about() {
    let mut screen = screen();
    screen.press("jj");
    assert_eq!(
        screen.app.queue.current_upload().unwrap().state,
        State::Queued
    );
    assert_eq!(commands(screen.press("x")), [Command::Remove(ids(&[3]))]);
    screen.press("k");
    assert_eq!(commands(screen.press("x")), []);
    assert!(screen.text().contains("Take out of the queue?"));
    assert_eq!(commands(screen.press("<esc>x")), []);
    assert_eq!(
        commands(screen.press("<enter>")),
        [Command::Remove(ids(&[2]))]
    );
    assert_eq!(commands(screen.press("S")), []);
    assert_eq!(commands(screen.press("y")), [Command::StartOver(ids(&[2]))]);
}

#[test]
fn one_failed_part_is_retried_from_the_grid() {
    let mut screen = screen();
    screen.press("j<enter>");
    assert_eq!(screen.app.focus, Pane::Parts);
    assert_eq!(commands(screen.press("t")), []);
    screen.press("lllllllllllll");
    assert_eq!(
        commands(screen.press("t")),
        [Command::RetryPart {
            upload: 2,
            part: 14
        }]
    );
    assert_eq!(commands(screen.press("r")), [Command::Retry(ids(&[2]))]);
}

#[test]
fn concurrency_and_bandwidth_change_at_once_and_add_up() {
    let mut screen = screen();
    // From the 6 that were found on.
    let tuned = commands(screen.press("++"));
    let Some(Command::Tune(settings)) = tuned.last() else {
        panic!("{tuned:?}");
    };
    assert_eq!(settings.parts_in_flight, Concurrency::Fixed(8));
    let tuned = commands(screen.press("<"));
    let [Command::Tune(settings)] = tuned.as_slice() else {
        panic!("{tuned:?}");
    };
    assert!(matches!(settings.bandwidth, Bandwidth::Limited(_)));
    assert_eq!(settings.parts_in_flight, Concurrency::Fixed(8));
}

#[test]
fn a_part_size_is_looked_at_before_it_is_taken() {
    let mut screen = screen();
    assert_eq!(commands(screen.press("]")), []);
    assert!(screen.text().contains("re-cuts 212 parts"));
    assert_eq!(commands(screen.press("<esc>")), []);
    let tuned = commands(screen.press("T32MiB<enter><enter>"));
    let [Command::Tune(settings)] = tuned.as_slice() else {
        panic!("{tuned:?}");
    };
    assert_eq!(settings.part_size, "32MiB".parse::<PartSize>().unwrap());
}

#[test]
fn what_a_change_would_do_follows_the_text_as_it_is_typed() {
    let mut screen = screen();
    let words = "re-cuts 212 parts";
    screen.press("T32");
    assert!(!screen.text().contains(words));
    assert!(
        screen.text().contains("was 32MiB meant?"),
        "{}",
        screen.text()
    );
    screen.press("MiB");
    assert!(screen.text().contains(words), "{}", screen.text());
    screen.press("x");
    assert!(!screen.text().contains(words), "{}", screen.text());
    assert!(
        screen.text().contains("is not a part size"),
        "{}",
        screen.text()
    );
    screen.press("<back>");
    assert!(screen.text().contains(words));
    screen.press("<esc>");
    assert!(
        screen.text().contains("nothing is changed yet"),
        "{}",
        screen.text()
    );
}

#[test]
fn an_arrow_takes_what_was_typed_and_goes_on_to_the_next_setting() {
    let mut screen = screen();
    let tuned = commands(screen.press("T32MiB<down>12<up>64MiB<enter><enter>"));
    let [Command::Tune(settings)] = tuned.as_slice() else {
        panic!("{tuned:?}");
    };
    assert_eq!(settings.part_size, "64MiB".parse::<PartSize>().unwrap());
    assert_eq!(settings.parts_in_flight, Concurrency::Fixed(12));
    // What is no value keeps the cursor, and says why.
    screen.press("T3x<down>");
    let Some(Dialog::Tuning(tuning)) = &screen.app.dialog else {
        panic!("the panel is gone");
    };
    assert_eq!(tuning.row, 0);
    assert!(screen.text().contains("is not a part size"));
}

#[test]
fn what_one_looks_for_in_an_order_comes_first() {
    let mut screen = screen();
    let mut seen = Vec::new();
    for _ in 0..6 {
        screen.press("o");
        let sort = screen.app.queue.sort;
        seen.push((sort.by, sort.descending));
    }
    assert_eq!(
        seen,
        [
            (SortBy::Name, false),
            (SortBy::Size, true),
            (SortBy::Progress, true),
            (SortBy::State, false),
            (SortBy::Speed, true),
            (SortBy::Queue, false),
        ]
    );
}

#[test]
fn a_search_in_the_help_may_begin_with_a_slash() {
    let mut screen = screen();
    screen.press("?/bandw");
    assert!(
        screen.text().contains("more bandwidth"),
        "{}",
        screen.text()
    );
    // Alone it is the key that is looked for.
    screen.press("<esc>/");
    assert!(
        screen.text().contains("show only names"),
        "{}",
        screen.text()
    );
}

#[test]
fn a_key_that_means_nothing_where_one_is_says_so() {
    let mut screen = screen();
    screen.press("j<enter>K");
    let words = "K does nothing here; ? shows the keys";
    assert!(screen.text().contains(words), "{}", screen.text());
}

#[test]
fn enter_on_a_part_without_a_story_says_so() {
    let mut screen = screen();
    screen.press("j<enter><enter>");
    assert!(screen.app.dialog.is_none());
    let words = "nothing failed in the part under the cursor";
    assert!(screen.text().contains(words), "{}", screen.text());
}

#[test]
fn half_a_name_is_not_counted_as_a_place_without_media() {
    let mut screen = screen();
    screen.press("a");
    screen.send(Msg::Listing(crate::tui::app::Listing {
        folder: "/mnt/archive/".into(),
        entries: vec![crate::tui::app::Entry {
            path: "/mnt/archive/2019".into(),
            name: "2019".to_owned(),
            folder: true,
            media: false,
            size: 0,
        }],
        error: None,
    }));
    let count = |screen: &mut Screen| {
        let Some(Dialog::Add(add)) = &mut screen.app.dialog else {
            panic!("the dialog is gone");
        };
        let whole = crate::tui::app::Estimate {
            whole: true,
            ..Default::default()
        };
        add.estimate = add.wanted().map(|wanted| (wanted, whole));
    };
    screen.press("20");
    count(&mut screen);
    assert!(!screen.text().contains("no media"), "{}", screen.text());
    screen.press("19");
    count(&mut screen);
    assert!(
        screen.text().contains("no media there"),
        "{}",
        screen.text()
    );
}

#[test]
fn a_schedule_that_changes_the_bandwidth_behind_the_panel_is_not_undone_by_it() {
    let mut screen = screen();
    screen.press("Tj9");
    screen.world.summary.settings.bandwidth = "2MiB/s".parse().unwrap();
    screen.world.summary.bandwidth_why = "by schedule until 18:00".to_owned();
    screen.told();
    assert!(screen.text().contains("2MiB/s"), "{}", screen.text());
    assert!(screen.text().contains("by schedule until 18:00"));
    let tuned = commands(screen.press("<enter><enter>"));
    let [Command::Tune(settings)] = tuned.as_slice() else {
        panic!("{tuned:?}");
    };
    assert_eq!(settings.bandwidth.to_string(), "2MiB/s");
    assert_eq!(settings.parts_in_flight, Concurrency::Fixed(9));
}

#[test]
fn as_many_as_the_line_takes_within_a_number_can_be_typed() {
    let mut screen = screen();
    let tuned = commands(screen.press("Tjauto:16<enter><enter>"));
    let [Command::Tune(settings)] = tuned.as_slice() else {
        panic!("{tuned:?}");
    };
    assert_eq!(settings.parts_in_flight, Concurrency::AutoUpTo(16));
}

#[test]
fn a_typed_value_that_is_none_is_refused_in_place() {
    let mut screen = screen();
    assert_eq!(commands(screen.press("Tj99999<enter>")), []);
    assert!(screen.text().contains("a number of parts from 1 to 256"));
    screen.press("<esc><esc>");
    assert!(screen.app.dialog.is_none());
}

#[test]
fn quitting_asks_while_uploads_run_and_a_second_time_is_at_once() {
    let mut screen = screen();
    assert_eq!(commands(screen.press("q")), []);
    assert!(matches!(screen.app.dialog, Some(Dialog::Quit)));
    assert_eq!(commands(screen.press("<enter>")), [Command::Stop]);
    assert!(screen.text().contains("finishing 6 parts"));
    assert_eq!(commands(screen.press("q")), [Command::StopNow]);
    assert_eq!(screen.press("q"), [Effect::Leave(Exit::Quit)]);
}

#[test]
fn ctrl_c_stops_without_asking_even_from_a_dialog() {
    let mut screen = screen();
    assert_eq!(commands(screen.press("?<ctrl-c>")), [Command::Stop]);
    assert_eq!(commands(screen.press("<ctrl-c>")), [Command::StopNow]);
}

#[test]
fn nothing_is_asked_when_nothing_runs() {
    let mut world = World::busy();
    world.rows.retain(|row| row.state == State::Done);
    world.count();
    let mut screen = Screen::flat(world, 80, 24);
    assert_eq!(commands(screen.press("q")), [Command::Stop]);
    screen.world.summary.phase = Phase::Stopped;
    let summary = Box::new(screen.world.summary.clone());
    assert_eq!(
        screen.send(crate::tui::update::Msg::Summary(summary)),
        [Effect::Leave(Exit::Finished)]
    );
}

#[test]
fn an_attached_screen_leaves_the_session_running() {
    let mut screen = screen();
    assert_eq!(screen.press("D"), []);
    screen.app.attached = true;
    assert_eq!(screen.press("D"), [Effect::Leave(Exit::Detached)]);
    screen.press("q");
    assert_eq!(screen.press("d"), [Effect::Leave(Exit::Detached)]);
    screen.app.dialog = None;
    assert_eq!(commands(screen.press("qs")), [Command::Stop]);
}

#[test]
fn a_path_is_completed_and_added_with_its_globs() {
    let mut screen = screen();
    assert_eq!(screen.press("a"), [Effect::List("/mnt/archive/".into())]);
    let entry = |name: &str, folder| crate::tui::app::Entry {
        path: format!("/mnt/archive/{name}").into(),
        name: name.to_owned(),
        folder,
        media: false,
        size: 1,
    };
    screen.send(crate::tui::update::Msg::Listing(crate::tui::app::Listing {
        folder: "/mnt/archive/".into(),
        entries: vec![entry("2019", true), entry("2020", true)],
        error: None,
    }));
    screen.press("2<tab>");
    let Some(Dialog::Add(add)) = &screen.app.dialog else {
        panic!("the dialog is gone");
    };
    assert_eq!(add.path.value(), "20");
    let effects = screen.press("19<tab>");
    assert!(effects.contains(&Effect::List("/mnt/archive/2019/".into())));
    let last = effects.iter().rev().find_map(|effect| match effect {
        Effect::Estimate(paths) => Some(&paths.paths),
        _ => None,
    });
    assert_eq!(last, Some(&vec!["/mnt/archive/2019/".into()]));
    let Some(Dialog::Add(add)) = &mut screen.app.dialog else {
        panic!("the dialog is gone");
    };
    add.field = crate::tui::app::AddField::Exclude;
    let added = commands(screen.press("proxies *.tmp<enter>"));
    let [Command::Add(paths)] = added.as_slice() else {
        panic!("{added:?}");
    };
    assert_eq!(
        paths.paths,
        ["/mnt/archive/2019/"].map(std::path::PathBuf::from)
    );
    assert_eq!(paths.exclude, ["proxies", "*.tmp"]);

    // While that is walked, the same key begins with the next one.
    assert_eq!(screen.press("a"), [Effect::List("/mnt/archive/".into())]);
    let added = commands(screen.press("/mnt/tape<enter>"));
    let [Command::Add(paths)] = added.as_slice() else {
        panic!("{added:?}");
    };
    assert_eq!(paths.paths, ["/mnt/tape"].map(std::path::PathBuf::from));
}

#[test]
fn a_folder_that_was_read_late_does_not_hide_the_one_that_is_typed() {
    let mut screen = screen();
    screen.press("a");
    let listing = |folder: &str| {
        crate::tui::update::Msg::Listing(crate::tui::app::Listing {
            folder: folder.into(),
            entries: vec![crate::tui::app::Entry {
                path: format!("{folder}second").into(),
                name: "second".into(),
                folder: true,
                media: false,
                size: 1,
            }],
            error: None,
        })
    };
    screen.press("/srv/");
    screen.send(listing("/srv/"));
    screen.send(listing("/"));
    assert!(screen.text().contains("second/"), "{}", screen.text());
}

#[test]
fn a_click_on_a_hint_does_what_its_key_does() {
    use crossterm::event::{Event, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    let mut screen = screen();
    let click = |screen: &mut Screen, words: &str| {
        let (column, row) = super::find(&screen.buffer(), words).unwrap();
        screen.send(crate::tui::update::Msg::Input(Event::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        })))
    };
    click(&mut screen, "03 dance");
    assert_eq!(screen.app.queue.upload(), Some(3));
    assert_eq!(
        commands(click(&mut screen, "pause")),
        [Command::Pause(ids(&[3]))]
    );
    click(&mut screen, "quit");
    assert_eq!(commands(click(&mut screen, "enter quit")), [Command::Stop]);
}

#[test]
fn what_a_change_would_do_is_asked_anew_as_the_uploads_go_on() {
    let mut screen = screen();
    screen.press("]");
    let summary = screen.world.summary.clone();
    let effects = update(&mut screen.app, Msg::Summary(Box::new(summary)));
    let asked = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Ask(Query::Preview(_))));
    assert!(asked, "{effects:?}");
    screen.press("<esc>");
    let summary = screen.world.summary.clone();
    let effects = update(&mut screen.app, Msg::Summary(Box::new(summary)));
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Ask(Query::Preview(_))))
    );
}

#[test]
fn details_scroll_as_far_as_there_is_something_and_move_with_the_engine() {
    let mut screen = screen();
    screen.press("ji");
    assert!(!screen.text().contains("31 requests"), "{}", screen.text());
    // One key up is felt at once, however often one went down.
    screen.press(&"j".repeat(100));
    let bottom = screen.text();
    assert!(
        bottom.contains("503 Slow Down") && bottom.contains(" end "),
        "{bottom}"
    );
    screen.press("k");
    assert!(
        screen.text().contains("1 line further down"),
        "{}",
        screen.text()
    );
    screen.press("g");
    assert!(screen.text().contains("│ file "), "{}", screen.text());

    screen.world.rows[1].acknowledged = 600 << 20;
    screen.told();
    assert!(
        screen.text().contains("600 MiB (50 %)"),
        "{}",
        screen.text()
    );
    screen.press("<esc>");
    assert!(screen.app.dialog.is_none());
}

#[test]
fn esc_and_a_key_that_arrive_as_one_are_two() {
    let mut screen = screen();
    let alt = |c| {
        let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::ALT);
        Msg::Input(Event::Key(key))
    };
    screen.press("T");
    screen.send(alt('a'));
    assert!(matches!(screen.app.dialog, Some(Dialog::Add(_))));
    screen.send(alt('j'));
    assert!(screen.app.dialog.is_none());
    assert_eq!(screen.app.queue.upload(), Some(2));
}
