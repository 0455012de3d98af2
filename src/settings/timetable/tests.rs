//! What a schedule promises: the first rule that matches counts, at the time that the clock on the
//! wall shows.

use jiff::tz::TimeZone;

use super::*;

/// As in Berlin: an hour is left out on 2026-03-29 at 2:00, and comes twice on 2026-10-25 at 2:00.
fn at(time: &str) -> Zoned {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let time: DateTime = time.parse().unwrap();
    time.to_zoned(zone).unwrap()
}

fn table(rules: &[&str]) -> Timetable {
    Timetable::parse(rules).unwrap()
}

/// The cap at this time, and the local time at which it changes.
fn said(rules: &[&str], time: &str) -> (String, String) {
    let now = at(time);
    let said = table(rules).at(&now);
    let until = said.until.map_or("never".to_owned(), |until| {
        let zone = now.time_zone().clone();
        until.to_zoned(zone).strftime("%a %H:%M").to_string()
    });
    (said.cap.to_string(), until)
}

#[track_caller]
fn assert_said(rules: &[&str], time: &str, cap: &str, until: &str) {
    assert_eq!(
        said(rules, time),
        (cap.to_owned(), until.to_owned()),
        "{time}"
    );
}

const WORK: [&str; 3] = ["Mon-Fri 08:00-18:00 2MiB/s", "Sat,Sun 10MiB/s", "unlimited"];

#[test]
fn the_first_rule_that_matches_counts() {
    // 2026-11-26 is a Thursday.
    assert_said(&WORK, "2026-11-26T07:59:59", "unlimited", "Thu 08:00");
    assert_said(&WORK, "2026-11-26T08:00", "2MiB/s", "Thu 18:00");
    assert_said(&WORK, "2026-11-26T17:59:59", "2MiB/s", "Thu 18:00");
    assert_said(&WORK, "2026-11-26T18:00", "unlimited", "Fri 08:00");
    assert_said(&WORK, "2026-11-27T18:00", "unlimited", "Sat 00:00");
    assert_said(&WORK, "2026-11-28T12:00", "10MiB/s", "Mon 00:00");
    assert_said(
        &["2MiB/s", "Sun 1MiB/s"],
        "2026-11-29T12:00",
        "2MiB/s",
        "never",
    );
}

#[test]
fn where_no_rule_matches_there_is_no_cap() {
    assert_said(&WORK[..1], "2026-11-28T12:00", "unlimited", "Mon 08:00");
    assert!(Timetable::default().is_empty());
    assert_eq!(Timetable::default().at(&at("2026-11-28T12:00")).until, None);
}

#[test]
fn a_rule_over_midnight_is_of_the_day_on_which_it_begins() {
    let rules = ["Fri 22:00-06:00 1MiB/s", "2MiB/s"];
    assert_said(&rules, "2026-11-27T05:00", "2MiB/s", "Fri 22:00");
    assert_said(&rules, "2026-11-27T23:00", "1MiB/s", "Sat 06:00");
    assert_said(&rules, "2026-11-28T05:59", "1MiB/s", "Sat 06:00");
    assert_said(&rules, "2026-11-28T06:00", "2MiB/s", "Fri 22:00");
    assert_said(
        &["20:00-24:00 1MiB/s"],
        "2026-11-27T23:00",
        "1MiB/s",
        "Sat 00:00",
    );
}

#[test]
fn days_are_named_in_many_ways() {
    let days = |text: &str| {
        let rule: Rule = format!("{text} 1MiB/s").parse().unwrap();
        let mark = |on: bool| if on { 'x' } else { '.' };
        rule.days.map(mark).iter().collect::<String>()
    };
    assert_eq!(days("mon"), "x......");
    assert_eq!(days("Saturday,SUN"), ".....xx");
    assert_eq!(days("Fri-Mon,Wed"), "x.x.xxx");
    assert_eq!(days("Tues-Thurs"), ".xxx...");
    assert_eq!(days("Mon-Sun"), "xxxxxxx");
}

#[test]
fn hours_are_those_of_the_clock_on_the_wall_in_summer_and_in_winter() {
    let rules = ["08:00-18:00 1MiB/s"];
    let hours_until = |time: &str| {
        let now = at(time);
        let until = table(&rules).at(&now).until.unwrap();
        (until - now.timestamp()).total(jiff::Unit::Hour).unwrap()
    };
    assert_eq!(hours_until("2026-03-28T18:00").to_string(), "13");
    assert_eq!(hours_until("2026-10-24T18:00").to_string(), "15");
    assert_eq!(hours_until("2026-11-26T18:00").to_string(), "14");
}

#[test]
fn a_rule_within_the_hour_that_is_left_out_or_comes_twice_loses_nobody() {
    // 2:30 does not come on that day: what begins then begins with the jump to 3:00.
    let rules = ["02:30-04:00 1MiB/s"];
    assert_said(&rules, "2026-03-29T01:00", "unlimited", "Sun 03:00");
    // All of it lies in the hour that is left out.
    let rules = ["Sun 02:10-02:50 1MiB/s"];
    assert_said(&rules, "2026-03-29T01:00", "unlimited", "Sun 02:10");
    assert_eq!(
        table(&rules).at(&at("2026-03-29T01:00")).until,
        Some(at("2026-04-05T02:10").timestamp())
    );
    // 2:30 comes twice: the clock says so twice.
    let rules = ["02:30-02:45 1MiB/s"];
    let mut now = at("2026-10-25T01:00");
    let mut changes = Vec::new();
    for _ in 0..4 {
        let until = table(&rules).at(&now).until.unwrap();
        now = until.to_zoned(now.time_zone().clone());
        changes.push(now.strftime("%H:%M%:z").to_string());
    }
    assert_eq!(
        changes,
        ["02:30+02:00", "02:45+02:00", "02:30+01:00", "02:45+01:00"]
    );
}

#[test]
fn what_is_no_rule_is_named_with_what_is_wrong_with_it() {
    for (rule, wrong) in [
        ("Mon-Fri 08:00-18:00", "a bandwidth is missing"),
        ("Mo-Fri 2MiB/s", "\"Mo\" is no day such as Mon"),
        ("Mon-Fri 8-25 2MiB/s", "\"25\" is no time such as 08:00"),
        ("08:60-09:00 2MiB/s", "\"08:60\" is no time such as 08:00"),
        (
            "08:00 2MiB/s",
            "\"08:00\" is no stretch of time such as 08:00-18:00",
        ),
        ("08:00-08:00 2MiB/s", "\"08:00-08:00\" ends when it begins"),
        (
            "Mon fast",
            "\"fast\" is not a bandwidth such as 20MiB/s or unlimited",
        ),
        ("Mon 2", "\"2\" is only 2 bytes/s: was 2MiB/s meant?"),
    ] {
        let told = Timetable::parse([rule]).unwrap_err().to_string();
        assert!(told.starts_with(wrong), "{told}");
        assert!(told.contains(&format!("in the rule {rule:?}")), "{told}");
    }
}

#[test]
fn a_schedule_can_be_typed_in_one_line() {
    let line = WORK.join("; ");
    assert_eq!(table(&line.split(';').collect::<Vec<_>>()), table(&WORK));
    assert_eq!(table(&WORK).to_string(), line);
}

/// Whatever the rules, what is said holds until it says something else, and not a minute longer.
#[test]
fn until_is_the_very_next_change() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..60 {
        let rules: Vec<String> = (0..random.usize(1..5))
            .map(|_| any_rule(&mut random))
            .collect();
        let table = Timetable::parse(&rules).unwrap();
        // Around a night in which the clock is set.
        let begin = at(random
            .choice(["2026-03-28T20:00", "2026-10-24T20:00"].iter())
            .unwrap());
        let mut now = begin.clone();
        for _ in 0..600 {
            let said = table.at(&now);
            let next = &now + 7.minutes();
            let then = table.at(&next);
            match said.until {
                Some(until) if until <= next.timestamp() => {}
                _ => assert_eq!(then, said, "{rules:?} at {now}"),
            }
            now = next;
        }
    }
}

fn any_rule(random: &mut fastrand::Rng) -> String {
    const DAYS: [&str; 6] = ["", "Sat", "Sun", "Sat,Sun", "Fri-Sun", "Mon-Fri"];
    let days = random.choice(DAYS).unwrap_or_default();
    let rate = random.u8(1..5);
    let (from, length) = (random.u16(0..144), random.u16(1..143));
    let clock = |tens: u16| format!("{:02}:{}0", tens / 6 % 24, tens % 6);
    format!(
        "{days} {}-{} {rate}MiB/s",
        clock(from),
        clock(from + length)
    )
}
