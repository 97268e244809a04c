use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use muster_api::rest::TargetState;

use super::duration::go_duration;
use super::states;
use crate::commands::completion;

const EXAMPLES: &str = "\
Output formats:
  ndjson  One JSON object per host and line, as they arrive
  json    One JSON array with one object per host
  csv     One table at the end; cells that look like formulas get a ' prefix
  table   One table at the end, for people

Examples:
  # Query all hosts until each has answered or the deadline has passed
  fleetctl query --labels 'All Hosts' --query 'SELECT * FROM uptime'

  # Run a saved query on Linux hosts; end when all online hosts have answered
  fleetctl query --platforms linux --query-name uptime --exit

  # Query 5% of all hosts and save the results as CSV
  fleetctl query --all --percent 5 --query-name users --output csv > users.csv

  # Start a live query, then watch it later
  fleetctl query --all --query-name users --detach
  fleetctl query attach 7

  # Query all hosts, 50 a second, and pause after a while
  fleetctl query --all --rate 50 --query-name users --detach
  fleetctl query pause 7

  # Query 50 canaries first; all other hosts follow if it takes none of them more than 5 s of CPU time
  fleetctl query --all --canaries 50 --cpu-budget 5s --query-name users";

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Subcommand)]
pub enum Command {
    /// Watch an existing live query
    #[command(after_help = example!("Watch a live query, or read its answers again", "fleetctl query attach 7"))]
    Attach(AttachArgs),
    /// List live queries
    #[command(after_help = example!("List all live queries, ended ones too", "fleetctl query list --all"))]
    List(ListArgs),
    /// Show the progress of a live query, or its hosts in one state
    #[command(after_help = example!("List the hosts that could not run a query", "fleetctl query show 7 --state failed"))]
    Show(ShowArgs),
    /// Give a live query to no further hosts; those that have it may still answer
    #[command(after_help = example!("Give a query to no further hosts for now", "fleetctl query pause 7"))]
    Pause(JobArgs),
    /// Go on with a paused live query
    #[command(after_help = example!("Go on", "fleetctl query resume 7"))]
    Resume(JobArgs),
    /// Give a live query to the hosts that wait for its canaries
    #[command(after_help = example!("Wait for the canaries no longer", "fleetctl query promote 7"))]
    Promote(JobArgs),
    /// Change how many hosts a second are given a live query
    #[command(after_help = example!("Give a query to 50 hosts a second", "fleetctl query rate 7 50"))]
    Rate(RateArgs),
    /// Cancel a live query
    #[command(after_help = example!("End a live query", "fleetctl query cancel 7"))]
    Cancel(JobArgs),
}

#[derive(Default, clap::Args)]
pub struct AskArgs {
    /// SQL to run
    #[arg(long, env = "QUERY", hide_env_values = true, value_name = "SQL", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::in_sql))]
    pub query: Option<String>,
    /// Name of a saved query to run instead of --query
    #[arg(long, env = "QUERYNAME", hide_env_values = true, value_name = "NAME", add = ArgValueCompleter::new(completion::queries))]
    pub query_name: Option<String>,
    /// Run the query only on hosts where this SQL returns rows; other hosts count as skipped
    #[arg(long, value_name = "SQL", allow_hyphen_values = true, add = ArgValueCompleter::new(completion::in_sql))]
    pub discovery: Option<String>,
    /// Time hosts have to answer, such as 1h [default: live.deadline of the server]
    #[arg(long, value_name = "DURATION", value_parser = go_duration)]
    pub deadline: Option<Duration>,
    /// Maximum number of hosts per second that are given the query; 0 for no limit [default: live.rate of the server]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Number of hosts that are given the query first; 0 for all at once [default: 20 of more than 1000, or as the server says]
    #[arg(long, value_name = "N")]
    pub canaries: Option<u32>,
    /// CPU time the query may take on one host, such as 30s; 0 for no limit [default: live.cpu_budget of the server]
    #[arg(long, value_name = "DURATION", value_parser = go_duration)]
    pub cpu_budget: Option<Duration>,
    /// CPU time the query may take on all hosts together; 0 for no limit [default: live.fleet_cpu_budget of the server]
    #[arg(long, value_name = "DURATION", value_parser = go_duration)]
    pub fleet_cpu_budget: Option<Duration>,
    /// Start the live query, print its ID and exit
    #[arg(long)]
    pub detach: bool,
    /// Do not cancel the live query when fleetctl exits early
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub targets: TargetArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Default, clap::Args)]
#[command(next_help_heading = "Targets")]
pub struct TargetArgs {
    /// Hosts by host name, computer name, UUID or host identifier; added to the hosts of --labels and --platforms
    #[arg(long, env = "HOSTS", hide_env_values = true, value_delimiter = ',', value_name = "HOST,...", add = ArgValueCompleter::new(completion::hosts))]
    pub hosts: Vec<String>,
    /// Hosts with any of these labels
    #[arg(long, env = "LABELS", hide_env_values = true, value_delimiter = ',', value_name = "LABEL,...", add = ArgValueCompleter::new(completion::labels))]
    pub labels: Vec<String>,
    /// Hosts with any of these platforms, such as darwin or ubuntu; linux matches every distribution. With --labels, hosts must match both
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM,...")]
    pub platforms: Vec<String>,
    /// All hosts
    #[arg(long)]
    pub all: bool,
    /// Exclude these hosts
    #[arg(long, value_delimiter = ',', value_name = "HOST,...", add = ArgValueCompleter::new(completion::hosts))]
    pub exclude_hosts: Vec<String>,
    /// Exclude hosts with any of these labels
    #[arg(long, value_delimiter = ',', value_name = "LABEL,...", add = ArgValueCompleter::new(completion::labels))]
    pub exclude_labels: Vec<String>,
    /// Maximum number of targeted hosts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_hosts: Option<u64>,
    /// Maximum number of online hosts of each platform and osquery version; without other targets of live.try_label of the server
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub per_version: Option<u32>,
    /// Percentage of the matching hosts to target
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,
}

#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Output options")]
pub struct WatchArgs {
    /// Exit when all online hosts have answered
    #[arg(long, env = "EXIT", hide_env_values = true, action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub exit: bool,
    /// Exit after this time, such as 30s; 0 disables the timeout
    #[arg(long, env = "TIMEOUT", hide_env_values = true, value_name = "DURATION", value_parser = go_duration)]
    pub timeout: Option<Duration>,
    /// Do not print progress and summary
    #[arg(long, env = "QUIET", hide_env_values = true, action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// Print one table per host
    #[arg(long, env = "PRETTY", hide_env_values = true, action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub pretty: bool,
    /// Output format: ndjson, json, csv or table [default: ndjson]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub output: Option<AnswerFormat>,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// One JSON object per host and line, as they arrive
    Ndjson,
    /// One JSON array with one object per host
    Json,
    /// Comma-separated values at the end
    Csv,
    /// One table at the end
    Table,
}

#[derive(clap::Args)]
pub struct AttachArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// Print only answers after this position
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub cursor: u64,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(clap::Args)]
pub struct JobArgs {
    /// ID of the live query, as shown by fleetctl query list
    #[arg(value_name = "ID", add = ArgValueCompleter::new(completion::open_live_queries))]
    pub id: i64,
}

#[derive(clap::Args)]
pub struct RateArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// Hosts per second; 0 for no limit
    #[arg(value_name = "N")]
    pub rate: u32,
}

#[derive(clap::Args)]
pub struct ListArgs {
    /// Also list live queries that have ended
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub format: JobFormat,
}

#[derive(clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// List the hosts in this state
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
