//! How agent and helper talk: a length (`u32`, little-endian), then so many bytes. What is
//! read is wiped when dropped.

use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// Writes one chunk.
pub fn write(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)
}

/// Reads one chunk of at most `max` bytes, into a buffer of just its size.
pub fn read(mut from: impl Read, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > max {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_too_much_is_not() {
        let mut wire = Vec::new();
        write(&mut wire, b"abc").expect("a Vec takes it");
        assert_eq!(**read(&wire[..], 3).as_ref().expect("it fits"), *b"abc");
        assert!(read(&wire[..], 2).is_err());
        assert!(read(&wire[..5], 3).is_err(), "cut short");
    }
}
