//! The tree of folders: shown or not, folded or not.

use super::{Effect, moving, say};
use crate::{
    engine::protocol::{FolderId, LineId},
    tui::{
        action::{Action, Pane},
        app::{App, Tone},
    },
};

/// Changes how the queue is shown.
pub(super) fn act(app: &mut App, action: Action) -> Vec<Effect> {
    if action != Action::Tree && !app.queue.tree {
        let words = format!("there is no tree here; {} shows it", app.key(Action::Tree));
        say(app, Tone::Plain, words);
        return Vec::new();
    }
    match action {
        Action::Tree => {
            app.queue.tree = !app.queue.tree;
            app.queue.anchor = None;
            if matches!(app.queue.selected, Some(LineId::Folder(_))) {
                // What stands there in a row is what is inside of it.
                app.queue.selected = None;
            }
        }
        Action::FoldAll | Action::UnfoldAll => {
            app.queue.anchor = None;
            app.queue.folds.fold_all(action == Action::FoldAll);
        }
        _ => match around(app) {
            Some((id, is)) => fold(app, id, !is),
            None => say(app, Tone::Plain, "it is in no folder of its own"),
        },
    }
    vec![Effect::Refresh]
}

/// The folder under the cursor, or else the one its file is in; and whether it is folded.
fn around(app: &App) -> Option<(FolderId, bool)> {
    let line = app.queue.current()?;
    match line.folder() {
        Some(folder) => Some((folder.id, folder.folded)),
        None => Some((line.parent?, false)),
    }
}

/// Folds or unfolds a folder, and has the cursor on it.
pub(super) fn fold(app: &mut App, folder: FolderId, fold: bool) {
    app.queue.folds.fold(folder, fold);
    app.queue.anchor = None;
    moving::select_line(app, LineId::Folder(folder));
}

/// Left and right in the queue: out of a folder and into it. Whether it was that.
pub(super) fn step(app: &mut App, action: Action) -> bool {
    let Some(line) = app.queue.current().filter(|_| app.queue.tree) else {
        return false;
    };
    let (id, parent) = (line.id(), line.parent);
    let folded = line.folder().map(|folder| folder.folded);
    match (action, id, folded) {
        (Action::Right, LineId::Folder(id), Some(true)) => fold(app, id, false),
        (Action::Right, LineId::Folder(_), _) => moving::go_to(app, app.queue.cursor + 1),
        (Action::Left, LineId::Folder(id), Some(false)) => fold(app, id, true),
        (Action::Left, ..) => {
            if let Some(parent) = parent {
                moving::select_line(app, LineId::Folder(parent));
            }
        }
        _ => return false,
    }
    true
}

/// Folds or unfolds the folder under the cursor, if it is one.
pub(super) fn open(app: &mut App) -> bool {
    let on = app.focus == Pane::Queue;
    let Some(row) = app.queue.current_folder().filter(|_| on) else {
        return false;
    };
    let (id, is) = (row.id, row.folded);
    fold(app, id, !is);
    true
}
