//! What an agent may be left with after hostile clients: no growth, no descriptor.

use keyagent_tests::{Agent, Home, eventually, process};

/// How much an agent may grow, whatever it is sent.
const GROWTH_KIB_MAX: u64 = 16 * 1024;

/// What an agent carries before it is bothered.
pub struct Burden {
    resident_kib: u64,
    descriptors: Option<usize>,
}

impl Burden {
    /// Of an agent that has nothing to do.
    pub fn of(agent: &Agent) -> Self {
        Self {
            resident_kib: agent.resident_kib(),
            descriptors: process::descriptor_count(agent.pid()),
        }
    }

    /// Fails if it grew by now.
    pub fn has_not_grown(&self, agent: &Agent) {
        self.has_grown_by_at_most(agent, GROWTH_KIB_MAX);
    }

    /// The same, by a bound of one's own: what is allocated once and kept must be there already.
    pub fn has_grown_by_at_most(&self, agent: &Agent, kib: u64) {
        let grown = agent.resident_kib().saturating_sub(self.resident_kib);
        assert!(grown <= kib, "the agent grew by {grown} KiB");
    }

    /// Fails if the agent is gone, answers nobody, grew, or keeps descriptors. Where the
    /// kernel shows no descriptors (only root may look), the rest is checked.
    pub fn is_back(&self, home: &Home, agent: &Agent) {
        agent.answers(home);
        self.has_not_grown(agent);
        eventually("the descriptors are closed again", || {
            (process::descriptor_count(agent.pid()) <= self.descriptors).then_some(())
        });
    }
}
