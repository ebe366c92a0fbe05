//! Where a value comes from: a hidden prompt, or stdin. Never an argument.

use crate::report::{Failure, cause};
use crate::tty::Tty;
use keyagent_wire::{VALUE_BYTES_MAX, Value};
use std::io::{self, IsTerminal, Read};
use zeroize::Zeroizing;

/// One value: typed and not shown if stdin is a terminal, all of stdin if it is not.
pub(crate) fn value(prompt: &str, raw: bool) -> Result<Value, Failure> {
    if io::stdin().is_terminal() { typed(prompt) } else { read(&mut io::stdin().lock(), raw) }
}

fn typed(prompt: &str) -> Result<Value, Failure> {
    let mut tty = Tty::open().ok_or_else(|| {
        Failure::usage("there is no terminal to ask on")
            .hint("`keyagent set NAME <FILE` reads the value from a file")
    })?;
    let line = tty.hidden(prompt, VALUE_BYTES_MAX)?;
    if line.is_empty() {
        return Err(Failure::failed("no value was typed")
            .hint("`keyagent set NAME </dev/null` sets an empty one"));
    }
    value_of(&line)
}

/// Reads to the end, into one buffer that a value, its newline and one byte too many fill.
fn read(from: &mut impl Read, raw: bool) -> Result<Value, Failure> {
    let mut buffer = Zeroizing::new([0; VALUE_BYTES_MAX + 2]);
    let mut filled = 0;
    while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
        match from.read(space) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::failed(format!("cannot read stdin: {}", cause(&e)))),
        }
    }
    let bytes = buffer.get(..filled).unwrap_or_default();
    match bytes.strip_suffix(b"\n") {
        Some(line) if !raw => value_of(line),
        _ => value_of(bytes),
    }
}

fn value_of(bytes: &[u8]) -> Result<Value, Failure> {
    Value::new(bytes).map_err(|e| Failure::failed(format!("cannot take that value: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(input: &[u8], raw: bool) -> Result<Vec<u8>, String> {
        read(&mut &*input, raw).map(|v| v.expose().to_vec()).map_err(|failure| failure.text)
    }

    #[test]
    fn one_newline_at_the_end_is_dropped_unless_raw() {
        assert_eq!(value(b"a\n", false).as_deref(), Ok(&b"a"[..]));
        assert_eq!(value(b"a\n\n", false).as_deref(), Ok(&b"a\n"[..]));
        assert_eq!(value(b"a\r\n", false).as_deref(), Ok(&b"a\r"[..]));
        assert_eq!(value(b"a\n", true).as_deref(), Ok(&b"a\n"[..]));
        assert_eq!(value(b"", false).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let long = vec![b'a'; VALUE_BYTES_MAX + 3];
        assert_eq!(value(&long[..VALUE_BYTES_MAX], true).map(|v| v.len()), Ok(VALUE_BYTES_MAX));
        let mut line = long[..VALUE_BYTES_MAX].to_vec();
        line.push(b'\n');
        assert_eq!(value(&line, false).map(|v| v.len()), Ok(VALUE_BYTES_MAX));
        for (input, why) in
            [(&line[..], "64 KiB"), (&long[..], "64 KiB"), (&b"a\0b"[..], "a NUL byte")]
        {
            assert!(value(input, true).is_err_and(|text| text.contains(why)), "{why}");
        }
    }
}
