//! The machine's clock: whether it is synchronised, as far as that can be told, and how far from those of the database and Redis.

use std::path::Path;
use std::time::Duration;

use super::Diagnosis;
use crate::clock::Moment;

const SUBJECT: &str = "clock";

/// By how much clocks may differ before somebody should look.
const WARN_BEYOND: Duration = Duration::from_secs(1);

/// By how much the clocks of nodes may differ.
const FAIL_BEYOND: Duration = Duration::from_secs(5);

const REMEDY: &str = "synchronise the clocks of all machines by NTP; nodes must agree within five seconds";

/// Where systemd-timesyncd says that it has synchronised the clock.
const TIMESYNC: &str = "/run/systemd/timesync";

pub(super) fn check(now: Moment) -> Vec<Diagnosis> {
    let now = now.to_utc().format("%Y-%m-%d %H:%M:%S");
    let folder = Path::new(TIMESYNC);
    let synchronised = folder.join("synchronized").exists();
    vec![match (folder.exists(), synchronised) {
        (true, true) => Diagnosis::ok(SUBJECT, format!("{now} UTC; systemd-timesyncd has synchronised it")),
        (true, false) => {
            Diagnosis::warn(SUBJECT, format!("{now} UTC; systemd-timesyncd runs and has not synchronised it"), REMEDY)
        }
        (false, _) => Diagnosis::ok(
            SUBJECT,
            format!(
                "{now} UTC; whether it is synchronised is not known, as systemd-timesyncd, which would say so, does not run"
            ),
        ),
    }]
}

/// How the clock of another machine compares, which is ahead by so many microseconds, measured within a round trip.
pub(super) fn compared(with: &str, ahead_micros: i64, round_trip: Duration) -> Diagnosis {
    let difference = Duration::from_micros(ahead_micros.unsigned_abs());
    let side = if ahead_micros < 0 { "behind" } else { "ahead" };
    let said = if difference <= round_trip.max(Duration::from_millis(10)) {
        format!("the clock of {with} agrees with this one")
    } else {
        format!("the clock of {with} is {:.2} s {side}", difference.as_secs_f64())
    };
    if difference.saturating_sub(round_trip) > FAIL_BEYOND {
        Diagnosis::fail(SUBJECT, said, REMEDY)
    } else if difference.saturating_sub(round_trip) > WARN_BEYOND {
        Diagnosis::warn(SUBJECT, said, REMEDY)
    } else {
        Diagnosis::ok(SUBJECT, said)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn five_seconds_are_the_most_that_clocks_may_differ() {
        let trip = Duration::from_millis(3);
        for (ahead, severity, part) in [
            (2_000, Severity::Ok, "agrees"),
            (-900_000, Severity::Ok, "0.90 s behind"),
            (2_000_000, Severity::Warn, "2.00 s ahead"),
            (-6_000_000, Severity::Fail, "6.00 s behind"),
        ] {
            let diagnosis = compared("the database", ahead, trip);
            assert_eq!(diagnosis.severity, severity, "{diagnosis:?}");
            assert!(diagnosis.found.contains(part), "{diagnosis:?}");
        }
    }
}
