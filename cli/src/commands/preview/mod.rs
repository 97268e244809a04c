//! `fleetctl preview`: a server, starter packs and simulated hosts in one directory.

mod dir;
mod hosts;
mod live;
mod packs;
mod progress;
mod server_process;
mod sign_in;
mod story;
mod summary;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use self::dir::PreviewDir;
use self::live::PreviewSetup;
use self::progress::StartProgress;
use self::server_process::ServerProcess;
use super::stop_signal::StopSignal;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  # Start a preview with 25 simulated hosts; Ctrl-C stops it
  fleetctl preview

  # Start a preview with 200 hosts on another port
  fleetctl preview --hosts 200 --port 9000

  # Delete the data of the preview in ./preview
  fleetctl preview reset";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Port on 127.0.0.1 for the server
    #[arg(long, value_name = "PORT", default_value_t = 8412, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Number of simulated hosts, up to 1000
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1000))]
    hosts: u32,
    /// Directory for all files of the preview
    #[arg(long, global = true, default_value = "./preview", value_name = "DIR")]
    dir: PathBuf,
    /// Path of the muster executable [default: next to fleetctl]
    #[arg(long, value_name = "FILE")]
    muster: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Delete all files of the preview
    #[command(after_help = example!("Stop the preview with Ctrl-C, then delete its files", "fleetctl preview reset"))]
    Reset,
}

pub async fn run(args: Args, debug: bool) -> anyhow::Result<()> {
    match args.command {
        Some(Command::Reset) => {
            let done = PreviewDir::at(&args.dir)?.reset()?;
            output::line(&done)
        }
        None => start(args, debug).await,
    }
}

async fn start(args: Args, debug: bool) -> anyhow::Result<()> {
    let muster = find_muster(args.muster)?;
    let dir = PreviewDir::at(&args.dir)?;
    let _lock = dir.create_and_lock()?;
    check_port(args.port)?;
    let mut stop = StopSignal::listen()?;
    let progress = StartProgress::new();
    let mut process = ServerProcess::start(&muster, &dir, args.port)?;
    let plan = PreviewSetup { dir: &dir, progress: &progress, port: args.port, hosts: args.hosts, debug };
    let mut hosts = None;
    let outcome = tokio::select! {
        () = stop.requested() => Ok(()),
        error = process.exited() => Err(error),
        error = live::live(&plan, &mut hosts) => Err(error),
    };
    progress.finish();
    if let Some(hosts) = hosts {
        hosts.stop(&dir).await;
    }
    let stopped = process.stop(&mut stop).await;
    outcome.and(stopped)?;
    output::note("The preview has stopped; run fleetctl preview again to resume it.");
    Ok(())
}

fn find_muster(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path,
        None => beside_fleetctl()?,
    };
    if !path.is_file() {
        bail!("no server executable at {}; set its path with --muster FILE", dir::shown(&path));
    }
    Ok(path)
}

fn beside_fleetctl() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()
        .context("cannot find the path of fleetctl; set the path of the server with --muster FILE")?;
    let folder = own.parent().unwrap_or(Path::new("."));
    Ok(folder.join("muster").with_extension(std::env::consts::EXE_EXTENSION))
}

fn check_port(port: u16) -> anyhow::Result<()> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!("port {port} cannot be used ({error}); choose another with --port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_refused_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = check_port(port).unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {port} cannot be used")) && error.ends_with("--port"), "{error}");
    }

    #[test]
    fn a_missing_server_is_refused_with_a_remedy() {
        let error = find_muster(Some("/nowhere/muster".into())).unwrap_err().to_string();
        assert_eq!(error, "no server executable at /nowhere/muster; set its path with --muster FILE");
    }
}
