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

fn host(name: &str) -> Arc<str> {
    Arc::from(name)
}

fn endpoint(class: CallClass) -> Endpoint {
    Endpoint {
        host: "api".into(),
        class,
    }
}

/// Whether the class is closed at `api`.
fn closed(hosts: &Hosts, class: CallClass, now: Instant) -> bool {
    hosts.closed("api", class, now).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_failure_counts_only_where_the_host_did_well_since_the_try_before() {
    let (mut hosts, api) = (Hosts::default(), host("api"));
    let begun = Instant::now();
    assert_eq!(hosts.did("api", begun, begun), Did::Nothing);
    hosts.did_well(&api, CallClass::Part, begun);
    let seconds = |seconds| begun + Duration::from_secs(seconds);
    assert_eq!(hosts.did("api", begun, seconds(60)), Did::Well);
    assert_eq!(hosts.did("api", seconds(1), seconds(10)), Did::WellBefore);
    assert_eq!(hosts.did("api", seconds(1), seconds(11)), Did::Nothing);
    assert_eq!(hosts.did("other", begun, begun), Did::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_is_tried_one_at_a_time_and_ever_more_rarely() {
    let (mut hosts, api) = (Hosts::default(), host("api"));
    let mut now = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..4 {
        for _ in 0..10 {
            hosts.failed(&api, "no route", at(now, 1.0), &BACKOFF);
        }
        assert!(!hosts.may_start("api", CallClass::Part, now, 0));
        let opens = hosts.opens(now).unwrap();
        waits.push((opens - now).as_secs());
        now = opens;
        assert!(hosts.may_start("api", CallClass::Part, now, 0));
        assert!(!hosts.may_start("api", CallClass::Read, now, 1));
    }
    assert_eq!(waits, [1, 2, 4, 8]);
    hosts.did_well(&api, CallClass::Read, now);
    assert!(hosts.may_start("api", CallClass::Part, now, 100));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_nobody_tried_was_not_down_all_that_time() {
    let (mut hosts, api) = (Hosts::default(), host("api"));
    let begun = Instant::now();
    hosts.failed(&api, "no route", at(begun, 1.0), &BACKOFF);
    let later = begun + Duration::from_hours(48);
    let since = hosts.failed(&api, "no route", at(later, 1.0), &BACKOFF);
    assert!(later - since < Duration::from_mins(1));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_says_nothing_of_another_that_does_not() {
    let mut hosts = Hosts::default();
    let now = Instant::now();
    hosts.failed(&host("parts"), "no route", at(now, 1.0), &BACKOFF);
    hosts.did_well(&host("api"), CallClass::Read, now);
    assert!(hosts.is_down("parts"));
    assert!(!hosts.is_down("api"));
    assert_eq!(hosts.waits(now).count(), 1);
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
        let mut hosts = Hosts::default();
        hosts.asks_to_wait(&endpoint(asked), &busy, at(now, 1.0), &BACKOFF);
        for class in [Call, Read, Write, Part] {
            let is_meant = meant.contains(&class);
            assert_eq!(
                closed(&hosts, class, now),
                is_meant,
                "{asked:?} for {class:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_to_wait_without_a_time_is_given_ever_more_until_it_answers() {
    let mut hosts = Hosts::default();
    let mut now = Instant::now();
    let busy = Error::new(Kind::Throttled, "busy");
    let part = endpoint(CallClass::Part);
    let refuse = |hosts: &mut Hosts, now: &mut Instant| {
        // Parts that were in flight together are told together.
        for _ in 0..9 {
            hosts.asks_to_wait(&part, &busy, at(*now, 1.0), &BACKOFF);
        }
        let wait = hosts.opens(*now).unwrap() - *now;
        *now += wait;
        wait.as_secs()
    };
    let waits: Vec<u64> = (0..8).map(|_| refuse(&mut hosts, &mut now)).collect();
    assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
    // Another class of call says nothing of it, an answer to this one does.
    hosts.did_well(&host("api"), CallClass::Read, now);
    assert_eq!(refuse(&mut hosts, &mut now), 60);
    hosts.did_well(&host("api"), CallClass::Part, now);
    assert_eq!(refuse(&mut hosts, &mut now), 2);
    let least = hosts.asks_to_wait(&part, &busy, at(now, 0.0), &BACKOFF);
    assert_eq!(least.as_secs(), 2, "jitter takes half at most");
    let asked = Error::new(Kind::Throttled, "busy").with_wait(Some(Duration::from_mins(7)));
    let wait = hosts.asks_to_wait(&part, &asked, at(now, 1.0), &BACKOFF);
    assert_eq!(wait.as_secs(), 420);
    let wait = hosts.asks_to_wait(&part, &busy, at(now, 1.0), &BACKOFF);
    assert_eq!(wait.as_secs(), 420, "no shorter for one that does not say");
}

#[tokio::test(start_paused = true)]
async fn a_person_who_tries_again_waits_for_no_host() {
    let mut hosts = Hosts::default();
    let now = Instant::now();
    hosts.failed(&host("api"), "no route", at(now, 1.0), &BACKOFF);
    let busy = Error::new(Kind::Throttled, "busy");
    hosts.asks_to_wait(&endpoint(CallClass::Part), &busy, at(now, 1.0), &BACKOFF);
    hosts.failed(&host("other"), "no route", at(now, 1.0), &BACKOFF);
    hosts.open(now);
    for name in ["api", "other"] {
        assert!(hosts.may_start(name, CallClass::Part, now, 0), "{name}");
    }
}
