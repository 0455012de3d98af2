//! What an api.video account is configured with: the keys of its table in the config, and what an
//! [`ApiVideo`](super::ApiVideo) is made from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    destination::{
        Limits, Ticket,
        options::{CommonOptions, KindOptions},
    },
    secret::{Secret, Source},
};

/// The keys of a destination with `kind = "apivideo"`, besides the common ones.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiVideoConfig {
    /// Where the API key comes from.
    pub api_key: Source,
    /// Whether the vendor's sandbox host is meant.
    #[serde(default)]
    pub sandbox: bool,
    /// How parts are announced.
    #[serde(default)]
    pub range: RangeMode,
    /// How calls are authorised.
    #[serde(default)]
    pub auth: AuthMode,
}

impl KindOptions for ApiVideoConfig {
    const KIND: &'static str = "apivideo";
    const REQUIRED: &'static [&'static str] = &["api_key"];
    const OPTIONAL: &'static [&'static str] = &["sandbox", "range", "auth"];
    const LIMITS: Limits = ApiVideoOptions::LIMITS;

    fn excludes(&self) -> Option<(&'static str, &'static str)> {
        let why = "sandbox = true names the vendor's sandbox: remove one of the two keys";
        self.sandbox.then_some(("url", why))
    }
}

impl ApiVideoConfig {
    /// The options of the account, with the key that was fetched.
    #[must_use]
    pub fn options(&self, common: &CommonOptions, api_key: Secret) -> ApiVideoOptions {
        let mut usual = ApiVideoOptions::new(api_key);
        if self.sandbox {
            ApiVideoOptions::SANDBOX_URL.clone_into(&mut usual.url);
            usual.budgets = ApiVideoOptions::SANDBOX_BUDGETS;
        }
        let mut limits = usual.limits.clone();
        common.limits.apply(&mut limits);
        ApiVideoOptions {
            url: common.url.clone().map_or(usual.url, String::from),
            allow_http: common.allow_http,
            ca: common.ca.clone(),
            basic: self.auth == AuthMode::Basic,
            range: self.range,
            metadata: common.metadata.clone(),
            limits,
            budgets: usual.budgets,
            api_key: usual.api_key,
        }
    }
}

/// How calls are authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// The key for an access token, renewed in time.
    #[default]
    Bearer,
    /// The key with every call.
    Basic,
}

/// How a request says which part of the file it is. One way per upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeMode {
    /// `bytes A-B/TOTAL`: the upload can be replanned while it runs.
    #[default]
    Bytes,
    /// `part N/TOTAL`: the number of parts is announced with the first, so that it stays.
    Part,
}

impl RangeMode {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Part => "part",
        }
    }

    /// What a ticket says, if it says it: that of the first edition may not.
    pub(super) fn of(ticket: &Ticket) -> Option<Self> {
        match ticket.text("method")?.split(' ').next() {
            Some("bytes") => Some(Self::Bytes),
            Some("part") => Some(Self::Part),
            _ => None,
        }
    }

    /// What these limits are for an upload that is sent this way.
    pub(super) fn narrow(self, limits: &Limits) -> Limits {
        Limits {
            can_replan: limits.can_replan && self == Self::Bytes,
            ..limits.clone()
        }
    }
}

/// How many calls of each sort a minute allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Requests that carry bytes of a file.
    pub uploads: u32,
    /// Requests that change something.
    pub writes: u32,
    /// Requests that ask.
    pub reads: u32,
}

/// What a way to an api.video account is made from.
#[derive(Debug, Clone)]
pub struct ApiVideoOptions {
    /// The API key.
    pub api_key: Secret,
    /// The API's address.
    pub url: String,
    /// Whether plain http is allowed beyond loopback.
    pub allow_http: bool,
    /// A PEM file with CAs that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Whether the key itself goes with every call instead of an access token.
    pub basic: bool,
    /// How parts are announced.
    pub range: RangeMode,
    /// What is sent with every create, as api.video names it; `metadata` in it may be a table.
    pub metadata: Map<String, Value>,
    /// What the account allows.
    pub limits: Limits,
    /// How many calls a minute it allows.
    pub budgets: Budgets,
}

impl ApiVideoOptions {
    /// The vendor's production address.
    pub const URL: &'static str = "https://ws.api.video";

    /// The address of the vendor's own sandbox, where videos are cut to 30 s and deleted after 24 h.
    pub const SANDBOX_URL: &'static str = "https://sandbox.api.video";

    /// The vendor's limits: parts of 5 to 200 MiB, 10,000 of them; files to the 52,428,800,000
    /// bytes that are enforced (30 GiB are documented).
    pub const LIMITS: Limits = Limits {
        part_min: 5 << 20,
        part_max: 200 << 20,
        part_default: 50 << 20,
        parts_max: 10_000,
        file_max: 52_428_800_000,
        multiple_of: 1,
        uniform: false,
        ordered: false,
        first_alone: false,
        can_replan: true,
        parts_per_minute: Some(Self::BUDGETS.uploads),
    };

    /// Calls a minute in production.
    pub const BUDGETS: Budgets = Budgets {
        uploads: 100,
        writes: 200,
        reads: 500,
    };

    /// Calls a minute in the vendor's sandbox.
    pub const SANDBOX_BUDGETS: Budgets = Budgets {
        uploads: 40,
        writes: 40,
        reads: 100,
    };

    /// A production account with everything as the vendor documents it.
    #[must_use]
    pub fn new(api_key: Secret) -> Self {
        Self {
            api_key,
            url: Self::URL.into(),
            allow_http: false,
            ca: None,
            basic: false,
            range: RangeMode::Bytes,
            metadata: Map::new(),
            limits: Self::LIMITS,
            budgets: Self::BUDGETS,
        }
    }
}
