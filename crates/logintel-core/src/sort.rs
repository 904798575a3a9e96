//! Sorting that can be stopped: the standard library's sort, on parts that take milliseconds, merged.

use std::cmp::Ordering;

use crate::control::Control;
use crate::error::Result;

/// Items that are sorted, or merged, from one poll to the next.
const PART: usize = 1 << 16;

/// Sorts items. Equal ones may change places.
///
/// # Errors
/// What `control` returns.
pub fn sort_watched<T: Copy>(
    items: &mut Vec<T>,
    order: impl Fn(&T, &T) -> Ordering,
    control: &dyn Control,
) -> Result<()> {
    for part in items.chunks_mut(PART) {
        control.poll()?;
        part.sort_unstable_by(&order);
    }
    let (mut length, mut merged) = (PART, Vec::new());
    while length < items.len() {
        merged.reserve_exact(items.len());
        for pair in items.chunks(2 * length) {
            let (mut left, mut right) = pair.split_at(length.min(pair.len()));
            while let ([a, ..], [b, ..]) = (left, right) {
                if merged.len() % PART == 0 {
                    control.poll()?;
                }
                // Which one comes next is a coin toss: a choice without a jump, and both slices move by a number.
                let is_left = order(a, b) == Ordering::Less;
                merged.push(if is_left { *a } else { *b });
                left = &left[usize::from(is_left)..];
                right = &right[usize::from(!is_left)..];
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(items, &mut merged);
        merged.clear();
        length *= 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Unattended, Watch};
    use crate::error::Error;

    #[test]
    fn parts_are_merged_in_order() {
        for count in [0, 1, PART, PART + 1, 5 * PART + 3] {
            let mut items: Vec<u64> =
                (0..count as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            sort_watched(&mut items, Ord::cmp, &Unattended).unwrap();
            assert!(items == expected, "{count} items");
        }
        let stopped = Watch::new(|| Err(Error::Canceled));
        assert_eq!(sort_watched(&mut vec![2, 1], Ord::cmp, &stopped), Err(Error::Canceled));
    }
}
