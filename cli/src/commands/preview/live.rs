use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use muster_api::rest::{HostStatus, SecretsSpec};
use tokio::time::{Instant, sleep};

use super::dir::{PreviewDir, shown};
use super::hosts::SimulatedHosts;
use super::packs::apply_starter_packs;
use super::progress::StartProgress;
use super::sign_in::sign_in;
use super::summary::summary;
use crate::contexts::ServerContext;
use crate::output;
use crate::rest::RestClient;

/// How often the server is polled.
const POLL: Duration = Duration::from_millis(500);
/// How long to wait for hosts to come online.
const HOSTS_TIMEOUT: Duration = Duration::from_secs(180);

/// Settings of a preview.
pub struct PreviewSetup<'a> {
    pub dir: &'a PreviewDir,
    pub progress: &'a StartProgress,
    pub port: u16,
    pub hosts: u32,
    pub debug: bool,
}

/// Starts the preview and keeps it running. Returns only on failure; the caller stops the `hosts`.
pub async fn live(plan: &PreviewSetup<'_>, hosts: &mut Option<SimulatedHosts>) -> anyhow::Error {
    match bring_up(plan, hosts).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn bring_up(plan: &PreviewSetup<'_>, hosts: &mut Option<SimulatedHosts>) -> anyhow::Result<Infallible> {
    let PreviewSetup { dir, progress, .. } = plan;
    let address = format!("https://127.0.0.1:{}", plan.port);
    progress.doing("waiting for the server");
    let server = reach(&address, plan).await;
    progress.done(&format!("server is running at {address}"));

    let server = sign_in(&server, &address, dir).await?;
    progress.done(&format!("logged in; session saved in {}", shown(&dir.contexts())));
    progress.doing("applying starter packs");
    progress.done(&apply_starter_packs(&server).await?);

    let secrets: SecretsSpec = server.get("spec/enroll_secret").await?;
    let secret = secrets.spec.secrets.into_iter().next();
    let secret = secret.context("the server has no enroll secret; start over with: fleetctl preview reset")?.secret;
    let results_before = size(&dir.results());
    let hosts = hosts.insert(SimulatedHosts::start(plan.hosts, &secret, &address, dir)?);

    let deadline = Instant::now() + HOSTS_TIMEOUT;
    let wanted = plan.hosts as usize;
    let online = wait_for_hosts(&server, wanted, progress, deadline).await?;
    match online {
        online if online >= wanted => progress.done(&format!("{online} hosts are online")),
        online => {
            progress.done(&format!("only {online} of {wanted} hosts are online; see {}", shown(&dir.server_log())))
        }
    }
    // Also saved on exit, but the process may be killed.
    hosts.save_keys(dir)?;
    progress.doing("waiting for the first results");
    while size(&dir.results()) <= results_before && Instant::now() < deadline {
        sleep(POLL).await;
    }
    if size(&dir.results()) > results_before {
        progress.done(&format!("results are written to {}", shown(&dir.results())));
    }
    progress.finish();
    output::data(&summary(dir, &address, online))?;
    std::future::pending().await
}

/// Waits until the server responds with its self-signed certificate. The caller watches the process.
async fn reach(address: &str, plan: &PreviewSetup<'_>) -> RestClient {
    let rootca = plan.dir.certificate();
    let context =
        ServerContext { address: address.to_owned(), rootca: rootca.display().to_string(), ..ServerContext::default() };
    loop {
        // The client cannot be created before the certificate file is complete.
        if rootca.is_file()
            && let Ok(server) = RestClient::new(&context, plan.debug)
            && server.is_healthy().await
        {
            return server;
        }
        sleep(POLL).await;
    }
}

async fn wait_for_hosts(
    server: &RestClient,
    wanted: usize,
    progress: &StartProgress,
    deadline: Instant,
) -> anyhow::Result<usize> {
    let mut online = 0;
    loop {
        // Requests may fail while all hosts enroll; a lasting error is reported at the deadline.
        let asked = server.get::<muster_api::rest::HostList>("hosts").await;
        if let Ok(found) = &asked {
            online = found.hosts.iter().filter(|host| host.status == HostStatus::Online).count();
            let enrolled = found.hosts.len();
            progress.doing(&format!("hosts: {enrolled} enrolled, {online}/{wanted} online"));
        }
        if online >= wanted || Instant::now() >= deadline {
            asked?;
            return Ok(online);
        }
        sleep(POLL).await;
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
