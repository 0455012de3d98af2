//! The name of a folder in the queue, and what is told of the files inside.

use crate::{
    engine::protocol::{FolderRow, State},
    format,
    tui::{app::App, view::pen::Pen},
};

/// The name of a folder after the glyph that says whether it is folded, and at the right what is
/// inside.
pub(super) fn name(app: &App, folder: &FolderRow, column: u16, width: u16, pen: &mut Pen<'_>) {
    let theme = &app.theme;
    let glyphs = theme.glyphs;
    let glyph = if folder.folded {
        glyphs.folded
    } else {
        glyphs.unfolded
    };
    let end = column + width.saturating_sub(1);
    let column = pen.at(column, glyph, theme.dim) + 1;
    let room = usize::from(end.saturating_sub(column));
    let name = format!(
        "{}/",
        format::display_path(&folder.name).trim_end_matches('/')
    );
    let wanted = format::width(&name);
    // The name gives way to half of the room before what is inside is left out.
    let counts = inside(folder, room.saturating_sub(wanted.min(room / 2) + GAP));
    let used = counts
        .iter()
        .map(|(text, _)| text.len() + GAP)
        .sum::<usize>();
    let name = format::shorten_middle(&name, room.saturating_sub(used));
    pen.at(column, &name, theme.strong);
    let mut at = end;
    for (text, what) in counts.iter().rev() {
        let style = match what {
            What::Hidden => theme.warn,
            What::Failed => theme.bad,
            What::Running => theme.accent,
            What::Done => theme.dim,
        };
        pen.before(at, text, style);
        at = at.saturating_sub(u16::try_from(text.len() + GAP).unwrap_or(u16::MAX));
    }
}

/// Columns between two things that are told of a folder.
const GAP: usize = 2;

/// What is told of the files in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Hidden,
    Failed,
    Running,
    Done,
}

/// What there is room to tell of the files in a folder, in the order in which it is shown.
fn inside(folder: &FolderRow, room: usize) -> Vec<(String, What)> {
    let counts = &folder.totals.counts;
    let sum = |states: &[State]| states.iter().map(|state| counts.of(*state)).sum::<usize>();
    let all = counts.total();
    let hidden = all.saturating_sub(folder.matching);
    let failed = sum(&[State::Failed, State::Changed]);
    let running = sum(&[
        State::Creating,
        State::Uploading,
        State::Completing,
        State::Processing,
    ]);
    let done = format!("{}/{}", counts.of(State::Done), all);
    // The most worth knowing first.
    let told = [
        (done, What::Done, true),
        (format!("{failed} failed"), What::Failed, failed > 0),
        (format!("{hidden} hidden"), What::Hidden, hidden > 0),
        (format!("{running} running"), What::Running, running > 0),
    ];
    let mut left = room;
    let mut chosen = Vec::with_capacity(told.len());
    for (text, what, _) in told.into_iter().filter(|(_, _, there)| *there) {
        if text.len() > left {
            break;
        }
        left = left.saturating_sub(text.len() + GAP);
        chosen.push((text, what));
    }
    chosen.sort_by_key(|(_, what)| *what as u8);
    chosen
}
