use proptest::prelude::*;
use serde_json::json;

use super::*;

fn days(count: i64) -> Moment {
    Moment(0).plus(DAY.saturating_mul(u32::try_from(count).unwrap()))
}

/// What hosts of a platform are served.
fn served(options: &Value, retired: &Retired, platform: &str) -> Map<String, Value> {
    let mut document = document_for(options, platform).cloned().unwrap_or_default();
    retired.of(platform).put_into(&mut document);
    document
}

#[test]
fn a_removed_flag_is_served_as_its_default_for_thirty_days() {
    let old = json!({"config": {"options": {"verbose": true, "host_identifier": "uuid"}, "views": {"v": "select 1"}}});
    let new = json!({"config": {}});
    let noon = days(100).plus(DAY / 2);
    let (retired, removed) = Retired::default().after(&old, &new, noon);
    let flag = |flag: &str, default| RemovedFlag { platform: None, flag: flag.to_owned(), default };
    assert_eq!(removed, [flag("verbose", Some(json!(false))), flag("host_identifier", None)]);
    let expected = json!({"options": {"verbose": false}, "views": {}});
    assert_eq!(Value::Object(served(&new, &retired, "")), expected);
    let (kept, outdated_at) = retired.clone().at(Moment(days(131).0 - 1));
    assert_eq!((&kept, outdated_at), (&retired, days(131)));
    let (gone, outdated_at) = retired.clone().at(days(131));
    assert_eq!((gone, outdated_at), (Retired::default(), Moment(i64::MAX)));
    let (again, _) = retired.after(&new, &old, days(101));
    assert_eq!(again, Retired::default());
}

#[test]
fn hosts_that_move_to_other_options_lose_what_only_the_old_ones_had() {
    let general = json!({"config": {"options": {"events_max": 5}}, "overrides": {"platforms": {}}});
    let apart = json!({
        "config": {"options": {"events_max": 5}},
        "overrides": {"platforms": {"ubuntu": {"options": {"verbose": true}}}},
    });
    let (moved, _) = Retired::default().after(&general, &apart, days(1));
    assert_eq!(served(&apart, &moved, "ubuntu")["options"], json!({"verbose": true, "events_max": 50_000}));
    assert_eq!(served(&apart, &moved, "rhel")["options"], json!({"events_max": 5}));
    let (back, _) = moved.after(&apart, &general, days(2));
    assert_eq!(served(&general, &back, "ubuntu")["options"], json!({"events_max": 5, "verbose": false}));
    assert_eq!(served(&general, &back, "rhel")["options"], json!({"events_max": 5}));
    let (same, _) = back.after(&general, &json!({"config": {"options": {"verbose": true}}}), days(3));
    assert!(!same.is_apart("ubuntu"), "all hosts remember the same now: {same:?}");
}

/// An agent that runs on and on: it keeps what it was once told.
#[derive(Default)]
struct Agent {
    flags: BTreeMap<String, Value>,
    parts: BTreeMap<String, Value>,
}

impl Agent {
    fn load(&mut self, config: &Map<String, Value>) {
        for (flag, value) in config.get("options").and_then(Value::as_object).into_iter().flatten() {
            self.flags.insert(flag.clone(), value.clone());
        }
        for part in PARTS {
            if let Some(value) = config.get(part) {
                self.parts.insert(part.to_owned(), value.clone());
            }
        }
    }

    /// Flags that are not what they are without a config, and parts that are not empty.
    fn effective(mut self) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
        self.flags.retain(|flag, value| default_of(flag).as_ref() != Some(value));
        self.parts.retain(|_, value| *value != json!({}));
        (self.flags, self.parts)
    }
}

const PLATFORMS: [&str; 3] = ["ubuntu", "darwin", "rhel"];

fn document() -> impl Strategy<Value = Value> {
    let flag = prop_oneof![
        Just(("verbose", json!(true))),
        Just(("verbose", json!(false))),
        (1..4_u32).prop_map(|n| ("events_max", json!(n))),
        Just(("pack_delimiter", json!("/"))),
        Just(("host_identifier", json!("uuid"))),
        Just(("nobody_knows", json!(1))),
    ];
    let views = prop::option::of(prop_oneof![Just(json!({})), Just(json!({"v": "select 1"}))]);
    (prop::collection::vec(flag, 0..4), views).prop_map(|(flags, views)| {
        let mut document = Map::new();
        document
            .insert("options".to_owned(), flags.into_iter().map(|(flag, value)| (flag.to_owned(), value)).collect());
        document.extend(views.map(|views| ("views".to_owned(), views)));
        document.into()
    })
}

fn agent_options() -> impl Strategy<Value = Value> {
    let overrides = prop::collection::btree_map(prop::sample::select(&PLATFORMS[..2]), document(), 0..3);
    (document(), overrides).prop_map(|(config, overrides)| {
        let platforms: Map<String, Value> =
            overrides.into_iter().map(|(platform, document)| (platform.to_owned(), document)).collect();
        json!({"config": config, "overrides": {"platforms": platforms}})
    })
}

proptest! {
    /// An agent that has been running for at most thirty days has the flags of one that has just been started, but
    /// for those its operator was warned of.
    #[test]
    fn a_running_agent_ends_where_a_new_one_starts(
        steps in prop::collection::vec((agent_options(), 0..12_i64, any::<bool>()), 1..12)
    ) {
        let mut old = json!({});
        let mut retired = Retired::default();
        let mut warned = BTreeSet::new();
        let total: i64 = steps.iter().map(|(_, days, _)| days).sum();
        let mut today = 0;
        let mut agents: [Agent; 3] = Default::default();
        let count = steps.len();
        for (step, (options, passed, is_online)) in steps.into_iter().enumerate() {
            today += passed;
            let (after, removed) = retired.clone().at(days(today)).0.after(&old, &options, days(today));
            warned.extend(removed.into_iter().filter(|removed| removed.default.is_none()).map(|removed| removed.flag));
            retired = serde_json::from_value(serde_json::to_value(&after).unwrap()).unwrap();
            prop_assert_eq!(&retired, &after);
            old = options;
            let has_started = total - today <= KEEP_DAYS;
            if has_started && (is_online || step + 1 == count) {
                for (agent, platform) in agents.iter_mut().zip(PLATFORMS) {
                    agent.load(&served(&old, &retired, platform));
                }
            }
        }
        for (agent, platform) in agents.into_iter().zip(PLATFORMS) {
            let mut fresh = Agent::default();
            fresh.load(&served(&old, &retired, platform));
            let ((mut flags, parts), (expected, expected_parts)) = (agent.effective(), fresh.effective());
            flags.retain(|flag, value| expected.get(flag) == Some(value) || !warned.contains(flag));
            prop_assert_eq!(&flags, &expected);
            prop_assert_eq!(parts, expected_parts);
        }
    }
}
