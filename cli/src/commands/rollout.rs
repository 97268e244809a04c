//! `fleetctl rollout`: changes that reach hosts in stages.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use muster_api::rest::{GateReading, Rollout, RolloutEnvelope, RolloutList, RolloutState};
use serde_json::json;

use super::ClientSession;
use super::stop_signal::StopSignal;
use crate::rest::{RestClient, segment};
use crate::{output, table};

/// Clears the screen and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

pub const EXAMPLES: &str = "\
Examples:
  # Begin a rollout: a document of the kind rollout
  fleetctl apply -f cheaper-processes.yml

  # Follow it until it is over
  fleetctl rollout status cheaper-processes --watch

  # Take it back on all hosts
  fleetctl rollout abort cheaper-processes";

#[derive(Subcommand)]
pub enum Command {
    /// List rollouts, the newest first
    #[command(after_help = example!("List rollouts", "fleetctl rollout list"))]
    List(RolloutListArgs),
    /// Show how far a rollout is, what its gates show, and what was decided
    #[command(after_help = example!("Follow a rollout until it is over", "fleetctl rollout status cheaper-processes --watch"))]
    Status(StatusArgs),
    /// Stay in the stage that a rollout is in; its gates are watched all the same
    #[command(after_help = example!("Stay in this stage over the weekend", "fleetctl rollout pause cheaper-processes"))]
    Pause(NameArgs),
    /// Go on with a rollout that is paused
    #[command(after_help = example!("Go on", "fleetctl rollout resume cheaper-processes"))]
    Resume(NameArgs),
    /// Serve all hosts again what they were served before
    #[command(after_help = example!("Take a change back on all hosts", "fleetctl rollout abort cheaper-processes"))]
    Abort(NameArgs),
    /// Begin the next stage now; after the last one the change is made
    #[command(after_help = example!("Do not wait for the next stage", "fleetctl rollout promote cheaper-processes"))]
    Promote(NameArgs),
}

#[derive(clap::Args)]
pub struct RolloutListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct StatusArgs {
    /// Name of the rollout
    name: String,
    /// Print JSON; with --watch one line for each refresh
    #[arg(long)]
    json: bool,
    /// Refresh until the rollout is over; fails if it was reverted
    #[arg(long)]
    watch: bool,
    /// Seconds between refreshes
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "watch", value_parser = clap::value_parser!(u16).range(1..=3600))]
    every: u16,
}

#[derive(clap::Args)]
pub struct NameArgs {
    /// Name of the rollout
    name: String,
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    let server = session.authenticated().await?;
    match command {
        Command::List(args) => list(&server, &args).await,
        Command::Status(args) => status(&server, &args).await,
        Command::Pause(args) => operate(&server, &args.name, "pause").await,
        Command::Resume(args) => operate(&server, &args.name, "resume").await,
        Command::Abort(args) => operate(&server, &args.name, "abort").await,
        Command::Promote(args) => operate(&server, &args.name, "promote").await,
    }
}

async fn list(server: &RestClient, args: &RolloutListArgs) -> anyhow::Result<()> {
    let found = server.get::<RolloutList>("rollouts").await?.rollouts;
    if args.json {
        return output::line(&serde_json::to_string(&found).context("cannot print the response")?);
    }
    if found.is_empty() {
        output::note("No rollouts found");
        return Ok(());
    }
    let rows = found.iter().map(|rollout| {
        vec![
            rollout.name.clone(),
            state(rollout.state).to_owned(),
            stage(rollout),
            rollout.changes.join(", "),
            time(rollout.began_at),
            rollout.ended_at.map(time).unwrap_or_default(),
        ]
    });
    output::data(&table::grid(&["name", "state", "stage", "changes", "began_at", "ended_at"], rows))
}

async fn operate(server: &RestClient, name: &str, step: &str) -> anyhow::Result<()> {
    let path = format!("rollouts/{}/{step}", segment(name));
    let RolloutEnvelope { rollout } = server.post(&path, &json!({})).await?;
    let name = output::printable(&rollout.name);
    output::data(&format!("[+] rollout {name:?} is {}: {}\n", state(rollout.state), stage(&rollout)))
}

async fn status(server: &RestClient, args: &StatusArgs) -> anyhow::Result<()> {
    let is_screen = args.watch && !args.json && std::io::stdout().is_terminal();
    let mut stop = StopSignal::listen()?;
    let mut refresh = tokio::time::interval(Duration::from_secs(args.every.into()));
    let (path, mut last) = (format!("rollouts/{}", segment(&args.name)), String::new());
    loop {
        tokio::select! {
            _ = refresh.tick() => {}
            () = stop.requested() => return Ok(()),
        }
        let RolloutEnvelope { rollout } = tokio::select! {
            found = server.get(&path) => found?,
            () = stop.requested() => return Ok(()),
        };
        let shown = match args.json {
            true => serde_json::to_string(&rollout).context("cannot print the response")?,
            false => text(&rollout),
        };
        // Into a pipe only what is new goes.
        if args.json {
            output::line(&shown)?;
        } else if is_screen || shown != last {
            output::data(&format!("{}{shown}", if is_screen { CLEAR } else { "" }))?;
        }
        last = shown;
        let is_over = !matches!(rollout.state, RolloutState::Running | RolloutState::Paused);
        if args.watch && rollout.state == RolloutState::Reverted {
            anyhow::bail!("the rollout was reverted: {}", rollout.reason);
        }
        if !args.watch || is_over {
            return Ok(());
        }
    }
}

fn state(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Running => "running",
        RolloutState::Paused => "paused",
        RolloutState::Done => "done",
        RolloutState::Reverted => "reverted",
        RolloutState::Unknown => "in a state that only a newer version knows",
    }
}

/// Such as `2 of 4 (5 %)`.
fn stage(rollout: &Rollout) -> String {
    let title = usize::try_from(rollout.stage).ok().and_then(|stage| rollout.stages.get(stage));
    let title = title.map_or("", |stage| stage.title.as_str());
    format!("stage {} of {} ({})", rollout.stage + 1, rollout.stages.len(), output::printable(title))
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn text(rollout: &Rollout) -> String {
    let mut text = String::new();
    // Writing to a text has no way to fail, here and below.
    let _ = writeln!(text, "{}: {}, {}", output::printable(&rollout.name), state(rollout.state), stage(rollout));
    let _ = writeln!(text, "changes {}", output::printable(&rollout.changes.join(", ")));
    if !rollout.reason.is_empty() {
        let _ = writeln!(text, "{}", output::printable(&rollout.reason));
    }
    if let Some(hosts) = &rollout.hosts {
        let _ = writeln!(
            text,
            "{} hosts in the cohort, {} of them online, {} have reported in this stage; {} other hosts",
            hosts.cohort, hosts.cohort_online, hosts.reported, hosts.others
        );
    }
    if !rollout.gates.is_empty() {
        let row = |gate: &GateReading| {
            let limit = format!("above {} and {} times the others", gate.above, gate.times);
            let tripped = if gate.is_tripped { "yes" } else { "" };
            vec![gate.gate.clone(), number(gate.cohort), number(gate.others), limit, tripped.to_owned()]
        };
        text.push_str(&table::dense(&["gate", "cohort", "others", "trips", "tripped"], rollout.gates.iter().map(row)));
    }
    if !rollout.decisions.is_empty() {
        let rows = rollout.decisions.iter().map(|decision| {
            let by = if decision.actor.is_empty() { "the server" } else { &decision.actor };
            vec![
                time(decision.at),
                (decision.stage + 1).to_string(),
                decision.kind.clone(),
                by.to_owned(),
                decision.reason.clone(),
            ]
        });
        text.push_str(&table::dense(&["at", "stage", "decision", "by", "reason"], rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use muster_api::rest::{RolloutHosts, RolloutStage};

    use super::*;

    #[test]
    fn a_status_says_where_it_is_and_why() {
        let stage = |title: &str| RolloutStage { title: title.to_owned(), bake_secs: 60 };
        let rollout = Rollout {
            id: 1,
            name: "cheaper".to_owned(),
            state: RolloutState::Running,
            stage: 1,
            stages: vec![stage("1 %"), stage("100 %")],
            began_at: DateTime::UNIX_EPOCH,
            stage_began_at: DateTime::UNIX_EPOCH,
            ended_at: None,
            changes: vec!["pack base".to_owned(), "agent options".to_owned()],
            reason: "this stage lasts 30 more seconds".to_owned(),
            hosts: Some(RolloutHosts { cohort: 7, cohort_online: 6, reported: 5, others: 93 }),
            gates: vec![GateReading {
                gate: "cpu_per_run".to_owned(),
                cohort: Some(21.234),
                others: None,
                above: 1000.0,
                times: 2.0,
                is_tripped: false,
            }],
            decisions: Vec::new(),
        };
        assert_eq!(
            text(&rollout),
            "cheaper: running, stage 2 of 2 (100 %)\n\
             changes pack base, agent options\n\
             this stage lasts 30 more seconds\n\
             7 hosts in the cohort, 6 of them online, 5 have reported in this stage; 93 other hosts\n\
             +-------------+--------+--------+-----------------------------------+---------+\n\
             | GATE        | COHORT | OTHERS | TRIPS                             | TRIPPED |\n\
             +-------------+--------+--------+-----------------------------------+---------+\n\
             | cpu_per_run | 21.23  | -      | above 1000 and 2 times the others |         |\n\
             +-------------+--------+--------+-----------------------------------+---------+\n"
        );
    }
}
