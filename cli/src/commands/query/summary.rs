use std::fmt::Write;

use muster_api::rest::{LiveCost, LiveQuery, LiveStatus, Percentiles, TargetState};

use super::states;
use super::tally::AnswerTally;
use crate::output::printable;

const INDENT: &str = "                  ";

/// The outcome of a live query: one line if all hosts answered, otherwise also one line per other state.
pub fn summary(job: &LiveQuery, tally: &AnswerTally) -> String {
    let counts = &job.counts;
    let mut text = format!(
        "Live query {} {}: {} of {} targeted hosts answered\n",
        job.id,
        ended(job),
        counts.answered,
        counts.targets
    );
    for (state, name) in states::STATES {
        let count = states::count(counts, state);
        if count == 0 || state == TargetState::Answered {
            continue;
        }
        let meaning = meaning(state);
        let _ = writeln!(text, "  {name:<11}{count:>4} {meaning}fleetctl query show {} --state {name}", job.id);
        match state {
            TargetState::Failed => failures(&mut text, tally, count),
            TargetState::Suspect => suspects(&mut text, tally, count),
            _ => {}
        }
    }
    if counts.truncated > 0 {
        let _ = writeln!(
            text,
            "  {:<11}{:>4} sent more rows than the server keeps, or than its table guard lets through",
            "truncated", counts.truncated
        );
    }
    if counts.results_lost > 0 {
        let _ = writeln!(
            text,
            "  {:<11}{:>4} answered, but the results could not be stored or were lost with Redis",
            "no results", counts.results_lost
        );
    }
    if let Some(cost) = &job.cost {
        text.push_str(&costs(cost));
    }
    text
}

/// How a live query ended, as the predicate of a sentence.
pub fn ended(job: &LiveQuery) -> String {
    let reason = job.stop_reason.as_deref().map(printable).unwrap_or_default();
    match job.status {
        LiveStatus::Open if job.paused => "is paused".to_owned(),
        LiveStatus::Open => "is running".to_owned(),
        LiveStatus::Complete => "is complete".to_owned(),
        LiveStatus::Expired => "has reached its deadline".to_owned(),
        LiveStatus::Cancelled | LiveStatus::Stopped => {
            let word = states::status(job.status);
            // Most reasons begin with the status.
            match reason.strip_prefix(word) {
                Some(rest) => format!("was {word}{rest}"),
                None if reason.is_empty() => format!("was {word}"),
                None => format!("was {word} ({reason})"),
            }
        }
    }
}

fn meaning(state: TargetState) -> &'static str {
    match state {
        TargetState::Sent => "(waiting for the answer) ",
        TargetState::Pending => "(offline or not asked yet) ",
        TargetState::Gone => "(deleted) ",
        TargetState::Skipped => "(the discovery query returned no rows) ",
        _ => "",
    }
}

fn failures(text: &mut String, tally: &AnswerTally, count: u64) {
    let mut failures: Vec<_> = tally.failures.iter().collect();
    failures.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (message, hosts) in failures {
        let _ = writeln!(text, "{INDENT}{hosts}x {message}");
    }
    let listed = tally.failures.values().sum::<u64>();
    // Without any answers, as in `query show`, no messages are known.
    if listed > 0 && count > listed {
        let _ = writeln!(text, "{INDENT}{}x other messages", count - listed);
    }
}

fn suspects(text: &mut String, tally: &AnswerTally, count: u64) {
    if tally.suspects.is_empty() {
        return;
    }
    let more = count.saturating_sub(tally.suspects.len() as u64);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let _ = writeln!(text, "{INDENT}{}{more}", tally.suspects.join(", "));
}

fn costs(cost: &LiveCost) -> String {
    let hosts = if cost.hosts == 1 { "1 host".to_owned() } else { format!("{} hosts", cost.hosts) };
    format!(
        "Cost per host, reported by {hosts} (p50 / p95 / max):\n  time   {}\n  CPU    {}\n  memory {}\n",
        three(&cost.wall_time_ms, milliseconds),
        three(&cost.cpu_time_ms, milliseconds),
        three(&cost.memory_bytes, bytes)
    )
}

fn three(values: &Percentiles, show: fn(f64) -> String) -> String {
    [values.p50, values.p95, values.max].map(show).join(" / ")
}

fn milliseconds(value: f64) -> String {
    if value < 1000.0 { format!("{value:.0} ms") } else { format!("{:.1} s", value / 1000.0) }
}

fn bytes(value: f64) -> String {
    let units = ["KiB", "MiB", "GiB"];
    let mut value = value / 1024.0;
    for unit in units {
        if value < 1024.0 || unit == "GiB" {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::query::progress::tests::job;
    use crate::commands::query::tally::tests::answer;

    #[test]
    fn a_query_that_all_hosts_answered_takes_one_line() {
        let mut job = job(0, 0, 6, 6);
        job.status = LiveStatus::Complete;
        assert_eq!(
            summary(&job, &AnswerTally::default()),
            "Live query 7 is complete: 6 of 6 targeted hosts answered\n"
        );
    }

    #[test]
    fn every_other_state_has_a_line() {
        let mut job = job(2, 0, 4, 4);
        (job.counts.failed, job.counts.suspect, job.counts.lost, job.counts.truncated) = (4, 2, 1, 1);
        (job.counts.targets, job.counts.skipped) = (15, 3);
        job.cost = serde_json::from_value(json!({
            "hosts": 3,
            "wall_time_ms": {"p50": 2.0, "p95": 12.4, "max": 3210.0},
            "cpu_time_ms": {"p50": 0.0, "p95": 1.0, "max": 999.0},
            "memory_bytes": {"p50": 1024.0, "p95": 1_572_864.0, "max": 3e9},
        }))
        .unwrap();
        let mut tally = AnswerTally::default();
        for (host, message) in [("a", "near \"x\""), ("b", "no such table: y"), ("c", "no such table: y")] {
            tally.count(&answer(host, "failed", json!([]), Some(message)));
        }
        tally.count(&answer("web-1", "suspect", json!([]), None));
        assert_eq!(
            summary(&job, &tally),
            "Live query 7 is running: 4 of 15 targeted hosts answered\n  \
             failed        4 fleetctl query show 7 --state failed\n\
             \x20                 2x no such table: y\n\
             \x20                 1x near \"x\"\n\
             \x20                 1x other messages\n  \
             skipped       3 (the discovery query returned no rows) fleetctl query show 7 --state skipped\n  \
             suspect       2 fleetctl query show 7 --state suspect\n\
             \x20                 web-1 and 1 more\n  \
             lost          1 fleetctl query show 7 --state lost\n  \
             pending       2 (offline or not asked yet) fleetctl query show 7 --state pending\n  \
             truncated     1 sent more rows than the server keeps, or than its table guard lets through\n\
             Cost per host, reported by 3 hosts (p50 / p95 / max):\n  \
             time   2 ms / 12 ms / 3.2 s\n  CPU    0 ms / 1 ms / 999 ms\n  \
             memory 1.0 KiB / 1.5 MiB / 2.8 GiB\n"
        );
    }

    #[test]
    fn the_reason_for_a_stop_is_shown() {
        let mut job = job(0, 0, 6, 6);
        job.status = LiveStatus::Stopped;
        assert_eq!(ended(&job), "was stopped");
        job.stop_reason = Some("3 agents died".to_owned());
        assert!(summary(&job, &AnswerTally::default()).starts_with("Live query 7 was stopped (3 agents died): 6 of 6"));
        job.stop_reason = Some("stopped, because agents died".to_owned());
        assert_eq!(ended(&job), "was stopped, because agents died");
    }
}
