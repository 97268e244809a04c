use serde_json::json;

use super::*;

/// What entries show, each with its gravity.
fn found(entries: &[(&str, String)]) -> Vec<(Gravity, String)> {
    let entries = entries.iter().map(|(name, text)| {
        let bytes = text.clone().into_bytes();
        ((*name).to_owned(), ReadEntry { size: bytes.len() as u64, sha256: String::new(), bytes })
    });
    let found = of_node(&entries.collect(), "", "n-1");
    found.into_iter().map(|finding| (finding.gravity, finding.text)).collect()
}

fn one(name: &str, value: &serde_json::Value) -> Vec<(Gravity, String)> {
    found(&[(name, value.to_string())])
}

fn problem(text: &str) -> (Gravity, String) {
    (Gravity::Problem, text.to_owned())
}

fn warning(text: &str) -> (Gravity, String) {
    (Gravity::Warning, text.to_owned())
}

#[test]
fn requests_that_wait_are_grouped_by_what_they_wait_for() {
    let request = |name: &str, waits: Option<f64>| {
        json!({"id": "1", "kind": "agent", "name": name, "since": "2026-08-01T12:00:00Z", "seconds": 12.0,
               "waits_for": waits.map(|_| "a database connection"), "waits_seconds": waits})
    };
    let activity = json!({"node": "n", "at": "2026-08-01T12:00:00Z", "left_out": 0,
        "requests": [request("config", Some(2.0)), request("log", Some(7.25)), request("enroll", Some(0.1)), request("read", None)],
        "tasks": [{"name": "expire", "state": "idle", "since": "2026-08-01T12:00:00Z", "seconds": 3.0, "last_outcome": "failed: disk full",
                   "waits_for": null, "waits_seconds": null}]});
    assert_eq!(
        one("requests.json", &activity),
        [
            problem("the task expire failed in its last run: disk full"),
            problem("2 requests waited for a database connection, for up to 7.2 s (agent log)"),
            warning("the agent request read has taken 12.0 s"),
        ]
    );
}

#[test]
fn full_pools_and_queues_are_told() {
    let waits = json!({"waits": [{"for": "disk", "waiting_now": 3, "longest_now_seconds": 4.5, "count": 9, "total_seconds": 9.0,
        "max_seconds": 6.0}], "pools": [{"name": "agents", "threads": 4, "busy": 4, "waiting": 2}],
        "connections": [{"pool": "writer", "max": 5, "in_use": 5, "idle": 0}]});
    assert_eq!(
        one("waits.json", &waits),
        [
            problem("3 wait for disk, the first for 4.5 s"),
            problem("all 4 threads of the pool agents were busy, and 2 waited for one"),
            (Gravity::Note, "all 5 connections of the pool writer were in use, and nobody waited for one".to_owned()),
        ]
    );
    let state = json!({"figures": [
        {"name": "samples waiting", "value": 100.0, "unit": "hosts", "bound": 100.0},
        {"name": "log lines in flight", "value": 85.0, "unit": "bytes", "bound": 100.0},
        {"name": "config cache", "value": 100.0, "unit": "bytes", "bound": 100.0},
        {"name": "hosts", "value": 5.0, "unit": "hosts", "bound": null}]});
    assert_eq!(
        one("state.json", &state),
        [
            problem("samples waiting is full: 100 of 100 hosts"),
            warning("log lines in flight is nearly full: 85 of 100 bytes"),
        ]
    );
}

#[test]
fn a_full_pool_is_a_problem_if_somebody_waits_longer_than_a_burst() {
    let report = |longest: f64| {
        json!({"waits": [{"for": "database connection", "waiting_now": 1, "longest_now_seconds": longest, "count": 9,
            "total_seconds": 1.0, "max_seconds": 0.5}, {"for": "pool thread", "waiting_now": 2, "longest_now_seconds": longest,
            "count": 9, "total_seconds": 1.0, "max_seconds": 0.5}],
            "pools": [{"name": "operators", "threads": 1, "busy": 1, "waiting": 2}],
            "connections": [{"pool": "writer", "max": 1, "in_use": 1, "idle": 0}]})
    };
    let threads = "all 1 threads of the pool operators were busy, and 2 waited for one";
    let connections = "all 1 connections of the pool writer were in use, and 1 waited for one";
    assert_eq!(
        one("waits.json", &report(0.002)),
        [
            (Gravity::Note, format!("{threads}, for 2 ms so far")),
            (Gravity::Note, format!("{connections}, for 2 ms so far")),
        ]
    );
    assert_eq!(
        one("waits.json", &report(0.5)),
        [problem(&format!("{threads}, the first for 0.5 s")), problem(&format!("{connections}, the first for 0.5 s"))]
    );
}

#[test]
fn lock_waits_name_both_statements() {
    let locks = json!([{"waiting_trx_id": "1", "waiting_thread": 7, "waiting_query": "UPDATE `hosts`\n SET x = ?",
        "waiting_seconds": 4.0, "blocking_trx_id": "2", "blocking_thread": 8, "blocking_query": "SELECT ? FOR UPDATE",
        "blocking_is_idle": true, "blocking_seconds": 9.0, "table": "muster.hosts", "lock_mode": "X"}]);
    assert_eq!(
        one("db-locks.json", &locks),
        [problem(
            "a statement has waited 4 s for a lock on muster.hosts: UPDATE `hosts` SET x = ? — held for 9 s by connection 8, which \
             is idle in an open transaction; its last statement: SELECT ? FOR UPDATE. To end it: KILL 8"
        )]
    );
    let processes =
        json!([{"id": 8, "user": "root", "host": "localhost:4711", "db": null, "command": "Sleep", "time": 75,
        "state": "", "info": null}])
        .to_string();
    let transaction =
        "---TRANSACTION 784, ACTIVE 75 sec\n2 lock struct(s), heap size 1128, 122 row lock(s)\nMySQL thread id 8, OS\n";
    let idle = found(&[("db-innodb-status.json", transaction.to_owned()), ("db-process-list.json", processes.clone())]);
    assert_eq!(
        idle,
        [problem(
            "connection 8 (root@localhost) has been idle for 1m15s in an open transaction and holds 122 row locks: whoever needs \
             these rows waits. To end it: KILL 8"
        )]
    );
    // Whoever is named with the statement that waits is not named twice.
    let both = found(&[
        ("db-locks.json", locks.to_string()),
        ("db-innodb-status.json", transaction.to_owned()),
        ("db-process-list.json", processes),
    ]);
    assert_eq!(both.len(), 1, "{both:?}");
    assert!(both[0].1.contains("by connection 8 (root@localhost), which is idle"), "{both:?}");
    let status = "History list length 250000\nLATEST DETECTED DEADLOCK";
    let found = found(&[("db-innodb-status.json", status.to_owned())]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn redis_that_evicts_or_cannot_write_is_a_problem() {
    let info = "# Server\r\nredis_version:7.2\r\ntcp_port:6379\r\nused_memory:95\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n\
                evicted_keys:12\r\nrdb_last_bgsave_status:err\r\n# Server\r\nredis_version:7.2\r\ntcp_port:6380\r\nused_memory:100\r\nmaxmemory:100\r\n";
    let found = found(&[("redis-info.txt", info.to_owned())]);
    let problems: Vec<_> =
        found.iter().filter(|(gravity, _)| *gravity == Gravity::Problem).map(|(_, text)| text).collect();
    assert!(problems[0].contains("at port 6379 has deleted 12 keys"), "{found:?}");
    assert!(problems[1].contains("cannot write its data to disk"), "{found:?}");
    assert_eq!(problems[2], "Redis at port 6380 has no memory left: 100 B of 100 B");
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn errors_are_told_by_their_number() {
    let group = |count: u64, level: &str, message: &str| {
        json!({"count": count, "first_seen": "a", "last_seen": "2026-08-01T12:00:00Z", "level": level, "target": "t",
               "chain": [{"message": message}, {"message": "why"}]})
    };
    let groups = json!([group(1, "WARN", "seldom"), group(9, "ERROR", "often")]);
    assert_eq!(
        one("errors.json", &groups),
        [
            problem("9 times, last at 2026-08-01T12:00:00Z: often: why"),
            warning("once, last at 2026-08-01T12:00:00Z: seldom: why"),
        ]
    );
}

#[test]
fn failures_of_one_cause_are_one_line() {
    let task = |name: &str| {
        json!({"name": name, "state": "idle", "since": "2026-08-01T12:00:00Z", "seconds": 3.0,
               "last_outcome": "the database is unavailable; try again", "waits_for": null, "waits_seconds": null})
    };
    let activity = json!({"node": "n", "at": "2026-08-01T12:00:00Z", "requests": [], "tasks": [task("a"), task("b")]});
    let cause = problem("2 tasks failed in their last run: the database is unavailable");
    assert_eq!(one("requests.json", &activity), [cause]);
}

#[test]
fn full_pools_with_waiters_are_a_problem_and_old_errors_are_not() {
    let waits = json!({"waits": [{"for": "database connection", "waiting_now": 2, "longest_now_seconds": 0.5, "count": 9,
        "total_seconds": 9.0, "max_seconds": 1.0}], "connections": [{"pool": "read", "max": 4, "in_use": 4, "idle": 0}]});
    let text = "all 4 connections of the pool read were in use, and 2 waited for one, the first for 0.5 s";
    assert_eq!(one("waits.json", &waits), [problem(text)]);

    let manifest = json!({"format": 1, "client_version": "0.1.0", "address": "https://x", "profile_seconds": 1, "interrupted": false,
        "started_at": "2026-08-01T12:03:10Z", "ended_at": "2026-08-01T12:03:12Z", "nodes": [], "failures": [], "entries": []});
    let group = |last: &str| json!({"count": 2, "first_seen": "a", "last_seen": last, "level": "ERROR", "target": "t", "chain": [{"message": "lost"}]});
    let errors = json!([group("2026-08-01T12:00:00Z"), group("2026-08-01T12:03:00Z")]);
    assert_eq!(
        found(&[("manifest.json", manifest.to_string()), ("errors.json", errors.to_string())]),
        [
            problem("2 times, last at 2026-08-01T12:03:00Z: lost"),
            (Gravity::Note, "2 times, last 3m10s before this archive: lost".to_owned()),
        ]
    );
}

#[test]
fn the_process_the_schema_and_the_nodes_are_looked_at() {
    let found = found(&[
        (
            "runtime.json",
            json!({"open_files": 900, "max_open_files": 1000, "uptime_seconds": 30.0,
            "memory": {"resident": 2_u64 << 30, "allocated": 1_u64 << 29}})
            .to_string(),
        ),
        ("migrations.json", json!({"status_code": 1, "missing_table": [7]}).to_string()),
        ("nodes.json", json!({"nodes": [{"id": "a", "version": "1"}, {"id": "b", "version": "2"}]}).to_string()),
        (
            "metrics.txt",
            "muster_limit_hits_total{limit=\"body\"} 3\nmuster_redis_up 0\nmuster_limit_hits_total{limit=\"x\"} 0\n"
                .to_owned(),
        ),
        ("profile.prof", "no profile".to_owned()),
    ]);
    let has = |words: &str| found.iter().any(|(_, text)| text.contains(words));
    for words in [
        "900 of 1000 files",
        "started 30s before this archive",
        "allocator holds",
        "Missing migrations detected: tables=[7]",
        "different versions: 1, 2",
        "no node is the leader",
        "the limit body was reached 3 times",
        "Redis cannot be reached",
        "is not a profile",
    ] {
        assert!(has(words), "{words}: {found:?}");
    }
    assert!(!has("the limit x"), "{found:?}");
}

#[test]
fn what_cannot_be_read_is_said() {
    let found = one("requests.json", &json!("nothing"));
    assert!(found[0].1.starts_with("is not what a server of this version sends"), "{found:?}");
    assert_eq!(one("state.json", &json!({})), []);
}
