//! Seconds since 1970 as a date that humans and tools read (RFC 3339, UTC).

/// `2026-11-23T14:05:00Z`
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (year, month, day) = civil((seconds / 86_400) as i64);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `2026-11-23`
pub(crate) fn day(seconds: u64) -> String {
    let (year, month, day) = civil((seconds / 86_400) as i64);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A stretch of time as `8h`, `90s` or `1h30m`: what `unlock -t` and config.toml take.
pub(crate) fn span(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, 'h'), (minutes, 'm'), (rest, 's')];
    let text: String =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads such a stretch, in seconds. Each unit at most once, the larger first.
pub(crate) fn seconds_of(span: &str) -> Option<u64> {
    let (mut rest, mut sum) = (span, 0u64);
    for (unit, seconds) in [('h', 3_600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            let part = is_number.then(|| number.parse::<u64>().ok()).flatten()?;
            sum = sum.checked_add(part.checked_mul(seconds)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && sum > 0).then_some(sum)
}

/// Howard Hinnant's `civil_from_days`: <https://howardhinnant.github.io/date_algorithms.html>.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months count from March, so that the leap day is the last of the year.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("8h", 28_800), ("1h30m", 5_400)] {
            assert_eq!(seconds_of(text), Some(seconds), "{text}");
        }
        for bad in ["", "0s", "8", "h", "1m1h", "1h1h", "-1h", "+1h", "1 h", "8H", "é"] {
            assert_eq!(seconds_of(bad), None, "{bad}");
        }
        assert_eq!(seconds_of("99999999999999999999h"), None);
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [(0, "0s"), (90, "1m30s"), (28_800, "8h"), (3_661, "1h1m1s")] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn dates_are_those_of_date_1() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
            assert!(text.starts_with(&day(seconds)));
        }
    }
}
