//! What a level's text means.

/// Whether a level is ERROR or above, in the usual spellings: words of syslog, log4j, Java, Python, Windows,
/// Android and PostgreSQL; syslog's numbers 0 to 3; OpenTelemetry's severity numbers from 17.
pub fn is_error(level: &str) -> bool {
    // Each line is asked for its level, and nearly every level is a plain word: neither a number nor anything to take off.
    if level.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return is_error_word(level);
    }
    let level = bare(level);
    match level.parse::<i64>() {
        // OpenTelemetry begins at 1 with TRACE, syslog ends at 7 with debug: 1 to 3 are taken for syslog's alert,
        // critical and error, which tables hold far more often than the finest grades of TRACE.
        Ok(number) => (0..=3).contains(&number) || (17..=24).contains(&number),
        Err(_) => is_error_word(level) || is_otel_name(level),
    }
}

fn is_error_word(word: &str) -> bool {
    const WORDS: [&str; 19] = [
        "E",
        "ERR",
        "ERROR",
        "ERRORS",
        "SEVERE",
        "CRIT",
        "CRITICAL",
        "C",
        "F",
        "FATAL",
        "FAILURE",
        "FAIL",
        "ALERT",
        "EMERG",
        "EMERGENCY",
        "PANIC",
        "DISASTER",
        "ASSERT",
        "EXCEPTION",
    ];
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether two levels are one, written with other capitals, or with brackets or blanks around them. `ERR` and `ERROR` are
/// two.
pub fn is_same(a: &str, b: &str) -> bool {
    bare(a).eq_ignore_ascii_case(bare(b))
}

/// A level without what some writers put around it.
fn bare(level: &str) -> &str {
    level.trim().trim_matches(['[', ']', '<', '>', '"'])
}

/// OpenTelemetry's short names: ERROR2, FATAL4.
fn is_otel_name(level: &str) -> bool {
    level.len() == 6
        && level.is_ascii()
        && (level[..5].eq_ignore_ascii_case("error") || level[..5].eq_ignore_ascii_case("fatal"))
        && matches!(level.as_bytes()[5], b'2'..=b'4')
}

#[cfg(test)]
mod tests {
    use super::{is_error, is_same};

    #[test]
    fn usual_spellings() {
        for level in [
            "ERROR", "error", "E", "err", "Severe", "CRITICAL", "fatal", "PANIC", "emerg", "3", "0", "17",
            "24", "ERROR2",
        ] {
            assert!(is_error(level), "{level}");
        }
        for level in [
            "",
            "INFO",
            "W",
            "WARN",
            "notice",
            "LOG",
            "4",
            "6",
            "9",
            "16",
            "25",
            "-1",
            "errorless",
            "ERROR5",
            "30",
        ] {
            assert!(!is_error(level), "{level}");
        }
    }

    #[test]
    fn one_level_in_other_letters() {
        for (a, b) in [("ERROR", "error"), (" [Warn]", "WARN"), ("<err>", "ERR"), ("3", "\"3\""), ("", " ")] {
            assert!(is_same(a, b) && is_same(b, a), "{a} {b}");
        }
        for (a, b) in [("ERROR", "ERR"), ("3", "ERR"), ("WARN", "WARNING"), ("INFO", "")] {
            assert!(!is_same(a, b) && !is_same(b, a), "{a} {b}");
        }
    }
}
