use std::io::IsTerminal as _;

use chrono::SecondsFormat;
use muster_api::rest::{HostFilters, HostList, HostStatus, HostView};

use super::host::host;
use super::print::{self, PrintedDocument};
use super::{HostArgs, format};
use crate::commands::host_filters::with_filters;
use crate::commands::hosts::named;
use crate::rest::RestClient;
use crate::{output, table};

/// Prints hosts while the server reads them.
async fn export(server: &RestClient, args: &HostArgs, filters: &HostFilters) -> anyhow::Result<()> {
    let format = ("format", if args.csv { "csv" } else { "ndjson" });
    let parameters: Vec<_> =
        std::iter::once(format).chain(args.columns.as_deref().map(|names| ("columns", names))).collect();
    let path = with_filters("hosts/report", filters, &parameters);
    if !std::io::stdout().is_terminal() {
        return server.copy(&path, output::bytes).await;
    }
    let mut lines = server.lines(&path).await?;
    while let Some(line) = lines.next().await? {
        output::line(output::printable(&String::from_utf8_lossy(&line.bytes)).trim_end())?;
    }
    Ok(())
}

pub async fn hosts(server: &RestClient, args: HostArgs) -> anyhow::Result<()> {
    let format = args.format;
    let filters = args.filters.of(server).await?;
    let found = match &args.name {
        Some(identifier) if args.why || format.is_documents(true) => return host(server, identifier, &args).await,
        Some(identifier) => vec![named(server, identifier).await?.host],
        None if args.csv || args.ndjson => return export(server, &args, &filters).await,
        None if format.is_names() => return names(server, &filters).await,
        None => server.get::<HostList>(&with_filters("hosts", &filters, &[])).await?.hosts,
    };
    if format.is_documents(false) {
        return print::items(&PrintedDocument::all("host", &found)?, format);
    }
    if format.is_names() {
        return format::names(found.iter().map(name));
    }
    if found.is_empty() {
        output::note("No hosts found");
        return Ok(());
    }
    let rows = found.into_iter().map(|host| {
        let mut row =
            vec![host.uuid, host.hostname, host.platform, host.osquery_version, status(host.status).to_owned()];
        if format.is_wide() {
            let seen = host.seen_time.to_rfc3339_opts(SecondsFormat::Secs, true);
            row.extend([host.id.to_string(), host.computer_name, host.os_version, host.primary_ip]);
            row.extend([host.hardware_serial, seen, host.enroll_secret_name]);
        }
        row
    });
    let wide: &[&str] = if format.is_wide() { &WIDE_COLUMNS } else { &[] };
    output::data(&table::grid(&[&["uuid", "hostname", "platform", "osquery_version", "status"], wide].concat(), rows))
}

const WIDE_COLUMNS: [&str; 7] =
    ["id", "computer_name", "os_version", "primary_ip", "hardware_serial", "seen_time", "enroll_secret_name"];

/// What a host is called, also before its agent has said.
fn name(host: &HostView) -> &str {
    if host.hostname.is_empty() { &host.uuid } else { &host.hostname }
}

/// Prints the names of hosts while the server reads them.
async fn names(server: &RestClient, filters: &HostFilters) -> anyhow::Result<()> {
    let mut lines = server.lines(&with_filters("hosts/report", filters, &[("format", "ndjson")])).await?;
    while let Some(line) = lines.next().await? {
        let host: HostView =
            serde_json::from_slice(&line.bytes).map_err(|cause| lines.unreadable_line(&line, cause))?;
        format::names([name(&host)])?;
    }
    Ok(())
}

fn status(status: HostStatus) -> &'static str {
    match status {
        HostStatus::Online => "online",
        HostStatus::Offline => "offline",
    }
}
