//! The power is cut at any moment of a save: what is on the disk then is the old vault or the
//! new one, and all that was acknowledged by then.
//!
//! The disk is a file with ext4 in it, on a loop device. What the file has is what has
//! reached the disk; a copy of it is what a machine would find that was switched on again.

use keyagent_tests::{Agent, Home, Wire, rounds};
use keyagent_wire::Refusal;
use nix::mount::{MntFlags, umount2};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// How often the power is cut: in every run, and when all is asked for.
const CUTS: (usize, usize) = (60, 300);
/// How often it is cut of an agent whose writes are never forced to the disk.
const CONTROLS: usize = 10;
const DISK_BYTES: u64 = 8 * 1024 * 1024;

/// A disk in a file, mounted where data and state of a home are, until dropped.
struct Disk<'a> {
    home: &'a Home,
    image: PathBuf,
}

impl<'a> Disk<'a> {
    fn new(home: &'a Home) -> Self {
        let image = home.root().join("image");
        File::create(&image).and_then(|file| file.set_len(DISK_BYTES)).expect("there is room");
        home.command("mkfs.ext4").args(["-q", "-F"]).arg(&image).run().code(0);
        let disk = Self::of(home, image);
        for name in ["data", "state"] {
            fs::create_dir(disk.home.root().join("disk").join(name)).expect("root can");
        }
        disk
    }

    fn of(home: &'a Home, image: PathBuf) -> Self {
        let place = home.make_directory("disk");
        for name in ["data", "state"] {
            let linked = home.root().join(name);
            if !linked.is_symlink() {
                fs::remove_dir_all(&linked).expect("ours");
                symlink(place.join(name), &linked).expect("ours");
            }
        }
        home.command("mount").args(["-o", "loop"]).arg(&image).arg(&place).run().quietly();
        // The image has what the disk has, which the search for values sees when mounted.
        Self { home, image }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.home.agent_pid() {
            let pid = nix::unistd::Pid::from_raw(pid as i32);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        let place = self.home.root().join("disk");
        // A process that was killed may hold a file for a moment.
        let gone = || umount2(&place, MntFlags::empty()).ok();
        if keyagent_tests::within(std::time::Duration::from_secs(5), gone).is_none() {
            let _ = umount2(&place, MntFlags::MNT_DETACH);
        }
    }
}

/// What a machine finds that is switched on again: the counter, or why there is none.
fn found(again: &Home, image: &Path) -> Result<u64, String> {
    let copied = again.root().join("image");
    fs::rename(image, &copied).expect("both are ours");
    let _disk = Disk::of(again, copied);
    if !again.vault().exists() {
        return Err("there is no vault".into());
    }
    let mut agent = again.agent();
    let mut wire = again.wire();
    let counter = wire.get("power/counter").map_err(|refusal| format!("{refusal:?}"));
    let old = wire.get("power/old");
    agent.kill();
    let counter = counter?;
    assert_eq!(old, Ok(b"old".to_vec()), "what was there before is there");
    for directory in [again.data(), again.state()] {
        for entry in fs::read_dir(directory).expect("ours").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.contains("tmp"), "{name} is left");
        }
    }
    String::from_utf8_lossy(&counter).parse().map_err(|_| "no number".into())
}

/// Counts in the vault until told; `acknowledged` is what the agent has said is written.
fn count(wire: &mut Wire, over: &AtomicBool, acknowledged: &AtomicU64) {
    for number in 1_u64.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let put = wire.try_put("power/counter", number.to_string().as_bytes());
        match put.expect("the agent answers") {
            Ok(_) => acknowledged.store(number, Ordering::SeqCst),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Locked);
                return;
            }
        }
    }
}

/// Cuts the power that often: how often something was lost that was acknowledged.
fn losses(agent: impl Fn(&Home) -> Agent, cuts: usize) -> Vec<String> {
    let (home, again) = (Home::new(), Home::new());
    let disk = Disk::new(&home);
    let _agent = agent(&home);
    home.wire().init(None);
    home.wire().put("power/old", b"old");
    home.wire().put("power/counter", b"0");
    let (over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut lost = Vec::new();
    thread::scope(|scope| {
        let mut wire = home.wire();
        let (over, acknowledged) = (&over, &acknowledged);
        scope.spawn(move || count(&mut wire, over, acknowledged));
        for _ in 0..cuts {
            let before = acknowledged.load(Ordering::SeqCst);
            let copy = home.root().join("copy");
            fs::copy(&disk.image, &copy).expect("there is room");
            let after = acknowledged.load(Ordering::SeqCst);
            match found(&again, &copy) {
                // One more may have been written and not yet acknowledged.
                Ok(number) if (before..=after + 1).contains(&number) => {}
                Ok(number) => lost.push(format!("{number}, not {before} to {after}")),
                Err(why) => lost.push(why),
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    let all = acknowledged.into_inner();
    assert!(all >= cuts as u64, "{all} saves went on meanwhile");
    lost
}

#[test]
fn needs_root_needs_loop_t65_a_power_cut_loses_nothing_acknowledged() {
    let lost = losses(Home::agent, rounds(CUTS.0, CUTS.1));
    assert!(lost.is_empty(), "{lost:?}");
}

/// That this would show a loss: nothing is forced to the disk, and something is lost.
#[test]
fn needs_root_needs_loop_needs_strace_t65_without_fsync_something_is_lost() {
    let careless = |home: &Home| {
        let mut command = Command::new("strace");
        home.surround(&mut command);
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
        command.args(["-e", "inject=fsync,fdatasync:retval=0"]);
        command.arg(home.program("keyagentd"));
        home.start(command)
    };
    let lost = losses(careless, CONTROLS);
    assert!(!lost.is_empty(), "a disk that nothing is forced to keeps all of it");
}
