//! DBSCAN against the textbook over all distances.
use proptest::prelude::*;

use super::*;
use crate::artifact;
use crate::control::Unattended;
use crate::distinct::Distinct;
use crate::neighbors::tests::{log_like, matrix, vectors};
use crate::sparse::SparseVec;

/// The distance of each pair.
fn distances(rows: &CsrMatrix) -> Vec<Vec<f64>> {
    let to = |i: usize| (0..rows.rows()).map(move |j| rows.row(i).cosine_distance(rows.row(j)).unwrap());
    (0..rows.rows()).map(|i| to(i).collect()).collect()
}

/// Neighbourhoods from all pairs, clusters grown from the lowest core row on, a border row kept by the first
/// cluster that reaches it.
fn textbook(fit: &Dbscan, distances: &[Vec<f64>], weights: &[u64]) -> Labels {
    let n = distances.len();
    let near = |i: usize, j: usize| i == j || distances[i][j] <= fit.eps;
    let core: Vec<bool> = (0..n)
        .map(|i| (0..n).filter(|&j| near(i, j)).map(|j| weights[j]).sum::<u64>() >= u64::from(fit.min_points))
        .collect();
    let mut labels = vec![None; n];
    let mut clusters = 0;
    for seed in 0..n {
        if !core[seed] || labels[seed].is_some() {
            continue;
        }
        labels[seed] = Some(clusters);
        let mut queue = vec![seed];
        while let Some(i) = queue.pop() {
            for j in (0..n).filter(|&j| near(i, j)) {
                if labels[j].is_none() {
                    labels[j] = Some(clusters);
                    if core[j] {
                        queue.push(j);
                    }
                }
            }
        }
        clusters += 1;
    }
    Labels { labels, core, clusters }
}

fn distinct(dim: u32, rows: &[SparseVec]) -> crate::distinct::DistinctRows {
    let mut distinct = Distinct::new(dim);
    for row in rows {
        distinct.push(row.as_ref(), &Unattended).unwrap();
    }
    distinct.finish()
}

struct Threads(usize);
impl Control for Threads {
    fn threads(&self) -> usize {
        self.0
    }
}

fn eps() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::sample::select(vec![0.0, 1e-15, 1e-9, 0.05, 0.3, 0.7, 0.999_999_9, 1.0, 1.5, 2.0, 3.0]),
        0.0..1.2f64,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn weighted_distinct_rows_cluster_like_all_rows_in_the_textbook(
        (dim, rows) in (1..16u32).prop_flat_map(|dim| (Just(dim), vectors(dim, 160))),
        drawn in eps(),
        tie in prop::option::of((0..160usize, 0..160usize)),
        min_points in 1..9u32,
    ) {
        let all = matrix(dim, &rows);
        // A distance that occurs is the hardest threshold.
        let eps = match tie {
            Some((i, j)) if i < rows.len() && j < rows.len() => all.row(i).cosine_distance(all.row(j)).unwrap(),
            _ => drawn,
        };
        let fit = Dbscan { eps, min_points };
        let expected = textbook(&fit, &distances(&all), &vec![1; rows.len()]);
        let distinct = distinct(dim, &rows);
        let labels = fit.fit(&distinct.rows, &distinct.weights, &Unattended).unwrap();
        prop_assert_eq!(labels.clusters, expected.clusters);
        for (i, &row) in distinct.row_of.iter().enumerate() {
            prop_assert_eq!(labels.labels[row as usize], expected.labels[i], "row {}", i);
            prop_assert_eq!(labels.core[row as usize], expected.core[i], "row {}", i);
        }
        prop_assert_eq!(&fit.fit(&distinct.rows, &distinct.weights, &Threads(3)).unwrap(), &labels);
        prop_assert_eq!(&fit.fit(&all, &vec![1; rows.len()], &Unattended).unwrap(), &expected);
    }

    #[test]
    fn a_new_row_joins_the_lowest_cluster_that_reaches_it(
        (dim, rows, queries) in (2..12u32).prop_flat_map(|dim| (Just(dim), vectors(dim, 80), vectors(dim, 20))),
        eps in eps(),
        min_points in 1..5u32,
    ) {
        let rows = matrix(dim, &rows);
        let fit = Dbscan { eps, min_points };
        let labels = fit.fit(&rows, &vec![1; rows.rows()], &Unattended).unwrap();
        let core = CoreRows::new(&fit, &rows, &labels, &Unattended).unwrap();
        let bytes = bincode::encode_to_vec(&core, artifact::config()).unwrap();
        let (read, _): (CoreRows, _) = bincode::decode_from_slice(&bytes, artifact::config()).unwrap();
        prop_assert_eq!(&read, &core);
        let index = CoreIndex::new(read, &Unattended).unwrap();
        prop_assert_eq!(index.clusters(), labels.clusters);
        let mut scratch = Scratch::default();
        for query in &queries {
            let expected = (0..rows.rows())
                .filter(|&i| labels.core[i] && query.as_ref().cosine_distance(rows.row(i)).unwrap() <= eps)
                .filter_map(|i| labels.labels[i])
                .min();
            prop_assert_eq!(index.predict(query.as_ref(), &mut scratch).unwrap(), expected);
        }
    }
}

#[test]
fn many_rows_cluster_like_the_textbook() {
    let rows = log_like(1000, 11);
    let distances = distances(&rows);
    let weights: Vec<u64> = (0..1000).map(|i| if i % 7 == 0 { 20 } else { 1 + i % 3 }).collect();
    for eps in [0.05, 0.15, 0.3, 0.5, 0.7, 0.9] {
        for min_points in [1, 3, 10, 60] {
            let fit = Dbscan { eps, min_points };
            let expected = textbook(&fit, &distances, &weights);
            for threads in [1, 3] {
                assert_eq!(fit.fit(&rows, &weights, &Threads(threads)).unwrap(), expected, "{fit:?}");
            }
        }
    }
}

#[test]
fn a_permutation_renames_clusters_and_moves_no_core_row() {
    let rows = log_like(800, 5);
    let fit = Dbscan { eps: 0.3, min_points: 5 };
    let labels = fit.fit(&rows, &[1; 800], &Unattended).unwrap();
    let order: Vec<usize> = (0..800).map(|i| i * 311 % 800).collect();
    let mut permuted = CsrMatrix::new(rows.dim);
    for &i in &order {
        permuted.push(rows.row(i)).unwrap();
    }
    let again = fit.fit(&permuted, &[1; 800], &Unattended).unwrap();
    assert_eq!(again.clusters, labels.clusters);
    let mut name = std::collections::BTreeMap::new();
    for (at, &i) in order.iter().enumerate() {
        assert_eq!(again.core[at], labels.core[i]);
        assert_eq!(again.labels[at].is_some(), labels.labels[i].is_some());
        if labels.core[i] {
            assert_eq!(*name.entry(labels.labels[i]).or_insert(again.labels[at]), again.labels[at]);
        }
    }
    assert!(labels.clusters > 3);
}

#[test]
fn zero_vectors_are_apart_unless_everything_is_near() {
    let zero = SparseVec { dim: 3, ..SparseVec::default() };
    let one = SparseVec { dim: 3, indices: vec![0], values: vec![1.0] };
    let rows = matrix(3, &[zero.clone(), one, zero]);
    let fit =
        |eps, min_points| Dbscan { eps, min_points }.fit(&rows, &[1, 1, 1], &Unattended).unwrap().labels;
    assert_eq!(fit(0.999, 2), [None, None, None]);
    assert_eq!(fit(0.999, 1), [Some(0), Some(1), Some(2)]);
    assert_eq!(fit(1.0, 3), [Some(0), Some(0), Some(0)]);
}

#[test]
fn parameters_and_memory_are_checked() {
    struct Tight;
    impl Control for Tight {
        fn memory(&self) -> u64 {
            1000
        }
    }
    let rows = log_like(500, 1);
    let fit = |eps, min_points| Dbscan { eps, min_points }.fit(&rows, &[1; 500], &Unattended);
    assert!(matches!(fit(f64::NAN, 2), Err(Error::OptionValue { name, .. }) if name == "eps"));
    assert!(matches!(fit(-0.1, 2), Err(Error::OptionValue { name, .. }) if name == "eps"));
    assert!(matches!(fit(0.1, 0), Err(Error::OptionValue { name, .. }) if name == "min_points"));
    let error = Dbscan { eps: 0.3, min_points: 2 }.fit(&rows, &[1; 500], &Tight).unwrap_err();
    assert!(matches!(error, Error::Memory { needed, .. } if needed > 1000));
}

#[test]
fn every_phase_can_be_stopped() {
    /// Stops at the first poll after a phase has begun.
    struct Stop(&'static str, std::cell::Cell<bool>);
    impl Control for Stop {
        fn poll(&self) -> Result<()> {
            if self.1.get() { Err(Error::Canceled) } else { Ok(()) }
        }
        fn progress(&self, phase: &'static str, done: u64, total: u64) {
            assert!(done < total);
            self.1.set(self.1.get() || phase == self.0);
        }
    }
    let rows = log_like(600, 2);
    let fit = Dbscan { eps: 0.2, min_points: 4 };
    for phase in ["core rows", "joining core rows", "border rows"] {
        let control = Stop(phase, std::cell::Cell::new(false));
        assert_eq!(fit.fit(&rows, &[1; 600], &control), Err(Error::Canceled), "{phase}");
    }
}

#[test]
fn damaged_core_rows_are_refused() {
    let rows = log_like(60, 9);
    let fit = Dbscan { eps: 0.5, min_points: 3 };
    let labels = fit.fit(&rows, &[1; 60], &Unattended).unwrap();
    let core = CoreRows::new(&fit, &rows, &labels, &Unattended).unwrap();
    assert!(CoreIndex::new(core.clone(), &Unattended).is_ok());
    let damages: [fn(&mut CoreRows); 9] = [
        |c| c.eps = f64::NAN,
        |c| c.clusters[0] = 1_000_000,
        |c| c.clusters.truncate(3),
        |c| c.rows.indptr.clear(),
        |c| c.rows.indptr[2] = 0,
        |c| c.rows.indptr[1] = usize::MAX,
        |c| c.rows.values.truncate(5),
        |c| c.rows.values[0] = f32::NAN,
        |c| c.rows.dim = 7,
    ];
    for damage in damages {
        let mut core = core.clone();
        damage(&mut core);
        assert!(matches!(CoreIndex::new(core, &Unattended), Err(Error::Corrupt { .. })));
    }
}
