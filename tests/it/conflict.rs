//! What a server reports that does not fit the plan is asked again before it is believed, and a part that
//! it is still taking after a kill meets no part that was split anew.

use reelhaul::{engine::protocol::Command, settings::Settings};
use serde_json::{Value, json};

use crate::support::{Home, Mode, PART, Screen, Server, Source, side_by_side, wait_for};

/// At the step that tells what was received, so many odd reports.
fn odd(mode: Mode, times: u64) -> Value {
    let on = if mode.is_jwplayer() { "list" } else { "status" };
    json!({ "fault": "odd-ranges", "on": on, "times": times })
}

/// How much of an upload arrived before its run ended. Where it is little, the upload is started over
/// without asking if it can't be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    /// One part of eleven, and the run was killed.
    Little,
    /// Two parts of four, and the run was stopped: what arrived is known for certain.
    Half,
}

impl Arrived {
    fn bytes(self) -> u64 {
        match self {
            Self::Little => PART,
            Self::Half => 2 * PART,
        }
    }
}

/// A file of which so much arrived.
fn amid_the_film(mode: Mode, arrived: Arrived) -> (Server, Home, Source) {
    let server = Server::that_takes_nothing_ahead();
    let home = Home::new(mode, &server.url);
    let parts = if arrived == Arrived::Half { 4 } else { 11 };
    let file = Source::write(home.tree().join("film.mov"), parts * PART, 1);
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    match arrived {
        Arrived::Half => {
            home.interrupt(&run, &home.session(), "INT");
            server.release();
            run.end().assert_code(130);
        }
        Arrived::Little => {
            assert!(run.kill().0);
            server.release();
        }
    }
    server.wait_until_hung_up();
    server.no_faults();
    assert_eq!(server.report().one(&file.title()).size, arrived.bytes());
    (server, home, file)
}

/// One media object, whole, and nothing of it was sent twice or deleted.
fn assert_arrived(server: &Server, file: &Source) {
    let report = server.report();
    assert_eq!(report.media.len(), 1, "started over: {:#?}", report.media);
    report.assert_holds(std::slice::from_ref(file));
    report.assert_nothing_twice();
}

/// Modes, how much arrived, and how often a report is odd.
fn cases() -> impl Iterator<Item = (Mode, Arrived, u64)> {
    let kinds = [
        (Arrived::Half, 1),
        (Arrived::Half, 2),
        (Arrived::Little, 1),
        (Arrived::Little, 2),
    ];
    let of_a_mode = move |mode| kinds.map(|(arrived, times)| (mode, arrived, times));
    Mode::ALL.into_iter().flat_map(of_a_mode)
}

#[test]
fn a_report_that_does_not_fit_for_a_moment_costs_a_resumed_upload_nothing() {
    side_by_side(cases(), |(mode, arrived, times)| {
        let (server, home, file) = amid_the_film(mode, arrived);
        server.script(&json!([odd(mode, times)]));
        let ended = home.resume(&[]).end();
        ended.assert_code(0);
        assert_arrived(&server, &file);
        server.assert_all_struck();
        assert_eq!(server.met("odd-ranges"), times);
        let sent = &ended.summary()["bytes"]["sent"];
        assert_eq!(*sent, file.size - arrived.bytes());
    });
}

#[test]
fn a_report_that_does_not_fit_for_a_moment_after_a_lost_answer_costs_nothing() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [1, 2].map(|times| (mode, times)));
    side_by_side(cases, |(mode, times)| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("film.mov"), 4 * PART, 1);
        // The links of JW Player's parts come with a list that is as it should be.
        let links = json!({ "fault": "delay", "ms": 0, "on": "list" });
        let links = mode.is_jwplayer().then_some(links);
        // The third part is held, so that the upload is not complete when it is asked about.
        let held = json!({ "fault": "hold", "on": "part", "part": 3 });
        let lost = json!({ "fault": "lost-answer", "on": "part", "part": 4 });
        let scripts = links.into_iter().chain([held, lost, odd(mode, times)]);
        server.script(&scripts.collect());
        let mut run = home.up(&["--parts", "2"]);
        wait_for("odd reports, or an end", || {
            let met = server.met("odd-ranges") >= times;
            (met || !run.is_running()).then_some(())
        });
        server.release();
        let ended = run.end();
        ended.assert_code(0);
        assert_arrived(&server, &file);
        server.assert_all_struck();
        assert_eq!(server.met("odd-ranges"), times);
    });
}

#[test]
fn a_list_that_does_not_fit_for_a_moment_before_a_completion_costs_nothing() {
    side_by_side([1, 2], |times| {
        let mode = Mode::JwPlayer;
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("film.mov"), 4 * PART, 1);
        let links = json!({ "fault": "delay", "ms": 0, "on": "list" });
        server.script(&json!([links, odd(mode, times)]));
        let ended = home.up(&["--parts", "1"]).end();
        ended.assert_code(0);
        assert_arrived(&server, &file);
        server.assert_all_struck();
        assert_eq!(server.met("odd-ranges"), times);
    });
}

#[test]
fn a_report_that_never_fits_is_told_after_it_was_asked_for_again() {
    side_by_side(Mode::ALL, |mode| {
        let (server, home, file) = amid_the_film(mode, Arrived::Half);
        let before = server.report().bytes_received;
        server.script(&json!([odd(mode, 1000)]));
        let ended = home.resume(&["--retries", "2"]).end();
        ended.assert_code(1);
        let failed = ended.named("failed");
        assert_eq!(failed.len(), 1, "{failed:#?}");
        assert_eq!(failed[0]["kind"], "ticket_gone", "{failed:#?}");
        let asked = server.met("odd-ranges");
        assert!(asked > 1, "believed at once");
        // Nothing was sent, and nothing of what was sent is lost.
        let report = server.report();
        assert_eq!(report.media.len(), 1, "{:#?}", report.media);
        assert_eq!(report.one(&file.title()).size, 2 * PART);
        let sent = report.bytes_received - before;
        assert!(sent < PART, "{sent} bytes came in");
    });
}

#[test]
fn what_another_session_sent_is_started_over_where_it_can_not_be_continued() {
    side_by_side(Mode::ALL, |mode| {
        let (server, home, file) = amid_the_film(mode, Arrived::Half);
        let first = home.session();
        // As often as it takes to be believed.
        server.script(&json!([odd(mode, 4)]));
        home.up(&[]).end().assert_code(0);
        server.assert_all_struck();
        // The first session knows nothing of that.
        let resumed = home.resume_session(&first, &[]).end();
        resumed.assert_code(0);
        assert_eq!(resumed.summary()["bytes"]["sent"], 0);
        let report = server.report();
        assert_eq!(report.there().len(), 1, "{:#?}", report.media);
        report.assert_holds(std::slice::from_ref(&file));
    });
}

/// When a part arrives that a client sent which was killed since: before the next client's part that
/// begins there, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    Before,
    After,
}

fn late_cases() -> impl Iterator<Item = (Mode, Late)> {
    let both = |mode| [Late::Before, Late::After].map(|late| (mode, late));
    Mode::ALL.into_iter().flat_map(both)
}

/// A part size of which no part ends where one of the first size does, until the file ends.
const OTHER: &str = "12MiB";

/// A file of which the first part arrived, and the next two are being taken still, though their client
/// was killed.
fn killed_while_parts_are_taken(mode: Mode) -> (Server, Home, Source) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let file = Source::write(home.tree().join("film.mov"), 7 * PART + 77, 1);
    let part = |number: u64| json!({ "fault": "late", "on": "part", "part": number });
    server.script(&[2, 3].map(part).into_iter().collect());
    let mut run = home.up(&["--parts", "2"]);
    run.wait_for_event("part");
    server.wait_until_late(2);
    assert!(run.kill().0);
    server.wait_until_hung_up();
    (server, home, file)
}

/// It is whole, once, and nobody was told of anything that does not fit.
fn assert_whole(server: &Server, file: &Source, ended: &crate::support::Ended) {
    let report = server.report();
    assert_eq!(report.media.len(), 1, "started over: {:#?}", report.media);
    ended.assert_code(0);
    report.assert_holds(std::slice::from_ref(file));
    assert_eq!(ended.named("failed"), Vec::<Value>::new());
}

#[test]
fn a_part_that_arrives_after_the_kill_of_its_client_meets_no_other_part_size() {
    side_by_side(late_cases(), |(mode, late)| {
        let (server, home, file) = killed_while_parts_are_taken(mode);
        if late == Late::After {
            server.script(&json!([{ "fault": "delay", "ms": 0, "on": "part" }]));
        }
        server.hold_parts();
        let mut run = home.resume(&["--parts", "1", "--part-size", OTHER]);
        if late == Late::After {
            run.wait_for_event("part");
        }
        server.wait_until_held(1);
        server.do_what_is_late();
        server.release();
        let ended = run.end();
        assert_whole(&server, &file, &ended);
    });
}

#[test]
fn a_part_that_arrives_after_the_kill_of_its_client_meets_no_part_size_set_since() {
    side_by_side(late_cases(), |(mode, late)| {
        let (server, home, file) = killed_while_parts_are_taken(mode);
        server.hold_part(2, 1);
        if late == Late::After {
            server.script(&json!([{ "fault": "delay", "ms": 0, "on": "part" }]));
        }
        server.hold_parts();
        let mut run = home.resume(&["--parts", "1"]);
        server.wait_until_held(1);
        let screen = Screen::attach(&home);
        let settings = Settings {
            part_size: OTHER.parse().unwrap(),
            ..screen.settings()
        };
        screen.tell(Command::Tune(settings));
        drop(screen);
        if late == Late::After {
            server.release_held();
            for _ in 0..2 {
                run.wait_for_event("part");
            }
            server.wait_until_held(2);
        }
        server.do_what_is_late();
        server.release();
        let ended = run.end();
        assert_whole(&server, &file, &ended);
    });
}
