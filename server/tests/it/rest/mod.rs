//! The REST API.

mod apply;
mod apply_faults;
mod apply_problems;
mod client_requests;
mod clients;
mod doubts;
mod errors;
mod fleet_files;
mod host_delete;
mod host_expiry;
mod host_filters;
pub mod hosts;
mod lists;
pub mod operations;
mod plan;
mod plans;
mod predicted;
mod races;
mod report;
mod roles;
mod schedules;
mod schemas;
mod sessions;
mod setup;
mod specs;
mod statements;

/// One of everything, as it would stand in a file.
pub const DOCUMENTS: &str = r#"
apiVersion: v1
kind: query
spec:
  name: uptime
  description: How long machines have been up
  query: SELECT * FROM uptime
---
apiVersion: v1
kind: query
spec:
  name: ports
  query: SELECT * FROM listening_ports
  observer_can_run: true
---
apiVersion: v1
kind: label
spec:
  name: web servers
  description: Those that face the world
  label_membership_type: manual
  hosts: []
---
apiVersion: v1
kind: label
spec:
  name: has docker
  query: SELECT 1 FROM apps
---
apiVersion: v1
kind: pack
spec:
  name: base
  description: For everybody
  discovery:
    - SELECT 1 FROM os_version
  targets:
    labels: [web servers, All Hosts]
  queries:
    - query: uptime
      interval: 3600
      snapshot: true
    - query: ports
      name: open ports
      description: Twice a day
      interval: 43200
      removed: false
      platform: linux
      version: 5.0.0
      shard: 50
      denylist: false
---
apiVersion: v1
kind: config
spec:
  org_info:
    org_name: Documents
  agent_options:
    config:
      options:
        distributed_interval: 30
    overrides:
      platforms:
        darwin:
          options:
            distributed_interval: 60
---
apiVersion: v1
kind: enroll_secret
spec:
  secrets:
    - secret: one
    - secret: two
"#;
