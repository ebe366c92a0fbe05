//! `DIRENV_WATCHES`: the files by which direnv tells that it should load again.
//!
//! direnv's own `watch_file` starts direnv once more, which costs more than all that we do.
//! So what it would write is written here: base64 of zlib of a JSON array of
//! `{"path":…,"modtime":…,"exists":…}` (`gzenv.go` and `file_times.go` in direnv, the same
//! since 2.13). Whatever is not as expected is left to `watch_file`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use std::path::Path;

/// The most that a list may be, unpacked.
const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Speed over size: the list is read and written again at each load.
const LEVEL: u8 = 1;

/// A file to watch.
pub(crate) struct Watched<'a> {
    /// Absolute, and without `.` and `..`.
    pub(crate) path: &'a Path,
    /// When it changed, in seconds since 1970; none if it is not there.
    pub(crate) changed: Option<i64>,
}

/// The list with these files behind it. None if it cannot be read, if a path is one that
/// JSON cannot hold as it is, or if the list has it already.
pub(crate) fn extend(list: &[u8], files: &[Watched<'_>]) -> Option<String> {
    let packed = URL_SAFE.decode(list).ok()?;
    let json = decompress_to_vec_zlib_with_limit(&packed, LIST_BYTES_MAX).ok()?;
    let mut json = String::from_utf8(json).ok()?;
    let open = json.strip_suffix(']').filter(|rest| rest.starts_with('['))?.len();
    json.truncate(open);
    for file in files {
        let path = plain(file.path)?;
        if json.contains(&path) {
            return None;
        }
        let (changed, exists) = (file.changed.unwrap_or(0), file.changed.is_some());
        let comma = if json == "[" { "" } else { "," };
        json.push_str(&format!(
            "{comma}{{\"path\":{path},\"modtime\":{changed},\"exists\":{exists}}}"
        ));
    }
    json.push(']');
    Some(URL_SAFE.encode(compress_to_vec_zlib(json.as_bytes(), LEVEL)))
}

/// A path as a JSON string, if every writer of JSON would write it so.
fn plain(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let odd = |c: char| c.is_control() || "\"\\<>&\u{7f}\u{2028}\u{2029}\u{fffd}".contains(c);
    (!text.contains(odd)).then(|| format!("\"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(json: &str) -> String {
        URL_SAFE.encode(compress_to_vec_zlib(json.as_bytes(), 6))
    }

    fn unpack(list: &str) -> String {
        let packed = URL_SAFE.decode(list).expect("base64");
        let json = decompress_to_vec_zlib_with_limit(&packed, LIST_BYTES_MAX).expect("zlib");
        String::from_utf8(json).expect("UTF-8")
    }

    fn file(path: &str) -> Watched<'_> {
        Watched { path: Path::new(path), changed: Some(7) }
    }

    #[test]
    fn files_are_added_behind_those_that_are_there() {
        let gone = Watched { path: Path::new("/c"), changed: None };
        let list = extend(pack("[{\"path\":\"/a\"}]").as_bytes(), &[file("/b é"), gone]);
        assert_eq!(
            unpack(&list.expect("a list")),
            "[{\"path\":\"/a\"},{\"path\":\"/b é\",\"modtime\":7,\"exists\":true},\
             {\"path\":\"/c\",\"modtime\":0,\"exists\":false}]"
        );
        let list = extend(pack("[]").as_bytes(), &[file("/b")]).expect("a list");
        assert_eq!(unpack(&list), "[{\"path\":\"/b\",\"modtime\":7,\"exists\":true}]");
    }

    #[test]
    fn what_is_not_as_expected_is_left_to_direnv() {
        let list = pack("[{\"path\":\"/a\"}]");
        assert!(extend(list.as_bytes(), &[file("/b")]).is_some());
        for odd in ["/a", "/a\"", "/a\\", "/<", "/&", "/\n", "/\u{fffd}"] {
            assert!(extend(list.as_bytes(), &[file(odd)]).is_none(), "{odd}");
        }
        for list in ["", "!", "AAAA", &pack("{}"), &pack("["), &pack("")] {
            assert!(extend(list.as_bytes(), &[file("/b")]).is_none(), "{list}");
        }
        let bomb = URL_SAFE.encode(compress_to_vec_zlib(&vec![b' '; 8 * LIST_BYTES_MAX], 9));
        assert!(extend(bomb.as_bytes(), &[file("/b")]).is_none());
    }
}
