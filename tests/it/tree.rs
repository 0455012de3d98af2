//! A whole tree of odd names and odd things arrives: each media file once and unchanged, and what is
//! left out is told with its reason.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::OsStringExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    process::Command,
};

use crate::support::{
    Ended, Home, MIB, Mode, PART, Running, Server, Source, path_of, side_by_side,
};
use serde_json::Value;

/// Names that are hard to handle and none of them wrong.
fn odd_names() -> Vec<OsString> {
    let mut names: Vec<OsString> = [
        "with some  spaces.mp4",
        "Müller – 花見 🎬.mov",
        "-rf.mp4",
        "two\nlines.mkv",
        "red\u{1b}[31m\u{7}.webm",
        "50% off %41.mp3",
        "quote\"back\\slash.wav",
    ]
    .map(OsString::from)
    .into();
    names.push(OsString::from_vec(b"latin-\xe9t\xe9.avi".to_vec()));
    names
}

/// Writes the tree; `big` are sizes of the large files.
fn write_tree(tree: &Path, big: &[u64]) -> Vec<Source> {
    let mut seed = 0;
    let mut files = Vec::new();
    let mut write = |name: &OsStr, folder: &str, size: u64| {
        seed += 1;
        files.push(Source::write(tree.join(folder).join(name), size, seed));
    };
    for (number, size) in big.iter().enumerate() {
        write(format!("big {number}.mov").as_ref(), "2019/raw", *size);
    }
    for number in 0..4 {
        write(format!("clip {number}.mp4").as_ref(), "clips", 6 * MIB);
    }
    for number in 4..8 {
        write(format!("clip {number}.mp4").as_ref(), "clips", MIB / 4);
    }
    for number in 0..9 {
        let folder = format!("small/{}/ünter", number % 3);
        write(
            format!("small {number}.m4a").as_ref(),
            &folder,
            1 + number * 26_397,
        );
    }
    write("exactly one part.mp4".as_ref(), "", PART);
    write("a part and a byte.mp4".as_ref(), "", PART + 1);
    for (number, name) in (0..).zip(odd_names()) {
        write(&name, "odd", 100_000 + number);
    }
    files
}

/// Adds what is no media file, each with the reason it has to be told with.
fn add_what_is_skipped(tree: &Path) -> Vec<(&'static str, &'static str)> {
    let odd = tree.join("odd");
    fs::write(odd.join("nothing.mp4"), b"").unwrap();
    fs::write(odd.join("notes.txt"), b"shot on a rainy day").unwrap();
    symlink(tree, odd.join("back to the top")).unwrap();
    symlink("circle.mp4", odd.join("circle.mp4")).unwrap();
    let made = Command::new("mkfifo").arg(odd.join("pipe.mp4")).status();
    assert!(made.unwrap().success());
    vec![
        ("odd/nothing.mp4", "empty"),
        ("odd/notes.txt", "not media"),
        ("odd/back to the top", "link loop"),
        ("odd/circle.mp4", "link loop"),
        ("odd/pipe.mp4", "fifo"),
    ]
}

fn upload(home: &Home, path: &Path) -> Ended {
    let args = [
        OsStr::new("up"),
        path.as_os_str(),
        "--to".as_ref(),
        "it".as_ref(),
        "--headless".as_ref(),
        "--json".as_ref(),
        "--part-size".as_ref(),
        "5MiB".as_ref(),
        "--files".as_ref(),
        "8".as_ref(),
    ];
    home.run(args)
}

/// Every file is told as queued and as done, with the media object that holds it.
fn assert_told(ended: &Ended, files: &[Source], server: &Server) {
    let report = server.report();
    for name in ["queued", "done"] {
        let mut told: Vec<_> = ended.named(name).iter().map(path_of).collect();
        let mut wanted: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
        told.sort();
        wanted.sort();
        assert_eq!(told, wanted, "{name}");
    }
    for event in ended.named("done") {
        let file = files.iter().find(|file| file.path == path_of(&event));
        let media = report.media.iter().find(|media| media.id == event["media"]);
        let (file, media) = (file.unwrap(), media.unwrap());
        assert_eq!(media.sha256.as_deref(), Some(&*file.sha256), "{event}");
    }
}

fn tree_arrives(mode: Mode, big: &[u64]) {
    let server = Server::start();
    let mut home = Home::new(mode, &server.url);
    home.be_mortal();
    let tree = home.tree();
    let files = write_tree(&tree, big);
    let skipped = add_what_is_skipped(&tree);
    let closed = tree.join("closed");
    let hidden = Source::write(closed.join("hidden.mp4"), 70_000, 1000);
    home.hand_over();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();

    // One folder can't be read: all else arrives, and the exit code tells.
    let ended = upload(&home, &tree);
    ended.assert_code(1);
    server.report().assert_holds(&files);
    server.report().assert_nothing_twice();
    assert_eq!(server.report().wasted(), 0);
    assert_told(&ended, &files, &server);

    let told: Vec<Value> = ended.named("skipped");
    assert_eq!(told.len(), skipped.len(), "{told:#?}");
    for (path, reason) in skipped {
        let event = told.iter().find(|event| path_of(event) == tree.join(path));
        let event = event.unwrap_or_else(|| panic!("{path} is not told: {told:#?}"));
        let words = event["reason"].as_str().unwrap();
        assert!(words.contains(reason), "{event}");
    }
    let unreadable = ended.named("unreadable");
    assert_eq!(unreadable.len(), 1, "{unreadable:#?}");
    assert_eq!(path_of(&unreadable[0]), closed);
    let words = unreadable[0]["reason"].as_str().unwrap().to_lowercase();
    assert!(words.contains("permission"), "{words}");

    let uploads = &ended.summary()["uploads"];
    assert_eq!(uploads["done"], files.len(), "{uploads}");
    let total: u64 = files.iter().map(|file| file.size).sum();
    assert_eq!(ended.summary()["bytes"]["sent"], total);

    // What goes to a terminal steers it nowhere: names are escaped on both streams.
    let unsafe_byte = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
    assert!(!ended.output().bytes().any(|byte| unsafe_byte(&byte)));

    // Made readable, it arrives, and nothing is wrong any more.
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    let ended = upload(&home, &closed);
    ended.assert_code(0);
    let mut all = files;
    all.push(hidden);
    server.report().assert_holds(&all);
}

/// Files of four, three and two parts.
const BIG: [u64; 3] = [3 * PART + 77, 2 * PART + 1, 7 * MIB];

#[test]
fn a_whole_tree_arrives_at_jwplayer() {
    tree_arrives(Mode::JwPlayer, &BIG);
}

#[test]
fn a_whole_tree_arrives_at_apivideo_by_byte_ranges() {
    tree_arrives(Mode::ApiVideoBytes, &BIG);
}

#[test]
fn a_whole_tree_arrives_at_apivideo_by_parts() {
    tree_arrives(Mode::ApiVideoPart, &BIG);
}

#[test]
fn a_path_that_is_given_twice_is_reported_once() {
    let both = [
        ["tree/film.mov", "tree/film.mov"],
        ["tree", "tree/film.mov"],
        ["tree/film.mov", "tree"],
        ["tree", "./tree"],
        ["tree", "tree/"],
    ];
    side_by_side(both, |paths| {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let film = Source::write(home.tree().join("film.mov"), 1000, 1);
        let notes = home.tree().join("notes.txt");
        fs::write(&notes, b"shot on a rainy day").unwrap();
        let mut command = home.command(["up", paths[0], paths[1], "--json"]);
        command.current_dir(home.dir.path());
        let ended = Running::new(command).end();
        ended.assert_code(0);
        let told = |name: &str| -> Vec<_> { ended.named(name).iter().map(path_of).collect() };
        assert_eq!(told("queued"), std::slice::from_ref(&film.path));
        let skipped = told("skipped");
        if paths
            .iter()
            .any(|path| path.trim_end_matches('/').ends_with("tree"))
        {
            assert_eq!(skipped, [notes], "{}", ended.stdout);
        } else {
            assert!(skipped.is_empty(), "{}", ended.stdout);
        }
        server.report().assert_holds(&[film]);
    });
}

#[test]
fn a_tree_needs_no_config_to_go_to_the_sandbox() {
    let home = Home::bare();
    let files = write_tree(&home.tree(), &[11 * MIB]);
    let tree = home.tree();
    let args = [
        "up".as_ref(),
        tree.as_os_str(),
        "--to".as_ref(),
        "sandbox".as_ref(),
        "--json".as_ref(),
        "--files".as_ref(),
        "8".as_ref(),
    ];
    let ended = home.run(args);
    ended.assert_code(0);
    assert_eq!(ended.summary()["uploads"]["done"], files.len());
    // What it received is kept, whole.
    let mut kept: Vec<u64> = walkdir::WalkDir::new(home.state().join("sandbox"))
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() == "file")
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    let mut sizes: Vec<u64> = files.iter().map(|file| file.size).collect();
    kept.sort_unstable();
    sizes.sort_unstable();
    assert_eq!(kept, sizes);
}
