//! What each action does, or whose business it is.

use tui_input::Input;

use super::{Effect, dialogs, files, folding, leaving, moving, say, tuning};
use crate::{
    engine::protocol::{Command, Filter, Show, Sort, SortBy},
    tui::{
        action::{Action, Pane},
        app::{App, Dialog, Help, Marks, Tone},
        log_view::LogView,
    },
};

/// Does what was asked for.
pub(in crate::tui) fn act(app: &mut App, action: Action) -> Vec<Effect> {
    let held = app.queue.following && moving::takes_hold(app, action);
    app.queue.following &= !held;
    let mut effects = perform(app, action);
    if held {
        // Rows that are on their way are those of a screen that follows.
        effects.push(Effect::Refresh);
    }
    effects
}

fn perform(app: &mut App, action: Action) -> Vec<Effect> {
    use Action as A;
    match action {
        A::Up | A::Down | A::PageUp | A::PageDown | A::First | A::Last | A::Left | A::Right => {
            moving::go(app, action)
        }
        A::Open => open(app),
        A::Back => back(app),
        A::NextPane | A::PreviousPane => {
            next_pane(app);
            if action == A::PreviousPane && app.log_shown {
                next_pane(app);
            }
            vec![Effect::Refresh]
        }
        A::Zoom => {
            app.zoom = !app.zoom;
            moving::keep_in_view(app);
            vec![Effect::Refresh]
        }
        A::Add => dialogs::open_add(app),
        A::Pause
        | A::PauseAll
        | A::RetryFile
        | A::RetryPart
        | A::RetryAll
        | A::StartOver
        | A::Skip
        | A::Remove
        | A::MoveUp
        | A::MoveDown
        | A::MoveFirst
        | A::MoveLast => files::command(app, action),
        A::Mark | A::MarkRange | A::MarkAll => files::mark(app, action),
        A::Tree | A::Fold | A::FoldAll | A::UnfoldAll => folding::act(app, action),
        A::Details => dialogs::open_details(app),
        A::Filter => {
            app.typing = Some(Input::new(app.queue.filter.text.clone()));
            app.focus = Pane::Queue;
            Vec::new()
        }
        A::Show => {
            app.queue.filter.show = next_show(app.queue.filter.show);
            moving::from_the_top(app)
        }
        A::Sort => {
            let by = next_sort(app.queue.sort.by);
            // Of these the most is what one looks for.
            let descending = matches!(by, SortBy::Size | SortBy::Progress | SortBy::Speed);
            app.queue.sort = Sort { by, descending };
            moving::from_the_top(app)
        }
        A::Reverse => {
            app.queue.sort.descending = !app.queue.sort.descending;
            moving::from_the_top(app)
        }
        A::PartsMore
        | A::PartsLess
        | A::SizeMore
        | A::SizeLess
        | A::BandwidthMore
        | A::BandwidthLess
        | A::FilesMore
        | A::FilesLess
        | A::Tune => tuning::act(app, action),
        A::Log => {
            app.log_shown = !app.log_shown;
            if app.focus == Pane::Log {
                app.focus = Pane::Queue;
            }
            moving::keep_in_view(app);
            vec![Effect::Refresh]
        }
        A::LogMore => log(app, |log| log.change_level(1)),
        A::LogLess => log(app, |log| log.change_level(-1)),
        A::LogTarget => log(app, LogView::next_target),
        A::LogFollow => log(app, |log| log.follow(!log.following)),
        A::Summary => {
            app.dialog = Some(Dialog::Summary(0));
            Vec::new()
        }
        A::Help => {
            app.dialog = Some(Dialog::Help(Help::default()));
            Vec::new()
        }
        A::Save => vec![Effect::Command(Command::Save)],
        A::Redraw => vec![Effect::Clear],
        A::Suspend => vec![Effect::Suspend],
        A::Detach | A::Quit | A::Stop => leaving::leave(app, action),
    }
}

fn log(app: &mut App, change: impl FnOnce(&mut LogView)) -> Vec<Effect> {
    change(&mut app.log);
    Vec::new()
}

fn next_pane(app: &mut App) {
    app.focus = match app.focus {
        Pane::Queue => Pane::Parts,
        Pane::Parts if app.log_shown => Pane::Log,
        Pane::Parts | Pane::Log => Pane::Queue,
    };
    moving::keep_in_view(app);
}

fn open(app: &mut App) -> Vec<Effect> {
    if folding::open(app) {
        return vec![Effect::Refresh];
    }
    match app.focus {
        Pane::Queue => {
            app.focus = Pane::Parts;
            moving::keep_in_view(app);
        }
        Pane::Parts => {
            if moving::failed_part(app).is_some() {
                app.dialog = Some(Dialog::Part);
            } else {
                say(
                    app,
                    Tone::Plain,
                    "nothing failed in the part under the cursor",
                );
            }
        }
        Pane::Log => {}
    }
    Vec::new()
}

/// One step back: out of what was begun last.
fn back(app: &mut App) -> Vec<Effect> {
    if app.queue.anchor.take().is_some() {
    } else if app.zoom {
        app.zoom = false;
    } else if app.focus != Pane::Queue {
        app.focus = Pane::Queue;
    } else if !app.queue.marks.is_empty() {
        app.queue.marks = Marks::default();
    } else if !app.queue.filter.text.is_empty() || app.queue.filter.show != Show::All {
        app.queue.filter = Filter::default();
        return moving::from_the_top(app);
    } else if !app.queue.following {
        app.queue.following = true;
        say(app, Tone::Plain, "the cursor follows what runs");
    }
    moving::keep_in_view(app);
    vec![Effect::Refresh]
}

fn next_show(show: Show) -> Show {
    match show {
        Show::All => Show::Running,
        Show::Running => Show::Failed,
        Show::Failed => Show::Waiting,
        Show::Waiting => Show::Done,
        Show::Done => Show::All,
    }
}

fn next_sort(by: SortBy) -> SortBy {
    match by {
        SortBy::Queue => SortBy::Name,
        SortBy::Name => SortBy::Size,
        SortBy::Size => SortBy::Progress,
        SortBy::Progress => SortBy::State,
        SortBy::State => SortBy::Speed,
        SortBy::Speed => SortBy::Queue,
    }
}
