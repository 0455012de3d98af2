//! The one thread that has the connection. Writes that wait at the same time share a transaction, and
//! are answered once it is on disk.

use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use rusqlite::{ErrorCode, ffi};
use tokio::sync::oneshot;

use super::{
    core::{Core, Done},
    schema::{self, roll_back},
};
use crate::{
    error::{Error, Kind, Result},
    fault_point::fault_point,
    ids::Claim,
    ledger::{Claimed, Request, Write},
};

/// The most writes that share a transaction.
const TOGETHER: usize = 256;

/// How long a write waits before it is tried again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// What the thread is asked for.
pub(super) enum Job {
    Work(Work),
    /// Anything that writes nothing.
    Read(Box<dyn FnOnce(&mut Core) + Send>),
}

/// What is written, and who waits for that: nobody for a write that is tried again.
pub(super) enum Work {
    Claim(Box<Request>, oneshot::Sender<Result<Claimed>>),
    Write(Claim, Box<Write>, Option<oneshot::Sender<Result<bool>>>),
}

/// What came of a [`Work`] that is not on disk yet.
enum Answer {
    Claimed(rusqlite::Result<Done<Claimed>>),
    Written(rusqlite::Result<Done<bool>>),
}

/// Writes that wait for a ledger that is away.
#[derive(Default)]
struct Late {
    writes: Vec<Work>,
    /// When they are tried again, and how long the pause before that is.
    again: Option<(Instant, Duration)>,
}

impl Late {
    fn pause(&mut self) {
        let pause = self
            .again
            .map_or(PAUSES.0, |(_, pause)| (pause * 2).min(PAUSES.1));
        self.again = Some((Instant::now() + pause, pause));
    }
}

/// Does what it is asked for until nobody can ask any more.
pub(super) fn run(mut core: Core, jobs: &Receiver<Job>) {
    let mut late = Late::default();
    loop {
        let wait = late
            .again
            .map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let first = match wait {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => jobs.recv_timeout(wait),
        };
        let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
        let (mut work, mut reads) = (Vec::new(), Vec::new());
        for job in first.into_iter().chain(jobs.try_iter().take(TOGETHER)) {
            match job {
                Job::Work(one) => work.push(one),
                Job::Read(read) => reads.push(read),
            }
        }
        let due = ended || late.again.is_some_and(|(at, _)| at <= Instant::now());
        if due || !work.is_empty() {
            // What waits longest comes first.
            let waiting = std::mem::take(&mut late.writes);
            work.splice(0..0, waiting);
            together(&mut core, work, &mut late);
        }
        for read in reads {
            read(&mut core);
        }
        if ended {
            return;
        }
    }
}

/// Writes all of these in one transaction, and answers those that wait.
fn together(core: &mut Core, work: Vec<Work>, late: &mut Late) {
    if work.is_empty() {
        late.again = None;
        return;
    }
    core.look_again();
    match write_all(core, &work) {
        Ok(answers) => {
            if late.again.take().is_some() {
                tracing::info!("the ledger {} can be written again", core.path.display());
            }
            let reached = answers.iter().filter_map(|answer| match answer {
                Answer::Claimed(done) => done.as_ref().ok()?.reached,
                Answer::Written(done) => done.as_ref().ok()?.reached,
            });
            reached.for_each(fault_point);
            for (one, answer) in work.into_iter().zip(answers) {
                // Whoever no longer waits needs no answer.
                match (one, answer) {
                    (Work::Claim(_, to), Answer::Claimed(answer)) => {
                        let answer = answer.map(|done| done.answer);
                        let _ = to.send(answer.map_err(|error| failed(&core.path, &error)));
                    }
                    (Work::Write(_, write, to), Answer::Written(answer)) => {
                        let answer = answer.map(|done| done.answer);
                        let answer = answer.map_err(|error| failed(&core.path, &error));
                        answer_write(&write, to, answer);
                    }
                    // Answers come in the order of what they answer.
                    _ => {}
                }
            }
        }
        Err(error) => {
            let away = is_away(&error);
            for one in work {
                match one {
                    Work::Claim(_, to) => {
                        let _ = to.send(Err(failed(&core.path, &error)));
                    }
                    Work::Write(claim, write, to) if away => {
                        // Nobody has to wait for it: the session's file says it, too.
                        if let Some(to) = to {
                            let _ = to.send(Err(failed(&core.path, &error)));
                        }
                        late.writes.push(Work::Write(claim, write, None));
                    }
                    Work::Write(_, write, to) => {
                        let error = failed(&core.path, &error);
                        answer_write(&write, to, Err(error));
                    }
                }
            }
            if late.writes.is_empty() {
                late.again = None;
                return;
            }
            if late.again.is_none() {
                let path = core.path.display();
                tracing::warn!("the ledger {path} can't be written, and is tried again: {error}");
            }
            late.pause();
        }
    }
}

/// Answers a write, or logs its error where nobody waits for the answer any more.
fn answer_write(write: &Write, to: Option<oneshot::Sender<Result<bool>>>, answer: Result<bool>) {
    match (to, answer) {
        (Some(to), answer) => {
            let _ = to.send(answer);
        }
        (None, Err(error)) => tracing::warn!("{write:?} is not written: {error}"),
        // Another owner's by now, or written.
        (None, Ok(_)) => {}
    }
}

/// Does all of these in one transaction. One that fails by itself changes nothing, and no other; the
/// error of one that the ledger as a whole failed is everybody's.
fn write_all(core: &mut Core, work: &[Work]) -> rusqlite::Result<Vec<Answer>> {
    core.connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = write_each(core, work).and_then(|answers| {
        core.connection.execute_batch("COMMIT")?;
        Ok(answers)
    });
    if done.is_err() {
        roll_back(&core.connection);
    }
    done
}

fn write_each(core: &mut Core, work: &[Work]) -> rusqlite::Result<Vec<Answer>> {
    let mut answers = Vec::with_capacity(work.len());
    for one in work {
        core.connection.execute_batch("SAVEPOINT one")?;
        let answer = match one {
            Work::Claim(request, _) => Answer::Claimed(core.claim(request)),
            Work::Write(claim, write, _) => Answer::Written(core.write(*claim, write)),
        };
        let answer = match answer {
            Answer::Claimed(Err(error)) | Answer::Written(Err(error)) if is_everybodys(&error) => {
                return Err(error);
            }
            answer => answer,
        };
        let failed = match &answer {
            Answer::Claimed(done) => done.is_err(),
            Answer::Written(done) => done.is_err(),
        };
        core.connection.execute_batch(if failed {
            "ROLLBACK TO one; RELEASE one"
        } else {
            "RELEASE one"
        })?;
        answers.push(answer);
    }
    Ok(answers)
}

/// Whether the ledger is away for a while: locked, on a full or broken disk, read-only.
fn is_away(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied,
        ReadOnly, SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            DatabaseBusy
                | DatabaseLocked
                | DiskFull
                | ReadOnly
                | SystemIoFailure
                | CannotOpen
                | PermissionDenied
                | OutOfMemory
        )
    )
}

/// Whether an error is not of one write alone.
fn is_everybodys(error: &rusqlite::Error) -> bool {
    let damaged = error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt);
    damaged || is_away(error)
}

/// An error of SQLite in words. Where it shows damage, the next start looks for that.
pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> Error {
    if error.sqlite_extended_error_code() == Some(ffi::SQLITE_READONLY_DBMOVED) {
        let path = path.display();
        let words = format!("the ledger {path} was removed or replaced while it was open");
        return Error::new(Kind::Ledger, words);
    }
    let words = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            schema::suspect(path);
            let words = format!("the ledger {} is damaged: {error}", path.display());
            return Error::new(Kind::Ledger, words);
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "is locked by another program",
        Some(ErrorCode::ReadOnly) => "is read-only",
        Some(ErrorCode::DiskFull) => "can't be written: its disk is full",
        _ => {
            let path = path.display();
            let words = format!("the ledger {path} can't be read or written: {error}");
            return Error::new(Kind::Storage, words);
        }
    };
    Error::new(
        Kind::Storage,
        format!("the ledger {} {words}", path.display()),
    )
}
