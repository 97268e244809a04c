mod fetch;
mod host;
mod hosts;
mod print;
mod schema;
mod settings;
mod specs;
mod statistics;
mod user_roles;

use clap::Subcommand;
use clap_complete::ArgValueCompleter;

pub use self::statistics::cause as restart_cause;
use super::{ClientSession, completion};

pub const EXAMPLES: &str = "\
Examples:
  # List all hosts
  fleetctl get hosts

  # Export some columns of all hosts for a spreadsheet
  fleetctl get hosts --csv --columns hostname,platform,osquery_version > hosts.csv

  # Show one host and explain which scheduled queries it runs
  fleetctl get host web-1.example.com --why

  # Write the enroll secret as agents read it
  fleetctl get enroll_secret --plain > enroll_secret

  # Show what a scheduled query costs its hosts, over a month
  fleetctl get stats base/listening_ports --days 30

  # Show the columns of a table, and which hosts lack it
  fleetctl get schema processes

  # Export all packs with their queries
  fleetctl get packs --with-queries --yaml > packs.yml";

#[derive(Subcommand)]
pub enum Resource {
    /// List saved queries or show one
    #[command(visible_aliases = ["query", "q"])]
    Queries(Args),
    /// List packs or show one
    #[command(visible_aliases = ["pack", "p"])]
    Packs(PackArgs),
    /// Show the schedule that all hosts run
    #[command(name = "global_schedule", alias = "schedule", visible_alias = "global-schedule")]
    GlobalSchedule(DocumentFormat),
    /// List labels or show one
    #[command(visible_aliases = ["label", "l"])]
    Labels(Args),
    /// List hosts or show one
    #[command(visible_aliases = ["host", "h"])]
    Hosts(HostArgs),
    /// Show the enroll secrets
    #[command(name = "enroll_secret", visible_aliases = ["enroll_secrets", "enroll-secret", "enroll-secrets"])]
    EnrollSecret(SecretArgs),
    /// List users and their roles
    #[command(name = "user_roles", visible_aliases = ["user_role", "ur"])]
    UserRoles(DocumentFormat),
    /// Show the agent options
    Options(DocumentFormat),
    /// Show the server configuration
    Config(ConfigArgs),
    /// Show what scheduled queries cost their hosts: all of them, today and yesterday, or one in detail
    Stats(StatsArgs),
    /// List the scheduled queries that agents refuse to run because the query stopped the worker
    Denylist(DenylistArgs),
    /// List the workers of agents that were replaced while their host went on
    Restarts(RestartArgs),
    /// List the tables that agents have, or show the columns of one
    Schema(SchemaArgs),
}

#[derive(clap::Args)]
pub struct Args {
    /// Name of the object to show, as YAML unless --json is given
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
}

#[derive(clap::Args)]
pub struct HostArgs {
    /// Host to show: UUID, host name or host identifier
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
    /// Explain for each scheduled query why the host runs it or not
    #[arg(long, requires = "name", conflicts_with_all = ["yaml", "json"])]
    why: bool,
    /// Print comma-separated values, with all columns, while the server sends them
    #[arg(long, conflicts_with_all = ["name", "yaml", "json", "ndjson"])]
    csv: bool,
    /// Columns of --csv, by the keys that --json shows, separated by commas
    #[arg(long, requires = "csv", value_name = "NAMES")]
    columns: Option<String>,
    /// Print one JSON object per line as the REST API has it, while the server sends them
    #[arg(long, conflicts_with_all = ["name", "yaml", "json"])]
    ndjson: bool,
}

#[derive(clap::Args)]
pub struct PackArgs {
    #[command(flatten)]
    args: Args,
    /// Also print the queries that the packs schedule
    #[arg(long)]
    with_queries: bool,
}

#[derive(clap::Args)]
pub struct SecretArgs {
    #[command(flatten)]
    format: DocumentFormat,
    /// Print only the newest secret, as an agent's enroll_secret_path file has it
    #[arg(long, conflicts_with_all = ["yaml", "json"])]
    plain: bool,
}

#[derive(clap::Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    format: DocumentFormat,
    /// Also print settings that come from the server's configuration file
    #[arg(long)]
    include_server_config: bool,
}

#[derive(clap::Args)]
pub struct StatsArgs {
    /// Scheduled query to show: NAME or PACK/NAME
    name: Option<String>,
    /// Pack that schedules the query
    #[arg(long, requires = "name")]
    pack: Option<String>,
    /// Also show the cost on the hosts of this label, since their agents last began to count
    #[arg(long, requires = "name")]
    label: Option<String>,
    /// Days to look back
    #[arg(long, requires = "name", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Print one JSON object as the REST API has it
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct DenylistArgs {
    /// Also list queries that agents run again
    #[arg(long)]
    lifted: bool,
    /// Print one JSON object per line as the REST API has it
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct RestartArgs {
    /// Print one JSON object per line as the REST API has it
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct SchemaArgs {
    /// Table to show with its columns
    #[arg(add = ArgValueCompleter::new(completion::names))]
    table: Option<String>,
    /// Only hosts with any of these platforms, such as darwin or ubuntu; linux matches every distribution
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM,...")]
    platform: Vec<String>,
    /// Only hosts with this version of osquery
    #[arg(long, value_name = "VERSION")]
    osquery_version: Option<String>,
    /// Only hosts with this label
    #[arg(long)]
    label: Option<String>,
    /// Also list tables and columns that too few hosts have reported
    #[arg(long)]
    unagreed: bool,
    /// Print YAML as the REST API has it
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print one JSON object as the REST API has it
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::Args)]
pub struct DocumentFormat {
    /// Print YAML documents that fleetctl apply accepts
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub async fn run(session: &ClientSession, resource: Resource) -> anyhow::Result<()> {
    let server = session.authenticated().await?;
    match resource {
        Resource::Queries(args) => specs::queries(&server, args).await,
        Resource::Packs(args) => specs::packs(&server, args).await,
        Resource::GlobalSchedule(format) => settings::global_schedule(&server, format).await,
        Resource::Labels(args) => specs::labels(&server, args).await,
        Resource::Hosts(args) => hosts::hosts(&server, args).await,
        Resource::EnrollSecret(args) => settings::enroll_secret(&server, args).await,
        Resource::UserRoles(format) => user_roles::user_roles(&server, format).await,
        Resource::Options(format) => settings::options(&server, format).await,
        Resource::Config(args) => settings::config(&server, args).await,
        Resource::Stats(args) => statistics::stats(&server, args).await,
        Resource::Denylist(args) => statistics::denylist(&server, args).await,
        Resource::Restarts(args) => statistics::restarts(&server, args).await,
        Resource::Schema(args) => schema::schema(&server, args).await,
    }
}
