//! What `export --hook` prints: to be evaluated by direnv's bash or by the hook of a shell, or,
//! for Nushell, as data.
//!
//! Composed in one wiped buffer in which there is room for every value before the first is
//! written.

use super::{Reader, Stand};
use crate::project::{self, Project};
use crate::record::{self, Record};
use crate::stamp::Stamp;
use crate::watches::{self, Watched};
use crate::{json, quote, report};
use keyagent_wire::ProfileName;
use keyagent_wire::reply::Loaded;
use keyagent_wire::request::Binding;
use std::env;
use std::os::unix::ffi::OsStrExt;
use zeroize::Zeroizing;

/// The most that a word has beside its bytes: its quotes, and what stands before it.
const WORD_BYTES_MAX: usize = 32;

/// What direnv keeps its list of watched files in, and hands to an .envrc.
const WATCHES: &str = "DIRENV_WATCHES";

/// First what is to be watched, whatever came of the keys; then the keys.
pub(super) fn compose(
    reader: Reader,
    stand: Option<&Stand>,
    profile: Option<&ProfileName>,
    env: Option<&[Loaded]>,
) -> Zeroizing<Vec<u8>> {
    let loaded = stand.zip(env).map(|(stand, env)| (env, record(stand, profile, env)));
    let mut out = Zeroizing::new(Vec::new());
    match reader {
        Reader::Direnv => {
            watch(&mut out, stand.map(|s| &s.project), stand.and_then(|s| s.stamp.as_ref()));
        }
        Reader::Nu => {
            object(&mut out, mark(stand), loaded);
            return out;
        }
        _ => command(&mut out, reader, "__keyagent_begin", &[mark(stand)]),
    }
    let Some((env, record)) = loaded else { return out };
    out.reserve(room(env, &record));
    for loaded in env {
        put(&mut out, reader, loaded);
    }
    end(&mut out, reader, &record);
    if reader == Reader::Direnv {
        name_overridden(env);
    }
    out
}

/// Empty if there is none: then there are no keys, and a shell looks at the manifest alone.
fn mark(stand: Option<&Stand>) -> &[u8] {
    stand.and_then(|s| s.mark.as_ref()).map_or(b"", |mark| mark.as_os_str().as_bytes())
}

fn record(stand: &Stand, profile: Option<&ProfileName>, env: &[Loaded]) -> Record {
    Record {
        profile: stand.profile(profile).cloned(),
        bindings: env.iter().map(|l| (l.binding.clone(), l.version)).collect(),
        directory: stand.project.path(),
    }
}

/// What a buffer that has no value yet has to have room for, so that it never grows and leaves
/// a copy behind.
fn room(env: &[Loaded], record: &Record) -> usize {
    let word = |bytes: usize| WORD_BYTES_MAX + bytes * quote::GROWTH_MAX;
    let one = |l: &Loaded| word(l.binding.var.as_str().len()) + word(l.value.byte_count());
    2 * WORD_BYTES_MAX + word(record.text().len()) + env.iter().map(one).sum::<usize>()
}

/// All of it as one JSON object: `{"mark":…,"env":{VAR:VALUE…},"record":…}`, the last two null
/// if nothing is to be loaded.
fn object(out: &mut Vec<u8>, mark: &[u8], loaded: Option<(&[Loaded], Record)>) {
    out.extend_from_slice(b"{\"mark\":");
    json::string(out, std::str::from_utf8(mark).unwrap_or_default());
    out.extend_from_slice(b",\"env\":");
    let Some((env, record)) = loaded else {
        out.extend_from_slice(b"null,\"record\":null}\n");
        return;
    };
    out.reserve(room(env, &record));
    let text = |bytes| std::str::from_utf8(bytes).expect("what is not text was refused before");
    for (index, loaded) in env.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        json::string(out, loaded.binding.var.as_str());
        out.push(b':');
        json::string(out, text(loaded.value.expose()));
    }
    out.extend_from_slice(if env.is_empty() { b"{}" } else { b"}" });
    out.extend_from_slice(b",\"record\":");
    json::string(out, text(record.text().as_bytes()));
    out.extend_from_slice(b"}\n");
}

/// What direnv is to watch: the manifest, or where one would be; and the stamp.
pub(super) fn watch(out: &mut Vec<u8>, project: Option<&Project>, stamp: Option<&Stamp>) {
    let directory = project.map_or_else(|| env::current_dir().unwrap_or_default(), Project::path);
    let manifest = directory.join(project::MANIFEST);
    let mut files = vec![Watched { path: &manifest, changed: project.and_then(Project::changed) }];
    files.extend(stamp.map(|s| Watched { path: &s.path, changed: Some(s.changed) }));
    let list = env::var_os(WATCHES);
    match list.and_then(|list| watches::extend(list.as_bytes(), &files)) {
        Some(list) => export(out, WATCHES, list.as_bytes()),
        None => {
            let paths: Vec<_> = files.iter().map(|f| f.path.as_os_str().as_bytes()).collect();
            command(out, Reader::Direnv, "watch_file", &paths);
        }
    }
}

fn put(out: &mut Vec<u8>, reader: Reader, loaded: &Loaded) {
    let (var, value) = (loaded.binding.var.as_str(), loaded.value.expose());
    match reader {
        Reader::Direnv => export(out, var, value),
        _ => command(out, reader, "__keyagent_put", &[var.as_bytes(), value]),
    }
}

/// Where `use_keyagent` runs and direnv does not, nobody would take the record out again.
fn end(out: &mut Vec<u8>, reader: Reader, record: &Record) {
    let record = record.text();
    match reader {
        Reader::Direnv if env::var_os(WATCHES).is_none() => {}
        Reader::Direnv => export(out, record::BY_DIRENV, record.as_bytes()),
        _ => command(out, reader, "__keyagent_end", &[record.as_bytes()]),
    }
}

fn export(out: &mut Vec<u8>, var: &str, value: &[u8]) {
    out.extend_from_slice(b"export ");
    out.extend_from_slice(var.as_bytes());
    out.push(b'=');
    quote::posix(out, value);
    out.push(b'\n');
}

fn command(out: &mut Vec<u8>, reader: Reader, name: &str, words: &[&[u8]]) {
    out.extend_from_slice(name.as_bytes());
    for word in words {
        out.push(b' ');
        match reader {
            Reader::Fish => quote::fish(out, word),
            _ => quote::posix(out, word),
        }
    }
    out.push(b'\n');
}

/// A variable that the user had already, with another value, is named. The hooks of shells
/// do that themselves: they also see what is not exported.
fn name_overridden(env: &[Loaded]) {
    let ours = record::of_environment();
    for Loaded { binding: Binding { var, .. }, value, .. } in env {
        let had = env::var_os(var.as_str()).filter(|_| !ours.iter().any(|r| r.names(var)));
        if had.is_some_and(|had| had.as_bytes() != value.expose()) {
            report::note(format!("`{var}` was set already; it has the vault's value now"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyagent_wire::{EnvName, SecretName, Value};
    use std::path::PathBuf;

    fn loaded(pairs: &[(&str, &[u8])]) -> Vec<Loaded> {
        let one = |(var, value): &(&str, &[u8])| Loaded {
            binding: Binding {
                var: EnvName::new(*var).expect("a name"),
                secret: SecretName::new("s".repeat(128)).expect("a name"),
            },
            version: u32::MAX,
            value: Value::new(value).expect("a value"),
        };
        pairs.iter().map(one).collect()
    }

    fn record(env: &[Loaded]) -> Record {
        Record {
            profile: ProfileName::new("p".repeat(128)).ok(),
            bindings: env.iter().map(|l| (l.binding.clone(), l.version)).collect(),
            directory: PathBuf::from("/"),
        }
    }

    /// What is written once there is a value, and how much room there was for it.
    fn written(env: &[Loaded], write: impl Fn(&mut Vec<u8>, &Record)) -> (usize, usize) {
        let record = record(env);
        let mut out = Vec::new();
        write(&mut out, &record);
        (out.len(), room(env, &record))
    }

    #[test]
    fn there_is_room_for_all_that_is_written() {
        let long = "A".repeat(128);
        for value in [&b"\x01"[..], b"\"", b"'", b"", "é".as_bytes()] {
            let value = value.repeat(5_000);
            let env = loaded(&[(&long, &value), ("B", &value), ("C", b"")]);
            for reader in [Reader::Direnv, Reader::Posix, Reader::Fish] {
                let (bytes, room) = written(&env, |out, record| {
                    env.iter().for_each(|loaded| put(out, reader, loaded));
                    end(out, reader, record);
                });
                assert!(bytes <= room, "{bytes} of {room}");
            }
            let (bytes, room) =
                written(&env, |out, _| object(out, b"", Some((&env, super::tests::record(&env)))));
            assert!(bytes <= room, "{bytes} of {room}");
        }
    }

    #[test]
    fn the_object_is_json() {
        let object = |env: Option<&[Loaded]>| {
            let mut out = Vec::new();
            object(&mut out, b"/s\n", env.map(|env| (env, record(env))));
            String::from_utf8(out).expect("UTF-8")
        };
        let text = object(Some(&loaded(&[("A", b"it\"s\n"), ("B", b"")])));
        let rest = text.strip_prefix("{\"mark\":\"/s\\n\",\"env\":").expect("it begins so");
        assert!(rest.starts_with("{\"A\":\"it\\\"s\\n\",\"B\":\"\"},\"record\":\"ppp"), "{rest}");
        assert!(object(Some(&[])).contains("\"env\":{},\""));
        assert!(object(None).ends_with("\"env\":null,\"record\":null}\n"));
    }
}
