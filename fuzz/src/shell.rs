//! A real shell that stays, and sources what it is given.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A shell, its two pipes, and the file that it sources.
pub struct Shell {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    script: PathBuf,
}

impl Shell {
    /// Those that are installed.
    pub fn all() -> Vec<Self> {
        ["bash", "dash", "zsh", "fish"].into_iter().filter_map(Self::start).collect()
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it quotes as fish does.
    pub fn is_fish(&self) -> bool {
        self.name == "fish"
    }

    /// Sources a script, and takes that many NUL-ended records of what it prints.
    pub fn run(&mut self, script: &[u8], records: usize) -> Vec<Vec<u8>> {
        fs::write(&self.script, script).expect("the directory is ours");
        let line = format!("{}\n", self.script.display());
        self.input.write_all(line.as_bytes()).expect("the shell is there");
        let read = (0..records).map(|_| self.record()).collect();
        // It has read the file to its end by then, and the next script may take its place.
        assert!(self.record().is_empty(), "{} has printed more", self.name);
        read
    }

    fn record(&mut self) -> Vec<u8> {
        let mut record = Vec::new();
        self.output.read_until(0, &mut record).expect("the pipe is open");
        assert_eq!(record.pop(), Some(0), "{} has ended", self.name);
        record
    }

    fn start(name: &'static str) -> Option<Self> {
        // fish runs nothing of what comes through a pipe before all of it is there.
        let arguments: &[&str] = match name {
            "bash" => {
                &["--norc", "--noprofile", "-c", "while read -r f; do . \"$f\"; printf '\\0'; done"]
            }
            "zsh" => &["-f", "-c", "while read -r f; do . \"$f\"; printf '\\0'; done"],
            "fish" => &["--no-config", "-c", "while read f; source $f; printf '\\0'; end"],
            _ => &["-c", "while read -r f; do . \"$f\"; printf '\\0'; done"],
        };
        let mut child = Command::new(name)
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .ok()?;
        let (input, output) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let script = std::env::temp_dir().join(format!("keyagent-fuzz-{}-{name}", child.id()));
        Some(Self { name, child, input, output, script })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.script);
    }
}
