//! T59: what is no vault file is refused in no time, however long its header is.

mod cpu;

use keyagent_wire::VaultFault;
use keyagentd::vault::seal::{HEADER_BYTES_MAX, Identity, seal, unseal};
use std::time::Duration;

/// age's own parser, which is quadratic, takes seconds to minutes for these.
const TIME_MAX: Duration = Duration::from_millis(50);
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

fn fault_at_once(what: &str, file: &[u8], fault: VaultFault) {
    let identity = Identity::generate();
    let begun = cpu::time();
    let found = unseal(file, &identity).err();
    let took = cpu::time() - begun;
    assert_eq!(found, Some(fault), "{what}");
    assert!(took <= TIME_MAX, "{what} took {took:?}");
}

#[test]
fn t59_a_hostile_header_costs_nothing() {
    let line = [&[b'A'; 64][..], b"\n"].concat();
    let stanza = |bytes: usize| {
        let lines = line.repeat(bytes / line.len());
        [MAGIC, b"-> X25519 a\n", &lines, b"\n--- x\n"].concat()
    };
    let argument = |bytes: usize| [MAGIC, b"-> X25519 ", &vec![b'A'; bytes]].concat();
    let too_large = VaultFault::HeaderTooLarge;
    fault_at_once("a header of 16 KiB + 1", &argument(HEADER_BYTES_MAX + 1), too_large);
    fault_at_once("a stanza of 1.5 MB", &stanza(1_500_000), too_large);
    fault_at_once("a body of 1 MiB", &stanza(1 << 20), too_large);
    fault_at_once("10 MB without a line", &argument(10_000_000), too_large);
    let many = [MAGIC, &b"-> X a\nAAAA\n".repeat(100_000), b"--- x\n"].concat();
    fault_at_once("100,000 stanzas", &many, too_large);
    fault_at_once("a file of the largest size", &vec![b'A'; 16 << 20], VaultFault::NotAge);
    let stanzas = |count: usize| {
        [MAGIC, &[&b"-> X "[..], &[b'a'; 110], b"\n\n"].concat().repeat(count), b"--- AAAA\n"]
            .concat()
    };
    fault_at_once("more stanzas than are looked at", &stanzas(128), too_large);
    fault_at_once("as many as are looked at", &stanzas(127), VaultFault::Corrupt);
    let lines = [MAGIC, &b"-> X a\n\n".repeat(1_900), b"--- AAAA\n"].concat();
    assert!(lines.len() < HEADER_BYTES_MAX, "it is short");
    fault_at_once("nothing but lines", &lines, too_large);
    let full = stanza(16_000);
    assert!(full.len() < HEADER_BYTES_MAX, "it is looked at");
    fault_at_once("the longest stanza that is looked at", &full, VaultFault::Corrupt);
}

/// The payload is authenticated before it is believed: none of a file that is cut or changed
/// comes out, however much of it is whole.
#[test]
fn t59_a_long_payload_is_released_whole_or_not_at_all() {
    let identity = Identity::generate();
    let file = seal(&vec![b'x'; 1 << 20], &[identity.recipient()]);
    assert!(unseal(&file, &identity).is_ok_and(|plain| plain.len() == 1 << 20));
    let mut changed = file.clone();
    *changed.last_mut().expect("it has bytes") ^= 1;
    assert_eq!(unseal(&changed, &identity).err(), Some(VaultFault::Corrupt));
    assert_eq!(unseal(&file[..file.len() - 1], &identity).err(), Some(VaultFault::Corrupt));
}
