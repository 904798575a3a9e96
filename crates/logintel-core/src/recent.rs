//! Masked messages that came lately, with the template of training that each is of: repeated lines need no second look.
//!
//! What is left of a message after masking comes again and again; taking it apart to find its template takes longer than
//! all else about it. A table of fixed size keeps the last of each hash, so that memory and time are bounded whatever comes.

use std::hash::BuildHasher;

use crate::table::HASHER;

/// Messages that are kept.
const SLOTS: usize = 1024;
/// Longest message that is kept, bytes.
const LONGEST: usize = 1024;

/// A message and its template.
#[derive(Debug, Clone, Default)]
struct Slot {
    hash: u64,
    text: String,
    template: u32,
}

/// What came lately, of one model at a time.
#[derive(Debug, Default)]
pub struct Recent {
    /// The model that the templates are of.
    model: u64,
    slots: Vec<Slot>,
}

impl Recent {
    /// The template of a masked message: as it was found before, else as `find` finds it. One of no template is looked for
    /// each time.
    pub fn find(&mut self, model: u64, masked: &str, find: impl FnOnce() -> Option<u32>) -> Option<u32> {
        if masked.is_empty() || masked.len() > LONGEST {
            return find();
        }
        if self.model != model {
            self.model = model;
            self.slots.clear();
            self.slots.resize(SLOTS, Slot::default());
        }
        let hash = HASHER.hash_one(masked);
        let slot = &mut self.slots[hash as usize % SLOTS];
        if slot.hash == hash && slot.text == masked {
            return Some(slot.template);
        }
        let template = find()?;
        slot.hash = hash;
        slot.text.clear();
        slot.text.push_str(masked);
        slot.template = template;
        Some(template)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_remembered_is_what_was_found(lines in prop::collection::vec((1..3u64, "[ab]{0,3}|c{1020,1030}"), 1..300)) {
            let mut recent = Recent::default();
            // Of another model the same message is another template, or none.
            let truth = |model: u64, text: &str| (!text.ends_with('a')).then_some(text.len() as u32 * 2 + model as u32);
            for (model, text) in lines {
                prop_assert_eq!(recent.find(model, &text, || truth(model, &text)), truth(model, &text));
            }
        }
    }

    #[test]
    fn a_second_look_is_not_taken() {
        let mut recent = Recent::default();
        assert_eq!(recent.find(1, "a b", || Some(7)), Some(7));
        assert_eq!(recent.find(1, "a b", || unreachable!()), Some(7));
        assert_eq!(recent.find(2, "a b", || None), None);
    }
}
