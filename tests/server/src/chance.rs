//! Chance that can be had again: numbers from a seed, and the sizes of a run.
use std::env;

/// A run's seed is the value of this variable.
const SEED: &str = "LOGINTEL_SEED";

/// A sequence of numbers that looks random and depends on its seed alone (`SplitMix64`; Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// One that has nothing to do with this one: for a thread of its own.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Chance(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A whole number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Puts these in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The seed of this run, which is told so that the run can be repeated: that of the environment, else `usual`.
pub fn seed(usual: u64) -> u64 {
    let seed = size(SEED, usual);
    eprintln!("{SEED}={seed} repeats this run");
    seed
}

/// A number of the environment; `usual` where it has none.
///
/// # Panics
/// When it is no number.
pub fn size(name: &str, usual: u64) -> u64 {
    env::var(name)
        .map_or(usual, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}
