use std::time::{Duration, Instant};

/// Batches without a pause after one for which a pause was of no use.
const UNPAUSED: u8 = 4;

/// The time between batches in which those who come one by one gather, as long as any do: whoever comes alone, one request
/// after the other, mostly does not wait.
#[derive(Debug)]
pub(crate) struct Spacing {
    /// Time from the beginning of a batch to that of the next.
    between: Duration,
    /// When the last batch began.
    begun: Option<Instant>,
    /// Batches that go without a pause before them.
    unpaused: u8,
}

impl Spacing {
    pub fn new(between: Duration) -> Self {
        Self { between, begun: None, unpaused: 0 }
    }

    /// Until when the next batch gathers, if that is worth it.
    pub fn until(&self) -> Option<Instant> {
        let until = self.begun? + self.between;
        (self.unpaused == 0 && until > Instant::now()).then_some(until)
    }

    /// Notes that a batch of so many begins; `has_paused` says whether it had time to gather.
    pub fn begin(&mut self, size: usize, has_paused: bool) {
        self.unpaused = match (size, has_paused) {
            (0 | 1, true) => UNPAUSED,
            (0 | 1, false) => self.unpaused.saturating_sub(1),
            _ => 0,
        };
        self.begun = Some(Instant::now());
    }

    /// Time from the beginning of a batch to that of the next.
    pub fn between(&self) -> Duration {
        self.between
    }

    /// When the last batch began.
    pub fn begun(&self) -> Option<Instant> {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_as_long_as_others_come() {
        let mut spacing = Spacing::new(Duration::from_secs(3600));
        assert_eq!(spacing.until(), None, "the first one waits for nobody");
        spacing.begin(1, false);
        for size in [2, 5, 2] {
            assert!(spacing.until().is_some());
            spacing.begin(size, true);
        }
        assert!(spacing.until().is_some());
        spacing.begin(1, true);
        for _ in 0..UNPAUSED {
            assert_eq!(spacing.until(), None, "nobody else came");
            spacing.begin(1, false);
        }
        assert!(spacing.until().is_some(), "tried again now and then");
        spacing.begin(1, true);
        spacing.begin(2, false);
        assert!(spacing.until().is_some(), "others came");
    }
}
