//! Where a process comes from, as /proc tells: its parents, its session, its terminal.
//!
//! All of it is unverified: a process may be another program by now, and its name is its
//! own choice. It is for the log and for questions to the human, and never decides.
//! What lies above the parent is remembered, so that one event costs two small reads.

use super::assistant;
use super::body::bounded;
use serde::Serialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

/// How many processes are named, the peer first.
pub const LEVELS_MAX: usize = 8;
/// How many parents are remembered.
const REMEMBERED_MAX: usize = 256;
/// How much of /proc/PID/stat is read: what is needed comes long before.
const STAT_BYTES_MAX: usize = 1024;

/// What /proc/PID/stat says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// How it calls itself: at most 15 bytes, any but NUL.
    pub comm: String,
    /// Who started it, or took it over.
    pub parent: i32,
    /// Its session.
    pub session: i32,
    /// The number of its terminal's device, or 0.
    pub tty: u32,
    /// When it was started, in ticks since boot: with the pid, it is one process.
    pub start: u64,
}

/// One process of the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ancestor {
    pid: i32,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<String>,
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
}

/// What only a process outside the sandbox can see of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// Its program.
    pub exe: Option<String>,
    /// The assistant that its variables are of.
    pub assistant: Option<&'static str>,
}

/// A process that lives, or lived.
type Key = (i32, u64);

/// What was seen of processes.
pub struct Ancestry {
    read: fn(i32) -> Option<Stat>,
    /// For a parent: its own parent when it was looked at, and the line from it upward.
    parents: HashMap<Key, (i32, Vec<Ancestor>)>,
    details: HashMap<Key, Detail>,
}

impl Default for Ancestry {
    fn default() -> Self {
        Self::new(read)
    }
}

impl Ancestry {
    /// One that looks at processes by that function.
    pub fn new(read: fn(i32) -> Option<Stat>) -> Self {
        Self { read, parents: HashMap::new(), details: HashMap::new() }
    }

    /// The line of a process. Empty if there is no such process any more.
    pub fn of(&mut self, pid: i32) -> Lineage {
        let Some(stat) = (self.read)(pid) else { return Lineage::default() };
        let mut processes = vec![self.ancestor(pid, &stat)];
        let mut keys = vec![(pid, stat.start)];
        if stat.parent > 0 {
            processes.extend(self.line_of(stat.parent, &mut keys));
        }
        processes.truncate(LEVELS_MAX);
        Lineage {
            assistant: self.assistant(&processes, &keys),
            processes,
            session: (stat.session > 0).then_some(stat.session),
            tty: terminal(stat.tty),
        }
    }

    /// Takes what was seen of a process from outside the sandbox.
    pub fn learn(&mut self, pid: i32, start: u64, detail: Detail) {
        make_room(&mut self.details);
        self.details.insert((pid, start), detail);
        self.parents.retain(|key, (_, line)| {
            *key != (pid, start) && line.iter().all(|ancestor| ancestor.pid != pid)
        });
    }

    /// The line from a parent upward, remembered if it is still the same process, and still
    /// has the same parent.
    fn line_of(&mut self, pid: i32, keys: &mut Vec<Key>) -> Vec<Ancestor> {
        let Some(stat) = (self.read)(pid) else { return Vec::new() };
        let key = (pid, stat.start);
        keys.push(key);
        if let Some((parent, line)) = self.parents.get(&key)
            && *parent == stat.parent
        {
            return line.clone();
        }
        let line = self.walk(pid, stat.clone());
        make_room(&mut self.parents);
        self.parents.insert(key, (stat.parent, line.clone()));
        line
    }

    fn walk(&self, pid: i32, stat: Stat) -> Vec<Ancestor> {
        let (mut line, mut next) = (Vec::new(), Some((pid, stat)));
        while let Some((pid, stat)) = next {
            line.push(self.ancestor(pid, &stat));
            let goes_on = stat.parent > 0 && line.len() < LEVELS_MAX;
            next = goes_on.then(|| (self.read)(stat.parent)).flatten().map(|s| (stat.parent, s));
        }
        line
    }

    fn ancestor(&self, pid: i32, stat: &Stat) -> Ancestor {
        let exe = self.details.get(&(pid, stat.start)).and_then(|detail| detail.exe.clone());
        let exe = exe.map(|exe| bounded(exe.as_bytes()).into_owned());
        Ancestor { pid, name: stat.comm.clone(), exe }
    }

    fn assistant(&self, processes: &[Ancestor], keys: &[Key]) -> Option<&'static str> {
        let by_variables = keys.iter().find_map(|key| self.details.get(key)?.assistant);
        by_variables.or_else(|| processes.iter().find_map(Ancestor::assistant))
    }
}

impl Ancestor {
    fn assistant(&self) -> Option<&'static str> {
        let file = self.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
        assistant::by_process(&self.name).or_else(|| file.and_then(assistant::by_process))
    }
}

fn make_room<T>(map: &mut HashMap<Key, T>) {
    if map.len() >= REMEMBERED_MAX {
        map.clear();
    }
}

/// Reads /proc/PID/stat.
pub fn read(pid: i32) -> Option<Stat> {
    let mut bytes = [0; STAT_BYTES_MAX];
    let count = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut bytes).ok()?;
    parse(&bytes[..count])
}

/// Reads the text of /proc/PID/stat (proc_pid_stat(5)). The name may hold anything, spaces
/// and parentheses too, so it ends at the last one of the line: all after it are numbers.
pub fn parse(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    // Fields are counted from 1 there, and the state, right behind the name, is the third.
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        comm,
        parent: field(4)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        tty: field(7)?.parse::<i32>().ok()?.cast_unsigned(),
        start: field(22)?.parse().ok()?,
    })
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

    fn text(comm: &str, parent: i32) -> String {
        format!("42 ({comm}) S {parent} 42 41 34817 42 4194304 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0\n")
    }

    #[test]
    fn names_may_hold_anything() {
        for comm in ["bash", "a) S 1 2 (b", ") (", "", "tmux: server", "a\n\u{1b}[2J", "(sd-pam)"] {
            let stat = parse(text(comm, 7).as_bytes()).expect(comm);
            assert_eq!((stat.comm.as_str(), stat.parent, stat.session), (comm, 7, 41));
            assert_eq!((stat.start, terminal(stat.tty).as_deref()), (777, Some("pts/1")));
        }
        let mut raw = text("XY", 7).into_bytes();
        raw[4..6].copy_from_slice(&[0xff, 0xfe]);
        assert_eq!(parse(&raw).map(|stat| stat.comm), Some("\u{fffd}\u{fffd}".to_owned()));
    }

    #[test]
    fn what_is_no_stat_is_none() {
        let whole = text("bash", 7);
        for bad in ["", "1", "1 (", "1 )a(", "1 (a)", "1 (a) S x", &whole[..30]] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

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
        ancestry.read = |pid| if pid >= 50 { family(pid) } else { panic!("looked at {pid}") };
        assert_eq!(ancestry.of(100), first);
    }

    #[test]
    fn what_is_learned_is_told() {
        let mut ancestry = Ancestry::new(family);
        ancestry.of(100);
        let exe = Some("/opt/goose".to_owned());
        ancestry.learn(50, 50, Detail { exe, assistant: Some("goose") });
        let lineage = ancestry.of(100);
        assert_eq!(lineage.assistant, Some("goose"));
        assert_eq!(lineage.processes[1].exe.as_deref(), Some("/opt/goose"));
        // The same pid at another time is another process.
        ancestry.learn(10, 999, Detail { exe: None, assistant: Some("codex") });
        assert_eq!(ancestry.of(100).processes[2].exe, None);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let own_parent =
            |pid| Some(Stat { comm: String::new(), parent: pid, session: 0, tty: 0, start: 1 });
        assert_eq!(Ancestry::new(own_parent).of(5).processes.len(), LEVELS_MAX);
    }
}
