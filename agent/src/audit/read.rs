//! Reading the log for a human: the newest events, a page at a time. Nothing is proved here;
//! that is what verifying is for.

use super::body;
use super::files::Kept;
use super::record;
use keyagent_wire::event::Event;
use keyagent_wire::request::Audit;

/// The most events of one page.
pub const PAGE_EVENTS_MAX: usize = 256;
/// The most bytes of the log that one page is made of: what is told is shorter than what is
/// written, and a reply holds 1 MiB.
const PAGE_BYTES_MAX: usize = 768 * 1024;

/// A page of what was asked for, oldest first, and whether there is more before it.
pub fn page(kept: &[Kept], ask: &Audit) -> (Vec<Event>, bool) {
    let count = (ask.count as usize).min(PAGE_EVENTS_MAX);
    let (mut events, mut bytes) = (Vec::new(), 0);
    for file in kept.iter().rev() {
        let Ok(text) = file.text() else { continue };
        for line in record::lines(&text).rev() {
            let Some(parsed) = record::parse(line) else { continue };
            if ask.before.is_some_and(|before| parsed.seq >= before) {
                continue;
            }
            let Some(event) = body::told(record::json(line), ask.secret.as_ref()) else { continue };
            bytes += line.len();
            if events.len() >= count || bytes > PAGE_BYTES_MAX {
                events.reverse();
                return (events, true);
            }
            events.push(event);
        }
    }
    events.reverse();
    (events, false)
}
