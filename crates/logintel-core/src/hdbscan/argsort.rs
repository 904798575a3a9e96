//! The order in which scikit-learn's sort leaves equal edges.
//!
//! scikit-learn sorts the edges of its tree by `numpy.argsort`, which is not stable. On x86-64 with AVX-512, `NumPy` 2
//! runs a quicksort over vectors of eight lanes, with bitonic networks for what is short (Bramas, *A novel hybrid
//! quicksort algorithm vectorized using AVX-512*, 2017; Batcher, *Sorting networks and their applications*, AFIPS
//! 1968) and the C++ library's introsort (Musser, 1997) where pivots do not help. This is the same algorithm without
//! the vectors, so equal keys end up in the same order, here on any machine.

use crate::control::Control;
use crate::error::Result;

/// Keys in a vector.
const LANES: usize = 8;
/// Keys that are taken from one end at a time.
const BLOCK: usize = 4 * LANES;
/// What is no longer is sorted by a network.
const NETWORK: usize = 256;
/// What is no longer is left to the insertion sort that ends an introsort.
const INSERTION: usize = 16;

/// Positions of `keys`, none of them NaN, by ascending key.
///
/// # Errors
/// [`crate::Error::Canceled`].
pub(super) fn argsort(keys: &[f64], control: &dyn Control) -> Result<Vec<u32>> {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    if let Some(depth) = keys.len().checked_ilog2() {
        quicksort(keys, &mut order, 2 * depth, control)?;
    }
    Ok(order)
}

fn key(keys: &[f64], position: u32) -> f64 {
    keys[position as usize]
}

fn quicksort(keys: &[f64], order: &mut [u32], depth: u32, control: &dyn Control) -> Result<()> {
    control.poll()?;
    if depth == 0 {
        return introsort(keys, order, control);
    }
    if order.len() <= NETWORK {
        network(keys, order);
        return Ok(());
    }
    let pivot = median_of_lanes(keys, order);
    let (low, high) = order.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &at| {
        let key = key(keys, at);
        (low.min(key), high.max(key))
    });
    let middle = partition(keys, order, pivot);
    let (below, above) = order.split_at_mut(middle);
    if low < pivot {
        quicksort(keys, below, depth - 1, control)?;
    }
    if high > pivot {
        quicksort(keys, above, depth - 1, control)?;
    }
    Ok(())
}

/// The upper median of keys at equal steps.
fn median_of_lanes(keys: &[f64], order: &[u32]) -> f64 {
    let step = (order.len() - 1) / LANES;
    let mut sample: [f64; LANES] = std::array::from_fn(|lane| key(keys, order[(lane + 1) * step]));
    sample.sort_unstable_by(f64::total_cmp);
    sample[LANES / 2]
}

/// Puts what is below the pivot first; returns how much that is. More than `8 * BLOCK` positions.
///
/// The blocks at both ends are lifted out to make room. Then a block is read at the end with less room left, its low
/// keys go to the front and its high ones to the back, and last of all the two that were lifted out.
fn partition(keys: &[f64], order: &mut [u32], pivot: f64) -> usize {
    let is_low = |at: u32| key(keys, at) < pivot;
    let (mut from, mut to) = (0, order.len());
    for _ in 0..order.len() % BLOCK {
        if is_low(order[from]) {
            from += 1;
        } else {
            to -= 1;
            order.swap(from, to);
        }
    }
    let (mut front, mut back) = (from, to);
    let mut store = |order: &mut [u32], block: [u32; BLOCK]| {
        for vector in block.chunks_exact(LANES) {
            for &at in vector.iter().filter(|&&at| is_low(at)) {
                order[front] = at;
                front += 1;
            }
            for &at in vector.iter().rev().filter(|&&at| !is_low(at)) {
                back -= 1;
                order[back] = at;
            }
        }
        (front, back)
    };
    let block = |order: &[u32], at: usize| -> [u32; BLOCK] { std::array::from_fn(|i| order[at + i]) };
    let ends = [block(order, from), block(order, to - BLOCK)];
    let (mut stored_to, mut stored_from) = (from, to);
    from += BLOCK;
    to -= BLOCK;
    while from < to {
        let at = if stored_from - to < from - stored_to {
            to -= BLOCK;
            to
        } else {
            from += BLOCK;
            from - BLOCK
        };
        let block = block(order, at);
        (stored_to, stored_from) = store(order, block);
    }
    for block in ends {
        (stored_to, _) = store(order, block);
    }
    stored_to
}

/// Batcher's bitonic sorter for any number of keys: a comparator whose upper end does not exist is left out.
fn network(keys: &[f64], order: &mut [u32]) {
    let count = order.len();
    let mut compare = |low: usize, high: usize| {
        if high < count && key(keys, order[low]) > key(keys, order[high]) {
            order.swap(low, high);
        }
    };
    let mut size = 2;
    while size < 2 * count {
        for start in (0..count).step_by(size) {
            (0..size / 2).for_each(|i| compare(start + i, start + size - 1 - i));
        }
        let mut gap = size / 4;
        while gap > 0 {
            for start in (0..count).step_by(2 * gap) {
                (start..start + gap).for_each(|i| compare(i, i + gap));
            }
            gap /= 2;
        }
        size *= 2;
    }
}

/// Quicksort by the median of three down to short runs, then one insertion sort.
fn introsort(keys: &[f64], order: &mut [u32], control: &dyn Control) -> Result<()> {
    if let Some(depth) = order.len().checked_ilog2() {
        into_runs(keys, order, 2 * depth, control)?;
    }
    for end in 1..order.len() {
        let mut at = end;
        while at > 0 && key(keys, order[at]) < key(keys, order[at - 1]) {
            order.swap(at, at - 1);
            at -= 1;
        }
    }
    Ok(())
}

fn into_runs(keys: &[f64], mut order: &mut [u32], mut depth: u32, control: &dyn Control) -> Result<()> {
    while order.len() > INSERTION {
        control.poll()?;
        if depth == 0 {
            // A heap sort in C++. Equal keys are cut in halves, so this is not for ties.
            order.sort_by(|&a, &b| key(keys, a).total_cmp(&key(keys, b)));
            return Ok(());
        }
        depth -= 1;
        let middle = cut(keys, order);
        let (left, right) = order.split_at_mut(middle);
        into_runs(keys, right, depth, control)?;
        order = left;
    }
    Ok(())
}

/// Cuts at the median of three; equal keys change sides.
fn cut(keys: &[f64], order: &mut [u32]) -> usize {
    let three = [1, order.len() / 2, order.len() - 1];
    let [a, b, c] = three.map(|at| key(keys, order[at]));
    let median = match (a < b, b < c, a < c) {
        (true, true, _) | (false, false, false) => 1,
        (true, false, true) | (false, true, false) => 2,
        _ => 0,
    };
    order.swap(0, three[median]);
    let pivot = key(keys, order[0]);
    let (mut from, mut to) = (1, order.len());
    loop {
        while key(keys, order[from]) < pivot {
            from += 1;
        }
        to -= 1;
        while pivot < key(keys, order[to]) {
            to -= 1;
        }
        if from >= to {
            return from;
        }
        order.swap(from, to);
        from += 1;
    }
}
