//! An engine made up for the screen: a small world that answers like the real one, moves only when
//! told to, and keeps what it was commanded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::{
    engine::{
        Handle, Request, Server,
        folders::{Folders, Share},
        protocol::*,
        rows,
        tree::Tree,
        window::begin,
    },
    error::{Error, Kind},
    settings::Settings,
};

const MIB: u64 = 1 << 20;

/// The world.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) rows: Vec<Row>,
    pub(crate) parts: Vec<Parts>,
    pub(crate) summary: Summary,
    pub(crate) commands: Vec<Command>,
    pub(crate) clock_ms: u64,
}

const NAMES: [(&str, u64); 14] = [
    ("2019/wedding/01 ceremony.mov", 2620),
    (
        "2019/wedding/02 dinner and speeches, camera B, unedited.mov",
        1180,
    ),
    ("2019/wedding/03 dance.mov", 940),
    ("2020/Straßenfest – Müllerplatz.mp4", 310),
    ("2020/日本旅行/京都の紅葉と寺.mp4", 720),
    (
        "2021/interviews/a-very-long-file-name-that-somebody-exported-from-an-editing-program-v17-final.mxf",
        4400,
    ),
    ("2021/interviews/anna.wav", 88),
    ("2021/interviews/jonas.wav", 91),
    ("2022/drone/DJI_0001.MP4", 512),
    ("2022/drone/DJI_0002.MP4", 498),
    ("2022/drone/DJI_0003.MP4", 633),
    ("2023/concert/main.mkv", 8033),
    ("2023/concert/side \u{1b}[31mred\u{7}.mkv", 7011),
    ("notes.aiff", 6),
];

impl World {
    /// A queue in the middle of its work: some done, some under way, some in trouble.
    pub(crate) fn busy() -> Self {
        let mut world = Self::default();
        for (index, (name, mib)) in NAMES.iter().enumerate() {
            let id = u32::try_from(index).unwrap() + 1;
            let state = match index {
                0 | 3 | 6 => State::Done,
                1 | 4 => State::Uploading,
                7 => State::Failed,
                8 => State::Paused,
                9 => State::Processing,
                12 => State::Changed,
                13 => State::Skipped,
                _ => State::Queued,
            };
            world.push(id, name, mib * MIB, state);
        }
        world.running(2, 74, &[18, 21, 22], &[(9, Some(11_400)), (14, None)]);
        world.running(5, 45, &[6, 7, 8], &[]);
        let row = &mut world.rows[7];
        row.note = Some("403 Forbidden: the account may not upload audio".into());
        world.rows[8].acknowledged = 96 * MIB;
        world.rows[8].parts = 32;
        world.rows[8].parts_done = 6;
        world.rows[12].note = Some("the file was changed since it was begun".into());
        world.rows[13].note = Some("left out by *.aiff".into());
        world.summary = Summary {
            session: "2026-11-23-archive-k3f9".into(),
            destination: "archive · JW Player site AbCd1234".into(),
            parts_limit: 6,
            history: (0..90u64)
                .map(|i| 9 * MIB + (i * i * 37 % 71) * MIB / 10)
                .collect(),
            orphans: 0,
            limited_by: LimitedBy::Line,
            saved: true,
            errors: 7,
            settings: Settings::default(),
            ..Summary::default()
        };
        world.count();
        world.summary.eta = Some(1694);
        world
    }

    pub(crate) fn push(&mut self, id: u32, name: &str, size: u64, state: State) {
        let done = state == State::Done || state == State::Processing;
        // Of what is done the engine keeps no parts.
        let listed = state == State::Processing;
        let parts = u32::try_from(size.div_ceil(16 * MIB)).unwrap();
        self.rows.push(Row {
            id,
            path: format!("/mnt/archive/{name}").into(),
            size,
            acknowledged: if done { size } else { 0 },
            in_flight: 0,
            state,
            rate: 0,
            eta: None,
            parts: if listed { parts } else { 0 },
            parts_done: if listed { parts } else { 0 },
            parts_running: 0,
            parts_failed: 0,
            parts_retrying: 0,
            note: None,
        });
        self.parts.push(Parts {
            upload: id,
            count: if listed { parts } else { 0 },
            expected: (state == State::Queued).then_some(parts),
            media: done.then(|| format!("media{id:04}")),
            states: listed
                .then_some((PartState::Verified, parts))
                .into_iter()
                .collect(),
            running: vec![],
            failed: vec![],
        });
    }

    /// Puts an upload under way: all parts before the first in flight are done, but the failed.
    pub(crate) fn running(
        &mut self,
        id: u32,
        count: u32,
        in_flight: &[u32],
        failed: &[(u32, Option<u64>)],
    ) {
        let mut states: Vec<(PartState, u32)> = Vec::new();
        for number in 1..=count {
            let state = if in_flight.contains(&number) {
                PartState::Running
            } else if let Some((_, retry)) = failed.iter().find(|(n, _)| *n == number) {
                if retry.is_some() {
                    PartState::Retrying
                } else {
                    PartState::Failed
                }
            } else if number < *in_flight.iter().max().unwrap_or(&0) {
                PartState::Verified
            } else {
                PartState::Waiting
            };
            match states.last_mut() {
                Some((last, n)) if *last == state => *n += 1,
                _ => states.push((state, 1)),
            }
        }
        let done: u32 = states
            .iter()
            .filter(|(state, _)| *state == PartState::Verified)
            .map(|(_, n)| n)
            .sum();
        let running: Vec<RunningPart> = in_flight
            .iter()
            .zip(1u64..)
            .map(|(number, n)| RunningPart {
                number: *number,
                length: 16 * MIB,
                taken: n * 4 * MIB,
                rate: n * 1_300_000,
                attempt: if n == 2 { 3 } else { 1 },
                age_ms: n * 2700,
                reading_ms: None,
            })
            .collect();
        let row = self.rows.iter_mut().find(|row| row.id == id).unwrap();
        row.parts = count;
        row.parts_done = done;
        row.parts_running = u32::try_from(running.len()).unwrap();
        row.parts_failed = u32::try_from(failed.iter().filter(|f| f.1.is_none()).count()).unwrap();
        row.parts_retrying =
            u32::try_from(failed.iter().filter(|f| f.1.is_some()).count()).unwrap();
        row.acknowledged = (u64::from(done) * 16 * MIB).min(row.size);
        row.in_flight = running.iter().map(|part| part.taken).sum();
        row.rate = running.iter().map(|part| part.rate).sum();
        row.eta = Some((row.size - row.acknowledged) / row.rate.max(1));
        self.parts.retain(|parts| parts.upload != id);
        self.parts.push(Parts {
            upload: id,
            count,
            expected: None,
            media: Some(format!("media{id:04}")),
            states,
            running,
            failed: failed
                .iter()
                .map(|(number, retry)| FailedPart {
                    number: *number,
                    attempts: 4,
                    error: Error::new(
                        Kind::Server,
                        "PUT https://s3.example/part: 503 Slow Down: please reduce your request \
                         rate; the part was not stored",
                    )
                    .with_status(503),
                    retry_in_ms: *retry,
                    waits_for: None,
                })
                .collect(),
        });
    }

    /// Makes the totals those of the rows.
    pub(crate) fn count(&mut self) {
        let mut counts = Counts::default();
        let mut bytes = ByteTotals::default();
        let summary = &mut self.summary;
        (
            summary.parts_running,
            summary.parts_failed,
            summary.parts_retrying,
        ) = (0, 0, 0);
        summary.rate = 0;
        for row in &self.rows {
            counts.add(row.state);
            if row.state != State::Skipped {
                bytes.total += row.size;
                bytes.acknowledged += row.acknowledged;
                bytes.in_flight += row.in_flight;
            }
            summary.parts_running += row.parts_running;
            summary.parts_failed += row.parts_failed;
            summary.parts_retrying += row.parts_retrying;
            summary.rate += row.rate;
        }
        bytes.sent = bytes.acknowledged;
        summary.counts = counts;
        summary.bytes = bytes;
    }

    /// Lets time go on.
    #[allow(dead_code)] // for looking at it live
    pub(crate) fn step(&mut self, ms: u64) {
        self.clock_ms += ms;
        let clock = self.clock_ms;
        for index in 0..self.parts.len() {
            let parts = &mut self.parts[index];
            if parts.running.is_empty() {
                continue;
            }
            let mut finished = 0;
            for (n, part) in parts.running.iter_mut().enumerate() {
                part.rate = 1_300_000 * (n as u64 + 1) + clock * 7919 % 90_000;
                part.taken += part.rate * ms / 1000;
                part.age_ms += ms;
                if part.taken >= part.length {
                    finished += 1;
                    part.taken = 0;
                    part.age_ms = 0;
                    part.attempt = 1;
                }
            }
            let id = parts.upload;
            let flight = parts.running.iter().map(|part| part.taken).sum();
            let rate = parts.running.iter().map(|part| part.rate).sum();
            let count = parts.count;
            let failed: Vec<_> = parts
                .failed
                .iter()
                .map(|f| (f.number, f.retry_in_ms.map(|ms| ms.saturating_sub(100))))
                .collect();
            if finished > 0 {
                let numbers: Vec<u32> = parts
                    .running
                    .iter()
                    .map(|p| (p.number + 3).min(count))
                    .collect();
                let kept = parts.running.clone();
                self.running(id, count, &numbers, &failed);
                let parts = self.parts.iter_mut().find(|p| p.upload == id).unwrap();
                for (part, old) in parts.running.iter_mut().zip(kept) {
                    part.taken = old.taken;
                    part.age_ms = old.age_ms;
                    part.attempt = old.attempt;
                }
            }
            let row = self.rows.iter_mut().find(|row| row.id == id).unwrap();
            row.in_flight = flight;
            row.rate = rate;
            row.eta = Some((row.size - row.acknowledged) / rate.max(1));
        }
        self.count();
        let bytes = &self.summary.bytes;
        self.summary.eta = Some((bytes.total - bytes.acknowledged) / self.summary.rate.max(1));
        if clock % 2000 < ms {
            let rate = self.summary.rate;
            self.summary.history.push(rate);
        }
    }

    /// The folders of the rows, with the same numbers whatever the order of the rows.
    fn folders(&self) -> Folders {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.id);
        let mut folders = Folders::default();
        for row in rows {
            let skipped = row.state == State::Skipped;
            let share = Share {
                state: row.state,
                bytes: if skipped { 0 } else { row.size },
                acknowledged: if skipped { 0 } else { row.acknowledged },
            };
            folders.come(row.id, &row.path, share);
        }
        folders
    }

    pub(crate) fn window(&self, query: &WindowQuery) -> Window {
        let text = query.filter.text.to_lowercase();
        let mut rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| query.filter.show.shows(row.state, row.parts_failed > 0))
            .filter(|row| row.path.to_string_lossy().to_lowercase().contains(&text))
            .collect();
        match query.sort.by {
            SortBy::Queue => {}
            SortBy::Name => rows.sort_by(|a, b| a.path.cmp(&b.path)),
            SortBy::Size => rows.sort_by_key(|row| row.size),
            SortBy::Progress => rows.sort_by_key(|row| row.acknowledged / 1000),
            SortBy::State => rows.sort_by_key(|row| row.state),
            SortBy::Speed => rows.sort_by_key(|row| row.rate),
        }
        if query.sort.descending {
            rows.reverse();
        }
        let folders = self.folders();
        let ids: Vec<UploadId> = rows.iter().map(|row| row.id).collect();
        let tree = query
            .tree
            .clone()
            .map(|folds| Tree::new(&folders, &ids, folds, |_| {}));
        let place = |line: LineId| match (&tree, line) {
            (Some(tree), line) => tree.find(&folders, line, 0),
            (None, LineId::Upload(id)) => ids.iter().position(|other| *other == id),
            (None, LineId::Folder(_)) => None,
        };
        let row = |id: UploadId| rows.iter().find(|row| row.id == id).copied();
        let running = |id: UploadId| row(id).is_some_and(|row| row.parts_running > 0);
        let sent = |line: &LineId| match line {
            LineId::Upload(id) => row(*id).is_some_and(|row| row.state == State::Uploading),
            LineId::Folder(at) => {
                let inside = |id: &UploadId| running(*id) && folders.is_in(folders.of(*id), *at);
                query.tree.as_ref().is_some_and(|folds| folds.folded(*at)) && ids.iter().any(inside)
            }
        };
        let first = || {
            let running = ids.iter().filter(|id| running(**id));
            running.filter_map(|id| place(LineId::Upload(*id))).min()
        };
        let kept = query.follow.filter(sent).and_then(place);
        let alive = query.follow_running.then(|| kept.or_else(first)).flatten();
        let followed = alive.or_else(|| query.follow.and_then(place));
        let length = tree.as_ref().map_or(ids.len(), Tree::len);
        let start = begin(query, length, followed, alive.is_some());
        let end = (start + query.rows).min(length);
        let moving = self.moving(&folders);
        let line = |at: usize| {
            let id = match &tree {
                Some(tree) => tree.line(at)?,
                None => LineId::Upload(*ids.get(at)?),
            };
            let entry = match (id, &tree) {
                (LineId::Folder(id), Some(tree)) => {
                    Entry::Folder(rows::folder(&folders, tree, id, &moving))
                }
                (LineId::Upload(id), _) => Entry::Upload(row(id)?.clone()),
                (LineId::Folder(_), None) => return None,
            };
            let (depth, parent) = tree.as_ref().map_or((0, None), |tree| {
                (tree.depth(&folders, id), tree.parent(&folders, id))
            });
            Some(Line {
                depth,
                parent,
                entry,
            })
        };
        Window {
            start,
            lines: (start..end).filter_map(line).collect(),
            length,
            followed,
            matching: ids.len(),
            total: self.rows.len(),
            folder: folders.path(folders.common()),
        }
    }

    fn moving(&self, folders: &Folders) -> HashMap<FolderId, (u64, u64)> {
        let mut moving: HashMap<FolderId, (u64, u64)> = HashMap::new();
        for row in &self.rows {
            for folder in folders.upwards(folders.of(row.id)) {
                let sums = moving.entry(folder).or_default();
                sums.0 = sums.0.saturating_add(row.in_flight);
                sums.1 = sums.1.saturating_add(row.rate);
            }
        }
        moving
    }

    pub(crate) fn reply(&self, query: &Query) -> Reply {
        match query {
            Query::Window(query) => Reply::Window(self.window(query)),
            Query::Parts(id) => {
                Reply::Parts(self.parts.iter().find(|parts| parts.upload == *id).cloned())
            }
            Query::Details(id) => Reply::Details(
                self.rows
                    .iter()
                    .find(|row| row.id == *id)
                    .map(|row| Box::new(details(row))),
            ),
            Query::Preview(settings) => Reply::Preview(Preview {
                files: 3,
                parts_before: 212,
                parts_after: 54,
                queued: 40,
                words: if settings.part_size == self.summary.settings.part_size {
                    String::new()
                } else {
                    "re-cuts 212 parts of 3 running files into 54; 40 queued files".into()
                },
            }),
        }
    }

    pub(crate) fn obey(&mut self, command: Command) -> Outcome {
        let mut words = String::new();
        match &command {
            Command::Tune(settings) => self.summary.settings = settings.clone(),
            Command::Stop | Command::StopNow => self.summary.phase = Phase::Stopped,
            Command::Save => words = "saved".into(),
            Command::Retry(_) => words = "3 parts are tried again".into(),
            _ => {}
        }
        self.commands.push(command);
        Outcome {
            reached: 1,
            words,
            refused: false,
        }
    }
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn details(row: &Row) -> Details {
    Details {
        row: row.clone(),
        modified: at("2019-06-02T10:11:12Z"),
        queued: Some(at("2026-11-23T08:00:01Z")),
        begun: Some(at("2026-11-23T08:14:30Z")),
        done: (row.state == State::Done).then(|| at("2026-11-23T09:20:00Z")),
        mime: "video/quicktime".into(),
        marker: Some("reelhaul-k3f9-2-7d1c".into()),
        media: Some("abcd1234".into()),
        address: Some("https://dashboard.jwplayer.com/p/AbCd1234/media/abcd1234".into()),
        metadata: [
            ("title", "Dinner and speeches, camera B, unedited"),
            ("custom_params.camera", "B"),
            ("external_id", "reelhaul-k3f9-2-7d1c"),
            ("tags", "family, wedding, 2019"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        plan: vec![(1, 40, 16 * MIB), (41, 34, 32 * MIB)],
        attempts: 31,
        incidents: vec![Incident {
            at: at("2026-11-23T08:31:02Z"),
            part: Some(9),
            attempt: 4,
            message: "send: HTTP 503 Slow Down: please reduce your request rate".into(),
        }],
        failure: None,
    }
}

/// Serves the world until the last handle is gone.
pub(crate) async fn serve(world: Arc<Mutex<World>>, mut server: Server) {
    while let Some(request) = server.requests.recv().await {
        let mut world = world.lock().unwrap();
        match request {
            Request::Command(command, answer) => {
                let _ = answer.send(world.obey(command));
                server.summary.send_replace(world.summary.clone());
            }
            Request::Query(query, answer) => {
                let _ = answer.send(world.reply(&query));
            }
        }
    }
}

/// A served world and the handle to it.
pub(crate) fn spawn(world: World) -> (Handle, Arc<Mutex<World>>) {
    let (handle, server) = Handle::pair();
    server.summary.send_replace(world.summary.clone());
    let world = Arc::new(Mutex::new(world));
    tokio::spawn(serve(world.clone(), server));
    (handle, world)
}
