//! `fleetctl hosts`: changes hosts.

use std::io::IsTerminal as _;

use anyhow::{anyhow, bail};
use clap::Subcommand;
use clap_complete::ArgValueCompleter;
use muster_api::rest::{HostCount, HostDetail, HostEnvelope, HostFilters, HostView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::host_filters::{FilterArgs, with_filters};
use super::{ClientSession, completion, login};
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

  # Show the offline hosts that are called kiosk, then delete them
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

/// The body of `POST hosts/delete` that names no host.
#[derive(Serialize)]
struct DeleteByFilter<'a> {
    filters: &'a HostFilters,
    dry_run: bool,
}

/// The part of a list of hosts that is shown.
#[derive(Deserialize)]
struct FirstHosts {
    hosts: Vec<FirstHost>,
}

#[derive(Deserialize)]
struct FirstHost {
    id: i64,
    uuid: String,
    display_text: String,
}

/// Hosts that are named before they are deleted by what they have in common.
const SHOWN: usize = 20;

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

async fn delete(session: &ClientSession, args: DeleteArgs) -> anyhow::Result<()> {
    let names = args.named.all()?;
    match (names.is_empty(), args.filters.are_given()) {
        (true, false) => {
            bail!("name hosts, or what they have in common, such as --label, --status or --search-query")
        }
        (false, true) => {
            bail!("hosts that are named cannot be used together with what hosts have in common, such as --status")
        }
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
    let shown = |host: &HostView| described(&host.display_text, host.id, &host.uuid);
    let line = |host: &HostDetail| format!("[+] {deleted} host {}\n", shown(&host.host));
    output::data(&hosts.iter().map(line).collect::<String>())
}

async fn delete_filtered(server: &RestClient, args: &DeleteArgs) -> anyhow::Result<()> {
    let filters = args.filters.of(server).await?;
    let dry = DeleteByFilter { filters: &filters, dry_run: true };
    let HostCount { count } = server.post("hosts/delete", &dry).await?;
    let (hosts, shown) = (counted(count), args.filters.shown());
    if count == 0 {
        return output::line(&format!("[+] would've deleted {hosts} ({shown})"));
    }
    if args.dry_run {
        let first = first_of(server, &filters, count).await?;
        return output::data(&format!("[+] would've deleted {hosts} ({shown}):\n{first}"));
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            bail!("{hosts} would be deleted ({shown}); see which with --dry-run, and confirm it with --yes");
        }
        output::note(first_of(server, &filters, count).await?.trim_end());
        let answer = login::ask(&format!("Delete {hosts} ({shown})? Type the number to confirm: "))?;
        if answer != count.to_string() {
            bail!("not confirmed; nothing was deleted");
        }
    }
    let _: Value = server.post("hosts/delete", &DeleteByFilter { filters: &filters, dry_run: false }).await?;
    output::line(&format!("[+] deleted {hosts} ({shown})"))
}

/// The first of these hosts by name, one a line, and how many more there are.
async fn first_of(server: &RestClient, filters: &HostFilters, count: u64) -> anyhow::Result<String> {
    let page = [("per_page", SHOWN.to_string()), ("order_key", "hostname".to_owned())];
    let page = page.each_ref().map(|(name, value)| (*name, value.as_str()));
    let first: FirstHosts = server.get(&with_filters("hosts", filters, &page)).await?;
    let mut lines = String::new();
    for host in &first.hosts {
        lines.push_str(&format!("    {}\n", described(&host.display_text, host.id, &host.uuid)));
    }
    let more = count.saturating_sub(first.hosts.len() as u64);
    if more > 0 {
        lines.push_str(&format!("    and {more} more\n"));
    }
    Ok(lines)
}

fn described(name: &str, id: i64, uuid: &str) -> String {
    format!("{name:?} (ID {id}, UUID {})", output::printable(uuid))
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
    fn names_are_taken_once() {
        let named = NamedHosts {
            names: vec!["a".to_owned(), " b ".to_owned()],
            hosts: vec!["a".to_owned(), String::new(), "c".to_owned()],
        };
        assert_eq!(named.all().unwrap(), ["a", "b", "c"]);
        let filters = HostFilters { status: Some("missing".to_owned()), ..HostFilters::default() };
        let body = serde_json::to_value(DeleteByFilter { filters: &filters, dry_run: true }).unwrap();
        assert_eq!((&body["filters"]["status"], &body["dry_run"]), (&json!("missing"), &json!(true)));
        assert_eq!((counted(1), counted(2)), ("1 host".to_owned(), "2 hosts".to_owned()));
    }
}
