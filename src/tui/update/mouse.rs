//! The mouse: select, scroll, click on a hint.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::{Effect, act, dialogs, folding, input::key_pressed, moving};
use crate::tui::{
    action::{Action, Pane},
    app::App,
    layout, view,
};

/// Rows a turn of the wheel goes.
const WHEEL: usize = 3;

/// A click or a turn of the wheel.
pub(super) fn mouse(app: &mut App, event: MouseEvent) -> Vec<Effect> {
    let (x, y) = (event.column, event.row);
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => click(app, x, y),
        MouseEventKind::ScrollUp => wheel(app, x, y, true),
        MouseEventKind::ScrollDown => wheel(app, x, y, false),
        _ => Vec::new(),
    }
}

fn click(app: &mut App, x: u16, y: u16) -> Vec<Effect> {
    if app.dialog.is_some() {
        let hit = view::dialog::clicks(app)
            .into_iter()
            .find(|(area, _)| area.contains((x, y).into()));
        return hit.map_or_else(Vec::new, |(_, code)| {
            key_pressed(
                app,
                crossterm::event::KeyEvent::new(code, KeyModifiers::NONE),
            )
        });
    }
    let areas = layout::areas(app);
    if areas.footer.contains((x, y).into()) {
        let hit = view::footer::hints(app, areas.footer)
            .into_iter()
            .find(|hint| hint.area.contains((x, y).into()));
        return hit.map_or_else(Vec::new, |hint| act(app, hint.action));
    }
    let Some(pane) = areas.pane_at(x, y) else {
        return Vec::new();
    };
    app.typing = None;
    app.focus = pane;
    app.queue.following &= pane == Pane::Log;
    match pane {
        Pane::Queue => {
            let rows = layout::queue_rows(areas.queue);
            if rows.contains((x, y).into()) {
                let index = app.queue.offset + usize::from(y - rows.y);
                if index < app.queue.window.length {
                    moving::go_to(app, index);
                }
                if view::queue::fold_glyph(app, rows, index) == Some(x) {
                    folding::open(app);
                }
            }
        }
        Pane::Parts => {
            let cell = moving::grid(app).and_then(|grid| {
                let cell = grid.cell_at(x, y)?;
                Some(cell * grid.group)
            });
            if let Some(part) = cell {
                app.parts.cursor = part;
            }
        }
        Pane::Log => {}
    }
    vec![Effect::Refresh]
}

fn wheel(app: &mut App, x: u16, y: u16, up: bool) -> Vec<Effect> {
    if app.dialog.is_some() {
        dialogs::scroll(app, if up { -3 } else { 3 });
        return Vec::new();
    }
    match layout::areas(app).pane_at(x, y) {
        Some(Pane::Queue) => {
            let cursor = app.queue.cursor;
            app.queue.following = false;
            moving::go_to(
                app,
                if up {
                    cursor.saturating_sub(WHEEL)
                } else {
                    cursor + WHEEL
                },
            );
            vec![Effect::Refresh]
        }
        Some(Pane::Log) => {
            app.log.page(up);
            Vec::new()
        }
        Some(Pane::Parts) if app.focus == Pane::Parts => {
            act(app, if up { Action::Left } else { Action::Right })
        }
        _ => Vec::new(),
    }
}
