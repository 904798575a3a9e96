//! `logvec`: what is accepted is well-formed, and both forms give it back.
use logintel_core::sparse::SparseVec;
use logintel_core::wire;

pub(crate) fn text(input: &[u8]) {
    if let Ok(vector) = crate::text(input).parse::<SparseVec>() {
        check(&vector);
        assert_eq!(wire::decode(&wire::encode(vector.as_ref())), Ok(vector));
    }
}

pub(crate) fn binary(input: &[u8]) {
    if let Ok(vector) = wire::decode(input) {
        check(&vector);
        assert_eq!(wire::encode(vector.as_ref()), input);
    }
}

fn check(vector: &SparseVec) {
    assert_eq!(vector.indices.len(), vector.values.len());
    assert!(vector.indices.is_sorted_by(|a, b| a < b));
    assert!(vector.indices.last().is_none_or(|&last| last < vector.dim));
    assert!(vector.values.iter().all(|value| value.is_finite() && *value != 0.0));
    assert_eq!(vector.as_ref().to_string().parse().as_ref(), Ok(vector));
    let itself = vector.as_ref();
    assert!(itself.total_cmp(itself).is_eq());
    assert!(itself.l2_norm().is_finite());
    let distance = itself.cosine_distance(itself).expect("of the same dimensions");
    assert!(vector.indices.is_empty() || (0.0..1e-6).contains(&distance), "{distance}");
}
