use agent_compat::agent::AgentEndpoint;
use sha1::{Digest, Sha1};

use super::world::{World, answer, flags, serving};

fn names(config: &str, version: &str) -> Vec<String> {
    let mut world = World::new(version, flags(), serving(config));
    world.pass(1);
    world.agent.scheduled_names()
}

#[test]
fn refreshes_are_regular_and_slower_after_a_failure() {
    let mut fails = false;
    let mut world = World::new("5.12.0", flags(), serving("{}"));
    world.pass(121);
    assert_eq!(world.times(AgentEndpoint::Config), [0, 60, 120]);
    world.forget();
    world.set_server(move |request| {
        if request.endpoint == AgentEndpoint::Config && !fails {
            fails = request.body.is_empty();
            return answer("<html>");
        }
        serving("{}")(request)
    });
    world.pass(490);
    assert_eq!(world.times(AgentEndpoint::Config), [180, 181, 185, 485, 486, 490]);
    world.forget();
    world.set_server(serving("{}"));
    world.pass(800);
    assert_eq!(world.times(AgentEndpoint::Config)[..3], [790, 850, 910]);
}

#[test]
fn a_refresh_of_zero_fetches_once() {
    let mut flags = flags();
    flags.config_refresh = 0;
    let mut world = World::new("5.12.0", flags, serving("{}"));
    world.pass(1000);
    assert_eq!(world.times(AgentEndpoint::Config), [0]);
}

#[test]
fn pack_queries_get_long_names_and_filters_apply_at_both_levels() {
    let config = r#"{"options":{"pack_delimiter":"/"},
        "schedule":{"up":{"query":"select 1","interval":60},
            "float":{"query":"select 1","interval":60.0},
            "win":{"query":"select 1","interval":60,"platform":"windows"},
            "new":{"query":"select 1","interval":60,"version":"9.0.0"}},
        "packs":{
            "base":{"queries":{"q":{"query":"select 1","interval":"60"},"w":{"query":"select 1","platform":"darwin"}}},
            "mac":{"platform":"darwin","queries":{"q":{"query":"select 1"}}},
            "never":{"discovery":["select 1 from users where uid=424242"],"queries":{"q":{"query":"select 1"}}},
            "wrong":{"discovery":["select 1 from no_such_table"],"queries":{"q":{"query":"select 1"}}},
            "found":{"discovery":["select 1 from users where uid=0"],"queries":{"q":{"query":"select 1"}}}}}"#;
    assert_eq!(names(config, "5.12.0"), ["up", "pack/base/q", "pack/found/q"]);
}

#[test]
fn empty_and_unusable_configurations_remove_the_schedule() {
    let good = r#"{"schedule":{"q":{"query":"select 1"}}}"#;
    let big = format!(r#"{{"x":"{}","schedule":{{"q":{{"query":"select 1"}}}}}}"#, "a".repeat(1_048_600));
    let deep = format!(r#"{{"x":{}1{},"schedule":{{"q":{{"query":"select 1"}}}}}}"#, "[".repeat(40), "]".repeat(40));
    for (bad, version, left) in [
        ("{}", "5.12.0", 0),
        ("", "5.12.0", 0),
        ("[]", "5.12.0", 0),
        (&deep, "5.12.0", 0),
        (&big, "5.12.0", 0),
        (&big, "5.23.0-38-gabc", 1),
        ("not json", "5.12.0", 1),
        (r#"{"error":null}"#, "5.12.0", 1),
    ] {
        let mut world = World::new(version, flags(), serving(good));
        world.pass(1);
        assert_eq!(world.agent.scheduled_names(), ["q"]);
        world.set_server(serving(bad));
        world.pass(60);
        assert_eq!(world.agent.scheduled_names().len(), left, "{} {version}", &bad[..bad.len().min(40)]);
    }
}

#[test]
fn the_same_bytes_are_applied_once_and_hashed_compactly() {
    let mut world = World::new("5.12.0", flags(), serving("{ \"schedule\" : {} }"));
    world.pass(200);
    assert_eq!(world.agent.counters().configs_applied, 1);
    let hex = |bytes: &[u8]| Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(world.agent.config_hash(), hex(hex(br#"{"schedule":{}}"#).as_bytes()));
}

#[test]
fn options_stay_until_the_process_ends() {
    let mut world = World::new("5.12.0", flags(), serving(r#"{"options":{"distributed_interval":7}}"#));
    world.pass(1);
    assert_eq!(world.agent.flags().distributed_interval, 7);
    world.set_server(serving("{}"));
    world.pass(60);
    assert_eq!(world.agent.flags().distributed_interval, 7);
    world.agent.restart(world.now_ms);
    assert_eq!(world.agent.flags().distributed_interval, 60);
    world.pass(1);
    assert_eq!(world.agent.counters().restarts, 1);
}

#[test]
fn live_queries_can_be_switched_off_by_the_first_configuration_only() {
    let mut world = World::new("5.12.0", flags(), serving(r#"{"options":{"disable_distributed":true}}"#));
    world.pass(10);
    world.set_server(serving(r#"{"options":{"disable_distributed":false}}"#));
    world.pass(200);
    assert!(world.times(AgentEndpoint::DistributedRead).is_empty());
}
