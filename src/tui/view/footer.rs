//! The last line: what is typed for the filter, what there is to say, and the keys worth knowing.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{put, queue::show_word};
use crate::{
    format,
    tui::{
        action::{Action, Pane},
        app::{App, Tone},
    },
};

/// A hint with its place, so that it can be clicked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) area: Rect,
    pub(crate) key: String,
    pub(crate) words: &'static str,
    pub(crate) action: Action,
}

const PROMPT: &str = " /";

/// Draws the footer.
pub(super) fn draw(app: &App, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    if let Some(field) = &app.typing {
        prompt(app, field, area, buf);
        return;
    }
    let (words, style) = said(app);
    put(
        buf,
        area,
        Span::styled(format::shorten_end(&words, usize::from(area.width)), style),
    );
    for hint in hints(app, area) {
        let line = Line::from(vec![
            Span::styled(hint.key, app.theme.key),
            Span::raw(" "),
            Span::styled(hint.words, app.theme.dim),
        ]);
        put(buf, hint.area, line);
    }
}

fn said(app: &App) -> (String, Style) {
    let Some(message) = &app.message else {
        return (String::new(), Style::new());
    };
    let style = match message.tone {
        Tone::Plain => app.theme.text,
        Tone::Good => app.theme.good,
        Tone::Bad => app.theme.bad,
    };
    (format!(" {}", message.words), style)
}

fn prompt(app: &App, field: &tui_input::Input, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let text = format::printable(field.value());
    let found = format!(
        "{} of {}  ",
        format::thousands(app.queue.window.matching),
        format::thousands(app.queue.window.total)
    );
    let left = Line::from(vec![
        Span::styled(PROMPT, theme.accent),
        Span::styled(text, theme.strong),
    ]);
    let right = if area.width >= 60 {
        Line::from(vec![
            Span::styled(found, theme.dim),
            Span::styled("enter", theme.key),
            Span::styled(" keep  ", theme.dim),
            Span::styled("esc", theme.key),
            Span::styled(" all ", theme.dim),
        ])
    } else {
        Line::styled(found, theme.dim)
    };
    super::left_right(buf, area, left, right);
}

/// Where the filter is typed.
pub(super) fn cursor(app: &App, area: Rect) -> Option<(u16, u16)> {
    let field = app.typing.as_ref()?;
    let column = PROMPT.len() + field.visual_cursor();
    Some((
        area.x
            + u16::try_from(column)
                .ok()?
                .min(area.width.saturating_sub(1)),
        area.y,
    ))
}

/// The hints there is room for beside the message, in the order of the table.
pub(crate) fn hints(app: &App, area: Rect) -> Vec<Hint> {
    let said = format::width(&said(app).0);
    let before = if said > 0 { said + 3 } else { 1 };
    let room = usize::from(area.width).saturating_sub(before + 1);
    let mut chosen: Vec<(u8, String, &'static str, Action)> = app
        .keys
        .hints(app.focus)
        .filter(|hint| fits_now(app, hint.3))
        .map(|(rank, key, words, action)| match action {
            Action::Show if app.queue.filter.show != crate::engine::protocol::Show::All => {
                (rank, key, show_word(app.queue.filter.show), action)
            }
            Action::Pause if crate::tui::update::held(app) => (rank, key, "resume", action),
            Action::Tree if app.queue.tree => (rank, key, "flat", action),
            Action::Fold if app.queue.current_folder().is_some_and(|one| one.folded) => {
                (rank, key, "unfold", action)
            }
            _ => (rank, key, words, action),
        })
        .collect();
    let width = |hint: &(u8, String, &str, Action)| format::width(&hint.1) + 1 + hint.2.len();
    loop {
        let needed = chosen.iter().map(width).sum::<usize>() + 2 * chosen.len().saturating_sub(1);
        if needed <= room {
            break;
        }
        let worst = chosen
            .iter()
            .enumerate()
            .max_by_key(|(index, hint)| (hint.0, *index))
            .map(|(index, _)| index);
        match worst {
            Some(index) => chosen.remove(index),
            None => break,
        };
    }
    let needed = chosen.iter().map(width).sum::<usize>() + 2 * chosen.len().saturating_sub(1);
    // Beside a message the hints keep to the right, so that they do not jump with its length.
    let start = if said > 0 {
        usize::from(area.width).saturating_sub(needed + 1)
    } else {
        1
    };
    let mut x = area
        .x
        .saturating_add(u16::try_from(start).unwrap_or(u16::MAX));
    chosen
        .into_iter()
        .map(|hint| {
            let columns = u16::try_from(width(&hint)).unwrap_or(u16::MAX);
            let place = Rect {
                x,
                width: columns,
                height: area.height.min(1),
                ..area
            };
            x = x.saturating_add(columns + 2);
            Hint {
                area: place,
                key: hint.1,
                words: hint.2,
                action: hint.3,
            }
        })
        .collect()
}

/// Hints that would only take room now are left out.
fn fits_now(app: &App, action: Action) -> bool {
    match action {
        Action::RetryFile => {
            app.summary.parts_failed > 0
                || app
                    .summary
                    .counts
                    .of(crate::engine::protocol::State::Failed)
                    > 0
        }
        Action::RetryPart => crate::tui::update::failed_under(app).is_some(),
        Action::Fold => app.queue.current_folder().is_some(),
        Action::Details => app.queue.current_folder().is_none(),
        Action::Add | Action::Mark | Action::Show | Action::Sort | Action::Filter => {
            app.focus == Pane::Queue
        }
        _ => true,
    }
}
