//! Manifests: parsed, and bound to more.

use keyagent_wire::frame::NAMES_MAX;
use keyagent_wire::request::{Bind, Binding};
use keyagent_wire::{EnvName, ManifestFault, ProfileName, Refusal, SecretName};
use keyagentd::manifest::{MANIFEST_BYTES_MAX, Manifest, edit, parse};

/// Parses the bytes, tells the fault's place, or adds bindings and reads them back.
pub fn run(data: &[u8]) {
    match parse(data) {
        Ok(manifest) => {
            assert!(data.len() <= MANIFEST_BYTES_MAX, "it is not too large");
            assert!(manifest.entries().count() <= NAMES_MAX, "it binds no more than a frame holds");
            resolve(&manifest);
            let text = std::str::from_utf8(data).expect("it was parsed");
            bind(text, &manifest);
        }
        Err(fault) => {
            assert!(fault.offset <= data.len(), "the fault is in the file");
            let Refusal::Manifest { line, column, .. } = fault.refusal(data) else {
                panic!("a fault is a refusal of the manifest");
            };
            let lines = data.iter().filter(|b| **b == b'\n').count() + 1;
            assert!((1..=lines).contains(&(line as usize)), "the line is in the file");
            assert!(column >= 1, "columns are counted from 1");
        }
    }
}

/// Each profile has all of `[env]`, no variable twice, and no secret that is not shown.
fn resolve(manifest: &Manifest) {
    let shown = manifest.secrets();
    let profiles = manifest.profiles.iter().map(|(name, _)| Some(name));
    for profile in profiles.chain([None]) {
        let entries = manifest.resolve(profile, &[]).expect("the profile is there");
        for (at, entry) in entries.iter().enumerate() {
            assert!(shown.contains(&entry.binding.secret), "what is handed out was shown");
            let twice = entries[..at].iter().any(|e| e.binding.var == entry.binding.var);
            assert!(!twice, "a variable has one value");
        }
        for plain in &manifest.env {
            assert!(entries.iter().any(|e| e.binding.var == plain.binding.var), "all of [env]");
        }
    }
}

/// What was bound stays, what is added is there, and adding it again changes nothing.
fn bind(text: &str, old: &Manifest) {
    let bind = wanted(old);
    let new = edit::bind(Some(text), &bind).expect("a manifest that parses can be added to");
    let parsed = match parse(new.as_bytes()) {
        Ok(parsed) => parsed,
        Err(fault) => {
            let known = [ManifestFault::TooManyNames, ManifestFault::TooLarge];
            assert!(known.contains(&fault.fault), "what is written is a manifest: {fault:?}");
            return;
        }
    };
    assert_eq!(parsed.project, old.project);
    assert_eq!(parsed.profiles, old.profiles);
    for binding in &bind.bindings {
        assert!(parsed.env.iter().any(|e| e.binding == *binding), "what was asked for is bound");
    }
    for entry in &old.env {
        let asked = bind.bindings.iter().any(|b| b.var == entry.binding.var);
        assert!(asked || parsed.env.contains(entry), "what was bound stays");
    }
    assert!(edit::bind(Some(&new), &bind).as_deref() == Some(&*new), "once is enough");
}

/// One variable that is new, and one that the manifest has already.
fn wanted(old: &Manifest) -> Bind {
    let var = |name| EnvName::new(name).expect("it is a variable");
    let secret = SecretName::new("fuzz/added").expect("it is a name");
    let mut bindings = vec![Binding { var: var("FUZZ_ADDED"), secret: secret.clone() }];
    bindings
        .extend(old.env.first().map(|entry| Binding { var: entry.binding.var.clone(), secret }));
    bindings.dedup_by(|a, b| a.var == b.var);
    Bind { project: ProfileName::new("fuzz").expect("it is a name"), bindings }
}
