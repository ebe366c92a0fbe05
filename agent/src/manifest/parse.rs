//! Bytes to a manifest, or the place of the first fault.

use super::{Entry, Fault, MANIFEST_BYTES_MAX, Manifest};
use keyagent_wire::frame::NAMES_MAX;
use keyagent_wire::request::Binding;
use keyagent_wire::{EnvName, ManifestFault, NameError, ProfileName, SecretName, is_printable};
use std::ops::Range;
use toml_edit::{Document, Item, Key, Table, TableLike, Value};

/// Reads a manifest. Everything that it may not say is an error.
pub fn parse(bytes: &[u8]) -> Result<Manifest, Fault> {
    let text = text_of(bytes)?;
    let document = Document::parse(text).map_err(|e| syntax(&e))?;
    let mut manifest = Manifest { project: None, env: Vec::new(), profiles: Vec::new() };
    for (key, item) in pairs(document.as_table()) {
        match key.get() {
            "project" => manifest.project = Some(project(item)?),
            "env" => manifest.env = env(table(item)?)?,
            "profile" => manifest.profiles = profiles(table(item)?)?,
            _ => return Err(at(key.span(), ManifestFault::UnknownKey)),
        }
    }
    match manifest.entries().count() {
        count if count > NAMES_MAX => Err(at(None, ManifestFault::TooManyNames)),
        _ => Ok(manifest),
    }
}

/// The text, if it can be shown as it is: a manifest is read by humans before it is allowed.
fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(Fault { offset: 0, fault: ManifestFault::TooLarge });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Fault { offset: e.valid_up_to(), fault: ManifestFault::NotUtf8 })?;
    let hidden =
        text.char_indices().find(|(_, c)| !is_printable(*c) && !matches!(c, '\n' | '\r' | '\t'));
    match hidden {
        Some((offset, _)) => Err(Fault { offset, fault: ManifestFault::Character }),
        None => Ok(text),
    }
}

fn syntax(error: &toml_edit::TomlError) -> Fault {
    let duplicate = error.message().contains("duplicate");
    at(error.span(), if duplicate { ManifestFault::Duplicate } else { ManifestFault::Syntax })
}

fn project(item: &Item) -> Result<ProfileName, Fault> {
    ProfileName::new(text(item)?).map_err(|e| at(item.span(), ManifestFault::Profile(e)))
}

fn profiles(table: &dyn TableLike) -> Result<Vec<(ProfileName, Vec<Entry>)>, Fault> {
    let mut profiles = Vec::new();
    for (key, item) in like_pairs(table) {
        let name =
            ProfileName::new(key.get()).map_err(|e| at(key.span(), ManifestFault::Profile(e)))?;
        let mut entries = Vec::new();
        for (key, item) in like_pairs(self::table(item)?) {
            match key.get() {
                "env" => entries = env(self::table(item)?)?,
                _ => return Err(at(key.span(), ManifestFault::UnknownKey)),
            }
        }
        profiles.push((name, entries));
    }
    Ok(profiles)
}

fn env(table: &dyn TableLike) -> Result<Vec<Entry>, Fault> {
    like_pairs(table).map(|(key, item)| entry(key, item)).collect()
}

fn entry(key: &Key, item: &Item) -> Result<Entry, Fault> {
    let var = EnvName::new(key.get()).map_err(|e| at(key.span(), ManifestFault::Variable(e)))?;
    if item.is_str() {
        return Ok(Entry { binding: Binding { var, secret: secret(item)? }, optional: false });
    }
    let (mut name, mut optional) = (None, false);
    for (key, item) in like_pairs(table(item)?) {
        match key.get() {
            "secret" => name = Some(secret(item)?),
            "optional" => {
                optional = item.as_bool().ok_or(at(item.span(), ManifestFault::WrongType))?
            }
            _ => return Err(at(key.span(), ManifestFault::UnknownKey)),
        }
    }
    let secret = name.ok_or(at(item.span(), ManifestFault::Secret(NameError::Empty)))?;
    Ok(Entry { binding: Binding { var, secret }, optional })
}

fn secret(item: &Item) -> Result<SecretName, Fault> {
    SecretName::new(text(item)?).map_err(|e| at(item.span(), ManifestFault::Secret(e)))
}

fn text(item: &Item) -> Result<&str, Fault> {
    item.as_value().and_then(Value::as_str).ok_or(at(item.span(), ManifestFault::WrongType))
}

fn table(item: &Item) -> Result<&dyn TableLike, Fault> {
    item.as_table_like().ok_or(at(item.span(), ManifestFault::WrongType))
}

fn pairs(table: &Table) -> impl Iterator<Item = (&Key, &Item)> {
    like_pairs(table)
}

/// The members in the order of the file, with the keys that know where they stand.
fn like_pairs(table: &dyn TableLike) -> impl Iterator<Item = (&Key, &Item)> {
    table.iter().filter_map(|(name, item)| Some((table.key(name)?, item)))
}

fn at(span: Option<Range<usize>>, fault: ManifestFault) -> Fault {
    Fault { offset: span.map_or(0, |s| s.start), fault }
}
