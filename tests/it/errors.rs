//! What can be wrong before and around a run: each is told in one clear message, with the right exit
//! code, with nothing lost, and without a word of a secret.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    Ended, Home, MIB, Mode, PART, Running, Server, Source, in_every_mode, side_by_side, wait_for,
};
use reelhaul::sandbox::{API_KEY, SECRET};
use tokio::net::TcpSocket;

/// It ended with this code and told all of these words, none of them a secret.
#[track_caller]
fn assert_told(ended: &Ended, code: i32, words: &[&str]) {
    ended.assert_code(code);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?}: {}", ended.stderr);
    }
    assert_no_secret(ended);
}

#[track_caller]
fn assert_no_secret(ended: &Ended) {
    let output = ended.output();
    for secret in [SECRET, API_KEY, "wrong-secret"] {
        assert!(!output.contains(secret), "{secret} is told: {output}");
    }
    assert!(!output.contains("panicked"), "{output}");
}

/// A session that was stopped in the middle of its one file.
fn stopped(mode: Mode) -> (Server, Home, Source) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 4 * PART, 1);
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    server.stop_amid(run, &[3, 4]);
    (server, home, file)
}

/// What was begun before is still there and ends well.
fn goes_on(server: &Server, home: &Home, file: Source) {
    home.resume(&[]).end().assert_code(0);
    server.report().assert_holds(&[file]);
    server.report().assert_nothing_twice();
}

#[test]
fn a_wrong_key_is_told_and_nothing_is_begun_or_lost() {
    in_every_mode(|mode| {
        let (server, home, file) = stopped(mode);
        let good = mode.config(&server.url);
        let wrong = good
            .replace(SECRET, "wrong-secret")
            .replace(API_KEY, "wrong-secret");
        home.write_config(&wrong);
        let before = fs::read(home.session()).unwrap();
        let vendor = if mode.is_jwplayer() {
            "JW Player"
        } else {
            "api.video"
        };
        let fail = ["--offline", "fail"];
        for ended in [home.up(&fail).end(), home.resume(&fail).end()] {
            assert_told(&ended, 2, &["mend the key or secret"]);
            assert!(ended.stderr.contains("40"), "the status: {}", ended.stderr);
        }
        let ended = home.run(["check"]);
        assert_told(&ended, 2, &["mend the key or secret"]);
        assert_eq!(fs::read(home.session()).unwrap(), before, "{vendor}");
        assert_eq!(server.report().media.len(), 1);
        home.write_config(&good);
        let ended = home.run(["check"]);
        ended.assert_code(0);
        assert!(ended.stdout.contains(vendor), "{}", ended.stdout);
        assert_no_secret(&ended);
        goes_on(&server, &home, file);
    });
}

#[test]
fn an_unknown_site_is_told_by_its_name() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    Source::write(home.tree().join("take.mov"), MIB, 1);
    let config = Mode::JwPlayer.config(&server.url);
    home.write_config(&config.replace("Site0001", "Site9999"));
    let ended = home.up(&[]).end();
    assert_told(&ended, 2, &["Site9999"]);
    assert!(home.sessions().is_empty());
}

#[test]
fn a_server_that_is_down_is_told_and_what_was_begun_stays() {
    in_every_mode(|mode| {
        let (server, home, file) = stopped(mode);
        // An address that is taken, so that nobody else gets it, and where nobody listens.
        let nobody = TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        home.write_config(&mode.config(&url));
        let fail = ["--offline", "fail"];
        for ended in [home.up(&fail).end(), home.resume(&fail).end()] {
            assert_told(&ended, 1, &["can't reach 127.0.0.1", "nothing was sent"]);
        }
        home.write_config(&mode.config(&server.url));
        goes_on(&server, &home, file);
    });
}

#[test]
fn a_path_that_leads_nowhere_is_told_before_anything_is_made() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let ended = home.run(["up", "no/such folder", "--json"]);
    assert_told(&ended, 2, &["no/such folder"]);
    assert!(home.sessions().is_empty());
    assert!(server.report().requests.is_empty());
}

#[test]
fn a_config_that_is_missing_or_can_not_be_read_is_told_by_its_name() {
    let home = Home::bare();
    Source::write(home.tree().join("take.mov"), MIB, 1);
    let ended = home.up(&["--config", "nowhere.toml"]).end();
    assert_told(&ended, 2, &["nowhere.toml", "can't be read"]);
    // A folder is no file, not even for root.
    let ended = home.up(&["--config", "tree"]).end();
    assert_told(&ended, 2, &["tree", "can't be read"]);

    let mut home = Home::new(Mode::JwPlayer, "http://127.0.0.1:9");
    home.be_mortal();
    home.hand_over();
    fs::set_permissions(home.config_file(), fs::Permissions::from_mode(0o000)).unwrap();
    let ended = home.up(&[]).end();
    assert_told(&ended, 2, &["config.toml", "can't be read", "ermission"]);
}

#[test]
fn a_broken_config_is_told_by_line_and_column_and_never_by_its_text() {
    let home = Home::bare();
    Source::write(home.tree().join("take.mov"), MIB, 1);
    let destination = |lines: &str| format!("[destination.it]\nkind = \"jwplayer\"\n{lines}\n");
    for (config, words) in [
        (
            destination("site_id = \"AbCd1234\"\nsecret = wrong-secret"),
            &["line 4"][..],
        ),
        (
            destination("secret = \"wrong-secret\""),
            &["line 1", "site_id is missing"],
        ),
        (
            destination("site_id = \"AbCd1234\"\nsecret = [\"wrong-secret\"]"),
            &["line 4, column 10", "destination.it.secret"],
        ),
        (
            destination("site_id = \"AbCd1234\"\nsecret = \"wrong-secret\"\nspeed = 3"),
            &["line 5", "speed"],
        ),
        (
            destination(
                "site_id = \"AbCd1234\"\nsecret = \"wrong-secret\"\nurl = \"http://api.example\"",
            ),
            &["line 5", "destination.it.url", "https", "in the clear"],
        ),
        (
            destination("site_id = \"AbCd1234\"\nsecret = { env = \"NOT_SET_ANYWHERE\" }"),
            &["NOT_SET_ANYWHERE is not set"],
        ),
    ] {
        home.write_config(&config);
        let ended = home.up(&[]).end();
        assert_told(&ended, 2, words);
        assert!(home.sessions().is_empty());
    }
}

#[test]
fn without_a_config_it_is_told_how_to_write_one_and_what_works_now() {
    let home = Home::bare();
    Source::write(home.tree().join("take.mov"), MIB, 1);
    let ended = home.up(&[]).end();
    let file = home.config_file();
    let words = [
        "--to sandbox` works now",
        file.to_str().unwrap(),
        "[destination.",
        "kind = \"jwplayer\"",
        "site_id",
        "secret",
    ];
    assert_told(&ended, 2, &words);
    let ended = home.up(&["--to", "nobody"]).end();
    assert_told(&ended, 2, &["no destination \"nobody\"", "sandbox"]);
}

#[test]
fn a_session_in_use_is_told_with_who_has_it() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 2 * PART, 1);
    server.hold_parts();
    let run = home.up(&["--parts", "1"]);
    server.wait_until_held(1);
    let session = home.session();
    let ended = home.resume(&[session.to_str().unwrap()]).end();
    assert_told(&ended, 2, &["in use by process"]);
    let ended = home.up(&["--session", session.to_str().unwrap()]).end();
    assert_told(&ended, 2, &["in use by process"]);
    let ended = home.run(["sessions"]);
    ended.assert_code(0);
    assert!(
        ended.stdout.contains("running in process"),
        "{}",
        ended.stdout
    );
    server.release();
    run.end().assert_code(0);
    server.report().assert_holds(&[file]);
}

/// Puts something into a session file.
fn meddle(session: &Path, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let text = change(fs::read_to_string(session).unwrap());
    fs::write(session, &text).unwrap();
    text.into_bytes()
}

#[test]
fn a_broken_session_is_told_by_line_and_column_and_left_as_it_is() {
    side_by_side([Mode::JwPlayer, Mode::ApiVideoBytes], |mode| {
        let (server, home, file) = stopped(mode);
        let session = home.session();
        let name = session.file_stem().unwrap().to_str().unwrap();
        let whole = fs::read_to_string(&session).unwrap();
        for (broken, words) in [
            (
                whole.replacen("[[upload]]\n", "[[upload]]\nid = nonsense\n", 1),
                "line ",
            ),
            (whole.replacen("format = 2", "format = 3", 1), "newer"),
            (
                whole.replacen("format = 2", "no session at all", 1),
                "column 4",
            ),
            (String::from("\0\0\0\0"), "line 1"),
        ] {
            let bytes = meddle(&session, |_| broken);
            let ended = home.resume(&[name]).end();
            assert_told(&ended, 2, &[words, name]);
            assert_eq!(fs::read(&session).unwrap(), bytes, "it was changed");
            // The list tells it too, and goes on.
            let listed = home.run(["sessions"]);
            listed.assert_code(0);
            assert!(listed.stdout.contains(words), "{}", listed.stdout);
        }
        // Mended, it goes on; so does one whose last write was torn.
        meddle(&session, |_| format!("{whole}[[log]]\nupload = 1\npa"));
        goes_on(&server, &home, file);
    });
}

#[test]
fn a_session_that_is_not_there_is_told() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    assert_told(&home.resume(&["2001-01-01-x"]).end(), 2, &["2001-01-01-x"]);
    assert_told(&home.resume(&[]).end(), 2, &["no session is unfinished"]);
}

#[test]
fn a_state_folder_that_can_not_be_written_is_told_before_anything_is_sent() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    Source::write(home.tree().join("take.mov"), MIB, 1);
    home.be_mortal();
    home.hand_over();
    let state = home.dir.path().join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o555)).unwrap();
    let ended = home.up(&[]).end();
    assert!(matches!(ended.status.code(), Some(1 | 2)), "{ended:?}");
    assert!(
        ended.stderr.contains(state.to_str().unwrap()),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("ermission"), "{}", ended.stderr);
    assert!(server.report().media.is_empty());
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    home.up(&[]).end().assert_code(0);
}

/// A run that can't make a file longer than so many blocks, as on a disk that is full.
fn with_little_room(command: &Command, blocks: u32) -> Running {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &script])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    Running::new(limited)
}

#[test]
fn a_disk_that_is_full_stops_it_with_a_clear_word_and_what_was_saved_goes_on() {
    in_every_mode(full_disk);
}

fn full_disk(mode: Mode) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let files: Vec<Source> = (0..300)
        .map(|number| {
            let path = home
                .tree()
                .join(format!("a take with a long name {number}.m4a"));
            Source::write(path, 1000 + number, number)
        })
        .collect();
    let tree = home.tree();
    let up = ["up", tree.to_str().unwrap(), "--json"];
    let mut run = with_little_room(&home.command(up), 400);
    run.wait_for_error("the session can't be saved");
    // It waits for room, and ends when it is told to.
    let begun = server.report().requests;
    wait_for("its end", || {
        run.signal("INT");
        (!run.is_running()).then_some(())
    });
    let ended = run.end();
    assert_told(
        &ended,
        1,
        &["nothing more is begun", "make room", "could not be saved"],
    );
    for vendor in begun.keys() {
        let parts = |requests: &BTreeMap<String, BTreeMap<String, u64>>| {
            requests[vendor].get("create").copied()
        };
        assert_eq!(
            parts(&begun),
            parts(&server.report().requests),
            "it went on"
        );
    }
    // Nothing more than what the session knows of was begun.
    assert!(server.report().there().len() < files.len());
    let session = home.session();
    let ended = home.up(&["--session", session.to_str().unwrap()]).end();
    ended.assert_code(0);
    server.report().assert_holds(&files);
    server.report().assert_nothing_twice();
}

#[test]
fn secrets_and_tokens_stay_where_they_belong() {
    in_every_mode(|mode| {
        let server = Server::start();
        server.script(&serde_json::json!([
            { "fault": "error-before", "on": "part" },
            { "fault": "link-expired", "on": "part" },
            { "fault": "token-expired", "on": "part" },
            { "fault": "lost-answer", "on": "create" },
        ]));
        let home = Home::new(mode, &server.url);
        Source::write(home.tree().join("take.mov"), 3 * PART, 1);
        Source::write(home.tree().join("small.mov"), MIB, 2);
        let log = home.dir.path().join("log");
        let ended = home.up(&["-vv", "--log-file", log.to_str().unwrap()]).end();
        ended.assert_code(0);
        assert_no_secret(&ended);

        let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let session = home.session();
        assert_eq!(mode_of(&session), 0o600);
        assert_eq!(mode_of(&log), 0o600);
        assert_eq!(mode_of(session.parent().unwrap()), 0o700);
        let saved = fs::read_to_string(&session).unwrap();
        assert!(!saved.contains(SECRET) && !saved.contains(API_KEY));

        let logged = fs::read_to_string(&log).unwrap();
        let told = format!("{}{logged}", ended.output());
        assert!(!told.contains(SECRET) && !told.contains(API_KEY));
        assert!(!told.contains("Signature="), "a signed link: {told}");
        assert!(!told.contains("Bearer "), "{told}");
        for line in saved.lines().filter(|line| line.contains("token = \"")) {
            let (_, token) = line.split_once("token = \"").unwrap();
            let (token, _) = token.split_once('"').unwrap();
            assert!(!told.contains(token), "a token is told: {told}");
        }
    });
}

#[test]
fn a_check_finds_fault_with_keys_that_the_screen_would_refuse() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let config = Mode::JwPlayer.config(&server.url);
    home.write_config(&format!("{config}\n[keys]\nquit = \"p\"\n"));
    let ended = home.run(["check"]);
    assert_told(&ended, 2, &["config.toml: [keys]", "quit", "pause"]);
}

#[test]
fn secrets_that_others_can_read_are_warned_of_once() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let config = Mode::JwPlayer.config(&server.url);
    let other = "[destination.other]\nkind = \"jwplayer\"\nsite_id = \"x\"\nsecret = \"y\"\n";
    home.write_config(&format!("{config}{other}"));
    fs::set_permissions(home.config_file(), fs::Permissions::from_mode(0o644)).unwrap();
    let ended = home.run(["check", "it"]);
    let words = "the secret of \"it\", \"other\" can be read by other users: chmod 600 it";
    assert_told(&ended, 0, &[words]);
}

#[test]
fn the_process_list_never_shows_a_secret() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    Source::write(home.tree().join("take.mov"), 2 * PART, 1);
    let command = format!("printf %s {SECRET}-not | sed s/-not//");
    let config = Mode::JwPlayer.config(&server.url);
    let secret = format!("secret = {{ command = {command:?} }}");
    home.write_config(&config.replace(&format!("secret = \"{SECRET}\""), &secret));
    server.hold_parts();
    let run = home.up(&[]);
    server.wait_until_held(1);
    // What others run here is not ours to judge.
    let listed = fs::read(format!("/proc/{}/cmdline", run.process())).unwrap();
    let listed = String::from_utf8_lossy(&listed).replace('\0', " ");
    assert!(
        listed.contains(home.tree().to_str().unwrap()),
        "it is listed"
    );
    assert!(!listed.contains(SECRET), "{listed}");
    server.release();
    run.end().assert_code(0);
}

#[test]
fn who_is_asked_to_wait_is_told_so_and_for_how_long() {
    side_by_side([Mode::JwPlayer, Mode::ApiVideoBytes], |mode| {
        let server = Server::start();
        server.script(&serde_json::json!([{ "fault": "rate-limit", "on": "part" }]));
        let home = Home::new(mode, &server.url);
        Source::write(home.tree().join("film.mp4"), 2 * PART, 3);
        let ended = home.up(&[]).end();
        assert_told(&ended, 0, &[" asks to wait: again in "]);
        assert!(!ended.stderr.contains("again when"), "{}", ended.stderr);
    });
}
