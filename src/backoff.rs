//! How long to wait before what has failed is tried again. Pure.
use logintel_core::calibration::splitmix;

/// Microseconds.
pub type Micros = i64;
/// Longest pause after a failure, unless the interval itself is longer.
pub const MAX_PAUSE: Micros = 600_000_000;

/// The pause after the `failures`-th failure in a row: the interval, doubled each time, bounded, and moved by up
/// to a fifth either way as `seed` says, so that those who failed together do not come back together.
pub fn backoff(failures: u32, interval: Micros, seed: i64) -> Micros {
    let doublings = failures.saturating_sub(1).min(20);
    let pause = interval.saturating_mul(1 << doublings).min(MAX_PAUSE.max(interval));
    let fifth = pause / 5;
    pause + splitmix(seed.cast_unsigned()).cast_signed().rem_euclid(2 * fifth + 1) - fifth
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    #[test]
    fn what_fails_together_comes_back_apart() {
        let pauses: std::collections::BTreeSet<_> =
            (1..=100).map(|oid| backoff(3, 10 * SECOND, (77 * SECOND) ^ oid)).collect();
        assert!(pauses.len() > 95, "{} different pauses of 100", pauses.len());
    }

    #[test]
    fn a_pause_doubles_up_to_its_bound() {
        for failures in 1..100 {
            let expected = ((10 * SECOND) << (failures - 1).min(20)).min(MAX_PAUSE);
            let pause = backoff(failures, 10 * SECOND, i64::from(failures));
            assert!((expected * 4 / 5..=expected * 6 / 5).contains(&pause), "{failures} failures: {pause}");
        }
    }

    #[test]
    fn a_pause_is_never_shorter_than_a_long_interval_asks() {
        assert!(backoff(9, 3600 * SECOND, 1) >= 3600 * SECOND * 4 / 5);
    }
}
