//! Quoting: what is printed for a shell, and what that shell makes of it.

use crate::quoting;
use crate::shell::Shell;
use std::cell::RefCell;

thread_local! {
    static SHELLS: RefCell<Vec<Shell>> = RefCell::new(Shell::all());
}

/// Has every shell that is here read the values, which a NUL parts, back.
pub fn run(data: &[u8]) {
    let values: Vec<&[u8]> = data.split(|b| *b == 0).take(VALUES_MAX).collect();
    SHELLS.with_borrow_mut(|shells| {
        for shell in shells {
            let mut script = Vec::new();
            for value in &values {
                assign(&mut script, shell, value);
            }
            let read = shell.run(&script, values.len());
            for (read, value) in read.iter().zip(&values) {
                assert_eq!(read, value, "{} reads another value", shell.name());
            }
        }
    });
    for value in values {
        let mut line = Vec::new();
        assert_eq!(quoting::dotenv(&mut line, value), !line.is_empty() || value.is_empty());
        assert!(line.len() <= value.len() * quoting::GROWTH_MAX + 2, "it grew more than it may");
        assert!(!line.contains(&b'\n'), "dotenv is a line");
    }
}

/// How many values one input holds, at most.
const VALUES_MAX: usize = 256;

/// As `export` prints it, and then what the variable is.
fn assign(script: &mut Vec<u8>, shell: &Shell, value: &[u8]) {
    if shell.is_fish() {
        script.extend_from_slice(b"set -gx FUZZ_VALUE ");
        quoting::fish(script, value);
    } else {
        script.extend_from_slice(b"export FUZZ_VALUE=");
        quoting::posix(script, value);
    }
    script.extend_from_slice(b"\nprintf '%s\\0' \"$FUZZ_VALUE\"\n");
}
