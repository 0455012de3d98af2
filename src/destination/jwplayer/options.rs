//! What a JW Player site is configured with: the keys of its table in the config, and what a
//! [`JwPlayer`](super::JwPlayer) is made from.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::answer;
use crate::{
    destination::{
        Limits,
        options::{CommonOptions, KindOptions, filled},
    },
    ids::AccountId,
    secret::{Secret, Source},
};

/// The keys of a destination with `kind = "jwplayer"`, besides the common ones.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwPlayerConfig {
    /// The site's id.
    #[serde(deserialize_with = "filled")]
    pub site_id: String,
    /// Where the API secret comes from.
    pub secret: Source,
    /// How many API calls a minute are allowed, when not the documented number.
    pub calls_per_minute: Option<u32>,
}

impl KindOptions for JwPlayerConfig {
    const KIND: &'static str = "jwplayer";
    const REQUIRED: &'static [&'static str] = &["site_id", "secret"];
    const OPTIONAL: &'static [&'static str] = &["calls_per_minute"];
    const LIMITS: Limits = JwPlayerOptions::LIMITS;
}

impl JwPlayerConfig {
    /// The account that these keys point at, which no secret is needed for; `None` where the address has no
    /// host.
    #[must_use]
    pub fn account(&self, common: &CommonOptions) -> Option<AccountId> {
        let url = common.url.clone().map(String::from);
        let url = Url::parse(url.as_deref().unwrap_or(JwPlayerOptions::URL)).ok()?;
        let port = url.port_or_known_default()?;
        Some(account_id(url.host_str()?, port, &self.site_id))
    }

    /// The options of the site, with the secret that was fetched.
    #[must_use]
    pub fn options(&self, common: &CommonOptions, secret: Secret) -> JwPlayerOptions {
        let usual = JwPlayerOptions::new(&self.site_id, secret);
        let mut limits = usual.limits.clone();
        common.limits.apply(&mut limits);
        JwPlayerOptions {
            url: common.url.clone().map_or(usual.url, String::from),
            allow_http: common.allow_http,
            ca: common.ca.clone(),
            metadata: common.metadata.clone(),
            limits,
            calls_per_minute: self.calls_per_minute.unwrap_or(usual.calls_per_minute),
            site_id: usual.site_id,
            secret: usual.secret,
        }
    }
}

/// What a way to a JW Player site is made from.
#[derive(Debug, Clone)]
pub struct JwPlayerOptions {
    /// The site's (property's) id.
    pub site_id: String,
    /// The v2 API secret.
    pub secret: Secret,
    /// The API's address.
    pub url: String,
    /// Whether plain http is allowed beyond loopback.
    pub allow_http: bool,
    /// A PEM file with CAs that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// What is sent as metadata with every create, as JW Player names it.
    pub metadata: Map<String, Value>,
    /// What the site allows.
    pub limits: Limits,
    /// How many API calls a minute are made at most; parts do not count.
    pub calls_per_minute: u32,
}

impl JwPlayerOptions {
    /// The vendor's API address.
    pub const URL: &'static str = "https://api.jwplayer.com";

    /// The vendor's documented limits: parts of 5 MiB to 5 GiB, 10,000 of them, files to 100 GB.
    pub const LIMITS: Limits = Limits {
        part_min: 5 << 20,
        part_max: 5 << 30,
        part_default: 16 << 20,
        parts_max: answer::SLOTS,
        file_max: 100_000_000_000,
        multiple_of: 1,
        uniform: false,
        ordered: false,
        first_alone: false,
        can_replan: true,
        parts_per_minute: None,
    };

    /// A site with everything as the vendor documents it: 60 calls a minute, [`Self::LIMITS`].
    #[must_use]
    pub fn new(site_id: impl Into<String>, secret: Secret) -> Self {
        Self {
            site_id: site_id.into(),
            secret,
            url: Self::URL.into(),
            allow_http: false,
            ca: None,
            metadata: Map::new(),
            limits: Self::LIMITS,
            calls_per_minute: 60,
        }
    }
}

/// The account of a site at this host and port.
pub(super) fn account_id(host: &str, port: u16, site: &str) -> AccountId {
    AccountId::new(JwPlayerConfig::KIND, host, port, site)
}
