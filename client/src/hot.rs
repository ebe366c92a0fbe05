//! A way around clap for the verbs that run all day: `exec` and `export`; and for the one that
//! no human types, `__complete`.
//!
//! clap's pages are never touched on it. What is not plain here (help, errors, everything
//! else) is left to clap, which reads the same line again: they must agree, and a test
//! says so.

use crate::args::{self, ExecArgs, ExportArgs, Format, Verb};
use clap::ValueEnum;
use lexopt::{Arg, Parser};
use std::ffi::OsString;

/// Reads the line if it is a hot verb's and nothing is wrong with it.
pub(crate) fn parse(line: &[OsString]) -> Option<Verb> {
    let (verb, rest) = line.split_first()?;
    let parser = Parser::from_args(rest.iter().cloned());
    match verb.to_str()? {
        "exec" | "run" | "x" => exec(parser).map(Verb::Exec),
        "export" => export(parser).map(Verb::Export),
        "__complete" => Some(Verb::Complete(rest.to_vec())),
        _ => None,
    }
}

fn exec(mut parser: Parser) -> Option<ExecArgs> {
    let mut args = ExecArgs::default();
    while let Some(arg) = parser.next().ok()? {
        match arg {
            Arg::Short('P') | Arg::Long("profile") if args.profile.is_none() => {
                args.profile = Some(args::profile_name(&text(&mut parser)?).ok()?);
            }
            Arg::Long("only") => {
                for var in text(&mut parser)?.split(',') {
                    args.only.push(args::env_name(var).ok()?);
                }
            }
            Arg::Long("env") => args.env.push(args::binding(&text(&mut parser)?).ok()?),
            Arg::Long("pristine") if !args.pristine => args.pristine = true,
            Arg::Value(program) => {
                args.command.push(program);
                // From here on the line is the command's own.
                args.command.extend(parser.raw_args().ok()?);
            }
            _ => return None,
        }
    }
    (!args.command.is_empty()).then_some(args)
}

fn export(mut parser: Parser) -> Option<ExportArgs> {
    let mut args = ExportArgs::default();
    let mut format = None;
    while let Some(arg) = parser.next().ok()? {
        match arg {
            Arg::Short('P') | Arg::Long("profile") if args.profile.is_none() => {
                args.profile = Some(args::profile_name(&text(&mut parser)?).ok()?);
            }
            Arg::Long("format") if format.is_none() => {
                format = Some(Format::from_str(&text(&mut parser)?, false).ok()?);
            }
            Arg::Long("reveal") if !args.reveal => args.reveal = true,
            Arg::Long("hook") if !args.hook => args.hook = true,
            Arg::Long("if-running") if !args.if_running => args.if_running = true,
            _ => return None,
        }
    }
    args.format = format.unwrap_or_default();
    Some(args)
}

/// The value of an option; one that looks like an option itself is clap's to judge.
fn text(parser: &mut Parser) -> Option<String> {
    let text = parser.value().ok()?.into_string().ok()?;
    (!text.starts_with('-')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CommandLine;
    use clap::Parser as _;

    const LINES: &[&str] = &[
        "exec true",
        "exec -- true",
        "run -- true -x --help",
        "x true -- -P prod",
        "exec -- -- true",
        "exec true --",
        "exec -P prod -- true",
        "exec -Pprod true",
        "exec -P=prod true",
        "exec --profile prod --pristine true -P other",
        "exec --profile=prod true",
        "exec --only A,B --only C --env X=a/b --env=Y=c -- env -i",
        "exec --only=A true",
        "exec --pristine -- sh -c --",
        "exec - x",
        "export",
        "export --format fish",
        "export --format=json --reveal -P prod",
        "export -Pprod",
        "export --format bash --hook --if-running -P prod",
        "export --format nu --hook",
        // Clap's to judge.
        "exec",
        "exec --",
        "exec --help",
        "exec -h true",
        "exec --bogus true",
        "exec --pristine=yes true",
        "exec --pristine --pristine true",
        "exec -P a -P b true",
        "exec -P -x true",
        "exec --only 1A true",
        "exec --only A, true",
        "exec --only PATH true",
        "exec --env A true",
        "exec --env A=/b true",
        "exec --prof prod true",
        "export --format tcsh",
        "export --format Fish",
        "export --format",
        "export x",
        "export -- x",
        "export --reveal --reveal",
        "export --help",
        "export --hook --hook",
        "export --hook=1",
    ];

    /// Every line of the table that the hot path reads, clap reads as the same.
    #[test]
    fn clap_agrees() {
        let mut read = 0;
        for line in LINES {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let with_clap =
                CommandLine::try_parse_from([OsString::from("keyagent")].iter().chain(&words));
            match (parse(&words), with_clap.map(|line| line.verb)) {
                (Some(Verb::Exec(hot)), Ok(Verb::Exec(cold))) => assert_eq!(hot, cold, "{line}"),
                (Some(Verb::Export(hot)), Ok(Verb::Export(cold))) => {
                    assert_eq!(hot, cold, "{line}");
                }
                // What the hot path leaves to clap cannot disagree.
                (None, _) => continue,
                (hot, cold) => {
                    panic!("`{line}`: hot {}, clap {}", hot.is_some(), cold.is_ok())
                }
            }
            read += 1;
        }
        assert_eq!(read, 21, "these lines are hot");
    }
}
