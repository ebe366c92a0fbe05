//! `DIRENV_WATCHES`: the files by which direnv tells that it should load again.
//!
//! direnv's own `watch_file` starts direnv once more, which costs more than all that we do.
//! So what it would write is written here: base64 of zlib of a JSON array of
//! `{"path":…,"modtime":…,"exists":…}` (`gzenv.go` and `file_times.go` in direnv, the same
//! since 2.13). Whatever is not as expected is left to `watch_file`.
//!
//! A list is stored, not compressed: to compress touches more pages than all the rest of a
//! load, and some hundred bytes of the environment are what it would save. A long one is left
//! to `watch_file`, too.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use std::path::Path;

/// The most that a list may be, unpacked.
const LIST_BYTES_MAX: usize = 1024 * 1024;
/// The most that is stored: an environment has its limits.
const STORED_BYTES_MAX: usize = 16 * 1024;

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
    store(json.as_bytes()).map(|stored| URL_SAFE.encode(stored))
}

/// zlib (RFC 1950) with one stored block (RFC 1951, 3.2.4). None if it is too long for that.
fn store(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(bytes.len()).ok().filter(|_| bytes.len() <= STORED_BYTES_MAX)?;
    let mut out = Vec::with_capacity(bytes.len() + 11);
    // Deflate, a window of 32 KiB, no compression; then: the last block, stored.
    out.extend_from_slice(&[0x78, 0x01, 0x01]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(&adler32(bytes).to_be_bytes());
    Some(out)
}

/// What is stored is short enough for sums that are reduced but once, at the end.
fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u64 = 65_521;
    let (mut a, mut b) = (1_u64, 0_u64);
    for &byte in bytes {
        a += u64::from(byte);
        b += a;
    }
    (((b % MODULUS) << 16) | (a % MODULUS)) as u32
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
    use miniz_oxide::deflate::compress_to_vec_zlib;

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
    fn what_is_stored_is_zlib() {
        for length in [0, 1, 2, 255, 256, 5_000, STORED_BYTES_MAX] {
            let bytes: Vec<u8> = (0..length).map(|i: usize| (i * 31 % 256) as u8 | 0x80).collect();
            let stored = store(&bytes).expect("a block");
            let back = decompress_to_vec_zlib_with_limit(&stored, LIST_BYTES_MAX);
            assert_eq!(back.expect("zlib and its sum"), bytes, "{length}");
        }
        assert!(store(&[0; STORED_BYTES_MAX + 1]).is_none());
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
        let long = format!("[{}]", vec!["{\"path\":\"/a\"}"; 2_000].join(","));
        assert!(extend(pack(&long).as_bytes(), &[file("/b")]).is_none());
        let bomb = URL_SAFE.encode(compress_to_vec_zlib(&vec![b' '; 8 * LIST_BYTES_MAX], 9));
        assert!(extend(bomb.as_bytes(), &[file("/b")]).is_none());
    }
}
