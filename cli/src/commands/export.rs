//! `fleetctl export`: what hosts are served, as a file for those who hand out osquery's configuration by other means.

use std::path::PathBuf;

use anyhow::Context as _;
use muster_api::rest::AgentConfig;

use super::{ClientSession, labels};
use crate::rest::segment;
use crate::{output, private_file};

const EXAMPLES: &str = "\
Examples:
  # Write what Ubuntu hosts of the label web are served
  fleetctl export --platform ubuntu --label web --outfile osquery.conf

  # See what one host is served
  fleetctl get host web-1.example.com --json";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Platform of the hosts, as agents report it: ubuntu, rhel, darwin, windows
    #[arg(long, value_name = "PLATFORM")]
    platform: String,
    /// Label that the hosts are in, besides those that follow from the platform; can be repeated
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Form of the file: osquery.conf is what osqueryd reads with --config_plugin=filesystem
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = ExportFormat::OsqueryConf)]
    format: ExportFormat,
    /// File to write, readable by its owner alone [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    outfile: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ExportFormat {
    #[value(name = "osquery.conf")]
    OsqueryConf,
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let server = session.authenticated().await?;
    let ids: Vec<_> = labels::ids_of(&server, &args.labels).await?.iter().map(i64::to_string).collect();
    let mut path = format!("agent_config?platform={}", segment(&args.platform));
    if !ids.is_empty() {
        path.push_str(&format!("&label_id={}", ids.join(",")));
    }
    let served: AgentConfig = server.get(&path).await?;
    let text = match args.format {
        ExportFormat::OsqueryConf => serde_json::to_string_pretty(&served.config)? + "\n",
    };
    match &args.outfile {
        None => output::data(&text)?,
        Some(file) => {
            private_file::write(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    output::note(&format!("platform {}, labels: {}", served.platform, served.labels.join(", ")));
    Ok(())
}
