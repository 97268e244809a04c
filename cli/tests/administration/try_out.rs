use serde_json::Value;

use crate::administration::{SCHEDULE, enrolled};
use crate::console::Console;
use crate::living;

const GOOD: &str = "kind: query\nspec: {name: two, query: SELECT 1 AS x UNION SELECT 2}\n";

const MIXED: &str = "\
kind: query
spec: {name: two, query: SELECT 1 AS x UNION SELECT 2}
---
kind: query
spec: {name: nowhere, query: SELECT * FROM no_such_table}
---
kind: query
spec: {name: one, query: SELECT 1 AS one UNION SELECT 2}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_brings_is_tried_on_hosts_that_consent() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let _living = living(&console, 2);
    enrolled(&console, 2);
    console.fleetctl.write("good.yml", GOOD);
    console.fleetctl.write("mixed.yml", MIXED);

    let refused = console.bad(&["plan", "-f", "good.yml", "--try", "1"]);
    assert!(
        refused.stderr.contains("name the label of those that do with --try-label, or in the setting live.try_label"),
        "{refused:?}"
    );
    let empty = console.bad(&["plan", "-f", "good.yml", "--try", "1", "--try-label", "it's mine"]);
    assert!(
        empty.stdout.contains("| ! | two   | not tried |") && empty.stdout.contains("no hosts targeted"),
        "{empty:?}"
    );

    let on_all = ["--try", "1", "--try-label", "All Hosts"];
    let tried = console.good(&[&["plan", "-f", "good.yml"][..], &on_all].concat());
    assert!(tried.contains("apply it with") && tried.contains("| two   | "), "{tried}");
    let mixed = console.bad(&[&["plan", "-f", "mixed.yml", "--try-json"][..], &on_all].concat());
    let outcomes: Vec<Value> = mixed
        .stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let named: Vec<_> = outcomes.iter().map(|outcome| (&outcome["name"], &outcome["verdict"])).collect();
    assert_eq!(
        named,
        [(&"two".into(), &"good".into()), (&"nowhere".into(), &"failed".into())],
        "what is there is not tried: {mixed:?}"
    );
    let group = &outcomes[0]["groups"][0];
    assert_eq!((&group["hosts"], &group["answered"], &group["rows"]), (&1.into(), &1.into(), &2.into()), "{group}");
    assert!(group["cpu_ms"]["max"].is_u64() && group["memory_bytes"]["median"].is_u64(), "{group}");
    assert!(outcomes[1].to_string().contains("no_such_table"), "{mixed:?}");
    assert!(mixed.stderr.contains("1 of 2 queries and labels failed"), "{mixed:?}");
    assert!(!console.good(&["get", "queries", "--json"]).contains("two"), "nothing is applied");
    let listed = console.good(&["query", "list", "--all", "--json"]);
    assert_eq!(listed.matches("\"open\"").count(), 0, "{listed}");
}
