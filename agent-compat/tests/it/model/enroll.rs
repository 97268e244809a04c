use std::{cell::Cell, rc::Rc};

use agent_compat::agent::{AgentEndpoint, Next, Outcome, Thread};
use serde_json::Value;

use super::world::{World, answer, flags, serving};

#[test]
fn the_first_requests_are_enroll_then_config_then_the_others() {
    let mut world = World::new("5.23.1", flags(), serving("{}"));
    world.pass(1);
    let endpoints: Vec<_> = world.sent.borrow().iter().map(|(_, request)| request.endpoint).collect();
    assert_eq!(endpoints[..3], [AgentEndpoint::Enroll, AgentEndpoint::Config, AgentEndpoint::DistributedRead]);
    let sent = world.sent.borrow();
    let enroll: Value = serde_json::from_slice(&sent[0].1.body).unwrap();
    assert_eq!(enroll["enroll_secret"], "s3");
    assert_eq!(enroll["platform_type"], "9");
    assert_eq!(enroll["host_details"]["osquery_info"]["version"], "5.23.1");
    assert!(enroll["host_details"]["os_version"]["name"].is_string());
    let members: Vec<_> = enroll.as_object().unwrap().keys().collect();
    assert_eq!(members, ["enroll_secret", "host_identifier", "platform_type", "host_details"]);
    assert!(!sent[0].1.headers.iter().any(|(name, _)| *name == "Authorization"));
    assert!(sent[1].1.headers.contains(&("Authorization", "NodeKey k1".to_owned())));
    assert_eq!(&sent[1].1.body[..], br#"{"node_key":"k1"}"#);
}

#[test]
fn older_agents_send_no_authorization_header() {
    let mut world = World::new("5.22.1", flags(), serving("{}"));
    world.pass(1);
    assert!(world.sent.borrow().iter().all(|(_, request)| request.headers.iter().all(|(n, _)| *n != "Authorization")));
}

#[test]
fn refused_enrollment_pauses_by_squares_and_the_request_goes_out_without_a_key() {
    let mut world = World::new("5.12.0", flags(), |_| answer(r#"{"node_invalid":true}"#));
    world.pass(505);
    assert_eq!(world.times(AgentEndpoint::Enroll), [0, 1, 5, 14, 30, 55, 91, 140, 204, 285, 385]);
    assert!(world.times(AgentEndpoint::Config).is_empty());
    world.pass(1);
    assert_eq!(world.times(AgentEndpoint::Config), [506]);
    assert_eq!(world.bodies(AgentEndpoint::Config), [r#"{"node_key":""}"#]);
}

#[test]
fn an_imported_key_needs_no_enrollment() {
    let mut world = World::new("5.12.0", flags(), serving("{}"));
    world.agent.import_key("old");
    world.pass(1);
    assert!(world.times(AgentEndpoint::Enroll).is_empty());
    assert_eq!(world.agent.export_key(), Some("old"));
}

#[test]
fn a_dropped_key_is_replaced_inside_the_attempts() {
    let enrolled = Rc::new(Cell::new(0));
    let count = Rc::clone(&enrolled);
    let mut world = World::new("5.12.0", flags(), move |request| match request.endpoint {
        AgentEndpoint::Enroll => {
            count.set(count.get() + 1);
            answer(&format!(r#"{{"node_key":"k{}"}}"#, count.get()))
        }
        AgentEndpoint::Config if count.get() == 1 => answer(r#"{"node_invalid":true}"#),
        _ => answer("{}"),
    });
    world.pass(2);
    assert_eq!(world.times(AgentEndpoint::Enroll), [0, 1]);
    assert_eq!(world.times(AgentEndpoint::Config), [0, 1]);
    assert_eq!(world.bodies(AgentEndpoint::Config), [r#"{"node_key":"k1"}"#, r#"{"node_key":"k2"}"#]);
    assert_eq!(world.agent.counters().endpoint(AgentEndpoint::Config).node_invalid, 1);
    assert_eq!(world.agent.counters().enrollments, 2);
}

#[test]
fn only_one_thread_enrolls_at_a_time() {
    let mut world = World::new("5.12.0", flags(), serving("{}"));
    world.pass(1);
    world.agent.import_key("");
    let now_ms = world.now_ms + 600_000;
    let Next::Send(first) = world.agent.next(Thread::Config, now_ms) else { panic!("config is due") };
    assert_eq!(first.endpoint, AgentEndpoint::Enroll);
    let Next::WaitUntil(again_ms) = world.agent.next(Thread::Distributed, now_ms) else { panic!("must wait") };
    assert_eq!(again_ms, now_ms + 100);
    world.agent.done(Thread::Config, answer(r#"{"node_key":"k2"}"#), now_ms);
    let Next::Send(read) = world.agent.next(Thread::Distributed, now_ms) else { panic!("has a key") };
    assert_eq!(read.endpoint, AgentEndpoint::DistributedRead);
}

#[test]
fn a_broken_connection_is_repeated_at_once_and_a_timeout_is_not() {
    let mut calls = 0;
    let mut world = World::new("5.12.0", flags(), move |request| match request.endpoint {
        AgentEndpoint::Config => {
            calls += 1;
            match calls {
                1 | 2 => Outcome::Broken("reset".to_owned()),
                3 => Outcome::Timeout,
                _ => answer("{}"),
            }
        }
        _ => serving("{}")(request),
    });
    world.pass(10);
    assert_eq!(world.times(AgentEndpoint::Config), [0, 0, 1, 5]);
    let sent = world.sent.borrow();
    let config: Vec<_> = sent.iter().filter(|(_, request)| request.endpoint == AgentEndpoint::Config).collect();
    assert_eq!(config[0].1.body, config[1].1.body);
    assert_eq!(config[0].1.deadline_ms, config[1].1.deadline_ms);
}
