//! A host that fails everybody is waited for, and one file's trouble is not everybody's.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::{
    Ended, Home, MIB, Mode, PART, Running, Server, Source, in_every_mode, path_of, relay::Relay,
    side_by_side, wait_for,
};

/// Small films, as many as are asked for.
fn films(home: &Home, count: u64) -> Vec<Source> {
    let film = |number| {
        let path = home.tree().join(format!("take {number:02}.mov"));
        Source::write(path, MIB + number, number)
    };
    (1..=count).map(film).collect()
}

/// Every call, and every part, is answered this from now on.
fn answer_all(server: &Server, status: u16) {
    let all = json!({ "fault": "status", "status": status, "times": 1_000_000 });
    server.script(&json!([all]));
}

/// Waits until the server has answered so many more requests so.
fn wait_for_more(server: &Server, more: u64) {
    let before = server.met("status");
    wait_for("requests in vain", || {
        (server.met("status") >= before + more).then_some(())
    });
}

fn assert_all_arrived(server: &Server, ended: &Ended, films: &[Source]) {
    ended.assert_code(0);
    assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
    server.report().assert_holds(films);
    server.report().assert_nothing_twice();
}

#[test]
fn a_host_that_answers_nobody_well_is_waited_for_by_many_files_and_by_one() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, 6), (mode, 1)]);
    side_by_side(cases, |(mode, count)| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home, count);
        server.hold_part(1, 1);
        let run = home.up(&["--retries", "1"]);
        server.wait_until_held(1);
        answer_all(&server, 502);
        // More often than any part or step is tried again.
        server.release_held();
        wait_for_more(&server, 3);
        server.no_faults();
        assert_all_arrived(&server, &run.end(), &films);
    });
}

/// An address where nobody listens yet, and nobody else can.
fn nobody_yet() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

#[test]
fn a_host_that_is_away_at_the_start_is_waited_for() {
    in_every_mode(|mode| {
        let server = Server::start();
        let (socket, addr) = nobody_yet();
        let home = Home::new(mode, &format!("http://{addr}"));
        let films = films(&home, 2);
        let mut run = home.up(&[]);
        run.wait_for_error(&format!("can't reach {addr}"));
        assert!(run.is_running());
        socket.listen(128).unwrap();
        let _relay = Relay::over(socket.into(), server.addr());
        let ended = run.end();
        assert_all_arrived(&server, &ended, &films);
    });
}

#[test]
fn a_host_that_stays_away_for_as_long_as_is_set_ends_the_run_and_the_session_goes_on_later() {
    in_every_mode(|mode| {
        let server = Server::start();
        let (_socket, addr) = nobody_yet();
        let home = Home::new(mode, &format!("http://{addr}"));
        let films = films(&home, 2);
        let ended = home.up(&["--offline", "1s"]).end();
        ended.assert_code(1);
        let words = format!("{addr} unreachable since ");
        assert!(ended.stderr.contains(&words), "{}", ended.stderr);
        home.write_config(&mode.config(&server.url));
        let ended = home.resume(&["--offline", "24h"]).end();
        assert_all_arrived(&server, &ended, &films);
    });
}

/// The create of these files is forbidden.
fn forbid<'a>(server: &Server, films: impl IntoIterator<Item = &'a Source>) {
    let forbid = |film: &Source| json!({ "fault": "forbidden", "on": "create", "file": film.title(), "times": 1_000_000 });
    let all: Vec<Value> = films.into_iter().map(forbid).collect();
    server.script(&json!(all));
}

#[test]
fn a_file_that_is_forbidden_stops_no_other() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home, 9);
        let (refused, others) = films.split_first().unwrap();
        forbid(&server, [refused]);
        let ended = home.up(&[]).end();
        ended.assert_code(1);
        let failed = ended.named("failed");
        assert_eq!(failed.len(), 1, "{failed:#?}");
        assert_eq!(path_of(&failed[0]), refused.path);
        server.report().assert_holds(others);
    });
}

#[test]
fn after_three_files_that_are_forbidden_alike_no_more_are_started() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home, 9);
        forbid(&server, &films);
        let mut run = home.up(&["--files", "1"]);
        run.wait_for_error("3 files were refused alike");
        let waits = said_to_wait(&mut run);
        assert!(
            waits["why"].as_str().unwrap().contains("3 files"),
            "{waits}"
        );
        assert_eq!(server.met("forbidden"), 3);
        run.interrupt().assert_code(130);

        server.no_faults();
        home.resume(&["--retry-failed"]).end().assert_code(0);
        server.report().assert_holds(&films);
    });
}

/// What a progress line says that is waited for.
fn said_to_wait(run: &mut Running) -> Value {
    let line = run.wait_for("what is waited for", |event| event["waits"][0].is_object());
    line["waits"][0].clone()
}

#[test]
fn a_file_whose_part_always_fails_lets_the_others_go_out_though_it_is_the_only_one_that_may() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let struck = Source::write(home.tree().join("a struck.mov"), 2 * PART + 77, 1);
        let others = [2, 3].map(|number| {
            let path = home.tree().join(format!("other {number}.mov"));
            Source::write(path, PART + number, number)
        });
        let fails = json!({ "fault": "error-before", "on": "part", "part": 2, "file": struck.title(), "times": 1_000_000 });
        server.script(&json!([fails]));
        let mut run = home.up(&["--files", "1", "--parts", "1"]);
        for _ in &others {
            let done = run.wait_for_event("done");
            assert_ne!(path_of(&done), struck.path);
        }
        server.no_faults();
        let films: Vec<_> = [struck].into_iter().chain(others).collect();
        assert_all_arrived(&server, &run.end(), &films);
    });
}
