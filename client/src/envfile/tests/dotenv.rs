//! What is read from `.env`, where the tools agree, and what is left where they do not.
//!
//! Compared by hand: dotenv 18 for node, `node --env-file` 20, python-dotenv and direnv's
//! own reader give the same for each value in the first table, but that direnv refuses bare
//! values with blanks or bytes beyond ASCII. In the second table they differ, or one of them
//! refuses, or some put variables in and others do not.

use super::{found, left, read, stripped};
use crate::envfile::Kind::Dotenv;
use crate::envfile::{Fault, ParseError, parse, rewrite};
use keyagent_wire::EnvName;
use std::collections::BTreeSet;

#[test]
fn values_are_what_the_tools_agree_on() {
    for (text, expected) in [
        ("A=plain value\n", "A=plain value"),
        ("B = spaced \n", "B=spaced"),
        ("export C=exp\n", "C=exp"),
        ("D='single $x # y'", "D=single $x # y"),
        ("E=\"double # y\\nz\"\n", r"E=double # y\x0az"),
        ("F=com # note\n", "F=com"),
        ("G=\nN=''\n", "G= N="),
        ("H=\"multi\nline\"\nI='multi\nline'\n", r"H=multi\x0aline I=multi\x0aline"),
        ("J=\"é x\"", "J=é x"),
        ("K=a=b==\nM=http://a:b/c?d=e&f\n", "K=a=b== M=http://a:b/c?d=e&f"),
        ("L=\"x\" # it's\n", "L=x"),
        ("\u{feff}A=1\r\nB='2'\r\nC=3 # c\r\n", "A=1 B=2 C=3"),
        ("  A=1\n\n# B=2\nA=3\n", "A=3"),
        ("exported=1\n", "exported=1"),
    ] {
        assert_eq!(found(Dotenv, text), expected, "{text:?}");
        assert_eq!(left(Dotenv, text), "", "{text:?}");
    }
}

#[test]
fn what_tools_read_differently_is_left() {
    for (text, expected) in [
        ("A=$B\n", "1:A:NeedsShell"),
        ("A=\"x${B}\"\n", "1:A:NeedsShell"),
        ("A='x${B}'\n", "1:A:NeedsShell"),
        ("A=`x`\n", "1:A:ToolsDisagree"),
        ("A=a#b\nB=#x\nC= # x\n", "1:A:ToolsDisagree 2:B:ToolsDisagree 3:C:ToolsDisagree"),
        (
            "A=\"a\\tb\"\nB=\"a\\\"b\"\nC='a\\'b'\n",
            "1:A:ToolsDisagree 2:B:ToolsDisagree 3:C:ToolsDisagree",
        ),
        ("A=a\\b\nB=it's\n", "1:A:ToolsDisagree 2:B:ToolsDisagree"),
        ("A=\"x\"y\nB='x'#y\n", "1:A:ToolsDisagree 2:B:ToolsDisagree"),
        ("A: x\n", "1:A:ToolsDisagree"),
        (
            "A=\tx\nB=x\t\nC=x\t# c\nD\t=x\n\tE=x\nexport\tF=x\nG=\t'x'\n",
            "1:A:ToolsDisagree 2:B:ToolsDisagree 3:C:ToolsDisagree 4:D:ToolsDisagree 5:E:ToolsDisagree 6:F:ToolsDisagree 7:G:ToolsDisagree",
        ),
        ("A=x\u{a0}\n", "1:A:ToolsDisagree"),
        ("A.b=x\n1A=x\n", "1:A.b:BadName 2:1A:BadName"),
        ("PATH=/x\n", "1:PATH:Reserved"),
        ("\nA=1\nA=$B\n", "2:A:Again(3) 3:A:NeedsShell"),
        ("A=1\nB=x${A}\nA=2\n", "2:B:NeedsShell 3:A:Order(2)"),
        ("B=\"\n$A\"\nA='2'\n", "1:B:NeedsShell 3:A:Order(1)"),
        ("# OPENAI_API_KEY=abc123def456\nA\n", "1:OPENAI_API_KEY:Commented"),
    ] {
        assert_eq!(left(Dotenv, text), expected, "{text:?}");
        assert_eq!(found(Dotenv, text), "", "{text:?}");
    }
    let file = read(Dotenv, b"A=\xff\n");
    assert!(file.assignments().is_empty() && file.left().len() == 1);
    for text in ["A=\n'x'\n", "A=''!'\n", "A: 'x\n'\n", "A='\n\\'\n'\n", "# A='\n'\n"] {
        let error = parse(Dotenv, text.as_bytes()).err().map(|e| e.fault);
        assert_eq!(error, Some(Fault::Unreadable), "{text:?}");
    }
    let unclosed = parse(Dotenv, b"\nA=\"x\n").err();
    assert_eq!(unclosed, Some(ParseError { line: 2, fault: Fault::Unclosed }));
}

#[test]
fn a_key_that_is_expanded_below_goes() {
    let text = "A=1\nB=$A\nC=${AA}\nAA=A\n";
    assert_eq!(found(Dotenv, text), "A=1");
    assert_eq!(left(Dotenv, text), "2:B:NeedsShell 3:C:NeedsShell 4:AA:Order(3)");
}

#[test]
fn a_comment_says_once_where_the_keys_are() {
    const TOLD: &str = "# keys are in keyagent: keyagent exec -- COMMAND";
    for (text, expected) in [
        ("X=$Y\nA=1 # old\n\nB='2\n3'\nZ=$Y", format!("X=$Y\n{TOLD}\n\nZ=$Y")),
        ("X=$Y\r\nA=1\r\n", format!("X=$Y\r\n{TOLD}\r\n")),
        (&format!("{TOLD}\nA=1\n"), format!("{TOLD}\n")),
        ("\u{feff}A=1\n", format!("\u{feff}{TOLD}\n")),
        ("X=$Y\n", "X=$Y\n".to_owned()),
    ] {
        assert_eq!(stripped(Dotenv, text), expected, "{text:?}");
    }
}

#[test]
fn only_what_was_chosen_goes() {
    let text = b"A=1\nB=2\nA=3\n";
    let chosen = EnvName::new("A").unwrap_or_else(|e| panic!("{e}"));
    let out = rewrite(&read(Dotenv, text), text, &BTreeSet::from([chosen]));
    assert_eq!(*out, b"# keys are in keyagent: keyagent exec -- COMMAND\nB=2\n");
}
