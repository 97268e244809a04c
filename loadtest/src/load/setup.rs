//! The standard profile, which an operator would have applied before the fleet enrolls.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{rest::Rest, template::MARKERS};

/// The intervals in the agent options, in seconds.
pub(super) struct Intervals {
    pub distributed_s: u64,
    pub config_s: u64,
    pub log_s: u64,
}

/// Labels: name, platform, SQL. A host that is asked for a marker that is not its platform's was asked by mistake.
const LABELS: [(&str, &str, &str); 6] = [
    ("Load: much memory", "", "SELECT 1 FROM system_info WHERE physical_memory >= 17179869184"),
    ("Load: up for an hour", "", "SELECT 1 FROM uptime WHERE total_seconds > 3600"),
    ("Load: Debian family", "", "SELECT 1 FROM os_version WHERE platform_like LIKE '%debian%'"),
    ("Load: Ubuntu", "ubuntu", "SELECT 1 FROM os_version WHERE platform = 'ubuntu' AND 'marker_ubuntu' <> ''"),
    ("Load: macOS", "darwin", "SELECT 1 FROM os_version WHERE platform = 'darwin' AND 'marker_darwin' <> ''"),
    ("Load: Windows", "windows", "SELECT 1 FROM os_version WHERE platform = 'windows' AND 'marker_windows' <> ''"),
];

/// Queries of the two packs with their intervals in seconds; those of an hour give statistics something to list.
const QUERIES: [(&str, &str, u64, bool); 6] = [
    ("logins", "SELECT user, tty, host, time, pid FROM logged_in_users", 10, false),
    ("sockets", "SELECT pid, port, protocol, address FROM listening_ports", 10, false),
    ("processes", "SELECT pid, name, path, cmdline FROM processes", 30, false),
    ("usage", "SELECT resident_size, user_time, system_time FROM processes WHERE name = 'osqueryd'", 60, true),
    ("mounts", "SELECT device, path, type FROM mounts", 300, false),
    ("users", "SELECT uid, username, shell, directory FROM users", 3600, false),
];

/// Applies the standard profile, and gives the secret that agents enroll with.
pub(super) async fn apply(rest: &Rest, secret: Option<&str>, intervals: &Intervals) -> anyhow::Result<String> {
    let secret = enroll_secret(rest, secret).await?;
    let body = json!({ "documents": documents(intervals), "dry_run": false });
    rest.call("POST", "spec/apply", Some(&body)).await.context("cannot apply the standard profile")?;
    Ok(secret)
}

/// The given secret, known to the server afterwards; or one of the server's.
pub(super) async fn enroll_secret(rest: &Rest, secret: Option<&str>) -> anyhow::Result<String> {
    let known = rest.call("GET", "spec/enroll_secret", None).await?;
    let mut secrets: Vec<Value> = known.pointer("/spec/secrets").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value| value.get("secret").and_then(Value::as_str).map(str::to_owned);
    let mut texts = secrets.iter().filter_map(text);
    let wished = match secret {
        None => match texts.next() {
            Some(first) => return Ok(first),
            None => uuid::Uuid::new_v4().to_string(),
        },
        Some(wished) if texts.any(|known| known == wished) => return Ok(wished.to_owned()),
        Some(wished) => wished.to_owned(),
    };
    // The list is replaced as a whole: what is known stays.
    secrets.push(json!({ "secret": wished }));
    let body = json!({ "documents": [document("enroll_secret", json!({ "secrets": secrets }))], "dry_run": false });
    rest.call("POST", "spec/apply", Some(&body)).await.context("cannot set the enroll secret")?;
    Ok(wished)
}

fn document(kind: &str, spec: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": kind, "spec": spec })
}

fn documents(intervals: &Intervals) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, platform, sql) in LABELS {
        all.push(document("label", json!({ "name": name, "platform": platform, "query": sql })));
    }
    for (name, sql, ..) in QUERIES {
        all.push(document("query", json!({ "name": format!("load_{name}"), "query": sql })));
    }
    for (pack, label) in [("load_all", "All Hosts"), ("load_linux", "All Linux")] {
        let queries: Vec<Value> = QUERIES
            .iter()
            .map(|(name, _, interval, snapshot)| {
                let query = format!("load_{name}");
                json!({ "query": query, "name": format!("{pack}_{name}"), "interval": interval, "snapshot": snapshot })
            })
            .collect();
        all.push(document("pack", json!({ "name": pack, "targets": {"labels": [label]}, "queries": queries })));
    }
    for (marker, label) in MARKERS {
        all.push(document("query", json!({ "name": marker, "query": format!("SELECT '{marker}' AS marker") })));
        let queries = [json!({ "query": marker, "name": marker, "interval": 86_400, "snapshot": true })];
        let name = format!("load_{marker}");
        all.push(document("pack", json!({ "name": name, "targets": {"labels": [label]}, "queries": queries })));
    }
    let options = json!({
        "distributed_interval": intervals.distributed_s.max(1),
        "logger_tls_period": intervals.log_s.max(1),
        "config_tls_refresh": intervals.config_s.max(1),
        "pack_delimiter": "/",
    });
    let always = ["SELECT uuid AS host_uuid FROM system_info", "SELECT hostname FROM system_info"];
    let agent_options = json!({ "config": { "options": options, "decorators": { "load": always } } });
    all.push(document("config", json!({ "agent_options": agent_options })));
    all
}
