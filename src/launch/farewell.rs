//! What is said after the end of a run: what is left, and the command that goes on with it.

use std::path::Path;

use super::{sessions, told::say};
use crate::{
    engine::protocol::{State, Summary},
    format,
    path::shown,
};

/// What is to be said after the end: how to go on, where there is something to go on with. The file
/// of a session that does not last is `None`.
pub(super) fn farewell(summary: &Summary, id: &str, file: Option<&Path>) {
    if let Some(error) = &summary.save_error {
        say(&format!("the session could not be saved: {error}"));
    } else if let Some(file) = file.filter(|file| file.exists()) {
        let name = sessions::name(id, file);
        for words in how_to_go_on(summary, &name) {
            say(&words);
        }
        if summary.orphans > 0 {
            let objects = format::count(summary.orphans, "media object");
            say(&format!(
                "{objects} may be left at the destination for files that were removed: [[orphan]] in {}",
                shown(file)
            ));
        }
        if summary.counts.of(State::Done) > 0 {
            say(&format!(
                "the media id of each file: reelhaul report {name}"
            ));
        }
    }
}

/// What is said of files that were skipped because they are uploaded already.
pub(super) fn skipped(files: usize) -> Option<String> {
    let files = match files {
        0 => return None,
        1 => "1 file skipped: already uploaded. Use --again to upload it again.".to_owned(),
        files => format!(
            "{} files skipped: already uploaded. Use --again to upload them again.",
            format::thousands(files)
        ),
    };
    Some(files)
}

/// What is left of a session, and the command that goes on with it: what failed needs a word more.
fn how_to_go_on(summary: &Summary, session: &str) -> Vec<String> {
    let counts = &summary.counts;
    let files = match counts.left() {
        0 if summary.walks_left == 0 => return Vec::new(),
        0 => "the walk did not come to its end".to_owned(),
        1 => "1 file is left".to_owned(),
        left => format!("{left} files are left"),
    };
    let of = [State::Failed, State::Changed, State::Paused].map(|state| (counts.of(state), state));
    let of: Vec<_> = of.iter().filter(|(count, _)| *count > 0).collect();
    let of: Vec<_> = of
        .iter()
        .map(|(count, state)| format!("{count} {}", state.word()))
        .collect();
    let of = if of.is_empty() {
        String::new()
    } else {
        format!(" ({})", of.join(", "))
    };
    let (failed, changed) = (counts.of(State::Failed) > 0, counts.of(State::Changed) > 0);
    let flag = match (failed, changed) {
        (true, _) => " --retry-failed",
        (false, true) => " --start-over",
        (false, false) => "",
    };
    let mut words = vec![format!(
        "{files}{of}; go on with: reelhaul resume {session}{flag}"
    )];
    if failed && changed {
        words.push(format!(
            "to begin anew what failed or changed: reelhaul resume {session} --start-over"
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_with_does_something_for_what_is_left() {
        use State::{Changed, Done, Failed, Paused, Queued, Skipped};
        let told = |states: &[State]| {
            let mut summary = Summary::default();
            for state in states {
                summary.counts.add(*state);
            }
            how_to_go_on(&summary, "s")
        };
        let walking = Summary {
            walks_left: 1,
            ..Summary::default()
        };
        assert_eq!(
            how_to_go_on(&walking, "s"),
            ["the walk did not come to its end; go on with: reelhaul resume s"]
        );
        assert_eq!(told(&[Done, Skipped]), [] as [&str; 0]);
        assert_eq!(
            told(&[Queued]),
            ["1 file is left; go on with: reelhaul resume s"]
        );
        assert_eq!(
            told(&[Queued, Paused]),
            ["2 files are left (1 paused); go on with: reelhaul resume s"]
        );
        assert_eq!(
            told(&[Changed]),
            ["1 file is left (1 changed); go on with: reelhaul resume s --start-over"]
        );
        assert_eq!(
            told(&[Failed, Changed, Queued]),
            [
                "3 files are left (1 failed, 1 changed); go on with: reelhaul resume s --retry-failed",
                "to begin anew what failed or changed: reelhaul resume s --start-over"
            ]
        );
    }
}
