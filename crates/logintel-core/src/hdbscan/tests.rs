//! The spanning tree against Kruskal over all pairs; what labels must be whatever the data.
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::control::Unattended;
use crate::distinct::Distinct;
use crate::neighbors::tests::{Polls, log_like, matrix, vectors};
use crate::sparse::SparseVec;

/// The distinct row of each of as many rows as the weights say, the first of each in order.
fn row_of(weights: &[u64]) -> Vec<u32> {
    let most = weights.iter().copied().max().unwrap_or(0);
    let named = |nth| (0u32..).zip(weights).filter(move |(_, weight)| nth < **weight).map(|(row, _)| row);
    (0..most).flat_map(named).collect()
}

/// Core distances from sorted distances, then all pairs by ascending weight and rows.
fn kruskal(rows: &CsrMatrix, weights: &[u64], min_samples: u64) -> SpanningTree {
    let n = rows.rows();
    let units: Vec<BTreeMap<u32, f64>> = (0..n)
        .map(|i| {
            let (row, length) = (rows.row(i), rows.row(i).l2_norm());
            row.indices.iter().zip(row.values).map(|(&column, &v)| (column, f64::from(v) / length)).collect()
        })
        .collect();
    let distance = |i: usize, j: usize| {
        let products = units[i].iter().filter_map(|(column, a)| units[j].get(column).map(|b| a * b));
        1.0 - products.sum::<f64>().clamp(-1.0, 1.0)
    };
    let core: Vec<f64> = (0..n)
        .map(|i| {
            let mut all: Vec<(f64, u64)> =
                (0..n).filter(|&j| i != j).map(|j| (distance(i, j), weights[j])).collect();
            all.extend([(0.0, 1), (distance(i, i), weights[i] - 1)]);
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut seen = 0;
            all.into_iter().find(|(_, weight)| {
                seen += weight;
                seen >= min_samples
            })
        })
        .map(|found| found.unwrap().0)
        .collect();
    let mut pairs: Vec<Edge> = (0..n)
        .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
        .map(|(i, j)| Edge::new(distance(i, j).max(core[i]).max(core[j]), i as u32, j as u32))
        .collect();
    pairs.sort_by(|a, b| a.weight.total_cmp(&b.weight).then((a.low, a.high).cmp(&(b.low, b.high))));
    let mut sets = Sets::new(n);
    let edges = pairs.into_iter().filter(|edge| sets.join(edge.low, edge.high)).collect();
    let copies = (0..n).map(|i| core[i].max(distance(i, i))).collect();
    SpanningTree { core, copies, edges }
}

fn sorted(mut tree: SpanningTree) -> SpanningTree {
    tree.edges.sort_by(|a, b| a.weight.total_cmp(&b.weight).then((a.low, a.high).cmp(&(b.low, b.high))));
    tree
}

struct Threads(usize);
impl Control for Threads {
    fn threads(&self) -> usize {
        self.0
    }
}

fn check_labels(labels: &Labels, weights: &[u64], min_cluster_size: u32) {
    let mut next = 0;
    let mut sizes = vec![0; labels.clusters as usize];
    for (label, weight) in labels.labels.iter().zip(weights) {
        if let Some(label) = *label {
            assert!(label <= next, "clusters are numbered by their first row");
            next = next.max(label + 1);
            sizes[label as usize] += weight;
        }
    }
    assert_eq!(next, labels.clusters);
    if weights.iter().all(|&weight| weight == 1) {
        assert!(sizes.iter().all(|&size| size >= u64::from(min_cluster_size)));
    }
    assert!(labels.core.iter().zip(&labels.labels).all(|(core, label)| *core == label.is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_is_kruskals(
        (dim, rows) in (1..14u32).prop_flat_map(|dim| (Just(dim), vectors(dim, 90))),
        nonnegative in any::<bool>(),
        min_samples in 1..12u32,
        min_cluster_size in 2..9u32,
        heavy in 1..40u64,
    ) {
        let mut rows = rows;
        if nonnegative {
            rows.iter_mut().flat_map(|row| &mut row.values).for_each(|v| *v = v.abs());
        }
        let all = matrix(dim, &rows);
        let weights: Vec<u64> = (0..rows.len() as u64).map(|i| if i % 5 == 0 { heavy } else { 1 + i % 2 }).collect();
        let fit = Hdbscan { min_cluster_size, min_samples };
        let tree = fit.spanning_tree(&all, &weights, &Unattended).unwrap();
        let labels = fit.fit(&all, &row_of(&weights), &Unattended).unwrap();
        if let Some(tree) = tree {
            prop_assert_eq!(sorted(tree), kruskal(&all, &weights, u64::from(min_samples)));
            check_labels(&labels, &weights, min_cluster_size);
        } else {
            prop_assert!(weights.iter().sum::<u64>() < u64::from(min_samples) || rows.is_empty());
            prop_assert_eq!(labels.clusters, 0);
        }
        prop_assert_eq!(fit.fit(&all, &row_of(&weights), &Threads(3)).unwrap(), labels);
        let ones = vec![1; rows.len()];
        check_labels(&fit.fit(&all, &row_of(&ones), &Unattended).unwrap(), &ones, min_cluster_size);
    }

    #[test]
    fn argsort_sorts(length in 0..3000usize, different in 1..300u32, seed in any::<u64>()) {
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from((state >> 33) as u32 % different)
        };
        let keys: Vec<f64> = (0..length).map(|_| random()).collect();
        let order = argsort::argsort(&keys, &Unattended).unwrap();
        prop_assert!(order.is_sorted_by(|&a, &b| keys[a as usize] <= keys[b as usize]));
        let mut positions = order;
        positions.sort_unstable();
        prop_assert_eq!(positions, (0..length as u32).collect::<Vec<_>>());
    }

    #[test]
    fn copies_weigh_what_they_would_each(
        (dim, rows) in (1..10u32).prop_flat_map(|dim| (Just(dim), vectors(dim, 70))),
        min_samples in 1..8u32,
    ) {
        let all = matrix(dim, &rows);
        let mut distinct = Distinct::new(dim);
        for row in &rows {
            distinct.push(row.as_ref(), &Unattended).unwrap();
        }
        let distinct = distinct.finish();
        let fit = Hdbscan { min_cluster_size: 3, min_samples };
        let ones = vec![1; rows.len()];
        let expanded = fit.spanning_tree(&all, &ones, &Unattended).unwrap();
        let collapsed = fit.spanning_tree(&distinct.rows, &distinct.weights, &Unattended).unwrap();
        prop_assert_eq!(collapsed.is_some(), expanded.is_some());
        if let (Some(collapsed), Some(expanded)) = (collapsed, expanded) {
            // Copies are at 0 from one another but for rounding, which may be more than from a multiple of the row.
            let sorted = collapsed.sorted_weights(&distinct.weights);
            for (a, b) in sorted.iter().zip(expanded.sorted_weights(&ones)) {
                prop_assert!((a - b).abs() < 1e-15, "{a} and {b}");
            }
            for (row, &of) in distinct.row_of.iter().enumerate() {
                prop_assert_eq!(expanded.core[row].to_bits(), collapsed.core[of as usize].to_bits());
            }
        }
    }
}

#[test]
fn the_tree_of_many_rows_is_kruskals_on_any_number_of_threads() {
    let rows = log_like(700, 21);
    let weights: Vec<u64> = (0..700).map(|i| if i % 11 == 0 { 30 } else { 1 + i % 3 }).collect();
    for min_samples in [1, 4, 15, 200] {
        let fit = Hdbscan { min_cluster_size: 10, min_samples };
        let expected = kruskal(&rows, &weights, u64::from(min_samples));
        for threads in [1, 4] {
            let tree = fit.spanning_tree(&rows, &weights, &Threads(threads)).unwrap().unwrap();
            assert_eq!(sorted(tree), expected, "min_samples {min_samples}, {threads} threads");
        }
        check_labels(&fit.fit(&rows, &row_of(&weights), &Unattended).unwrap(), &weights, 10);
    }
}

#[test]
fn two_groups_and_a_stray() {
    let row = |entries: &[(u32, f32)]| SparseVec {
        dim: 9,
        indices: entries.iter().map(|e| e.0).collect(),
        values: entries.iter().map(|e| e.1).collect(),
    };
    let mut rows: Vec<SparseVec> =
        (0..4u8).map(|i| row(&[(0, 9.0), (1, 1.0 + f32::from(i) / 7.0), (4, 1.0)])).collect();
    rows.push(row(&[(5, 1.0), (8, 1.0)]));
    rows.extend((0..4u8).map(|i| row(&[(2, 9.0), (3, 1.0 + f32::from(i) / 5.0), (4, 1.0)])));
    let rows = matrix(9, &rows);
    let fit = Hdbscan { min_cluster_size: 3, min_samples: 2 };
    let labels = fit.fit(&rows, &row_of(&[1; 9]), &Unattended).unwrap();
    let (a, b) = (Some(0), Some(1));
    assert_eq!(labels.labels, [a, a, a, a, None, b, b, b, b]);
    assert_eq!(labels.clusters, 2);
}

#[test]
fn copies_of_one_row_are_a_cluster_beside_another_and_noise_alone() {
    let row = |column| SparseVec { dim: 3, indices: vec![column], values: vec![1.0] };
    let fit = Hdbscan { min_cluster_size: 5, min_samples: 5 };
    let labels = |rows: &[SparseVec], weights: &[u64]| {
        fit.fit(&matrix(3, rows), &row_of(weights), &Unattended).unwrap().labels
    };
    assert_eq!(labels(&[row(0), row(1)], &[7, 9]), [Some(0), Some(1)]);
    assert_eq!(labels(&[row(0), row(1)], &[7, 4]), [None, None]);
    assert_eq!(labels(&[row(0)], &[50]), [None]);
    assert_eq!(labels(&[row(0)], &[2]), [None]);
    assert_eq!(labels(&[], &[]), []);
    // The same direction: at distance 0, so never told apart, in a tie of more rows than are kept in line too.
    let long = SparseVec { dim: 3, indices: vec![0], values: vec![3.0] };
    assert_eq!(labels(&[row(0), long.clone()], &[8, 9]), [None, None]);
    assert_eq!(labels(&[row(0), long, row(1)], &[8000, 9000, 6]), [Some(0), Some(0), Some(1)]);
}

#[test]
fn zero_vectors_are_noise_between_clusters() {
    let row = |column, value| SparseVec { dim: 4, indices: vec![column, 3], values: vec![9.0, value] };
    let zero = SparseVec { dim: 4, ..SparseVec::default() };
    let mut rows: Vec<SparseVec> = (0..5u8).map(|i| row(0, f32::from(i) / 90.0 + 0.01)).collect();
    rows.extend(std::iter::repeat_n(zero, 6));
    rows.extend((0..5u8).map(|i| row(1, f32::from(i) / 50.0 + 0.01)));
    let fit = Hdbscan { min_cluster_size: 4, min_samples: 3 };
    let labels = fit.fit(&matrix(4, &rows), &row_of(&[1; 16]), &Unattended).unwrap().labels;
    assert!(labels[..5].iter().all(|&l| l == Some(0)));
    assert!(labels[5..11].iter().all(|&l| l.is_none()));
    assert!(labels[11..].iter().all(|&l| l == Some(1)));
}

#[test]
fn parameters_memory_and_cancel() {
    struct Tight;
    impl Control for Tight {
        fn memory(&self) -> u64 {
            1000
        }
    }
    /// Stops at the first poll after a phase has begun.
    struct Stop(&'static str, std::cell::Cell<bool>);
    impl Control for Stop {
        fn poll(&self) -> Result<()> {
            if self.1.get() { Err(Error::Canceled) } else { Ok(()) }
        }
        fn progress(&self, phase: &'static str, _: u64, _: u64) {
            self.1.set(self.1.get() || phase == self.0);
        }
    }
    let rows = log_like(300, 4);
    let fit = |min_cluster_size, min_samples, control: &dyn Control| {
        Hdbscan { min_cluster_size, min_samples }.fit(&rows, &row_of(&[1; 300]), control)
    };
    assert!(
        matches!(fit(1, 5, &Unattended), Err(Error::OptionValue { name, .. }) if name == "min_cluster_size")
    );
    assert!(matches!(fit(5, 0, &Unattended), Err(Error::OptionValue { name, .. }) if name == "min_samples"));
    assert!(matches!(fit(5, 5, &Tight), Err(Error::Memory { needed, .. }) if needed > 1000));
    for phase in ["core distances", "spanning tree", "hierarchy"] {
        let control = Stop(phase, std::cell::Cell::new(false));
        assert_eq!(fit(5, 5, &control), Err(Error::Canceled), "{phase}");
    }
}

#[test]
fn many_copies_can_be_stopped() {
    let rows = matrix(3, &[SparseVec { dim: 3, indices: vec![1], values: vec![1.0] }]);
    let row_of = vec![0; 10 * crate::control::STEPS_BETWEEN_POLLS];
    let control = Polls(std::cell::Cell::new(0));
    Hdbscan { min_cluster_size: 2, min_samples: 2 }.fit(&rows, &row_of, &control).unwrap();
    // The weights, two passes for the lists of copies, the visit, the sort, the joins, the clusters by row.
    assert!(control.0.get() >= 70, "{} polls", control.0.get());
}

#[test]
fn more_rows_than_numbers_are_told_from_a_lack_of_memory() {
    assert_eq!(check_number(i32::MAX as usize - 1), Ok(()));
    assert!(matches!(check_number(i32::MAX as usize), Err(Error::TooMany { what: "rows", .. })));
}
