//! An upload is sent the way it was created, an API that refuses calls holds back calls alone, and no
//! more is asked of it than an upload needs; whatever the config says by then, and whatever one odd
//! answer said.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reelhaul::sandbox::{API_KEY, SECRET, SITE, Storage};
use serde_json::{Value, json};

use crate::support::{
    Home, MIB, Mode, PART, Piece, Running, Server, Source, edited, in_every_mode, relay::Relay,
    side_by_side, wait_for,
};

/// The parts of the file that [`amid_the_file`] sends.
const PARTS: u32 = 11;

/// A file of 11 parts that was killed when its first part had arrived: so little that it would be
/// started over where it can't be resumed. The server takes nothing ahead, or the second might arrive
/// after the kill.
fn amid_the_file(server: &Server, home: &Home) -> Source {
    let file = Source::write(home.tree().join("take.mov"), 10 * PART + 77, 1);
    home.kill_after_the_first_part(server);
    server.no_faults();
    file
}

/// Resumes it in parts of another size. There is one media object, and nothing was sent twice.
fn resumes(server: &Server, home: &Home, file: &Source) {
    let ended = home.resume(&["--part-size", "10MiB"]).end();
    let media = server.report().media;
    assert_eq!(media.len(), 1, "started over: {media:#?}");
    ended.assert_code(0);
    server.report().assert_holds(std::slice::from_ref(file));
    server.report().assert_nothing_twice();
    assert_eq!(ended.summary()["bytes"]["sent"], file.size - PART);
}

/// The pieces of it that arrived whole.
fn arrived(server: &Server, file: &Source) -> Vec<Piece> {
    let mut pieces = server.report().one(&file.title()).parts.clone();
    pieces.retain(|piece| piece.size.is_some());
    pieces
}

/// Every part was announced by its number, with the number of parts of the first plan.
fn assert_by_number(server: &Server, file: &Source) {
    let pieces = arrived(server, file);
    let announced = |piece: &Piece| (piece.part, piece.of);
    let announced: Vec<_> = pieces.iter().map(announced).collect();
    let expected: Vec<_> = (1..=PARTS).map(|n| (Some(n), Some(PARTS))).collect();
    assert_eq!(announced, expected);
}

/// Every part was announced as a byte range, and those that had not started were split again.
fn assert_by_bytes_and_replanned(server: &Server, file: &Source) {
    let pieces = arrived(server, file);
    let mut next = 0;
    for piece in &pieces {
        assert_eq!(piece.from, Some(next), "{pieces:#?}");
        next += piece.size.unwrap();
    }
    let replanned = pieces.iter().any(|piece| piece.size == Some(2 * PART));
    assert!(replanned, "still split as before: {pieces:#?}");
}

#[test]
fn an_upload_is_sent_the_way_it_was_created_whatever_the_config_says_now() {
    let ways = [Mode::ApiVideoPart, Mode::ApiVideoBytes];
    side_by_side([ways, [ways[1], ways[0]]], |[created, configured]| {
        let server = Server::that_takes_nothing_ahead();
        let home = Home::new(created, &server.url);
        let file = amid_the_file(&server, &home);
        home.write_config(&configured.config(&server.url));
        resumes(&server, &home, &file);
        match created {
            Mode::ApiVideoPart => assert_by_number(&server, &file),
            _ => assert_by_bytes_and_replanned(&server, &file),
        }
    });
}

/// Removes from the ticket in a session how its upload is sent, which a ticket of the first edition may
/// lack.
fn forget_the_way(session: &Path) {
    let text = edited(session);
    let (before, rest) = text.split_once(", method = \"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    assert!(!after.contains("method = "));
    fs::write(session, format!("{before}{after}")).unwrap();
}

#[test]
fn what_was_received_says_how_an_upload_is_sent_whose_ticket_does_not() {
    let ways = [Mode::ApiVideoPart, Mode::ApiVideoBytes];
    side_by_side([ways, [ways[1], ways[0]]], |[created, configured]| {
        let server = Server::that_takes_nothing_ahead();
        let home = Home::new(created, &server.url);
        let file = amid_the_file(&server, &home);
        forget_the_way(&home.session());
        home.write_config(&configured.config(&server.url));
        resumes(&server, &home, &file);
        match created {
            Mode::ApiVideoPart => assert_by_number(&server, &file),
            _ => assert_by_bytes_and_replanned(&server, &file),
        }
    });
}

#[test]
fn an_upload_that_nothing_was_received_of_and_whose_ticket_is_silent_is_sent_as_the_config_says() {
    let ways = [Mode::ApiVideoPart, Mode::ApiVideoBytes];
    side_by_side([ways, [ways[1], ways[0]]], |[created, configured]| {
        let server = Server::that_takes_nothing_ahead();
        let home = Home::new(created, &server.url);
        let file = Source::write(home.tree().join("take.mov"), 2 * PART + 77, 1);
        server.hold_part(1, 1);
        let run = home.up(&["--parts", "1"]);
        server.wait_until_held(1);
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.no_faults();
        assert_eq!(server.report().one(&file.title()).size, 0);
        forget_the_way(&home.session());
        home.write_config(&configured.config(&server.url));
        home.resume(&[]).end().assert_code(0);
        for piece in arrived(&server, &file) {
            assert_eq!(piece.part.is_some(), configured == Mode::ApiVideoPart);
        }
        let report = server.report();
        assert_eq!(report.media.len(), 1);
        report.assert_holds(&[file]);
        report.assert_nothing_twice();
    });
}

/// Two files at JW Player: one that has links and parts to send, and one for which links are yet to be
/// listed.
struct Two {
    home: Home,
    first: Source,
    second: Source,
}

impl Two {
    /// How many parts the first has.
    const PARTS: usize = 8;

    fn new(url: &str) -> Self {
        let home = Home::new(Mode::JwPlayer, url);
        let file = |name: &str, parts: u64, seed| {
            let path = home.tree().join(name).with_extension("mov");
            Source::write(path, parts * PART, seed)
        };
        Self {
            first: file("01 first", Self::PARTS as u64, 1),
            second: file("02 second", 2, 2),
            home,
        }
    }

    /// Sends them; this happens to the list of the second, and two parts of the first are held.
    fn start(&self, server: &Server, mut to_the_list: Value) -> Running {
        to_the_list["on"] = "list".into();
        to_the_list["file"] = self.second.title().into();
        let hold = json!({ "fault": "hold", "on": "part", "file": self.first.title(), "times": 2 });
        server.script(&json!([to_the_list, hold]));
        // Room for both parts of the second, and for those that are held.
        self.home.up(&["--parts", "4", "--files", "2"])
    }

    /// Releases what is held. All parts of the first arrive, and none of the second has.
    fn first_arrives(&self, server: &Server, run: &mut Running) {
        server.release();
        for _ in 0..Self::PARTS {
            let part = next_part(run);
            assert_eq!(part["id"], 1, "a part of the second file: {part}");
        }
        let there = [&self.first, &self.second].map(|file| arrived(server, file).len());
        assert_eq!(there, [Self::PARTS, 0]);
    }

    /// Ends this run; the next one sends what is left, and nothing twice.
    fn resume(self, server: &Server, run: Running) {
        run.interrupt().assert_code(130);
        server.no_faults();
        self.home.write_config(&Mode::JwPlayer.config(&server.url));
        self.home.resume(&[]).end().assert_code(0);
        server.report().assert_holds(&[self.first, self.second]);
        server.report().assert_nothing_twice();
    }
}

/// The next part that arrives. Until then nothing says that parts wait for the destination.
fn next_part(run: &mut Running) -> Value {
    let event = run.wait_for("part", |event| {
        event["event"] == "part" || why_all_waits(event).is_some()
    });
    assert_eq!(event["event"], "part", "parts wait: {event}");
    event
}

/// Why nothing goes out now, by a progress line.
fn why_all_waits(event: &Value) -> Option<String> {
    let first = &event["waits"][0];
    (event["limited_by"] == "waits").then(|| first["why"].as_str().unwrap().to_owned())
}

/// The log says that this call for the second file failed, and nothing of a part that was sent.
fn assert_logged_for_the_second(run: &Running, call: &str) {
    let errors = run.errors();
    let logged = |line: &str| line.contains("02 second.mov, part ") && line.contains(call);
    assert!(errors.lines().any(logged), "{errors}");
    assert!(!errors.contains("send: "), "{errors}");
}

#[test]
fn an_api_that_asks_to_wait_holds_back_no_part_whose_link_is_known() {
    let server = Server::start();
    let two = Two::new(&server.url);
    let an_hour = json!({ "fault": "rate-limit", "ms": 3_600_000, "times": 100 });
    let mut run = two.start(&server, an_hour);
    server.wait_until_met("rate-limit");
    server.wait_until_held(2);
    two.first_arrives(&server, &mut run);
    // What is left, the first's completion too, waits for the API, and that is what is said.
    let waits = run.wait_for("that the API asks to wait", |event| {
        why_all_waits(event).is_some()
    });
    let why = why_all_waits(&waits).unwrap();
    assert!(why.starts_with("list parts: answered 429: "), "{why}");
    assert_logged_for_the_second(&run, "list parts: answered 429: ");
    assert_eq!(server.report().one(&two.second.title()).parts.len(), 0);
    two.resume(&server, run);
}

#[test]
fn an_api_that_is_not_reached_holds_back_no_part_whose_link_is_known() {
    let server = Server::start();
    // Links lead past it.
    let relay = Relay::to(server.addr());
    let two = Two::new(&format!("http://{}", relay.addr));
    let mut run = two.start(&server, json!({ "fault": "hold" }));
    server.wait_until_held(3);
    // So that parts of the first are left when the list is tried again.
    server.line(10 * MIB);
    relay.cut();
    two.first_arrives(&server, &mut run);
    let waits = run.wait_for("that the API is not reached", |event| {
        why_all_waits(event).is_some()
    });
    let why = why_all_waits(&waits).unwrap();
    assert!(why.contains("can't reach"), "{why}");
    assert_logged_for_the_second(&run, "list parts: can't reach ");
    two.resume(&server, run);
}

#[test]
fn after_one_empty_list_statuses_are_asked_for_by_list_again() {
    const FILES: u64 = 4;
    let server = Server::with(|options| options.processing = Duration::from_hours(1));
    let home = Home::new(Mode::JwPlayer, &server.url);
    for number in 0..FILES {
        let path = home.tree().join(format!("take {number}.mov"));
        Source::write(path, MIB, number);
    }
    server.script(&json!([
        // The first list is the check of the key.
        { "fault": "delay", "ms": 0, "on": "find" },
        { "fault": "empty-list", "on": "find" },
    ]));
    server.hold_part(1, FILES);
    let run = home.up(&["--files", "4", "--parts", "4"]);
    server.wait_until_held(FILES);
    server.release();
    // Complete together, they are asked about together.
    let calls = |step: &str| {
        let requests = server.report().requests;
        requests["jwplayer"].get(step).copied().unwrap_or(0)
    };
    wait_for("statuses that are asked for again", || {
        (calls("find") >= 4 || calls("status") >= 2 * FILES).then_some(())
    });
    assert_eq!(server.met("empty-list"), 1);
    assert_eq!(
        calls("status"),
        FILES,
        "one by one after the one empty list"
    );
    run.interrupt().assert_code(130);
}

#[test]
fn no_more_links_are_listed_than_the_upload_has_parts_and_one() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 40 * MIB, 1);
    // Without a part size the last parts are smaller than the others.
    let ended = home.up_with(&[]).end();
    ended.assert_code(0);
    let parts = ended.named("started")[0]["parts"].as_u64().unwrap();
    assert!(parts > 3, "{parts}");
    let report = server.report();
    let lists = report.requests["jwplayer"]["list"];
    let listed = report.part_slots_listed;
    assert_eq!(lists, 2);
    assert!(
        listed <= lists * (parts + 1),
        "{listed} slots were listed for {parts} parts, in {lists} pages"
    );
    report.assert_holds(&[file]);
    report.assert_nothing_twice();
}

#[test]
fn one_odd_limit_is_undone_by_the_next_answer() {
    let server = Server::with(|options| options.calls_per_minute = Some(60));
    let home = Home::new(Mode::ApiVideoPart, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 6 * PART, 1);
    server.script(&json!([
        { "fault": "hold", "on": "part", "part": 1 },
        { "fault": "odd-limit", "on": "part", "part": 3 },
    ]));
    let mut run = home.up(&["--parts", "2"]);
    run.wait_for("that one part a minute may go out", |event| {
        event["limited_by"]["call_budget"]["budget"] == "1 uploads a minute"
    });
    server.assert_all_struck();
    server.release();
    run.wait_for_event("part");
    for _ in 4..=6 {
        next_part(&mut run);
    }
    run.end().assert_code(0);
    server.report().assert_holds(&[file]);
    server.report().assert_nothing_twice();
}

/// Makes of a session what the first edition would have written.
fn to_format_1(session: &Path) {
    let text = edited(session);
    let of_format_1 = |line: &&str| !line.starts_with("account = ");
    let lines: Vec<&str> = text.lines().filter(of_format_1).collect();
    let text = lines.join("\n") + "\n";
    fs::write(session, text.replace("\nformat = 2\n", "\nformat = 1\n")).unwrap();
}

#[test]
fn a_session_of_the_first_edition_resumes_and_names_the_account_of_what_starts_from_then_on() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let first = Source::write(home.tree().join("01 first.mov"), 3 * PART, 1);
        let second = Source::write(home.tree().join("02 second.mov"), 2 * PART, 2);
        let hold = |file: &Source, part: u64| {
            let title = file.title();
            json!({ "fault": "hold", "on": "part", "file": title, "part": part })
        };
        server.script(&json!([hold(&first, 2)]));
        let mut run = home.up(&["--files", "1", "--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.no_faults();
        let session = home.session();
        to_format_1(&session);
        let before = server.report().one(&first.title()).size;

        server.script(&json!([hold(&second, 1)]));
        let run = home.resume(&["--files", "1", "--parts", "1"]);
        server.wait_until_held(1);
        let text = fs::read_to_string(&session).unwrap();
        assert!(text.contains("\nformat = 2\n"), "{text}");
        let accounts: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("account = "))
            .collect();
        assert_eq!(accounts.len(), 1, "of what is started now alone: {text}");
        let host = server.url.strip_prefix("http://").unwrap();
        if mode.is_jwplayer() {
            assert_eq!(accounts[0], format!("\"jwplayer:{host}/{SITE}\""));
        } else {
            let within = accounts[0].strip_prefix(&format!("\"apivideo:{host}/"));
            let digits = within.unwrap().strip_suffix('"').unwrap();
            assert_eq!(digits.len(), 32, "{digits}");
            assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        }
        for secret in [SECRET, API_KEY] {
            assert!(!text.contains(secret), "{text}");
        }
        server.release();
        let ended = run.end();
        ended.assert_code(0);
        let all = first.size + second.size;
        assert_eq!(ended.summary()["bytes"]["sent"], all - before);
        server.report().assert_holds(&[first, second]);
        server.report().assert_nothing_twice();
    });
}

#[test]
fn a_session_is_not_resumed_at_another_account_and_loses_nothing_by_the_attempt() {
    in_every_mode(|mode| {
        let server = Server::that_takes_nothing_ahead();
        let other = Server::start();
        let home = Home::new(mode, &server.url);
        let file = amid_the_file(&server, &home);
        let session = fs::read_to_string(home.session()).unwrap();
        home.write_config(&mode.config(&other.url));
        let refused = home.resume(&[]).end();
        refused.assert_code(2);
        let ids = [&server, &other].map(|server| server.url.replace("http://", ""));
        for id in ids {
            assert!(
                refused.stderr.contains(&format!(":{id}/")),
                "{}",
                refused.stderr
            );
        }
        assert_eq!(other.report().media.len(), 0);
        assert_eq!(fs::read_to_string(home.session()).unwrap(), session);
        home.write_config(&mode.config(&server.url));
        resumes(&server, &home, &file);
    });
}

#[test]
fn an_account_whose_key_was_changed_is_the_same_account() {
    let kept = tempfile::tempdir().unwrap();
    let storage = || Storage::Keep(kept.path().to_owned());
    let server = Server::with(|options| options.storage = storage());
    let home = Home::new(Mode::ApiVideoBytes, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 3 * PART, 1);
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    assert!(run.kill().0);
    drop(server);
    let server = Server::with(|options| {
        options.storage = storage();
        options.api_keys = vec!["another-key".to_owned()];
    });
    let config = Mode::ApiVideoBytes.config(&server.url);
    home.write_config(&config.replace(API_KEY, "another-key"));
    home.resume(&[]).end().assert_code(0);
    let report = server.report();
    assert_eq!(report.media.len(), 1);
    report.assert_holds(&[file]);
}

/// An account with two keys, and a tree of films.
struct TwoKeys {
    server: Server,
    home: Home,
    films: Vec<Source>,
}

const NEW_KEY: &str = "another-key";

impl TwoKeys {
    fn new() -> Self {
        let keys = [API_KEY, NEW_KEY].map(str::to_owned).to_vec();
        let server = Server::with(|options| options.api_keys = keys);
        let home = Home::new(Mode::ApiVideoBytes, &server.url);
        let film = |number| {
            let path = home.tree().join(format!("take {number}.mov"));
            Source::write(path, PART + number * MIB, number)
        };
        let films = (0..3).map(film).collect();
        Self {
            server,
            home,
            films,
        }
    }

    fn use_key(&self, key: &str) {
        let config = Mode::ApiVideoBytes.config(&self.server.url);
        self.home.write_config(&config.replace(API_KEY, key));
    }

    fn ledger(&self) -> PathBuf {
        self.home.dir.path().join("state/reelhaul/ledger.db")
    }

    /// Nothing was sent, and each film is there once.
    fn assert_skips_all(&self, run: Running) {
        let ended = run.end();
        ended.assert_code(0);
        assert_eq!(ended.summary()["bytes"]["sent"], 0, "{}", ended.output());
        let report = self.server.report();
        assert_eq!(report.media.len(), self.films.len());
        report.assert_holds(&self.films);
    }
}

#[test]
fn what_is_uploaded_is_known_under_a_new_key_and_under_the_old_one_again() {
    let it = TwoKeys::new();
    it.home.up(&[]).end().assert_code(0);
    for key in [NEW_KEY, API_KEY, NEW_KEY] {
        it.use_key(key);
        it.assert_skips_all(it.home.up(&[]));
    }
    let list = it.home.run(["ledger", "list", "--to", "it", "--json"]);
    list.assert_code(0);
    assert_eq!(
        list.stdout.lines().count(),
        it.films.len(),
        "{}",
        list.stdout
    );
    // What goes out under the new key is known under the old one.
    let more = Source::write(it.home.tree().join("more.mov"), MIB, 9);
    it.home.up(&[]).end().assert_code(0);
    it.use_key(API_KEY);
    let films = it.films.into_iter().chain([more]).collect();
    let it = TwoKeys { films, ..it };
    it.assert_skips_all(it.home.up(&[]));
}

#[test]
fn sessions_from_before_a_new_key_are_taken_into_a_ledger_that_was_lost() {
    let it = TwoKeys::new();
    it.home.up(&[]).end().assert_code(0);
    fs::remove_file(it.ledger()).unwrap();
    it.use_key(NEW_KEY);
    it.assert_skips_all(it.home.up(&[]));
}

#[test]
fn what_was_forgotten_under_the_old_key_is_uploaded_under_the_new_one() {
    for all in [true, false] {
        let it = TwoKeys::new();
        it.home.up(&[]).end().assert_code(0);
        let (tree, film) = (it.home.tree(), it.films[0].path.clone());
        let forgotten = if all { &tree } else { &film };
        let forget = ["ledger", "forget", "--yes", forgotten.to_str().unwrap()];
        it.home.run(forget).assert_code(0);
        it.use_key(NEW_KEY);
        it.home.run(["ledger", "rebuild"]).assert_code(0);
        let ended = it.home.up(&[]).end();
        ended.assert_code(0);
        let sent = if all { it.films.len() } else { 1 };
        assert_eq!(ended.named("done").len(), sent, "{}", ended.output());
    }
}

#[test]
fn nothing_is_started_under_a_new_key_while_it_is_not_known_whose_it_is() {
    let it = TwoKeys::new();
    it.home.up(&[]).end().assert_code(0);
    it.use_key(NEW_KEY);
    it.server
        .script(&json!([{ "fault": "error-before", "on": "status", "times": 100 }]));
    let ended = it.home.up(&["--offline", "fail"]).end();
    ended.assert_code(2);
    assert!(
        ended.stderr.contains("nothing was started"),
        "{}",
        ended.stderr
    );
    it.server.no_faults();
    it.assert_skips_all(it.home.up(&[]));
}

#[test]
fn an_account_that_has_none_of_what_another_one_has_is_an_account_of_its_own() {
    let it = TwoKeys::new();
    it.home.up(&[]).end().assert_code(0);
    // As if all of it had gone to another one at this host, and its session were gone.
    fs::remove_dir_all(it.home.session().parent().unwrap()).unwrap();
    let ledger = rusqlite::Connection::open(it.ledger()).unwrap();
    let moved = ledger.execute("UPDATE accepted SET media = 'vi' || id", ());
    assert_eq!(moved.unwrap(), it.films.len());
    drop(ledger);
    it.use_key(NEW_KEY);
    it.home.up(&[]).end().assert_code(0);
    assert_eq!(it.server.report().media.len(), 2 * it.films.len());
    // What each of the two has is still known.
    let before = it.server.report().media.len();
    for key in [API_KEY, NEW_KEY] {
        it.use_key(key);
        it.home.up(&[]).end().assert_code(0);
        assert_eq!(it.server.report().media.len(), before);
    }
}

#[test]
fn a_link_that_has_expired_is_replaced_even_where_nothing_is_retried() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let small = Source::write(home.tree().join("small.mp4"), MIB, 1);
    let large = Source::write(home.tree().join("large.mov"), 2 * PART, 2);
    let expired = |file: &Source| json!({ "fault": "link-expired", "on": "part", "part": 1, "file": file.title() });
    server.script(&json!([expired(&small), expired(&large)]));
    home.up(&["--retries", "0"]).end().assert_code(0);
    server.assert_all_struck();
    server.report().assert_holds(&[small, large]);
}
