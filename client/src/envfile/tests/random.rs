//! Scripts that nobody thought of: real bash must end up with the same environment.
//!
//! `KEYAGENT_TEST_CASES` sets how many; the default keeps the suite short.

use super::bash::check;
use crate::envfile::{Kind, parse, rewrite};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn cases() -> ProptestConfig {
    let cases = std::env::var("KEYAGENT_TEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(120),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["A_KEY", "B_KEY", "C_KEY", "X", "Y_TOKEN"][..])
}

/// A piece of a word, literal or not.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(
        &[
            "a",
            "0",
            "-",
            "\\ ",
            "\\\\",
            "\\\n",
            "''",
            "'x y'",
            "'\n'",
            "\"x y\"",
            "\"\\$\"",
            "\"\\\\\"",
            "\"\\n\"",
            "\"\\\n\"",
            "\"$\"",
            "$",
            "$'\\n'",
            "$'\\x41b'",
            "$'\\''",
            "$'\\101\\cA\\e'",
            "#",
            "~",
            ":",
            "=",
            "{",
            "}",
            ",",
            "*",
            "[a]",
            "!",
            "%",
            "é",
            "$'\\z\\c\\\\\\u41'",
            "\"'\"",
            "'\"'",
            "\\'",
            "\\\"",
            "\r",
            "\"a#b\"",
            "\u{1}",
            "+=",
            "$(echo q)",
            "`echo q`",
            "$((1+1))",
            "${#}",
            "\"$(echo \"q)\")\"",
            "^",
            "@",
            "\\;",
        ][..],
    );
    prop_oneof![
        4 => fixed.prop_map(str::to_owned),
        1 => name().prop_map(|n| format!("${n}")),
        1 => name().prop_map(|n| format!("\"${{{n}:-none}}\"")),
        1 => "[ -~]{0,6}".prop_map(|s| format!("'{}'", s.replace('\'', ""))),
    ]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (name(), prop::collection::vec(piece(), 0..4))
            .prop_map(|(n, v)| format!("{n}={}", v.concat())),
        2 => (name(), "[a-z0-9]{1,5}").prop_map(|(n, v)| format!("{n}={v}")),
        1 => name().prop_map(str::to_owned),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    let words = || prop::collection::vec(word(), 1..4).prop_map(|w| w.join(" "));
    let assignments =
        || prop::collection::vec((name(), piece()).prop_map(|(n, p)| format!("{n}={p}")), 1..3);
    prop_oneof![
        8 => words().prop_map(|w| format!("export {w}")),
        3 => assignments().prop_map(|w| w.join(" ")),
        1 => words().prop_map(|w| format!("export \\\n  {}", w.replace(' ', " \\\n  "))),
        1 => name().prop_map(|n| format!("unset {n}")),
        1 => name().prop_map(|n| format!("export -n {n}")),
        1 => name().prop_map(|n| format!("declare -gx {n}=d")),
        1 => name().prop_map(|n| format!("export X=${n}")),
        1 => (name(), word()).prop_map(|(n, w)| format!("if [ -n \"${n}\" ]; then export {w}; fi")),
        1 => (name(), name()).prop_map(|(n, m)| format!("f() {{ export {n}=f${m}; }}")),
        1 => name().prop_map(|n| format!("for {n} in p q; do :; done")),
        1 => name().prop_map(|n| format!("case ${n} in a|b) {n}=c ;; (*) : ;; esac")),
        1 => name().prop_map(|n| format!("cat <<E >/dev/null\n${{{n}:=h}}\nexport {n}=1\nE")),
        1 => name().prop_map(|n| format!("[[ -n ${n} && x =~ (x|y) ]]")),
        1 => name().prop_map(|n| format!("eval \"export {n}=e\"")),
        1 => prop::sample::select(
            &["f", "set -a", "set +a", ":", "false", "env >/dev/null", "export X=$(env | wc -l)",
              "use keyagent", "{ Y_TOKEN=1; }", "(C_KEY=2)", "export X=$?", "PATH_add bin",
              "export X=$LINENO", "export X=${!A_*}", "# A_KEY=abc\\", "", "return", "! :"][..]
        ).prop_map(str::to_owned),
    ]
}

fn script() -> impl Strategy<Value = String> {
    let separator = prop::sample::select(
        &[
            "\n", "\n", "\n", "\n", "\n\n", "; ", " && ", " || ", " | ", " &\n", " # c\n", "\r\n",
            " &&\n", ";\n\t",
        ][..],
    );
    prop::collection::vec((statement(), separator), 1..9)
        .prop_map(|parts| parts.into_iter().flat_map(|(s, sep)| [s, sep.to_owned()]).collect())
}

/// Tokens in any order: mostly nonsense, sometimes a script.
fn tokens() -> impl Strategy<Value = String> {
    let token = prop::sample::select(
        &[
            "export ",
            "A_KEY=",
            "B_KEY=",
            "X=",
            "1",
            "a b",
            "'",
            "\"",
            "\\",
            "\n",
            " ",
            ";",
            "$",
            "${",
            "}",
            "$(",
            ")",
            "(",
            "`",
            "#",
            "&&",
            "||",
            "|",
            "if ",
            "then ",
            "fi",
            "{ ",
            "; }",
            "<<E\n",
            "\nE\n",
            "=~",
            "~",
            "[[ ",
            " ]]",
            "case x in ",
            "esac",
            "$'",
            "\\n",
            "$A_KEY",
            "((",
            "))",
            "f()",
            "do ",
            "done",
            "for X in ",
            "!",
            "<(",
            "+=",
            "\t",
            "é",
            ":",
        ][..],
    );
    prop::collection::vec(token, 1..14).prop_map(|t| t.concat())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn needs_bash_any_script_keeps_its_environment(text in script()) {
        check(text.as_bytes());
    }

    #[test]
    fn needs_bash_any_tokens_keep_their_environment(text in tokens(), tail in script()) {
        check(format!("{text}\n{tail}").as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in [Kind::Envrc, Kind::Dotenv, Kind::Json] {
            if let Ok(file) = parse(kind, &bytes) {
                let same = rewrite(&file, &bytes, &BTreeSet::new());
                prop_assert!(*same == bytes);
            }
        }
    }

    #[test]
    fn any_tokens_are_read_or_refused(text in tokens()) {
        for kind in [Kind::Envrc, Kind::Dotenv, Kind::Json] {
            if let Ok(file) = parse(kind, text.as_bytes()) {
                let all = super::all(&file);
                let out = rewrite(&file, text.as_bytes(), &all);
                prop_assert!(parse(kind, &out).is_ok());
            }
        }
    }
}
