//! DBSCAN against scikit-learn.
mod common;

use logintel_core::control::Unattended;
use logintel_core::dbscan::Dbscan;
use logintel_core::distinct::Distinct;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    weights: Option<Vec<u64>>,
    eps: f64,
    min_points: u32,
    labels: Vec<i64>,
    core: Vec<bool>,
}

fn as_scikit_learn(label: Option<u32>) -> i64 {
    label.map_or(-1, i64::from)
}

#[test]
fn labels_and_core_rows_are_scikit_learns() {
    let mut count = 0;
    for data_set in common::oracle::data_sets::<Case>("dbscan") {
        let rows = data_set.matrix();
        let mut distinct = Distinct::new(rows.dim);
        for i in 0..rows.rows() {
            distinct.push(rows.row(i), &Unattended).unwrap();
        }
        let distinct = distinct.finish();
        for case in data_set.cases {
            let weights = case.weights.clone().unwrap_or_else(|| vec![1; rows.rows()]);
            let fit = Dbscan { eps: case.eps, min_points: case.min_points };
            let all = fit.fit(&rows, &weights, &Unattended).unwrap();
            let labels: Vec<i64> = all.labels.iter().copied().map(as_scikit_learn).collect();
            assert_eq!(labels, case.labels, "{}, eps {}", case.name, case.eps);
            assert_eq!(all.core, case.core, "{}, eps {}", case.name, case.eps);
            if case.weights.is_none() {
                let fewer = fit.fit(&distinct.rows, &distinct.weights, &Unattended).unwrap();
                let label = |&i: &u32| as_scikit_learn(fewer.labels[i as usize]);
                let labels: Vec<i64> = distinct.row_of.iter().map(label).collect();
                assert_eq!(labels, case.labels, "distinct rows of {}, eps {}", case.name, case.eps);
            }
            count += 1;
        }
    }
    assert!(count >= 24, "{count} cases");
}
