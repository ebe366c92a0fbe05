//! A door: lets so many in and refuses the rest.

use keyagent_wire::Refusal;
use std::cell::Cell;

/// Lets so many in and refuses the rest. All doors together let in fewer than there are
/// connections, so that there is always one left for what is answered from memory, and for
/// `lock`.
pub struct Door {
    inside: Cell<usize>,
    max: usize,
}

/// Being inside; dropping it leaves.
pub struct Inside<'a>(&'a Door);

impl Door {
    /// A door to a room for so many.
    pub fn new(max: usize) -> Self {
        Self { inside: Cell::new(0), max }
    }

    /// Goes in, if there is room.
    pub fn enter(&self) -> Result<Inside<'_>, Refusal> {
        if self.inside.get() >= self.max {
            return Err(Refusal::Busy);
        }
        self.inside.set(self.inside.get() + 1);
        Ok(Inside(self))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_door_refuses_until_somebody_leaves() {
        let door = Door::new(1);
        let inside = door.enter().unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!(door.enter().err(), Some(Refusal::Busy));
        drop(inside);
        assert!(door.enter().is_ok());
    }
}
