use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU32, Ordering},
};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use rusqlite::ffi;

use super::*;
use crate::{
    destination::Ticket,
    identity::Identity,
    ledger::{Digest, Evidence, File, ObjectState, Started, TakenOver, samples::Samples},
    plan::PartPlan,
};

/// What all ledgers of a test are told the time is.
const NOW: i64 = 1_764_000_000;

const KEY: [u8; 32] = [7; 32];

/// A machine: one ledger, the locks of its owners.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger")
    }

    fn options(&self, session: &str) -> Options {
        let owners = self.0.path().join("owners");
        Options {
            file: Some(self.ledger()),
            owner: Owner::take(&owners, session).unwrap(),
            owners,
            session: (
                session.to_owned(),
                format!("/sessions/{session}.toml").into(),
            ),
            account: AccountId::new("jwplayer", "api.jwplayer.com", 443, "site"),
            ticket_key: Some(KEY),
            machine: crate::ledger::sqlite::Machine::default(),
            now: || NOW,
        }
    }

    /// Opens the ledger for a session, whose owner's id is its name.
    fn session(&self, session: &str) -> Sqlite {
        Sqlite::open(self.options(session)).unwrap()
    }
}

fn at(seconds: i64, nanoseconds: i32) -> Timestamp {
    Timestamp::new(seconds, nanoseconds).unwrap()
}

/// A film at this path: its bytes, by the number in its samples, and its inode are its own.
fn film(path: &str, bytes: u8) -> File {
    File {
        path: path.into(),
        stat: FileStat {
            identity: Identity {
                size: 5_000,
                modified: at(1_700_000_000, 5_000_001),
                inode: u64::from(bytes) + 100,
                file_system: 77,
            },
            changed: Some(at(1_700_000_100, 7)),
        },
        samples: Samples {
            hash: [bytes; 16],
            weak: false,
            whole: false,
        },
    }
}

/// The same file under another name and with other times: nothing but its bytes shows it.
fn elsewhere(file: &File, path: &str) -> File {
    let mut other = file.clone();
    other.path = path.into();
    other.stat.identity.inode += 1_000;
    other.stat.identity.modified = at(1_710_000_000, 0);
    other.stat.changed = Some(at(1_710_000_001, 0));
    other
}

fn plan() -> PartPlan {
    PartPlan::split(5_000, NonZeroU64::new(1_000).unwrap()).unwrap()
}

fn digest() -> Digest {
    Digest::of(&[[1; 16], [2; 16], [3; 16], [4; 16], [5; 16]])
}

/// A fresh upload's request.
fn request(file: &File) -> Request {
    static MARKERS: AtomicU32 = AtomicU32::new(0);
    let number = MARKERS.fetch_add(1, Ordering::Relaxed);
    Request {
        file: file.clone(),
        marker: format!("marker{number}"),
        plan: plan(),
        before: None,
        started: None,
        again: false,
        is_deep: false,
        compared: Vec::new(),
    }
}

/// What an upload asks that was granted this before.
fn resumed(before: Claim, marker: &str, file: &File) -> Request {
    Request {
        marker: marker.to_owned(),
        before: Some(before),
        started: Some(Started {
            ticket: None,
            complete: false,
        }),
        ..request(file)
    }
}

fn granted(claimed: Claimed) -> (Claim, InUse) {
    match claimed {
        Claimed::Granted { claim, in_use, .. } => (claim, in_use),
        other => panic!("{other:?}"),
    }
}

fn taken_over(claimed: Claimed) -> TakenOver {
    match claimed {
        Claimed::TakenOver(taken) => *taken,
        other => panic!("{other:?}"),
    }
}

fn uploaded(claimed: Claimed) -> Uploaded {
    match claimed {
        Claimed::Uploaded(uploaded) => uploaded,
        other => panic!("{other:?}"),
    }
}

fn waits(claimed: Claimed) -> Wait {
    match claimed {
        Claimed::Wait(wait) => wait,
        other => panic!("{other:?}"),
    }
}

/// Uploads a file: its claim is accepted.
async fn upload(ledger: &Sqlite, file: &File, media: &str) -> Claim {
    let (claim, _in_use) = granted(ledger.claim(request(file)).await.unwrap());
    accept(ledger, claim, media).await;
    claim
}

async fn accept(ledger: &Sqlite, claim: Claim, media: &str) {
    let complete = Write::Complete {
        media: media.into(),
        digest: Some(digest()),
    };
    assert!(ledger.write(claim, complete).await.unwrap());
    let accepted = Write::Accepted(media.into());
    assert!(ledger.write(claim, accepted).await.unwrap());
}

#[tokio::test]
async fn a_file_that_one_session_uploaded_is_uploaded_for_another() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let claim = upload(&one, &file, "m1").await;
    let other = machine.session("other");
    let answer = uploaded(other.claim(request(&file)).await.unwrap());
    let wanted = Uploaded {
        object: claim.object,
        media: Some("m1".into()),
        at: NOW,
        other_path: None,
        is_unread: false,
    };
    assert_eq!(answer, wanted);
    let stat = file.stat;
    let known = other.known(&[(Path::new("/a/film.mp4"), stat), (Path::new("/b"), stat)]);
    assert_eq!(known.unwrap(), [Some(wanted), None]);
}

#[tokio::test]
async fn a_file_that_a_live_session_uploads_is_waited_for_and_taken_over_once_that_is_dead() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let (one, other) = (machine.session("one"), machine.session("other"));
    let first = request(&file);
    let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
    let ticket = Ticket::of("m1").with("token", "secret");
    let write = Write::Ticket(ticket.clone());
    assert!(one.write(claim, write).await.unwrap());
    let wait = waits(other.claim(request(&file)).await.unwrap());
    assert_eq!(
        (wait.object, wait.seen, wait.session.as_deref()),
        (claim.object, (claim.epoch, ObjectState::Open), Some("one"))
    );
    assert_eq!(wait.path, Path::new("/a/film.mp4"));
    assert!(other.changed(vec![wait.clone()]).await.unwrap().is_empty());

    drop((one, in_use));
    assert_eq!(other.changed(vec![wait]).await.unwrap(), [claim.object]);
    let taken = taken_over(other.claim(request(&file)).await.unwrap());
    assert_eq!(taken.claim.object, claim.object);
    assert_eq!(taken.claim.epoch, claim.epoch + 1);
    assert_eq!(taken.marker, first.marker);
    assert_eq!(taken.ticket, Some(ticket));
    assert_eq!(taken.plan, plan());
    assert!((taken.evidence == Evidence::Certain) && !taken.complete);
    assert_eq!(
        taken.session.as_deref(),
        Some(Path::new("/sessions/one.toml"))
    );
}

#[tokio::test]
async fn an_upload_that_is_resumed_has_its_claim_as_it_was() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let first = request(&file);
    let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
    let again = resumed(claim, &first.marker, &file);
    let wait = waits(one.claim(again.clone()).await.unwrap());
    assert_eq!((wait.object, wait.session), (claim.object, None));
    drop((one, in_use));
    let one = machine.session("one");
    let Claimed::Granted {
        claim: now,
        samples,
        ..
    } = one.claim(again).await.unwrap()
    else {
        panic!("not granted");
    };
    assert_eq!(now, claim);
    assert_eq!(samples, Some(file.samples));
}

#[tokio::test]
async fn a_session_that_died_right_after_a_claim_goes_on_with_it() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let first = request(&file);
    let one = machine.session("one");
    let (claim, _in_use) = granted(one.claim(first.clone()).await.unwrap());
    drop(one);
    let one = machine.session("one");
    // It knows nothing of that claim, and asks with a new marker.
    let taken = taken_over(one.claim(request(&file)).await.unwrap());
    assert_eq!(taken.claim.object, claim.object);
    assert_eq!(taken.marker, first.marker);
    assert!((taken.evidence == Evidence::Certain));
    assert_eq!(taken.session, None, "it was its own");
}

#[tokio::test]
async fn two_uploads_of_one_session_never_go_on_with_one_object() {
    let machine = Machine::new();
    let one = machine.session("one");
    let file = film("/a/film.mp4", 1);
    let mut link = file.clone();
    link.path = "/a/link.mp4".into();
    let (claim, in_use) = granted(one.claim(request(&file)).await.unwrap());
    let wait = waits(one.claim(request(&link)).await.unwrap());
    assert_eq!((wait.object, &wait.session), (claim.object, &None));
    assert!(one.changed(vec![wait.clone()]).await.unwrap().is_empty());
    // The account works on it now, and the upload's task has ended.
    let working = one.mark_in_use(claim.object);
    drop(in_use);
    waits(one.claim(request(&link)).await.unwrap());
    accept(&one, claim, "m1").await;
    assert_eq!(one.changed(vec![wait]).await.unwrap(), [claim.object]);
    drop(working);
    let answer = uploaded(one.claim(request(&link)).await.unwrap());
    assert_eq!(answer.other_path.as_deref(), Some(Path::new("/a/film.mp4")));
}

#[tokio::test]
async fn what_is_given_back_is_taken_over_and_the_first_sees_that() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let (one, other) = (machine.session("one"), machine.session("other"));
    let first = request(&file);
    let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
    let ticket = Ticket::of("m1").with("token", "secret");
    assert!(
        one.write(claim, Write::Ticket(ticket.clone()))
            .await
            .unwrap()
    );
    let wait = waits(other.claim(request(&file)).await.unwrap());
    assert!(one.write(claim, Write::GivenBack).await.unwrap());
    drop(in_use);
    assert_eq!(other.changed(vec![wait]).await.unwrap(), [claim.object]);
    let taken = taken_over(other.claim(request(&file)).await.unwrap());
    assert_eq!(taken.ticket, Some(ticket));
    assert_eq!(taken.claim.epoch, claim.epoch + 1);
    assert_eq!(taken.session, None, "nobody had it");

    let again = resumed(claim, &first.marker, &file);
    let wait = waits(one.claim(again.clone()).await.unwrap());
    assert_eq!(wait.session.as_deref(), Some("other"));
    for write in [
        Write::Ticket(Ticket::of("wrong")),
        Write::Plan(plan()),
        Write::Name(file.stat),
        Write::Failed,
        Write::Discarded,
        Write::GivenBack,
        Write::Accepted("wrong".into()),
    ] {
        let words = format!("{write:?}");
        assert!(!one.write(claim, write).await.unwrap(), "{words}");
    }
    accept(&other, taken.claim, "m1").await;
    let answer = uploaded(one.claim(again).await.unwrap());
    assert_eq!((answer.media, answer.other_path), (Some("m1".into()), None));
}

#[tokio::test]
async fn what_a_session_gave_back_itself_it_gets_again_unless_another_was_faster() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let first = request(&file);
    let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
    assert!(one.write(claim, Write::GivenBack).await.unwrap());
    drop(in_use);
    let again = resumed(claim, &first.marker, &file);
    let (second, in_use) = granted(one.claim(again).await.unwrap());
    assert_eq!(
        (second.object, second.epoch),
        (claim.object, claim.epoch + 1)
    );
    assert!(!one.write(claim, Write::GivenBack).await.unwrap());
    assert!(one.write(second, Write::GivenBack).await.unwrap());
    drop(in_use);
    let other = machine.session("other");
    let third = taken_over(other.claim(request(&file)).await.unwrap()).claim;
    drop(other);
    let again = resumed(second, &first.marker, &file);
    let fourth = taken_over(one.claim(again).await.unwrap());
    assert_eq!(fourth.claim.epoch, third.epoch + 1);
    assert!((fourth.evidence == Evidence::Certain));
    assert_eq!(
        fourth.session.as_deref(),
        Some(Path::new("/sessions/other.toml"))
    );
}

#[tokio::test]
async fn a_name_that_shows_too_little_is_recorded_once_all_is_sent() {
    let file = film("/a/film.mp4", 1);
    // The same inode and time under another name; and the same path under another time.
    let mut renamed = file.clone();
    renamed.path = "/a/renamed.mp4".into();
    let touched = elsewhere(&file, "/a/film.mp4");
    for (file_now, evidence) in [(renamed, Evidence::Samples), (touched, Evidence::Path)] {
        let machine = Machine::new();
        let one = machine.session("one");
        let (claim, _in_use) = granted(one.claim(request(&file)).await.unwrap());
        drop(one);
        for name in ["second", "third"] {
            // Each ends before what was sent is compared with the file.
            let session = machine.session(name);
            let taken = taken_over(session.claim(request(&file_now)).await.unwrap());
            assert_eq!(
                (taken.claim.object, taken.evidence),
                (claim.object, evidence)
            );
        }
        let last = machine.session("last");
        let taken = taken_over(last.claim(request(&file_now)).await.unwrap());
        accept(&last, taken.claim, "m1").await;
        let known = machine
            .session("other")
            .known(&[(&file.path, file.stat), (&file_now.path, file_now.stat)]);
        assert!(known.unwrap().iter().all(Option::is_some));
    }
}

#[tokio::test]
async fn what_is_complete_is_followed_to_its_end_by_whoever_comes() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let first = request(&file);
    let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
    let complete = Write::Complete {
        media: "m1".into(),
        digest: Some(digest()),
    };
    assert!(one.write(claim, complete).await.unwrap());
    assert_eq!(one.unaccepted().await.unwrap(), [(claim, "m1".into())]);
    drop((one, in_use));

    let one = machine.session("one");
    assert_eq!(one.unaccepted().await.unwrap(), [(claim, "m1".into())]);
    let own = taken_over(
        one.claim(resumed(claim, &first.marker, &file))
            .await
            .unwrap(),
    );
    assert!(own.complete && (own.evidence == Evidence::Certain));
    assert_eq!((own.claim, own.media), (claim, Some("m1".into())));
    drop(one);

    let other = machine.session("other");
    assert_eq!(other.unaccepted().await.unwrap(), []);
    let taken = taken_over(other.claim(request(&file)).await.unwrap());
    assert!(taken.complete);
    assert_eq!(taken.media, Some("m1".into()));
    assert_eq!(taken.marker, first.marker);
    let accepted = || Write::Accepted("m1".into());
    assert!(other.write(taken.claim, accepted()).await.unwrap());
    assert!(
        other.write(taken.claim, accepted()).await.unwrap(),
        "told twice"
    );
    assert_eq!(other.unaccepted().await.unwrap(), []);
    // Its session has not heard of that yet.
    let known = taken_over(
        other
            .claim(resumed(taken.claim, &first.marker, &file))
            .await
            .unwrap(),
    );
    assert!(known.complete && (known.evidence == Evidence::Certain));
    assert_eq!((known.claim, known.media), (taken.claim, Some("m1".into())));
}

#[tokio::test]
async fn an_upload_that_another_session_finished_is_no_reason_to_skip_what_its_file_has_become() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let first = request(&file);
    let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
    drop((one, in_use));
    let other = machine.session("other");
    let taken = taken_over(other.claim(request(&file)).await.unwrap());
    accept(&other, taken.claim, "m1").await;
    drop(other);

    let one = machine.session("one");
    let as_it_was = resumed(claim, &first.marker, &file);
    uploaded(one.claim(as_it_was).await.unwrap());
    let edited = film("/a/film.mp4", 2);
    let claimed = one.claim(resumed(claim, &first.marker, &edited)).await;
    assert!(matches!(claimed.unwrap(), Claimed::Discarded));
    granted(one.claim(request(&edited)).await.unwrap());
}

#[tokio::test]
async fn what_failed_or_was_discarded_is_no_reason_to_skip_and_its_ticket_is_gone() {
    for (end, discarded) in [(Write::Failed, false), (Write::Discarded, true)] {
        let machine = Machine::new();
        let file = film("/a/film.mp4", 1);
        let one = machine.session("one");
        let first = request(&file);
        let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
        let ticket = || Write::Ticket(Ticket::of("m1"));
        assert!(one.write(claim, ticket()).await.unwrap());
        assert!(one.write(claim, end.clone()).await.unwrap());
        assert!(one.write(claim, end.clone()).await.unwrap(), "told twice");
        assert!(!one.write(claim, ticket()).await.unwrap(), "{end:?}");
        // Its session may not have saved yet that it failed, and then still is who may say so.
        let complete = Write::Complete {
            media: "m1".into(),
            digest: None,
        };
        assert_eq!(one.write(claim, complete).await.unwrap(), !discarded);
        assert!(
            !one.write(claim, Write::Accepted("m1".into()))
                .await
                .unwrap()
        );
        drop(in_use);
        let own = one
            .claim(resumed(claim, &first.marker, &file))
            .await
            .unwrap();
        match own {
            Claimed::Discarded => assert!(discarded),
            own => {
                let own = taken_over(own);
                assert!(!discarded && own.complete && own.ticket.is_none());
            }
        }
        drop(one);
        let other = machine.session("other");
        let (fresh, _in_use) = granted(other.claim(request(&file)).await.unwrap());
        assert_ne!(fresh.object, claim.object);
        // Whoever was granted an older epoch of it gets it no more either.
        let older = Claim { epoch: 0, ..claim };
        let answer = other.claim(resumed(older, &first.marker, &file)).await;
        assert!(matches!(answer, Ok(Claimed::Discarded)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_film_whose_media_object_is_deleted_goes_out_again() {
    let machine = Machine::new();
    let one = machine.session("one");
    let file = film("/a/film.mp4", 1);
    let claim = upload(&one, &file, "m1").await;
    let known = || one.known(&[(&file.path, file.stat)]).unwrap();
    assert!(known()[0].is_some());
    assert!(one.write(claim, Write::Discarded).await.unwrap());
    assert_eq!(known(), [None], "though it was loaded before");
    granted(one.claim(request(&file)).await.unwrap());
}

#[tokio::test]
async fn a_ledger_without_the_row_of_a_started_upload_gets_one() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let missing = Claim {
        object: 5,
        epoch: 3,
    };
    let mut started = resumed(missing, "mine", &file);
    let ticket = Ticket::of("m1").with("token", "secret");
    started.started = Some(Started {
        ticket: Some(ticket.clone()),
        complete: true,
    });
    let (claim, in_use) = granted(one.claim(started).await.unwrap());
    drop((one, in_use));
    let other = machine.session("other");
    let taken = taken_over(other.claim(request(&file)).await.unwrap());
    assert_eq!(taken.claim.object, claim.object);
    assert_eq!((taken.ticket, taken.complete), (Some(ticket), true));
    assert_eq!(
        (taken.marker.as_str(), taken.media),
        ("mine", Some("m1".into()))
    );
}

#[tokio::test]
async fn a_row_with_another_marker_is_anothers() {
    let machine = Machine::new();
    let one = machine.session("one");
    let (other_film, file) = (film("/a/other.mp4", 1), film("/a/film.mp4", 2));
    let (claim, in_use) = granted(one.claim(request(&other_film)).await.unwrap());
    drop(in_use);
    let (fresh, _in_use) = granted(one.claim(resumed(claim, "mine", &file)).await.unwrap());
    assert_ne!(fresh.object, claim.object);
    let accepted = upload(&one, &film("/a/third.mp4", 3), "m3").await;
    let file = film("/a/fourth.mp4", 4);
    let resumed = resumed(accepted, "mine too", &file);
    let (fresh, _in_use) = granted(one.claim(resumed).await.unwrap());
    assert_ne!(fresh.object, accepted.object);
}

#[tokio::test]
async fn another_account_knows_nothing_of_it() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let claim = upload(&one, &file, "m1").await;
    let mut options = machine.options("other");
    options.account = AccountId::new("jwplayer", "api.jwplayer.com", 443, "another-site");
    let other = Sqlite::open(options).unwrap();
    assert_eq!(other.known(&[(&file.path, file.stat)]).unwrap(), [None]);
    let marker = request(&file).marker;
    let own = other.claim(resumed(claim, &marker, &file)).await.unwrap();
    granted(own);
    assert!(!other.write(claim, Write::GivenBack).await.unwrap());
}

#[tokio::test]
async fn what_is_uploaded_once_more_is_found_by_nobody_else() {
    let machine = Machine::new();
    let one = machine.session("one");
    let file = film("/a/film.mp4", 1);
    let again = || Request {
        again: true,
        ..request(&file)
    };
    let (first, in_use) = granted(one.claim(again()).await.unwrap());
    waits(one.claim(again()).await.unwrap());
    accept(&one, first, "m1").await;
    drop(in_use);
    let second = again();
    let (claim, in_use) = granted(one.claim(second.clone()).await.unwrap());
    assert_ne!(claim.object, first.object);
    // It is under way, and nobody waits for it, not even for a third one.
    assert_eq!(
        uploaded(one.claim(request(&file)).await.unwrap()).object,
        first.object
    );
    let (third, _third) = granted(one.claim(again()).await.unwrap());
    assert_ne!(third.object, claim.object);
    drop(in_use);
    let resumed = Request {
        again: true,
        ..resumed(claim, &second.marker, &file)
    };
    let (own, _own) = granted(one.claim(resumed).await.unwrap());
    assert_eq!(own, claim);
    accept(&one, claim, "m2").await;
    assert_eq!(
        uploaded(one.claim(request(&file)).await.unwrap()).object,
        first.object
    );
    let known = machine.session("other").known(&[(&file.path, file.stat)]);
    assert_eq!(known.unwrap()[0].as_ref().unwrap().object, first.object);
}

#[tokio::test]
async fn a_file_that_only_bytes_can_tell_is_compared_and_known_by_its_name_then() {
    let machine = Machine::new();
    let one = machine.session("one");
    let file = film("/a/film.mp4", 1);
    let object = upload(&one, &file, "m1").await.object;
    let copy = elsewhere(&file, "/b/copy.mp4");
    let Claimed::Compare(compare) = one.claim(request(&copy)).await.unwrap() else {
        panic!("not compared");
    };
    assert_eq!((compare.object, &compare.plan), (object, &plan()));
    assert_eq!(compare.digest, digest());
    assert_eq!(compare.path, Path::new("/a/film.mp4"));
    let compared = |same| Request {
        compared: vec![(object, same)],
        ..request(&copy)
    };
    let answer = uploaded(one.claim(compared(true)).await.unwrap());
    assert_eq!(answer.other_path.as_deref(), Some(Path::new("/a/film.mp4")));
    let answer = uploaded(one.claim(request(&copy)).await.unwrap());
    assert_eq!(answer.object, object);
    assert_eq!(answer.other_path, None, "it has that name now, too");
    let known = machine.session("other").known(&[(&copy.path, copy.stat)]);
    assert_eq!(known.unwrap()[0].as_ref().unwrap().object, object);

    let other_film = elsewhere(&file, "/c/other.mp4");
    let mut differs = request(&other_film);
    differs.compared = vec![(object, false)];
    let (fresh, _in_use) = granted(one.claim(differs).await.unwrap());
    assert_ne!(fresh.object, object);
}

#[tokio::test]
async fn a_complete_object_of_a_dead_session_is_compared_where_only_bytes_can_tell() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let (claim, _in_use) = granted(one.claim(request(&file)).await.unwrap());
    let complete = Write::Complete {
        media: "m1".into(),
        digest: Some(digest()),
    };
    assert!(one.write(claim, complete).await.unwrap());
    drop(one);
    let copy = elsewhere(&file, "/b/copy.mp4");
    let other = machine.session("other");
    let Claimed::Compare(compare) = other.claim(request(&copy)).await.unwrap() else {
        panic!("not compared");
    };
    let compared = Request {
        compared: vec![(compare.object, true)],
        ..request(&copy)
    };
    let taken = taken_over(other.claim(compared).await.unwrap());
    assert_eq!(taken.claim.object, claim.object);
    assert!((taken.evidence == Evidence::Certain) && taken.complete);
}

#[tokio::test]
async fn a_mount_whose_times_are_an_hour_off_costs_three_comparisons() {
    let machine = Machine::new();
    let one = machine.session("one");
    let mut compared = 0;
    for number in 1..=10 {
        let mut file = film(&format!("/card/{number}.mp4"), number);
        file.stat.changed = None;
        file.stat.identity.inode = 0;
        let object = upload(&one, &file, "m1").await.object;
        file.stat.identity.modified = at(1_700_003_600, 5_000_001);
        let mut asked = request(&file);
        let answer = match one.claim(asked.clone()).await.unwrap() {
            Claimed::Compare(_) => {
                compared += 1;
                asked.compared = vec![(object, true)];
                uploaded(one.claim(asked).await.unwrap())
            }
            answer => uploaded(answer),
        };
        assert_eq!(answer.object, object);
    }
    assert_eq!(compared, 3);
}

#[tokio::test]
async fn an_imported_object_gets_what_it_had_not() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let object = upload(&one, &file, "m1").await.object;
    drop(one);
    machine
        .raw()
        .execute_batch(
            "UPDATE accepted SET samples = NULL, digest = NULL, plan = NULL; \
         UPDATE name SET changed = NULL, file_system = 0",
        )
        .unwrap();
    let one = machine.session("one");
    assert_eq!(one.known(&[(&file.path, file.stat)]).unwrap(), [None]);
    assert_eq!(
        uploaded(one.claim(request(&file)).await.unwrap()).object,
        object
    );
    let other = machine.session("other");
    let known = other.known(&[(&file.path, file.stat)]).unwrap();
    assert_eq!(known[0].as_ref().unwrap().object, object);
    // Now that there are samples, the name it was imported with shows nothing by itself.
    let mut edited = file.clone();
    edited.samples.hash = [9; 16];
    edited.stat.changed = Some(at(1_720_000_000, 0));
    granted(other.claim(request(&edited)).await.unwrap());
}

#[tokio::test]
async fn a_changed_time_or_inode_of_the_same_bytes_is_one_more_name() {
    let machine = Machine::new();
    let one = machine.session("one");
    let file = film("/a/film.mp4", 1);
    let (claim, in_use) = granted(one.claim(request(&file)).await.unwrap());
    let later = elsewhere(&file, "/a/film.mp4");
    assert!(one.write(claim, Write::Name(later.stat)).await.unwrap());
    accept(&one, claim, "m1").await;
    drop(in_use);
    let other = machine.session("other");
    let known = other.known(&[(&file.path, file.stat), (&file.path, later.stat)]);
    assert!(known.unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn paths_plans_and_times_come_back_as_they_were() {
    use std::os::unix::ffi::OsStrExt;
    let machine = Machine::new();
    let mut number = 0;
    for path in [
        &b"/a/film.mp4"[..],
        b"/film.mp4",
        b"/",
        b"/a//film.mp4",
        b"/a/film.mp4/",
        b"/a/../film.mp4",
        b"/a\xff/\xfe.mp4",
        b"/a/\n.mp4",
    ] {
        for time in [
            at(1_700_000_000, 1),
            at(-5, 0),
            Timestamp::MIN,
            Timestamp::MAX,
            at(100_000_000_000, 7),
        ] {
            number += 1;
            let one = machine.session("one");
            let mut file = film("", number);
            file.path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
            file.stat.identity.modified = time;
            file.stat.identity.inode = u64::MAX;
            file.stat.identity.file_system = u64::MAX - 1;
            file.stat.changed = Some(time);
            let mut asked = request(&file);
            asked.plan = plan()
                .resplit(3, NonZeroU64::new(700).unwrap())
                .unwrap()
                .with_highest(40);
            let (claim, _in_use) = granted(one.claim(asked.clone()).await.unwrap());
            let other = machine.session("other");
            let wait = waits(other.claim(request(&file)).await.unwrap());
            assert_eq!(wait.path.as_os_str().as_bytes(), path);
            drop(one);
            let taken = taken_over(other.claim(request(&file)).await.unwrap());
            assert_eq!(taken.claim.object, claim.object);
            assert_eq!(taken.plan, asked.plan);
            accept(&other, taken.claim, "m1").await;
            drop(other);
            let one = machine.session("one");
            let known = one.known(&[(&file.path, file.stat)]).unwrap();
            assert!(known[0].is_some(), "{path:?}, {time}");
        }
    }
}

#[tokio::test]
async fn tickets_are_kept_sealed_or_not_at_all() {
    let secret = b"a-secret-token";
    let keys = [Some(KEY), Some([8; 32]), None];
    for kept_with in keys {
        for opened_with in keys {
            let machine = Machine::new();
            let file = film("/a/film.mp4", 1);
            let mut options = machine.options("one");
            options.ticket_key = kept_with;
            let one = Sqlite::open(options).unwrap();
            let (claim, _in_use) = granted(one.claim(request(&file)).await.unwrap());
            let ticket = Ticket::of("m1").with("token", "a-secret-token");
            assert!(
                one.write(claim, Write::Ticket(ticket.clone()))
                    .await
                    .unwrap()
            );
            drop(one);
            let bytes = std::fs::read(machine.ledger()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|at| at == secret));
            let mut options = machine.options("other");
            options.ticket_key = opened_with;
            let other = Sqlite::open(options).unwrap();
            let taken = taken_over(other.claim(request(&file)).await.unwrap());
            let same = kept_with.is_some() && kept_with == opened_with;
            assert_eq!(taken.ticket, same.then_some(ticket));
            assert_eq!(taken.media, Some("m1".into()));
        }
    }
}

#[tokio::test]
async fn a_session_whose_life_can_not_be_told_is_not_robbed() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let (claim, _in_use) = granted(one.claim(request(&file)).await.unwrap());
    drop(one);
    let lock = machine.0.path().join("owners/one.lock");
    std::os::unix::fs::symlink(&lock, &lock).unwrap();
    let other = machine.session("other");
    let wait = waits(other.claim(request(&file)).await.unwrap());
    assert!(other.changed(vec![wait.clone()]).await.unwrap().is_empty());
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(other.changed(vec![wait]).await.unwrap(), [claim.object]);
    taken_over(other.claim(request(&file)).await.unwrap());
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_claimed_by_the_next() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    let first = request(&file);
    // It is sent, and its upload ends before the answer.
    assert!(one.claim(first.clone()).now_or_never().is_none());
    // The answer is in use until the ledger finds that nobody waits for it.
    let taken = loop {
        match one.claim(request(&file)).await.unwrap() {
            Claimed::Wait(wait) => assert_eq!(wait.session, None),
            other => break taken_over(other),
        }
    };
    assert_eq!(taken.marker, first.marker);
}

#[tokio::test]
async fn a_wait_is_worth_asking_again_when_it_has_ended_and_not_before() {
    let machine = Machine::new();
    let (one, other) = (machine.session("one"), machine.session("other"));
    let mut waiting = Vec::new();
    let mut claims = Vec::new();
    let mut in_use = Vec::new();
    for number in 1..=6 {
        let file = film(&format!("/a/{number}.mp4"), number);
        let (claim, used) = granted(one.claim(request(&file)).await.unwrap());
        claims.push(claim);
        in_use.push(used);
        waiting.push(waits(other.claim(request(&file)).await.unwrap()));
    }
    assert!(other.changed(waiting.clone()).await.unwrap().is_empty());
    let complete = Write::Complete {
        media: "m1".into(),
        digest: None,
    };
    assert!(one.write(claims[0], complete).await.unwrap());
    assert!(
        one.write(claims[1], Write::Ticket(Ticket::of("m2")))
            .await
            .unwrap()
    );
    assert!(other.changed(waiting.clone()).await.unwrap().is_empty());
    assert!(
        one.write(claims[2], Write::Accepted("m3".into()))
            .await
            .unwrap()
    );
    assert!(one.write(claims[3], Write::Failed).await.unwrap());
    assert!(one.write(claims[4], Write::Discarded).await.unwrap());
    assert!(one.write(claims[5], Write::GivenBack).await.unwrap());
    let ended: Vec<ObjectId> = claims[2..].iter().map(|claim| claim.object).collect();
    assert_eq!(other.changed(waiting.clone()).await.unwrap(), ended);
    drop((one, in_use));
    let all: Vec<ObjectId> = claims.iter().map(|claim| claim.object).collect();
    assert_eq!(other.changed(waiting).await.unwrap(), all);
}

#[test]
fn of_two_claims_at_once_one_is_granted() {
    const ROUNDS: usize = 60;
    let machine = Machine::new();
    let sessions = [machine.session("one"), machine.session("other")];
    let start = std::sync::Barrier::new(2);
    let answers: Vec<Vec<Claimed>> = std::thread::scope(|scope| {
        let asked = sessions.each_ref().map(|ledger| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                let runtime = runtime.unwrap();
                let ask = |round: usize| {
                    let file = film(&format!("/a/{round}.mp4"), u8::try_from(round).unwrap());
                    start.wait();
                    runtime.block_on(ledger.claim(request(&file))).unwrap()
                };
                (0..ROUNDS).map(ask).collect()
            })
        });
        asked.map(|asked| asked.join().unwrap()).into()
    });
    for (one, other) in answers[0].iter().zip(&answers[1]) {
        match (one, other) {
            (Claimed::Granted { claim, .. }, Claimed::Wait(wait))
            | (Claimed::Wait(wait), Claimed::Granted { claim, .. }) => {
                assert_eq!(claim.object, wait.object);
            }
            both => panic!("{both:?}"),
        }
    }
}

/// An upload of a session of the next test, which its file keeps when it ends.
struct Upload {
    film: usize,
    marker: String,
    claim: Claim,
    in_use: Option<InUse>,
}

#[allow(clippy::too_many_lines)] // one round after the other
#[tokio::test]
async fn whatever_sessions_do_a_film_is_uploaded_once_and_by_one_at_a_time() {
    const FILMS: usize = 3;
    const SESSIONS: usize = 3;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20 {
        let machine = Machine::new();
        let mut ledgers = [const { None::<Sqlite> }; SESSIONS];
        let mut uploads: [Vec<Upload>; SESSIONS] = Default::default();
        let mut accepted = [None; FILMS];
        // Which session has an object.
        let mut owners = std::collections::HashMap::new();
        for _ in 0..80 {
            let who = random.usize(..SESSIONS);
            let Some(ledger) = &ledgers[who] else {
                ledgers[who] = Some(machine.session(&format!("session{who}")));
                continue;
            };
            let film_number = random.usize(..FILMS);
            match random.u32(..10) {
                // A session ends, however it does.
                0 => {
                    ledgers[who] = None;
                    uploads[who]
                        .iter_mut()
                        .for_each(|upload| upload.in_use = None);
                }
                1..=5 => {
                    let path = format!("/a/{film_number}-{}.mp4", random.u32(..2));
                    let mut file = film(&path, u8::try_from(film_number).unwrap());
                    file.samples.whole = true;
                    let before = uploads[who].iter();
                    let before = before
                        .enumerate()
                        .find(|(_, upload)| upload.film == film_number && upload.in_use.is_none());
                    let before = before.map(|(at, _)| at).filter(|_| random.bool());
                    let before = before.map(|at| uploads[who].swap_remove(at));
                    let asked = match &before {
                        Some(upload) => resumed(upload.claim, &upload.marker, &file),
                        None => request(&file),
                    };
                    let mut marker = asked.marker.clone();
                    let (claim, in_use) = match ledger.claim(asked).await.unwrap() {
                        Claimed::Granted { claim, in_use, .. } => (claim, in_use),
                        Claimed::TakenOver(taken) => {
                            marker = taken.marker;
                            (taken.claim, taken.in_use)
                        }
                        Claimed::Uploaded(found) => {
                            assert_eq!(Some(found.object), accepted[film_number], "seed {seed}");
                            continue;
                        }
                        Claimed::Wait(wait) => {
                            let owner: &usize = &owners[&wait.object];
                            assert!(ledgers[*owner].is_some(), "{wait:?}, seed {seed}");
                            uploads[who].extend(before);
                            continue;
                        }
                        Claimed::Discarded => continue,
                        Claimed::Compare(_) => panic!("all bytes are samples, seed {seed}"),
                    };
                    let known = accepted[film_number].is_none_or(|object| object == claim.object);
                    assert!(known, "seed {seed}");
                    owners.insert(claim.object, who);
                    uploads[who].push(Upload {
                        film: film_number,
                        marker,
                        claim,
                        in_use: Some(in_use),
                    });
                    let under_way = uploads.iter().flatten();
                    let under_way = under_way
                        .filter(|upload| upload.film == film_number && upload.in_use.is_some());
                    assert_eq!(under_way.count(), 1, "seed {seed}");
                }
                write => {
                    let active = |upload: &Upload| upload.in_use.is_some();
                    let Some(at) = uploads[who].iter().position(active) else {
                        continue;
                    };
                    let object = uploads[who][at].claim.object;
                    let write = match write {
                        _ if accepted.contains(&Some(object)) => Write::Accepted("m".into()),
                        6 => Write::GivenBack,
                        7 => Write::Failed,
                        8 => Write::Discarded,
                        _ => Write::Accepted("m".into()),
                    };
                    if write == Write::Accepted("m".into()) {
                        accepted[uploads[who][at].film] = Some(object);
                    }
                    let claim = uploads[who][at].claim;
                    assert!(
                        ledger.write(claim, write.clone()).await.unwrap(),
                        "seed {seed}"
                    );
                    uploads[who][at].in_use = None;
                    // Where it was interrupted, its file knows nothing of the write. It knows that an
                    // upload failed, or else would follow it to that end once more.
                    if write == Write::Failed || random.bool() {
                        uploads[who].swap_remove(at);
                    }
                }
            }
        }
    }
}

impl Machine {
    /// The ledger as another program has it.
    fn raw(&self) -> rusqlite::Connection {
        let raw = rusqlite::Connection::open(self.ledger()).unwrap();
        raw.busy_timeout(PATIENCE).unwrap();
        raw
    }

    /// How many commits the ledger saw, by the counter in its head. Nobody has it open.
    fn commits(&self) -> u32 {
        let bytes = std::fs::read(self.ledger()).unwrap();
        u32::from_be_bytes(bytes[24..28].try_into().unwrap())
    }
}

#[tokio::test]
async fn claims_that_wait_at_the_same_time_share_a_commit() {
    let machine = Machine::new();
    drop(machine.session("one"));
    let before = machine.commits();
    drop(machine.session("one"));
    let of_opening = machine.commits() - before;
    let ledger = machine.session("one");
    let raw = machine.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut claims: Vec<_> = (1..=8)
        .map(|number| ledger.claim(request(&film(&format!("/a/{number}.mp4"), number))))
        .collect();
    for claim in &mut claims {
        assert!(claim.now_or_never().is_none());
    }
    raw.execute_batch("ROLLBACK").unwrap();
    drop(raw);
    for claim in claims {
        granted(claim.await.unwrap());
    }
    drop(ledger);
    // The first is begun with before the others are there, at the earliest.
    let commits = machine.commits() - before - 2 * of_opening;
    assert!((1..=2).contains(&commits), "{commits}");
}

#[tokio::test]
async fn an_answer_that_needs_no_write_commits_nothing() {
    let machine = Machine::new();
    let file = film("/a/film.mp4", 1);
    let one = machine.session("one");
    upload(&one, &file, "m1").await;
    drop(one);
    let before = machine.commits();
    drop(machine.session("one"));
    let of_opening = machine.commits() - before;
    let one = machine.session("one");
    for _ in 0..5 {
        uploaded(one.claim(request(&file)).await.unwrap());
        one.known(&[(&file.path, file.stat)]).unwrap();
    }
    drop(one);
    assert_eq!(machine.commits() - before, 2 * of_opening);
}

/// A session that does not wait long for others.
fn hasty(machine: &Machine) -> Sqlite {
    Sqlite::open_within(machine.options("one"), Duration::from_millis(5)).unwrap()
}

#[tokio::test]
async fn while_the_ledger_is_locked_nothing_is_begun_and_what_is_done_is_written_later() {
    let machine = Machine::new();
    let one = hasty(&machine);
    let (claim, _in_use) = granted(one.claim(request(&film("/a/1.mp4", 1))).await.unwrap());
    let raw = machine.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    for refused in [
        one.write(claim, Write::Ticket(Ticket::of("m1")))
            .await
            .unwrap_err(),
        one.claim(request(&film("/a/2.mp4", 2))).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, Kind::Storage);
        assert!(refused.message.contains("is locked"), "{refused}");
    }
    raw.execute_batch("ROLLBACK").unwrap();
    // Nobody asks for it again.
    let media = || {
        let sql = "SELECT media FROM started WHERE id = ?1";
        raw.query_row(sql, [claim.object], |row| row.get::<_, Option<String>>(0))
            .unwrap()
    };
    while media().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(media().as_deref(), Some("m1"));
    granted(one.claim(request(&film("/a/2.mp4", 2))).await.unwrap());
}

#[tokio::test]
async fn what_waits_for_the_ledger_is_written_before_what_comes_then_and_before_it_is_closed() {
    let machine = Machine::new();
    let one = hasty(&machine);
    let file = film("/a/1.mp4", 1);
    let first = request(&file);
    let (claim, in_use) = granted(one.claim(first.clone()).await.unwrap());
    let raw = machine.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    one.write(claim, Write::GivenBack).await.unwrap_err();
    drop(in_use);
    raw.execute_batch("ROLLBACK").unwrap();
    let asked = resumed(claim, &first.marker, &file);
    let (now, in_use) = granted(one.claim(asked).await.unwrap());
    assert_eq!(now.epoch, claim.epoch + 1, "it was given back first");

    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    one.write(now, Write::Discarded).await.unwrap_err();
    raw.execute_batch("ROLLBACK").unwrap();
    drop((one, in_use));
    let state = raw.query_row("SELECT state FROM started", (), |row| row.get(0));
    assert_eq!(state, Ok(ObjectState::Discarded));
}

#[tokio::test]
async fn while_the_disk_is_full_nothing_is_begun_and_what_is_done_is_written_later() {
    let machine = Machine::new();
    let one = hasty(&machine);
    let (claim, _in_use) = granted(one.claim(request(&film("/a/1.mp4", 1))).await.unwrap());
    let pages = |pages: i64| {
        one.read(move |core| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            core.connection
                .query_row(&sql, (), |row| row.get::<_, i64>(0))
        })
    };
    pages(1).await.unwrap();
    // More than a page has room for.
    let large = Ticket::of("m1").with("token", "x".repeat(100_000));
    let mut long = film("/a/2.mp4", 2);
    long.path = format!("/{}/2.mp4", "x".repeat(20_000)).into();
    for refused in [
        one.write(claim, Write::Ticket(large.clone()))
            .await
            .unwrap_err(),
        one.claim(request(&long)).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, Kind::Storage);
        assert!(refused.message.contains("is full"), "{refused}");
    }
    pages(1_000_000).await.unwrap();
    granted(one.claim(request(&long)).await.unwrap());
    drop(one);
    let other = machine.session("other");
    let taken = taken_over(other.claim(request(&film("/a/1.mp4", 1))).await.unwrap());
    assert_eq!(taken.ticket, Some(large));
}

#[tokio::test]
async fn one_write_that_fails_leaves_nothing_behind_and_undoes_no_other() {
    let machine = Machine::new();
    let one = machine.session("one");
    let raw = machine.raw();
    raw.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON name WHEN cast(new.base AS TEXT) = 'bad.mp4' \
         BEGIN SELECT raise(ABORT, 'refused'); END",
    )
    .unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut together: Vec<_> = ["1.mp4", "bad.mp4", "3.mp4"]
        .iter()
        .zip(1..)
        .map(|(name, number)| one.claim(request(&film(&format!("/a/{name}"), number))))
        .collect();
    for claim in &mut together {
        assert!(claim.now_or_never().is_none());
    }
    raw.execute_batch("ROLLBACK").unwrap();
    let mut answers = Vec::new();
    for claim in together {
        answers.push(claim.await);
    }
    let refused = answers.remove(1).unwrap_err();
    assert_eq!(refused.kind, Kind::Storage);
    assert!(refused.message.contains("refused"), "{refused}");
    for answer in answers {
        granted(answer.unwrap());
    }
    let rows = "SELECT count(*), (SELECT count(*) FROM name) FROM started";
    let rows: (i64, i64) = raw
        .query_row(rows, (), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(rows, (2, 2));
}

#[test]
fn what_is_no_ledger_is_refused_and_left_as_it_is() {
    let machine = Machine::new();
    let refused = |what: &str| {
        let before = std::fs::read(machine.ledger()).unwrap();
        let error = Sqlite::open(machine.options("one")).unwrap_err();
        let after = std::fs::read(machine.ledger()).unwrap();
        assert!(before == after, "{what} was changed");
        assert!(error.to_string().contains("ledger"), "{error}");
        error
    };
    std::fs::write(machine.ledger(), "a note\n".repeat(1_000)).unwrap();
    assert!(matches!(refused("a note"), OpenFailed::Foreign(_)));
    std::fs::remove_file(machine.ledger()).unwrap();
    machine
        .raw()
        .execute_batch("CREATE TABLE mine (a)")
        .unwrap();
    assert!(matches!(refused("a database"), OpenFailed::Foreign(_)));
    std::fs::remove_file(machine.ledger()).unwrap();
    machine
        .raw()
        .execute_batch("PRAGMA application_id = 5")
        .unwrap();
    assert!(matches!(
        refused("an empty database"),
        OpenFailed::Foreign(_)
    ));
    std::fs::remove_file(machine.ledger()).unwrap();
    drop(machine.session("one"));
    machine
        .raw()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let newer = refused("a newer one");
    assert!(matches!(newer, OpenFailed::Newer { version: 99, .. }));
    assert!(newer.to_string().contains("newer"), "{newer}");
}

#[tokio::test]
async fn a_damaged_ledger_says_so_when_it_is_opened_or_used() {
    let machine = Machine::new();
    let one = machine.session("one");
    for number in 0..40 {
        upload(&one, &film(&format!("/a/{number}.mp4"), number), "m").await;
    }
    drop(one);
    let whole = std::fs::read(machine.ledger()).unwrap();
    let pages = whole.len() / 4096;
    let mut said = 0;
    for page in 0..pages {
        let mut bytes = whole.clone();
        // Of the first page the head stays, which names the file as a ledger.
        let from = page * 4096 + if page == 0 { 100 } else { 0 };
        bytes[from..(page + 1) * 4096].fill(0xA5);
        std::fs::write(machine.ledger(), &bytes).unwrap();
        let words = match Sqlite::open(machine.options("one")) {
            Err(error) => error.to_string(),
            Ok(one) => match one.claim(request(&film("/a/3.mp4", 3))).await {
                Err(error) => {
                    assert_eq!(error.kind, Kind::Ledger);
                    error.message
                }
                Ok(answer) => {
                    // A page that this claim does not read. It may not grant what is uploaded.
                    uploaded(answer);
                    continue;
                }
            },
        };
        assert!(words.contains("is damaged"), "page {page}: {words}");
        said += 1;
    }
    assert!(said >= 4, "{said} of {pages}");
}

#[test]
fn each_way_of_not_opening_has_words_of_its_own() {
    let of = |code| {
        let error = ffi::Error::new(code);
        let error = rusqlite::Error::SqliteFailure(error, None);
        OpenFailed::of(Path::new("/state/ledger"), &error).to_string()
    };
    for (code, word) in [
        (ffi::SQLITE_BUSY, "locked"),
        (ffi::SQLITE_READONLY, "read-only"),
        (ffi::SQLITE_FULL, "full"),
        (ffi::SQLITE_NOTADB, "not a ledger"),
        (ffi::SQLITE_CORRUPT, "damaged"),
        (ffi::SQLITE_IOERR, "can't be opened"),
    ] {
        let words = of(code);
        assert!(
            words.contains(word) && words.contains("/state/ledger"),
            "{words}"
        );
    }
}

#[test]
fn a_ledger_that_another_program_has_locked_is_not_opened() {
    let machine = Machine::new();
    drop(machine.session("one"));
    let raw = machine.raw();
    raw.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let patience = Duration::from_millis(5);
    let error = Sqlite::open_within(machine.options("one"), patience).unwrap_err();
    assert!(matches!(error, OpenFailed::Locked(_)), "{error}");
    raw.execute_batch("ROLLBACK").unwrap();
    Sqlite::open_within(machine.options("one"), patience).unwrap();
}

#[test]
fn nobody_else_can_read_it_and_its_journal_is_none_that_stays() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    let mode = || machine.ledger().metadata().unwrap().permissions().mode() & 0o777;
    drop(machine.session("one"));
    assert_eq!(mode(), 0o600);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(machine.ledger(), open).unwrap();
    let wal = "PRAGMA journal_mode = WAL";
    machine.raw().query_row(wal, (), |_| Ok(())).unwrap();
    drop(machine.session("one"));
    assert_eq!(mode(), 0o600);
    let there = std::fs::read_dir(machine.0.path()).unwrap();
    let mut there: Vec<_> = there.map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["ledger", "owners"]);
    let raw = machine.raw();
    let journal = raw.query_row("PRAGMA journal_mode", (), |row| row.get::<_, String>(0));
    assert_eq!(journal.unwrap(), "delete");
}

#[test]
fn sessions_that_make_a_ledger_at_the_same_time_make_one() {
    for _ in 0..10 {
        let machine = Machine::new();
        let start = std::sync::Barrier::new(3);
        let ids: Vec<String> = std::thread::scope(|scope| {
            let open = |name: &'static str| {
                let (machine, start) = (&machine, &start);
                scope.spawn(move || {
                    let options = machine.options(name);
                    start.wait();
                    Sqlite::open(options).unwrap().id().to_owned()
                })
            };
            let opened = ["a", "b", "c"].map(open);
            opened.map(|one| one.join().unwrap()).into()
        });
        assert_eq!(ids[0].len(), 8);
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

#[tokio::test]
async fn a_session_owns_its_claims_as_long_as_its_ledger_is_open() {
    let machine = Machine::new();
    let owners = machine.0.path().join("owners");
    let one = machine.session("one");
    assert!(crate::ledger::owner::is_alive(&owners, "one").unwrap());
    drop(one);
    assert!(!crate::ledger::owner::is_alive(&owners, "one").unwrap());
}

#[tokio::test]
async fn a_ledger_in_memory_is_one_as_well() {
    let machine = Machine::new();
    let mut options = machine.options("one");
    options.file = None;
    let one = Sqlite::open(options).unwrap();
    let file = film("/a/film.mp4", 1);
    upload(&one, &file, "m1").await;
    uploaded(one.claim(request(&file)).await.unwrap());
    assert!(!machine.ledger().exists());
}

#[tokio::test]
async fn objects_in_many_goes_are_each_listed_once_and_by_path() {
    const COUNT: usize = 50_000;
    let machine = Machine::new();
    upload(&machine.session("one"), &film("/a/film.mp4", 1), "m").await;
    let raw = machine.raw();
    raw.execute_batch(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {COUNT} - 1) \
         INSERT INTO accepted SELECT (SELECT max(id) FROM accepted) + i, 1, '', 7, NULL, 0, NULL, \
         'm' || i, NULL, 1, 0 FROM n; \
         INSERT INTO name SELECT id, 0, 1, CAST(printf('%06d', (id * 7919) % 1000003) AS BLOB), 0, \
         NULL, 0, 0 FROM accepted WHERE id > (SELECT min(id) FROM accepted)"
    ))
    .unwrap();
    drop(raw);
    let owners = machine.0.path().join("owners");
    let mut catalog = catalog::Catalog::open(&machine.ledger(), &owners, false)
        .unwrap()
        .unwrap();
    let mut paths = Vec::new();
    let all = catalog.list(&catalog::Filter::default(), |entry| {
        paths.push(entry.path);
        true
    });
    all.unwrap();
    assert_eq!(paths.len(), COUNT);
    assert!(paths.is_sorted_by(|a, b| a.as_os_str() < b.as_os_str()));

    let mut first = 0;
    let some = catalog.list(&catalog::Filter::default(), |_| {
        first += 1;
        first < 10
    });
    some.unwrap();
    assert_eq!(first, 10, "it ends when it is told to");
}
