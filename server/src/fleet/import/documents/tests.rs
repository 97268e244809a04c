use super::*;
use crate::clock::Moment;
use crate::store::import_fleet::{FleetPack, FleetTarget, QueryLabel};

fn query(id: i64, name: &str) -> FleetQuery {
    FleetQuery {
        id,
        name: name.to_owned(),
        description: String::new(),
        query: "SELECT 1".to_owned(),
        observer_can_run: false,
        team_id: None,
        platform: String::new(),
        version: String::new(),
        interval: 0,
        is_logged: None,
        logging: String::new(),
        is_discarded: false,
    }
}

fn label(id: i64, name: &str, label_type: i64, membership_type: i64) -> FleetLabel {
    FleetLabel {
        id,
        name: name.to_owned(),
        description: String::new(),
        query: if membership_type == 0 { "SELECT 1".to_owned() } else { String::new() },
        platform: String::new(),
        label_type,
        membership_type,
        updated_at: Moment::NEVER,
    }
}

fn spec<'a>(made: &'a Converted, kind: &str, name: &str) -> &'a Value {
    let found = made.documents.iter().find(|doc| doc["kind"] == kind && doc["spec"]["name"] == name);
    &found.unwrap_or_else(|| panic!("no {kind} {name}: {:#?}", made.documents))["spec"]
}

#[test]
fn queries_with_a_schedule_of_their_own_are_the_global_schedule() {
    let scheduled = |id, name: &str, logging: &str| FleetQuery {
        interval: 60,
        is_logged: Some(true),
        logging: logging.to_owned(),
        ..query(id, name)
    };
    let unsent = FleetQuery { is_logged: Some(false), is_discarded: true, ..scheduled(4, "unsent", "snapshot") };
    let of_label =
        |query_id, label_id| QueryLabel { query_id, label_id: Some(label_id), is_excluded: false, is_required: false };
    let made = of_schedule(&FleetSchedule {
        labels: vec![label(7, "laptops", 0, 0), label(8, "iOS", 1, 0), label(1, "Mac OS X", 1, 0)],
        packs: vec![],
        targets: vec![],
        scheduled: vec![],
        queries: vec![
            scheduled(1, "a", "snapshot"),
            scheduled(2, "b", "differential"),
            scheduled(3, "c", "differential_ignore_removals"),
            unsent,
            scheduled(5, "e", ""),
            FleetQuery { team_id: Some(3), ..scheduled(6, "f", "") },
            scheduled(9, "g", ""),
            scheduled(10, "h", ""),
            scheduled(11, "i", ""),
        ],
        query_labels: vec![
            of_label(5, 7),
            QueryLabel { is_excluded: true, ..of_label(9, 7) },
            QueryLabel { is_required: true, ..of_label(10, 7) },
            QueryLabel { is_excluded: true, ..of_label(11, 99) },
        ],
    });
    let schedule = made.documents.iter().find(|doc| doc["kind"] == "global_schedule").unwrap();
    assert_eq!(
        schedule["spec"],
        json!({ "queries": [
            { "query": "a", "interval": 60, "platform": "", "version": "", "snapshot": true },
            { "query": "b", "interval": 60, "platform": "", "version": "" },
            { "query": "c", "interval": 60, "platform": "", "version": "", "removed": false },
        ] })
    );
    assert_eq!(spec(&made, "pack", "Global (laptops)")["targets"]["labels"], json!(["laptops"]));
    let left: Vec<&str> = made.left.iter().map(|left| left.what.as_str()).collect();
    assert_eq!(spec(&made, "pack", "Global (none of laptops)")["targets"]["labels_exclude_any"], json!(["laptops"]));
    assert_eq!(spec(&made, "pack", "Global (all of laptops)")["targets"]["labels_include_all"], json!(["laptops"]));
    assert_eq!(left, ["queries of teams", "schedule of query \"i\""]);
    assert_eq!(made.documents.iter().filter(|doc| doc["kind"] == "label").count(), 1, "built-in ones are here already");
}

#[test]
fn packs_keep_what_can_be_kept_of_their_targets() {
    let target = |target_type, target_id| FleetTarget { pack_id: 1, target_type, target_id };
    let pack = FleetPack {
        id: 1,
        name: "p".to_owned(),
        description: String::new(),
        platform: String::new(),
        disabled: true,
        pack_type: String::new(),
    };
    let entry = |name: &str| FleetScheduledQuery {
        pack_id: 1,
        query_id: None,
        query_name: "q".to_owned(),
        name: name.to_owned(),
        description: String::new(),
        interval: 5,
        snapshot: None,
        removed: Some(true),
        denylist: None,
        shard: Some(0),
        platform: "linux".to_owned(),
        version: String::new(),
    };
    let made = of_schedule(&FleetSchedule {
        labels: vec![
            label(1, "All Hosts", 1, 0),
            label(2, "hand", 0, 1),
            label(3, "vitals", 0, 2),
            label(4, "Fedora Linux", 1, 0),
        ],
        packs: vec![pack.clone(), FleetPack { id: 2, pack_type: "team-1".to_owned(), ..pack }],
        targets: vec![
            target(0, 1),
            target(0, 2),
            target(0, 3),
            target(0, 4),
            target(1, 10),
            target(1, 11),
            target(2, 5),
        ],
        scheduled: vec![entry("q"), entry("q again"), entry("q")],
        queries: vec![query(1, "q")],
        query_labels: vec![],
    });
    let pack = spec(&made, "pack", "p");
    assert_eq!(pack["targets"]["labels"], json!(["All Hosts", "Fedora Linux", "hand"]));
    assert_eq!(pack["disabled"], true);
    let base = json!({
        "query": "q", "interval": 5, "description": "", "platform": "linux", "version": "", "removed": true,
    });
    let mut named = base.clone();
    named["name"] = "q again".into();
    assert_eq!(pack["queries"], json!([base, named]));
    assert_eq!(spec(&made, "label", "hand")["label_membership_type"], "manual");
    assert_eq!(made.labels[&2], ("hand".to_owned(), true));
    let left: Vec<(&str, Option<i64>)> = made.left.iter().map(|left| (left.what.as_str(), left.number)).collect();
    assert_eq!(
        left,
        [
            ("label \"vitals\"", Some(1)),
            ("targets of pack \"p\" that are hosts", Some(2)),
            ("targets of pack \"p\" that are labels that do not come", Some(1)),
            ("targets of pack \"p\" that are teams", Some(1)),
            ("pack \"p\": another query under the name \"q\"", Some(1)),
            ("schedule \"p\" of a team", Some(1)),
        ]
    );
}
