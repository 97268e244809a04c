//! What a node does now, as tables.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::asked::NodeArgs;
use super::facts::{DONE, DebugNode, DebugNodes, LatestLogs, RequestsUnderWay, TaskNow, Waits};
use super::now;
use crate::commands::ClientSession;
use crate::commands::query::shown_seconds;
use crate::{output, table};

/// Seconds without a word from a node after which it may be down.
const SILENT_SECONDS: i64 = 30;

/// The state of a task that does not run.
const IDLE: &str = "idle";

#[derive(clap::Args)]
pub struct Args {
    /// Print the answer of the server as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeArgs,
}

impl Args {
    /// Asks for an item. `None` if it was printed as it is.
    async fn read<T: DeserializeOwned>(&self, session: &ClientSession, path: &str) -> anyhow::Result<Option<T>> {
        let answer = self.node.get(session, path).await?;
        if self.json {
            output::line(String::from_utf8_lossy(&answer.bytes).trim_end())?;
            return Ok(None);
        }
        let read = serde_json::from_slice(&answer.bytes);
        read.map(Some).with_context(|| format!("cannot read the answer to debug/{path}; see it with --json"))
    }
}

pub async fn requests(session: &ClientSession, args: &Args) -> anyhow::Result<()> {
    let Some(mut activity) = args.read::<RequestsUnderWay>(session, "requests").await? else { return Ok(()) };
    let waited = |seconds: Option<f64>| seconds.unwrap_or_default();
    activity.requests.sort_by(|one, other| {
        let by_wait = waited(other.waits_seconds).total_cmp(&waited(one.waits_seconds));
        by_wait.then_with(|| other.seconds.total_cmp(&one.seconds))
    });
    let is_quiet = |task: &TaskNow| task.state == IDLE && task.last_outcome.as_deref().is_none_or(|last| last == DONE);
    let all = activity.tasks.len();
    activity.tasks.retain(|task| !is_quiet(task));
    let hidden = all - activity.tasks.len();
    let rows = activity.requests.iter().map(|request| {
        vec![
            request.kind.clone(),
            request.name.clone(),
            seconds(Some(request.seconds)),
            request.waits_for.clone().unwrap_or_default(),
            seconds(request.waits_seconds),
        ]
    });
    output::data(&table::dense(&["kind", "request", "seconds", "waits for", "seconds waited"], rows))?;
    let rows = activity.tasks.iter().map(|task| {
        vec![
            task.name.clone(),
            task.state.clone(),
            seconds(Some(task.seconds)),
            task.last_outcome.clone().unwrap_or_default(),
            task.waits_for.clone().unwrap_or_default(),
            seconds(task.waits_seconds),
        ]
    });
    output::data(&table::dense(&["task", "state", "seconds", "last outcome", "waits for", "seconds waited"], rows))?;
    if hidden > 0 {
        output::note(&format!("{hidden} idle tasks are not listed: their last run was good (see them with --json)"));
    }
    if activity.left_out > 0 {
        output::note(&format!("{} more are not listed", activity.left_out));
    }
    Ok(())
}

pub async fn waits(session: &ClientSession, args: &Args) -> anyhow::Result<()> {
    let Some(mut report) = args.read::<Waits>(session, "waits").await? else { return Ok(()) };
    let longest = |seconds: Option<f64>| seconds.unwrap_or_default();
    report.waits.sort_by(|one, other| {
        let by_now = longest(other.longest_now_seconds).total_cmp(&longest(one.longest_now_seconds));
        by_now.then_with(|| other.max_seconds.total_cmp(&one.max_seconds))
    });
    let rows = report.waits.iter().map(|wait| {
        vec![
            wait.waits_for.clone(),
            wait.waiting_now.to_string(),
            seconds(wait.longest_now_seconds),
            wait.count.to_string(),
            seconds(Some(wait.total_seconds)),
            seconds(Some(wait.max_seconds)),
        ]
    });
    output::data(&table::dense(&["for", "waiting now", "longest now", "waits", "seconds in all", "longest"], rows))?;
    let rows = report
        .pools
        .iter()
        .map(|pool| vec![pool.name.clone(), pool.threads.to_string(), pool.busy.to_string(), pool.waiting.to_string()]);
    output::data(&table::dense(&["pool", "threads", "busy", "waiting"], rows))?;
    let rows = report
        .connections
        .iter()
        .map(|pool| vec![pool.pool.clone(), pool.max.to_string(), pool.in_use.to_string(), pool.idle.to_string()]);
    output::data(&table::dense(&["connections", "most", "in use", "idle"], rows))
}

pub async fn nodes(session: &ClientSession, args: &Args) -> anyhow::Result<()> {
    let Some(list) = args.read::<DebugNodes>(session, "nodes").await? else { return Ok(()) };
    let yes = |is: bool| if is { "yes" } else { "" }.to_owned();
    let at = reference(&list, now());
    let rows = list.nodes.iter().map(|node| {
        vec![
            node.id.clone(),
            node.version.clone().unwrap_or_default(),
            seen(node, at),
            yes(node.is_leader),
            yes(node.is_this),
        ]
    });
    output::data(&table::dense(&["id", "version", "seen", "leader", "this node"], rows))
}

fn alive_at(node: &DebugNode) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(node.alive_at.as_deref()?).ok()?;
    Some(at.with_timezone(&Utc))
}

/// The time that ages count to: that of the node that answers, if the clock of this machine is another one.
fn reference(list: &DebugNodes, now: DateTime<Utc>) -> DateTime<Utc> {
    let of_this = list.nodes.iter().find(|node| node.is_this).and_then(alive_at);
    of_this.filter(|at| (now - *at).num_seconds().abs() > SILENT_SECONDS).unwrap_or(now)
}

/// How long ago a node said that it is alive.
fn seen(node: &DebugNode, at: DateTime<Utc>) -> String {
    let Some(alive_at) = alive_at(node) else { return "never".to_owned() };
    let seconds = (at - alive_at).num_seconds();
    let remark = if seconds >= SILENT_SECONDS { ": is it down?" } else { "" };
    format!("{} ago{remark}", shown_seconds(seconds))
}

/// Prints the latest lines of the log, as they were written.
pub async fn logs(session: &ClientSession, args: &Args) -> anyhow::Result<()> {
    let Some(logs) = args.read::<LatestLogs>(session, "logs").await? else { return Ok(()) };
    let lines = logs.lines.iter().map(|line| format!("{}\n", output::printable(&line.line).replace('\n', " ")));
    output::data(&lines.collect::<String>())
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map(|seconds| format!("{seconds:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn silent_nodes_are_marked_also_if_this_clock_is_wrong() {
        let list: DebugNodes = serde_json::from_value(json!({"nodes": [
            {"id": "a", "alive_at": "2026-08-01T12:00:40Z", "is_this": true},
            {"id": "b", "alive_at": "2026-08-01T12:00:00Z"},
            {"id": "c"},
        ]}))
        .unwrap();
        let now = DateTime::parse_from_rfc3339("2026-08-01T12:00:43Z").unwrap().with_timezone(&Utc);
        let shown = |at| list.nodes.iter().map(|node| seen(node, at)).collect::<Vec<_>>();
        assert_eq!(shown(reference(&list, now)), ["3s ago", "43s ago: is it down?", "never"]);
        let wrong = now + chrono::TimeDelta::days(1);
        assert_eq!(shown(reference(&list, wrong)), ["0s ago", "40s ago: is it down?", "never"]);
    }
}
