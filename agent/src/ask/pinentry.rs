//! Which program asks, and on what screen: found by absolute path, and never by `PATH`.

use crate::config::Ask;
use crate::spawner::Job;
use keyagent_wire::request::{Screen, ScreenVar};
use nix::unistd::geteuid;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where systems have one. The first is what the system's owner has chosen.
const PLACES: [&str; 12] = [
    "/usr/bin/pinentry",
    "/usr/local/bin/pinentry",
    "/run/current-system/sw/bin/pinentry",
    "/usr/bin/pinentry-gnome3",
    "/usr/bin/pinentry-gtk",
    "/usr/bin/pinentry-gtk-2",
    "/usr/bin/pinentry-qt",
    "/usr/bin/pinentry-qt5",
    "/usr/bin/pinentry-curses",
    "/usr/bin/pinentry-tty",
    "/opt/homebrew/bin/pinentry-mac",
    "/usr/local/bin/pinentry-mac",
];
/// The longest variable of a screen, in bytes.
const VARIABLE_BYTES_MAX: usize = 512;
/// The longest path of a terminal, in bytes.
const TTY_BYTES_MAX: usize = 128;

/// The program that asks. One that is configured is the only one.
pub fn find(config: &Ask) -> Option<PathBuf> {
    match &config.pinentry {
        Some(path) => is_trusted(path).then(|| path.clone()),
        None => PLACES.iter().map(PathBuf::from).find(|path| is_trusted(path)),
    }
}

/// Ours or root's, and nobody else may write it.
fn is_trusted(path: &Path) -> bool {
    let trusted = |owner: u32| owner == 0 || owner == geteuid().as_raw();
    path.metadata().is_ok_and(|facts| {
        let mode = facts.mode();
        facts.is_file() && trusted(facts.uid()) && mode & 0o022 == 0 && mode & 0o111 != 0
    })
}

/// Where a human can be asked, as far as it can be told to a pinentry.
pub struct Place {
    env: Vec<(String, String)>,
    tty: Option<String>,
}

impl Place {
    /// What is left of a client's claims.
    pub fn of(screen: &Screen) -> Self {
        let known = |(var, value): &(ScreenVar, Vec<u8>)| {
            let text = std::str::from_utf8(value).ok()?;
            is_plain(text, VARIABLE_BYTES_MAX).then(|| (var.name().to_owned(), text.to_owned()))
        };
        let tty = screen.tty.as_deref().and_then(|tty| std::str::from_utf8(tty).ok());
        let tty = tty.filter(|tty| tty.starts_with("/dev/") && is_plain(tty, TTY_BYTES_MAX));
        let env = screen.env.iter().take(ScreenVar::ALL.len()).filter_map(known).collect();
        Self { env, tty: tty.map(str::to_owned) }
    }

    /// Whether there is any.
    pub fn is_anywhere(&self) -> bool {
        let displays = [ScreenVar::Display.name(), ScreenVar::WaylandDisplay.name()];
        self.tty.is_some() || self.env.iter().any(|(var, _)| displays.contains(&var.as_str()))
    }

    /// The job of a helper that becomes this program.
    pub fn job(&self, program: PathBuf) -> Job {
        Job::Pinentry { program, env: self.env.clone() }
    }

    /// What the program is told first.
    pub fn options(&self) -> Vec<String> {
        let of = |var: ScreenVar| {
            let found = self.env.iter().find(|(name, _)| name == var.name());
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let ctype = of(ScreenVar::LcAll).or(of(ScreenVar::LcCtype)).or(of(ScreenVar::Lang));
        let messages = of(ScreenVar::LcAll).or(of(ScreenVar::LcMessages)).or(of(ScreenVar::Lang));
        [
            ("ttyname", self.tty.as_deref()),
            ("ttytype", of(ScreenVar::Term)),
            ("lc-ctype", ctype),
            ("lc-messages", messages),
        ]
        .into_iter()
        .filter_map(|(option, value)| Some(format!("OPTION {option}={}", value?)))
        .collect()
    }
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn a_program_that_others_may_write_is_none() {
        let path = std::env::temp_dir().join(format!("keyagent-pinentry-{}", std::process::id()));
        fs::write(&path, "#!/bin/sh\n").expect("it is ours");
        let ask = Ask { pinentry: Some(path.clone()), timeout: Duration::from_secs(1) };
        for (mode, good) in
            [(0o755, true), (0o700, true), (0o775, false), (0o757, false), (0o644, false)]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!(find(&ask).is_some(), good, "{mode:o}");
        }
        fs::remove_file(&path).expect("it is ours");
        assert_eq!(find(&ask), None);
    }

    #[test]
    fn claims_say_where_a_screen_is_and_nothing_else() {
        let screen = |tty: &[u8], term: &[u8]| Screen {
            tty: Some(tty.to_vec()),
            env: vec![(ScreenVar::Term, term.to_vec()), (ScreenVar::Lang, b"C.UTF-8".to_vec())],
        };
        let place = Place::of(&screen(b"/dev/pts/3", b"xterm"));
        assert!(place.is_anywhere());
        assert_eq!(
            place.options(),
            [
                "OPTION ttyname=/dev/pts/3",
                "OPTION ttytype=xterm",
                "OPTION lc-ctype=C.UTF-8",
                "OPTION lc-messages=C.UTF-8"
            ]
        );
        for bad in [&b"/etc/passwd"[..], b"/dev/pts/3\nBYE", b"\xff", &[b'/'; 200]] {
            let place = Place::of(&screen(bad, b"x\nCONFIRM"));
            assert!(!place.is_anywhere());
            assert_eq!(place.options().len(), 2, "{:?}", place.options());
        }
    }
}
