//! The distribution of a measure in a few hundred bytes: a DDSketch, whose quantiles are within a known relative error and
//! which can be merged without losing any of that.
//!
//! It is written out here instead of taken from a crate, because its bytes stay in the database for months and a fleet has
//! tens of thousands of sketches: only buckets that hold something take room, in memory as in the stored form, which has no
//! header. The crate that the cost of live queries uses keeps 2 KiB for each sketch and writes some 60 bytes before the
//! first bucket.

use std::collections::BTreeMap;

use super::bytes::{put, put_signed, take, take_signed};

/// Greatest relative error of a quantile.
pub(super) const ERROR: f64 = 0.0195;

/// Natural logarithm of the ratio of two neighbouring buckets, `(1 + ERROR) / (1 - ERROR)`.
const STEP: f64 = 0.039_004_944_378_108_88;

/// Values below this count as zero: a thousandth of a millisecond or byte.
const LEAST: f64 = 0.001;

/// Values above this count as this.
const MOST: f64 = 1e15;

/// Most buckets between [`LEAST`] and [`MOST`], and some to spare.
const MAX_BUCKETS: u64 = 2_000;

/// Values, each with the number of runs that it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    zeros: u64,
    /// Numbers of runs by bucket.
    buckets: BTreeMap<i32, u64>,
}

impl Sketch {
    /// Adds a value that stands for so many runs. One that is no number is left out.
    pub fn add(&mut self, value: f64, runs: u64) {
        if runs == 0 || value.is_nan() {
            return;
        }
        if value < LEAST {
            self.zeros = self.zeros.saturating_add(runs);
            return;
        }
        let bucket = bucket_of(value.min(MOST));
        let held = self.buckets.entry(bucket).or_default();
        *held = held.saturating_add(runs);
    }

    pub fn merge(&mut self, other: &Self) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        for (bucket, runs) in &other.buckets {
            let held = self.buckets.entry(*bucket).or_default();
            *held = held.saturating_add(*runs);
        }
    }

    /// The number of runs.
    pub fn runs(&self) -> u64 {
        self.buckets.values().fold(self.zeros, |all, runs| all.saturating_add(*runs))
    }

    /// The value that this part of all runs, from 0 to 1, does not exceed. `None` without any.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let runs = self.runs();
        if runs == 0 {
            return None;
        }
        // The first of as many values as there are runs, counted from zero.
        let rank = (part.clamp(0.0, 1.0) * (runs - 1) as f64).round() as u64;
        let mut below = self.zeros;
        if rank < below {
            return Some(0.0);
        }
        for (bucket, runs) in &self.buckets {
            below = below.saturating_add(*runs);
            if rank < below {
                return Some(middle_of(*bucket));
            }
        }
        self.buckets.keys().next_back().map(|bucket| middle_of(*bucket))
    }

    pub fn put_into(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.zeros);
        put(bytes, self.buckets.len() as u64);
        let mut before = 0;
        for bucket in self.buckets.keys() {
            put_signed(bytes, i64::from(*bucket) - before);
            before = i64::from(*bucket);
        }
        // Apart from the buckets, most of which follow each other: that packs better.
        self.buckets.values().for_each(|runs| put(bytes, *runs));
    }

    /// Takes what [`Sketch::put_into`] has put off the front. `None` if that is broken.
    pub fn take_from(bytes: &mut &[u8]) -> Option<Self> {
        let zeros = take(bytes)?;
        let count = take(bytes).filter(|count| *count <= MAX_BUCKETS)?;
        let (mut held, mut bucket) = (Vec::new(), 0_i64);
        for _ in 0..count {
            bucket = bucket.checked_add(take_signed(bytes)?)?;
            held.push(i32::try_from(bucket).ok()?);
        }
        let buckets = held.into_iter().map(|bucket| Some((bucket, take(bytes)?))).collect::<Option<_>>()?;
        Some(Self { zeros, buckets })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "between -178 and 886")]
fn bucket_of(value: f64) -> i32 {
    (value.ln() / STEP).ceil() as i32
}

/// The value that is equally far, by ratio, from both ends of a bucket.
fn middle_of(bucket: i32) -> f64 {
    (f64::from(bucket) * STEP).exp() * (1.0 - ERROR)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As [`Sketch::quantile`] of all values.
    fn exact(values: &[(f64, u64)], part: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all: u64 = sorted.iter().map(|(_, runs)| runs).sum();
        let rank = (part * (all - 1) as f64).round() as u64;
        let mut below = 0;
        for (value, runs) in sorted {
            below += runs;
            if rank < below {
                return value;
            }
        }
        unreachable!("the rank is below the number of runs")
    }

    fn values() -> impl Strategy<Value = Vec<(f64, u64)>> {
        let value = prop_oneof![Just(0.0), 0.002..10.0_f64, 10.0..1e5_f64, 1e5..1e13_f64];
        prop::collection::vec((value, 1..2_000_u64), 1..300)
    }

    fn of(values: &[(f64, u64)]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|(value, runs)| sketch.add(*value, *runs));
        sketch
    }

    #[test]
    fn the_step_is_that_of_the_error() {
        assert!((STEP - ((1.0 + ERROR) / (1.0 - ERROR)).ln()).abs() < 1e-12);
        assert!(f64::from(bucket_of(MOST) - bucket_of(LEAST)) < MAX_BUCKETS as f64);
        assert_eq!(Sketch::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_two_percent(values in values(), part in 0.0..=1.0_f64) {
            let sketch = of(&values);
            for part in [0.0, 0.5, 0.95, 0.99, 1.0, part] {
                let (found, exact) = (sketch.quantile(part).unwrap(), exact(&values, part));
                prop_assert!((found - exact).abs() <= 0.02 * exact, "{}: {} instead of {}", part, found, exact);
            }
        }

        #[test]
        fn merged_parts_are_the_whole(values in values(), at in 0..300_usize) {
            let (one, other) = values.split_at(at.min(values.len()));
            let mut merged = of(one);
            merged.merge(&of(other));
            prop_assert_eq!(&merged, &of(&values));
            let mut bytes = Vec::new();
            merged.put_into(&mut bytes);
            let mut rest = &bytes[..];
            prop_assert_eq!(Sketch::take_from(&mut rest), Some(merged));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_are_too_broken(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Sketch::take_from(&mut &bytes[..]);
        }
    }
}
