//! What the server calls the files of its log.

use regex::Regex;

use super::frame::Format;

/// The names that the settings `log_filename` and `log_destination` lead to.
#[derive(Debug)]
pub struct Pattern(Option<Regex>);

impl Pattern {
    /// `log_filename` is a pattern of `strftime`; PostgreSQL puts the format's suffix in the place of `.log`, or after it.
    pub fn new(log_filename: &str, format: Format) -> Self {
        let stem = log_filename.strip_suffix(".log").filter(|stem| !stem.is_empty()).unwrap_or(log_filename);
        let mut pattern = String::from("^");
        let mut characters = stem.chars();
        while let Some(character) = characters.next() {
            match (character, if character == '%' { characters.next() } else { None }) {
                ('%', Some('%') | None) => pattern.push('%'),
                (
                    '%',
                    Some(
                        'Y' | 'y' | 'm' | 'd' | 'H' | 'I' | 'M' | 'S' | 's' | 'j' | 'u' | 'w' | 'U' | 'V'
                        | 'W' | 'C' | 'G' | 'g',
                    ),
                ) => {
                    pattern.push_str("[0-9]+");
                }
                // %E and %O change how the next letter is written.
                ('%', Some('E' | 'O')) => {
                    characters.next();
                    pattern.push_str(".+");
                }
                ('%', Some(_)) => pattern.push_str(".+"),
                _ => pattern.push_str(&regex::escape(character.encode_utf8(&mut [0; 4]))),
            }
        }
        pattern.push_str(match format {
            Format::Csv => r"\.csv$",
            Format::Json => r"\.json$",
        });
        // A name that makes too large a pattern is no name of a file.
        Pattern(Regex::new(&pattern).ok())
    }

    /// Whether a file may be one of them.
    pub fn matches(&self, file_name: &str) -> bool {
        self.0.as_ref().is_some_and(|pattern| pattern.is_match(file_name))
    }
}

/// The file that the server writes now, of what stands in its file `current_logfiles`.
pub fn current(current_logfiles: &str, format: Format) -> Option<&str> {
    let key = match format {
        Format::Csv => "csvlog ",
        Format::Json => "jsonlog ",
    };
    current_logfiles.lines().find_map(|line| line.strip_prefix(key)).filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_pattern() {
        for (log_filename, name, is_one) in [
            ("postgresql-%Y-%m-%d_%H%M%S.log", "postgresql-2026-11-23_033509.csv", true),
            ("postgresql-%Y-%m-%d_%H%M%S.log", "postgresql-2026-11-23_033509.log", false),
            ("postgresql-%Y-%m-%d_%H%M%S.log", "postgresql-2026-11-23_033509.json", false),
            ("postgresql-%Y-%m-%d_%H%M%S.log", "other-2026-11-23_033509.csv", false),
            ("postgresql-%Y-%m-%d_%H%M%S.log", "postgresql-2026-11-23_033509.csv.old", false),
            ("postgresql-%a", "postgresql-Mon.csv", true),
            ("a%%b.log", "a%b.csv", true),
            ("a.b", "aXb.csv", false),
            (".log", ".log.csv", true),
            ("100%", "100%.csv", true),
        ] {
            assert_eq!(
                Pattern::new(log_filename, Format::Csv).matches(name),
                is_one,
                "{log_filename}: {name}"
            );
        }
        assert!(Pattern::new("x.log", Format::Json).matches("x.json"));
    }

    #[test]
    fn the_present_file_is_named_by_the_server() {
        let file = "stderr log/a.log\ncsvlog log/a b.csv\n";
        assert_eq!(current(file, Format::Csv), Some("log/a b.csv"));
        assert_eq!(current(file, Format::Json), None);
    }
}
