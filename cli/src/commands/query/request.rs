//! Turns flags into a request, and errors of the server into errors about flags.

use std::time::Duration;

use anyhow::bail;
use muster_api::rest::{FieldError, LiveTargets, NewLiveQuery};

use super::args::{AskArgs, TargetArgs};
use crate::rest::RestError;

/// The flag of each field of the request; longer paths first.
const FLAGS: [(&str, &str); 16] = [
    ("targets.exclude_hosts", "--exclude-hosts"),
    ("targets.exclude_labels", "--exclude-labels"),
    ("targets.platforms", "--platforms"),
    ("targets.labels", "--labels"),
    ("targets.hosts", "--hosts"),
    ("targets.all", "--all"),
    ("deadline_seconds", "--deadline"),
    ("max_hosts", "--max-hosts"),
    ("per_version", "--per-version"),
    ("discovery", "--discovery"),
    ("canaries", "--canaries"),
    ("host_cpu_ms", "--cpu-budget"),
    ("fleet_cpu_ms", "--fleet-cpu-budget"),
    ("percent", "--percent"),
    ("rate", "--rate"),
    ("query", "--query"),
];

/// Builds the request. Errors are worded as in Fleet.
pub fn request(args: &AskArgs) -> anyhow::Result<NewLiveQuery> {
    let TargetArgs { all, max_hosts, percent, .. } = args.targets;
    let targets = LiveTargets {
        host_ids: Vec::new(),
        all,
        hosts: names(&args.targets.hosts),
        labels: names(&args.targets.labels),
        platforms: names(&args.targets.platforms),
        exclude_hosts: names(&args.targets.exclude_hosts),
        exclude_labels: names(&args.targets.exclude_labels),
    };
    let is_listed = !(targets.hosts.is_empty() && targets.labels.is_empty() && targets.platforms.is_empty());
    if !all && !is_listed && args.targets.per_version.is_none() {
        bail!("No hosts or labels targeted. Please provide either --hosts or --labels, or --platforms, or --all.");
    }
    if all && is_listed {
        bail!("--all already targets every host; remove --hosts, --labels and --platforms");
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (query, query_name) = (given(&args.query), given(&args.query_name));
    match (&query, &query_name) {
        (Some(_), Some(_)) => bail!("--query and --query-name must not be provided together"),
        (None, None) => bail!("Query must be specified with --query or --query-name"),
        _ => {}
    }
    let deadline_seconds = args.deadline.map(|deadline| deadline.as_millis().div_ceil(1000) as u64);
    if deadline_seconds == Some(0) {
        bail!("--deadline must be longer than 0; omit it to use the server's default");
    }
    let discovery = given(&args.discovery);
    let milliseconds =
        |budget: Option<Duration>| budget.map(|budget| budget.as_millis().try_into().unwrap_or(u64::MAX));
    Ok(NewLiveQuery {
        query,
        query_name,
        discovery,
        targets,
        max_hosts,
        percent,
        per_version: args.targets.per_version,
        deadline_seconds,
        rate: args.rate,
        canaries: args.canaries,
        host_cpu_ms: milliseconds(args.cpu_budget),
        fleet_cpu_ms: milliseconds(args.fleet_cpu_budget),
    })
}

fn names(given: &[String]) -> Vec<String> {
    given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Rewrites an error of the server in terms of flags.
pub fn refusal(error: RestError, request: &NewLiveQuery) -> anyhow::Error {
    match (error, &request.query_name) {
        (RestError::NotFound(_), Some(name)) => anyhow::anyhow!("Query '{name}' not found"),
        (RestError::Invalid(errors), Some(name)) if errors.iter().any(is_unknown_query) => {
            anyhow::anyhow!("Query '{name}' not found")
        }
        (RestError::Invalid(errors), _) => {
            anyhow::anyhow!("{}", errors.iter().map(problem).collect::<Vec<_>>().join("\n"))
        }
        (error, _) => error.into(),
    }
}

/// Whether there is no query of the name. Other reasons, such as a rule of the table guard, are for people to read.
fn is_unknown_query(error: &FieldError) -> bool {
    error.name == "query_name" && error.reason.starts_with("there is no query")
}

fn problem(error: &FieldError) -> String {
    let flag = FLAGS.iter().find(|(path, _)| is_at(&error.name, path));
    match flag {
        Some((_, flag)) => format!("{flag}: {}", error.reason),
        None if matches!(error.name.as_str(), "" | "base" | "targets") => error.reason.clone(),
        None => format!("{}: {}", error.name, error.reason),
    }
}

/// Whether a path equals `start` or is below it.
fn is_at(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
