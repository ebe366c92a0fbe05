//! A manifest with bindings added, its comments and order kept.

use keyagent_wire::request::{Bind, Binding};
use toml_edit::{DocumentMut, Item, Table, value};

/// How a new manifest begins.
const HEADING: &str =
    "# Which keys this project gets from keyagent. Names only: the values are in the vault.\n";

/// The text of a manifest with these bindings: of a new one, or of one that parses.
pub fn bind(old: Option<&str>, bind: &Bind) -> Option<String> {
    let Some(old) = old else { return Some(new_text(bind)) };
    let mut document: DocumentMut = old.parse().ok()?;
    let fresh: Vec<_> = bind.bindings.iter().filter(|b| !binds(&document, b)).collect();
    if fresh.is_empty() {
        return Some(old.to_owned());
    }
    let env =
        document.entry("env").or_insert_with(|| Item::Table(Table::new())).as_table_like_mut()?;
    for binding in fresh {
        env.insert(binding.var.as_str(), value(binding.secret.as_str()));
    }
    Some(document.to_string())
}

/// Whether `[env]` says so already, in either way of writing it.
fn binds(document: &DocumentMut, binding: &Binding) -> bool {
    let entry = document.get("env").and_then(|env| env.get(binding.var.as_str()));
    let secret = entry.and_then(|e| e.as_str().or_else(|| e.get("secret")?.as_str()));
    secret == Some(binding.secret.as_str())
}

/// Names need no escape in TOML, which their alphabets see to.
fn new_text(bind: &Bind) -> String {
    let lines = bind.bindings.iter().map(|b| format!("{} = \"{}\"\n", b.var, b.secret));
    format!("{HEADING}project = \"{}\"\n\n[env]\n{}", bind.project, lines.collect::<String>())
}
