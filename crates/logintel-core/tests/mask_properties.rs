//! Masking is idempotent, and text comes out of it whatever goes in.
mod common;

use logintel_core::control::Watch;
use logintel_core::mask::Masker;
use logintel_core::options::{MaskRule, Masks};
use proptest::prelude::*;

const SYSTEMS: [&str; 8] = ["Android", "Apache", "BGL", "HDFS", "Hadoop", "Linux", "OpenSSH", "Zookeeper"];

/// Pieces that the built-in set has rules for, and what may stand between them.
fn line() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[0-9]{1,5}",
        2 => "[a-zA-Z_]{1,6}",
        1 => "[0-9a-fA-F]{1,9}",
        4 => prop::sample::select(vec![
            " ", " ", ",", ":", ".", "/", "//", "\\", "@", "-", "_", "=", "<", ">", "(", ")", "[", "'", "#", "+", "%", "$", "|",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(vec![
            "<num>", "<ip>", "<hex>", "<time>", "<path>", "10.1.2.3", "::", "://", "http", "0x", "Jan", "Mon", "may", "ms", "µs", "KB", "T", "Z",
            "6f3cbf05-8c27-4655-a8ad-724905d6a19b", "a.example.org", "/a/b", "C:\\", "~/", "..", "é", "日本", "١٢", "\u{301}", "😀", "\u{a0}", "\u{1}",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(|c| c.to_string()),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn twice(masker: &Masker, line: &str) -> (String, String) {
    let once = masker.mask(line, &Watch::default()).unwrap().into_owned();
    let twice = masker.mask(&once, &Watch::default()).unwrap().into_owned();
    (once, twice)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]
    #[test]
    fn masking_masked_text_changes_nothing(line in line()) {
        let (once, twice) = twice(&Masker::new(&Masks::BuiltIn).unwrap(), &line);
        prop_assert_eq!(once, twice, "{:?}", line);
    }
}

proptest! {
    #[test]
    fn masks_of_the_user_replace_whole_matches(line in line()) {
        let rule = |name: &str, pattern: &str| MaskRule { name: name.into(), pattern: pattern.into() };
        let rules = vec![rule("kv", r"(\w+)=(\d+)?"), rule("n", r"\d+")];
        let masked = Masker::new(&Masks::List(rules)).unwrap().mask(&line, &Watch::default()).unwrap().into_owned();
        // The same by hand: Rust's own engine, whose classes are written out.
        let pairs = regex::Regex::new(r"[\p{L}\p{N}_]+=\p{Nd}*").unwrap();
        let numbers = regex::Regex::new(r"\p{Nd}+").unwrap();
        let expected = numbers.replace_all(&pairs.replace_all(&line, "<kv>"), "<n>").into_owned();
        prop_assert_eq!(masked, expected);
    }
}

#[test]
fn real_lines_are_masked_once() {
    let Some(folder) = common::logs::data() else { return };
    let masker = Masker::new(&Masks::BuiltIn).unwrap();
    for system in SYSTEMS {
        for row in common::logs::csv_rows(&folder.join(format!("loghub_2k/{system}_2k.log_structured.csv"))) {
            let (once, twice) = twice(&masker, &row["Content"]);
            assert_eq!(once, twice, "{:?}", row["Content"]);
        }
    }
}

#[test]
fn a_mask_that_matches_nothing_at_all_is_refused() {
    let rule = MaskRule { name: "n".into(), pattern: r"\d*".into() };
    let error = Masker::new(&Masks::List(vec![rule])).unwrap_err().to_string();
    assert!(error.contains("empty string"), "{error}");
}
