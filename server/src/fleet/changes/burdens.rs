//! What is said of queries that are predicted to cost hosts or the server much.

use muster_api::rest::{BasisKind, PlannedQuery, PlannedRuns, PredictedCost};

/// Most warnings.
const MAX_SAID: usize = 50;

/// The part of one core of a host that a query may take on the whole, in percent, as 5 % of its runs do at least. A tenth of
/// what the watchdog of agents allows all queries together: 10 % (`watchdog_utilization_limit`).
const CPU_PERCENT: u64 = 1;

/// CPU time of a run, in microseconds: 10 % of a core (`watchdog_utilization_limit`) for the 12 s (`watchdog_latency_limit`)
/// after which the watchdog of agents stops a worker.
const RUN_CPU_US: u64 = 1_200_000;

/// By how much a run may let the worker grow, in bytes: half of what the watchdog of agents allows (`watchdog_memory_limit`,
/// 200 MB).
const MEMORY: u64 = 100_000_000;

/// Bytes of rows of a host in an hour: fourteen times what `docs/sizing.md` reckons with (72 kB), and 240 GB a day from ten
/// thousand hosts.
const BYTES_PER_HOST_HOUR: u64 = 1_000_000;

/// Adds what is to be said of a query that becomes dearer.
pub(super) fn burdens(query: &PlannedQuery, warnings: &mut Vec<String>) {
    let Some((runs, cost)) = known(query.after.as_ref()) else { return };
    let before = known(query.before.as_ref());
    let pack = if query.pack.is_empty() { String::new() } else { format!(" of pack {:?}", query.pack) };
    let guessed = if runs.rests_on.kind == BasisKind::SimilarSql { ", if it is like similar SQL" } else { "" };
    let mut say = |measure: fn(&PlannedRuns, &PredictedCost) -> u64, most: u64, text: &dyn Fn(u64) -> String| {
        let value = measure(runs, cost);
        let is_more = before.is_none_or(|(runs, cost)| measure(runs, cost) < value);
        if value > most && is_more && warnings.len() < MAX_SAID {
            warnings.push(format!("query {:?}{pack} {}{guessed}", query.name, text(value)));
        }
    };
    // In millionths, which is microseconds of CPU time in a second.
    say(|runs, cost| cost.cpu_us_p95 / runs.interval.max(1), CPU_PERCENT * 10_000, &|millionths| {
        let percent = format!("{}.{}", millionths / 10_000, millionths / 1_000 % 10);
        format!(
            "takes {percent} % of a core on 5 % of its hosts or more, every {} s; let it run less often",
            runs.interval
        )
    });
    say(|_, cost| cost.cpu_us_p95, RUN_CPU_US, &|micros| {
        let secs = format!("{}.{}", micros / 1_000_000, micros / 100_000 % 10);
        format!("takes {secs} s of CPU time in a run, for which the watchdog of agents may stop the worker")
    });
    say(|_, cost| cost.memory_p95, MEMORY, &|bytes| {
        format!("lets the worker grow by {} MB, and the watchdog of agents stops it at 200 MB", bytes / 1_000_000)
    });
    say(|_, cost| cost.bytes_per_host_hour.unwrap_or(0), BYTES_PER_HOST_HOUR, &|bytes| {
        let most = if runs.snapshot { "" } else { "up to " };
        format!("sends {most}{} MB an hour from each host", bytes / 1_000_000)
    });
}

fn known(runs: Option<&PlannedRuns>) -> Option<(&PlannedRuns, &PredictedCost)> {
    let runs = runs?;
    Some((runs, runs.cost.as_ref()?))
}

#[cfg(test)]
mod tests {
    use muster_api::rest::CostBasis;

    use super::*;

    fn runs(interval: u64, cost: PredictedCost) -> Option<PlannedRuns> {
        let rests_on = CostBasis { kind: BasisKind::SameSql, ..CostBasis::default() };
        Some(PlannedRuns { hosts: 1, is_at_most: false, interval, snapshot: false, rests_on, cost: Some(cost) })
    }

    fn said(before: Option<PlannedRuns>, after: Option<PlannedRuns>) -> Vec<String> {
        let mut warnings = Vec::new();
        burdens(&PlannedQuery { pack: "p".to_owned(), name: "q".to_owned(), before, after }, &mut warnings);
        warnings
    }

    #[test]
    fn what_becomes_dearer_than_hosts_bear_is_told() {
        let light = PredictedCost { cpu_us_p95: 300_000, memory_p95: 90_000_000, ..PredictedCost::default() };
        assert_eq!(said(None, runs(60, light)), [""; 0]);
        let often = said(None, runs(20, light));
        assert_eq!(
            often,
            [
                "query \"q\" of pack \"p\" takes 1.5 % of a core on 5 % of its hosts or more, every 20 s; let it run less often"
            ]
        );
        assert_eq!(said(runs(60, light), runs(20, light)), often);
        assert_eq!(said(runs(20, light), runs(20, light)), [""; 0], "it was so before");
        assert_eq!(said(runs(10, light), runs(20, light)), [""; 0], "it becomes cheaper");
        assert_eq!(said(runs(10, light), None), [""; 0]);
        let heavy = PredictedCost {
            cpu_us_p95: 2_450_000,
            memory_p95: 150_000_000,
            bytes_per_host_hour: Some(3_000_000),
            ..PredictedCost::default()
        };
        let mut after = runs(86_400, heavy);
        let all = said(None, after.clone());
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[0].contains("takes 2.4 s of CPU time in a run"), "{}", all[0]);
        assert!(all[1].contains("grow by 150 MB"), "{}", all[1]);
        assert!(all[2].contains("sends up to 3 MB an hour from each host"), "{}", all[2]);
        if let Some(runs) = &mut after {
            (runs.rests_on.kind, runs.snapshot) = (BasisKind::SimilarSql, true);
        }
        assert!(said(None, after)[2].ends_with("sends 3 MB an hour from each host, if it is like similar SQL"));
    }
}
