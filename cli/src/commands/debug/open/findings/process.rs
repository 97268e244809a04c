//! The process of a node, its errors, its metrics, the migrations and the other nodes.

use chrono::{DateTime, Utc};

use super::thresholds::{
    BUSY_PROCESSORS, CERTIFICATE_DAYS, JUST_STARTED, MUCH_MEMORY, NEAR_BOUND, OLD_ERROR, TOLD, UNUSED_MEMORY,
};
use super::{NodeEntries, metric, short};
use crate::commands::costs;
use crate::commands::debug::facts::{DebugNodes, ErrorGroup, MigrationState, NodeRuntime};
use crate::commands::debug::migrations;
use crate::commands::debug::open::pprof;
use crate::commands::query::shown_seconds;

const RUNTIME: &str = "runtime.json";
const ERRORS: &str = "errors.json";
const METRICS: &str = "metrics.txt";
const MIGRATIONS: &str = "migrations.json";
const NODES: &str = "nodes.json";
const PROFILE: &str = "profile.prof";

const SECONDS_OF_DAY: f64 = 86_400.0;

pub fn find(entries: &mut NodeEntries<'_>) {
    let runtime = entries.json::<NodeRuntime>(RUNTIME);
    if let Some(runtime) = &runtime {
        process(entries, runtime);
    }
    processors(entries, runtime.map_or(0, |runtime| runtime.cpus));
    errors(entries);
    metrics(entries);
    schema(entries);
    nodes(entries);
}

fn process(entries: &mut NodeEntries<'_>, runtime: &NodeRuntime) {
    if runtime.uptime_seconds > 0.0 && runtime.uptime_seconds < JUST_STARTED {
        let text = format!(
            "the node started {} before this archive: was it restarted, or did it crash?",
            shown_seconds(runtime.uptime_seconds as i64)
        );
        entries.note(RUNTIME, text);
    }
    let (open, most) = (runtime.open_files, runtime.max_open_files);
    if most > 0 && open as f64 >= most as f64 * NEAR_BOUND {
        let text = format!("the node has {open} of {most} files and connections open; raise the limit (LimitNOFILE)");
        entries.problem(RUNTIME, text);
    }
    let memory = &runtime.memory;
    let unused = memory.resident.saturating_sub(memory.allocated);
    if memory.allocated > 0 && unused >= MUCH_MEMORY && unused as f64 >= memory.allocated as f64 * UNUSED_MEMORY {
        let (resident, allocated) = (size(memory.resident), size(memory.allocated));
        entries.warning(RUNTIME, format!("the allocator holds {resident}, of which {allocated} are in use"));
    }
}

fn processors(entries: &mut NodeEntries<'_>, cpus: usize) {
    let Some(bytes) = entries.bytes(PROFILE) else { return };
    match pprof::top(bytes) {
        Err(error) => entries.note(PROFILE, error),
        Ok(top) => {
            let busy =
                if top.unit == "nanoseconds" && top.seconds > 0.0 { top.total as f64 / 1e9 / top.seconds } else { 0.0 };
            if cpus > 0 && busy >= cpus as f64 * BUSY_PROCESSORS {
                let hottest = top.by_self.first().map(|function| short(&function.function)).unwrap_or_default();
                let text = format!("the node used {busy:.1} of {cpus} processors, most of it in {hottest}");
                entries.problem(PROFILE, text);
            }
        }
    }
}

fn errors(entries: &mut NodeEntries<'_>) {
    let Some(mut groups) = entries.json::<Vec<ErrorGroup>>(ERRORS) else { return };
    let collected_at = entries.started_at();
    let age = |group: &ErrorGroup| {
        let last = DateTime::parse_from_rfc3339(&group.last_seen).ok()?.with_timezone(&Utc);
        Some((collected_at? - last).num_seconds()).filter(|seconds| *seconds > OLD_ERROR)
    };
    groups.sort_by_key(|group| (age(group).is_some(), std::cmp::Reverse(group.count)));
    for group in groups.iter().take(TOLD) {
        let chain: Vec<_> = group.chain.iter().map(|link| short(&link.message)).collect();
        let times = if group.count == 1 { "once".to_owned() } else { format!("{} times", group.count) };
        let old = age(group);
        let last = match old {
            Some(seconds) => format!(", last {} before this archive", shown_seconds(seconds)),
            None if group.last_seen.is_empty() => String::new(),
            None => format!(", last at {}", group.last_seen),
        };
        let text = format!("{times}{last}: {}", chain.join(": "));
        if old.is_some() {
            entries.note(ERRORS, text);
        } else if group.level.eq_ignore_ascii_case("error") {
            entries.problem(ERRORS, text);
        } else {
            entries.warning(ERRORS, text);
        }
    }
    if groups.len() > TOLD {
        entries.note(ERRORS, format!("{} more kinds of errors were logged", groups.len() - TOLD));
    }
}

fn metrics(entries: &mut NodeEntries<'_>) {
    let Some(text) = entries.text(METRICS) else { return };
    for (labels, hits) in metric(&text, "muster_limit_hits_total").into_iter().filter(|(_, hits)| *hits > 0.0) {
        entries.warning(METRICS, format!("the limit {} was reached {hits} times since the start", value_of(labels)));
    }
    for (labels, refused) in metric(&text, "muster_log_refusals_total").into_iter().filter(|(_, count)| *count > 0.0) {
        let text = format!("{refused} batches of log lines were refused ({labels}); agents send them again");
        entries.warning(METRICS, text);
    }
    if metric(&text, "muster_redis_up").iter().any(|(_, up)| *up == 0.0) {
        entries.problem(METRICS, "Redis cannot be reached".to_owned());
    }
    let ends = metric(&text, "muster_certificate_expiry_timestamp_seconds").first().map(|(_, ends)| *ends);
    if let Some(ends) = ends.filter(|ends| *ends > 0.0) {
        let days = (ends - crate::commands::debug::now().timestamp() as f64) / SECONDS_OF_DAY;
        if days < CERTIFICATE_DAYS {
            entries.problem(METRICS, format!("the certificate of the server ends in {days:.0} days"));
        }
    }
}

/// The value of the first label.
fn value_of(labels: &str) -> &str {
    labels.split('"').nth(1).unwrap_or(labels)
}

fn schema(entries: &mut NodeEntries<'_>) {
    let Some(state) = entries.json::<MigrationState>(MIGRATIONS) else { return };
    if state.status_code != MigrationState::ALL {
        let text = migrations::in_words(&state).replace('\n', " ");
        if state.status_code == MigrationState::UNKNOWN {
            entries.warning(MIGRATIONS, text);
        } else {
            entries.problem(MIGRATIONS, text);
        }
    }
}

fn nodes(entries: &mut NodeEntries<'_>) {
    let Some(list) = entries.json::<DebugNodes>(NODES) else { return };
    let mut versions: Vec<_> = list.nodes.iter().filter_map(|node| node.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        entries.note(NODES, format!("the nodes have different versions: {}", versions.join(", ")));
    }
    if !list.nodes.is_empty() && !list.nodes.iter().any(|node| node.is_leader) {
        entries.problem(NODES, "no node is the leader: periodic tasks do not run".to_owned());
    }
}

fn size(bytes: u64) -> String {
    costs::bytes(bytes as f64)
}
