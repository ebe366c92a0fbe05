//! Where a process comes from, as /proc tells: its parents, its session, its terminal.
//!
//! All of it is unverified: a process may be another program by now, and its name is its
//! own choice. It is for the log and for questions to the human, and never decides.
//! What lies above the parent is remembered, so that one event costs two small reads.

use super::assistant;
use super::body::bounded;
use super::stat::{self, Stat};
use serde::Serialize;
use std::collections::HashMap;

/// How many processes are named, the peer first.
pub const LEVELS_MAX: usize = 8;
/// How many parents are remembered, and how many processes that were looked at.
const REMEMBERED_MAX: usize = 256;

/// A process that lives, or lived: its pid, and when it was started.
pub type Key = (i32, u64);

/// One process of the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ancestor {
    pid: i32,
    #[serde(skip)]
    start: u64,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<String>,
    #[serde(skip)]
    assistant: Option<&'static str>,
}

/// What is around a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The process, its parent, and so on.
    pub processes: Vec<Ancestor>,
    /// Its session.
    pub session: Option<i32>,
    /// Its terminal, as ps(1) writes it.
    pub tty: Option<String>,
    /// The assistant that is among them, if one is known.
    pub assistant: Option<&'static str>,
    /// Those that nobody outside the sandbox has looked at yet. None where the parent was
    /// met before: to look costs more than to answer.
    pub unseen: Vec<Key>,
}

/// What only a process outside the sandbox can see of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// Its program.
    pub exe: Option<String>,
    /// The assistant that its variables are of.
    pub assistant: Option<&'static str>,
}

/// What was seen of processes.
pub struct Ancestry {
    read: Box<dyn Fn(i32) -> Option<Stat>>,
    /// For a parent: its own parent when it was looked at, and the line from it upward.
    parents: HashMap<Key, (i32, Vec<Ancestor>)>,
    details: HashMap<Key, Detail>,
}

impl Default for Ancestry {
    fn default() -> Self {
        Self::new(stat::of)
    }
}

impl Ancestry {
    /// One that looks at processes by that function.
    pub fn new(read: impl Fn(i32) -> Option<Stat> + 'static) -> Self {
        Self { read: Box::new(read), parents: HashMap::new(), details: HashMap::new() }
    }

    /// The line of a process. Empty if there is no such process any more.
    pub fn of(&mut self, pid: i32) -> Lineage {
        let Some(stat) = (self.read)(pid) else { return Lineage::default() };
        let mut lineage = Lineage {
            processes: vec![self.ancestor(pid, &stat)],
            session: (stat.session > 0).then_some(stat.session),
            tty: terminal(stat.tty),
            ..Lineage::default()
        };
        if stat.parent > 0 {
            self.climb(stat.parent, &mut lineage);
        }
        lineage.recognize();
        lineage
    }

    /// Takes what was seen of the processes of a line from outside the sandbox, and tells the
    /// line with it. The peer itself seldom asks twice: of it nothing is kept.
    pub fn learn(&mut self, mut lineage: Lineage, seen: Vec<(Key, Detail)>) -> Lineage {
        let peer = lineage.processes.first().map(Ancestor::key);
        let lines = self.parents.values_mut().flat_map(|(_, line)| line);
        for ancestor in lines.chain(&mut lineage.processes) {
            let found = seen.iter().find(|(key, _)| *key == ancestor.key());
            if let Some((_, detail)) = found {
                ancestor.take(detail);
            }
        }
        lineage.recognize();
        self.make_room();
        self.details.extend(seen.into_iter().filter(|(key, _)| Some(*key) != peer));
        lineage
    }

    /// Adds the line from a parent upward: as remembered, if it is still the same process,
    /// and still has the same parent.
    fn climb(&mut self, pid: i32, lineage: &mut Lineage) {
        let Some(stat) = (self.read)(pid) else { return };
        let (key, parent) = ((pid, stat.start), stat.parent);
        if let Some((_, line)) = self.parents.get(&key).filter(|(same, _)| *same == parent) {
            lineage.processes.extend_from_slice(line);
            return;
        }
        let line = self.walk(pid, stat);
        lineage.processes.extend_from_slice(&line);
        let keys = lineage.processes.iter().map(Ancestor::key);
        lineage.unseen = keys.filter(|key| !self.details.contains_key(key)).collect();
        self.make_room();
        self.parents.insert(key, (parent, line));
    }

    fn walk(&self, pid: i32, stat: Stat) -> Vec<Ancestor> {
        let (mut line, mut next) = (Vec::new(), Some((pid, stat)));
        while let Some((pid, stat)) = next {
            line.push(self.ancestor(pid, &stat));
            let goes_on = stat.parent > 0 && line.len() + 1 < LEVELS_MAX;
            next = goes_on.then(|| (self.read)(stat.parent)).flatten().map(|s| (stat.parent, s));
        }
        line
    }

    fn ancestor(&self, pid: i32, stat: &Stat) -> Ancestor {
        let (name, start) = (stat.comm.clone(), stat.start);
        let assistant = assistant::by_process(&name);
        let mut ancestor = Ancestor { pid, start, name, exe: None, assistant };
        if let Some(detail) = self.details.get(&(pid, start)) {
            ancestor.take(detail);
        }
        ancestor
    }

    /// Both go at once: of a parent that is remembered nothing is asked any more.
    fn make_room(&mut self) {
        if self.parents.len().max(self.details.len()) > REMEMBERED_MAX - LEVELS_MAX {
            self.parents.clear();
            self.details.clear();
        }
    }
}

impl Lineage {
    /// The nearest assistant is the one that asks.
    fn recognize(&mut self) {
        self.assistant = self.processes.iter().find_map(|ancestor| ancestor.assistant);
    }
}

impl Ancestor {
    fn key(&self) -> Key {
        (self.pid, self.start)
    }

    /// Variables say more than names: whoever runs by an interpreter has that one's name.
    fn take(&mut self, detail: &Detail) {
        self.exe = detail.exe.as_ref().map(|exe| bounded(exe.as_bytes()).into_owned());
        let file = self.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
        let by_file = file.and_then(assistant::by_process);
        self.assistant = detail.assistant.or(self.assistant).or(by_file);
    }
}

/// A terminal's name from the number of its device, as the kernel packs it: the minor
/// number's low 8 bits, the major's 12, the minor's high 12.
fn terminal(device: u32) -> Option<String> {
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    match (major, minor) {
        (0, 0) => None,
        (136..=143, _) => Some(format!("pts/{}", (major - 136) * 256 + minor)),
        (4, 0..=63) => Some(format!("tty{minor}")),
        (4, _) => Some(format!("ttyS{}", minor - 64)),
        _ => Some(format!("{major}:{minor}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_line() {
        let lineage = Ancestry::default().of(std::process::id() as i32);
        assert_eq!(lineage.processes[0].pid, std::process::id() as i32);
        assert!((2..=LEVELS_MAX).contains(&lineage.processes.len()), "{lineage:?}");
        assert_eq!(Ancestry::default().of(i32::MAX), Lineage::default());
    }

    #[test]
    fn terminals_have_the_names_that_ps_gives() {
        for (major, minor, name) in
            [(136u32, 300u32, "pts/300"), (4, 1, "tty1"), (4, 64, "ttyS0"), (5, 1, "5:1")]
        {
            let device = minor & 0xff | major << 8 | (minor & 0xfff00) << 12;
            assert_eq!(terminal(device).as_deref(), Some(name));
        }
        assert_eq!(terminal(0), None);
    }

    /// 100 is a client; 50 a shell; 10 an assistant; each its parent's child.
    fn family(pid: i32) -> Option<Stat> {
        let (comm, parent) = match pid {
            100 => ("keyagent", 50),
            50 => ("bash", 10),
            10 => ("claude", 1),
            1 => ("init", 0),
            _ => return None,
        };
        Some(Stat { comm: comm.to_owned(), parent, session: 50, tty: 0, start: pid as u64 })
    }

    #[test]
    fn the_line_is_remembered_above_the_peer() {
        let mut ancestry = Ancestry::new(family);
        let first = ancestry.of(100);
        let names: Vec<_> = first.processes.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["keyagent", "bash", "claude", "init"]);
        assert_eq!(first.assistant, Some("claude"));
        // From now on no more than two processes are looked at.
        ancestry.read =
            Box::new(|pid| if pid >= 50 { family(pid) } else { panic!("looked at {pid}") });
        assert_eq!(ancestry.of(100), Lineage { unseen: Vec::new(), ..first });
    }

    fn detail(exe: &str, assistant: Option<&'static str>) -> Detail {
        Detail { exe: Some(exe.to_owned()), assistant }
    }

    #[test]
    fn what_is_learned_is_told() {
        let mut ancestry = Ancestry::new(family);
        let first = ancestry.of(100);
        assert_eq!(first.unseen, [(100, 100), (50, 50), (10, 10), (1, 1)]);
        let seen = vec![((50, 50), detail("/opt/sh", Some("goose"))), ((1, 1), Detail::default())];
        let told = ancestry.learn(first, seen);
        let exes = |of: &Lineage| of.processes.iter().map(|p| p.exe.clone()).collect::<Vec<_>>();
        assert_eq!(told.assistant, Some("goose"), "the nearest");
        assert_eq!(exes(&told), [None, Some("/opt/sh".to_owned()), None, None]);
        let again = ancestry.of(100);
        assert_eq!((again.assistant, exes(&again)), (Some("goose"), exes(&told)));
        assert!(again.unseen.is_empty(), "its parent was met before");
        // The same pid at another time is another process.
        let told = ancestry.learn(again, vec![((10, 999), detail("/bin/x", Some("codex")))]);
        assert_eq!(told.processes[2].exe, None);
    }

    #[test]
    fn what_was_seen_under_one_parent_is_known_under_another() {
        // 101 and 60 are to 100 and 50 as sisters.
        let sisters = |pid| match pid {
            101 => family(100).map(|stat| Stat { parent: 60, start: 101, ..stat }),
            60 => family(50).map(|stat| Stat { start: 60, ..stat }),
            other => family(other),
        };
        let mut ancestry = Ancestry::new(sisters);
        let first = ancestry.of(100);
        ancestry.learn(first, vec![((10, 10), detail("/opt/claude", None))]);
        let other = ancestry.of(101);
        assert_eq!(other.unseen, [(101, 101), (60, 60), (1, 1)]);
        assert_eq!(other.processes[2].exe.as_deref(), Some("/opt/claude"));
    }

    #[test]
    fn a_program_is_known_by_its_file_too() {
        let plain = |pid| family(pid).map(|stat| Stat { comm: "node".to_owned(), ..stat });
        let mut ancestry = Ancestry::new(plain);
        let first = ancestry.of(100);
        assert_eq!(first.assistant, None);
        let told = ancestry.learn(first, vec![((10, 10), detail("/usr/local/bin/codex", None))]);
        assert_eq!(told.assistant, Some("codex"));
    }

    #[test]
    fn of_a_crowd_of_parents_no_more_is_remembered_than_fits() {
        let crowd = |pid| {
            let parent = if pid % 2 == 0 { pid + 1 } else { 0 };
            Some(Stat { comm: String::new(), parent, session: 0, tty: 0, start: 1 })
        };
        let mut ancestry = Ancestry::new(crowd);
        for pid in (2..4 * REMEMBERED_MAX as i32).step_by(2) {
            let line = ancestry.of(pid);
            let seen = line.unseen.iter().map(|key| (*key, Detail::default())).collect();
            ancestry.learn(line, seen);
            assert!(ancestry.parents.len().max(ancestry.details.len()) <= REMEMBERED_MAX);
        }
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let own_parent =
            |pid| Some(Stat { comm: String::new(), parent: pid, session: 0, tty: 0, start: 1 });
        assert_eq!(Ancestry::new(own_parent).of(5).processes.len(), LEVELS_MAX);
    }
}
