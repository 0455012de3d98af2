use super::*;
use crate::error::Kind;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    most: Duration::from_mins(1),
};

fn at(now: Instant, random: f64) -> Moment {
    Moment {
        now,
        clock: Timestamp::UNIX_EPOCH,
        random,
    }
}

fn host(name: &str) -> Awaited {
    Awaited::host(name)
}

/// Whether the class is closed at `api`.
fn closed(gates: &Gates, class: CallClass, now: Instant) -> bool {
    gates.closed(&host("api"), class, now).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_failure_counts_only_where_the_host_did_well_since_the_try_before() {
    let (mut gates, api) = (Gates::default(), host("api"));
    let begun = Instant::now();
    assert_eq!(gates.did(&host("api"), begun, begun), Did::Nothing);
    gates.did_well(&api, CallClass::Part, begun);
    let seconds = |seconds| begun + Duration::from_secs(seconds);
    assert_eq!(gates.did(&host("api"), begun, seconds(60)), Did::Well);
    assert_eq!(
        gates.did(&host("api"), seconds(1), seconds(3)),
        Did::WellBefore
    );
    assert_eq!(
        gates.did(&host("api"), seconds(1), seconds(4)),
        Did::Nothing
    );
    assert_eq!(gates.did(&host("other"), begun, begun), Did::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_is_tried_one_at_a_time_and_ever_more_rarely() {
    let (mut gates, api) = (Gates::default(), host("api"));
    let mut now = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..4 {
        for _ in 0..10 {
            gates.failed(&api, "no route", at(now, 1.0), &BACKOFF);
        }
        assert!(!gates.may_start(&host("api"), CallClass::Part, now, 0));
        let opens = gates.opens(now).unwrap();
        waits.push((opens - now).as_secs());
        now = opens;
        assert!(gates.may_start(&host("api"), CallClass::Part, now, 0));
        assert!(!gates.may_start(&host("api"), CallClass::Read, now, 1));
    }
    assert_eq!(waits, [1, 2, 4, 8]);
    gates.did_well(&api, CallClass::Read, now);
    assert!(gates.may_start(&host("api"), CallClass::Part, now, 100));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_nobody_tried_was_not_down_all_that_time() {
    let (mut gates, api) = (Gates::default(), host("api"));
    let begun = Instant::now();
    gates.failed(&api, "no route", at(begun, 1.0), &BACKOFF);
    let later = begun + Duration::from_hours(48);
    let since = gates.failed(&api, "no route", at(later, 1.0), &BACKOFF);
    assert!(later - since < Duration::from_mins(1));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_says_nothing_of_another_that_does_not() {
    let mut gates = Gates::default();
    let now = Instant::now();
    gates.failed(&host("parts"), "no route", at(now, 1.0), &BACKOFF);
    gates.did_well(&host("api"), CallClass::Read, now);
    assert!(gates.is_down(&host("parts")));
    assert!(!gates.is_down(&host("api")));
    assert_eq!(gates.waits(now).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_to_wait_means_the_class_of_call_it_refused() {
    use CallClass::{Call, Part, Read, Write};
    let now = Instant::now();
    let busy = Error::new(Kind::Throttled, "busy");
    for (asked, meant) in [
        (Part, &[Part][..]),
        (Write, &[Write, Call]),
        // What changes something looks first.
        (Read, &[Read, Write, Call]),
        (Call, &[Read, Write, Call]),
    ] {
        let mut gates = Gates::default();
        gates.asks_to_wait(&host("api"), asked, &busy, at(now, 1.0), &BACKOFF);
        for class in [Call, Read, Write, Part] {
            let is_meant = meant.contains(&class);
            assert_eq!(
                closed(&gates, class, now),
                is_meant,
                "{asked:?} for {class:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_to_wait_without_a_time_is_given_ever_more_until_it_answers() {
    let mut gates = Gates::default();
    let mut now = Instant::now();
    let busy = Error::new(Kind::Throttled, "busy");
    let refuse = |gates: &mut Gates, now: &mut Instant| {
        // Parts that were in flight together are told together.
        for _ in 0..9 {
            gates.asks_to_wait(
                &host("api"),
                CallClass::Part,
                &busy,
                at(*now, 1.0),
                &BACKOFF,
            );
        }
        let wait = gates.opens(*now).unwrap() - *now;
        *now += wait;
        wait.as_secs()
    };
    let waits: Vec<u64> = (0..8).map(|_| refuse(&mut gates, &mut now)).collect();
    assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
    // Another class of call says nothing of it, an answer to this one does.
    gates.did_well(&host("api"), CallClass::Read, now);
    assert_eq!(refuse(&mut gates, &mut now), 60);
    gates.did_well(&host("api"), CallClass::Part, now);
    assert_eq!(refuse(&mut gates, &mut now), 2);
    let least = gates.asks_to_wait(&host("api"), CallClass::Part, &busy, at(now, 0.0), &BACKOFF);
    assert_eq!(least.as_secs(), 2, "jitter takes half at most");
    let asked = Error::new(Kind::Throttled, "busy").with_wait(Some(Duration::from_mins(7)));
    let wait = gates.asks_to_wait(
        &host("api"),
        CallClass::Part,
        &asked,
        at(now, 1.0),
        &BACKOFF,
    );
    assert_eq!(wait.as_secs(), 420);
    let wait = gates.asks_to_wait(&host("api"), CallClass::Part, &busy, at(now, 1.0), &BACKOFF);
    assert_eq!(wait.as_secs(), 420, "no shorter for one that does not say");
}

#[tokio::test(start_paused = true)]
async fn a_person_who_tries_again_waits_for_no_host() {
    let mut gates = Gates::default();
    let now = Instant::now();
    gates.failed(&host("api"), "no route", at(now, 1.0), &BACKOFF);
    let busy = Error::new(Kind::Throttled, "busy");
    gates.asks_to_wait(&host("api"), CallClass::Part, &busy, at(now, 1.0), &BACKOFF);
    gates.failed(&host("other"), "no route", at(now, 1.0), &BACKOFF);
    gates.open(now);
    for name in ["api", "other"] {
        assert!(
            gates.may_start(&host(name), CallClass::Part, now, 0),
            "{name}"
        );
    }
}
