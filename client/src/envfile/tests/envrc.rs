//! What is read from a script, what is left of it, and why.

use super::{found, left, stripped};
use crate::envfile::Kind::Envrc;
use crate::envfile::{Fault, ParseError, kind_of, parse};
use std::ffi::OsStr;

#[test]
fn values_are_what_bash_assigns() {
    for (text, expected) in [
        ("export A=1 B=2\n", "A=1 B=2"),
        ("export A=\"x y\"", "A=x y"),
        ("export A='x $y'\n", "A=x $y"),
        ("export A=a\"b\"'c'\\ d\n", "A=abc d"),
        ("export A=a#b C=x#\n", "A=a#b C=x#"),
        ("export A=1 # B=2\n", "A=1"),
        ("export A=1;export B=2&&export C=3\n", "A=1 B=2 C=3"),
        ("export A=\"a\\$b\\`c\\\"d\\\\e\\f\\\ng\"\n", r#"A=a$b`c"d\e\fg"#),
        (
            "export A=$'\\n\\t\\x41\\101\\e\\a\\b\\f\\v\\r\\\\\\'\\\"\\?\\cA\\c?\\z\\u41\\U00000042'\n",
            r#"A=\x0a\x09AA\x1b\x07\x08\x0c\x0b\x0d\'"?\x01\x7f\zAB"#,
        ),
        ("export A='-----BEGIN\nx\n'\n", r"A=-----BEGIN\x0ax\x0a"),
        ("export \\\n  A=1 \\\n  B=2\n", "A=1 B=2"),
        ("\t export A=1\r\n", r"A=1\x0d"),
        ("export A=\nexport B=''\n", "A= B="),
        ("A=1\nexport A\n", "A=1"),
        ("export A\nA=1\n", "A=1"),
        ("set -a\nA=1\nset +a\nB=2\n", "A=1"),
        ("set -o allexport; A=1", "A=1"),
        ("declare -gx A=1\ntypeset -xg B=2\n", "A=1 B=2"),
        ("export A=1\nexport B=3\nexport A=2\n", "B=3 A=2"),
        (
            "export A=a$ B=\"a$\" C=$/x D=a!b E=[x]*? F=a~b G=%40 H=a=b\n",
            "A=a$ B=a$ C=$/x D=a!b E=[x]*? F=a~b G=%40 H=a=b",
        ),
        ("export A=é\n", "A=é"),
    ] {
        assert_eq!(found(Envrc, text), expected, "{text:?}");
    }
}

#[test]
fn what_needs_a_shell_is_left_with_its_line() {
    for (text, expected) in [
        ("\nexport A=$(id)\n", "2:A:NeedsShell"),
        ("export A=`id`\n", "1:A:NeedsShell"),
        ("export A=$B\n", "1:A:NeedsShell"),
        ("export A=\"${B:-x}\"\n", "1:A:NeedsShell"),
        ("export A=$((1 + 2))\n", "1:A:NeedsShell"),
        ("export A=<(id)\n", "1:A:NeedsShell"),
        ("export A=~/x B=a:~ C='~'\n", "1:A:NeedsShell 1:B:NeedsShell"),
        ("export A={a,b}\n", "1:A:Brace"),
        ("export A=$\"x\"\n", "1:A:Locale"),
        ("export A=$'\\u00e9'\n", "1:A:Locale"),
        ("export A=$'a\\0b'\n", "1:A:Nul"),
        ("export A=(1 2)\n", "1:A:Array"),
        ("export A=1\nA+=2\n", "2:A:Append"),
        ("export PATH=/x\n", "1:PATH:Reserved"),
        ("A=1 cmd\n", "1:A:Command"),
        ("A=1\n", "1:A:Unexported"),
        ("declare -x A=1\n", "1:A:Local"),
        ("readonly A=1\n", "1:A:Declared"),
        ("export A=1\nreadonly A\n", "1:A:Declared"),
        ("export A=1\nunset A\n", "1:A:Unset"),
        ("export A=1\nexport -n A\n", "1:A:Unset"),
        ("if true; then\n  export A=1\nfi\n", "2:A:InBlock"),
        ("f() {\n  export A=1\n}\n", "2:A:InBlock"),
        ("case x in\n (a|b) A=1;;\n *) B=2 ;;\nesac\n", "2:A:InBlock 3:B:InBlock"),
        ("for x in a; do A=1; done; (B=2); { C=3; }\n", "1:A:InBlock 1:B:InBlock 1:C:InBlock"),
        ("false || export A=1\n", "1:A:Conditional"),
        ("export A=1 && B=2 || :\n", "1:A:Conditional 1:B:Conditional"),
        ("test -f x && export A=1\n", "1:A:Conditional"),
        ("export A=1 | cat\nexport B=2 &\n", "1:A:Conditional 2:B:Conditional"),
        ("cat <<E\nexport A=1\nE\nexport B=x\n", ""),
        ("\u{feff}export A=1\nexport B=1\n", "1:A:ByteOrderMark"),
        ("# export OPENAI_API_KEY=abc123def456\n# see A=1\n", "1:OPENAI_API_KEY:Commented"),
        ("export A=1 B=$A\n", "1:B:NeedsShell 1:A:Order(1)"),
        ("export A=1\nexport X=$LINENO\n", "1:A:Position(2) 2:X:NeedsShell"),
    ] {
        assert_eq!(left(Envrc, text), expected, "{text:?}");
    }
}

#[test]
fn keys_do_not_move_past_what_could_notice() {
    for (text, expected) in [
        ("export A_KEY=k1\nexport X=$B_KEY\nexport B_KEY=k2\n", "2:X:NeedsShell"),
        ("export A_KEY=k1\nsource_up\nexport B_KEY=k2\n", "3:B_KEY:Order(2)"),
        ("cd ..\nexport A_KEY=k\n", "2:A_KEY:Footing(1)"),
        ("true && pushd /\nexport A_KEY=k\n", "2:A_KEY:Footing(1)"),
        (
            "export XDG_DATA_HOME=$PWD/x\nexport A_KEY=k\n",
            "1:XDG_DATA_HOME:NeedsShell 2:A_KEY:Footing(1)",
        ),
        ("export PATH=/bin\nexport A_KEY=k\n", "1:PATH:Reserved 2:A_KEY:Footing(1)"),
        ("unset -f use\nexport A_KEY=k\n", "2:A_KEY:Footing(1)"),
        (
            "export PATH=$PWD/bin:$PATH A=$(cd x; pwd)\nexport A_KEY=k\n",
            "1:PATH:NeedsShell 1:A:NeedsShell",
        ),
        ("HOME=/x true\nexport A_KEY=k\n", "1:HOME:Command"),
        ("export A_KEY=k1\ncd ..\nexport B_KEY=k2\n", ""),
        ("export A_KEY=k1\neval \"$X\"\nexport B_KEY=k2\n", "3:B_KEY:Order(2)"),
        ("export A_KEY=k1\nX=$(aws id)\nexport B_KEY=k2\n", "2:X:NeedsShell 3:B_KEY:Order(2)"),
        (
            "export A_KEY=k1\nX=$(git rev-parse HEAD)\nlayout go\nexport B_KEY=k2\n",
            "2:X:NeedsShell",
        ),
        ("export A_KEY=k1\nif has x; then PATH_add bin; fi\nexport B_KEY=k2\n", ""),
        ("export A_KEY=k1\necho $A_KEY\nexport A_KEY=k2\n", "3:A_KEY:Order(2)"),
        ("echo() { :; }\nexport A_KEY=k1\n", "2:A_KEY:Position(1)"),
    ] {
        assert_eq!(left(Envrc, text), expected, "{text:?}");
    }
}

#[test]
fn the_rest_stays_byte_for_byte() {
    for (text, expected) in [
        (
            "layout go\nexport A=1 # old: 0\nPATH_add bin\n",
            "layout go\nuse keyagent\nPATH_add bin\n",
        ),
        ("export A=1 B=$X C=3\n", "use keyagent\nexport B=$X\n"),
        ("A=1; export B=2 A; export C=$X;\n", "use keyagent\nexport A; export C=$X;\n"),
        ("export A=1 \\\n  B=$X \\\n  C=2\n", "use keyagent\nexport B=$X\n"),
        ("export A=1 && PATH_add x\n", "use keyagent\nPATH_add x\n"),
        ("PATH_add x; export A=1;\n", "use keyagent\nPATH_add x;\n"),
        ("export X=a\\\\ A=1 X=$Y\n", "use keyagent\nexport X=a\\\\ X=$Y\n"),
        ("export Y=$X\\\\ A=1\n", "use keyagent\nexport Y=$X\\\\\n"),
        ("export A=1\r\nPATH_add x\r\n", "use keyagent\nPATH_add x\r\n"),
        ("x=1\nexport A=1", "x=1\nuse keyagent"),
        ("use keyagent\nexport A=1\n", "use keyagent\n"),
        ("export A=1\nuse keyagent\nexport B=2\n", "use keyagent\n"),
        ("export A=1\necho $A\nuse keyagent\n", "export A=1\necho $A\nuse keyagent\n"),
        ("export A=1\n\n# c\n\nexport B=2\n", "use keyagent\n\n# c\n\n"),
        ("cat <<E; export A=1\nA\nE\n", "cat <<E; export A=1\nA\nE\n"),
    ] {
        assert_eq!(stripped(Envrc, text), expected, "{text:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_its_line() {
    for (text, line, fault) in [
        ("\nexport A='x\n\n", 2, Fault::Unclosed),
        ("if true; then\nA=1\n", 1, Fault::Unclosed),
        ("A=$\\\n''\n", 1, Fault::Unreadable),
        ("fi\n", 1, Fault::Unreadable),
        ("\nA=\"${x:-'}\"\n", 2, Fault::Unreadable),
        ("cat <<E\nx\n", 2, Fault::Unclosed),
        ("A=\0\n", 1, Fault::Nul),
    ] {
        let error = parse(Envrc, text.as_bytes()).err();
        assert_eq!(error, Some(ParseError { line, fault }), "{text:?}");
    }
    let deep = format!("A={}", "$(".repeat(100_000));
    assert_eq!(parse(Envrc, deep.as_bytes()).err().map(|e| e.fault), Some(Fault::Deep));
}

#[test]
fn keys_outside_of_assignments_are_named() {
    let key = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    for (text, expected) in [
        (format!(": \"${{GH_TOKEN:={key}}}\"\nexport GH_TOKEN\n"), "1:a value:Stray"),
        (format!("cat >x <<E\n//r/:t={key}\nE\nexport T={key}\n"), "2:a value:Stray"),
        (format!("export A=1 T={key} # {key}\nexport P='-\n{key}\n-'\n"), ""),
        (format!("read -r T <<< {key}\n"), "1:a value:Stray"),
        (format!("export T = {key}\nT=$({key})\n"), "1:a value:Stray 2:T:NeedsShell"),
    ] {
        assert_eq!(left(Envrc, &text), expected, "{text}");
    }
}

#[test]
fn a_name_or_a_first_byte_tells_the_kind() {
    use crate::envfile::Kind::{Dotenv, Json, Script};
    for (name, text, kind) in [
        (".envrc", "{", Envrc),
        ("x.envrc", "", Envrc),
        ("a.json", "", Json),
        (".env", " \n{", Json),
        (".env.local", "A=1", Dotenv),
        ("secrets.txt", "# a\n\nexport A=1\r\nB_C = 2", Dotenv),
        (".envrc.private", "A=1", Envrc),
        ("envrc", "A=1", Envrc),
        ("env.sh", "A=1", Script),
        (".bashrc", "A=1", Script),
        (".env", "#!/bin/sh\nA=1", Script),
        (".npmrc", "//registry.example/:_authToken=x", Script),
        ("notes", "A=1\nload() {\n", Script),
    ] {
        assert_eq!(kind_of(OsStr::new(name), text.as_bytes()), kind, "{name}");
    }
}
