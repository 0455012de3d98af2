//! A schedule of the bandwidth over the week: rules as a person writes them, and what they say at a
//! moment; pure, the clock is handed in.

use std::{collections::BTreeSet, fmt, ops::Range, str::FromStr, sync::Arc};

use jiff::{
    Timestamp, ToSpan, Zoned,
    civil::{Date, DateTime, Time, Weekday},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BadSetting, Bandwidth};

/// How far ahead a change is looked for: rules repeat each week, and a day more for one over midnight.
const AHEAD: i64 = 8;

/// What the bandwidth is to be at which time of the week: the first rule that matches counts, and
/// where none does there is no cap. Times are those of the local clock: `08:00` is when that says so,
/// in summer and in winter. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timetable(Arc<[Rule]>);

/// What a schedule says at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The cap.
    pub cap: Bandwidth,
    /// When it says something else; `None`: never.
    pub until: Option<Timestamp>,
}

/// Why a text is no rule of a schedule: names the rule and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(String);

impl BadRule {
    fn new(rule: &str, wrong: impl fmt::Display) -> Self {
        let rule = crate::error::clean(rule);
        Self(format!(
            "{wrong}, in the rule {rule:?}; a rule is like \"Mon-Fri 08:00-18:00 2MiB/s\""
        ))
    }

    /// Where no rule was meant, but a rate.
    pub(super) fn no_rate(bad: &BadSetting) -> Self {
        Self(bad.to_string())
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// The days, Monday first; those on which it begins, where it goes on over midnight.
    days: [bool; 7],
    /// From when to when on the clock; all day long without.
    time: Option<Range<Time>>,
    cap: Bandwidth,
    /// As it was written.
    text: String,
}

impl Timetable {
    /// Reads rules. None that is empty counts.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn parse(rules: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, BadRule> {
        rules
            .into_iter()
            .filter(|rule| !rule.as_ref().trim().is_empty())
            .map(|rule| rule.as_ref().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether it says nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What it says now, and until when.
    #[must_use]
    pub fn at(&self, now: &Zoned) -> Said {
        let cap = self.cap(now.datetime());
        let other = |at: &Timestamp| {
            let then = at.to_zoned(now.time_zone().clone());
            self.cap(then.datetime()) != cap
        };
        Said {
            cap,
            until: self.moments(now).into_iter().find(other),
        }
    }

    /// What it says when the local clock shows this.
    fn cap(&self, clock: DateTime) -> Bandwidth {
        let rule = self.0.iter().find(|rule| rule.matches(clock));
        rule.map_or(Bandwidth::Unlimited, |rule| rule.cap)
    }

    /// The moments after now at which it may say something else, in turn: when a rule begins or ends,
    /// and when the clock itself jumps. A time that a clock shows twice is two moments, one that it
    /// leaves out is the jump.
    fn moments(&self, now: &Zoned) -> BTreeSet<Timestamp> {
        let zone = now.time_zone();
        let end = now.timestamp() + (AHEAD * 24).hours();
        let times: BTreeSet<Time> = self
            .0
            .iter()
            .filter_map(|rule| rule.time.as_ref())
            .flat_map(|time| [time.start, time.end])
            .chain([Time::midnight()])
            .collect();
        let days = now
            .date()
            .series(1.day())
            .take(usize::try_from(AHEAD + 1).unwrap_or(0));
        let shown = days.flat_map(|day: Date| times.iter().map(move |time| day.to_datetime(*time)));
        let begins_and_ends = shown.flat_map(|clock| {
            let shown = zone.to_ambiguous_timestamp(clock);
            [shown.earlier(), shown.later()]
        });
        let jumps = zone.following(now.timestamp()).map(|jump| jump.timestamp());
        begins_and_ends
            .flatten()
            .chain(jumps.take_while(|at| *at < end))
            .filter(|at| *at > now.timestamp() && *at < end)
            .collect()
    }
}

impl Rule {
    fn matches(&self, clock: DateTime) -> bool {
        let on = |day: Weekday| self.days[usize::from(day.to_monday_zero_offset().unsigned_abs())];
        let (today, time) = (clock.weekday(), clock.time());
        match &self.time {
            None => on(today),
            Some(hours) if hours.start < hours.end => on(today) && hours.contains(&time),
            Some(over_midnight) => {
                (on(today) && time >= over_midnight.start)
                    || (on(today.previous()) && time < over_midnight.end)
            }
        }
    }
}

impl FromStr for Rule {
    type Err = BadRule;
    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = |wrong: String| BadRule::new(text, wrong);
        let mut words = text.split_whitespace().peekable();
        let is_days = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_rate = |word: &str| word.parse::<Bandwidth>().is_ok();
        let days = match words.next_if(|word| is_days(word) && !is_rate(word)) {
            Some(word) => days(word).map_err(bad)?,
            None => [true; 7],
        };
        let time = match words.next_if(|word| word.contains([':', '-'])) {
            Some(word) => Some(hours(word).map_err(bad)?),
            None => None,
        };
        let rate = words.collect::<Vec<_>>().join(" ");
        if rate.is_empty() {
            return Err(bad("a bandwidth is missing".to_owned()));
        }
        let cap = rate
            .parse()
            .map_err(|error: BadSetting| bad(error.to_string()))?;
        Ok(Self {
            days,
            time,
            cap,
            text: text.trim().to_owned(),
        })
    }
}

/// `Mon`, `Sat,Sun`, `Mon-Fri`, `Fri-Mon,Wed`.
fn days(text: &str) -> Result<[bool; 7], String> {
    const NAMES: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let number = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let is = |full: &&str| lower.len() >= 3 && full.starts_with(&lower);
        let found = NAMES.iter().position(is);
        found.ok_or_else(|| format!("{name:?} is no day such as Mon"))
    };
    let mut days = [false; 7];
    for stretch in text.split(',') {
        let (first, last) = stretch.split_once('-').unwrap_or((stretch, stretch));
        let (mut day, last) = (number(first)?, number(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Ok(days)
}

/// `08:00-18:00`; an end that is not after the beginning is of the day after.
fn hours(text: &str) -> Result<Range<Time>, String> {
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap_or((text, "00"));
        let number = |text: &str| (1..=2).contains(&text.len()).then(|| text.parse().ok())?;
        number(hour)
            .zip(number(minute))
            .and_then(|(hour, minute)| match (hour, minute) {
                (24, 0) => Some(Time::midnight()),
                (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
            })
            .ok_or_else(|| format!("{text:?} is no time such as 08:00"))
    };
    let (start, end) = text
        .split_once('-')
        .ok_or_else(|| format!("{text:?} is no stretch of time such as 08:00-18:00"))?;
    let (start, end) = (time(start)?, time(end)?);
    if start == end && start != Time::midnight() {
        return Err(format!("{text:?} ends when it begins"));
    }
    Ok(start..end)
}

impl Serialize for Timetable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|rule| &rule.text))
    }
}

impl<'de> Deserialize<'de> for Timetable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rules = Vec::<String>::deserialize(deserializer)?;
        Self::parse(rules).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Timetable {
    /// The rules with `;` between them, as they can be typed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{}", rule.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
