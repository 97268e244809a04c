use muster_api::osquery::DistributedWrite;
use serde_json::{Value, json};

use super::*;

/// The sample in the only answer of a body.
fn sample(body: &[u8], platform: &str) -> Option<Sample> {
    let write = DistributedWrite::read(body).unwrap();
    let (_, result) = write.results.first().unwrap();
    Sample::of(result.rows, platform)
}

fn of_rows(rows: Value, platform: &str) -> Option<Sample> {
    let body = json!({ "node_key": "k", "queries": { "q": rows }, "statuses": { "q": 0 } });
    sample(body.to_string().as_bytes(), platform)
}

fn only(rows: Value, platform: &str) -> Counters {
    of_rows(rows, platform).unwrap().queries[0].counters
}

#[test]
fn everything_is_taken_from_an_agent_that_says_everything() {
    let rows = json!([{
        "sampled_at": "1795190117", "worker_started_at": "1795190105", "worker_pid": "31899",
        "agent_version": "5.23.0-38-ga5b14f63d", "uptime": "812", "delimiter": "/",
        "name": "pack/p/fine", "query": "select 1 as fine", "interval": "5", "executions": "2",
        "last_executed": "1795190115", "denylisted": "1", "output_size": "24", "wall_time": "1",
        "wall_time_ms": "1250", "last_wall_time_ms": "7", "user_time": "20", "last_user_time": "10",
        "system_time": "30", "last_system_time": "0", "average_memory": "1365", "last_memory": "4096",
    }]);
    let sample = of_rows(rows, "debian").unwrap();
    assert_eq!(sample.worker, WorkerId { start_time: 1_795_190_105, pid: 31_899 });
    assert_eq!((sample.unix_time, sample.uptime_secs, sample.delimiter.as_str()), (1_795_190_117, 812, "/"));
    assert_eq!(sample.version, AgentVersion::of("5.23.0"));
    let query = &sample.queries[0];
    assert_eq!((query.full_name.as_str(), query.sql_hash), ("pack/p/fine", Some(sql_hash("select 1 as fine"))));
    let expected = Counters {
        executions: 2,
        last_executed: 1_795_190_115,
        is_denylisted: true,
        user_ms: 20,
        system_ms: 30,
        wall_ms: 1250,
        output_bytes: 24,
        average_memory: 1365,
        last_memory: 4096,
    };
    assert_eq!(query.counters, expected);
}

#[test]
fn old_agents_count_in_units_of_their_own() {
    let row = json!([{
        "agent_version": "3.2.6", "name": "q", "query": "select 1", "executions": "3", "blacklisted": "1",
        "wall_time": "2", "user_time": "4", "system_time": "1",
    }]);
    let on_linux = only(row.clone(), "ubuntu");
    assert_eq!((on_linux.user_ms, on_linux.system_ms, on_linux.wall_ms), (40, 10, 2000));
    assert!(on_linux.is_denylisted);
    let on_windows = only(row, "windows");
    assert_eq!((on_windows.user_ms, on_windows.system_ms), (4000, 1000));
}

#[test]
fn a_schedule_without_queries_still_tells_of_the_worker() {
    let sample = of_rows(json!([{ "sampled_at": "9", "worker_pid": "7", "name": "", "query": "" }]), "ubuntu").unwrap();
    assert_eq!((sample.worker.pid, sample.queries.len(), sample.delimiter.as_str()), (7, 0, ""));
    assert_eq!(of_rows(json!([]), "ubuntu"), None);
}

#[test]
fn what_is_no_number_counts_as_zero_and_no_number_is_too_large() {
    let row = json!([{
        "name": "q", "query": "", "executions": "-4", "user_time": "1.9", "system_time": "many",
        "wall_time_ms": "18446744073709551615", "output_size": "1e300",
    }]);
    let counters = only(row, "ubuntu");
    assert_eq!((counters.executions, counters.user_ms, counters.system_ms), (0, 1, 0));
    assert_eq!((counters.wall_ms, counters.output_bytes), (MAX_NUMBER, MAX_NUMBER));
}
