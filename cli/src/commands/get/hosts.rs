use anyhow::bail;
use muster_api::rest::{HostEnvelope, HostStatus, Hosts};

use super::Args;
use super::print::{self, Item};
use crate::rest::{RestError, Server, segment};
use crate::{output, table};

pub async fn hosts(server: &Server, args: Args) -> anyhow::Result<()> {
    if let Some(identifier) = &args.name {
        return one(server, identifier, &args).await;
    }
    let found = server.get::<Hosts>("hosts").await?.hosts;
    if args.format.is_documents(false) {
        return print::items(&Item::all("host", &found)?, args.format);
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

async fn one(server: &Server, identifier: &str, args: &Args) -> anyhow::Result<()> {
    match server.get::<HostEnvelope>(&format!("hosts/identifier/{}", segment(identifier))).await {
        Ok(found) => print::items(&[Item::new("host", &found.host)?], args.format),
        Err(RestError::NotFound(_)) => {
            bail!("there is no host {identifier:?}; list what there is with: fleetctl get hosts")
        }
        Err(error) => Err(error.into()),
    }
}

fn status(status: HostStatus) -> &'static str {
    match status {
        HostStatus::Online => "online",
        HostStatus::Offline => "offline",
    }
}
