use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Subcommand, ValueEnum};
use muster_api::rest::TargetState;

use super::duration::go_duration;
use super::states;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Subcommand)]
pub enum Command {
    /// Watch a live query that is there already
    Attach(AttachArgs),
    /// List live queries that are open
    List(ListArgs),
    /// Show how far a live query is, or its hosts in a state
    Show(ShowArgs),
    /// End a live query
    Cancel(JobArgs),
}

#[derive(Default, clap::Args)]
pub struct AskArgs {
    /// The SQL
    #[arg(long, env = "QUERY", value_name = "SQL")]
    pub query: Option<String>,
    /// A saved query instead of SQL
    #[arg(long, env = "QUERYNAME", value_name = "NAME")]
    pub query_name: Option<String>,
    /// Ask only hosts where this SQL finds rows; the others are counted as skipped
    #[arg(long, value_name = "SQL")]
    pub discovery: Option<String>,
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Give up hosts that have not answered by then, such as 1h; the server's default if absent
    #[arg(long, value_name = "DURATION", value_parser = go_duration)]
    pub deadline: Option<Duration>,
    /// Leave at once; print the live query's id, and how to attach to it
    #[arg(long)]
    pub detach: bool,
    /// Let the live query go on when this program ends before it does
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Default, clap::Args)]
#[command(next_help_heading = "Targets")]
pub struct TargetArgs {
    /// These hosts: identifiers, UUIDs, host names or computer names, whatever the other lists say
    #[arg(long, env = "HOSTS", value_delimiter = ',', value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Hosts with any of these labels
    #[arg(long, env = "LABELS", value_delimiter = ',', value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Hosts of these platforms, as in os_version; linux is every distribution. With labels, both must hold
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM")]
    pub platforms: Vec<String>,
    /// Every host
    #[arg(long)]
    pub all: bool,
    /// But not these hosts
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    pub exclude_hosts: Vec<String>,
    /// But not hosts with any of these labels
    #[arg(long, value_delimiter = ',', value_name = "LABEL")]
    pub exclude_labels: Vec<String>,
    /// Ask at most so many of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_hosts: Option<u64>,
    /// Ask so many of a hundred of them
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,
}

#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Watching")]
pub struct WatchArgs {
    /// End when every host that is online is accounted for
    #[arg(long, env = "EXIT", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub exit: bool,
    /// End after so long, such as 30s; 0 means never
    #[arg(long, env = "TIMEOUT", value_name = "DURATION", value_parser = go_duration)]
    pub timeout: Option<Duration>,
    /// Say nothing but answers and failures: no progress, no summary
    #[arg(long, env = "QUIET", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// Print a table for each host
    #[arg(long, env = "PRETTY", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub pretty: bool,
    /// How to print answers [default: ndjson]
    #[arg(long, value_name = "FORMAT")]
    pub output: Option<AnswerFormat>,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// A JSON object per host and line, as they come
    Ndjson,
    /// One JSON array with an object per host
    Json,
    /// One table for spreadsheets, at the end; text that one would take for a formula gets a ' in front
    Csv,
    /// One table for people, at the end
    Table,
}

#[derive(clap::Args)]
pub struct AttachArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// Go on reading where another reader left off
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub cursor: u64,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(clap::Args)]
pub struct JobArgs {
    /// The live query's number, see: fleetctl query list
    pub id: i64,
}

#[derive(clap::Args)]
pub struct ListArgs {
    /// Also those that are over
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub format: JobFormat,
}

#[derive(clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// List the hosts in this state instead
    #[arg(long, value_parser = states::parser())]
    pub state: Option<TargetState>,
    #[command(flatten)]
    pub format: JobFormat,
}

#[derive(Clone, Copy, clap::Args)]
pub struct JobFormat {
    /// Print YAML documents
    #[arg(long, conflicts_with = "json")]
    pub yaml: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}
