use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use agent_compat::{
    Flags,
    agent::AgentEndpoint,
    tables::{Context, Cost, OwnTable, Row, Tables},
};
use serde_json::Value;

use super::world::{START_S, World, flags, serving};

/// Answers each SQL text with the rows of the present run.
#[derive(Clone)]
struct Script {
    run: Arc<AtomicUsize>,
    runs: &'static [&'static [&'static str]],
}

impl Script {
    fn new(runs: &'static [&'static [&'static str]]) -> Self {
        Self { run: Arc::default(), runs }
    }
}

impl Tables for Script {
    fn query(&mut self, sql: &str, context: &Context<'_>) -> Result<Vec<Row>, String> {
        if sql == "own" {
            return Ok(context.own.rows(OwnTable::Schedule));
        }
        if let Some(decoration) = sql.strip_prefix("dec ") {
            return Ok(vec![vec![(decoration.to_owned(), context.now_ms.to_string())]]);
        }
        if sql == "fail" {
            return Err("no such table: x".to_owned());
        }
        let run = self.run.load(Ordering::Relaxed).min(self.runs.len() - 1);
        Ok(self.runs[run].iter().map(|value| vec![("v".to_owned(), (*value).to_owned())]).collect())
    }

    fn last_cost(&self) -> Cost {
        Cost { wall_ms: 20, user_ms: 10, system_ms: 0, memory_bytes: 4096 }
    }
}

fn world(version: &str, flags: Flags, config: &str, script: &Script) -> World {
    let mut world = World::with_tables(version, flags, Box::new(script.clone()), serving(config));
    world.pass(1);
    world
}

/// Runs a query once per scripted run and returns its result lines.
fn lines(version: &str, flags: Flags, config: &str, script: &Script) -> Vec<String> {
    let mut world = world(version, flags, config, script);
    world.forget();
    for run in 0..script.runs.len() {
        script.run.store(run, Ordering::Relaxed);
        world.agent.run_scheduled("q", (START_S + 10 + run as u64) * 1000);
    }
    world.pass(30);
    result_lines(&world)
}

fn result_lines(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for body in world.bodies(AgentEndpoint::Log) {
        let log: Value = serde_json::from_str(&body).unwrap();
        if log["log_type"] == "result" {
            lines.extend(log["data"].as_array().unwrap().iter().map(ToString::to_string));
        }
    }
    lines
}

const CONFIG: &str = r#"{"schedule":{"q":{"query":"select","interval":3000}}}"#;
const RUNS: &[&[&str]] = &[&["a", "b"], &["a", "b"], &["b", "c"], &[]];

#[test]
fn event_lines_report_differences_with_a_counter_per_logged_result() {
    let head = |second: u64, counter: u64| {
        format!(
            r#"{{"name":"q","hostIdentifier":"host-1","calendarTime":"Fri Nov 20 16:00:{second} 2026 UTC","unixTime":{},"epoch":0,"counter":{counter},"numerics":false"#,
            START_S + second
        )
    };
    let line = |second, counter, value: &str, action: &str| {
        format!(r#"{},"columns":{{"v":"{value}"}},"action":"{action}"}}"#, head(second, counter))
    };
    assert_eq!(
        lines("5.12.0", flags(), CONFIG, &Script::new(RUNS)),
        [
            line(10, 0, "a", "added"),
            line(10, 0, "b", "added"),
            line(12, 1, "a", "removed"),
            line(12, 1, "c", "added"),
            line(13, 2, "b", "removed"),
            line(13, 2, "c", "removed"),
        ]
    );
}

/// An agent whose schedule stands still checks in, and runs nothing until it goes on.
#[test]
fn a_schedule_that_stands_still_runs_nothing() {
    let often = r#"{"schedule":{"q":{"query":"select","interval":5}}}"#;
    let mut world = world("5.12.0", flags(), often, &Script::new(RUNS));
    world.agent.set_stands_still(true);
    let (runs, requests) = (world.agent.counters().scheduled_runs, world.agent.counters().requests());
    world.pass(600);
    assert_eq!(world.agent.counters().scheduled_runs, runs);
    assert!(world.agent.counters().requests() > requests);
    world.agent.set_stands_still(false);
    world.pass(60);
    assert!(world.agent.counters().scheduled_runs > runs);
}

fn counters(version: &str) -> Vec<u64> {
    let lines = lines(version, flags(), CONFIG, &Script::new(RUNS));
    lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["counter"].as_u64().unwrap()).collect()
}

#[test]
fn old_agents_count_every_run() {
    assert_eq!(counters("4.4.0"), [0, 0, 2, 2, 3, 3]);
    assert_eq!(counters("4.5.0"), [0, 0, 1, 1, 2, 2]);
    let old = lines("3.1.0", flags(), CONFIG, &Script::new(&[&["a"]]));
    assert!(old[0].contains(r#""unixTime":"1795190410","epoch":"0","counter":"0","columns""#), "{}", old[0]);
    let middle = lines("4.0.2", flags(), CONFIG, &Script::new(&[&["a"]]));
    assert!(middle[0].contains(r#""counter":0,"logNumericsAsNumbers":false,"#), "{}", middle[0]);
}

#[test]
fn batch_lines_hold_both_lists_and_an_empty_baseline() {
    let mut flags = flags();
    flags.logger_event_type = false;
    let lines = lines("5.12.0", flags, CONFIG, &Script::new(&[&[], &["a"], &["b"]]));
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(r#"{"diffResults":{"removed":[],"added":[]},"name":"q","hostIdentifier":"host-1""#));
    assert!(lines[0].contains(r#""counter":0"#));
    assert!(lines[2].starts_with(r#"{"diffResults":{"removed":[{"v":"a"}],"added":[{"v":"b"}]},"name""#));
    assert!(!lines[2].contains("action"));
}

#[test]
fn removed_rows_can_be_hidden_while_the_counter_goes_on() {
    let config = r#"{"schedule":{"q":{"query":"select","interval":3000,"removed":false}}}"#;
    let lines = lines("5.12.0", flags(), config, &Script::new(&[&["a"], &[], &["b"]]));
    assert_eq!(lines.len(), 2);
    assert!(lines[1].contains(r#""counter":2"#) && lines[1].contains("added"));
}

#[test]
fn snapshots_are_one_line_or_one_line_per_row() {
    let config = r#"{"schedule":{"q":{"query":"select","interval":3000,"snapshot":true}}}"#;
    let script = Script::new(&[&["a", "1"], &[]]);
    let batch = lines("5.12.0", flags(), config, &script);
    assert_eq!(batch.len(), 2);
    assert!(batch[0].starts_with(r#"{"snapshot":[{"v":"a"},{"v":"1"}],"action":"snapshot","name":"q","#));
    assert!(batch[1].starts_with(r#"{"snapshot":[],"action":"snapshot","name":"q","#));
    let mut flags = flags();
    flags.logger_snapshot_event_type = true;
    flags.logger_numerics = true;
    let events = lines("5.12.0", flags, config, &script);
    assert_eq!(events.len(), 2);
    assert!(events[1].ends_with(r#""numerics":true,"columns":{"v":1},"action":"snapshot"}"#), "{}", events[1]);
}

#[test]
fn decorations_are_an_object_or_top_level_members() {
    let config = r#"{"schedule":{"q":{"query":"select","interval":3000}},
        "decorators":{"load":["dec b"],"always":["dec a"]}}"#;
    let nested = lines("5.12.0", flags(), config, &Script::new(&[&["x"]]));
    let load = START_S * 1000;
    let always = (START_S + 10) * 1000;
    let expected = format!(r#""numerics":false,"decorations":{{"a":"{always}","b":"{load}"}},"columns""#);
    assert!(nested[0].contains(&expected), "{}", nested[0]);
    let mut flags = flags();
    flags.decorations_top_level = true;
    let flat = lines("5.12.0", flags, config, &Script::new(&[&["x"]]));
    assert!(flat[0].contains(&format!(r#""numerics":false,"a":"{always}","b":"{load}","columns""#)), "{}", flat[0]);
}

#[test]
fn queries_fire_at_multiples_of_their_interval() {
    let config = r#"{"options":{"schedule_splay_percent":200},"schedule":{}}"#;
    let mut world = World::with_tables("5.12.0", flags(), Box::new(Script::new(&[&["a"]])), serving(config));
    world.pass(7);
    world.set_server(serving(
        r#"{"options":{"schedule_splay_percent":200},"schedule":{"q":{"query":"own","interval":30,"snapshot":true}}}"#,
    ));
    world.pass(53);
    assert_eq!(world.agent.counters().scheduled_runs, 0, "the configuration arrives at second 60");
    world.pass(29);
    assert_eq!(world.agent.counters().scheduled_runs, 0);
    world.pass(1);
    assert_eq!(world.agent.counters().scheduled_runs, 1);
    assert_eq!(world.agent.next_tick_ms(), Some((START_S + 120) * 1000));
    world.pass(300);
    assert_eq!(world.agent.counters().scheduled_runs, 11);
}

#[test]
fn a_new_epoch_or_restart_and_statistics() {
    let config = |epoch: u64, sql: &str| {
        format!(
            r#"{{"options":{{"schedule_epoch":{epoch}}},"schedule":{{"q":{{"query":"{sql}","interval":3000}},"own":{{"query":"own","snapshot":true}}}}}}"#
        )
    };
    let script = Script::new(&[&["a"]]);
    let mut world = world("5.12.0", flags(), &config(0, "select"), &script);
    world.agent.run_scheduled("q", (START_S + 2) * 1000);
    world.agent.run_scheduled("q", (START_S + 3) * 1000);
    world.set_server(serving(&config(1, "select")));
    world.pass(60);
    world.agent.run_scheduled("q", world.now_ms);
    world.agent.run_scheduled("own", world.now_ms);
    world.pass(5);
    let lines = result_lines(&world);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains(r#""epoch":0,"counter":0"#) && lines[1].contains(r#""epoch":1,"counter":0"#));
    let own: Value = serde_json::from_str(&lines[2]).unwrap();
    let row = &own["snapshot"][1];
    assert_eq!((&row["name"], &row["executions"], &row["user_time"]), (&"q".into(), &"3".into(), &"30".into()));
    assert_eq!((&row["interval"], &row["wall_time_ms"]), (&"3000".into(), &"60".into()));

    // Other SQL clears the numbers but not the rows known.
    world.set_server(serving(&config(1, "select --2")));
    world.pass(60);
    world.forget();
    world.agent.run_scheduled("own", world.now_ms);
    world.agent.run_scheduled("q", world.now_ms);
    world.pass(5);
    let lines = result_lines(&world);
    assert_eq!(lines.len(), 1, "the same rows as before");
    let own: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(own["snapshot"][1]["executions"], "0");
}

#[test]
fn failing_queries_count_and_are_reported_as_status() {
    let mut world =
        world("5.12.0", flags(), r#"{"schedule":{"q":{"query":"fail","interval":3000}}}"#, &Script::new(&[&[]]));
    world.agent.run_scheduled("q", world.now_ms);
    world.pass(5);
    assert!(world.bodies(AgentEndpoint::Log).concat().contains("Error executing scheduled query q: no such table: x"));
    assert_eq!(world.agent.counters().scheduled_runs, 1);
}

#[test]
fn a_query_that_kills_the_process_is_denied_for_a_day() {
    let config = r#"{"schedule":{"q":{"query":"burn","interval":3000},"own":{"query":"own","snapshot":true}}}"#;
    let mut world = world("5.16.0", flags(), config, &Script::new(&[&["a"]]));
    world.agent.set_killer(Some(Arc::new(|sql: &str| sql == "burn")));
    assert!(!world.agent.run_scheduled("q", world.now_ms));
    world.pass(5);
    assert_eq!(world.agent.counters().restarts, 1);
    let status = world.bodies(AgentEndpoint::Log).concat();
    assert!(status.contains("Scheduled query may have failed: q"), "{status}");
    assert!(world.agent.run_scheduled("q", world.now_ms), "refused, so nothing dies");
    world.forget();
    world.agent.run_scheduled("own", world.now_ms);
    world.pass(5);
    let own: Value = serde_json::from_str(&result_lines(&world)[0]).unwrap();
    assert_eq!((&own["snapshot"][1]["denylisted"], &own["snapshot"][1]["executions"]), (&"1".into(), &"0".into()));
    world.agent.set_killer(None);
    world.now_ms += 86_401_000;
    world.agent.run_scheduled("q", world.now_ms);
    assert_eq!(world.agent.counters().scheduled_runs, 2);
}

#[test]
fn removed_queries_keep_their_rows_for_a_while() {
    let script = Script::new(&[&["a"]]);
    let mut world = world("5.12.0", flags(), CONFIG, &script);
    world.agent.run_scheduled("q", world.now_ms);
    world.set_server(serving("{}"));
    world.pass(61);
    world.set_server(serving(CONFIG));
    world.pass(60);
    world.forget();
    world.agent.run_scheduled("q", world.now_ms);
    world.pass(5);
    assert!(result_lines(&world).is_empty(), "the old rows are still known");
}

#[test]
fn start_up_priority_runs_once_at_start() {
    let config = r#"{"schedule":{"q":{"query":"select","interval":604800,"startup_priority":1}}}"#;
    for (version, runs) in [("5.17.0", 1), ("5.16.0", 0)] {
        let mut world = World::with_tables(version, flags(), Box::new(Script::new(&[&["a"]])), serving(config));
        world.pass(20);
        assert_eq!(world.agent.counters().scheduled_runs, runs, "{version}");
    }
}
