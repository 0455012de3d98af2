//! What each message changes: the only place where [`App`] changes. Pure: whatever has to be done
//! outside comes back as [`Effect`]s.

mod acting;
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

pub(super) use acting::act;
pub(super) use files::held;
pub(super) use leaving::{can_detach, outlives};
pub(super) use moving::{cell_parts as part_under, failed_part as failed_under};

use super::{
    Exit,
    app::{App, Dialog, Estimate, Eta, Found, Leaving, Listing, Message, Tone},
};
use crate::{
    engine::protocol::{
        AddPaths, Command, Details, Outcome, Parts, Phase, Preview, Query, Summary, UploadId,
        Window, WindowQuery,
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
        app.dialog = Some(Dialog::Summary(0));
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
