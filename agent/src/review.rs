//! What a manifest would hand out, for the human who is asked to allow it.

use crate::grant;
use crate::manifest::project::Project;
use crate::vault::Vault;
use keyagent_wire::SecretName;
use keyagent_wire::reply::{Review, Reviewed};
use std::collections::BTreeSet;

/// Every binding, what is new since the last grant, and who else may have the same secrets.
pub fn review(project: &Project, vault: &Vault) -> Review {
    let latest = grant::latest(vault.grants(), &project.directory);
    let before = latest.map(|g| g.secrets.clone()).unwrap_or_default();
    let now = project.manifest.secrets();
    Review {
        project: project.manifest.project.clone(),
        directory: project.directory.path.clone(),
        manifest: project.hash,
        allowed: grant::matching(vault.grants(), &project.directory, &project.hash).is_some(),
        known: latest.is_some(),
        bindings: bindings(project, vault, &before),
        gone: before.difference(&now).cloned().collect(),
    }
}

fn bindings(project: &Project, vault: &Vault, before: &BTreeSet<SecretName>) -> Vec<Reviewed> {
    let reviewed = project.manifest.entries().map(|(profile, entry)| Reviewed {
        profile: profile.cloned(),
        var: entry.binding.var.clone(),
        secret: entry.binding.secret.clone(),
        optional: entry.optional,
        present: vault.has(&entry.binding.secret),
        new: !before.contains(&entry.binding.secret),
        shared_with: sharers(project, vault, &entry.binding.secret),
    });
    reviewed.collect()
}

fn sharers(project: &Project, vault: &Vault, secret: &SecretName) -> Vec<Vec<u8>> {
    let others = vault.grants().iter().filter(|g| g.directory != project.directory);
    let paths: BTreeSet<_> =
        others.filter(|g| g.secrets.contains(secret)).map(|g| &g.directory.path).collect();
    paths.into_iter().cloned().collect()
}
