//! What a walk promises, on trees with everything odd that a tree can hold.

use std::{
    ffi::{OsStr, OsString},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use super::{walk::BATCH, *};

fn write(folder: &Path, name: impl AsRef<OsStr>, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name.as_ref());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn scan(paths: &[&Path], include: &[&str], exclude: &[&str]) -> Batch {
    let texts = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
    let add = AddPaths {
        paths: paths.iter().map(|path| path.to_path_buf()).collect(),
        include: texts(include),
        exclude: texts(exclude),
        again: false,
    };
    let mut all = Batch::default();
    let flow = walk(&add, &mut |batch| {
        all.mounts.extend(batch.mounts);
        all.found.extend(batch.found);
        all.skipped.extend(batch.skipped);
        all.unreadable.extend(batch.unreadable);
        ControlFlow::Continue(())
    });
    assert_eq!(flow.unwrap(), ControlFlow::Continue(()));
    all
}

fn names(batch: &Batch, root: &Path) -> Vec<OsString> {
    let below = |found: &Found| found.path.strip_prefix(root).unwrap().into();
    batch.found.iter().map(below).collect()
}

fn reason<'a>(batch: &'a Batch, path: &Path) -> &'a str {
    let skipped = batch.skipped.iter().find(|skipped| skipped.path == path);
    &skipped
        .unwrap_or_else(|| panic!("{path:?} in {batch:?}"))
        .reason
}

#[test]
fn the_disk_of_what_is_found_is_told_once_with_the_number_of_its_file_system() {
    let folder = TempDir::new().unwrap();
    let file = write(folder.path(), "a/one.mov", b"1");
    write(folder.path(), "b/two.mov", b"2");
    let found = scan(&[folder.path()], &[], &[]);
    let [mount] = &found.mounts[..] else {
        panic!("{:?}", found.mounts);
    };
    assert!(file.starts_with(&mount.path) && mount.is_mounted());
    let number = found.found[0].stat.identity.file_system;
    assert_eq!(mount.file_system, number);
    assert_eq!(scan(&[&folder.path().join("c")], &[], &[]).mounts, []);
}

#[test]
fn names_of_any_bytes_are_found_as_they_are() {
    let folder = TempDir::new().unwrap();
    let odd: [&[u8]; 6] = [
        b"-rf.mp4",
        b"a b.mp4",
        b"esc\x1b[31m.mp4",
        b"new\nline.mp4",
        b"not\xffutf8\xfe.mp4",
        "über \u{2600}.mp4".as_bytes(),
    ];
    for name in odd {
        write(folder.path(), OsStr::from_bytes(name), b"x");
    }
    let all = scan(&[folder.path()], &[], &[]);
    assert_eq!(
        names(&all, folder.path()),
        odd.map(|name| OsStr::from_bytes(name).to_owned())
    );
    assert!(all.skipped.is_empty() && all.unreadable.is_empty());
}

#[test]
fn what_is_left_out_is_told_with_its_reason_and_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let fifo = at.join("pipe.mp4");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let _socket = UnixListener::bind(at.join("socket.mp4")).unwrap();
    symlink(at, at.join("loop")).unwrap();
    symlink("self.mp4", at.join("self.mp4")).unwrap();
    let elsewhere = TempDir::new().unwrap();
    symlink(elsewhere.path(), at.join("folder")).unwrap();
    symlink("/dev/null", at.join("null.mp4")).unwrap();
    symlink("nowhere", at.join("nowhere.txt")).unwrap();
    for (path, wanted) in [
        (fifo, "a fifo"),
        (at.join("socket.mp4"), "a socket"),
        (at.join("null.mp4"), "a device"),
        (at.join("loop"), "link loop"),
        (at.join("self.mp4"), "link loop"),
        (
            at.join("folder"),
            "a link to a folder: not followed, name it to have it walked",
        ),
        (at.join("nowhere.txt"), "a link that leads nowhere"),
        (write(at, "notes.txt", b"x"), "not media"),
        (
            write(at, "._a.mp4", b"x"),
            "not media: attributes kept by macOS",
        ),
        (write(at, "code.ts", b"export {}"), "not media: it is text"),
        (write(at, "empty.mp4", b""), "empty"),
    ] {
        let all = scan(&[at], &[], &[]);
        assert_eq!(reason(&all, &path), wanted, "{path:?}");
        assert!(all.unreadable.is_empty() && all.found.is_empty());
    }
}

#[test]
fn a_system_folder_is_walked_only_when_named() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), ".Trash-1000/a.mp4", b"x");
    let trash = folder.path().join(".Trash-1000");
    let all = scan(&[folder.path()], &[], &[]);
    assert!(all.found.is_empty() && reason(&all, &trash).contains("system"));
    assert_eq!(scan(&[&trash], &[], &[]).found.len(), 1);
}

#[test]
fn of_a_path_that_is_given_twice_or_lies_within_another_is_reported_once_what_becomes_of_it() {
    let folder = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    let at = folder.path();
    let film = write(at, "sub/a.mp4", b"x");
    fs::hard_link(&film, at.join("sub/second.mp4")).unwrap();
    write(at, "sub/notes.txt", b"x");
    write(at, ".Trash-1000/b.mp4", b"xy");
    write(outside.path(), "c.mp4", b"xyz");
    symlink(outside.path(), at.join("door")).unwrap();
    symlink("nowhere", at.join("sub/lost.mp4")).unwrap();
    let [sub, trash, door] = ["sub", ".Trash-1000", "door"].map(|name| at.join(name));
    let twice = [at, &sub, at, &sub, &film, &trash, &door, &trash];
    for paths in [twice, {
        let mut other = twice;
        other.reverse();
        other
    }] {
        let all = scan(&paths, &[], &[]);
        let mut found = names(&all, at);
        found.sort();
        assert_eq!(
            found,
            [
                ".Trash-1000/b.mp4",
                "door/c.mp4",
                "sub/a.mp4",
                "sub/second.mp4"
            ]
        );
        let mut skipped: Vec<_> = all.skipped.iter().collect();
        skipped.sort_by(|one, other| one.path.cmp(&other.path));
        let skipped: Vec<_> = skipped.iter().map(|it| (&*it.path, &*it.reason)).collect();
        assert_eq!(skipped, [(&*sub.join("notes.txt"), "not media")]);
        assert_eq!(all.unreadable.len(), 1, "{:?}", all.unreadable);
    }
    // What one way to it leaves out is taken by another.
    let all = scan(&[at, &sub], &[], &["sub/**"]);
    assert_eq!(all.found[0].path, film);
}

#[test]
fn a_file_named_directly_is_taken_or_told_why_not() {
    let folder = TempDir::new().unwrap();
    let film = write(folder.path(), "a.mp4", b"four");
    let notes = write(folder.path(), "a.txt", b"x");
    let all = scan(&[&film, &notes], &[], &[]);
    assert_eq!(
        (&all.found[0].path, all.found[0].stat.identity.size),
        (&film, 4)
    );
    assert_eq!(reason(&all, &notes), "not media");
}

#[test]
fn a_link_to_a_file_is_followed_and_one_to_a_folder_only_when_named() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let target = write(outside.path(), "far.mp4", b"xyz");
    let link = folder.path().join("near.mp4");
    symlink(&target, &link).unwrap();
    let all = scan(&[folder.path()], &[], &[]);
    assert_eq!(
        (&all.found[0].path, all.found[0].stat.identity.size),
        (&link, 3)
    );
    let door = folder.path().join("door");
    symlink(outside.path(), &door).unwrap();
    assert_eq!(scan(&[&door], &[], &[]).found[0].path, door.join("far.mp4"));
}

#[test]
fn a_file_is_found_under_each_of_its_names_its_links_last() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let film = write(at, "deep/z.mp4", b"x");
    fs::hard_link(&film, at.join("hard.mp4")).unwrap();
    symlink(&film, at.join("a link.mp4")).unwrap();
    let all = scan(&[at], &[], &[]);
    assert_eq!(names(&all, at), ["deep/z.mp4", "hard.mp4", "a link.mp4"]);
    let again = scan(&[at, &at.join("deep"), &film], &[], &[]);
    assert_eq!(names(&again, at), names(&all, at));
    assert!(again.skipped.is_empty());
}

#[test]
fn globs_choose_by_name_and_by_path_below_the_one_given() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    for name in [
        "2019/a.mp4",
        "2019/raw/b.mov",
        "2020/c.mp4",
        "d.mp4",
        "-e.mov",
    ] {
        write(at, name, b"x");
    }
    let chosen = |include: &[&str], exclude: &[&str]| {
        let all = scan(&[at], include, exclude);
        assert!(all.skipped.is_empty());
        names(&all, at)
    };
    assert_eq!(chosen(&["*.mov"], &[]), ["-e.mov", "2019/raw/b.mov"]);
    assert_eq!(chosen(&[], &["2019"]), ["-e.mov", "2020/c.mp4", "d.mp4"]);
    assert_eq!(chosen(&["2019/**"], &["raw/"]), ["2019/a.mp4"]);
    assert_eq!(chosen(&["2019/*.mp4"], &[]), ["2019/a.mp4"]);
    assert_eq!(chosen(&["./d.mp4"], &[]), ["d.mp4"]);
    let whole = format!("{}/20*/**", at.display());
    assert_eq!(chosen(&[], &[&whole]), ["-e.mov", "d.mp4"]);
}

#[test]
fn nothing_is_walked_when_a_glob_or_path_is_wrong() {
    let add = |paths: &[&str], include: &[&str]| AddPaths {
        paths: paths.iter().map(PathBuf::from).collect(),
        include: include.iter().map(|glob| (*glob).to_owned()).collect(),
        exclude: Vec::new(),
        again: false,
    };
    assert_eq!(Scan::new(&add(&[], &[])).unwrap_err(), BadScan::NoPath);
    let error = Scan::new(&add(&["."], &["a[b"])).unwrap_err().to_string();
    assert!(error.starts_with("\"a[b\" is no glob: "), "{error}");
    assert!(Scan::new(&add(&["."], &["/"])).is_err());
    let scan = Scan::new(&add(&["/", "/no/such\u{1b}place"], &[])).unwrap();
    assert_eq!(
        scan.check_roots().unwrap_err().to_string(),
        "/no/such\u{fffd}place: no such file or folder"
    );
}

#[test]
fn what_cannot_be_looked_at_is_a_failure_and_the_walk_goes_on() {
    let folder = TempDir::new().unwrap();
    let film = write(folder.path(), "a.mp4", b"x");
    let lost = folder.path().join("lost.mp4");
    symlink("nowhere", &lost).unwrap();
    let gone = folder.path().join("gone");
    let all = scan(&[&gone, folder.path()], &[], &[]);
    assert_eq!(all.found[0].path, film);
    let unreadable = |path, reason: &str| Unreadable {
        path,
        reason: reason.to_owned(),
    };
    assert_eq!(
        all.unreadable,
        [
            unreadable(gone, "no such file or folder"),
            unreadable(lost, "a link that leads nowhere"),
        ]
    );
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    assert_eq!(words(&denied), "no permission to read it");
}

#[test]
fn a_folder_that_may_not_be_read_is_a_failure_and_the_walk_goes_on() {
    let folder = TempDir::new().unwrap();
    let film = write(folder.path(), "z.mp4", b"x");
    let closed = folder.path().join("closed");
    let inside = write(&closed, "a.mp4", b"x");
    let mode = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    let all = scan(&[folder.path()], &[], &[]);
    // Permissions hold back everyone but root.
    let root = fs::read_dir(&closed).is_ok();
    mode(0o700);
    let found: Vec<&Path> = all.found.iter().map(|f| f.path.as_path()).collect();
    if root {
        assert_eq!(found, [inside.as_path(), &film]);
    } else {
        assert_eq!(found, [film.as_path()]);
        assert_eq!(all.unreadable[0].path, closed);
        assert_eq!(all.unreadable[0].reason, "no permission to read it");
    }
}

#[test]
fn a_path_longer_than_the_system_takes_is_a_failure_and_the_walk_goes_on() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "z.mp4", b"x");
    // Made from within, a level at a time, as no one call takes more than PATH_MAX.
    let script = "for i in $(seq 25); do d=$(printf '%0200d' $i); mkdir $d && cd -P $d; done";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder.path())
        .status();
    assert!(made.unwrap().success());
    let all = scan(&[folder.path()], &[], &[]);
    assert_eq!(names(&all, folder.path()), ["z.mp4"]);
    assert_eq!(all.unreadable.len(), 1, "{:?}", all.unreadable);
}

#[test]
fn the_sink_gets_bounded_batches_and_can_end_the_walk() {
    let folder = TempDir::new().unwrap();
    for number in 0..2 * BATCH {
        write(folder.path(), format!("{number}.mp4"), b"x");
    }
    let add = AddPaths {
        paths: vec![folder.path().to_path_buf()],
        ..AddPaths::default()
    };
    let mut sizes = Vec::new();
    let flow = walk(&add, &mut |batch| {
        assert_eq!(batch.at, folder.path());
        sizes.push(batch.len());
        ControlFlow::Break(())
    });
    assert_eq!(flow.unwrap(), ControlFlow::Break(()));
    assert!(sizes.len() == 1 && sizes[0] <= BATCH, "{sizes:?}");
}
