use std::io::IsTerminal;
use std::time::Duration;

use anyhow::bail;
use muster_api::rest::{LiveQuery, LiveQueryEnvelope};

use super::args::{AnswerFormat, AskArgs, AttachArgs, WatchArgs};
use super::interrupts::Interrupts;
use super::progress::Screen;
use super::request::{refusal, request};
use super::watch::LiveQueryWatch;
use super::writers::writer;
use super::{answers, jobs};
use crate::commands::ClientSession;
use crate::output;
use crate::rest::RestClient;

/// Starts a live query and prints its answers.
pub async fn ask(session: &ClientSession, args: AskArgs) -> anyhow::Result<()> {
    let request = request(&args)?;
    let output = format(&args.watch)?;
    let server = session.authenticated().await?;
    let mut interrupts = Interrupts::listen()?;
    let made = server.post::<_, LiveQueryEnvelope>("live_queries", &request).await;
    let LiveQueryEnvelope { live_query: job, warnings, .. } = made.map_err(|error| refusal(error, &request))?;
    warnings.iter().for_each(|warning| output::note(&format!("Warning: {warning}")));
    if args.detach {
        return detached(&job, args.watch.quiet);
    }
    watch(server, job, 0, &args.watch, output, !args.keep).run(&mut interrupts).await
}

/// Prints the answers of an existing live query. Exiting does not cancel it.
pub async fn attach(session: &ClientSession, args: AttachArgs) -> anyhow::Result<()> {
    let output = format(&args.watch)?;
    let server = session.authenticated().await?;
    let mut interrupts = Interrupts::listen()?;
    let id = args.job.id;
    let job = answers::job(&server, id).await.map_err(|error| jobs::refusal(error, id))?;
    watch(server, job, args.cursor, &args.watch, output, false).run(&mut interrupts).await
}

fn detached(job: &LiveQuery, is_quiet: bool) -> anyhow::Result<()> {
    output::line(&job.id.to_string())?;
    if !is_quiet {
        let (id, hosts) = (job.id, job.counts.targets);
        output::note(&format!("Live query {id} targets {hosts} hosts; watch it with: fleetctl query attach {id}"));
    }
    Ok(())
}

fn watch(
    server: RestClient,
    job: LiveQuery,
    cursor: u64,
    args: &WatchArgs,
    output: Option<AnswerFormat>,
    cancels: bool,
) -> LiveQueryWatch {
    LiveQueryWatch {
        server,
        job,
        cursor,
        exit: args.exit,
        timeout: args.timeout.filter(|timeout| *timeout > Duration::ZERO),
        cancels,
        writer: writer(output, std::io::stdout().is_terminal()),
        screen: Screen::new(args.quiet),
    }
}

/// The requested output format; `None` means a table per host.
fn format(args: &WatchArgs) -> anyhow::Result<Option<AnswerFormat>> {
    match (args.pretty, args.output) {
        (true, Some(_)) => bail!("--pretty and --output must not be provided together"),
        (true, None) => Ok(None),
        (false, output) => Ok(Some(output.unwrap_or(AnswerFormat::Ndjson))),
    }
}
