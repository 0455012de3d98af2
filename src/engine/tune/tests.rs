//! The tuner against a line that is played: parts share it, a kernel takes bytes ahead of it, and its
//! speed changes as each test says. Nothing here waits, and every run is the same.

use super::*;

/// How often the engine ticks.
const TICK: Duration = Duration::from_millis(200);

/// What a kernel takes of a connection ahead of the line.
const AHEAD: u64 = 2 << 20;

const MIB: u64 = 1 << 20;

/// A megabit a second, in bytes.
const MBIT: u64 = 125_000;

#[derive(Debug, Clone, Copy)]
struct Part {
    begun: Instant,
    sent: u64,
    taken: u64,
    /// Its share of the line, in hundredths of a fair one.
    share: u64,
    /// Until when its answer is waited for, once all was sent.
    answer: Option<Instant>,
}

/// A line, with an engine that keeps as many parts on it as the tuner says.
struct Played {
    tuner: Tuner,
    now: Instant,
    begun: Instant,
    /// Bytes a second of the whole line, and of each connection at most.
    line: u64,
    each: u64,
    /// By how much the speed of a tick differs from the line's at most, in hundredths.
    noise: u64,
    round_trip: Duration,
    part: u64,
    parts: Vec<Part>,
    landed: u64,
    sample: Sample,
    random: fastrand::Rng,
}

impl Played {
    fn new(line: u64, each: u64) -> Self {
        let now = Instant::now();
        Self {
            tuner: Tuner::default(),
            now,
            begun: now,
            line,
            each,
            noise: 0,
            round_trip: Duration::from_millis(100),
            part: 16 * MIB,
            parts: Vec::new(),
            landed: 0,
            sample: Sample::default(),
            random: fastrand::Rng::with_seed(7),
        }
    }

    fn start(&mut self) {
        while self.parts.len() < usize::from(self.tuner.limit()) {
            // No two connections are equally fast.
            let share = self.random.u64(80..=120);
            self.parts.push(Part {
                begun: self.now,
                sent: 0,
                taken: 0,
                share,
                answer: None,
            });
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        self.start();
        let sending = self.parts.iter().filter(|part| part.answer.is_none());
        let sending = u64::try_from(sending.count()).unwrap();
        let noise = self.random.u64(0..=2 * self.noise);
        let line = self.line * (100 + noise - self.noise) / 100;
        let fair = line.checked_div(sending).unwrap_or(0).min(self.each);
        for part in &mut self.parts {
            if part.answer.is_none() {
                part.sent = (part.sent + fair * part.share / 500).min(self.part);
                part.answer = (part.sent == self.part).then(|| self.now + self.round_trip);
            }
        }
        let (now, size) = (self.now, self.part);
        for part in &mut self.parts {
            // It takes more when a third of what it holds has room.
            let room = part.sent + AHEAD - part.taken;
            let before = part.taken;
            if room >= AHEAD / 3 {
                part.taken = (part.sent + AHEAD).min(size);
            }
            if let Some(bytes) = steady(now - part.begun, before, part.taken, size) {
                self.sample.bytes += bytes;
                self.sample.time += TICK;
            }
        }
        let before = self.parts.len();
        self.parts
            .retain(|part| part.answer.is_none_or(|at| at > now));
        for _ in self.parts.len()..before {
            self.landed += size;
            self.tuner.arrived(now, size);
        }
        self.start();
        self.sample.flying = self.parts.len();
        self.sample.length = size;
        self.sample.free = true;
        self.tuner.tick(now, self.sample);
    }

    /// Plays so many seconds; what came through in a second.
    fn play(&mut self, seconds: u32) -> u64 {
        let sent = |played: &Self| -> u64 {
            played.landed + played.parts.iter().map(|part| part.sent).sum::<u64>()
        };
        let before = sent(self);
        for _ in 0..seconds * 5 {
            self.tick();
        }
        (sent(self) - before) / u64::from(seconds)
    }

    /// The lowest and the highest number within so many seconds.
    fn range(&mut self, seconds: u32) -> (u16, u16) {
        let (mut low, mut high) = (u16::MAX, 0);
        for _ in 0..seconds {
            self.play(1);
            low = low.min(self.tuner.limit());
            high = high.max(self.tuner.limit());
        }
        (low, high)
    }

    fn told(&self) -> String {
        let at = (self.now - self.begun).as_secs();
        format!("after {at} s: {:?}", self.tuner)
    }
}

#[test]
fn the_knee_of_a_line_is_found_within_a_minute_and_kept_for_hours() {
    // Twenty connections fill it.
    let mut played = Played::new(200 * MBIT, 10 * MBIT);
    played.noise = 10;
    played.play(60);
    assert!(played.tuner.limit() >= 16, "{}", played.told());
    let (low, high) = played.range(600);
    assert!(low >= 13, "{low} to {high}");
    let rate = played.play(4 * 3600);
    assert!(rate > 180 * MBIT, "{rate}, {}", played.told());
}

#[test]
fn a_line_that_becomes_ten_times_slower_is_followed_within_half_a_minute_and_back() {
    let mut played = Played::new(200 * MBIT, 40 * MBIT);
    played.noise = 5;
    for round in 0..3 {
        played.line = 200 * MBIT;
        played.play(30);
        let rate = played.play(10);
        assert!(
            rate > 180 * MBIT,
            "round {round}: {rate}, {}",
            played.told()
        );
        played.play(60);
        played.line = 20 * MBIT;
        played.play(30);
        let known = played.tuner.base.map_or(0, |(_, rate)| rate);
        assert!(known < 60 * MBIT, "round {round}: {}", played.told());
        let rate = played.play(90);
        assert!(rate > 18 * MBIT, "round {round}: {rate}, {}", played.told());
    }
}

#[test]
fn a_line_that_drifts_is_followed_without_being_left_half_empty() {
    let mut played = Played::new(200 * MBIT, 12 * MBIT);
    played.noise = 10;
    played.play(60);
    let (mut sent, mut line) = (0, 0);
    for minute in 0..60u64 {
        // Down to a quarter in half an hour, and up again.
        played.line = 200 * MBIT - minute.min(60 - minute) * 5 * MBIT;
        sent += played.play(60);
        line += played.line;
    }
    assert!(sent > line * 9 / 10, "{sent} of {line}, {}", played.told());
}

#[test]
fn a_slow_line_gets_few_parts_so_that_none_takes_minutes() {
    let mut played = Played::new(20 * MBIT, 20 * MBIT);
    played.noise = 10;
    played.play(600);
    assert!(played.tuner.limit() <= 6, "{}", played.told());
    let rate = played.play(600);
    assert!(rate > 19 * MBIT, "{rate}, {}", played.told());
}

#[test]
fn connections_that_are_slow_by_themselves_are_not_made_fewer_for_that() {
    // A part takes more than a minute however few there are.
    let mut played = Played::new(1000 * MBIT, 2 * MBIT);
    played.play(1800);
    let rate = played.play(600);
    assert!(rate > 45 * MBIT, "{rate}, {}", played.told());
}

#[test]
fn trouble_takes_it_down_at_once_and_never_below_one() {
    let mut played = Played::new(200 * MBIT, 10 * MBIT);
    played.play(60);
    let before = played.tuner.limit();
    played.tuner.stumbled();
    played.play(6);
    assert!(played.tuner.limit() <= before * 3 / 4);
    for _ in 0..100 {
        played.tuner.stumbled();
        played.play(6);
    }
    assert_eq!(played.tuner.limit(), 1);
    played.play(180);
    assert!(played.tuner.limit() >= 12, "{}", played.told());
}

#[test]
fn what_is_held_back_by_anything_but_the_line_tells_nothing_of_it() {
    let mut tuner = Tuner::default();
    let mut now = Instant::now();
    for tick in 0..1000 {
        now += TICK;
        tuner.arrived(now, MIB);
        let sample = Sample {
            bytes: tick * MIB,
            time: TICK * u32::try_from(tick).unwrap(),
            flying: usize::from(tuner.limit()),
            length: MIB,
            free: false,
        };
        tuner.tick(now, sample);
    }
    assert_eq!(tuner.limit(), FIRST);
}

#[test]
fn what_a_person_allows_is_never_gone_beyond_and_lifting_it_lets_it_climb() {
    // A line on which every connection brings more.
    let mut played = Played::new(800 * MBIT, 10 * MBIT);
    played.tuner.keep_within(Some(9));
    let (_, high) = played.range(120);
    assert_eq!(high, 9);
    assert_eq!(played.tuner.limit(), 9);
    played.tuner.keep_within(None);
    let (_, high) = played.range(300);
    assert!(high > 20, "{high}");
    played.tuner.keep_within(Some(4));
    assert_eq!(played.tuner.limit(), 4, "at once");
    assert_eq!(played.range(60).1, 4);
    assert_eq!(Tuner::within(Some(1)).limit(), 1);
    assert_eq!(Tuner::within(Some(200)).limit(), Tuner::default().limit());
}
