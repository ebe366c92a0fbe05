//! Copies of sealed values that stay in the rewritten file: in a comment, a here-document, an
//! array, inside another value. They are named by line, never shown.

use crate::import::plan::Plan;
use crate::report;
use keyagent_wire::EnvName;

/// The shortest value that is looked for: a shorter one stands in many a text by chance.
const VALUE_BYTES_MIN: usize = 8;
/// The most copies that are named one by one.
const NAMED_MAX: usize = 10;

/// Warns of each copy. True if there is none.
pub(crate) fn warn(text: &[u8], plan: &Plan<'_>) -> bool {
    let keys = plan.steps.iter().map(|step| step.assignment);
    let mut copies: Vec<(usize, &EnvName)> = Vec::new();
    for key in keys.filter(|key| key.value.byte_count() >= VALUE_BYTES_MIN) {
        copies.extend(lines(text, key.value.expose()).into_iter().map(|line| (line, &key.var)));
    }
    copies.sort();
    for (line, var) in copies.iter().take(NAMED_MAX) {
        report::warning(format!("line {line} still has the value of {var}"));
    }
    if copies.len() > NAMED_MAX {
        report::warning(format!("and {} more", copies.len() - NAMED_MAX));
    }
    copies.is_empty()
}

/// The lines, from 1, in which the value begins.
fn lines(text: &[u8], value: &[u8]) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut line = 1;
    for (at, byte) in text.iter().enumerate() {
        // One line may have it more than once.
        if text[at..].starts_with(value) && lines.last() != Some(&line) {
            lines.push(line);
        }
        line += usize::from(*byte == b'\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_on_every_line_where_it_begins() {
        assert_eq!(lines(b"abab\nx\n ab\nb\nab", b"ab"), [1, 3, 5]);
        assert_eq!(lines(b"a\nb a\na\nb", b"a\nb"), [1, 3]);
        assert!(lines(b"", b"ab").is_empty());
    }
}
