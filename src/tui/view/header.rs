//! The head of the screen: where to, how far, how fast, what holds it back.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{Piece, bar, fit, left_right, percent, put, row};
use crate::{
    engine::protocol::{LimitedBy, Phase, State, Summary},
    format::{self, printable},
    tui::{
        action::Action,
        app::{App, Leaving},
    },
};

/// Draws the header in as many lines as it was given.
pub(super) fn draw(app: &App, area: Rect, buf: &mut Buffer) {
    let inner = Rect {
        x: area.x + u16::from(area.width > 40),
        width: area.width.saturating_sub(2 * u16::from(area.width > 40)),
        ..area
    };
    match area.height {
        0 => {}
        1 => one_line(app, inner, buf),
        2 => {
            progress(app, row(inner, 0), buf);
            state(app, row(inner, 1), buf);
        }
        _ => {
            who(app, row(inner, 0), buf);
            progress(app, row(inner, 1), buf);
            state(app, row(inner, 2), buf);
        }
    }
}

fn one_line(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let bytes = &app.summary.bytes;
    let mut pieces = vec![
        Piece::new(
            0,
            [Span::styled(
                percent(bytes.acknowledged, bytes.total).trim().to_owned(),
                theme.strong,
            )],
        ),
        Piece::new(
            1,
            [Span::styled(format::rate(app.summary.rate), theme.text)],
        ),
    ];
    if let Some(eta) = eta(app) {
        pieces.push(Piece::new(3, [Span::styled(eta, theme.dim)]));
    }
    pieces.extend(counts(app));
    put(buf, area, fit(pieces, usize::from(area.width), "  "));
}

/// Who we are, where to, and whether what is known is on disk.
fn who(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let summary = &app.summary;
    let saved = match &summary.save_error {
        Some(error) => Span::styled(format!("not saved: {}", printable(error)), theme.bad),
        None if summary.saved => Span::styled("saved", theme.dim),
        None => Span::styled("saving", theme.warn),
    };
    let mut pieces = Vec::new();
    if app.busy {
        pieces.push(Piece::new(
            1,
            [Span::styled("waiting for the engine", theme.warn)],
        ));
    }
    if app.attached {
        pieces.push(Piece::new(4, [Span::styled("attached", theme.dim)]));
    }
    if !summary.session.is_empty() {
        pieces.push(Piece::new(
            3,
            [Span::styled(printable(&summary.session), theme.dim)],
        ));
        // Both are equally wide, so that the name beside them stays where it is.
        let gap = " ".repeat("saving".len().saturating_sub(saved.width()));
        pieces.push(Piece::new(2, [saved, Span::raw(gap)]));
    }
    let width = usize::from(area.width);
    let right = fit(pieces, width * 2 / 3, "  ");
    let room = width.saturating_sub(right.width() + 12);
    let left = Line::from(vec![
        Span::styled(
            "reelhaul",
            theme.accent.add_modifier(ratatui::style::Modifier::BOLD),
        ),
        Span::raw("  "),
        Span::styled(
            format::shorten_middle(&printable(&summary.destination), room),
            theme.strong,
        ),
    ]);
    left_right(buf, area, left, right);
}

/// The bar over all, and how much that is.
fn progress(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let bytes = &app.summary.bytes;
    let share = percent(bytes.acknowledged, bytes.total);
    let mut pieces = vec![
        Piece::new(0, [Span::styled(share, theme.strong)]),
        Piece::new(
            2,
            [
                Span::styled(
                    format!("{:>8}", format::bytes(bytes.acknowledged)),
                    theme.text,
                ),
                Span::styled(format!(" of {}", format::bytes(bytes.total)), theme.dim),
            ],
        ),
    ];
    if let Some(eta) = eta(app) {
        pieces.push(Piece::new(
            1,
            [Span::styled(format!("{eta:>12}"), theme.text)],
        ));
    }
    let width = usize::from(area.width);
    let text = fit(pieces, width.saturating_sub(8), "  ");
    let room = width.saturating_sub(text.width() + 2);
    let style = if bytes.total > 0 && bytes.acknowledged >= bytes.total {
        theme.good
    } else {
        theme.accent
    };
    let room = u16::try_from(room).unwrap_or(0);
    let line = bar(
        theme,
        room,
        bytes.acknowledged,
        bytes.in_flight,
        bytes.total,
        style,
    );
    left_right(buf, area, Line::from(line), text);
}

fn eta(app: &App) -> Option<String> {
    if app.summary.phase == Phase::Settled {
        return None;
    }
    let seconds = app.eta.seconds(app.now)?;
    Some(format!("{} left", format::duration(seconds)))
}

fn counts(app: &App) -> Vec<Piece<'static>> {
    let theme = &app.theme;
    let counts = &app.summary.counts;
    let failed = counts.of(State::Failed) + counts.of(State::Changed);
    let number = |number: usize, word: &'static str, rank, style| {
        Piece::new(
            rank,
            [
                Span::styled(format::thousands(number), style),
                Span::styled(word, theme.dim),
            ],
        )
    };
    let mut pieces = vec![number(counts.of(State::Done), " done", 4, theme.good)];
    if failed > 0 {
        pieces.push(number(failed, " failed", 2, theme.bad));
    }
    if app.summary.parts_failed > 0 {
        let parts = usize::try_from(app.summary.parts_failed).unwrap_or(usize::MAX);
        let word = if parts == 1 {
            " part failed"
        } else {
            " parts failed"
        };
        pieces.push(number(parts, word, 5, theme.bad));
    }
    pieces.push(number(App::left(counts), " left", 3, theme.text));
    if counts.of(State::Skipped) > 0 {
        pieces.push(number(counts.of(State::Skipped), " skipped", 8, theme.text));
    }
    pieces
}

/// Counts, speed and its history, and what holds it back.
fn state(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let summary = &app.summary;
    let width = usize::from(area.width);
    let columns = match width {
        0..100 => 10,
        100..150 => 24,
        _ => 40,
    };
    let speed = format!("{:>10}", format::rate(summary.rate));
    let speed = Piece::new(0, [Span::styled(speed, theme.strong)]);
    let history = Piece::new(3, [Span::styled(sparkline(app, columns), theme.accent)]);
    let flight = Piece::new(
        4,
        [
            Span::styled(summary.parts_running.to_string(), theme.text),
            Span::styled(
                format!(" of {} parts in flight", summary.parts_limit),
                theme.dim,
            ),
        ],
    );
    let (words, style) = says(app);
    // What is wrong is worth more room than the history is.
    let columns_kept = if style == theme.dim { columns } else { 0 };
    let longest = width.saturating_sub(10 + columns_kept + 24);
    // What failed is worth more room than the history is.
    let least = fit(counts(app), width / 3, "  ").width();
    let room = width.saturating_sub(least + 2);
    let longest = longest.min(room.saturating_sub(12)).max(20);
    let words = Piece::new(1, [Span::styled(with_why(&words, longest), style)]);
    let right = fit(vec![words, flight, history, speed], room, "  ");
    let left = fit(counts(app), width.saturating_sub(right.width() + 2), "  ");
    left_right(buf, area, left, right);
}

/// The words in so many columns; without their reason where too little of it would be left to be
/// understood.
fn with_why(words: &str, columns: usize) -> String {
    const LEAST: usize = 16;
    match words.split_once(": ") {
        Some((head, _))
            if format::width(words) > columns
                && (columns.saturating_sub(LEAST)..=columns).contains(&format::width(head)) =>
        {
            head.to_owned()
        }
        _ => format::shorten_end(words, columns),
    }
}

/// What there is to know in words: the end, a walk, or what holds the speed back.
pub(super) fn says(app: &App) -> (String, ratatui::style::Style) {
    let theme = &app.theme;
    let summary = &app.summary;
    let wheel = theme.spinner(app.now.as_millis());
    if app.leaving > Leaving::No || summary.phase == Phase::Draining {
        let parts = usize::try_from(summary.parts_running).unwrap_or(usize::MAX);
        let words = if app.leaving == Leaving::AtOnce {
            format!("{wheel} stopping at once")
        } else if parts > 0 {
            format!(
                "{wheel} finishing {}; {} at once",
                format::count(parts, "part"),
                app.key(Action::Quit)
            )
        } else if summary.saved {
            format!(
                "{wheel} waiting for the destination; {} at once",
                app.key(Action::Quit)
            )
        } else {
            format!("{wheel} saving")
        };
        return (words, theme.warn);
    }
    if let Some(walk) = &summary.walk {
        let words = format!(
            "{wheel} looking for media: {}, {}",
            format::count(walk.files, "file"),
            format::bytes(walk.bytes)
        );
        return (words, theme.text);
    }
    match &summary.limited_by {
        _ if summary.counts.total() == 0 => ("nothing is queued".to_owned(), theme.dim),
        LimitedBy::Halted { why } => {
            let again = app.key(Action::RetryAll);
            let words = format!("stopped, {again} tries again");
            (join(&words, why), theme.bad)
        }
        _ if summary.phase == Phase::Settled => end(app),
        LimitedBy::Paused => ("everything is paused".to_owned(), theme.warn),
        limit => waits(app).unwrap_or_else(|| limited(app, limit)),
    }
}

/// What holds the speed back, in words.
fn limited(app: &App, limit: &LimitedBy) -> (String, ratatui::style::Style) {
    let (summary, theme) = (&app.summary, &app.theme);
    let seconds = |left_ms: u64| format::duration(left_ms.div_ceil(1000));
    match limit {
        LimitedBy::Idle | LimitedBy::Waits | LimitedBy::Halted { .. } => idle(app),
        LimitedBy::Line => ("limited by the line".to_owned(), theme.dim),
        LimitedBy::Stalled { for_ms } => (
            format!("nothing has moved for {}", format::duration(for_ms / 1000)),
            theme.warn,
        ),
        LimitedBy::Files => {
            let files = usize::from(summary.settings.files_in_flight);
            let words = format!("limited to {} at once", format::count(files, "file"));
            (words, theme.dim)
        }
        LimitedBy::Bandwidth => (held_at(summary), theme.dim),
        LimitedBy::Paused => ("everything is paused".to_owned(), theme.warn),
        LimitedBy::Disk => ("limited by the disk".to_owned(), theme.warn),
        LimitedBy::CallBudget { budget, left_ms } => {
            let left = seconds(*left_ms);
            let words = format!("held at {}, next call in {left}", printable(budget));
            (words, theme.warn)
        }
    }
}

/// What does not answer, where something waits for it; how many more of them there are.
fn waits(app: &App) -> Option<(String, ratatui::style::Style)> {
    let summary = &app.summary;
    let (first, more) = summary.waits.split_first()?;
    if summary.phase == Phase::Settled {
        return None;
    }
    let again = match first.retry_in_ms {
        Some(_) => format!(
            "{}, {} tries now",
            first.next_try(),
            app.key(Action::RetryAll)
        ),
        None => first.next_try(),
    };
    let words = printable(&first.words(jiff::Timestamp::now()));
    let more = match more.len() {
        0 => String::new(),
        count => format!(" (and for {count} more)"),
    };
    Some((
        join(&format!("{words}{more}, {again}"), &first.why),
        app.theme.bad,
    ))
}

/// The cap, and by whose word it is that.
fn held_at(summary: &Summary) -> String {
    let held = format!("held at {}", summary.settings.bandwidth);
    match &*summary.bandwidth_why {
        "" => held,
        why => format!("{held} {}", printable(why)),
    }
}

/// What there is to wait for while no part is on its way.
fn idle(app: &App) -> (String, ratatui::style::Style) {
    let (summary, theme) = (&app.summary, &app.theme);
    let unsettled = summary.counts.unsettled();
    if summary.save_error.is_some() {
        let words = "nothing goes out until the session can be saved";
        (words.to_owned(), theme.bad)
    } else if unsettled == 0 {
        ("nothing to send".to_owned(), theme.dim)
    } else if summary.counts.of(State::Processing) == unsettled {
        let words = "all is sent; the destination works on it";
        (words.to_owned(), theme.dim)
    } else {
        ("no part is on its way yet".to_owned(), theme.dim)
    }
}

/// Whether everything is done or left out on purpose.
pub(super) fn ended_well(app: &App) -> bool {
    app.summary.counts.left() == 0
}

/// How it ended, as far as nothing more happens by itself.
fn end(app: &App) -> (String, ratatui::style::Style) {
    let theme = &app.theme;
    let counts = &app.summary.counts;
    let of = |state| counts.of(state);
    match (of(State::Failed) + of(State::Changed), of(State::Paused)) {
        (0, 0) => ("everything is done".to_owned(), theme.good),
        (0, paused) => (
            format!("the rest is paused: {}", format::count(paused, "file")),
            theme.warn,
        ),
        _ => (
            format!(
                "ended; {} tries again what failed",
                app.key(Action::RetryAll)
            ),
            theme.bad,
        ),
    }
}

fn join(words: &str, why: &str) -> String {
    if why.is_empty() {
        words.to_owned()
    } else {
        format!("{words}: {}", printable(why))
    }
}

/// The speed over the last minutes, newest at the right, each column the mean of what falls in it.
fn sparkline(app: &App, columns: usize) -> String {
    let history = &app.summary.history;
    let heights = app.theme.glyphs.heights;
    let recent = &history[history.len().saturating_sub(columns * 2)..];
    let top = recent.iter().copied().max().unwrap_or(0);
    // Pairs are counted from the newest, so that a column keeps its height as it moves.
    let mut values: Vec<u64> = recent
        .rchunks(2)
        .map(|pair| pair.iter().sum::<u64>() / pair.len().max(1) as u64)
        .collect();
    values.reverse();
    let most = heights.len() as u64 - 1;
    let mut line = " ".repeat(columns.saturating_sub(values.len()));
    for value in values {
        let height = u128::from(value) * u128::from(most) / u128::from(top.max(1));
        line.push_str(heights[usize::try_from(height).unwrap_or(0).min(heights.len() - 1)]);
    }
    line
}
