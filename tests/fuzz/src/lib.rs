//! Hostile input: what anybody can hand to the engine, read and used.
//!
//! A [`Target`] takes any bytes and must neither panic nor take more memory than its bound, and says what must hold of what it
//! accepts. libFuzzer (`src/bin/fuzz.rs`, run by tools/fuzz.sh) looks for bytes that break one; what it found stays in [`corpus`]
//! and is fed to the targets by an ordinary test.
#![deny(unsafe_code)]

pub mod artifacts;
pub mod chance;
pub mod corpus;
mod lines;
mod options;
mod vectors;

/// Of the engine's own tests. It has the only unsafe code here, and none of the lints of a public crate.
#[allow(unsafe_code, clippy::wildcard_imports)]
#[path = "../../../crates/logintel-core/tests/common/memory.rs"]
pub mod memory;

/// A piece of the engine, and how to feed it.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    run: fn(&[u8]),
    /// Bytes that it may use at once, whatever the input, and for each byte of it.
    memory: (usize, usize),
}

const MB: usize = 1 << 20;

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target { name: "logvec_text", run: vectors::text, memory: (64 << 10, 64) },
    Target { name: "logvec_binary", run: vectors::binary, memory: (64 << 10, 64) },
    // What uses a model compiles its patterns: MAX_COMPILED is 64 MB.
    Target { name: "tfidf_model", run: artifacts::tfidf_model, memory: (192 * MB, 256) },
    Target { name: "detector_model", run: artifacts::detector_model, memory: (192 * MB, 256) },
    Target { name: "rate_state", run: artifacts::rate_state, memory: (4 * MB, 256) },
    Target { name: "options", run: options::options, memory: (192 * MB, 1024) },
    Target { name: "pattern", run: options::pattern, memory: (192 * MB, 1024) },
    Target { name: "tokenizer", run: lines::tokenizer, memory: (MB, 1024) },
    Target { name: "templates", run: lines::templates, memory: (MB, 1024) },
    Target { name: "training", run: lines::training, memory: (16 * MB, 4096) },
    Target { name: "server_log", run: lines::server_log, memory: (4 * MB, 64) },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    /// Feeds it.
    ///
    /// # Panics
    /// Where it breaks.
    pub fn feed(&self, input: &[u8]) {
        let ((), used) = memory::peak(|| (self.run)(input));
        let (base, each) = self.memory;
        assert!(used <= base + each * input.len(), "{used} bytes of memory for an input of {}", input.len());
    }

    /// Feeds it, for a test.
    ///
    /// # Panics
    /// Where it breaks, naming the input.
    pub fn feed_named(&self, input: &[u8]) {
        let fed = std::panic::catch_unwind(|| self.feed(input));
        assert!(fed.is_ok(), "{} breaks on {}", self.name, input.escape_ascii());
    }
}

/// Bytes as text: what the surface makes of them.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
