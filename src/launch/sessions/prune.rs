//! `reelhaul sessions prune`: removes finished sessions that were not changed for a while.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::json;

use super::{
    folder, glance, name_of, process,
    remove::{Cleaner, Locking, Stays, changed},
};
use crate::{
    cli,
    config::Config,
    format,
    launch::{DONE, LEFT, Stopped, told::print},
    session::lock,
};

/// Removes them, a line for each, and tells what stays. An unfinished or running one is never removed.
pub(in crate::launch) fn prune(config: &Config, asked: &cli::Prune) -> Result<u8, Stopped> {
    let cleaner = Cleaner::new(config)?;
    let mut counts = Counts::default();
    let mut code = DONE;
    for path in folder()?.list().iter().rev() {
        let name = name_of(path);
        let outcome = one(&cleaner, path, *asked.older);
        if let Err(Stays::Failed(_)) = outcome {
            code = LEFT;
        }
        counts.add(&outcome);
        match outcome {
            _ if asked.json => print(&line(&name, &outcome)),
            Ok(removed) => print(&removed.words),
            Err(Stays::Recent | Stays::Running(_) | Stays::Unfinished) => {}
            Err(stays) => print(&stays.words(&name)),
        }
    }
    if !asked.json {
        print(&counts.words());
    }
    Ok(code)
}

/// What is told of a session that was removed.
struct Removed {
    words: String,
    files: usize,
    finished: Option<jiff::Timestamp>,
}

impl Removed {
    fn of(session: &Locking) -> Self {
        Self {
            words: session.words(),
            files: session.files(),
            finished: session.changed(),
        }
    }
}

/// Removes this session, where it is one to be removed.
fn one(cleaner: &Cleaner, path: &Path, older: Duration) -> Result<Removed, Stays> {
    let old_enough = |path: &Path| -> Result<(), Stays> {
        // One from the future is not old.
        let age = SystemTime::now().duration_since(changed(path)?);
        let is_old = age.is_ok_and(|age| age >= older);
        if is_old { Ok(()) } else { Err(Stays::Recent) }
    };
    old_enough(path)?;
    if let Some(holder) = lock::holder(path) {
        return Err(Stays::Running(process(&holder).to_owned()));
    }
    // One that stays is not locked for it: a person may want to resume it at this moment.
    let (opened, queue) = glance(path).map_err(|stopped| Stays::Failed(stopped.words))?;
    if !opened.damage.is_empty() {
        return Err(Stays::Damaged);
    }
    if queue.left() > 0 {
        return Err(Stays::Unfinished);
    }
    match queue.orphans().count() {
        0 => {}
        orphans => return Err(Stays::Orphans(orphans)),
    }
    let session = cleaner.lock(path)?;
    // It may have been resumed since.
    if !session.is_finished() {
        return Err(Stays::Unfinished);
    }
    old_enough(path)?;
    let removed = Removed::of(&session);
    cleaner.remove(session)?;
    Ok(removed)
}

/// What became of a session, for programs.
fn line(name: &str, outcome: &Result<Removed, Stays>) -> String {
    let line = match outcome {
        Ok(removed) => json!({
            "session": name,
            "removed": true,
            "files": removed.files,
            "finished": removed.finished,
        }),
        Err(stays @ (Stays::Recent | Stays::Running(_) | Stays::Unfinished)) => {
            json!({ "session": name, "removed": false, "reason": stays.word() })
        }
        Err(stays) => json!({
            "session": name,
            "removed": false,
            "reason": stays.word(),
            "message": stays.words(name),
        }),
    };
    line.to_string()
}

/// How many sessions were removed, and how many stay for which reason.
#[derive(Debug, Default)]
struct Counts {
    removed: usize,
    running: usize,
    unfinished: usize,
    recent: usize,
    others: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Result<Removed, Stays>) {
        let count = match outcome {
            Ok(_) => &mut self.removed,
            Err(Stays::Running(_)) => &mut self.running,
            Err(Stays::Unfinished) => &mut self.unfinished,
            Err(Stays::Recent) => &mut self.recent,
            Err(_) => &mut self.others,
        };
        *count += 1;
    }

    fn words(&self) -> String {
        let removed = match self.removed {
            0 => "no session removed".to_owned(),
            removed => format!("{} removed", format::count(removed, "session")),
        };
        let reasons = [
            (self.running, "running"),
            (self.unfinished, "unfinished"),
            (self.recent, "changed not long ago"),
            (self.others, "for the reason above"),
        ];
        let stay: usize = reasons.iter().map(|(count, _)| count).sum();
        if stay == 0 {
            return removed;
        }
        let there = reasons.iter().filter(|(count, _)| *count > 0);
        let reasons: Vec<String> = there
            .map(|(count, why)| format!("{} {why}", format::thousands(*count)))
            .collect();
        let verb = if stay == 1 { "stays" } else { "stay" };
        format!(
            "{removed}; {} {verb}: {}",
            format::thousands(stay),
            reasons.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_counted_by_its_reason() {
        let mut counts = Counts::default();
        assert_eq!(counts.words(), "no session removed");
        counts.add(&Err(Stays::Unfinished));
        let words = "no session removed; 1 stays: 1 unfinished";
        assert_eq!(counts.words(), words);
        for _ in 0..2 {
            counts.add(&Ok(Removed {
                words: String::new(),
                files: 1,
                finished: None,
            }));
        }
        counts.add(&Err(Stays::Running("process 1".to_owned())));
        counts.add(&Err(Stays::Recent));
        counts.add(&Err(Stays::NotInLedger(1)));
        assert_eq!(
            counts.words(),
            "2 sessions removed; 4 stay: 1 running, 1 unfinished, 1 changed not long ago, 1 for the \
             reason above"
        );
    }
}
