//! Searches against brute force over [`SparseRef::cosine_distance`], to the last bit.
use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::control::Unattended;
use crate::sparse::SparseVec;

/// Vectors over few columns and few values, so that duplicates, multiples, opposites, zeros and ties are common.
pub(crate) fn vectors(dim: u32, most: usize) -> impl Strategy<Value = Vec<SparseVec>> {
    let value = prop_oneof![
        6 => (1..4u8).prop_map(f32::from),
        2 => 0.01..2f32,
        1 => (1..3u8).prop_map(|v| -f32::from(v)),
        1 => prop_oneof![Just(1e-40f32), Just(1e30f32)],
    ];
    let vector = prop::collection::btree_map(0..dim, value, 0..6).prop_map(move |entries| SparseVec {
        dim,
        indices: entries.keys().copied().collect(),
        values: entries.values().copied().collect(),
    });
    prop::collection::vec(vector, 0..most)
}

pub(crate) fn matrix(dim: u32, vectors: &[SparseVec]) -> CsrMatrix {
    let mut matrix = CsrMatrix::new(dim);
    for vector in vectors {
        matrix.push(vector.as_ref()).unwrap();
    }
    matrix
}

fn distances(rows: &CsrMatrix, query: &SparseVec) -> Vec<f64> {
    (0..rows.rows()).map(|i| query.as_ref().cosine_distance(rows.row(i)).unwrap()).collect()
}

fn within(index: &Index<'_>, query: &SparseVec, eps: f64, scratch: &mut Scratch) -> Vec<(u32, u64)> {
    let mut found = Vec::new();
    index.within(query.as_ref(), eps, scratch, |row, d| found.push((row, d.to_bits()))).unwrap();
    found.sort_unstable();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn range_and_nearest_equal_brute_force(
        (dim, rows, queries) in (2..14u32).prop_flat_map(|dim| (Just(dim), vectors(dim, 300), vectors(dim, 12))),
    ) {
        let matrix = matrix(dim, &rows);
        let index = Index::new(Cow::Borrowed(&matrix), &Unattended).unwrap();
        let mut scratch = Scratch::default();
        for query in queries.iter().chain(rows.iter().take(6)) {
            let distances = distances(&matrix, query);
            // Distances that occur are the hardest thresholds.
            let ties = distances.iter().copied().step_by(29);
            for eps in ties.chain([0.0, 1e-12, 0.05, 0.3, 0.7, 1.0, 1.5, 2.0, 7.0, f64::INFINITY]) {
                let expected: Vec<_> = (0u32..)
                    .zip(&distances)
                    .filter(|(_, d)| **d <= eps)
                    .map(|(row, d)| (row, d.to_bits()))
                    .collect();
                prop_assert_eq!(within(&index, query, eps, &mut scratch), expected, "eps {}", eps);
            }
            let expected = (0u32..).zip(&distances).min_by(|a, b| a.1.total_cmp(b.1).then(a.0.cmp(&b.0)));
            let nearest = index.nearest(query.as_ref(), &mut scratch).unwrap();
            prop_assert_eq!(nearest, expected.map(|(row, &distance)| Neighbor { row, distance }));
            prop_assert_eq!(nearest_of_all(&matrix, query.as_ref(), &Unattended).unwrap(), nearest);
        }
    }
}

/// Rows long and many enough that every branch of the search is taken.
pub(crate) fn log_like(rows: usize, seed: u64) -> CsrMatrix {
    let mut state = seed | 1;
    let mut random = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut matrix = CsrMatrix::new(1_000_000);
    for _ in 0..rows {
        let template = random(12) * 40;
        let mut entries = std::collections::BTreeMap::new();
        for word in 0..6 + template % 9 {
            entries.insert((template + word * 3) as u32, 1.0 + (word % 3) as f32);
        }
        for _ in 0..random(6) {
            let most = random(900) + 1;
            entries.insert(1000 + random(most) as u32 * 1000, 2.0 + random(7) as f32 / 3.0);
        }
        let indices: Vec<u32> = entries.keys().copied().collect();
        let values: Vec<f32> = entries.values().copied().collect();
        matrix.push(SparseRef { dim: 1_000_000, indices: &indices, values: &values }).unwrap();
    }
    matrix
}

#[test]
fn searches_over_many_rows_equal_brute_force() {
    let matrix = log_like(3000, 7);
    let index = Index::new(Cow::Borrowed(&matrix), &Unattended).unwrap();
    let mut scratch = Scratch::default();
    for i in (0..matrix.rows()).step_by(61) {
        let row = matrix.row(i);
        let query = SparseVec { dim: row.dim, indices: row.indices.to_vec(), values: row.values.to_vec() };
        let distances = distances(&matrix, &query);
        for eps in [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999_999_9] {
            let expected: Vec<_> = (0u32..)
                .zip(&distances)
                .filter(|(_, d)| **d <= eps)
                .map(|(row, d)| (row, d.to_bits()))
                .collect();
            assert_eq!(within(&index, &query, eps, &mut scratch), expected);
        }
        // One word more than any row has, so that no distance is zero.
        let mut query = query;
        query.indices.push(999_999);
        query.values.push(1.5);
        let (row, distance) = (0u32..)
            .zip((0..matrix.rows()).map(|i| query.as_ref().cosine_distance(matrix.row(i)).unwrap()))
            .min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
            .unwrap();
        assert_eq!(index.nearest(query.as_ref(), &mut scratch).unwrap(), Some(Neighbor { row, distance }));
    }
}

#[test]
fn odd_queries() {
    let rows = [
        SparseVec { dim: 4, indices: vec![1], values: vec![2.0] },
        SparseVec { dim: 4, ..SparseVec::default() },
        SparseVec { dim: 4, indices: vec![1, 2], values: vec![1.0, 1.0] },
    ];
    let matrix = matrix(4, &rows);
    let index = Index::new(Cow::Borrowed(&matrix), &Unattended).unwrap();
    let mut scratch = Scratch::default();
    let mut nearest = |indices: &[u32], values: &[f32]| {
        index.nearest(SparseRef { dim: 4, indices, values }, &mut scratch).unwrap().unwrap()
    };
    assert_eq!(nearest(&[], &[]), Neighbor { row: 0, distance: 1.0 });
    assert_eq!(nearest(&[3], &[1.0]), Neighbor { row: 0, distance: 1.0 });
    // Opposite to the first row, at an obtuse angle to the last: the zero vector is nearest.
    assert_eq!(nearest(&[1], &[-1.0]), Neighbor { row: 1, distance: 1.0 });
    assert_eq!(nearest(&[1], &[5.0]), Neighbor { row: 0, distance: 0.0 });
    let wrong = SparseRef { dim: 5, indices: &[], values: &[] };
    assert_eq!(index.nearest(wrong, &mut scratch), Err(Error::VectorMismatch(4, 5)));
    assert_eq!(index.within(wrong, 1.0, &mut scratch, |_, _| ()), Err(Error::VectorMismatch(4, 5)));
    let empty = Index::new(Cow::Owned(CsrMatrix::new(4)), &Unattended).unwrap();
    let one = SparseRef { dim: 4, indices: &[1], values: &[1.0] };
    assert_eq!(empty.nearest(one, &mut Scratch::default()), Ok(None));
}

#[test]
fn memory_is_bounded() {
    struct Tight;
    impl Control for Tight {
        fn memory(&self) -> u64 {
            100_000
        }
    }
    let matrix = log_like(2000, 3);
    let error = Index::new(Cow::Borrowed(&matrix), &Tight).unwrap_err();
    assert!(matches!(error, Error::Memory { needed, allowed: 100_000, .. } if needed > 100_000));
}

/// How often it was asked.
pub(crate) struct Polls(pub std::cell::Cell<usize>);

impl Control for Polls {
    fn poll(&self) -> Result<()> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

#[test]
fn few_long_rows_can_be_stopped() {
    let entries = 10 * crate::control::STEPS_BETWEEN_POLLS as u32;
    let indices: Vec<u32> = (0..entries).collect();
    let row = SparseVec { dim: entries, indices, values: vec![1.0; entries as usize] };
    let matrix = matrix(entries, &[row.clone(), row]);
    let control = Polls(std::cell::Cell::new(0));
    let mut rows = Rows::new(Cow::Borrowed(&matrix), &control).unwrap();
    // Twice over the columns, five times over the entries or terms.
    assert!(control.0.take() >= 50, "rows");
    rows.alike(&control).unwrap();
    assert!(control.0.take() >= 20, "alike");
    rows.linked(&control).unwrap();
    assert!(control.0.take() >= 20, "linked");
    rows.scale_to_units(&control).unwrap();
    assert!(control.0.take() >= 20, "units");
    Groups::new(&rows, &[0, 0], 1, &control).unwrap();
    assert!(control.0.take() >= 60, "groups");
}

#[test]
fn a_vector_is_as_far_from_units_as_the_row_that_equals_it() {
    let matrix = log_like(300, 5);
    let index = Index::of_units(Cow::Borrowed(&matrix), &Unattended).unwrap();
    let (mut given, mut own) = (Scratch::default(), Scratch::default());
    for row in 0..matrix.rows() {
        given.load(index.rows(), matrix.row(row)).unwrap();
        own.load_row(index.rows(), row);
        for other in 0..matrix.rows() as u32 {
            let distances = [&given, &own].map(|scratch| scratch.distance(index.rows(), other));
            assert_eq!(distances[0].to_bits(), distances[1].to_bits());
        }
        given.unload();
        own.unload();
    }
}

#[test]
fn more_entries_than_numbers_are_told_from_a_lack_of_memory() {
    let most = NONE as usize - 1;
    assert_eq!(check_numbers(most, most), Ok(()));
    for (rows, entries) in [(most + 1, 0), (0, most + 1)] {
        let error = check_numbers(rows, entries).unwrap_err();
        assert!(matches!(error, Error::TooMany { max, .. } if max == most as u64));
        assert_eq!(error.hint(), Some("Work on fewer rows."));
    }
}
