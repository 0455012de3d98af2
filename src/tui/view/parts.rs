//! The parts of the upload under the cursor: a grid of cells, bars for those in flight, the errors
//! of those that failed.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::Widget as _,
};

use super::{Piece, bar, fit, frame, pane_name, percent, put, row, wrap};
use crate::{
    engine::protocol::{Entry, FailedPart, FolderRow, PartState, Parts, Row, RunningPart, State},
    format::{self, printable},
    tui::{
        action::{Action, Pane},
        app::App,
        layout::{self, Grid},
        theme::Theme,
        update::part_under,
    },
};

/// Draws the pane.
pub(super) fn draw(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let width = usize::from(area.width.saturating_sub(4));
    let mut title = Line::from(pane_name(app, Pane::Parts, " Parts "));
    if let Some(upload) = app.queue.current_upload() {
        let name = upload.path.file_name().map_or_else(
            || format::display_path(&upload.path),
            |name| printable(&name.to_string_lossy()),
        );
        let room = width.saturating_sub(title.width() + 2);
        title.push_span(Span::styled(
            format!("{} ", format::shorten_middle(&name, room)),
            theme.dim,
        ));
    }
    frame(app, Pane::Parts, title).render(area, buf);
    let inner = layout::inside(area);
    let Some(parts) = app.parts.parts.as_ref().filter(|parts| parts.count > 0) else {
        match app.queue.current().map(|line| &line.entry) {
            Some(Entry::Upload(upload)) => without_parts(app, upload, inner, buf),
            Some(Entry::Folder(folder)) => of_folder(app, folder, inner, buf),
            None => {}
        }
        return;
    };
    let grid = layout::grid(area, parts.count);
    put(buf, row(inner, 0), told(app, parts, &grid, inner.width));
    cells(app, parts, &grid, buf);
    // A line between them where there is room for one.
    let used = 1 + grid.area.height + u16::from(inner.height > 10);
    let below = Rect {
        y: inner.y + used.min(inner.height),
        height: inner.height.saturating_sub(used),
        ..inner
    };
    lists(app, parts, below, buf);
}

/// What there is to say of an upload that has no parts, or no longer.
fn without_parts(app: &App, upload: &Row, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let parts = app.parts.parts.as_ref();
    let mut style = theme.dim;
    let mut more = upload.note.as_deref().map(printable);
    let words = match upload.state {
        State::Done => {
            style = theme.good;
            let media = parts.and_then(|parts| parts.media.as_deref());
            more = media.map(|media| format!("media id {}", printable(media)));
            format!("all parts arrived · {}", format::bytes(upload.size))
        }
        State::Queued => match parts.and_then(|parts| parts.expected) {
            Some(expected) => format!(
                "not begun; will be cut into about {}",
                format::count(usize::try_from(expected).unwrap_or(usize::MAX), "part")
            ),
            None => "not begun".to_owned(),
        },
        State::Creating => "being begun at the destination".to_owned(),
        State::Paused => "paused before it was begun".to_owned(),
        State::Failed => "failed before it was begun".to_owned(),
        State::Changed => "changed before it was begun".to_owned(),
        State::Skipped => "left out".to_owned(),
        State::Uploading | State::Completing | State::Processing => "no parts yet".to_owned(),
    };
    let width = usize::from(area.width);
    let mut lines = vec![Line::styled(words, style)];
    let more = more.map_or_else(Vec::new, |more| wrap(&more, width));
    lines.extend(more.into_iter().map(|line| Line::styled(line, theme.dim)));
    let above = area.height.saturating_sub(3) / 2;
    for (line, index) in lines.into_iter().zip(above..area.height) {
        put(buf, row(area, index), line.centered());
    }
}

/// What there is to say of a folder: what is inside, by state.
fn of_folder(app: &App, folder: &FolderRow, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let totals = &folder.totals;
    let path = format!(
        "{}/",
        format::display_path(&folder.path).trim_end_matches('/')
    );
    let path = format::shorten_middle(&path, usize::from(area.width));
    let about = format!(
        "{} · {} of {} uploaded",
        format::count(totals.counts.total(), "file"),
        format::bytes(totals.acknowledged),
        format::bytes(totals.bytes)
    );
    let states = State::ALL
        .into_iter()
        .filter(|state| totals.counts.of(*state) > 0);
    let states = states.map(|state| {
        let (glyph, style) = theme.state(state);
        let words = format!(
            " {} {}",
            format::thousands(totals.counts.of(state)),
            state.word()
        );
        Piece::new(
            0,
            [Span::styled(glyph, style), Span::styled(words, theme.text)],
        )
    });
    let lines = [
        Line::styled(path, theme.strong),
        Line::styled(about, theme.dim),
        fit(states.collect(), usize::from(area.width), "  "),
    ];
    let above = area.height.saturating_sub(3) / 2;
    for (line, index) in lines.into_iter().zip(above..area.height) {
        put(buf, row(area, index), line.centered());
    }
}

/// How many are in each state, and what the cell under the cursor is.
fn told(app: &App, parts: &Parts, grid: &Grid, width: u16) -> Line<'static> {
    let theme = &app.theme;
    let mut counts = [0u64; 6];
    for (state, count) in &parts.states {
        counts[*state as usize] += u64::from(*count);
    }
    let of = |state: PartState| counts[state as usize];
    let done = of(PartState::Done) + of(PartState::Verified);
    let mut pieces = vec![Piece::new(
        0,
        [
            Span::styled(done.to_string(), theme.good),
            Span::styled(
                format!(
                    " of {} {}",
                    parts.count,
                    if parts.count == 1 { "part" } else { "parts" }
                ),
                theme.dim,
            ),
        ],
    )];
    for (state, words, rank) in [
        (PartState::Failed, "failed", 1),
        (PartState::Retrying, "to be retried", 2),
        (PartState::Running, "in flight", 3),
        (PartState::Verified, "verified", 6),
    ] {
        if of(state) > 0 {
            let style = match state {
                PartState::Verified => theme.good,
                _ => theme.part(state).1,
            };
            pieces.push(Piece::new(
                rank,
                [
                    Span::styled(format!("{} ", of(state)), style),
                    Span::styled(words, theme.dim),
                ],
            ));
        }
    }
    if grid.group > 1 {
        pieces.push(Piece::new(
            5,
            [Span::styled(
                format!("{} parts a cell", grid.group),
                theme.dim,
            )],
        ));
    }
    if app.focus == Pane::Parts
        && let Some((first, last)) = part_under(app)
    {
        let words = if first == last {
            format!("at part {first}")
        } else {
            format!("at parts {first}-{last}")
        };
        pieces.push(Piece::new(4, [Span::styled(words, theme.accent)]));
    }
    fit(pieces, usize::from(width), "  ")
}

/// The cells: each part, or each group of parts, by what is most worth knowing of it.
fn cells(app: &App, parts: &Parts, grid: &Grid, buf: &mut Buffer) {
    let cursor = (app.focus == Pane::Parts).then_some(app.parts.cursor / grid.group);
    for (index, (glyph, style)) in grouped(&app.theme, parts, grid).into_iter().enumerate() {
        let Ok(index) = u32::try_from(index) else {
            break;
        };
        let Some((x, y)) = grid.position(index) else {
            break;
        };
        // Its glyph tells the state; in the state's own colour a full cell would hide the cursor.
        let style = if cursor == Some(index) {
            app.theme.strong.add_modifier(Modifier::REVERSED)
        } else {
            style
        };
        put(buf, Rect::new(x, y, 1, 1), Span::styled(glyph, style));
    }
}

/// The look of each cell, from the stretches of equal states.
fn grouped(theme: &Theme, parts: &Parts, grid: &Grid) -> Vec<(&'static str, Style)> {
    let mut cells = Vec::with_capacity(grid.cells as usize);
    let mut seen = [0u32; 6];
    let mut room = grid.group;
    for (state, count) in &parts.states {
        let mut count = *count;
        while count > 0 && cells.len() < grid.cells as usize {
            let taken = count.min(room);
            seen[*state as usize] += taken;
            count -= taken;
            room -= taken;
            if room == 0 {
                cells.push(look(theme, seen));
                seen = [0; 6];
                room = grid.group;
            }
        }
    }
    if room < grid.group && cells.len() < grid.cells as usize {
        cells.push(look(theme, seen));
    }
    cells
}

/// A group looks like the state that most needs to be seen.
fn look(theme: &Theme, seen: [u32; 6]) -> (&'static str, Style) {
    use PartState::{Done, Failed, Retrying, Running, Verified, Waiting};
    let has = |state: PartState| seen[state as usize] > 0;
    for state in [Failed, Retrying, Running] {
        if has(state) {
            return theme.part(state);
        }
    }
    match (has(Waiting), has(Done), has(Verified)) {
        (true, false, false) => theme.part(Waiting),
        (true, ..) => theme.partly(),
        (false, true, _) => theme.part(Done),
        _ => theme.part(Verified),
    }
}

/// What is in flight and what failed, one below the other, the failed one under the cursor in full.
fn lists(app: &App, parts: &Parts, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let width = usize::from(area.width);
    let digits = parts.count.to_string().len();
    let under = part_under(app).filter(|_| app.focus == Pane::Parts);
    let chosen = under.and_then(|(first, last)| {
        parts
            .failed
            .iter()
            .find(|part| (first..=last).contains(&part.number))
    });
    let mut lines: Vec<Line<'_>> = Vec::new();
    if let Some(part) = chosen {
        lines.push(failed_line(app, part, digits, width, false));
        let indent = " ".repeat(digits + 4);
        for text in wrap(
            &printable(&part.error.message),
            width.saturating_sub(digits + 4),
        ) {
            lines.push(Line::styled(format!("{indent}{text}"), theme.text));
        }
        let step = part.error.kind.next_step();
        if !step.is_empty() && part.retry_in_ms.is_none() {
            let key = app.key(Action::RetryPart);
            let text = format!("{indent}{step} ({key})");
            lines.push(Line::styled(format::shorten_end(&text, width), theme.dim));
        }
    }
    let story = lines.len();
    let height = usize::from(area.height);
    let others: Vec<&FailedPart> = parts
        .failed
        .iter()
        .filter(|part| chosen.is_none_or(|chosen| chosen.number != part.number))
        .collect();
    // Where not all fit, one that waits for the person is still among those that are seen.
    let needs_person = others.iter().find(|part| part.retry_in_ms.is_none());
    let scarce = story + parts.running.len() + others.len() > height;
    let early = needs_person.filter(|_| scarce && height > story + 2);
    let before = early.map_or(parts.running.len(), |_| height - story - 2);
    for part in parts.running.iter().take(before) {
        lines.push(running_line(theme, part, digits, width));
    }
    if let Some(part) = early {
        lines.push(failed_line(app, part, digits, width, true));
    }
    for part in parts.running.iter().skip(before) {
        lines.push(running_line(theme, part, digits, width));
    }
    for part in &others {
        if early.is_none_or(|early| early.number != part.number) {
            lines.push(failed_line(app, part, digits, width, true));
        }
    }
    let hidden = (lines.len() + 1).saturating_sub(height);
    let cut = lines.len() > height && height > 0;
    for (index, line) in lines.into_iter().take(height).enumerate() {
        let place = row(area, u16::try_from(index).unwrap_or(u16::MAX));
        if cut && index + 1 == height {
            let more = if height < story {
                format!(
                    "{}… {} shows all of it",
                    " ".repeat(digits + 4),
                    app.key(Action::Open)
                )
            } else {
                format!("{}and {hidden} more", " ".repeat(digits + 4))
            };
            put(buf, place, Line::styled(more, theme.dim));
        } else {
            put(buf, place, line);
        }
    }
}

fn running_line<'a>(theme: &Theme, part: &RunningPart, digits: usize, width: usize) -> Line<'a> {
    let (glyph, style) = theme.part(PartState::Running);
    let number = format!(" {:>digits$}  ", part.number);
    let share = percent(part.taken, part.length);
    let speed = format!("{:>11}", format::rate(part.rate));
    let age = format!("{:>8}", format::duration(part.age_ms / 1000));
    let attempt = if part.attempt > 1 {
        format!("  try {}", part.attempt)
    } else {
        "       ".to_owned()
    };
    let fixed = 1 + number.len() + 6 + speed.len();
    let more = age.len() + attempt.len();
    let roomy = width >= fixed + more + 12;
    let room = width
        .saturating_sub(fixed + if roomy { more } else { 0 })
        .min(60);
    let room = u16::try_from(room).unwrap_or(0);
    let mut spans = vec![Span::styled(glyph, style), Span::styled(number, theme.text)];
    let standing = if part.taken >= part.length {
        Some("all sent; waiting for the answer".to_owned())
    } else {
        let late = |ms: u64| format::duration(ms / 1000);
        let reading = part.reading_ms.map(late);
        reading.map(|late| format!("reading; the disk has not answered for {late}"))
    };
    if let Some(words) = standing {
        // Nothing moves: a speed would say nothing about it.
        let room = usize::from(room) + 6 + speed.len();
        let words = format::shorten_end(&words, room);
        spans.push(Span::styled(format!("{words:<room$}"), theme.dim));
    } else {
        spans.extend(bar(theme, room, part.taken, 0, part.length, theme.accent));
        spans.push(Span::styled(format!(" {share}"), theme.text));
        spans.push(Span::styled(speed, theme.text));
    }
    if roomy {
        spans.push(Span::styled(age, theme.dim));
        spans.push(Span::styled(
            attempt,
            if part.attempt > 1 {
                theme.warn
            } else {
                theme.dim
            },
        ));
    }
    Line::from(spans)
}

/// When a part is tried again.
pub(super) fn again(part: &FailedPart, ms: u64) -> String {
    match &part.waits_for {
        Some(what) => format!("again {}", printable(what)),
        None => format!("again in {}", format::duration(ms.div_ceil(1000))),
    }
}

/// A failed part in one line; `brief` with as much of its error as fits.
fn failed_line<'a>(
    app: &App,
    part: &FailedPart,
    digits: usize,
    width: usize,
    brief: bool,
) -> Line<'a> {
    let theme = &app.theme;
    let state = if part.retry_in_ms.is_some() {
        PartState::Retrying
    } else {
        PartState::Failed
    };
    let (glyph, style) = theme.part(state);
    let tried = match part.attempts {
        0 => "not counted".to_owned(),
        1 => "tried once".to_owned(),
        times => format!("tried {times} times"),
    };
    let next = match part.retry_in_ms {
        Some(ms) => again(part, ms),
        // The key of the parts means something else in the queue.
        None if app.focus == Pane::Parts => {
            format!("{} tries it again", app.key(Action::RetryPart))
        }
        None => format!("{} tries it again", app.key(Action::RetryFile)),
    };
    let number = format!(" {:>digits$}  ", part.number);
    let tail = format!("  {next}");
    let room = width.saturating_sub(1 + number.len() + format::width(&tail));
    let words = if brief {
        format!("{}; {tried}", printable(&part.error.message))
    } else {
        tried
    };
    // Of a long error the beginning matters, and how often it was tried the least.
    let words = format::shorten_end(&words, room);
    Line::from(vec![
        Span::styled(glyph, style),
        Span::styled(number, theme.text),
        Span::styled(words, if brief { theme.dim } else { theme.text }),
        Span::styled(tail, style),
    ])
}
