//! Whether hosts of a cohort fare worse than the others.

use muster_api::rest::GateReading;
use muster_api::spec::RolloutGates;

use super::stages::named_gates;
use super::watch::{INSIDE, OUTSIDE};
use crate::fleet::hosts::SideHosts;
use crate::store::entity::rollout_counts::Model;

const MIB: f64 = 1024.0 * 1024.0;

/// Hosts whose reports are too few to judge by: a tenth of the cohort.
const TENTH: i64 = 10;

/// Fewest hosts that are lost, restarted or stalled before that is more than chance.
const LEAST_HOSTS: f64 = 3.0;

/// The default limits of a gate: its number must be above the first, and above so many times that of the other hosts.
fn defaults(gate: &str) -> (f64, f64) {
    match gate {
        "cpu_per_run" => (1_000.0, 2.0),
        "memory_per_run" => (100.0, 2.0),
        // A hundredth of a core.
        "cpu_total" => (36_000.0, 1.5),
        "memory_total" => (300.0, 1.5),
        "result_bytes" => (10.0, 3.0),
        "errors" | "denylisted" | "worker_restarts" => (1.0, 2.0),
        // checkin_loss and stalled.
        _ => (5.0, 2.0),
    }
}

/// The hosts that a rollout touches, and what they have reported.
#[derive(Debug, Clone, Default)]
pub(super) struct GateSide {
    pub hosts: SideHosts,
    pub counts: Model,
}

/// What was counted of the cohort in a stage, and of the other hosts: in the same stage if any of them has reported in it, and
/// otherwise in the stage in which most have.
pub(super) fn sides(rows: &[Model], stage: i64, hosts: [SideHosts; 2]) -> [GateSide; 2] {
    let sum = |stage: i64, side: i64| {
        let of_side = rows.iter().filter(|row| row.stage == stage && row.side == side);
        of_side.fold(Model::default(), |sum, row| added(&sum, row))
    };
    let [outside, inside] = hosts;
    let stages = std::iter::once(stage).chain((0..stage).rev());
    let others = stages.map(|stage| sum(stage, OUTSIDE));
    let mut best = Model::default();
    for (nth, others) in others.enumerate() {
        if others.heard > best.heard {
            best = others;
            if nth == 0 {
                break;
            }
        }
    }
    [GateSide { hosts: outside, counts: best }, GateSide { hosts: inside, counts: sum(stage, INSIDE) }]
}

fn added(one: &Model, other: &Model) -> Model {
    Model {
        heard: one.heard.saturating_add(other.heard),
        samples: one.samples.saturating_add(other.samples),
        seconds: one.seconds.saturating_add(other.seconds),
        cpu_ms: one.cpu_ms.saturating_add(other.cpu_ms),
        memory_bytes: one.memory_bytes.saturating_add(other.memory_bytes),
        result_bytes: one.result_bytes.saturating_add(other.result_bytes),
        runs: one.runs.saturating_add(other.runs),
        run_cpu_ms: one.run_cpu_ms.saturating_add(other.run_cpu_ms),
        run_reports: one.run_reports.saturating_add(other.run_reports),
        run_memory_bytes: one.run_memory_bytes.saturating_add(other.run_memory_bytes),
        run_errors: one.run_errors.saturating_add(other.run_errors),
        denylisted: one.denylisted.saturating_add(other.denylisted),
        restarts: one.restarts.saturating_add(other.restarts),
        stalled: one.stalled.saturating_add(other.stalled),
        ..one.clone()
    }
}

/// The number of a gate on one side, and how many hosts have made it what it is; `None` while too little is known. What is
/// counted for a hundred hosts is counted for those of `of`.
fn number(gate: &str, side: &GateSide, of: i64) -> Option<(f64, f64)> {
    let GateSide { hosts, counts } = side;
    let is_enough = |reports: i64| reports > 0 && reports.saturating_mul(TENTH) >= of;
    let ratio = |sum: i64, count: i64, unit: f64| (count > 0).then(|| sum as f64 / count as f64 * unit);
    let by_runs = |sum: i64, count: i64, unit: f64| ratio(sum, count, unit).filter(|_| is_enough(counts.heard));
    let by_samples = |sum: i64, count: i64, unit: f64| ratio(sum, count, unit).filter(|_| is_enough(counts.samples));
    let events = |events: i64| ratio(events, of, 100.0);
    let (value, hosts) = match gate {
        "cpu_per_run" => (by_runs(counts.run_cpu_ms, counts.runs, 1.0), counts.heard),
        "memory_per_run" => (by_runs(counts.run_memory_bytes, counts.run_reports, 1.0 / MIB), counts.heard),
        "cpu_total" => (by_samples(counts.cpu_ms, counts.seconds, 3600.0), counts.samples),
        "memory_total" => (by_samples(counts.memory_bytes, counts.samples, 1.0 / MIB), counts.samples),
        "result_bytes" => (by_samples(counts.result_bytes, counts.seconds, 3600.0 / MIB), counts.samples),
        // Errors are told at once, runs with the next sample: hosts that have not sent one have run as often.
        "errors" => {
            let missing = (of as f64 / counts.heard.max(1) as f64).max(1.0);
            (by_runs(counts.run_errors, counts.runs, 100.0 / missing), counts.run_errors)
        }
        "denylisted" => (events(counts.denylisted), i64::MAX),
        "worker_restarts" => (events(counts.restarts), counts.restarts),
        "stalled" => (by_samples(counts.stalled, counts.samples, 100.0), counts.stalled),
        _ => (ratio(hosts.lost, hosts.followed, 100.0), hosts.lost),
    };
    Some((value?, hosts as f64))
}

/// Reads all gates that are not off.
pub(super) fn readings(gates: &RolloutGates, [outside, inside]: &[GateSide; 2]) -> Vec<GateReading> {
    let reading = |(name, spec): (&'static str, &Option<muster_api::spec::GateSpec>)| {
        let spec = spec.clone().unwrap_or_default();
        if spec.off {
            return None;
        }
        let (above, times) = defaults(name);
        let (above, times) = (spec.above.unwrap_or(above), spec.times.unwrap_or(times));
        let cohort = number(name, inside, inside.hosts.online);
        let others = number(name, outside, outside.counts.heard).map(|(value, _)| value);
        let is_by_events = matches!(name, "checkin_loss" | "stalled" | "worker_restarts");
        let is_tripped = cohort.is_some_and(|(value, hosts)| {
            let is_chance = is_by_events && hosts < LEAST_HOSTS;
            // Whether hosts are lost is only seen beside others: in the evening many are.
            let is_comparable = name != "checkin_loss" || others.is_some();
            value > above && value > times * others.unwrap_or(0.0) && is_comparable && !is_chance
        });
        let cohort = cohort.map(|(value, _)| value);
        Some(GateReading { gate: name.to_owned(), cohort, others, above, times, is_tripped })
    };
    named_gates(gates).into_iter().filter_map(reading).collect()
}

/// Why a rollout is reverted, if a gate has tripped.
pub(super) fn why_halt(readings: &[GateReading]) -> Option<String> {
    let reading = readings.iter().find(|reading| reading.is_tripped)?;
    let GateReading { gate, cohort, others, above, times, .. } = reading;
    let cohort = rounded(cohort.unwrap_or_default());
    Some(match others {
        Some(others) => {
            format!(
                "{gate} is {cohort}: above {above}, and above {times} times the {} of other hosts",
                rounded(*others)
            )
        }
        None => format!("{gate} is {cohort}: above {above}"),
    })
}

/// Three digits are enough to compare by.
fn rounded(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use muster_api::spec::GateSpec;

    use super::*;

    fn row(stage: i64, side: i64, counts: Model) -> Model {
        Model { stage, side, ..counts }
    }

    /// What so many hosts report that run a query of this cost once a minute, for an hour.
    fn hosts(count: i64, cpu_ms: i64) -> Model {
        Model {
            heard: count,
            samples: count,
            seconds: count * 3600,
            runs: count * 60,
            run_cpu_ms: count * 60 * cpu_ms,
            cpu_ms: count * 60 * cpu_ms,
            ..Model::default()
        }
    }

    fn online(online: i64) -> SideHosts {
        SideHosts { hosts: online, online, followed: online, lost: 0 }
    }

    fn tripped(rows: &[Model], stage: i64, hosts: [SideHosts; 2], gates: &RolloutGates) -> Vec<String> {
        let readings = readings(gates, &sides(rows, stage, hosts));
        assert_eq!(why_halt(&readings).is_some(), readings.iter().any(|reading| reading.is_tripped));
        readings.into_iter().filter(|reading| reading.is_tripped).map(|reading| reading.gate).collect()
    }

    #[test]
    fn a_dear_query_trips_and_one_that_costs_as_before_does_not() {
        let gates = RolloutGates::default();
        let with = |cpu_ms| [row(0, OUTSIDE, hosts(900, 30)), row(0, INSIDE, hosts(10, cpu_ms))];
        let online = || [online(990), online(10)];
        assert_eq!(tripped(&with(40), 0, online(), &gates), [""; 0]);
        assert_eq!(tripped(&with(900), 0, online(), &gates), ["cpu_total"]);
        assert_eq!(tripped(&with(5_000), 0, online(), &gates), ["cpu_per_run", "cpu_total"]);
        let off = Some(GateSpec { off: true, ..GateSpec::default() });
        let gates = RolloutGates {
            cpu_per_run: off,
            cpu_total: Some(GateSpec { above: Some(1e9), ..GateSpec::default() }),
            ..gates
        };
        assert_eq!(tripped(&with(5_000), 0, online(), &gates), [""; 0]);
    }

    #[test]
    fn hosts_that_cost_much_anyway_are_compared_with_others() {
        let gates = RolloutGates::default();
        let rows = [row(0, OUTSIDE, hosts(900, 4_000)), row(0, INSIDE, hosts(10, 5_000))];
        assert_eq!(tripped(&rows, 0, [online(990), online(10)], &gates), [""; 0]);
        // In the last stage there are no others: those of the stage before are as good.
        let rows = [row(0, OUTSIDE, hosts(900, 4_000)), row(1, INSIDE, hosts(1_000, 5_000))];
        assert_eq!(tripped(&rows, 1, [online(0), online(1_000)], &gates), [""; 0]);
        let rows = [row(1, INSIDE, hosts(1_000, 5_000))];
        assert_eq!(tripped(&rows, 1, [online(0), online(1_000)], &gates), ["cpu_per_run", "cpu_total"]);
    }

    #[test]
    fn a_few_hosts_decide_nothing_about_a_large_cohort() {
        let gates = RolloutGates::default();
        let rows = |count| [row(0, OUTSIDE, hosts(900, 30)), row(0, INSIDE, hosts(count, 5_000))];
        assert_eq!(tripped(&rows(9), 0, [online(900), online(100)], &gates), [""; 0]);
        assert_eq!(tripped(&rows(10), 0, [online(900), online(100)], &gates).len(), 2);
    }

    #[test]
    fn what_agents_give_up_trips_at_once() {
        let gates = RolloutGates::default();
        let with = |counts: Model| {
            let rows = [row(0, OUTSIDE, hosts(900, 30)), row(0, INSIDE, counts)];
            tripped(&rows, 0, [online(900), online(100)], &gates)
        };
        assert_eq!(with(Model { denylisted: 1, ..Model::default() }), [""; 0], "one of a hundred");
        assert_eq!(with(Model { denylisted: 2, ..Model::default() }), ["denylisted"]);
        assert_eq!(with(Model { restarts: 2, ..Model::default() }), [""; 0]);
        assert_eq!(with(Model { restarts: 3, ..Model::default() }), ["worker_restarts"]);
        let errors = |run_errors, heard| Model { run_errors, ..hosts(heard, 30) };
        assert_eq!(with(errors(60, 100)), [""; 0]);
        assert_eq!(with(errors(61, 100)), ["errors"]);
        assert_eq!(with(errors(61, 50)), ["errors"], "a hundred hosts have told their errors, and fifty their runs");
    }

    #[test]
    fn lost_hosts_are_seen_beside_others_only() {
        let gates = RolloutGates::default();
        let lost = |lost| SideHosts { lost, ..online(100) };
        assert_eq!(tripped(&[], 0, [lost(1), lost(6)], &gates), ["checkin_loss"]);
        assert_eq!(tripped(&[], 0, [lost(3), lost(6)], &gates), [""; 0]);
        assert_eq!(tripped(&[], 0, [SideHosts::default(), lost(60)], &gates), [""; 0]);
    }
}
