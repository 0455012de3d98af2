//! A host that is not there, a disk that hangs and a file that is refused, all at once.

use serde_json::json;

use super::{assert_arrived, local_takes, wait_for_local, with_disk};
use crate::support::{
    PART, Source,
    fuse::{Call, Trouble},
    path_of, side_by_side,
};

#[test]
fn a_bad_host_a_bad_disk_and_a_refused_file_at_once_hold_up_nothing_else() {
    let bad_disk = [Trouble::Hangs, Trouble::Fails(fuser::Errno::EIO)];
    side_by_side(bad_disk, |trouble| {
        let Some((server, home, disk)) = with_disk("tree/b disk") else {
            return;
        };
        let at = |name: &str| home.tree().join(name);
        let mut files = local_takes(&home, "a local", 1);
        let dead = Source::write(at("b dead.mov"), 2 * PART, 1);
        let refused = Source::write(at("b refused.mov"), 1000, 2);
        let on_disk = disk.write("film.mov", 2 * PART + 5, 3);
        let more = at("c local");
        files.extend((0..20).map(|number| {
            Source::write(
                more.join(format!("local c{number}.mov")),
                3000 + number,
                number,
            )
        }));
        server.script(&json!([
            { "fault": "dead-links", "file": dead.title(), "times": 1_000_000 },
            { "fault": "forbidden", "on": "create", "file": refused.title(), "times": 1_000_000 },
        ]));
        server.hold_parts();
        // A place for what waits for the host, one for what waits for the disk, and one for all others.
        let mut run = home.up(&["--files", "3", "--parts", "3"]);
        server.wait_until_held(2);
        disk.strike(&Call::ALL, trouble);
        server.release();
        wait_for_local(&server, &mut run, files.len());
        let failed = run.wait_for_event("failed");
        assert_eq!(path_of(&failed), refused.path, "{failed}");
        let log = run.errors();
        for named in ["127.0.0.1:1", disk.at.to_str().unwrap()] {
            assert!(log.contains(named), "{named}: {log}");
        }
        run.interrupt().assert_code(130);
        disk.heal();
        server.no_faults();
        home.resume(&["--retry-failed"]).end().assert_code(0);
        files.extend([dead, refused, on_disk]);
        assert_arrived(&server, &files);
    });
}
