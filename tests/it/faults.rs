//! Whatever goes wrong on the line or at the server, in a fresh run and in one resumed after a kill:
//! each file ends whole, once, and no part that arrived is sent again.

use std::time::Duration;

use crate::support::{
    Ended, Home, MIB, Mode, PART, Running, Server, Source, engine, in_every_mode, install_crypto,
    side_by_side, wait_for,
};
use reelhaul::{
    engine::{
        Patience, Timing,
        protocol::{Command, Query, Reply, State, Summary},
    },
    settings::{Concurrency, Settings},
};
use serde_json::{Value, json};

/// One file of several parts and one of a single part: both vendors send them differently.
fn write_tree(home: &Home) -> Vec<Source> {
    let write = |name: &str, size, seed| Source::write(home.tree().join(name), size, seed);
    vec![
        write("big.mov", 4 * PART + 12_345, 1),
        write("small.mp4", MIB, 2),
    ]
}

/// Runs the tree to its end among these faults. In a resumed run they strike after the kill.
fn among(mode: Mode, resumed: bool, faults: &Value) -> (Server, Home, Vec<Source>, Ended) {
    if resumed {
        let (server, home, files, run) = amid_the_big_file(mode);
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.script(faults);
        let ended = home.resume(&[]).end();
        return (server, home, files, ended);
    }
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let files = write_tree(&home);
    server.script(faults);
    let ended = home.up(&[]).end();
    (server, home, files, ended)
}

/// A run of which the big file's first part is acknowledged, while two others are held in the middle.
fn amid_the_big_file(mode: Mode) -> (Server, Home, Vec<Source>, Running) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let files = write_tree(&home);
    for part in 2..=5 {
        server.hold_part(part, 99);
    }
    let mut run = home.up(&["--parts", "2", "--files", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(2);
    (server, home, files, run)
}

/// The steps of an upload whose answers matter, by the vendor's way. In a resumed run the media
/// object of the big file is there, and the small one's is yet to be made.
fn steps(mode: Mode) -> &'static [&'static str] {
    if mode.is_jwplayer() {
        // How several media objects are is asked by a list of them, like what `check` asks.
        &["create", "list", "part", "complete"]
    } else {
        &["create", "part", "status"]
    }
}

/// The fault at each of the steps.
fn at_each(mode: Mode, fault: &str) -> Value {
    let script = |step: &&str| json!({ "fault": fault, "on": step });
    steps(mode).iter().map(script).collect()
}

/// The same, with milliseconds.
fn at_each_for(mode: Mode, fault: &str, ms: u64) -> Value {
    let script = |step: &&str| json!({ "fault": fault, "on": step, "ms": ms });
    steps(mode).iter().map(script).collect()
}

/// A cell of the matrix: all arrives, whole and once, and the faults were really met.
fn ends_well(mode: Mode, resumed: bool, faults: &Value) -> (Server, Ended) {
    let (server, _home, files, ended) = among(mode, resumed, faults);
    ended.assert_code(0);
    server.assert_all_struck();
    let report = server.report();
    report.assert_holds(&files);
    let corrupt = faults.to_string().contains("wrong-etag");
    if !corrupt {
        report.assert_nothing_twice();
    }
    assert_eq!(ended.summary()["uploads"]["done"], files.len());
    let mut begun: Vec<_> = ended
        .named("started")
        .iter()
        .map(|event| event["media"].to_string())
        .collect();
    let told = begun.len();
    begun.sort();
    begun.dedup();
    assert_eq!(begun.len(), told, "what begins is told once");
    (server, ended)
}

/// Each of the modes, fresh and resumed.
fn cells(modes: &[Mode]) -> Vec<Cell> {
    let both = |mode: &Mode| [false, true].map(|resumed| Cell(*mode, resumed));
    modes.iter().flat_map(both).collect()
}

/// A mode, and whether its run is a resumed one.
struct Cell(Mode, bool);

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, resumed: {}", self.0, self.1)
    }
}

/// Fresh and resumed, in each of the modes.
#[track_caller]
fn in_all(modes: &[Mode], faults: impl Fn(Mode) -> Value + Sync) {
    side_by_side(cells(modes), |Cell(mode, resumed)| {
        drop(ends_well(mode, resumed, &faults(mode)));
    });
}

#[test]
fn delayed_answers_at_each_step() {
    in_all(&Mode::ALL, |mode| at_each_for(mode, "delay", 300));
}

#[test]
fn a_body_that_goes_in_at_a_crawl() {
    in_all(
        &Mode::ALL,
        |_| json!([{ "fault": "slow", "on": "part", "speed": 3 * MIB, "times": 2 }]),
    );
}

#[test]
fn a_server_that_asks_to_wait_at_each_step() {
    in_all(&Mode::ALL, |mode| at_each(mode, "rate-limit"));
}

#[test]
fn an_error_in_place_of_each_step() {
    in_all(&Mode::ALL, |mode| at_each(mode, "error-before"));
}

#[test]
fn an_error_after_each_step_was_done() {
    in_all(&Mode::ALL, |mode| at_each(mode, "error-after"));
}

#[test]
fn an_error_after_each_step_was_done_that_asks_to_wait() {
    in_all(&Mode::ALL, |mode| at_each_for(mode, "error-after", 1000));
}

#[test]
fn a_lost_answer_to_each_step() {
    in_all(&Mode::ALL, |mode| at_each(mode, "lost-answer"));
}

#[test]
fn a_connection_reset_at_each_step() {
    in_all(&Mode::ALL, |mode| at_each(mode, "reset"));
}

/// A part that is larger than what the systems at both ends take ahead: only there it shows that no
/// bytes go out.
const LARGE: u64 = 16 * MIB;

/// A file of two large parts, the second of which stalls.
fn that_stalls(mode: Mode) -> (Server, Home, Source) {
    let server = Server::that_takes_nothing_ahead();
    let home = Home::new(mode, &server.url);
    let file = Source::write(home.tree().join("big.mov"), 2 * LARGE, 1);
    server.script(&stall());
    (server, home, file)
}

fn stall() -> Value {
    json!([{ "fault": "stall", "on": "part", "part": 2, "after": MIB }])
}

/// Kills a run whose second part stalls, and has it stall again.
fn killed_while_it_stalls(server: &Server, home: &Home) {
    let mut run = home.up_with(&["--parts", "1", "--part-size", "16MiB"]);
    run.wait_for_event("part");
    server.wait_until_met("stall");
    assert!(run.kill().0);
    server.script(&stall());
}

/// Uploads the tree, or resumes the one session, with an engine that is less patient than the program;
/// returns what went wrong.
fn impatiently(mode: Mode, url: &str, home: &Home, resumed: bool) -> Vec<String> {
    install_crypto();
    let timing = Timing {
        patience: Patience {
            stall: Duration::from_secs(2),
            answer: Duration::from_mins(2),
        },
        ..engine::timing()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let to = engine::to(mode, url);
        let (handle, ended) = if resumed {
            engine::resuming(&home.session(), to, timing)
        } else {
            let settings = Settings {
                part_size: "16MiB".parse().unwrap(),
                parts_in_flight: Concurrency::Fixed(1),
                ..Settings::default()
            };
            let session = home.dir.path().join("session.toml");
            let (handle, ended) = engine::beginning(&session, settings, to, timing);
            handle.command(engine::add(&home.tree())).await.unwrap();
            (handle, ended)
        };
        let mut summary = handle.summary();
        let done = summary.wait_for(|now: &Summary| now.counts.of(State::Done) == 1);
        let done = tokio::time::timeout(Duration::from_mins(2), done).await;
        done.expect("it takes far too long").unwrap();
        let Ok(Reply::Details(Some(details))) = handle.query(Query::Details(1)).await else {
            panic!("no details");
        };
        handle.command(Command::Stop).await.unwrap();
        ended.await.unwrap();
        let words = |incident: &_| format!("{incident:?}");
        details.incidents.iter().map(words).collect()
    })
}

#[test]
fn a_connection_that_takes_no_more_bytes() {
    side_by_side(cells(&Mode::ALL), |Cell(mode, resumed)| {
        let (server, home, file) = that_stalls(mode);
        if resumed {
            killed_while_it_stalls(&server, &home);
        }
        let incidents = impatiently(mode, &server.url, &home, resumed);
        server.assert_all_struck();
        assert_eq!(incidents.len(), 1, "{incidents:#?}");
        let words = "the connection took no bytes";
        assert!(incidents[0].contains(words), "{incidents:#?}");
        server.report().assert_holds(&[file]);
        server.report().assert_nothing_twice();
    });
}

/// Takes half a minute, for which the program can't be asked to wait less: in one mode only.
#[test]
fn a_connection_that_takes_no_more_bytes_is_given_up_by_the_program() {
    let (server, home, file) = that_stalls(Mode::JwPlayer);
    killed_while_it_stalls(&server, &home);
    let ended = home.resume(&[]).end();
    ended.assert_code(0);
    server.assert_all_struck();
    let retried = ended.named("retrying");
    assert_eq!(retried.len(), 1, "{retried:#?}");
    assert_eq!(retried[0]["error"]["kind"], "broken", "{retried:#?}");
    server.report().assert_holds(&[file]);
    server.report().assert_nothing_twice();
}

#[test]
fn no_answer_or_a_wrong_one_to_how_the_media_object_is() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("one.mov"), MIB, 1);
        let faults = ["lost-answer", "error-before", "rate-limit"];
        let script = |fault: &&str| json!({ "fault": fault, "on": "status" });
        server.script(&faults.iter().map(script).collect());
        impatiently(mode, &server.url, &home, false);
        server.assert_all_struck();
        server.report().assert_holds(&[file]);
    });
}

#[test]
fn a_part_that_arrives_with_other_bytes_than_were_sent() {
    // api.video tells no checksum: there is nothing to hold against.
    in_all(&[Mode::JwPlayer], |_| {
        json!([
            { "fault": "wrong-etag", "on": "part", "file": "big" },
            { "fault": "wrong-etag", "on": "part", "file": "small" },
        ])
    });
}

/// A part that no later script strikes at its first try.
fn spared(part: u32) -> Value {
    json!({ "fault": "delay", "on": "part", "part": part, "ms": 0 })
}

/// A run that is killed when it has seen that a part arrived with other bytes, and before it could
/// mend that: what would, stalls.
fn killed_before_it_is_mended(parts: &str, size: u64, faults: &Value) -> (Server, Home, Source) {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("film.mov"), size, 1);
    server.script(faults);
    server.script(&json!([
        { "fault": "stall", "on": "part", "times": 99 },
        { "fault": "stall", "on": "status", "times": 99 },
    ]));
    let mut run = home.up(&["--parts", parts]);
    run.wait_for("a part with other bytes", |event| {
        event["event"] == "retrying" && event["error"]["kind"] == "corrupt"
    });
    server.wait_until_met("wrong-etag");
    assert!(run.kill().0);
    server.no_faults();
    (server, home, file)
}

#[test]
fn a_small_file_that_arrived_with_other_bytes_is_not_taken_for_whole_after_a_kill() {
    let faults = json!([{ "fault": "wrong-etag", "on": "part" }]);
    let (server, home, file) = killed_before_it_is_mended("1", MIB, &faults);
    let there = server.report();
    assert!(there.one("film").complete, "all that JW Player tells of it");
    assert_ne!(there.one("film").sha256.as_deref(), Some(&*file.sha256));
    home.resume(&[]).end().assert_code(0);
    server.report().assert_holds(&[file]);
}

#[test]
fn a_small_file_that_was_acknowledged_is_whole_after_a_kill() {
    let server = Server::with(|options| options.processing = Duration::from_hours(1));
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("film.mov"), MIB, 1);
    let mut run = home.up(&[]);
    run.wait_for_event("part");
    let kept = || std::fs::read_to_string(home.session()).unwrap();
    wait_for("its receipt on disk", || {
        kept().contains("md5 = ").then_some(())
    });
    assert!(run.kill().0);
    let run = home.resume(&[]);
    // It is asked about again, and nothing else.
    wait_for("a status", || {
        (server.report().requests["jwplayer"].get("status")? > &0).then_some(())
    });
    run.signal("INT");
    run.end().assert_code(130);
    let report = server.report();
    assert_eq!(report.one("film").sha256.as_deref(), Some(&*file.sha256));
    report.assert_nothing_twice();
    assert_eq!(report.requests["jwplayer"]["create"], 1);
}

#[test]
fn a_part_that_can_not_be_replaced_after_a_kill_begins_its_file_anew_where_little_is_lost() {
    // One part of twelve is acknowledged.
    let script = json!([spared(1), { "fault": "wrong-etag", "on": "part", "part": 2 }]);
    let (server, home, file) = killed_before_it_is_mended("1", 12 * PART, &script);
    let ended = home.resume(&[]).end();
    ended.assert_code(0);
    assert!(ended.stderr.contains("begun anew"), "{}", ended.stderr);
    server.report().assert_holds(&[file]);
}

#[test]
fn a_part_that_can_not_be_replaced_after_a_kill_is_told_before_anything_is_sent_in_vain() {
    let script = json!([
        spared(1),
        { "fault": "stall", "on": "part", "part": 2, "times": 99 },
        { "fault": "wrong-etag", "on": "part", "part": 3 },
    ]);
    let (server, home, file) = killed_before_it_is_mended("2", 5 * PART, &script);
    let before = server.report().bytes_received;
    let ended = home.resume(&["--parts", "1"]).end();
    ended.assert_code(1);
    let failed = ended.named("failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let words = failed[0]["message"].as_str().unwrap();
    assert!(words.contains("part 3"), "{words}");
    assert!(
        words.contains("to start over is to send 5.0 MiB again"),
        "{words}"
    );
    let after = server.report().bytes_received;
    assert!(after - before < MIB, "{before} {after}");
    home.resume(&["--start-over"]).end().assert_code(0);
    server.report().assert_holds(&[file]);
}

#[test]
fn a_link_that_has_expired() {
    in_all(&[Mode::JwPlayer], |_| {
        json!([
            { "fault": "link-expired", "on": "part", "file": "big", "times": 2 },
            { "fault": "link-expired", "on": "part", "file": "small" },
        ])
    });
}

#[test]
fn an_access_token_that_has_expired_at_each_step() {
    let modes = [Mode::ApiVideoBytes, Mode::ApiVideoPart];
    in_all(&modes, |mode| at_each(mode, "token-expired"));
}

#[test]
fn a_lost_answer_to_the_renewal_of_a_token() {
    let modes = [Mode::ApiVideoBytes, Mode::ApiVideoPart];
    in_all(&modes, |_| {
        json!([
            { "fault": "token-expired", "on": "part" },
            { "fault": "lost-answer", "on": "token" },
        ])
    });
}

#[test]
fn a_create_whose_answer_is_lost_again_and_again_makes_one_media_object() {
    in_all(&Mode::ALL, |mode| {
        let mut scripts = vec![
            json!({ "fault": "reset", "on": "create" }),
            json!({ "fault": "lost-answer", "on": "create" }),
        ];
        if mode.is_jwplayer() {
            // Its token went with the answer, so that it is made once more, and lost once more;
            // api.video's is found and gone on with.
            scripts.push(json!({ "fault": "error-after", "on": "create" }));
        }
        scripts.into()
    });
}

#[test]
fn an_upload_token_that_is_gone_costs_nothing_where_nothing_was_sent() {
    let faults = json!([{ "fault": "token-expired", "on": "list", "file": "big" }]);
    let (server, _home, files, ended) = among(Mode::JwPlayer, false, &faults);
    ended.assert_code(0);
    server.assert_all_struck();
    server.report().assert_holds(&files);
    assert_eq!(server.report().wasted(), 0);
}

#[test]
fn an_upload_token_that_is_gone_is_told_where_starting_over_would_send_anew() {
    let (server, home, files, run) = amid_the_big_file(Mode::JwPlayer);
    // Stopped, not killed: what arrived is known for certain.
    server.stop_amid(run, &[4, 5]);
    server.script(&json!([{ "fault": "token-expired", "on": "list", "file": "big" }]));
    let ended = home.resume(&[]).end();
    ended.assert_code(1);
    server.assert_all_struck();
    let failed = ended.named("failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["kind"], "ticket_gone");
    let next = failed[0]["next_step"].as_str().unwrap();
    assert!(next.contains("start this file over"), "{next}");
    let report = server.report();
    let small = report.one("small").sha256.as_deref();
    assert_eq!(small, Some(&*files[1].sha256));
    assert!(!report.one("big").complete);
    // The person says so, and one media object is there in the end.
    home.resume(&["--start-over"]).end().assert_code(0);
    server.report().assert_holds(&files);
}

#[test]
fn a_media_object_the_destination_could_not_use_is_told_and_the_others_go_on() {
    in_every_mode(|mode| {
        let step = if mode.is_jwplayer() {
            "complete"
        } else {
            "part"
        };
        let faults = json!([{ "fault": "bad-media", "on": step, "file": "big" }]);
        let (server, _home, files, ended) = among(mode, false, &faults);
        ended.assert_code(1);
        server.assert_all_struck();
        let failed = ended.named("failed");
        assert_eq!(failed.len(), 1, "{failed:#?}");
        let words = failed[0]["message"].as_str().unwrap();
        assert!(words.contains("could not use it"), "{words}");
        let report = server.report();
        assert_eq!(report.one("big").state, "failed");
        assert_eq!(
            report.one("small").sha256.as_deref(),
            Some(&*files[1].sha256)
        );
    });
}

#[test]
fn links_and_tokens_that_live_a_moment_are_renewed_all_along() {
    in_every_mode(|mode| {
        let server = Server::with(|options| {
            options.link_ttl = Duration::from_millis(400);
            options.token_ttl = Duration::from_millis(900);
        });
        // The parts of a file take longer than what is given for them lives.
        server.line(12 * MIB);
        let home = Home::new(mode, &server.url);
        let files = write_tree(&home);
        home.up(&["--parts", "2"]).end().assert_code(0);
        let report = server.report();
        report.assert_holds(&files);
        report.assert_nothing_twice();
        let asked = |vendor: &str, step: &str| {
            let requests = report.requests.get(vendor);
            requests
                .and_then(|steps| steps.get(step))
                .copied()
                .unwrap_or(0)
        };
        // Once for each file is what is needed where they live on.
        let renewed = if mode.is_jwplayer() {
            asked("jwplayer", "list")
        } else {
            asked("apivideo", "auth") + asked("apivideo", "token")
        };
        assert!(renewed > 2, "{:#?}", report.requests);
    });
}
