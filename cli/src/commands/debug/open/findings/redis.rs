//! Redis: memory, evictions, what it could not write, and slow commands.

use std::collections::HashMap;

use super::thresholds::{NEAR_BOUND, SLOW_COMMAND, TOLD};
use super::{NodeEntries, short};
use crate::commands::costs;
use crate::commands::debug::facts::RedisSlowLog;

const INFO: &str = "redis-info.txt";
const SLOW_LOG: &str = "redis-slowlog.json";

pub fn find(entries: &mut NodeEntries<'_>) {
    if let Some(text) = entries.text(INFO) {
        let servers = servers(&text);
        let is_replica = |server: &HashMap<&str, &str>| server.get("role") == Some(&"slave");
        if servers.iter().all(is_replica) {
            entries.problem(INFO, "no Redis can be written to: each is a replica".to_owned());
        }
        for server in servers {
            info(entries, &server);
        }
    }
    slow_log(entries);
}

/// The keys of each server in an answer that may have several.
fn servers(text: &str) -> Vec<HashMap<&str, &str>> {
    let mut servers = vec![HashMap::new()];
    for (key, value) in text.lines().filter_map(|line| line.trim().split_once(':')) {
        if key == "redis_version" && servers.last().is_some_and(|server| server.contains_key(key)) {
            servers.push(HashMap::new());
        }
        if let Some(server) = servers.last_mut() {
            server.insert(key, value);
        }
    }
    servers
}

fn info(entries: &mut NodeEntries<'_>, server: &HashMap<&str, &str>) {
    let number = |key: &str| server.get(key).and_then(|value| value.parse::<u64>().ok());
    let name = match server.get("tcp_port") {
        Some(port) => format!("Redis at port {port}"),
        None => "Redis".to_owned(),
    };
    let policy = server.get("maxmemory_policy").copied().unwrap_or_default();
    if let (Some(used), Some(most)) = (number("used_memory"), number("maxmemory").filter(|most| *most > 0)) {
        let (is_full, shown) = (used >= most, format!("{} of {}", size(used), size(most)));
        if is_full {
            entries.problem(INFO, format!("{name} has no memory left: {shown}"));
        } else if used as f64 >= most as f64 * NEAR_BOUND {
            entries.warning(INFO, format!("{name} has nearly used its memory: {shown}"));
        }
        if !policy.is_empty() && policy != "noeviction" {
            let text =
                format!("{name} deletes keys when its memory is full (maxmemory_policy {policy}); set noeviction");
            entries.warning(INFO, text);
        }
    }
    if let Some(evicted) = number("evicted_keys").filter(|keys| *keys > 0) {
        entries.problem(
            INFO,
            format!("{name} has deleted {evicted} keys for want of memory: live queries may have lost data"),
        );
    }
    if let Some(refused) = number("rejected_connections").filter(|count| *count > 0) {
        entries.warning(INFO, format!("{name} has refused {refused} connections (maxclients)"));
    }
    if let (Some(clients), Some(most)) = (number("connected_clients"), number("maxclients").filter(|most| *most > 0))
        && clients as f64 >= most as f64 * NEAR_BOUND
    {
        entries.warning(INFO, format!("{name} has {clients} of {most} connections"));
    }
    for key in ["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"] {
        if let Some(status) = server.get(key).filter(|status| **status != "ok") {
            entries.problem(
                INFO,
                format!("{name} cannot write its data to disk ({key}: {}); is the disk full?", short(status)),
            );
        }
    }
    if server.get("role") == Some(&"slave")
        && let Some(status) = server.get("master_link_status").filter(|status| **status != "up")
    {
        let text = format!("{name} is a replica without a connection to its master ({})", short(status));
        entries.problem(INFO, text);
    }
}

fn slow_log(entries: &mut NodeEntries<'_>) {
    let Some(log) = entries.json::<RedisSlowLog>(SLOW_LOG) else { return };
    for node in &log.nodes {
        let mut slow: Vec<_> = node.commands.iter().filter(|command| command.microseconds >= SLOW_COMMAND).collect();
        slow.sort_by_key(|command| std::cmp::Reverse(command.microseconds));
        for command in slow.iter().take(TOLD) {
            let (name, millis, at) = (&command.command, command.microseconds / 1000, &node.node);
            let keys = command.keys;
            entries.warning(
                SLOW_LOG,
                format!("a {name} with {keys} keys took {millis} ms at {at}; others waited meanwhile"),
            );
        }
    }
}

fn size(bytes: u64) -> String {
    costs::bytes(bytes as f64)
}
