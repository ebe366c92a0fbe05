//! What two vaults would hand out differently: to whom, and of what. Pure.

use super::{Secret, Vault};
use crate::grant::Grant;
use keyagent_wire::SecretName;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What changed between two vaults.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Secrets that are new, gone, have another value, or may leave by another channel.
    pub secrets: BTreeSet<SecretName>,
    /// Paths of the directories whose project would get something else, or nothing any more.
    pub directories: BTreeSet<Vec<u8>>,
}

impl Difference {
    /// Compares what is handed out. A note, or what an import keeps, makes no difference.
    pub fn between(old: &Vault, new: &Vault) -> Self {
        let secrets = secrets(old, new);
        let path = |grant: &Grant| grant.directory.path.clone();
        let trusted = lacking(&new.grants, &old.grants).chain(lacking(&old.grants, &new.grants));
        let concerned = new.grants.iter().filter(|grant| !grant.secrets.is_disjoint(&secrets));
        let directories = trusted.chain(concerned).map(path).collect();
        Self { secrets, directories }
    }
}

/// The grants of the first list that the second has not.
fn lacking<'a>(of: &'a [Grant], from: &'a [Grant]) -> impl Iterator<Item = &'a Grant> {
    of.iter().filter(|grant| !from.contains(grant))
}

fn secrets(old: &Vault, new: &Vault) -> BTreeSet<SecretName> {
    let other = |name: &SecretName, secret: &Arc<Secret>, in_vault: &Vault| match in_vault
        .secrets
        .get(name)
    {
        Some(counterpart) => !is_same(secret, counterpart),
        None => true,
    };
    let changed = new.secrets.iter().filter(|(name, secret)| other(name, secret, old));
    let gone = old.secrets.keys().filter(|name| !new.has(name));
    changed.map(|(name, _)| name).chain(gone).cloned().collect()
}

/// A vault that was changed here shares all secrets but the changed ones with the one before;
/// one that was read again shares none. After a lock no two values are the same.
fn is_same(a: &Arc<Secret>, b: &Arc<Secret>) -> bool {
    let (x, y) = (a.active(), b.active());
    Arc::ptr_eq(a, b)
        || a.kept_from_shells() == b.kept_from_shells()
            && a.exec_only == b.exec_only
            && x.number == y.number
            && x.value.same_as(&y.value) == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Directory;
    use crate::vault::change::{Change, Put, Staged};
    use crate::vault::sealed::{Kind, Opening, Sealed};
    use keyagent_wire::request::Clash;
    use keyagent_wire::{Note, Value};

    fn name(text: &str) -> SecretName {
        SecretName::new(text).expect("a name")
    }

    fn after(vault: &Vault, change: Change) -> Vault {
        let (next, _) = change.apply(vault, 7).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        next.unwrap_or_else(|| vault.clone())
    }

    fn put(vault: &Vault, secret: &str, value: &[u8], exec_only: bool, note: &str) -> Vault {
        Opening::begin();
        let value = Value::new(value).expect("a value");
        let put = Put {
            name: name(secret),
            value: Sealed::of(&value, Kind::Version).expect("there is a data key"),
            clash: Clash::NewVersion,
            exec_only: Some(exec_only),
            confirm: None,
            note: Note::new(note),
        };
        after(vault, Change::Put(vec![Staged::Put(put)]))
    }

    fn allow(vault: &Vault, path: &str, secrets: &[&str]) -> Vault {
        after(
            vault,
            Change::Allow(Grant {
                directory: Directory { device: 1, inode: 2, path: path.into() },
                manifest: [0; 32],
                secrets: secrets.iter().map(|secret| name(secret)).collect(),
                channels: [].into(),
                created: 0,
            }),
        )
    }

    fn concerned(old: &Vault, new: &Vault) -> Vec<String> {
        let text = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
        Difference::between(old, new).directories.iter().map(text).collect()
    }

    #[test]
    fn only_those_who_would_get_something_else_are_told() {
        let empty = Vault::new(String::new(), Vec::new());
        let vault = put(&put(&empty, "a", b"1", false, ""), "b", b"1", false, "");
        let vault = allow(&allow(&vault, "/a", &["a", "absent"]), "/b", &["b"]);
        assert_eq!(concerned(&vault, &put(&vault, "a", b"2", false, "")), ["/a"]);
        assert_eq!(concerned(&vault, &put(&vault, "b", b"1", true, "")), ["/b"]);
        assert_eq!(concerned(&vault, &put(&vault, "absent", b"1", false, "")), ["/a"]);
        assert_eq!(concerned(&vault, &put(&vault, "other", b"1", false, "")), [""; 0]);
        assert_eq!(concerned(&vault, &put(&vault, "a", b"1", false, "a note")), [""; 0]);
        let removed = after(&vault, Change::Remove(vec![name("a")]));
        assert_eq!(concerned(&vault, &removed), ["/a"]);
        assert_eq!(concerned(&vault, &allow(&vault, "/c", &[])), ["/c"]);
        let denied = Directory { device: 9, inode: 9, path: b"/b".to_vec() };
        assert_eq!(concerned(&vault, &after(&vault, Change::Deny(denied))), ["/b"]);
    }

    #[test]
    fn a_vault_that_was_read_again_is_compared_by_what_is_in_it() {
        let empty = || Vault::new(String::new(), Vec::new());
        let (one, same) =
            (put(&empty(), "a", b"1", false, ""), put(&empty(), "a", b"1", false, "n"));
        assert_eq!(Difference::between(&one, &same), Difference::default());
        let other = put(&empty(), "a", b"2", false, "");
        assert_eq!(Difference::between(&one, &other).secrets, [name("a")].into());
    }
}
