//! What fuzzing found, and what reached most of the code, fed to every target again.
use logintel_fuzz::{TARGETS, corpus};

#[test]
fn nothing_that_is_kept_breaks_anything() {
    for target in &TARGETS {
        let inputs = corpus::inputs(target);
        assert!(inputs.len() > 1, "{} has no corpus", target.name);
        for input in &inputs {
            target.feed_named(input);
        }
    }
}
