//! What is said of a host is what the model of an agent does.

use std::collections::BTreeSet;

use agent_compat::agent::{ExchangeStep, Outcome};
use agent_compat::{Agent, Flags, Identity, Platform, SqliteHost};
use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::fleet::schedule::{Edition, Retired};
use crate::store::packs::TargetLabels;

const PLATFORM_FILTERS: [&str; 8] = ["", "linux", "darwin,windows", "posix", "centos", "gentoo", "all", "windows"];
const VERSIONS: [&str; 5] = ["", "1.4.5", "5.12.2", "5.20.0", "99.0"];

fn limits() -> impl Strategy<Value = (String, String, Option<i64>)> {
    let shard = prop_oneof![3 => Just(None), 1 => (0..101_i64).prop_map(Some)];
    (prop::sample::select(&PLATFORM_FILTERS[..]), prop::sample::select(&VERSIONS[..]), shard)
        .prop_map(|(platform, version, shard)| (platform.to_owned(), version.to_owned(), shard))
}

fn queries() -> impl Strategy<Value = Vec<ScheduledQuery>> {
    prop::collection::vec(limits(), 0..4).prop_map(|all| {
        let query = |((platform, version, shard), number)| ScheduledQuery {
            name: format!("q{number}"),
            sql: "select 1".to_owned(),
            interval_secs: 60,
            snapshot: Some(true),
            removed: None,
            denylist: None,
            shard,
            platform,
            version,
        };
        all.into_iter().zip(0..).map(query).collect()
    })
}

fn packs() -> impl Strategy<Value = Vec<PlannedPack>> {
    let discovery = prop_oneof![Just(vec![]), Just(vec!["select 1".to_owned()])];
    let pack = (limits(), prop::bool::weighted(0.2), prop::bool::weighted(0.7), discovery, queries());
    prop::collection::vec(pack, 0..4).prop_map(|packs| {
        let pack = |(((platform, version, shard), is_disabled, is_target, discovery, queries), id)| PlannedPack {
            id,
            name: format!("p{id}"),
            platform,
            version,
            shard,
            discovery,
            is_disabled,
            targets: TargetLabels::any(vec![if is_target { 1 } else { 2 }]),
            queries,
        };
        packs.into_iter().zip(0..).map(pack).collect()
    })
}

/// A pack or query as it stands in the options.
fn written((platform, version, shard): (String, String, Option<i64>), more: Value) -> Value {
    let mut members: Map<String, Value> = more.as_object().cloned().unwrap_or_default();
    members.insert("platform".to_owned(), platform.into());
    members.insert("version".to_owned(), version.into());
    members.extend(shard.map(|shard| ("shard".to_owned(), shard.to_string().into())));
    members.into()
}

fn agent_options() -> impl Strategy<Value = Value> {
    let query = || limits().prop_map(|limits| written(limits, json!({"query": "select 1", "interval": "60"})));
    let queries = || prop::collection::btree_map("[a-c]", query(), 0..3);
    let pack = || (limits(), queries()).prop_map(|(limits, queries)| written(limits, json!({ "queries": queries })));
    let delimiter = prop::option::of(Just(json!({"pack_delimiter": "/"})));
    (queries(), prop::collection::btree_map("[x-z]", pack(), 0..3), pack(), delimiter).prop_map(
        |(schedule, packs, more, options)| {
            let mut packs = json!(packs);
            packs["*"] = json!({ "several": more });
            json!({"config": {"schedule": schedule, "packs": packs, "options": options.unwrap_or_else(|| json!({}))}})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn agents_run_what_is_said_of_them(
        packs in packs(),
        agent_options in agent_options(),
        index in 0..50_u32,
        platform in prop::sample::select(&[Platform::Linux, Platform::Darwin, Platform::Windows][..]),
    ) {
        let identity = Identity::simulated(1, index, platform);
        let os = identity.os.platform.clone();
        let assignment = Assignment { platform: os.as_str().into(), label_ids: Box::from([1]), ..Assignment::default() };
        let plan = Plan::of(Edition::default(), agent_options, Retired::default(), packs);
        let bytes = plan.assemble(&assignment).bytes;
        let config: Value = serde_json::from_slice(&bytes).unwrap();
        let facts = HostFacts {
            platform: facts::platform(&os),
            version: &identity.osquery_version,
            shard_hostname: &identity.hostname,
        };
        let explained = explain_plan(&plan, &assignment, &config, &facts);
        let hash = config_hash(&compact(&config));

        let mut agent = Agent::new(identity.clone(), Flags::default(), Box::new(SqliteHost::new()), 0);
        agent.absorb(ExchangeStep::Config, &Outcome::Answer(bytes), 0);
        let runs: BTreeSet<String> = agent.scheduled_names().into_iter().collect();
        let said: BTreeSet<String> =
            explained.iter().filter(|query| query.runs).map(|query| query.full_name.clone()).collect();
        prop_assert_eq!(said, runs);
        prop_assert_eq!(agent.config_hash(), hash);
        for query in explained.iter().filter(|query| !query.runs) {
            prop_assert!(!query.reason.starts_with("runs"), "{:?}", query);
        }
    }
}
