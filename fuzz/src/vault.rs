//! The vault file, as the agent opens it: age, the MAC, the JSON inside.
//!
//! The identity is made of a constant, and has never sealed anything but this.

use bech32::{Bech32, Hrp};
use hmac::Mac;
use keyagentd::vault::sealed::Opening;
use keyagentd::vault::{format, seal};
use std::sync::LazyLock;

/// Made from bytes, so that nobody takes its text for a key that has leaked.
static IDENTITY: LazyLock<seal::Identity> = LazyLock::new(|| {
    let prefix = Hrp::parse("age-secret-key-").expect("it is age's own");
    let text = bech32::encode_upper::<Bech32>(prefix, &[7; 32]).expect("it is short");
    // Values are sealed in memory as they are read.
    Opening::begin();
    seal::Identity::parse(text.as_bytes()).unwrap_or_else(|_| panic!("it is an identity"))
});

/// The first byte says as what the rest is taken.
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 4 {
        0 => file(rest),
        1 => file(&seal::seal(rest, &[IDENTITY.recipient()])),
        2 => file(&seal::seal(&signed(rest), &[IDENTITY.recipient()])),
        _ => plain(&signed(rest)),
    }
}

/// A vault's body with its right MAC, as only the owner of the identity can write it.
fn signed(body: &[u8]) -> Vec<u8> {
    let format = format::FORMAT.to_string();
    let mac = IDENTITY.mac(&[format.as_bytes(), b"\n", body]).finalize().into_bytes();
    let head = format!("{{\"format\":{format},\"mac\":\"{}\",\"vault\":", format::hex(&mac));
    [head.as_bytes(), body, b"}"].concat()
}

fn file(bytes: &[u8]) {
    let measured = seal::measure(bytes);
    let unsealed = seal::unseal(bytes, &IDENTITY);
    if let (Err(fault), Some(other)) = (measured, unsealed.as_ref().err()) {
        assert_eq!(fault, *other, "what is measured is not parsed");
    }
    assert!(measured.is_ok() || unsealed.is_err(), "what is measured is not parsed");
    if let Ok(bytes) = unsealed {
        plain(&bytes);
    }
}

/// What is read is written, and what is written is read as the same.
fn plain(bytes: &[u8]) {
    let Ok(vault) = format::read(bytes, &IDENTITY) else { return };
    let written = format::write(&vault, &IDENTITY).expect("there is a data key");
    assert!(format::check(&written, &IDENTITY).is_ok(), "it is ours");
    let Ok(again) = format::read(&written, &IDENTITY) else { panic!("we wrote it") };
    let twice = format::write(&again, &IDENTITY).expect("there is a data key");
    assert!(*twice == *written, "it is the same vault");
}
