//! From the strangeness of ordinary history to a threshold and to scores: the quantiles of conformal prediction
//! (Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005) over weighted values.

use crate::control::Control;
use crate::error::Result;
use crate::sort::sort_watched;

/// Most distinct values of the calibration kept.
const MAX_CALIBRATION: usize = 4096;

/// How strange held-back ordinary rows, or sessions, of one kind are: what their scores and their limit follow from.
#[derive(Debug, Clone, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Calibration {
    /// Strangeness, ascending, and how many rows have it.
    values: Vec<(f64, u64)>,
    rows: u64,
    /// Strangeness above which a row is flagged.
    pub threshold: f64,
}

impl Calibration {
    /// From the strangeness of rows, in any order, and how many have it: see [`threshold`].
    ///
    /// # Errors
    /// What `control` returns.
    pub(crate) fn new(
        mut measured: Vec<(f64, u64)>,
        rate: f64,
        natural: f64,
        control: &dyn Control,
    ) -> Result<Self> {
        measured.retain(|&(_, rows)| rows > 0);
        sort_watched(&mut measured, |a, b| a.0.total_cmp(&b.0), control)?;
        let rows = measured.iter().map(|(_, rows)| rows).sum();
        Ok(Calibration { threshold: threshold(&measured, rate, natural), values: thin(&measured), rows })
    }

    /// Ordinary rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Share of them that is less strange, within `0..=1`.
    pub fn score(&self, value: f64) -> f64 {
        share_below(&self.values, self.rows, value)
    }

    /// Bytes held beside the value itself.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() * 16
    }

    /// What the rest of the code relies on.
    pub(crate) fn is_valid(&self) -> bool {
        let rows = self.values.iter().try_fold(0u64, |sum, (_, rows)| sum.checked_add(*rows));
        !self.threshold.is_nan()
            && self.values.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && self.values.iter().all(|(value, _)| !value.is_nan())
            && rows == Some(self.rows)
    }
}

/// A part of a whole that may be nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A well-mixed function of a number (the finalizer of `SplitMix64`): of a row's, so that a periodic log does not fall
/// into folds by its period.
pub fn splitmix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The value that `rate` of the weighted values, ascending, exceed, as near to `natural` as one standard error allows:
/// history tells a quantile to about the square root of how many lie beyond it, and within that margin, which
/// is wide where they are few, the limit that is natural for the measure is as likely as any.
fn threshold(measured: &[(f64, u64)], rate: f64, natural: f64) -> f64 {
    let total: u64 = measured.iter().map(|(_, rows)| rows).sum();
    let expected = rate * total as f64;
    let exceeded_by = |most: f64| {
        let mut above = 0;
        let value = measured.iter().rev().find(|&&(_, rows)| {
            above += rows;
            above as f64 > most
        });
        value.map_or(0.0, |&(value, _)| value)
    };
    let low = exceeded_by((expected + expected.sqrt()).ceil());
    let least = (expected - expected.sqrt()).floor();
    // Where none beyond is as likely as a few, the largest value is no bound.
    let high = if least < 1.0 { f64::INFINITY } else { exceeded_by(least) };
    natural.clamp(low, high.max(low))
}

/// Merges equal values, then neighbouring ones until few enough remain; the largest value of each group stands
/// for it, so that a score is never overstated.
fn thin(measured: &[(f64, u64)]) -> Vec<(f64, u64)> {
    let mut merged: Vec<(f64, u64)> = Vec::new();
    for &(value, rows) in measured {
        match merged.last_mut() {
            Some(last) if last.0.total_cmp(&value).is_eq() => last.1 += rows,
            _ => merged.push((value, rows)),
        }
    }
    let group = merged.len().div_ceil(MAX_CALIBRATION).max(1);
    merged
        .chunks(group)
        .map(|group| (group[group.len() - 1].0, group.iter().map(|(_, rows)| rows).sum()))
        .collect()
}

/// Share of weighted values, ascending, that are below `value`; `total` is the sum of their weights, 0 where there are none.
fn share_below(calibration: &[(f64, u64)], total: u64, value: f64) -> f64 {
    let less = calibration.partition_point(|&(other, _)| other < value);
    let rows: u64 = calibration[..less].iter().map(|(_, rows)| rows).sum();
    if total == 0 { value.min(1.0) } else { rows as f64 / total as f64 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these values are exact")]
    use super::*;
    use crate::control::Unattended;

    #[test]
    fn a_score_is_the_share_that_is_less_strange() {
        let calibration =
            Calibration::new(vec![(3.0, 1), (1.0, 4), (2.0, 0), (1.0, 2), (0.0, 3)], 0.1, 1.0, &Unattended)
                .unwrap();
        assert_eq!(calibration.values, [(0.0, 3), (1.0, 6), (3.0, 1)]);
        assert_eq!(calibration.rows(), 10);
        let scores = [0.0, 0.5, 1.0, 3.0, 9.0].map(|value| calibration.score(value));
        assert_eq!(scores, [0.0, 0.3, 0.3, 0.9, 1.0]);
        // Of nothing the strangeness itself is all there is.
        assert_eq!(Calibration::default().score(0.4), 0.4);
    }

    #[test]
    fn what_is_out_of_order_is_not_valid() {
        let calibration =
            Calibration::new((0..5000_u32).map(|n| (f64::from(n), 2)).collect(), 0.01, 1.0, &Unattended)
                .unwrap();
        assert!(calibration.is_valid() && calibration.values.len() <= MAX_CALIBRATION);
        assert_eq!(calibration.rows(), 10_000);
        let damaged = |damage: &dyn Fn(&mut Calibration)| {
            let mut damaged = calibration.clone();
            damage(&mut damaged);
            !damaged.is_valid()
        };
        assert!(damaged(&|calibration| calibration.values.reverse()));
        assert!(damaged(&|calibration| calibration.values[7].0 = f64::NAN));
        assert!(damaged(&|calibration| calibration.values[7].1 = u64::MAX));
        assert!(damaged(&|calibration| calibration.rows += 1));
        assert!(damaged(&|calibration| calibration.threshold = f64::NAN));
    }

    #[test]
    fn the_rate_is_met_within_its_error() {
        let natural = 50.0_f64.ln();
        let measured: Vec<(f64, u64)> = (1..=10_000).map(|n| (f64::from(n), 1)).collect();
        for (rate, low, high) in [(0.01, 9890.0, 9910.0), (0.1, 8968.0, 9032.0)] {
            // What is natural lies below the margin, so that its lower end is the nearest.
            let threshold = threshold(&measured, rate, natural);
            assert!((low..=high).contains(&threshold), "{rate}: {threshold}");
        }
        let few: Vec<(f64, u64)> = vec![(0.1, 990), (3.0, 8), (20.0, 2)];
        assert_eq!(threshold(&few, 0.001, natural), natural, "history tells less than the threshold's place");
        assert_eq!(threshold(&few, 0.5, natural), 0.1);
        assert_eq!(
            threshold(&[(0.3, 1000)], 0.001, natural),
            natural,
            "one in a thousand may lie anywhere beyond"
        );
        assert_eq!(threshold(&[(0.3, 10_000)], 0.001, natural), 0.3);
        assert_eq!(threshold(&[], 0.001, natural), natural);
    }
}
