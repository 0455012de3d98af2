//! How things look: semantic styles for every depth of colour, and the glyphs; knows no view.
//!
//! States are always told by a glyph and a word, colour only helps.

use ratatui::{
    style::{Color, Modifier, Style},
    symbols::border,
};

use crate::engine::protocol::{PartState, State};

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None: bold, dim and reversed only.
    Mono,
    /// The 16 the person chose for the terminal.
    Ansi,
    /// 256.
    Indexed,
    /// All.
    True,
}

/// What is behind the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Background {
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

impl Depth {
    /// What the environment says, read through `get` (`NO_COLOR`, `COLORTERM`, `TERM`).
    pub(crate) fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        if get("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            return Self::Mono;
        }
        let term = get("TERM").unwrap_or_default();
        let colorterm = get("COLORTERM").unwrap_or_default();
        if colorterm == "truecolor" || colorterm == "24bit" || term.ends_with("-direct") {
            Self::True
        } else if term.contains("256color") || term.contains("kitty") || term.contains("alacritty")
        {
            Self::Indexed
        } else if term.starts_with("vt1") || term.starts_with("vt2") {
            Self::Mono
        } else {
            Self::Ansi
        }
    }
}

impl Background {
    /// What `COLORFGBG` says, where the terminal sets it; dark otherwise.
    pub(crate) fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let light = get("COLORFGBG")
            .and_then(|value| value.rsplit(';').next()?.parse::<u8>().ok())
            .is_some_and(|back| back == 7 || (9..=15).contains(&back));
        if light { Self::Light } else { Self::Dark }
    }
}

/// The cells of a bar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar {
    pub(crate) full: &'static str,
    pub(crate) half: &'static str,
    /// On its way, where colour does not tell.
    pub(crate) flight: &'static str,
    /// Still to come, where colour does not tell.
    pub(crate) track: &'static str,
}

/// The characters that are not letters.
#[derive(Debug)]
pub(crate) struct Glyphs {
    pub(crate) borders: border::Set<'static>,
    pub(crate) bar: Bar,
    pub(crate) heights: &'static [&'static str],
    pub(crate) mark: &'static str,
    /// Of a folder, when not all in it is marked.
    pub(crate) mark_some: &'static str,
    pub(crate) folded: &'static str,
    pub(crate) unfolded: &'static str,
    pub(crate) cursor: &'static str,
    pub(crate) ellipsis: &'static str,
    pub(crate) minus: &'static str,
    pub(crate) up_down: (&'static str, &'static str),
    pub(crate) spinner: &'static [&'static str],
    pub(crate) ascii: bool,
}

static UNICODE: Glyphs = Glyphs {
    borders: border::ROUNDED,
    bar: Bar {
        full: "━",
        half: "╸",
        flight: "╍",
        track: "┄",
    },
    heights: &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    mark: "●",
    mark_some: "◐",
    folded: "▸",
    unfolded: "▾",
    cursor: "▌",
    ellipsis: "…",
    minus: "−",
    up_down: ("↑", "↓"),
    spinner: &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
    ascii: false,
};

static ASCII: Glyphs = Glyphs {
    borders: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
    bar: Bar {
        full: "=",
        half: "=",
        flight: "~",
        track: ".",
    },
    heights: &["_", ".", ":", "-", "=", "+", "*", "#"],
    mark: "*",
    mark_some: "+",
    folded: ">",
    unfolded: "v",
    cursor: ">",
    ellipsis: "~",
    minus: "-",
    up_down: ("^", "v"),
    spinner: &["|", "/", "-", "\\"],
    ascii: true,
};

/// Styles by what they mean.
#[derive(Debug, Clone)]
pub(crate) struct Theme {
    pub(crate) glyphs: &'static Glyphs,
    /// Whether colour tells the cells of a bar apart.
    pub(crate) colored: bool,
    pub(crate) text: Style,
    pub(crate) strong: Style,
    pub(crate) dim: Style,
    pub(crate) faint: Style,
    pub(crate) accent: Style,
    pub(crate) good: Style,
    pub(crate) warn: Style,
    pub(crate) bad: Style,
    pub(crate) selected: Style,
    pub(crate) selected_away: Style,
    pub(crate) track: Style,
    pub(crate) flight: Style,
    pub(crate) key: Style,
    pub(crate) border: Style,
    pub(crate) border_focus: Style,
}

/// One colour at every depth that has colours.
#[derive(Clone, Copy)]
struct Ink(u32, u8, Color);

impl Ink {
    fn at(self, depth: Depth) -> Option<Color> {
        match depth {
            Depth::Mono => None,
            Depth::Ansi => Some(self.2),
            Depth::Indexed => Some(Color::Indexed(self.1)),
            Depth::True => Some(Color::from_u32(self.0)),
        }
    }
}

struct Inks {
    strong: Ink,
    dim: Ink,
    faint: Ink,
    accent: Ink,
    good: Ink,
    warn: Ink,
    bad: Ink,
    selected: Ink,
    away: Ink,
    track: Ink,
    flight: Ink,
}

const DARK: Inks = Inks {
    strong: Ink(0x00f0_f3f6, 255, Color::White),
    dim: Ink(0x008b_95a5, 246, Color::Gray),
    faint: Ink(0x004b_5463, 240, Color::DarkGray),
    accent: Ink(0x005f_b8f5, 75, Color::Cyan),
    good: Ink(0x0078_c69b, 114, Color::Green),
    warn: Ink(0x00e3_b768, 179, Color::Yellow),
    bad: Ink(0x00ee_7f86, 210, Color::LightRed),
    selected: Ink(0x0024_3447, 237, Color::Blue),
    away: Ink(0x001e_242e, 235, Color::Reset),
    track: Ink(0x0036_3e4b, 238, Color::DarkGray),
    flight: Ink(0x002f_6e9e, 31, Color::Blue),
};

const LIGHT: Inks = Inks {
    strong: Ink(0x0011_151a, 232, Color::Black),
    dim: Ink(0x005c_6673, 241, Color::DarkGray),
    // The lighter grey of 16 is next to white.
    faint: Ink(0x00a9_b2bd, 248, Color::DarkGray),
    accent: Ink(0x0006_5fb0, 25, Color::Blue),
    good: Ink(0x001a_7f4b, 28, Color::Green),
    warn: Ink(0x0098_5f00, 94, Color::Magenta),
    bad: Ink(0x00b4_2332, 124, Color::Red),
    selected: Ink(0x00d3_e6f8, 153, Color::Cyan),
    away: Ink(0x00e9_eef3, 255, Color::Reset),
    track: Ink(0x00cf_d6de, 252, Color::Gray),
    flight: Ink(0x007f_b4e3, 110, Color::Cyan),
};

impl Theme {
    /// The look for a terminal of this sort.
    pub(crate) fn new(depth: Depth, background: Background, ascii: bool) -> Self {
        let inks = match background {
            Background::Dark => DARK,
            Background::Light => LIGHT,
        };
        let plain = Style::new();
        let ink = |ink: Ink, mono: Modifier| match ink.at(depth) {
            Some(color) => plain.fg(color),
            None => plain.add_modifier(mono),
        };
        let back = |ink: Ink, few: Modifier| match ink.at(depth) {
            Some(color) if depth >= Depth::Indexed => plain.bg(color),
            // Colours of the text would show as so many backgrounds.
            _ if few == Modifier::REVERSED => plain.fg(Color::Reset).add_modifier(few),
            _ => plain.add_modifier(few),
        };
        let bold = Modifier::BOLD;
        let none = Modifier::empty();
        Self {
            glyphs: if ascii { &ASCII } else { &UNICODE },
            colored: depth > Depth::Mono && !ascii,
            text: plain,
            strong: ink(inks.strong, none).add_modifier(bold),
            dim: ink(inks.dim, Modifier::DIM),
            faint: ink(inks.faint, Modifier::DIM),
            accent: ink(inks.accent, bold),
            good: ink(inks.good, none),
            warn: ink(inks.warn, bold),
            bad: ink(inks.bad, bold),
            selected: back(inks.selected, Modifier::REVERSED),
            selected_away: back(inks.away, none),
            track: ink(inks.track, Modifier::DIM),
            flight: ink(inks.flight, none),
            key: ink(inks.accent, bold),
            border: ink(inks.faint, Modifier::DIM),
            border_focus: ink(inks.accent, bold),
        }
    }

    /// The look of this terminal, by its environment.
    pub(crate) fn from_env(depth: Option<Depth>, light: Option<bool>, ascii: Option<bool>) -> Self {
        let get = |name: &str| std::env::var(name).ok();
        Self::new(
            depth.unwrap_or_else(|| Depth::from_env(get)),
            match light {
                Some(true) => Background::Light,
                Some(false) => Background::Dark,
                None => Background::from_env(get),
            },
            ascii.unwrap_or_else(|| !supports_unicode::on(supports_unicode::Stream::Stdout)),
        )
    }

    /// How an upload's state looks.
    pub(crate) fn state(&self, state: State) -> (&'static str, Style) {
        let (unicode, ascii, style) = match state {
            State::Queued => ("·", ".", self.dim),
            State::Creating => ("◌", "c", self.accent),
            State::Uploading => ("▲", "^", self.accent),
            State::Completing => ("◆", "=", self.accent),
            State::Processing => ("◇", "~", self.accent),
            State::Done => ("✓", "o", self.good),
            State::Paused => ("‖", "|", self.warn),
            State::Failed => ("✗", "x", self.bad),
            State::Changed => ("≠", "!", self.bad),
            State::Skipped => ("○", "-", self.dim),
        };
        (if self.glyphs.ascii { ascii } else { unicode }, style)
    }

    /// How a part's state looks.
    pub(crate) fn part(&self, state: PartState) -> (&'static str, Style) {
        let (unicode, ascii, style) = match state {
            PartState::Waiting => ("·", ".", self.faint),
            PartState::Running => ("▸", ">", self.accent),
            PartState::Done => ("▪", "o", self.good),
            PartState::Verified => ("■", "#", self.good),
            PartState::Retrying => ("↻", "r", self.warn),
            PartState::Failed => ("✗", "x", self.bad),
        };
        (if self.glyphs.ascii { ascii } else { unicode }, style)
    }

    /// A group of parts of which some are done and none is anything but done or waiting.
    pub(crate) fn partly(&self) -> (&'static str, Style) {
        (if self.glyphs.ascii { "+" } else { "▫" }, self.good)
    }

    /// A turn of the wheel that says that something lives; `now_ms` is the clock.
    pub(crate) fn spinner(&self, now_ms: u128) -> &'static str {
        let frames = self.glyphs.spinner;
        let turn = now_ms / 200 % frames.len() as u128;
        frames[usize::try_from(turn).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(pairs: &[(&str, &str)]) -> Depth {
        Depth::from_env(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_how_many_colours_there_are() {
        assert_eq!(depth(&[("TERM", "xterm")]), Depth::Ansi);
        assert_eq!(depth(&[("TERM", "xterm-256color")]), Depth::Indexed);
        assert_eq!(
            depth(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]),
            Depth::True
        );
        assert_eq!(
            depth(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]),
            Depth::Mono
        );
        assert_eq!(
            depth(&[("COLORTERM", "truecolor"), ("NO_COLOR", "")]),
            Depth::True
        );
    }

    #[test]
    fn no_words_are_written_in_the_grey_that_a_light_terminal_hides() {
        let theme = Theme::new(Depth::Ansi, Background::Light, false);
        for style in [theme.dim, theme.faint, theme.border, theme.text, theme.warn] {
            assert!(!matches!(style.fg, Some(Color::Gray | Color::White)));
        }
    }

    #[test]
    fn states_differ_without_colour_in_both_sets() {
        for ascii in [false, true] {
            let theme = Theme::new(Depth::Mono, Background::Dark, ascii);
            let mut seen: Vec<_> = State::ALL.map(|state| theme.state(state).0).to_vec();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), State::ALL.len());
            assert!(!ascii || seen.iter().all(|glyph| glyph.is_ascii()));
        }
    }
}
