//! What a project is called that does not say so itself.

use keyagent_wire::ProfileName;
use std::path::Path;

/// The longest name that is made, so that `NAME/VARIABLE` mostly fits a secret's name.
const NAME_BYTES_MAX: usize = 48;

/// The directory's name, with `-` for what names may not have.
pub(crate) fn of_directory(directory: &Path) -> ProfileName {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = name.get(..NAME_BYTES_MAX).unwrap_or(name).trim_end_matches('-');
    let name = if name.is_empty() { "project" } else { name };
    ProfileName::new(name).expect("only characters that names may have are left")
}

/// The next candidate: `NAME-2`, `NAME-3`, …
pub(crate) fn numbered(name: &ProfileName, number: u32) -> ProfileName {
    ProfileName::new(format!("{name}-{number}")).expect("a short name stays a name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn every_directory_has_a_name() {
        let long = "a".repeat(200);
        for (directory, name) in [
            ("/home/a/acme-web", "acme-web"),
            ("/home/a/My Project", "My-Project"),
            ("/home/a/.config", "config"),
            ("/home/a/-x-", "x"),
            ("/home/a/été", "t"),
            ("/home/a/日本", "project"),
            ("/home/a/a\x1b[31m", "a--31m"),
            ("/home/a/a\u{202e}b", "a-b"),
            ("/", "project"),
            (long.as_str(), &long[..NAME_BYTES_MAX]),
        ] {
            assert_eq!(of_directory(Path::new(directory)).as_str(), name, "{directory:?}");
        }
        let bytes = Path::new(OsStr::from_bytes(b"/a/x\xff\xfey"));
        assert_eq!(of_directory(bytes).as_str(), "x--y");
        assert_eq!(numbered(&of_directory(Path::new("/a")), 2).as_str(), "a-2");
    }
}
