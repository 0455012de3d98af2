//! Path → media type, title, and a file name that may be sent; looks at names alone, never at files.

use std::path::Path;

use crate::error::is_unsafe;

/// Video and audio that the library of media types lacks, or files under `application/…`: camera
/// raw, broadcast wrappers, elementary streams, lossless audio. Where no type is registered, the
/// `x-` name is what players and other upload tools use.
const MORE: &[(&str, &str)] = &[
    ("264", "video/h264"),
    ("265", "video/h265"),
    ("360", "video/mp4"),
    ("amr", "audio/amr"),
    ("ape", "audio/x-ape"),
    ("ari", "video/x-arriraw"),
    ("arx", "video/x-arriraw"),
    ("av1", "video/av1"),
    ("avc", "video/h264"),
    ("awb", "audio/amr-wb"),
    ("braw", "video/x-braw"),
    ("bwf", "audio/wav"),
    ("crm", "video/x-canon-crm"),
    ("dav", "video/x-dav"),
    ("dff", "audio/x-dff"),
    ("dsf", "audio/x-dsf"),
    ("dvr-ms", "video/x-ms-dvr"),
    ("eac3", "audio/eac3"),
    ("ec3", "audio/eac3"),
    ("evo", "video/mpeg"),
    ("f4a", "audio/mp4"),
    ("gxf", "application/gxf"),
    ("h265", "video/h265"),
    ("hevc", "video/h265"),
    ("insv", "video/mp4"),
    ("isma", "audio/mp4"),
    ("ismv", "video/mp4"),
    ("lrv", "video/mp4"),
    ("m2p", "video/mpeg"),
    ("m2t", "video/mp2t"),
    ("m2ts", "video/mp2t"),
    ("mjpeg", "video/x-motion-jpeg"),
    ("mjpg", "video/x-motion-jpeg"),
    ("mpc", "audio/x-musepack"),
    ("mpv", "video/mpeg"),
    ("mts", "video/mp2t"),
    ("mxf", "application/mxf"),
    ("nsv", "video/x-nsv"),
    ("nut", "video/x-nut"),
    ("ogm", "video/ogg"),
    ("ogx", "application/ogg"),
    ("r3d", "video/x-r3d"),
    ("rf64", "audio/wav"),
    ("rm", "application/vnd.rn-realmedia"),
    ("rmvb", "application/vnd.rn-realmedia-vbr"),
    ("tod", "video/mpeg"),
    ("tp", "video/mp2t"),
    ("trp", "video/mp2t"),
    ("ts", "video/mp2t"),
    ("tta", "audio/x-tta"),
    ("vro", "video/mpeg"),
    ("w64", "audio/x-w64"),
    ("wtv", "video/x-ms-wtv"),
    ("wv", "audio/x-wavpack"),
    ("y4m", "video/x-yuv4mpeg"),
];

/// What the library calls `video/…` or `audio/…` and is nothing to play: lists of where media is,
/// scores for a synthesizer, subtitles, animated images, software packages, backups.
const NOT_MEDIA: &[&str] = &[
    "asx", "kar", "lsx", "m3u", "m3u8", "m4u", "mid", "midi", "mks", "mng", "mxu", "nsc", "pls",
    "ram", "rip", "rmi", "rpm", "s3m", "vbk", "wax", "wmx", "wvx", "xm",
];

/// Media by name, but as often something a person wrote: TypeScript and Qt translations (`ts`,
/// `mts`), Go modules (`mod`), device trees (`dts`).
const MAYBE_TEXT: &[&str] = &["dts", "mod", "mts", "ts"];

/// The media type of a file by its extension, whatever the case; `None` when it is no video or audio.
///
/// Needs no file: what is media by name may still be text, see [`may_be_text`].
#[must_use]
pub fn mime(path: &Path) -> Option<&'static str> {
    let extension = extension(path)?;
    let extension = extension.as_str();
    if let Ok(at) = MORE.binary_search_by_key(&extension, |(known, _)| known) {
        return Some(MORE[at].1);
    }
    if NOT_MEDIA.binary_search(&extension).is_ok() {
        return None;
    }
    mime_guess::from_ext(extension)
        .first_raw()
        .filter(|mime| mime.starts_with("video/") || mime.starts_with("audio/"))
}

/// Whether a file with this extension is as often text as media, so that its first bytes have to
/// be looked at ([`is_text`]).
#[must_use]
pub fn may_be_text(path: &Path) -> bool {
    extension(path).is_some_and(|extension| MAYBE_TEXT.contains(&extension.as_str()))
}

/// Whether the first bytes of a file read as text: UTF-8 without a NUL. No container or stream of
/// video or audio does for more than a few bytes.
#[must_use]
pub fn is_text(head: &[u8]) -> bool {
    let utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character that the end of `head` cut in two.
        Err(error) => error.error_len().is_none(),
    };
    utf8 && !head.contains(&0)
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// A title for people: the file's stem with underscores as spaces, and dots too where they stand
/// for spaces (`Summer.in.Rome`, but `Dr. No`). Never empty, no control characters.
#[must_use]
pub fn title(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let dots_join = !stem.contains(|c: char| c.is_whitespace() || c == '_');
    let spaced: String = stem
        .chars()
        .map(|c| match c {
            '_' => ' ',
            '.' if dots_join => ' ',
            c if is_unsafe(c) => ' ',
            c => c,
        })
        .collect();
    let title = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if title.is_empty() {
        "untitled".to_owned()
    } else {
        title
    }
}

/// The file's name as it may stand in a header or a form: no control characters, quotes, slashes
/// or backslashes; what is not UTF-8 as `_`. Never empty, and it keeps its extension.
#[must_use]
pub fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '/' | '\u{fffd}' => '_',
            c if is_unsafe(c) => '_',
            c => c,
        })
        .collect();
    if name.trim().is_empty() {
        "untitled".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_are_sorted_so_that_they_can_be_searched() {
        assert!(MORE.is_sorted_by(|a, b| a.0 < b.0));
        assert!(NOT_MEDIA.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn common_media_is_known_by_its_extension_whatever_the_case() {
        for name in [
            "a.mp4", "a.MP4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.mxf", "a.MTS", "a.m2ts",
            "a.r3d", "a.braw", "a.ts", "a.mpg", "a.vob", "a.wmv", "a.flv", "a.3gp", "a.dv",
            "a.mp3", "a.wav", "a.flac", "a.m4a", "a.aac", "a.ogg", "a.opus", "a.aiff", "a.wma",
            "a.ogv", "a.hevc", "a.dvr-ms", "a.mka",
        ] {
            assert!(mime(Path::new(name)).is_some(), "{name}");
        }
        assert_eq!(mime(Path::new("a.mp4")), Some("video/mp4"));
        assert_eq!(mime(Path::new("a.ts")), Some("video/mp2t"));
        assert_eq!(mime(Path::new("a.mxf")), Some("application/mxf"));
    }

    #[test]
    fn what_only_goes_with_media_is_not_media() {
        for name in [
            "a.jpg",
            "a.txt",
            "a.srt",
            "a.m3u8",
            "a.rpm",
            "a.mid",
            "a.vbk",
            "a.zip",
            "mp4",
            ".mp4",
            "a.",
            "a.mp4.part",
        ] {
            assert_eq!(mime(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn a_title_reads_like_words() {
        for (path, wanted) in [
            ("2019/wedding.mov", "wedding"),
            ("Summer_in__Rome.mp4", "Summer in Rome"),
            ("Summer.in.Rome.mp4", "Summer in Rome"),
            ("Dr. No.mp4", "Dr. No"),
            ("a\u{1b}[31m\nb.mp4", "a [31m b"),
            ("-rf.mp4", "-rf"),
            ("__.mp4", "untitled"),
            ("..", "untitled"),
            ("Müller – ☀.mov", "Müller – ☀"),
        ] {
            assert_eq!(title(Path::new(path)), wanted, "{path:?}");
        }
    }

    #[test]
    fn a_transport_stream_is_told_from_typescript() {
        assert!(may_be_text(Path::new("a.TS")) && !may_be_text(Path::new("a.mp4")));
        assert!(is_text("export const ä = 1;".as_bytes()));
        assert!(is_text(&"ä".as_bytes()[..1]));
        assert!(!is_text(&[0x47, 0x40, 0x00, 0x10, 0xff]));
    }

    proptest! {
        #[test]
        fn any_name_gives_a_title_and_a_file_name_safe_to_send(bytes: Vec<u8>) {
            let path = Path::new(OsStr::from_bytes(&bytes));
            for text in [title(path), file_name(path)] {
                prop_assert!(!text.trim().is_empty());
                prop_assert!(!text.chars().any(is_unsafe));
            }
            prop_assert!(!file_name(path).contains(['"', '\\', '/']));
        }
    }
}
