//! The media object of an upload: created once, found again after a lost answer, removed for a fresh
//! start or because its upload is gone.

use std::path::Path;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Claimed, End, Task, Told, file::read_identity};
use crate::{
    destination::{Account, Lookup, NewMedia, Ticket, need},
    engine::{
        record::{RunChange, Step},
        retry::Way,
    },
    error::{Error, Kind, Result},
    fault_point::fault_point,
    format, metadata,
    session::{Change, Milestone, Orphan},
};

/// How many letters and digits a marker has: enough that none is ever made twice.
const MARKER_LENGTH: usize = 26;

/// What markers are made of: safe in every URL and query.
const MARKER_LETTERS: &[char] = &[
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j',
    'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
];

/// A marker that no other upload has.
#[must_use]
pub fn new_marker(random: &mut fastrand::Rng) -> String {
    (0..MARKER_LENGTH)
        .map(|_| random.choice(MARKER_LETTERS).unwrap_or(&'0'))
        .collect()
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
        let (mut failures, since) = (0, Instant::now());
        // The plan is saved right before a create and forgotten when that certainly made nothing.
        let mut may_exist = self.record.plan().is_some();
        loop {
            let permit = self.permit().await?;
            if self.record.plan().is_none() {
                self.claim_new().await?;
            }
            fault_point("marker-saved");
            let created = need::since(since, self.find_or_create(may_exist)).await;
            drop(permit);
            match created {
                Ok((ticket, created)) => {
                    self.came_through(Way::Calls);
                    self.save_ticket(ticket).await?;
                    if created == Created::Now {
                        self.note(RunChange::Created);
                    }
                    return Ok(created);
                }
                Err(error) => {
                    // An error of the server's own may have come after the media object was created;
                    // that it asks to wait as well says nothing about that.
                    let failed = error.status.is_some_and(|status| status >= 500);
                    may_exist |= failed || matches!(error.kind, Kind::Broken | Kind::Server);
                    if !may_exist {
                        // Starts it anew without a plan: so the record says that nothing was created.
                        let marker = self.record.progress.marker.clone();
                        self.keep(vec![self.begun_under(marker)]);
                    }
                    if self.is_removed() {
                        self.orphaned(None, !may_exist);
                    }
                    self.retry(&mut failures, error).await?;
                }
            }
        }
    }

    /// Claims the file for an upload of which nothing was created, and has marker and plan saved:
    /// before the create, so that it can be found again whatever happens.
    async fn claim_new(&mut self) -> Result<(), End> {
        let marker = self.record.progress.marker.clone();
        let changes = vec![
            self.begun_under(marker),
            Change::At(Milestone::Begun, Timestamp::now().into()),
            Change::Plan(self.plan()?),
        ];
        match self.claim(self.identity, changes).await? {
            Claimed::Granted => Ok(()),
            Claimed::Duplicate(reason) => Err(End::Duplicate(reason)),
        }
    }

    /// Creates the media object; with `may_exist`, looks first for what a create with this marker may
    /// have made. Returns its ticket, and when it was created.
    async fn find_or_create(&self, may_exist: bool) -> Result<(Ticket, Created)> {
        let (account, media) = (&*self.shared.account, self.new_media());
        if may_exist && let Some(ticket) = find_or_discard(account, &media).await? {
            return Ok((ticket, Created::Before));
        }
        let ticket = account.create(&media).await?;
        fault_point("created");
        Ok((ticket, Created::Now))
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
        Ok(())
    }

    /// Deletes what was created for an upload that was removed, as often as it takes. Until then, and
    /// where the account refuses that, it is recorded as an orphan.
    async fn discard(&mut self, ticket: &Ticket) {
        self.orphaned(Some(ticket), false);
        // That it is to end is known by now, and this is all that is left to be done.
        self.stop = None;
        let deleted = self.delete(ticket).await;
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
        let (mut failures, since) = (0, Instant::now());
        loop {
            let permit = self.permit().await?;
            let deleted = need::since(since, self.shared.account.delete(ticket)).await;
            drop(permit);
            match deleted {
                Ok(()) => {
                    self.came_through(Way::Calls);
                    return Ok(());
                }
                Err(error) => self.retry(&mut failures, error).await?,
            }
        }
    }

    /// Says what became of the object that may be left of this upload, which was removed.
    fn orphaned(&self, ticket: Option<&Ticket>, gone: bool) {
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
        let at = |error: Error| error.at("it could not be started over");
        let (mut failures, since) = (0, Instant::now());
        // After a crash, the record has to say that the object was to be deleted.
        self.flush().await?;
        loop {
            let permit = self.permit().await?;
            let removed = need::since(since, self.remove_object()).await;
            drop(permit);
            match removed {
                Ok(()) => break,
                Err(error) => self.retry(&mut failures, at(error)).await?,
            }
        }
        self.came_through(Way::Calls);
        if self.is_removed() {
            self.orphaned(None, true);
        }
        let file = read_identity(self.path.clone()).await;
        let file = file.map_err(|error| End::Failed(at(error)))?;
        let marker = new_marker(&mut self.random);
        self.keep(vec![Change::Fresh(file), self.begun_under(marker)]);
        self.step(Step::Creating);
        Ok(())
    }

    /// Deletes the media object of this upload, also one that an earlier create may have made.
    async fn remove_object(&self) -> Result<()> {
        // The object of a file that can't be read is not deleted: there may be nothing to send again.
        read_identity(self.path.clone()).await?;
        let account = &*self.shared.account;
        let ticket = match &self.record.progress.ticket {
            Some(ticket) => Some(ticket.clone()),
            None => find_or_discard(account, &self.new_media()).await?,
        };
        match ticket {
            Some(ticket) => account.delete(&ticket).await,
            None => Ok(()),
        }
    }
}

/// Looks for what an earlier create made. What can't be resumed is deleted.
async fn find_or_discard(account: &dyn Account, media: &NewMedia) -> Result<Option<Ticket>> {
    match account.find_created(media).await? {
        Lookup::Found(ticket) => Ok(Some(ticket)),
        Lookup::Lost(tickets) => {
            for ticket in &tickets {
                account.delete(ticket).await?;
            }
            Ok(None)
        }
        Lookup::Absent => Ok(None),
        Lookup::CannotTell {
            orphan_expires: Some(after),
        } => {
            let words =
                "a media object may have been created for it before, which can't be found out";
            tracing::warn!(
                "{}: {words}; it expires by itself after {}",
                media.file_name,
                format::duration(after.as_secs())
            );
            Ok(None)
        }
        Lookup::CannotTell {
            orphan_expires: None,
        } => {
            let words = "a media object may have been created for this file before, and the \
                         destination has no way to find out";
            Err(Error::new(Kind::Refused, words))
        }
    }
}
