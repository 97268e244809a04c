//! Hosts that a server does not know, which enroll at a rate.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::load::{Load, flags};
use crate::process::Cores;
use crate::subject::{Programs, Snapshot, Subject};

/// The first of them; the hosts that a server knows have lower numbers.
const FIRST: u32 = 1_000_000;

/// From the start of the generator until its agents start.
const HEAD_START: Duration = Duration::from_millis(300);

/// After the last has begun, until the generator ends: longer than an enrollment waits before it is refused.
const TAIL: Duration = Duration::from_secs(4);

/// The first rate that is tried, and how much higher each next one is.
const FIRST_RATE: f64 = 200.0;
const STEP: f64 = 1.5;
const MOST_STEPS: u32 = 11;

/// The part of those who come that must be enrolled while they come, for the server to have kept up.
const KEPT_UP: f64 = 0.95;

/// How hosts came, and what became of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Arrivals {
    /// Hosts that came in a second.
    pub offered: f64,
    /// Hosts that were enrolled in a second, while they came.
    pub enrolled: f64,
    /// From when an enrollment was due.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Enrollments that were refused, by the reason under which the server counts them.
    pub refused: BTreeMap<String, u64>,
}

/// Gives each host its number once.
pub struct Newcomers<'a> {
    programs: &'a Programs,
    server: &'a Subject,
    secret: String,
    next: u32,
}

impl<'a> Newcomers<'a> {
    pub fn new(programs: &'a Programs, server: &'a Subject, secret: String) -> Self {
        Self { programs, server, secret, next: FIRST }
    }

    /// Lets hosts come for so long: each enrolls, fetches its config, answers the first questions and is silent then.
    pub async fn come(&mut self, rate: f64, time: Duration) -> Result<Arrivals> {
        let agents = (rate * time.as_secs_f64()).ceil() as u32;
        let mut words = flags("--distributed-interval=1h --config-interval=0 --log-interval=0 --connections=512");
        words.extend([
            format!("--agents={agents}"),
            format!("--first-agent={}", self.next),
            format!("--enroll-secret={}", self.secret),
            format!("--ramp={}ms", time.as_millis()),
            format!("--duration={}s", TAIL.as_secs()),
        ]);
        self.next += agents;
        let before = self.server.open().await?;
        let load = Load::start(self.programs, self.server, Cores::All, &words)?;
        tokio::time::sleep(HEAD_START + time).await;
        let meanwhile = enrollments(&before, &self.server.open().await?);
        let results = load.results().await?;
        let mut refused = enrollments(&before, &self.server.open().await?);
        refused.remove(ENROLLED);
        let enroll = results.whole_run.get("enroll").context("the results tell nothing of enrollments")?;
        let arrivals = Arrivals {
            offered: rate,
            enrolled: meanwhile.get(ENROLLED).map_or(0.0, |count| *count as f64) / time.as_secs_f64(),
            p50_ms: enroll.latency_ms.p50,
            p99_ms: enroll.latency_ms.p99,
            refused,
        };
        eprintln!(
            "{:.0} hosts/s came, {:.0} were enrolled, p99 {:.0} ms, refused: {:?}",
            arrivals.offered, arrivals.enrolled, arrivals.p99_ms, arrivals.refused
        );
        Ok(arrivals)
    }

    /// Raises the rate until the server does not keep up twice in a row. The last steps show what it enrolls then.
    pub async fn saturate(&mut self, time: Duration, rest: Duration) -> Result<Vec<Arrivals>> {
        let mut steps = Vec::new();
        let (mut rate, mut failures) = (FIRST_RATE, 0);
        for _ in 0..MOST_STEPS {
            let step = self.come(rate, time).await?;
            let kept_up = step.enrolled >= KEPT_UP * rate && step.refused.is_empty();
            steps.push(step);
            tokio::time::sleep(rest).await;
            if kept_up {
                (rate, failures) = (rate * STEP, 0);
            } else if failures > 0 {
                break;
            } else {
                // One stall of the machine is not yet too much for the server.
                failures += 1;
            }
        }
        Ok(steps)
    }

    /// The longest that [`Newcomers::saturate`] takes.
    pub fn longest(time: Duration, rest: Duration) -> Duration {
        (Self::one(time) + rest) * MOST_STEPS
    }

    /// How long [`Newcomers::come`] takes, with some time for starting and ending the generator.
    pub fn one(time: Duration) -> Duration {
        time + TAIL + Duration::from_secs(2)
    }
}

/// The word under which the server counts those that succeeded.
const ENROLLED: &str = "enrolled";

/// Enrollments between two moments by outcome, those that there were.
fn enrollments(before: &Snapshot, after: &Snapshot) -> BTreeMap<String, u64> {
    let outcome = |name: &str| {
        let rest = name.strip_prefix("muster_enrolls_total{outcome=\"")?;
        Some(rest.strip_suffix("\"}")?.to_owned())
    };
    let grown = |(name, count): (&String, &f64)| {
        let more = count - before.numbers.get(name).copied().unwrap_or(0.0);
        Some((outcome(name)?, more as u64)).filter(|(_, more)| *more > 0)
    };
    after.numbers.iter().filter_map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enrollments_are_told_apart_by_outcome() {
        let snapshot = |numbers: &[(&str, f64)]| {
            let line = |outcome: &str| format!("muster_enrolls_total{{outcome=\"{outcome}\"}}");
            let numbers = numbers.iter().map(|(outcome, count)| (line(outcome), *count)).collect();
            Snapshot { numbers, ..Snapshot::default() }
        };
        let before = snapshot(&[("enrolled", 5.0), ("over_rate", 2.0)]);
        let after = snapshot(&[("enrolled", 9.0), ("over_rate", 2.0), ("queue_full", 3.0)]);
        let expected = [("enrolled".to_owned(), 4), ("queue_full".to_owned(), 3)];
        assert_eq!(enrollments(&before, &after), expected.into());
    }
}
