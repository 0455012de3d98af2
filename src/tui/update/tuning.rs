//! Tuning: steps of every setting, and the panel where a change is looked at before it is taken.

use std::num::NonZeroU64;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, backend::crossterm::EventHandler as _};

use crate::{
    engine::protocol::{Command, Query, Summary},
    settings::{Bandwidth, Concurrency, MOST_PARTS_IN_FLIGHT, PartSize, Settings},
    tui::{
        action::Action,
        app::{App, Dialog, Tone, Tuning},
        update::{Effect, say},
    },
};

/// The rows of the panel.
pub(in crate::tui) const ROWS: [&str; 5] = [
    "part size",
    "parts in flight",
    "files in flight",
    "bandwidth",
    "retries of a part",
];

const MIB: u64 = 1 << 20;

/// Part sizes one steps through; below them lies `auto`.
const SIZES: [u64; 11] = [5, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Bandwidths one steps through, in KiB a second; above them lies `unlimited`.
const BANDWIDTHS: [u64; 22] = [
    64, 128, 256, 512, 1024, 2048, 3072, 4096, 6144, 8192, 10_240, 15_360, 20_480, 30_720, 40_960,
    51_200, 76_800, 102_400, 153_600, 204_800, 512_000, 1_024_000,
];

/// A setting's text, as it is typed.
pub(in crate::tui) fn value(settings: &Settings, row: usize) -> String {
    match row {
        0 => settings.part_size.to_string(),
        1 => settings.parts_in_flight.to_string(),
        2 => settings.files_in_flight.to_string(),
        3 => settings.bandwidth.to_string(),
        _ => settings.retries.to_string(),
    }
}

/// One step up or down of a setting; what the engine found counts where it was left to it.
fn step(settings: &mut Settings, row: usize, up: bool, now: &Summary) {
    let by_one = |number: u16, least: u16, most: u16| {
        if up {
            number.saturating_add(1).min(most)
        } else {
            number.saturating_sub(1).max(least)
        }
    };
    match row {
        0 => settings.part_size = step_size(settings.part_size, up),
        1 => {
            let number = settings.parts_in_flight.fixed().unwrap_or(now.parts_limit);
            settings.parts_in_flight = Concurrency::Fixed(by_one(number, 1, MOST_PARTS_IN_FLIGHT));
        }
        2 => settings.files_in_flight = by_one(settings.files_in_flight, 1, 256),
        3 => settings.bandwidth = step_bandwidth(settings.bandwidth, up, now.rate),
        _ => settings.retries = by_one(settings.retries, 0, 1000),
    }
}

fn step_size(size: PartSize, up: bool) -> PartSize {
    let sizes = SIZES.map(|mib| mib * MIB);
    let bytes = match size {
        PartSize::Auto => 0,
        PartSize::Fixed(bytes) => bytes.get(),
    };
    let next = if up {
        sizes.into_iter().find(|size| *size > bytes).or(Some(bytes))
    } else {
        sizes.into_iter().rev().find(|size| *size < bytes)
    };
    next.and_then(NonZeroU64::new)
        .map_or(PartSize::Auto, PartSize::Fixed)
}

fn step_bandwidth(bandwidth: Bandwidth, up: bool, rate: u64) -> Bandwidth {
    let mut steps = BANDWIDTHS.map(|kib| kib * 1024).into_iter();
    let next = match (bandwidth, up) {
        (Bandwidth::Unlimited, true) => None,
        // The first step down is one that is felt: below the speed there is now.
        (Bandwidth::Unlimited, false) => {
            let from = if rate == 0 { 20 * MIB } else { rate };
            steps.clone().rfind(|step| *step < from).or(steps.next())
        }
        (Bandwidth::Limited(bytes), true) => steps.find(|step| *step > bytes.get()),
        (Bandwidth::Limited(bytes), false) => steps
            .rfind(|step| *step < bytes.get())
            .or(Some(bytes.get())),
    };
    next.and_then(NonZeroU64::new)
        .map_or(Bandwidth::Unlimited, Bandwidth::Limited)
}

/// Steps by a key on the main screen. What costs nothing to take back acts at once; a part size,
/// which cuts files anew, is looked at in the panel first.
pub(super) fn act(app: &mut App, action: Action) -> Vec<Effect> {
    let (row, up) = match action {
        Action::PartsMore => (1, true),
        Action::PartsLess => (1, false),
        Action::FilesMore => (2, true),
        Action::FilesLess => (2, false),
        Action::BandwidthMore => (3, true),
        Action::BandwidthLess => (3, false),
        Action::SizeMore => return open(app, Some(true)),
        Action::SizeLess => return open(app, Some(false)),
        _ => return open(app, None),
    };
    let mut settings = app.settings();
    step(&mut settings, row, up, &app.summary);
    take(app, settings)
}

fn take(app: &mut App, settings: Settings) -> Vec<Effect> {
    if settings == app.settings() {
        return Vec::new();
    }
    let changes: Vec<String> = (0..ROWS.len())
        .filter(|row| value(&settings, *row) != value(&app.settings(), *row))
        .map(|row| format!("{} {}", ROWS[row], value(&settings, row)))
        .collect();
    say(app, Tone::Plain, changes.join(", "));
    app.tuned = Some((settings.clone(), app.now));
    vec![Effect::Command(Command::Tune(settings))]
}

fn open(app: &mut App, size: Option<bool>) -> Vec<Effect> {
    let from = app.settings();
    let mut draft = from.clone();
    if let Some(up) = size {
        step(&mut draft, 0, up, &app.summary);
    }
    app.dialog = Some(Dialog::Tuning(Box::new(Tuning {
        row: 0,
        from,
        draft: draft.clone(),
        typed: None,
        error: None,
        preview: None,
    })));
    vec![Effect::Ask(Query::Preview(draft))]
}

/// The settings became others while the panel was open, by a schedule or another screen: what was
/// not changed in the panel follows.
pub(super) fn others_tuned(tuning: &mut Tuning, now: &Settings) {
    let draft = std::mem::replace(&mut tuning.draft, now.clone());
    for row in 0..ROWS.len() {
        if value(&draft, row) != value(&tuning.from, row) {
            set(&mut tuning.draft, row, &draft);
        }
    }
    tuning.from = now.clone();
}

/// One setting as it is in others.
fn set(settings: &mut Settings, row: usize, to: &Settings) {
    match row {
        0 => settings.part_size = to.part_size,
        1 => settings.parts_in_flight = to.parts_in_flight,
        2 => settings.files_in_flight = to.files_in_flight,
        3 => settings.bandwidth = to.bandwidth,
        _ => settings.retries = to.retries,
    }
}

/// What would be taken: the draft, with what is being typed in it.
///
/// # Errors
/// Why what is being typed is no value yet, in words.
pub(in crate::tui) fn wanted(tuning: &Tuning) -> Result<Settings, String> {
    let draft = tuning.draft.clone();
    match &tuning.typed {
        Some(field) => typed(draft, tuning.row, field.value()),
        None => Ok(draft),
    }
}

/// Asks what the change would do, where there is one.
pub(super) fn preview(tuning: &Tuning) -> Option<Effect> {
    let wanted = wanted(tuning).ok()?;
    (wanted != tuning.from).then_some(Effect::Ask(Query::Preview(wanted)))
}

/// A key in the panel.
pub(super) fn key(app: &mut App, key: KeyEvent, action: Option<Action>) -> Vec<Effect> {
    let Some(Dialog::Tuning(tuning)) = &mut app.dialog else {
        return Vec::new();
    };
    if tuning.typed.is_some() {
        return typing(tuning, key);
    }
    let before = tuning.draft.clone();
    let bare = !key.modifiers.contains(KeyModifiers::CONTROL);
    match (key.code, action) {
        (KeyCode::Esc, _) => {
            app.dialog = None;
            return Vec::new();
        }
        (KeyCode::Enter, _) => {
            let draft = tuning.draft.clone();
            app.dialog = None;
            return take(app, draft);
        }
        (KeyCode::Char(c @ ('0'..='9' | 'a' | 'u')), _) if bare => {
            tuning.typed = Some(Input::new(c.to_string()));
            return preview(tuning).into_iter().collect();
        }
        (KeyCode::Backspace, _) => {
            tuning.typed = Some(Input::new(value(&tuning.draft, tuning.row)));
            return Vec::new();
        }
        (KeyCode::Tab, _) | (_, Some(Action::Down)) => tuning.row = (tuning.row + 1) % ROWS.len(),
        (KeyCode::BackTab, _) | (_, Some(Action::Up)) => {
            tuning.row = (tuning.row + ROWS.len() - 1) % ROWS.len();
        }
        (_, Some(Action::Right | Action::PartsMore)) => {
            step(&mut tuning.draft, tuning.row, true, &app.summary);
        }
        (_, Some(Action::Left | Action::PartsLess)) => {
            step(&mut tuning.draft, tuning.row, false, &app.summary);
        }
        (_, Some(Action::SizeMore)) => step(&mut tuning.draft, 0, true, &app.summary),
        (_, Some(Action::SizeLess)) => step(&mut tuning.draft, 0, false, &app.summary),
        (_, Some(Action::FilesMore)) => step(&mut tuning.draft, 2, true, &app.summary),
        (_, Some(Action::FilesLess)) => step(&mut tuning.draft, 2, false, &app.summary),
        (_, Some(Action::BandwidthMore)) => step(&mut tuning.draft, 3, true, &app.summary),
        (_, Some(Action::BandwidthLess)) => step(&mut tuning.draft, 3, false, &app.summary),
        (_, Some(Action::Quit)) => {
            app.dialog = None;
            return Vec::new();
        }
        _ => {}
    }
    tuning.error = None;
    if tuning.draft == before {
        return Vec::new();
    }
    preview(tuning).into_iter().collect()
}

fn typing(tuning: &mut Tuning, key: KeyEvent) -> Vec<Effect> {
    let Some(field) = &mut tuning.typed else {
        return Vec::new();
    };
    match key.code {
        KeyCode::Esc => {
            tuning.typed = None;
            tuning.error = None;
        }
        KeyCode::Enter | KeyCode::Tab | KeyCode::Up | KeyCode::Down => {
            match typed(tuning.draft.clone(), tuning.row, field.value()) {
                Ok(draft) => {
                    tuning.draft = draft;
                    tuning.typed = None;
                    tuning.error = None;
                    // Who goes elsewhere with it is there then.
                    match key.code {
                        KeyCode::Up => tuning.row = (tuning.row + ROWS.len() - 1) % ROWS.len(),
                        KeyCode::Tab | KeyCode::Down => tuning.row = (tuning.row + 1) % ROWS.len(),
                        _ => {}
                    }
                }
                Err(words) => tuning.error = Some(words),
            }
        }
        _ => {
            field.handle_event(&Event::Key(key));
            tuning.error = None;
        }
    }
    preview(tuning).into_iter().collect()
}

/// The settings with what was typed for one of them.
fn typed(mut settings: Settings, row: usize, text: &str) -> Result<Settings, String> {
    let number = |least: u16, most: u16| {
        text.trim()
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("a number from {least} to {most} is wanted"))
    };
    match row {
        0 => settings.part_size = text.parse().map_err(|e| format!("{e}"))?,
        1 => settings.parts_in_flight = text.parse().map_err(|e| format!("{e}"))?,
        2 => settings.files_in_flight = number(1, 256)?,
        3 => settings.bandwidth = text.parse().map_err(|e| format!("{e}"))?,
        _ => settings.retries = number(0, 1000)?,
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_sizes_step_from_auto_up_and_back() {
        let mut size = PartSize::Auto;
        let mut seen = Vec::new();
        for up in [true, true, true, false, false, false, false] {
            size = step_size(size, up);
            seen.push(size.to_string());
        }
        assert_eq!(
            seen,
            ["5MiB", "8MiB", "16MiB", "8MiB", "5MiB", "auto", "auto"]
        );
        assert_eq!(step_size("4GiB".parse().unwrap(), true).to_string(), "4GiB");
    }

    #[test]
    fn the_first_cap_lies_below_the_speed_there_is() {
        let step =
            |from: &str, up, rate| step_bandwidth(from.parse().unwrap(), up, rate).to_string();
        assert_eq!(step("unlimited", false, 12 * MIB), "10MiB/s");
        assert_eq!(step("unlimited", false, 0), "15MiB/s");
        assert_eq!(step("unlimited", false, 5), "64KiB/s");
        assert_eq!(step("10MiB/s", true, 0), "15MiB/s");
        assert_eq!(step("1000MiB/s", true, 0), "unlimited");
        assert_eq!(step("64KiB/s", false, 0), "64KiB/s");
    }

    #[test]
    fn typed_nonsense_is_refused_in_words() {
        let settings = Settings::default();
        assert_eq!(typed(settings.clone(), 2, "7").unwrap().files_in_flight, 7);
        assert_eq!(
            typed(settings.clone(), 2, "0").unwrap_err(),
            "a number from 1 to 256 is wanted"
        );
        assert!(
            typed(settings, 0, "big")
                .unwrap_err()
                .contains("16MiB or auto")
        );
    }
}
