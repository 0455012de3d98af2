//! What is kept of the uploads: read from a session's file, where it is one that can be, and written to
//! the next one.

use std::{
    io::{self, Write},
    path::Path,
};

use super::Queue;
use crate::{
    destination::Ticket,
    engine::{
        protocol::{State, UploadId},
        record::{Begun, Phase, Upload},
    },
    ids::{AccountId, MOST_UPLOADS, MediaId},
    plan::{PartNumber, PartPlan},
    session::{
        Change, Header, Kept, Orphan, Progress,
        folder::{self, Open},
        record::{
            BadTable, FORMAT, Record, within, write_change, write_header, write_orphan,
            write_upload,
        },
        walks::write_walk,
    },
};

impl Queue {
    /// Opens a session with its queue; of a large one that takes a while, and blocks. A session of an
    /// older format is rewritten in the newest one first, since an older program would not understand
    /// what is appended.
    ///
    /// # Errors
    /// Those of [`folder::open`], and that a session of an older format can't be rewritten; then its file
    /// is as it was.
    pub fn open(path: &Path) -> Result<(Open, Self), folder::Failed> {
        let mut queue = Self::default();
        let mut session = folder::open(path, |record| queue.restore(record))?;
        queue.restored();
        if session.header.owner.is_empty() {
            session.header.owner = folder::new_owner(&mut fastrand::Rng::new());
            session.header.format = session.header.format.min(FORMAT - 1);
        }
        if session.header.format < FORMAT {
            let Open { header, store, .. } = &mut session;
            let rewritten = store.rewrite(|out| queue.write_session(header, out));
            rewritten.map_err(|error| folder::Failed::Io {
                path: session.path.display().to_string(),
                error,
            })?;
            session.header.format = FORMAT;
        }
        Ok((session, queue))
    }

    /// Takes over what a session file says.
    ///
    /// # Errors
    /// When it says something that can't be: an id twice, a change of no upload.
    pub fn restore(&mut self, record: Record) -> Result<(), BadTable> {
        let bad = |words: String| BadTable {
            words,
            offset: None,
        };
        match record {
            Record::Settings(_) => Ok(()),
            Record::Gap => {
                self.note_gap();
                Ok(())
            }
            Record::Moved(moving) if !self.uploads.knows(moving.highest()) => Err(bad(format!(
                "there is no upload with the id {}",
                moving.highest()
            ))),
            Record::Moved(moving) => {
                self.apply_move(&moving);
                Ok(())
            }
            Record::Orphan(orphan) => {
                self.note_orphan(*orphan);
                Ok(())
            }
            Record::Walk(walk) if self.walks.get(walk.id).is_some() => {
                Err(bad(format!("there are two walks with the id {}", walk.id)))
            }
            Record::Walk(walk) => {
                self.walks.insert(walk);
                Ok(())
            }
            Record::WalkOver(id) if self.walks.get(id).is_none() => {
                Err(bad(format!("there is no walk with the id {id}")))
            }
            Record::Met(id, mount) => {
                // Of a walk that is lost nothing is known.
                self.walks.met(id, &mount);
                Ok(())
            }
            Record::WalkOver(id) if self.is_walk_incomplete(id) => Ok(()),
            Record::WalkOver(id) => {
                self.walk_over(id);
                Ok(())
            }
            Record::Upload(kept)
                if kept
                    .unread
                    .is_some_and(|walk| self.walks.get(walk).is_none()) =>
            {
                Err(bad("there is no walk with the id in `unread`".to_owned()))
            }
            Record::Upload(kept) if self.get(kept.id).is_some() => Err(bad(format!(
                "there are two uploads with the id {}",
                kept.id
            ))),
            Record::Upload(kept)
                if self.bytes().total.checked_add(kept.identity.size).is_none() =>
            {
                Err(bad(format!(
                    "the size of the upload {} can't be right",
                    kept.id
                )))
            }
            Record::Upload(kept) => {
                within("upload id", kept.id, MOST_UPLOADS)?;
                self.note_passed_over(kept.id);
                self.insert(*kept);
                Ok(())
            }
            Record::Log(id, _) if !self.uploads.knows(id) => {
                self.note_passed_over(id.saturating_add(1));
                Err(bad(format!("there is no upload with the id {id}")))
            }
            Record::Log(id, change) if !self.counts_behind_gap(id, &change) => Ok(()),
            Record::Log(id, change) => {
                self.fits(id, &change).map_err(bad)?;
                self.apply(id, &change);
                Ok(())
            }
        }
    }

    /// Whether a change from a file, which a person may have written, is one that can be.
    fn fits(&self, id: UploadId, change: &Change) -> Result<(), String> {
        let Some(upload) = self.get(id) else {
            return Ok(());
        };
        let (size, bytes) = (upload.identity.size, self.bytes().total);
        if let Phase::Unread(_) = upload.phase {
            return match change {
                Change::Failed(_) | Change::Skipped(_) | Change::Removed => Ok(()),
                _ => Err(format!("{id} is a path that could not be read, no upload")),
            };
        }
        match change {
            Change::Plan(plan) if plan.file_size() != size => Err(format!(
                "this plan is for a file of {} bytes, and the upload {id} has {size}",
                plan.file_size()
            )),
            Change::Part(number, _) => fits_plan(id, upload, Some(*number)),
            Change::Lost(numbers) => fits_plan(id, upload, numbers.last().copied()),
            Change::Fresh(identity) if bytes.checked_add(identity.size).is_none() => {
                Err(format!("the size of the upload {id} can't be right"))
            }
            _ => Ok(()),
        }
    }

    /// To be called once when everything was restored: what is acknowledged now was there before
    /// this run.
    pub fn restored(&mut self) {
        self.settle_gaps();
        self.tidy();
        self.sent = 0;
        self.already_there = self.bytes().acknowledged;
    }

    /// The newest media objects of uploads that were started at another account than this one, each with
    /// its account's id: `most` of them at the most.
    #[must_use]
    pub fn started_elsewhere(&self, account: &AccountId, most: usize) -> Vec<(AccountId, MediaId)> {
        let elsewhere = |id: &UploadId| {
            let upload = self.get(*id)?;
            let started = self.accounts.get(upload.account)?;
            let media = upload.media().filter(|_| started != account)?;
            Some((started.clone(), media.clone()))
        };
        if !self.accounts.has_other_than(account) {
            // Nearly always: no need to look at a million uploads.
            return Vec::new();
        }
        let newest_first = self.order.iter().rev();
        newest_first.filter_map(elsewhere).take(most).collect()
    }

    /// Takes over that there is an orphan, or that there is none any more.
    pub fn note_orphan(&mut self, orphan: Orphan) {
        if orphan.gone {
            self.orphans.remove(&orphan.marker);
        } else {
            self.orphans.insert(orphan.marker.clone(), orphan);
        }
    }

    /// The media objects that an account may still have and that no upload stands for.
    pub fn orphans(&self) -> impl Iterator<Item = &Orphan> {
        self.orphans.values()
    }

    /// Writes all of a session's file, in the newest format and without a log.
    ///
    /// What is to stay out of a walk is written as an upload that is removed again, behind the last walk
    /// that it is to stay out of and before the next: so the reader sees it as it happened.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write_session(&self, header: &Header, out: &mut dyn Write) -> io::Result<()> {
        let mut text = write_header(&Header {
            format: FORMAT,
            ..header.clone()
        });
        let mut flush = |text: &mut String| {
            let written = out.write_all(text.as_bytes());
            text.clear();
            written
        };
        let mut out_of = self.taken_out_by_walk().into_iter().peekable();
        let mut walks = self.walks_kept().peekable();
        while let Some(walk) = walks.next() {
            write_walk(&mut text, &walk);
            let next = walks.peek().map(|next| next.id);
            while let Some((_, id)) =
                out_of.next_if(|(until, _)| next.is_none_or(|next| *until < next))
            {
                if let Some(kept) = self.kept_of_taken_out(id) {
                    write_upload(&mut text, &kept);
                    write_change(&mut text, id, &Change::Removed);
                }
            }
            flush(&mut text)?;
        }
        for orphan in self.orphans() {
            write_orphan(&mut text, orphan);
        }
        flush(&mut text)?;
        for kept in self.kept() {
            write_upload(&mut text, &kept);
            flush(&mut text)?;
        }
        Ok(())
    }

    /// All that is kept of every upload, in order.
    pub fn kept(&self) -> impl Iterator<Item = Kept> + '_ {
        self.order.iter().filter_map(|id| self.kept_of(*id))
    }

    /// All that is kept of this upload.
    #[must_use]
    pub fn kept_of(&self, id: UploadId) -> Option<Kept> {
        let upload = self.get(id)?;
        Some(Kept {
            account: self.accounts.get(upload.account).cloned(),
            ..kept(id, upload)
        })
    }
}

/// Whether the upload's plan, where it has one, has the part with this number.
fn fits_plan(id: UploadId, upload: &Upload, part: Option<PartNumber>) -> Result<(), String> {
    let plan = upload.begun().and_then(Begun::plan);
    match (plan.map(PartPlan::count), part) {
        (Some(count), Some(part)) if part > count => Err(format!(
            "the upload {id} has no part {part}: its plan has {count} parts. Correct the number, or \
             restore the file from a copy"
        )),
        _ => Ok(()),
    }
}

fn kept(id: UploadId, upload: &Upload) -> Kept {
    let progress = match &upload.phase {
        Phase::Waiting | Phase::Unread(_) => None,
        Phase::Begun(begun) => Some(begun.progress.clone()),
        Phase::Done(media) => Some(Progress {
            ticket: Some(Ticket::of(media.clone())),
            ..Progress::default()
        }),
    };
    Kept {
        id,
        path: upload.path.to_path_buf(),
        identity: upload.identity,
        times: upload.times,
        again: upload.again,
        state: Some(upload.state())
            .filter(|state| state.settled())
            .unwrap_or(State::Queued),
        reason: upload.reason().cloned(),
        account: None,
        progress,
        unread: upload.walk(),
    }
}
