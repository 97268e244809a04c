//! What a node does now, as tables.

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::asked::NodeArgs;
use super::facts::{DebugNodes, LatestLogs, RequestsUnderWay, Waits};
use crate::commands::ClientSession;
use crate::{output, table};

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
    activity.requests.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    let rows = activity.requests.iter().map(|request| {
        vec![
            request.kind.clone(),
            request.name.clone(),
            seconds(Some(request.seconds)),
            request.waits_for.clone().unwrap_or_default(),
            seconds(request.waits_seconds),
        ]
    });
    output::data(&table::grid(&["kind", "request", "seconds", "waits for", "seconds waited"], rows))?;
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
    output::data(&table::grid(&["task", "state", "seconds", "last outcome", "waits for", "seconds waited"], rows))?;
    if activity.left_out > 0 {
        output::note(&format!("{} more are not listed", activity.left_out));
    }
    Ok(())
}

pub async fn waits(session: &ClientSession, args: &Args) -> anyhow::Result<()> {
    let Some(mut report) = args.read::<Waits>(session, "waits").await? else { return Ok(()) };
    report.waits.sort_by(|one, other| other.total_seconds.total_cmp(&one.total_seconds));
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
    output::data(&table::grid(&["for", "waiting now", "longest now", "waits", "seconds in all", "longest"], rows))?;
    let rows = report
        .pools
        .iter()
        .map(|pool| vec![pool.name.clone(), pool.threads.to_string(), pool.busy.to_string(), pool.waiting.to_string()]);
    output::data(&table::grid(&["pool", "threads", "busy", "waiting"], rows))?;
    let rows = report
        .connections
        .iter()
        .map(|pool| vec![pool.pool.clone(), pool.max.to_string(), pool.in_use.to_string(), pool.idle.to_string()]);
    output::data(&table::grid(&["connections", "most", "in use", "idle"], rows))
}

pub async fn nodes(session: &ClientSession, args: &Args) -> anyhow::Result<()> {
    let Some(list) = args.read::<DebugNodes>(session, "nodes").await? else { return Ok(()) };
    let yes = |is: bool| if is { "yes" } else { "" }.to_owned();
    let rows = list.nodes.iter().map(|node| {
        let alive_at = node.alive_at.clone().unwrap_or_default();
        vec![
            node.id.clone(),
            node.version.clone().unwrap_or_default(),
            alive_at,
            yes(node.is_leader),
            yes(node.is_this),
        ]
    });
    output::data(&table::grid(&["id", "version", "alive at", "leader", "answers"], rows))
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
