//! What is inside a vault file: `{"format":2,"mac":"…","vault":{…}}`, plain JSON, padded.
//!
//! age does not say who sealed a file, so the MAC, keyed from the identity, does: it covers
//! the format number and the very bytes of the `vault` member. A field that this format does
//! not know is an error, never dropped: a new field raises the format number.

use super::seal::{Identity, Recipient};
use super::sealed::{Kind, Locked, Sealed};
use super::{Original, Secret, Vault, Version};
use crate::grant::{Directory, Grant};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::Mac;
use keyagent_wire::reply::VersionState;
use keyagent_wire::{Channel, Confirm, Note, SecretName, Value, VaultFault};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The format that is written, and the newest that is read.
pub const FORMAT: u64 = 2;
/// Files are padded to a multiple of this, so that their size says little.
const PADDING_BYTES: usize = 4096;

#[derive(Deserialize)]
struct Peek {
    format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    format: u64,
    mac: Cow<'a, str>,
    #[serde(borrow)]
    vault: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    id: String,
    generation: u64,
    recipients: Vec<String>,
    #[serde(borrow)]
    secrets: BTreeMap<String, SecretBody<'a>>,
    grants: Vec<GrantBody>,
    #[serde(borrow)]
    originals: Vec<OriginalBody<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretBody<'a> {
    #[serde(borrow)]
    versions: Vec<VersionBody<'a>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    exec_only: bool,
    #[serde(default, skip_serializing_if = "ConfirmBody::is_none")]
    confirm: ConfirmBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionBody<'a> {
    number: u32,
    created: u64,
    state: StateBody,
    /// Text as it is.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    /// Bytes that are not UTF-8.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    value_base64: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum StateBody {
    Pending,
    Active,
    Grace,
    Revoked,
}

/// Since format 2.
#[derive(Serialize, Deserialize, Clone, Copy, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum ConfirmBody {
    #[default]
    None,
    Session,
    Always,
}

impl ConfirmBody {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    device: u64,
    inode: u64,
    path_base64: String,
    manifest_sha256: String,
    secrets: BTreeSet<String>,
    exec: bool,
    export: bool,
    created: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginalBody<'a> {
    path_base64: String,
    after: String,
    #[serde(borrow)]
    parts_base64: Vec<Cow<'a, str>>,
}

/// Why a vault could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// What is wrong with its file.
    Fault(VaultFault),
    /// It was locked meanwhile, so that its values could not be sealed.
    Locked,
}

impl From<VaultFault> for Unread {
    fn from(fault: VaultFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Locked> for Unread {
    fn from(_: Locked) -> Self {
        Self::Locked
    }
}

/// Writes a vault as the plain text of its file.
pub fn write(vault: &Vault, identity: &Identity) -> Result<Zeroizing<Vec<u8>>, Locked> {
    let body = serde_json::to_vec(&body_of(vault)?).expect("strings and numbers are JSON");
    let body = Zeroizing::new(body);
    let head = format!(
        "{{\"format\":{FORMAT},\"mac\":\"{}\",\"vault\":",
        hex(&mac(identity, FORMAT, &body))
    );
    let bytes = (head.len() + body.len() + 2).next_multiple_of(PADDING_BYTES);
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes));
    plain.extend_from_slice(head.as_bytes());
    plain.extend_from_slice(&body);
    plain.push(b'}');
    plain.resize(bytes - 1, b' ');
    plain.push(b'\n');
    Ok(plain)
}

/// Reads the plain text of a vault file, and who wrote it.
pub fn read(plain: &[u8], identity: &Identity) -> Result<Vault, Unread> {
    vault_of(body_in(plain, identity)?)
}

/// Looks whether that is the plain text of a vault file that we wrote: its generation.
pub fn check(plain: &[u8], identity: &Identity) -> Result<u64, VaultFault> {
    body_in(plain, identity).map(|body| body.generation)
}

fn body_in<'a>(plain: &'a [u8], identity: &Identity) -> Result<Body<'a>, VaultFault> {
    let peek: Peek = serde_json::from_slice(plain).map_err(|_| VaultFault::Malformed)?;
    if peek.format > FORMAT {
        return Err(VaultFault::NewerFormat(peek.format));
    }
    let envelope: Envelope<'_> =
        serde_json::from_slice(plain).map_err(|_| VaultFault::Malformed)?;
    let body = envelope.vault.get().as_bytes();
    let claimed = unhex(&envelope.mac).ok_or(VaultFault::Malformed)?;
    let expected = identity.mac(&mac_parts(&envelope.format.to_string(), body));
    expected.verify_slice(&claimed).map_err(|_| VaultFault::Forged)?;
    serde_json::from_slice(body).map_err(|_| VaultFault::Malformed)
}

fn mac(identity: &Identity, format: u64, body: &[u8]) -> [u8; 32] {
    identity.mac(&mac_parts(&format.to_string(), body)).finalize().into_bytes().into()
}

fn mac_parts<'a>(format: &'a str, body: &'a [u8]) -> [&'a [u8]; 3] {
    [format.as_bytes(), b"\n", body]
}

fn body_of(vault: &Vault) -> Result<Body<'static>, Locked> {
    let secrets = vault.secrets.iter();
    let originals = vault.originals.iter();
    Ok(Body {
        id: vault.id.clone(),
        generation: vault.generation,
        recipients: vault.recipients.iter().map(Recipient::text).collect(),
        secrets: secrets
            .map(|(name, secret)| Ok((name.to_string(), secret_body(secret)?)))
            .collect::<Result<_, _>>()?,
        grants: vault.grants.iter().map(grant_body).collect(),
        originals: originals
            .map(|(path, original)| original_body(path, original))
            .collect::<Result<_, _>>()?,
    })
}

fn secret_body(secret: &Secret) -> Result<SecretBody<'static>, Locked> {
    Ok(SecretBody {
        versions: secret.versions.iter().map(|v| version_body(v)).collect::<Result<_, _>>()?,
        exec_only: secret.exec_only,
        confirm: confirm_body(secret.confirm),
        note: secret.note.as_ref().map(|n| n.as_str().to_owned()),
    })
}

fn confirm_body(confirm: Confirm) -> ConfirmBody {
    match confirm {
        Confirm::None => ConfirmBody::None,
        Confirm::Session => ConfirmBody::Session,
        Confirm::Always => ConfirmBody::Always,
    }
}

fn confirm_of(body: ConfirmBody) -> Confirm {
    match body {
        ConfirmBody::None => Confirm::None,
        ConfirmBody::Session => Confirm::Session,
        ConfirmBody::Always => Confirm::Always,
    }
}

/// Strings are wiped by the allocator, as all that is freed.
fn version_body(version: &Version) -> Result<VersionBody<'static>, Locked> {
    let plain = version.value.expose_copy()?;
    let (value, value_base64) = match std::str::from_utf8(&plain) {
        Ok(text) => (Some(text.to_owned().into()), None),
        Err(_) => (None, Some(BASE64.encode(&plain).into())),
    };
    let state = match version.state {
        VersionState::Pending => StateBody::Pending,
        VersionState::Active => StateBody::Active,
        VersionState::Grace => StateBody::Grace,
        VersionState::Revoked => StateBody::Revoked,
    };
    let (number, created) = (version.number, version.created);
    Ok(VersionBody { number, created, state, value, value_base64 })
}

fn grant_body(grant: &Grant) -> GrantBody {
    GrantBody {
        device: grant.directory.device,
        inode: grant.directory.inode,
        path_base64: BASE64.encode(&grant.directory.path),
        manifest_sha256: hex(&grant.manifest),
        secrets: grant.secrets.iter().map(SecretName::to_string).collect(),
        exec: grant.channels.contains(&Channel::Exec),
        export: grant.channels.contains(&Channel::Export),
        created: grant.created,
    }
}

fn original_body(path: &[u8], original: &Original) -> Result<OriginalBody<'static>, Locked> {
    let part = |part: &Sealed| Ok(BASE64.encode(part.expose_copy()?).into());
    Ok(OriginalBody {
        path_base64: BASE64.encode(path),
        after: hex(&original.after),
        parts_base64: original.parts.iter().map(part).collect::<Result<_, _>>()?,
    })
}

const MALFORMED: Unread = Unread::Fault(VaultFault::Malformed);

fn vault_of(body: Body<'_>) -> Result<Vault, Unread> {
    let secrets = body
        .secrets
        .into_iter()
        .map(|(name, body)| Ok((SecretName::new(name).map_err(|_| MALFORMED)?, secret_of(body)?)));
    let recipients = body.recipients.iter().map(|r| Recipient::parse(r));
    let grants = body.grants.into_iter().map(grant_of);
    Ok(Vault {
        id: body.id,
        generation: body.generation,
        recipients: recipients.collect::<Option<_>>().ok_or(MALFORMED)?,
        secrets: secrets.collect::<Result<_, Unread>>()?,
        grants: grants.collect::<Option<_>>().ok_or(MALFORMED)?,
        originals: body.originals.into_iter().map(original_of).collect::<Result<_, _>>()?,
    })
}

fn secret_of(body: SecretBody<'_>) -> Result<Arc<Secret>, Unread> {
    let versions = body.versions.into_iter().map(version_of).collect::<Result<Vec<_>, _>>()?;
    let note = body.note.map(|text| Note::new(text).ok_or(MALFORMED)).transpose()?;
    if versions.is_empty() {
        return Err(MALFORMED);
    }
    let (exec_only, confirm) = (body.exec_only, confirm_of(body.confirm));
    Ok(Arc::new(Secret { versions, exec_only, confirm, note }))
}

fn version_of(body: VersionBody<'_>) -> Result<Arc<Version>, Unread> {
    let value = match (body.value, body.value_base64) {
        (Some(text), None) => Value::new(text.as_bytes()).ok(),
        (None, Some(text)) => base64_value(&text),
        _ => None,
    };
    let state = match body.state {
        StateBody::Pending => VersionState::Pending,
        StateBody::Active => VersionState::Active,
        StateBody::Grace => VersionState::Grace,
        StateBody::Revoked => VersionState::Revoked,
    };
    let value = Sealed::of(&value.ok_or(MALFORMED)?, Kind::Version)?;
    Ok(Arc::new(Version { number: body.number, value, created: body.created, state }))
}

fn base64_value(text: &str) -> Option<Value> {
    Value::new(&Zeroizing::new(BASE64.decode(text).ok()?)).ok()
}

fn grant_of(body: GrantBody) -> Option<Grant> {
    let channels = [(body.exec, Channel::Exec), (body.export, Channel::Export)];
    Some(Grant {
        directory: Directory {
            device: body.device,
            inode: body.inode,
            path: BASE64.decode(body.path_base64).ok()?,
        },
        manifest: unhex(&body.manifest_sha256)?,
        secrets: body
            .secrets
            .into_iter()
            .map(|s| SecretName::new(s).ok())
            .collect::<Option<_>>()?,
        channels: channels
            .into_iter()
            .filter(|(held, _)| *held)
            .map(|(_, channel)| channel)
            .collect(),
        created: body.created,
    })
}

fn original_of(body: OriginalBody<'_>) -> Result<(Vec<u8>, Arc<Original>), Unread> {
    let part = |text: &Cow<'_, str>| {
        Ok(Sealed::of(&base64_value(text).ok_or(MALFORMED)?, Kind::Original)?)
    };
    let parts = body.parts_base64.iter().map(part).collect::<Result<_, Unread>>()?;
    let original = Original { parts, after: unhex(&body.after).ok_or(MALFORMED)? };
    Ok((BASE64.decode(body.path_base64).map_err(|_| MALFORMED)?, Arc::new(original)))
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
