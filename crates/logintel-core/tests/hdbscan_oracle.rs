//! HDBSCAN* against scikit-learn.
#![allow(clippy::float_cmp, reason = "an agreement of exactly 1 is what is asked for")]
mod common;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use logintel_core::control::Unattended;
use logintel_core::distinct::Distinct;
use logintel_core::hdbscan::Hdbscan;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    min_cluster_size: u32,
    min_samples: u32,
    weights: Vec<f64>,
    labels: Vec<i64>,
    /// The least index of its labels and those of permutations of the rows.
    agreement: f64,
    /// Whether these are no real logs, but rows with more copies that part at ties.
    is_made_up: bool,
    /// Whether its sort is the one whose order of equal edges is followed.
    sorts_alike: bool,
}

/// How well two partitions agree, 1 if they are the same, 0 as by chance (Hubert and Arabie, 1985).
fn adjusted_rand_index(a: &[i64], b: &[i64]) -> f64 {
    let pairs = |counts: BTreeMap<(i64, i64), u64>| -> f64 {
        counts.into_values().map(|n| (n * (n - 1) / 2) as f64).sum()
    };
    let counted = |key: &dyn Fn(i64, i64) -> (i64, i64)| {
        let mut counts = BTreeMap::new();
        for (&a, &b) in a.iter().zip(b) {
            *counts.entry(key(a, b)).or_insert(0) += 1;
        }
        pairs(counts)
    };
    let (both, first, second) = (counted(&|a, b| (a, b)), counted(&|a, _| (a, 0)), counted(&|_, b| (b, 0)));
    let expected = first * second / counted(&|_, _| (0, 0));
    let most = f64::midpoint(first, second);
    if most > expected { (both - expected) / (most - expected) } else { 1.0 }
}

/// The same partition, its clusters numbered by their first row; noise stays -1.
fn by_first_row(labels: &[i64]) -> Vec<i64> {
    let mut number = BTreeMap::from([(-1, -1)]);
    labels
        .iter()
        .map(|&label| {
            let next = number.len() as i64 - 1;
            *number.entry(label).or_insert(next)
        })
        .collect()
}

/// The label that most copies of each row have, the lowest of several.
fn of_most_copies(labels: &[i64], row_of: &[u32]) -> Vec<i64> {
    let mut counts: BTreeMap<u32, BTreeMap<i64, usize>> = BTreeMap::new();
    for (&label, &row) in labels.iter().zip(row_of) {
        *counts.entry(row).or_default().entry(label).or_default() += 1;
    }
    let most = |row| counts[row].iter().max_by_key(|&(&label, &count)| (count, Reverse(label)));
    row_of.iter().map(|row| *most(row).unwrap().0).collect()
}

#[test]
fn trees_and_clusters_are_scikit_learns() {
    let (mut same, mut tied) = (0, 0);
    for data_set in common::oracle::data_sets::<Case>("hdbscan") {
        let rows = data_set.matrix();
        let ones = vec![1; rows.rows()];
        let mut distinct = Distinct::new(rows.dim);
        for i in 0..rows.rows() {
            distinct.push(rows.row(i), &Unattended).unwrap();
        }
        let distinct = distinct.finish();
        for case in data_set.cases {
            let name = format!(
                "{}, min_cluster_size {}, min_samples {}",
                case.name, case.min_cluster_size, case.min_samples
            );
            let fit = Hdbscan { min_cluster_size: case.min_cluster_size, min_samples: case.min_samples };
            let everything: Vec<u32> = (0..rows.rows() as u32).collect();
            for (matrix, weights, row_of) in
                [(&rows, &ones, &everything), (&distinct.rows, &distinct.weights, &distinct.row_of)]
            {
                let tree = fit.spanning_tree(matrix, weights, &Unattended).unwrap().unwrap();
                let sorted = tree.sorted_weights(weights);
                assert_eq!(sorted.len(), case.weights.len(), "{name}");
                for (ours, theirs) in sorted.iter().zip(&case.weights) {
                    assert!((ours - theirs).abs() <= 1e-6, "{name}: {ours} and {theirs}");
                }
                let fitted = fit.fit(matrix, row_of, &Unattended).unwrap();
                let labels: Vec<i64> =
                    row_of.iter().map(|&i| fitted.labels[i as usize].map_or(-1, i64::from)).collect();
                if case.agreement >= 1.0 && case.sorts_alike {
                    assert_eq!(labels, by_first_row(&case.labels), "{name}");
                    same += 1;
                } else {
                    let index = adjusted_rand_index(&labels, &case.labels);
                    println!("{name}: {index:.4}, scikit-learn with itself {:.4}", case.agreement);
                    // Another sort puts equal edges in another order, as a permutation of the rows does.
                    let least = if case.sorts_alike { 0.98 } else { case.agreement - 0.2 };
                    if !case.is_made_up {
                        assert!(index >= least, "{name}: {index}");
                    }
                    // Where scikit-learn parts copies of a row, it is followed for most of them.
                    let index = adjusted_rand_index(&labels, &of_most_copies(&case.labels, row_of));
                    assert!(index >= least, "{name}: {index} with copies kept together");
                    tied += 1;
                }
            }
        }
    }
    assert!(same + tied >= 14, "{same} cases without and {tied} with ties that matter");
}
