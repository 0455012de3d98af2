//! What each message changes: the only place where [`App`] changes. Pure: whatever has to be done
//! outside comes back as [`Effect`]s.

mod dialogs;
mod files;
mod folding;
mod input;
mod leaving;
mod mouse;
pub(super) mod moving;
pub(super) mod tuning;

use std::{path::PathBuf, time::Duration};

use crossterm::event::Event;
use tui_input::Input;

pub(super) use files::held;
pub(super) use leaving::outlives;
pub(super) use moving::{cell_parts as part_under, failed_part as failed_under};

use super::{
    Exit,
    action::{Action, Pane},
    app::{App, Dialog, Estimate, Eta, Found, Leaving, Listing, Message, Tone},
};
use crate::{
    engine::protocol::{
        AddPaths, Command, Details, Outcome, Parts, Phase, Preview, Query, Show, Sort, SortBy,
        Summary, UploadId, Window, WindowQuery,
    },
    format,
    settings::Settings,
};

/// How long a message stays.
const MESSAGE: Duration = Duration::from_secs(6);
/// How long a walk may take to show itself.
pub(super) const WALK_SHOWS: Duration = Duration::from_millis(600);

/// What happened.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Time went on, to this much since the screen was opened.
    Clock(Duration),
    /// Key, mouse, paste, new size.
    Input(Event),
    /// The engine told the session at a glance.
    Summary(Box<Summary>),
    /// Rows came, for this query.
    Window(WindowQuery, Window),
    /// Parts came.
    Parts(UploadId, Option<Parts>),
    /// Details came.
    Details(Option<Box<Details>>),
    /// The engine said what these settings would do.
    Preview(Settings, Preview),
    /// What is in a range that was marked.
    Marked(Vec<Found>),
    /// The engine answered a command.
    Outcome {
        /// What it was about.
        of: Answered,
        /// The answer.
        outcome: Outcome,
    },
    /// A folder was read.
    Listing(Listing),
    /// What these paths would bring was counted, or is being counted.
    Estimate(AddPaths, Estimate),
    /// There is something new in the log.
    Logged,
    /// Whether the engine keeps us waiting.
    Busy(bool),
    /// The engine is gone.
    Gone,
}

/// Which commands' answers are not just words for the footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The add dialog waits for it.
    Add,
    Other,
}

/// What has to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Tell the engine.
    Command(Command),
    /// Ask the engine, once.
    Ask(Query),
    /// Ask for the rows and the parts on the screen anew.
    Refresh,
    /// Find what is in these lines.
    Mark(WindowQuery),
    /// Read this folder.
    List(PathBuf),
    /// Count what these paths would bring, and nothing else.
    Estimate(AddPaths),
    /// Put the program to sleep.
    Suspend,
    /// Draw everything anew.
    Clear,
    /// Leave.
    Leave(Exit),
}

/// Takes a message in and says what follows from it.
pub(crate) fn update(app: &mut App, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Clock(now) => {
            app.now = now;
            if app.message.as_ref().is_some_and(|said| said.until <= now) {
                app.message = None;
            }
            dialogs::walk_went_on(app);
            Vec::new()
        }
        Msg::Input(event) => input::input(app, &event),
        Msg::Summary(summary) => summary_came(app, *summary),
        Msg::Window(query, window) => moving::window_came(app, &query, window),
        Msg::Parts(upload, parts) => {
            if app.queue.upload() == Some(upload) {
                app.parts.parts = parts;
                moving::keep_part_cursor(app);
            }
            Vec::new()
        }
        Msg::Details(details) => {
            if let Some(Dialog::Details(shown, _)) = &mut app.dialog {
                let of = |details: &Option<Box<Details>>| Some(details.as_ref()?.row.id);
                if details.is_some() {
                    // One may look at another file before the answer for the last came.
                    if shown.is_none() || of(shown) == of(&details) {
                        *shown = details;
                    }
                } else {
                    app.dialog = None;
                    say(app, Tone::Bad, "that file is no longer in the queue");
                }
            }
            Vec::new()
        }
        Msg::Preview(settings, preview) => {
            if let Some(Dialog::Tuning(tuning)) = &mut app.dialog {
                tuning.preview = Some((settings, preview));
            }
            Vec::new()
        }
        Msg::Marked(found) => {
            files::mark_found(app, found);
            Vec::new()
        }
        Msg::Outcome { of, outcome } => {
            outcome_came(app, of, outcome);
            vec![Effect::Refresh]
        }
        Msg::Listing(listing) => {
            // While one types, folders may be read in another order than they were asked for.
            if let Some(Dialog::Add(add)) = &mut app.dialog
                && listing.folder == add.place().0
            {
                add.listing = listing;
                add.chosen = None;
            }
            Vec::new()
        }
        Msg::Estimate(paths, estimate) => {
            if let Some(Dialog::Add(add)) = &mut app.dialog {
                add.estimate = Some((paths, estimate));
            }
            Vec::new()
        }
        Msg::Logged => Vec::new(),
        Msg::Busy(busy) => {
            app.busy = busy;
            Vec::new()
        }
        Msg::Gone => vec![Effect::Leave(if app.leaving > Leaving::No {
            leaving::end_of(app)
        } else {
            Exit::EngineGone
        })],
    }
}

/// Says something for a moment.
pub(super) fn say(app: &mut App, tone: Tone, words: impl Into<String>) {
    app.message = Some(Message {
        tone,
        words: format::printable(&words.into()),
        until: app.now + MESSAGE,
    });
}

fn summary_came(app: &mut App, summary: Summary) -> Vec<Effect> {
    let was = app.summary.phase;
    app.eta.tell(app.now, summary.eta);
    if summary.eta.is_none() {
        app.eta = Eta::default();
    }
    app.summary = summary;
    dialogs::walk_went_on(app);
    let phase = app.summary.phase;
    let ended = phase == Phase::Settled && was == Phase::Running && leaving::is_an_end(app);
    let free = app.dialog.is_none() && app.typing.is_none();
    if ended && free && app.summary.counts.total() > 0 {
        app.dialog = Some(Dialog::Summary);
    }
    if phase == Phase::Stopped {
        return vec![Effect::Leave(leaving::end_of(app))];
    }
    match &mut app.dialog {
        Some(Dialog::Tuning(tuning)) => {
            tuning::others_tuned(tuning, &app.summary.settings);
            // What a change would do is another thing with every part that goes out.
            let mut effects = vec![Effect::Refresh];
            effects.extend(tuning::preview(tuning));
            effects
        }
        Some(Dialog::Details(Some(details), _)) => {
            let id = details.row.id;
            vec![Effect::Refresh, Effect::Ask(Query::Details(id))]
        }
        _ => vec![Effect::Refresh],
    }
}

fn outcome_came(app: &mut App, of: Answered, outcome: Outcome) {
    let tone = if outcome.refused {
        Tone::Bad
    } else {
        Tone::Plain
    };
    if let (Answered::Add, Some(Dialog::Add(add))) = (of, &mut app.dialog) {
        if outcome.refused {
            add.walking = None;
        }
        add.answer = Some((outcome.refused, format::printable(&outcome.words)));
    } else if !outcome.words.is_empty() {
        say(app, tone, outcome.words);
    }
}

/// Does what was asked for.
pub(super) fn act(app: &mut App, action: Action) -> Vec<Effect> {
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
        A::LogTarget => log(app, super::log_view::LogView::next_target),
        A::LogFollow => log(app, |log| log.follow(!log.following)),
        A::Summary => {
            app.dialog = Some(Dialog::Summary);
            Vec::new()
        }
        A::Help => {
            app.dialog = Some(Dialog::Help(super::app::Help::default()));
            Vec::new()
        }
        A::Save => vec![Effect::Command(Command::Save)],
        A::Redraw => vec![Effect::Clear],
        A::Suspend => vec![Effect::Suspend],
        A::Detach | A::Quit | A::Stop => leaving::leave(app, action),
    }
}

fn log(app: &mut App, change: impl FnOnce(&mut super::log_view::LogView)) -> Vec<Effect> {
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
        app.queue.marks = super::app::Marks::default();
    } else if !app.queue.filter.text.is_empty() || app.queue.filter.show != Show::All {
        app.queue.filter = crate::engine::protocol::Filter::default();
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
