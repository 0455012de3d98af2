//! A part or a step is tried as often as is set and then given up, whatever the server answers between
//! its failures, while everything else arrives.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use reelhaul::{
    destination::{Account, Receipt},
    engine::protocol::State,
    error::{Error, Kind, Result},
    plan::Part,
    sandbox::Storage,
    settings::Settings,
};
use serde_json::{Value, json};

use crate::support::{
    Ended, Home, Mode, PART, Server, Source,
    altered::Altered,
    engine::{Making, World, jwplayer},
    side_by_side,
};

/// How often the answers of a pattern come in a row, unless what is answered so is given up.
const TURNS: usize = 12;

/// What a part or a step is answered in turns: some of these count as failures of its own, and some ask
/// to wait.
#[derive(Debug, Clone, Copy)]
struct Turns(&'static [&'static str]);

const PATTERNS: [Turns; 3] = [
    Turns(&["status", "rate-limit"]),
    Turns(&["status", "status", "rate-limit"]),
    Turns(&["rate-limit", "status"]),
];

impl Turns {
    /// These answers at this step of the upload of this file, in turns.
    fn script(self, file: &Source, mut at: Value) -> Value {
        at["file"] = file.title().into();
        let answers = self.0.iter().map(|fault| {
            let mut script = at.clone();
            script["fault"] = (*fault).into();
            script["ms"] = 1000.into();
            if *fault == "status" {
                // Of the request alone, and not of the host: it counts whoever else is answered.
                script["ms"] = Value::Null;
                script["status"] = 408.into();
            }
            script
        });
        let answers: Vec<Value> = answers.collect();
        std::iter::repeat_n(answers, TURNS).flatten().collect()
    }
}

/// How many of the failures were answered.
fn failures(server: &Server) -> u64 {
    server.met("status")
}

/// How often something is tried after its first failure.
const RETRIES: &str = "1";

/// The same and the first try, and as often again each time that its file came to the tail of the queue.
const TRIES: u64 = 3 * 2;

/// One file, or one and another.
#[derive(Debug, Clone, Copy)]
enum Others {
    PartsOfTheSameFile,
    AnotherFile,
}

/// A mode, who else sends meanwhile, and what is answered.
fn cases() -> impl Iterator<Item = (Mode, Others, Turns)> {
    let others = [
        Others::PartsOfTheSameFile,
        Others::AnotherFile,
        Others::AnotherFile,
    ];
    let of_a_mode = move |mode| {
        let pairs = others.into_iter().zip(PATTERNS);
        pairs.map(move |(others, turns)| (mode, others, turns))
    };
    Mode::ALL.into_iter().flat_map(of_a_mode)
}

/// Parts that go out while others fail: as many as take longer than all tries of one.
const PLENTY: u64 = 20;

/// A server, and runs at a pace at which parts arrive all along. An early answer comes amid the body,
/// when not all of it was taken.
fn start(mode: Mode) -> (Server, Home) {
    let server = Server::with(|options| options.storage = Storage::Discard);
    let home = Home::new(mode, &server.url);
    (server, home)
}

fn up(home: &Home) -> Ended {
    let pace = ["--parts", "3", "--files", "2", "--bandwidth", "5MiB/s"];
    home.up(&[&pace[..], &["--retries", RETRIES]].concat())
        .end()
}

/// The run ends because of this file alone, of which this part failed after as many tries as are set.
fn assert_given_up(ended: &Ended, server: &Server, file: &Source) -> Vec<Value> {
    let failed = ended.named("failed");
    let failures = failures(server);
    assert_eq!(
        failures, TRIES,
        "failures that were answered; told: {failed:#?}"
    );
    ended.assert_code(1);
    let path = |event: &Value| event["path"].as_str().unwrap().to_owned();
    let name = file.path.to_str().unwrap().replace(' ', "%20");
    assert!(!failed.is_empty());
    assert!(
        failed.iter().all(|event| path(event) == name),
        "{failed:#?}"
    );
    failed
}

/// All of a file arrived.
fn assert_arrived(server: &Server, file: &Source) {
    let report = server.report();
    let there = report.one(&file.title());
    assert!(there.complete, "{there:#?}");
    assert_eq!(there.size, file.size);
}

#[test]
fn a_part_that_is_asked_to_wait_between_its_failures_is_given_up_after_its_retries() {
    side_by_side(cases(), |(mode, others, turns)| {
        let (server, home) = start(mode);
        let write = |name: &str, parts, seed| {
            Source::write(home.tree().join(name), parts * PART + 77, seed)
        };
        let (struck, other) = match others {
            Others::PartsOfTheSameFile => (write("struck.mov", PLENTY, 1), None),
            Others::AnotherFile => {
                let other = write("other.mov", PLENTY, 2);
                (write("struck.mov", 3, 1), Some(other))
            }
        };
        server.script(&turns.script(&struck, json!({ "on": "part", "part": 2 })));
        let ended = up(&home);
        let failed = assert_given_up(&ended, &server, &struck);
        assert!(failed.iter().any(|event| event["part"] == 2), "{failed:#?}");
        let words = |event: &Value| {
            let message = event["message"].as_str().unwrap();
            message.contains("part 2 failed")
        };
        assert!(failed.iter().any(words), "{failed:#?}");
        if let Some(other) = other {
            assert_arrived(&server, &other);
        }
        // All of it but that part is there.
        let report = server.report();
        assert_eq!(report.one(&struck.title()).size, struck.size - PART);
        report.assert_nothing_twice();
    });
}

/// The steps that are no parts, of which any failure is one of the file.
fn steps() -> impl Iterator<Item = (Mode, &'static str, Turns)> {
    let at = |mode: Mode| {
        let at_jwplayer: &[&str] = &["create", "complete"];
        if mode.is_jwplayer() {
            at_jwplayer
        } else {
            &["create"]
        }
    };
    let turns = [PATTERNS[0], PATTERNS[1]];
    Mode::ALL.into_iter().flat_map(move |mode| {
        let of_a_step = move |step| turns.map(|turns| (mode, step, turns));
        at(mode).iter().copied().flat_map(of_a_step)
    })
}

#[test]
fn a_step_that_is_asked_to_wait_between_its_failures_is_given_up_after_its_retries() {
    side_by_side(steps(), |(mode, step, turns)| {
        let (server, home) = start(mode);
        let write = |name: &str, parts, seed| {
            Source::write(home.tree().join(name), parts * PART + 77, seed)
        };
        let (struck, other) = (write("struck.mov", 1, 1), write("other.mov", PLENTY, 2));
        server.script(&turns.script(&struck, json!({ "on": step })));
        let ended = up(&home);
        assert_given_up(&ended, &server, &struck);
        assert_arrived(&server, &other);
        server.report().assert_nothing_twice();
    });
}

/// How often the part is answered before it is sent after all.
const ANSWERS: u32 = 24;

/// What the second part is answered in place of being sent: an error of the server's, and that its host
/// can't be reached, in turns.
fn in_turns_with_offline(asked: &AtomicU32, part: Part) -> Option<Result<Receipt>> {
    if part.number != 2 {
        return None;
    }
    let (kind, words) = match asked.fetch_add(1, Ordering::SeqCst) {
        ANSWERS.. => return None,
        answered if answered.is_multiple_of(2) => (Kind::Server, "the server failed"),
        _ => (Kind::Offline, "no route to the storage"),
    };
    Some(Err(Error::new(kind, words)))
}

/// At the level of the engine: no server can be unreachable for one part alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_host_is_out_of_reach_between_its_failures_is_given_up() {
    let making = Making {
        settings: Settings {
            retries: 2,
            ..Making::default().settings
        },
        ..Making::default()
    };
    let asked = Arc::new(OnceLock::new());
    let counted = Arc::clone(&asked);
    let to = move |sandbox: &_| -> Arc<dyn Account> {
        let tries = Arc::new(AtomicU32::new(0));
        counted.set(Arc::clone(&tries)).unwrap();
        let instead = move |_, part| in_turns_with_offline(&tries, part);
        Arc::new(Altered::new(jwplayer(sandbox), instead))
    };
    let world = World::new(to, making).await;
    let film = world.write("film.mp4", 100);
    world.add(&film).await;
    world.until_settled().await;
    let row = world.rows().await.remove(0);
    let asked = asked.get().unwrap().load(Ordering::SeqCst);
    assert_eq!(row.state, State::Failed, "after {asked} answers: {row:?}");
    let note = row.note.unwrap();
    assert!(note.contains("part 2 failed"), "{note}");
    assert!(asked < ANSWERS, "only when it was sent after all");
    world.end().await;
}
