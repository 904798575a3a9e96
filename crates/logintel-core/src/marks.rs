//! Templates that a person has marked as ordinary.
//!
//! A mark is the text of a template, so that it outlives the model in which somebody saw it: a line is of a marked
//! template if that template fits it, whatever models make of the line. Where a model knows the line's template and
//! that says more about it than the mark does, the mark is not about the line: who marks `worker <*> <*>` has said
//! nothing of `worker <*> crashed`. Where messages are taken as they are, a mark is one message.

use std::borrow::Cow;

use crate::control::Control;
use crate::error::Result;
use crate::template::{Matcher, Scratch, WILDCARD};

/// Marked templates, ready to be found.
#[derive(Debug)]
pub struct Marks {
    /// In alphabetical order.
    texts: Vec<String>,
    /// `None` where a message is its own template.
    matcher: Option<Matcher>,
}

impl Marks {
    /// Makes templates ready. `kinds` are the names of the user's masks where templates are mined, `None` where
    /// messages are taken as they are.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn new(mut texts: Vec<String>, kinds: Option<Vec<String>>, control: &dyn Control) -> Result<Self> {
        texts.sort_unstable();
        let matcher =
            kinds.map(|kinds| Matcher::new(kinds, texts.iter().map(String::as_str), control)).transpose()?;
        Ok(Marks { texts, matcher })
    }

    /// The marked templates, in alphabetical order.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The marked template that a masked message is of; `known` is its template in a model that knows it.
    pub fn find(&self, masked: &str, known: Option<&str>, scratch: &mut Scratch) -> Option<&str> {
        let at = match &self.matcher {
            None => self.texts.binary_search_by(|text| text.as_str().cmp(masked)).ok()?,
            Some(matcher) => matcher.find(masked, scratch)? as usize,
        };
        let mark = self.texts[at].as_str();
        known.is_none_or(|known| variables(mark) <= variables(known)).then_some(mark)
    }

    /// A masked message as the template of itself alone.
    pub fn alone<'a>(&self, masked: &'a str, scratch: &mut Scratch) -> Cow<'a, str> {
        match &self.matcher {
            None => Cow::Borrowed(masked),
            Some(matcher) => Cow::Owned(matcher.alone(masked, scratch)),
        }
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> usize {
        // The text, and what the matcher keeps of it.
        self.texts.iter().map(|text| 3 * text.len() + 128).sum()
    }
}

fn variables(template: &str) -> usize {
    template.matches(WILDCARD).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Unattended, Watch};
    use crate::error::Error;

    fn marks(texts: &[&str], kinds: Option<Vec<String>>) -> Marks {
        Marks::new(texts.iter().map(|&text| text.to_owned()).collect(), kinds, &Unattended).unwrap()
    }

    fn found<'a>(marks: &'a Marks, masked: &str, known: Option<&str>) -> Option<&'a str> {
        marks.find(masked, known, &mut Scratch::default())
    }

    #[test]
    fn a_mark_fits_what_its_template_fits() {
        let marks =
            marks(&["disk <*> is full", "login of <*>", "login of root", ""], Some(vec!["user".into()]));
        assert_eq!(found(&marks, "disk <path> is full", None), Some("disk <*> is full"));
        assert_eq!(found(&marks, "disk sda is full", None), Some("disk <*> is full"));
        assert_eq!(found(&marks, "disk <path> is empty", None), None);
        assert_eq!(found(&marks, "login of root", None), Some("login of root"));
        assert_eq!(found(&marks, "login of <user>", None), Some("login of <*>"));
        assert_eq!(found(&marks, "", None), Some(""));
        assert_eq!(found(&marks, "login of ann at night", None), None);
    }

    #[test]
    fn a_model_that_knows_a_line_better_is_believed() {
        let marks = marks(&["worker <*> <*>", "login of ann"], Some(Vec::new()));
        // The same template, and one that a later training made wider.
        assert_eq!(found(&marks, "worker <num> idle", Some("worker <*> <*>")), Some("worker <*> <*>"));
        assert_eq!(found(&marks, "login of ann", Some("login of <*>")), Some("login of ann"));
        // One that says more.
        assert_eq!(found(&marks, "worker <num> crashed", Some("worker <*> crashed")), None);
        assert_eq!(found(&marks, "worker <num> crashed", None), Some("worker <*> <*>"));
    }

    #[test]
    fn the_text_of_a_line_alone_marks_it() {
        let masked = ["order <num> of <email> rejected: code=<num>", "a (b) [<hex>] \"c d\"", "x"];
        let none = marks(&[], Some(Vec::new()));
        for masked in masked {
            let alone = none.alone(masked, &mut Scratch::default()).into_owned();
            let marks = marks(&[&alone], Some(Vec::new()));
            assert_eq!(found(&marks, masked, None), Some(alone.as_str()));
            assert_eq!(found(&marks, masked, Some(&alone)), Some(alone.as_str()));
        }
    }

    #[test]
    fn messages_taken_as_they_are_are_marked_one_by_one() {
        let marks = marks(&["b <*>", "a", "b <*>", ""], None);
        assert_eq!(marks.texts(), ["", "a", "b <*>", "b <*>"]);
        assert_eq!(found(&marks, "b <*>", Some("b <*>")), Some("b <*>"));
        assert_eq!(found(&marks, "b c", None), None);
        assert_eq!(found(&marks, "", None), Some(""));
        assert_eq!(marks.alone("b 7", &mut Scratch::default()), "b 7");
    }

    #[test]
    fn many_marks_can_be_stopped() {
        let stopped = Watch::new(|| Err(Error::Canceled));
        let texts = vec!["x".repeat(8 << 10); 1000];
        assert!(matches!(Marks::new(texts, Some(Vec::new()), &stopped), Err(Error::Canceled)));
    }
}
