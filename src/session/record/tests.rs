//! Tables written and read again, and those that no one should have written.

use std::{ffi::OsString, num::NonZeroU64, os::unix::ffi::OsStringExt};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    error::Kind,
    ids::{MOST_UPLOADS, MOST_WALKS},
};

fn file() -> Identity {
    Identity::new(100_000_000, 1_559_470_272, 123_456_789, 42).on(u64::MAX)
}

fn plan() -> PartPlan {
    let plan = PartPlan::split(100_000_000, NonZeroU64::new(5 << 20).unwrap()).unwrap();
    plan.resplit(4, NonZeroU64::new(16 << 20).unwrap()).unwrap()
}

fn ticket(token: &str) -> Ticket {
    let mut ticket = Ticket::of("abcd1234")
        .with("upload", "up")
        .with("token", token)
        .with("an odd = key", "");
    ticket.data.insert("offset".into(), 17.into());
    ticket.data.insert("marks".into(), vec!["a", "b"].into());
    ticket
}

fn moment(seconds: i64) -> Moment {
    Timestamp::from_second(seconds).unwrap().into()
}

fn begun() -> Kept {
    let tagged = PartReceipt {
        md5: Some([0xAB; 16]),
        tag: Some("\"etag\"".into()),
    };
    let receipts = [(1, Some([7; 16]).into()), (2, None.into()), (5, tagged)].into();
    Kept {
        id: 7,
        path: "/archive/2019/wedding.mov".into(),
        identity: file(),
        times: Times {
            queued: moment(1_700_000_000),
            begun: moment(1_700_000_060),
            done: Moment::default(),
        },
        again: true,
        state: State::Paused,
        reason: Some(Error::new(Kind::Server, "the server \"failed\"").with_status(500)),
        account: Some(AccountId::new("apivideo", "ws.api.video", 443, "0a1b")),
        progress: Some(Progress {
            marker: "m".into(),
            claim: Some(Claim {
                object: 7,
                epoch: 2,
            }),
            ticket: Some(ticket("t")),
            plan: Some(plan()),
            receipts,
            completed: true,
            clearing: true,
        }),
        unread: None,
    }
}

fn again(kept: &Kept) -> Record {
    let mut text = String::new();
    write_upload(&mut text, kept);
    assert!(text.ends_with("\n\n"));
    read_table(&text).unwrap()
}

#[test]
fn an_upload_reads_back_as_it_was_written() {
    assert_eq!(again(&begun()), Record::Upload(Box::new(begun())));
}

#[test]
fn a_path_that_could_not_be_read_reads_back_as_it_was_written() {
    let kept = Kept {
        identity: Identity::new(0, 0, 0, 0),
        state: State::Failed,
        reason: Some(Error::new(Kind::Local, "no permission to read it")),
        account: None,
        progress: None,
        unread: Some(2),
        ..begun()
    };
    assert_eq!(again(&kept), Record::Upload(Box::new(kept)));
}

#[test]
fn every_change_reads_back_as_it_was_written() {
    let error = || Error::new(Kind::Changed, "it changed");
    for change in [
        Change::Begun("m".into(), None),
        Change::Begun("m".into(), begun().account),
        Change::Ticket(Ticket::default()),
        Change::Ticket(ticket("a\n[[log]]\n\u{7f}\"")),
        Change::Plan(plan()),
        Change::Part(3, Some([9; 16]).into()),
        Change::Part(3, None.into()),
        Change::Part(
            3,
            PartReceipt {
                md5: None,
                tag: Some("x".into()),
            },
        ),
        Change::Lost([1, 2, 3, 9].into()),
        Change::Completed,
        Change::Done,
        Change::Released,
        Change::Paused,
        Change::Failed(error()),
        Change::Changed(error()),
        Change::Skipped(error()),
        Change::At(Milestone::Begun, moment(1_700_000_000)),
        Change::At(Milestone::Done, moment(1_700_000_001)),
        Change::Claimed(Claim {
            object: 7,
            epoch: 2,
        }),
        Change::Clearing,
        Change::Fresh(file()),
        Change::SameBytes {
            modified: file().modified,
            inode: u64::MAX,
            file_system: 0,
        },
        Change::SameBytes {
            modified: file().modified,
            inode: 7,
            file_system: u64::MAX,
        },
        Change::Removed,
    ] {
        let mut text = String::new();
        write_change(&mut text, 3, &change);
        assert_eq!(text.matches("\n\n").count(), 1, "{text}");
        assert_eq!(read_table(&text).unwrap(), Record::Log(3, change));
    }
}

#[test]
fn a_receipt_costs_less_than_a_hundred_bytes() {
    let mut text = String::new();
    write_change(
        &mut text,
        1_000_000,
        &Change::Part(10_000, Some([0xFF; 16]).into()),
    );
    assert!(text.len() < 100, "{} bytes", text.len());
}

#[test]
fn a_table_from_before_times_were_kept_says_nothing_of_them() {
    let table = "[[upload]]\nid = 1\npath = \"a\"\nsize = 10\n\
                 modified = 2019-06-02T10:11:12Z\nstate = \"queued\"\n\n";
    let Record::Upload(kept) = read_table(table).unwrap() else {
        panic!("no upload")
    };
    assert_eq!(kept.times, Times::default());
    let mut text = String::new();
    write_upload(&mut text, &kept);
    assert_eq!(text, table);
}

#[test]
fn times_that_a_person_wrote_in_their_own_way_are_the_same_moments() {
    let modified = |text: &str| {
        let table = format!(
            "[[upload]]\nid = 1\npath = \"a\"\nsize = 1\nmodified = {text}\nstate = \"queued\"\n\n"
        );
        match read_table(&table)? {
            Record::Upload(kept) => Ok(kept.identity.modified),
            other => panic!("{other:?}"),
        }
    };
    let at = |text: &str| Ok(text.parse::<Timestamp>().unwrap());
    for (text, same) in [
        ("2019-06-02T10:11:12Z", "2019-06-02T10:11:12Z"),
        ("2019-06-02 12:11:12.5+02:00", "2019-06-02T10:11:12.5Z"),
        ("2019-06-02T04:41:12-05:30", "2019-06-02T10:11:12Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ] {
        assert_eq!(modified(text), at(same), "{text}");
    }
    for text in ["2019-06-02T10:11:12", "2019-06-02", "10:11:12"] {
        let bad: BadTable = modified(text).unwrap_err();
        assert!(bad.words.contains("not a time with an offset"), "{text}");
    }
}

proptest! {
    #[test]
    fn every_time_of_a_file_comes_back(
        seconds in -62_135_596_800i64..253_402_207_200, nanoseconds in 0..1_000_000_000i32,
    ) {
        let mut kept = begun();
        kept.identity = Identity::new(100_000_000, seconds, nanoseconds, 1);
        prop_assert_eq!(again(&kept), Record::Upload(Box::new(kept)));
    }
}

#[test]
fn a_plan_of_format_1_that_was_split_again_may_have_had_more_parts() {
    let plan_of = |more: &str| {
        let table = format!("[[log]]\nupload = 1\nfile_size = 30\n{more}\n");
        match read_table(&table) {
            Ok(Record::Log(_, Change::Plan(plan))) => (plan.count(), plan.highest()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(plan_of("plan = [[1, 3, 10]]\n"), (3, 3));
    assert_eq!(plan_of("plan = [[1, 1, 10], [2, 1, 20]]\n"), (2, 258));
    assert_eq!(
        plan_of("plan = [[1, 1, 10], [2, 1, 20]]\nhighest = 5\n"),
        (2, 5)
    );
}

#[test]
fn a_newer_format_is_refused_and_not_guessed_at() {
    let newer = read_header("format = 3\nid = \"x\"\nwhatever = true\n").unwrap_err();
    assert!(newer.words.contains("newer"), "{}", newer.words);
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    let head = "[[upload]]\nid = 1\npath = \"a\"\nsize = 10\nmodified = 2019-06-02T10:11:12Z\n";
    for rest in [
        "state = \"flying\"",
        "state = \"removed\"",
        "done = \"1\"\nstate = \"queued\"",
        "marker = \"m\"\nplan = [[1, 1, 5]]\nstate = \"queued\"",
        "marker = \"m\"\nplan = [[1, 2, 5]]\ndone = \"1-3\"\nstate = \"queued\"",
        "marker = \"m\"\nplan = [[1, 2, 5]]\ndone = \"2,1\"\nstate = \"queued\"",
        "marker = \"m\"\nplan = [[1, 2, 5]]\ndone = \"1\"\nmd5 = \"éé\"\nstate = \"queued\"",
        "state = \"queued\"\nsurprise = 1",
    ] {
        assert!(read_table(&format!("{head}{rest}\n")).is_err(), "{rest}");
    }
}

#[test]
fn numbers_that_memory_is_spent_by_are_bounded_and_told_with_what_to_do() {
    let upload = |id: u32, more: &str| {
        format!(
            "[[upload]]\nid = {id}\npath = \"a\"\nsize = 4000000000\n\
             modified = 2019-06-02T10:11:12Z\n{more}state = \"queued\"\n\n"
        )
    };
    let log = |line: &str| format!("[[log]]\nupload = 1\n{line}\n\n");
    let plan = "marker = \"m\"\nplan = [[1, 2, 2000000000]]\n";
    for (table, named) in [
        (upload(MOST_UPLOADS + 1, ""), "8000001"),
        (upload(u32::MAX, ""), "4294967295"),
        (
            upload(1, "marker = \"m\"\nplan = [[1, 4000000000, 1]]\n"),
            "4000000000 parts",
        ),
        (
            upload(1, &format!("{plan}done = \"1-4000000000\"\n")),
            "part 4000000000",
        ),
        (upload(1, &format!("{plan}done = \"1-3\"\n")), "part 3"),
        (log("part = 4000000000"), "part 4000000000"),
        (log("part = 1000001"), "1000000"),
        (log("part = 0"), "from 1"),
        (log("lost = \"1-4000000000\""), "part 4000000000"),
        (
            log("file_size = 4000000000\nplan = [[1, 4000000000, 1]]"),
            "4000000000 parts",
        ),
        (
            format!("[[walk]]\nid = {}\npaths = [\"/a\"]\n\n", u32::MAX),
            "4294967295",
        ),
    ] {
        let bad = read_table(&table).unwrap_err();
        assert!(bad.words.contains(named), "{named}: {}", bad.words);
        let numbered = bad.words.contains("from 1");
        assert!(
            numbered || bad.words.contains("restore the file"),
            "{}",
            bad.words
        );
    }
    for good in [
        upload(MOST_UPLOADS, ""),
        upload(1, &format!("{plan}done = \"1-2\"\n")),
        log("part = 1000000"),
        log("lost = \"1-1000000\""),
        format!("[[walk]]\nid = {MOST_WALKS}\npaths = [\"/a\"]\n\n"),
    ] {
        read_table(&good).unwrap();
    }
}

proptest! {
    #[test]
    fn any_path_and_any_token_come_back_and_never_break_the_file(
        path in proptest::collection::vec(1u8..=255, 1..60), token: String,
    ) {
        let mut kept = begun();
        kept.path = PathBuf::from(OsString::from_vec(path));
        kept.progress.as_mut().unwrap().ticket = Some(ticket(&token));
        prop_assert_eq!(again(&kept), Record::Upload(Box::new(kept)));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text: String, numbers in "[0-9,\\-]{0,40}") {
        let _ = read_table(&text);
        let _ = read_header(&text);
        let _ = read_table(&format!("[[upload]]\n{text}"));
        let _ = read_table(&format!("[[walk]]\n{text}"));
        let _ = read_table(&format!("[[orphan]]\n{text}"));
        let _ = read_table(&format!("[[log]]\nupload = 1\nlost = \"{numbers}\""));
    }
}
