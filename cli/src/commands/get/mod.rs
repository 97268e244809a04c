mod fetch;
mod host;
mod hosts;
mod print;
mod settings;
mod specs;
mod user_roles;

use clap::Subcommand;

use super::ClientSession;

#[derive(Subcommand)]
pub enum Resource {
    /// Saved queries, or one of them
    #[command(visible_aliases = ["query", "q"])]
    Queries(Args),
    /// Packs, or one of them
    #[command(visible_aliases = ["pack", "p"])]
    Packs(PackArgs),
    /// Labels, or one of them
    #[command(visible_aliases = ["label", "l"])]
    Labels(Args),
    /// Hosts, or one of them by UUID, host name or identifier
    #[command(visible_aliases = ["host", "h"])]
    Hosts(HostArgs),
    /// Secrets that agents may enroll with
    #[command(name = "enroll_secret", visible_aliases = ["enroll_secrets", "enroll-secret", "enroll-secrets"])]
    EnrollSecret(DocumentFormat),
    /// What users may do
    #[command(name = "user_roles", visible_aliases = ["user_role", "ur"])]
    UserRoles(DocumentFormat),
    /// The server's configuration, as `apply` takes it
    Config(ConfigArgs),
}

#[derive(clap::Args)]
pub struct Args {
    /// Show only this one, as YAML unless --json is given
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
}

#[derive(clap::Args)]
pub struct HostArgs {
    /// Show only this one, as YAML unless --json is given
    name: Option<String>,
    #[command(flatten)]
    format: DocumentFormat,
    /// Show which scheduled queries the host runs, and why or why not
    #[arg(long, requires = "name", conflicts_with_all = ["yaml", "json"])]
    why: bool,
}

#[derive(clap::Args)]
pub struct PackArgs {
    #[command(flatten)]
    args: Args,
    /// Append the queries that the packs schedule
    #[arg(long)]
    with_queries: bool,
}

#[derive(clap::Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    format: DocumentFormat,
    /// Include what only the server's own configuration sets
    #[arg(long)]
    include_server_config: bool,
}

#[derive(Clone, Copy, clap::Args)]
pub struct DocumentFormat {
    /// Print YAML documents, which `apply` takes back
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
        Resource::Labels(args) => specs::labels(&server, args).await,
        Resource::Hosts(args) => hosts::hosts(&server, args).await,
        Resource::EnrollSecret(format) => settings::enroll_secret(&server, format).await,
        Resource::UserRoles(format) => user_roles::user_roles(&server, format).await,
        Resource::Config(args) => settings::config(&server, args).await,
    }
}
