//! What the config promises: understood as written, wrong in words, and secrets never shown.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::{
    destination::apivideo::{AuthMode, RangeMode},
    secret::Secret,
    settings::{Bandwidth, PartSize},
};

const FULL: &str = r#"
default = "archive"

[destination.archive]
kind = "jwplayer"
site_id = "AbCd1234"
secret = { env = "JWPLAYER_API_SECRET" }
part_min = "5MiB"

[destination.videos]
kind = "apivideo"
api_key = { file = "keys/video" }
range = "part"
auth = "basic"
url = "http://127.0.0.1:8080"
ca = "/etc/ca.pem"
[destination.videos.metadata]
tags = ["archive"]
public = false
shot = 2019-06-02

[defaults]
part_size = "16MiB"
bandwidth = "20MiB/s"

[keys]
quit = "ctrl-x"

[ui]
fps = 10
colour = "never"
"#;

fn parse(text: &str) -> Result<Config, BadConfig> {
    Config::parse(text, Path::new("/etc/r/config.toml"))
}

/// The error of a config whose only destination has these lines.
fn jwplayer(lines: &str) -> String {
    let text = format!("[destination.a]\nkind = \"jwplayer\"\n{lines}\n");
    parse(&text).unwrap_err().to_string()
}

#[test]
fn all_that_can_be_said_is_understood() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.default.as_deref(), Some("archive"));
    let archive = &config.destinations["archive"];
    assert_eq!(
        archive.kind,
        Kind::JwPlayer(JwPlayerConfig {
            site_id: "AbCd1234".to_owned(),
            secret: Source::Env("JWPLAYER_API_SECRET".to_owned()),
            calls_per_minute: None,
        })
    );
    assert_eq!(archive.common.limits.part_min, Some(5 << 20));
    let videos = &config.destinations["videos"];
    assert_eq!(
        videos.kind,
        Kind::ApiVideo(ApiVideoConfig {
            api_key: Source::File(PathBuf::from("/etc/r/keys/video")),
            sandbox: false,
            range: RangeMode::Part,
            auth: AuthMode::Basic,
        })
    );
    assert_eq!(
        serde_json::Value::from(videos.common.metadata.clone()),
        serde_json::json!({ "tags": ["archive"], "public": false, "shot": "2019-06-02" })
    );
    assert_eq!(videos.common.ca, Some(PathBuf::from("/etc/ca.pem")));
    let settings = config.settings;
    assert_eq!(settings.part_size, "16MiB".parse::<PartSize>().unwrap());
    assert_eq!(settings.bandwidth, "20MiB/s".parse::<Bandwidth>().unwrap());
    assert_eq!(settings.files_in_flight, 2);
    assert_eq!(config.keys["quit"].as_str(), Some("ctrl-x"));
    assert_eq!(
        (config.ui.fps, config.ui.colour),
        (Some(10), Some(Colour::Never))
    );
}

#[test]
fn the_config_of_the_message_works_as_it_stands() {
    assert_eq!(parse(EXAMPLE).unwrap().destinations.len(), 1);
}

#[test]
fn an_error_names_file_line_column_and_key() {
    let error = jwplayer("site_id = \"x\"\nsecrett = \"hunter2\"");
    assert!(
        error.starts_with(
            "/etc/r/config.toml: line 4, column 1: destination.a.secrett: unknown field"
        ),
        "{error}"
    );
    let error = jwplayer("site_id = \"x\"\nsecret = \"x\"\nauth = \"basic\"");
    assert_eq!(
        error,
        "/etc/r/config.toml: line 5, column 1: destination.a.auth: unknown field. A destination of \
         kind = \"jwplayer\" has the keys site_id, secret, calls_per_minute, url, allow_http, ca, \
         metadata, part_min, part_max, file_max"
    );
    for (text, place, key) in [
        (
            "[destination.a]\nkind = 'ftp'",
            (2, 8),
            "destination.a.kind",
        ),
        ("a = \n", (1, 5), ""),
        ("default = 'x'", (1, 11), "default"),
        (
            "[defaults]\npart_size = 'huge'",
            (2, 13),
            "defaults.part_size",
        ),
        ("[defaults]\nfiles_in_flight = 0", (1, 1), "defaults"),
        ("[ui]\nfps = 0", (1, 1), "ui"),
        ("ui = { fps = 500 }", (1, 14), "ui.fps"),
        (
            "[destination.sandbox]\nkind = 'jwplayer'",
            (1, 1),
            "destination.sandbox",
        ),
        (
            "[destination.a]\nkind = 'jwplayer'",
            (1, 1),
            "destination.a",
        ),
        (
            "[destination.a]\nurl = 'https://x'",
            (1, 1),
            "destination.a",
        ),
        ("destination = 3", (1, 15), "destination"),
        ("[destination]\na = 3", (2, 5), "destination.a"),
        (
            "[destination.a]\nkind = 'apivideo'\napi_key = 'x'\nrange = 'byte'",
            (4, 9),
            "destination.a.range",
        ),
        (
            "[destination.a]\nkind = 'apivideo'\napi_key = 'x'\nallow_http = 1",
            (4, 14),
            "destination.a.allow_http",
        ),
        (
            "[destination.a]\nkind = 'apivideo'\napi_key = 'x'\n[destination.a.metadat]",
            (4, 16),
            "destination.a.metadat",
        ),
        (
            "destination.a = { kind = 'jwplayer', site_id = ' ', secret = 'x' }",
            (1, 48),
            "destination.a.site_id",
        ),
        ("destinatoin.a = 1", (1, 1), "destinatoin"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(
            (error.place, error.key.as_str()),
            (Some(place), key),
            "{error}"
        );
    }
}

#[test]
fn a_mistyped_key_is_told_with_the_one_that_was_meant_and_those_of_its_kind() {
    let error = jwplayer("site_id = \"x\"\nsecrett = \"x\"");
    assert!(error.contains("Did you mean secret?"), "{error}");
    assert!(error.contains("site_id, secret"), "{error}");
    for other in ["api_key", "range", "sandbox", "auth"] {
        assert!(!error.contains(other), "{other}: {error}");
    }
    let error = jwplayer("site_id = \"x\"\nsecret = \"x\"\npart_mx = \"5MiB\"");
    assert!(error.contains("Did you mean part_max?"), "{error}");
    let text = "[destination.a]\nkind = 'apivideo'\napi_key = 'x'\nsite_id = 'x'";
    let error = parse(text).unwrap_err();
    assert!(error.words.contains("api_key, sandbox, range"), "{error}");
    assert!(!error.words.contains("secret"), "{error}");
    let error = parse("destinatoin.a = 1").unwrap_err();
    assert!(error.words.contains("`destination`"), "{error}");
}

#[test]
fn limits_that_contradict_each_other_or_the_vendors_are_told_with_what_is_allowed() {
    let limits = |kind: &str, lines: &str| {
        let own = match kind {
            "jwplayer" => "site_id = 'x'\nsecret = 'x'",
            _ => "api_key = 'x'\nauth = 'basic'",
        };
        let text = format!("[destination.a]\nkind = '{kind}'\n{own}\n{lines}");
        parse(&text).map(|config| config.destinations["a"].common.limits)
    };
    for (kind, lines, place, key, allowed) in [
        (
            "jwplayer",
            "part_max = '1B'",
            (5, 12),
            "part_max",
            "5.0 MiB or more",
        ),
        (
            "jwplayer",
            "part_max = 1",
            (5, 12),
            "part_max",
            "5.0 MiB or more",
        ),
        (
            "apivideo",
            "part_max = '4MiB'",
            (5, 12),
            "part_max",
            "5.0 MiB or more",
        ),
        (
            "jwplayer",
            "part_max = 5242879",
            (5, 12),
            "part_max",
            "5242880 B or more",
        ),
        (
            "apivideo",
            "part_min = '201MiB'",
            (5, 12),
            "part_min",
            "up to 200 MiB",
        ),
        (
            "jwplayer",
            "part_min = '6GiB'",
            (5, 12),
            "part_min",
            "up to 5.0 GiB",
        ),
        (
            "jwplayer",
            "part_min = '8MiB'\npart_max = '6MiB'",
            (6, 12),
            "part_max",
            "8.0 MiB or more",
        ),
        (
            "jwplayer",
            "part_min = 0",
            (5, 12),
            "part_min",
            "at least a byte",
        ),
    ] {
        let error = limits(kind, lines).unwrap_err();
        let told = (error.place, &*error.key, error.words.contains(allowed));
        assert_eq!(
            told,
            (Some(place), &*format!("destination.a.{key}"), true),
            "{error}"
        );
    }
    for good in [
        "part_min = '5MiB'\npart_max = '5MiB'",
        "part_min = '1B'\npart_max = '1MiB'",
        "part_min = '1B'",
        "part_max = '5MiB'",
    ] {
        limits("jwplayer", good).unwrap();
    }
    limits("apivideo", "part_min = '1GiB'\npart_max = '2GiB'").unwrap();
}

#[test]
fn no_error_shows_what_may_be_a_secret() {
    for line in [
        "secret = \"hunter2",
        "secret = hunter2",
        "secret = [\"hunter2\"]",
        "secret = { hunter2 = 1 }",
        "secret = { env = \"hunter2\", file = \"hunter2\" }",
        "secrett = \"hunter2\"",
        "secret = \"hunter2\"\nsecret = \"hunter2\"",
        "secret = \"hunter2\"",
        "site_id = \"x\"\nsecret = \"hunter2\"\nurl = \"http://hunter2@example.com\"",
        "site_id = \"x\"\nsecret = \"hunter2\"\nurl = \"https://example.com/?k=hunter2\"",
    ] {
        let error = jwplayer(line);
        assert!(!error.contains("hunter2"), "{line}: {error}");
    }
    assert!(!jwplayer("secret = 31337").contains("31337"));
}

#[test]
fn a_secret_is_never_in_debug_output() {
    let text = "[destination.a]\nkind = 'apivideo'\napi_key = 'hunter2'";
    let config = parse(text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(
        config.destinations["a"].secret().unwrap().expose(),
        "hunter2"
    );
}

#[test]
fn a_secret_goes_over_plain_http_only_to_this_machine_or_when_that_is_allowed() {
    let url = |url: &str, more: &str| {
        parse(&format!(
            "[destination.a]\nkind = 'apivideo'\napi_key = 'x'\nurl = '{url}'\n{more}"
        ))
    };
    for good in [
        "https://example.com",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost",
    ] {
        assert!(url(good, "").is_ok(), "{good}");
    }
    for bad in [
        "http://example.com",
        "http://10.0.0.1",
        "ftp://localhost",
        "example.com",
    ] {
        assert_eq!(url(bad, "").unwrap_err().key, "destination.a.url", "{bad}");
    }
    assert!(url("http://example.com", "allow_http = true").is_ok());
    assert!(url("https://example.com", "sandbox = true").is_err());
}

#[test]
fn a_secret_is_fetched_from_where_it_is_kept() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "from_file\n").unwrap();
    let env = |name: &str| (name == "KEY").then(|| " from_env ".into());
    for (source, wanted) in [
        (Source::Plain(Secret::new("plain")), "plain"),
        (Source::Env("KEY".to_owned()), "from_env"),
        (Source::File(file), "from_file"),
        (
            Source::Command("echo from_command; echo".to_owned()),
            "from_command",
        ),
    ] {
        assert_eq!(source.fetch(&env).unwrap().expose(), wanted);
    }
}

#[test]
fn a_secret_that_cannot_be_fetched_is_told_without_a_word_of_it() {
    for (source, wanted) in [
        (Source::Env("KEY".to_owned()), "KEY is not set"),
        (
            Source::File(PathBuf::from("/no/such/key")),
            "/no/such/key can't be read",
        ),
        (
            Source::Command("echo hunter2; exit 3".to_owned()),
            "its command failed (exit status: 3)",
        ),
        (Source::Command("true".to_owned()), "is empty"),
        (
            Source::Command("echo hunter2; echo hunter2".to_owned()),
            "more than one word",
        ),
        (Source::Plain(Secret::new("")), "is empty"),
    ] {
        let error = source.fetch(&|_| None).unwrap_err();
        assert!(
            error.contains(wanted) && !error.contains("hunter2"),
            "{error}"
        );
    }
    let config = parse(FULL).unwrap();
    let error = config.destinations["videos"].secret().unwrap_err();
    assert_eq!(error.key, "destination.videos.api_key");
}

#[test]
fn the_destination_is_the_one_named_or_the_default_or_the_only_one() {
    let config = parse(FULL).unwrap();
    let chosen = |config: &Config, to: Option<&str>| match config.choose(to) {
        Ok(Choice::Configured(destination)) => destination.name.clone(),
        Ok(Choice::Sandbox) => SANDBOX.to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(chosen(&config, None), "archive");
    assert_eq!(chosen(&config, Some("videos")), "videos");
    assert_eq!(chosen(&Config::default(), Some(SANDBOX)), SANDBOX);
    let error = chosen(&config, Some("other"));
    assert!(
        error.contains("there are archive, videos, sandbox"),
        "{error}"
    );
    let error = chosen(&Config::default(), None);
    assert!(error.contains("--to sandbox") && error.contains("[destination.archive]"));
    let two = parse(&FULL.replace("default =", "#")).unwrap();
    assert!(chosen(&two, None).contains("--to"));
    let one = parse("[destination.a]\nkind = 'apivideo'\napi_key = 'x'").unwrap();
    assert_eq!(chosen(&one, None), "a");
}

#[test]
fn a_plain_secret_that_others_can_read_is_warned_of() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.toml");
    let text = "[destination.a]\nkind = 'apivideo'\napi_key = 'hunter2'";
    fs::write(&file, text).unwrap();
    for (mode, warnings) in [(0o644, 1), (0o640, 1), (0o600, 0)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        assert_eq!(config.warnings.len(), warnings, "{mode:o}");
        assert!(!config.warnings.concat().contains("hunter2"));
    }
    fs::write(&file, FULL).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Config::load(Some(&file)).unwrap().warnings.is_empty());
}

#[test]
fn a_config_that_is_named_has_to_be_there_and_readable() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.toml");
    let error = Config::load(Some(&file)).unwrap_err().to_string();
    assert!(error.contains("config.toml: can't be read"), "{error}");
    assert!(Config::load(Some(folder.path())).is_err());
    fs::write(&file, b"\xff").unwrap();
    let error = Config::load(Some(&file)).unwrap_err().to_string();
    assert!(error.ends_with("is not UTF-8"), "{error}");
}

/// The settings of a config that says this of them.
fn defaults(line: &str) -> Result<crate::settings::Settings, BadConfig> {
    parse(&format!("[defaults]\n{line}\n")).map(|config| config.settings)
}

#[test]
fn a_bandwidth_may_be_a_schedule() {
    let rules = r#"bandwidth = ["Mon-Fri 08:00-18:00 2MiB/s", "Sat,Sun 10MiB/s", "unlimited"]"#;
    let settings = defaults(rules).unwrap();
    assert_eq!(
        settings.schedule.to_string(),
        "Mon-Fri 08:00-18:00 2MiB/s; Sat,Sun 10MiB/s; unlimited"
    );
    let told = defaults(r#"bandwidth = ["Mon-Fri 8-18 2MiB/s", "Satyrday 1MiB/s"]"#).unwrap_err();
    assert_eq!(
        (told.place.map(|place| place.0), &*told.key),
        (Some(2), "defaults.bandwidth")
    );
    assert!(
        told.words
            .starts_with("\"Satyrday\" is no day such as Mon, in the rule \"Satyrday 1MiB/s\""),
        "{told}"
    );
}

#[test]
fn parts_may_be_found_within_a_number() {
    let settings = defaults("parts_in_flight = \"auto:16\"").unwrap();
    assert_eq!(settings.parts_in_flight.to_string(), "auto:16");
    assert_eq!(
        defaults("parts_in_flight = 4")
            .unwrap()
            .parts_in_flight
            .fixed(),
        Some(4)
    );
}

#[test]
fn a_bare_number_of_bytes_too_small_to_be_meant_is_refused() {
    for (line, key) in [
        ("part_size = 16", "defaults.part_size"),
        ("part_size = \"16\"", "defaults.part_size"),
        ("bandwidth = 2", "defaults.bandwidth"),
        ("bandwidth = \"2/s\"", "defaults.bandwidth"),
    ] {
        let told = defaults(line).unwrap_err();
        assert_eq!(told.key, key);
        assert!(
            told.words.contains("MiB") && told.words.contains("meant?"),
            "{told}"
        );
    }
    let settings = defaults("part_size = 5242880").unwrap();
    assert_eq!(settings.part_size, "5MiB".parse().unwrap());
}
