//! The media object of an upload: created once, found again after a lost answer, removed for a fresh
//! start or because its upload is gone.

use std::path::Path;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{End, StepWait, Task, Told, Tries, file::read_identity};
use crate::{
    destination::{Account, Lookup, NewMedia, Ticket, need},
    engine::record::{RunChange, Step},
    error::{CallClass, Error, Kind, Result},
    fault_point::fault_point,
    format,
    ledger::Write,
    metadata,
    session::{Change, Orphan},
};

/// How many random letters and digits a marker has: enough that none is ever made twice.
const MARKER_LENGTH: usize = 16;

/// What markers are made of: safe in every URL and query.
const MARKER_LETTERS: &[char] = &[
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j',
    'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
];

/// A marker that no other upload has: `rh`, the id of the ledger, and what is its own.
#[must_use]
pub fn new_marker(ledger: &str, random: &mut fastrand::Rng) -> String {
    let own = (0..MARKER_LENGTH).map(|_| *random.choice(MARKER_LETTERS).unwrap_or(&'0'));
    [
        "rh".chars().chain(ledger.chars()).collect(),
        own.collect::<String>(),
    ]
    .concat()
}

/// What an account is told of a file when its media object is created.
#[must_use]
pub fn describe(path: &Path, size: u64, marker: String, parts: u32) -> NewMedia {
    NewMedia {
        marker,
        title: metadata::title(path),
        file_name: metadata::file_name(path),
        mime: metadata::mime(path)
            .unwrap_or("application/octet-stream")
            .to_owned(),
        size,
        parts,
    }
}

/// When the media object of an upload was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    /// Just now: the account has nothing else of it.
    Now,
    /// Earlier: the account may have parts of it.
    Before,
    /// Earlier, and what that returned is lost: it is deleted, and the upload starts over.
    Lost,
}

/// What came of a try to create a media object.
enum Tried {
    /// There is one.
    Ticket(Ticket, Created),
    /// There is one that can't be resumed.
    Lost,
    /// There is none now that an earlier try may have made.
    Absent,
}

impl Task {
    fn new_media(&self) -> NewMedia {
        let marker = self.record.progress.marker.clone();
        describe(&self.path, self.identity.size, marker, self.record.count())
    }

    /// Creates the media object, unless there is one; one that an earlier create may have made is
    /// looked for first.
    ///
    /// # Errors
    /// How the upload ended instead.
    pub(super) async fn create(&mut self) -> Result<Created, End> {
        if self.record.progress.ticket.is_some() {
            return Ok(Created::Before);
        }
        self.step(Step::Creating);
        let (mut tries, since) = (Tries::begin(), Instant::now());
        // A claim that was granted just now was saved right before this.
        let mut may_exist = !self.is_fresh;
        let mut believed_at = None;
        loop {
            if self.record.plan().is_none() {
                let plan = self.plan()?;
                self.keep_plan(plan).await?;
            }
            let permit = self.permit(CallClass::Write).await?;
            let found = need::since(since, self.find_or_create(may_exist, believed_at)).await;
            drop(permit);
            match found {
                Ok(Tried::Ticket(ticket, created)) => {
                    self.came_through(CallClass::Write);
                    self.save_ticket(ticket).await?;
                    if created == Created::Now {
                        self.note(RunChange::Created);
                    }
                    return Ok(created);
                }
                Ok(Tried::Lost) => {
                    self.came_through(CallClass::Write);
                    self.keep(vec![Change::Clearing]);
                    self.start_over().await?;
                    return Ok(Created::Lost);
                }
                Ok(Tried::Absent) => {
                    self.came_through(CallClass::Write);
                    let at = Instant::now() + self.shared.timing.settle;
                    let words = "waiting whether an earlier create made a media object after all";
                    let error = Error::new(Kind::Server, words);
                    self.wait(StepWait { until: at, error }).await?;
                    believed_at = Some(at);
                }
                Err(error) => {
                    // An error of the server's own may have come after the media object was created;
                    // that it asks to wait as well says nothing about that.
                    let failed = error.status.is_some_and(|status| status >= 500);
                    let is_unclear = failed || matches!(error.kind, Kind::Broken | Kind::Server);
                    if is_unclear {
                        (may_exist, believed_at) = (true, None);
                    }
                    if !may_exist {
                        // Starts it anew without a plan: so the record says that nothing was created.
                        let progress = &self.record.progress;
                        let claim = progress.claim.map(Change::Claimed);
                        let begun = self.begun_under(progress.marker.clone());
                        self.keep([begun].into_iter().chain(claim).collect());
                    }
                    if self.is_removed() {
                        self.orphaned(None, !may_exist);
                    }
                    self.retry(&mut tries, error).await?;
                }
            }
        }
    }

    /// Creates the media object; with `may_exist`, looks first for what a create with this marker may
    /// have made. That there is none is believed from `believed_at` on: lists lag, and a create may still
    /// be on its way.
    async fn find_or_create(&self, may_exist: bool, believed_at: Option<Instant>) -> Result<Tried> {
        let (account, media) = (&*self.shared.account, self.new_media());
        if may_exist {
            match find(account, &media).await? {
                Some(Lookup::Found(ticket)) => return Ok(Tried::Ticket(ticket, Created::Before)),
                Some(Lookup::Lost(_)) => return Ok(Tried::Lost),
                Some(_) if believed_at.is_none_or(|at| Instant::now() < at) => {
                    return Ok(Tried::Absent);
                }
                _ => {}
            }
        }
        let ticket = account.create(&media).await?;
        fault_point("created");
        Ok(Tried::Ticket(ticket, Created::Now))
    }

    /// Saves the ticket that the account returned, also of an upload that was paused meanwhile. What was
    /// created for an upload that was removed meanwhile is deleted.
    async fn save_ticket(&mut self, ticket: Ticket) -> Result<(), End> {
        let saved = if self.is_removed() {
            Err(End::Stopped)
        } else {
            self.keep_durably(vec![Change::Ticket(ticket.clone())])
                .await
        };
        if saved.is_err() && self.is_removed() {
            self.discard(&ticket).await;
        }
        saved?;
        fault_point("ticket-saved");
        self.write_ledger(Write::Ticket(ticket)).await
    }

    /// Deletes what was created for an upload that was removed, as often as it takes. Until then, and
    /// where the account refuses that, it is recorded as an orphan.
    async fn discard(&mut self, ticket: &Ticket) {
        self.orphaned(Some(ticket), false);
        // Nobody may continue what is about to be deleted.
        if !self.discard_row().await.unwrap_or(false) {
            return;
        }
        // That it is to end is known by now, and this is all that is left to be done.
        let stop = self.stop.take();
        let deleted = self.delete(ticket).await;
        self.stop = stop;
        let name = self.name();
        let media = ticket.media.as_ref().map_or("", |media| media.as_str());
        match deleted {
            Ok(()) => {
                tracing::info!(
                    "{name} was removed while {media} was being created for it; {media} is deleted"
                );
                self.orphaned(Some(ticket), true);
            }
            Err(End::Failed(error)) => tracing::warn!(
                "{name} was removed while {media} was being created for it, and {media} can't be \
                 deleted: {error}; the session file lists it as an orphan"
            ),
            // The run ends before.
            Err(_) => tracing::warn!(
                "{name} was removed while {media} was being created for it, and {media} is not \
                 deleted yet; the session file lists it as an orphan"
            ),
        }
    }

    async fn delete(&mut self, ticket: &Ticket) -> Result<(), End> {
        let (mut tries, since) = (Tries::begin(), Instant::now());
        loop {
            let permit = self.permit(CallClass::Write).await?;
            let deleted = need::since(since, self.shared.account.delete(ticket)).await;
            drop(permit);
            match deleted {
                Ok(()) => {
                    self.came_through(CallClass::Write);
                    return Ok(());
                }
                Err(error) => self.retry(&mut tries, error).await?,
            }
        }
    }

    /// Says what became of the object that may be left of this upload, which was removed.
    pub(super) fn orphaned(&self, ticket: Option<&Ticket>, gone: bool) {
        self.tell(Told::Orphaned(Orphan {
            marker: self.record.progress.marker.clone(),
            account: Some(self.shared.account.id().clone()),
            media: ticket.and_then(|ticket| ticket.media.clone()),
            path: self.path.clone(),
            at: Timestamp::now().into(),
            gone,
        }));
    }

    /// Removes what was created of this upload, so that it starts from the file as it is now.
    ///
    /// # Errors
    /// How the upload ended instead.
    pub(super) async fn start_over(&mut self) -> Result<(), End> {
        self.step(Step::Creating);
        // After a crash, the record has to say that the object was to be deleted.
        self.flush().await?;
        fault_point("clearing-saved");
        // Nobody may continue what is about to be deleted. Where somebody does, nothing is deleted.
        if self.discard_row().await? {
            self.delete_object().await?;
            if self.is_removed() {
                self.orphaned(None, true);
            }
        }
        let file = read_identity(self.path.clone()).await;
        let file = file.map_err(|error| End::Failed(not_started_over(error)))?;
        self.renew(file);
        Ok(())
    }

    /// Deletes the media object of this upload, as often as that has to be tried.
    async fn delete_object(&mut self) -> Result<(), End> {
        let (mut tries, since) = (Tries::begin(), Instant::now());
        loop {
            let permit = self.permit(CallClass::Write).await?;
            let removed = need::since(since, self.remove_object()).await;
            drop(permit);
            match removed {
                Ok(()) => {
                    self.came_through(CallClass::Write);
                    return Ok(());
                }
                Err(error) => self.retry(&mut tries, not_started_over(error)).await?,
            }
        }
    }

    /// Deletes the media object of this upload, also one that an earlier create may have made.
    async fn remove_object(&self) -> Result<()> {
        // The object of a file that can't be read is not deleted: there may be nothing to send again.
        read_identity(self.path.clone()).await?;
        let account = &*self.shared.account;
        let tickets = match &self.record.progress.ticket {
            Some(ticket) => vec![ticket.clone()],
            None => match find(account, &self.new_media()).await? {
                Some(Lookup::Found(ticket)) => vec![ticket],
                Some(Lookup::Lost(tickets)) => tickets,
                _ => Vec::new(),
            },
        };
        for ticket in &tickets {
            account.delete(ticket).await?;
        }
        Ok(())
    }
}

fn not_started_over(error: Error) -> Error {
    error.at("it could not be started over")
}

/// Looks for what an earlier create made; `None` where that can't be found out and expires by itself.
async fn find(account: &dyn Account, media: &NewMedia) -> Result<Option<Lookup>> {
    let found = account.find_created(media).await?;
    let Lookup::CannotTell { orphan_expires } = found else {
        return Ok(Some(found));
    };
    let Some(after) = orphan_expires else {
        let words = "a media object may have been created for this file before, and the \
                     destination has no way to find out";
        return Err(Error::new(Kind::Refused, words));
    };
    let words = "a media object may have been created for it before, which can't be found out";
    tracing::warn!(
        "{}: {words}; it expires by itself after {}",
        media.file_name,
        format::duration(after.as_secs())
    );
    Ok(None)
}
