//! The words of a question: names, paths and what the kernel says of who asks. Never a value.

use super::assuan::field;
use super::process::Asker;
use super::{Holder, Wanted};
use crate::grant::{Directory, Grant};
use crate::vault::Vault;
use std::collections::BTreeSet;

/// How much of a command's line each part may use; all together fit one line of Assuan.
const PROJECT_BYTES_MAX: usize = 200;
const NAMES_BYTES_MAX: usize = 200;
const SHARERS_BYTES_MAX: usize = 200;
const PROGRAM_BYTES_MAX: usize = 100;
const TTY_BYTES_MAX: usize = 40;

/// The question about these secrets.
pub fn text(wanted: &[Wanted], vault: &Vault, asker: Asker<'_>) -> String {
    let program = field(asker.ancestry().as_bytes(), PROGRAM_BYTES_MAX);
    let tty = field(asker.tty().unwrap_or_else(|| "none".into()).as_bytes(), TTY_BYTES_MAX);
    let sharers = sharers(wanted, vault);
    let shared = match sharers.split_first() {
        None => String::new(),
        Some((first, others)) => {
            let first = field(first, SHARERS_BYTES_MAX);
            format!("\nAlso used by: {first}{}", more(others.len()))
        }
    };
    format!(
        "Hand out these secrets?\n{}\nFor: {}{shared}\nAsked by (unverified): {program} (pid {})\n\
         Terminal (unverified): {tty}",
        names(wanted),
        whom(wanted),
        asker.pid
    )
}

/// The project; what the human has named beside its manifest is in the list of names.
fn whom(wanted: &[Wanted]) -> String {
    let project = wanted.iter().find_map(|wanted| match &wanted.holder {
        Holder::Project(directory, _) => Some(field(&directory.path, PROJECT_BYTES_MAX)),
        _ => None,
    });
    project.unwrap_or_else(|| "no project, at your own word".to_owned())
}

fn names(wanted: &[Wanted]) -> String {
    let names: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.secret.as_str()).collect();
    let (mut shown, mut count) = (String::new(), 0);
    for name in &names {
        if count > 0 && shown.len() + name.len() + ", ".len() > NAMES_BYTES_MAX {
            break;
        }
        if count > 0 {
            shown.push_str(", ");
        }
        shown.push_str(name);
        count += 1;
    }
    format!("{shown}{}", more(names.len() - count))
}

fn more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}

/// The directories of other projects that may have one of these.
fn sharers<'a>(wanted: &[Wanted], vault: &'a Vault) -> Vec<&'a [u8]> {
    let is_other = |wanted: &Wanted, directory: &Directory| match &wanted.holder {
        Holder::Project(own, _) => own != directory,
        _ => true,
    };
    let shares = |grant: &&Grant| {
        wanted.iter().any(|w| grant.secrets.contains(&w.secret) && is_other(w, &grant.directory))
    };
    let paths: BTreeSet<&[u8]> =
        vault.grants().iter().filter(shares).map(|grant| &grant.directory.path[..]).collect();
    paths.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::assuan::{LINE_BYTES_MAX, argument};
    use keyagent_wire::{Confirm, SecretName};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn directory(path: &[u8]) -> Directory {
        Directory { device: 1, inode: path.len() as u64, path: path.to_vec() }
    }

    fn wanted(path: &[u8], names: impl IntoIterator<Item = String>) -> Vec<Wanted> {
        let one = |name| Wanted {
            holder: Holder::Project(directory(path), [0; 32]),
            secret: SecretName::new(name).expect("a name"),
            confirm: Confirm::Session,
        };
        names.into_iter().map(one).collect()
    }

    fn shared_with(wanted: &[Wanted], paths: &[&[u8]]) -> Vault {
        let mut vault = Vault::new(String::new(), Vec::new());
        let grant = |path: &&[u8]| Grant {
            directory: directory(path),
            manifest: [9; 32],
            secrets: wanted.iter().map(|wanted| wanted.secret.clone()).collect(),
            channels: [].into(),
            created: 0,
        };
        vault.grants.extend(paths.iter().map(grant));
        vault
    }

    fn asked(wanted: &[Wanted], vault: &Vault) -> String {
        let (one, _other) = UnixStream::pair().expect("a pair");
        text(wanted, vault, Asker { pid: std::process::id() as i32, socket: one.as_fd() })
    }

    #[test]
    fn both_projects_are_named_and_whoever_asks_is_unverified() {
        let wanted = wanted(b"/new", ["a/KEY".to_owned()]);
        let text = asked(&wanted, &shared_with(&wanted, &[b"/new", b"/old", b"/other"]));
        assert!(text.contains("a/KEY\nFor: /new\nAlso used by: /old and 1 more\n"), "{text}");
        assert!(text.contains("Asked by (unverified): "), "{text}");
    }

    #[test]
    fn the_worst_question_fits_a_line() {
        let long = |c: &str| c.repeat(4000).into_bytes();
        let names = |n: usize| (0..n).map(|i| format!("{i:0>128}"));
        for c in ["%", "\n", "\u{202e}", "é", "<", "\u{1f511}"] {
            let wanted = wanted(&long(c), names(256));
            let text = asked(&wanted, &shared_with(&wanted, &[&[&long(c)[..], b"/"].concat()]));
            let line = format!("SETDESC {}", argument(&text));
            assert!(line.len() <= LINE_BYTES_MAX, "{} bytes", line.len());
            assert!(text.contains(" and 255 more"), "{text}");
            assert!(!text.contains('\u{202e}'));
        }
    }
}
