//! Which fault strikes which request: by rate from a seeded generator, or as scripted at run time;
//! knows no HTTP.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::media::Vendor;

/// Something the sandbox does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The request waits before anything happens.
    Delay,
    /// This body comes in at a crawl.
    Slow,
    /// Asks to wait, as the vendor does (429; a storage link 503 `SlowDown`), and does nothing.
    RateLimit,
    /// Answers 500 before the body is read, and does nothing.
    ErrorBefore,
    /// Answers the scripted status before the body is read, with a web page as a proxy in between does,
    /// and does nothing; only scripted.
    Status,
    /// Does what was asked, then answers 503; scripted with a time, it asks to wait so long.
    ErrorAfter,
    /// Resets the connection in mid-body.
    Reset,
    /// Stops reading in mid-body and holds the connection.
    Stall,
    /// Stores a byte other than the one sent, so that its MD5 is another too (JW Player's parts).
    WrongEtag,
    /// The storage link is expired from now on (JW Player's parts).
    LinkExpired,
    /// The token of the call is expired from now on: api.video's access token; JW Player's upload
    /// token (for good) only when scripted.
    TokenExpired,
    /// Does what was asked, then closes the connection without an answer.
    LostAnswer,
    /// What this call completes ends as a media object that failed.
    BadMedia,
    /// Waits, a part in mid-body, until `DELETE /_sandbox/holds` releases it; only scripted. So that a
    /// test can act in the middle of something, however long that takes.
    Hold,
    /// Takes all of the request, and does what was asked when `DELETE /_sandbox/late` releases it, even
    /// if the client has gone by then; only scripted.
    Late,
    /// Does what was asked, then reports other bytes than it received: at api.video a status whose last
    /// range ends too early or whose number of parts is wrong, at JW Player a list with a part that
    /// nobody sent; only scripted.
    OddRanges,
    /// Lists nothing, whatever there is (JW Player's list of media objects); only scripted.
    EmptyList,
    /// Does what was asked, then names a budget of one call a minute that is used up; only scripted.
    OddLimit,
    /// Refuses the call with 403, as if the key were good for others only, and does nothing; only
    /// scripted.
    Forbidden,
    /// Answers with links that lead to a host where nobody listens (JW Player's create and list of
    /// parts); only scripted.
    DeadLinks,
}

impl Fault {
    /// All that can strike by rate.
    pub const ALL: [Self; 12] = [
        Self::Delay,
        Self::Slow,
        Self::RateLimit,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::Reset,
        Self::Stall,
        Self::WrongEtag,
        Self::LinkExpired,
        Self::TokenExpired,
        Self::LostAnswer,
        Self::BadMedia,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Slow => "slow",
            Self::RateLimit => "rate-limit",
            Self::ErrorBefore => "error-before",
            Self::Status => "status",
            Self::ErrorAfter => "error-after",
            Self::Reset => "reset",
            Self::Stall => "stall",
            Self::WrongEtag => "wrong-etag",
            Self::LinkExpired => "link-expired",
            Self::TokenExpired => "token-expired",
            Self::LostAnswer => "lost-answer",
            Self::BadMedia => "bad-media",
            Self::Hold => "hold",
            Self::Late => "late",
            Self::OddRanges => "odd-ranges",
            Self::EmptyList => "empty-list",
            Self::OddLimit => "odd-limit",
            Self::Forbidden => "forbidden",
            Self::DeadLinks => "dead-links",
        }
    }

    /// Whether it can strike such a request at all.
    fn can_strike(self, request: &Request<'_>, scripted: bool) -> bool {
        let Request { vendor, step, .. } = *request;
        let part = step == Step::Part;
        match self {
            Self::Delay
            | Self::RateLimit
            | Self::ErrorBefore
            | Self::ErrorAfter
            | Self::LostAnswer => true,
            Self::Reset | Self::Stall => part || scripted,
            Self::Slow => part,
            Self::WrongEtag | Self::LinkExpired => part && vendor == Vendor::JwPlayer,
            Self::TokenExpired => match vendor {
                Vendor::ApiVideo => request.bearer,
                Vendor::JwPlayer => scripted && matches!(step, Step::List | Step::Complete),
            },
            Self::BadMedia => part || step == Step::Complete,
            Self::Status | Self::Hold | Self::Late | Self::OddLimit | Self::Forbidden => scripted,
            Self::DeadLinks => {
                let links = matches!(step, Step::Create | Step::List);
                scripted && vendor == Vendor::JwPlayer && links
            }
            Self::OddRanges => {
                let tells = match vendor {
                    Vendor::ApiVideo => Step::Status,
                    Vendor::JwPlayer => Step::List,
                };
                scripted && step == tells
            }
            Self::EmptyList => scripted && vendor == Vendor::JwPlayer && step == Step::Find,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no fault; there are: delay, slow, rate-limit, error-before, error-after, reset, stall, wrong-etag, link-expired, token-expired, lost-answer, bad-media"
)]
pub struct BadFault(String);

impl FromStr for Fault {
    type Err = BadFault;
    fn from_str(text: &str) -> Result<Self, BadFault> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.word() == text)
            .ok_or_else(|| BadFault(crate::error::clean(text)))
    }
}

/// What a request is for, in the same words for both vendors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// Make a media object.
    Create,
    /// List the parts of an upload (JW Player).
    List,
    /// Send bytes.
    Part,
    /// End an upload (JW Player).
    Complete,
    /// Ask how a media object is; for api.video also what was received.
    Status,
    /// List or search media objects.
    Find,
    /// Remove a media object.
    Delete,
    /// Log in with the key (api.video).
    Auth,
    /// Get another token (api.video).
    Token,
    /// Anything else.
    Other,
}

/// What a request looks like to those who choose faults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) vendor: Vendor,
    pub(super) step: Step,
    pub(super) part: Option<u64>,
    pub(super) media: Option<&'a str>,
    pub(super) title: Option<&'a str>,
    /// Whether it carries an access token.
    pub(super) bearer: bool,
    /// How many bytes its body has, where it says so.
    pub(super) length: Option<u64>,
}

/// A fault set at run time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    pub(super) fault: Fault,
    /// The step it strikes; left out or `any`: whichever comes.
    #[serde(default, with = "any_step")]
    pub(super) on: Option<Step>,
    /// The number of the part it strikes, from 1. A byte range is numbered by the size of the ranges
    /// before it, so the last one of a file can be told once another was begun.
    #[serde(default)]
    pub(super) part: Option<u64>,
    /// Title or id of the media object it strikes.
    #[serde(default)]
    pub(super) file: Option<String>,
    /// How often it still strikes.
    #[serde(default = "once")]
    pub(super) times: u64,
    /// Milliseconds: of a delay; of a rate limit or an error after, for how long it asks to wait
    /// (whole seconds).
    #[serde(default)]
    pub(super) ms: Option<u64>,
    /// Bytes a second: of a slow body.
    #[serde(default)]
    pub(super) speed: Option<u64>,
    /// After how many bytes of the body a reset, stall or hold comes; left out: half.
    #[serde(default)]
    pub(super) after: Option<u64>,
    /// Strikes only requests whose body has more bytes than this.
    #[serde(default)]
    pub(super) above: Option<u64>,
    /// The status that is answered; left out: 400.
    #[serde(default)]
    pub(super) status: Option<u16>,
    /// Instead of a number of times: how often, from 0 to 1, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<f64>,
}

fn once() -> u64 {
    1
}

mod any_step {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IntoDeserializer};

    use super::Step;

    // serde hands the field by reference.
    #[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref)]
    pub(super) fn serialize<S: Serializer>(step: &Option<Step>, to: S) -> Result<S::Ok, S::Error> {
        match step {
            Some(step) => step.serialize(to),
            None => to.serialize_str("any"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Step>, D::Error> {
        match Option::<String>::deserialize(from)?.as_deref() {
            None | Some("any") => Ok(None),
            Some(word) => Step::deserialize(word.into_deserializer()).map(Some),
        }
    }
}

impl Script {
    fn strikes(&self, request: &Request<'_>) -> bool {
        self.times > 0
            && self.on.is_none_or(|on| on == request.step)
            && self.part.is_none_or(|part| request.part == Some(part))
            && self
                .file
                .as_deref()
                .is_none_or(|file| request.media == Some(file) || request.title == Some(file))
            && self.above.is_none_or(|above| request.length > Some(above))
            && self.fault.can_strike(request, true)
    }
}

/// A fault that strikes now, and how hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strike {
    pub(super) fault: Fault,
    pub(super) ms: Option<u64>,
    pub(super) speed: Option<u64>,
    pub(super) after: Option<u64>,
    pub(super) status: Option<u16>,
}

/// All faults of one sandbox.
#[derive(Debug)]
pub(super) struct Faults(Mutex<State>);

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    rates: BTreeMap<Fault, f64>,
    scripts: Vec<Script>,
    met: BTreeMap<Fault, u64>,
}

impl Faults {
    pub(super) fn new(rates: &[(Fault, f64)], seed: u64) -> Self {
        Self(Mutex::new(State {
            rng: fastrand::Rng::with_seed(seed),
            rates: rates.iter().copied().collect(),
            scripts: Vec::new(),
            met: BTreeMap::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that strikes this request, if one does: scripted ones first, each in its order.
    pub(super) fn choose(&self, request: &Request<'_>) -> Option<Strike> {
        let mut state = self.state();
        if let Some(script) = state.scripts.iter_mut().find(|s| s.strikes(request)) {
            script.times -= 1;
            return Some(Strike {
                fault: script.fault,
                ms: script.ms,
                speed: script.speed,
                after: script.after,
                status: script.status,
            });
        }
        let State { rng, rates, .. } = &mut *state;
        rates
            .iter()
            .filter(|(fault, _)| fault.can_strike(request, false))
            .find(|(_, rate)| rng.f64() < **rate)
            .map(|(fault, _)| Strike {
                fault: *fault,
                ms: None,
                speed: None,
                after: None,
                status: None,
            })
    }

    /// Counts that a fault really struck.
    pub(super) fn met(&self, fault: Fault) {
        *self.state().met.entry(fault).or_default() += 1;
    }

    /// Adds scripted faults and sets rates.
    pub(super) fn add(&self, scripts: Vec<Script>) {
        let mut state = self.state();
        for script in scripts {
            match script.rate {
                Some(rate) => drop(state.rates.insert(script.fault, rate)),
                None => state.scripts.push(script),
            }
        }
    }

    /// Forgets what is scripted of this fault.
    pub(super) fn forget(&self, fault: Fault) {
        let mut state = self.state();
        state.scripts.retain(|script| script.fault != fault);
    }

    /// Forgets all: scripted, rates, and what was met.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.scripts.clear();
        state.rates.clear();
        state.met.clear();
    }

    /// What there is and what was met, as `GET /_sandbox/faults` tells it.
    pub(super) fn tell(&self) -> serde_json::Value {
        let state = self.state();
        serde_json::json!({
            "met": state.met,
            "scripted": state.scripts,
            "rates": state.rates,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(part: u64) -> Request<'static> {
        Request {
            vendor: Vendor::JwPlayer,
            step: Step::Part,
            part: Some(part),
            media: Some("abcd1234"),
            title: Some("wedding"),
            bearer: false,
            length: Some(5 << 20),
        }
    }

    #[test]
    fn every_fault_is_written_as_it_is_read() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            let json = serde_json::to_value(fault).unwrap();
            assert_eq!(json, fault.to_string());
        }
        assert!("nothing".parse::<Fault>().is_err());
    }

    #[test]
    fn a_scripted_fault_strikes_its_part_as_often_as_said() {
        let faults = Faults::new(&[], 1);
        let script = r#"[{"fault":"reset","on":"part","part":3,"file":"wedding","times":2},{"fault":"delay","on":"any","times":0}]"#;
        faults.add(serde_json::from_str(script).unwrap());
        assert_eq!(faults.choose(&part(2)), None);
        assert_eq!(faults.choose(&part(3)).unwrap().fault, Fault::Reset);
        assert_eq!(faults.choose(&part(3)).unwrap().fault, Fault::Reset);
        assert_eq!(faults.choose(&part(3)), None);
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests_at_about_the_rate() {
        let strikes = |seed| {
            let faults = Faults::new(&[(Fault::ErrorBefore, 0.25)], seed);
            (0..1000)
                .map(|n| faults.choose(&part(n)).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(strikes(7), strikes(7));
        assert_ne!(strikes(7), strikes(8));
        let count = strikes(7).iter().filter(|struck| **struck).count();
        assert!((200..300).contains(&count), "{count}");
    }
}
