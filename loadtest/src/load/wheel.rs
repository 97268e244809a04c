//! A timing wheel: what is due when, for hundreds of thousands of timers, at a few bytes and a few nanoseconds each.

/// Milliseconds that the fine ring spans, one slot each.
const FINE: u32 = 4096;
/// Slots of the coarse ring, each as long as the fine ring.
const COARSE: u32 = 1024;

/// Timers in two rings. Times are milliseconds since the start of the run; what lies beyond both rings goes around again.
pub(super) struct Wheel {
    now: u32,
    fine: Vec<Vec<(u32, u32)>>,
    coarse: Vec<Vec<(u32, u32)>>,
}

impl Wheel {
    pub fn new() -> Self {
        let ring = |slots: u32| (0..slots).map(|_| Vec::new()).collect();
        Self { now: 0, fine: ring(FINE), coarse: ring(COARSE) }
    }

    /// Timers that are set.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.fine.iter().chain(&self.coarse).map(Vec::len).sum()
    }

    /// Sets a timer; one that is due already fires at the next step.
    pub fn insert(&mut self, due: u32, what: u32) {
        self.insert_at(due.max(self.now + 1), what);
    }

    fn insert_at(&mut self, due: u32, what: u32) {
        if due / FINE == self.now / FINE {
            self.fine[(due % FINE) as usize].push((due, what));
        } else {
            self.coarse[(due / FINE % COARSE) as usize].push((due, what));
        }
    }

    /// Moves time on and hands over everything that came due, in the order of its time.
    pub fn advance(&mut self, to: u32, mut fire: impl FnMut(u32)) {
        while self.now < to {
            self.now += 1;
            if self.now.is_multiple_of(FINE) {
                let slot = (self.now / FINE % COARSE) as usize;
                for (due, what) in std::mem::take(&mut self.coarse[slot]) {
                    self.insert_at(due, what);
                }
            }
            let slot = &mut self.fine[(self.now % FINE) as usize];
            // Slots keep their room: the same number comes due every second.
            for (_, what) in slot.drain(..) {
                fire(what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_compat::agent::chance::below;

    #[test]
    fn everything_fires_once_and_at_its_time() {
        let mut wheel = Wheel::new();
        let mut expected = Vec::new();
        for what in 0..20_000_u32 {
            let due = below(3, u64::from(what), 5_500_000) as u32;
            wheel.insert(due, what);
            expected.push((due.max(1), what));
        }
        let mut fired = Vec::new();
        let mut now = 0;
        while now < 6_000_000 {
            now += 1 + below(4, u64::from(now), 400) as u32;
            let before = fired.len();
            wheel.advance(now, |what| fired.push((0, what)));
            fired[before..].iter_mut().for_each(|(at, _)| *at = now);
        }
        assert_eq!(wheel.len(), 0);
        assert_eq!(fired.len(), expected.len());
        for (at, what) in fired {
            let due = expected[what as usize].0;
            assert!(at >= due && at <= due + 400, "{what} due {due} fired {at}");
        }
    }

    #[test]
    fn what_is_late_already_fires_at_the_next_step() {
        let mut wheel = Wheel::new();
        wheel.advance(10_000, |_| {});
        wheel.insert(5, 1);
        let mut fired = Vec::new();
        wheel.advance(10_001, |what| fired.push(what));
        assert_eq!(fired, [1]);
    }
}
