use std::io::IsTerminal as _;

use muster_api::rest::{HostList, HostStatus};

use super::HostArgs;
use super::host::host;
use super::print::{self, PrintedDocument};
use crate::rest::{RestClient, segment};
use crate::{output, table};

/// Prints all hosts while the server reads them.
async fn export(server: &RestClient, args: &HostArgs) -> anyhow::Result<()> {
    let format = if args.csv { "csv" } else { "ndjson" };
    let columns = args.columns.as_deref().map(|names| format!("&columns={}", segment(names))).unwrap_or_default();
    let path = format!("hosts/report?format={format}{columns}");
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
    if let Some(identifier) = &args.name {
        return host(server, identifier, &args).await;
    }
    if args.csv || args.ndjson {
        return export(server, &args).await;
    }
    let found = server.get::<HostList>("hosts").await?.hosts;
    if args.format.is_documents(false) {
        return print::items(&PrintedDocument::all("host", &found)?, args.format);
    }
    if found.is_empty() {
        output::note("No hosts found");
        return Ok(());
    }
    let rows = found.into_iter().map(|host| {
        vec![host.uuid, host.hostname, host.platform, host.osquery_version, status(host.status).to_owned()]
    });
    output::data(&table::grid(&["uuid", "hostname", "platform", "osquery_version", "status"], rows))
}

fn status(status: HostStatus) -> &'static str {
    match status {
        HostStatus::Online => "online",
        HostStatus::Offline => "offline",
    }
}
