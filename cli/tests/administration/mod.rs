//! Commands of those who look after a fleet.

mod api;
mod approve;
mod completion;
mod formats;
mod hosts;
mod run;
mod try_out;
mod users;

use std::time::{Duration, Instant};

use crate::console::Console;

/// A query that runs on every simulated host, one that never does, and the packs that schedule them.
const SCHEDULE: &str = "\
kind: query
spec: {name: one, query: SELECT 1 AS one UNION SELECT 2}
---
kind: query
spec: {name: broken, query: SELECT * FROM no_such_table}
---
kind: query
spec: {name: elsewhere, query: SELECT 3 AS three}
---
kind: label
spec: {name: \"it's mine\", label_membership_type: manual, hosts: []}
---
kind: pack
spec:
  name: base
  targets: {labels: [All Hosts]}
  queries:
  - {query: one, interval: 60}
  - {query: broken, interval: 60}
---
kind: pack
spec:
  name: again
  targets: {labels: [All Hosts]}
  queries:
  - {query: one, interval: 600}
---
kind: pack
spec:
  name: found nowhere
  targets: {labels: [All Hosts]}
  discovery: [SELECT 1 WHERE 1 = 2]
  queries:
  - {query: elsewhere, interval: 60}
---
kind: enroll_secret
spec:
  secrets:
  - secret: not-so-secret
";

/// The names of the hosts of a fleet, once there are so many.
fn enrolled(console: &Console, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let names: Vec<String> = console.good(&["get", "hosts", "-o", "name"]).lines().map(str::to_owned).collect();
        if names.len() == count {
            return names;
        }
        assert!(Instant::now() < deadline, "the hosts do not enroll: {names:?}");
        std::thread::yield_now();
    }
}
