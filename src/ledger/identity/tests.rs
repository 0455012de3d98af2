use super::*;
use crate::identity::{FileStat, Identity};

/// When the film of these tests was modified, in seconds; [`NANOSECONDS`] after that.
const SECONDS: i64 = 1_700_000_000;
const NANOSECONDS: i32 = 123_456_789;

const OBJECT: ObjectId = 1;
const FILE_SYSTEM: u64 = 77;

fn at(seconds: i64, nanoseconds: i32) -> Timestamp {
    Timestamp::new(seconds, nanoseconds).unwrap()
}

/// A film of 1 GB.
fn film() -> File {
    File {
        path: "/archive/a/film.mov".into(),
        stat: FileStat {
            identity: Identity {
                size: 1_000_000_000,
                modified: at(SECONDS, NANOSECONDS),
                inode: 500,
                file_system: FILE_SYSTEM,
            },
            changed: Some(at(SECONDS + 10, 5)),
        },
        samples: Samples {
            hash: [1; 16],
            weak: false,
            whole: false,
        },
    }
}

/// The object that was made from a file, and is accepted.
fn object_of(file: &File) -> Candidate {
    Candidate {
        object: OBJECT,
        state: ObjectState::Accepted,
        samples: Some(file.samples),
        has_digest: true,
        holder: Holder::Nobody,
        names: vec![Name::of(file)],
    }
}

/// What follows for a file, by one object alone.
fn decision(file: &File, object: &Candidate, shifts: &Shifts) -> Decision {
    decide(file, std::slice::from_ref(object), &[], shifts, false)
}

/// Times on the file system are later by so many seconds: so many files show it.
fn shifted(seconds: i64, files: i64) -> Shifts {
    let mut shifts = Shifts::default();
    for number in 0..files {
        let before = Name::of(&film());
        let mut after = film();
        after.stat.identity.modified = at(SECONDS + seconds, NANOSECONDS);
        shifts.learn(&after, 100 + number, &[before]);
    }
    shifts
}

/// What became of a film, of the object that was made from it, and whether that is the same then.
struct Case {
    what: &'static str,
    file: fn(&mut File),
    object: fn(&mut Candidate),
    wanted: Decision,
}

const SAME: Decision = Decision::Uploaded(OBJECT);
const READ: Decision = Decision::Compare(OBJECT);

/// Another inode of another file system, whose kernel keeps no time of change.
fn on_card(file: &mut File) {
    file.stat.identity.inode = 9;
    file.stat.identity.file_system = 5;
    file.stat.changed = None;
}

fn weak(object: &mut Candidate) {
    object.samples = Some(WEAK);
}

const WEAK: Samples = Samples {
    hash: [2; 16],
    weak: true,
    whole: false,
};

fn nothing<T>(_: &mut T) {}

#[allow(clippy::too_many_lines)] // a table
fn cases() -> Vec<Case> {
    let case = |what, file: fn(&mut File), object: fn(&mut Candidate), wanted| Case {
        what,
        file,
        object,
        wanted,
    };
    vec![
        case("untouched", nothing, nothing, SAME),
        case(
            "untouched, of zeros",
            |file| file.samples = WEAK,
            weak,
            SAME,
        ),
        case(
            "untouched, of zeros, where the kernel keeps no time of change",
            |file| {
                file.samples = WEAK;
                file.stat.changed = None;
            },
            |object| {
                weak(object);
                object.names[0].changed = None;
            },
            READ,
        ),
        case(
            "untouched, of zeros, on file systems that are not known",
            |file| {
                file.samples = WEAK;
                file.stat.identity.file_system = 0;
            },
            |object| {
                weak(object);
                object.names[0].file_system = 0;
            },
            READ,
        ),
        case(
            "untouched, of zeros, on another file system at the same place",
            |file| {
                file.samples = WEAK;
                file.stat.identity.file_system = 5;
            },
            weak,
            READ,
        ),
        case(
            "untouched, and looked at when it was read: other samples are other bytes",
            |file| file.samples.hash = [9; 16],
            nothing,
            Decision::New,
        ),
        case(
            "another film with equal head, middle and tail, and other bytes between",
            |file| {
                file.path = "/archive/a/other.mov".into();
                file.stat.identity.inode = 501;
                file.stat.identity.modified = at(SECONDS + 86_400, 5);
                file.stat.changed = Some(at(SECONDS + 86_400, 6));
            },
            nothing,
            READ,
        ),
        case(
            "another film of zeros, preallocated with the same name and time",
            |file| {
                file.path = "/archive/b/film.mov".into();
                file.stat.identity.inode = 501;
                file.samples = WEAK;
            },
            weak,
            READ,
        ),
        case(
            "another card at the same mount point, unset clock, equal size, other bytes",
            |file| {
                on_card(file);
                file.samples.hash = [9; 16];
                file.path = "/media/card/C0001.mp4".into();
                file.stat.identity.modified = at(UNSET - 80_000, 0);
            },
            |object| {
                object.names[0].path = "/media/card/C0001.mp4".into();
                object.names[0].modified = at(UNSET - 80_000, 0);
                object.names[0].changed = None;
            },
            Decision::New,
        ),
        case(
            "the same, with equal samples",
            |file| {
                on_card(file);
                file.path = "/media/card/C0001.mp4".into();
                file.stat.identity.modified = at(UNSET - 80_000, 0);
            },
            |object| {
                object.names[0].path = "/media/card/C0001.mp4".into();
                object.names[0].modified = at(UNSET - 80_000, 0);
                object.names[0].changed = None;
            },
            READ,
        ),
        case(
            "the same card again, with a clock that was set",
            |file| {
                on_card(file);
                file.path = "/media/card/C0001.mp4".into();
                file.stat.identity.modified = at(SECONDS, 0);
            },
            |object| {
                object.names[0].path = "/media/card/C0001.mp4".into();
                object.names[0].modified = at(SECONDS, 0);
                object.names[0].changed = None;
            },
            SAME,
        ),
        case(
            "a tag was edited and the time restored",
            |file| {
                file.stat.changed = Some(at(SECONDS + 99_999, 0));
                file.samples.hash = [9; 16];
            },
            nothing,
            Decision::New,
        ),
        case(
            "edited in place between the samples, and the time restored: not seen",
            |file| file.stat.changed = Some(at(SECONDS + 99_999, 0)),
            nothing,
            SAME,
        ),
        case(
            "the same, of zeros",
            |file| {
                file.stat.changed = Some(at(SECONDS + 99_999, 0));
                file.samples = WEAK;
            },
            weak,
            READ,
        ),
        case(
            "renamed",
            |file| {
                file.path = "/archive/a/renamed.mov".into();
                file.stat.changed = Some(at(SECONDS + 99_999, 0));
            },
            nothing,
            SAME,
        ),
        case(
            "renamed and touched",
            |file| {
                file.path = "/archive/a/renamed.mov".into();
                file.stat.identity.modified = at(SECONDS + 99_999, 1);
                file.stat.changed = Some(at(SECONDS + 99_999, 1));
            },
            nothing,
            READ,
        ),
        case(
            "copied with its time under another name",
            |file| {
                file.path = "/disk/copy.mov".into();
                file.stat.identity.inode = 9;
                file.stat.identity.file_system = 5;
                file.stat.changed = Some(at(SECONDS + 99_999, 0));
            },
            nothing,
            SAME,
        ),
        case(
            "copied with its time, in whole seconds, to another folder",
            |file| {
                on_card(file);
                file.path = "/disk/film.mov".into();
                file.stat.identity.modified = at(SECONDS, 0);
            },
            nothing,
            SAME,
        ),
        case(
            "copied with its time, in whole seconds, under another name",
            |file| {
                on_card(file);
                file.path = "/disk/copy.mov".into();
                file.stat.identity.modified = at(SECONDS, 0);
            },
            |object| object.names[0].modified = at(SECONDS, 0),
            READ,
        ),
        case(
            "copied without its time",
            |file| {
                file.path = "/archive/b/film.mov".into();
                file.stat.identity.inode = 501;
                file.stat.identity.modified = at(SECONDS + 99_999, 1);
                file.stat.changed = Some(at(SECONDS + 99_999, 1));
            },
            nothing,
            READ,
        ),
        case(
            "hard-linked",
            |file| {
                file.path = "/archive/b/link.mov".into();
                file.stat.changed = Some(at(SECONDS + 99_999, 0));
            },
            nothing,
            SAME,
        ),
        case(
            "seen through a bind mount",
            |file| file.path = "/srv/archive/a/film.mov".into(),
            nothing,
            SAME,
        ),
        case(
            "the same inode number and time on another file system, under another name",
            |file| {
                file.path = "/other/a.mov".into();
                file.stat.identity.file_system = 5;
                file.stat.identity.modified = at(SECONDS, 0);
            },
            |object| object.names[0].modified = at(SECONDS, 0),
            READ,
        ),
        case(
            "the same inode number and time on file systems that are not known, under another name",
            |file| {
                file.path = "/other/a.mov".into();
                file.stat.identity.file_system = 0;
                file.stat.identity.modified = at(SECONDS, 0);
                file.stat.changed = None;
            },
            |object| {
                object.names[0].modified = at(SECONDS, 0);
                object.names[0].file_system = 0;
            },
            READ,
        ),
        case(
            "no inode numbers, under another name",
            |file| {
                file.path = "/other/a.mov".into();
                file.stat.identity.inode = 0;
                file.stat.identity.modified = at(SECONDS, 0);
            },
            |object| {
                object.names[0].modified = at(SECONDS, 0);
                object.names[0].inode = 0;
            },
            READ,
        ),
        case(
            "exported again a whole hour later, of equal size",
            |file| {
                file.stat.identity.modified = at(SECONDS + 3_600, NANOSECONDS);
                file.stat.changed = Some(at(SECONDS + 3_600, NANOSECONDS));
            },
            nothing,
            READ,
        ),
        case(
            "the same, and the samples see it",
            |file| {
                file.stat.identity.modified = at(SECONDS + 3_600, NANOSECONDS);
                file.stat.changed = Some(at(SECONDS + 3_600, NANOSECONDS));
                file.samples.hash = [9; 16];
            },
            nothing,
            Decision::New,
        ),
        case(
            "small, and all of its bytes are samples",
            |file| {
                on_card(file);
                file.path = "/other/small.mov".into();
                file.samples.whole = true;
            },
            |object| object.samples.as_mut().unwrap().whole = true,
            SAME,
        ),
        case(
            "imported, untouched",
            nothing,
            |object| {
                object.samples = None;
                object.names[0].changed = None;
                object.names[0].file_system = 0;
            },
            SAME,
        ),
        case(
            "imported without an inode",
            nothing,
            |object| {
                object.samples = None;
                object.names[0].changed = None;
                object.names[0].inode = 0;
            },
            SAME,
        ),
        case(
            "imported, another inode now",
            |file| file.stat.identity.inode = 501,
            |object| {
                object.samples = None;
                object.names[0].changed = None;
            },
            Decision::New,
        ),
        case(
            "imported, a nanosecond later now",
            |file| file.stat.identity.modified = at(SECONDS, NANOSECONDS + 1),
            |object| {
                object.samples = None;
                object.names[0].changed = None;
            },
            Decision::New,
        ),
        case(
            "imported, renamed",
            |file| file.path = "/archive/a/renamed.mov".into(),
            |object| {
                object.samples = None;
                object.names[0].changed = None;
            },
            Decision::New,
        ),
        case(
            "imported and found again since, then edited and the time restored",
            |file| file.samples.hash = [9; 16],
            |object| {
                object.names[0].changed = None;
                object.names[0].file_system = 0;
            },
            Decision::New,
        ),
        case(
            "the account could not use it",
            nothing,
            |object| object.state = ObjectState::Failed,
            Decision::New,
        ),
        case(
            "discarded",
            nothing,
            |object| object.state = ObjectState::Discarded,
            Decision::New,
        ),
    ]
}

#[test]
fn a_file_is_what_the_table_says() {
    for case in cases() {
        let mut file = film();
        let mut object = object_of(&film());
        (case.file)(&mut file);
        (case.object)(&mut object);
        let shifts = Shifts::default();
        assert_eq!(
            decision(&file, &object, &shifts),
            case.wanted,
            "{}",
            case.what
        );
        // What can't be compared for want of MD5s goes out.
        object.has_digest = false;
        let wanted = match case.wanted {
            Decision::Compare(_) => Decision::New,
            other => other,
        };
        assert_eq!(decision(&file, &object, &shifts), wanted, "{}", case.what);
    }
}

#[test]
fn bytes_that_were_read_decide_whatever_names_say() {
    for case in cases() {
        let (mut file, mut object) = (film(), object_of(&film()));
        (case.file)(&mut file);
        (case.object)(&mut object);
        let counts = object.state == ObjectState::Accepted;
        let same = decide(
            &file,
            &[object.clone()],
            &[(OBJECT, true)],
            &Shifts::default(),
            false,
        );
        assert_eq!(same == SAME, counts, "{}", case.what);
        let differs = decide(
            &file,
            &[object],
            &[(OBJECT, false)],
            &Shifts::default(),
            false,
        );
        assert_eq!(differs, Decision::New, "{}", case.what);
    }
}

#[test]
fn a_time_that_lost_what_its_clock_can_not_keep_is_the_same_time() {
    let object = object_of(&film());
    for clock in CLOCKS {
        let mut file = film();
        on_card(&mut file);
        let time = film().stat.identity.modified;
        file.stat.identity.modified = Timestamp::from_nanosecond(cut(time, clock)).unwrap();
        assert_eq!(
            decision(&file, &object, &Shifts::default()),
            SAME,
            "{clock} ns"
        );
        // And the other way round: what came back from such a disk.
        let mut first = film();
        on_card(&mut first);
        first.stat.identity.modified = file.stat.identity.modified;
        let other = object_of(&first);
        assert_eq!(
            decision(&film(), &other, &Shifts::default()),
            SAME,
            "{clock} ns"
        );
        let later = cut(time, clock) + clock.max(2);
        file.stat.identity.modified = Timestamp::from_nanosecond(later).unwrap();
        assert_eq!(
            decision(&file, &object, &Shifts::default()),
            READ,
            "{clock} ns"
        );
    }
}

#[test]
fn a_shift_of_all_times_counts_once_three_files_were_compared() {
    const MINUTE: i64 = 60;
    let object = object_of(&film());
    for shift in [15, 30, 45, 60, -60, 26 * 60].map(|minutes| minutes * MINUTE) {
        let mut file = film();
        on_card(&mut file);
        file.stat.identity.file_system = FILE_SYSTEM;
        file.stat.identity.modified = at(SECONDS + shift, NANOSECONDS);
        for (files, wanted) in [(0, READ), (2, READ), (3, SAME), (9, SAME)] {
            let shifts = shifted(shift, files);
            assert_eq!(
                decision(&file, &object, &shifts),
                wanted,
                "{shift}, {files}"
            );
        }
        let shifts = shifted(shift, 3);
        // A shift counts for paths that were shifted by it, on the file system that it was seen on.
        let mut moved = file.clone();
        moved.path = "/archive/b/film.mov".into();
        assert_eq!(decision(&moved, &object, &shifts), READ, "{shift}");
        let mut elsewhere = file.clone();
        elsewhere.stat.identity.file_system = 5;
        assert_eq!(decision(&elsewhere, &object, &shifts), READ, "{shift}");
        let mut otherwise = file.clone();
        otherwise.stat.identity.modified = at(SECONDS + shift + 15 * MINUTE, NANOSECONDS);
        assert_eq!(decision(&otherwise, &object, &shifts), READ, "{shift}");
        let mut zeros = object.clone();
        zeros.samples = Some(WEAK);
        let mut of_zeros = file.clone();
        of_zeros.samples = WEAK;
        assert_eq!(decision(&of_zeros, &zeros, &shifts), READ, "{shift}");
    }
}

#[test]
fn only_zones_and_summer_time_shift_times() {
    let object = object_of(&film());
    for shift in [1, 600, 899, 40 * 60, 27 * 3_600, -27 * 3_600] {
        let mut file = film();
        on_card(&mut file);
        file.stat.identity.file_system = FILE_SYSTEM;
        file.stat.identity.modified = at(SECONDS + shift, NANOSECONDS);
        assert_eq!(
            decision(&file, &object, &shifted(shift, 9)),
            READ,
            "{shift}"
        );
    }
}

#[test]
fn one_file_shows_a_shift_once_and_an_unknown_file_system_has_none() {
    let before = Name::of(&film());
    let mut after = film();
    after.stat.identity.modified = at(SECONDS + 3_600, NANOSECONDS);
    let mut shifts = Shifts::default();
    for _ in 0..9 {
        shifts.learn(&after, OBJECT, std::slice::from_ref(&before));
    }
    assert!(!shifts.is_proven(FILE_SYSTEM, 3_600));
    after.stat.identity.file_system = 0;
    for object in 0..9 {
        shifts.learn(&after, object, std::slice::from_ref(&before));
    }
    assert!(!shifts.is_proven(0, 3_600));
}

#[test]
fn a_file_exported_again_goes_out_once_it_was_compared() {
    let mut file = film();
    file.stat.identity.modified = at(SECONDS + 3_600, NANOSECONDS);
    file.stat.changed = Some(at(SECONDS + 3_600, NANOSECONDS));
    let mut second = object_of(&film());
    second.object = 2;
    let objects = [object_of(&film()), second];
    let next = |compared: &[(ObjectId, bool)]| {
        decide(&file, &objects, compared, &Shifts::default(), false)
    };
    assert_eq!(next(&[]), Decision::Compare(1));
    assert_eq!(next(&[(1, false)]), Decision::Compare(2));
    assert_eq!(next(&[(1, false), (2, false)]), Decision::New);
    assert_eq!(next(&[(1, false), (2, true)]), Decision::Uploaded(2));
}

#[test]
fn what_is_uploaded_now_is_waited_for_or_taken_over() {
    use Holder::{InUse, Nobody, OtherSession, Ours};
    use ObjectState::{Complete, Open};
    let untouched = film();
    let mut renamed = film();
    renamed.path = "/archive/a/renamed.mov".into();
    let mut touched = film();
    touched.stat.identity.modified = at(SECONDS + 99_999, 1);
    touched.stat.changed = None;
    let mut elsewhere = touched.clone();
    elsewhere.path = "/archive/a/renamed.mov".into();
    let mut zeros = touched.clone();
    zeros.samples = WEAK;
    let mut other = film();
    other.samples.hash = [9; 16];
    let wait = Decision::Wait(OBJECT);
    let take = |evidence| Decision::TakeOver {
        object: OBJECT,
        evidence,
    };
    let new = Decision::New;
    for (what, file, state, holder, wanted) in [
        ("untouched", &untouched, Open, OtherSession, wait),
        ("untouched", &untouched, Open, InUse, wait),
        (
            "untouched",
            &untouched,
            Open,
            Nobody,
            take(Evidence::Certain),
        ),
        ("untouched", &untouched, Open, Ours, take(Evidence::Certain)),
        ("untouched", &untouched, Complete, OtherSession, wait),
        (
            "untouched",
            &untouched,
            Complete,
            Nobody,
            take(Evidence::Certain),
        ),
        ("renamed", &renamed, Open, OtherSession, wait),
        ("renamed", &renamed, Open, Nobody, take(Evidence::Samples)),
        ("renamed", &renamed, Complete, Ours, take(Evidence::Samples)),
        ("touched", &touched, Open, OtherSession, wait),
        ("touched", &touched, Open, InUse, wait),
        ("touched", &touched, Open, Nobody, take(Evidence::Path)),
        ("touched and renamed", &elsewhere, Open, Nobody, new),
        ("touched", &touched, Complete, Nobody, READ),
        ("zeros", &zeros, Open, OtherSession, wait),
        ("zeros", &zeros, Open, Nobody, new),
        ("zeros", &zeros, Complete, Nobody, READ),
        ("other bytes", &other, Open, OtherSession, new),
        ("other bytes", &other, Open, Nobody, new),
        ("other bytes", &other, Complete, Nobody, new),
    ] {
        let mut object = object_of(&film());
        (object.state, object.holder) = (state, holder);
        if what == "zeros" {
            object.samples = Some(WEAK);
        }
        let asked = decision(file, &object, &Shifts::default());
        assert_eq!(asked, wanted, "{what}, {state:?}, {holder:?}");
        let compared = |same| {
            let compared = [(OBJECT, same)];
            decide(
                file,
                std::slice::from_ref(&object),
                &compared,
                &Shifts::default(),
                false,
            )
        };
        assert_eq!(
            compared(false),
            new,
            "{what}, {state:?}, {holder:?}, it differs"
        );
        let held = matches!(holder, OtherSession | InUse);
        let wanted = if held { wait } else { take(Evidence::Certain) };
        assert_eq!(
            compared(true),
            wanted,
            "{what}, {state:?}, {holder:?}, it is the same"
        );
    }
}

#[test]
fn a_file_is_uploaded_though_another_session_uploads_one_like_it() {
    let mut like_it = object_of(&film());
    (like_it.object, like_it.state, like_it.holder) = (2, ObjectState::Open, Holder::OtherSession);
    let objects = [like_it.clone(), object_of(&film())];
    let shifts = Shifts::default();
    assert_eq!(decide(&film(), &objects, &[], &shifts, false), SAME);
    // Where it takes all bytes to tell, the one under way comes first: it may be accepted by then.
    let mut touched = film();
    touched.stat.identity.modified = at(SECONDS + 99_999, 1);
    touched.stat.changed = None;
    assert_eq!(
        decide(&touched, &objects, &[], &shifts, false),
        Decision::Wait(2)
    );
    // And one's own continues whoever uploads one like it.
    let mut own = object_of(&film());
    (own.object, own.state) = (3, ObjectState::Open);
    like_it.names[0].path = "/other.mov".into();
    like_it.names[0].modified = at(SECONDS + 5, 0);
    let taken = Decision::TakeOver {
        object: 3,
        evidence: Evidence::Certain,
    };
    assert_eq!(decide(&film(), &[like_it, own], &[], &shifts, false), taken);
}

#[test]
fn a_second_name_shows_as_much_as_the_first() {
    let mut object = object_of(&film());
    let mut renamed = film();
    renamed.path = "/archive/a/renamed.mov".into();
    renamed.stat.changed = Some(at(SECONDS + 20, 0));
    object.names.push(Name::of(&renamed));
    object.samples = Some(WEAK);
    renamed.samples = WEAK;
    let shifts = Shifts::default();
    assert_eq!(decision(&renamed, &object, &shifts), SAME);
    assert_eq!(other_path(&object.names, &renamed.path), None);
    let other = other_path(&object.names, Path::new("/c.mov"));
    assert_eq!(other.as_deref(), Some(Path::new("/archive/a/film.mov")));
}

#[test]
fn a_deep_look_takes_all_bytes_for_what_a_name_or_samples_show_otherwise() {
    let unread = Decision::Unread(OBJECT);
    let deep = |file: &File, object: &Candidate, compared: &[(ObjectId, bool)]| {
        let objects = std::slice::from_ref(object);
        decide(file, objects, compared, &Shifts::default(), true)
    };
    let all_sampled = |file: &mut File, object: &mut Candidate| {
        file.samples.whole = true;
        object.samples = Some(file.samples);
    };
    for case in cases() {
        let (mut file, mut object) = (film(), object_of(&film()));
        (case.file)(&mut file);
        (case.object)(&mut object);
        let what = case.what;
        let wanted = match case.wanted {
            SAME if object.samples.is_some_and(|it| it.whole) => SAME,
            SAME if object.has_digest => READ,
            SAME => unread,
            other => other,
        };
        assert_eq!(deep(&file, &object, &[]), wanted, "{what}");
        if object.state != ObjectState::Accepted {
            continue;
        }
        let same = deep(&file, &object, &[(OBJECT, true)]);
        assert_eq!(same, SAME, "{what}, all bytes are the same");
        let differs = deep(&file, &object, &[(OBJECT, false)]);
        assert_eq!(differs, Decision::New, "{what}, its bytes differ");
    }
    let (mut file, mut object) = (film(), object_of(&film()));
    all_sampled(&mut file, &mut object);
    assert_eq!(deep(&file, &object, &[]), SAME, "all of it is samples");
    object.samples = None;
    object.has_digest = false;
    assert_eq!(deep(&file, &object, &[]), unread, "imported");
}
