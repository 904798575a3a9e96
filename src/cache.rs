//! Models that this backend has decoded, of detectors and of the toolbox.
//!
//! Decoding a model takes milliseconds, using it microseconds, so each backend keeps what it used, least recently used
//! out, within `logintel.model_cache_mem`. A key never names another model than the one it was made for, so an entry is
//! never stale.
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use pgrx::Uuid;

use crate::settings;

/// What a model is known by.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// A version of a detector's model, whose identity is never used again.
    Detector(Uuid),
    /// A state of a detector's marks, which is never used again, in terms of a model.
    Feedback { marks: Uuid, model: Uuid },
    /// A `tfidf_model` by its bytes as they are stored: the whole of it, or the pointer to where it lies out of line.
    /// Then the head, which holds its length and checksum, tells it from one that took its place.
    Vectorizer { stored: Vec<u8>, head: Vec<u8> },
}

impl Key {
    fn bytes(&self) -> u64 {
        match self {
            Key::Detector(_) | Key::Feedback { .. } => 0,
            Key::Vectorizer { stored, .. } => stored.len() as u64,
        }
    }
}

struct Entry {
    key: Key,
    model: Rc<dyn Any>,
    bytes: u64,
}

thread_local! {
    /// Most recently used last.
    static MODELS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// The model of a key, if it is kept.
pub fn find<T: 'static>(key: &Key) -> Option<Rc<T>> {
    MODELS.with_borrow_mut(|models| {
        let at = models.iter().rposition(|entry| entry.key == *key)?;
        let entry = models.remove(at);
        let model = Rc::clone(&entry.model).downcast().ok();
        models.push(entry);
        model
    })
}

/// Keeps a model of as many bytes, and drops the least recently used ones that no longer fit. The newest model of a detector
/// stays in any case, for each INSERT needs it; a `tfidf_model` that alone is larger than the setting is not kept.
pub fn keep<T: 'static>(key: Key, model: &Rc<T>, bytes: u64) {
    if matches!(key, Key::Vectorizer { .. }) && bytes + key.bytes() > settings::model_cache_mem() {
        return;
    }
    let entry = Entry { bytes: bytes + key.bytes(), key, model: Rc::clone(model) as Rc<dyn Any> };
    MODELS.with_borrow_mut(|models| {
        models.push(entry);
        let mut bytes: u64 = models.iter().map(|entry| entry.bytes).sum();
        let mut at = 0;
        while at < models.len() && bytes > settings::model_cache_mem() {
            let is_model = |entry: &Entry| matches!(entry.key, Key::Detector(_));
            if is_model(&models[at]) && !models[at + 1..].iter().any(is_model) {
                at += 1;
            } else {
                bytes -= models.remove(at).bytes;
            }
        }
    });
}
