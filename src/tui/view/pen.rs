//! Writes what has its place in a row straight into the cells: what a queue is drawn with, line by
//! line, without a text being put together that is taken apart again.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use crate::format;

/// Writes into one row.
pub(super) struct Pen<'a> {
    buf: &'a mut Buffer,
    area: Rect,
}

impl<'a> Pen<'a> {
    /// For the first row of an area.
    pub(super) fn new(buf: &'a mut Buffer, area: Rect) -> Self {
        let height = area.height.min(1);
        let area = Rect { height, ..area };
        Self {
            area: area.intersection(buf.area),
            buf,
        }
    }

    /// Writes from this column of the row on, as far as it reaches; where it ended.
    pub(super) fn at(&mut self, column: u16, text: &str, style: Style) -> u16 {
        if column >= self.area.width || self.area.height == 0 {
            return column;
        }
        let (x, y, right) = (self.area.x + column, self.area.y, self.area.right());
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let room = usize::from(right - x);
            let (end, _) = self.buf.set_stringn(x, y, text, room, style);
            return end - self.area.x;
        }
        let start = self.buf.index_of(x, y);
        let cells = &mut self.buf.content[start..start + usize::from(right - x)];
        let mut end = column;
        for (cell, at) in cells.iter_mut().zip(0..text.len()) {
            cell.set_symbol(&text[at..=at]).set_style(style);
            end += 1;
        }
        end
    }

    /// Writes so that it ends before this column.
    pub(super) fn before(&mut self, end: u16, text: &str, style: Style) {
        let width = u16::try_from(format::width(text)).unwrap_or(u16::MAX);
        self.at(end.saturating_sub(width), text, style);
    }

    /// Fills so many cells from a column on; where that ended.
    pub(super) fn fill(&mut self, column: u16, count: u16, symbol: &str, style: Style) -> u16 {
        let end = column.saturating_add(count);
        for at in column..end.min(self.area.width) {
            let x = self.area.x + at;
            if self.area.height > 0 {
                self.buf[(x, self.area.y)]
                    .set_symbol(symbol)
                    .set_style(style);
            }
        }
        end
    }
}
