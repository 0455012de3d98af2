//! What claims and writes do to the rows, each within a transaction that its caller began.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::{
    Options, machine,
    schema::{self, OpenFailed},
    values::{self, Bytes, Time, mark, of_plan, signed, split, unsigned},
};
use crate::{
    destination::Ticket,
    identity::FileStat,
    ids::{AccountId, Claim, Epoch, MediaId, ObjectId},
    ledger::{
        Claimed, Compare, Digest, Evidence, File, ObjectState, Request, TakenOver, Uploaded, Uses,
        Wait, Write,
        identity::{self, Candidate, Decision, Holder, Name, Shifts, decide},
        owner,
        samples::Samples,
        seal,
    },
    plan::PartPlan,
};

/// The ledger as its one thread has it.
pub(super) struct Core {
    pub(super) connection: Connection,
    /// The file, for messages.
    pub(super) path: PathBuf,
    /// The ledger's id.
    pub(super) id: String,
    /// Where the locks of owners are.
    owners: PathBuf,
    /// What this session is known by as an owner, and its file.
    owner_key: String,
    pub(super) session: PathBuf,
    /// Whether the ledger did not know this session before.
    is_new: bool,
    /// The number of the owner, and of the account.
    owner: i64,
    pub(super) account: i64,
    pub(super) ticket_key: Option<[u8; seal::KEY]>,
    now: fn() -> i64,
    pub(super) uses: Uses,
    shifts: Shifts,
    /// The files of what uploads of this session were granted.
    granted: HashMap<ObjectId, Name>,
    /// Which owners were seen alive or dead in the transaction that is open.
    seen: HashMap<String, bool>,
    /// Of which owners it was said that this can't be told.
    said: HashSet<String>,
}

/// A row of `started`.
pub(super) struct Started {
    object: ObjectId,
    state: ObjectState,
    /// None where it was imported, and nobody has looked at its file since.
    samples: Option<Samples>,
    marker: String,
    plan: PartPlan,
    media: Option<MediaId>,
    digest: Option<Digest>,
    ticket: Option<Vec<u8>>,
    epoch: Epoch,
    owner: Option<Held>,
}

/// Who has a row.
pub(super) struct Held {
    key: String,
    session: String,
    file: PathBuf,
}

impl Started {
    const COLUMNS: &str = "s.id, s.state, s.samples, s.marker, s.size, s.plan, s.media, s.digest, \
         s.ticket, s.epoch, o.key, o.session, o.file FROM started s LEFT JOIN owner o ON o.id = s.owner";

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let size = unsigned(row.get(4)?);
        let owner = match row.get(10)? {
            None => None,
            Some(key) => Some(Held {
                key,
                session: row.get(11)?,
                file: values::path(row.get(12)?),
            }),
        };
        Ok(Self {
            object: row.get(0)?,
            state: row.get(1)?,
            samples: row.get(2)?,
            marker: row.get(3)?,
            plan: values::plan(row.get_ref(5)?, size)?,
            media: media(row, 6)?,
            digest: row.get(7)?,
            ticket: row.get(8)?,
            epoch: row.get(9)?,
            owner,
        })
    }
}

fn media(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<MediaId>> {
    let text: Option<String> = row.get(column)?;
    Ok(text.map(MediaId::from))
}

/// What came of a write, and the place that a test may end the process at once that is on disk.
pub(super) struct Done<T> {
    pub(super) answer: T,
    pub(super) reached: Option<&'static str>,
}

impl Core {
    /// Opens the ledger for a session, and records that.
    pub(super) fn open(
        options: Options,
        patience: std::time::Duration,
    ) -> Result<(Self, owner::Owner), OpenFailed> {
        let connection = schema::open(options.file.as_deref(), patience)?;
        let path = options.file.unwrap_or_else(|| "in memory".into());
        machine::check(&connection, &path, &options.machine)?;
        let (id, account, owner, is_new) = schema::in_transaction(&connection, || {
            let id = "SELECT value FROM meta WHERE key = 'id'";
            let id: String = connection.query_row(id, (), |row| row.get(0))?;
            let (name, file) = &options.session;
            let known = "SELECT count(*) FROM owner WHERE key = ?1";
            let known: i64 = connection.query_row(known, [options.owner.id()], |row| row.get(0))?;
            connection.execute(
                "INSERT INTO owner (key, session, file) VALUES (?1, ?2, ?3) ON CONFLICT (key) \
                 DO UPDATE SET session = excluded.session, file = excluded.file",
                params![options.owner.id(), name, Bytes(file)],
            )?;
            let owner = "SELECT id FROM owner WHERE key = ?1";
            let owner = connection.query_row(owner, [options.owner.id()], |row| row.get(0))?;
            let account = account(&connection, &options.account)?;
            Ok((id, account, owner, known == 0))
        })
        .map_err(|error| OpenFailed::of(&path, &error))?;
        let core = Self {
            connection,
            path,
            id,
            owners: options.owners,
            owner_key: options.owner.id().to_owned(),
            session: options.session.1,
            is_new,
            owner,
            account,
            ticket_key: options.ticket_key,
            now: options.now,
            uses: Uses::default(),
            shifts: Shifts::default(),
            granted: HashMap::new(),
            seen: HashMap::new(),
            said: HashSet::new(),
        };
        Ok((core, options.owner))
    }

    /// A statement, as it was prepared before.
    pub(super) fn sql(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    /// Whether the session with this id as an owner writes to the ledger what it does: it lives, and has
    /// opened it. This session has where it was known before.
    pub(super) fn writes_here(&mut self, owner: &str) -> rusqlite::Result<bool> {
        if owner == self.owner_key {
            return Ok(!self.is_new);
        }
        let is_there = self
            .sql("SELECT 1 FROM owner WHERE key = ?1")?
            .exists([owner])?;
        self.look_again();
        Ok(is_there && self.is_alive(owner))
    }

    /// Owners may have died since they were looked at.
    pub(super) fn look_again(&mut self) {
        self.seen.clear();
    }

    /// Whether an owner lives. Where that can't be told it does: nothing is taken over in doubt.
    pub(super) fn is_alive(&mut self, key: &str) -> bool {
        if let Some(alive) = self.seen.get(key) {
            return *alive;
        }
        let alive = match self.runs_without_owner(key) {
            Some(alive) => Ok(alive),
            None => owner::is_alive(&self.owners, key),
        };
        let alive = alive.unwrap_or_else(|error: io::Error| {
            if self.said.insert(key.to_owned()) {
                tracing::warn!("what session {key} uploads is waited for, since its lock can't be read: {error}");
            }
            true
        });
        self.seen.insert(key.to_owned(), alive);
        alive
    }

    /// Who continues an object that this owner has.
    fn holder(&mut self, object: ObjectId, key: Option<&str>) -> Holder {
        match key {
            _ if self.uses.is_used(object) => Holder::InUse,
            Some(key) if key == self.owner_key => Holder::Ours,
            Some(key) if self.is_alive(key) => Holder::OtherSession,
            _ => Holder::Nobody,
        }
    }

    // Claims.

    /// Decides on a claim, and writes what it grants.
    pub(super) fn claim(&mut self, request: &Request) -> rusqlite::Result<Done<Claimed>> {
        for (object, _) in request.compared.iter().filter(|(_, same)| *same) {
            let names = self.names(*object)?;
            self.shifts.learn(&request.file, *object, &names);
        }
        let own = match request.before {
            Some(before) => self.claim_own(request, before)?,
            None => None,
        };
        let own = match own {
            None if request.started.is_some() => self.claim_imported(request)?,
            own => own,
        };
        let answer = match own {
            Some(answer) => answer,
            None => self.claim_file(request)?,
        };
        let reached = match &answer {
            Claimed::Granted { claim, .. } => Some(claim.object),
            Claimed::TakenOver(taken) => Some(taken.claim.object),
            _ => None,
        };
        if let Some(object) = reached {
            self.granted.insert(object, Name::of(&request.file));
        }
        Ok(Done {
            answer,
            reached: reached.map(|_| "claimed"),
        })
    }

    /// The claim of an upload that was granted one before; `None` where the ledger has no row of it.
    fn claim_own(&mut self, request: &Request, before: Claim) -> rusqlite::Result<Option<Claimed>> {
        if let Some(row) = self.started(before.object)?
            && row.marker == request.marker
        {
            return self.claim_started(request, before, row).map(Some);
        }
        self.claim_accepted(request, before)
    }

    pub(super) fn claim_started(
        &mut self,
        request: &Request,
        before: Claim,
        row: Started,
    ) -> rusqlite::Result<Claimed> {
        let own = row.epoch == before.epoch;
        match row.state {
            ObjectState::Discarded => return Ok(Claimed::Discarded),
            ObjectState::Failed if !own => return Ok(Claimed::Discarded),
            _ => {}
        }
        let key = row.owner.as_ref().map(|owner| owner.key.as_str());
        let ours = key.is_none_or(|key| key == self.owner_key);
        match self.holder(row.object, key) {
            Holder::OtherSession | Holder::InUse => return self.wait(row),
            Holder::Nobody | Holder::Ours => {}
        }
        if !(own && ours) {
            return self.take_over(request, row, None);
        }
        let epoch = if key.is_none() {
            self.set_owner(row.object, row.epoch + 1)?
        } else {
            row.epoch
        };
        if row.state == ObjectState::Open {
            let claim = Claim {
                object: row.object,
                epoch,
            };
            return Ok(Claimed::Granted {
                claim,
                in_use: self.uses.mark(row.object),
                samples: row.samples,
            });
        }
        self.taken(request, row, epoch, None)
    }

    /// The claim of an upload whose object is accepted.
    fn claim_accepted(
        &mut self,
        request: &Request,
        before: Claim,
    ) -> rusqlite::Result<Option<Claimed>> {
        let row = self
            .sql(
                "SELECT epoch, media, plan, size, at, samples FROM accepted \
                 WHERE id = ?1 AND account = ?2 AND mark = ?3",
            )?
            .query_row(
                params![before.object, self.account, mark(&request.marker)],
                |row| {
                    let size = unsigned(row.get(3)?);
                    let plan = values::plan(row.get_ref(2)?, size);
                    let epoch: Epoch = row.get(0)?;
                    let samples: Option<Samples> = row.get(5)?;
                    Ok((epoch, media(row, 1)?, plan.ok(), row.get(4)?, samples))
                },
            )
            .optional()?;
        let Some((epoch, media, plan, at, samples)) = row else {
            return Ok(None);
        };
        if before.epoch != epoch && samples.is_some_and(|it| it != request.file.samples) {
            // Another session has uploaded it as it was; this is another version.
            return Ok(Some(Claimed::Discarded));
        }
        if before.epoch != epoch {
            return Ok(Some(Claimed::Uploaded(Uploaded {
                object: before.object,
                media,
                at,
                other_path: None,
                is_unread: request.is_deep,
            })));
        }
        Ok(Some(self.own_accepted(request, before, plan, media)))
    }

    /// The claim of a file, by all that is known of others like it.
    fn claim_file(&mut self, request: &Request) -> rusqlite::Result<Claimed> {
        let file = &request.file;
        let candidates = self.candidates(file)?;
        let is_deep = request.is_deep && !request.again;
        match decide(file, &candidates, &request.compared, &self.shifts, is_deep) {
            Decision::New => self.insert(request, ""),
            Decision::Uploaded(_) if request.again => {
                if let Some(row) = self.own_again(file)? {
                    return self.take_over(request, row, None);
                }
                let random: String = std::iter::repeat_with(fastrand::alphanumeric)
                    .take(12)
                    .collect();
                self.insert(request, &random)
            }
            Decision::Uploaded(object) => self.uploaded(file, object, false),
            Decision::Unread(object) => self.uploaded(file, object, true),
            Decision::Wait(object) => {
                let row = self.row(object)?;
                self.wait(row)
            }
            Decision::TakeOver { object, evidence } => {
                let row = self.row(object)?;
                // It gets this name when it is complete: before that, what was sent of it may be another
                // version's.
                self.take_over(request, row, Some(evidence))
            }
            Decision::Compare(object) => self.compare(object),
        }
    }

    /// What this session has started to upload once more of this file, and no upload goes on with: its
    /// session file may have lost that.
    fn own_again(&mut self, file: &File) -> rusqlite::Result<Option<Started>> {
        let rows = {
            let sql = format!(
                "SELECT {} WHERE s.size = ?1 AND s.account = ?2 AND s.slot != '' AND s.samples = ?3 \
                 AND s.owner = ?4 AND s.state IN (0, 1)",
                Started::COLUMNS
            );
            let size = signed(file.stat.identity.size);
            let mut sql = self.sql(&sql)?;
            let of_size = params![size, self.account, file.samples, self.owner];
            sql.query_map(of_size, Started::of)?
                .collect::<rusqlite::Result<Vec<_>>>()?
        };
        for row in rows {
            let names = self.names(row.object)?;
            let is_free = !self.uses.is_used(row.object);
            if is_free && names.iter().any(|name| name.path == file.path) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The objects that may have been made from the file.
    fn candidates(&mut self, file: &File) -> rusqlite::Result<Vec<Candidate>> {
        let size = signed(file.stat.identity.size);
        let of_size = params![size, self.account, file.samples];
        let mut candidates = Vec::new();
        {
            let mut sql = self.sql(
                "SELECT id, samples, digest NOT NULL FROM accepted WHERE size = ?1 AND account = ?2 \
                 AND slot = '' AND (samples = ?3 OR samples IS NULL)",
            )?;
            let mut rows = sql.query(of_size)?;
            while let Some(row) = rows.next()? {
                candidates.push(Candidate {
                    object: row.get(0)?,
                    state: ObjectState::Accepted,
                    samples: row.get(1)?,
                    has_digest: row.get(2)?,
                    holder: Holder::Nobody,
                    names: Vec::new(),
                });
            }
        }
        let under_way = {
            let sql = format!(
                "SELECT {} WHERE s.size = ?1 AND s.account = ?2 AND s.slot = '' \
                 AND (s.samples = ?3 OR s.samples IS NULL) AND s.state IN (0, 1)",
                Started::COLUMNS
            );
            let mut sql = self.sql(&sql)?;
            let rows = sql.query_map(of_size, Started::of)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        for row in under_way {
            let key = row.owner.map(|owner| owner.key);
            candidates.push(Candidate {
                object: row.object,
                state: row.state,
                samples: row.samples,
                has_digest: row.digest.is_some(),
                holder: self.holder(row.object, key.as_deref()),
                names: Vec::new(),
            });
        }
        for candidate in &mut candidates {
            candidate.names = self.names(candidate.object)?;
        }
        Ok(candidates)
    }

    fn insert(&mut self, request: &Request, slot: &str) -> rusqlite::Result<Claimed> {
        let file = &request.file;
        let started = request.started.as_ref();
        let ticket = started.and_then(|started| started.ticket.as_ref());
        let state = if started.is_some_and(|started| started.complete) {
            ObjectState::Complete
        } else {
            ObjectState::Open
        };
        let sealed = ticket.and_then(|ticket| self.sealed(&request.marker, ticket));
        let media = ticket.and_then(|ticket| ticket.media.as_ref());
        let epoch = first_epoch();
        self.sql(
            "INSERT INTO started (account, slot, size, samples, state, marker, plan, media, ticket, \
             owner, epoch, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            self.account,
            slot,
            signed(file.stat.identity.size),
            file.samples,
            state,
            request.marker,
            of_plan(&request.plan),
            media.map(MediaId::as_str),
            sealed,
            self.owner,
            epoch,
            (self.now)(),
        ])?;
        let object = self.connection.last_insert_rowid();
        self.add_name(object, &Name::of(file))?;
        Ok(Claimed::Granted {
            claim: Claim { object, epoch },
            in_use: self.uses.mark(object),
            samples: Some(file.samples),
        })
    }

    fn uploaded(
        &mut self,
        file: &File,
        object: ObjectId,
        is_unread: bool,
    ) -> rusqlite::Result<Claimed> {
        let (media, at) = self
            .sql("SELECT media, at FROM accepted WHERE id = ?1")?
            .query_row([object], |row| Ok((media(row, 0)?, row.get(1)?)))?;
        let names = self.names(object)?;
        self.sql("UPDATE accepted SET samples = ?2 WHERE id = ?1 AND samples IS NULL")?
            .execute(params![object, file.samples])?;
        self.add_name(object, &Name::of(file))?;
        Ok(Claimed::Uploaded(Uploaded {
            object,
            media,
            at,
            other_path: identity::other_path(&names, &file.path),
            is_unread,
        }))
    }

    fn wait(&mut self, row: Started) -> rusqlite::Result<Claimed> {
        let owner = row.owner.filter(|owner| owner.key != self.owner_key);
        Ok(Claimed::Wait(Wait {
            object: row.object,
            seen: (row.epoch, row.state),
            path: self.last_path(row.object)?,
            session: owner.map(|owner| owner.session),
        }))
    }

    /// Takes an object over; `evidence` is what shows that the file is the same, where that was decided
    /// on.
    fn take_over(
        &mut self,
        request: &Request,
        row: Started,
        evidence: Option<Evidence>,
    ) -> rusqlite::Result<Claimed> {
        let epoch = self.set_owner(row.object, row.epoch + 1)?;
        self.taken(request, row, epoch, evidence)
    }

    fn taken(
        &mut self,
        request: &Request,
        row: Started,
        epoch: Epoch,
        evidence: Option<Evidence>,
    ) -> rusqlite::Result<Claimed> {
        let names = self.names(row.object)?;
        let compared = request.compared.contains(&(row.object, true));
        let evidence = evidence.unwrap_or_else(|| {
            let is_certain = compared || identity::is_surely(&request.file, row.samples, &names);
            if is_certain {
                Evidence::Certain
            } else if row.samples == Some(request.file.samples) {
                Evidence::Samples
            } else {
                Evidence::Path
            }
        });
        let ticket = match (&row.ticket, &self.ticket_key) {
            (Some(sealed), Some(key)) => seal::open(key, &row.marker, sealed),
            _ => None,
        };
        if row.samples.is_none() && evidence == Evidence::Certain {
            self.sql("UPDATE started SET samples = ?2 WHERE id = ?1")?
                .execute(params![row.object, request.file.samples])?;
        }
        let other = row.owner.filter(|owner| owner.key != self.owner_key);
        Ok(Claimed::TakenOver(Box::new(TakenOver {
            claim: Claim {
                object: row.object,
                epoch,
            },
            in_use: self.uses.mark(row.object),
            marker: row.marker,
            plan: row.plan,
            ticket,
            complete: row.state != ObjectState::Open,
            media: row.media,
            evidence,
            session: other.map(|owner| owner.file),
        })))
    }

    fn compare(&mut self, object: ObjectId) -> rusqlite::Result<Claimed> {
        let (plan, digest) = self
            .sql(
                "SELECT plan, size, digest FROM accepted WHERE id = ?1 \
                 UNION ALL SELECT plan, size, digest FROM started WHERE id = ?1",
            )?
            .query_row([object], |row| {
                let plan = values::plan(row.get_ref(0)?, unsigned(row.get(1)?))?;
                Ok((plan, row.get(2)?))
            })?;
        Ok(Claimed::Compare(Box::new(Compare {
            object,
            plan,
            digest,
            path: self.last_path(object)?,
        })))
    }

    /// A ticket as its row keeps it.
    pub(super) fn sealed(&self, marker: &str, ticket: &Ticket) -> Option<Vec<u8>> {
        let key = self.ticket_key.as_ref()?;
        seal::seal(key, marker, ticket)
    }

    /// What an upload is answered whose own object is accepted: it follows that to its end.
    pub(super) fn own_accepted(
        &self,
        request: &Request,
        claim: Claim,
        plan: Option<PartPlan>,
        media: Option<MediaId>,
    ) -> Claimed {
        Claimed::TakenOver(Box::new(TakenOver {
            claim,
            in_use: self.uses.mark(claim.object),
            marker: request.marker.clone(),
            plan: plan.unwrap_or_else(|| request.plan.clone()),
            // Of what is complete only the media object matters.
            ticket: None,
            media,
            complete: true,
            evidence: Evidence::Certain,
            session: None,
        }))
    }

    /// Makes this session the owner of an object, at this epoch.
    fn set_owner(&self, object: ObjectId, epoch: Epoch) -> rusqlite::Result<Epoch> {
        self.sql("UPDATE started SET owner = ?2, epoch = ?3 WHERE id = ?1")?
            .execute(params![object, self.owner, epoch])?;
        Ok(epoch)
    }

    // Writes.

    /// Writes to the row of a claim; `false` where that is another's now.
    pub(super) fn write(&mut self, claim: Claim, write: &Write) -> rusqlite::Result<Done<bool>> {
        let answer = self.write_row(claim, write)?;
        let reached = match write {
            Write::Ticket(_) => Some("ticket-in-ledger"),
            Write::Complete { .. } => Some("complete-in-ledger"),
            Write::Accepted(_) => Some("accepted-in-ledger"),
            Write::Discarded => Some("discarded-in-ledger"),
            Write::GivenBack => Some("given-back-in-ledger"),
            Write::Plan(_) | Write::Name(_) | Write::Failed => None,
        };
        let ends = matches!(
            write,
            Write::Accepted(_) | Write::Failed | Write::Discarded | Write::GivenBack
        );
        if ends || !answer {
            self.granted.remove(&claim.object);
        }
        Ok(Done {
            answer,
            reached: reached.filter(|_| answer),
        })
    }

    fn write_row(&mut self, claim: Claim, write: &Write) -> rusqlite::Result<bool> {
        let row = self
            .sql(
                "SELECT state, marker FROM started \
                 WHERE id = ?1 AND epoch = ?2 AND (owner = ?3 OR owner IS NULL)",
            )?
            .query_row(params![claim.object, claim.epoch, self.owner], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let Some((state, marker)) = row else {
            return self.write_accepted(claim, write);
        };
        let under_way = matches!(state, ObjectState::Open | ObjectState::Complete);
        let allowed = match write {
            Write::GivenBack | Write::Discarded => true,
            // A session that has not saved yet that it failed asks what became of it once more.
            Write::Failed | Write::Complete { .. } => state != ObjectState::Discarded,
            _ => under_way,
        };
        if !allowed {
            return Ok(false);
        }
        let object = claim.object;
        match write {
            Write::Ticket(ticket) => {
                let sealed = self.sealed(&marker, ticket);
                let media = ticket.media.as_ref().map(MediaId::as_str);
                let sql =
                    "UPDATE started SET ticket = ?2, media = coalesce(?3, media) WHERE id = ?1";
                self.sql(sql)?.execute(params![object, sealed, media])?;
            }
            Write::Plan(plan) => {
                let sql = "UPDATE started SET plan = ?2 WHERE id = ?1";
                self.sql(sql)?.execute(params![object, of_plan(plan)])?;
            }
            Write::Name(stat) => self.add_stat(object, stat)?,
            Write::Complete { .. } if !under_way => {}
            Write::Complete { media, digest } => {
                self.add_granted(object)?;
                self.sql(
                    "UPDATE started SET state = ?2, media = ?3, digest = coalesce(?4, digest), \
                     at = ?5 WHERE id = ?1",
                )?
                .execute(params![
                    object,
                    ObjectState::Complete,
                    media.as_str(),
                    digest,
                    (self.now)()
                ])?;
            }
            Write::Accepted(media) => {
                self.add_granted(object)?;
                self.accept(object, &marker, media)?;
            }
            Write::Failed => self.end(object, ObjectState::Failed)?,
            Write::Discarded => self.end(object, ObjectState::Discarded)?,
            Write::GivenBack => {
                let sql = "UPDATE started SET owner = NULL WHERE id = ?1";
                self.sql(sql)?.execute([object])?;
            }
        }
        Ok(true)
    }

    /// Moves an object to the accepted ones.
    fn accept(&self, object: ObjectId, marker: &str, media: &MediaId) -> rusqlite::Result<()> {
        self.sql(
            "INSERT INTO accepted (id, account, slot, size, samples, mark, plan, media, digest, epoch, \
             at) SELECT id, account, slot, size, samples, ?2, plan, ?3, digest, epoch, ?4 FROM started \
             WHERE id = ?1",
        )?
        .execute(params![object, mark(marker), media.as_str(), (self.now)()])?;
        self.sql("DELETE FROM started WHERE id = ?1")?
            .execute([object])?;
        // What is uploaded after it was forgotten is to be known again.
        self.sql("DELETE FROM forgotten WHERE media IN (?1, ?2)")?
            .execute([media.as_str(), marker])?;
        Ok(())
    }

    /// An object that nobody continues any more: no ticket of it is handed out again.
    fn end(&self, object: ObjectId, state: ObjectState) -> rusqlite::Result<()> {
        self.sql("UPDATE started SET state = ?2, ticket = NULL, at = ?3 WHERE id = ?1")?
            .execute(params![object, state, (self.now)()])?;
        Ok(())
    }

    /// A write to an object that is accepted already.
    fn write_accepted(&mut self, claim: Claim, write: &Write) -> rusqlite::Result<bool> {
        let is_there = self
            .sql("SELECT 1 FROM accepted WHERE id = ?1 AND epoch = ?2 AND account = ?3")?
            .exists(params![claim.object, claim.epoch, self.account])?;
        if !is_there {
            return Ok(false);
        }
        match write {
            Write::Accepted(_) | Write::Complete { .. } | Write::GivenBack => Ok(true),
            Write::Name(stat) => self.add_stat(claim.object, stat).map(|()| true),
            // What is about to be deleted is no reason to skip a file.
            Write::Discarded => {
                for sql in [
                    "DELETE FROM accepted WHERE id = ?1",
                    "DELETE FROM name WHERE object = ?1",
                ] {
                    self.sql(sql)?.execute([claim.object])?;
                }
                Ok(true)
            }
            Write::Ticket(_) | Write::Plan(_) | Write::Failed => Ok(false),
        }
    }

    // Names.

    /// All names of an object, in the order they were seen.
    pub(super) fn names(&self, object: ObjectId) -> rusqlite::Result<Vec<Name>> {
        let mut sql = self.sql(
            "SELECT f.path, n.base, n.modified, n.changed, s.number, n.inode FROM name n \
             CROSS JOIN folder f ON f.id = n.folder LEFT JOIN file_system s ON s.id = n.file_system \
             WHERE n.object = ?1 ORDER BY n.number",
        )?;
        let rows = sql.query_map([object], |row| {
            let folder = values::path(row.get(0)?);
            Ok(Name {
                path: folder.join(values::path(row.get(1)?)),
                modified: row.get::<_, Time>(2)?.0,
                changed: row.get::<_, Option<Time>>(3)?.map(|Time(time)| time),
                file_system: row.get::<_, Option<i64>>(4)?.map_or(0, unsigned),
                inode: unsigned(row.get(5)?),
            })
        })?;
        rows.collect()
    }

    /// The path that an object's file was seen at last.
    fn last_path(&self, object: ObjectId) -> rusqlite::Result<PathBuf> {
        let last = self.names(object)?.pop();
        Ok(last.map(|name| name.path).unwrap_or_default())
    }

    /// Records a name of an object, once.
    pub(super) fn add_name(&self, object: ObjectId, name: &Name) -> rusqlite::Result<()> {
        let names = self.names(object)?;
        if names.contains(name) {
            return Ok(());
        }
        let (folder, base) = split(&name.path);
        let folder = self.number_of("folder", "path", Bytes(folder))?;
        let file_system = match name.file_system {
            0 => 0,
            number => self.number_of("file_system", "number", signed(number))?,
        };
        self.sql(
            "INSERT INTO name VALUES (?1, (SELECT coalesce(max(number) + 1, 0) FROM name WHERE object = \
             ?1), ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
            .execute(params![
                object,
                folder,
                Bytes(base),
                Time(name.modified),
                name.changed.map(Time),
                file_system,
                signed(name.inode),
            ])?;
        Ok(())
    }

    /// Records the name of the file that an upload was granted, all of which is sent.
    fn add_granted(&self, object: ObjectId) -> rusqlite::Result<()> {
        match self.granted.get(&object) {
            Some(name) => self.add_name(object, name),
            None => Ok(()),
        }
    }

    /// Records what `stat` says now of the file that an upload was granted.
    fn add_stat(&self, object: ObjectId, stat: &FileStat) -> rusqlite::Result<()> {
        let path = match self.granted.get(&object) {
            Some(name) => name.path.clone(),
            None => self.last_path(object)?,
        };
        let name = Name {
            path,
            modified: stat.identity.modified,
            changed: stat.changed,
            file_system: stat.identity.file_system,
            inode: stat.identity.inode,
        };
        self.add_name(object, &name)
    }

    /// The number of a long value, which it gets where it has none.
    pub(super) fn number_of(
        &self,
        table: &str,
        column: &str,
        value: impl rusqlite::ToSql,
    ) -> rusqlite::Result<i64> {
        let find = format!("SELECT id FROM {table} WHERE {column} = ?1");
        let found = self
            .sql(&find)?
            .query_row([&value], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        self.sql(&format!("INSERT INTO {table} ({column}) VALUES (?1)"))?
            .execute([&value])?;
        Ok(self.connection.last_insert_rowid())
    }

    // Rows.

    /// An object of this account that is not accepted.
    pub(super) fn started(&self, object: ObjectId) -> rusqlite::Result<Option<Started>> {
        let sql = format!(
            "SELECT {} WHERE s.id = ?1 AND s.account = ?2",
            Started::COLUMNS
        );
        self.sql(&sql)?
            .query_row(params![object, self.account], Started::of)
            .optional()
    }

    /// The same, which is there.
    pub(super) fn row(&self, object: ObjectId) -> rusqlite::Result<Started> {
        self.started(object)?
            .ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    // Questions.

    /// Which of these are worth asking for again.
    pub(super) fn changed(&mut self, waits: &[Wait]) -> rusqlite::Result<Vec<ObjectId>> {
        self.look_again();
        let objects: Vec<ObjectId> = waits.iter().map(|wait| wait.object).collect();
        let objects = serde_json::to_string(&objects).unwrap_or_default();
        let rows: HashMap<ObjectId, (Epoch, ObjectState, Option<String>)> = {
            let mut sql = self.sql(
                "SELECT s.id, s.epoch, s.state, o.key FROM started s \
                 LEFT JOIN owner o ON o.id = s.owner \
                 WHERE s.id IN (SELECT value FROM json_each(?1))",
            )?;
            let rows = sql.query_map([objects], |row| {
                Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut changed = Vec::new();
        for wait in waits {
            let as_before = match rows.get(&wait.object) {
                // One that is complete now is waited for as before.
                Some((epoch, ObjectState::Open | ObjectState::Complete, key))
                    if *epoch == wait.seen.0 =>
                {
                    let holder = self.holder(wait.object, key.as_deref());
                    matches!(holder, Holder::OtherSession | Holder::InUse)
                }
                _ => false,
            };
            if !as_before {
                changed.push(wait.object);
            }
        }
        Ok(changed)
    }

    /// Whether there is an object with this number and marker.
    pub(super) fn has_object(&self, object: ObjectId, marker: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM started WHERE id = ?1 AND marker = ?2 \
             UNION ALL SELECT 1 FROM accepted WHERE id = ?1 AND mark = ?3";
        self.sql(sql)?.exists(params![object, marker, mark(marker)])
    }

    /// The accepted object with this number and marker, under the path that it was seen at last.
    pub(super) fn accepted_as(
        &self,
        object: ObjectId,
        marker: &str,
    ) -> rusqlite::Result<Option<Uploaded>> {
        let sql = "SELECT media, at FROM accepted WHERE id = ?1 AND mark = ?2 AND account = ?3";
        let found = self
            .sql(sql)?
            .query_row(params![object, mark(marker), self.account], |row| {
                Ok((media(row, 0)?, row.get(1)?))
            })
            .optional()?;
        let Some((media, at)) = found else {
            return Ok(None);
        };
        Ok(Some(Uploaded {
            object,
            media,
            at,
            other_path: Some(self.last_path(object)?),
            is_unread: false,
        }))
    }

    /// What this session has claimed, is complete and not known to be accepted.
    pub(super) fn unaccepted(&self) -> rusqlite::Result<Vec<(Claim, MediaId)>> {
        let mut sql = self.sql(
            "SELECT id, epoch, media FROM started WHERE owner = ?1 AND account = ?2 AND state = ?3 \
             AND media NOT NULL ORDER BY id",
        )?;
        let complete = params![self.owner, self.account, ObjectState::Complete];
        let rows = sql.query_map(complete, |row| {
            let (object, epoch) = (row.get(0)?, row.get(1)?);
            let media: String = row.get(2)?;
            Ok((Claim { object, epoch }, media.into()))
        })?;
        rows.collect()
    }
}

/// The epoch that an object begins with. A ledger that was restored from a backup gives the numbers of
/// objects out again that it made since: claims from before it was restored must match none of them.
pub(super) fn first_epoch() -> Epoch {
    fastrand::u32(1..1 << 30)
}

/// The number of an account, which it gets where it has none.
pub(super) fn account(connection: &Connection, account: &AccountId) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO account (text) VALUES (?1) ON CONFLICT DO NOTHING",
        [account.as_str()],
    )?;
    let find = "SELECT coalesce(same, id) FROM account WHERE text = ?1";
    connection.query_row(find, [account.as_str()], |row| row.get(0))
}
