mod carves;
mod documents;
mod examples;
mod fetch;
mod format;
mod host;
mod hosts;
mod print;
mod schema;
mod settings;
mod specs;
mod statistics;
mod user_roles;

use std::path::PathBuf;

use clap::Subcommand;
use clap_complete::ArgValueCompleter;

use self::format::DocumentFormat;
pub use self::format::ReportFormat;
pub use self::statistics::cause as restart_cause;
use super::host_filters::FilterArgs;
use super::{ClientSession, completion};

pub const EXAMPLES: &str = "\
Examples:
  # List all hosts, with more columns
  fleetctl get hosts -o wide

  # Run something for each pack
  fleetctl get packs -o name | while read -r pack; do fleetctl get pack \"$pack\" > \"$pack.yml\"; done

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

  # Download the files that a host has sent
  fleetctl get carve 12 --outfile carve-12.tar

  # Export all packs with their queries
  fleetctl get packs --with-queries --yaml > packs.yml";

#[derive(Subcommand)]
pub enum Resource {
    /// List saved queries or show one
    #[command(aliases = ["query", "q"], after_help = examples::QUERIES)]
    Queries(QueryArgs),
    /// List packs or show one
    #[command(aliases = ["pack", "p"], after_help = examples::PACKS)]
    Packs(PackArgs),
    /// Show the schedule that all hosts run
    #[command(name = "global_schedule", aliases = ["schedule", "global-schedule"], after_help = examples::GLOBAL_SCHEDULE)]
    GlobalSchedule(DocumentFormat),
    /// List labels or show one
    #[command(aliases = ["label", "l"], after_help = examples::LABELS)]
    Labels(LabelArgs),
    /// List hosts or show one
    #[command(aliases = ["host", "h"], after_help = examples::HOSTS)]
    Hosts(HostArgs),
    /// Show the enroll secrets
    #[command(name = "enroll_secret", aliases = ["enroll_secrets", "enroll-secret", "enroll-secrets"])]
    #[command(after_help = examples::ENROLL_SECRET)]
    EnrollSecret(SecretArgs),
    /// List users and their roles
    #[command(name = "user_roles", aliases = ["user_role", "ur"], after_help = examples::USER_ROLES)]
    UserRoles(DocumentFormat),
    /// Show the agent options
    #[command(after_help = examples::OPTIONS)]
    Options(DocumentFormat),
    /// Show the server configuration
    #[command(after_help = examples::CONFIG)]
    Config(ConfigArgs),
    /// Show whether documents come from a folder of the server, and how that goes
    #[command(name = "documents-status", alias = "documents_status", after_help = examples::DOCUMENTS_STATUS)]
    DocumentsStatus(ReportFormat),
    /// Show what scheduled queries cost their hosts: all of them, today and yesterday, or one in detail
    #[command(after_help = examples::STATS)]
    Stats(StatsArgs),
    /// List the scheduled queries that agents refuse to run because the query stopped the worker
    #[command(after_help = examples::DENYLIST)]
    Denylist(DenylistArgs),
    /// List the workers of agents that were replaced while their host went on
    #[command(after_help = examples::RESTARTS)]
    Restarts(RestartArgs),
    /// List the tables that agents have, or show the columns of one
    #[command(after_help = examples::SCHEMA)]
    Schema(SchemaArgs),
    /// List carves: files that hosts have sent
    #[command(after_help = examples::CARVES)]
    Carves(CarvesArgs),
    /// Show a carve, or download its contents
    #[command(after_help = examples::CARVE)]
    Carve(CarveArgs),
}

#[derive(clap::Args)]
pub struct QueryArgs {
    /// Name of the query to show, as YAML unless another format is given
    #[arg(add = ArgValueCompleter::new(completion::queries))]
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
}

#[derive(clap::Args)]
pub struct LabelArgs {
    /// Name of the label to show, as YAML unless another format is given
    #[arg(add = ArgValueCompleter::new(completion::labels))]
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
}

#[derive(clap::Args)]
pub struct HostArgs {
    /// Host to show: UUID, host name or host identifier
    #[arg(conflicts_with = "FilterArgs", add = ArgValueCompleter::new(completion::hosts))]
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
    /// Explain for each scheduled query why the host runs it or not
    #[arg(long, requires = "name", conflicts_with_all = ["yaml", "json", "output"])]
    why: bool,
    /// Print comma-separated values, with all columns, while the server sends them
    #[arg(long, conflicts_with_all = ["name", "yaml", "json", "output", "ndjson"])]
    csv: bool,
    /// Columns of --csv, by the keys that --json shows, separated by commas
    #[arg(long, requires = "csv", value_name = "NAMES")]
    columns: Option<String>,
    /// Print one JSON object per line as the REST API has it, while the server sends them
    #[arg(long, conflicts_with_all = ["name", "yaml", "json", "output"])]
    ndjson: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

#[derive(clap::Args)]
pub struct PackArgs {
    /// Name of the pack to show, as YAML unless another format is given
    #[arg(add = ArgValueCompleter::new(completion::packs))]
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
    /// Also print the queries that the packs schedule
    #[arg(long)]
    with_queries: bool,
}

#[derive(clap::Args)]
pub struct SecretArgs {
    #[command(flatten)]
    format: DocumentFormat,
    /// Print only the newest secret, as an agent's enroll_secret_path file has it
    #[arg(long, conflicts_with_all = ["yaml", "json", "output"])]
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
    #[arg(add = ArgValueCompleter::new(completion::scheduled_queries))]
    name: Option<String>,
    /// Pack that schedules the query
    #[arg(long, requires = "name", add = ArgValueCompleter::new(completion::packs))]
    pack: Option<String>,
    /// Also show the cost on the hosts of this label, since their agents last began to count
    #[arg(long, requires = "name", add = ArgValueCompleter::new(completion::labels))]
    label: Option<String>,
    /// Days to look back
    #[arg(long, requires = "name", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    #[command(flatten)]
    format: ReportFormat,
}

#[derive(clap::Args)]
pub struct DenylistArgs {
    /// Also list queries that agents run again
    #[arg(long)]
    lifted: bool,
    #[command(flatten)]
    format: ReportFormat,
}

#[derive(clap::Args)]
pub struct RestartArgs {
    #[command(flatten)]
    format: ReportFormat,
}

#[derive(clap::Args)]
pub struct SchemaArgs {
    /// Table to show with its columns
    #[arg(add = ArgValueCompleter::new(completion::tables))]
    table: Option<String>,
    /// Only hosts with any of these platforms, such as darwin or ubuntu; linux matches every distribution
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM,...")]
    platform: Vec<String>,
    /// Only hosts with this version of osquery
    #[arg(long, value_name = "VERSION")]
    osquery_version: Option<String>,
    /// Only hosts with this label
    #[arg(long, add = ArgValueCompleter::new(completion::labels))]
    label: Option<String>,
    /// Also list tables and columns that too few hosts have reported
    #[arg(long)]
    unagreed: bool,
    #[command(flatten)]
    format: ReportFormat,
}

#[derive(clap::Args)]
pub struct CarvesArgs {
    #[command(flatten)]
    format: DocumentFormat,
    /// Also list carves whose contents have been removed
    #[arg(long)]
    expired: bool,
    /// Only carves that this live query has asked for
    #[arg(long, value_name = "ID")]
    live_query: Option<u64>,
}

#[derive(clap::Args)]
pub struct CarveArgs {
    /// Number of the carve, as fleetctl get carves shows it, or the carve_guid in the result that asked for it
    id: String,
    #[command(flatten)]
    format: DocumentFormat,
    /// Write the contents to standard output
    #[arg(long, conflicts_with_all = ["yaml", "json", "output", "outfile"])]
    stdout: bool,
    /// Write the contents to this file; a download that was interrupted goes on where it was
    #[arg(long, value_name = "FILE", conflicts_with_all = ["yaml", "json", "output"])]
    outfile: Option<PathBuf>,
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
        Resource::DocumentsStatus(format) => documents::status(&server, format).await,
        Resource::Stats(args) => statistics::stats(&server, args).await,
        Resource::Denylist(args) => statistics::denylist(&server, args).await,
        Resource::Restarts(args) => statistics::restarts(&server, args).await,
        Resource::Schema(args) => schema::schema(&server, args).await,
        Resource::Carves(args) => carves::carves(&server, args).await,
        Resource::Carve(args) => carves::carve(&server, args).await,
    }
}
