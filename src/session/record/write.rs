//! Tables written, line by line.

use std::{
    fmt::{self, Write as _},
    path::Path,
};

use serde::Serialize;
use toml_writer::{ToTomlValue as _, TomlStringBuilder};

use super::{
    Change, Header, Kept,
    receipts::{write_md5, write_numbers},
};
use crate::{
    destination::Ticket,
    error::Error,
    identity::Identity,
    ids::{AccountId, Claim, UploadId},
    path,
    plan::PartPlan,
    session::{Milestone, Moment},
    settings::Settings,
    state::State,
};

/// Writes tables line by line. Every value stands in one line whatever it holds, so that a line that
/// begins with `[[` is always the beginning of a table.
pub(in crate::session) struct Writer<'a>(pub(in crate::session) &'a mut String);

impl Writer<'_> {
    pub(in crate::session) fn value(&mut self, key: &str, value: impl fmt::Display) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    pub(in crate::session) fn text(&mut self, key: &str, text: &str) {
        self.value(key, quoted(text));
    }

    fn serde(&mut self, key: &str, value: &impl Serialize) {
        let mut text = String::new();
        // Plain structs of numbers and one-line texts; TOML can hold all of them.
        if value
            .serialize(toml::ser::ValueSerializer::new(&mut text))
            .is_ok()
        {
            self.value(key, text);
        }
    }

    fn ticket(&mut self, ticket: &Ticket) {
        let media = ticket.media.iter();
        let media = media.map(|media| format!("media = {}", quoted(media.as_str())));
        let pairs: Vec<String> = media.chain(ticket.data.iter().map(pair)).collect();
        self.value("ticket", table_of(&pairs));
    }

    pub(in crate::session) fn path(&mut self, path: &Path) {
        match path.to_str() {
            Some(text) if !text.contains(char::is_control) => self.text("path", text),
            _ => self.text("path_bytes", &path::encode(path)),
        }
    }

    pub(in crate::session) fn account(&mut self, account: Option<&AccountId>) {
        if let Some(account) = account {
            self.text("account", account.as_str());
        }
    }

    fn claim(&mut self, claim: Claim) {
        self.value("claim", format_args!("[{}, {}]", claim.object, claim.epoch));
    }

    fn plan(&mut self, plan: &PartPlan) {
        let runs: Vec<String> = plan
            .runs()
            .iter()
            .map(|run| format!("[{}, {}, {}]", run.first, run.count, run.size))
            .collect();
        self.value("plan", format_args!("[{}]", runs.join(", ")));
        // A plan of one size was made from no other.
        if plan.runs().len() > 1 {
            self.value("highest", plan.highest());
        }
    }

    fn identity(&mut self, identity: &Identity) {
        self.value("size", identity.size);
        self.value("modified", identity.modified);
        self.inode(identity.inode);
        self.file_system(identity.file_system);
    }

    fn inode(&mut self, inode: u64) {
        if inode != 0 {
            self.value("inode", inode);
        }
    }

    pub(in crate::session) fn file_system(&mut self, file_system: u64) {
        if file_system != 0 {
            self.value("file_system", file_system);
        }
    }

    fn moment(&mut self, key: &str, moment: Moment) {
        if moment != Moment::default() {
            self.value(key, moment);
        }
    }

    fn reason(&mut self, error: &Error) {
        let kind =
            toml::Value::try_from(error.kind).map_or_else(|_| String::new(), |v| v.to_string());
        let status = error
            .status
            .map_or_else(String::new, |status| format!(", status = {status}"));
        let message = quoted(&error.message);
        self.value(
            "reason",
            format_args!("{{ kind = {kind}, message = {message}{status} }}"),
        );
    }
}

/// A TOML string in one line, escapes and all.
pub(in crate::session) fn quoted(text: &str) -> String {
    TomlStringBuilder::new(text).as_basic().to_toml_value()
}

/// A TOML value in one line.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => quoted(text),
        toml::Value::Array(values) => {
            let values: Vec<String> = values.iter().map(inline).collect();
            format!("[{}]", values.join(", "))
        }
        toml::Value::Table(table) => table_of(&table.iter().map(pair).collect::<Vec<_>>()),
        plain => plain.to_string(),
    }
}

fn pair((key, value): (&String, &toml::Value)) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let key = if !key.is_empty() && key.bytes().all(bare) {
        key.clone()
    } else {
        quoted(key)
    };
    format!("{key} = {}", inline(value))
}

fn table_of(pairs: &[String]) -> String {
    format!("{{ {} }}", pairs.join(", "))
}

/// Writes the head, with a word to whoever opens the file by hand.
#[must_use]
pub fn write_header(header: &Header) -> String {
    let mut out = String::from(
        "# A reelhaul session. The tickets in it let their holder write to the account: keep it private.\n\
         # Each table ends with a blank line; [[log]] tables are changes to what stands above them.\n",
    );
    let mut writer = Writer(&mut out);
    writer.value("format", header.format);
    writer.text("id", &header.id);
    writer.text("owner", &header.owner);
    writer.text("destination", &header.destination);
    writer.serde("settings", &header.settings);
    out.push('\n');
    out
}

/// Appends an `[[upload]]` table.
pub fn write_upload(out: &mut String, kept: &Kept) {
    out.push_str("[[upload]]\n");
    let mut writer = Writer(out);
    writer.value("id", kept.id);
    writer.path(&kept.path);
    writer.identity(&kept.identity);
    writer.moment("queued_at", kept.times.queued);
    writer.moment("begun_at", kept.times.begun);
    writer.moment("done_at", kept.times.done);
    if let Some(progress) = &kept.progress {
        writer.text("marker", &progress.marker);
        writer.account(kept.account.as_ref());
        if let Some(claim) = progress.claim {
            writer.claim(claim);
        }
        if let Some(ticket) = &progress.ticket {
            writer.ticket(ticket);
        }
        if let Some(plan) = &progress.plan {
            writer.plan(plan);
        }
        if !progress.receipts.is_empty() {
            writer.text("done", &write_numbers(progress.receipts.keys().copied()));
            let receipts = || progress.receipts.values();
            let mut md5 = String::with_capacity(progress.receipts.len() * 32);
            for receipt in receipts() {
                md5.push_str(&receipt.md5.map_or_else(|| "-".repeat(32), write_md5));
            }
            writer.text("md5", &md5);
            if receipts().any(|receipt| receipt.tag.is_some()) {
                let tags: Vec<String> = receipts()
                    .map(|receipt| quoted(receipt.tag.as_deref().unwrap_or_default()))
                    .collect();
                writer.value("tags", format_args!("[{}]", tags.join(", ")));
            }
        }
        if progress.completed {
            writer.value("completed", true);
        }
        if progress.clearing {
            writer.value("clearing", true);
        }
    }
    if kept.again {
        writer.value("again", true);
    }
    if let Some(walk) = kept.unread {
        writer.value("unread", walk);
    }
    if let Some(reason) = &kept.reason {
        writer.reason(reason);
    }
    writer.text("state", kept.state.word());
    out.push('\n');
}

/// Appends a `[[log]]` table for a change of an upload.
pub fn write_change(out: &mut String, upload: UploadId, change: &Change) {
    out.push_str("[[log]]\n");
    let mut writer = Writer(out);
    writer.value("upload", upload);
    match change {
        Change::Begun(marker, account) => {
            writer.text("marker", marker);
            writer.account(account.as_ref());
        }
        Change::Claimed(claim) => writer.claim(*claim),
        Change::Ticket(ticket) => writer.ticket(ticket),
        Change::Plan(plan) => {
            writer.value("file_size", plan.file_size());
            writer.plan(plan);
        }
        Change::Part(part, receipt) => {
            writer.value("part", part);
            if let Some(md5) = receipt.md5 {
                writer.text("md5", &write_md5(md5));
            }
            if let Some(tag) = &receipt.tag {
                writer.text("tag", tag);
            }
        }
        Change::Lost(parts) => writer.text("lost", &write_numbers(parts.iter().copied())),
        Change::Completed => writer.text("state", State::Processing.word()),
        Change::Done => writer.text("state", State::Done.word()),
        Change::Released => writer.text("state", State::Queued.word()),
        Change::Paused => writer.text("state", State::Paused.word()),
        Change::Removed => writer.text("state", "removed"),
        Change::Clearing => writer.text("state", "clearing"),
        Change::Failed(error) => {
            writer.reason(error);
            writer.text("state", State::Failed.word());
        }
        Change::Changed(error) => {
            writer.reason(error);
            writer.text("state", State::Changed.word());
        }
        Change::Skipped(error) => {
            writer.reason(error);
            writer.text("state", State::Skipped.word());
        }
        Change::At(Milestone::Begun, at) => writer.moment("begun_at", *at),
        Change::At(Milestone::Done, at) => writer.moment("done_at", *at),
        Change::Fresh(identity) => writer.identity(identity),
        Change::SameBytes {
            modified,
            inode,
            file_system,
        } => {
            writer.value("modified", modified);
            writer.inode(*inode);
            writer.file_system(*file_system);
        }
    }
    out.push('\n');
}

/// Appends a `[[log]]` table for changed settings.
pub fn write_settings(out: &mut String, settings: &Settings) {
    out.push_str("[[log]]\n");
    Writer(out).serde("settings", settings);
    out.push('\n');
}
