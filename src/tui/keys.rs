//! The one table of keys: what each does, in words. Key handling, hints, help and remapping are all
//! made from it.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::{Action, Pane};

/// A key as it is pressed: code and modifiers, with what differs between terminals evened out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

impl Key {
    fn new(code: KeyCode, modifiers: KeyModifiers) -> Self {
        match code {
            // The character itself tells that shift was held.
            KeyCode::Char(c) if c != ' ' && modifiers.contains(KeyModifiers::SHIFT) => Self {
                code: KeyCode::Char(c.to_ascii_uppercase()),
                modifiers: modifiers - KeyModifiers::SHIFT,
            },
            KeyCode::Tab if modifiers.contains(KeyModifiers::SHIFT) => Self {
                code: KeyCode::BackTab,
                modifiers: modifiers - KeyModifiers::SHIFT,
            },
            KeyCode::BackTab | KeyCode::Char(' ') => Self {
                code,
                modifiers: modifiers - KeyModifiers::SHIFT,
            },
            _ => Self { code, modifiers },
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut modifiers = KeyModifiers::NONE;
        while let Some((prefix, after)) =
            rest.split_once('-').filter(|(_, after)| !after.is_empty())
        {
            modifiers |= match prefix.to_ascii_lowercase().as_str() {
                "ctrl" | "c" => KeyModifiers::CONTROL,
                "alt" | "a" => KeyModifiers::ALT,
                "shift" | "s" => KeyModifiers::SHIFT,
                _ => return None,
            };
            rest = after;
        }
        let code = match rest.to_ascii_lowercase().as_str() {
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "pgup" | "pageup" => KeyCode::PageUp,
            "pgdn" | "pagedown" => KeyCode::PageDown,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "space" => KeyCode::Char(' '),
            "backspace" => KeyCode::Backspace,
            "delete" | "del" => KeyCode::Delete,
            "insert" => KeyCode::Insert,
            other => {
                let mut chars = rest.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) if !c.is_control() => KeyCode::Char(c),
                    _ => KeyCode::F(other.strip_prefix('f')?.parse().ok()?),
                }
            }
        };
        Some(Self::new(code, modifiers))
    }
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        Self::new(event.code, event.modifiers)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.modifiers.contains(KeyModifiers::CONTROL) {
            f.write_str("ctrl-")?;
        }
        if self.modifiers.contains(KeyModifiers::ALT) {
            f.write_str("alt-")?;
        }
        if self.modifiers.contains(KeyModifiers::SHIFT) {
            f.write_str("shift-")?;
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("space"),
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(number) => write!(f, "f{number}"),
            KeyCode::PageUp => f.write_str("pgup"),
            KeyCode::PageDown => f.write_str("pgdn"),
            KeyCode::BackTab => f.write_str("shift-tab"),
            KeyCode::Delete => f.write_str("del"),
            other => f.write_str(&format!("{other:?}").to_lowercase()),
        }
    }
}

/// What belongs together in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Queue,
    Find,
    Parts,
    Tuning,
    Log,
    Move,
    Session,
}

impl Group {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Group::Queue => "Files",
            Group::Find => "Find, sort, mark",
            Group::Parts => "Parts of a file",
            Group::Tuning => "Tune while it runs",
            Group::Log => "Log",
            Group::Move => "Move about",
            Group::Session => "Session",
        }
    }
}

/// Where a key means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everywhere,
    Only(Pane),
}

impl Scope {
    fn covers(self, pane: Pane) -> bool {
        self == Scope::Everywhere || self == Scope::Only(pane)
    }

    fn meets(self, other: Scope) -> bool {
        match (self, other) {
            (Scope::Only(one), Scope::Only(two)) => one == two,
            _ => true,
        }
    }
}

/// One line of the table.
struct Entry {
    action: Action,
    /// The name in the config's `[keys]`.
    id: &'static str,
    keys: &'static str,
    group: Group,
    scope: Scope,
    /// The help.
    words: &'static str,
    /// The hint in the footer with its rank (small stays longest), where it deserves one.
    hint: Option<(u8, &'static str)>,
}

const fn entry(
    group: Group,
    scope: Scope,
    action: Action,
    id: &'static str,
    keys: &'static str,
    words: &'static str,
    hint: Option<(u8, &'static str)>,
) -> Entry {
    Entry {
        action,
        id,
        keys,
        group,
        scope,
        words,
        hint,
    }
}

const ALL: Scope = Scope::Everywhere;
const QUEUE: Scope = Scope::Only(Pane::Queue);
const PARTS: Scope = Scope::Only(Pane::Parts);
const LOG: Scope = Scope::Only(Pane::Log);

#[rustfmt::skip]
const TABLE: &[Entry] = &[
    entry(Group::Queue, ALL, Action::Add, "add", "a", "add files or folders", Some((2, "add"))),
    entry(Group::Queue, ALL, Action::Pause, "pause", "p", "pause the file or the marks, or go on with them", Some((3, "pause"))),
    entry(Group::Queue, ALL, Action::PauseAll, "pause_all", "P", "pause everything, or go on with it", None),
    entry(Group::Queue, ALL, Action::RetryFile, "retry", "r", "try again what failed of the file or the marks", Some((4, "retry"))),
    entry(Group::Queue, ALL, Action::RetryAll, "retry_all", "R", "try again everything that failed", None),
    entry(Group::Queue, ALL, Action::StartOver, "start_over", "S", "begin the file or the marks anew", None),
    entry(Group::Queue, ALL, Action::Skip, "skip", "X", "leave changed or failed files out", None),
    entry(Group::Queue, ALL, Action::Remove, "remove", "x del", "take the file or the marks out of the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveUp, "move_up", "K shift-up", "move up in the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveDown, "move_down", "J shift-down", "move down in the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveFirst, "move_first", "H", "move to the head of the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveLast, "move_last", "E", "move to the end of the queue", None),
    entry(Group::Queue, ALL, Action::Details, "details", "i", "everything about the file", Some((8, "details"))),

    entry(Group::Find, ALL, Action::Filter, "filter", "/", "show only names that contain what is typed", Some((6, "filter"))),
    entry(Group::Find, ALL, Action::Show, "show", "f", "show all, running, failed, waiting or done ones", Some((7, "show"))),
    entry(Group::Find, ALL, Action::Sort, "sort", "o", "sort by queue, name, size, progress, state, speed", Some((10, "sort"))),
    entry(Group::Find, ALL, Action::Reverse, "reverse", "O", "sort the other way round", None),
    entry(Group::Find, QUEUE, Action::Mark, "mark", "space", "mark the file, or take its mark away", Some((9, "mark"))),
    entry(Group::Find, QUEUE, Action::MarkRange, "mark_range", "v", "begin a range here; again: mark it", None),
    entry(Group::Find, QUEUE, Action::MarkAll, "mark_all", "*", "mark all the filter lets through, or none", None),

    entry(Group::Parts, PARTS, Action::RetryPart, "retry_part", "t", "try the part under the cursor again, now", Some((1, "retry part"))),

    entry(Group::Tuning, ALL, Action::Tune, "tune", "T", "all settings, by key or by typing a value", Some((5, "tune"))),
    entry(Group::Tuning, ALL, Action::PartsMore, "more_parts", "+ =", "one more part in flight", None),
    entry(Group::Tuning, ALL, Action::PartsLess, "fewer_parts", "-", "one part in flight less", None),
    entry(Group::Tuning, ALL, Action::FilesMore, "more_files", ")", "one more file in flight", None),
    entry(Group::Tuning, ALL, Action::FilesLess, "fewer_files", "(", "one file in flight less", None),
    entry(Group::Tuning, ALL, Action::SizeMore, "larger_parts", "]", "larger parts: shows what it would do first", None),
    entry(Group::Tuning, ALL, Action::SizeLess, "smaller_parts", "[", "smaller parts: shows what it would do first", None),
    entry(Group::Tuning, ALL, Action::BandwidthMore, "more_bandwidth", ">", "more bandwidth", None),
    entry(Group::Tuning, ALL, Action::BandwidthLess, "less_bandwidth", "<", "less bandwidth", None),

    entry(Group::Log, ALL, Action::Log, "log", "L", "show or hide the log", Some((11, "log"))),
    entry(Group::Log, LOG, Action::LogMore, "log_more", "m", "show more of the log: info, debug", Some((1, "more"))),
    entry(Group::Log, LOG, Action::LogLess, "log_less", "n", "show less of the log: warnings, errors", Some((1, "less"))),
    entry(Group::Log, LOG, Action::LogTarget, "log_target", "t", "only what one part of the program says", Some((1, "target"))),
    entry(Group::Log, LOG, Action::LogFollow, "log_follow", "space", "hold the log still, or follow it", Some((1, "hold"))),

    entry(Group::Move, ALL, Action::Up, "up", "k up", "up", None),
    entry(Group::Move, ALL, Action::Down, "down", "j down", "down", None),
    entry(Group::Move, ALL, Action::PageUp, "page_up", "ctrl-u pgup ctrl-b", "a page up", None),
    entry(Group::Move, ALL, Action::PageDown, "page_down", "ctrl-d pgdn ctrl-f", "a page down", None),
    entry(Group::Move, ALL, Action::First, "first", "g home", "to the first", None),
    entry(Group::Move, ALL, Action::Last, "last", "G end", "to the last", None),
    entry(Group::Move, ALL, Action::Left, "left", "h left", "left in the grid of parts", None),
    entry(Group::Move, ALL, Action::Right, "right", "l right", "right in the grid of parts", None),
    entry(Group::Move, ALL, Action::Open, "open", "enter", "into the parts of the file; there: the part's story", None),
    entry(Group::Move, ALL, Action::Back, "back", "esc", "back; take marks and filter away", None),
    entry(Group::Move, ALL, Action::NextPane, "next_pane", "tab", "to the next pane", None),
    entry(Group::Move, ALL, Action::PreviousPane, "previous_pane", "shift-tab", "to the pane before", None),
    entry(Group::Move, ALL, Action::Zoom, "zoom", "z", "give the pane the whole screen, or not", Some((12, "zoom"))),

    entry(Group::Session, ALL, Action::Help, "help", "? f1", "this help", Some((0, "help"))),
    entry(Group::Session, ALL, Action::Summary, "summary", "e", "what was done so far", None),
    entry(Group::Session, ALL, Action::Save, "save", "w ctrl-s", "write the session to disk, now", None),
    entry(Group::Session, ALL, Action::Redraw, "redraw", "ctrl-l", "draw the screen anew", None),
    entry(Group::Session, ALL, Action::Suspend, "suspend", "ctrl-z", "put the program to sleep; fg wakes it", None),
    entry(Group::Session, ALL, Action::Detach, "detach", "D", "leave; the session goes on without a screen", None),
    entry(Group::Session, ALL, Action::Quit, "quit", "q", "stop cleanly, save and quit", Some((0, "quit"))),
    entry(Group::Session, ALL, Action::Stop, "stop", "ctrl-c", "the same without asking; again: at once", None),
];

/// The keys of every action, as the table has them or as the config changed them.
#[derive(Debug, Clone)]
pub struct KeyMap(Vec<Vec<Key>>);

/// Why the config's `[keys]` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// There is no such action.
    #[error("[keys] {id}: there is no such action; there are {known}")]
    UnknownAction {
        /// What was written.
        id: String,
        /// All there are.
        known: String,
    },
    /// There is no such key.
    #[error(
        "[keys] {id}: {key:?} is no key; write one as \"x\", \"ctrl-x\", \"f5\", \"space\", \"pgup\""
    )]
    UnknownKey {
        /// Whose key.
        id: String,
        /// What was written.
        key: String,
    },
    /// It is neither a text nor a list of texts.
    #[error("[keys] {id}: a key is a text such as \"x\", or a list of them")]
    NoText {
        /// Whose.
        id: String,
    },
    /// Two actions have one key.
    #[error("[keys] {key:?} is bound to both {one} and {other}")]
    Conflict {
        /// The key.
        key: String,
        /// One of the two.
        one: String,
        /// The other.
        other: String,
    },
    /// The only way out was taken away.
    #[error("[keys] quit needs a key")]
    NoQuit,
}

impl Default for KeyMap {
    fn default() -> Self {
        Self(
            TABLE
                .iter()
                .map(|entry| entry.keys.split(' ').filter_map(Key::parse).collect())
                .collect(),
        )
    }
}

impl KeyMap {
    /// The keys with the changes of a config's `[keys]` table: action names, each with a key or a
    /// list of keys that take the place of the usual ones.
    ///
    /// # Errors
    /// Unknown actions and keys; a key that would mean two things, naming both.
    pub fn from_toml(changes: &toml::Table) -> Result<Self, BadKeys> {
        let mut map = Self::default();
        for (id, value) in changes {
            let id = id.replace('-', "_");
            let Some(index) = TABLE.iter().position(|entry| entry.id == id) else {
                let known: Vec<_> = TABLE.iter().map(|entry| entry.id).collect();
                return Err(BadKeys::UnknownAction {
                    id,
                    known: known.join(", "),
                });
            };
            let texts: Vec<&str> = match value {
                toml::Value::String(text) => vec![text],
                toml::Value::Array(list) => list
                    .iter()
                    .map(|value| value.as_str().ok_or(BadKeys::NoText { id: id.clone() }))
                    .collect::<Result<_, _>>()?,
                _ => return Err(BadKeys::NoText { id }),
            };
            map.0[index] = texts
                .into_iter()
                .map(|text| {
                    Key::parse(text).ok_or_else(|| BadKeys::UnknownKey {
                        id: id.clone(),
                        key: text.to_owned(),
                    })
                })
                .collect::<Result<_, _>>()?;
        }
        map.check()
    }

    fn check(self) -> Result<Self, BadKeys> {
        for (index, one) in TABLE.iter().enumerate() {
            if one.action == Action::Quit && self.0[index].is_empty() {
                return Err(BadKeys::NoQuit);
            }
            for (other_index, other) in TABLE.iter().enumerate().skip(index + 1) {
                let shared = |key: &&Key| self.0[other_index].contains(key);
                if one.scope.meets(other.scope)
                    && let Some(key) = self.0[index].iter().find(shared)
                {
                    return Err(BadKeys::Conflict {
                        key: key.to_string(),
                        one: one.id.to_owned(),
                        other: other.id.to_owned(),
                    });
                }
            }
        }
        Ok(self)
    }

    /// What this key means in this pane.
    pub(crate) fn action(&self, pane: Pane, key: impl Into<Key>) -> Option<Action> {
        let key = key.into();
        TABLE
            .iter()
            .zip(&self.0)
            .find(|(entry, keys)| entry.scope.covers(pane) && keys.contains(&key))
            .map(|(entry, _)| entry.action)
    }

    /// The first key of an action, as it is shown; empty when it has none.
    pub(crate) fn label(&self, action: Action) -> String {
        TABLE
            .iter()
            .zip(&self.0)
            .find(|(entry, _)| entry.action == action)
            .and_then(|(_, keys)| keys.first())
            .map(Key::to_string)
            .unwrap_or_default()
    }

    /// The hints of a pane: its own first, each with its rank, key and words.
    pub(crate) fn hints(
        &self,
        pane: Pane,
    ) -> impl Iterator<Item = (u8, String, &'static str, Action)> + '_ {
        TABLE
            .iter()
            .zip(&self.0)
            .filter(move |(entry, _)| entry.scope.covers(pane))
            .filter_map(|(entry, keys)| {
                let (rank, words) = entry.hint?;
                Some((rank, keys.first()?.to_string(), words, entry.action))
            })
    }

    /// The whole table for the help: group, keys, name in the config, words.
    pub(crate) fn help(
        &self,
    ) -> impl Iterator<Item = (Group, String, &'static str, &'static str)> + '_ {
        TABLE.iter().zip(&self.0).map(|(entry, keys)| {
            let keys: Vec<_> = keys.iter().map(Key::to_string).collect();
            (entry.group, keys.join(" "), entry.id, entry.words)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remap(text: &str) -> Result<KeyMap, BadKeys> {
        KeyMap::from_toml(&text.parse().unwrap())
    }

    #[test]
    fn the_table_itself_has_no_conflict_and_every_key_parses() {
        let map = KeyMap::default().check().unwrap();
        for (entry, keys) in TABLE.iter().zip(&map.0) {
            assert_eq!(keys.len(), entry.keys.split(' ').count(), "{}", entry.id);
            for key in keys {
                assert_eq!(Key::parse(&key.to_string()), Some(*key));
            }
        }
    }

    #[test]
    fn a_conflict_names_the_key_and_both_actions() {
        assert_eq!(
            remap("pause = 'r'").unwrap_err().to_string(),
            "[keys] \"r\" is bound to both pause and retry"
        );
    }

    #[test]
    fn one_key_may_mean_two_things_in_two_panes_but_not_in_one() {
        assert!(remap("retry_part = 'y'\nlog_target = 'y'").is_ok());
        assert!(remap("log_less = 'm'").is_err());
    }

    #[test]
    fn a_remapped_key_acts_and_shows_in_hints_and_help() {
        let map = remap("add = ['ctrl-n', 'f2']").unwrap();
        let key = |text| Key::parse(text).unwrap();
        assert_eq!(map.action(Pane::Queue, key("f2")), Some(Action::Add));
        assert_eq!(map.action(Pane::Queue, key("a")), None);
        assert!(map.hints(Pane::Queue).any(|hint| hint.1 == "ctrl-n"));
        assert!(map.help().any(|line| line.1 == "ctrl-n f2"));
    }

    #[test]
    fn what_is_no_action_or_no_key_is_refused_by_name() {
        let words = remap("fly = 'y'").unwrap_err().to_string();
        assert!(words.starts_with("[keys] fly: there is no such action; there are add, pause"));
        let words = remap("add = 'hyper-x'").unwrap_err().to_string();
        assert!(words.contains("\"hyper-x\" is no key"), "{words}");
        assert_eq!(remap("quit = []").unwrap_err(), BadKeys::NoQuit);
        assert!(remap("add = 3").is_err());
    }

    #[test]
    fn terminals_that_tell_shift_and_those_that_do_not_mean_the_same_key() {
        let upper = |modifiers| KeyEvent::new(KeyCode::Char('R'), modifiers);
        let map = KeyMap::default();
        for modifiers in [KeyModifiers::NONE, KeyModifiers::SHIFT] {
            assert_eq!(
                map.action(Pane::Queue, upper(modifiers)),
                Some(Action::RetryAll)
            );
        }
        let tab = KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT);
        assert_eq!(map.action(Pane::Queue, tab), Some(Action::PreviousPane));
    }
}
