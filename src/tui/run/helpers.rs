//! Tasks beside the loop: what asks, commands and reads folders, so that the loop never waits for it.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::{
    engine::{
        Gone, Handle,
        protocol::{AddPaths, Command, Query, Reply, UploadId, WindowQuery},
    },
    path,
    scan::Scan,
    tui::{
        app::{Entry, Estimate, Found, Listing},
        update::{Answered, Effect, Msg},
    },
};

/// How long the engine may take to answer before the screen says that it waits.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long nothing is typed before what was typed is counted.
const TYPING: Duration = Duration::from_millis(300);
/// How often a count says how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// The most entries of a folder that are shown.
const MOST_ENTRIES: usize = 5000;

/// Tasks beside the loop.
pub(super) struct Helpers {
    handle: Handle,
    tell: UnboundedSender<Msg>,
    commands: UnboundedSender<Command>,
    rows: OneAtATime<WindowQuery>,
    parts: OneAtATime<UploadId>,
    /// Which count of what would be added is wanted; others end.
    count: Arc<AtomicU64>,
}

/// One question is on its way, and of those that come meanwhile the last is asked next.
struct OneAtATime<Q> {
    asked: Option<Q>,
    next: Option<Q>,
    last: Option<Q>,
}

impl<Q: Clone + PartialEq> OneAtATime<Q> {
    fn new() -> Self {
        Self {
            asked: None,
            next: None,
            last: None,
        }
    }

    /// The question, if it may be asked now.
    fn ask(&mut self, question: Q) -> Option<Q> {
        if self.asked.is_some() {
            self.next = Some(question);
            return None;
        }
        self.asked = Some(question.clone());
        self.last = Some(question.clone());
        Some(question)
    }

    /// The answer came; what is to be asked next.
    fn answered(&mut self) -> Option<Q> {
        self.asked = None;
        self.next.take()
    }
}

impl Helpers {
    pub(super) fn new(handle: Handle, tell: UnboundedSender<Msg>) -> Self {
        let (commands, mut wanted) = unbounded_channel::<Command>();
        // One after the other, so that they arrive in the order they were given.
        let (engine, to) = (handle.clone(), tell.clone());
        tokio::spawn(async move {
            while let Some(command) = wanted.recv().await {
                command_one(&engine, &to, command).await;
            }
        });
        Self {
            handle,
            tell,
            commands,
            rows: OneAtATime::new(),
            parts: OneAtATime::new(),
            count: Arc::default(),
        }
    }

    pub(super) fn answers_come(&self) -> bool {
        self.rows.asked.is_some() || self.parts.asked.is_some()
    }

    pub(super) fn ask_rows(&mut self, query: WindowQuery) {
        if let Some(query) = self.rows.ask(query) {
            self.ask(Query::Window(query));
        }
    }

    pub(super) fn ask_parts(&mut self, upload: UploadId) {
        if let Some(upload) = self.parts.ask(upload) {
            self.ask(Query::Parts(upload));
        }
    }

    /// Asks for the parts of this upload if those asked for last are another's.
    pub(super) fn parts_of_another(&mut self, upload: UploadId) {
        let last = self.parts.next.as_ref().or(self.parts.last.as_ref());
        if last != Some(&upload) {
            self.ask_parts(upload);
        }
    }

    /// Goes on asking once an answer came.
    pub(super) fn answered(&mut self, msg: &Msg) {
        match msg {
            Msg::Window(..) => {
                if let Some(query) = self.rows.answered() {
                    self.ask_rows(query);
                }
            }
            Msg::Parts(..) => {
                if let Some(upload) = self.parts.answered() {
                    self.ask_parts(upload);
                }
            }
            _ => {}
        }
    }

    pub(super) fn start(&mut self, effect: Effect) {
        match effect {
            Effect::Command(command @ (Command::Stop | Command::StopNow)) => {
                // An end must not wait for what was commanded before it.
                let (engine, tell) = (self.handle.clone(), self.tell.clone());
                tokio::spawn(async move { command_one(&engine, &tell, command).await });
            }
            Effect::Command(command) => {
                // The receiver lives as long as the runtime does.
                let _ = self.commands.send(command);
            }
            Effect::Ask(query) => self.ask(query),
            Effect::Mark(query) => {
                let (engine, tell) = (self.handle.clone(), self.tell.clone());
                tokio::spawn(async move {
                    let _ = tell.send(find_range(&engine, query).await);
                });
            }
            Effect::List(folder) => {
                let tell = self.tell.clone();
                tokio::task::spawn_blocking(move || {
                    let _ = tell.send(Msg::Listing(list(folder)));
                });
            }
            Effect::Estimate(paths) => {
                let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
                let (wanted, tell) = (self.count.clone(), self.tell.clone());
                tokio::spawn(async move {
                    // Whoever still types is not asked about what was typed so far.
                    tokio::time::sleep(TYPING).await;
                    let still = move || wanted.load(Ordering::Relaxed) == number;
                    if still() {
                        tokio::task::spawn_blocking(move || estimate(&paths, &still, &tell));
                    }
                });
            }
            Effect::Refresh | Effect::Suspend | Effect::Clear | Effect::Leave(_) => {}
        }
    }

    /// Ends a count that nobody looks at any more.
    pub(super) fn count_no_more(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks in a task of its own, which also says when the answer is long in coming.
    fn ask(&self, query: Query) {
        let (engine, tell) = (self.handle.clone(), self.tell.clone());
        tokio::spawn(async move {
            let answer = engine.query(query.clone());
            tokio::pin!(answer);
            let reply = if let Ok(reply) = timeout(PATIENCE, &mut answer).await {
                reply
            } else {
                let _ = tell.send(Msg::Busy(true));
                let reply = answer.await;
                let _ = tell.send(Msg::Busy(false));
                reply
            };
            // The loop may have been left meanwhile; then nobody waits for it.
            let _ = tell.send(message(query, reply));
        });
    }
}

fn message(query: Query, reply: Result<Reply, Gone>) -> Msg {
    match (query, reply) {
        (Query::Window(query), Ok(Reply::Window(window))) => Msg::Window(query, window),
        (Query::Parts(upload), Ok(Reply::Parts(parts))) => Msg::Parts(upload, parts),
        (Query::Details(_), Ok(Reply::Details(details))) => Msg::Details(details),
        (Query::Preview(settings), Ok(Reply::Preview(preview))) => Msg::Preview(settings, preview),
        _ => Msg::Gone,
    }
}

async fn command_one(engine: &Handle, tell: &UnboundedSender<Msg>, command: Command) {
    let of = match command {
        Command::Add(_) => Answered::Add,
        _ => Answered::Other,
    };
    let ending = matches!(command, Command::Stop | Command::StopNow);
    let msg = match engine.command(command).await {
        Ok(outcome) => Msg::Outcome { of, outcome },
        // The engine may be gone before it has answered to its end; the summary tells.
        Err(Gone) if ending => return,
        Err(Gone) => Msg::Gone,
    };
    let _ = tell.send(msg);
}

/// What is in a range of lines, however long.
async fn find_range(engine: &Handle, query: WindowQuery) -> Msg {
    let end = query.start + query.rows;
    let mut found = Vec::new();
    let mut start = query.start;
    while start < end {
        let part = WindowQuery {
            start,
            rows: (end - start).min(WindowQuery::MOST_ROWS),
            ..query.clone()
        };
        match engine.query(Query::Window(part)).await {
            Ok(Reply::Window(window)) if !window.lines.is_empty() => {
                start = window.start + window.lines.len();
                found.extend(window.lines.iter().filter_map(Found::of));
            }
            Ok(_) => break,
            Err(Gone) => return Msg::Gone,
        }
    }
    Msg::Marked(found)
}

/// Counts what these paths would bring, telling how far it is, while it is `still` wanted.
fn estimate(paths: &AddPaths, still: &dyn Fn() -> bool, tell: &UnboundedSender<Msg>) {
    let Ok(scan) = Scan::new(paths) else {
        return;
    };
    let mut sum = Estimate::default();
    let mut told = Instant::now();
    let walked = scan.walk(&mut |batch| {
        sum.files += batch.found.len();
        sum.bytes += batch
            .found
            .iter()
            .map(|found| found.stat.identity.size)
            .sum::<u64>();
        sum.left_out += batch.skipped.len() + batch.unreadable.len();
        if !still() {
            return ControlFlow::Break(());
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let _ = tell.send(Msg::Estimate(paths.clone(), sum));
        }
        ControlFlow::Continue(())
    });
    if walked.is_continue() && still() {
        sum.whole = true;
        let _ = tell.send(Msg::Estimate(paths.clone(), sum));
    }
}

/// The entries of a folder, folders first.
fn list(folder: PathBuf) -> Listing {
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            return Listing {
                folder,
                entries: Vec::new(),
                error: Some(format!("can't be read: {error}")),
            };
        }
    };
    let mut entries: Vec<Entry> = entries
        .filter_map(Result::ok)
        .take(MOST_ENTRIES)
        .filter_map(|entry| {
            let about = std::fs::metadata(entry.path()).ok()?;
            let name = entry.file_name();
            Some(Entry {
                path: entry.path(),
                // What can't be typed is shown as it can be written down.
                name: name
                    .to_str()
                    .map_or_else(|| path::encode(std::path::Path::new(&name)), str::to_owned),
                folder: about.is_dir(),
                media: mime_guess::from_path(entry.path())
                    .first()
                    .is_some_and(|mime| matches!(mime.type_().as_str(), "video" | "audio")),
                size: about.len(),
            })
        })
        .collect();
    entries.sort_by(|one, other| {
        other
            .folder
            .cmp(&one.folder)
            .then_with(|| one.name.cmp(&other.name))
    });
    Listing {
        folder,
        entries,
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What an estimate of a folder says last, wanted from its beginning or not.
    fn estimated(wanted: bool) -> Option<Estimate> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one.mov"), [0; 300]).unwrap();
        fs::write(folder.path().join("two.wav"), [0; 40]).unwrap();
        fs::write(folder.path().join("notes.txt"), [0; 7]).unwrap();
        let paths = AddPaths {
            paths: vec![folder.path().to_owned()],
            ..AddPaths::default()
        };
        let (tell, mut told) = unbounded_channel();
        estimate(&paths, &|| wanted, &tell);
        let mut last = None;
        while let Ok(Msg::Estimate(of, estimate)) = told.try_recv() {
            assert_eq!(of, paths);
            last = Some(estimate);
        }
        last
    }

    #[test]
    fn what_would_be_added_is_counted_before_it_is() {
        let all = Estimate {
            files: 2,
            bytes: 340,
            left_out: 1,
            whole: true,
        };
        assert_eq!(estimated(true), Some(all));
    }

    #[test]
    fn a_count_nobody_waits_for_says_nothing() {
        assert_eq!(estimated(false), None);
    }
}
