//! What is read from a JSON object, and what is left of it.

use super::{found, left, read};
use crate::envfile::Kind::Json;
use crate::envfile::{Fault, parse, rewrite};
use keyagent_wire::EnvName;
use std::collections::BTreeSet;

#[test]
fn texts_numbers_and_truth_values_count() {
    for (text, expected) in [
        (r#"{"A":"x y","B":12,"C":true,"D":-1.5e+3}"#, "A=x y B=12 C=true D=-1.5e+3"),
        (r#"{"A":"\"\\\/\b\f\n\r\t\u0041\u00e9"}"#, r#"A="\/\x08\x0c\x0a\x0d\x09Aé"#),
        (r#"{"A":"\ud83d\ude00"}"#, "A=😀"),
        (" \n{ \"A\" : \"\" }\r\n", "A="),
        (r#"{"A":"1","\u0042":"2"}"#, "A=1 B=2"),
        ("{}", ""),
    ] {
        assert_eq!(found(Json, text), expected, "{text}");
    }
}

#[test]
fn what_is_no_text_is_left() {
    for (text, expected) in [
        ("{\n\"A\":null,\n\"B\":[1,{}],\n\"C\":{\"a\":[]}}", "2:A:NotText 3:B:NotText 4:C:NotText"),
        (r#"{"a-b":"x","PATH":"x"}"#, "1:a-b:BadName 1:PATH:Reserved"),
        (r#"{"A":"\ud800","B":"\u0000"}"#, "1:A:Encoding 1:B:Nul"),
        (r#"{"A":"x","A":null}"#, "1:A:NotText 1:A:Again(1)"),
        (r#"{"A\u001b[":"x"}"#, r"1:A\x1b[:BadName"),
    ] {
        assert_eq!(left(Json, text), expected, "{text}");
        assert_eq!(found(Json, text), "", "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        "[]",
        "{",
        "{\"A\"}",
        "{\"A\":}",
        "{\"A\":1,}",
        "{,}",
        "{\"A\":01}",
        "{\"A\":1.}",
        "{\"A\":tru}",
        "{\"A\":\"\\x\"}",
        "{\"A\":\"\\u12\"}",
        "{\"A\":\"a\nb\"}",
        "{} x",
        "{\"A\":1 \"B\":2}",
        "{'A':1}",
    ] {
        assert_eq!(
            parse(Json, text.as_bytes()).err().map(|e| e.fault),
            Some(Fault::NotJson),
            "{text}"
        );
    }
    let unclosed = parse(Json, b"{\n\"A\":\"x").err().map(|e| (e.line, e.fault));
    assert_eq!(unclosed, Some((2, Fault::Unclosed)));
    let deep = format!("{{\"A\":{}", "[".repeat(100_000));
    assert_eq!(parse(Json, deep.as_bytes()).err().map(|e| e.fault), Some(Fault::Deep));
}

#[test]
fn the_other_members_stay_byte_for_byte() {
    let text = "{\n  \"A\": \"1\",\n  \"B\": 2.0e0,\n  \"C\": null,\n  \"D\": \"\\u0034\"\n}\n";
    for (sealed, expected) in [
        ("A", "{\n  \"B\": 2.0e0,\n  \"C\": null,\n  \"D\": \"\\u0034\"\n}\n"),
        ("B", "{\n  \"A\": \"1\",\n  \"C\": null,\n  \"D\": \"\\u0034\"\n}\n"),
        ("D", "{\n  \"A\": \"1\",\n  \"B\": 2.0e0,\n  \"C\": null\n}\n"),
        ("A B", "{\n  \"C\": null,\n  \"D\": \"\\u0034\"\n}\n"),
        ("A D", "{\n  \"B\": 2.0e0,\n  \"C\": null\n}\n"),
        ("B D", "{\n  \"A\": \"1\",\n  \"C\": null\n}\n"),
        ("A B D", "{\n  \"C\": null\n}\n"),
        ("", text),
    ] {
        let file = read(Json, text.as_bytes());
        let chosen = sealed.split_whitespace().filter_map(|v| EnvName::new(v).ok());
        let out = rewrite(&file, text.as_bytes(), &chosen.collect::<BTreeSet<_>>());
        assert_eq!(String::from_utf8_lossy(&out), expected, "{sealed}");
        read(Json, &out);
    }
    let only = b"{\"A\": \"1\", \"B\": \"2\"}";
    let out = rewrite(&read(Json, only), only, &super::all(&read(Json, only)));
    assert_eq!(*out, b"{}");
}
