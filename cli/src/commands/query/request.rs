//! What is asked of the server, and how its refusal reads to somebody who typed flags.

use anyhow::bail;
use muster_api::rest::{FieldError, LiveTargets, NewLiveQuery};

use super::args::{AskArgs, TargetArgs};
use crate::rest::RestError;

/// Where a part of the request comes from on the command line; longer paths first.
const FLAGS: [(&str, &str); 11] = [
    ("targets.exclude_hosts", "--exclude-hosts"),
    ("targets.exclude_labels", "--exclude-labels"),
    ("targets.platforms", "--platforms"),
    ("targets.labels", "--labels"),
    ("targets.hosts", "--hosts"),
    ("targets.all", "--all"),
    ("deadline_seconds", "--deadline"),
    ("max_hosts", "--max-hosts"),
    ("discovery", "--discovery"),
    ("percent", "--percent"),
    ("query", "--query"),
];

/// Makes a request of flags; mistakes are told in the words that Fleet's users know.
pub fn request(args: &AskArgs) -> anyhow::Result<NewLiveQuery> {
    let TargetArgs { all, max_hosts, percent, .. } = args.targets;
    let targets = LiveTargets {
        all,
        hosts: names(&args.targets.hosts),
        labels: names(&args.targets.labels),
        platforms: names(&args.targets.platforms),
        exclude_hosts: names(&args.targets.exclude_hosts),
        exclude_labels: names(&args.targets.exclude_labels),
    };
    let is_listed = !(targets.hosts.is_empty() && targets.labels.is_empty() && targets.platforms.is_empty());
    if !all && !is_listed {
        bail!("No hosts or labels targeted. Please provide either --hosts or --labels.");
    }
    if all && is_listed {
        bail!("--all means every host already; leave out --hosts, --labels and --platforms");
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
        bail!("--deadline must be longer than 0; leave it out for the server's default");
    }
    let discovery = given(&args.discovery);
    Ok(NewLiveQuery { query, query_name, discovery, targets, max_hosts, percent, deadline_seconds })
}

fn names(given: &[String]) -> Vec<String> {
    given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Tells a refusal in terms of the command line.
pub fn refusal(error: RestError, request: &NewLiveQuery) -> anyhow::Error {
    match (error, &request.query_name) {
        (RestError::NotFound(_), Some(name)) => anyhow::anyhow!("Query '{name}' not found"),
        // Only one of query and query_name was sent, so that nothing else can be wrong with a name.
        (RestError::Invalid(errors), Some(name)) if errors.iter().any(|error| error.name == "query_name") => {
            anyhow::anyhow!("Query '{name}' not found")
        }
        (RestError::Invalid(errors), _) => {
            anyhow::anyhow!("{}", errors.iter().map(problem).collect::<Vec<_>>().join("\n"))
        }
        (error, _) => error.into(),
    }
}

fn problem(error: &FieldError) -> String {
    let flag = FLAGS.iter().find(|(path, _)| is_at(&error.name, path));
    match flag {
        Some((_, flag)) => format!("{flag}: {}", error.reason),
        None if matches!(error.name.as_str(), "" | "base" | "targets") => error.reason.clone(),
        None => format!("{}: {}", error.name, error.reason),
    }
}

/// Whether a path is another one, or leads on from it.
fn is_at(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
