//! What came of a query that was tried, by platform and osquery version.

use std::collections::BTreeMap;

use muster_api::rest::{LiveAnswer, LiveGroup, LiveQuery, LiveStatus, TargetState};
use serde::Serialize;

use super::tried::TriedSql;
use crate::commands::costs;
use crate::table;

/// Errors of a group that are kept.
const MAX_ERRORS: usize = 5;

/// What came of one query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TryOutcome {
    kind: String,
    name: String,
    query: String,
    verdict: Verdict,
    /// Why it was not tried, or was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_query_id: Option<i64>,
    groups: Vec<GroupOutcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// It ran on no host.
    Failed,
    /// It took more CPU time than it may, or was stopped because it harms hosts.
    TooMuch,
    NotTried,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct GroupOutcome {
    platform: String,
    osquery_version: String,
    /// Hosts that were asked.
    hosts: u64,
    answered: u64,
    failed: u64,
    /// Hosts that sent nothing in time.
    silent: u64,
    rows: u64,
    /// In milliseconds, of the hosts that report it: those from osquery 5.8 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<Spread>,
    errors: BTreeMap<String, u64>,
    #[serde(skip)]
    host_ids: Vec<i64>,
    #[serde(skip)]
    cpu: Vec<u64>,
    #[serde(skip)]
    memory: Vec<u64>,
}

/// The middle and the most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    median: u64,
    max: u64,
}

impl Spread {
    fn of(values: &[u64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_unstable();
        // Of an even number the greater one in the middle: a cost is rather shown too high.
        Some(Self { median: *values.get(values.len() / 2)?, max: *values.last()? })
    }

    fn show(spread: Option<Self>, show: fn(f64) -> String) -> String {
        spread.map_or_else(
            || "unknown".to_owned(),
            |Self { median, max }| format!("{} / {}", show(median as f64), show(max as f64)),
        )
    }
}

impl GroupOutcome {
    fn of(group: LiveGroup) -> Self {
        let LiveGroup { platform, osquery_version, host_ids, .. } = group;
        let hosts = host_ids.len() as u64;
        Self {
            platform,
            osquery_version,
            hosts,
            answered: 0,
            failed: 0,
            silent: hosts,
            rows: 0,
            cpu_ms: None,
            memory_bytes: None,
            errors: BTreeMap::new(),
            host_ids,
            cpu: Vec::new(),
            memory: Vec::new(),
        }
    }

    fn add(&mut self, answer: &LiveAnswer) {
        let has_sent = match answer.state {
            TargetState::Answered => {
                self.answered += 1;
                true
            }
            TargetState::Failed | TargetState::Denylisted | TargetState::Suspect => {
                self.failed += 1;
                true
            }
            _ => false,
        };
        self.silent -= u64::from(has_sent).min(self.silent);
        self.rows += answer.rows_sent.unwrap_or(answer.rows.len() as u64);
        if let Some(error) = answer.error.as_ref().filter(|_| answer.state != TargetState::Answered) {
            let is_room = self.errors.len() < MAX_ERRORS || self.errors.contains_key(error);
            if is_room {
                *self.errors.entry(error.clone()).or_default() += 1;
            }
        }
        if let Some(stats) = answer.stats {
            self.cpu.push(stats.user_time_ms.saturating_add(stats.system_time_ms));
            self.memory.push(stats.memory_bytes);
        }
        (self.cpu_ms, self.memory_bytes) = (Spread::of(&self.cpu), Spread::of(&self.memory));
    }
}

impl TryOutcome {
    pub fn new(sql: TriedSql, live_query_id: i64, groups: Vec<LiveGroup>) -> Self {
        let groups = groups.into_iter().map(GroupOutcome::of).collect();
        let TriedSql { kind, name, sql, .. } = sql;
        let live_query_id = Some(live_query_id);
        Self { kind, name, query: sql, verdict: Verdict::Failed, reason: None, live_query_id, groups }
    }

    /// The server did not take it.
    pub fn not_tried(sql: TriedSql, reason: String) -> Self {
        let TriedSql { kind, name, sql, .. } = sql;
        let (verdict, reason) = (Verdict::NotTried, Some(reason));
        Self { kind, name, query: sql, verdict, reason, live_query_id: None, groups: Vec::new() }
    }

    pub fn add(&mut self, answer: &LiveAnswer) {
        if let Some(group) = self.groups.iter_mut().find(|group| group.host_ids.contains(&answer.host_id)) {
            group.add(answer);
        }
    }

    /// The live query is over.
    pub fn end(&mut self, job: &LiveQuery) {
        self.reason.clone_from(&job.stop_reason);
        let is_over = job.budget.is_some_and(|budget| budget.hosts_over > 0) || job.status == LiveStatus::Stopped;
        let ran = self.groups.iter().any(|group| group.answered > 0);
        self.verdict = match (is_over, ran) {
            (true, _) => Verdict::TooMuch,
            (false, true) => Verdict::Good,
            (false, false) => Verdict::Failed,
        };
        if self.verdict == Verdict::TooMuch && self.reason.is_none() {
            let may = job.budget.map_or(0, |budget| budget.host_cpu_ms);
            self.reason = Some(format!("took more than {} of CPU time on a host", costs::millis(may as f64)));
        }
    }

    pub fn is_good(&self) -> bool {
        self.verdict == Verdict::Good
    }
}

/// A row for each platform and version, and what is wrong below.
pub fn table(outcomes: &[TryOutcome]) -> String {
    let columns = [
        "",
        "query",
        "platform",
        "osquery",
        "hosts",
        "rows",
        "errors",
        "no answer",
        "CPU p50 / max",
        "memory p50 / max",
    ];
    let mut rows = Vec::new();
    let mut below = String::new();
    for outcome in outcomes {
        let called =
            if outcome.kind == "query" { outcome.name.clone() } else { format!("{} {}", outcome.kind, outcome.name) };
        let mark = if outcome.is_good() { "" } else { "!" };
        let first = |cells: [String; 8]| [mark.to_owned(), called.clone()].into_iter().chain(cells).collect();
        if outcome.groups.is_empty() {
            rows.push(first(std::array::from_fn(
                |column| if column == 0 { "not tried".to_owned() } else { String::new() },
            )));
        }
        for group in &outcome.groups {
            rows.push(first([
                group.platform.clone(),
                group.osquery_version.clone(),
                group.hosts.to_string(),
                group.rows.to_string(),
                group.failed.to_string(),
                group.silent.to_string(),
                Spread::show(group.cpu_ms, costs::millis),
                Spread::show(group.memory_bytes, costs::bytes),
            ]));
            for (error, hosts) in &group.errors {
                let on = format!("{} {}", group.platform, group.osquery_version);
                below.push_str(&format!("  {called}: {hosts}x on {on}: {}\n", crate::output::printable(error)));
            }
        }
        if let Some(reason) = &outcome.reason {
            below.push_str(&format!("  {called}: {}\n", crate::output::printable(reason)));
        }
    }
    format!("{}{below}", table::dense(&columns, rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn test_job() -> LiveQuery {
        let states = ["targets", "pending", "sent", "answered", "failed", "denylisted", "suspect", "lost", "expired"];
        let mut counts = json!({ "cancelled": 0, "gone": 0, "truncated": 0 });
        states.iter().for_each(|state| counts[state] = 0.into());
        serde_json::from_value(json!({
            "id": 7, "query": "select 1", "created_at": "2026-08-01T12:00:00Z", "deadline": "2026-08-01T13:00:00Z",
            "author_id": 1, "author_email": "a@b.c", "status": "complete", "counts": counts, "online": 1,
            "online_waiting": 0,
        }))
        .unwrap()
    }

    fn sql(name: &str) -> TriedSql {
        TriedSql { kind: "query".to_owned(), name: name.to_owned(), sql: "select 1".to_owned(), platforms: Vec::new() }
    }

    fn groups() -> Vec<LiveGroup> {
        let group = |platform: &str, host_ids: &[i64]| LiveGroup {
            platform: platform.to_owned(),
            osquery_version: "5.23.0".to_owned(),
            size: 9,
            host_ids: host_ids.to_vec(),
        };
        vec![group("ubuntu", &[1, 2, 3]), group("windows", &[11])]
    }

    fn answer(host_id: i64, state: &str, cpu_ms: u64, error: Option<&str>) -> LiveAnswer {
        serde_json::from_value(json!({
            "cursor": 1, "host_id": host_id, "hostname": "h", "state": state, "rows": [{ "a": "1" }, { "a": "2" }],
            "stats": { "wall_time_ms": 1, "user_time_ms": cpu_ms, "system_time_ms": 0, "memory_bytes": cpu_ms << 20 },
            "error": error, "at": "2026-08-01T12:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn costs_and_errors_are_shown_by_platform_and_version() {
        let mut good = TryOutcome::new(sql("users"), 7, groups());
        for (host, cpu_ms) in [(1, 10), (2, 30), (3, 20)] {
            good.add(&answer(host, "answered", cpu_ms, None));
        }
        good.add(&answer(11, "failed", 0, Some("no such table: users")));
        good.end(&test_job());
        assert!(good.is_good(), "it ran somewhere");
        let shown = serde_json::to_value(&good).unwrap();
        assert_eq!(shown["groups"][0]["cpu_ms"], json!({ "median": 20, "max": 30 }));
        assert_eq!(shown["groups"][0]["rows"], 6);
        assert_eq!(shown["groups"][1]["errors"], json!({ "no such table: users": 1 }));

        let mut heavy = TryOutcome::new(sql("heavy"), 8, groups());
        heavy.add(&answer(1, "answered", 9_000, None));
        let mut job = test_job();
        job.budget = serde_json::from_value(
            json!({ "host_cpu_ms": 5000, "fleet_cpu_ms": 0, "spent_cpu_ms": 9000, "hosts_over": 1 }),
        )
        .unwrap();
        heavy.end(&job);
        let mut nowhere = TryOutcome::new(sql("typo"), 9, groups());
        nowhere.end(&test_job());
        let refused = TryOutcome::not_tried(sql("secret"), "the table guard refuses it".to_owned());
        assert!(![&heavy, &nowhere, &refused].iter().any(|outcome| outcome.is_good()));
        let text = table(&[good, heavy, nowhere, refused]);
        assert!(
            text.contains("|   | users  | ubuntu    | 5.23.0  | 3     | 6    | 0      | 0         | 20.0 ms / 30.0 ms"),
            "{text}"
        );
        assert!(text.contains("| ! | secret | not tried |"), "{text}");
        assert!(text.contains("  users: 1x on windows 5.23.0: no such table: users\n"), "{text}");
        assert!(text.contains("  heavy: took more than 5.00 s of CPU time on a host\n"), "{text}");
        assert!(text.ends_with("  secret: the table guard refuses it\n"), "{text}");
    }
}
