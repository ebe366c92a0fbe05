//! How the agent is, looked at when somebody asks: what was found when it started, and what
//! can change while it runs.

use super::keeper::Keeper;
use crate::ask::pinentry;
use crate::config::quoted;
use keyagent_wire::health::{Check, Grade, Health};

impl Keeper {
    /// How well the agent is protected, and when it locks by itself.
    pub fn health(&self) -> Health {
        self.lock_if_over();
        let program = self.look_again();
        let mut health = Health {
            findings: self.findings.borrow().list(),
            settings: self.config.effective(),
            idle_seconds: None,
            hard_seconds: None,
        };
        let mut settings = health.settings.iter_mut();
        // What is not configured comes to the one that was found.
        if let Some((setting, program)) =
            settings.find(|setting| setting.key == "ask.pinentry").zip(program)
        {
            setting.value = quoted(&program);
        }
        self.timing.tell(&mut health);
        health
    }

    /// Looks whether there is a spawner, whether the log can be written, and which pinentry
    /// there is.
    fn look_again(&self) -> Option<std::path::PathBuf> {
        let mut findings = self.findings.borrow_mut();
        if !self.spawner.lives() {
            findings.replace(Check::Spawner, Grade::Bad, 0);
        }
        match self.audit.is_written() {
            Some(Ok(())) => findings.replace(Check::Audit, Grade::Good, 0),
            Some(Err(errno)) => findings.replace(Check::Audit, Grade::Bad, errno),
            None => {}
        }
        let ask = &self.config.ask;
        let program = pinentry::find(ask);
        let grade = match (&program, &ask.pinentry) {
            (Some(_), _) => Grade::Good,
            // Nothing is less protected for want of one.
            (None, None) => Grade::Weak,
            (None, Some(_)) => Grade::Bad,
        };
        findings.replace(Check::Pinentry, grade, 0);
        program
    }
}
