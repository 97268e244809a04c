use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::output;

#[derive(clap::Args)]
pub struct Args {
    /// The shell that is to complete command lines of fleetctl
    shell: Shell,
}

/// Prints a script that teaches a shell to complete command lines.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fleetctl", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}
