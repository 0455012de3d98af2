//! Asking what became of uploads that the destination works on: few calls, many at a time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::Actor;
use crate::{
    destination::{MediaStatus, StatusBatch, need},
    engine::{
        protocol::{Event, State, UploadId},
        record::{Step, Upload},
        retry::{Did, Tried, Verdict, judge},
        upload::Message,
    },
    error::{CallClass, Error, Kind},
    ids::MediaId,
    ledger::Write,
    session::{Change, Milestone},
};

/// How many media objects are asked about at once.
const ASKED_AT_ONCE: usize = 50;

/// How many times longer than at first the destination is left alone while there is other work.
const WHILE_BUSY: u32 = 10;

impl Actor {
    /// Uploads that were complete when the session was left are asked about again.
    pub(super) fn find_processing(&mut self) {
        let processing = |id: &UploadId| {
            self.queue
                .get(*id)
                .is_some_and(|upload| upload.state() == State::Processing)
        };
        if self.queue.counts().of(State::Processing) == 0 {
            return;
        }
        let found: Vec<_> = self
            .queue
            .order()
            .iter()
            .copied()
            .filter(processing)
            .collect();
        self.were_completed(found);
    }

    pub(super) fn process(&mut self, id: UploadId) {
        self.queue
            .with_begun(id, |begun| begun.step = Step::Processing);
        self.deactivate(id);
        self.polls.waiting.push_back(id);
        self.poll_soon();
    }

    /// Something new is to be asked about.
    fn poll_soon(&mut self) {
        let now = Instant::now();
        if self.polls.due.is_none() || !self.is_busy() {
            // The first of some, or the last of all.
            self.polls.wait = self.timing.poll_first;
            let due = now + self.poll_wait();
            self.polls.due = Some(self.polls.due.map_or(due, |before| before.min(due)));
        }
    }

    /// Asks what became of uploads the destination works on, when it is time to: of those first that
    /// have waited longest.
    pub(super) fn ask_what_became(&mut self) {
        let now = Instant::now();
        let Some(due) = self.polls.due.filter(|due| *due <= now) else {
            return;
        };
        let open = self.may_call(CallClass::Read);
        if self.polls.asking || !open || self.halted.is_some() || self.stopping.is_some() {
            return;
        }
        let first = self.polls.waiting.iter().take(ASKED_AT_ONCE);
        let ids: Vec<UploadId> = first.copied().collect();
        let media_of = |id: &UploadId| self.queue.get(*id).and_then(Upload::media).cloned();
        let media: Vec<MediaId> = ids
            .iter()
            .map(|id| media_of(id).unwrap_or_else(|| MediaId::from("")))
            .collect();
        self.polls.asking = true;
        self.polls.asked = Some(now);
        let (account, told) = (Arc::clone(&self.shared.account), self.told.0.clone());
        self.running.spawn(async move {
            let statuses = need::since(due, account.status(&media)).await;
            // Without an actor nobody wants to know.
            let _ = told.send(Message::Statuses(ids, statuses));
        });
    }

    /// Whether there is more to do than to wait for the destination.
    pub(super) fn is_busy(&mut self) -> bool {
        !self.active.is_empty() || self.next_queued().is_some()
    }

    /// How long until the destination is asked again what became of uploads. While others are under
    /// way nobody waits for the answer, and calls are better spent on those.
    pub(super) fn poll_wait(&mut self) -> Duration {
        if self.is_busy() {
            self.polls.wait.max(self.timing.poll_first * WHILE_BUSY)
        } else {
            self.polls.wait
        }
    }

    pub(super) fn became(&mut self, ids: &[UploadId], batch: StatusBatch) {
        self.polls.asking = false;
        let now = Instant::now();
        let error = batch.outcome().err().cloned();
        let learnt = batch.known().next().is_some();
        let answered = batch.answers.iter().flatten().count();
        match &error {
            Some(error) if error.is_of_host() || error.kind == Kind::Throttled => {}
            _ => {
                let api = self.shared.api();
                self.shared.gates().did_well(&api, CallClass::Read, now);
            }
        }
        self.ask_answered_last(ids, &batch);
        let (mut failed, mut others) = (Vec::new(), Vec::new());
        let before = self.polls.waiting.len();
        let answers = batch.answers.into_iter().chain(std::iter::repeat(None));
        for (id, answer) in ids.iter().zip(answers) {
            match answer {
                Some(Ok(status)) => self.media_is(*id, status),
                Some(Err(_)) => failed.push(*id),
                None => others.push(*id),
            }
        }
        let news = self.polls.waiting.len() < before;
        if learnt {
            (self.polls.failures, self.polls.failed) = (0, None);
        }
        let all_asked = error.is_some() || others.is_empty();
        // News is a reason to ask for more of it; none, and more so a failure, to wait longer.
        self.polls.wait = if news {
            (self.polls.wait / 2).max(self.timing.poll_first)
        } else {
            let longer = if error.is_some() { 4 } else { 3 };
            (self.polls.wait * longer / 2).min(self.timing.poll_most)
        };
        if let Some(error) = &error {
            let unknown = if failed.is_empty() { others } else { failed };
            self.status_failed(&unknown, error);
        }
        let mut wait = self.poll_wait();
        if !all_asked {
            // The others of this batch, after their part of the wait.
            let part = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            wait = (wait * part(answered) / part(ids.len())).max(self.timing.poll_first);
        }
        if self.is_busy() {
            // Where calls wait for their budget, at least half of the time is for what else is to do.
            let took = self.polls.asked.map(|asked| now - asked);
            wait = wait.max(took.unwrap_or_default());
        }
        self.polls.due = (!self.polls.waiting.is_empty()).then_some(now + wait);
    }

    /// Puts those for which an answer came behind all others; those without one stay in front.
    fn ask_answered_last(&mut self, ids: &[UploadId], batch: &StatusBatch) {
        let answered = |id: &UploadId| {
            let mut asked = ids.iter().zip(&batch.answers);
            asked.any(|(asked, answer)| asked == id && answer.is_some())
        };
        let waiting = &mut self.polls.waiting;
        let count = ids.len().min(waiting.len());
        let (answered, others): (Vec<_>, Vec<_>) = waiting.drain(..count).partition(answered);
        waiting.extend(answered);
        others
            .into_iter()
            .rev()
            .for_each(|id| waiting.push_front(id));
    }

    /// What follows where the destination did not tell what became of these.
    fn status_failed(&mut self, ids: &[UploadId], error: &Error) {
        let now = Instant::now();
        let failures = self.polls.failures + 1;
        let retries = self.settings.retries;
        let api = self.shared.api();
        let since = self.polls.failed.replace(now).or(self.polls.asked);
        let did = |since| self.shared.gates().did(&api, since, now);
        let tried = Tried {
            failures,
            retries,
            did: match since.filter(|_| error.is_of_host()) {
                Some(since) => did(since),
                None => Did::Well,
            },
            now,
            random: self.random.f64(),
        };
        match judge(error, tried, &self.timing.backoff) {
            Verdict::EndAll => self.halt(error.clone()),
            Verdict::WhenOpen => {
                let class = error
                    .endpoint
                    .as_ref()
                    .map_or(CallClass::Read, |it| it.class);
                match self.close_gate(&api, class, error, now) {
                    Ok(when) => {
                        tracing::warn!("what became of files can't be told: {error}; {when}");
                    }
                    Err(unreachable) => self.halt(unreachable),
                }
            }
            Verdict::Uncounted(_) => {}
            // It says nothing about any one of them: all are asked about again, for a while.
            _ if failures <= u32::from(retries) => {
                self.polls.failures = failures;
                tracing::warn!("what became of files can't be told: {error}; asked again");
            }
            _ => {
                self.polls.failures = 0;
                self.nobody_tells(ids, error);
            }
        }
        self.errors += 1;
    }

    /// The destination has these, and does not tell what became of them: for the person.
    fn nobody_tells(&mut self, ids: &[UploadId], error: &Error) {
        let error = Error {
            kind: Kind::Server,
            ..error
                .clone()
                .at("it is uploaded, but what became of it can't be told")
        };
        for id in ids {
            let processing = |upload: &Upload| upload.state() == State::Processing;
            if self.queue.get(*id).is_some_and(processing) {
                self.end_upload(*id, &error);
            }
        }
    }

    pub(super) fn media_is(&mut self, id: UploadId, status: MediaStatus) {
        let Some(upload) = self
            .queue
            .get(id)
            .filter(|u| u.state() == State::Processing)
        else {
            return;
        };
        let error = match status {
            MediaStatus::Processing(_) => return,
            MediaStatus::Ready => {
                let event = Event::Done {
                    id,
                    path: upload.path.to_path_buf(),
                    media: upload.media().cloned().unwrap_or_else(|| MediaId::from("")),
                    size: upload.identity.size,
                };
                let claim = self.claim_of(id);
                let accepted = upload.media().cloned().map(Write::Accepted);
                let now = Timestamp::now().into();
                self.keep(id, &Change::At(Milestone::Done, now));
                self.keep(id, &Change::Done);
                if let Some(accepted) = accepted {
                    self.write_ledger(id, claim, accepted);
                }
                self.deactivate(id);
                if let (None, Event::Done { media, .. }) = (&self.events, &event) {
                    tracing::info!("{} is done: {media}", self.place(id, None));
                }
                return self.happened(|| event);
            }
            MediaStatus::Failed(why) => {
                self.write_ledger(id, self.claim_of(id), Write::Failed);
                Error::new(
                    Kind::Refused,
                    format!("the destination could not use it: {why}"),
                )
            }
            MediaStatus::Gone => Error::new(
                Kind::TicketGone,
                "the media object is gone from the destination",
            ),
        };
        self.end_upload(id, &error);
    }
}
