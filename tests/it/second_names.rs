//! A file that comes again under another name, by a later walk: one media object is made of it.

use std::{
    fs,
    os::unix::fs::{FileExt as _, symlink},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::support::{
    Home, Mode, Server, Source,
    disk::Disk,
    engine::{self, Making, World, add},
};
use reelhaul::{
    destination::{Account, jwplayer::JwPlayer},
    engine::protocol::{Command, State, Summary, Targets},
    sandbox::Sandbox,
    settings::Settings,
};
use serde_json::json;

fn site(sandbox: &Sandbox) -> Arc<dyn Account> {
    Arc::new(JwPlayer::new(engine::site(sandbox)).unwrap())
}

/// An engine, and a tree with a film.
async fn with_a_film() -> World {
    with_a_film_and(Making::default().settings).await
}

/// The same, with these settings.
async fn with_a_film_and(settings: Settings) -> World {
    let making = Making {
        settings,
        ..Making::default()
    };
    let world = World::new(site, making).await;
    for folder in ["tree", "other"] {
        fs::create_dir(world.home.path().join(folder)).unwrap();
    }
    world.write("tree/film.mp4", 12);
    world
}

/// A film whose upload failed at this step, and a link to it.
async fn with_a_film_that_failed(on: &str, times: u32) -> (World, PathBuf, PathBuf) {
    let world = with_a_film_and(Settings {
        retries: 0,
        ..Making::default().settings
    })
    .await;
    let [film, link] = ["tree/film.mp4", "other/link.mp4"].map(|name| world.home.path().join(name));
    fs::hard_link(&film, &link).unwrap();
    world
        .fault(json!({ "fault": "status", "on": on, "times": times }))
        .await;
    world.add(&film).await;
    world.until_state(State::Failed).await;
    (world, film, link)
}

fn retry(id: u32) -> Command {
    Command::Retry(Targets::Ids(vec![id]))
}

/// What is said of the files that are left out.
async fn reasons(world: &World) -> Vec<String> {
    let rows = world.rows().await.into_iter();
    let left_out = rows.filter(|row| row.state == State::Skipped);
    left_out.map(|row| row.note.unwrap()).collect()
}

#[tokio::test]
async fn a_file_that_is_uploaded_is_left_out_under_every_other_name_also_in_the_next_run() {
    let world = with_a_film().await;
    let [tree, other, link, door] =
        ["tree", "other", "link.mp4", "door"].map(|name| world.home.path().join(name));
    let film = tree.join("film.mp4");
    world.add(&tree).await;
    world.until_state(State::Done).await;

    // Another way to its folder, a hard link, a link to it.
    symlink(&tree, &door).unwrap();
    symlink(&film, &link).unwrap();
    fs::hard_link(&film, other.join("hard.mp4")).unwrap();
    world.add(&door).await;
    world.add(&other).await;
    let left_out = |count| move |now: &Summary| now.counts.of(State::Skipped) == count;
    world.until("two names left out", left_out(2)).await;
    let nothing_new = Command::Tune(Making::default().settings);
    let world = world.begin_again_after(nothing_new).await;
    world.add(&link).await;
    world.until("three names left out", left_out(3)).await;

    // It is moved.
    let moved = tree.join("moved.mp4");
    fs::rename(&film, &moved).unwrap();
    world.add(&moved).await;
    world.until("four names left out", left_out(4)).await;
    let media = world.media().await;
    assert_eq!(media.len(), 1, "{media:#?}");
    let id = media[0]["id"].as_str().unwrap();
    let film = film.display();
    let said = format!("same bytes as {film}, uploaded as {id}; --again uploads it too");
    assert_eq!(reasons(&world).await, [(); 4].map(|()| said.clone()));
    world.assert_one_is(&moved).await;
    world.end().await;
}

#[tokio::test]
async fn of_two_names_queued_at_once_one_is_uploaded() {
    let world = with_a_film().await;
    let [tree, door] = ["tree", "door"].map(|name| world.home.path().join(name));
    symlink(&tree, &door).unwrap();
    world.tell_at_once([add(&tree), add(&door)]).await;
    let end = world.until_settled().await;
    let counts = [State::Done, State::Skipped].map(|state| end.counts.of(state));
    assert_eq!(counts, [1, 1]);
    assert_eq!(world.media().await.len(), 1);
    world.assert_one_is(&tree.join("film.mp4")).await;
    world.end().await;
}

#[tokio::test]
async fn a_file_that_was_moved_before_its_turn_is_uploaded_from_where_it_is() {
    let world = with_a_film().await;
    let [film, moved] =
        ["tree/film.mp4", "other/film.mp4"].map(|name| world.home.path().join(name));
    world
        .tell_at_once([add(&film), Command::Pause(Targets::All)])
        .await;
    world.until_state(State::Paused).await;
    fs::rename(&film, &moved).unwrap();
    world.add(&moved).await;
    world
        .until("both of them", |now| now.counts.total() == 2)
        .await;
    world.tell(Command::Resume(Targets::All)).await;
    world.until_state(State::Done).await;
    let end = world.until_state(State::Failed).await;
    assert_eq!(end.counts.of(State::Done), 1);
    assert_eq!(world.media().await.len(), 1);
    world.assert_one_is(&moved).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_the_same_bytes_is_skipped_and_one_with_a_byte_changed_is_a_film_of_its_own() {
    let world = with_a_film().await;
    let [tree, copy] = ["tree", "other/copy.mp4"].map(|name| world.home.path().join(name));
    let film = tree.join("film.mp4");
    fs::copy(&film, &copy).unwrap();
    // One that says to be as old as the other.
    let modified = film.metadata().unwrap().modified().unwrap();
    let opened = fs::File::options().append(true).open(&copy).unwrap();
    opened.set_modified(modified).unwrap();
    let edit = world.home.path().join("other/edit.mp4");
    fs::copy(&film, &edit).unwrap();
    let opened = fs::File::options().write(true).open(&edit).unwrap();
    let middle = opened.metadata().unwrap().len() / 2 + 100_000;
    opened.write_all_at(b"another byte", middle).unwrap();
    opened
        .set_modified(modified - Duration::from_mins(1))
        .unwrap();
    for path in [&tree, &copy, &edit] {
        world.add(path).await;
    }
    world.until_state(State::Skipped).await;
    let end = world.until("two films", |now| now.counts.of(State::Done) == 2);
    assert_eq!(end.await.counts.of(State::Skipped), 1);
    let media = world.media().await;
    assert_eq!(media.len(), 2, "{media:#?}");
    for film in [film, edit] {
        let sha256 = Source::of(film).sha256;
        let is_there = media.iter().any(|one| one["sha256"] == *sha256);
        assert!(is_there, "{media:#?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_names_that_failed_one_is_uploaded_however_they_are_tried_again() {
    let one_by_one = vec![retry(1), retry(2)];
    let the_other_first = vec![retry(2), retry(1)];
    let at_once = vec![Command::Retry(Targets::All)];
    for again in [one_by_one, the_other_first, at_once] {
        let (world, film, link) = with_a_film_that_failed("create", 2).await;
        world.add(&link).await;
        world
            .until("both failed", |now| now.counts.of(State::Failed) == 2)
            .await;
        for command in again {
            world.tell(command).await;
            world.until_settled().await;
        }
        let end = world.until_settled().await;
        let counts = [State::Done, State::Skipped].map(|state| end.counts.of(state));
        assert_eq!(counts, [1, 1]);
        let media = world.media().await;
        assert_eq!(media.len(), 1, "{media:#?}");
        world.assert_one_is(&film).await;
        world.end().await;
    }
}

#[tokio::test]
async fn what_was_sent_under_a_name_that_failed_is_gone_on_with_under_the_other() {
    for restarted in [false, true] {
        let (mut world, film, link) = with_a_film_that_failed("part", 3).await;
        world.add(&link).await;
        world.until_state(State::Done).await;
        if restarted {
            world = world.begin_again_after(retry(1)).await;
        } else {
            world.tell(retry(1)).await;
        }
        world.until_state(State::Skipped).await;
        let said = reasons(&world).await.remove(0);
        assert!(said.starts_with("uploaded "), "{said}");
        assert_eq!(world.media().await.len(), 1);
        world.assert_one_is(&film).await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_before_its_turn_is_known_by_what_was_uploaded() {
    let world = with_a_film().await;
    let [film, copy, link] = ["tree/film.mp4", "other/copy.mp4", "other/link.mp4"]
        .map(|name| world.home.path().join(name));
    fs::copy(&film, &copy).unwrap();
    for file in [&film, &copy] {
        let opened = fs::File::options().append(true).open(file).unwrap();
        opened.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    world
        .tell_at_once([add(&film), Command::Pause(Targets::All)])
        .await;
    world.until_state(State::Paused).await;
    fs::rename(&copy, &film).unwrap();
    world.tell(Command::Resume(Targets::All)).await;
    world.until_state(State::Done).await;
    fs::hard_link(&film, &link).unwrap();
    world.add(&link).await;
    world.until_state(State::Skipped).await;
    assert_eq!(world.media().await.len(), 1);
    world.end().await;
}

/// Two disks with a film each: of one size, of one time, and with one inode number.
fn two_disks(home: &mut Home) -> Option<Disk> {
    let tmpfs = "mount -t tmpfs tmpfs";
    let mount = format!("cd \"$1\" && mkdir a b && {tmpfs} \"$PWD/a\" && {tmpfs} \"$PWD/b\"");
    let disk = Disk::mount(home, "tree", &mount)?;
    disk.run(
        "cd \"$1\" && for at in a b; do head -c 100000 /dev/urandom > $at/$at.mp4; done && \
         touch -d '2019-06-02 10:11:12' a/a.mp4 b/b.mp4 && \
         test $(stat -c %i a/a.mp4) = $(stat -c %i b/b.mp4)",
    );
    Some(disk)
}

#[test]
fn files_of_two_disks_are_two_though_size_time_and_inode_are_the_same() {
    for at_once in [true, false] {
        let server = Server::start();
        let mut home = Home::new(Mode::JwPlayer, &server.url);
        let Some(_disk) = two_disks(&mut home) else {
            return;
        };
        if at_once {
            let ended = home.up_with(&[]).end();
            ended.assert_code(0);
            assert!(ended.named("skipped").is_empty(), "{}", ended.stdout);
        } else {
            // By one session after the other.
            for at in ["a", "b"] {
                let disk = home.tree().join(at);
                home.run(["up".as_ref(), disk.as_os_str()]).assert_code(0);
            }
        }
        for title in ["a", "b"] {
            assert_eq!(server.report().one(title).state, "ready");
        }
        assert_eq!(server.report().there().len(), 2);
    }
}
