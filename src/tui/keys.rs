//! The keys in force: the table, as it is or as the config changed it. Key handling, hints, help and
//! remapping are all made from it.

mod key;
mod table;

pub(crate) use self::table::Group;
use self::{key::Key, table::TABLE};
use super::action::{Action, Pane};

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

    /// How a key that was pressed is shown.
    pub(crate) fn name(key: impl Into<Key>) -> String {
        key.into().to_string()
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
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

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
