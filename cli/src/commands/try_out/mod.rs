//! `fleetctl plan --try N`: runs the SQL that a plan brings on a few consenting hosts of each platform and osquery version, as
//! live queries, and tells what it finds and costs there.

mod outcome;
mod tried;

use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap_complete::ArgValueCompleter;
use futures_util::StreamExt as _;
use futures_util::stream;
use muster_api::rest::{Change, LiveQueryEnvelope, LiveTargets, NewLiveQuery};
use reqwest::StatusCode;
use serde_json::Value;

use self::outcome::{TryOutcome, table};
use self::tried::{TriedSql, tried};
use super::completion;
use super::query::answers::{self, AnswerEvent, AnswerReader, AnswerStream};
use super::query::go_duration;
use super::query::interrupts::Interrupts;
use super::run::{OpenQueries, cancel_all};
use crate::output;
use crate::rest::{RestClient, RestError};

/// How long to retry while the server does not respond.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most queries of one plan that are tried.
const MAX_TRIED: usize = 100;

/// Queries that hosts are given at one time: one that stops the agent's worker is known the sooner.
const AT_ONCE: usize = 4;

#[derive(clap::Args)]
#[command(next_help_heading = "Trying queries")]
pub struct TryArgs {
    /// Run each query and label that is new or has other SQL on N online hosts of each platform and osquery version; exit with code 1 if one
    /// fails on all of them or takes too much CPU time
    #[arg(long = "try", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    try_hosts: Option<u32>,
    /// Label of the hosts to try them on [default: live.try_label of the server]
    #[arg(long, value_name = "LABEL", requires = "try_hosts", add = ArgValueCompleter::new(completion::labels))]
    try_label: Option<String>,
    /// Time that hosts have to answer each query
    #[arg(long, value_name = "DURATION", default_value = "1m", requires = "try_hosts", value_parser = go_duration)]
    try_timeout: Duration,
    /// CPU time that a query may take on one host [default: live.cpu_budget of the server]
    #[arg(long, value_name = "DURATION", requires = "try_hosts", value_parser = go_duration)]
    try_budget: Option<Duration>,
    /// Print what came of each query as one JSON object per line instead of a table
    #[arg(long, requires = "try_hosts")]
    try_json: bool,
}

/// Tries what a plan brings, if that is wanted.
///
/// # Errors
/// When a query could not be tried, ran nowhere or took too much.
pub async fn of_plan(
    server: &RestClient,
    documents: &[Value],
    changes: &[Change],
    args: &TryArgs,
) -> anyhow::Result<()> {
    let Some(hosts) = args.try_hosts else { return Ok(()) };
    let seconds = args.try_timeout.as_millis().div_ceil(1000) as u64;
    if seconds == 0 {
        bail!("--try-timeout must be longer than 0");
    }
    let tried = tried(documents, changes);
    if tried.is_empty() {
        output::note("the plan brings no query and no label with new SQL; nothing to try");
        return Ok(());
    }
    if tried.len() > MAX_TRIED {
        bail!("the plan brings SQL of {} queries and labels; --try takes {MAX_TRIED} at most", tried.len());
    }
    let request = NewLiveQuery {
        per_version: Some(hosts),
        deadline_seconds: Some(seconds),
        host_cpu_ms: args.try_budget.map(|budget| budget.as_millis().try_into().unwrap_or(u64::MAX)),
        targets: LiveTargets { labels: args.try_label.iter().cloned().collect(), ..LiveTargets::default() },
        ..NewLiveQuery::default()
    };
    let mut interrupts = Interrupts::listen()?;
    let open = OpenQueries::default();
    let total = tried.len();
    output::note(&format!("trying {total} queries and labels; answers come as hosts check in"));
    let ask = |sql| one(server, sql, &request, &open);
    let mut asked = stream::iter(tried).map(ask).buffered(AT_ONCE);
    let mut outcomes = Vec::with_capacity(total);
    let followed = loop {
        let outcome = tokio::select! {
            () = interrupts.requested() => break Err(anyhow!("interrupted after {} of {total}", outcomes.len())),
            outcome = asked.next() => outcome,
        };
        match outcome {
            None => break Ok(()),
            Some(Ok(outcome)) => outcomes.push(outcome),
            Some(Err(error)) => break Err(error),
        }
    };
    drop(asked);
    cancel_all(server, &open).await;
    show(&outcomes, args.try_json)?;
    followed?;
    match outcomes.iter().filter(|outcome| !outcome.is_good()).count() {
        0 => Ok(()),
        1 => bail!("1 of {total} queries and labels failed where it was tried, or took too much; the plan was kept"),
        bad => bail!(
            "{bad} of {total} queries and labels failed where they were tried, or took too much; the plan was kept"
        ),
    }
}

fn show(outcomes: &[TryOutcome], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return outcomes.iter().try_for_each(|outcome| output::line(&serde_json::to_string(outcome)?));
    }
    if !outcomes.is_empty() {
        output::data(&format!("\n{}", table(outcomes)))?;
    }
    Ok(())
}

/// Runs one query on its hosts, and waits for their answers.
///
/// # Errors
/// What keeps others from running as well. What is wrong with this query, or with its hosts, is an outcome.
async fn one(
    server: &RestClient,
    sql: TriedSql,
    request: &NewLiveQuery,
    open: &OpenQueries,
) -> anyhow::Result<TryOutcome> {
    let targets = LiveTargets { platforms: sql.platforms.clone(), ..request.targets.clone() };
    let request = NewLiveQuery { query: Some(sql.sql.clone()), targets, ..request.clone() };
    let made = match server.post::<_, LiveQueryEnvelope>("live_queries", &request).await {
        Ok(made) => made,
        Err(RestError::Invalid(errors)) if errors.iter().any(|error| error.reason.contains("live.try_label")) => {
            bail!(
                "no host has consented to have queries tried on it: name the label of those that do with --try-label, or in the \
                 setting live.try_label of the server; the plan was kept"
            );
        }
        Err(error @ RestError::Invalid(_)) => return Ok(TryOutcome::not_tried(sql, error.to_string())),
        Err(error @ RestError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => {
            return Ok(TryOutcome::not_tried(sql, error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let id = made.live_query.id;
    open.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    let mut outcome = TryOutcome::new(sql, id, made.groups);
    let reader = AnswerReader { server: server.clone(), id, cursor: 0, is_following: true, patience: PATIENCE };
    let mut stream = AnswerStream::read(reader);
    loop {
        match stream.next().await {
            AnswerEvent::Answer(answer) => outcome.add(&answer),
            AnswerEvent::Retry(..) => {}
            AnswerEvent::End => break,
            AnswerEvent::Failed(error) => return Err(error.into()),
        }
    }
    outcome.end(&answers::job(server, id).await?);
    open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    Ok(outcome)
}
