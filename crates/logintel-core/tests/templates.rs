//! Templates of real logs against labels that we did not write, and what holds for any lines.
mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use logintel_core::control::{Unattended, Watch};
use logintel_core::mask::Masker;
use logintel_core::options::Masks;
use logintel_core::template::{Mined, Miner, Scratch, Templates};
use proptest::prelude::*;

const SYSTEMS: [&str; 8] = ["Android", "Apache", "BGL", "HDFS", "Hadoop", "Linux", "OpenSSH", "Zookeeper"];

fn masked(lines: &[String]) -> Vec<String> {
    let masker = Masker::new(&Masks::BuiltIn).unwrap();
    lines.iter().map(|line| masker.mask(line, &Watch::default()).unwrap().into_owned()).collect()
}

fn mine_with(mut miner: Miner, lines: &[String]) -> (Mined, Vec<Option<u32>>) {
    let numbers: Vec<_> = lines.iter().map(|line| miner.add(line, 1, &Unattended).unwrap()).collect();
    let found = miner.finish(&Unattended).unwrap();
    let of = numbers.iter().map(|number| number.and_then(|number| found.of[number as usize])).collect();
    (found, of)
}

fn mine(lines: &[String]) -> (Mined, Vec<Option<u32>>) {
    mine_with(Miner::new(Vec::new(), u64::MAX), lines)
}

fn groups<T: Eq + std::hash::Hash + Clone>(labels: &[T]) -> BTreeSet<Vec<usize>> {
    let mut groups: HashMap<T, Vec<usize>> = HashMap::new();
    for (at, label) in labels.iter().enumerate() {
        groups.entry(label.clone()).or_default().push(at);
    }
    groups.into_values().collect()
}

/// Grouping accuracy (Zhu et al., ICSE-SEIP 2019): the share of lines whose group is exactly a group of the labels.
/// FGA (Jiang et al., ISSTA 2024): the harmonic mean of the shares of found and of labelled groups that are the same.
fn accuracy<A, B>(found: &[A], labels: &[B]) -> (f64, f64)
where
    A: Eq + std::hash::Hash + Clone,
    B: Eq + std::hash::Hash + Clone,
{
    let (found, labelled) = (groups(found), groups(labels));
    let right: Vec<_> = found.intersection(&labelled).collect();
    let lines: usize = right.iter().map(|group| group.len()).sum();
    let (precision, recall) =
        (right.len() as f64 / found.len() as f64, right.len() as f64 / labelled.len() as f64);
    let harmonic = if right.is_empty() { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
    (lines as f64 / labels.len() as f64, harmonic)
}

#[test]
fn accuracy_is_what_its_authors_say() {
    let (grouping, harmonic) = accuracy(&[1, 1, 2, 3, 3], &["a", "a", "b", "b", "b"]);
    assert!((grouping - 0.4).abs() < 1e-12);
    // One group of three found, of two labelled: 2 · ⅓ · ½ / (⅓ + ½).
    assert!((harmonic - 0.4).abs() < 1e-12);
}

#[test]
fn one_set_of_defaults_groups_eight_systems() {
    let Some(folder) = common::logs::data() else { return };
    let (mut grouping, mut harmonic) = (0.0, 0.0);
    for system in SYSTEMS {
        let rows = common::logs::csv_rows(&folder.join(format!("loghub_2k/{system}_2k.log_structured.csv")));
        let lines: Vec<String> = rows.iter().map(|row| row["Content"].clone()).collect();
        let labels: Vec<&str> = rows.iter().map(|row| row["EventId"].as_str()).collect();
        let (mined, of) = mine(&masked(&lines));
        assert!(of.iter().all(Option::is_some), "{system}: every line has a template");
        let (ga, fga) = accuracy(&of, &labels);
        println!("{system:<10} GA {ga:.4} FGA {fga:.4} templates {}", mined.templates.list.len());
        assert!(ga >= 0.93 && fga >= 0.88, "{system}: GA {ga}, FGA {fga}");
        grouping += ga / SYSTEMS.len() as f64;
        harmonic += fga / SYSTEMS.len() as f64;
    }
    println!("mean       GA {grouping:.4} FGA {harmonic:.4}");
    assert!(grouping >= 0.975, "mean GA {grouping}");
    assert!(harmonic >= 0.95, "mean FGA {harmonic}");
}

#[test]
fn half_of_the_lines_know_the_templates_of_all() {
    let Some(folder) = common::logs::data() else { return };
    for system in SYSTEMS {
        let rows = common::logs::csv_rows(&folder.join(format!("loghub_2k/{system}_2k.log_structured.csv")));
        let lines = masked(&rows.iter().map(|row| row["Content"].clone()).collect::<Vec<_>>());
        let (all, of) = mine(&lines);
        let half = &lines[..lines.len() / 2];
        let (again, of_half) = mine_with(
            Miner::new(Vec::new(), u64::MAX).know(all.templates.clone(), &Unattended).unwrap(),
            half,
        );
        for (line, (before, now)) in half.iter().zip(of.iter().zip(&of_half)) {
            let text =
                |mined: &Mined, at: &Option<u32>| mined.templates.list[at.unwrap() as usize].text.clone();
            assert_eq!(text(&again, now), text(&all, before), "{system}: {line}");
        }
    }
}

/// Lines of a few statements, of which any part may vary, and of anything.
fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        6 => prop::sample::select(vec![
            "user", "for", "from", "open", "closed", "x=", "y = ", "LOOKING", "true", "(a)", "()", "\"a b\"", "\"a\"", "a.b.c", "k:v",
            "<num>", "<ip>", "blk_<num>", "blk_-<num>", "<*>", "<num> KB", "<<num> sec", "...", "..", "a...<num>", "FF:<num>:<num>F:<num>:<num>",
            "<num>,<num>", "[<num>, <num>]", "<num>|<num>", "[]", "\"\"", "::", "a::b", "/x", "ffffffff", "<", ">", "'", "\"", "*",
        ]).prop_map(str::to_owned),
        3 => "[a-h]",
        1 => any::<char>().prop_map(|c| c.to_string()),
    ];
    let gap = prop::sample::select(vec![" ", " ", " ", "", "  ", ",", "=", ": "]);
    prop::collection::vec((word, gap), 0..7)
        .prop_map(|pieces| pieces.into_iter().map(|(word, gap)| word + gap).collect())
}

fn texts(templates: &Templates) -> BTreeMap<&str, u64> {
    templates.list.iter().map(|template| (template.text.as_str(), template.rows)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn each_line_has_its_template_whatever_the_order(lines in prop::collection::vec(line(), 1..40), swaps in any::<u64>()) {
        let (mined, of) = mine(&lines);
        prop_assert!(of.iter().all(Option::is_some), "{lines:?}: {of:?}");
        prop_assert_eq!(mined.templates.overflow.rows, 0);
        prop_assert_eq!(mined.templates.list.iter().map(|template| template.rows).sum::<u64>(), lines.len() as u64);
        let (matcher, mut scratch) = (mined.templates.matcher(&Unattended).unwrap(), Scratch::default());
        for (line, of) in lines.iter().zip(&of) {
            prop_assert_eq!(matcher.find(line, &mut scratch), *of, "{:?}", line);
        }
        let mut order: Vec<usize> = (0..lines.len()).collect();
        order.sort_by_key(|&at| (at as u64 + 1).wrapping_mul(swaps | 1));
        let shuffled: Vec<String> = order.iter().map(|&at| lines[at].clone()).collect();
        prop_assert_eq!(&mine(&shuffled).0.templates, &mined.templates);
    }

    #[test]
    fn what_is_known_stays_known(lines in prop::collection::vec(line(), 1..40)) {
        let (mined, _) = mine(&lines);
        let (again, of) = mine_with(Miner::new(Vec::new(), u64::MAX).know(mined.templates.clone(), &Unattended).unwrap(), &lines);
        prop_assert!(of.iter().all(Option::is_some), "{lines:?}: {of:?}");
        prop_assert_eq!(texts(&again.templates), texts(&mined.templates));
    }
}
