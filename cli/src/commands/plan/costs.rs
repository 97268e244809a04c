//! What a plan is predicted to cost, as text.

use std::fmt::Write as _;

use muster_api::rest::{BasisKind, CostBasis, PlannedCosts, PlannedQuery, PlannedRuns, PredictedCost};

use crate::commands::costs::{bytes, full_name, millis};
use crate::output;

const MILLIS_OF_HOUR: f64 = 3_600_000.0;

/// One line or two for each query that hosts run otherwise, the totals and the warnings.
pub fn render(costs: &PlannedCosts) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "cost, as far as hosts have reported it since {}, with all hosts on all day:",
        costs.since.format("%Y-%m-%d")
    );
    costs.queries.iter().for_each(|found| query(&mut text, found));
    if costs.more > 0 {
        let _ = writeln!(text, "    and {} more queries", costs.more);
    }
    let (before, after) = (costs.before, costs.after);
    let cpu = |millis: u64| format!("{:.2}", float(millis) / MILLIS_OF_HOUR);
    let _ = writeln!(
        text,
        "total: CPU {} -> {} hours a day ({}), rows {} -> {} a day ({})",
        cpu(before.cpu_ms_per_day),
        cpu(after.cpu_ms_per_day),
        signed(before.cpu_ms_per_day, after.cpu_ms_per_day, cpu),
        bytes(float(before.bytes_per_day)),
        bytes(float(after.bytes_per_day)),
        signed(before.bytes_per_day, after.bytes_per_day, |number| bytes(float(number))),
    );
    if costs.unknown > 0 {
        let (queries, are) = if costs.unknown == 1 { ("query", "is") } else { ("queries", "are") };
        let _ = writeln!(
            text,
            "unknown: the cost of {} {queries}, which {are} in no total; find it out on a few hosts: fleetctl plan --try N",
            costs.unknown
        );
    }
    for warning in &costs.warnings {
        let _ = writeln!(text, "warning: {}", output::printable(warning));
    }
    text
}

fn query(text: &mut String, PlannedQuery { pack, name, before, after }: &PlannedQuery) {
    let sign = match (before, after) {
        (None, _) => '+',
        (_, None) => '-',
        (Some(_), Some(_)) => '~',
    };
    let _ = writeln!(text, "  {sign} {}", output::printable(&full_name(pack, name)));
    let basis = |runs: &PlannedRuns| runs.cost.as_ref().map_or_else(String::new, run) + &rests_on(&runs.rests_on);
    let of_after = after.as_ref().map(basis);
    for (word, runs) in [("before", before), ("after", after)] {
        let Some(runs) = runs else { continue };
        let _ = writeln!(text, "      {word}: {}", shown(runs));
        // Once for both if it is the same.
        if word == "after" || Some(basis(runs)) != of_after {
            let _ = writeln!(text, "        {}", basis(runs));
        }
    }
}

fn shown(PlannedRuns { hosts, is_at_most, interval, snapshot, cost, .. }: &PlannedRuns) -> String {
    let most = if *is_at_most { "up to " } else { "" };
    let runs = format!("{most}{} every {interval} s", of_hosts(*hosts));
    let Some(cost) = cost else { return runs };
    let rows = cost.bytes_per_host_hour.map_or_else(String::new, |number| {
        // Only what differs is logged of others.
        let most = if *snapshot { "" } else { "up to " };
        format!(", {most}{} of rows", bytes(float(number)))
    });
    format!("{runs}; each in an hour {} of CPU{rows}", micros(cost.cpu_us_per_host_hour))
}

fn run(cost: &PredictedCost) -> String {
    let (p50, p95) = (micros(cost.cpu_us_p50), micros(cost.cpu_us_p95));
    format!("a run: CPU p50 {p50}, p95 {p95}; memory p95 {}; ", bytes(float(cost.memory_p95)))
}

fn micros(micros: u64) -> String {
    millis(float(micros) / 1000.0)
}

fn of_hosts(hosts: u64) -> String {
    format!("{hosts} {}", if hosts == 1 { "host" } else { "hosts" })
}

/// What the prediction rests on.
fn rests_on(CostBasis { kind, queries, more, hosts, executions, tables }: &CostBasis) -> String {
    let mut names: Vec<String> =
        queries.iter().map(|query| output::printable(&full_name(&query.pack, &query.name))).collect();
    if *more > 0 {
        names.push(format!("{more} more"));
    }
    let names = names.join(", ");
    let hosts = of_hosts(*hosts);
    match kind {
        BasisKind::SameSql => format!("by the same SQL in {names}: {hosts}, {executions} runs"),
        BasisKind::SimilarSql => {
            let tables = output::printable(&tables.join(", "));
            format!("a guess, by SQL that also reads {tables}, in {names}: {hosts}, {executions} runs")
        }
        BasisKind::Unknown => "unknown: no host has run this SQL lately, nor SQL that reads the same tables".to_owned(),
    }
}

/// The difference of two numbers.
fn signed(before: u64, after: u64, shown: impl Fn(u64) -> String) -> String {
    let sign = if after < before { '-' } else { '+' };
    format!("{sign}{}", shown(after.abs_diff(before)))
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use muster_api::rest::{BasisQuery, PlannedTotal};

    use super::*;

    #[test]
    fn costs_are_told_with_what_they_rest_on() {
        let basis = |kind| CostBasis {
            kind,
            queries: vec![
                BasisQuery { pack: "base".to_owned(), name: "ports".to_owned() },
                BasisQuery { pack: String::new(), name: "top\x1b".to_owned() },
            ],
            more: 2,
            hosts: 1_204,
            executions: 28_000,
            tables: vec!["file".to_owned(), "hash".to_owned()],
        };
        let runs = |kind, interval| PlannedRuns {
            hosts: 1_300,
            is_at_most: false,
            interval,
            snapshot: false,
            rests_on: basis(kind),
            cost: Some(PredictedCost {
                cpu_us: 2_000,
                cpu_us_p50: 1_500,
                cpu_us_p95: 9_000,
                memory_p50: 1_024,
                memory_p95: 2_048,
                output_bytes: Some(300),
                cpu_us_per_host_hour: 2_000 * 3600 / interval,
                bytes_per_host_hour: Some(300 * 3600 / interval),
                cpu_ms_per_day: 1,
                bytes_per_day: Some(1),
            }),
        };
        let query =
            |name: &str, before, after| PlannedQuery { pack: "base".to_owned(), name: name.to_owned(), before, after };
        let unknown = PlannedRuns {
            is_at_most: true,
            rests_on: CostBasis::default(),
            cost: None,
            ..runs(BasisKind::Unknown, 60)
        };
        let costs = PlannedCosts {
            since: DateTime::UNIX_EPOCH,
            queries: vec![
                query("ports", Some(runs(BasisKind::SameSql, 3600)), Some(runs(BasisKind::SameSql, 60))),
                query("files", Some(runs(BasisKind::SameSql, 60)), Some(runs(BasisKind::SimilarSql, 60))),
                query("new", None, Some(unknown)),
                query("old", Some(PlannedRuns { snapshot: true, ..runs(BasisKind::SameSql, 60) }), None),
            ],
            more: 7,
            unknown: 1,
            before: PlannedTotal { cpu_ms_per_day: 7_200_000, bytes_per_day: 2 << 20 },
            after: PlannedTotal { cpu_ms_per_day: 5_400_000, bytes_per_day: 3 << 20 },
            warnings: vec!["query \"ports\" takes 1.5 % of a core".to_owned()],
        };
        assert_eq!(
            render(&costs),
            "cost, as far as hosts have reported it since 1970-01-01, with all hosts on all day:\n  \
             ~ base/ports\n      \
             before: 1300 hosts every 3600 s; each in an hour 2.00 ms of CPU, up to 300 B of rows\n      \
             after: 1300 hosts every 60 s; each in an hour 120 ms of CPU, up to 17.6 KiB of rows\n        \
             a run: CPU p50 1.50 ms, p95 9.00 ms; memory p95 2.00 KiB; by the same SQL in base/ports, top\u{fffd}, 2 more: 1204 hosts, \
             28000 runs\n  \
             ~ base/files\n      \
             before: 1300 hosts every 60 s; each in an hour 120 ms of CPU, up to 17.6 KiB of rows\n        \
             a run: CPU p50 1.50 ms, p95 9.00 ms; memory p95 2.00 KiB; by the same SQL in base/ports, top\u{fffd}, 2 more: 1204 hosts, \
             28000 runs\n      \
             after: 1300 hosts every 60 s; each in an hour 120 ms of CPU, up to 17.6 KiB of rows\n        \
             a run: CPU p50 1.50 ms, p95 9.00 ms; memory p95 2.00 KiB; a guess, by SQL that also reads file, hash, in base/ports, \
             top\u{fffd}, 2 more: 1204 hosts, 28000 runs\n  \
             + base/new\n      \
             after: up to 1300 hosts every 60 s\n        \
             unknown: no host has run this SQL lately, nor SQL that reads the same tables\n  \
             - base/old\n      \
             before: 1300 hosts every 60 s; each in an hour 120 ms of CPU, 17.6 KiB of rows\n        \
             a run: CPU p50 1.50 ms, p95 9.00 ms; memory p95 2.00 KiB; by the same SQL in base/ports, top\u{fffd}, 2 more: 1204 hosts, \
             28000 runs\n    \
             and 7 more queries\n\
             total: CPU 2.00 -> 1.50 hours a day (-0.50), rows 2.00 MiB -> 3.00 MiB a day (+1.00 MiB)\n\
             unknown: the cost of 1 query, which is in no total; find it out on a few hosts: fleetctl plan --try N\n\
             warning: query \"ports\" takes 1.5 % of a core\n"
        );
    }
}
