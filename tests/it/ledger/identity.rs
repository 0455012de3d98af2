//! Which files are the same film: a wrong yes would lose one, a wrong no would upload it twice.

use std::{
    fs,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use super::{
    Shift, assert_does_nothing, assert_films, assert_uploaded_before, copy, media_of, modified,
    reason, same_bytes, set_modified,
};
use crate::support::{
    Home, MIB, Mode, PART, Running, Server, Source, an_hour_ago, in_every_mode, side_by_side, skip,
};

/// The samples of a file that is no larger are all of it.
const SAMPLED: u64 = 512 << 10;

/// A camera's clock that was never set.
fn unset_clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 10)
}

/// Writes other bytes in place, here and there, and leaves the time as it was.
fn edit(path: &Path, bytes: &[u8], at: u64) {
    let time = modified(path);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn two_cards_at_one_mount_point_with_an_unset_clock_are_two_films() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let card = |number| {
            let path = home.tree().join("DCIM/C0001.mp4");
            let film = Source::write(path, 2 * PART, number);
            set_modified(&film.path, unset_clock());
            film
        };
        let first = card(1);
        home.up(&[]).end().assert_code(0);
        fs::remove_dir_all(home.tree().join("DCIM")).unwrap();
        let second = card(2);
        home.up(&[]).end().assert_code(0);
        assert_films(&server, &[first, second]);
    });
}

#[test]
fn a_file_that_was_replaced_by_one_of_equal_size_and_time_is_another_film() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), PART + 1, 1);
        home.up(&[]).end().assert_code(0);
        let time = modified(&film.path);
        let other = Source::write(home.tree().join("take.mov"), PART + 1, 2);
        set_modified(&other.path, time);
        home.up(&[]).end().assert_code(0);
        assert_films(&server, &[film, other]);
        assert_does_nothing(&server, || home.up(&[]).end());
    });
}

#[test]
fn an_edit_of_the_tags_that_restores_the_time_goes_out() {
    // At the head, as MP4 files have them, or at the tail.
    side_by_side([40, 3 * MIB - 40], |at| {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let film = Source::write(home.tree().join("take.mp4"), 3 * MIB, 1);
        home.up(&[]).end().assert_code(0);
        edit(&film.path, b"a better title", at);
        let edited = Source::of(&film.path);
        home.up(&[]).end().assert_code(0);
        assert_films(&server, &[film, edited]);
    });
}

#[test]
fn a_film_that_was_exported_again_in_equal_size_a_whole_hour_later_goes_out_among_shifted_ones() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let export = Source::write(home.tree().join("export.mov"), 2 * PART + 5, 1);
        let early = an_hour_ago() - Duration::from_hours(9);
        set_modified(&export.path, early);
        let shifted: Vec<_> = (0..5)
            .map(|number| {
                let path = home.tree().join(format!("shifted {number}.mp4"));
                Source::write(path, 100_000, 10 + number)
            })
            .collect();
        home.up(&[]).end().assert_code(0);

        let hour = Duration::from_hours(1);
        for film in &shifted {
            set_modified(&film.path, modified(&film.path) - hour);
        }
        let again = Source::write(home.tree().join("export.mov"), 2 * PART + 5, 2);
        set_modified(&again.path, early - hour);
        let ended = home.up(&[]).end();
        ended.assert_code(0);
        for film in &shifted {
            assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
        }
        let mut films = shifted;
        films.extend([export, again]);
        assert_films(&server, &films);
    });
}

#[test]
fn files_that_are_equal_but_for_some_bytes_in_between_are_two_films() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let first = Source::write(home.tree().join("a master.mov"), 2 * PART, 1);
        let second = home.dir.path().join("later/b master.mov");
        copy(&first.path, &second);
        // Between the first two blocks of any even spread of 16.
        edit(&second, &[0x55; 100], 2 * PART / 16 + 1000);
        set_modified(&second, an_hour_ago() - Duration::from_hours(7));
        let second = Source::of(second);
        assert_ne!(first.sha256, second.sha256);
        home.up(&[]).end().assert_code(0);
        home.up_paths(&[&second.path], &[]).end().assert_code(0);
        let films = [first, second];
        assert_films(&server, &films);
        // Both are known now.
        let paths = films.each_ref().map(|film| &*film.path);
        assert_does_nothing(&server, || home.up_paths(&paths, &[]).end());
    });
}

#[test]
fn preallocated_files_of_zeros_are_compared_byte_by_byte() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let time = an_hour_ago();
        let write = |name: &str, byte: u8| {
            let path = home.tree().join(name);
            let file = fs::File::create(&path).unwrap();
            file.set_len(2 * PART).unwrap();
            file.write_all_at(&[byte; 1000], 2 * PART / 16 + 1000)
                .unwrap();
            set_modified(&path, time);
            Source::of(path)
        };
        // All that can be seen but their bytes is the same, and so is most of those.
        let films = [write("a.mov", 1), write("b.mov", 2)];
        let same = write("c.mov", 2);
        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert_films(&server, &films);
        let media = media_of(&server.report(), &films[1]);
        let skipped = [&films[1].path, &same.path].map(|path| {
            let skipped = super::skipped(&ended);
            skipped.into_iter().find(|(file, _)| file == path)
        });
        // Whichever of the two came first.
        let reasons: Vec<_> = skipped.into_iter().flatten().collect();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        let (path, reason) = &reasons[0];
        let other = if *path == same.path {
            &films[1].path
        } else {
            &same.path
        };
        assert_eq!(*reason, same_bytes(other, &media));
    });
}

/// What can happen to a film that leaves its bytes as they are.
const CHANGES: [&str; 6] = [
    "renamed",
    "moved",
    "renamed and touched",
    "copied and the first removed",
    "copied without its time",
    "linked",
];

/// Does it, and returns the path that comes of it.
fn change(film: &Path, how: &str) -> std::path::PathBuf {
    let other = film.with_file_name("another name.mov");
    let touched = an_hour_ago() - Duration::from_hours(3);
    match how {
        "renamed" => fs::rename(film, &other).unwrap(),
        "moved" => {
            let folder = film.with_file_name("2019");
            fs::create_dir(&folder).unwrap();
            let moved = folder.join(film.file_name().unwrap());
            fs::rename(film, &moved).unwrap();
            return moved;
        }
        "renamed and touched" => {
            fs::rename(film, &other).unwrap();
            set_modified(&other, touched);
        }
        "copied and the first removed" => {
            copy(film, &other);
            fs::remove_file(film).unwrap();
        }
        "copied without its time" => {
            copy(film, &other);
            set_modified(&other, touched);
        }
        "linked" => fs::hard_link(film, &other).unwrap(),
        _ => unreachable!(),
    }
    other
}

#[test]
fn a_film_is_known_again_whatever_happens_to_its_name_and_time() {
    // Smaller than what is sampled, larger than that, and of several parts.
    let sizes = [1000, 3 * MIB, 2 * PART + 77];
    let cases = CHANGES
        .into_iter()
        .flat_map(|how| sizes.map(|size| (how, size)));
    side_by_side(cases, |(how, size)| {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let film = Source::write(home.tree().join("take.mov"), size, 1);
        home.up(&[]).end().assert_code(0);
        let other = change(&film.path, how);
        let media = media_of(&server.report(), &film);
        let ended = assert_does_nothing(&server, || home.up_paths(&[&other], &[]).end());
        assert_eq!(reason(&ended, &other), same_bytes(&film.path, &media));
        // Where neither its samples are all of it, nor its time is the same.
        let is_read = size > SAMPLED && (how.contains("touched") || how.contains("without"));
        let told = ended.stderr.contains("all of it is read");
        assert_eq!(told, is_read, "{}", ended.stderr);
        // Known by this name now; nothing has to be read.
        assert_does_nothing(&server, || home.up_paths(&[&other], &[]).end());
    });
}

/// A session with a file of which one part has arrived, interrupted.
fn interrupted(mode: Mode) -> (Server, Home, Source) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 4 * PART + 77, 1);
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    home.interrupt(&run, &home.session(), "INT");
    server.release();
    run.end().assert_code(130);
    server.no_faults();
    (server, home, film)
}

#[test]
fn an_interrupted_file_whose_time_shifted_is_resumed_and_no_part_is_sent_again() {
    let shifts = [Shift::SummerTime, Shift::NoNanoseconds];
    let cases = Mode::ALL.into_iter().flat_map(|mode| {
        let shifts = shifts.into_iter();
        shifts.flat_map(move |shift| [true, false].map(|resumed| (mode, shift, resumed)))
    });
    side_by_side(cases, |(mode, shift, resumed)| {
        let (server, home, film) = interrupted(mode);
        set_modified(&film.path, shift.of(modified(&film.path)));
        let run = if resumed {
            home.resume(&[])
        } else {
            home.up(&[])
        };
        let ended = run.end();
        ended.assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_eq!(server.report().media.len(), 1, "it was started over");
        server.report().assert_nothing_twice();
        assert_eq!(ended.summary()["bytes"]["sent"], film.size - 2 * PART);
        assert_does_nothing(&server, || home.up(&[]).end());
    });
}

#[test]
fn an_interrupted_file_with_other_bytes_is_changed_though_its_time_only_shifted() {
    in_every_mode(|mode| {
        let (server, home, film) = interrupted(mode);
        let time = Shift::SummerTime.of(modified(&film.path));
        let other = Source::write(&film.path, film.size, 2);
        set_modified(&film.path, time);
        let ended = home.resume(&[]).end();
        ended.assert_code(1);
        let failed = ended.named("failed");
        assert_eq!(failed.len(), 1, "{failed:#?}");
        assert_eq!(failed[0]["kind"], "changed");
        assert!(!server.report().one(&film.title()).complete);

        // The next run uploads it as it is now.
        home.up(&[]).end().assert_code(0);
        let report = server.report();
        let complete: Vec<_> = report
            .there()
            .into_iter()
            .filter(|media| media.complete)
            .collect();
        assert_eq!(complete.len(), 1, "{complete:#?}");
        assert_eq!(complete[0].sha256.as_ref(), Some(&other.sha256));
    });
}

#[test]
fn an_interrupted_file_that_was_edited_and_got_its_time_back_never_goes_live() {
    in_every_mode(|mode| {
        let (server, home, film) = interrupted(mode);
        edit(&film.path, b"a better title", 40);
        let ended = home.resume(&[]).end();
        ended.assert_code(1);
        assert_eq!(
            ended.named("failed")[0]["kind"],
            "changed",
            "{}",
            ended.stdout
        );
        assert!(!server.report().one(&film.title()).complete);
        home.resume(&["--start-over"]).end().assert_code(0);
        assert_films(&server, &[Source::of(&film.path)]);
    });
}

/// The run ends with its film changed, which did not go live.
#[track_caller]
fn assert_ends_as_changed(run: Running, server: &Server, film: &Source) {
    let ended = run.end();
    ended.assert_code(1);
    assert_eq!(
        ended.named("failed")[0]["kind"],
        "changed",
        "{}",
        ended.stdout
    );
    assert!(!server.report().one(&film.title()).complete, "it went live");
}

#[test]
fn a_file_that_is_edited_between_its_last_part_and_its_complete_never_goes_live() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 2 * PART, 1);
    // All of the last part has come in, and its answer does not go out.
    server.script(&serde_json::json!([
        { "fault": "hold", "on": "part", "part": 2, "after": PART },
    ]));
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    edit(&film.path, b"a better title", 40);
    server.release();
    assert_ends_as_changed(run, &server, &film);
    home.resume(&["--start-over"]).end().assert_code(0);
    assert_films(&server, &[Source::of(&film.path)]);
}

#[test]
fn a_file_that_is_edited_before_its_last_part_never_goes_live() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 3 * PART, 1);
        server.hold_part(2, 1);
        let mut run = home.up(&["--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        edit(&film.path, b"a better title", 40);
        server.release();
        assert_ends_as_changed(run, &server, &film);
    });
}

#[test]
fn a_file_that_was_sent_and_moved_away_and_another_put_in_its_place_are_two_films() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), PART + 1, 1);
    home.up(&[]).end().assert_code(0);
    let moved = home.tree().join("moved.mov");
    fs::rename(&film.path, &moved).unwrap();
    let other = Source::write(&film.path, film.size, 2);
    set_modified(&other.path, modified(&moved));
    assert_ne!(
        fs::metadata(&moved).unwrap().ino(),
        fs::metadata(&other.path).unwrap().ino()
    );
    let ended = home.up(&[]).end();
    ended.assert_code(0);
    let media = media_of(&server.report(), &film);
    assert_eq!(reason(&ended, &moved), same_bytes(&film.path, &media));
    assert_films(&server, &[film, other]);
}

#[test]
fn an_edit_in_place_that_keeps_size_time_and_samples_is_found_by_a_deep_look_alone() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let path = home.tree().join("take.mov");
        let first = Source::write(&path, 2 * PART, 1);
        let small = Source::write(home.tree().join("small.mp4"), 1000, 2);
        home.up(&[]).end().assert_code(0);
        // Nothing is different: nothing goes out.
        assert_does_nothing(&server, || home.up(&["--deep"]).end());
        // Between the first two blocks of any even spread of 16.
        edit(&path, &[0x55; 100], 2 * PART / 16 + 1000);
        let edited = Source::of(&path);
        assert_does_nothing(&server, || home.up(&[]).end());

        let ended = home.up(&["--deep"]).end();
        ended.assert_code(0);
        assert_uploaded_before(&ended, &small.path, &media_of(&server.report(), &small));
        assert_films(&server, &[first, small, edited]);
        assert_does_nothing(&server, || home.up(&["--deep"]).end());
    });
}

/// How many blocks of 32 KiB a run of `up` reads at a place of a file, by what the system was asked for; `None`
/// where that can't be seen here.
fn blocks_read(home: &Home) -> Option<usize> {
    let seen = home.dir.path().join("strace");
    let up = home.command(["up", home.tree().to_str().unwrap(), "--json"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e", "trace=pread64", "-o"]).arg(&seen);
    traced.arg(up.get_program()).args(up.get_args());
    for (name, value) in up.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    let Ok(ended) = traced.current_dir(home.dir.path()).output() else {
        skip("there is no `strace`");
        return None;
    };
    let words = String::from_utf8_lossy(&ended.stderr);
    if words.contains("PTRACE") || words.contains("ptrace") {
        skip("`strace` may not look at another process here");
        return None;
    }
    assert!(ended.status.success(), "{words}");
    let calls = fs::read_to_string(seen).unwrap();
    Some(calls.matches(", 32768, ").count())
}

#[test]
fn a_new_film_is_sampled_when_it_is_claimed_and_before_its_complete_and_a_known_one_not_at_all() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 5 * MIB, 1);
        // It rests.
        set_modified(&film.path, modified(&film.path) - Duration::from_hours(1));
        for blocks in [2 * 16, 0] {
            let Some(read) = blocks_read(&home) else {
                return;
            };
            assert_eq!(read, blocks);
        }
        assert_films(&server, &[film]);
    });
}
