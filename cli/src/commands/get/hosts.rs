use muster_api::rest::{HostList, HostStatus};

use super::HostArgs;
use super::host::host;
use super::print::{self, PrintedDocument};
use crate::rest::RestClient;
use crate::{output, table};

pub async fn hosts(server: &RestClient, args: HostArgs) -> anyhow::Result<()> {
    if let Some(identifier) = &args.name {
        return host(server, identifier, &args).await;
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
