//! The agent's protections in words: what each check is called, how it came out, and the
//! command that mends it. Words only; the agent has looked.

use crate::connection::Connection;
use crate::project::{config_directory, pasted, state_place};
use keyagent_wire::health::{Check, Finding, Grade, Health};
use keyagent_wire::{Reply, Request};

/// Asks the agent; none of one that has never heard of it.
pub(crate) fn ask(connection: &mut Connection) -> Option<Health> {
    match connection.ask(&Request::Health, &[]) {
        Ok(Reply::Health(health)) => Some(health),
        _ => None,
    }
}

/// `full`, or `degraded` and what is lacking.
pub(crate) fn level(health: &Health) -> String {
    let lacking = health.findings.iter().filter(|finding| is_lacking(finding));
    let lacking: Vec<&str> = lacking.map(|finding| name(finding.check)).collect();
    if lacking.is_empty() { "full".to_owned() } else { format!("degraded: {}", lacking.join(", ")) }
}

/// Whether all is as it should be.
pub(crate) fn is_full(health: &Health) -> bool {
    !health.findings.iter().any(is_lacking)
}

/// A machine without logind gives all that it can: there the deadlines lock. Without a
/// pinentry less can be done, and nothing is less protected.
fn is_lacking(finding: &Finding) -> bool {
    match (finding.check, finding.grade) {
        (_, Grade::Good) | (Check::Session | Check::Pinentry, Grade::Weak) => false,
        (_, Grade::Weak | Grade::Bad) => true,
    }
}

/// What a check is called.
pub(crate) fn name(check: Check) -> &'static str {
    match check {
        Check::Inspection => "inspection",
        Check::Memory => "memory",
        Check::Privileges => "privileges",
        Check::Files => "files",
        Check::Calls => "calls",
        Check::Spawner => "spawner",
        Check::Audit => "audit",
        Check::Session => "session",
        Check::Pinentry => "pinentry",
    }
}

/// What a grade is called.
pub(crate) fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "good",
        Grade::Weak => "weak",
        Grade::Bad => "bad",
    }
}

/// How it came out.
pub(crate) fn words(finding: &Finding) -> String {
    let good = match finding.check {
        Check::Inspection => "no debugger and no core file looks into the agent",
        Check::Memory => "keys lie where not even root reads them (memfd_secret)",
        Check::Privileges => "it has no capability, and no way to new rights",
        Check::Files => "it reaches its own directories alone",
        Check::Calls => "it can start, connect to and trace nothing",
        Check::Spawner => "what needs a wider world is a process of its own",
        Check::Audit => "nothing is handed out that is not in the log",
        Check::Session => "sleep, screen lock and logout lock it",
        Check::Pinentry => "there is a pinentry to ask by",
    };
    let lacking = match (finding.check, finding.grade) {
        (_, Grade::Good) => good,
        (Check::Inspection, _) if finding.detail > 0 => "it is traced by another process",
        (Check::Inspection, _) => "debuggers and core files may look into the agent",
        (Check::Memory, Grade::Weak) => "keys lie in locked memory, which root can read",
        (Check::Memory, _) => "keys lie in memory that may be swapped",
        (Check::Privileges, Grade::Weak) => "its limits could not be lowered",
        (Check::Privileges, _) => "it has capabilities, or a way to new rights",
        (Check::Files, Grade::Weak) => {
            "the kernel refuses less than a newer one: not all of TCP, signals and truncation"
        }
        (Check::Files, _) => "it could open every file of yours",
        (Check::Calls, Grade::Weak) => {
            "the kernel would not refuse it memory to write and then run"
        }
        (Check::Calls, _) => "it could make every system call",
        (Check::Spawner, _) => "no process is there to start helpers",
        (Check::Audit, _) => "the log cannot be written: nothing is handed out",
        (Check::Session, _) => "it does not hear of sleep, screen lock or logout",
        (Check::Pinentry, Grade::Weak) => {
            "there is no pinentry: what needs a confirmation is refused"
        }
        (Check::Pinentry, _) => {
            "the pinentry of config.toml cannot be used: what needs a confirmation is refused"
        }
    };
    match (finding.check, finding.detail) {
        (Check::Files, abi) if abi > 0 => format!("{lacking} (Landlock {abi})"),
        (Check::Inspection, pid) if pid > 0 => format!("{lacking} (pid {pid})"),
        (_, errno) if errno > 0 && finding.grade != Grade::Good => {
            format!("{lacking} ({})", crate::report::errno_text(errno))
        }
        _ => lacking.to_owned(),
    }
}

/// What mends it, with a command that can be pasted; none where nothing is to be mended.
pub(crate) fn mend(finding: &Finding) -> Option<String> {
    const AGAIN: &str = "`keyagent stop; keyagent start`";
    let fixed = match (finding.check, finding.grade) {
        (_, Grade::Good) => return None,
        (Check::Inspection | Check::Privileges | Check::Spawner, _) => AGAIN,
        (Check::Memory, Grade::Weak) => {
            "`cat /proc/cmdline`: Linux 5.14 or newer, booted with secretmem.enable=1"
        }
        (Check::Memory, _) => "`ulimit -l 8192; keyagent stop; keyagent start`",
        (Check::Files, Grade::Weak) => "`uname -r`: Linux 6.12 or newer refuses all of it",
        (Check::Files, _) => {
            "`cat /sys/kernel/security/lsm`: it must name landlock, else boot with lsm=landlock,…"
        }
        (Check::Calls, _) => {
            "`grep SECCOMP /boot/config-$(uname -r)`: the kernel must have CONFIG_SECCOMP_FILTER"
        }
        (Check::Audit, _) => {
            return Some(format!(
                "`df -h {}`: there must be room, and the directory must be yours",
                state_place()
            ));
        }
        (Check::Session, _) => {
            "`systemctl status systemd-logind`: it must run; the deadlines lock all the same"
        }
        (Check::Pinentry, Grade::Weak) => "`sudo apt install pinentry-curses`",
        (Check::Pinentry, _) => {
            let config = pasted(&config_directory()?.join("keyagent/config.toml"));
            return Some(format!(
                "`grep pinentry {config}`: it must name a program that is yours or root's, and \
                 that nobody else may write"
            ));
        }
    };
    Some(fixed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKS: [Check; 9] = [
        Check::Inspection,
        Check::Memory,
        Check::Privileges,
        Check::Files,
        Check::Calls,
        Check::Spawner,
        Check::Audit,
        Check::Session,
        Check::Pinentry,
    ];

    #[test]
    fn what_is_not_good_says_what_mends_it() {
        for check in CHECKS {
            let of = |grade| Finding { check, grade, detail: 0 };
            assert_eq!(mend(&of(Grade::Good)), None);
            for grade in [Grade::Weak, Grade::Bad] {
                assert!(mend(&of(grade)).is_some_and(|text| text.matches('`').count() == 2));
                assert_ne!(words(&of(grade)), words(&of(Grade::Good)), "{}", name(check));
            }
        }
    }

    #[test]
    fn the_level_is_full_or_names_what_is_lacking() {
        let finding = |check, grade| Finding { check, grade, detail: 0 };
        let findings = [Check::Memory, Check::Files].map(|check| finding(check, Grade::Good));
        let mut health = Health {
            findings: findings.into(),
            settings: Vec::new(),
            idle_seconds: None,
            hard_seconds: None,
        };
        assert_eq!(level(&health), "full");
        health.findings.push(finding(Check::Session, Grade::Weak));
        health.findings.push(finding(Check::Pinentry, Grade::Weak));
        assert_eq!((level(&health).as_str(), is_full(&health)), ("full", true), "not there");
        health.findings.push(finding(Check::Calls, Grade::Weak));
        assert_eq!((level(&health).as_str(), is_full(&health)), ("degraded: calls", false));
    }
}
