//! Where a value comes from: a hidden prompt, or stdin. Never an argument.

use crate::report::{Failure, cause};
use crate::tty::Tty;
use keyagent_wire::{SecretName, VALUE_BYTES_MAX, Value};
use std::io::{self, IsTerminal, Read};
use zeroize::Zeroizing;

/// The value of a secret: typed and not shown if stdin is a terminal, all of stdin if it is
/// not. An empty one is taken only as it is: a pipe that failed must not replace a key.
pub(crate) fn value(name: &SecretName, raw: bool) -> Result<Value, Failure> {
    if io::stdin().is_terminal() {
        return typed(&format!("value of `{name}`: "));
    }
    let value = read(&mut io::stdin().lock(), raw)?;
    if value.byte_count() == 0 && !raw {
        return Err(Failure::failed(format!("cannot set `{name}`: stdin is empty")).hint(format!(
            "`--raw` keeps an empty value: `keyagent set --raw {name} </dev/null`"
        )));
    }
    Ok(value)
}

fn typed(prompt: &str) -> Result<Value, Failure> {
    let mut tty = Tty::open().ok_or_else(|| {
        Failure::usage("there is no terminal to ask on")
            .hint("`keyagent set NAME <FILE` reads the value from a file")
    })?;
    let line = tty.hidden(prompt, VALUE_BYTES_MAX)?;
    if line.is_empty() {
        return Err(Failure::failed("no value was typed")
            .hint("nothing is changed; `keyagent set NAME <FILE` reads it from a file"));
    }
    value_of(&line)
}

/// Reads to the end, into one buffer that a value, its newline and one byte too many fill.
/// It is not on the stack, because the compiler makes one function of all verbs, and each
/// would touch its pages.
fn read(from: &mut impl Read, raw: bool) -> Result<Value, Failure> {
    let mut buffer = Zeroizing::new(vec![0; VALUE_BYTES_MAX + 2]);
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
