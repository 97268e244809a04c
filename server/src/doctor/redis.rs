//! Redis: whether it answers, how fast, and whether it keeps what is put into it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Diagnosis, clock};
use crate::bus::{self, RedisFacts};
use crate::clock::Clock;
use crate::config::Config;

const SUBJECT: &str = "redis";

/// A command that takes longer makes live queries and log batches wait.
const SLOW: Duration = Duration::from_millis(5);

/// Slots of the keys of a cluster.
const SLOTS: u64 = 16_384;

/// The oldest Redis that has what the server asks for.
const OLDEST: u32 = 6;

pub(super) async fn check(config: &Config, clock: &Clock) -> Vec<Diagnosis> {
    if !config.redis.is_used() {
        let found = "not used, as for a single node";
        return vec![if config.mysql.is_on() {
            Diagnosis::ok(SUBJECT, format!("{found}; several nodes over one database need it"))
        } else {
            Diagnosis::ok(SUBJECT, found)
        }];
    }
    let remedy = "start it, or correct the settings redis (address, user, password, TLS)";
    let looked_at = match bus::examine_redis(&config.redis, clock).await {
        Ok(looked_at) => looked_at,
        Err(error) => return vec![Diagnosis::fail(SUBJECT, format!("Redis cannot be used: {error:#}"), remedy)],
    };
    let all_away = looked_at.iter().all(|(_, facts)| facts.is_err());
    let mut diagnoses = Vec::new();
    for (address, facts) in &looked_at {
        match facts {
            Ok(facts) => diagnoses.extend(of_one(config, address, facts)),
            Err(reason) if all_away => {
                diagnoses.push(Diagnosis::fail(SUBJECT, format!("{address} cannot be used: {reason}"), remedy));
            }
            Err(reason) => diagnoses.push(Diagnosis::warn(
                SUBJECT,
                format!("{address} cannot be used, but others answer: {reason}"),
                "start this node, or name others in redis.address",
            )),
        }
    }
    diagnoses
}

fn of_one(config: &Config, address: &str, facts: &RedisFacts) -> Vec<Diagnosis> {
    let latency = format!("a round trip takes {:.2} ms (median of 20)", facts.latency.as_secs_f64() * 1_000.0);
    let clock = clock::compared(&format!("Redis at {address}"), facts.ahead_micros, facts.latency);
    let info = match &facts.info {
        Ok(info) => info,
        Err(reason) => {
            let found = format!("{address} answers; {latency}; INFO is refused: {reason}");
            return vec![
                Diagnosis::warn(SUBJECT, found, "grant +info and +cluster|info, and run the doctor again"),
                clock,
            ];
        }
    };
    let version = info.get("redis_version").map_or("unknown", String::as_str);
    let found = format!("Redis {version} at {address} answers; {latency}");
    let is_old =
        version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < OLDEST);
    let mut diagnoses = vec![if is_old {
        Diagnosis::fail(SUBJECT, found, "update Redis to version 6 or later")
    } else if facts.latency > SLOW {
        Diagnosis::warn(SUBJECT, found, "put it nearer to the nodes, or find out what keeps it or the network busy")
    } else {
        Diagnosis::ok(SUBJECT, found)
    }];
    diagnoses.push(clock);
    diagnoses.push(memory(config, address, info));
    diagnoses.extend(keeping(address, info));
    diagnoses
}

/// Whether keys are thrown away, and how much room there is.
fn memory(config: &Config, address: &str, info: &BTreeMap<String, String>) -> Diagnosis {
    let number = |name: &str| info.get(name).and_then(|text| text.parse::<u64>().ok());
    let policy = info.get("maxmemory_policy").map_or("unknown", String::as_str);
    let (most, used) = (number("maxmemory").unwrap_or(0), number("used_memory").unwrap_or(0));
    let mib = |bytes: u64| bytes >> 20;
    if policy != "noeviction" {
        let found = format!("{address}: maxmemory-policy is {policy}");
        let remedy = "set it to noeviction: a Redis that throws keys away makes the server ask hosts twice";
        return if most > 0 {
            Diagnosis::fail(SUBJECT, found, remedy)
        } else {
            Diagnosis::warn(SUBJECT, format!("{found}, though without effect as long as maxmemory is 0"), remedy)
        };
    }
    // A third more than the results themselves is what they take in Redis.
    let results = config.live.max_all_results.0 as u64;
    let needed = results.saturating_add(results / 3);
    let said = format!("{address}: maxmemory-policy is noeviction, {} MiB of {} MiB are used", mib(used), mib(most));
    if most == 0 {
        let system =
            number("total_system_memory").map_or_else(String::new, |all| format!(" of the machine's {} MiB", mib(all)));
        return Diagnosis::ok(
            SUBJECT,
            format!(
                "{address}: maxmemory-policy is noeviction, maxmemory is not limited, {} MiB{system} are used",
                mib(used)
            ),
        );
    }
    if used.saturating_mul(10) > most.saturating_mul(9) {
        Diagnosis::fail(SUBJECT, said, "raise maxmemory: a full Redis refuses live queries and batches of log lines")
    } else if most < needed {
        Diagnosis::warn(
            SUBJECT,
            format!("{said}; the results of live queries may take {} MiB", mib(needed)),
            "raise maxmemory, or lower live.max_all_results",
        )
    } else {
        Diagnosis::ok(SUBJECT, said)
    }
}

/// Persistence, role and cluster.
fn keeping(address: &str, info: &BTreeMap<String, String>) -> Vec<Diagnosis> {
    let text = |name: &str| info.get(name).map(String::as_str);
    let mut diagnoses = Vec::new();
    if text("loading") == Some("1") {
        diagnoses.push(Diagnosis::warn(SUBJECT, format!("{address} is still reading its file"), "wait until it has"));
    }
    if text("rdb_last_bgsave_status").is_some_and(|status| status != "ok")
        || text("aof_last_write_status").is_some_and(|status| status != "ok")
    {
        diagnoses.push(Diagnosis::fail(
            SUBJECT,
            format!("{address} cannot write its file, and may refuse all changes for that"),
            "make room on its disk, or turn persistence off: the server needs none",
        ));
    } else {
        let log = if text("aof_enabled") == Some("1") { "on" } else { "off" };
        diagnoses.push(Diagnosis::ok(
            SUBJECT,
            format!("{address}: append-only file {log}; the server needs no persistence"),
        ));
    }
    let is_cluster = text("cluster_enabled") == Some("1");
    // Nodes of a cluster may be replicas.
    if !is_cluster && text("role").is_some_and(|role| role != "master") {
        diagnoses.push(Diagnosis::fail(
            SUBJECT,
            format!("{address} is a replica, which takes no changes"),
            "set redis.address to the master, or redis.sentinel_addresses",
        ));
    }
    if is_cluster {
        let slots = text("cluster_slots_ok").and_then(|slots| slots.parse::<u64>().ok()).unwrap_or(0);
        let state = text("cluster_state").unwrap_or("unknown");
        let found = format!("{address}: the state of the cluster is {state}, {slots} of {SLOTS} slots are served");
        diagnoses.push(if state == "ok" && slots == SLOTS {
            Diagnosis::ok(SUBJECT, found)
        } else {
            Diagnosis::fail(
                SUBJECT,
                found,
                "start the nodes that are away, or give their slots to others (redis-cli --cluster fix)",
            )
        });
    }
    diagnoses
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn info(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_redis_that_throws_keys_away_or_is_full_is_found() {
        let severity = |policy: &str, most: &str, used: &str| {
            let info = info(&[("maxmemory_policy", policy), ("maxmemory", most), ("used_memory", used)]);
            memory(&Config::default(), "redis:6379", &info).severity
        };
        assert_eq!(severity("allkeys-lru", "1000000", "1"), Severity::Fail);
        assert_eq!(severity("volatile-ttl", "0", "1"), Severity::Warn);
        assert_eq!(severity("noeviction", "0", "1"), Severity::Ok);
        assert_eq!(severity("noeviction", "8589934592", "1"), Severity::Ok);
        assert_eq!(severity("noeviction", "1073741824", "1"), Severity::Warn);
        assert_eq!(severity("noeviction", "8589934592", "8500000000"), Severity::Fail);
    }

    #[test]
    fn slots_that_nobody_serves_replicas_and_failed_writes_are_found() {
        let worst = |pairs: &[(&str, &str)]| super::super::worst(&keeping("redis:6379", &info(pairs)));
        assert_eq!(worst(&[("role", "master"), ("rdb_last_bgsave_status", "ok")]), Severity::Ok);
        assert_eq!(worst(&[("role", "slave")]), Severity::Fail);
        assert_eq!(worst(&[("rdb_last_bgsave_status", "err")]), Severity::Fail);
        let cluster = |state, slots| {
            worst(&[("cluster_enabled", "1"), ("role", "slave"), ("cluster_state", state), ("cluster_slots_ok", slots)])
        };
        assert_eq!(cluster("ok", "16384"), Severity::Ok);
        assert_eq!(cluster("ok", "10922"), Severity::Fail);
        assert_eq!(cluster("fail", "16384"), Severity::Fail);
    }
}
