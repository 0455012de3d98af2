//! Whoever reads what the program tells may stop reading, or go away: the uploads go on.

use std::{
    io::Write,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::{Child, ExitStatus, Stdio},
};

use crate::{
    resume_all::killed,
    support::{Home, Mode, PART, Server, Source, wait_for},
};

/// A place to write to that takes nothing more, and the end that nobody reads.
fn stuck() -> (Stdio, UnixStream) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while ours.write(&[b'x'; 4096]).is_ok() {}
    ours.set_nonblocking(false).unwrap();
    (OwnedFd::from(ours).into(), theirs)
}

/// A program that is killed when the test is over.
struct Process(Child);

impl Process {
    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.0.id());
        let status = std::process::Command::new("sh")
            .arg("-c")
            .arg(kill)
            .status();
        assert!(status.unwrap().success());
    }

    fn end(&mut self) -> ExitStatus {
        wait_for("the program's end", || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn home(files: u64) -> (Server, Home, Vec<Source>) {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let files = (0..files)
        .map(|n| Source::write(home.tree().join(format!("{n}.mp4")), 1000, n))
        .collect();
    (server, home, files)
}

/// `up` of the tree, saying as much as it can.
fn up(home: &Home, stdout: Stdio, stderr: Stdio) -> Process {
    let tree = home.tree();
    let mut command = home.command(["up", tree.to_str().unwrap(), "--headless", "-vv"]);
    Process(command.stdout(stdout).stderr(stderr).spawn().unwrap())
}

#[test]
fn a_log_that_nobody_takes_holds_no_upload_up() {
    let (server, home, files) = home(3);
    let (stderr, _reader) = stuck();
    let mut run = up(&home, Stdio::null(), stderr);
    assert_eq!(run.end().code(), Some(0));
    server.report().assert_holds(&files);
}

#[test]
fn lines_that_nobody_takes_hold_no_upload_up_and_signals_are_heard() {
    let (server, home, files) = home(3);
    let (stdout, _reader) = stuck();
    let mut run = up(&home, stdout, Stdio::null());
    wait_for("all files at the sandbox", || {
        let report = server.report();
        let ready = report.media.iter().filter(|media| media.state == "ready");
        (ready.count() == files.len()).then_some(())
    });
    server.report().assert_holds(&files);
    // The session is closed, though its last lines wait.
    let session = home.session();
    wait_for("the session's end", || {
        reelhaul::session::lock::holder(&session)
            .is_none()
            .then_some(())
    });
    assert!(run.0.try_wait().unwrap().is_none(), "lines are waited for");
    run.signal("TERM");
    assert_eq!(run.end().code(), Some(0));
}

#[test]
fn a_wish_to_end_is_heard_and_the_session_saved_though_nobody_reads() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("a.mp4"), 2 * PART, 1);
    server.hold_parts();
    let (stdout, _one) = stuck();
    let (stderr, _two) = stuck();
    let mut run = up(&home, stdout, stderr);
    server.wait_until_held(1);
    // Two that come at once may be taken for one.
    let status = wait_for("the program's end", || {
        run.signal("INT");
        run.0.try_wait().unwrap()
    });
    assert_eq!((status.code(), status.signal()), (Some(130), None));
    server.release();
    home.resume(&[]).end().assert_code(0);
    server.report().assert_holds(&[file]);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let home = Home::bare();
    let run = |args: &[&str]| {
        let (gone, reader) = UnixStream::pair().unwrap();
        drop(reader);
        let other = gone.try_clone().unwrap();
        let mut command = home.command(args);
        command
            .stdout(OwnedFd::from(gone))
            .stderr(OwnedFd::from(other));
        Process(command.spawn().unwrap()).end().code()
    };
    assert_eq!(run(&["sessions"]), Some(0));
    // What went wrong is told by the code alone then.
    assert_eq!(run(&["resume"]), Some(2));
    assert_eq!(run(&["check"]), Some(2));
}

#[test]
fn sessions_that_are_resumed_one_after_another_wait_for_no_reader() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (first, older) = killed(&server, &home, 1, &[]);
    let (second, _) = killed(&server, &home, 2, &[&older]);
    let (stdout, _nobody_reads) = stuck();
    let mut command = home.command(["resume", "--all"]);
    command.stdout(stdout).stderr(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    wait_for("the last session's end", || {
        let listed = home.run(["sessions", "--json"]).events();
        listed
            .iter()
            .all(|line| line["state"] != "unfinished" && line["done"] == 1)
            .then_some(())
    });
    server.report().assert_holds(&[first, second]);
    // Its reader is waited for at the end, until someone asks for that.
    process.signal("INT");
    process.end();
}
