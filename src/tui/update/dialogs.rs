//! Keys while a dialog lies over the screen.

use crossterm::event::{Event, KeyCode, KeyEvent};
use tui_input::{Input, backend::crossterm::EventHandler as _};

use super::{Effect, WALK_SHOWS, leaving, leaving::stop, say, tuning};
use crate::{
    engine::protocol::{Command, Query},
    format,
    tui::{
        Exit,
        action::Action,
        app::{Add, AddField, App, Dialog, Help, Marks, Tone},
        view,
    },
};

/// A key while a dialog is open; `action` is what the key means outside of it.
pub(super) fn key(app: &mut App, key: KeyEvent, action: Option<Action>) -> Vec<Effect> {
    match &mut app.dialog {
        Some(Dialog::Help(_)) => help_key(app, key),
        Some(Dialog::Add(_)) => add_key(app, key, action),
        Some(Dialog::Tuning(_)) => tuning::key(app, key, action),
        Some(Dialog::Confirm(confirm)) => match key.code {
            KeyCode::Enter | KeyCode::Char('y') => {
                let command = confirm.command.clone();
                app.dialog = None;
                if matches!(command, Command::Remove(_)) {
                    app.queue.marks = Marks::default();
                }
                vec![Effect::Command(command)]
            }
            _ => close(app, key, action),
        },
        Some(Dialog::Quit) => match key.code {
            KeyCode::Char('d' | 'D') if leaving::can_detach(app) => {
                vec![Effect::Leave(Exit::Detached)]
            }
            KeyCode::Char('s' | 'y') => stop(app),
            KeyCode::Enter if !app.attached => stop(app),
            KeyCode::Enter => vec![Effect::Leave(Exit::Detached)],
            _ if action == Some(Action::Quit) && !app.attached => stop(app),
            _ => close(app, key, action),
        },
        Some(Dialog::Summary(_)) if action == Some(Action::Quit) => {
            app.dialog = None;
            leaving::leave(app, Action::Quit)
        }
        Some(Dialog::Summary(_)) if action == Some(Action::RetryAll) => {
            app.dialog = None;
            super::act(app, Action::RetryAll)
        }
        Some(Dialog::Details(..) | Dialog::Summary(_)) => scroll_or_close(app, key, action),
        Some(Dialog::Part) if matches!(action, Some(Action::RetryPart | Action::RetryFile)) => {
            app.dialog = None;
            super::act(app, action.unwrap_or(Action::RetryPart))
        }
        Some(Dialog::Part) => close(app, key, action),
        None => Vec::new(),
    }
}

/// Lines a page goes.
const PAGE: i16 = 8;

/// Moves through a dialog that says more than it has room for, no further than there is something.
pub(super) fn scroll(app: &mut App, lines: i16) {
    let most = view::dialog::hidden(app);
    if let Some(
        Dialog::Help(Help { scroll, .. }) | Dialog::Details(_, scroll) | Dialog::Summary(scroll),
    ) = &mut app.dialog
    {
        *scroll = (*scroll).min(most).saturating_add_signed(lines).min(most);
    }
}

fn scroll_or_close(app: &mut App, key: KeyEvent, action: Option<Action>) -> Vec<Effect> {
    match action {
        Some(Action::Up) => scroll(app, -1),
        Some(Action::Down) => scroll(app, 1),
        Some(Action::PageUp) => scroll(app, -PAGE),
        Some(Action::PageDown) => scroll(app, PAGE),
        Some(Action::First) => scroll(app, i16::MIN),
        Some(Action::Last) => scroll(app, i16::MAX),
        _ => return close(app, key, action),
    }
    Vec::new()
}

fn close(app: &mut App, key: KeyEvent, action: Option<Action>) -> Vec<Effect> {
    let closes = matches!(
        key.code,
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('n' | ' ')
    ) || matches!(
        action,
        Some(Action::Back | Action::Quit | Action::Details | Action::Summary)
    );
    if closes {
        app.dialog = None;
    }
    Vec::new()
}

fn help_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(Dialog::Help(help)) = &mut app.dialog else {
        return Vec::new();
    };
    match key.code {
        KeyCode::Esc if !help.search.value().is_empty() => help.search.reset(),
        KeyCode::Esc | KeyCode::Enter | KeyCode::F(1) => app.dialog = None,
        KeyCode::Char('?' | 'q') if help.search.value().is_empty() => app.dialog = None,
        KeyCode::Up => scroll(app, -1),
        KeyCode::Down => scroll(app, 1),
        KeyCode::PageUp => scroll(app, -PAGE),
        KeyCode::PageDown => scroll(app, PAGE),
        _ => {
            help.search.handle_event(&Event::Key(key));
            help.scroll = 0;
        }
    }
    Vec::new()
}

pub(super) fn open_details(app: &mut App) -> Vec<Effect> {
    let Some(id) = app.queue.upload() else {
        say(app, Tone::Plain, "details are of a file; this is none");
        return Vec::new();
    };
    app.dialog = Some(Dialog::Details(None, 0));
    vec![Effect::Ask(Query::Details(id))]
}

pub(super) fn open_add(app: &mut App) -> Vec<Effect> {
    let add = Add {
        here: app.here.clone(),
        home: app.home.clone(),
        ..Add::default()
    };
    let (folder, _) = add.place();
    app.dialog = Some(Dialog::Add(Box::new(add)));
    vec![Effect::List(folder)]
}

/// Reads the folder that is typed now, if its entries are not the ones at hand.
pub(super) fn after_typing(app: &mut App) -> Vec<Effect> {
    let Some(Dialog::Add(add)) = &mut app.dialog else {
        return Vec::new();
    };
    add.chosen = None;
    add.answer = None;
    let (folder, _) = add.place();
    let mut effects = count_anew(app);
    if let Some(Dialog::Add(add)) = &app.dialog
        && folder != add.listing.folder
    {
        effects.push(Effect::List(folder));
    }
    effects
}

/// Has what would be queued counted, where that is no longer the same.
fn count_anew(app: &App) -> Vec<Effect> {
    let Some(Dialog::Add(add)) = &app.dialog else {
        return Vec::new();
    };
    match (add.wanted(), &add.estimate) {
        (Some(wanted), Some((counted, _))) if wanted == *counted => Vec::new(),
        (Some(wanted), _) => vec![Effect::Estimate(wanted)],
        (None, _) => Vec::new(),
    }
}

fn add_key(app: &mut App, key: KeyEvent, action: Option<Action>) -> Vec<Effect> {
    let Some(Dialog::Add(add)) = &mut app.dialog else {
        return Vec::new();
    };
    if add.walking.is_some() {
        // Whoever adds several does not wait for the first walk to end.
        if action == Some(Action::Add) {
            return open_add(app);
        }
        if matches!(key.code, KeyCode::Esc | KeyCode::Enter) {
            app.dialog = None;
            say(
                app,
                Tone::Plain,
                "the walk goes on; the header shows how far it is",
            );
        }
        return Vec::new();
    }
    let count = add.matching().len();
    match key.code {
        KeyCode::Esc => app.dialog = None,
        KeyCode::Enter => return hand_over(app),
        KeyCode::BackTab => {
            add.field = match add.field {
                AddField::Path => AddField::Include,
                AddField::Include => AddField::Exclude,
                AddField::Exclude => AddField::Path,
            };
        }
        KeyCode::Tab if add.field != AddField::Path => add.field = AddField::Path,
        KeyCode::Tab => return complete(app),
        KeyCode::Right
            if add.chosen.is_some() || add.path.cursor() == add.path.value().chars().count() =>
        {
            return complete(app);
        }
        KeyCode::Down if count > 0 => {
            add.chosen = Some(add.chosen.map_or(0, |index| (index + 1).min(count - 1)));
            return count_anew(app);
        }
        KeyCode::PageDown if count > 0 => {
            add.chosen = Some(add.chosen.map_or(0, |index| (index + 10).min(count - 1)));
            return count_anew(app);
        }
        KeyCode::Up => {
            add.chosen = add.chosen.and_then(|index| index.checked_sub(1));
            return count_anew(app);
        }
        KeyCode::PageUp => {
            add.chosen = add.chosen.map(|index| index.saturating_sub(10));
            return count_anew(app);
        }
        KeyCode::Left if add.chosen.is_some() => return up_a_folder(app),
        _ => {
            add.input().handle_event(&Event::Key(key));
            return after_typing(app);
        }
    }
    Vec::new()
}

fn up_a_folder(app: &mut App) -> Vec<Effect> {
    if let Some(Dialog::Add(add)) = &mut app.dialog {
        let (folder, _) = add.place();
        if let Some(parent) = folder.parent() {
            let text = parent.to_string_lossy();
            add.path = Input::new(format!("{}/", text.trim_end_matches('/')));
        }
    }
    after_typing(app)
}

/// Completes what is typed: with the chosen entry, else with what all that match begin with.
fn complete(app: &mut App) -> Vec<Effect> {
    let Some(Dialog::Add(add)) = &mut app.dialog else {
        return Vec::new();
    };
    let matching = add.matching();
    let chosen = add.chosen.and_then(|index| matching.get(index).copied());
    let one = match matching.as_slice() {
        [only] => Some(*only),
        _ => chosen,
    };
    let (_, begin) = add.place();
    let name = match one {
        Some(entry) if entry.folder => format!("{}/", entry.name),
        Some(entry) => entry.name.clone(),
        None => common_beginning(matching.iter().map(|entry| entry.name.as_str())),
    };
    if name.len() > begin.len() {
        let kept = add.path.value().len() - begin.len();
        let text = format!("{}{name}", &add.path.value()[..kept]);
        add.path = Input::new(text);
    }
    after_typing(app)
}

fn common_beginning<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let Some(first) = names.next() else {
        return String::new();
    };
    let mut common = first;
    for name in names {
        let same = common
            .char_indices()
            .zip(name.chars())
            .find(|((_, one), other)| one != other)
            .map_or(common.len().min(name.len()), |((at, _), _)| at);
        common = &common[..same];
    }
    common.to_owned()
}

/// Hands what was chosen to the engine; from then on the dialog shows its walk.
fn hand_over(app: &mut App) -> Vec<Effect> {
    let Some(Dialog::Add(add)) = &mut app.dialog else {
        return Vec::new();
    };
    let Some(paths) = add.wanted() else {
        add.answer = Some((true, "type a path or choose one below".to_owned()));
        return Vec::new();
    };
    add.walking = Some(app.now);
    add.before = app.summary.counts.total();
    add.answer = None;
    vec![Effect::Command(Command::Add(paths))]
}

/// Ends the add dialog once its walk is over, saying what it brought.
pub(super) fn walk_went_on(app: &mut App) {
    let Some(Dialog::Add(add)) = &app.dialog else {
        return;
    };
    let (Some(since), Some((false, _)), None) = (add.walking, &add.answer, &app.summary.walk)
    else {
        return;
    };
    if app.now.saturating_sub(since) < WALK_SHOWS {
        return;
    }
    let queued = app.summary.counts.total().saturating_sub(add.before);
    app.dialog = None;
    let words = if queued == 0 {
        "no media was found there; the log says what was left out".to_owned()
    } else {
        format!("{} queued", format::count(queued, "file"))
    };
    say(app, Tone::Good, words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_goes_as_far_as_all_names_agree() {
        let common = |names: &[&str]| common_beginning(names.iter().copied());
        assert_eq!(common(&["wedding-1.mov", "wedding-2.mov"]), "wedding-");
        assert_eq!(common(&["äb", "äc"]), "ä");
        assert_eq!(common(&["ab", "abc"]), "ab");
        assert_eq!(common(&[]), "");
    }
}
