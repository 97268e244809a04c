use std::sync::Mutex;

use crate::clock::Moment;
use crate::lock::lock;

/// Seconds in which so many hosts are asked at most. After an outage all are due at one time; those of half a million are
/// asked within an hour all the same.
const WINDOW: i64 = 10;
const MAX_ASKED: u32 = 2_000;

/// The questions that this node has asked lately.
#[derive(Debug, Default)]
pub(super) struct QuestionRate(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    number: i64,
    asked: u32,
}

impl QuestionRate {
    /// Whether one more host may be asked now; then it counts as asked.
    pub fn may_ask(&self, now: Moment) -> bool {
        let mut window = lock(&self.0);
        let number = now.seconds().div_euclid(WINDOW);
        if window.number != number {
            *window = Window { number, asked: 0 };
        }
        let has_room = window.asked < MAX_ASKED;
        window.asked += u32::from(has_room);
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_hosts_are_asked_in_some_seconds() {
        let rate = QuestionRate::default();
        let asked = |now| (0..MAX_ASKED * 2).filter(|_| rate.may_ask(now)).count() as u32;
        let now = Moment::NEVER.plus_seconds(1_600_000_000);
        assert_eq!(
            (asked(now), asked(now.plus_seconds(9)), asked(now.plus_seconds(WINDOW))),
            (MAX_ASKED, 0, MAX_ASKED)
        );
    }
}
