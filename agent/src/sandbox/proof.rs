//! Looks whether the kernel sees this process as it should be: what was set is not trusted.

use crate::health::Findings;
use keyagent_sys::harden;
use keyagent_wire::health::{Check, Grade};
use std::fs::File;
use std::io::{self, Read};

/// /proc/self/status, opened while that can be done.
pub struct Proof(io::Result<File>);

impl Proof {
    /// Opens it, and notes what can be asked now and no more once calls are filtered.
    pub fn open(findings: &mut Findings) -> Self {
        let closed = harden::is_closed_to_inspection();
        let grade = if closed { Grade::Good } else { Grade::Bad };
        findings.note(Check::Inspection, grade, 0);
        Self(File::open("/proc/self/status"))
    }

    /// Reads it, and notes what is not as it should be.
    pub fn check(&mut self, findings: &mut Findings) {
        let mut text = String::new();
        let read = match &mut self.0 {
            Ok(file) => file.read_to_string(&mut text).is_ok(),
            Err(_) => false,
        };
        if !read {
            findings.note(Check::Privileges, Grade::Bad, 0);
        }
        judge(&text, findings);
    }
}

fn judge(status: &str, findings: &mut Findings) {
    for (name, want, check) in [
        ("TracerPid", 0, Check::Inspection),
        ("NoNewPrivs", 1, Check::Privileges),
        ("CapPrm", 0, Check::Privileges),
        ("CapEff", 0, Check::Privileges),
        ("Seccomp", 2, Check::Calls),
    ] {
        let is = number(status, name);
        if is != Some(want) {
            tracing::warn!(name, ?is, want, "the kernel does not see what was set");
            let detail = is.and_then(|is| i32::try_from(is).ok()).unwrap_or(0);
            findings.note(check, Grade::Bad, if name == "TracerPid" { detail } else { 0 });
        }
    }
}

/// What a line of it says; capabilities are in hexadecimal.
fn number(status: &str, name: &str) -> Option<u64> {
    let said = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
    let text = status.lines().find_map(said)?;
    let radix = if name.starts_with("Cap") { 16 } else { 10 };
    u64::from_str_radix(&text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\tkeyagentd\nTracerPid:\t0\nCapPrm:\t0000000000000000\n\
                        CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";

    fn lacking(status: &str) -> Vec<Check> {
        let mut findings = Findings::default();
        judge(status, &mut findings);
        findings.lacking().iter().map(|finding| finding.check).collect()
    }

    #[test]
    fn each_line_is_missed_where_it_says_something_else() {
        assert_eq!(lacking(GOOD), []);
        for (from, to, check) in [
            ("TracerPid:\t0", "TracerPid:\t7", Check::Inspection),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", Check::Privileges),
            ("CapEff:\t0000000000000000", "CapEff:\t000000000000001f", Check::Privileges),
            ("CapPrm:", "CapXxx:", Check::Privileges),
            ("Seccomp:\t2", "Seccomp:\t0", Check::Calls),
        ] {
            assert_eq!(lacking(&GOOD.replace(from, to)), [check], "{from}");
        }
        assert_eq!(lacking("").len(), 3);
    }
}
