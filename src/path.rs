//! Paths as text and back without loss; knows nothing of what they lead to.
//!
//! A path on Unix is bytes, not text. Where a path has to travel as text (session file, socket,
//! JSON lines) what is not plain text in it is percent-encoded, and so is `%` itself.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use percent_encoding::{percent_decode_str, percent_encode_byte};

/// The path as text that [`decode`] turns back into exactly the same path.
#[must_use]
pub fn encode(path: &Path) -> String {
    let mut text = String::with_capacity(path.as_os_str().len());
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c.is_control() {
                let mut utf8 = [0; 4];
                c.encode_utf8(&mut utf8)
                    .bytes()
                    .for_each(|b| text.push_str(percent_encode_byte(b)));
            } else {
                text.push(c);
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|b| text.push_str(percent_encode_byte(*b)));
    }
    text
}

/// The path that [`encode`] made this text from.
#[must_use]
pub fn decode(text: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(percent_decode_str(text).collect()))
}

/// The path of a table that says it as text or, where it is none, as [`encode`] writes it; `None` where
/// the table says neither or both.
pub(crate) fn one_of(text: Option<String>, bytes: Option<String>) -> Option<PathBuf> {
    match (text, bytes) {
        (Some(text), None) => Some(PathBuf::from(text)),
        (None, Some(bytes)) => Some(decode(&bytes)),
        _ => None,
    }
}

/// The path for people to read: what would steer a terminal, and what is no text, as U+FFFD. Not to
/// be read back.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .replace(crate::error::is_unsafe, "\u{fffd}")
}

/// The path with this behind its whole name: a file that belongs to the other.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    whole.into()
}

/// The end of a path, as [`shown`]: a file with the folder it lies in, since cards and cameras give
/// many files one name.
#[must_use]
pub fn tail(path: &Path) -> String {
    let above = path.parent().and_then(Path::parent);
    let end = above.and_then(|above| path.strip_prefix(above).ok());
    shown(end.unwrap_or(path))
}

/// For `#[serde(with = "crate::path::text")]` on a [`PathBuf`].
pub mod text {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the path with [`super::encode`].
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode(path))
    }

    /// Reads the path with [`super::decode`].
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        String::deserialize(deserializer).map(|text| super::decode(&text))
    }
}

/// For `#[serde(with = "crate::path::texts")]` on a list of paths.
pub mod texts {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the paths with [`super::encode`].
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| super::encode(path)))
    }

    /// Reads the paths with [`super::decode`].
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(texts.iter().map(|text| super::decode(text)).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_name_stays_readable() {
        assert_eq!(
            encode(Path::new("2019/Hochzeit – Müller.mov")),
            "2019/Hochzeit – Müller.mov"
        );
    }

    #[test]
    fn a_shown_path_steers_no_terminal() {
        let path = Path::new("50% off/\u{1b}[31mred\n\u{202e}.mov");
        assert_eq!(shown(path), "50% off/\u{fffd}[31mred\u{fffd}\u{fffd}.mov");
    }

    #[test]
    fn the_end_of_a_path_has_no_more_than_a_folder_and_a_name() {
        for (path, end) in [
            ("/mnt/cards/A/C0001.mp4", "A/C0001.mp4"),
            ("/A/C0001.mp4", "A/C0001.mp4"),
            ("A/C0001.mp4", "A/C0001.mp4"),
            ("/C0001.mp4", "/C0001.mp4"),
            ("C0001.mp4", "C0001.mp4"),
            ("/", "/"),
        ] {
            assert_eq!(tail(Path::new(path)), end);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_as_they_were_and_travel_without_control_characters(
            bytes: Vec<u8>,
        ) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            let text = encode(&path);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(decode(&text), path);
        }
    }
}
