//! The format: what goes in comes out, and nobody else's vault is believed.

use super::*;
use crate::vault::change::{Change, Put, Staged};
use crate::vault::sealed::Opening;
use keyagent_wire::request::Clash;

fn sealed(value: &[u8], kind: Kind) -> Sealed {
    Opening::begin();
    Sealed::of(&Value::new(value).expect("a value"), kind).expect("there is a data key")
}

fn put(name: &str, value: &[u8]) -> Staged {
    Staged::Put(Put {
        name: SecretName::new(name).expect("a name"),
        value: sealed(value, Kind::Version),
        clash: Clash::NewVersion,
        exec_only: Some(true),
        confirm: Some(Confirm::Session),
        note: Note::new("for é"),
    })
}

fn filled(identity: &Identity) -> Vault {
    let mut vault = Vault::new("00".into(), vec![identity.recipient()]);
    let original = Original { parts: vec![sealed(b"A=1\n", Kind::Original)], after: [7; 32] };
    let grant = Grant {
        directory: Directory { device: 1, inode: 2, path: b"/a/\xff".to_vec() },
        manifest: [9; 32],
        secrets: [SecretName::new("a/B").expect("a name")].into(),
        channels: [Channel::Exec].into(),
        created: 5,
    };
    for change in [
        Change::Put(vec![
            put("a/B", b"one"),
            put("c", b"\xff\x01\"\\"),
            Staged::Original(b"/f".to_vec(), original.into()),
        ]),
        Change::Put(vec![put("a/B", b"two")]),
        Change::Allow(grant),
    ] {
        vault =
            change.apply(&vault, 3).unwrap_or_else(|_| panic!("it applies")).0.expect("it changes");
    }
    vault
}

fn open(value: &Sealed) -> Vec<u8> {
    value.expose_copy().expect("there is a data key").to_vec()
}

#[test]
fn what_goes_in_comes_out() {
    let identity = Identity::generate();
    let vault = filled(&identity);
    let plain = write(&vault, &identity).expect("there is a data key");
    assert_eq!(plain.len() % PADDING_BYTES, 0);
    let again = read(&plain, &identity).unwrap_or_else(|_| panic!("we wrote it"));
    assert_eq!(write(&again, &identity).as_deref(), Ok(&*plain));
    assert_eq!(check(&plain, &identity), Ok(3));
    let versions = &again.secrets["a/B"].versions;
    let values: Vec<_> = versions.iter().map(|v| open(&v.value)).collect();
    assert_eq!(values, [b"one".as_slice(), b"two"]);
    assert_eq!(open(&again.secrets["c"].versions[0].value), b"\xff\x01\"\\");
    assert_eq!(again.grants, vault.grants);
    assert_eq!(again.generation, 3);
}

#[test]
fn a_vault_of_another_hand_is_forged() {
    let identity = Identity::generate();
    let plain = write(&filled(&identity), &identity).expect("there is a data key");
    assert_eq!(read(&plain, &Identity::generate()).err(), Some(Unread::Fault(VaultFault::Forged)));
    let text = String::from_utf8_lossy(&plain).replace("\"generation\":3", "\"generation\":4");
    assert_eq!(read(text.as_bytes(), &identity).err(), Some(Unread::Fault(VaultFault::Forged)));
}

#[test]
fn a_newer_format_says_so_before_anything_else() {
    let identity = Identity::generate();
    let newer = br#"{"format":3,"seal":"of another kind"}"#;
    assert_eq!(read(newer, &identity).err(), Some(Unread::Fault(VaultFault::NewerFormat(3))));
    assert_eq!(read(b"{}", &identity).err(), Some(MALFORMED));
    assert_eq!(read(b"", &identity).err(), Some(MALFORMED));
}
