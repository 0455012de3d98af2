//! What the engine promises any account, whatever its protocol: held against one in this process, on a
//! clock that is paused.

use std::{fs, path::Path, time::Duration};

use crate::support::{
    engine,
    memory::{Answer, Asked, Memory, PART, Run, Step},
};
use reelhaul::{
    destination::{Lookup, Received, Ticket},
    engine::protocol::{Command, State, Targets},
    error::{Error, Kind},
    settings::{PartSize, Settings},
};

const FILM: &str = "film.mp4";

fn all() -> Targets {
    Targets::All
}

/// What a step of an upload came after, of those that concern parts.
fn parts_of(account: &Memory) -> Vec<Step> {
    let mut steps = account.steps(FILM);
    steps.retain(|step| matches!(step, Step::Put(_) | Step::Acknowledge(_)));
    steps
}

#[tokio::test(start_paused = true)]
async fn nothing_else_goes_out_before_the_first_part_was_acknowledged_where_it_goes_alone() {
    let account = Memory::limited(|limits| limits.first_alone = true);
    account.script(
        FILM,
        Step::Put(1),
        Answer::Fail(Error::new(Kind::Server, "busy")),
    );
    let run = Run::sending(4, &account);
    let film = run.add(FILM, 4).await;
    run.until_done().await;
    let parts = parts_of(&account);
    assert_eq!(
        parts[..3],
        [Step::Put(1), Step::Put(1), Step::Acknowledge(1)]
    );
    assert_eq!(
        account.most_in_flight(FILM),
        3,
        "all others at once: {parts:?}"
    );
    account.assert_has(&[&film]);
}

#[tokio::test(start_paused = true)]
async fn ordered_parts_go_out_one_at_a_time_from_where_a_failure_left_them() {
    let account = Memory::ordered();
    account.script(FILM, Step::Put(2), Answer::Break);
    account.script(FILM, Step::Put(4), Answer::Lose);
    let run = Run::new(&account);
    let film = run.add(FILM, 4).await;
    run.until_done().await;
    // The second part is two after it broke in the middle.
    let answered = [1, 3, 4, 5].map(|part| [Step::Put(part), Step::Acknowledge(part)]);
    let mut parts = answered.concat();
    parts.insert(2, Step::Put(2));
    assert_eq!(parts_of(&account), parts);
    assert_eq!(account.most_in_flight(FILM), 1);
    account.assert_has(&[&film]);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_upload_that_was_paused_amid_a_part_is_resumed_where_the_account_has_it() {
    let account = Memory::ordered();
    account.script(FILM, Step::Put(2), Answer::Hang);
    let run = Run::new(&account);
    let film = run.add(FILM, 3).await;
    run.until_asked(FILM, Step::Put(2)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    run.command(Command::Pause(all())).await;
    run.until("a pause", |run| run.is(State::Paused)).await;
    run.command(Command::Resume(all())).await;
    run.until_done().await;
    assert_eq!(
        run.summary().errors,
        0,
        "no part was sent to the wrong place"
    );
    account.assert_has(&[&film]);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_part_that_arrived_with_other_bytes_ends_its_upload() {
    let account = Memory::ordered();
    account.script(FILM, Step::Put(1), Answer::Corrupt);
    let run = Run::new(&account);
    let film = run.add(FILM, 3).await;
    // As hardly anything was sent, it is started over by itself.
    run.until_done().await;
    account.assert_has(&[&film]);

    account.script("second.mp4", Step::Put(2), Answer::Corrupt);
    run.add("second.mp4", 3).await;
    run.until("a failure", |run| run.is(State::Failed)).await;
}

#[tokio::test(start_paused = true)]
async fn all_tags_reach_the_end_of_an_upload_whatever_was_restarted_meanwhile() {
    for rewritten in [false, true] {
        let account = Memory::new();
        account.script(FILM, Step::Put(3), Answer::Hang);
        let run = Run::new(&account);
        run.add(FILM, 4).await;
        run.until_asked(FILM, Step::Acknowledge(4)).await;
        run.until("tags that are saved", |run| {
            run.session().matches("tag = ").count() == 3
        })
        .await;
        let rewrite = |session: &Path| {
            engine::rewrite(session);
            let text = fs::read_to_string(session).unwrap();
            assert!(text.contains("\ntags = ["), "{text}");
        };
        let run = if rewritten {
            run.restart_after(rewrite).await
        } else {
            run.restart().await
        };
        run.until_done().await;
        let receipts = account.completed_with(FILM);
        let tags = receipts
            .values()
            .map(|receipt| receipt.tag.as_deref().unwrap());
        let tags: Vec<&str> = tags.collect();
        assert_eq!(tags, ["\"tag\" 1", "\"tag\" 2", "\"tag\" 3", "\"tag\" 4"]);
        let puts = account
            .steps(FILM)
            .iter()
            .filter(|step| matches!(step, Step::Put(_)))
            .count();
        assert_eq!(puts, 5, "only what had not arrived is sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_resumed_is_deleted_before_another_media_object_is_created() {
    let account = Memory::new();
    account.script(
        FILM,
        Step::Create,
        Answer::Fail(Error::new(Kind::Broken, "no answer")),
    );
    let lost = ["lost-1", "lost-2"].map(Ticket::of);
    // It is looked for again when it is deleted.
    for _ in 0..2 {
        account.script(FILM, Step::Find, Answer::Find(Lookup::Lost(lost.to_vec())));
    }
    let run = Run::new(&account);
    let film = run.add(FILM, 1).await;
    run.until_done().await;
    assert_eq!(
        account.steps(FILM)[..4],
        [Step::Create, Step::Find, Step::Find, Step::Create]
    );
    let created = account.asked(FILM)[3].at;
    for lost in ["lost-1", "lost-2"] {
        let deleted = account.asked(lost);
        assert!(
            matches!(&deleted[..], [Asked { at, .. }] if *at <= created),
            "{deleted:?}"
        );
    }
    account.assert_has(&[&film]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_created_where_nobody_can_tell_what_an_earlier_create_made() {
    let account = Memory::new();
    account.script(FILM, Step::Create, Answer::Lose);
    let nobody_knows = Lookup::CannotTell {
        orphan_expires: None,
    };
    account.script(FILM, Step::Find, Answer::Find(nobody_knows));
    let run = Run::new(&account);
    run.add(FILM, 1).await;
    run.until("a failure", |run| run.is(State::Failed)).await;
    assert_eq!(account.steps(FILM), [Step::Create, Step::Find]);
    let note = run.row().await.note.unwrap();
    assert!(
        note.contains("a media object may have been created for this file before"),
        "{note}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_that_asks_to_wait_before_it_gives_a_link_holds_back_that_upload_alone() {
    let account = Memory::new();
    let hours = Duration::from_hours(10);
    let wait = Error::new(Kind::Throttled, "too many calls").with_wait(Some(hours));
    account.script(FILM, Step::Prepare(1), Answer::Fail(wait));
    for part in [1, 2] {
        account.script("other.mp4", Step::Put(part), Answer::Hold);
    }
    let run = Run::sending(3, &account);
    let other = run.add("other.mp4", 6).await;
    run.until_asked("other.mp4", Step::Put(2)).await;
    let film = run.add(FILM, 3).await;
    run.until_asked(FILM, Step::Prepare(1)).await;
    account.release();
    run.until_done().await;

    let asked = account.asked(FILM);
    let prepared = asked
        .iter()
        .filter(|asked| matches!(asked.step, Step::Prepare(_)));
    let prepared: Vec<_> = prepared.map(|asked| asked.at).collect();
    assert!(prepared[1] - prepared[0] >= hours, "{asked:#?}");
    let other_parts = account.asked("other.mp4");
    let mut parts = other_parts
        .iter()
        .filter(|asked| matches!(asked.step, Step::Acknowledge(_)));
    assert!(parts.all(|part| part.at < prepared[1]), "{other_parts:#?}");
    account.assert_has(&[&other, &film]);
}

#[tokio::test(start_paused = true)]
async fn waits_of_hours_pass_in_no_time() {
    let account = Memory::new();
    let hours = Duration::from_hours(12);
    let fails = Error::new(Kind::Server, "busy").with_wait(Some(hours));
    for _ in 0..3 {
        account.script(FILM, Step::Put(2), Answer::Fail(fails.clone()));
    }
    let run = Run::new(&account);
    let film = run.add(FILM, 2).await;
    run.until_done().await;
    let asked = account.asked(FILM);
    let puts = asked.iter().filter(|asked| asked.step == Step::Put(2));
    let puts: Vec<_> = puts.map(|asked| asked.at).collect();
    assert!(
        puts.windows(2).all(|two| two[1] - two[0] >= hours),
        "{puts:?}"
    );
    account.assert_has(&[&film]);
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_open_at_the_account_only_while_it_has_its_place() {
    let commands = [
        Command::Pause(all()),
        Command::Skip(all()),
        Command::Remove(all()),
    ];
    for command in commands.map(Some).into_iter().chain([None]) {
        let account = Memory::new();
        let refused = Answer::Fail(Error::new(Kind::Refused, "no"));
        let answer = if command.is_some() {
            Answer::Hang
        } else {
            refused
        };
        account.script(FILM, Step::Put(1), Answer::Hold);
        account.script(FILM, Step::Put(2), answer);
        let run = Run::new(&account);
        run.add(FILM, 2).await;
        run.until_asked(FILM, Step::Put(2)).await;
        assert_eq!(account.open_uploads(), 1);
        match &command {
            Some(command) => run.command(command.clone()).await,
            None => account.release(),
        }
        let closed = |run: &Run| run.account.open_uploads() == 0;
        run.until(&format!("an end of it after {command:?}"), closed)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_found_complete_is_asked_for_the_media_object_that_it_lacks() {
    let account = Memory::ordered();
    let refused = Error::new(Kind::Refused, "no");
    account.script(FILM, Step::Complete, Answer::Fail(refused));
    let run = Run::new(&account);
    run.add(FILM, 2).await;
    run.until("a failure", |run| run.is(State::Failed)).await;
    account.script(FILM, Step::Received, Answer::Have(Received::Complete));
    let run = run.restart().await;
    run.command(Command::Retry(all())).await;
    run.until_done().await;
    let named = |run: &Run| run.session().contains("media = \"media-0\"");
    run.until("its id in the session", named).await;
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_comes_with_a_part_is_saved_and_used_before_the_next() {
    let account = Memory::limited(|limits| limits.first_alone = true);
    account.script(FILM, Step::Put(1), Answer::Token("fresh"));
    account.script(FILM, Step::Put(2), Answer::Hold);
    let run = Run::new(&account);
    run.add(FILM, 3).await;
    run.until_asked(FILM, Step::Put(2)).await;
    assert!(
        run.session().contains("token = \"fresh\""),
        "{}",
        run.session()
    );
    account.release();
    run.until_done().await;
    for asked in account.asked(FILM) {
        if matches!(asked.step, Step::Put(2..) | Step::Complete) {
            assert_eq!(asked.token.as_deref(), Some("fresh"), "{:?}", asked.step);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_size_that_is_set_amid_a_create_is_the_one_that_is_sent() {
    let account = Memory::limited(|limits| limits.part_max = 2 * PART);
    account.script(FILM, Step::Create, Answer::Hold);
    let run = Run::new(&account);
    let film = run.add(FILM, 8).await;
    run.until_asked(FILM, Step::Create).await;
    let part_size = PartSize::Fixed((2 * PART).try_into().unwrap());
    let settings = run.summary().settings;
    run.command(Command::Tune(Settings {
        part_size,
        ..settings
    }))
    .await;
    account.release();
    run.until_done().await;
    account.assert_has(&[&film]);
    assert_eq!(account.completed_with(FILM).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_started_over_amid_its_create_has_one_media_object_in_the_end() {
    let account = Memory::new();
    account.script(FILM, Step::Create, Answer::Hold);
    let run = Run::new(&account);
    let film = run.add(FILM, 2).await;
    run.until_asked(FILM, Step::Create).await;
    run.command(Command::Pause(all())).await;
    run.command(Command::StartOver(all())).await;
    assert!(!run.is(State::Paused));
    account.release();
    run.until_done().await;
    account.assert_has(&[&film]);
    let steps = account.steps(FILM);
    let count = |wanted| steps.iter().filter(|step| **step == wanted).count();
    assert_eq!(count(Step::Create), 2, "{steps:?}");
    let puts = |step: &&Step| matches!(step, Step::Put(_));
    assert_eq!(steps.iter().filter(puts).count(), 2, "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_resumed_before_its_pause_was_noticed_is_created_once() {
    let account = Memory::new();
    account.script(FILM, Step::Create, Answer::Hold);
    let run = Run::new(&account);
    let film = run.add(FILM, 2).await;
    run.until_asked(FILM, Step::Create).await;
    for _ in 0..3 {
        run.command(Command::Pause(all())).await;
        run.command(Command::Resume(all())).await;
    }
    account.release();
    run.until_done().await;
    account.assert_has(&[&film]);
    let steps = account.steps(FILM);
    let creates = steps.iter().filter(|step| **step == Step::Create);
    assert_eq!(creates.count(), 1, "{steps:?}");
    assert!(!steps.contains(&Step::Find), "{steps:?}");
}
