use std::sync::Arc;

use agent_compat::agent::{AgentEndpoint, Outcome, Request};
use serde_json::Value;

use super::world::{World, answer, flags, serving};

/// Answers the first read with this body.
fn first_read(body: &str) -> impl FnMut(&Request) -> Outcome + 'static {
    let mut body = Some(body.to_owned());
    let mut rest = serving("{}");
    move |request| match request.endpoint {
        AgentEndpoint::DistributedRead => body.take().map_or_else(|| answer("{}"), |body| answer(&body)),
        _ => rest(request),
    }
}

fn free(sql: &str) -> Result<Vec<Vec<(String, String)>>, String> {
    match sql {
        "none" => Ok(Vec::new()),
        "fail" => Err("no such table: x".to_owned()),
        sql => Ok(vec![vec![("b".to_owned(), sql.to_owned()), ("a".to_owned(), String::new())]]),
    }
}

fn written(version: &str, read: &str) -> Vec<String> {
    let mut world = World::with_tables(version, flags(), Box::new(free), first_read(read));
    world.pass(2);
    world.bodies(AgentEndpoint::DistributedWrite)
}

#[test]
fn one_write_has_all_results_in_id_order_with_select_order_columns() {
    let zero = r#"{"wall_time_ms":0,"user_time":0,"system_time":0,"memory":0}"#;
    assert_eq!(
        written("5.12.0", r#"{"queries":{"b":"fail","a":"one","c":"none"}}"#),
        [format!(
            r#"{{"queries":{{"a":[{{"b":"one","a":""}}],"b":[],"c":[]}},"statuses":{{"a":0,"b":1,"c":0}},"messages":{{"a":"","b":"no such table: x","c":""}},"stats":{{"a":{zero},"b":{zero},"c":{zero}}},"node_key":"k1"}}"#
        )]
    );
}

#[test]
fn older_releases_leave_members_out() {
    let read = r#"{"queries":{"a":"one","c":"none"}}"#;
    assert_eq!(
        written("5.7.0", read),
        [
            r#"{"queries":{"a":[{"b":"one","a":""}],"c":[]},"statuses":{"a":0,"c":0},"messages":{"a":"","c":""},"node_key":"k1"}"#
        ]
    );
    assert_eq!(
        written("4.3.0", read),
        [r#"{"queries":{"a":[{"b":"one","a":""}],"c":[]},"statuses":{"a":0,"c":0},"node_key":"k1"}"#]
    );
    assert_eq!(
        written("3.1.0", read),
        [r#"{"queries":{"a":[{"b":"one","a":""}],"c":""},"statuses":{"a":"0","c":"0"},"node_key":"k1"}"#]
    );
}

fn ids(version: &str, read: &str) -> Vec<String> {
    let writes = written(version, read);
    let Some(write) = writes.first() else {
        return Vec::new();
    };
    let write: Value = serde_json::from_str(write).unwrap();
    write["queries"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn discovery_decides_per_id_since_5_8() {
    let some = r#"{"queries":{"a":"1","b":"2","c":"3"},"discovery":{"a":"yes","b":"none","x":"yes"}}"#;
    assert_eq!(ids("5.8.0", some), ["a", "c"]);
    assert_eq!(ids("5.7.0", some), ["a"]);
    let none = r#"{"queries":{"a":"1","c":"3"},"discovery":{"a":"none"}}"#;
    assert_eq!(ids("5.8.0", none), ["c"]);
    assert_eq!(ids("5.7.0", none), ["a", "c"]);
    let sentinel = r#"{"queries":{"a":"1","z":"2"},"discovery":{"a":"none","z":"yes"}}"#;
    assert_eq!(ids("5.7.0", sentinel), ["z"]);
}

#[test]
fn a_bad_discovery_voids_the_read_and_a_bad_query_ends_it() {
    for discovery in [r#"{"a":"fail"}"#, r#"{"a":""}"#, r#"{"a":7}"#] {
        let read = format!(r#"{{"queries":{{"a":"1","b":"2"}},"discovery":{discovery}}}"#);
        assert!(ids("5.12.0", &read).is_empty(), "{discovery}");
    }
    assert_eq!(ids("5.12.0", r#"{"queries":{"a":"1","b":7,"c":"3"}}"#), ["a"]);
    assert!(ids("5.12.0", r#"{"queries":null}"#).is_empty());
    assert!(ids("5.12.0", r#"{"queries":{"a":"1"},"error":""}"#).is_empty());
}

#[test]
fn refused_results_go_out_again_with_the_next_ones() {
    let mut reads = 0;
    let mut refuse = true;
    let mut rest = serving("{}");
    let mut world = World::with_tables("5.12.0", flags(), Box::new(free), move |request| match request.endpoint {
        AgentEndpoint::DistributedRead => {
            reads += 1;
            let id = if reads == 1 { "y" } else { "b" };
            if reads < 3 { answer(&format!(r#"{{"queries":{{"{id}":"1"}}}}"#)) } else { answer("{}") }
        }
        AgentEndpoint::DistributedWrite if reads == 1 && refuse => {
            refuse = true;
            answer("<busy>")
        }
        _ => rest(request),
    });
    world.pass(70);
    assert_eq!(world.times(AgentEndpoint::DistributedWrite), [0, 1, 5, 65]);
    let last: Value = serde_json::from_str(world.bodies(AgentEndpoint::DistributedWrite).last().unwrap()).unwrap();
    let ids: Vec<_> = last["queries"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(ids, ["y", "b"]);
    assert!(world.agent.unsent_live_results().is_empty());
}

#[test]
fn results_survive_a_dropped_key() {
    let mut writes = 0;
    let mut read = first_read(r#"{"queries":{"a":"1"}}"#);
    let mut world = World::with_tables("5.12.0", flags(), Box::new(free), move |request| match request.endpoint {
        AgentEndpoint::DistributedWrite => {
            writes += 1;
            if writes == 1 { answer(r#"{"node_invalid":true}"#) } else { answer("{}") }
        }
        AgentEndpoint::Enroll if writes == 1 => answer(r#"{"node_key":"k2"}"#),
        _ => read(request),
    });
    world.pass(3);
    assert_eq!(world.times(AgentEndpoint::DistributedWrite), [0, 1]);
    let bodies = world.bodies(AgentEndpoint::DistributedWrite);
    assert_eq!(bodies[1], bodies[0].replace("k1", "k2"));
}

#[test]
fn acceleration_polls_every_five_seconds_until_it_ends() {
    let mut world = World::with_tables("5.12.0", flags(), Box::new(free), first_read(r#"{"accelerate":12}"#));
    world.pass(80);
    assert_eq!(world.times(AgentEndpoint::DistributedRead), [0, 5, 10, 15, 75]);
    for (version, value, fast) in [("5.12.0", "\"12\"", false), ("3.2.0", "\"12\"", true), ("3.2.0", "12", false)] {
        let read = format!(r#"{{"accelerate":{value}}}"#);
        let mut world = World::with_tables(version, flags(), Box::new(free), first_read(&read));
        world.pass(6);
        assert_eq!(world.times(AgentEndpoint::DistributedRead).len() == 2, fast, "{version} {value}");
    }
}

#[test]
fn a_query_that_kills_the_process_is_lost_and_later_refused() {
    let mut reads = 0;
    let mut rest = serving("{}");
    let mut world = World::with_tables("5.12.0", flags(), Box::new(free), move |request| match request.endpoint {
        AgentEndpoint::DistributedRead => {
            reads += 1;
            match reads {
                1 => answer(r#"{"queries":{"a":"1","burn":"burn","z":"2"}}"#),
                2 => answer("{}"),
                3 => answer(r#"{"queries":{"again":"burn","other":"burn --x"}}"#),
                _ => answer("{}"),
            }
        }
        _ => rest(request),
    });
    world.agent.set_killer(Some(Arc::new(|sql: &str| sql == "burn")));
    world.pass(2);
    assert_eq!(world.agent.counters().restarts, 1);
    assert_eq!(world.times(AgentEndpoint::Config), [0, 0], "the new process fetches its configuration");
    let ids = |body: &str| {
        let write: Value = serde_json::from_str(body).unwrap();
        write["queries"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let bodies = world.bodies(AgentEndpoint::DistributedWrite);
    assert_eq!(bodies.len(), 1);
    assert_eq!(ids(&bodies[0]), ["z"], "not yet started queries survive, finished ones do not");
    world.pass(62);
    let last: Value = serde_json::from_str(world.bodies(AgentEndpoint::DistributedWrite).last().unwrap()).unwrap();
    assert_eq!(last["messages"]["again"], "distributed query is denylisted");
    assert_eq!((&last["statuses"]["again"], &last["stats"]["again"]), (&Value::from(1), &serde_json::json!({})));
    assert_eq!(last["statuses"]["other"], 0);
    assert_eq!(world.agent.counters().restarts, 1);
}

#[test]
fn writes_wait_until_the_queries_have_run() {
    struct Slow;
    impl agent_compat::Tables for Slow {
        fn query(
            &mut self,
            _: &str,
            _: &agent_compat::tables::Context<'_>,
        ) -> Result<Vec<agent_compat::tables::Row>, String> {
            Ok(Vec::new())
        }
        fn last_cost(&self) -> agent_compat::tables::Cost {
            agent_compat::tables::Cost { wall_ms: 4000, ..Default::default() }
        }
    }
    let read = first_read(r#"{"queries":{"a":"1","b":"2"}}"#);
    let mut world = World::with_tables("5.12.0", flags(), Box::new(Slow), read);
    world.pass(70);
    assert_eq!(world.times(AgentEndpoint::DistributedWrite), [8]);
    assert_eq!(world.times(AgentEndpoint::DistributedRead), [0, 68]);
}

#[test]
fn a_discovery_query_that_kills_the_process_leaves_nothing_behind() {
    let reads = r#"{"queries":{"a":"1"},"discovery":{"a":"deadly"}}"#;
    let mut world = World::with_tables("5.12.0", flags(), Box::new(free), first_read(reads));
    world.agent.set_killer(Some(Arc::new(|sql: &str| sql == "deadly")));
    world.pass(70);
    assert_eq!(world.agent.counters().restarts, 1);
    assert_eq!(world.agent.pending_live_queries(), 0);
    assert!(world.bodies(AgentEndpoint::DistributedWrite).is_empty());
    assert!(world.times(AgentEndpoint::DistributedRead).len() > 1, "the new process asks again");
}
