//! `fleetctl hosts`: changes hosts.

use std::io::IsTerminal as _;

use anyhow::{anyhow, bail};
use clap::{Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use muster_api::rest::{HostDetail, HostEnvelope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ClientSession, completion, labels, login};
use crate::output;
use crate::rest::{RestClient, RestError, segment};

pub const EXAMPLES: &str = "\
Examples:
  # Show which hosts would be deleted that were not seen for 30 days
  fleetctl hosts delete --status missing --dry-run

  # Ask a host for all of its details again
  fleetctl hosts refetch web-1.example.com";

const DELETE_EXAMPLES: &str = "\
Examples:
  # Delete two hosts
  fleetctl hosts delete web-1.example.com web-2.example.com

  # Count the offline hosts that are called kiosk, then delete them
  fleetctl hosts delete --status offline --search-query kiosk --dry-run
  fleetctl hosts delete --status offline --search-query kiosk --yes";

const REFETCH_EXAMPLES: &str = "\
Examples:
  # Ask two hosts for all of their details and labels
  fleetctl hosts refetch web-1.example.com web-2.example.com";

/// Hosts that one command may name.
const MOST_NAMED: usize = 10_000;

#[derive(Subcommand)]
pub enum Command {
    /// Delete hosts. One whose agent still runs enrolls again, as a new host
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
    /// Ask hosts for all of their details and labels with their next check-in
    #[command(after_help = REFETCH_EXAMPLES)]
    Refetch(RefetchArgs),
}

#[derive(clap::Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    named: NamedHosts,
    /// Show what would be deleted without deleting anything
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before hosts are deleted by what they have in common
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

#[derive(clap::Args)]
pub struct RefetchArgs {
    #[command(flatten)]
    named: NamedHosts,
}

#[derive(clap::Args)]
pub struct NamedHosts {
    /// Hosts: UUIDs, host names or host identifiers
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(completion::hosts))]
    names: Vec<String>,
    /// The same, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "HOST,...", add = ArgValueCompleter::new(completion::hosts))]
    hosts: Vec<String>,
}

/// What hosts have in common; a host must match all that is given.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "Hosts by what they have in common")]
pub struct FilterArgs {
    /// Hosts with this label
    #[arg(long, add = ArgValueCompleter::new(completion::labels))]
    label: Option<String>,
    /// Hosts with this status: online, offline, new (enrolled within a day) or missing (not seen for 30 days)
    #[arg(long, value_name = "STATUS", hide_possible_values = true)]
    status: Option<StatusFilter>,
    /// Hosts with this in a name, identifier or address, in any case
    #[arg(long, alias = "search_query", value_name = "TEXT")]
    search_query: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum StatusFilter {
    Online,
    Offline,
    New,
    #[value(alias = "mia")]
    Missing,
}

impl StatusFilter {
    fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::New => "new",
            Self::Missing => "missing",
        }
    }
}

/// The body of `POST hosts/delete` that names no host.
#[derive(Serialize)]
struct DeleteByFilter<'a> {
    filters: HostFilters<'a>,
    dry_run: bool,
}

#[derive(Serialize)]
struct HostFilters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusFilter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_id: Option<i64>,
}

#[derive(Deserialize)]
struct CountedHosts {
    count: u64,
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Delete(args) => delete(session, args).await,
        Command::Refetch(args) => refetch(session, args).await,
    }
}

/// The host that is meant by a UUID, host name or identifier.
///
/// # Errors
/// That there is none, or that several are called so.
pub async fn named(server: &RestClient, identifier: &str) -> anyhow::Result<HostDetail> {
    let found = server.get::<HostEnvelope>(&format!("hosts/identifier/{}", segment(identifier))).await;
    Ok(found.map_err(|error| not_found(identifier, error))?.host)
}

/// The error of a request for one host.
pub fn not_found(identifier: &str, error: RestError) -> anyhow::Error {
    match error {
        RestError::NotFound(_) => anyhow!("there is no host {identifier:?}; list hosts with: fleetctl get hosts"),
        error => error.into(),
    }
}

impl NamedHosts {
    /// The names without blanks, each once.
    fn all(&self) -> anyhow::Result<Vec<&str>> {
        let names = self.names.iter().chain(&self.hosts).map(|name| name.trim()).filter(|name| !name.is_empty());
        let mut all: Vec<&str> = Vec::new();
        for name in names {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        if all.len() > MOST_NAMED {
            bail!("at most {MOST_NAMED} hosts can be named at once; these are {}", all.len());
        }
        Ok(all)
    }

    /// The hosts that are named, all of them or an error that tells of each that is not found.
    async fn find(server: &RestClient, names: &[&str]) -> anyhow::Result<Vec<HostDetail>> {
        let (mut hosts, mut problems) = (Vec::<HostDetail>::new(), 0_usize);
        for name in names {
            match named(server, name).await {
                // One host may be named in two ways.
                Ok(host) if hosts.iter().any(|known| known.host.id == host.host.id) => {}
                Ok(host) => hosts.push(host),
                Err(error) if is_of_one_host(&error) => {
                    output::note(&format!("{error:#}"));
                    problems += 1;
                }
                Err(error) => return Err(error),
            }
        }
        match problems {
            0 => Ok(hosts),
            1 => bail!("1 host was not found; nothing was done"),
            _ => bail!("{problems} hosts were not found; nothing was done"),
        }
    }
}

/// Whether an error is one of the name of a host, and others may well be found.
fn is_of_one_host(error: &anyhow::Error) -> bool {
    error.downcast_ref::<RestError>().is_none_or(|error| matches!(error, RestError::Invalid(_)))
}

impl FilterArgs {
    fn is_given(&self) -> bool {
        self.label.is_some() || self.status.is_some() || self.search_query.is_some()
    }

    /// What the hosts have in common, in words.
    fn shown(&self) -> String {
        let parts = [
            self.label.as_ref().map(|label| format!("label {label:?}")),
            self.status.map(|status| format!("status {}", status.word())),
            self.search_query.as_ref().map(|text| format!("{text:?} in a name or address")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

async fn delete(session: &ClientSession, args: DeleteArgs) -> anyhow::Result<()> {
    let names = args.named.all()?;
    match (names.is_empty(), args.filters.is_given()) {
        (true, false) => {
            bail!("name hosts, or what they have in common: one or more of --label, --status, --search-query")
        }
        (false, true) => bail!("hosts that are named cannot be used together with --label, --status or --search-query"),
        (false, false) => delete_named(&session.authenticated().await?, &names, args.dry_run).await,
        (true, true) => delete_filtered(&session.authenticated().await?, &args).await,
    }
}

async fn delete_named(server: &RestClient, names: &[&str], is_dry: bool) -> anyhow::Result<()> {
    let hosts = NamedHosts::find(server, names).await?;
    if !is_dry {
        let ids: Vec<i64> = hosts.iter().map(|host| host.host.id).collect();
        let _: Value = server.post("hosts/delete", &json!({ "ids": ids })).await?;
    }
    let deleted = if is_dry { "would've deleted" } else { "deleted" };
    let line = |host: &HostDetail| {
        let HostDetail { host, .. } = host;
        format!("[+] {deleted} host {:?} (ID {}, UUID {})\n", host.display_text, host.id, output::printable(&host.uuid))
    };
    output::data(&hosts.iter().map(line).collect::<String>())
}

async fn delete_filtered(server: &RestClient, args: &DeleteArgs) -> anyhow::Result<()> {
    let FilterArgs { label, status, search_query } = &args.filters;
    let label_id = match label {
        Some(label) => Some(labels::id_of(server, label).await?),
        None => None,
    };
    let filters = || HostFilters { query: search_query.as_deref(), status: *status, label_id };
    let dry = DeleteByFilter { filters: filters(), dry_run: true };
    let CountedHosts { count } = server.post("hosts/delete", &dry).await?;
    let (hosts, shown) = (counted(count), args.filters.shown());
    if args.dry_run || count == 0 {
        return output::line(&format!("[+] would've deleted {hosts} ({shown})"));
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            bail!("{hosts} would be deleted ({shown}); confirm it with --yes");
        }
        let answer = login::ask(&format!("Delete {hosts} ({shown})? Type the number to confirm: "))?;
        if answer != count.to_string() {
            bail!("not confirmed; nothing was deleted");
        }
    }
    let _: Value = server.post("hosts/delete", &DeleteByFilter { filters: filters(), dry_run: false }).await?;
    output::line(&format!("[+] deleted {hosts} ({shown})"))
}

fn counted(count: u64) -> String {
    if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") }
}

async fn refetch(session: &ClientSession, args: RefetchArgs) -> anyhow::Result<()> {
    let names = args.named.all()?;
    if names.is_empty() {
        bail!("name the hosts to refetch");
    }
    let server = session.authenticated().await?;
    for host in NamedHosts::find(&server, &names).await? {
        let host = host.host;
        let _: Value = server.post(&format!("hosts/{}/refetch", host.id), &json!({})).await?;
        output::line(&format!(
            "[+] asking host {:?} for its details and labels with its next check-in",
            host.display_text
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_once_and_what_hosts_share_is_told_in_words() {
        let named = NamedHosts {
            names: vec!["a".to_owned(), " b ".to_owned()],
            hosts: vec!["a".to_owned(), String::new(), "c".to_owned()],
        };
        assert_eq!(named.all().unwrap(), ["a", "b", "c"]);
        let filters = FilterArgs {
            label: Some("kiosks".to_owned()),
            status: Some(StatusFilter::Missing),
            search_query: Some("x".to_owned()),
        };
        assert_eq!(filters.shown(), "label \"kiosks\", status missing, \"x\" in a name or address");
        let body = DeleteByFilter {
            filters: HostFilters { query: Some("x"), status: filters.status, label_id: Some(7) },
            dry_run: true,
        };
        let expected = json!({"filters": {"query": "x", "status": "missing", "label_id": 7}, "dry_run": true});
        assert_eq!(serde_json::to_value(body).unwrap(), expected);
        assert_eq!((counted(1), counted(2)), ("1 host".to_owned(), "2 hosts".to_owned()));
    }
}
