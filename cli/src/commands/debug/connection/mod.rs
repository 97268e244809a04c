//! `fleetctl debug connection`: the steps that a host takes to reach a server, one after the other, and what to do about the
//! first that fails.

mod certificate;
mod endpoint;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use muster_tls::TlsPolicy;
use reqwest::Url;
use tokio::net::{TcpStream, lookup_host};

use crate::args::Globals;
use crate::commands::ClientSession;
use crate::contexts::ServerContext;
use crate::output;
use crate::rest::{prefix, tls_policy};

const EXAMPLES: &str = "\
Examples:
  # Check the server of the context
  fleetctl debug connection

  # Check what a host sees that is given this address and this file as --tls_server_certs
  fleetctl debug connection fleet.example.com:8080 --fleet-certificate ca.pem";

/// Time for each step, as in Fleet.
const STEP_TIME: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Address to check instead of that of the context, such as fleet.example.com:8080
    address: Option<String>,
    /// PEM file of the certificates that hosts trust; only with an address
    #[arg(long, env = "FLEET_CERTIFICATE", hide_env_values = true, value_name = "FILE")]
    fleet_certificate: Option<PathBuf>,
}

/// The server to check.
struct Server {
    url: Url,
    host: String,
    port: u16,
    policy: TlsPolicy,
    is_verified: bool,
    /// The file of certificates that is trusted, if it is not the system's.
    trusted: Option<String>,
    url_prefix: String,
}

pub async fn run(globals: &Globals, args: Args) -> anyhow::Result<()> {
    let (server, context) = chosen(globals, args)?;
    if server.url.scheme() == "https" {
        // A file of certificates that cannot be read is no fault of the connection.
        server.policy.client_config()?;
    }
    output::line(&format!(
        "Debugging connection to {}; Configuration context: {context}; Root CA: {}; TLS: {}.",
        server.host,
        server.trusted.as_deref().unwrap_or("(system)"),
        match (server.url.scheme(), server.is_verified) {
            ("http", _) => "none",
            (_, true) => "secure",
            (_, false) => "insecure",
        }
    ))?;
    let addresses = step("resolve host", resolve(&server)).await?;
    output::line(&format!("Success: can resolve host {}.", server.host))?;
    let stream = step("dial server", dial(&addresses)).await?;
    output::line(&format!("Success: can dial server at {}:{}.", server.host, server.port))?;
    if server.url.scheme() == "https" {
        let seen = step("certificate", certificate::check(&server, stream)).await?;
        output::line("Success: TLS certificate seems valid.")?;
        for remark in seen {
            output::line(&output::printable(&remark))?;
        }
    } else {
        drop(stream);
    }
    step("agent API endpoint", endpoint::check(&server)).await?;
    output::line("Success: agent API endpoints are available.")
}

/// Runs a step and says which one has failed.
async fn step<T>(name: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let late =
        || anyhow!("no answer within {} s; does a firewall drop what is sent to this port?", STEP_TIME.as_secs());
    let outcome = tokio::time::timeout(STEP_TIME, work).await.unwrap_or_else(|_| Err(late()));
    outcome.map_err(|error| anyhow!("Fail: {name}: {}", output::printable(&format!("{error:#}"))))
}

/// The server that the arguments name, and the name of the context it is from.
fn chosen(globals: &Globals, args: Args) -> anyhow::Result<(Server, String)> {
    let Some(address) = args.address else {
        if args.fleet_certificate.is_some() {
            bail!("the --fleet-certificate flag can only be set when an <address> is provided");
        }
        let session = ClientSession::open(globals)?;
        let context = session.contexts.current()?;
        if context.address.is_empty() {
            bail!(
                "set the Fleet API address with: fleetctl config set --address https://localhost:8080\nor provide an \
                 <address> argument to debug: fleetctl debug connection localhost:8080"
            );
        }
        return Ok((Server::of(&context, &context.address)?, session.contexts.selected().to_owned()));
    };
    if globals.config.is_some() {
        bail!("the --config flag cannot be set when an <address> is provided");
    }
    if globals.context.is_some() {
        bail!("the --context flag cannot be set when an <address> is provided");
    }
    let rootca = args.fleet_certificate.map(|path| path.display().to_string()).unwrap_or_default();
    let context = ServerContext { rootca, ..ServerContext::default() };
    Ok((Server::of(&context, &address)?, "none - using provided address".to_owned()))
}

impl Server {
    fn of(context: &ServerContext, address: &str) -> anyhow::Result<Self> {
        let whole = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let url = Url::parse(&whole)
            .with_context(|| format!("{address:?} is not an address such as fleet.example.com:8080"))?;
        let (host, port) = (url.host_str(), url.port_or_known_default());
        let (Some(host), Some(port), "https" | "http") = (host, port, url.scheme()) else {
            bail!("{address:?} is not an address such as https://fleet.example.com:8080");
        };
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            policy: tls_policy(context),
            is_verified: !context.tls_skip_verify,
            trusted: Some(context.rootca.clone()).filter(|path| !path.is_empty() && !context.tls_skip_verify),
            url_prefix: format!("{}{}", url.path().trim_end_matches('/'), prefix(&context.url_prefix)),
            url,
        })
    }
}

async fn resolve(server: &Server) -> anyhow::Result<Vec<SocketAddr>> {
    let remedy = "is the name right, and do the name servers of this machine know it?";
    let found = lookup_host((server.host.as_str(), server.port)).await.map_err(|error| anyhow!("{error}; {remedy}"))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        bail!("no address found for host; {remedy}");
    }
    Ok(addresses)
}

async fn dial(addresses: &[SocketAddr]) -> anyhow::Result<TcpStream> {
    match TcpStream::connect(addresses).await {
        Ok(stream) => Ok(stream),
        Err(error) => {
            let remedy = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: is the server running, and is this its port (server.address)?"
                }
                _ => "is there a route to this address, and does a firewall let it through?",
            };
            let tried: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
            bail!("{error} ({}); {remedy}", tried.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_the_scheme_and_the_port() {
        let context = ServerContext { url_prefix: "/muster".to_owned(), ..ServerContext::default() };
        for (address, host, port, scheme) in [
            ("fleet.example.com", "fleet.example.com", 443, "https"),
            ("localhost:8080", "localhost", 8080, "https"),
            ("http://127.0.0.1:8080/", "127.0.0.1", 8080, "http"),
            ("https://[::1]:8443", "::1", 8443, "https"),
        ] {
            let server = Server::of(&context, address).unwrap();
            assert_eq!((server.host.as_str(), server.port, server.url.scheme()), (host, port, scheme));
            assert_eq!(server.url_prefix, "/muster");
        }
        assert!(Server::of(&context, "ftp://x").is_err());
        assert!(Server::of(&context, "no host").is_err());
    }
}
