//! What lies over the screen: the frame of every dialog, its keys, and the questions.

use crossterm::event::KeyCode;
use ratatui::{
    buffer::Buffer,
    layout::{Margin, Rect},
    text::{Line, Span},
    widgets::{Block, Clear, Widget as _},
};

use super::{add, details, help, parts::again, put, row, summary, tuning, wrap};
use crate::{
    engine::protocol::State,
    format::{self, printable},
    tui::{
        Detach,
        action::Action,
        app::{App, Confirm, Dialog, Help},
        layout::centered,
        update::failed_under,
    },
};

/// A key of a dialog: as it is shown, as it is pressed, what it does.
pub(super) type DialogKey = (String, KeyCode, &'static str);

/// Draws the open dialog, if there is one.
pub(super) fn draw(app: &App, buf: &mut Buffer) {
    let Some(dialog) = &app.dialog else {
        return;
    };
    let (title, area) = frame(app, dialog);
    let area = area.intersection(buf.area);
    Clear.render(area, buf);
    Block::bordered()
        .border_set(app.theme.glyphs.borders)
        .border_style(app.theme.border_focus)
        .title(Span::styled(
            format!(
                " {} ",
                format::shorten_end(
                    &printable(&title),
                    usize::from(area.width.saturating_sub(6))
                )
            ),
            app.theme.strong,
        ))
        .render(area, buf);
    let inner = inside(area);
    match dialog {
        Dialog::Help(state) => help::draw(app, state, inner, buf),
        Dialog::Add(state) => add::draw(app, state, inner, buf),
        Dialog::Tuning(state) => tuning::draw(app, state, inner, buf),
        Dialog::Details(state, scroll) => {
            details::draw(app, state.as_deref(), *scroll, inner, buf);
        }
        Dialog::Summary(scroll) => summary::draw(app, *scroll, inner, buf),
        Dialog::Confirm(confirm) => lines(app, &confirm.lines, inner, buf),
        Dialog::Quit => lines(app, &quit_lines(app), inner, buf),
        Dialog::Part => lines(app, &part_lines(app, inner.width), inner, buf),
    }
    if let Some(words) = further(app, dialog) {
        let width = u16::try_from(words.len()).unwrap_or(u16::MAX);
        let place = Rect {
            x: area.right().saturating_sub(width + 2).max(area.x),
            y: area.bottom().saturating_sub(1),
            width: width.min(area.width),
            height: 1.min(area.height),
        };
        put(buf, place, Span::styled(words, app.theme.dim));
    }
    for (area, key, words) in placed(app, dialog) {
        let line = Line::from(vec![
            Span::styled(key.0, app.theme.key),
            Span::raw(" "),
            Span::styled(words, app.theme.dim),
        ]);
        put(buf, area, line);
    }
}

/// What is inside, without the line of keys at the end.
fn inside(area: Rect) -> Rect {
    let inner = area.inner(Margin::new(2, 1));
    Rect {
        height: inner.height.saturating_sub(2),
        ..inner
    }
}

/// How many lines of the open dialog there is no room for at once.
pub(crate) fn hidden(app: &App) -> u16 {
    let Some(dialog) = &app.dialog else { return 0 };
    let inner = inside(frame(app, dialog).1);
    match dialog {
        Dialog::Help(help) => help::hidden(app, help, inner),
        Dialog::Details(Some(details), _) => details::hidden(app, details, inner),
        Dialog::Summary(_) => summary::hidden(app, inner),
        _ => 0,
    }
}

/// How much is further down, where a dialog says more than it has room for.
fn further(app: &App, dialog: &Dialog) -> Option<String> {
    let (Dialog::Help(Help { scroll, .. }) | Dialog::Details(_, scroll) | Dialog::Summary(scroll)) =
        dialog
    else {
        return None;
    };
    match (hidden(app), hidden(app).saturating_sub(*scroll)) {
        (0, _) => None,
        (_, 0) => Some(" end ".to_owned()),
        (_, left) => Some(format!(
            " {} further down ",
            format::count(left.into(), "line")
        )),
    }
}

/// The height of a dialog that takes what there is, and leaves a tall screen its first and last line.
fn below_the_header(height: u16) -> u16 {
    match height {
        0..14 => height,
        _ => height - 2,
    }
}

fn frame(app: &App, dialog: &Dialog) -> (String, Rect) {
    let size = app.size;
    let tall = |lines: usize| u16::try_from(lines + 4).unwrap_or(u16::MAX);
    match dialog {
        Dialog::Help(_) => (
            "Keys".to_owned(),
            centered(
                size,
                if size.width >= 130 { 126 } else { 74 },
                below_the_header(size.height).min(46),
            ),
        ),
        Dialog::Add(_) => (
            "Add files and folders".to_owned(),
            centered(size, 84, size.height.saturating_sub(2).clamp(10, 26)),
        ),
        Dialog::Tuning(_) => ("Tune".to_owned(), centered(size, 66, 13)),
        Dialog::Details(..) => (
            "Details".to_owned(),
            centered(
                size,
                96,
                tall(details::height(app, dialog)).min(below_the_header(size.height)),
            ),
        ),
        Dialog::Summary(_) => (
            match super::header::ended_well(app) {
                _ if app.summary.counts.unsettled() > 0 => "So far",
                true => "Everything is done",
                false => "All settled",
            }
            .to_owned(),
            centered(
                size,
                68,
                tall(summary::height(app, size.width.min(68).saturating_sub(4))),
            ),
        ),
        Dialog::Confirm(Confirm { title, lines, .. }) => {
            (title.clone(), centered(size, 68, tall(lines.len())))
        }
        Dialog::Quit => (
            "Quit?".to_owned(),
            centered(size, 68, tall(quit_lines(app).len())),
        ),
        Dialog::Part => (
            "A part that failed".to_owned(),
            centered(size, 76, tall(part_lines(app, 72).len())),
        ),
    }
}

fn lines(app: &App, lines: &[String], area: Rect, buf: &mut Buffer) {
    for (index, line) in lines.iter().enumerate() {
        let style = if index == 0 {
            app.theme.strong
        } else {
            app.theme.text
        };
        let place = row(area, u16::try_from(index).unwrap_or(u16::MAX));
        put(
            buf,
            place,
            Span::styled(format::shorten_end(line, usize::from(area.width)), style),
        );
    }
}

/// What quitting now means.
fn quit_lines(app: &App) -> Vec<String> {
    let summary = &app.summary;
    let left = format::count(App::left(&summary.counts), "file");
    let parts = usize::try_from(summary.parts_running).unwrap_or(usize::MAX);
    if app.attached {
        return vec![
            format!("{left} left in this session."),
            String::new(),
            "Leave it running without this screen, or stop it? Stopped,".to_owned(),
            "it is saved, and \"reelhaul resume\" goes on where it was.".to_owned(),
        ];
    }
    let mut lines = vec![format!("{left} not uploaded yet.")];
    lines.push(String::new());
    if parts > 0 {
        lines.push(format!(
            "{} in flight will be waited for; nothing new begins.",
            format::count(parts, "part")
        ));
    }
    if summary.walk.is_some() {
        lines.push("The walk through the folders ends where it is.".to_owned());
    }
    lines.push("The session is saved; \"reelhaul resume\" goes on where it was.".to_owned());
    lines
}

/// The story of the failed part under the cursor.
fn part_lines(app: &App, width: u16) -> Vec<String> {
    let Some(part) = failed_under(app) else {
        return vec!["It has not failed any more.".to_owned()];
    };
    let mut lines = vec![format!(
        "Part {}, tried {}",
        part.number,
        format::count(usize::try_from(part.attempts).unwrap_or(0), "time")
    )];
    if let Some(status) = part.error.status {
        lines.push(format!("HTTP status {status}"));
    }
    lines.push(String::new());
    lines.extend(wrap(&printable(&part.error.message), usize::from(width)));
    lines.push(String::new());
    lines.push(match part.retry_in_ms {
        Some(ms) => format!("It is tried {}.", again(part, ms)),
        None => format!("What can be done: {}.", part.error.kind.next_step()),
    });
    lines
}

/// The keys of the open dialog.
fn keys(app: &App, dialog: &Dialog) -> Vec<DialogKey> {
    let key = |label: &str, code: KeyCode, words: &'static str| (label.to_owned(), code, words);
    let act = |action: Action, code: KeyCode, words: &'static str| (app.key(action), code, words);
    let esc = |words| key("esc", KeyCode::Esc, words);
    let scroll = key("↑↓", KeyCode::PageDown, "scroll");
    match dialog {
        Dialog::Help(_) | Dialog::Details(..) if hidden(app) > 0 => {
            vec![esc("close"), scroll]
        }
        Dialog::Help(_) | Dialog::Details(..) => vec![esc("close")],
        Dialog::Add(state) if state.walking.is_some() => vec![esc("close")],
        Dialog::Add(_) => vec![
            key("enter", KeyCode::Enter, "add"),
            key("tab", KeyCode::Tab, "complete"),
            key("↑↓", KeyCode::Down, "choose"),
            key("shift-tab", KeyCode::BackTab, "only / not"),
            esc("close"),
        ],
        Dialog::Tuning(state) if state.typed.is_some() => {
            vec![key("enter", KeyCode::Enter, "ok"), esc("as it was")]
        }
        Dialog::Tuning(_) => vec![
            key("enter", KeyCode::Enter, "take"),
            key("←→", KeyCode::Right, "change"),
            key("↑↓", KeyCode::Tab, "choose"),
            key("0-9", KeyCode::Backspace, "type"),
            esc("leave as it is"),
        ],
        Dialog::Summary(_) => {
            let mut keys = vec![esc("close")];
            if hidden(app) > 0 {
                keys.push(scroll);
            }
            if app.summary.counts.of(State::Failed) > 0 {
                keys.push(act(
                    Action::RetryAll,
                    KeyCode::Char('R'),
                    "try failed ones again",
                ));
            }
            keys.push(act(Action::Quit, KeyCode::Char('q'), "quit"));
            keys
        }
        Dialog::Confirm(confirm) => vec![
            key("enter", KeyCode::Enter, confirm.yes),
            esc("leave as it is"),
        ],
        Dialog::Quit if app.attached => vec![
            key("d", KeyCode::Char('d'), "leave it running"),
            key("s", KeyCode::Char('s'), "stop it"),
            esc("stay"),
        ],
        Dialog::Quit if app.detach != Detach::Never => vec![
            key("enter", KeyCode::Enter, "quit"),
            key("d", KeyCode::Char('d'), "leave it running"),
            esc("stay"),
        ],
        Dialog::Quit => vec![key("enter", KeyCode::Enter, "quit"), esc("stay")],
        Dialog::Part => vec![
            act(Action::RetryPart, KeyCode::Char('t'), "try it again now"),
            esc("close"),
        ],
    }
}

/// The keys with their places on the last line of the dialog.
fn placed(app: &App, dialog: &Dialog) -> Vec<(Rect, (String, KeyCode), &'static str)> {
    let (_, area) = frame(app, dialog);
    let inner = area.inner(Margin::new(2, 1));
    if inner.is_empty() {
        return Vec::new();
    }
    let mut x = inner.x;
    let mut out = Vec::new();
    for (mut label, code, words) in keys(app, dialog) {
        if app.theme.glyphs.ascii {
            label = label.replace("↑↓", "up/down").replace("←→", "left/right");
        }
        let width = format::width(&label) + 1 + words.len();
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        if x.saturating_add(width) > inner.right() {
            continue;
        }
        let place = Rect::new(x, inner.bottom() - 1, width, 1);
        out.push((place, (label, code), words));
        x += width + 2;
    }
    out
}

/// What can be clicked on in the open dialog, and the key it stands for.
pub(crate) fn clicks(app: &App) -> Vec<(Rect, KeyCode)> {
    app.dialog.as_ref().map_or_else(Vec::new, |dialog| {
        placed(app, dialog)
            .into_iter()
            .map(|(area, (_, code), _)| (area, code))
            .collect()
    })
}

/// Where text is typed in the open dialog.
pub(super) fn cursor(app: &App) -> Option<(u16, u16)> {
    let dialog = app.dialog.as_ref()?;
    let inner = inside(frame(app, dialog).1);
    match dialog {
        Dialog::Help(state) => help::cursor(state, inner),
        Dialog::Add(state) => add::cursor(state, inner),
        Dialog::Tuning(state) => tuning::cursor(state, inner),
        _ => None,
    }
}
