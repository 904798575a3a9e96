//! How the words and n-grams of one message are looked up: block by block and step by step, so that look-ups wait for
//! memory side by side. Counting and vectorising share it.

use std::ops::Range;

use crate::control::Watch;
use crate::error::Result;
use crate::ngram::{NO_NODE, Node, touch_edges};
use crate::table::{KeyTable, WordKey, WordTable};
use crate::tokenize::WordBuffer;

/// Buffers of a caller's.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    pub text: WordBuffer,
    pub found: Found,
}

/// The words of a block, and the n-grams that begin there.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub keys: Vec<WordKey>,
    pub words: Vec<Node>,
    paths: Vec<Node>,
}

impl Found {
    /// Makes the keys of a block of words and reads their slots.
    #[inline]
    pub fn touch_words(&mut self, table: &WordTable, text: &str, words: &[Range<usize>]) {
        self.keys.clear();
        self.keys.extend(words.iter().map(|word| WordKey::new(text, word.start, word.end)));
        table.touch(&self.keys);
    }

    /// Calls `step` for each n-gram of two words or more that begins in a block of words: the shorter n-gram and the
    /// next word give the longer one, or [`NO_NODE`]. What the next block still needs stays in `words`.
    ///
    /// # Errors
    /// What `watch` and `step` return.
    #[inline]
    pub fn for_each_ngram<T>(
        &mut self,
        watch: &mut Watch,
        tables: &mut T,
        longest: u32,
        is_end: bool,
        edges: impl Fn(&T) -> &KeyTable,
        mut step: impl FnMut(&mut T, u32, Node, Node) -> Result<Node>,
    ) -> Result<()> {
        let Found { words, paths, .. } = self;
        let starts = begun(words.len(), longest, is_end);
        paths.clear();
        paths.extend_from_slice(&words[..starts]);
        for n in 2..=longest {
            let next = words.get(n as usize - 1..).unwrap_or_default();
            watch.tick(next.len())?;
            touch_edges(edges(tables), paths, next);
            for (path, &word) in paths.iter_mut().zip(next) {
                let known = *path != NO_NODE && word != NO_NODE;
                *path = if known { step(tables, n, *path, word)? } else { NO_NODE };
            }
        }
        words.drain(..starts);
        Ok(())
    }
}

/// How many n-grams begin in a block of as many words; near the end of one that is not the last, they begin in the next.
#[inline]
pub(crate) fn begun(words: usize, longest: u32, is_end: bool) -> usize {
    if is_end { words } else { words.saturating_sub(longest as usize - 1) }
}
