//! What was found of the agent's protections: one finding for each check, the worst of all
//! that was said of it.

use keyagent_wire::health::{Check, Finding, Grade};
use std::collections::BTreeMap;
use std::io;

/// The findings so far.
#[derive(Debug, Clone, Default)]
pub struct Findings(BTreeMap<Check, (Grade, i32)>);

impl Findings {
    /// Notes how a check came out. What was found worse before stays.
    pub fn note(&mut self, check: Check, grade: Grade, detail: i32) {
        let found = self.0.entry(check).or_insert((grade, detail));
        if grade > found.0 {
            *found = (grade, detail);
        }
    }

    /// Notes how a check is by now, of one that gets better, too.
    pub fn replace(&mut self, check: Check, grade: Grade, detail: i32) {
        self.0.insert(check, (grade, detail));
    }

    /// Notes that a step was done, or that it failed: not there, and why.
    pub fn tell(&mut self, check: Check, done: &io::Result<()>) {
        match done {
            Ok(()) => self.note(check, Grade::Good, 0),
            Err(error) => self.note(check, Grade::Bad, error.raw_os_error().unwrap_or(0)),
        }
    }

    /// The same, of a step that has others beside it: less than there could be.
    pub fn tell_weak(&mut self, check: Check, done: &io::Result<()>) {
        if let Err(error) = done {
            self.note(check, Grade::Weak, error.raw_os_error().unwrap_or(0));
        }
    }

    /// All of them, in the order of the checks.
    pub fn list(&self) -> Vec<Finding> {
        let finding = |(check, (grade, detail)): (&Check, &(Grade, i32))| Finding {
            check: *check,
            grade: *grade,
            detail: *detail,
        };
        self.0.iter().map(finding).collect()
    }

    /// Those that are not good.
    pub fn lacking(&self) -> Vec<Finding> {
        self.list().into_iter().filter(|finding| finding.grade != Grade::Good).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_was_said_of_a_check_stands() {
        let mut findings = Findings::default();
        findings.tell(Check::Privileges, &Ok(()));
        assert!(findings.lacking().is_empty());
        findings.tell(Check::Privileges, &Err(io::Error::from_raw_os_error(1)));
        findings.tell(Check::Privileges, &Ok(()));
        findings.note(Check::Files, Grade::Good, 7);
        findings.note(Check::Files, Grade::Weak, 2);
        let lacking: Vec<_> = findings.lacking().iter().map(|f| (f.grade, f.detail)).collect();
        assert_eq!(lacking, [(Grade::Bad, 1), (Grade::Weak, 2)]);
        assert_eq!(findings.list().len(), 2);
        findings.replace(Check::Files, Grade::Good, 0);
        assert_eq!(findings.lacking().len(), 1, "unless it is another by now");
    }
}
