//! How the kernel numbers terminals (`tty_nr` in proc_pid_stat(5)), for both ends.

/// Majors of the pseudo-terminals (`Documentation/admin-guide/devices.txt`).
const PTS_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;
/// The major of consoles.
const CONSOLE_MAJOR: u32 = 4;
/// How many consoles there are; the minors behind them are serial lines.
const CONSOLES_MAX: u32 = 64;

/// The device of a terminal, if it is one of those that humans sit at.
pub fn device(tty_nr: i32) -> Option<String> {
    let number = tty_nr as u32;
    let major = (number >> 8) & 0xfff;
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    if PTS_MAJORS.contains(&major) {
        Some(format!("/dev/pts/{}", (major - PTS_MAJORS.start()) * 256 + minor))
    } else if major == CONSOLE_MAJOR && minor < CONSOLES_MAX {
        Some(format!("/dev/tty{minor}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_have_their_names() {
        assert_eq!(device(136 << 8), Some("/dev/pts/0".into()));
        assert_eq!(device(136 << 8 | 7), Some("/dev/pts/7".into()));
        assert_eq!(device(137 << 8 | 1), Some("/dev/pts/257".into()));
        assert_eq!(device(136 << 8 | 1 | 1 << 20), Some("/dev/pts/257".into()));
        assert_eq!(device(4 << 8 | 1), Some("/dev/tty1".into()));
        for none in [0, 4 << 8 | 64, 5 << 8] {
            assert_eq!(device(none), None);
        }
    }
}
