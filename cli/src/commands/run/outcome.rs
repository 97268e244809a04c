//! What came of a query, and how it is shown.

use anyhow::Context as _;
use muster_api::rest::{LiveAnswer, LiveQuery, LiveStats, TargetState};
use serde::Serialize;
use serde_json::Value;

use super::plan::PlannedQuery;
use crate::commands::costs;
use crate::commands::query::{ended, states, tally};
use crate::output::printable;
use crate::table;

/// Of a query that the server did not take.
const REFUSED: &str = "refused";

/// What came of one query on the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// As in the names of results.
    names: Vec<String>,
    /// Seconds, of each name.
    intervals: Vec<u32>,
    query: String,
    /// That of the target of the live query, or `refused`.
    state: &'static str,
    row_count: u64,
    rows: Vec<Value>,
    /// Whether the server keeps fewer rows than the host sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// As the agent reports it; agents before 5.8 do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<LiveStats>,
}

impl Outcome {
    fn new(planned: PlannedQuery, state: &'static str) -> Self {
        let (names, intervals) = planned.names.into_iter().unzip();
        let (row_count, rows) = (0, Vec::new());
        Self { names, intervals, query: planned.sql, state, row_count, rows, truncated: false, error: None, cost: None }
    }

    /// The host has answered, or will not.
    pub fn answered(planned: PlannedQuery, answer: LiveAnswer) -> Self {
        let error = match answer.state {
            TargetState::Skipped => Some("the discovery of its pack finds nothing on this host".to_owned()),
            TargetState::Expired => Some("the host did not answer in time (--timeout)".to_owned()),
            TargetState::Cancelled | TargetState::Gone => answer.error.clone(),
            _ => tally::error(&answer).map(str::to_owned),
        };
        let row_count = answer.rows_sent.unwrap_or(answer.rows.len() as u64);
        Self {
            row_count,
            rows: answer.rows,
            truncated: answer.truncated,
            error,
            cost: answer.stats,
            ..Self::new(planned, states::name(answer.state))
        }
    }

    /// The live query has ended, and there is no answer of the host.
    pub fn ended(planned: PlannedQuery, job: &LiveQuery) -> Self {
        let error = Some(format!("the host has not answered; the live query {}", ended(job)));
        Self { error, ..Self::new(planned, states::status(job.status)) }
    }

    /// The server did not take the query.
    pub fn refused(planned: PlannedQuery, reason: String) -> Self {
        Self { error: Some(reason), ..Self::new(planned, REFUSED) }
    }

    pub fn without_rows(self) -> Self {
        Self { rows: Vec::new(), ..self }
    }

    /// Whether the query ran, or would not have run by the schedule either.
    pub fn is_good(&self) -> bool {
        self.state == states::name(TargetState::Answered) || self.state == states::name(TargetState::Skipped)
    }

    pub fn json(&self) -> anyhow::Result<String> {
        serde_json::to_string(self).context("cannot print the answer")
    }

    fn cpu(&self) -> Option<f64> {
        self.cost.map(|cost| (cost.user_time_ms + cost.system_time_ms) as f64)
    }
}

/// The names of a query and what came of it, as one line and more for several names.
pub fn heading(outcome: &Outcome) -> String {
    let names = outcome.names.iter().zip(&outcome.intervals);
    let names: Vec<_> = names.map(|(name, interval)| format!("{} (every {interval} s)", printable(name))).collect();
    let mut text = format!("\n{}: ", names.join("\n"));
    match &outcome.error {
        Some(error) => text.push_str(&format!("{}: {}", outcome.state, printable(&error.replace('\n', " ")))),
        None => text.push_str(&count(outcome.row_count, "row")),
    }
    if let Some(cost) = outcome.cost {
        text.push_str(&format!(
            "; CPU {}, time {}, memory {}",
            costs::millis(outcome.cpu().unwrap_or_default()),
            costs::millis(cost.wall_time_ms as f64),
            costs::bytes(cost.memory_bytes as f64)
        ));
    }
    text + "\n"
}

/// The first rows as a grid, and how many more there are.
pub fn rows(outcome: &Outcome, most: usize) -> String {
    let first = &outcome.rows[..outcome.rows.len().min(most)];
    let mut columns = Vec::<&str>::new();
    for column in first.iter().filter_map(Value::as_object).flat_map(|row| row.keys()) {
        if !columns.contains(&column.as_str()) {
            columns.push(column);
        }
    }
    let mut text = String::new();
    if !columns.is_empty() {
        let cell = |row: &Value, column: &str| match row.get(column) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let cells = |row: &Value| columns.iter().map(|column| cell(row, column)).collect();
        let shown: Vec<String> = columns.iter().map(|column| printable(column)).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        text.push_str(&table::dense(&shown, first.iter().map(cells)));
    }
    let more = outcome.row_count.saturating_sub(first.len() as u64);
    if more > 0 && most > 0 {
        let kept = if outcome.truncated { "; the server keeps some of them" } else { "" };
        text.push_str(&format!("and {} more (--rows, or --json for all{kept})\n", count(more, "row")));
    }
    text
}

/// A line for each query, those that cost most first, and the whole.
pub fn summary(outcomes: &[Outcome], total: usize) -> String {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    // Those that did not run come first.
    sorted.sort_by(|a, b| {
        let cpu = |outcome: &Outcome| outcome.cpu().unwrap_or_default();
        a.is_good().cmp(&b.is_good()).then(cpu(b).total_cmp(&cpu(a))).then(a.names.cmp(&b.names))
    });
    let dash = || "-".to_owned();
    let lines = sorted.iter().map(|outcome| {
        let has_answered = outcome.state == states::name(TargetState::Answered);
        vec![
            outcome.names.join("\n"),
            outcome.state.to_owned(),
            if has_answered { outcome.row_count.to_string() } else { dash() },
            outcome.cpu().map_or_else(dash, costs::millis),
            outcome.cost.map_or_else(dash, |cost| costs::millis(cost.wall_time_ms as f64)),
            outcome.cost.map_or_else(dash, |cost| costs::bytes(cost.memory_bytes as f64)),
        ]
    });
    let mut text = table::dense(&["query", "outcome", "rows", "cpu", "time", "memory"], lines);
    let good = outcomes.iter().filter(|outcome| outcome.is_good()).count();
    text.push_str(&format!("{good} of {total} queries ran"));
    let cpu: Vec<f64> = outcomes.iter().filter_map(Outcome::cpu).collect();
    if !cpu.is_empty() {
        text.push_str(&format!("; CPU {} together", costs::millis(cpu.iter().sum())));
    }
    text + "\n"
}

fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::query::tally::tests::answer;

    fn planned(name: &str) -> PlannedQuery {
        PlannedQuery { names: vec![(name.to_owned(), 60)], sql: "SELECT 1".to_owned(), discovery: None }
    }

    fn outcomes() -> [Outcome; 3] {
        let mut good =
            answer("h", "answered", json!([{"pid": "1"}, {"pid": "2", "x\u{1b}": null}, {"pid": "3"}]), None);
        good.stats = Some(LiveStats { wall_time_ms: 12, user_time_ms: 3, system_time_ms: 2, memory_bytes: 2_097_152 });
        let bad = answer("h", "failed", json!([]), Some("no such\ntable: x"));
        let skipped = answer("h", "skipped", json!([]), None);
        [
            Outcome::answered(planned("pack/a/good"), good),
            Outcome::answered(planned("pack/a/bad"), bad),
            Outcome::answered(planned("pack/b/not-here"), skipped),
        ]
    }

    #[test]
    fn rows_errors_and_costs_are_shown() {
        let [good, bad, skipped] = outcomes();
        assert_eq!(
            heading(&good) + &rows(&good, 2),
            "\npack/a/good (every 60 s): 3 rows; CPU 5.00 ms, time 12.0 ms, memory 2.00 MiB\n\
             +-----+----+\n| PID | X\u{fffd} |\n+-----+----+\n| 1   |    |\n| 2   |    |\n+-----+----+\n\
             and 1 row more (--rows, or --json for all)\n"
        );
        assert_eq!(heading(&bad) + &rows(&bad, 2), "\npack/a/bad (every 60 s): failed: no such table: x\n");
        assert!(heading(&skipped).contains("skipped: the discovery of its pack"), "{}", heading(&skipped));
        assert_eq!(rows(&good, 0), "");
    }

    #[test]
    fn the_summary_begins_with_what_did_not_run() {
        let text = summary(&outcomes(), 4);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("pack/")).collect();
        assert!(lines[0].contains("pack/a/bad") && lines[1].contains("pack/a/good"), "{text}");
        assert!(text.ends_with("2 of 4 queries ran; CPU 5.00 ms together\n"), "{text}");
    }

    #[test]
    fn json_has_the_keys_of_the_live_query() {
        let [good, bad, _] = outcomes();
        let json: Value = serde_json::from_str(&good.json().unwrap()).unwrap();
        assert_eq!(
            (&json["names"], &json["state"], &json["row_count"]),
            (&json!(["pack/a/good"]), &json!("answered"), &json!(3))
        );
        assert_eq!(json["cost"]["user_time_ms"], 3);
        let json: Value = serde_json::from_str(&bad.json().unwrap()).unwrap();
        assert_eq!((&json["error"], json.get("cost")), (&json!("no such\ntable: x"), None));
    }
}
