//! What went wrong, whether it will be tried again, and what the person can do; knows no wire format.
//!
//! Everything that can fail on the way of an upload ends as one [`Error`]. Its [`Kind`] is what the
//! engine decides by; its text is what a person reads. Texts come from servers too, so they are made
//! safe here, once: no control characters, no secrets in URLs, bounded length.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::open_files::is_used_up;

/// The longest text kept from a server's answer, in characters.
const LONGEST: usize = 300;

/// What sort of failure this is, which is to say: what is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The line is down: no name, no route, no connection. Tried again until it is back, and not
    /// counted against the part.
    Offline,
    /// The connection broke, stalled or timed out after it stood. Whether the server got the
    /// request is unknown. Tried again.
    Broken,
    /// The server failed (5xx, or an answer that makes no sense). Tried again.
    Server,
    /// The server asks to wait (429, 503 with `Retry-After`). Tried again after that; not counted
    /// against the part.
    Throttled,
    /// What the server got is not what was sent (its MD5 differs). Tried again from the file.
    Corrupt,
    /// The server reports bytes that do not fit the part plan. That may pass, since it may still be
    /// receiving a part: it is asked again before it is believed.
    Conflict,
    /// The pre-signed link is no longer good. A new one is asked for, then tried again.
    LinkExpired,
    /// The server has this part already: nothing to do, the part counts as sent.
    AlreadySent,
    /// Upload id or token are gone for good: this upload can't go on, a fresh one can.
    TicketGone,
    /// Key, secret or account are refused. Nothing goes on until the person mends it.
    Credentials,
    /// The server refuses this file or its metadata. Trying again would not help.
    Refused,
    /// The server forbids what was asked for (403). Whether that is the key's fault or this file's, only
    /// asking for the key shows.
    Forbidden,
    /// The other end can't show that it is who it should be. Nothing goes on until the person has looked.
    Certificate,
    /// This machine has no open files or no memory to spare. Fewer parts go out for a while; tried again,
    /// and not counted against the part.
    Crowded,
    /// The part has more bytes than the host, or a proxy on the way to it, takes in one request. Its bytes
    /// go out in smaller parts, where the upload can still be split anew.
    TooLarge,
    /// The file can't be read.
    Local,
    /// The disk that the file is on does not answer, or is away. Tried again when it answers, and not
    /// counted unless it answers others.
    Disk,
    /// The disk took so long that the connection was closed meanwhile. Tried again, not counted.
    Late,
    /// The file is no longer the one that was begun.
    Changed,
    /// The state folder can't be written; the session can't promise anything.
    Storage,
    /// The ledger is damaged, or was taken away while it was open. Nothing goes on until it is made anew.
    Ledger,
}

impl Kind {
    /// Whether the engine tries again by itself.
    #[must_use]
    pub fn retried(self) -> bool {
        use Kind::{Crowded, Late, Offline, Throttled, TooLarge};
        self.counted() || matches!(self, Offline | Throttled | Crowded | Late | TooLarge)
    }

    /// Whether a retry is counted against the part's `retries`. A line that is down and a server
    /// that asks to wait say nothing about the part.
    #[must_use]
    pub fn counted(self) -> bool {
        use Kind::{Broken, Conflict, Corrupt, Disk, LinkExpired, Server};
        matches!(
            self,
            Disk | Broken | Server | Corrupt | Conflict | LinkExpired
        )
    }

    /// What the person can do, as one short sentence; empty when there is nothing to do but wait.
    #[must_use]
    pub fn next_step(self) -> &'static str {
        match self {
            Kind::Offline | Kind::Throttled | Kind::AlreadySent | Kind::Late => "",
            Kind::Disk => "resume the session when the disk is back",
            Kind::Broken | Kind::Server | Kind::Corrupt | Kind::Conflict | Kind::LinkExpired => {
                "retry it when the destination is well again"
            }
            Kind::TicketGone => {
                "start this file over: the unfinished media object is removed first"
            }
            Kind::Credentials => "mend the key or secret (or the site) in the config, then resume",
            Kind::Certificate => {
                "check this machine's clock, and url and ca in the config, then resume"
            }
            Kind::Forbidden => "see at the destination why it forbids this, then retry",
            Kind::Refused => "mend what the destination names (metadata, size, format), then retry",
            Kind::Crowded => "end other programs, or raise the limit of open files (ulimit -Hn)",
            Kind::TooLarge => {
                "start this file over in smaller parts; or have the limit on the way raised, set \
                 part_size anew and retry"
            }
            Kind::Local => "make the file readable, then retry",
            Kind::Changed => "start this file over, or skip it",
            Kind::Ledger => "resume the session: its start makes a ledger anew",
            Kind::Storage => "make room or make the state folder writable, then resume",
        }
    }
}

/// What sort of request failed, as hosts count them: each sort may have a call budget of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallClass {
    /// Any call of an API that counts all calls together.
    Call,
    /// A call that only asks.
    Read,
    /// A call that changes something.
    Write,
    /// A request that carries bytes of a file.
    Part,
}

/// Where a failure comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host that answered or was to answer, with its port where the URL names one.
    pub host: Box<str>,
    /// The class of call.
    pub class: CallClass,
}

/// One failure, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What sort it is.
    pub kind: Kind,
    /// What happened, in words; safe to show on a terminal and to log.
    pub message: String,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// How long the server asks to wait before the next try.
    pub wait: Option<Duration>,
    /// Where it comes from, where that is a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
}

/// The result of whatever may fail on the way of an upload.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind; the message is made safe for a terminal ([`clean`]).
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            message: clean(message.as_ref()),
            status: None,
            wait: None,
            endpoint: None,
        }
    }

    /// The same with the HTTP status it came with.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The same with where it comes from.
    #[must_use]
    pub fn from_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// The same with the time the server asks to wait.
    #[must_use]
    pub fn with_wait(mut self, wait: Option<Duration>) -> Self {
        self.wait = wait;
        self
    }

    /// The same with words before it that say where it happened.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{}: {}", clean(place), self.message);
        self
    }

    /// Whether it is the host's failure, whatever it was asked for: no answer, or one that says that it
    /// can't answer now. Any other answer shows that the host is well.
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        let says_so = |status| (300..400).contains(&status) || status >= 500;
        match self.kind {
            Kind::Offline => true,
            Kind::Broken => self.status.is_none_or(says_so),
            Kind::Server => self.status.is_some_and(says_so),
            _ => false,
        }
    }

    /// An error of reading a local file; [`Kind::Crowded`] and [`Kind::Disk`] where that says nothing of the
    /// file.
    #[must_use]
    pub fn local(doing: &str, error: &std::io::Error) -> Self {
        Self::new(kind_of(error), format!("{doing}: {error}"))
    }
}

/// Whether reading failed for the file's sake, or for that of the disk below it.
fn kind_of(error: &std::io::Error) -> Kind {
    use rustix::io::Errno;
    if is_used_up(error) {
        return Kind::Crowded;
    }
    match Errno::from_io_error(error) {
        Some(
            Errno::IO
            | Errno::STALE
            | Errno::NOTCONN
            | Errno::TIMEDOUT
            | Errno::NODEV
            | Errno::NXIO
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::NETDOWN
            | Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::CONNABORTED,
        ) => Kind::Disk,
        _ => Kind::Local,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Text from outside made safe for a terminal and a log: control characters (escape sequences with
/// them) and bidirectional overrides become spaces, runs of white space one space, queries of URLs
/// (where pre-signed links carry their signature) are cut, and the length is bounded.
#[must_use]
pub fn clean(text: &str) -> String {
    clean_within(text, LONGEST)
}

/// The same with room for so many characters.
#[must_use]
pub fn clean_within(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest));
    let mut length = 0;
    for word in text
        .split(|c: char| c.is_whitespace() || is_unsafe(c))
        .filter(|w| !w.is_empty())
    {
        let word = match (word.contains("://"), word.split_once('?')) {
            (true, Some((address, _))) => format!("{address}?…"),
            _ => word.to_owned(),
        };
        if length > 0 {
            out.push(' ');
            length += 1;
        }
        for c in word.chars() {
            if length >= longest {
                out.push('…');
                return out;
            }
            out.push(c);
            length += 1;
        }
    }
    out
}

/// Characters that steer a terminal or reorder what is read there.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_never_survive_cleaning() {
        assert_eq!(
            clean("bad\u{1b}[31mred\u{7}\r\nnext\u{202e}x"),
            "bad [31mred next x"
        );
    }

    #[test]
    fn a_signed_link_loses_its_signature() {
        let text = clean("PUT https://s3.example/p/1?X-Amz-Signature=abc failed");
        assert_eq!(text, "PUT https://s3.example/p/1?… failed");
    }

    #[test]
    fn a_huge_answer_is_cut() {
        assert_eq!(clean(&"x".repeat(5_000_000)).chars().count(), LONGEST + 1);
    }
}
