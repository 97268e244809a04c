//! Selecting the first of many without sorting all of them.

/// Values beyond those that are wanted that wait before they are sorted out.
const SPARE: usize = 4_096;

/// The lowest values of those that are added, as many as are wanted. It holds few more than these, and whatever the order in
/// which values come, one costs no more than a few comparisons.
#[derive(Debug)]
pub(super) struct FirstOf<T> {
    values: Vec<T>,
    wanted: usize,
    /// Values from this one on are not wanted.
    bound: Option<T>,
}

impl<T: Ord + Copy> FirstOf<T> {
    pub fn new(wanted: usize) -> Self {
        Self { values: Vec::new(), wanted, bound: None }
    }

    pub fn add(&mut self, value: T) {
        if self.bound.is_some_and(|bound| value >= bound) {
            return;
        }
        self.values.push(value);
        if self.values.len() >= self.wanted.saturating_mul(2).saturating_add(SPARE) {
            self.sort_out();
        }
    }

    /// The lowest values, in their order.
    pub fn sorted(mut self) -> Vec<T> {
        self.sort_out();
        self.values.sort_unstable();
        self.values
    }

    /// Leaves out what is not wanted.
    fn sort_out(&mut self) {
        if self.wanted < self.values.len() {
            let (_, bound, _) = self.values.select_nth_unstable(self.wanted);
            self.bound = Some(*bound);
            self.values.truncate(self.wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_values_are_kept_in_whatever_order_they_come() {
        let first = |wanted: usize, values: &[u32]| {
            let mut first = FirstOf::new(wanted);
            values.iter().for_each(|value| first.add(*value));
            assert!(first.values.len() < wanted.saturating_mul(2).saturating_add(SPARE));
            first.sorted()
        };
        let rising: Vec<u32> = (0..20_000).collect();
        let falling: Vec<u32> = rising.iter().rev().copied().collect();
        let mixed: Vec<u32> = rising.iter().map(|value| value * 7_919 % 20_000).collect();
        for values in [&rising, &falling, &mixed] {
            for wanted in [0, 1, 100, 5_000, 20_000, usize::MAX] {
                assert_eq!(first(wanted, values), rising[..wanted.min(20_000)]);
            }
        }
        assert_eq!(first(3, &[5, 1, 1, 7, 1, 0]), [0, 1, 1]);
    }
}
