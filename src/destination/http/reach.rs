//! Where a URL may lead: checks the API's own address and the links a server hands out; pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, ParseError, Url};

use crate::error::{Error, Kind, Result};

/// How far away a host is, the nearest first. A link may not lead nearer than the API itself is:
/// a remote server has no business with what listens on this machine or in this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// This machine.
    Loopback,
    /// This network: private, link-local and other addresses that no one routes.
    Private,
    /// Anywhere else, and every name but `localhost`.
    Public,
}

impl Reach {
    /// How far away the URL's host is; `None` without a host.
    pub(super) fn of(url: &Url) -> Option<Self> {
        Some(match url.host()? {
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                if name.eq_ignore_ascii_case("localhost")
                    || name.to_ascii_lowercase().ends_with(".localhost")
                {
                    Self::Loopback
                } else {
                    Self::Public
                }
            }
            Host::Ipv4(ip) => Self::of_v4(ip),
            Host::Ipv6(ip) => Self::of_v6(ip),
        })
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
        if ip.is_loopback() || ip.is_unspecified() {
            Self::Loopback
        } else if ip.is_private()
            || ip.is_link_local()
            || ip.is_broadcast()
            || ip.is_multicast()
            || shared
        {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) if ip.is_loopback() || ip.is_unspecified() => Self::Loopback,
            IpAddr::V6(ip)
                if ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast() =>
            {
                Self::Private
            }
            IpAddr::V6(_) => Self::Public,
        }
    }
}

/// The API's own address, from the config. This is the one place that says which may be used.
///
/// # Errors
/// When it is not an `https` address (`http` only to loopback, or where `allow_http` says so), or
/// carries credentials or a query. The words repeat nothing of it: it may hold a password or a key.
pub fn base_url(text: &str, allow_http: bool) -> Result<Url> {
    let refused = |why: &str| Error::new(Kind::Refused, why);
    let mut url = Url::parse(text.trim()).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => refused("not a URL: it needs https:// in front"),
        error => refused(&format!("not a URL: {error}")),
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "the URL holds a user name or password: remove them, the key has its own setting",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused(
            "the URL has a query or a fragment: give the part before ? and #",
        ));
    }
    let reach = Reach::of(&url).ok_or_else(|| refused("the URL has no host"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http || reach == Reach::Loopback => {}
        "http" => {
            return Err(refused(
                "http would send the secret in the clear: use https, or allow_http = true",
            ));
        }
        _ => return Err(refused("not an https URL")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// A link that the server handed out, checked against the API's own address.
///
/// # Errors
/// [`Kind::Server`] when it leads where it should not. The link itself is not shown: it is signed.
pub(super) fn link(base: &Url, allow_http: bool, text: &str) -> Result<Url> {
    let refused = |why: &str| {
        Error::new(
            Kind::Server,
            format!("the destination gave an upload link that {why}; nothing was sent there"),
        )
    };
    let url = Url::parse(text).map_err(|_| refused("is no URL"))?;
    let from = Reach::of(base).unwrap_or(Reach::Public);
    match url.scheme() {
        "https" => {}
        "http" if base.scheme() == "http" => {}
        "http" => return Err(refused("is not https, although the API is")),
        _ => return Err(refused("is not https")),
    }
    let to = Reach::of(&url).ok_or_else(|| refused("has no host"))?;
    if to < from {
        return Err(refused(match to {
            Reach::Loopback => "leads to this machine",
            _ => "leads into the private network",
        }));
    }
    if url.scheme() == "http" && to > Reach::Loopback && !allow_http {
        return Err(refused("is not https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("holds a user name"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_http_is_for_loopback_unless_allowed() {
        for good in [
            "https://api.jwplayer.com",
            "http://127.0.0.1:4000",
            "http://[::1]:80/x",
            "http://localhost",
        ] {
            assert!(
                base_url(good, false).unwrap().path().ends_with('/'),
                "{good}"
            );
        }
        assert!(base_url("http://192.168.1.4", true).is_ok());
        for bad in [
            "http://api.jwplayer.com",
            "http://192.168.1.4",
            "ftp://x",
            "file:///etc/passwd",
            "api.jwplayer.com",
            "https://h/?q=1",
            "",
        ] {
            assert_eq!(
                base_url(bad, false).unwrap_err().kind,
                Kind::Refused,
                "{bad}"
            );
        }
        let error = base_url("https://me:hunter2@host", false).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_remote_api_can_not_send_us_to_this_machine_or_network() {
        let api = base_url("https://api.jwplayer.com", false).unwrap();
        assert!(
            link(
                &api,
                false,
                "https://bucket.s3.amazonaws.com/p?X-Amz-Signature=1"
            )
            .is_ok()
        );
        for bad in [
            "http://bucket.s3.amazonaws.com/p",
            "https://127.0.0.1/p",
            "https://127.1/p",
            "https://2130706433/p",
            "https://[::1]/p",
            "https://[::ffff:127.0.0.1]/p",
            "https://localhost./p",
            "https://x.LOCALHOST/p",
            "https://0.0.0.0/p",
            "https://10.1.2.3/p",
            "https://169.254.169.254/latest",
            "https://100.64.0.1/p",
            "https://[fe80::1]/p",
            "https://[fd00::1]/p",
            "https://me@bucket.s3.amazonaws.com/p",
            "file:///etc/passwd",
            "data:,x",
            "//host/p",
            "",
        ] {
            let error = link(&api, false, bad).unwrap_err();
            assert_eq!(error.kind, Kind::Server, "{bad}");
        }
    }

    #[test]
    fn a_local_api_may_link_to_itself_but_not_in_the_clear_to_elsewhere() {
        let api = base_url("http://127.0.0.1:4000", false).unwrap();
        assert!(link(&api, false, "http://127.0.0.1:4001/p?sig=1").is_ok());
        assert!(link(&api, false, "http://bucket.example/p").is_err());
        assert!(link(&api, true, "http://bucket.example/p").is_ok());
        assert!(link(&api, false, "https://bucket.example/p").is_ok());
    }

    proptest! {
        #[test]
        fn no_link_makes_it_panic_and_no_error_repeats_it(text in "(https?://)?\\PC{0,40}SIGNATURE") {
            let api = base_url("https://api.jwplayer.com", false).unwrap();
            if let Err(error) = link(&api, false, &text) {
                prop_assert!(!error.message.contains("SIGNATURE"));
            }
        }
    }
}
