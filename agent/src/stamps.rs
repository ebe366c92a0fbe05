//! Stamps: tells shells and direnv that a project would get something else by now.
//!
//! A stamp is written in place and never renamed: direnv and shells look at it by its path,
//! and ten digits over ten digits need no room on a full disk. Its time of change is its
//! number, because direnv sees whole seconds only. Beside it lies the mark of that number,
//! made by the client that looked at it, and taken away here once the number is another:
//! that is what the hooks of shells look for. What cannot be written is taken away, which is
//! a change, too. Losing a stamp costs a reload, so nothing here is synced.

use keyagent_wire::socket::Place;
use keyagent_wire::stamp::{STAMP_BYTES_MAX, directory, mark, name, number};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How many stamps are bumped at once: a lock tells all shells, and must not take long.
const STAMPS_MAX: usize = 1024;

/// All stamps of one agent.
pub struct Stamps {
    directory: PathBuf,
    /// Held by whoever bumps: two at once could make one number of two changes.
    turn: Mutex<()>,
}

impl Stamps {
    /// The stamps beside that socket.
    pub fn beside(place: &Place) -> Self {
        Self { directory: directory(place), turn: Mutex::new(()) }
    }

    /// Makes room for stamps, and bumps those that an agent before has left.
    pub fn start(&self) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        if let Err(error) = made {
            tracing::warn!(%error, "cannot make the directory of stamps: no shell will reload");
        }
        self.bump_all();
    }

    /// Bumps the stamps of these projects, by the paths of their directories.
    pub fn bump<'a>(&self, projects: impl IntoIterator<Item = &'a Vec<u8>>) {
        self.each(projects.into_iter().map(|path| self.directory.join(name(path))));
    }

    /// Bumps every stamp that some shell has asked for. What is over the limit is taken away,
    /// and so are all marks, of whatever number.
    pub fn bump_all(&self) {
        let (mut stamps, marks): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|path| path.extension().is_none());
        let over = stamps.split_off(stamps.len().min(STAMPS_MAX));
        self.each(stamps);
        for path in over.into_iter().chain(marks) {
            let _ = fs::remove_file(path);
        }
    }

    fn each(&self, paths: impl IntoIterator<Item = PathBuf>) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            match bump(&path) {
                // Only now: who sees the old number must find a mark that will go.
                Ok(Some(old)) => drop(fs::remove_file(marked(&path, old))),
                Ok(None) => self.forget_marks(&path),
                Err(error) => {
                    tracing::warn!(%error, "cannot write a stamp");
                    let _ = fs::remove_file(&path);
                    self.forget_marks(&path);
                }
            }
        }
    }

    /// Takes away the marks of a stamp whose number nobody knows any more.
    fn forget_marks(&self, stamp: &Path) {
        let of_it =
            |path: &PathBuf| path.extension().is_some() && path.file_stem() == stamp.file_name();
        for path in self.all().into_iter().filter(of_it) {
            let _ = fs::remove_file(path);
        }
    }

    fn all(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

fn marked(stamp: &Path, number: u64) -> PathBuf {
    let name = stamp.file_name().unwrap_or_default().to_string_lossy();
    stamp.with_file_name(mark(&name, number))
}

/// Writes a number that this stamp never had. The one that it had, if what was in it is one.
fn bump(path: &Path) -> io::Result<Option<u64>> {
    let mut file = open(path)?;
    let mut old = Vec::new();
    file.by_ref().take(STAMP_BYTES_MAX as u64).read_to_end(&mut old)?;
    let facts = file.metadata()?;
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH);
    let changed = seconds(facts.modified()?).map_or(0, |since| since.as_secs());
    let now = seconds(SystemTime::now()).map_or(0, |since| since.as_secs());
    let next = now.max(number(&old).saturating_add(1)).max(changed.saturating_add(1));
    let text = format!("{next}\n");
    file.write_all_at(text.as_bytes(), 0)?;
    if facts.len() > text.len() as u64 {
        file.set_len(text.len() as u64)?;
    }
    let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(next));
    let then = then.ok_or(ErrorKind::InvalidData)?;
    file.set_times(FileTimes::new().set_modified(then))?;
    let known = old.is_empty() || number(&old) > 0;
    Ok(known.then(|| number(&old)))
}

/// What has another name elsewhere is another file of the user's, and not to be written into.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.nlink() == 1 { Ok(file) } else { Err(Errno::EMLINK.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn stamps(test: &str) -> Stamps {
        let directory = std::env::temp_dir().join(format!("stamps-{test}-{}", std::process::id()));
        let stamps =
            Stamps::beside(&Place { directory: directory.clone(), name: "agent.sock".into() });
        stamps.start();
        stamps
    }

    #[test]
    fn what_has_another_name_is_not_written_into() {
        let stamps = stamps("linked");
        let project = b"/p".to_vec();
        let (path, other) =
            (stamps.directory.join(name(&project)), stamps.directory.with_extension("other"));
        fs::write(&other, "precious").expect("it is ours");
        fs::hard_link(&other, &path).expect("both are ours");
        stamps.bump([&project]);
        assert_eq!(fs::read(&other).expect("it is there"), b"precious");
        assert_eq!(look(&stamps, &project), None, "a stamp that is gone is asked for again");
        stamps.bump([&project]);
        assert!(look(&stamps, &project).is_some_and(|(number, _)| number > 0));
        fs::remove_dir_all(stamps.directory.parent().expect("ours")).expect("ours");
    }

    fn look(stamps: &Stamps, project: &[u8]) -> Option<(u64, i64)> {
        let path = stamps.directory.join(name(project));
        let text = fs::read(&path).ok()?;
        Some((number(&text), fs::metadata(path).ok()?.mtime()))
    }

    #[test]
    fn no_two_changes_look_alike_however_fast_they_come() {
        let stamps = stamps("fast");
        let project = b"/p".to_vec();
        let mut seen = Vec::new();
        for _ in 0..20 {
            stamps.bump([&project]);
            seen.push(look(&stamps, &project).expect("it is there"));
        }
        assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "numbers grow: {seen:?}");
        assert!(seen.iter().all(|(number, seconds)| *number == *seconds as u64), "{seen:?}");
        // What another clock has left in the future stays behind.
        let path = stamps.directory.join(name(&project));
        fs::write(&path, "99999999999999999\n").expect("ours");
        stamps.bump_all();
        assert_eq!(look(&stamps, &project).map(|seen| seen.0), Some(100_000_000_000_000_000));
        fs::write(&path, "no number, and longer than one is\n").expect("ours");
        stamps.bump_all();
        let (number, seconds) = look(&stamps, &project).expect("it is there");
        assert_eq!(number, seconds as u64);
        fs::remove_dir_all(stamps.directory.parent().expect("ours")).expect("ours");
    }

    #[test]
    fn a_mark_goes_with_its_number_and_no_other_does() {
        let stamps = stamps("marks");
        let (one, two) = (b"/one".to_vec(), b"/two".to_vec());
        let path = |project: &[u8]| stamps.directory.join(name(project));
        let make = |project: &[u8]| {
            let number = number(&fs::read(path(project)).unwrap_or_default());
            let mark = marked(&path(project), number);
            fs::write(&mark, "").expect("ours");
            mark
        };
        // One that was never bumped, and one that was.
        fs::write(path(&one), "").expect("ours");
        stamps.bump([&two]);
        let (of_one, of_two) = (make(&one), make(&two));
        stamps.bump([&one]);
        assert!(!of_one.exists() && of_two.exists());
        let of_one = make(&one);
        stamps.bump([&one, &two]);
        assert!(!of_one.exists() && !of_two.exists());
        let (of_one, of_two) = (make(&one), make(&two));
        // Whatever somebody has written there, no mark outlives a bump.
        fs::write(path(&one), "no number\n").expect("ours");
        stamps.bump([&one]);
        assert!(!of_one.exists() && of_two.exists());
        let of_one = make(&one);
        stamps.bump_all();
        assert!(!of_one.exists() && !of_two.exists());
        fs::remove_dir_all(stamps.directory.parent().expect("ours")).expect("ours");
    }

    #[test]
    fn too_many_stamps_are_told_by_their_absence() {
        let stamps = stamps("many");
        for number in 0..STAMPS_MAX + 3 {
            fs::write(stamps.directory.join(number.to_string()), "1\n").expect("ours");
        }
        stamps.bump_all();
        let all = stamps.all();
        assert_eq!(all.len(), STAMPS_MAX);
        assert!(all.iter().all(|path| fs::read(path).is_ok_and(|text| number(&text) > 1)));
        fs::remove_dir_all(stamps.directory.parent().expect("ours")).expect("ours");
    }

    #[test]
    fn what_cannot_be_written_is_taken_away() {
        let stamps = stamps("link");
        let project = b"/p".to_vec();
        let path = stamps.directory.join(name(&project));
        std::os::unix::fs::symlink("/dev/null", &path).expect("ours");
        stamps.bump([&project]);
        assert!(path.symlink_metadata().is_err(), "a link is not followed, and not left");
        stamps.bump([&project]);
        assert!(look(&stamps, &project).is_some());
        fs::remove_dir_all(stamps.directory.parent().expect("ours")).expect("ours");
    }
}
