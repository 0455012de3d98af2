//! Nothing twice and nothing left out: across sessions, processes, accounts, copies and nights.

mod chaos;
mod claims;
mod crash;
mod forget;
mod identity;
mod import;
mod list;
mod machine;
mod rebuild;
mod scenes;
mod takeovers;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::support::{Ended, MIB, PART, Report, Server, Source, path_of};

/// Why each skipped file was skipped.
pub(crate) fn skipped(ended: &Ended) -> Vec<(PathBuf, String)> {
    let reason = |event: &serde_json::Value| event["reason"].as_str().unwrap().to_owned();
    let skipped = ended.named("skipped");
    skipped
        .iter()
        .map(|event| (path_of(event), reason(event)))
        .collect()
}

/// Why this file was skipped.
#[track_caller]
pub(crate) fn reason(ended: &Ended, path: &Path) -> String {
    let skipped = skipped(ended);
    let found = skipped.iter().find(|(file, _)| file == path);
    let words = format!("{} was not skipped: {}", path.display(), ended.output());
    found.expect(&words).1.clone()
}

/// The reason of a copy, or of another name, of what was uploaded from this path as this media object.
pub(crate) fn same_bytes(path: &Path, media: &str) -> String {
    format!(
        "same bytes as {}, uploaded as {media}; --again uploads it too",
        path.display()
    )
}

/// The file was skipped, since it was uploaded as this media object, today.
#[track_caller]
pub(crate) fn assert_uploaded_before(ended: &Ended, path: &Path, media: &str) {
    let reason = reason(ended, path);
    let words = reason
        .strip_prefix("uploaded ")
        .and_then(|rest| rest.split_once(" as "));
    let Some((date, id)) = words else {
        panic!("{reason}");
    };
    assert_eq!(id, media);
    let skipped = ended.named("skipped");
    let event = skipped.iter().find(|event| path_of(event) == path);
    assert_eq!(event.unwrap()["media"], media);
    let date: jiff::civil::Date = date.parse().unwrap();
    let today = jiff::Zoned::now().date();
    // It may have been midnight since.
    let possible = [today, today.yesterday().unwrap()];
    assert!(possible.contains(&date), "{date} is not {today}");
}

/// The media object of a film.
#[track_caller]
pub(crate) fn media_of(report: &Report, film: &Source) -> String {
    let there = report.there();
    let mut found = there
        .iter()
        .filter(|media| media.sha256.as_ref() == Some(&film.sha256));
    let media = found.next();
    let media = media.unwrap_or_else(|| panic!("{} is not there: {there:#?}", film.path.display()));
    assert!(
        found.next().is_none(),
        "{} is there twice: {there:#?}",
        film.path.display()
    );
    media.id.clone()
}

/// The account has each of these films once, whole and ready, whatever they are called there, and nothing
/// else.
#[track_caller]
pub(crate) fn assert_films(server: &Server, films: &[Source]) {
    let report = server.report();
    let there = report.there();
    let mut found: Vec<_> = there
        .iter()
        .map(|media| (&*media.state, media.sha256.as_deref().unwrap_or("none")))
        .collect();
    let mut wanted: Vec<_> = films.iter().map(|film| ("ready", &*film.sha256)).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{there:#?}");
}

/// What the account has, and how much was sent and asked of it to get there.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    /// Id and state of each media object.
    media: Vec<(String, String)>,
    creates: u64,
    parts: u64,
    deletes: u64,
}

impl Account {
    fn of(server: &Server) -> Self {
        let report = server.report();
        let asked = |step: &str| -> u64 {
            let steps = report.requests.values();
            steps.filter_map(|steps| steps.get(step)).sum()
        };
        let media = report.media.iter();
        Self {
            media: media
                .map(|media| (media.id.clone(), media.state.clone()))
                .collect(),
            creates: asked("create"),
            parts: asked("part"),
            deletes: asked("delete"),
        }
    }
}

/// Runs something that has nothing to do: it ends with 0, and nothing is created, sent or deleted.
#[track_caller]
pub(crate) fn assert_does_nothing(server: &Server, run: impl FnOnce() -> Ended) -> Ended {
    let before = Account::of(server);
    let ended = run();
    ended.assert_code(0);
    assert_eq!(Account::of(server), before, "{}", ended.output());
    ended
}

/// Films of every kind: of one part and of several, smaller and larger than what is sampled of them.
pub(crate) fn films(folder: &Path) -> Vec<Source> {
    let sizes = [1000, 700_000, 2 * PART + 77, 200_000, PART + 1, 3 * MIB];
    (0..)
        .zip(sizes)
        .map(|(number, size)| {
            let path = folder.join(format!("{number:02} take.mp4"));
            Source::write(path, size, number)
        })
        .collect()
}

/// When a file was last modified.
fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// Sets when a file was last modified.
pub(crate) fn set_modified(path: &Path, time: SystemTime) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Copies a file, with its time.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
    set_modified(to, modified(from));
}

/// What a person calls a session.
pub(crate) fn name(session: &Path) -> String {
    session.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// What a remount can do to the times of files.
#[derive(Debug, Clone, Copy)]
enum Shift {
    SummerTime,
    TimeZone,
    NoNanoseconds,
    ClockOfTwoSeconds,
}

impl Shift {
    const ALL: [Self; 4] = [
        Self::SummerTime,
        Self::TimeZone,
        Self::NoNanoseconds,
        Self::ClockOfTwoSeconds,
    ];

    /// What comes of this time.
    fn of(self, time: SystemTime) -> SystemTime {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap();
        let cut_to =
            |seconds| UNIX_EPOCH + Duration::from_secs(since_1970.as_secs() / seconds * seconds);
        match self {
            Self::SummerTime => time - Duration::from_hours(1),
            Self::TimeZone => time - Duration::from_mins(5 * 60 + 45),
            Self::NoNanoseconds => cut_to(1),
            Self::ClockOfTwoSeconds => cut_to(2),
        }
    }
}
