//! Text of a log as a page may show it.
//!
//! A log line is written by whoever can make a program log something: it may be markup, turn the direction of writing, or hold
//! characters that nobody sees. [`Text`] is the only way from a string to the page. It is cut, what would be invisible is made
//! visible, and it is escaped when it is written, in an element that keeps its direction to itself.
use std::fmt::Write as _;

use maud::{Markup, PreEscaped, Render};

use crate::limits;

/// Text that a page may show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// A name, a title, a sentence: one line, of at most [`limits::LINE`] characters.
    pub fn line(text: &str) -> Self {
        Self::made(text, limits::LINE, |c| match c {
            '\n' | '\r' | '\t' => Some(' '),
            _ => None,
        })
    }

    /// A message: its line breaks and tabs stay; at most [`limits::BLOCK`] characters.
    pub fn block(text: &str) -> Self {
        Self::made(text, limits::BLOCK, |c| matches!(c, '\n' | '\t').then_some(c))
    }

    fn made(text: &str, most: usize, kept: impl Fn(char) -> Option<char>) -> Self {
        let mut shown = String::with_capacity(text.len().min(4 * most));
        let mut rest = text.chars();
        for c in rest.by_ref().take(most) {
            match kept(c) {
                Some(c) => shown.push(c),
                None => show(c, &mut shown),
            }
        }
        if rest.next().is_some() {
            shown.push('\u{2026}');
        }
        Text(shown)
    }

    /// The text as it is shown: for the value of an attribute, which is escaped there.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Render for Text {
    fn render(&self) -> Markup {
        maud::html! { bdi { (self.0) } }
    }
}

/// Writes a character so that it is seen: control characters as their pictures, what has no look of its own by its number.
fn show(c: char, shown: &mut String) {
    match c {
        '\0'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
        '\u{7f}' => shown.push('\u{2421}'),
        _ if is_invisible(c) => {
            let _ = write!(shown, "\u{27e8}U+{:04X}\u{27e9}", u32::from(c));
        }
        _ => shown.push(c),
    }
}

/// Controls of 8-bit codes, of direction and of format, ends of lines that only Unicode has, tags, and what is no character.
/// Not the two joiners, which scripts and emoji need.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// A page of ASCII alone: every other character by its number. So it means the same in whatever encoding a server, a client or a
/// file has.
pub(crate) fn ascii(page: Markup) -> String {
    let PreEscaped(page) = page;
    let mut ascii = String::with_capacity(page.len() + page.len() / 8);
    for c in page.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let _ = write!(ascii, "&#{};", u32::from(c));
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_invisible_is_shown() {
        assert_eq!(Text::line("a\u{202e}b\0\u{1b}[1m\u{7f}\u{85}").as_str(), "a⟨U+202E⟩b␀␛[1m␡⟨U+0085⟩");
        assert_eq!(Text::line("a\nb\tc").as_str(), "a b c");
        assert_eq!(Text::block("a\nb\tc\r").as_str(), "a\nb\tc␍");
        assert_eq!(Text::line("naïve 日本語 👩‍👩‍👧").as_str(), "naïve 日本語 👩‍👩‍👧");
    }

    #[test]
    fn it_is_cut_at_characters() {
        let long = "ü".repeat(limits::LINE + 1);
        let shown = Text::line(&long);
        assert_eq!(shown.as_str().chars().count(), limits::LINE + 1);
        assert!(shown.as_str().ends_with('…'));
        assert!(!Text::line(&long[2..]).as_str().ends_with('…'));
    }

    #[test]
    fn a_page_is_ascii() {
        assert_eq!(ascii(Text::line("<ü>").render()), "<bdi>&lt;&#252;&gt;</bdi>");
    }
}
