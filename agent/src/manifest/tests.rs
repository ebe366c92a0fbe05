//! Manifests: what they say, what they may not, and where the fault is.

use super::*;
use keyagent_wire::NameError;
use keyagent_wire::request::Bind;

const PLAIN: &str = r#"project = "acme-web"

[env]
OPENAI_API_KEY = "acme-web/OPENAI_API_KEY"
DATABASE_URL   = { secret = "pg/acme-dev", optional = true }

[profile.prod.env]
OPENAI_API_KEY = "acme-web/prod/OPENAI_API_KEY"
EXTRA = "x"
"#;

fn names(entries: &[Entry]) -> Vec<(&str, &str)> {
    entries.iter().map(|e| (e.binding.var.as_str(), e.binding.secret.as_str())).collect()
}

#[test]
fn a_profile_adds_and_overrides() {
    let manifest = parse(PLAIN.as_bytes()).expect("it obeys the rules");
    assert_eq!(manifest.project.as_ref().map(ProfileName::as_str), Some("acme-web"));
    let plain = manifest.resolve(None, &[]).expect("the plain env");
    assert_eq!(
        names(&plain),
        [("OPENAI_API_KEY", "acme-web/OPENAI_API_KEY"), ("DATABASE_URL", "pg/acme-dev")]
    );
    assert!(plain[1].optional);
    let prod = ProfileName::new("prod").expect("a name");
    let only = [EnvName::new("EXTRA").expect("a name")];
    assert_eq!(
        names(&manifest.resolve(Some(&prod), &only).expect("there is one")),
        [("EXTRA", "x")]
    );
    assert_eq!(manifest.resolve(None, &only), Err(Refusal::Unbound(only[0].clone())));
    let other = ProfileName::new("other").expect("a name");
    assert_eq!(manifest.resolve(Some(&other), &[]), Err(Refusal::NoSuchProfile(other)));
    assert_eq!(manifest.secrets().len(), 4);
}

#[test]
fn every_fault_has_its_place() {
    use ManifestFault::*;
    let many: String = (0..257).map(|i| format!("A{i} = \"a\"\n")).collect();
    for (text, line, column, fault) in [
        ("projekt = \"a\"", 1, 1, UnknownKey),
        ("[env]\nA = \"a\"\nA = \"b\"", 3, 1, Duplicate),
        ("[env]\n\nA = 1", 3, 5, WrongType),
        ("[env]\nA = { secret = \"a\", path = \"/\" }", 2, 21, UnknownKey),
        ("[env]\nA = {}", 2, 5, Secret(NameError::Empty)),
        ("[env]\nLD_PRELOAD = \"a\"", 2, 1, Variable(NameError::Reserved)),
        ("[env]\nA = \"../a\"", 2, 5, Secret(NameError::Character)),
        ("[profile.\"a b\".env]\n", 1, 10, Profile(NameError::Character)),
        ("[profile.a]\nenv = { A = \"a\" }\nb = 1", 3, 1, UnknownKey),
        ("[env]\nA = \"a\u{202e}\"", 2, 7, Character),
        ("[env]\nA = \"a\x1b\"", 2, 7, Character),
        ("[env]\nA = ", 2, 5, Syntax),
        (&format!("[env]\n{many}"), 1, 1, TooManyNames),
    ] {
        let refusal = parse(text.as_bytes()).expect_err(text).refusal(text.as_bytes());
        assert_eq!(refusal, Refusal::Manifest { line, column, fault }, "{text}");
    }
    assert_eq!(parse(b"[env]\n\xff").map_err(|f| f.fault), Err(NotUtf8));
    assert_eq!(parse(&[b'#'; MANIFEST_BYTES_MAX + 1]).map_err(|f| f.fault), Err(TooLarge));
    assert!(parse(&[b'#'; MANIFEST_BYTES_MAX]).is_ok());
}

#[test]
fn bindings_are_added_and_the_rest_is_kept() {
    let binding = |var: &str, secret: &str| Binding {
        var: EnvName::new(var).expect("a name"),
        secret: SecretName::new(secret).expect("a name"),
    };
    let bind = |bindings| Bind { project: ProfileName::new("p").expect("a name"), bindings };
    let one = bind(vec![binding("NEW", "p/NEW")]);
    let text = edit::bind(Some(PLAIN), &one).expect("it parses");
    assert_eq!(text, PLAIN.replace("optional = true }\n", "optional = true }\nNEW = \"p/NEW\"\n"));
    let known = bind(vec![binding("DATABASE_URL", "pg/acme-dev")]);
    assert_eq!(edit::bind(Some(PLAIN), &known).as_deref(), Some(PLAIN));
    let new = edit::bind(None, &one).expect("a new one");
    assert_eq!(names(&parse(new.as_bytes()).expect("we wrote it").env), [("NEW", "p/NEW")]);
}
