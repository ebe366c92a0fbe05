//! `export`: the keys as text, for a shell's `eval` or for a tool.
//!
//! All or nothing: composed in one wiped buffer that is sized first, printed by one write,
//! and on any error not a byte.

use crate::args::{ExportArgs, Format};
use crate::report::{self, Failure};
use crate::session::{Session, unexpected};
use crate::tty::Tty;
use crate::{billing, json, load, project, quote};
use keyagent_wire::request::Resolve;
use keyagent_wire::{Channel, EnvName, Reply, Request, Value};
use zeroize::Zeroizing;

/// The most that a line has beside its variable and its value: `set -gx `, quotes and all.
const LINE_BYTES_MAX: usize = 24;

/// Prints the env of the project.
pub(crate) fn run(args: &ExportArgs) -> Result<(), Failure> {
    if !args.reveal && report::stdout_is_tty() {
        return Err(Failure::usage("stdout is a terminal, and values would be shown on it").hint(
            "`keyagent export --reveal` shows them, `eval \"$(keyagent export)\"` loads them",
        ));
    }
    if args.hook {
        return load::run(args);
    }
    if args.format == Format::Nu {
        return Err(Failure::usage(
            "the format nu is for the hook alone: Nushell evaluates no text",
        )
        .hint("`keyagent export --format json | from json | load-env` loads the keys there"));
    }
    let exported = export(args);
    if args.format == Format::Direnv { exported.map_err(Failure::on_one_line) } else { exported }
}

fn export(args: &ExportArgs) -> Result<(), Failure> {
    let project = project::nearest_or_own()?.ok_or_else(project::none_found)?;
    let resolve = Request::Resolve(Resolve {
        channel: Channel::Export,
        profile: args.profile.clone(),
        only: Vec::new(),
        extra: Vec::new(),
    });
    let mut session = Session::begin_unasked()?;
    // Whoever evaluates this at a terminal can be asked; direnv runs where nobody looks.
    if args.format != Format::Direnv && Tty::open().is_some() {
        session.let_confirm();
    }
    // Before the keys are read: what changes in between is loaded again, and never missed.
    let watched = (args.format == Format::Direnv).then(|| load::watch_lines(&project));
    let Reply::Env(env) = session.ask_about(&resolve, Some(&project))? else {
        return Err(unexpected());
    };
    report::answer(&compose(args.format, &watched.unwrap_or_default(), &env)?)?;
    billing::warn_of_exported(env.iter().map(|(var, _)| var));
    Ok(())
}

fn compose(
    format: Format,
    head: &[u8],
    env: &[(EnvName, Value)],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes_max = env
        .iter()
        .map(|(var, value)| {
            LINE_BYTES_MAX + var.as_str().len() + value.byte_count() * quote::GROWTH_MAX
        })
        .sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX + head.len() + bytes_max));
    out.extend_from_slice(head);
    match format {
        Format::Bash | Format::Zsh | Format::Sh | Format::Direnv => {
            for (var, value) in env {
                line(&mut out, "export ", var, "=", |out| quote::posix(out, value.expose()));
            }
        }
        Format::Fish => {
            for (var, value) in env {
                line(&mut out, "set -gx ", var, " ", |out| quote::fish(out, value.expose()));
            }
        }
        Format::Json | Format::Nu => compose_json(&mut out, env)?,
        Format::Dotenv => compose_dotenv(&mut out, env)?,
    }
    Ok(out)
}

fn line(
    out: &mut Vec<u8>,
    verb: &str,
    var: &EnvName,
    between: &str,
    value: impl FnOnce(&mut Vec<u8>),
) {
    for piece in [verb, var.as_str(), between] {
        out.extend_from_slice(piece.as_bytes());
    }
    value(out);
    out.push(b'\n');
}

fn compose_json(out: &mut Vec<u8>, env: &[(EnvName, Value)]) -> Result<(), Failure> {
    for (index, (var, value)) in env.iter().enumerate() {
        let text = std::str::from_utf8(value.expose()).map_err(|_| {
            Failure::failed(format!("cannot write `{var}` as JSON: it is not UTF-8"))
        })?;
        out.extend_from_slice(if index == 0 { b"{\n  " } else { b",\n  " });
        json::string(out, var.as_str());
        out.extend_from_slice(b": ");
        json::string(out, text);
    }
    out.extend_from_slice(if env.is_empty() { b"{}\n" } else { b"\n}\n" });
    Ok(())
}

fn compose_dotenv(out: &mut Vec<u8>, env: &[(EnvName, Value)]) -> Result<(), Failure> {
    for (var, value) in env {
        let mut fits = false;
        line(out, "", var, "=", |out| fits = quote::dotenv(out, value.expose()));
        if !fits {
            return Err(Failure::failed(format!(
                "cannot write `{var}` as dotenv: its readers do not agree on those characters"
            ))
            .hint("`keyagent export --format json` can, `keyagent exec -- CMD` needs no file"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &[u8])]) -> Vec<(EnvName, Value)> {
        let pair = |(var, value): &(&str, &[u8])| {
            (EnvName::new(*var).expect("a name"), Value::new(value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    fn text(format: Format, pairs: &[(&str, &[u8])]) -> String {
        let text = compose(format, b"", &env(pairs)).unwrap_or_else(|failure| panic!("{failure}"));
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn each_format_has_its_form() {
        let pairs: &[(&str, &[u8])] = &[("A", b"it's"), ("B", b"")];
        for format in [Format::Bash, Format::Zsh, Format::Sh] {
            assert_eq!(text(format, pairs), "export A='it'\\''s'\nexport B=''\n");
        }
        assert_eq!(text(Format::Fish, pairs), "set -gx A 'it\\'s'\nset -gx B ''\n");
        assert_eq!(text(Format::Json, pairs), "{\n  \"A\": \"it's\",\n  \"B\": \"\"\n}\n");
        assert_eq!(text(Format::Json, &[]), "{}\n");
        assert_eq!(text(Format::Dotenv, pairs), "A=\"it's\"\nB=\n");
    }

    #[test]
    fn what_a_format_cannot_hold_is_named() {
        for (format, value) in [(Format::Json, &b"\xff"[..]), (Format::Dotenv, b"a\nb")] {
            let failure = compose(format, b"", &env(&[("A", b"x"), ("BAD", value)])).err();
            assert!(failure.is_some_and(|failure| failure.text.contains("`BAD`")));
        }
    }

    #[test]
    fn the_buffer_never_grows() {
        let long = "A".repeat(128);
        for value in [&b"'"[..], b"\x01", b"\\", b"", b"a"] {
            let value = value.repeat(5_000);
            let pairs = env(&[(&long, &value), ("B", &value), ("C", b"")]);
            for format in [Format::Sh, Format::Fish, Format::Json, Format::Dotenv] {
                let bound: usize = pairs.iter().map(|(_, v)| v.byte_count() * 6 + 152).sum();
                if let Ok(text) = compose(format, b"", &pairs) {
                    assert!(text.capacity() <= bound + LINE_BYTES_MAX, "{format:?} grew");
                }
            }
        }
    }
}
