//! libFuzzer on one target: `LOGINTEL_FUZZ=NAME fuzz [its options] FOLDER…`. tools/fuzz.sh builds and runs it.
#![no_main]
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use logintel_fuzz::Target;

fn target() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("LOGINTEL_FUZZ").unwrap_or_default();
        logintel_fuzz::target(&name).unwrap_or_else(|| panic!("LOGINTEL_FUZZ={name} is no target"))
    })
}

fuzz_target!(|data: &[u8]| target().feed(data));
