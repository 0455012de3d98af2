//! Files that the account forbids one after another, all alike: then it is not the files that are at
//! fault, but an account that is suspended or full, or a key that may only read. Pure.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::protocol::UploadId;
use crate::error::{CallClass, Error};

/// How many different files may be forbidden alike, with none accepted between, before nothing more is
/// started.
const ALIKE: usize = 3;

/// How long until another file is tried then.
const PROBE: Duration = Duration::from_mins(10);

/// What was forbidden since something was accepted.
#[derive(Debug, Default)]
pub struct Refusals {
    row: Option<Row>,
}

/// Files that were forbidden alike.
#[derive(Debug)]
struct Row {
    error: Error,
    files: Vec<UploadId>,
    since: Instant,
    clock: Timestamp,
    /// When the next file is tried, where nothing is started meanwhile.
    until: Option<Instant>,
    /// The file that is tried now.
    probe: Option<UploadId>,
}

/// What is known of an account that forbids every file.
#[derive(Debug, Clone, Copy)]
pub struct Forbids<'a> {
    /// What it says.
    pub error: &'a Error,
    /// How many files it forbade.
    pub files: usize,
    /// Since when.
    pub since: Timestamp,
    /// When the next file is tried.
    pub until: Instant,
}

impl Refusals {
    /// The account forbids this upload. Returns for how long it has forbidden every one, where nothing
    /// more is to be started.
    pub fn add(
        &mut self,
        id: UploadId,
        error: &Error,
        now: Instant,
        clock: Timestamp,
    ) -> Option<Duration> {
        let alike = |row: &Row| row.error.message == error.message;
        if !self.row.as_ref().is_some_and(alike) {
            self.row = Some(Row {
                error: error.clone(),
                files: Vec::new(),
                since: now,
                clock,
                until: None,
                probe: None,
            });
        }
        let row = self.row.as_mut()?;
        if !row.files.contains(&id) {
            row.files.push(id);
        }
        if row.files.len() < ALIKE {
            return None;
        }
        row.until.get_or_insert(now + PROBE);
        Some(now - row.since)
    }

    /// The account accepted something of this class. Returns the files that it forbade before nothing
    /// more was started: they may have been as good as this one.
    pub fn accepted(&mut self, class: CallClass) -> Vec<UploadId> {
        let was_part = |row: &Row| is_part(row) == (class == CallClass::Part);
        let row = self.row.take_if(|row| was_part(row));
        row.filter(|row| row.until.is_some())
            .map_or_else(Vec::new, |row| row.files)
    }

    /// Forgets them: the person wants a try now.
    pub fn clear(&mut self) {
        self.row = None;
    }

    /// Whether this upload may be started.
    #[must_use]
    pub fn may_start(&self, id: UploadId) -> bool {
        let row = self.row.as_ref();
        row.is_none_or(|row| row.until.is_none() || row.probe == Some(id))
    }

    /// Whether nothing is started but a probe.
    #[must_use]
    pub fn forbids(&self) -> Option<Forbids<'_>> {
        let row = self.row.as_ref()?;
        Some(Forbids {
            error: &row.error,
            files: row.files.len(),
            since: row.clock,
            until: row.until?,
        })
    }

    /// Whether it is time to try one file.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.forbids().is_some_and(|forbids| forbids.until <= now)
    }

    /// This file is tried now.
    pub fn probe(&mut self, id: UploadId, now: Instant) {
        if let Some(row) = &mut self.row {
            (row.probe, row.until) = (Some(id), Some(now + PROBE));
        }
    }
}

fn is_part(row: &Row) -> bool {
    let endpoint = row.error.endpoint.as_ref();
    endpoint.is_some_and(|endpoint| endpoint.class == CallClass::Part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Endpoint, Kind};

    fn forbidden(words: &str, class: CallClass) -> Error {
        Error::new(Kind::Forbidden, words).from_endpoint(Endpoint {
            host: "api".into(),
            class,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_third_different_file_that_is_forbidden_alike_is_the_last_that_is_started() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        let full = forbidden("the plan is full", CallClass::Write);
        let mut add = |id, error: &Error| {
            let stops = refusals.add(id, error, now, Timestamp::UNIX_EPOCH);
            (stops.is_some(), refusals.may_start(9))
        };
        // One file that is forbidden often, and others that are for another reason, stop nothing.
        assert_eq!(add(1, &full), (false, true));
        assert_eq!(add(1, &full), (false, true));
        assert_eq!(add(2, &full), (false, true));
        let other = forbidden("no audio", CallClass::Write);
        assert_eq!(add(3, &other), (false, true));
        for id in [4, 5] {
            assert_eq!(add(id, &full), (false, true));
        }
        assert_eq!(add(6, &full), (true, false));
        assert_eq!(refusals.forbids().unwrap().files, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_file_is_tried_each_ten_minutes_until_one_is_accepted() {
        let mut refusals = Refusals::default();
        let mut now = Instant::now();
        let full = forbidden("the plan is full", CallClass::Write);
        for id in 1..=3 {
            refusals.add(id, &full, now, Timestamp::UNIX_EPOCH);
        }
        for id in 4..7 {
            assert!(!refusals.is_due(now));
            now += PROBE;
            assert!(refusals.is_due(now));
            refusals.probe(id, now);
            assert!(refusals.may_start(id) && !refusals.may_start(9));
            assert!(!refusals.is_due(now));
            let silent = refusals.add(id, &full, now, Timestamp::UNIX_EPOCH);
            assert_eq!(silent, Some(PROBE * (id - 3)));
        }
        // That parts of others arrive says nothing of it.
        assert!(refusals.accepted(CallClass::Part).is_empty());
        assert!(!refusals.may_start(9));
        assert_eq!(refusals.accepted(CallClass::Write), [1, 2, 3, 4, 5, 6]);
        assert!(refusals.may_start(9));
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_were_forbidden_while_others_were_accepted_are_not_tried_again() {
        let mut refusals = Refusals::default();
        let part = forbidden("no", CallClass::Part);
        for id in 1..=2 {
            refusals.add(id, &part, Instant::now(), Timestamp::UNIX_EPOCH);
        }
        assert!(refusals.accepted(CallClass::Part).is_empty());
        let now = Instant::now();
        assert_eq!(refusals.add(3, &part, now, Timestamp::UNIX_EPOCH), None);
    }
}
