//! Settings typed, shown, saved, and put in force.

use super::*;

#[test]
fn what_is_shown_can_be_typed_again() {
    for text in ["auto", "16MiB", "5242881B", "3GiB", "10MB"] {
        assert_eq!(text.parse::<PartSize>().unwrap().to_string(), text);
    }
    for text in ["unlimited", "20MiB/s", "1500B/s", "200kB/s", "3GB/s"] {
        assert_eq!(text.parse::<Bandwidth>().unwrap().to_string(), text);
    }
    for text in ["auto", "auto:16", "1", "256"] {
        assert_eq!(text.parse::<Concurrency>().unwrap().to_string(), text);
    }
}

#[test]
fn nonsense_is_refused_with_an_example_of_sense() {
    assert_eq!(
        "0".parse::<PartSize>().unwrap_err().to_string(),
        "\"0\" is not a part size such as 16MiB or auto"
    );
    for text in [
        "0", "257", "-1", "many", "auto:0", "auto:257", "auto:", "8:auto", "4:2",
    ] {
        assert!(text.parse::<Concurrency>().is_err(), "{text}");
    }
    let told = "auto:0".parse::<Concurrency>().unwrap_err().to_string();
    assert!(
        told.starts_with("\"auto:0\" is not a number of parts"),
        "{told}"
    );
    assert!("fast".parse::<Bandwidth>().is_err());
}

#[test]
fn a_bare_number_too_small_to_be_meant_is_refused_with_what_may_be_meant() {
    assert_eq!(
        "16".parse::<PartSize>().unwrap_err().to_string(),
        "\"16\" is only 16 bytes: was 16MiB meant?"
    );
    assert_eq!(
        "1".parse::<PartSize>().unwrap_err().to_string(),
        "\"1\" is only 1 byte: was 1MiB meant?"
    );
    for text in ["16", "16/s", " 16 "] {
        assert_eq!(
            text.parse::<Bandwidth>().unwrap_err().to_string(),
            "\"16\" is only 16 bytes/s: was 16MiB/s meant?"
        );
    }
    for text in ["16B", "1024", "5242880", "1KiB"] {
        assert!(text.parse::<PartSize>().is_ok(), "{text}");
    }
}

#[test]
fn a_session_is_read_whatever_numbers_it_was_saved_with() {
    let read: Settings = toml::from_str("part_size = 16\nbandwidth = \"16\"\n").unwrap();
    assert_eq!(read.part_size.to_string(), "16B");
    assert_eq!(read.bandwidth.to_string(), "16B/s");
}

fn at(time: &str) -> Zoned {
    let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let time: jiff::civil::DateTime = time.parse().unwrap();
    time.to_zoned(zone).unwrap()
}

/// Settings with 2 MiB/s by day and no cap by night, as they are at this time.
fn scheduled(now: &str) -> Settings {
    let mut settings = Settings::default();
    settings.wish_bandwidth("08:00-18:00 2MiB/s; unlimited".parse().unwrap());
    settings.keep_to_schedule(&at(now));
    settings
}

#[test]
fn what_is_set_by_hand_holds_until_the_schedule_changes_next() {
    let before = scheduled("2026-11-26T10:00");
    assert_eq!(before.bandwidth.to_string(), "2MiB/s");
    let wanted = Settings {
        bandwidth: "4MiB/s".parse().unwrap(),
        ..before.clone()
    };
    let mut now = wanted.tuned(&before, &at("2026-11-26T10:00"));
    let evening = at("2026-11-26T18:00").timestamp();
    assert_eq!(now.by_hand_until, Some(evening));
    // Other settings may be tuned meanwhile.
    let before = now.clone();
    now.retries = 3;
    now = now.tuned(&before, &at("2026-11-26T11:00"));
    assert_eq!(
        now.keep_to_schedule(&at("2026-11-26T17:59:59")),
        Some(evening)
    );
    assert_eq!(now.bandwidth.to_string(), "4MiB/s");
    now.keep_to_schedule(&at("2026-11-26T18:00"));
    assert_eq!(
        (now.bandwidth, now.by_hand_until),
        (Bandwidth::Unlimited, None)
    );
}

#[test]
fn who_sets_by_hand_what_the_schedule_says_is_back_with_the_schedule() {
    let before = scheduled("2026-11-26T10:00");
    let by_hand = |bandwidth: &str, before: &Settings| {
        let wanted = Settings {
            bandwidth: bandwidth.parse().unwrap(),
            ..before.clone()
        };
        wanted.tuned(before, &at("2026-11-26T10:00"))
    };
    let other = by_hand("4MiB/s", &before);
    assert!(other.by_hand_until.is_some());
    assert_eq!(by_hand("2MiB/s", &other), before);
}

#[test]
fn a_clock_that_is_set_back_brings_what_the_schedule_says_then() {
    let mut settings = scheduled("2026-11-26T19:00");
    settings.keep_to_schedule(&at("2026-11-26T17:00"));
    assert_eq!(settings.bandwidth.to_string(), "2MiB/s");
    // What was set by hand on a clock that was years ahead does not hold for years.
    let before = scheduled("2036-11-26T10:00");
    let wanted = Settings {
        bandwidth: "4MiB/s".parse().unwrap(),
        ..before.clone()
    };
    let mut settings = wanted.tuned(&before, &at("2036-11-26T10:00"));
    settings.keep_to_schedule(&at("2026-11-26T10:00"));
    settings.keep_to_schedule(&at("2026-11-26T18:00"));
    assert_eq!(settings.bandwidth, Bandwidth::Unlimited);
}

#[test]
fn a_schedule_and_what_was_set_by_hand_are_read_back_as_they_were_saved() {
    let mut settings = scheduled("2026-11-26T10:00");
    settings.by_hand_until = Some(at("2026-11-26T18:00").timestamp());
    let text = toml::to_string(&settings).unwrap();
    assert_eq!(
        toml::from_str::<Settings>(&text).unwrap(),
        settings,
        "{text}"
    );
    let plain = toml::to_string(&Settings::default()).unwrap();
    assert!(!plain.contains("schedule"), "{plain}");
}

#[test]
fn a_screen_that_has_not_heard_of_it_does_not_undo_what_is_known_of_the_largest_part() {
    let before = Settings {
        part_most: Some(1 << 23),
        ..Settings::default()
    };
    let tuned = |settings: Settings| settings.tuned(&before, &Zoned::now()).part_most;
    let faster = Settings {
        files_in_flight: 5,
        ..Settings::default()
    };
    assert_eq!(tuned(faster), Some(1 << 23));
    let resized = Settings {
        part_size: "64MiB".parse().unwrap(),
        part_most: Some(1 << 20),
        ..Settings::default()
    };
    assert_eq!(tuned(resized), None, "a person wants it tried");
}
