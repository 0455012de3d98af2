//! What is typed, pasted or clicked, and a new size: which action that is, or where it goes as text.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use tui_input::{Input, backend::crossterm::EventHandler as _};

use super::{Effect, act, dialogs, mouse, moving, say};
use crate::tui::{
    action::Action,
    app::{App, Dialog, Tone},
    keys::KeyMap,
};

pub(super) fn input(app: &mut App, event: &Event) -> Vec<Effect> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key_pressed(app, *key),
        Event::Mouse(mouse) => mouse::mouse(app, *mouse),
        Event::Resize(width, height) => {
            app.size = Rect::new(0, 0, *width, *height);
            moving::keep_in_view(app);
            vec![Effect::Refresh]
        }
        Event::Paste(text) => {
            paste(app, text);
            dialogs::after_typing(app)
        }
        _ => Vec::new(),
    }
}

/// Pasted text goes where text is typed; its lines become one.
fn paste(app: &mut App, text: &str) {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let field = match (&mut app.typing, &mut app.dialog) {
        (Some(field), _) => field,
        (None, Some(Dialog::Add(add))) => add.input(),
        (None, Some(Dialog::Help(help))) => &mut help.search,
        _ => return,
    };
    let joined = format!("{}{text}", field.value());
    *field = Input::new(joined);
}

pub(super) fn key_pressed(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let action = app.keys.action(app.focus, key);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    if alt && action.is_none() && matches!(key.code, KeyCode::Char(_)) {
        // A line that gathers what is typed makes this of esc and the next key.
        let next = KeyEvent::new(key.code, key.modifiers - KeyModifiers::ALT);
        let mut effects = key_pressed(app, KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
        effects.extend(key_pressed(app, next));
        return effects;
    }
    // These work wherever one is, unless their key is one that is typed.
    let typed = matches!(key.code, KeyCode::Char(_))
        && !alt
        && !key.modifiers.contains(KeyModifiers::CONTROL);
    if let (Some(action @ (Action::Stop | Action::Suspend | Action::Redraw)), false) =
        (action, typed)
    {
        return act(app, action);
    }
    if app.dialog.is_some() {
        return dialogs::key(app, key, action);
    }
    if app.typing.is_some() {
        return filter_key(app, key);
    }
    if let Some(action) = action {
        return act(app, action);
    }
    if typed {
        let (key, help) = (KeyMap::name(key), app.key(Action::Help));
        let words = format!("{key} does nothing here; {help} shows the keys");
        say(app, Tone::Plain, words);
    }
    Vec::new()
}

fn filter_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    use KeyCode::{Down, Enter, Esc, Up};
    let Some(field) = &mut app.typing else {
        return Vec::new();
    };
    match key.code {
        Enter => app.typing = None,
        Esc => {
            app.typing = None;
            moving::set_filter_text(app, String::new());
        }
        Up => return act(app, Action::Up),
        Down => return act(app, Action::Down),
        _ => {
            field.handle_event(&Event::Key(key));
            let text = field.value().to_owned();
            moving::set_filter_text(app, text);
        }
    }
    vec![Effect::Refresh]
}
