//! A session whose log lost something in its middle still opens: what is damaged is named, the rest counts,
//! and the destination is asked for what is lost.

use std::{fs, ops::Range, os::unix::fs::FileExt as _, path::Path};

use serde_json::json;

use crate::support::{Ended, Home, MIB, Mode, PART, Server, Source, in_every_mode, wait_for};

/// A run of three files, killed when two of them have sent two of their three parts, and all that was
/// answered is saved.
fn killed(mode: Mode) -> (Server, Home, Vec<Source>) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let file = |number| {
        let path = home.tree().join(format!("{number} take.mp4"));
        Source::write(path, 2 * PART + MIB, number)
    };
    let files: Vec<_> = (0..3).map(file).collect();
    server.script(&json!([{ "fault": "hold", "on": "part", "part": 3, "times": 100 }]));
    let run = home.up(&["--files", "2", "--parts", "2"]);
    server.wait_until_held(2);
    wait_for("the receipts in the session", || {
        let text = fs::read_to_string(home.session()).unwrap();
        (text.matches("\npart = 2\n").count() >= 2).then_some(())
    });
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
    server.no_faults();
    (server, home, files)
}

/// Which stretch of a session's text is lost.
type Hole = fn(&str) -> Range<usize>;

/// From the first place of `first` to the first one of `last` behind it.
fn between(text: &str, first: &str, last: &str) -> Range<usize> {
    let begin = text.find(first).unwrap() + 3;
    begin..begin + text[begin..].find(last).unwrap() + 3
}

/// Holes that take of the first file …
const HOLES: [(&str, Hole); 6] = [
    ("a receipt", |text| {
        between(text, "\npart = 1\n", "\npart = 2\n")
    }),
    ("the part plan", |text| {
        between(text, "\nplan = ", "\nfile_size = ")
    }),
    ("the ticket", |text| between(text, "\nticket = ", "}\n")),
    ("the start", |text| {
        between(text, "\nmarker = ", "\nticket = ")
    }),
    ("its own table", |text| {
        between(text, "0 take.mp4", "\nstate = \"queued\"\n")
    }),
    ("all of its upload", |text| {
        let last = text.rfind("\npart = 2\n").unwrap();
        text.find("\nmarker = ").unwrap() + 3..last + 3
    }),
];

/// Writes zeros over this stretch of the session; returns the line of the first table that is lost.
fn punch(session: &Path, hole: Hole) -> usize {
    let text = fs::read_to_string(session).unwrap();
    let hole = hole(&text);
    assert!(hole.start < hole.end, "{text}");
    let table = text[..hole.start].rfind("[[").unwrap();
    let file = fs::OpenOptions::new().write(true).open(session).unwrap();
    file.write_all_at(&vec![0; hole.len()], hole.start as u64)
        .unwrap();
    1 + text[..table].matches('\n').count()
}

/// Removes the tables that this stretch touches, but for the last one of all: without that, the session is one
/// that a crash ended earlier. Returns the line that stands in their place.
fn remove(session: &Path, hole: Hole) -> usize {
    let text = fs::read_to_string(session).unwrap();
    let hole = hole(&text);
    let begin = text[..hole.start].rfind("[[").unwrap();
    let end = hole.end + text[hole.end..].find("\n\n").unwrap() + 2;
    let end = end.min(text.rfind("[[").unwrap());
    assert!(begin < end, "{text}");
    fs::write(session, text[..begin].to_owned() + &text[end..]).unwrap();
    1 + text[..begin].matches('\n').count()
}

/// A run ended well that went on with a damaged session: each file is there once, and nothing was sent that
/// was there.
fn assert_all_is_there(server: &Server, ended: &Ended, files: &[Source]) {
    ended.assert_code(0);
    let report = server.report();
    report.assert_holds(files);
    report.assert_nothing_twice();
}

/// Resumes a session that was damaged in this line.
fn resumes(server: &Server, home: &Home, files: &[Source], line: usize) {
    let session = home.session();
    let damaged = fs::read(&session).unwrap();
    let ended = home.resume_session(&session, &[]).end();
    assert_all_is_there(server, &ended, files);
    let named = format!("line {line} ");
    let named_first = format!("lines {line}–");
    assert!(
        ended.stderr.contains(&named) || ended.stderr.contains(&named_first),
        "{named}: {}",
        ended.stderr
    );
    // What was dropped is kept, and the session is whole again.
    let kept = session.with_extension("toml.damaged");
    assert_eq!(fs::read(kept).unwrap(), damaged);
    let text = fs::read_to_string(&session).unwrap();
    assert!(!text.contains('\0') && toml::from_str::<toml::Table>(&text).is_ok());
}

#[test]
fn whatever_tables_are_lost_in_a_hole_each_file_has_one_media_object() {
    in_every_mode(|mode| {
        for (what, hole) in HOLES {
            eprintln!("{mode:?}: zeros over {what}");
            let (server, home, files) = killed(mode);
            let line = punch(&home.session(), hole);
            resumes(&server, &home, &files, line);
        }
    });
}

#[test]
fn tables_that_are_lost_without_a_trace_make_no_second_media_object() {
    in_every_mode(|mode| {
        for (what, hole) in HOLES {
            eprintln!("{mode:?}: {what} is removed");
            let (server, home, files) = killed(mode);
            let line = remove(&home.session(), hole);
            resumes(&server, &home, &files, line);
        }
    });
}

#[test]
fn another_session_goes_on_with_what_a_damaged_one_has_started() {
    in_every_mode(|mode| {
        for (what, hole) in HOLES {
            eprintln!("{mode:?}: zeros over {what}, and another session");
            let (server, home, files) = killed(mode);
            let first = home.session();
            punch(&first, hole);
            let ended = home.up(&[]).end();
            assert_all_is_there(&server, &ended, &files);
            // Nothing is left for the first one to do.
            let ended = home.resume_session(&first, &[]).end();
            assert_all_is_there(&server, &ended, &files);
        }
    });
}

#[test]
fn files_whose_whole_upload_is_lost_in_a_hole_keep_their_media_objects() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let sizes = [PART / 2, PART / 3, 2 * PART + MIB];
        let file = |(size, number)| {
            let path = home.tree().join(format!("{number} take.mp4"));
            Source::write(path, size, number)
        };
        let files: Vec<_> = sizes.into_iter().zip(0..).map(file).collect();
        server.hold_part(3, 100);
        let run = home.up(&["--files", "1", "--parts", "1"]);
        server.wait_until_held(1);
        let is_done = "\nstate = \"done\"\n";
        wait_for("two files that are done", || {
            let text = fs::read_to_string(home.session()).unwrap();
            (text.matches(is_done).count() >= 2).then_some(())
        });
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.no_faults();
        let uploaded = |files: &[Source]| -> Vec<String> {
            let report = server.report();
            let id = |file: &Source| report.one(&file.title()).id.clone();
            files.iter().map(id).collect()
        };
        let before = uploaded(&files[..2]);
        let line = punch(&home.session(), |text| {
            let is_done = "\nstate = \"done\"\n";
            text.find("\nmarker = ").unwrap() + 3..text.rfind(is_done).unwrap() + 3
        });
        resumes(&server, &home, &files, line);
        assert_eq!(uploaded(&files[..2]), before);
    });
}

#[test]
fn what_is_uploaded_once_more_is_not_uploaded_a_third_time_though_its_start_is_lost() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mp4"), 2 * PART + MIB, 1);
        home.up(&[]).end().assert_code(0);
        let first = home.session();
        server.hold_part(3, 100);
        let run = home.up(&["--again", "--parts", "1"]);
        server.wait_until_held(1);
        let session = home.session_besides(&[&first]);
        wait_for("the receipts in the session", || {
            let text = fs::read_to_string(&session).unwrap();
            text.contains("\npart = 2\n").then_some(())
        });
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.no_faults();
        punch(&session, HOLES[5].1);
        home.resume_session(&session, &[]).end().assert_code(0);
        let report = server.report();
        report.assert_nothing_twice();
        let there = report.there();
        assert_eq!(there.len(), 2, "{there:#?}");
        for media in there {
            assert_eq!(media.state, "ready", "{media:#?}");
            assert_eq!(media.sha256.as_deref(), Some(&*film.sha256), "{media:#?}");
        }
    });
}
