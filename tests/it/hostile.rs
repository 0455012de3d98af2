//! Whole runs against servers that mean no good: bounded, told in few words, and the secret goes
//! nowhere else.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::support::{Ended, Home, MIB, Mode, Server, Source, side_by_side};
use reelhaul::sandbox::{API_KEY, SECRET};

const MODES: [Mode; 2] = [Mode::JwPlayer, Mode::ApiVideoBytes];

/// A server that answers whatever is asked with the same bytes, and keeps what it was asked.
struct Hostile {
    url: String,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl Hostile {
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, own, answer) = (Arc::clone(&asked), url.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, bytes) = (Arc::clone(&kept), answer(&own));
                thread::spawn(move || serve(stream, &kept, &bytes));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> String {
        String::from_utf8_lossy(&self.asked.lock().unwrap()).into_owned()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<u8>>, bytes: &[u8]) {
    let mut head = [0; 16 * 1024];
    let length = stream.read(&mut head).unwrap_or(0);
    kept.lock().unwrap().extend(&head[..length]);
    // One who had enough hangs up, and that is its right.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // Closing with bytes unread would reset the connection before the answer was read.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = stream.read(&mut head);
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn up(mode: Mode, url: &str) -> Ended {
    let home = Home::new(mode, url);
    Source::write(home.tree().join("take.mov"), MIB, 1);
    home.up(&["--offline", "fail"]).end()
}

/// It ended by itself, in few words that steer no terminal and hold no secret.
fn assert_decent(ended: &Ended) {
    assert!(matches!(ended.status.code(), Some(1 | 2)), "{ended:?}");
    let output = ended.output();
    assert!(output.len() < 4000, "{} bytes were told", output.len());
    assert!(!ended.stderr.is_empty());
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!output.contains(steers), "{output:?}");
    assert!(!output.contains("panicked"), "{output}");
    assert!(
        !output.contains(SECRET) && !output.contains(API_KEY),
        "{output}"
    );
}

#[test]
fn whatever_nonsense_is_answered_ends_in_a_few_words() {
    let huge = "x\u{1b}[31m".repeat(1 << 20);
    let page = "<!doctype html><title>Log in to the hotel's network</title>";
    let answers = [
        answer("500 Oops", "", &huge),
        answer("401 No", "Content-Type: application/json\r\n", &huge),
        answer("200 OK", "Content-Type: text/html\r\n", page),
        answer(
            "200 OK",
            "Content-Type: application/json\r\n",
            "{\"media\":[{\"id\":",
        ),
        answer("200 OK", "", &"[".repeat(1 << 20)),
        answer(
            "200 OK",
            "",
            "{\"total\":-1e999,\"media\":7,\"expires_in\":1e308}",
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{".to_vec(),
        b"\x00\xff\x1b]0;owned\x07\r\n\r\n".to_vec(),
        Vec::new(),
    ];
    let each = |mode| (0..answers.len()).map(move |number| (mode, number));
    side_by_side(MODES.into_iter().flat_map(each), |(mode, number)| {
        let bytes = answers[number].clone();
        let server = Hostile::start(move |_| bytes.clone());
        assert_decent(&up(mode, &server.url));
        assert!(server.asked().contains("127.0.0.1"), "it was asked");
    });
}

#[test]
fn a_redirect_leads_the_secret_nowhere() {
    let statuses = ["301 Moved", "302 Found", "307 Again", "308 For good"];
    let cases = |mode| statuses.map(|status| [false, true].map(|circle| (mode, status, circle)));
    let cases = MODES.into_iter().flat_map(cases).flatten();
    side_by_side(cases, |(mode, status, circle)| {
        let thief = Hostile::start(|_| answer("200 OK", "", "{}"));
        let elsewhere = thief.url.clone();
        let server = Hostile::start(move |own| {
            let to = if circle { own } else { &elsewhere };
            answer(status, &format!("Location: {to}/v2/x\r\n"), "")
        });
        assert_decent(&up(mode, &server.url));
        assert!(server.asked().contains("127.0.0.1"), "it was asked");
        assert!(!server.asked().contains("/v2/x "), "it was followed");
        assert_eq!(thief.asked(), "", "it was followed");
    });
}

#[test]
fn a_storage_link_gets_neither_secret_nor_token() {
    // The sandbox, as the storages do, refuses a part that brings an authorization along.
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 11 * MIB, 1);
    home.up(&[]).end().assert_code(0);
    server.report().assert_holds(&[file]);
}
