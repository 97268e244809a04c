//! `fleetctl debug`: what a server in trouble does, collected and explained.

mod archive;
mod asked;
mod connection;
mod facts;
mod fetch;
mod live;
mod log_level;
mod migrations;
mod open;

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use clap::Subcommand;

use super::ClientSession;
use crate::args::Globals;

pub const EXAMPLES: &str = "\
Examples:
  # Collect everything in one file, then read what it says
  fleetctl debug archive
  fleetctl debug open fleet-profiles-archive-20260801120000Z.tar.gz

  # Collect from all nodes, one of which no load balancer reaches
  fleetctl debug archive --all-nodes --node-address https://10.0.0.7:8080

  # Show what requests wait for now
  fleetctl debug requests

  # Find out why hosts do not reach a server
  fleetctl debug connection fleet.example.com:8080 --fleet-certificate ca.pem

  # Log more for ten minutes
  fleetctl debug log-level set info,sqlx=warn,rustls=debug --for 10m";

#[derive(Subcommand)]
pub enum Command {
    /// Collect profiles, errors, waits and the state of the database and Redis in one file
    Archive(archive::Args),
    /// Say what an archive shows: what is slow, blocked, failing or full
    Open(open::Args),
    /// Record a CPU profile
    #[command(after_help = example!("Find out where the processors' time goes, for 10 seconds", "fleetctl debug profile --seconds 10"))]
    Profile(fetch::ProfileArgs),
    /// Write a profile of the memory in use
    #[command(after_help = example!("Write what holds memory, then look at it", "fleetctl debug heap --outfile heap.prof"))]
    Heap(fetch::ItemArgs),
    /// Write what requests and tasks do and wait for
    #[command(visible_alias = "goroutine")]
    #[command(after_help = example!("Print what is under way now", "fleetctl debug tasks --stdout"))]
    Tasks(fetch::ItemArgs),
    /// Record requests, waits and tasks in the Chrome trace event format
    #[command(after_help = example!("Record five seconds, to look at in a browser (ui.perfetto.dev)", "fleetctl debug trace --seconds 5"))]
    Trace(fetch::TraceArgs),
    /// Write the errors that were logged, grouped and counted
    #[command(after_help = example!("Print the errors since the start, and forget them", "fleetctl debug errors --stdout --flush"))]
    Errors(fetch::ErrorArgs),
    /// Show the command line of the server
    #[command(after_help = example!("Show with which settings the server was started", "fleetctl debug cmdline"))]
    Cmdline(fetch::CmdlineArgs),
    /// Check step by step whether hosts can reach a server
    Connection(connection::Args),
    /// Show whether the database has all migrations
    #[command(after_help = example!("Find out before an update whether the database has everything", "fleetctl debug migrations"))]
    Migrations(asked::NodeArgs),
    /// Write which statements of the database wait for which others
    #[command(after_help = example!("Print which statements wait for which others", "fleetctl debug db-locks --stdout"))]
    DbLocks(fetch::ItemArgs),
    /// Write the status of InnoDB
    #[command(after_help = example!("Print what InnoDB says of itself", "fleetctl debug db-innodb-status --stdout"))]
    DbInnodbStatus(fetch::ItemArgs),
    /// Write what the connections of the database do
    #[command(after_help = example!("Print what the connections of the database do", "fleetctl debug db-process-list --stdout"))]
    DbProcessList(fetch::ItemArgs),
    /// List the requests and tasks in progress, and what they wait for
    #[command(after_help = example!("Show what is under way, the longest wait first", "fleetctl debug requests"))]
    Requests(live::Args),
    /// List what requests have waited for since the start of the server
    #[command(after_help = example!("Show what was waited for since the start", "fleetctl debug waits"))]
    Waits(live::Args),
    /// Show the last lines of the log
    #[command(after_help = example!("Show the last lines of the log of a node", "fleetctl debug logs --node 3f2a-9c01"))]
    Logs(live::Args),
    /// List the nodes of the server
    #[command(after_help = example!("List the nodes and when they were seen", "fleetctl debug nodes"))]
    Nodes(live::Args),
    /// Show or change what a node logs
    #[command(subcommand, arg_required_else_help = true, after_help = log_level::EXAMPLES)]
    LogLevel(log_level::Command),
}

pub async fn run(globals: &Globals, command: Command) -> anyhow::Result<()> {
    let session = || ClientSession::open(globals);
    match command {
        Command::Archive(args) => archive::run(&session()?, args).await,
        Command::Open(args) => open::run(&args),
        Command::Profile(args) => fetch::profile(&session()?, &args).await,
        Command::Heap(args) => fetch::file(&session()?, fetch::HEAP, &args).await,
        Command::Tasks(args) => fetch::file(&session()?, fetch::TASKS, &args).await,
        Command::Trace(args) => fetch::trace(&session()?, &args).await,
        Command::Errors(args) => fetch::errors(&session()?, &args).await,
        Command::Cmdline(args) => fetch::cmdline(&session()?, &args).await,
        Command::Connection(args) => connection::run(globals, args).await,
        Command::Migrations(args) => migrations::run(&session()?, &args).await,
        Command::DbLocks(args) => fetch::file(&session()?, fetch::DB_LOCKS, &args).await,
        Command::DbInnodbStatus(args) => fetch::file(&session()?, fetch::DB_INNODB_STATUS, &args).await,
        Command::DbProcessList(args) => fetch::file(&session()?, fetch::DB_PROCESS_LIST, &args).await,
        Command::Requests(args) => live::requests(&session()?, &args).await,
        Command::Waits(args) => live::waits(&session()?, &args).await,
        Command::Logs(args) => live::logs(&session()?, &args).await,
        Command::Nodes(args) => live::nodes(&session()?, &args).await,
        Command::LogLevel(command) => log_level::run(&session()?, command).await,
    }
}

/// The current time, for names of files and for the record of an archive.
fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// The name of a file, as Fleet's client chooses it.
fn file_name(subject: &str, ending: &str) -> String {
    format!("fleet-{subject}-{}{ending}", now().format("%Y%m%d%H%M%SZ"))
}
