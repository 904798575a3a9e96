//! Functions and operators of `logvec`. The operators and their classes are declared in `sql/logvec.sql`.
use std::cmp::Ordering;

use pgrx::prelude::*;

use super::LogVec;
use crate::error::OrRaise;
use crate::hash::{hash, hash_extended};

/// Number of dimensions.
#[pg_extern(immutable, strict, parallel_safe, cost = 2)]
fn vector_dims(vec: LogVec<'_>) -> i32 {
    vec.as_ref().dim as i32
}

/// Number of non-zero elements.
#[pg_extern(immutable, strict, parallel_safe, cost = 2)]
fn nnz(vec: LogVec<'_>) -> i32 {
    vec.as_ref().nnz() as i32
}

/// Euclidean length.
#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn l2_norm(vec: LogVec<'_>) -> f64 {
    vec.as_ref().l2_norm()
}

/// `1 - cos`; 1.0 when either side is all zero.
#[pg_extern(immutable, strict, parallel_safe, cost = 10)]
fn cosine_distance(a: LogVec<'_>, b: LogVec<'_>) -> f64 {
    a.as_ref().cosine_distance(b.as_ref()).or_raise()
}

/// Euclidean distance.
#[pg_extern(immutable, strict, parallel_safe, cost = 10)]
fn l2_distance(a: LogVec<'_>, b: LogVec<'_>) -> f64 {
    a.as_ref().l2_distance(b.as_ref()).or_raise()
}

/// Inner product.
#[pg_extern(immutable, strict, parallel_safe, cost = 10)]
fn inner_product(a: LogVec<'_>, b: LogVec<'_>) -> f64 {
    a.as_ref().inner_product(b.as_ref()).or_raise()
}

/// Inner product times -1, so that near vectors come first in ascending order.
#[pg_extern(immutable, strict, parallel_safe, cost = 10)]
fn logvec_negative_inner_product(a: LogVec<'_>, b: LogVec<'_>) -> f64 {
    // Not a negation, which would make -0.0 of 0.0.
    0.0 - a.as_ref().inner_product(b.as_ref()).or_raise()
}

fn compare(a: &LogVec<'_>, b: &LogVec<'_>) -> Ordering {
    a.as_ref().total_cmp(b.as_ref())
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_eq(a: LogVec<'_>, b: LogVec<'_>) -> bool {
    a.payload() == b.payload()
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_ne(a: LogVec<'_>, b: LogVec<'_>) -> bool {
    a.payload() != b.payload()
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_lt(a: LogVec<'_>, b: LogVec<'_>) -> bool {
    compare(&a, &b).is_lt()
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_le(a: LogVec<'_>, b: LogVec<'_>) -> bool {
    compare(&a, &b).is_le()
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_gt(a: LogVec<'_>, b: LogVec<'_>) -> bool {
    compare(&a, &b).is_gt()
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_ge(a: LogVec<'_>, b: LogVec<'_>) -> bool {
    compare(&a, &b).is_ge()
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_cmp(a: LogVec<'_>, b: LogVec<'_>) -> i32 {
    compare(&a, &b) as i32
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_hash(vec: LogVec<'_>) -> i32 {
    let bytes = vec.payload();
    // SAFETY: the slice is valid, and its length is below 1 GB.
    hash(bytes).cast_signed()
}

#[pg_extern(immutable, strict, parallel_safe, cost = 5)]
fn logvec_hash_extended(vec: LogVec<'_>, seed: i64) -> i64 {
    let bytes = vec.payload();
    // SAFETY: the slice is valid, and its length is below 1 GB.
    hash_extended(bytes, seed.cast_unsigned()).cast_signed()
}
