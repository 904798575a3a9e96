//! What stands in a column, read as a person would write it.
//!
//! Shippers write numbers and tags where programs write words: rsyslog's `Priority` is syslog's severity, 0 to 7, and
//! its `SysLogTag` names program and process; OpenTelemetry's `SeverityNumber` goes from 1 to 24. The same number means
//! one thing here and another there, and only the name of the column tells which; so the name decides, and what is read
//! is a word that means the same everywhere ([`crate::severity`]).

use std::borrow::Cow;

/// How the text of a column becomes a part of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// As it stands.
    #[default]
    AsIs,
    /// Severity of syslog, RFC 5424 section 6.2.1: 0 is EMERG, 7 is DEBUG.
    SyslogSeverity,
    /// `SeverityNumber` of OpenTelemetry's log data model: 1 is TRACE, 24 is FATAL4.
    OtelSeverity,
    /// Tag of syslog, RFC 3164 section 4.1.3: `sshd[811]:` is of sshd.
    SyslogTag,
}

/// By number.
const SYSLOG: [&str; 8] = ["EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"];
/// By number: the short names of the data model. 0 says that nothing is known.
const OTEL: [&str; 25] = [
    "UNSPECIFIED",
    "TRACE",
    "TRACE2",
    "TRACE3",
    "TRACE4",
    "DEBUG",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "INFO",
    "INFO2",
    "INFO3",
    "INFO4",
    "WARN",
    "WARN2",
    "WARN3",
    "WARN4",
    "ERROR",
    "ERROR2",
    "ERROR3",
    "ERROR4",
    "FATAL",
    "FATAL2",
    "FATAL3",
    "FATAL4",
];

impl Reading {
    /// Of a level in a column, or below a key, of that name.
    pub fn of_level(name: &str) -> Self {
        match &*plain_name(name) {
            "priority" | "syslogpriority" | "syslogseverity" => Reading::SyslogSeverity,
            "severitynumber" => Reading::OtelSeverity,
            _ => Reading::AsIs,
        }
    }

    /// Of a component in a column, or below a key, of that name.
    pub fn of_component(name: &str) -> Self {
        match &*plain_name(name) {
            "syslogtag" => Reading::SyslogTag,
            _ => Reading::AsIs,
        }
    }

    /// Reads a text; what is not of its kind stays as it stands.
    pub fn read(self, text: Cow<'_, str>) -> Cow<'_, str> {
        let word = |words: &[&'static str]| number(&text).and_then(|number| words.get(number).copied());
        let read = match self {
            Reading::AsIs => None,
            Reading::SyslogSeverity => word(&SYSLOG).map(Cow::Borrowed),
            Reading::OtelSeverity => word(&OTEL).map(Cow::Borrowed),
            Reading::SyslogTag => program(&text).map(|name| Cow::Owned(name.to_owned())),
        };
        read.unwrap_or(text)
    }
}

fn number(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

/// The program of a tag: what comes before `[pid]` and the colon.
fn program(tag: &str) -> Option<&str> {
    let name = tag.trim().trim_end_matches(':');
    let name = match name.strip_suffix(']').and_then(|before| before.rfind('[')) {
        Some(at) => &name[..at],
        None => name,
    };
    (!name.is_empty()).then_some(name)
}

/// A name as people mean it: `SeverityText`, `severity_text` and `severity.text` are one.
pub fn plain_name(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{OTEL, Reading, SYSLOG};
    use crate::severity::is_error;

    fn read(reading: Reading, text: &str) -> Cow<'_, str> {
        reading.read(Cow::Borrowed(text))
    }

    #[test]
    fn the_name_decides_what_a_number_means() {
        assert_eq!(Reading::of_level("Priority"), Reading::SyslogSeverity);
        assert_eq!(Reading::of_level("SYSLOG_SEVERITY"), Reading::SyslogSeverity);
        assert_eq!(Reading::of_level("severity_number"), Reading::OtelSeverity);
        assert_eq!(Reading::of_level("SeverityNumber"), Reading::OtelSeverity);
        assert_eq!(Reading::of_level("level"), Reading::AsIs);
        assert_eq!(Reading::of_component("SysLogTag"), Reading::SyslogTag);
        assert_eq!(Reading::of_component("service_name"), Reading::AsIs);
        // 3 is an error of syslog's and a trace of OpenTelemetry's; 17 the other way round.
        assert_eq!(read(Reading::SyslogSeverity, "3"), "ERR");
        assert_eq!(read(Reading::OtelSeverity, "3"), "TRACE3");
        assert_eq!(read(Reading::OtelSeverity, "17"), "ERROR");
        assert_eq!(read(Reading::AsIs, "3"), "3");
    }

    #[test]
    fn every_number_is_as_grave_as_its_standard_says() {
        for (number, word) in SYSLOG.iter().enumerate() {
            assert_eq!(is_error(word), number <= 3, "{word}");
            assert_eq!(read(Reading::SyslogSeverity, &number.to_string()), *word);
        }
        for (number, word) in OTEL.iter().enumerate() {
            assert_eq!(is_error(word), number >= 17, "{word}");
            assert_eq!(read(Reading::OtelSeverity, &format!(" {number} ")), *word);
        }
    }

    #[test]
    fn what_is_no_number_stays() {
        for text in ["", "-1", "8", "25", "high", "3.5", "99999999999999999999999", "ERR"] {
            assert_eq!(read(Reading::SyslogSeverity, text), text);
        }
        assert_eq!(read(Reading::OtelSeverity, "25"), "25");
        assert_eq!(read(Reading::OtelSeverity, "info"), "info");
    }

    #[test]
    fn a_tag_names_its_program() {
        for (tag, program) in [
            ("sshd[811]:", "sshd"),
            ("kernel:", "kernel"),
            ("postfix/smtpd[99]:", "postfix/smtpd"),
            (" systemd[1]: ", "systemd"),
            ("app[a[b]]", "app[a"),
            ("nginx", "nginx"),
            ("CRON", "CRON"),
            ("x]", "x]"),
            ("", ""),
            (":", ":"),
            ("[12]:", "[12]:"),
            ("müller[7]:", "müller"),
        ] {
            assert_eq!(read(Reading::SyslogTag, tag), program, "{tag}");
        }
    }
}
