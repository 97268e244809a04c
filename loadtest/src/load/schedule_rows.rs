//! Rows of `osquery_schedule`, whose numbers move as those of real agents do: a query has run as often as its interval fits
//! into what the agent still counts, and costs a host the same each time.
//!
//! The logarithm of that cost is spread evenly over hosts, from [`LEAST_MS`] on, so its percentiles are known: half of the
//! hosts take less than 22 ms for a run, 95 of 100 less than 86 ms.
//!
//! A query that recurses (`WITH RECURSIVE`) is too much for the watchdog: when it is due for the first time the worker is stopped, and its successor refuses the query for a day. Agents
//! below 5.12 count anew then.

use std::io::Write as _;

use super::given::Scheduled;
use super::template::push_text;
use super::work::{Answerer, comma};
use agent_compat::agent::{Version, chance::below};

/// What a run takes at least, in milliseconds.
const LEAST_MS: f64 = 5.0;

/// The ratio between the most and the least that a run takes, as a logarithm.
const SPREAD: f64 = 3.0;

/// Seconds for which a query is refused that has stopped the worker.
const DENIED_S: u64 = 86_400;

/// Seconds from the stop of a worker to the next one.
const RESPAWN_S: u64 = 4;

/// The worker that runs a host's queries at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Worker {
    started_s: u64,
    pid: u64,
}

/// Milliseconds of a run of a query on a host: of user time, and by the clock.
pub(super) fn run_ms(query: &Scheduled, host_seed: u64) -> u64 {
    let position = below(host_seed ^ query.bare, 7, 1_000_000) as f64 / 1e6;
    (LEAST_MS * (position * SPREAD).exp()) as u64
}

fn is_dear(query: &Scheduled) -> bool {
    query.sql.to_ascii_lowercase().contains("with recursive")
}

/// When a query has last stopped the worker, and how often; `None` if it has not yet.
fn stopped(query: &Scheduled, host: &Answerer<'_>, now_s: u64) -> Option<(u64, u64)> {
    let every_s = query.every_s(u64::from(host.number));
    let first_s = (host.started_s / every_s + 1) * every_s;
    let times = now_s.checked_sub(first_s)? / DENIED_S + 1;
    is_dear(query).then_some((first_s + (times - 1) * DENIED_S, times))
}

fn worker(queries: &[Scheduled], host: &Answerer<'_>, now_s: u64) -> Worker {
    let base = 300 + u64::from(host.number) % 30_000;
    let mut worker = Worker { started_s: host.started_s, pid: base };
    for (at_s, times) in queries.iter().filter_map(|query| stopped(query, host, now_s)) {
        worker.pid += times;
        worker.started_s = worker.started_s.max(at_s + RESPAWN_S);
    }
    worker
}

/// Writes the rows, each with who says it and when, as the server asks for them.
pub(super) fn put(out: &mut Vec<u8>, host: &Answerer<'_>, version: &str) {
    let now_s = host.now_ms / 1000;
    let queries = host.given.map(|given| given.queries.as_slice()).unwrap_or_default();
    let delimiter = host.given.map_or("_", |given| &given.delimiter);
    let worker = worker(queries, host, now_s);
    out.push(b'[');
    let mut head = Vec::new();
    // Writing to memory has no way to fail, here and below.
    let _ = write!(
        head,
        r#"{{"sampled_at":"{now_s}","worker_started_at":"{}","worker_pid":"{}","agent_version":"{version}","uptime":"{}","delimiter":"{delimiter}","#,
        worker.started_s,
        worker.pid,
        now_s.saturating_sub(host.started_s) + 600,
    );
    if queries.is_empty() {
        out.extend_from_slice(&head);
        out.extend_from_slice(br#""name":"","query":""}"#);
    }
    let begins_s = if Version::parse(version).at_least(5, 12, 0) { host.started_s } else { worker.started_s };
    for (at, query) in queries.iter().enumerate() {
        comma(out, at);
        out.extend_from_slice(&head);
        put_row(out, query, host, begins_s, now_s);
    }
    out.push(b']');
}

fn put_row(out: &mut Vec<u8>, query: &Scheduled, host: &Answerer<'_>, begins_s: u64, now_s: u64) {
    let seed = u64::from(host.number);
    let every_s = query.every_s(seed);
    let stopped = stopped(query, host, now_s);
    let runs = if is_dear(query) { 0 } else { (now_s / every_s).saturating_sub(begins_s / every_s) };
    let last_s = if runs == 0 { 0 } else { now_s / every_s * every_s };
    let last = if runs == 0 { 0 } else { run_ms(query, seed) };
    let total = runs * last;
    out.extend_from_slice(b"\"name\":");
    out.extend_from_slice(&query.name);
    out.extend_from_slice(b",\"query\":");
    push_text(out, &query.sql);
    let _ = write!(
        out,
        r#","interval":"{}","executions":"{runs}","last_executed":"{last_s}","denylisted":"{}","output_size":"{}","wall_time":"{}","wall_time_ms":"{total}","last_wall_time_ms":"{last}","user_time":"{total}","last_user_time":"{last}","system_time":"0","last_system_time":"0","average_memory":"{}","last_memory":"{}"}}"#,
        query.interval_s,
        u8::from(stopped.is_some()),
        runs * 64,
        total / 1000,
        last * 4096,
        last * 4096,
    );
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::given::ServedConfig;
    use super::super::template::Names;
    use super::*;

    fn rows(config: &ServedConfig, number: u32, now_s: u64, version: &str) -> Vec<Value> {
        let text = String::new;
        let names = Names {
            uuid: text(),
            instance: text(),
            hostname: text(),
            fqdn: text(),
            serial: text(),
            quoted_address: text(),
        };
        let host = Answerer { names: &names, number, given: Some(config), started_s: 1_000_000, now_ms: now_s * 1000 };
        let mut out = Vec::new();
        put(&mut out, &host, version);
        serde_json::from_slice(&out).unwrap()
    }

    fn number(row: &Value, column: &str) -> u64 {
        row[column].as_str().unwrap().parse().unwrap()
    }

    fn config() -> ServedConfig {
        let dear = "WITH RECURSIVE c(x) AS (SELECT 1) SELECT * FROM c";
        ServedConfig::of_queries(vec![Scheduled::new("cheap", "SELECT 1", 60), Scheduled::new("dear", dear, 600)])
    }

    #[test]
    fn costs_are_spread_as_promised() {
        let config = config();
        let mut costs: Vec<u64> = (0..2_000).map(|seed| run_ms(&config.queries[0], seed)).collect();
        costs.sort_unstable();
        assert!(
            (21..=23).contains(&costs[1_000]) && (81..=90).contains(&costs[1_900]),
            "{} {}",
            costs[1_000],
            costs[1_900]
        );
    }

    #[test]
    fn a_dear_query_stops_the_worker_once_a_day() {
        let config = config();
        let at = |now_s: u64, version: &str| {
            let rows = rows(&config, 7, now_s, version);
            let find = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap().clone();
            (find("cheap"), find("dear"))
        };
        let (early, dear) = at(1_000_001, "5.23.1");
        assert_eq!((number(&dear, "denylisted"), number(&dear, "worker_pid")), (0, 307));
        let (later, dear) = at(1_003_600, "5.23.1");
        assert_eq!(
            (number(&dear, "denylisted"), number(&dear, "executions"), number(&dear, "worker_pid")),
            (1, 0, 308)
        );
        assert!(number(&later, "worker_started_at") > number(&early, "worker_started_at"));
        let (forgetful, _) = at(1_003_600, "5.11.0");
        assert!(number(&forgetful, "executions") < number(&later, "executions"));
        let (_, dear) = at(1_003_600 + DENIED_S, "5.23.1");
        assert_eq!(number(&dear, "worker_pid"), 309);
    }
}
