//! One upload looked up in a session that is not open here: whoever continues it wants to know how far
//! it was.

use std::{collections::HashMap, path::Path};

use super::{
    read::read,
    record::{Change, Progress, Record},
};
use crate::ids::UploadId;

/// What the session in this file says of the upload with this marker; `None` where it says nothing, or
/// can't be read. Of a session that runs, that may be less than it knows. Blocks.
#[must_use]
pub fn progress_of(session: &Path, marker: &str) -> Option<Progress> {
    let mut started: HashMap<UploadId, Progress> = HashMap::new();
    let read = read(session, |record| {
        note(&mut started, marker, record);
        Ok(())
    });
    if let Err(error) = read {
        tracing::warn!("{error}; what it knows of a file that is continued is asked for instead");
        return None;
    }
    started.into_values().next()
}

fn note(started: &mut HashMap<UploadId, Progress>, marker: &str, record: Record) {
    match record {
        Record::Upload(kept) => {
            if let Some(progress) = kept.progress.filter(|progress| progress.marker == marker) {
                started.insert(kept.id, progress);
            }
        }
        Record::Log(id, Change::Begun(begun, _)) => {
            started.remove(&id);
            if begun == marker {
                started.insert(id, Progress::under(begun));
            }
        }
        Record::Log(id, change) => {
            let Some(progress) = started.get_mut(&id) else {
                return;
            };
            match change {
                Change::Ticket(ticket) => progress.ticket = Some(ticket),
                Change::Plan(plan) => progress.set_plan(plan),
                Change::Part(number, receipt) => {
                    progress.receipts.insert(number, receipt);
                }
                Change::Lost(numbers) => {
                    progress
                        .receipts
                        .retain(|number, _| !numbers.contains(number));
                }
                Change::Completed => progress.completed = true,
                Change::Fresh(_) => drop(started.remove(&id)),
                _ => {}
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::{
        destination::Ticket,
        plan::PartPlan,
        session::record::{FORMAT, Header, write_change, write_header},
    };

    #[test]
    fn an_upload_is_found_by_its_marker_as_its_session_left_it() {
        let plan = PartPlan::split(30, NonZeroU64::new(10).unwrap()).unwrap();
        let mut text = write_header(&Header {
            format: FORMAT,
            id: "s".to_owned(),
            owner: String::new(),
            destination: "d".to_owned(),
            settings: crate::settings::Settings::default(),
        });
        text.push_str("[[upload]]\nid = 1\npath = \"/a\"\nsize = 30\nmodified = 1970-01-01T00:00:01Z\nstate = \"queued\"\n\n");
        let md5 = [7; 16];
        let changes = [
            Change::Begun("old".into(), None),
            Change::Begun("new".into(), None),
            Change::Plan(plan.clone()),
            Change::Ticket(Ticket::of("m1")),
            Change::Part(1, Some(md5).into()),
            Change::Part(2, Some(md5).into()),
            Change::Lost([2].into()),
        ];
        for change in &changes {
            write_change(&mut text, 1, change);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let known = progress_of(file.path(), "new").unwrap();
        assert_eq!(known.ticket, Some(Ticket::of("m1")));
        assert_eq!(known.plan, Some(plan));
        assert_eq!(known.receipts, [(1, Some(md5).into())].into());
        assert_eq!(progress_of(file.path(), "old"), None, "it was started over");
        assert_eq!(progress_of(Path::new("/nowhere"), "new"), None);
    }
}
