//! Numbers, times, paths and names as people read them; knows widths on a terminal, not the terminal.
//!
//! Everything here is safe to show: what came from outside goes through [`printable`] first, so that
//! no file name and no server can steer a terminal.

use std::{fmt::Write as _, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::error::is_unsafe;

/// What stands for a character that is not shown as itself.
const REPLACEMENT: char = '\u{fffd}';

/// A number of bytes, in at most 8 columns: `"0 B"`, `"1.4 GiB"`, `"162 MiB"`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[allow(clippy::cast_precision_loss)] // three digits are shown
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 99.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// The one of these words that a mistyped one is much like.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2 && *distance * 2 < word.chars().count())
        .map(|(_, known)| known)
}

/// Bytes a second, in at most 10 columns: `"12.4 MiB/s"`.
#[must_use]
pub fn rate(bytes_a_second: u64) -> String {
    format!("{}/s", bytes(bytes_a_second))
}

/// Seconds, in at most 7 columns, coarser the longer they are: `"42s"`, `"3m 20s"`, `"2h 05m"`, `"12d 04h"`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m {:02}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ if seconds < 100 * DAY => format!("{}d {:02}h", seconds / DAY, seconds % DAY / HOUR),
        _ => "> 99d".to_owned(),
    }
}

/// The share of `part` in `whole`, from 0 to 100. It is 100 only when nothing is missing, and 0 when
/// there is nothing to have a share of.
#[must_use]
pub fn percent(part: u64, whole: u64) -> u8 {
    if whole == 0 {
        return 0;
    }
    if part >= whole {
        return 100;
    }
    let share = u128::from(part) * 100 / u128::from(whole);
    u8::try_from(share).unwrap_or(99).min(99)
}

/// Bytes as lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            // Writing to a String can't fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// A number and its noun: `"1 file"`, `"4,032 files"`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// A number with its thousands set apart: `"1,000,000"`.
#[must_use]
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The day of a time in seconds since 1970, here, with a space before it; nothing where it is 0, or none.
#[must_use]
pub fn day(at: i64) -> String {
    let at = Timestamp::from_second(at).ok().filter(|_| at > 0);
    at.map_or_else(String::new, |at| {
        format!(" {}", at.to_zoned(TimeZone::system()).date())
    })
}

/// A time of the clock here, and the day where that is another than now: `"03:12"`, `"Nov 29 03:12"`.
#[must_use]
pub fn since(then: Timestamp, now: Timestamp) -> String {
    let here = |at: Timestamp| at.to_zoned(TimeZone::system());
    let (then, now) = (here(then), here(now));
    let is_today = then.date() == now.date();
    let format = if is_today { "%H:%M" } else { "%b %-d %H:%M" };
    then.strftime(format).to_string()
}

/// How many columns a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text with every character replaced that steers a terminal, reorders what is read, or is not
/// seen at all.
#[must_use]
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        is_unsafe(c)
            || matches!(
                c,
                '\u{61c}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}'
            )
            || matches!(c, '\u{e0000}'..='\u{e007f}')
    };
    text.chars()
        .map(|c| if hidden(c) { REPLACEMENT } else { c })
        .collect()
}

/// A path as it may be shown; not a way back to the path.
#[must_use]
pub fn display_path(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// The text cut at its end to `columns`, with `…` where something was left out.
#[must_use]
pub fn shorten_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    format!("{}…", head(text, room))
}

/// The text cut in its middle to `columns`, so that a name's beginning and its extension stay.
#[must_use]
pub fn shorten_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let back = room / 2;
    let tail = tail(text, back);
    // What a wide character left unused at one end is given to the other.
    let head = head(text, room - width(tail));
    format!("{head}…{tail}")
}

/// A path in `columns` as its folder (with the slash) and its name: the folder is shortened first,
/// then left out, and only then the name.
#[must_use]
pub fn shorten_path(path: &Path, columns: usize) -> (String, String) {
    let shown = display_path(path);
    let (folder, name) = match shown.rfind('/') {
        Some(slash) if slash + 1 < shown.len() => shown.split_at(slash + 1),
        _ => ("", shown.as_str()),
    };
    let name_width = width(name);
    if name_width >= columns {
        return (String::new(), shorten_middle(name, columns));
    }
    let room = columns - name_width;
    if width(folder) <= room {
        return (folder.to_owned(), name.to_owned());
    }
    // Less than this of a folder says nothing.
    if room < 5 {
        return (String::new(), name.to_owned());
    }
    let folder = shorten_middle(folder.trim_end_matches('/'), room - 1);
    (format!("{folder}/"), name.to_owned())
}

fn head(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += width(grapheme);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

fn tail(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let mut start = text.len();
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        used += width(grapheme);
        if used > columns {
            break;
        }
        start = at;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_read_at_a_glance() {
        let shown = [0, 999, 1000, 1_047_552, 1 << 20, 1_503_238_554, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            [
                "0 B", "999 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "1.4 GiB", "16.0 EiB"
            ]
        );
    }

    #[test]
    fn durations_get_coarser_the_longer_they_are() {
        let shown = [0, 59, 60, 200, 7500, 1_051_200, u64::MAX].map(duration);
        assert_eq!(
            shown,
            [
                "0s", "59s", "1m 00s", "3m 20s", "2h 05m", "12d 04h", "> 99d"
            ]
        );
    }

    #[test]
    fn a_hundred_percent_means_complete() {
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(999_999, 1_000_000), 99);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
        assert_eq!(percent(7, 7), 100);
        assert_eq!(percent(9, 7), 100);
    }

    #[test]
    fn a_name_cut_in_its_middle_keeps_its_extension() {
        assert_eq!(
            shorten_middle("a long wedding film.mov", 14),
            "a long …lm.mov"
        );
        assert_eq!(shorten_middle("short.mov", 14), "short.mov");
        assert_eq!(shorten_middle("日本語の長い名前.mp4", 12), "日本語….mp4");
        assert_eq!(shorten_middle("abc", 0), "");
        assert_eq!(shorten_middle("abc", 1), "…");
    }

    #[test]
    fn a_folder_gives_way_before_the_name_does() {
        let path = Path::new("/archive/2019/summer/wedding.mov");
        let join = |columns| {
            let (folder, name) = shorten_path(path, columns);
            folder + &name
        };
        assert_eq!(join(40), "/archive/2019/summer/wedding.mov");
        assert_eq!(join(24), "/archi…ummer/wedding.mov");
        assert_eq!(join(13), "wedding.mov");
        assert_eq!(join(8), "wedd…mov");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(4032, "file"), "4,032 files");
    }

    proptest! {
        #[test]
        fn nothing_shown_is_wider_than_its_room_or_steers_a_terminal(text: String, columns in 0usize..60) {
            let text = printable(&text);
            prop_assert!(!text.chars().any(is_unsafe));
            for cut in [shorten_middle(&text, columns), shorten_end(&text, columns)] {
                prop_assert!(width(&cut) <= columns, "{cut:?} in {columns}");
            }
            let (folder, name) = shorten_path(Path::new(&text), columns);
            prop_assert!(width(&folder) + width(&name) <= columns.max(1));
        }

        #[test]
        fn numbers_keep_to_their_columns(number: u64) {
            prop_assert!(bytes(number).len() <= 8);
            prop_assert!(rate(number).len() <= 10);
            prop_assert!(duration(number).len() <= 7);
        }
    }
}
