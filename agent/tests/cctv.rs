//! T58: the age project's own test vectors (CCTV), through our guard and age. Each has its
//! verdict, within a second and 64 MiB, and none that fails releases anything.

mod cpu;

use keyagent_wire::{Value, VaultFault};
use keyagentd::vault::seal::{Identity, Unsealing, unseal, unseal_by_passphrase};
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit as inflate;
use sha2::{Digest, Sha256};
use std::fs;
use std::time::Duration;

const PACKED: &[u8] = include_bytes!("../../tests/cctv/vectors.z");
/// The longest vector, inflated, has 16 MiB and a little.
const VECTOR_BYTES_MAX: usize = 32 * 1024 * 1024;
const TIME_MAX: Duration = Duration::from_secs(1);
const MEMORY_KIB_MAX: u64 = 64 * 1024;

/// One vector: what its head says, and the file.
struct Vector {
    name: String,
    head: Vec<(String, String)>,
    file: Vec<u8>,
}

impl Vector {
    fn all() -> Vec<Self> {
        let all = inflate(PACKED, VECTOR_BYTES_MAX).expect("we packed them");
        let (mut rest, mut vectors) = (all.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (line, after) = split(rest, b"\n");
            let line = String::from_utf8_lossy(line).into_owned();
            let (name, bytes) = line.split_once(' ').expect("a name and a number");
            let (vector, after) = after.split_at(bytes.parse().expect("a number"));
            vectors.push(Self::read(name, vector));
            rest = after;
        }
        vectors
    }

    fn read(name: &str, bytes: &[u8]) -> Self {
        let (head, file) = split(bytes, b"\n\n");
        let head: Vec<_> = String::from_utf8_lossy(head)
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let mut vector = Self { name: name.to_owned(), head, file: file.to_vec() };
        if vector.says("compressed") == Some("zlib") {
            vector.file = inflate(file, VECTOR_BYTES_MAX).expect("it is zlib");
        }
        vector
    }

    fn all_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    fn says<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all_of(key).next()
    }

    /// Why its own verdict is not ours.
    fn is_not_for_us(&self) -> Option<&'static str> {
        let hybrid = |text: &str| text.starts_with("AGE-SECRET-KEY-PQ-");
        if self.all_of("armored").next().is_some() {
            Some("armored")
        } else if self.all_of("identity").any(hybrid) {
            Some("hybrid")
        } else {
            None
        }
    }

    /// What we make of it, with each key that it names in turn: the best that any came to.
    fn open(&self) -> Outcome {
        let by_identity = self.all_of("identity").map(|text| {
            Identity::parse(text.as_bytes()).map_or(Outcome::NoKey, |identity| {
                unseal(&self.file, &identity).map_or_else(Outcome::Fault, |p| Outcome::plain(&p))
            })
        });
        let by_passphrase = self.all_of("passphrase").map(|text| {
            let passphrase = Value::new(text.as_bytes()).expect("it is short");
            match unseal_by_passphrase(&self.file, &passphrase) {
                Unsealing::Plain(plain) => Outcome::plain(&plain),
                Unsealing::WrongPassphrase => Outcome::WrongPassphrase,
                Unsealing::Fault(fault) => Outcome::Fault(fault),
            }
        });
        let outcomes: Vec<_> = by_identity.chain(by_passphrase).collect();
        let plain = outcomes.iter().position(|o| matches!(o, Outcome::Plain(_)));
        outcomes.into_iter().nth(plain.unwrap_or(0)).unwrap_or_else(|| self.open_by_any())
    }

    /// Of a vector that names no key: what any other makes of it.
    fn open_by_any(&self) -> Outcome {
        unseal(&self.file, &Identity::generate())
            .map_or_else(Outcome::Fault, |plain| Outcome::plain(&plain))
    }
}

/// What became of a file.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It opened, and this is the SHA-256 of what is in it, in hex.
    Plain(String),
    WrongPassphrase,
    Fault(VaultFault),
    /// What the vector names is no identity of a kind that we have.
    NoKey,
}

impl Outcome {
    fn plain(plain: &[u8]) -> Self {
        Self::Plain(Sha256::digest(plain).iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Whether it is what a vector wants.
    fn is(&self, vector: &Vector) -> bool {
        use VaultFault::{Corrupt, NotAge, NotForUs, TooMuchWork};
        match vector.says("expect") {
            Some("success") => {
                matches!(self, Self::Plain(sha256) if Some(sha256.as_str()) == vector.says("payload"))
            }
            Some("no match") => matches!(self, Self::Fault(NotForUs) | Self::WrongPassphrase),
            Some("header failure") if vector.name == "scrypt_work_factor_23" => {
                *self == Self::Fault(TooMuchWork)
            }
            Some("header failure") => matches!(self, Self::Fault(Corrupt | NotAge)),
            Some("HMAC failure" | "payload failure") => *self == Self::Fault(Corrupt),
            other => panic!("{}: no verdict {other:?} is known", vector.name),
        }
    }
}

fn split<'a>(bytes: &'a [u8], by: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes.windows(by.len()).position(|w| w == by).expect("it is there");
    (&bytes[..at], &bytes[at + by.len()..])
}

/// A line of this process's status, in KiB: `VmHWM` is the most that it has had since
/// [`forget_peak`].
fn memory_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("it is there");
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse().expect("a number")
}

/// proc(5): from here on the peak is counted anew.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("it is our own");
}

/// The one test of this file, so that nothing else uses memory meanwhile.
#[test]
fn t58_every_vector_of_the_age_project_has_its_verdict() {
    let vectors = Vector::all();
    assert_eq!(vectors.len(), 143);
    let (mut opened, mut refused, mut armored, mut hybrid) = (0, 0, 0, 0);
    for vector in &vectors {
        forget_peak();
        let (before, begun) = (memory_kib("VmRSS"), cpu::time());
        let outcome = vector.open();
        let (took, used) = (cpu::time() - begun, memory_kib("VmHWM").saturating_sub(before));
        let name = &vector.name;
        assert!(took <= TIME_MAX, "{name} took {took:?}");
        assert!(used <= MEMORY_KIB_MAX, "{name} used {used} KiB");
        match vector.is_not_for_us() {
            // Ours are not armored, and what is armored is not taken.
            Some("armored") => {
                let expected = [VaultFault::NotAge, VaultFault::Corrupt].map(Outcome::Fault);
                let no_key = outcome == Outcome::NoKey;
                assert!(no_key || expected.contains(&outcome), "{name}: {outcome:?}");
                armored += 1;
            }
            // There is no identity of that kind here, and no other opens it.
            Some(_) => {
                let other = vector.open_by_any();
                assert!(!matches!(outcome, Outcome::Plain(_)), "{name}: {outcome:?}");
                assert!(matches!(other, Outcome::Fault(_)), "{name}: {other:?}");
                hybrid += 1;
            }
            None => {
                assert!(outcome.is(vector), "{name}: {outcome:?}, not {:?}", vector.says("expect"));
                *(if matches!(outcome, Outcome::Plain(_)) { &mut opened } else { &mut refused }) +=
                    1;
            }
        }
    }
    assert_eq!((opened, refused, armored, hybrid), (15, 77, 33, 18));
}
