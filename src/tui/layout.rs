//! Where everything is, by the size of the terminal; the same for drawing and for the mouse.

use ratatui::layout::{Constraint, Layout, Margin, Rect};

use super::{action::Pane, app::App};

/// The panes of a screen; those that have no room have no area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Areas {
    pub(crate) header: Rect,
    pub(crate) queue: Rect,
    pub(crate) parts: Rect,
    pub(crate) log: Rect,
    pub(crate) footer: Rect,
}

impl Areas {
    pub(crate) fn pane(&self, pane: Pane) -> Rect {
        match pane {
            Pane::Queue => self.queue,
            Pane::Parts => self.parts,
            Pane::Log => self.log,
        }
    }

    /// The pane under a place.
    pub(crate) fn pane_at(&self, x: u16, y: u16) -> Option<Pane> {
        [Pane::Queue, Pane::Parts, Pane::Log]
            .into_iter()
            .find(|pane| self.pane(*pane).contains((x, y).into()))
    }
}

/// The smallest height that has room for more than the queue.
const PARTS_FROM: u16 = 18;
/// The smallest height that has room for the log as well, below the rest.
const LOG_FROM: u16 = 22;

/// Where everything is.
pub(crate) fn areas(app: &App) -> Areas {
    let size = app.size;
    let header = match size.height {
        0..=4 => 0,
        5..=9 => 1,
        10..=13 => 2,
        _ => 3,
    };
    let footer = u16::from(size.height > 2);
    let [header, body, footer] = Layout::vertical([
        Constraint::Length(header),
        Constraint::Fill(1),
        Constraint::Length(footer),
    ])
    .areas(size);
    let mut areas = Areas {
        header,
        footer,
        ..Areas::default()
    };
    split(app, body, &mut areas);
    if app.zoom || areas.pane(app.focus).is_empty() {
        areas.queue = Rect::default();
        areas.parts = Rect::default();
        areas.log = Rect::default();
        match app.focus {
            Pane::Queue => areas.queue = body,
            Pane::Parts => areas.parts = body,
            Pane::Log => areas.log = body,
        }
    }
    areas
}

fn split(app: &App, body: Rect, areas: &mut Areas) {
    let log = app.log_shown;
    let (width, height) = (app.size.width, app.size.height);
    if width >= 150 && height >= 20 {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(58), Constraint::Fill(1)]).areas(body);
        areas.queue = left;
        if log {
            [areas.parts, areas.log] =
                Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(right);
        } else {
            areas.parts = right;
        }
    } else if height < PARTS_FROM {
        areas.queue = body;
    } else if width >= 110 {
        let below = (body.height * 2 / 5).max(9);
        let [above, below] =
            Layout::vertical([Constraint::Fill(1), Constraint::Length(below)]).areas(body);
        areas.queue = above;
        if log {
            [areas.parts, areas.log] =
                Layout::horizontal([Constraint::Percentage(56), Constraint::Fill(1)]).areas(below);
        } else {
            areas.parts = below;
        }
    } else {
        let log_height = match height {
            _ if !log => 0,
            0..LOG_FROM => 0,
            LOG_FROM..32 => 4,
            _ => height / 6,
        };
        let parts = (body.height - log_height) * 2 / 5;
        [areas.queue, areas.parts, areas.log] = Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(parts.max(7)),
            Constraint::Length(log_height),
        ])
        .areas(body);
    }
}

/// What is inside a pane's border.
pub(crate) fn inside(area: Rect) -> Rect {
    area.inner(Margin::new(1, 1))
}

/// The rows of the queue: inside the border, below the names of the columns where there is room.
pub(crate) fn queue_rows(area: Rect) -> Rect {
    let inner = inside(area);
    let head = u16::from(inner.height > 4);
    Rect {
        y: inner.y + head,
        height: inner.height - head,
        ..inner
    }
}

/// A dialog of at most this size, in the middle.
pub(crate) fn centered(size: Rect, width: u16, height: u16) -> Rect {
    let width = width.min(size.width);
    let height = height.min(size.height);
    Rect {
        x: size.x + (size.width - width) / 2,
        y: size.y + (size.height - height) / 2,
        width,
        height,
    }
}

/// The grid of parts: how many cells there are and how many parts each stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) area: Rect,
    /// Parts a cell.
    pub(crate) group: u32,
    /// Cells in all.
    pub(crate) cells: u32,
}

impl Grid {
    /// A grid for `count` parts in this area, no higher than it needs to be.
    pub(crate) fn new(area: Rect, count: u32) -> Self {
        let room = u32::from(area.width) * u32::from(area.height);
        let group = count.div_ceil(room.max(1)).max(1);
        let cells = count.div_ceil(group);
        let rows = cells.div_ceil(u32::from(area.width).max(1));
        let height = u16::try_from(rows).unwrap_or(area.height).min(area.height);
        Self {
            area: Rect { height, ..area },
            group,
            cells,
        }
    }

    /// Where a cell is.
    pub(crate) fn position(&self, cell: u32) -> Option<(u16, u16)> {
        let width = u32::from(self.area.width);
        if cell >= self.cells || width == 0 {
            return None;
        }
        let x = u16::try_from(cell % width).ok()?;
        let y = u16::try_from(cell / width).ok()?;
        (y < self.area.height).then_some((self.area.x + x, self.area.y + y))
    }

    /// The cell at a place.
    pub(crate) fn cell_at(&self, x: u16, y: u16) -> Option<u32> {
        if !self.area.contains((x, y).into()) {
            return None;
        }
        let row = u32::from(y - self.area.y) * u32::from(self.area.width);
        Some(row + u32::from(x - self.area.x)).filter(|cell| *cell < self.cells)
    }
}

/// The grid of the parts pane, for `count` parts.
pub(crate) fn grid(pane: Rect, count: u32) -> Grid {
    let inner = inside(pane);
    // The first line tells of the file; half of the rest is for what is in flight.
    let below = inner.height.saturating_sub(1);
    let most = match below {
        0..=2 => below,
        3..=5 => 2,
        _ => below / 2,
    };
    Grid::new(
        Rect {
            y: inner.y + inner.height.min(1),
            height: most,
            ..inner
        },
        count,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_in_one_cell_and_every_cell_has_a_place() {
        for (width, height, count) in [(40, 3, 7), (40, 3, 120), (40, 3, 121), (7, 2, 10_000)] {
            let grid = Grid::new(Rect::new(3, 5, width, height), count);
            assert!(grid.cells * grid.group >= count && (grid.cells - 1) * grid.group < count);
            for cell in 0..grid.cells {
                let (x, y) = grid.position(cell).unwrap();
                assert_eq!(grid.cell_at(x, y), Some(cell));
            }
            assert_eq!(grid.position(grid.cells), None);
        }
    }

    #[test]
    fn a_grid_without_room_has_no_cell_to_point_at() {
        let grid = Grid::new(Rect::new(0, 0, 0, 0), 9);
        assert_eq!(grid.position(0), None);
        assert_eq!(grid.cell_at(0, 0), None);
    }
}
