//! Disks that fail on demand: small ones that only the program sees, and system calls that answer with
//! an error. Where the machine does not let us, that is said, and the test passed over.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{Home, skip, wait_for};

/// A disk mounted where only runs of one home see it. It goes when this is dropped.
pub(crate) struct Disk {
    /// Keeps the mounts; ends with its stdin.
    keeper: Child,
    at: PathBuf,
}

impl Disk {
    /// Mounts a disk of this many KiB over a folder of the home, for all that the home's program is run from now
    /// on. `None`, told loudly, where that can't be done.
    pub(crate) fn small(home: &mut Home, at: &str, kib: u32) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={kib}k tmpfs \"$1\"");
        Self::mount(home, at, &mount)
    }

    /// The same with a file system that makes itself read-only when it finds itself broken.
    pub(crate) fn cautious(home: &mut Home, at: &str) -> Option<Self> {
        let image = home.dir.path().join("disk.img");
        let mount = format!(
            "truncate -s 16M '{0}' && mkfs.ext4 -q '{0}' && mount -o loop,errors=remount-ro '{0}' \"$1\"",
            image.display()
        );
        Self::mount(home, at, &mount)
    }

    /// Mounts whatever these commands mount at `$1`.
    pub(crate) fn mount(home: &mut Home, at: &str, mount: &str) -> Option<Self> {
        let at = home.dir.path().join(at);
        let script = format!("{{ {mount} ; }} >&2 && echo mounted && exec cat");
        let keeper = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(&at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut keeper) = keeper else {
            skip("there is no `unshare`");
            return None;
        };
        let mut said = String::new();
        let mut stdout = BufReader::new(keeper.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let disk = Self { keeper, at };
        if said != "mounted\n" {
            skip("no disk can be mounted: that takes root");
            return None;
        }
        let script = home.dir.path().join("on-the-disk");
        let text = format!(
            "#!/bin/sh\nexec nsenter --mount=/proc/{}/ns/mnt sh -c 'cd \"$0\" && exec \"$@\"' '{}' '{}' \"$@\"\n",
            disk.keeper.id(),
            home.dir.path().display(),
            home.program.display(),
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        home.program = script;
        Some(disk)
    }

    /// Runs commands where the disk is seen, with where it is as `$1`.
    pub(crate) fn run(&self, script: &str) {
        let status = self.shell(script).status();
        assert!(status.unwrap().success(), "{script}");
    }

    /// These commands, to be run where the disk is seen.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut shell = Command::new("nsenter");
        shell
            .arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.id()))
            .args(["sh", "-c", script, "sh"])
            .arg(&self.at)
            .stdin(Stdio::null());
        shell
    }

    /// Gives the disk this many KiB.
    pub(crate) fn resize(&self, kib: u32) {
        self.run(&format!("mount -o remount,size={kib}k \"$1\""));
    }

    /// From here on nothing can be written to it, as long as nothing is open there.
    pub(crate) fn read_only(&self) {
        self.run("mount -o remount,ro \"$1\"");
    }

    /// It can be written to again.
    pub(crate) fn writable(&self) {
        self.run("mount -o remount,rw \"$1\"");
    }

    /// Has a file system of [`Self::cautious`] find itself broken.
    pub(crate) fn breaks(&self) {
        self.run(
            "echo broken > /sys/fs/ext4/$(basename $(findmnt -no SOURCE \"$1\"))/trigger_fs_error",
        );
    }

    /// A path on it, as it is seen from here.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A real disk in a file, which holds what was in its folder before.
pub(crate) struct Ext4 {
    disk: Disk,
    image: PathBuf,
}

impl Ext4 {
    /// Moves what is in this folder of the home to a disk, and mounts that there. `None`, told loudly,
    /// where that can't be done.
    pub(crate) fn mount(home: &mut Home, at: &str) -> Option<Self> {
        let folder = home.dir.path().join(at);
        let store = home.dir.path().join("moved to a disk");
        fs::rename(&folder, &store).unwrap();
        fs::create_dir(&folder).unwrap();
        let image = home.dir.path().join("disk.img");
        let mount = format!(
            "truncate -s 64M '{0}' && mkfs.ext4 -q '{0}' && mount -o loop '{0}' \"$1\" && cp -a '{1}/.' \"$1\"",
            image.display(),
            store.display()
        );
        let disk = Disk::mount(home, at, &mount)?;
        Some(Self { disk, image })
    }

    /// Unmounts it: its mount point stays, with nothing in it. Files that are open stay so.
    pub(crate) fn unmount(&self) {
        self.disk.run("umount --lazy \"$1\"");
    }

    /// Mounts it again at the same place, once no file of it is open any more.
    pub(crate) fn remount(&self) {
        self.wait_until_closed();
        let mount = format!("mount -o loop '{}' \"$1\"", self.image.display());
        self.disk.run(&mount);
    }

    fn wait_until_closed(&self) {
        wait_for("the last file of the disk to be closed", || {
            let users = Command::new("losetup").arg("-j").arg(&self.image).output();
            users.unwrap().stdout.is_empty().then_some(())
        });
    }

    /// Gives it another id, while it is not mounted, once no file of it is open any more.
    pub(crate) fn renew_id(&self) {
        self.wait_until_closed();
        let change = format!(
            "e2fsck -fp '{0}' > /dev/null; tune2fs -U random '{0}' > /dev/null",
            self.image.display()
        );
        self.disk.run(&change);
    }

    /// The id that the system gives it where it is mounted.
    pub(crate) fn id(&self) -> String {
        let output = self.disk.shell("stat -f -c %i \"$1\"").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// System calls of a running program on one file, which answer with an error as long as this lives.
pub(crate) struct Fault(Child);

impl Fault {
    /// Has `call` on `file` fail with `error` in this process. `None`, told loudly, where that can't
    /// be done.
    pub(crate) fn strike(process: u32, file: &Path, call: &str, error: &str) -> Option<Self> {
        let tracer = Command::new("strace")
            .args(["-f", "-p", &process.to_string(), "-o", "/dev/null"])
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:{error}")])
            .arg("-P")
            .arg(file)
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut tracer) = tracer else {
            skip("there is no `strace`");
            return None;
        };
        let mut lines = BufReader::new(tracer.stderr.take().unwrap()).lines();
        let attached = lines.any(|line| line.is_ok_and(|line| line.contains("attached")));
        // What it says later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        let fault = Self(tracer);
        if !attached {
            skip("`strace` may not look at another process here");
            return None;
        }
        Some(fault)
    }
}

impl Drop for Fault {
    /// Asks it to let go; killed, it would take the program along.
    fn drop(&mut self) {
        let kill = format!("kill -TERM {}", self.0.id());
        let _ = Command::new("sh").args(["-c", &kill]).status();
        let _ = self.0.wait();
    }
}
