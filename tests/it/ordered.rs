//! An account whose parts go one after another by their offset and whose media object is named at the
//! end (`examples/ordered`), held against a server that breaks off where a test wants it.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::{MIB, Running, Source, hex, wait_for};

/// What the server does when a byte of this offset is reached, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The connection is cut there.
    Cut(u64),
    /// Nothing more is read until [`Server::release`].
    Hold(u64),
    /// The part that ends there arrives, and its answer is lost.
    LoseAnswer(u64),
    /// The upload is created, and the answer is lost.
    LoseCreate,
}

/// One upload object.
#[derive(Debug, Default)]
struct Upload {
    marker: String,
    size: u64,
    bytes: Vec<u8>,
    /// Where each `PATCH` began.
    patches: Vec<u64>,
    /// Whether one is under way.
    receiving: bool,
    /// Whether it waits for [`Server::release`].
    held: bool,
}

#[derive(Debug, Default)]
struct State {
    uploads: Vec<Upload>,
    faults: Vec<Fault>,
    /// What an ordered upload may not do: a `PATCH` that sends again what is there, leaves a gap, or
    /// begins while another is under way.
    wrong: Vec<String>,
}

#[derive(Debug, Default)]
struct Server {
    state: Mutex<State>,
    changed: Condvar,
}

impl Server {
    fn start(faults: &[Fault]) -> (Arc<Self>, String) {
        let server = Arc::new(Self::default());
        server.state().faults = faults.to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = Arc::clone(&serving);
                // A connection ends as a client or a fault ends it.
                std::thread::spawn(move || drop(server.serve(&stream.unwrap())));
            }
        });
        (server, url)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this fault is to strike now. It does so once.
    fn strikes(&self, fault: Fault) -> bool {
        let faults = &mut self.state().faults;
        let found = faults.iter().position(|known| *known == fault);
        found.is_some_and(|at| faults.remove(at) == fault)
    }

    fn holds(&self) -> Option<()> {
        self.state()
            .uploads
            .iter()
            .any(|upload| upload.held)
            .then_some(())
    }

    fn release(&self) {
        let mut state = self.state();
        state
            .uploads
            .iter_mut()
            .for_each(|upload| upload.held = false);
        drop(state);
        self.changed.notify_all();
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut from = BufReader::new(stream);
        loop {
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if from.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_ascii_lowercase()),
                }
            }
            let header = |name: &str| {
                let mut headers = lines.iter().filter_map(|line| line.split_once(": "));
                headers.find_map(|(known, value)| (known == name).then(|| value.parse().unwrap()))
            };
            let length = header("content-length").unwrap_or(0);
            let (request, _) = lines[0].rsplit_once(' ').unwrap();
            let answer = match request.split_once(" /").unwrap() {
                ("patch", path) => {
                    let offset = header("upload-offset").unwrap();
                    self.patch(number(path), offset, &mut from.by_ref().take(length))?
                }
                (method, path) => self.call(method, path)?,
            };
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            let mut stream = stream;
            stream.write_all(answer.as_bytes())?;
        }
    }

    fn call(&self, method: &str, path: &str) -> io::Result<String> {
        let query = |name: &str| {
            let (_, query) = path.split_once('?').unwrap_or_default();
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(known, _)| *known == name);
            found.unwrap_or_default().1.to_owned()
        };
        let marker = query("marker");
        match method {
            "post" => {
                let size = query("size").parse().unwrap();
                self.state().uploads.push(Upload {
                    marker: marker.clone(),
                    size,
                    ..Upload::default()
                });
                if self.strikes(Fault::LoseCreate) {
                    return Err(io::ErrorKind::Other.into());
                }
                Ok(self.found(&marker))
            }
            "head" => Ok(self.progress_of(number(path), "200 OK")),
            "get" if path.starts_with("media/") => Ok("200 OK".to_owned()),
            "get" => Ok(self.found(&marker)),
            _ => Ok("405 X".to_owned()),
        }
    }

    fn found(&self, marker: &str) -> String {
        let uploads = &self.state().uploads;
        match uploads.iter().position(|upload| upload.marker == marker) {
            Some(at) => format!("201 X\r\nLocation: /uploads/{at}"),
            None => "404 X".to_owned(),
        }
    }

    /// How far an upload is. What is still being taken of it is waited for.
    fn progress_of(&self, number: usize, status: &str) -> String {
        let receiving = |state: &mut State| state.uploads[number].receiving;
        let state = self.changed.wait_while(self.state(), receiving);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let upload = &state.uploads[number];
        let offset = upload.bytes.len() as u64;
        let progress = format!("{status}\r\nUpload-Offset: {offset}");
        if offset < upload.size {
            return progress;
        }
        format!("{progress}\r\nMedia-Id: media-{number}")
    }

    fn patch(&self, number: usize, offset: u64, body: &mut dyn Read) -> io::Result<String> {
        {
            let mut state = self.state();
            let upload = &mut state.uploads[number];
            let there = upload.bytes.len() as u64;
            let overlaps = upload.receiving;
            if overlaps || offset != there {
                let wrong = format!("at {offset}, has {there}, while another goes: {overlaps}");
                state.wrong.push(wrong);
                return Ok("409 X\r\nConnection: close".to_owned());
            }
            upload.patches.push(offset);
            upload.receiving = true;
        }
        let taken = self.take(number, body);
        self.state().uploads[number].receiving = false;
        self.changed.notify_all();
        taken?;
        let end = self.state().uploads[number].bytes.len() as u64;
        if self.strikes(Fault::LoseAnswer(end)) {
            return Err(io::ErrorKind::Other.into());
        }
        Ok(self.progress_of(number, "204 X"))
    }

    /// All of these files are there, each once, and nothing was done wrong.
    #[track_caller]
    fn assert_has(&self, files: &[&Source]) {
        let state = self.state();
        assert_eq!(state.wrong, Vec::<String>::new());
        assert_eq!(state.faults, [], "these never struck");
        let there = state
            .uploads
            .iter()
            .map(|upload| hex(&Sha256::digest(&upload.bytes)));
        let mut there: Vec<String> = there.collect();
        let mut files: Vec<String> = files.iter().map(|file| file.sha256.clone()).collect();
        there.sort();
        files.sort();
        assert_eq!(there, files);
    }

    /// Takes what comes, all of which counts, until it ends or a fault strikes.
    fn take(&self, number: usize, body: &mut dyn Read) -> io::Result<()> {
        let mut block = vec![0; 64 * 1024];
        loop {
            let length = body.read(&mut block)?;
            let mut state = self.state();
            let upload = &mut state.uploads[number];
            upload.bytes.extend_from_slice(&block[..length]);
            let there = upload.bytes.len() as u64;
            let is_due = |fault: &mut Fault| match fault {
                Fault::Cut(at) | Fault::Hold(at) => *at <= there,
                Fault::LoseAnswer(_) | Fault::LoseCreate => false,
            };
            let due = state.faults.extract_if(.., is_due).next();
            match due {
                Some(Fault::Cut(_)) => return Err(io::ErrorKind::Other.into()),
                Some(_) => state.uploads[number].held = true,
                None if length == 0 => return Ok(()),
                None => {}
            }
            let held = |state: &mut State| state.uploads[number].held;
            drop(self.changed.wait_while(state, held));
        }
    }
}

/// The number in a path such as `uploads/7`.
fn number(path: &str) -> usize {
    path.strip_prefix("uploads/").unwrap().parse().unwrap()
}

/// A folder with two films, and beside it a session that is not there yet.
fn films() -> (TempDir, [Source; 2]) {
    let home = tempfile::tempdir().unwrap();
    let films = home.path().join("films");
    let film = Source::write(films.join("film.mp4"), 14 * MIB, 1);
    let clip = Source::write(films.join("clip.mp4"), 3 * MIB, 2);
    (home, [film, clip])
}

/// Runs the example, which cargo put beside this test, in parts of 4 MiB.
fn upload(url: &str, home: &TempDir, add: &[&str]) -> Running {
    let mut program = env::current_exe().unwrap();
    program.pop();
    program.pop();
    let mut command = Command::new(program.join("examples/ordered"));
    command
        .current_dir(home.path())
        .args([url, "it.toml"])
        .args(add);
    Running::new(command)
}

/// Each file is named with its media object, in the session too.
#[track_caller]
fn assert_named(home: &TempDir, output: &str) {
    let session = fs::read_to_string(home.path().join("it.toml")).unwrap();
    for number in 0..2 {
        assert!(output.contains(&format!(": media-{number}\n")), "{output}");
        assert!(
            session.contains(&format!("media = \"media-{number}\"")),
            "{session}"
        );
    }
}

#[test]
fn an_ordered_upload_outlives_lost_answers_and_a_kill_amid_a_part() {
    let (home, [film, clip]) = films();
    let (server, url) = Server::start(&[
        Fault::LoseCreate,
        Fault::LoseAnswer(4 * MIB),
        Fault::Hold(6 * MIB),
        Fault::LoseAnswer(14 * MIB),
    ]);
    let run = upload(&url, &home, &["films"]);
    wait_for("a part that is held", || server.holds());
    let (ran, said) = run.kill();
    assert!(ran, "{said:?}");
    server.release();
    let end = upload(&url, &home, &[]).end();
    end.assert_code(0);
    server.assert_has(&[&film, &clip]);
    assert_named(&home, &format!("{}\n{}", said.join("\n"), end.stdout));
}

#[test]
fn a_part_that_was_cut_in_its_middle_is_continued_from_there() {
    let (home, [film, clip]) = films();
    let middle = 5 * MIB + 1234;
    let (server, url) = Server::start(&[Fault::Cut(middle)]);
    let end = upload(&url, &home, &["films"]).end();
    end.assert_code(0);
    server.assert_has(&[&film, &clip]);
    assert_named(&home, &end.stdout);
    let state = server.state();
    let film = state
        .uploads
        .iter()
        .find(|upload| upload.size == film.size)
        .unwrap();
    let inside = |at: &&u64| (middle..8 * MIB).contains(at);
    assert_eq!(
        film.patches.iter().filter(inside).count(),
        1,
        "{:?}",
        film.patches
    );
}
