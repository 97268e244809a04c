//! `fleetctl run`: the whole schedule of one host, now, as live queries.

mod outcome;
mod plan;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap_complete::ArgValueCompleter;
use futures_util::StreamExt as _;
use futures_util::stream;
use muster_api::rest::{Explained, HostStatus, LiveQueryEnvelope, LiveTargets, NewLiveQuery};
use reqwest::StatusCode;

use self::outcome::{Outcome, heading, rows, summary};
use self::plan::PlannedQuery;
use super::query::answers::{self, AnswerEvent, AnswerReader, AnswerStream};
use super::query::go_duration;
use super::query::interrupts::Interrupts;
use super::{ClientSession, completion, hosts};
use crate::output;
use crate::rest::{RestClient, RestError};

const EXAMPLES: &str = "\
Examples:
  # Run everything that a host has scheduled, and show what it finds and costs
  fleetctl run web-1.example.com

  # Run the queries of one pack, one after the other, without rows
  fleetctl run web-1.example.com --pack base --at-once 1 --rows 0

  # Keep all rows, a line of JSON for each query
  fleetctl run web-1.example.com --json > web-1.ndjson";

/// How long to retry while the server does not respond.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Host: UUID, host name or host identifier
    #[arg(add = ArgValueCompleter::new(completion::hosts))]
    host: String,
    /// Only the queries of this pack
    #[arg(long, add = ArgValueCompleter::new(completion::packs))]
    pack: Option<String>,
    /// Queries that the host is given at the same time; with 1, one that stops the agent's worker is known for sure
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=50))]
    at_once: u8,
    /// Time that the host has for each query
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = go_duration)]
    timeout: Duration,
    /// Rows of each query to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    rows: usize,
    /// Print one JSON object per query, with all rows
    #[arg(long)]
    json: bool,
}

/// Live queries that are open, to be cancelled if fleetctl ends early.
pub(super) type OpenQueries = Mutex<BTreeSet<i64>>;

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let seconds = args.timeout.as_millis().div_ceil(1000) as u64;
    if seconds == 0 {
        bail!("--timeout must be longer than 0");
    }
    let server = session.authenticated().await?;
    let host = hosts::named(&server, &args.host).await?.host;
    let explained: Explained = server.get(&format!("hosts/{}/config", host.id)).await?;
    let planned = plan::planned(&explained, args.pack.as_deref());
    let called = output::printable(&host.display_text);
    if planned.is_empty() {
        let of_pack = args.pack.as_ref().map(|pack| format!(" of the pack {pack:?}")).unwrap_or_default();
        bail!("{called} runs no query{of_pack}; see why with: fleetctl get host {} --why", args.host);
    }
    if host.status != HostStatus::Online {
        bail!("{called} is offline, seen last at {}; it would not answer", host.seen_time);
    }
    let mut interrupts = Interrupts::listen()?;
    let open = OpenQueries::default();
    let total = planned.len();
    output::note(&format!("{called}: {total} queries; answers come as the host checks in"));
    let ask = |planned| one(&server, host.id, planned, seconds, &open);
    let mut asked = stream::iter(planned).map(ask).buffer_unordered(usize::from(args.at_once));
    let mut outcomes = Vec::with_capacity(total);
    let followed = loop {
        let outcome = tokio::select! {
            () = interrupts.requested() => break Err(anyhow!("interrupted after {} of {total} queries", outcomes.len())),
            outcome = asked.next() => outcome,
        };
        let Some(outcome) = outcome else { break Ok(()) };
        match outcome.and_then(|outcome| shown(outcome, &args)) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => break Err(error),
        }
    };
    drop(asked);
    cancel_all(&server, &open).await;
    if !outcomes.is_empty() {
        let text = summary(&outcomes, total);
        if args.json { output::note(text.trim_end()) } else { output::data(&format!("\n{text}"))? }
    }
    followed?;
    match outcomes.iter().filter(|outcome| !outcome.is_good()).count() {
        0 => Ok(()),
        1 => bail!("1 of {total} queries did not run"),
        failed => bail!("{failed} of {total} queries did not run"),
    }
}

/// Prints what a query has found; keeps of it what the summary needs.
fn shown(outcome: Outcome, args: &Args) -> anyhow::Result<Outcome> {
    if args.json {
        output::line(&outcome.json()?)?;
    } else {
        output::data(&(heading(&outcome) + &rows(&outcome, args.rows)))?;
    }
    Ok(outcome.without_rows())
}

/// Runs one query on the host, and waits for its answer.
///
/// # Errors
/// What keeps others from running as well. What is wrong with this query, or with the host, is an outcome.
async fn one(
    server: &RestClient,
    host_id: i64,
    planned: PlannedQuery,
    seconds: u64,
    open: &OpenQueries,
) -> anyhow::Result<Outcome> {
    let request = NewLiveQuery {
        query: Some(planned.sql.clone()),
        discovery: planned.discovery.clone(),
        targets: LiveTargets { host_ids: vec![host_id], ..LiveTargets::default() },
        deadline_seconds: Some(seconds),
        ..NewLiveQuery::default()
    };
    let id = match server.post::<_, LiveQueryEnvelope>("live_queries", &request).await {
        Ok(made) => made.live_query.id,
        Err(error @ RestError::Invalid(_)) => return Ok(Outcome::refused(planned, error.to_string())),
        Err(error @ RestError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => {
            return Ok(Outcome::refused(planned, error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    open.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    let server = server.clone();
    let mut stream = AnswerStream::read(AnswerReader {
        server: server.clone(),
        id,
        cursor: 0,
        is_following: true,
        patience: PATIENCE,
    });
    let outcome = loop {
        match stream.next().await {
            AnswerEvent::Answer(answer) => break Outcome::answered(planned, answer),
            AnswerEvent::Retry(..) => {}
            AnswerEvent::End => break Outcome::ended(planned, &answers::job(&server, id).await?),
            AnswerEvent::Failed(error) => return Err(error.into()),
        }
    };
    open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    Ok(outcome)
}

/// Cancels what is open, so that the host is given nothing more.
pub(super) async fn cancel_all(server: &RestClient, open: &OpenQueries) {
    let ids = std::mem::take(&mut *open.lock().unwrap_or_else(PoisonError::into_inner));
    for id in ids {
        if let Err(error) = answers::cancel(server, id).await {
            output::note(&format!(
                "cannot cancel live query {id}: {error}; cancel it with: fleetctl query cancel {id}"
            ));
        }
    }
}
