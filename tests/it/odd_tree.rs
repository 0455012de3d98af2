//! Trees as file systems really make them: files with two names, devices, other disks mounted inside,
//! paths as long as can be, holes, files that may not be read.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    ledger::{media_of, reason, same_bytes},
    support::{Home, Mode, PART, Server, Source, disk::Disk, in_every_mode, path_of, skip},
};

#[test]
fn a_file_with_two_names_arrives_once_and_sockets_and_devices_are_left_out() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let tree = home.tree();
        let film = Source::write(tree.join("a/film.mp4"), 1000, 1);
        let second = tree.join("b/film again.mp4");
        fs::create_dir(tree.join("b")).unwrap();
        fs::hard_link(&film.path, &second).unwrap();
        let socket = tree.join("socket.mp4");
        let _listening = UnixListener::bind(&socket).unwrap();
        let device = tree.join("device.mp4");
        let made = Command::new("mknod")
            .arg(&device)
            .args(["c", "1", "5"])
            .status();
        let made = made.unwrap().success();
        let ended = home.up(&[]).end();
        ended.assert_code(0);
        server.report().assert_holds(std::slice::from_ref(&film));
        let media = media_of(&server.report(), &film);
        assert_eq!(reason(&ended, &second), same_bytes(&film.path, &media));
        assert_eq!(reason(&ended, &socket), "a socket");
        if made {
            assert_eq!(reason(&ended, &device), "a device");
        } else {
            skip("no device can be made: that takes root");
        }
    });
}

#[test]
fn a_disk_mounted_inside_the_tree_is_part_of_it() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    let here = Source::write(home.tree().join("here.mp4"), 1000, 1);
    let name = "tree/2019 on another disk";
    let mounted = home.dir.path().join(name);
    fs::create_dir(&mounted).unwrap();
    let Some(disk) = Disk::small(&mut home, name, 16 * 1024) else {
        return;
    };
    let there = Source::write(disk.seen(&mounted).join("there.mp4"), PART + 5, 2);
    assert!(
        !mounted.join("there.mp4").exists(),
        "it is not on another disk"
    );
    let there = Source {
        path: mounted.join("there.mp4"),
        ..there
    };
    let ended = home.up(&[]).end();
    ended.assert_code(0);
    server.report().assert_holds(&[here, there]);
    server.report().assert_nothing_twice();
}

/// The most bytes of a path that a system call takes on Linux, the zero at its end included.
const PATH_MAX: usize = 4096;

/// Makes a path of folders of this length in bytes, from within, since no one call takes more than
/// [`PATH_MAX`]; and writes a file of one byte there.
fn write_deep(tree: &Path, length: usize) -> PathBuf {
    let name = "/film.mp4".len();
    let (mut folders, mut path) = (Vec::new(), tree.to_path_buf());
    while path.as_os_str().len() < length - name {
        let left = length - name - path.as_os_str().len() - 1;
        // No name may be longer than 255, nor may a slash be all that is left.
        let take = if left > 250 { 200 } else { left };
        folders.push("d".repeat(take));
        path.push(folders.last().unwrap());
    }
    let script = "for d; do mkdir -p \"$d\" && cd -P \"$d\" || exit; done; printf x > film.mp4";
    let made = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(&folders)
        .current_dir(tree)
        .status();
    assert!(made.unwrap().success());
    let path = path.join("film.mp4");
    assert_eq!(path.as_os_str().as_bytes().len(), length);
    path
}

#[test]
fn the_longest_path_arrives_and_a_longer_one_is_told_and_the_rest_goes_on() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let longest = write_deep(&home.tree(), PATH_MAX - 1);
        let files = [
            Source::of(longest),
            Source::write(home.tree().join("z.mp4"), 1000, 1),
        ];
        home.up(&[]).end().assert_code(0);
        server.report().assert_holds(&files);

        let other = home.dir.path().join("other");
        fs::create_dir(&other).unwrap();
        let after = Source::write(other.join("z.mp4"), 1000, 2);
        write_deep(&other, PATH_MAX + 300);
        let ended = home.run(["up".as_ref(), other.as_os_str(), "--json".as_ref()]);
        ended.assert_code(1);
        let told = ended.named("unreadable");
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(path_of(&told[0]).starts_with(other.join("d".repeat(200))));
        let words = told[0]["reason"].as_str().unwrap();
        assert!(words.contains("too long"), "{words}");
        assert_eq!(ended.summary()["uploads"]["done"], 1);
        let report = server.report();
        assert_eq!(report.there().len(), 3);
        assert!(
            report
                .media
                .iter()
                .any(|media| media.sha256.as_ref() == Some(&after.sha256))
        );

        // Moved to where it can be reached, it is no failure any more.
        let removed = Command::new("rm")
            .arg("-r")
            .arg(other.join("d".repeat(200)))
            .status();
        assert!(removed.unwrap().success());
        home.resume(&["--retry-failed"]).end().assert_code(0);
    });
}

#[test]
fn a_file_full_of_holes_arrives_with_zeros_in_them() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let path = home.tree().join("holes.mov");
        let file = fs::File::create(&path).unwrap();
        file.set_len(2 * PART + 12_345).unwrap();
        file.write_all_at(b"some take", PART + 99).unwrap();
        home.up(&[]).end().assert_code(0);
        server.report().assert_holds(&[Source::of(path)]);
    });
}

#[test]
fn a_file_that_may_not_be_read_fails_and_goes_when_it_may() {
    in_every_mode(|mode| {
        let server = Server::start();
        let mut home = Home::new(mode, &server.url);
        home.be_mortal();
        let closed = Source::write(home.tree().join("a closed.mp4"), PART + 1, 1);
        let open = Source::write(home.tree().join("b open.mp4"), 1000, 2);
        home.hand_over();
        let allow = |mode| {
            fs::set_permissions(&closed.path, fs::Permissions::from_mode(mode)).unwrap();
        };
        allow(0o000);
        let ended = home.up(&["--files", "1"]).end();
        ended.assert_code(1);
        let failed = ended.named("failed");
        assert_eq!(failed.len(), 1, "{failed:#?}");
        assert_eq!(
            (path_of(&failed[0]), &failed[0]["kind"]),
            (closed.path.clone(), &"local".into())
        );
        assert!(failed[0]["message"].as_str().unwrap().contains("ermission"));
        server.report().assert_holds(std::slice::from_ref(&open));
        allow(0o644);
        home.resume(&["--retry-failed"]).end().assert_code(0);
        server.report().assert_holds(&[closed, open]);
    });
}
