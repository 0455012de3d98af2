//! What the screen costs: time for a frame and bytes written to the terminal a second, with a
//! queue of 10, 10,000 and 1,000,000 uploads behind it, moving and still.
//!
//! ```sh
//! cargo run --release --example frame_cost            # or with seconds a round and rounds: 3 5
//! ```
//! The lengths are measured in turns, round by round, and compared by their best rounds, so that what
//! else the machine does is not taken for a difference. Ten uploads leave most rows of a large screen
//! empty, which may be cheaper to draw whatever is behind it; the ratio is told with and without them.
//! It fails when a promise is missed.
//!
//! The loop, the drawing and the bytes are those of the program; the engine behind them is made up
//! here, so that the numbers are those of the screen alone: it computes the rows it is asked for,
//! moves 8 parts of the file whose parts are shown, and tells its summary four times a second.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::stream;
use ratatui::{
    Terminal,
    backend::{Backend, ClearType, CrosstermBackend, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
};
use reelhaul::{
    engine::{
        Handle, Request, Server,
        protocol::{
            ByteTotals, Counts, Entry, FolderRow, LimitedBy, Line, Outcome, PartState, Parts,
            Phase, Query, Reply, Row, RunningPart, State, Summary, Totals, UploadId, Window,
            WindowQuery,
        },
    },
    tui::{Depth, Error, Options, run_on},
};

const MIB: u64 = 1 << 20;
const PART: u64 = 16 * MIB;
const PARTS: u32 = 160;
/// The upload under way, and how many of its parts are.
const RUNNING: UploadId = 3;
const LANES: u32 = 8;
/// How many uploads there are in a folder.
const FOLDER: u32 = 1000;

/// Writes nothing but counts.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU64>);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal of a fixed size that is not there.
struct Pretended {
    writes: CrosstermBackend<Counted>,
    size: Size,
}

impl Backend for Pretended {
    type Error = io::Error;
    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, cells: I) -> io::Result<()> {
        self.writes.draw(cells)
    }
    fn hide_cursor(&mut self) -> io::Result<()> {
        self.writes.hide_cursor()
    }
    fn show_cursor(&mut self) -> io::Result<()> {
        self.writes.show_cursor()
    }
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }
    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.writes.set_cursor_position(position)
    }
    fn clear(&mut self) -> io::Result<()> {
        self.writes.clear()
    }
    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.writes.clear_region(region)
    }
    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }
    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size,
            pixels: Size::default(),
        })
    }
    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.writes)
    }
}

/// A queue that is computed where it is looked at.
struct Made {
    uploads: u32,
    moving: bool,
    begun: Instant,
}

impl Made {
    fn row(&self, id: UploadId) -> Row {
        let runs = self.moving && id == RUNNING;
        let state = match id {
            _ if runs => State::Uploading,
            0..6 => State::Done,
            _ => State::Queued,
        };
        let size = PART * u64::from(PARTS);
        let parts = self.parts(id);
        let done = match state {
            State::Done => PARTS,
            _ => parts.states[0].1,
        };
        Row {
            id,
            path: format!("/mnt/archive/{:04}/clip {id:07}.mov", (id - 1) / FOLDER).into(),
            size,
            acknowledged: if state == State::Queued {
                0
            } else {
                PART * u64::from(done)
            },
            in_flight: parts.running.iter().map(|part| part.taken).sum(),
            state,
            rate: parts.running.iter().map(|part| part.rate).sum(),
            eta: runs.then(|| u64::from(PARTS - done) * 2),
            parts: if state == State::Queued { 0 } else { PARTS },
            parts_done: done,
            parts_running: u32::try_from(parts.running.len()).unwrap_or(0),
            parts_failed: 0,
            parts_retrying: 0,
            note: None,
        }
    }

    /// Eight parts in flight, each of them 12 s on its way at a speed that wavers.
    fn parts(&self, id: UploadId) -> Parts {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(0);
        let runs = self.moving && id == RUNNING;
        let round = u32::try_from(ms / 12_000).unwrap_or(0);
        let done = if runs { 20 + round * LANES } else { 0 };
        let running: Vec<RunningPart> = (1..=LANES)
            .filter(|_| runs)
            .map(|lane| {
                let at = (ms + u64::from(lane) * 1300) % 12_000;
                // A meter's value: smoothed, told four times a second.
                let waver = ms / 250 * 7919 * u64::from(lane) % 90_000;
                RunningPart {
                    number: done + lane,
                    length: PART,
                    taken: PART * at / 12_000,
                    rate: PART / 12 + waver,
                    attempt: 1,
                    age_ms: at,
                    reading_ms: None,
                }
            })
            .collect();
        let flight = u32::try_from(running.len()).unwrap_or(0);
        Parts {
            upload: id,
            count: PARTS,
            expected: None,
            media: None,
            states: vec![
                (PartState::Verified, done),
                (PartState::Running, flight),
                (PartState::Waiting, PARTS - done - flight),
            ],
            running,
            failed: Vec::new(),
        }
    }

    /// The line at this place: a folder, then the uploads in it.
    fn line(&self, at: u32) -> Line {
        let (folder, within) = (at / (FOLDER + 1), at % (FOLDER + 1));
        if let Some(row) = within.checked_sub(1) {
            return Line {
                depth: 1,
                parent: Some(folder + 1),
                entry: Entry::Upload(self.row(folder * FOLDER + row + 1)),
            };
        }
        let files = FOLDER.min(self.uploads - folder * FOLDER);
        let mut totals = Totals {
            bytes: u64::from(files) * u64::from(PARTS) * PART,
            ..Totals::default()
        };
        for _ in 0..files {
            totals.counts.add(State::Queued);
        }
        let name = format!("{folder:04}");
        Line {
            depth: 0,
            parent: None,
            entry: Entry::Folder(FolderRow {
                id: folder + 1,
                path: format!("/mnt/archive/{name}").into(),
                name: name.into(),
                folded: false,
                totals,
                matching: files as usize,
                in_flight: 0,
                rate: 0,
            }),
        }
    }

    fn window(&self, query: &WindowQuery) -> Window {
        let total = self.uploads as usize;
        let length = total + total.div_ceil(FOLDER as usize);
        let end = (query.start + query.rows).min(length);
        Window {
            start: query.start,
            lines: (query.start..end)
                .filter_map(|at| u32::try_from(at).ok())
                .map(|at| self.line(at))
                .collect(),
            length,
            // Below the line of its folder.
            followed: self.moving.then_some(RUNNING as usize),
            matching: total,
            total,
            folder: "/mnt/archive".into(),
        }
    }

    fn summary(&self) -> Summary {
        let mut counts = Counts::default();
        for id in 1..=self.uploads.min(10) {
            counts.add(self.row(id).state);
        }
        let row = self.row(RUNNING);
        let rate = row.rate;
        let total = u64::from(self.uploads) * PART * u64::from(PARTS);
        let acknowledged = row.acknowledged;
        Summary {
            session: "2026-11-23-archive-k3f9".into(),
            destination: "archive".into(),
            parts_limit: 8,
            counts,
            bytes: ByteTotals {
                total,
                acknowledged,
                sent: acknowledged,
                already_there: 0,
                in_flight: row.in_flight,
            },
            rate,
            history: vec![rate; 60],
            eta: self.moving.then(|| total / rate.max(1)),
            parts_running: row.parts_running,
            limited_by: if self.moving {
                LimitedBy::Line
            } else {
                LimitedBy::Idle
            },
            saved: true,
            ..Summary::default()
        }
    }
}

async fn serve(made: Arc<Made>, mut server: Server) {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = tick.tick(), if made.moving => {
                server.summary.send_replace(made.summary());
            }
            request = server.requests.recv() => match request {
                None => return,
                Some(Request::Query(query, answer)) => {
                    let reply = match query {
                        Query::Window(query) => Reply::Window(made.window(&query)),
                        Query::Parts(id) => Reply::Parts(Some(made.parts(id))),
                        Query::Details(_) => Reply::Details(None),
                        Query::Preview(_) => Reply::Preview(reelhaul::engine::protocol::Preview::default()),
                    };
                    // Nobody waits for it once the screen was left.
                    let _ = answer.send(reply);
                }
                Some(Request::Command(_, answer)) => {
                    let _ = answer.send(Outcome {
                        reached: 0,
                        words: String::new(),
                        refused: false,
                    });
                }
            },
        }
    }
}

static TIMES: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

/// What was measured in some seconds of one screen.
#[derive(Clone, Default)]
struct Seen {
    frames: Vec<Duration>,
    bytes: u64,
    time: Duration,
}

impl Seen {
    fn and(mut self, more: &Self) -> Self {
        self.frames.extend(&more.frames);
        self.bytes += more.bytes;
        self.time += more.time;
        self
    }

    /// The time that so much of a hundred frames took at most, in microseconds.
    fn micros(&self, of_a_hundred: usize) -> u128 {
        let mut frames = self.frames.clone();
        frames.sort_unstable();
        let index = (frames.len() * of_a_hundred / 100).min(frames.len().saturating_sub(1));
        frames.get(index).map_or(0, Duration::as_micros)
    }

    fn bytes_a_second(&self) -> u128 {
        u128::from(self.bytes) * 1000 / self.time.as_millis().max(1)
    }
}

/// Runs the screen for some seconds after a second to settle.
async fn measure(uploads: u32, moving: bool, size: Size, time: Duration) -> Result<Seen, Error> {
    let made = Arc::new(Made {
        uploads,
        moving,
        begun: Instant::now(),
    });
    let (handle, server) = Handle::pair();
    server.summary.send_replace(Summary {
        phase: Phase::Running,
        ..made.summary()
    });
    let engine = tokio::spawn(serve(made, server));
    let written = Counted::default();
    let mut terminal = Terminal::new(Pretended {
        writes: CrosstermBackend::new(written.clone()),
        size,
    })
    .map_err(|error| Error::Terminal(error.to_string()))?;
    let options = Options {
        color: Some(Depth::True),
        ascii: Some(false),
        on_frame: Some(|took| times().push(took)),
        ..Options::default()
    };
    // Nobody presses a key: the screen follows the file under way.
    let keys = stream::pending();
    let screen = run_on(handle, options, &mut terminal, keys);
    let clock = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = written.0.load(Ordering::Relaxed);
        times().clear();
        let from = Instant::now();
        tokio::time::sleep(time).await;
        Seen {
            frames: std::mem::take(&mut *times()),
            bytes: written.0.load(Ordering::Relaxed) - before,
            time: from.elapsed(),
        }
    };
    let seen = tokio::select! {
        exit = screen => { exit?; Seen::default() }
        seen = clock => seen,
    };
    engine.abort();
    Ok(seen)
}

fn times() -> MutexGuard<'static, Vec<Duration>> {
    TIMES.lock().unwrap_or_else(PoisonError::into_inner)
}

const QUEUES: [u32; 3] = [10, 10_000, 1_000_000];
const SIZES: [Size; 2] = [Size::new(120, 40), Size::new(200, 50)];

/// What is promised: the most bytes a second at 120×40, the longest frame at 200×50, and by how much
/// the longest queue may cost more than the shortest.
const BYTES: u128 = 6 * 1024;
const FRAME: Duration = Duration::from_millis(2);
const SAME: f64 = 1.2;

#[tokio::main]
async fn main() -> Result<ExitCode, Error> {
    let mut numbers = std::env::args().skip(1).map_while(|text| text.parse().ok());
    let time = Duration::from_secs(numbers.next().unwrap_or(3));
    let rounds = numbers.next().unwrap_or(5);
    println!(
        "  uploads     size            frames    median       99th      bytes/s   ({rounds} rounds \
         of {time:?})"
    );
    let mut broken = Vec::new();
    for size in SIZES {
        for moving in [true, false] {
            let measured = side_by_side(moving, size, time, rounds).await?;
            let what = format!("{}×{}", size.width, size.height);
            for (uploads, rounds) in QUEUES.iter().zip(&measured) {
                let all = rounds.iter().fold(Seen::default(), Seen::and);
                println!(
                    "{uploads:>9}  {what:>7}  {:>6}  {:>8}  {:>6} µs  {:>6} µs  {:>11}",
                    if moving { "moving" } else { "still" },
                    all.frames.len(),
                    all.micros(50),
                    all.micros(99),
                    all.bytes_a_second(),
                );
                let bytes = all.bytes_a_second();
                if !moving && bytes > 0 {
                    broken.push(format!("{what}, {uploads} still: {bytes} bytes/s, not 0"));
                }
                if moving && size == SIZES[0] && bytes > BYTES {
                    broken.push(format!("{what}, {uploads}: {bytes} bytes/s, over {BYTES}"));
                }
                if moving && size == SIZES[1] && all.micros(50) > FRAME.as_micros() {
                    broken.push(format!("{what}, {uploads}: a frame takes over {FRAME:?}"));
                }
            }
            if moving {
                let time = |measured: &[Vec<Seen>]| ratio(measured, |seen| seen.micros(50));
                let bytes = ratio(&measured, Seen::bytes_a_second);
                println!(
                    "           the costliest queue to the cheapest: time {:.2}, bytes {bytes:.2}; \
                     of those that fill the screen: time {:.2}",
                    time(&measured),
                    time(&measured[1..]),
                );
                if size == SIZES[1] && time(&measured) > SAME {
                    broken.push(format!(
                        "{what}: the queue's length changes the time {:.2} times",
                        time(&measured)
                    ));
                }
                if bytes > SAME {
                    broken.push(format!(
                        "{what}: the queue's length changes the bytes {bytes:.2} times"
                    ));
                }
            }
        }
    }
    for promise in &broken {
        println!("missed: {promise}");
    }
    Ok(if broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Rounds of each queue, in turns, so that what else the machine does meanwhile is none's alone.
async fn side_by_side(
    moving: bool,
    size: Size,
    time: Duration,
    rounds: u64,
) -> Result<[Vec<Seen>; QUEUES.len()], Error> {
    let mut measured: [Vec<Seen>; QUEUES.len()] = Default::default();
    for round in 0..rounds {
        for turn in 0..QUEUES.len() {
            // Another one begins each round.
            let index = (turn + usize::try_from(round).unwrap_or(0)) % QUEUES.len();
            measured[index].push(measure(QUEUES[index], moving, size, time).await?);
        }
    }
    Ok(measured)
}

/// The best round of the costliest queue to the best of the cheapest: noise only ever adds.
#[allow(clippy::cast_precision_loss)] // two digits are shown
fn ratio(measured: &[Vec<Seen>], cost: impl Fn(&Seen) -> u128) -> f64 {
    let best = measured
        .iter()
        .map(|rounds| rounds.iter().map(&cost).min().unwrap_or(0));
    let (least, most) = (best.clone().min().unwrap_or(0), best.max().unwrap_or(0));
    most as f64 / least.max(1) as f64
}
